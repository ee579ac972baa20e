//! The classes of a detector's file and those of the data: the rows of the class predictors that the two share.

use warmstart_language::message;
use warmstart_models::Architecture;
use warmstart_tasks::class_names::{are_same, own_places_in};
use warmstart_tasks::model_file::ModelInfo;
use warmstart_tasks::published::{NamedClasses, classes_in, names_of_classes};
use warmstart_weights::{LoadPlan, Rows, WeightFile};

/// Most names in the line of the load report.
const SHOWN: usize = 10;

/// What becomes of the class predictors of a file.
#[derive(Debug, Default, PartialEq)]
pub struct ClassRows {
    /// The file's row for each class of the data; `None` where all load as they are, or none can.
    pub rows: Option<Rows>,
    /// A line of the load report; empty if there is nothing to say.
    pub note: String,
}

impl ClassRows {
    /// Of a file that was compared with a detector for `classes`, whose class predictors are `layers`; `info` is the
    /// metadata of a file that warmstart wrote.
    pub fn of(
        (file, info): (&WeightFile, Option<&ModelInfo>),
        plan: &LoadPlan,
        architecture: &Architecture,
        layers: &[String],
        classes: &[String],
    ) -> Self {
        let Some(count) = classes_in(plan, layers) else {
            return Self::default();
        };
        let named = match info {
            Some(info) => NamedClasses::of_list(&info.classes, count),
            None if architecture.is_detector => names_of_classes(file, count),
            None => NamedClasses::unnamed(count),
        };
        Self::of_named(named, count, classes)
    }

    /// Of the file's classes, `count` in number, and the data's.
    fn of_named(named: NamedClasses, count: usize, classes: &[String]) -> Self {
        let NamedClasses { names, note } = named;
        let said = |note: &str| message!("head: {note}\n");
        match (names, note) {
            (Some(names), note) => {
                let Self { rows, note: own } = Self::between(&names, classes);
                let before = note.map_or_else(String::new, |note| said(&note));
                Self {
                    rows,
                    note: before + &own,
                }
            }
            (None, Some(note)) if count == classes.len() => Self {
                rows: None,
                note: said(&message!(
                    "{note}; its rows are taken for the data's classes in their order"
                )),
            },
            (None, Some(note)) => Self {
                rows: None,
                note: said(&note),
            },
            (None, None) => Self::default(),
        }
    }

    /// Of a file's classes and the data's.
    fn between(names: &[String], classes: &[String]) -> Self {
        if are_same(names, classes) {
            return Self {
                rows: None,
                note: message!("head: same classes, kept\n"),
            };
        }
        let from = own_places_in(names, classes);
        let both = classes.iter().zip(&from);
        let kept: Vec<&str> = both
            .filter(|(_, place)| place.is_some())
            .map(|(class, _)| class.as_str())
            .collect();
        let (all, new) = (classes.len(), classes.len() - kept.len());
        let note = if kept.is_empty() {
            message!(
                "head: none of the {all} classes is one of the file's {}: their rows are new\n",
                names.len()
            )
        } else {
            let (names, kept) = (listed(&kept), kept.len());
            match new {
                0 => message!(
                    "head: {kept} of {all} classes are the file's ({names}): their rows are kept\n"
                ),
                1 => message!(
                    "head: {kept} of {all} classes are the file's ({names}): their rows are kept; 1 is new\n"
                ),
                new => message!(
                    "head: {kept} of {all} classes are the file's ({names}): their rows are kept; {new} are new\n"
                ),
            }
        };
        let rows = Rows {
            of: names.len(),
            from,
        };
        Self {
            rows: Some(rows),
            note,
        }
    }
}

/// The first names, and how many more there are.
fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| warmstart_files::one_line(name).into_owned())
        .collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => message!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn between(file: &[&str], data: &[&str]) -> (Option<Vec<Option<usize>>>, String) {
        let ClassRows { rows, note } = ClassRows::between(&names(file), &names(data));
        (rows.map(|rows| rows.from), note)
    }

    #[test]
    fn a_class_that_the_file_has_keeps_its_row_and_the_report_says_which() {
        let file = ["person", "bicycle", "car"];
        let (from, note) = between(&file, &["car", "helmet", "Person", "vest", "crane"]);
        assert_eq!(from.unwrap(), [Some(2), None, Some(0), None, None]);
        assert_eq!(
            note,
            "head: 2 of 5 classes are the file's (car, Person): their rows are kept; 3 are new\n"
        );
        let (from, note) = between(&file, &["bicycle"]);
        assert_eq!(from.unwrap(), [Some(1)]);
        assert_eq!(
            note,
            "head: 1 of 1 classes are the file's (bicycle): their rows are kept\n"
        );
    }

    #[test]
    fn other_classes_are_new_and_the_same_ones_stay() {
        let file = ["person", "bicycle", "car"];
        let (from, note) = between(&file, &["helmet", "vest"]);
        assert_eq!(from.unwrap(), [None, None]);
        assert!(
            note.contains("none of the 2 classes is one of the file's 3"),
            "{note}"
        );
        let (from, note) = between(&file, &["Person", "bicycle", "car"]);
        assert_eq!((from, note.as_str()), (None, "head: same classes, kept\n"));
        // The same names in another order are other rows.
        let (from, _) = between(&file, &["car", "person", "bicycle"]);
        assert_eq!(from.unwrap(), [Some(2), Some(0), Some(1)]);
    }

    #[test]
    fn one_row_is_not_given_to_two_classes() {
        let (from, note) = between(&["person", "car"], &["Car", "car", "c a r"]);
        assert_eq!(from.unwrap(), [None, Some(1), None]);
        assert!(
            note.contains("1 of 3 classes are the file's (car)"),
            "{note}"
        );
        // Two classes of one meaning are not the file's two.
        let (from, _) = between(&["airplane", "car"], &["aeroplane", "airplane"]);
        assert_eq!(from.unwrap(), [None, Some(0)]);
    }

    #[test]
    fn the_fault_of_names_is_said_and_rows_go_by_their_order_if_there_are_as_many() {
        let fault = "the file's class names cannot be used: `names` has the name `a` twice";
        let named = NamedClasses {
            names: None,
            note: Some(fault.to_owned()),
        };
        let of = |classes: &[&str]| ClassRows::of_named(named.clone(), 3, &names(classes));
        let same = of(&["x", "y", "z"]);
        assert_eq!(same.rows, None);
        assert_eq!(
            same.note,
            format!("head: {fault}; its rows are taken for the data's classes in their order\n")
        );
        let other = of(&["x", "y"]);
        assert_eq!((other.rows, other.note), (None, format!("head: {fault}\n")));
    }

    #[test]
    fn classes_that_are_taken_for_coco_s_are_said_to_be() {
        let named = NamedClasses {
            names: Some(names(&["person", "car"])),
            note: Some("taken for COCO's".to_owned()),
        };
        let ClassRows { rows, note } = ClassRows::of_named(named, 2, &names(&["car"]));
        assert_eq!(rows.unwrap().from, [Some(1)]);
        assert!(
            note.starts_with("head: taken for COCO's\nhead: 1 of 1 classes"),
            "{note}"
        );
    }

    #[test]
    fn many_names_are_cut() {
        let file: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let data: Vec<String> = file.iter().rev().cloned().collect();
        let note = ClassRows::between(&file, &data).note;
        assert!(
            note.contains("30 and 30 more): their rows are kept\n"),
            "{note}"
        );
    }
}
