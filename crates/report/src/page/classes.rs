//! A classifier's answers: the confusion matrix, the classes, its mistakes, and whether its probabilities hold.

use std::collections::HashMap;

use maud::{Markup, html};
use warmstart_metrics::{calibration_error, reliability, wilson};
use warmstart_workflows::report::{Classes, JudgedImage, Pictures};

use super::answer::percent;
use super::chart::{Chart, Series};
use super::gallery::picture;

/// Most classes of a whole matrix; of more, those with the most mistakes are shown.
const COLUMNS: usize = 30;
/// Most classes of the table.
const ROWS: usize = 200;
/// Ranges of the reliability diagram.
const BINS: usize = 10;

/// The sections on a classifier's answers.
pub fn classes(classes: &Classes, pictures: &Pictures) -> Markup {
    let names: Vec<String> = classes
        .matrix
        .per_class()
        .into_iter()
        .map(|of| of.class)
        .collect();
    let names = &names;
    html! {
        (matrix(classes, names))
        (table(classes))
        (mistakes(classes, names, pictures))
        (places(classes, names, pictures))
        (calibration(classes))
    }
}

/// The classes in the matrix: all, or those with the most mistakes in their row and column.
fn columns(classes: &Classes) -> Vec<usize> {
    let counts = classes.matrix.counts();
    if counts.len() <= COLUMNS {
        return (0..counts.len()).collect();
    }
    let mut wrong = vec![0; counts.len()];
    for (label, row) in counts.iter().enumerate() {
        for (predicted, count) in row.iter().enumerate().filter(|(class, _)| *class != label) {
            wrong[label] += count;
            wrong[predicted] += count;
        }
    }
    let mut chosen: Vec<usize> = (0..counts.len()).collect();
    chosen.sort_by_key(|&class| std::cmp::Reverse(wrong[class]));
    chosen.truncate(COLUMNS);
    chosen.sort_unstable();
    chosen
}

