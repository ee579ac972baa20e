//! What a detector finds, misses and confuses at one confidence, and the labels that it speaks against.

use maud::{Markup, html};
use warmstart_language::{message, translated};
use warmstart_metrics::{BoxDoubt, DoubtOfBox};
use warmstart_workflows::report::{Pictures, Scenes};

use super::answer::percent;
use super::classes::short;
use super::gallery::picture;

/// Most classes of a whole matrix; of more, those with the most mistakes are shown.
const COLUMNS: usize = 30;

/// The classes in the matrix: all, or those with the most mistakes in their row and column.
fn columns(counts: &[Vec<usize>]) -> Vec<usize> {
    let classes = counts.len().saturating_sub(1);
    let mut chosen: Vec<usize> = (0..classes).collect();
    if classes > COLUMNS {
        let mistakes = |class: usize| {
            let row: usize = counts[class].iter().sum();
            let column: usize = counts.iter().map(|row| row[class]).sum();
            row + column - 2 * counts[class][class]
        };
        chosen.sort_by_key(|&class| std::cmp::Reverse(mistakes(class)));
        chosen.truncate(COLUMNS);
        chosen.sort_unstable();
    }
    chosen
}

/// What is found, missed and confused, by class, and found by size.
pub fn confusion(scenes: &Scenes) -> Markup {
    let all = &scenes.at_confidence;
    let (names, counts) = (all.classes(), all.counts());
    let none = names.len();
    let shown = columns(counts);
    let title = |label: usize, found: usize| match (names.get(label), names.get(found)) {
        (Some(label), Some(found)) if label == found => message!("{label}, found"),
        (Some(label), Some(found)) => message!("{label} taken for {found}"),
        (Some(label), None) => message!("{label} missed"),
        (None, Some(found)) => message!("{found} found where none is labelled"),
        (None, None) => String::new(),
    };
    let cell = |label: usize, found: usize| {
        let count = counts[label][found];
        let of_row = counts[label].iter().sum::<usize>().max(1);
        let tone = if label == found { "right" } else { "wrong" };
        let share = 0.15 + 0.75 * count as f64 / of_row as f64;
        html! {
            td {
                @if count > 0 {
                    span class=(tone) style={ "--share:" (format!("{share:.2}")) } title=(title(label, found)) { (count) }
                }
            }
        }
    };
    let sizes = all.by_size().map(|of| {
        let size = translated(of.size);
        let found = message!(
            "{found} of {truths} {size}",
            found = of.found,
            truths = of.truths
        );
        match of.recall() {
            Some(recall) => message!("{found} ({share})", share = percent(recall)),
            None => found,
        }
    });
    html! {
        section #confusion {
            h2 { (message!("Found, missed and confused")) }
            p.note {
                (message!(
                    "With a score of {confidence:.3} or more and an overlap (IoU) of 0.5 or more. Rows are the labels, \
                     columns what is found, under the numbers of the rows; below, what is found where nothing is \
                     labelled. ",
                    confidence = all.confidence()
                ))
                @if shown.len() < none {
                    (message!(
                        "Of {all} classes, the {shown} with the most mistakes.",
                        all = none,
                        shown = shown.len()
                    ))
                    " "
                }
                (message!("Found as what they are: {sizes} objects.", sizes = sizes.join(", ")))
            }
            div.wide {
                table.matrix {
                    thead { tr {
                        th {}
                        @for class in &shown { th title=(names[*class]) { (class + 1) } }
                        th { (message!("missed")) }
                    } }
                    tbody {
                        @for &label in &shown {
                            tr {
                                th { (label + 1) " " (short(&names[label])) }
                                @for &found in &shown { (cell(label, found)) }
                                (cell(label, none))
                            }
                        }
                        tr {
                            th { (message!("false")) }
                            @for &found in &shown { (cell(none, found)) }
                            td {}
                        }
                    }
                }
            }
        }
    }
}

/// The labels of held-out images that the detector speaks against.
pub fn doubts(scenes: &Scenes, pictures: &Pictures) -> Markup {
    let doubts = &scenes.doubts;
    if doubts.shown.is_empty() {
        return html! {};
    }
    html! {
        section #doubtful-boxes {
            h2 { (message!("Doubtful boxes")) }
            p.note {
                (message!(
                    "{doubtful} boxes of the validation images, which the model has not learned from, are worth a look: \
                     what is found without a label, or as another class, and is as sure as what agrees with its label is \
                     on average; and labels where nothing is found, though most objects of their class and size are. ",
                    doubtful = doubts.doubtful
                ))
                @if doubts.shown.len() < doubts.doubtful {
                    (message!("The first {shown}. ", shown = doubts.shown.len()))
                }
                code { "warmstart data labels RUN" } (message!(" lists all."))
            }
            div.pictures {
                @for (id, doubt) in &doubts.shown {
                    (picture(*id, "scene", pictures, &caption(doubt, &scenes.names)))
                }
            }
        }
    }
}

fn caption(doubt: &BoxDoubt, names: &[String]) -> Markup {
    let name = |class: Option<usize>| class.map_or(String::new(), |class| short(&names[class]));
    let share = percent(doubt.score);
    html! {
        @match doubt.kind {
            DoubtOfBox::NoLabel => { span.said { (name(doubt.found)) "?" } " " (message!("{share}, not labelled")) }
            DoubtOfBox::OtherClass => {
                span.truth { (name(doubt.label)) } br;
                span.said { (name(doubt.found)) "?" } " " (share)
            }
            DoubtOfBox::NotFound => {
                span.truth { (name(doubt.label)) } br;
                (message!("not found, as {share} of those of its size are"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_classes_those_with_the_most_mistakes_are_shown() {
        let classes = COLUMNS + 3;
        let mut counts = vec![vec![0; classes + 1]; classes + 1];
        for (class, row) in counts.iter_mut().enumerate() {
            row[class] = 9;
        }
        assert_eq!(columns(&counts).len(), COLUMNS);
        // Missed, false, and taken for another.
        counts[classes - 1][classes] = 2;
        counts[classes][classes - 2] = 2;
        counts[classes - 3][0] = 2;
        let shown = columns(&counts);
        for class in [0, classes - 3, classes - 2, classes - 1] {
            assert!(shown.contains(&class), "{class} in {shown:?}");
        }
        assert_eq!(columns(&counts[..4]), [0, 1, 2]);
    }
}
