//! A classifier's answers on the images that chose it, and the pictures of some.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use warmstart_data::{RgbImage, Sample, evaluation_pixels};
use warmstart_metrics::{ConfusionMatrix, top_k};
use warmstart_recipe::Error;
use warmstart_tasks::classify::activation_map::ActivationMap;
use warmstart_tasks::classify::classifier::Classifier;

use super::pictures::{Picture, PictureId, Pictures, name, within};

/// Most mistakes, and most hits, that are shown.
const MISTAKES: usize = 24;
const HITS: usize = 12;
/// Most pictures of a cell of the confusion matrix, and of all of them.
const OF_CELL: usize = 12;
const OF_MATRIX: usize = 300;
/// Most pictures with the places that spoke for their class.
const OVERLAYS: usize = 8;
/// Longest side of those, in pixels.
const OVERLAY_SIDE: usize = 200;

/// What a classifier says of an image.
#[derive(Clone, Debug)]
pub struct JudgedImage {
    /// The file.
    pub path: PathBuf,
    /// Its class.
    pub label: usize,
    /// The likeliest class.
    pub predicted: usize,
    /// Probability of the likeliest class, 0 to 1.
    pub probability: f32,
    /// Probability of its own class, 0 to 1.
    pub label_probability: f32,
    /// Its picture, if the report shows it.
    pub picture: Option<PictureId>,
}

/// A picture with the places that spoke for its likeliest class.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// Index of the image.
    pub image: usize,
    /// The picture as the network saw it.
    pub seen: PictureId,
    /// The same with the places in colour.
    pub places: PictureId,
}

/// A classifier's answers.
pub struct Classes {
    /// The counts by true and likeliest class.
    pub matrix: ConfusionMatrix,
    /// The images, in the order of the run's list.
    pub images: Vec<JudgedImage>,
    /// Number of images that could not be read.
    pub unreadable: usize,
    /// Indices of the mistakes, the most confident first; the first of many.
    pub mistakes: Vec<usize>,
    /// Indices of the hits, the least confident first; the first of many.
    pub hits: Vec<usize>,
    /// The mistakes, and some hits, with the places that spoke for their likeliest class.
    pub overlays: Vec<Overlay>,
}

impl JudgedImage {
    /// Whether its likeliest class is its own.
    pub fn is_right(&self) -> bool {
        self.label == self.predicted
    }
}

/// The classifier's answers on labelled images of the data set in `folder`.
///
/// # Errors
/// If a thread that reads images panics.
pub fn judge(
    classifier: &Classifier,
    samples: Vec<Sample>,
    workers: usize,
    folder: &Path,
    pictures: &mut Pictures,
) -> Result<Classes, Error> {
    let paths: Vec<PathBuf> = samples.iter().map(|sample| sample.path.clone()).collect();
    let mut labels = samples.iter().map(|sample| sample.label);
    let mut matrix = ConfusionMatrix::new(classifier.info.classes.clone());
    let (mut images, mut unreadable) = (Vec::new(), 0);
    classifier.predict(&paths, workers, &mut |prediction| {
        let label = labels.next().expect("a label for each file");
        match prediction.probabilities {
            Ok(probabilities) => {
                let (predicted, probability) = top_k(&probabilities, 1)[0];
                matrix.add(label, predicted);
                images.push(JudgedImage {
                    path: prediction.path,
                    label,
                    predicted,
                    probability,
                    label_probability: probabilities[label],
                    picture: None,
                });
            }
            Err(_) => unreadable += 1,
        }
        ControlFlow::Continue(())
    })?;
    let mistakes = first(&images, false, |image| -image.probability);
    let hits = first(&images, true, |image| image.probability);
    let (mistakes, hits) = (cut(mistakes, MISTAKES), cut(hits, HITS));
    show(&mut images, &mistakes, &hits, folder, pictures);
    let of_both = mistakes
        .iter()
        .take(OVERLAYS - 2)
        .chain(hits.iter().take(2));
    let overlays = of_both
        .filter_map(|&image| overlay(classifier, image, &images[image], folder, pictures))
        .collect();
    Ok(Classes {
        matrix,
        images,
        unreadable,
        mistakes,
        hits,
        overlays,
    })
}

/// Indices of the images that are right, or wrong, in rising order of `key`.
fn first(images: &[JudgedImage], is_right: bool, key: impl Fn(&JudgedImage) -> f32) -> Vec<usize> {
    let mut chosen: Vec<usize> = (0..images.len())
        .filter(|&image| images[image].is_right() == is_right)
        .collect();
    chosen.sort_by(|&one, &other| key(&images[one]).total_cmp(&key(&images[other])));
    chosen
}

fn cut(mut indices: Vec<usize>, most: usize) -> Vec<usize> {
    indices.truncate(most);
    indices
}

