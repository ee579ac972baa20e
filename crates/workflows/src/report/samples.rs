//! Training images as the network sees them.

use std::sync::Arc;

use warmstart_data::{Preprocessing, Sample};
use warmstart_recipe::{Phase, Recipe, View, architecture};
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::TaskData;

use super::pictures::{Picture, PictureId, Pictures, within};

/// Training images that a report shows.
const SHOWN: usize = 12;
/// Longest side of their pictures, in pixels.
const SIDE: usize = 160;

/// Some training images, evenly spread, in the first view of the run's last phase: what the network saw, with the
/// names of their classes. None if the phase's images cannot be read any more.
pub fn of<T: Task>(
    recipe: &Recipe,
    preprocessing: Preprocessing,
    classes: &[String],
    samples: Vec<Sample<T::Label>>,
    pictures: &mut Pictures,
) -> Vec<(PictureId, String)> {
    let backbone = architecture(&recipe.model).and_then(T::backbone);
    let (Some(phase), Ok(backbone)) = (recipe.phases.last(), backbone) else {
        return Vec::new();
    };
    let labels: Vec<Vec<usize>> = samples
        .iter()
        .map(|sample| T::classes_of(&sample.label))
        .collect();
    let data = TaskData::of_training_images(classes.to_vec(), samples, T::CLASS_OF);
    let task = T::new(recipe, &backbone, &Arc::new(data), preprocessing.clone());
    let chosen = evenly(labels.len(), SHOWN);
    let seen = |image: usize| seen(&task, image, phase, &preprocessing);
    let seen = chosen.map(|image| Some((seen(image)?, caption(&labels[image], classes))));
    let seen: Vec<(Picture, String)> = seen.flatten().collect();
    let add = |(picture, caption)| (pictures.add(picture), caption);
    seen.into_iter().map(add).collect()
}

fn seen<T: Task>(
    task: &T,
    image: usize,
    phase: &Phase,
    preprocessing: &Preprocessing,
) -> Option<Picture> {
    let view = View {
        number: 1,
        closing: false,
    };
    let example = task.training_example(image, view, phase).ok()?;
    let picture = preprocessing.pictured(&example.pixels);
    Some(Picture::of(String::new(), &within(&picture, SIDE)))
}

/// The names of an image's classes, each once.
fn caption(labels: &[usize], classes: &[String]) -> String {
    let mut own: Vec<usize> = labels.to_vec();
    own.sort_unstable();
    own.dedup();
    let names = own.iter().map(|&class| classes[class].as_str());
    names.collect::<Vec<_>>().join(", ")
}

/// At most `count` of so many indices, evenly spread.
pub fn evenly(of: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(of);
    (0..count).map(move |place| place * of / count)
}
