//! The images of a run, known from its folder: the training images, and those that chose the kept epoch.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Serialize, Serializer};
use warmstart_data::{Sample, Sketch, SplitKind, check, copies, data_folder, open_picture, stamp};
use warmstart_files::path_shown;

use warmstart_language::message;
use warmstart_recipe::folds::FoldImages;
use warmstart_recipe::run_files::{BEST, RECIPE, resolve_path};
use warmstart_recipe::{
    Error, Key, NO_WEIGHTS, Problem, Recipe, absolute, named_detector, named_record,
};
use warmstart_run::checkpoint::is_checkpoint;
use warmstart_run::data_files::{DataFiles, Entry, described, label_checksum, listed};
use warmstart_run::folder::data_files_of;
use warmstart_tasks::task::Task;
use warmstart_tasks::with_task;

/// Most training images, and most images of an evaluation, that are decoded to find near-duplicates.
const COMPARED: usize = 2000;
/// Most runs that are followed back, each started from the weights of the one before.
const GENERATIONS: usize = 8;

/// The data of the run that made a model.
pub struct RunData {
    /// Folder of the run.
    pub run: PathBuf,
    /// Its recipe.
    pub recipe: Recipe,
    /// Its data files; `None` if their list is lost.
    files: Option<DataFiles>,
    /// Number of the model's classes; `None` where the model was not read.
    classes: Option<usize>,
}

/// Images of a run that exist unchanged.
pub struct OwnImages<L> {
    /// The unchanged images, in the order of the run's list.
    pub samples: Vec<Sample<L>>,
    /// Paths, below the data set's folder, of the images that are missing or have another size or label.
    pub lost: Vec<String>,
}

/// Images of an evaluation that the model has seen before, in the given order; in JSON, their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Images that it was trained on: the same files, copies of them, or near-duplicates.
    #[serde(serialize_with = "count")]
    pub trained_on: Vec<PathBuf>,
    /// Other images that chose the kept epoch.
    #[serde(serialize_with = "count")]
    pub chosen_by: Vec<PathBuf>,
}

