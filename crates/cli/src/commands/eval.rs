//! `warmstart eval`.

use std::io::{Write, stdout};

use serde_json::json;
use warmstart_train::classifier::{Classifier, TOP};
use warmstart_train::detector::Detector;
use warmstart_train::trained::{Trained, recipe_beside};

use super::{Failure, use_threads};
use crate::arguments::{DataSplit, Eval};
use crate::progress::interval;

pub fn eval(arguments: Eval) -> Result<(), Failure> {
    let workers = use_threads(&arguments.threads)?;
    match Trained::load(&arguments.model)? {
        Trained::Classifier(classifier) => classes(&classifier, &arguments, workers),
        Trained::Detector(detector) => boxes(&detector, &arguments, workers),
    }
}

fn boxes(detector: &Detector, arguments: &Eval, workers: usize) -> Result<(), Failure> {
    let split = arguments.split.unwrap_or(DataSplit::Val);
    let recipe = recipe_beside(&arguments.model)?;
    let result = detector.evaluate(&arguments.data, split.into(), recipe.as_ref(), workers)?;
    let figures = &result.figures;
    let (coco, voc) = (figures.coco(), figures.voc());
    let mut out = stdout().lock();
    if arguments.json {
        let result = json!({
            "images": result.images,
            "unreadable": result.unreadable,
            "coco": coco,
            "voc": voc,
            "classes": figures.per_class(),
            "curves": figures.curves(0.5),
        });
        writeln!(out, "{result}")?;
        return Ok(());
    }
    for problem in &result.unreadable {
        writeln!(out, "left out: {problem}")?;
    }
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    writeln!(
        out,
        "{} images: mAP@[.5:.95] {}, mAP@.5 {}\n\n{}\n\n{}\n\nVOC mAP at 0.5: {} (all points), {} (11 points)",
        result.images,
        figure(coco.ap),
        figure(coco.ap_50),
        coco.table().trim_end(),
        figures.class_table().trim_end(),
        figure(voc.map_all_points),
        figure(voc.map_11_points)
    )?;
    Ok(())
}

fn classes(classifier: &Classifier, arguments: &Eval, workers: usize) -> Result<(), Failure> {
    if arguments.split.is_some() {
        return Err(Failure::usage(
            "--split belongs to a detector; for this classifier, --data names the folder of the split",
        ));
    }
    let result = classifier.evaluate(&arguments.data, workers)?;
    let matrix = &result.confusion;
    let accuracy = matrix.interval();
    let mut out = stdout().lock();
    if arguments.json {
        let result = json!({
            "images": matrix.total(),
            "unreadable": result.unreadable,
            "top_1": matrix.accuracy(),
            "top_1_interval": accuracy,
            "top_5": result.top_5,
            "top_5_interval": result.top_5_interval,
            "classes": matrix.per_class(),
            "confusion": matrix.counts(),
        });
        writeln!(out, "{result}")?;
        return Ok(());
    }
    for problem in &result.unreadable {
        writeln!(out, "left out: {problem}")?;
    }
    writeln!(
        out,
        "{} images: top-1 accuracy {:.4}{}, top-{TOP} {:.4}{}\n\n{}\n\n{}",
        matrix.total(),
        matrix.accuracy(),
        interval(Some(accuracy)),
        result.top_5,
        interval(Some(result.top_5_interval)),
        matrix.class_table(),
        matrix.table()
    )?;
    Ok(())
}