/// Makes the pictures of the mistakes and hits, and of the cells of the confusion matrix: the wrong cells first.
fn show(
    images: &mut [JudgedImage],
    mistakes: &[usize],
    hits: &[usize],
    folder: &Path,
    pictures: &mut Pictures,
) {
    let mut chosen: Vec<usize> = mistakes.iter().chain(hits).copied().collect();
    let mut of_cells = HashMap::new();
    let mut matrix = 0;
    let wrong_first = [false, true].into_iter().flat_map(|is_right| {
        let images = &*images;
        (0..images.len()).filter(move |&image| images[image].is_right() == is_right)
    });
    for image in wrong_first {
        let cell = (images[image].label, images[image].predicted);
        let count: &mut usize = of_cells.entry(cell).or_default();
        if *count < OF_CELL && matrix < OF_MATRIX {
            *count += 1;
            matrix += 1;
            chosen.push(image);
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    let files: Vec<PathBuf> = chosen
        .iter()
        .map(|&image| images[image].path.clone())
        .collect();
    for (image, id) in chosen.into_iter().zip(pictures.of_files(&files, folder)) {
        images[image].picture = Some(id);
    }
}

fn overlay(
    classifier: &Classifier,
    index: usize,
    image: &JudgedImage,
    folder: &Path,
    pictures: &mut Pictures,
) -> Option<Overlay> {
    let preprocessing = &classifier.info.preprocessing;
    let pixels = evaluation_pixels(&image.path, preprocessing).ok()?;
    let map = classifier.activation_map(&pixels, image.predicted)?;
    let seen = within(&preprocessing.pictured(&pixels), OVERLAY_SIDE);
    let places = coloured(&seen, &map);
    let mut add =
        |image: &RgbImage, path: &Path| pictures.add(Picture::of(name(path, folder), image));
    Some(Overlay {
        image: index,
        seen: add(&seen, &image.path),
        places: add(&places, &image.path),
    })
}

/// A picture in grey, with a warm colour where the map is high.
fn coloured(picture: &RgbImage, map: &ActivationMap) -> RgbImage {
    let mut coloured = picture.clone();
    for (place, pixel) in coloured.pixels.chunks_exact_mut(3).enumerate() {
        let (x, y) = (place % picture.width, place / picture.width);
        let heat = between(map, x, picture.width, y, picture.height);
        let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
        // ITU-R BT.601, section 2.5.1.
        let grey = 0.299 * red + 0.587 * green + 0.114 * blue;
        let warm = [255.0, 190.0 - 150.0 * heat, 0.0];
        let share = 0.65 * heat;
        for (value, warm) in pixel.iter_mut().zip(warm) {
            *value = (grey * 0.8 * (1.0 - share) + warm * share).round() as u8;
        }
    }
    coloured
}

/// The map at a pixel of a picture, linear between the centres of its places.
fn between(map: &ActivationMap, x: usize, width: usize, y: usize, height: usize) -> f32 {
    let place = |at: usize, length: usize, places: usize| {
        let exact = (at as f32 + 0.5) / length as f32 * places as f32 - 0.5;
        let exact = exact.clamp(0.0, (places - 1) as f32);
        let low = exact.floor() as usize;
        (low, (low + 1).min(places - 1), exact - low as f32)
    };
    let (left, right, to_right) = place(x, width, map.width);
    let (top, bottom, to_bottom) = place(y, height, map.height);
    let at = |row: usize, column: usize| map.values[row * map.width + column];
    let row = |row: usize| at(row, left) * (1.0 - to_right) + at(row, right) * to_right;
    row(top) * (1.0 - to_bottom) + row(bottom) * to_bottom
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(label: usize, predicted: usize, probability: f32) -> JudgedImage {
        JudgedImage {
            path: PathBuf::new(),
            label,
            predicted,
            probability,
            label_probability: 0.0,
            picture: None,
        }
    }

    #[test]
    fn mistakes_begin_with_the_surest_and_hits_with_the_least_sure() {
        let images = [
            image(0, 1, 0.6),
            image(0, 0, 0.9),
            image(1, 0, 0.8),
            image(1, 1, 0.5),
        ];
        assert_eq!(first(&images, false, |image| -image.probability), [2, 0]);
        assert_eq!(first(&images, true, |image| image.probability), [3, 1]);
    }

    #[test]
    fn a_map_is_linear_between_its_places() {
        let map = ActivationMap {
            width: 2,
            height: 1,
            values: vec![0.0, 1.0],
        };
        let along: Vec<f32> = (0..4).map(|x| between(&map, x, 4, 0, 1)).collect();
        assert_eq!(along, [0.0, 0.25, 0.75, 1.0]);
    }
}
