//! The data set as lines for people.

use std::path::PathBuf;

use warmstart_files::one_line;
use warmstart_language::{counted, english, message, translated};
use warmstart_run::event::Event;

use super::line::{Kind, Line, noted, of_kind};
use crate::findings;

/// Most unreadable images that are named.
const NAMED: usize = 10;
/// Most classes that are named.
const CLASSES: usize = 20;

/// The lines of the data set; none of another event.
pub fn data_lines(event: &Event, columns: Option<usize>) -> Vec<Line> {
    let Event::Data {
        classes,
        class_counts,
        counted,
        train,
        validation,
        in_folds,
        test,
        unreadable,
        ignored,
        notes,
        without_validation,
        findings,
    } = event
    else {
        return Vec::new();
    };
    let counts = counts_line(classes.len(), [*train, *validation, *test], *in_folds);
    let classes = classes_line(classes, class_counts, counted);
    let mut lines = of_kind(Kind::News, vec![counts, classes]);
    let mut warnings: Vec<String> = notes.iter().map(noted).collect();
    warnings.extend(unreadable_lines(unreadable));
    warnings.extend(ignored.lines());
    if !without_validation.is_empty() {
        let mut named: Vec<String> = without_validation.iter().take(CLASSES).cloned().collect();
        if without_validation.len() > CLASSES {
            named.push(message!(
                "… and {} more",
                without_validation.len() - CLASSES
            ));
        }
        warnings.push(message!(
            "classes without validation images: {}",
            named.join(", ")
        ));
    }
    warnings.extend(findings::table(findings, columns));
    lines.extend(of_kind(Kind::Warning, warnings));
    lines
}

/// The number of classes, and of images by split: training, validation and test.
fn counts_line(classes: usize, [train, validation, test]: [usize; 3], in_folds: bool) -> String {
    match (validation, test) {
        (_, 0) if in_folds => {
            message!("data: {classes} classes, {train} images to split into folds")
        }
        _ if in_folds => {
            message!("data: {classes} classes, {train} images to split into folds, {test} test")
        }
        (0, 0) => message!(
            "data: {classes} classes, {train} training images, none held out for validation"
        ),
        (0, _) => message!(
            "data: {classes} classes, {train} training images, none held out for validation, {test} test"
        ),
        (_, 0) => {
            message!("data: {classes} classes, {train} training images, {validation} validation")
        }
        _ => message!(
            "data: {classes} classes, {train} training images, {validation} validation, {test} test"
        ),
    }
}

/// The images that cannot be read, each with the reason; none if there are none.
fn unreadable_lines(unreadable: &[(PathBuf, String)]) -> Vec<String> {
    if unreadable.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![message!(
        "skipped {} that cannot be read:",
        counted(unreadable.len(), "image")
    )];
    let named = unreadable.iter().take(NAMED);
    lines.extend(named.map(|(_, reason)| format!("  {reason}")));
    if unreadable.len() > NAMED {
        lines.push(message!("  … and {} more", unreadable.len() - NAMED));
    }
    lines
}

/// The first classes with their counts in training, validation and test; an empty split is left out.
fn classes_line(classes: &[String], counts: &[[usize; 3]], counted: &str) -> String {
    let used = [0, 1, 2].map(|split| counts.iter().any(|counts| counts[split] > 0));
    let splits = [
        english!("training"),
        english!("validation"),
        english!("test"),
    ];
    let splits: Vec<&str> = (0..3)
        .filter(|&split| used[split])
        .map(|split| translated(splits[split]))
        .collect();
    let class = |(class, counts): (&String, &[usize; 3])| {
        let counts = (0..3)
            .filter(|&split| used[split])
            .map(|split| counts[split].to_string());
        format!(
            "{} {}",
            one_line(class),
            counts.collect::<Vec<_>>().join(" / ")
        )
    };
    let mut shown: Vec<String> = classes
        .iter()
        .zip(counts)
        .take(CLASSES)
        .map(class)
        .collect();
    if classes.len() > CLASSES {
        shown.push(message!("… and {} more", classes.len() - CLASSES));
    }
    let shown = shown.join(", ");
    // The word for what is counted is that of programs, too.
    match (&splits[..], counted) {
        // In folds, or without images that are held out.
        ([_], "objects") => message!("classes (objects): {shown}"),
        ([_], _) => message!("classes (images): {shown}"),
        (_, "objects") => message!("classes ({} objects): {shown}", splits.join(" / ")),
        _ => message!("classes ({} images): {shown}", splits.join(" / ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_counted_by_split() {
        assert_eq!(
            counts_line(2, [9, 4, 3], false),
            "data: 2 classes, 9 training images, 4 validation, 3 test"
        );
        assert_eq!(
            counts_line(2, [9, 0, 0], false),
            "data: 2 classes, 9 training images, none held out for validation"
        );
        assert_eq!(
            counts_line(2, [9, 0, 0], true),
            "data: 2 classes, 9 images to split into folds"
        );
    }

    #[test]
    fn classes_are_shown_with_their_images() {
        let names = ["cat", "dog"].map(String::from);
        assert_eq!(
            classes_line(&names, &[[6, 3, 2], [5, 3, 0]], "images"),
            "classes (training / validation / test images): cat 6 / 3 / 2, dog 5 / 3 / 0"
        );
        assert_eq!(
            classes_line(&names, &[[6, 3, 0], [5, 0, 0]], "objects"),
            "classes (training / validation objects): cat 6 / 3, dog 5 / 0"
        );
        assert_eq!(
            classes_line(&names, &[[6, 0, 0], [5, 0, 0]], "images"),
            "classes (images): cat 6, dog 5"
        );
    }

    #[test]
    fn of_many_classes_the_first_are_shown() {
        let names: Vec<String> = (0..1000).map(|class| format!("c\n{class}")).collect();
        let line = classes_line(&names, &vec![[2, 1, 0]; 1000], "images");
        assert!(line.ends_with("c\\n19 2 / 1, … and 980 more"), "{line}");
        assert!(!line.contains('\n'));
    }
}