impl RunData {
    /// The data of the run in whose folder a model lies: its kept model, or that of one of its checkpoints.
    /// `classes` is the number of the model's classes, if it is known.
    ///
    /// # Errors
    /// If there is a recipe that cannot be read.
    pub fn beside(model: &Path, classes: Option<usize>) -> Result<Option<Self>, Error> {
        if named_detector(model).is_some() {
            return Ok(None);
        }
        // A link to a model may lie anywhere.
        let file = resolve_path(model).unwrap_or_else(|_| model.join(BEST));
        let file = if file.is_symlink() {
            absolute(&file)
        } else {
            file
        };
        let Some(folder) = file.parent() else {
            return Ok(None);
        };
        let run = if is_checkpoint(folder) {
            // Below `checkpoints` in the run.
            folder.ancestors().nth(2).unwrap_or(folder)
        } else {
            folder
        };
        let recipe = run.join(RECIPE);
        if !recipe.is_file() {
            return Ok(None);
        }
        let files = data_files_of(run);
        let recipe = match Recipe::read(&recipe) {
            Ok(recipe) => recipe,
            // A recipe that a user wrote, with weights beside it by chance.
            Err(_) if files.is_none() => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Self {
            run: run.to_owned(),
            recipe,
            files,
            classes,
        }))
    }

    /// Whether the run has images of a split; false if the list of its files is lost.
    pub fn has(&self, split: SplitKind) -> bool {
        let files = self.files.as_ref();
        files.is_some_and(|files| !self.of_split(files, split).is_empty())
    }

    /// Whether these images are those that chose the run's kept epoch; true if the list of its files is lost.
    pub fn was_validated_on<L>(&self, samples: &[&Sample<L>]) -> bool {
        let Some(files) = &self.files else {
            return true;
        };
        let folder = data_folder(&self.recipe.data);
        let path = |sample: &&Sample<L>| {
            let path = sample.path.strip_prefix(folder).unwrap_or(&sample.path);
            listed(path).into_owned()
        };
        let given: HashSet<String> = samples.iter().map(path).collect();
        let own = self.of_split(files, SplitKind::Validation);
        own.len() == given.len() && own.iter().all(|entry| given.contains(entry.path))
    }

    /// The run's own images of a split, out of its data set as it is now.
    ///
    /// # Errors
    /// If the data set cannot be opened or has other classes than the model, or none of the images is left.
    pub fn images<T: Task>(
        &self,
        split: SplitKind,
        classes: &[String],
    ) -> Result<OwnImages<T::Label>, Error> {
        let Some(files) = &self.files else {
            let what = message!("it has no data-files.txt, so the run's images are unknown");
            return Err(Problem::new(what)
                .of_file(&self.run)
                .fix(give_data())
                .into());
        };
        let wanted: Vec<Entry> = self.of_split(files, split);
        if wanted.is_empty() {
            let what = message!("it has no images of the split `{}`", split.folder());
            return Err(Problem::new(what)
                .of_file(&self.run)
                .fix(give_data())
                .into());
        }
        let data = T::open(&self.recipe)?.data;
        if data.classes != classes {
            return Err(
                Problem::new(message!("it has other classes than the model now"))
                    .of_file(&self.recipe.data)
                    .fix(give_data())
                    .into(),
            );
        }
        let test = data.test.unwrap_or_default();
        let mut found = HashMap::new();
        for sample in data.train.into_iter().chain(data.validation).chain(test) {
            // A file that cannot be read counts as lost.
            if let Ok(description) = described(&sample, data_folder(&self.recipe.data)) {
                found.insert(description, sample);
            }
        }
        let mut own = OwnImages {
            samples: Vec::new(),
            lost: Vec::new(),
        };
        for entry in wanted {
            match found.remove(entry.description) {
                Some(sample) => own.samples.push(sample),
                None => own.lost.push(entry.path.to_owned()),
            }
        }
        if own.samples.is_empty() {
            let what = message!(
                "it holds none of the run's {} images of the split `{}` as they were",
                own.lost.len(),
                split.folder()
            );
            return Err(Problem::new(what)
                .of_file(&self.recipe.data)
                .fix(give_data())
                .into());
        }
        Ok(own)
    }

    /// Images among `images` that the model has seen, in this run or in one whose weights it started from.
    /// `None` if the list of the run's files is lost.
    ///
    /// # Errors
    /// If the recipe of such a run cannot be read.
    pub fn seen(&self, images: &[PathBuf]) -> Result<Option<Seen>, Error> {
        let Some(mut seen) = self.seen_here(images) else {
            return Ok(None);
        };
        let mut weights = self.recipe.weights.clone();
        for _ in 0..GENERATIONS {
            if weights == NO_WEIGHTS || named_record(&weights).is_some() {
                break;
            }
            let Some(before) = Self::beside(Path::new(&weights), None)? else {
                break;
            };
            if let Some(earlier) = before.seen_here(images) {
                seen.add(earlier, images);
            }
            weights = before.recipe.weights;
        }
        Ok(Some(seen))
    }

    fn seen_here(&self, images: &[PathBuf]) -> Option<Seen> {
        let files = self.files.as_ref()?;
        let trained = self.of_split(files, SplitKind::Train);
        let by_content = self.same_files(&trained, images);
        let others: Vec<&PathBuf> = images
            .iter()
            .filter(|image| !by_content.contains(*image))
            .collect();
        let near = self.near_duplicates(&trained, &others);
        let chosen = self.of_split(files, SplitKind::Validation);
        let chosen = self.same_files(&chosen, images);
        let is_trained = |image: &PathBuf| by_content.contains(image) || near.contains(image);
        let (trained_on, rest): (Vec<PathBuf>, Vec<PathBuf>) =
            images.iter().cloned().partition(is_trained);
        Some(Seen {
            trained_on,
            chosen_by: rest
                .into_iter()
                .filter(|image| chosen.contains(image))
                .collect(),
        })
    }

    /// The files of a split, as the run used them.
    fn of_split<'a>(&self, files: &'a DataFiles, split: SplitKind) -> Vec<Entry<'a>> {
        let listed = |split: SplitKind| -> Vec<Entry<'a>> {
            let entries = files.entries();
            entries
                .filter(|entry| entry.split == split.folder())
                .collect()
        };
        let own = listed(split);
        let fold_id = match (self.recipe.fold, split) {
            (Some(fold_id), SplitKind::Train | SplitKind::Validation) => fold_id,
            (None, _) | (_, SplitKind::Test) => return own,
        };
        if !lists_all_for_both(files) {
            return own;
        }
        // An earlier version split them into folds by their classes.
        let all = listed(SplitKind::Train);
        let labels = self.labels(&all);
        let fold = labels.map(|labels| FoldImages::new(fold_id, &labels, self.recipe.seed));
        let chosen = match (fold, split) {
            (Some(fold), SplitKind::Train) => fold.training,
            (Some(fold), SplitKind::Validation | SplitKind::Test) => fold.validation,
            (None, SplitKind::Train) => (0..all.len()).collect(),
            (None, SplitKind::Validation | SplitKind::Test) => Vec::new(),
        };
        chosen.into_iter().map(|place| all[place]).collect()
    }

    /// Labels by which an earlier version split images into folds: the class of each; 0 where images have several.
    fn labels(&self, entries: &[Entry]) -> Option<Vec<usize>> {
        if !with_task!(self.recipe.task, T => T::CLASS_OF.is_some()) {
            return Some(vec![0; entries.len()]);
        }
        let classes = (0..self.classes?).map(|class| (label_checksum(&class), class));
        let classes: HashMap<String, usize> = classes.collect();
        let label = |entry: &Entry| classes.get(entry.label).copied();
        entries.iter().map(label).collect()
    }

    /// Images among `images` that are files of the run: with the same content or, where the run's file is missing, with the
    /// same size and name.
    fn same_files(&self, entries: &[Entry], images: &[PathBuf]) -> HashSet<PathBuf> {
        let mut by_size: HashMap<u64, Vec<&Entry>> = HashMap::new();
        for entry in entries {
            by_size.entry(entry.size).or_default().push(entry);
        }
        let size = |image: &PathBuf| stamp(image).map(|stamp| stamp.bytes);
        let candidates: Vec<(&PathBuf, &Vec<&Entry>)> = images
            .iter()
            .filter_map(|image| Some((image, by_size.get(&size(image).ok()?)?)))
            .collect();
        let paths: HashSet<&str> = candidates
            .iter()
            .flat_map(|(_, entries)| entries.iter().map(|entry| entry.path))
            .collect();
        let hashes: HashMap<&str, blake3::Hash> = paths
            .into_par_iter()
            .filter_map(|path| {
                Some((
                    path,
                    content(&file_of(path, data_folder(&self.recipe.data)))?,
                ))
            })
            .collect();
        let is_same = |(image, entries): &(&PathBuf, &Vec<&Entry>)| {
            let hash = content(image);
            let name = image.file_name().map(Path::new).map(listed);
            entries.iter().any(|entry| match hashes.get(entry.path) {
                Some(of_run) => hash.as_ref() == Some(of_run),
                None => name.as_deref() == entry.path.rsplit('/').next(),
            })
        };
        let same = candidates.into_par_iter().filter(is_same);
        same.map(|(image, _)| image.clone()).collect()
    }

    /// Images among `images` that are near-duplicates of a file of the run, such as resized or saved again. Of many files,
    /// only some are compared.
    fn near_duplicates(&self, entries: &[Entry], images: &[&PathBuf]) -> HashSet<PathBuf> {
        if images.is_empty() {
            return HashSet::new();
        }
        let of_run =
            some_of(entries).map(|entry| file_of(entry.path, data_folder(&self.recipe.data)));
        let (_, of_run) = sketches(of_run.filter(|path| stamp(path).is_ok()));
        if of_run.is_empty() {
            return HashSet::new();
        }
        let (images, sketches) = sketches(some_of(images).map(|image| (*image).clone()));
        let copies = copies(&sketches, &of_run).into_iter();
        copies.map(|(image, _)| images[image].clone()).collect()
    }
}

