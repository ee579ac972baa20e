//! A data set's images, each read once before anything is learned from them.

use warmstart_data::{Checked, Dataset, Pictures, data_folder, require_readable, survey};

use warmstart_recipe::Error;
use warmstart_run::event::Event;
use warmstart_run::event::Observer;
use warmstart_recipe::Recipe;
use warmstart_tasks::task::Opened;
use warmstart_tasks::task::Task;

/// Share of unreadable images above which a run does not start.
const UNREADABLE_LIMIT: f64 = 0.05;

/// Leaves out the images that cannot be read, unless they are too many, and says what else there is to know of
/// them.
///
/// # Errors
/// If they are too many, or no validation image can be read.
pub fn readable<T: Task>(
    opened: Opened<T::Label>,
    recipe: &Recipe,
    observe: Observer,
) -> Result<Dataset<T::Label>, Error> {
    let Opened {
        mut data,
        mut unreadable,
    } = opened;
    let test = data.test.take().unwrap_or_default();
    let splits = [data.train, data.validation, test];
    observe(Event::Checking {
        images: splits.iter().map(Vec::len).sum(),
    });
    let checked = splits.map(|split| warmstart_data::check(&split, |_, _| ()));
    let all = Checked {
        readable: checked
            .iter()
            .flat_map(|split| split.readable.clone())
            .collect(),
        unreadable: {
            unreadable.extend(checked.iter().flat_map(|split| split.unreadable.clone()));
            unreadable
        },
        sketches: Vec::new(),
    };
    require_readable(&all, UNREADABLE_LIMIT)?;
    let dealt_out = recipe.fold.map(|_| together(checked.clone()));
    let looked_at = dealt_out.as_ref().unwrap_or(&checked);
    let [on_train, on_validation, on_test] = looked_at
        .each_ref()
        .map(|split| Pictures::new(&split.readable, &split.sketches, data_folder(&recipe.data)));
    let counts = T::class_counts(&data.classes, &looked_at[0].readable);
    let findings = survey(
        &on_train,
        &on_validation,
        &on_test,
        &counts,
        recipe.image_size,
    );
    let of_splits = looked_at
        .each_ref()
        .map(|split| T::label_counts(&data.classes, &split.readable));
    let class_counts: Vec<[usize; 3]> = (0..data.classes.len())
        .map(|class| of_splits.each_ref().map(|counts| counts[class]))
        .collect();
    let looked_at = looked_at.each_ref().map(|split| split.readable.len());
    let [train, validation, test] = checked.map(|split| split.readable);
    if validation.is_empty() {
        return Err(Error::usage(
            "no validation image can be read: fix or replace them",
        ));
    }
    observe(Event::Data {
        classes: &data.classes,
        class_counts: &class_counts,
        counted: T::COUNTED,
        train: looked_at[0],
        validation: looked_at[1],
        test: looked_at[2],
        unreadable: &all.unreadable,
        ignored: &data.ignored,
        notes: &data.notes,
        without_validation: match recipe.fold {
            Some(_) => &[],
            None => &data.without_validation,
        },
        findings: &findings,
    });
    Ok(Dataset {
        train,
        validation,
        test: (!test.is_empty()).then_some(test),
        ..data
    })
}

/// The training and validation images as one split, for a cross-validation that deals them out anew and measures none
/// that test.
fn together<L>([mut train, validation, _]: [Checked<L>; 3]) -> [Checked<L>; 3] {
    train.readable.extend(validation.readable);
    train.sketches.extend(validation.sketches);
    let none = || Checked {
        readable: Vec::new(),
        unreadable: Vec::new(),
        sketches: Vec::new(),
    };
    [train, none(), none()]
}
