//! `warmstart data labels` for a detector: the boxes of a run's held-out images that it and the labels disagree on.

use std::path::{Path, PathBuf};

use serde::Serialize;
use warmstart_data::{SplitKind, data_folder};
use warmstart_files::{shown, text};
use warmstart_language::message;
use warmstart_metrics::{BoxDoubt, DetectionEvaluation, DoubtOfBox, box_doubts};
use warmstart_nn::burn::tensor::Device;
use warmstart_recipe::run_files::fold_folder;
use warmstart_recipe::{Error, Problem, TaskKind};
use warmstart_run::event::{Event, Observer};
use warmstart_run::folder::recipe_of;
use warmstart_run::list::is_run;
use warmstart_tasks::detect::{Detection, JudgedObjects, Selection};
use warmstart_tasks::kinds::Trained;

use crate::run_data::RunData;

/// Columns of the table of doubtful boxes; corners are in pixels of the image.
const COLUMNS: [&str; 10] = [
    "file", "doubt", "label", "found", "score", "x1", "y1", "x2", "y2", "doubtful",
];

/// A box that a detector and the labels disagree on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DoubtfulBox {
    /// The image, below the data set's folder.
    pub file: String,
    /// What speaks against the label.
    pub doubt: DoubtOfBox,
    /// Class of the label, where there is one.
    pub label: Option<String>,
    /// Class of what is found, where something is.
    pub found: Option<String>,
    /// Score of what is found; where nothing is, the share of the objects of the label's class and size that are found.
    pub score: f64,
    /// Left, top, right and bottom in pixels of the image: of the label, or of what is found without one.
    pub x1: f64,
    /// Top.
    pub y1: f64,
    /// Right.
    pub x2: f64,
    /// Bottom.
    pub y2: f64,
    /// Whether the label is worth a look ([`BoxDoubt::is_doubtful`]).
    pub doubtful: bool,
}

/// The boxes of all images that were judged.
pub struct BoxLabels {
    /// Those that a detector and the labels disagree on, the doubtful ones first.
    pub doubts: Vec<DoubtfulBox>,
    /// Images that were judged.
    pub images: usize,
    /// Their labelled objects.
    pub labels: usize,
    /// The confidence of the best F1, from which on something counts as found.
    pub confidence: f64,
    /// Images of the runs that are gone or changed, or cannot be read.
    pub lost: usize,
}

/// The images of some runs so far, each judged by the run that it was held out from.
#[derive(Default)]
struct HeldOut {
    /// Names of the classes, the same in all runs; `None` before the first.
    classes: Option<Vec<String>>,
    files: Vec<String>,
    objects: Vec<JudgedObjects>,
    lost: usize,
}

/// The runs of detectors in a folder: the run itself, or those of a cross-validation, in which each image is held out
/// from one. None if it is neither, or its runs are of another task.
///
/// # Errors
/// If the recipe of a run cannot be read.
pub fn detector_runs(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let runs: Vec<PathBuf> = if is_run(folder) {
        vec![folder.to_owned()]
    } else {
        let folds = (1..).map(|number| fold_folder(folder, number));
        folds.take_while(|run| is_run(run)).collect()
    };
    for run in &runs {
        let (recipe, _) = recipe_of(run)?;
        if recipe.task != TaskKind::Detect {
            return Ok(Vec::new());
        }
    }
    Ok(runs)
}

/// The boxes on which the kept models of runs of detectors and the labels disagree, on the validation images of each
/// run: a model has learned the labels of its training images, the wrong ones, too. `device` computes.
///
/// # Errors
/// If a run has no model yet or no validation images, or they cannot be read, or two runs have different classes.
pub fn box_labels(
    runs: &[PathBuf],
    workers: usize,
    device: &Device,
    observe: Observer,
) -> Result<BoxLabels, Error> {
    let mut all = HeldOut::default();
    for run in runs {
        all.judge(run, workers, device, observe)?;
    }
    let mut figures = DetectionEvaluation::new(all.classes().to_vec());
    for (truths, detected) in &all.objects {
        figures.add_image(truths, detected);
    }
    let usual = f64::from(Selection::PREDICTION.confidence);
    let confidence = figures.best_f1().map_or(usual, |best| best.confidence);
    let doubts = box_doubts(&all.objects, all.classes().len(), confidence);
    let labels = all.objects.iter().map(|(truths, _)| truths.len());
    Ok(BoxLabels {
        doubts: doubts.iter().map(|doubt| all.named(doubt)).collect(),
        images: all.objects.len(),
        labels: labels.sum(),
        confidence,
        lost: all.lost,
    })
}

/// The boxes as comma-separated values, with the names of the columns.
pub fn table(doubts: &[DoubtfulBox]) -> Vec<u8> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut add = |row: [&str; COLUMNS.len()]| {
        let added = table.write_record(row);
        added.expect("memory takes every row");
    };
    add(COLUMNS);
    for doubt in doubts {
        let [label, found] = [&doubt.label, &doubt.found].map(|name| name.as_deref());
        let corners = [doubt.x1, doubt.y1, doubt.x2, doubt.y2].map(|at| at.to_string());
        let [x1, y1, x2, y2] = &corners;
        add([
            &doubt.file,
            word(doubt.doubt),
            label.unwrap_or_default(),
            found.unwrap_or_default(),
            &format!("{:.4}", doubt.score),
            x1,
            y1,
            x2,
            y2,
            &doubt.doubtful.to_string(),
        ]);
    }
    table.into_inner().expect("memory takes every row")
}

