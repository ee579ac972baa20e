//! Opens the data set of a run, and reads each image once before training.

use warmstart_data::{
    CheckCache, Checked, Dataset, FeatureCacheFolder, Pictures, Sample, check_cached, data_folder,
    require_readable, survey,
};
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_recipe::folds::all_images;
use warmstart_recipe::{Error, Recipe};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::task::{Opened, Task};

/// Share of unreadable images above which a run does not start.
const UNREADABLE_LIMIT: f64 = 0.05;
/// Images from which on the cache holds which of them can be read: fewer are read again in no time.
const CACHED_FROM: usize = 1000;

/// Images of the three splits: training, validation and test.
type Splits<L> = [Checked<L>; 3];

/// Opens the data set of a recipe, leaves out the images that cannot be read, and reports classes and findings. In a
/// cross-validation, all images are both training and validation images. An image that the cache knows to be readable
/// is not read again.
///
/// # Errors
/// If it is not a data set, too many images or all validation images cannot be read, or the task cannot be learned from
/// them.
pub fn open_data<T: Task>(
    recipe: &Recipe,
    cache: Option<&FeatureCacheFolder>,
    observe: Observer,
) -> Result<Dataset<T::Label>, Error> {
    let Opened {
        data,
        unreadable,
        notes,
    } = T::open(recipe)?;
    for note in notes {
        observe(Event::Note(note));
    }
    let mut data = check_images::<T>(data, unreadable, recipe, cache, observe)?;
    if let Some(part) = recipe.fold {
        data.train = all_images(part, &data.train, &data.validation)?;
        data.validation = data.train.clone();
        // Each fold would measure the test split, which is to be measured once.
        data.test = None;
    }
    T::require_learnable(&data)?;
    Ok(data)
}

/// The images that can be read, after a report on all.
fn check_images<T: Task>(
    mut data: Dataset<T::Label>,
    mut unreadable: Vec<(std::path::PathBuf, String)>,
    recipe: &Recipe,
    cache: Option<&FeatureCacheFolder>,
    observe: Observer,
) -> Result<Dataset<T::Label>, Error> {
    let test = data.test.take().unwrap_or_default();
    let holds_out = !data.validation.is_empty();
    let splits = [data.train, data.validation, test];
    let images = splits.iter().map(Vec::len).sum();
    observe(Event::Checking { images });
    let cache = cache.filter(|_| images >= CACHED_FROM);
    let cache = cache.map(|folder| (folder, CheckCache::open(folder.path(), &recipe.data)));
    let known = cache.as_ref().map(|(_, known)| known);
    let mut checked = check_splits(splits, known, images, observe);
    if let Some((folder, known)) = cache
        && let Err(error) = known.keep()
    {
        observe(Event::Note(message!(
            "{}: the images that can be read are not kept, so the next run reads all of them again: {error}",
            shown(folder.path())
        )));
    }
    for split in &mut checked {
        unreadable.append(&mut split.unreadable);
    }
    let readable = checked.iter().map(|split| split.readable.len()).sum();
    require_readable(readable, &unreadable, UNREADABLE_LIMIT)?;
    let folded = recipe.fold.map(|_| together(checked.clone()));
    let reported = folded.as_ref().unwrap_or(&checked);
    data.train = Vec::new();
    data.validation = Vec::new();
    report::<T>(&data, reported, &unreadable, recipe, observe);
    let [train, validation, test] = checked.map(|split| split.readable);
    if holds_out && validation.is_empty() {
        return Err(Error::usage(message!("no validation image can be read"))
            .fix(message!("fix or replace them")));
    }
    Ok(Dataset {
        train,
        validation,
        test: (!test.is_empty()).then_some(test),
        ..data
    })
}

/// Reads each image of the three splits, of so many `images`, and reports how far it is.
fn check_splits<L: Sync>(
    splits: [Vec<Sample<L>>; 3],
    known: Option<&CheckCache>,
    images: usize,
    observe: Observer,
) -> Splits<L> {
    let mut before = 0;
    splits.map(|split| {
        let own = split.len();
        let checked = check_cached(split, known, &mut |done| {
            observe(Event::Checked {
                images: before + done,
                of: images,
            });
        });
        before += own;
        checked
    })
}

/// Reports the classes with their counts, and findings about the images.
fn report<T: Task>(
    data: &Dataset<T::Label>,
    splits: &Splits<T::Label>,
    unreadable: &[(std::path::PathBuf, String)],
    recipe: &Recipe,
    observe: Observer,
) {
    let classes = &data.classes;
    let counts = splits
        .each_ref()
        .map(|split| counts::<T>(classes.len(), &split.readable));
    let by_class: Vec<[usize; 3]> = (0..classes.len())
        .map(|class| counts.each_ref().map(|counts| counts[class]))
        .collect();
    // Rare classes are a finding only where an image has one class.
    let training_counts: Vec<(&str, usize)> = match T::CLASS_OF {
        Some(_) => classes
            .iter()
            .map(String::as_str)
            .zip(counts[0].clone())
            .collect(),
        None => Vec::new(),
    };
    let [on_train, on_validation, on_test] = splits
        .each_ref()
        .map(|split| Pictures::of(split, data_folder(&recipe.data)));
    let findings = survey(
        &on_train,
        &on_validation,
        &on_test,
        &training_counts,
        recipe.image_size,
        recipe.image_size_step(),
    );
    let [train, validation, test] = splits.each_ref().map(|split| split.readable.len());
    observe(Event::Data {
        classes,
        class_counts: &by_class,
        counted: T::KIND.defaults().counted,
        train,
        validation,
        in_folds: recipe.fold.is_some(),
        test,
        unreadable,
        ignored: &data.ignored,
        notes: &data.notes,
        without_validation: match recipe.fold {
            Some(_) => &[],
            None => &data.without_validation,
        },
        findings: &findings,
    });
}

/// Number of images or objects of each class in some images.
fn counts<T: Task>(classes: usize, samples: &[Sample<T::Label>]) -> Vec<usize> {
    let mut counts = vec![0; classes];
    for class in samples
        .iter()
        .flat_map(|sample| T::classes_of(&sample.label))
    {
        counts[class] += 1;
    }
    counts
}

/// The training and validation images as one split, without test images: a cross-validation splits them into folds.
fn together<L>([mut train, validation, _]: Splits<L>) -> Splits<L> {
    let before = train.readable.len();
    let sketched = validation.sketched.into_iter();
    train.sketched.extend(sketched.map(|place| before + place));
    train.readable.extend(validation.readable);
    train.sketches.extend(validation.sketches);
    let none = || Checked {
        readable: Vec::new(),
        sketched: Vec::new(),
        unreadable: Vec::new(),
        sketches: Vec::new(),
    };
    [train, none(), none()]
}