/// Whether a list has the same images for training and for validation, as an earlier version listed those of a fold's
/// run.
pub(crate) fn lists_all_for_both(files: &DataFiles) -> bool {
    let of = |split: SplitKind| {
        let entries = files.entries();
        entries
            .filter(move |entry| entry.split == split.folder())
            .map(|entry| entry.description)
    };
    of(SplitKind::Train).eq(of(SplitKind::Validation))
}

impl Seen {
    /// Adds the images that were seen in another run.
    fn add(&mut self, other: Self, images: &[PathBuf]) {
        let [trained, chosen] = [
            (&self.trained_on, &other.trained_on),
            (&self.chosen_by, &other.chosen_by),
        ]
        .map(|(a, b)| a.iter().chain(b).cloned().collect::<HashSet<PathBuf>>());
        let (trained_on, rest): (Vec<PathBuf>, Vec<PathBuf>) = images
            .iter()
            .cloned()
            .partition(|image| trained.contains(image));
        *self = Self {
            trained_on,
            chosen_by: rest
                .into_iter()
                .filter(|image| chosen.contains(image))
                .collect(),
        };
    }
}

/// The file of a path in a list of a run, which has escapes if the path is not UTF-8 or has a newline.
pub(crate) fn file_of(listed: &str, folder: &Path) -> PathBuf {
    let plain = folder.join(listed);
    if listed.contains('\\') && stamp(&plain).is_err() {
        return folder.join(path_shown(listed));
    }
    plain
}

/// The fix of an error where a run's own images are not known.
fn give_data() -> String {
    message!("give {} DIR", Key::DATA)
}

fn count<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    paths.len().serialize(serializer)
}

/// At most [`COMPARED`] of all, evenly spread.
fn some_of<T>(all: &[T]) -> impl Iterator<Item = &T> {
    all.iter().step_by(all.len().div_ceil(COMPARED).max(1))
}

/// The files that can be decoded, with a sketch of each.
fn sketches(paths: impl Iterator<Item = PathBuf>) -> (Vec<PathBuf>, Vec<Sketch>) {
    let samples: Vec<Sample> = paths.map(|path| Sample { path, label: 0 }).collect();
    let checked = check(samples, |_, _| ());
    let paths = checked.readable.into_iter().map(|sample| sample.path);
    (paths.collect(), checked.sketches)
}

