//! `warmstart eval`.

use std::io::{self, Write, stdout};
use std::path::PathBuf;

use serde_json::{Value, json as value};
use warmstart_data::{Sample, SplitKind};
use warmstart_files::{shown, text};
use warmstart_language::message;
use warmstart_nn::burn::tensor::Device;
use warmstart_recipe::{Key, Problem};
use warmstart_tasks::classify::Classification;
use warmstart_tasks::classify::class_tally::ClassEvaluation;
use warmstart_tasks::classify::classifier::{Classifier, TOP};
use warmstart_tasks::kinds::Trained;
use warmstart_workflows::run_data::{OwnImages, RunData, Seen};

use super::devices::open_device;
use super::elsewhere::local_data;
use super::eval_boxes::boxes;
use super::eval_files::EvalFiles;
use super::eval_parts::{Origin, PartOfEvaluation, Scope, part_key, write_classes};
use super::seen::warn_of_seen;
use super::shards::{AskedPart, asked_part};
use super::weights::fetch_detector;
use super::{Failure, use_threads};
use crate::arguments::Eval;
use crate::printing::{json, line, print_to_stderr};
use crate::progress::{interval, noted};

pub fn eval(mut arguments: Eval) -> Result<(), Failure> {
    let refused = [
        ("csv", arguments.csv.is_some()),
        ("lines", arguments.lines.is_some()),
        ("mistakes", arguments.mistakes.is_some()),
        ("coco_json", arguments.coco_json.is_some()),
    ];
    let part = asked_part("eval", &arguments.part, &refused)?;
    let workers = use_threads(&arguments.threads)?;
    let device = open_device(&arguments.device)?;
    fetch_detector(&arguments.model)?;
    let (model, note) = Trained::load_noted(&arguments.model, &device)?;
    if let Some(note) = note {
        print_to_stderr(noted(note));
    }
    if let Some(data) = &arguments.data {
        arguments.data = Some(local_data(data)?);
    }
    match model {
        Trained::Classifier(classifier) => classes(
            &classifier,
            &arguments,
            workers,
            part.as_ref().zip(Some(&device)),
        ),
        Trained::Detector(detector) => boxes(
            &detector,
            &arguments,
            workers,
            part.as_ref().zip(Some(&device)),
        ),
    }
}

