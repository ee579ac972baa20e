//! `warmstart eval` with a detector.

use std::io::{self, Write, stdout};

use serde_json::{Value, json as value};
use warmstart_language::message;
use warmstart_metrics::{AtConfidence, BestF1, FoundOfSize, MATCHING_IOU};
use warmstart_nn::burn::tensor::Device;
use warmstart_recipe::{Key, Problem};
use warmstart_tasks::detect::detector::{Detector, LabelledScenes};
use warmstart_tasks::detect::{BoxEvaluation, Detection, Search, Selection};
use warmstart_workflows::run_data::RunData;

use super::Failure;
use super::coco_results::CocoResults;
use super::eval::{Source, no_run, own, split};
use super::eval_files::EvalFiles;
use super::eval_parts::{Origin, Scope, part_key, write_boxes};
use super::shards::AskedPart;
use crate::arguments::Eval;
use crate::printing::{json, line, lines};

pub fn boxes(
    detector: &Detector,
    arguments: &Eval,
    workers: usize,
    part: Option<(&AskedPart, &Device)>,
) -> Result<(), Failure> {
    if arguments.mistakes.is_some() {
        let what =
            message!("--mistakes sorts images by their one class, and this model is a detector");
        let fix = message!(
            "look at the objects that it finds with `warmstart predict --draw DIR`, or write them with --csv"
        );
        return Err(Problem::new(what).of_key(Key("mistakes")).fix(fix).into());
    }
    let split = split(arguments);
    let classes = &detector.info.classes;
    let run = RunData::beside(&arguments.model, Some(classes.len()))?;
    let own_data = run.as_ref().map(|run| run.recipe.data.clone());
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
    let search = Search {
        selection: Selection {
            across_classes: arguments.views.across_classes(),
            ..Selection::EVALUATION
        },
        tile: arguments.views.tile(detector.info.preprocessing.crop),
        flip: arguments.views.flip(),
    };
    if let Some((part, device)) = part {
        let scope = Scope::Boxes {
            classes: classes.clone(),
            confidence: detector.selection().confidence.to_bits(),
            unreadable: images.unreadable.clone(),
        };
        let key = part_key(part, device, arguments, &images.samples)?;
        let own = &images.samples[part.pictures(images.samples.len(), device)];
        return part.write(&key, own.len(), |out| {
            let first = source.part(scope);
            write_boxes(
                detector,
                own,
                (workers, search),
                &first,
                (out, part.folder()),
            )
        });
    }
    let mut files = EvalFiles::of_detector(arguments, classes)?;
    let data = arguments.data.as_deref().or(own_data.as_deref());
    let mut results = match (&arguments.coco_json, data) {
        (Some(path), Some(data)) => {
            let samples = &images.samples;
            Some(CocoResults::new(path, (data, split), samples, classes)?)
        }
        (Some(_) | None, _) => None,
    };
    let result = detector.evaluate(&images, workers, search, &mut |scene| {
        files.add_scene(&scene);
        if let Some(results) = &mut results {
            results.add(&scene);
        }
    })?;
    // Before the figures, whose reader may not take them all.
    let written = files.write();
    let written = written.and(results.map_or(Ok(()), CocoResults::write));
    let out = &mut stdout().lock();
    let printed = print_boxes(out, &result, &source.origin(), arguments.json);
    // A full disk does not take the figures away.
    written?;
    Ok(printed?)
}

/// Prints the figures of a detector.
///
/// # Errors
/// If the output is closed.
pub fn print_boxes(
    out: &mut impl Write,
    result: &BoxEvaluation,
    origin: &Origin,
    as_json: bool,
) -> io::Result<()> {
    if as_json {
        let mut result = in_json(result);
        origin.add_to(&mut result);
        return json(out, &result);
    }
    for problem in &result.unreadable {
        line(out, message!("left out: {problem}"))?;
    }
    lines(out, &in_words(result))
}

fn in_json(result: &BoxEvaluation) -> Value {
    let figures = &result.figures;
    let at: &AtConfidence = &result.at_confidence;
    let of_size = |of: FoundOfSize| {
        let figures = value!({"found": of.found, "truths": of.truths, "recall": of.recall()});
        (of.size.to_owned(), figures)
    };
    let by_size: serde_json::Map<String, Value> = at.by_size().map(of_size).into_iter().collect();
    value!({
        "images": result.images,
        "unreadable": result.unreadable,
        "coco": figures.coco(),
        "voc": figures.voc(),
        "f1": figures.best_f1(),
        "classes": figures.per_class(),
        "confusion": {
            "confidence": at.confidence(),
            "iou": MATCHING_IOU,
            "classes": at.classes(),
            "counts": at.counts(),
        },
        "found_by_size": by_size,
        "curves": figures.curves(MATCHING_IOU),
    })
}

fn in_words(result: &BoxEvaluation) -> String {
    let figures = &result.figures;
    let at = &result.at_confidence;
    let (coco, voc) = (figures.coco(), figures.voc());
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let first = message!(
        "{} images: mAP@[.5:.95] {}, mAP@.5 {}",
        result.images,
        figure(coco.ap),
        figure(coco.ap_50)
    );
    let last = message!(
        "VOC mAP at 0.5: {} (all points), {} (11 points)",
        figure(voc.map_all_points),
        figure(voc.map_11_points)
    );
    format!(
        "{first}\n{}\n\n{}\n\n{}\n\n{}\n\n{}\n\n{last}",
        best_in_words(figures.best_f1()),
        coco.table().trim_end(),
        figures.class_table().trim_end(),
        at.table(),
        at.size_line()
    )
}

fn best_in_words(best: Option<BestF1>) -> String {
    match best {
        Some(best) => message!(
            "best F1 at confidence {:.3}: {:.4} (precision {:.4}, recall {:.4}; means of the classes, IoU 0.5)",
            best.confidence,
            best.f1,
            best.precision,
            best.recall
        ),
        None => message!("no object is found, at whatever confidence"),
    }
}
