//! Writing a detection data set in another layout.

mod coco;
mod image_names;
mod split;
mod voc;
mod yolo;

use super::Layout;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::sample::Sample;
use crate::scene::{Object, Scene};
use image_names::ImageNames;
use serde::{Deserialize, Serialize};
use split::{Image, Split, create_folder};
use std::path::Path;
use warmstart_language::message;

/// The number of things written, and of those that the layout cannot express.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Images in all splits.
    pub images: usize,
    /// Objects in all splits.
    pub objects: usize,
    /// Crowds left out: only COCO has them, and elsewhere they would be objects to learn.
    pub crowds_left_out: usize,
    /// Objects whose mark as difficult was lost: only VOC has such a mark.
    pub difficult_lost: usize,
    /// Images under another name: their own is taken, or does not fit into a list of names.
    pub renamed: usize,
}

/// Writes all splits into the folder `out`, which is made and must be empty otherwise.
///
/// Images become hard links where the file system has them, else copies. The order of the classes is
/// kept; in VOC by a `classes.txt`, which [`open`](super::open()) reads. Boxes come back the same up to
/// rounding: 1e-9 of the image in YOLO, the last bits elsewhere. VOC and YOLO have no areas, so that
/// boxes' areas take the place of outlines'.
///
/// # Errors
/// If `out` is not empty, a file cannot be written, an image is not there any more, or a class has a
/// name that VOC cannot hold. What was written until then stays.
pub fn write(dataset: &Dataset<Scene>, out: &Path, layout: Layout) -> Result<Written, DataError> {
    require_empty(out)?;
    let mut written = Written::default();
    let splits = splits(dataset, layout, &mut written);
    match layout {
        Layout::Coco => coco::write(&dataset.classes, &splits, out)?,
        Layout::Yolo => yolo::write(&dataset.classes, &splits, out)?,
        Layout::Voc => voc::write(&dataset.classes, &splits, out)?,
        Layout::Lists | Layout::Labelme | Layout::LabelStudio => {
            return Err(not_written(out, layout));
        }
    }
    Ok(written)
}

fn not_written(out: &Path, layout: Layout) -> DataError {
    DataError::Layout {
        folder: out.to_path_buf(),
        problem: message!(
            "{}'s layout is read and not written; write COCO, YOLO or VOC",
            layout.name()
        ),
    }
}

fn require_empty(out: &Path) -> Result<(), DataError> {
    create_folder(out)?;
    let mut entries = std::fs::read_dir(out).map_err(|source| DataError::read(out, source))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(DataError::Layout {
            folder: out.to_path_buf(),
            problem: message!("it is not empty; give a new folder, so that nothing is overwritten"),
        }),
    }
}

/// Contents that a layout has a place for when it is written.
struct Holds {
    crowds: bool,
    difficult_objects: bool,
    all_splits_in_one_folder: bool,
}

impl Holds {
    fn of(layout: Layout) -> Self {
        let nothing = Self {
            crowds: false,
            difficult_objects: false,
            all_splits_in_one_folder: false,
        };
        match layout {
            Layout::Coco => Self {
                crowds: true,
                ..nothing
            },
            Layout::Voc => Self {
                difficult_objects: true,
                all_splits_in_one_folder: true,
                ..nothing
            },
            Layout::Yolo | Layout::Lists | Layout::Labelme | Layout::LabelStudio => nothing,
        }
    }
}

/// The splits under their new names, with the objects that the layout can hold.
fn splits<'a>(
    dataset: &'a Dataset<Scene>,
    layout: Layout,
    written: &mut Written,
) -> Vec<Split<'a>> {
    let mut names = ImageNames::default();
    let holds = Holds::of(layout);
    let mut split = |name: &'static str, samples: &'a [Sample<Scene>]| {
        if !holds.all_splits_in_one_folder {
            names = ImageNames::default();
        }
        let mut image = |sample: &'a Sample<Scene>| {
            let (name, renamed) = names.give(&sample.path);
            let all = &sample.label.objects;
            let kept = |object: &&Object| holds.crowds || !object.crowd;
            let objects: Vec<&Object> = all.iter().filter(kept).collect();
            written.images += 1;
            written.objects += objects.len();
            written.renamed += usize::from(renamed);
            written.crowds_left_out += all.len() - objects.len();
            if !holds.difficult_objects {
                written.difficult_lost += objects.iter().filter(|o| o.difficult).count();
            }
            Image {
                name,
                source: &sample.path,
                scene: &sample.label,
                objects,
            }
        };
        let images = samples.iter().map(&mut image).collect();
        Split { name, images }
    };
    let mut splits = vec![
        split("train", &dataset.train),
        split("val", &dataset.validation),
    ];
    splits.extend(dataset.test.as_ref().map(|test| split("test", test)));
    splits
}