fn classes(
    classifier: &Classifier,
    arguments: &Eval,
    workers: usize,
    part: Option<(&AskedPart, &Device)>,
) -> Result<(), Failure> {
    let of_results = arguments.coco_json.as_ref().map(|_| "coco_json");
    if let Some(flag) = arguments.views.given().or(of_results) {
        return Err(of_detectors(flag));
    }
    if arguments.split.is_some() && arguments.data.is_some() {
        let what = message!(
            "--split chooses among the run's own images, and {} of a classifier already names the folder of a split",
            Key::DATA
        );
        return Err(Problem::new(what)
            .of_key(Key("split"))
            .fix(message!("leave --split out"))
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
    if let Some((part, device)) = part {
        let scope = Scope::Classes {
            classes: classes.clone(),
        };
        let key = part_key(part, device, arguments, &samples)?;
        let own = &samples[part.pictures(samples.len(), device)];
        return part.write(&key, own.len(), |out| {
            write_classes(
                classifier,
                own,
                workers,
                &source.part(scope),
                (out, part.folder()),
            )
        });
    }
    let data = [arguments.data.as_deref(), own_data.as_deref()];
    let mut files = EvalFiles::of_classifier(arguments, classes, data)?;
    let result = classifier.evaluate(&samples, workers, &mut |image| files.add_image(&image))?;
    // Before the figures, whose reader may not take them all.
    let written = files.write();
    let printed = print_classes(
        &mut stdout().lock(),
        &result,
        &source.origin(),
        arguments.json,
    );
    // A full disk does not take the figures away.
    written?;
    Ok(printed?)
}

/// Prints the figures of a classifier.
///
/// # Errors
/// If the output is closed.
pub fn print_classes(
    out: &mut impl Write,
    result: &ClassEvaluation,
    origin: &Origin,
    as_json: bool,
) -> io::Result<()> {
    let matrix = &result.confusion;
    let accuracy = matrix.interval();
    if as_json {
        let rows = matrix.rows();
        let is_whole = rows.is_some();
        let mut result = value!({
            "images": matrix.total(),
            "unreadable": result.unreadable,
            "top_1": matrix.accuracy(),
            "top_1_interval": accuracy,
            "top_5": result.top_5,
            "top_5_interval": result.top_5_interval,
            "classes": matrix.per_class(),
            "confusion": rows,
        });
        if !is_whole {
            // Of so many classes, only what occurs.
            let cells: Vec<_> = matrix.cells().collect();
            result["confusions"] = value!(cells);
        }
        origin.add_to(&mut result);
        return json(out, &result);
    }
    let left_out = result.unreadable.iter();
    let left_out = left_out.map(|problem| message!("left out: {problem}"));
    let figures = message!(
        "{} images: top-1 accuracy {:.4}{}, top-{TOP} {:.4}{}",
        matrix.total(),
        matrix.accuracy(),
        interval(Some(accuracy)),
        result.top_5,
        interval(Some(result.top_5_interval))
    );
    let text = format!(
        "{figures}\n\n{}\n\n{}",
        matrix.class_table(),
        matrix.table()
    );
    let mut all = left_out.chain(text.lines().map(str::to_owned));
    all.try_for_each(|text| line(out, text))
}

/// The error for a flag, in a recipe's spelling, that says nothing to a classifier.
pub fn of_detectors(flag: &'static str) -> Failure {
    let what = message!(
        "--{} is for detectors, and this model is a classifier",
        flag.replace('_', "-")
    );
    Problem::new(what).of_key(Key(flag)).into()
}

/// The split that is evaluated.
pub fn split(arguments: &Eval) -> SplitKind {
    arguments.split.map_or(SplitKind::Validation, Into::into)
}

/// The error for a model without a run, and so without images of its own.
pub fn no_run(arguments: &Eval) -> Failure {
    let what = message!("it is not in the folder of a run, so its validation images are unknown");
    Problem::new(what)
        .of_file(&arguments.model)
        .fix(message!("give {} DIR", Key::DATA))
        .into()
}

/// The images that are left, after a note on the lost ones.
pub fn own<L>(images: OwnImages<L>) -> Vec<Sample<L>> {
    if let Some(first) = images.lost.first() {
        print_to_stderr(noted(message!(
            "{} of the run's {} images are missing, or have another size or label, and are left out: {first}{}",
            images.lost.len(),
            images.lost.len() + images.samples.len(),
            if images.lost.len() > 1 { ", …" } else { "" }
        )));
    }
    images.samples
}

/// The source of the images of an evaluation.
pub struct Source {
    run: Option<RunData>,
    /// The split of the run's own images; `None` for others.
    own: Option<SplitKind>,
    /// The images that the model has seen; `None` where its run is unknown.
    seen: Option<Seen>,
    images: usize,
}

impl Source {
    /// The source of the images that the arguments ask for.
    ///
    /// # Errors
    /// If the recipe of a run that the model started from cannot be read.
    pub fn new<L>(
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
    pub fn print(&self) {
        if let (Some(split), Some(run)) = (self.own, &self.run) {
            let what = split.adjective();
            let (run, data) = (shown(&run.run), shown(&run.recipe.data));
            print_to_stderr(message!(
                "evaluated on the {} {what} images of {run}, from {data}",
                self.images
            ));
        }
        match &self.seen {
            Some(seen) => warn_of_seen(&message!("the model"), seen, self.images),
            None => print_to_stderr(noted(message!(
                "it is unknown whether the model was trained on these images: there is no data-files.txt beside it"
            ))),
        }
    }

    /// What is told of it beside the figures.
    pub fn origin(&self) -> Origin {
        let own = self.own.zip(self.run.as_ref());
        Origin {
            own: own.map_or(
                Value::Null,
                |(split, run)| value!({"run": text(&run.run), "split": split.folder()}),
            ),
            seen: value!(self.seen),
        }
    }

    /// What every part of the evaluation begins with.
    pub fn part(&self, scope: Scope) -> PartOfEvaluation {
        PartOfEvaluation {
            origin: self.origin(),
            scope,
        }
    }
}
