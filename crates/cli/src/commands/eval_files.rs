//! What `eval` writes image by image: a table, lines of JSON, and the mistakes of a classifier.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use warmstart_data::{data_folder, is_listed};
use warmstart_files::{shown, text};
use warmstart_language::message;
use warmstart_recipe::run_files::{DOUBTS, RECIPE, RESULTS};
use warmstart_recipe::{Error, Problem, absolute};
use warmstart_run::replace_file;
use warmstart_tasks::classify::classifier::JudgedImage;
use warmstart_tasks::detect::found_object::{JudgedObject, JudgedScene};

use super::Failure;
use super::mistakes::Mistakes;
use crate::arguments::Eval;
use crate::printing::{self, print_to_stderr};

/// Columns of a classifier's table, which has a row for each image.
const OF_IMAGES: [&str; 6] = [
    "file",
    "label",
    "prediction",
    "probability",
    "label_probability",
    "correct",
];
/// Columns of a detector's table, which has a row for each object that was found; corners are in pixels of the image.
const OF_OBJECTS: [&str; 8] = ["file", "class", "score", "x1", "y1", "x2", "y2", "matched"];

/// The files of an evaluation. Tables are kept in memory until all images are judged, so that none is left half written;
/// mistakes are linked or copied as they come.
pub struct EvalFiles<'a> {
    classes: &'a [String],
    table: Option<(&'a Path, csv::Writer<Vec<u8>>)>,
    lines: Option<(&'a Path, Vec<u8>)>,
    mistakes: Option<Mistakes<'a>>,
    /// The first mistake that could not be linked or copied.
    refused: Option<Failure>,
}

impl<'a> EvalFiles<'a> {
    /// The files that the arguments ask of a classifier, which may not be in one of the data sets.
    ///
    /// # Errors
    /// If one of them cannot be written, which is told before any image is judged.
    pub fn of_classifier(
        arguments: &'a Eval,
        classes: &'a [String],
        data: [Option<&Path>; 2],
    ) -> Result<Self, Failure> {
        let mut files = Self::new(arguments, classes, &OF_IMAGES)?;
        let folder = arguments.mistakes.as_deref();
        let is_inside = |folder: &Path| {
            let mut data = data.into_iter().flatten();
            data.any(|data| {
                // What lists, tables and archives do not name is no part of the data.
                !is_listed(data) && absolute(folder).starts_with(absolute(data_folder(data)))
            })
        };
        if let Some(folder) = folder.filter(|folder| is_inside(folder)) {
            let what = message!(
                "it lies in the data set's folder, where it would be taken for a part of it"
            );
            return Err(Problem::new(what)
                .of_file(folder)
                .fix(message!("give another folder"))
                .into());
        }
        files.mistakes = folder
            .map(|folder| Mistakes::new(folder, classes))
            .transpose()?;
        Ok(files)
    }

    /// The files that the arguments ask of a detector.
    ///
    /// # Errors
    /// As [`of_classifier`](Self::of_classifier).
    pub fn of_detector(arguments: &'a Eval, classes: &'a [String]) -> Result<Self, Failure> {
        Self::new(arguments, classes, &OF_OBJECTS)
    }

    fn new(arguments: &'a Eval, classes: &'a [String], columns: &[&str]) -> Result<Self, Failure> {
        for path in [&arguments.csv, &arguments.lines].into_iter().flatten() {
            require_folder(path)?;
        }
        if let Some(path) = arguments.csv.as_deref() {
            require_not_of_a_run(path)?;
        }
        let table = arguments.csv.as_deref().map(|path| {
            let mut table = csv::Writer::from_writer(Vec::new());
            add_row(&mut table, columns);
            (path, table)
        });
        Ok(Self {
            classes,
            table,
            lines: arguments.lines.as_deref().map(|path| (path, Vec::new())),
            mistakes: None,
            refused: None,
        })
    }

    /// Adds an image that a classifier judged.
    pub fn add_image(&mut self, image: &JudgedImage) {
        let (predicted, probability) = image.prediction();
        let classes = self.classes;
        let file = text(&image.path);
        let [label, prediction] = [image.label, predicted].map(|class| classes[class].as_str());
        let label_probability = image.probabilities[image.label];
        let correct = predicted == image.label;
        if let Some((_, table)) = &mut self.table {
            let [own, of_label] = [probability, label_probability].map(|it| it.to_string());
            let row: [&str; OF_IMAGES.len()] =
                [&file, label, prediction, &own, &of_label, yes_no(correct)];
            add_row(table, &row);
        }
        if let Some((_, lines)) = &mut self.lines {
            let line = json!({
                "file": file,
                "label": label,
                "prediction": prediction,
                "probability": probability,
                "label_probability": label_probability,
                "correct": correct,
            });
            add_line(lines, &line);
        }
        if let Some(mistakes) = &mut self.mistakes
            && !correct
            && self.refused.is_none()
        {
            self.refused = mistakes.add(&image.path, image.label, predicted).err();
        }
    }

    /// Adds an image in which a detector found objects.
    pub fn add_scene(&mut self, scene: &JudgedScene) {
        let classes = self.classes;
        let file = text(&scene.path);
        if let Some((_, table)) = &mut self.table {
            for object in &scene.objects {
                let corners = object.found.bounds.corners().map(|at| at.to_string());
                let [x1, y1, x2, y2] = &corners;
                let class = &classes[object.found.class];
                let score = object.found.score.to_string();
                let matched = yes_no(object.is_matched);
                let row: [&str; OF_OBJECTS.len()] = [&file, class, &score, x1, y1, x2, y2, matched];
                add_row(table, &row);
            }
        }
        if let Some((_, lines)) = &mut self.lines {
            let objects = scene.objects.iter();
            let objects: Vec<Value> = objects.map(|object| object_json(object, classes)).collect();
            add_line(lines, &json!({"file": file, "objects": objects}));
        }
    }

    /// Writes the files, and says so.
    ///
    /// # Errors
    /// If the disk refuses, or has refused a mistake.
    pub fn write(self) -> Result<(), Failure> {
        let table = self.table.map(|(path, table)| {
            let bytes = table.into_inner().expect("memory takes every row");
            (path, bytes)
        });
        for (path, bytes) in [table, self.lines].into_iter().flatten() {
            replace_file(path, &bytes)?;
            print_to_stderr(message!("wrote {}", shown(path)));
        }
        if let Some(mistakes) = self.mistakes {
            print_to_stderr(mistakes.line());
        }
        self.refused.map_or(Ok(()), Err)
    }
}

/// An object as it is in a line of JSON.
fn object_json(object: &JudgedObject, classes: &[String]) -> Value {
    let [x1, y1, x2, y2] = object.found.bounds.corners();
    json!({
        "class": classes[object.found.class],
        "score": object.found.score,
        "x1": x1,
        "y1": y1,
        "x2": x2,
        "y2": y2,
        "matched": object.is_matched,
    })
}

/// Refuses a table that a run has of its own.
fn require_not_of_a_run(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let is_own = path.file_name().is_some_and(|name| {
        [RESULTS, DOUBTS].iter().any(|own| name == *own) && folder.join(RECIPE).is_file()
    });
    if is_own {
        let problem = Problem::new(message!("it is a file of a run")).of_file(path);
        return Err(problem.fix(message!("give another name")).into());
    }
    Ok(())
}

/// Refuses a file in a folder that is not there.
pub fn require_folder(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let found = folder.map_or(Ok(()), |folder| fs::metadata(folder).map(drop));
    Ok(found.map_err(|error| Error::io("write", path, error))?)
}

fn yes_no(is_so: bool) -> &'static str {
    if is_so { "true" } else { "false" }
}

fn add_row(table: &mut csv::Writer<Vec<u8>>, row: &[&str]) {
    let added = table.write_record(row);
    added.expect("memory takes every row");
}

fn add_line(lines: &mut Vec<u8>, line: &Value) {
    printing::json(lines, line).expect("memory takes every line");
}