/// The checksum of a file; `None` if it cannot be read.
fn content(path: &Path) -> Option<blake3::Hash> {
    let file = open_picture(path).ok()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).ok()?;
    Some(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(path: &Path, content: &str) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        path.to_owned()
    }

    /// A run that trained on a/1.png and a/2.png, with b/3.png to choose by.
    fn run(dir: &Path, fold: &str) -> RunData {
        let data = dir.join("data");
        for (path, content) in [("a/1.png", "one"), ("a/2.png", "two"), ("b/3.png", "three")] {
            write(&data.join(path), content);
        }
        let recipe = format!(
            "data = '{}'\nmodel = 'm'\nweights = 'none'\n{fold}",
            data.display()
        );
        let draft: warmstart_recipe::Draft = toml::from_str(&recipe).unwrap();
        let [zero, one] = [0, 1].map(|class| label_checksum(&class));
        let files = format!(
            "train\t3\t{zero}\ta/1.png\ntrain\t3\t{zero}\ta/2.png\ntrain\t5\t{one}\tb/3.png\n"
        );
        let files = match fold {
            "" => files.replace("train\t5", "val\t5"),
            // As an earlier version listed them: all for both.
            _ => files.clone() + &files.replace("train\t", "val\t"),
        };
        RunData {
            run: dir.join("run"),
            recipe: draft.resolve(224, None).unwrap(),
            files: Some(DataFiles::from_text(files)),
            classes: Some(2),
        }
    }

    #[test]
    fn copies_are_known_by_their_content_whatever_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let run = run(dir.path(), "");
        let elsewhere = dir.path().join("elsewhere");
        let images = [
            write(&elsewhere.join("x.png"), "one"),
            write(&elsewhere.join("1.png"), "new"),
            write(&elsewhere.join("y.png"), "three"),
            run.recipe.data.join("a/2.png"),
        ];
        let seen = run.seen(&images).unwrap().unwrap();
        assert_eq!(seen.trained_on, [images[0].clone(), images[3].clone()]);
        assert_eq!(seen.chosen_by, [images[2].clone()]);
    }

    #[test]
    fn where_the_data_set_is_gone_names_and_sizes_tell() {
        let dir = tempfile::tempdir().unwrap();
        let run = run(dir.path(), "");
        let moved = dir.path().join("moved");
        fs::rename(&run.recipe.data, &moved).unwrap();
        let images = [moved.join("a/1.png"), moved.join("b/3.png")];
        let seen = run.seen(&images).unwrap().unwrap();
        assert_eq!(seen.trained_on, images[..1]);
        assert_eq!(seen.chosen_by, images[1..]);
    }

    #[test]
    fn without_its_list_the_images_of_a_run_are_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = run(dir.path(), "");
        run.files = None;
        assert_eq!(run.seen(&[run.recipe.data.join("a/1.png")]).unwrap(), None);
        // Weights beside a recipe that a user wrote are not a run's.
        let weights = write(&dir.path().join("weights.pth"), "");
        write(&dir.path().join(RECIPE), "model = 'resnet18'\n");
        assert!(RunData::beside(&weights, None).unwrap().is_none());
    }

    #[test]
    fn the_run_of_a_fold_has_seen_what_is_listed_for_training() {
        let dir = tempfile::tempdir().unwrap();
        let of_fold = run(dir.path(), "[fold]\nnumber = 1\nof = 3\n");
        let run = RunData {
            files: run(dir.path(), "").files,
            ..of_fold
        };
        let images: Vec<PathBuf> = ["a/1.png", "a/2.png", "b/3.png"]
            .map(|path| run.recipe.data.join(path))
            .into();
        let seen = run.seen(&images).unwrap().unwrap();
        assert_eq!(seen.trained_on, images[..2]);
        assert_eq!(seen.chosen_by, images[2..]);
    }

    #[test]
    fn the_run_of_a_fold_by_an_earlier_version_has_seen_the_other_folds() {
        let dir = tempfile::tempdir().unwrap();
        let run = run(dir.path(), "[fold]\nnumber = 1\nof = 3\n");
        let images: Vec<PathBuf> = ["a/1.png", "a/2.png", "b/3.png"]
            .map(|path| run.recipe.data.join(path))
            .into();
        let seen = run.seen(&images).unwrap().unwrap();
        assert_eq!((seen.trained_on.len(), seen.chosen_by.len()), (2, 1));
        let fold = FoldImages::new(run.recipe.fold.unwrap(), &[0, 0, 1], run.recipe.seed);
        assert_eq!(seen.chosen_by, [images[fold.validation[0]].clone()]);
    }
}
