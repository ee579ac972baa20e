//! `warmstart eval`.

use std::io::stdout;
use std::path::PathBuf;

use serde_json::{Value, json as value};
use warmstart_data::{Sample, SplitKind};
use warmstart_files::{shown, text};
use warmstart_language::message;
use warmstart_recipe::{Key, Problem};
use warmstart_tasks::classify::Classification;
use warmstart_tasks::classify::classifier::{Classifier, TOP};
use warmstart_tasks::kinds::Trained;
use warmstart_workflows::run_data::{OwnImages, RunData, Seen};

use super::devices::open_device;
use super::eval_boxes::boxes;
use super::eval_files::EvalFiles;
use super::seen::warn_of_seen;
use super::weights::fetch_detector;
use super::{Failure, use_threads};
use crate::arguments::Eval;
use crate::printing::{json, line, print_to_stderr};
use crate::progress::{interval, noted};

pub fn eval(arguments: Eval) -> Result<(), Failure> {
    let workers = use_threads(&arguments.threads)?;
    let device = open_device(&arguments.device)?;
    fetch_detector(&arguments.model)?;
    let (model, note) = Trained::load_noted(&arguments.model, &device)?;
    if let Some(note) = note {
        print_to_stderr(noted(note));
    }
    match model {
        Trained::Classifier(classifier) => classes(&classifier, &arguments, workers),
        Trained::Detector(detector) => boxes(&detector, &arguments, workers),
    }
}

fn classes(classifier: &Classifier, arguments: &Eval, workers: usize) -> Result<(), Failure> {
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
    let data = [arguments.data.as_deref(), own_data.as_deref()];
    let mut files = EvalFiles::of_classifier(arguments, classes, data)?;
    let result = classifier.evaluate(&samples, workers, &mut |image| files.add_image(&image))?;
    // Before the figures, whose reader may not take them all.
    let written = files.write();
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
        let printed = json(&mut out, &result);
        written?;
        return Ok(printed?);
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
    let printed = all.try_for_each(|text| line(&mut out, text));
    // A full disk does not take the figures away.
    written?;
    Ok(printed?)
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

    /// Adds it to a result in JSON.
    pub fn add_to(&self, result: &mut Value) {
        let own = self.own.zip(self.run.as_ref());
        result["own"] = own.map_or(
            Value::Null,
            |(split, run)| value!({"run": text(&run.run), "split": split.folder()}),
        );
        result["seen"] = value!(self.seen);
    }
}
