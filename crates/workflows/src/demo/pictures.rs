//! The demonstration's data sets: folders of classes with the pictures that were drawn for them.

use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use warmstart_data::random::{ChaCha8Rng, Purpose, below, stream};
use warmstart_data::{RgbImage, save_picture};
use warmstart_files::create_folder;
use warmstart_recipe::Error;

use super::drawing::{TEXTURES, Texture, noise_picture, shape_picture};
use super::runs::DemoTask;
use super::shapes::{RELATED, SOURCE, Shape};

/// Training pictures of a class of a target: few, because that is when pretraining counts.
const TARGET_TRAINING: usize = 16;
/// Validation pictures of a class.
const VALIDATION: usize = 20;
/// Classes of the unrelated target, each with its hue in degrees.
const HUES: [(&str, f64); 6] = [
    ("red", 0.0),
    ("yellow", 60.0),
    ("green", 120.0),
    ("cyan", 180.0),
    ("blue", 240.0),
    ("magenta", 300.0),
];

/// What the pictures of a class show.
#[derive(Clone, Copy)]
enum Motif {
    /// A shape, with that texture or any.
    Shape(Shape, Option<Texture>),
    /// Noise of that hue.
    Noise(f64),
}

impl Motif {
    fn draw(self, random: &mut ChaCha8Rng) -> RgbImage {
        match self {
            Self::Shape(shape, texture) => {
                let texture = texture.unwrap_or_else(|| TEXTURES[below(random, TEXTURES.len())]);
                shape_picture(random, shape, texture)
            }
            Self::Noise(hue) => noise_picture(random, hue),
        }
    }
}

/// A picture to draw.
struct Job {
    path: PathBuf,
    motif: Motif,
    /// The coordinates of its random stream.
    seed: u64,
    number: u64,
}

/// Draws the data set of a task into a folder. Pictures that are there stay. Each seed has training pictures of its
/// own, and all have the same validation pictures.
///
/// # Errors
/// If a picture cannot be written.
pub fn draw(task: DemoTask, seed: u64, training: usize, folder: &Path) -> Result<(), Error> {
    let training = match task {
        DemoTask::Source => training,
        DemoTask::Related | DemoTask::Unrelated => TARGET_TRAINING,
    };
    let mut jobs = Vec::new();
    for (class, (name, motif)) in classes(task).into_iter().enumerate() {
        // Validation has seed 0, which no run has.
        for (split, seed, count) in [("train", seed, training), ("val", 0, VALIDATION)] {
            let folder = folder.join(split).join(&name);
            create_folder(&folder).map_err(|error| Error::io("create", &folder, error))?;
            jobs.extend((0..count).map(|index| Job {
                path: folder.join(format!("{index:04}.png")),
                motif,
                seed,
                number: ((class as u64) << 32) | index as u64,
            }));
        }
    }
    jobs.par_iter().try_for_each(|job| {
        // A picture is there whole or not at all.
        if job.path.exists() {
            return Ok(());
        }
        let mut random = stream(job.seed, task as u64, job.number, Purpose::Drawing);
        Ok(save_picture(&job.path, &job.motif.draw(&mut random))?)
    })
}

/// The classes of a task by name.
fn classes(task: DemoTask) -> Vec<(String, Motif)> {
    match task {
        DemoTask::Source => SOURCE
            .into_iter()
            .flat_map(|shape| TEXTURES.map(|texture| (shape, texture)))
            .map(|(shape, texture)| {
                let name = format!("{}-{}", texture.name(), shape.name());
                (name, Motif::Shape(shape, Some(texture)))
            })
            .collect(),
        DemoTask::Related => RELATED
            .map(|shape| (shape.name().to_owned(), Motif::Shape(shape, None)))
            .into(),
        DemoTask::Unrelated => HUES
            .map(|(name, hue)| (name.to_owned(), Motif::Noise(hue)))
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_share_their_validation_pictures_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let place = |seed: u64| dir.path().join(seed.to_string());
        for seed in [1, 2] {
            draw(DemoTask::Related, seed, 3, &place(seed)).unwrap();
        }
        let bytes = |seed: u64, picture: &str| std::fs::read(place(seed).join(picture)).unwrap();
        let [training, validation] = ["train/heart/0003.png", "val/heart/0003.png"];
        assert_eq!(bytes(1, validation), bytes(2, validation));
        assert_ne!(bytes(1, training), bytes(2, training));
        assert_ne!(bytes(1, training), bytes(1, validation));
        // A second start draws what is missing, and the same.
        let before = bytes(1, training);
        std::fs::remove_file(place(1).join(training)).unwrap();
        draw(DemoTask::Related, 1, 3, &place(1)).unwrap();
        assert_eq!(bytes(1, training), before);
    }

    #[test]
    fn the_target_has_no_class_of_the_source() {
        let names = |task| classes(task).into_iter().map(|(name, _)| name);
        let source: Vec<String> = names(DemoTask::Source).collect();
        assert_eq!(source.len(), 12);
        for name in names(DemoTask::Related) {
            assert!(!source.iter().any(|of| of.ends_with(&name)), "{name}");
        }
    }
}
