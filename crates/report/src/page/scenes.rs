//! A detector's answers: metrics, classes, the confusion matrix, precision-recall curves, pictures, and doubtful boxes.

use maud::{Markup, html};
use warmstart_language::{english, message};
use warmstart_metrics::PrecisionRecall;
use warmstart_workflows::report::{Pictures, Scenes};

use super::chart::{Chart, Series};
use super::found::{confusion, doubts};
use super::gallery::picture;

/// Most classes whose curve is drawn, in charts of so many.
const CURVES: usize = 24;
const OF_CHART: usize = 6;

/// The sections on a detector's answers.
pub fn scenes(scenes: &Scenes, pictures: &Pictures) -> Markup {
    html! {
        (table(scenes))
        (confusion(scenes))
        (curves(scenes))
        (shown(scenes, pictures))
        (doubts(scenes, pictures))
    }
}

fn value(figure: Option<f64>) -> String {
    figure.map_or("–".to_owned(), |figure| format!("{figure:.3}"))
}

fn table(scenes: &Scenes) -> Markup {
    let coco = scenes.figures.coco();
    let best = scenes.figures.best_f1();
    let mut classes = scenes.figures.per_class();
    classes.sort_by(|one, other| one.ap.unwrap_or(2.0).total_cmp(&other.ap.unwrap_or(2.0)));
    html! {
        section #classes {
            h2 { (message!("Classes, the worst first")) }
            p.note {
                (message!(
                    "{images} validation images: mAP@[.5:.95] {ap}, mAP@.5 {ap_50}, of small objects {small}, medium \
                     {medium}, large {large}. ",
                    images = scenes.paths.len(),
                    ap = value(coco.ap),
                    ap_50 = value(coco.ap_50),
                    small = value(coco.ap_small),
                    medium = value(coco.ap_medium),
                    large = value(coco.ap_large)
                ))
                @if let Some(best) = best {
                    (message!(
                        "F1 at an overlap (IoU) of 0.5 is highest at a confidence of {confidence:.3}: {f1:.3}, precision \
                         {precision:.3}, recall {recall:.3}, each the mean of the classes.",
                        confidence = best.confidence,
                        f1 = best.f1,
                        precision = best.precision,
                        recall = best.recall
                    ))
                }
            }
            div.wide {
                table {
                    thead { tr {
                        th { (message!("class")) } th { (message!("objects")) } th { "AP@[.5:.95]" } th { "AP@.5" }
                        th { (message!("best F1")) } th { (message!("at confidence")) }
                    } }
                    tbody {
                        @for class in &classes {
                            tr {
                                td { (class.class) } td { (class.truths) } td { (value(class.ap)) }
                                td { (value(class.ap_50)) } td { (value(class.f1.map(|best| best.f1))) }
                                td { (value(class.f1.map(|best| best.confidence))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn curves(scenes: &Scenes) -> Markup {
    let curves = scenes.figures.curves(0.5).unwrap_or_default();
    let shown = &curves[..curves.len().min(CURVES)];
    let series = |curve: &PrecisionRecall| Series {
        name: curve.class.clone(),
        points: curve
            .points
            .iter()
            .map(|point| [point.recall, point.precision])
            .collect(),
    };
    let chart = |curves: &[PrecisionRecall]| Chart {
        title: message!("Precision by recall"),
        axes: [english!("recall"), english!("precision")],
        series: curves.iter().map(series).collect(),
        bands: Vec::new(),
        mark: None,
        is_logarithmic: false,
        at_least: Some([0.0, 1.0]),
    };
    html! {
        section #precision-recall {
            h2 { (message!("Precision and recall")) }
            p.note {
                (message!("At an overlap (IoU) of 0.5. "))
                @if shown.len() < curves.len() {
                    (message!("The first {shown} of {all} classes.", shown = shown.len(), all = curves.len()))
                }
            }
            div.grid { @for part in shown.chunks(OF_CHART) { (chart(part).figure()) } }
        }
    }
}

fn shown(scenes: &Scenes, pictures: &Pictures) -> Markup {
    html! {
        section #pictures-found {
            h2 { (message!("Labels and finds")) }
            p.note {
                (message!(
                    "Left the label, right what the model finds with a score of {confidence:.3} or more: images with the \
                     most errors first, then others, evenly spread.",
                    confidence = scenes.at_confidence.confidence()
                ))
            }
            @for image in &scenes.shown {
                div.pair {
                    (picture(image.truth, "scene", pictures, &html! { (message!("label")) }))
                    (picture(image.found, "scene", pictures, &html! {
                        (message!("{missed} missed, {wrong} wrong", missed = image.missed, wrong = image.wrong))
                    }))
                }
            }
        }
    }
}
