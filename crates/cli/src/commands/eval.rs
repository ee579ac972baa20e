//! `warmstart eval`.

use std::io::stdout;
use std::path::PathBuf;

use serde_json::{Value, json as value};
use warmstart_data::{Sample, SplitKind};
use warmstart_files::{shown, text};
use warmstart_recipe::{Key, Problem};
use warmstart_tasks::classify::Classification;
use warmstart_tasks::classify::classifier::{Classifier, TOP};
use warmstart_tasks::detect::Detection;
use warmstart_tasks::detect::detector::{Detector, LabelledScenes};
use warmstart_tasks::kinds::Trained;
use warmstart_workflows::run_data::{OwnImages, RunData, Seen};

use super::eval_files::EvalFiles;
use super::seen::warn_of_seen;
use super::{Failure, use_threads};
use crate::arguments::Eval;
use crate::printing::{json, line, lines, print_to_stderr};
use crate::progress::interval;

pub fn eval(arguments: Eval) -> Result<(), Failure> {
    let workers = use_threads(&arguments.threads)?;
    match Trained::load(&arguments.model)? {
        Trained::Classifier(classifier) => classes(&classifier, &arguments, workers),
        Trained::Detector(detector) => boxes(&detector, &arguments, workers),
    }
}

fn boxes(detector: &Detector, arguments: &Eval, workers: usize) -> Result<(), Failure> {
    if arguments.mistakes.is_some() {
        let what = "--mistakes sorts images by their one class, and this model is a detector";
        let fix = "look at the objects that it finds with `warmstart predict --draw DIR`, or write them with --csv";
        return Err(Problem::new(what).of_key(Key("mistakes")).fix(fix).into());
    }
    let split = split(arguments);
    let classes = &detector.info.classes;
    let run = RunData::beside(&arguments.model, Some(classes.len()))?;
    let images = match (&arguments.data, &run) {
        (Some(folder), _) => {
            let recipe = run.as_ref().map(|run| &run.recipe);
            detector.images(folder, split, recipe)?
        }
        (None, Some(run)) => LabelledScenes {
            samples: own(run.images::<Detection>(split, classes)?),
            unreadable: Vec::new(),
        },
        (None, None) => return Err(no_run(arguments)),
    };
    let source = Source::new(arguments, run, &images.samples)?;
    source.print();
    let mut files = EvalFiles::of_detector(arguments, classes)?;
    let result = detector.evaluate(&images, workers, &mut |scene| files.add_scene(&scene))?;
    let figures = &result.figures;
    let (coco, voc) = (figures.coco(), figures.voc());
    let mut out = stdout().lock();
    if arguments.json {
        let mut result = value!({
            "images": result.images,
            "unreadable": result.unreadable,
            "coco": coco,
            "voc": voc,
            "classes": figures.per_class(),
            "curves": figures.curves(0.5),
        });
        source.add_to(&mut result);
        json(&mut out, &result)?;
        return files.write();
    }
    for problem in &result.unreadable {
        line(&mut out, format!("left out: {problem}"))?;
    }
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let text = format!(
        "{} images: mAP@[.5:.95] {}, mAP@.5 {}\n\n{}\n\n{}\n\nVOC mAP at 0.5: {} (all points), {} (11 points)",
        result.images,
        figure(coco.ap),
        figure(coco.ap_50),
        coco.table().trim_end(),
        figures.class_table().trim_end(),
        figure(voc.map_all_points),
        figure(voc.map_11_points)
    );
    lines(&mut out, &text)?;
    // After the figures, which a full disk does not take away.
    files.write()
}

