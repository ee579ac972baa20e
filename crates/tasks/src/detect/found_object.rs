//! Objects that a detector finds, alone and beside the labels.

use std::path::PathBuf;

use warmstart_data::{BoundingBox, DataError};

/// A detected object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoundObject {
    /// Index of its class.
    pub class: usize,
    /// Score, 0..1.
    pub score: f32,
    /// Its box, in pixels of the picture.
    pub bounds: BoundingBox,
}

/// A picture and the objects detected in it.
pub struct FoundObjects {
    /// The file.
    pub path: PathBuf,
    /// The objects, the highest score first; or why the file could not be read.
    pub objects: Result<Vec<FoundObject>, DataError>,
}

/// A labelled picture and the objects that were detected in it.
pub struct JudgedScene {
    /// The file.
    pub path: PathBuf,
    /// The objects, the highest score first.
    pub objects: Vec<JudgedObject>,
}

/// A detected object, compared with the labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgedObject {
    /// The object.
    pub found: FoundObject,
    /// Whether its box overlaps a labelled object of its class by an IoU of at least
    /// [`MATCHING_IOU`](warmstart_metrics::MATCHING_IOU) that no object of a higher score took.
    pub is_matched: bool,
}
