//! Evaluations in parts: what a shard keeps of each image, and the figures of all of them.

use std::fmt::Debug;
use std::io::{BufRead as _, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use warmstart_data::{Sample, Scene};
use warmstart_nn::burn::tensor::Device;
use warmstart_recipe::Error;
use warmstart_run::part_key::PartKey;
use warmstart_run::parts::AllParts;
use warmstart_tasks::classify::class_tally::{ClassEvaluation, ClassTally};
use warmstart_tasks::classify::classifier::Classifier;
use warmstart_tasks::detect::detector::Detector;
use warmstart_tasks::detect::{BoxEvaluation, JudgedScenes, Search, line_of};

use super::Failure;
use super::shards::{AskedPart, add_line};
use crate::arguments::Eval;

/// Where the images of an evaluation come from, as it is told beside the figures.
#[derive(Serialize, Deserialize)]
pub struct Origin {
    /// The run whose own images they are, with their split.
    pub own: Value,
    /// How many of them the model has seen.
    pub seen: Value,
}

impl Origin {
    /// Adds it to a result in JSON.
    pub fn add_to(&self, result: &mut Value) {
        result["own"] = self.own.clone();
        result["seen"] = self.seen.clone();
    }
}

/// First line of a part: what all parts of an evaluation have in common.
#[derive(Serialize, Deserialize)]
pub struct PartOfEvaluation {
    pub origin: Origin,
    pub scope: Scope,
}

/// What is evaluated.
#[derive(Serialize, Deserialize)]
pub enum Scope {
    Classes {
        classes: Vec<String>,
    },
    Boxes {
        classes: Vec<String>,
        /// Bits of the detector's own confidence.
        confidence: u32,
        /// Why images are left out whose header cannot be read.
        unreadable: Vec<String>,
    },
}

/// An image of a part.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// Its class, and the likeliest ones.
    Class { label: usize, best: Vec<usize> },
    /// Its objects.
    Objects(String),
    /// Why it cannot be read.
    Unreadable(String),
}

/// The figures of all parts.
pub enum Figures {
    Classes(Box<ClassEvaluation>),
    Boxes(Box<BoxEvaluation>),
}

/// The key of an evaluation on some images.
///
/// # Errors
/// If the model's file cannot be read.
pub fn part_key<L: Debug>(
    part: &AskedPart,
    device: &Device,
    arguments: &Eval,
    samples: &[Sample<L>],
) -> Result<PartKey, Failure> {
    let mut key = part.key(Some(&arguments.model), Some(device))?;
    key.add(format!("{:?}", arguments.views).as_bytes());
    for sample in samples {
        key.add(format!("{:?}", sample.label).as_bytes());
    }
    key.add_pictures(samples.iter().map(|sample| sample.path.as_path()));
    Ok(key)
}

/// Writes a part of a classifier's evaluation into a folder; returns how many images could not be read.
///
/// # Errors
/// If the disk refuses.
pub fn write_classes(
    classifier: &Classifier,
    samples: &[Sample],
    workers: usize,
    first: &PartOfEvaluation,
    (out, folder): (&mut dyn Write, &Path),
) -> Result<usize, Failure> {
    add_line(out, folder, &text(first))?;
    let mut unreadable = 0;
    let mut written = Ok(());
    classifier.judge(samples, workers, &mut |judged| {
        let line = match judged {
            Ok(image) => Line::Class {
                label: image.label,
                best: image.likeliest(),
            },
            Err(error) => {
                unreadable += 1;
                Line::Unreadable(error.to_string())
            }
        };
        if written.is_ok() {
            written = add_line(out, folder, &text(&line));
        }
    })?;
    written?;
    Ok(unreadable)
}

/// Writes a part of a detector's evaluation into a folder; returns how many images could not be read.
///
/// # Errors
/// If the disk refuses, or the tiles are too small for the network.
pub fn write_boxes(
    detector: &Detector,
    samples: &[Sample<Scene>],
    (workers, search): (usize, Search),
    first: &PartOfEvaluation,
    (out, folder): (&mut dyn Write, &Path),
) -> Result<usize, Failure> {
    add_line(out, folder, &text(first))?;
    let judged = detector.judge(samples, workers, search, &mut |_| ())?;
    for objects in &judged.objects {
        add_line(out, folder, &text(&Line::Objects(line_of(objects))))?;
    }
    for why in &judged.unreadable {
        add_line(out, folder, &text(&Line::Unreadable(why.clone())))?;
    }
    Ok(judged.unreadable.len())
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("results are plain data")
}

/// The figures of all images of all parts, and where the images come from.
///
/// # Errors
/// If none of the images could be read, or a part's content is not that of an evaluation.
pub fn figures(all: &AllParts) -> Result<(Figures, Origin), Failure> {
    let PartOfEvaluation { origin, scope } = first_line(all)?;
    let figures = match scope {
        Scope::Classes { classes } => {
            let count = classes.len();
            let mut tally = ClassTally::new(classes);
            each_image(all, &mut |line| match line {
                Line::Class { label, best }
                    if !best.is_empty() && best.iter().chain([&label]).all(|at| *at < count) =>
                {
                    tally.add(label, &best);
                    true
                }
                Line::Unreadable(why) => {
                    tally.add_unreadable(why);
                    true
                }
                Line::Class { .. } | Line::Objects(_) => false,
            })?;
            Figures::Classes(Box::new(tally.evaluation()?))
        }
        Scope::Boxes {
            classes,
            confidence,
            unreadable,
        } => {
            let count = classes.len();
            let mut judged = JudgedScenes::new(classes.clone());
            each_image(all, &mut |line| match line {
                Line::Objects(objects) => judged.add_line(&objects, count),
                Line::Unreadable(why) => {
                    judged.unreadable.push(why);
                    true
                }
                Line::Class { .. } => false,
            })?;
            let usual = f32::from_bits(confidence);
            Figures::Boxes(Box::new(judged.evaluation(classes, unreadable, usual)?))
        }
    };
    Ok((figures, origin))
}

/// What all parts have in common, from the first one.
fn first_line(all: &AllParts) -> Result<PartOfEvaluation, Failure> {
    let part = &all.parts[0];
    let mut first = String::new();
    let read = part.content()?.read_line(&mut first);
    read.map_err(|error| Error::io("read", part.path(), error))?;
    Ok(serde_json::from_str(&first).map_err(|_| part.odd())?)
}

/// Hands the images of all parts to `take`, in their order, which returns whether it can take it.
fn each_image(all: &AllParts, take: &mut dyn FnMut(Line) -> bool) -> Result<(), Failure> {
    for part in &all.parts {
        for line in part.content()?.lines().skip(1) {
            let line = line.map_err(|error| Error::io("read", part.path(), error))?;
            if !serde_json::from_str(&line).is_ok_and(&mut *take) {
                return Err(part.odd().into());
            }
        }
    }
    Ok(())
}