fn classes(classifier: &Classifier, arguments: &Eval, workers: usize) -> Result<(), Failure> {
    if arguments.split.is_some() && arguments.data.is_some() {
        let what = format!(
            "--split chooses among the run's own images, and {} of a classifier already names the folder of a split",
            Key::DATA
        );
        return Err(Problem::new(what)
            .of_key(Key("split"))
            .fix("leave --split out")
            .into());
    }
    let classes = &classifier.info.classes;
    let run = RunData::beside(&arguments.model, Some(classes.len()))?;
    let samples = match (&arguments.data, &run) {
        (Some(folder), _) => classifier.images(folder)?,
        (None, Some(run)) => own(run.images::<Classification>(split(arguments), classes)?),
        (None, None) => return Err(no_run(arguments)),
    };
    let own_data = run.as_ref().map(|run| run.recipe.data.clone());
    let source = Source::new(arguments, run, &samples)?;
    source.print();
    let data = [arguments.data.as_deref(), own_data.as_deref()];
    let mut files = EvalFiles::of_classifier(arguments, classes, data)?;
    let result = classifier.evaluate(&samples, workers, &mut |image| files.add_image(&image))?;
    let matrix = &result.confusion;
    let accuracy = matrix.interval();
    let mut out = stdout().lock();
    if arguments.json {
        let mut result = value!({
            "images": matrix.total(),
            "unreadable": result.unreadable,
            "top_1": matrix.accuracy(),
            "top_1_interval": accuracy,
            "top_5": result.top_5,
            "top_5_interval": result.top_5_interval,
            "classes": matrix.per_class(),
            "confusion": matrix.counts(),
        });
        source.add_to(&mut result);
        json(&mut out, &result)?;
        return files.write();
    }
    for problem in &result.unreadable {
        line(&mut out, format!("left out: {problem}"))?;
    }
    let text = format!(
        "{} images: top-1 accuracy {:.4}{}, top-{TOP} {:.4}{}\n\n{}\n\n{}",
        matrix.total(),
        matrix.accuracy(),
        interval(Some(accuracy)),
        result.top_5,
        interval(Some(result.top_5_interval)),
        matrix.class_table(),
        matrix.table()
    );
    lines(&mut out, &text)?;
    // After the figures, which a full disk does not take away.
    files.write()
}

fn split(arguments: &Eval) -> SplitKind {
    arguments.split.map_or(SplitKind::Validation, Into::into)
}

fn no_run(arguments: &Eval) -> Failure {
    Problem::new("it is not in the folder of a run, so its validation images are unknown")
        .of_file(&arguments.model)
        .fix(format!("give {} DIR", Key::DATA))
        .into()
}

/// The images that are left, after a note on the lost ones.
fn own<L>(images: OwnImages<L>) -> Vec<Sample<L>> {
    if let Some(first) = images.lost.first() {
        print_to_stderr(format!(
            "note: {} of the run's {} images are missing, or have another size or label, and are left out: {first}{}",
            images.lost.len(),
            images.lost.len() + images.samples.len(),
            if images.lost.len() > 1 { ", …" } else { "" }
        ));
    }
    images.samples
}

/// The source of the images of an evaluation.
struct Source {
    run: Option<RunData>,
    /// The split of the run's own images; `None` for others.
    own: Option<SplitKind>,
    /// The images that the model has seen; `None` where its run is unknown.
    seen: Option<Seen>,
    images: usize,
}

impl Source {
    fn new<L>(
        arguments: &Eval,
        run: Option<RunData>,
        samples: &[Sample<L>],
    ) -> Result<Self, Failure> {
        let paths: Vec<PathBuf> = samples.iter().map(|sample| sample.path.clone()).collect();
        let seen = run.as_ref().map_or(Ok(None), |run| run.seen(&paths))?;
        Ok(Self {
            own: arguments.data.is_none().then(|| split(arguments)),
            run,
            seen,
            images: samples.len(),
        })
    }

    /// Prints, before any metric, where the images come from and whether the model has seen them.
    fn print(&self) {
        if let (Some(split), Some(run)) = (self.own, &self.run) {
            let what = split.adjective();
            let (run, data) = (shown(&run.run), shown(&run.recipe.data));
            print_to_stderr(format!(
                "evaluated on the {} {what} images of {run}, from {data}",
                self.images
            ));
        }
        match &self.seen {
            Some(seen) => warn_of_seen("the model", seen, self.images),
            None => print_to_stderr(
                "note: it is unknown whether the model was trained on these images: there is no data-files.txt beside it",
            ),
        }
    }

    fn add_to(&self, result: &mut Value) {
        let own = self.own.zip(self.run.as_ref());
        result["own"] = own.map_or(
            Value::Null,
            |(split, run)| value!({"run": text(&run.run), "split": split.folder()}),
        );
        result["seen"] = value!(self.seen);
    }
}