/// The kind of a doubt in tables, as in JSON.
fn word(kind: DoubtOfBox) -> &'static str {
    match kind {
        DoubtOfBox::NoLabel => "no_label",
        DoubtOfBox::OtherClass => "other_class",
        DoubtOfBox::NotFound => "not_found",
    }
}

impl HeldOut {
    fn classes(&self) -> &[String] {
        self.classes.as_deref().unwrap_or_default()
    }

    /// Refuses a run whose classes are not those of the runs before.
    fn require_same(&mut self, classes: &[String], run: &Path) -> Result<(), Error> {
        let expected = self.classes.get_or_insert_with(|| classes.to_vec());
        if expected.as_slice() == classes {
            return Ok(());
        }
        let what = message!(
            "its classes are {}, and those of the runs before are {}",
            classes.join(", "),
            expected.join(", ")
        );
        Err(Problem::new(what)
            .of_file(run)
            .fix(message!(
                "give the folder of one run, or cross-validate again"
            ))
            .into())
    }

    /// Adds the validation images of a run.
    fn judge(
        &mut self,
        run: &Path,
        workers: usize,
        device: &Device,
        observe: Observer,
    ) -> Result<(), Error> {
        let not_of_a_detector =
            || Error::from(Problem::new(message!("it is not the run of a detector")).of_file(run));
        let Trained::Detector(detector) = Trained::load(run, device)? else {
            return Err(not_of_a_detector());
        };
        let classes = &detector.info.classes;
        self.require_same(classes, run)?;
        let data = RunData::beside(run, Some(classes.len()))?.ok_or_else(not_of_a_detector)?;
        let own = data.images::<Detection>(SplitKind::Validation, classes)?;
        observe(Event::Note(message!(
            "{} validation images of {} are judged",
            own.samples.len(),
            shown(run)
        )));
        let judged = detector.judge(&own.samples, workers, Selection::EVALUATION, &mut |_| ())?;
        let folder = data_folder(&data.recipe.data);
        let file = |path: &PathBuf| text(path.strip_prefix(folder).unwrap_or(path)).into_owned();
        self.files.extend(judged.paths.iter().map(file));
        self.objects.extend(judged.objects);
        self.lost += own.lost.len() + judged.unreadable.len();
        Ok(())
    }

    fn named(&self, doubt: &BoxDoubt) -> DoubtfulBox {
        let name = |class: Option<usize>| class.map(|class| self.classes()[class].clone());
        let [x1, y1, x2, y2] = doubt.bounds;
        DoubtfulBox {
            file: self.files[doubt.image].clone(),
            doubt: doubt.kind,
            label: name(doubt.label),
            found: name(doubt.found),
            score: doubt.score,
            x1,
            y1,
            x2,
            y2,
            doubtful: doubt.is_doubtful,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(doubt: DoubtOfBox, label: Option<&str>, found: Option<&str>) -> DoubtfulBox {
        DoubtfulBox {
            file: "val/1.jpg".to_owned(),
            doubt,
            label: label.map(str::to_owned),
            found: found.map(str::to_owned),
            score: 0.9,
            x1: 1.0,
            y1: 2.5,
            x2: 30.0,
            y2: 40.0,
            doubtful: true,
        }
    }

    #[test]
    fn runs_of_different_classes_are_not_judged_as_one() {
        let both = ["cat", "dog"].map(str::to_owned);
        let one = ["cat".to_owned()];
        let mut all = HeldOut::default();
        assert!(all.require_same(&both, Path::new("fold-1")).is_ok());
        assert!(all.require_same(&both, Path::new("fold-2")).is_ok());
        let error = all.require_same(&one, Path::new("fold-3")).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("fold-3: its classes are cat, and"),
            "{error}"
        );
        assert_eq!(all.classes(), both);
    }

    #[test]
    fn the_table_has_a_row_for_each_box() {
        let doubts = [
            doubt(DoubtOfBox::NoLabel, None, Some("cat, grey")),
            doubt(DoubtOfBox::OtherClass, Some("dog"), Some("cat")),
            doubt(DoubtOfBox::NotFound, Some("dog"), None),
        ];
        assert_eq!(
            String::from_utf8(table(&doubts)).unwrap(),
            "file,doubt,label,found,score,x1,y1,x2,y2,doubtful\n\
             val/1.jpg,no_label,,\"cat, grey\",0.9000,1,2.5,30,40,true\n\
             val/1.jpg,other_class,dog,cat,0.9000,1,2.5,30,40,true\n\
             val/1.jpg,not_found,dog,,0.9000,1,2.5,30,40,true\n"
        );
        for one in &doubts {
            assert_eq!(serde_json::json!(one.doubt), word(one.doubt));
        }
    }
}
