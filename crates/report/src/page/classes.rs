//! A classifier's answers: the confusion matrix, the classes, its mistakes, and whether its probabilities hold.

use std::collections::HashMap;

use maud::{Markup, html};
use warmstart_language::{cut, english, message};
use warmstart_metrics::{calibration_error, reliability, wilson};
use warmstart_workflows::report::{Classes, JudgedImage, Pictures};

use super::answer::{percent, range};
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
    let names = classes.matrix.classes();
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
    let all = classes.matrix.classes().len();
    if all <= COLUMNS {
        return (0..all).collect();
    }
    let mut wrong = vec![0; all];
    for (label, predicted, count) in classes.matrix.cells() {
        if label != predicted {
            wrong[label] += count;
            wrong[predicted] += count;
        }
    }
    let mut chosen: Vec<usize> = (0..all).collect();
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
    let counts = &classes.matrix;
    let title = |label: usize, predicted: usize, of_cell: usize| {
        let what = if label == predicted {
            message!("{label}, recognised", label = names[label])
        } else {
            message!(
                "{label} taken for {found}",
                label = names[label],
                found = names[predicted]
            )
        };
        let count = counts.count(label, predicted);
        if of_cell < count {
            message!("{what}: {of_cell} of {count} images")
        } else {
            message!("{what}: {count}")
        }
    };
    html! {
        section #matrix {
            h2 { (message!("Confusion matrix")) }
            p.note {
                (message!(
                    "Rows are the true classes, columns the likeliest ones, under the numbers of the rows. A cell opens \
                     its pictures. "
                ))
                @if shown.len() < names.len() {
                    (message!(
                        "Of {all} classes, the {shown} with the most mistakes.",
                        all = names.len(),
                        shown = shown.len()
                    ))
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
                                    @let count = counts.count(label, predicted);
                                    @let of_row = counts.row(label).map(|(_, count)| count).sum::<usize>().max(1);
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

/// A name that leaves room for what is beside it. A Chinese character is as wide as two letters.
pub fn short(name: &str) -> String {
    const WIDEST: usize = 22;
    cut(name, WIDEST)
}

fn table(classes: &Classes) -> Markup {
    let mut figures = classes.matrix.per_class();
    figures.sort_by(|one, other| one.f1.total_cmp(&other.f1));
    let shown = &figures[..figures.len().min(ROWS)];
    html! {
        section #classes {
            h2 { (message!("Classes, the worst first")) }
            @if shown.len() < figures.len() {
                p.note { (message!("The {shown} worst of {all}.", shown = shown.len(), all = figures.len())) }
            }
            div.wide {
                table {
                    thead { tr {
                        th { (message!("class")) } th { (message!("recognised")) } th { "95%" }
                        th { (message!("precision")) } th { "F1" }
                    } }
                    tbody {
                        @for of in shown {
                            @let right = (of.recall * of.images as f64).round() as usize;
                            tr {
                                td { (short(&of.class)) }
                                td { (message!("{right} of {total}", total = of.images)) }
                                td { (range(wilson(right, of.images))) }
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
            span.said { (message!("taken for {class}", class = short(&names[image.predicted]))) }
            (message!(
                ", {probability}, own class {of_label}",
                probability = percent(image.probability.into()),
                of_label = percent(image.label_probability.into())
            ))
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
            (gallery(&message!("The most confident mistakes"), &classes.mistakes))
            (gallery(&message!("The least confident hits"), &classes.hits))
        }
    }
}

fn places(classes: &Classes, names: &[String], pictures: &Pictures) -> Markup {
    if classes.overlays.is_empty() {
        return html! {};
    }
    html! {
        section #places {
            h2 { (message!("Where the model looked")) }
            p.note {
                (message!(
                    "The picture as the network saw it, and the places that spoke for the class it found likeliest \
                     (Grad-CAM). Layers that hold one value for the whole picture have no part in it."
                ))
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
        title: message!("Reliability"),
        axes: [
            english!("largest probability, mean of a range"),
            english!("share that is right"),
        ],
        series: vec![
            Series {
                name: message!("the model"),
                points,
            },
            Series {
                name: message!("probabilities that hold"),
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
            h2 { (message!("Can its probabilities be trusted?")) }
            p.note {
                (message!(
                    "Of images to which the model gives a probability of 80%, 80% should be right. The mean distance \
                     from that is {distance} (expected calibration error, {BINS} ranges); above the line the model is \
                     too modest, below it too sure.",
                    distance = percent(calibration_error(&bins))
                ))
            }
            div.grid { (chart.figure()) div.wide {
                table {
                    thead { tr {
                        th { (message!("probability")) } th { (message!("images")) } th { (message!("right")) }
                    } }
                    tbody {
                        @for (place, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.images > 0) {
                            tr {
                                td {
                                    (message!(
                                        "{low} to {high}%",
                                        low = place * 100 / BINS,
                                        high = (place + 1) * 100 / BINS
                                    ))
                                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chinese_name_is_cut_to_the_width_of_any_other() {
        assert_eq!(short(&"a".repeat(22)), "a".repeat(22));
        assert_eq!(short(&"a".repeat(23)), "a".repeat(21) + "…");
        assert_eq!(short(&"花".repeat(11)), "花".repeat(11));
        assert_eq!(short(&"花".repeat(12)), "花".repeat(10) + "…");
    }
}