fn matrix(classes: &Classes, names: &[String]) -> Markup {
    let shown = columns(classes);
    let mut cells: HashMap<(usize, usize), Vec<String>> = HashMap::new();
    for image in &classes.images {
        if let Some(id) = image.picture {
            let cell = cells.entry((image.label, image.predicted)).or_default();
            cell.push(id.0.to_string());
        }
    }
    let counts = classes.matrix.counts();
    let title = |label: usize, predicted: usize, of_cell: usize| {
        let what = if label == predicted {
            format!("{}, recognised", names[label])
        } else {
            format!("{} taken for {}", names[label], names[predicted])
        };
        let count = counts[label][predicted];
        if of_cell < count {
            format!("{what}: {of_cell} of {count} images")
        } else {
            format!("{what}: {count}")
        }
    };
    html! {
        section #matrix {
            h2 { "Confusion matrix" }
            p.note {
                "Rows are the true classes, columns the likeliest ones, under the numbers of the rows. A cell opens its \
                 pictures. "
                @if shown.len() < names.len() {
                    "Of " (names.len()) " classes, the " (shown.len()) " with the most mistakes."
                }
            }
            div.wide {
                table.matrix {
                    thead { tr { th {} @for class in &shown { th title=(names[*class]) { (class + 1) } } } }
                    tbody {
                        @for &label in &shown {
                            tr {
                                th { (label + 1) " " (short(&names[label])) }
                                @for &predicted in &shown {
                                    @let count = counts[label][predicted];
                                    @let of_row = counts[label].iter().sum::<usize>().max(1);
                                    @let tone = if label == predicted { "right" } else { "wrong" };
                                    td {
                                        @if count > 0 {
                                            @let own = cells.get(&(label, predicted)).cloned().unwrap_or_default();
                                            button class=(tone) data-pictures=(own.join(" "))
                                                style={ "--share:" (format!("{:.2}", 0.15 + 0.75 * count as f64 / of_row as f64)) }
                                                title=(title(label, predicted, own.len())) { (count) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A name that leaves room for what is beside it.
pub fn short(name: &str) -> String {
    const LONGEST: usize = 22;
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

fn table(classes: &Classes) -> Markup {
    let mut figures = classes.matrix.per_class();
    figures.sort_by(|one, other| one.f1.total_cmp(&other.f1));
    let shown = &figures[..figures.len().min(ROWS)];
    html! {
        section #classes {
            h2 { "Classes, the worst first" }
            @if shown.len() < figures.len() {
                p.note { "The " (shown.len()) " worst of " (figures.len()) "." }
            }
            div.wide {
                table {
                    thead { tr {
                        th { "class" } th { "recognised" } th { "95%" } th { "precision" } th { "F1" }
                    } }
                    tbody {
                        @for of in shown {
                            @let right = (of.recall * of.images as f64).round() as usize;
                            @let interval = wilson(right, of.images);
                            tr {
                                td { (short(&of.class)) }
                                td { (right) " of " (of.images) }
                                td { (percent(interval.low)) " to " (percent(interval.high)) }
                                td { (percent(of.precision)) }
                                td { (format!("{:.3}", of.f1)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The truth and what the model says, below a picture.
fn caption(image: &JudgedImage, names: &[String]) -> Markup {
    html! {
        @if image.is_right() {
            span.truth { (short(&names[image.label])) } ", " (percent(image.probability.into()))
        } @else {
            span.truth { (short(&names[image.label])) } br;
            span.said { "taken for " (short(&names[image.predicted])) } ", " (percent(image.probability.into()))
            ", own class " (percent(image.label_probability.into()))
        }
    }
}

fn mistakes(classes: &Classes, names: &[String], pictures: &Pictures) -> Markup {
    let gallery = |title: &str, indices: &[usize]| {
        html! {
            @if !indices.is_empty() {
                h2 { (title) }
                div.pictures {
                    @for &index in indices {
                        @let image = &classes.images[index];
                        @if let Some(id) = image.picture {
                            (picture(id, "", pictures, &caption(image, names)))
                        }
                    }
                }
            }
        }
    };
    html! {
        section #mistakes {
            (gallery("The most confident mistakes", &classes.mistakes))
            (gallery("The least confident hits", &classes.hits))
        }
    }
}

fn places(classes: &Classes, names: &[String], pictures: &Pictures) -> Markup {
    if classes.overlays.is_empty() {
        return html! {};
    }
    html! {
        section #places {
            h2 { "Where the model looked" }
            p.note {
                "The picture as the network saw it, and the places that spoke for the class it found likeliest (Grad-CAM)."
            }
            div.grid {
                @for overlay in &classes.overlays {
                    @let image = &classes.images[overlay.image];
                    div {
                        div.pair {
                            (picture(overlay.seen, "large", pictures, &html! {}))
                            (picture(overlay.places, "large", pictures, &html! {}))
                        }
                        p.note { (caption(image, names)) }
                    }
                }
            }
        }
    }
}

fn calibration(classes: &Classes) -> Markup {
    let images = classes.images.iter();
    let images: Vec<(f32, bool)> = images
        .map(|image| (image.probability, image.is_right()))
        .collect();
    let bins = reliability(&images, BINS);
    let filled = bins.iter().filter(|bin| bin.images > 0);
    let points = filled.map(|bin| [bin.confidence, bin.accuracy]).collect();
    let chart = Chart {
        title: "Reliability".into(),
        axes: [
            "largest probability, mean of a range",
            "share that is right",
        ],
        series: vec![
            Series {
                name: "the model".into(),
                points,
            },
            Series {
                name: "probabilities that hold".into(),
                points: vec![[0.0, 0.0], [1.0, 1.0]],
            },
        ],
        bands: Vec::new(),
        mark: None,
        is_logarithmic: false,
        at_least: Some([0.0, 1.0]),
    };
    html! {
        section #reliability {
            h2 { "Can its probabilities be trusted?" }
            p.note {
                "Of images to which the model gives a probability of 80%, 80% should be right. The mean distance from \
                 that is " (percent(calibration_error(&bins))) " (expected calibration error, " (BINS)
                " ranges); above the line the model is too modest, below it too sure."
            }
            div.grid { (chart.figure()) div.wide {
                table {
                    thead { tr { th { "probability" } th { "images" } th { "right" } } }
                    tbody {
                        @for (place, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.images > 0) {
                            tr {
                                td { (place * 100 / BINS) " to " ((place + 1) * 100 / BINS) "%" }
                                td { (bin.images) }
                                td { (percent(bin.accuracy)) }
                            }
                        }
                    }
                }
            } }
        }
    }
}
