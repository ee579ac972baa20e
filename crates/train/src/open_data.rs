//! Opens the data set of a run, and reads each image once before training.

use warmstart_data::{Checked, Dataset, Pictures, Sample, data_folder, require_readable, survey};
use warmstart_language::message;
use warmstart_recipe::folds::all_images;
use warmstart_recipe::{Error, Recipe};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::task::{Opened, Task};

/// Share of unreadable images above which a run does not start.
const UNREADABLE_LIMIT: f64 = 0.05;

/// Images of the three splits: training, validation and test.
type Splits<L> = [Checked<L>; 3];

/// Opens the data set of a recipe, leaves out the images that cannot be read, and reports classes and findings. In a
/// cross-validation, all images are both training and validation images.
///
/// # Errors
/// If it is not a data set, too many images or all validation images cannot be read, or the task cannot be learned from
/// them.
pub fn open_data<T: Task>(recipe: &Recipe, observe: Observer) -> Result<Dataset<T::Label>, Error> {
    let Opened {
        data,
        unreadable,
        notes,
    } = T::open(recipe)?;
    for note in notes {
        observe(Event::Note(note));
    }
    let mut data = check_images::<T>(data, unreadable, recipe, observe)?;
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
    observe: Observer,
) -> Result<Dataset<T::Label>, Error> {
    let test = data.test.take().unwrap_or_default();
    let holds_out = !data.validation.is_empty();
    let splits = [data.train, data.validation, test];
    observe(Event::Checking {
        images: splits.iter().map(Vec::len).sum(),
    });
    let checked = splits.map(|split| warmstart_data::check(&split, |_, _| ()));
    unreadable.extend(checked.iter().flat_map(|split| split.unreadable.clone()));
    let all = Checked {
        readable: checked
            .iter()
            .flat_map(|split| split.readable.clone())
            .collect(),
        unreadable,
        sketches: Vec::new(),
    };
    require_readable(&all, UNREADABLE_LIMIT)?;
    let folded = recipe.fold.map(|_| together(checked.clone()));
    let shown = folded.as_ref().unwrap_or(&checked);
    data.train = Vec::new();
    data.validation = Vec::new();
    report::<T>(&data, shown, &all.unreadable, recipe, observe);
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
        .map(|split| Pictures::new(&split.readable, &split.sketches, data_folder(&recipe.data)));
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
    train.readable.extend(validation.readable);
    train.sketches.extend(validation.sketches);
    let none = || Checked {
        readable: Vec::new(),
        unreadable: Vec::new(),
        sketches: Vec::new(),
    };
    [train, none(), none()]
}
