//! The one thing that a run's figures say would help most.

use warmstart_language::message;
use warmstart_recipe::command;
use warmstart_run::list::MORE_EPOCHS;
use warmstart_run::record::EpochRecord;
use warmstart_workflows::report::{Classes, Judged, RunReport, Scenes};

/// Fewest doubtful labels, and their least share of all, that are worth a look.
const DOUBTFUL: usize = 3;
const DOUBTFUL_SHARE: f64 = 0.03;
/// Share of doubtful labels from which the features are to blame rather than the labels.
const MOST_DOUBTFUL: f64 = 0.25;
/// Fall of the validation loss over the last two epochs, as a share, from which it is still falling.
const STILL_FALLING: f64 = 0.01;
/// What a loss that is still falling weighs: the share of images that more epochs may win.
const OF_EPOCHS: f64 = 0.04;
/// Half the width of an interval above which a figure is too uncertain to act on.
const UNCERTAIN: f64 = 0.1;

/// A piece of advice.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The share of images, 0 to 1, that it may win: its rank among others.
    weight: f64,
    /// It in a sentence.
    pub sentence: String,
    /// The command that follows it, where there is one.
    pub command: Option<String>,
}

/// The advice with the most to win; `None` where the figures say nothing.
pub fn advice(report: &RunReport) -> Option<Advice> {
    let of_model = report.judged.as_ref().and_then(|judged| match judged {
        Judged::Classes(classes) => of_classes(classes, &report.training_counts),
        Judged::Scenes(scenes) => of_scenes(scenes),
    });
    let uncertain = report.judged.as_ref().and_then(|judged| match judged {
        Judged::Classes(classes) => uncertain(classes),
        Judged::Scenes(_) => None,
    });
    let all = [doubtful(report), falling(report), of_model, uncertain];
    let all = all.into_iter().flatten();
    all.max_by(|one, other| one.weight.total_cmp(&other.weight))
}

fn doubtful(report: &RunReport) -> Option<Advice> {
    let (doubtful, of) = (report.doubts.doubtful, report.doubts.judged);
    let share = doubtful as f64 / of.max(1) as f64;
    let is_plausible = (DOUBTFUL_SHARE..MOST_DOUBTFUL).contains(&share);
    (doubtful >= DOUBTFUL && is_plausible).then(|| Advice {
        weight: share / 2.0,
        sentence: message!(
            "{doubtful} of {of} training labels are doubtful: the other images speak for another class. Look at them \
             below, and correct or remove those that are wrong."
        ),
        command: None,
    })
}

fn falling(report: &RunReport) -> Option<Advice> {
    let files = &report.files;
    let done = files.history.len();
    let is_finished = done == files.recipe.epochs();
    (is_finished && is_falling(&files.history)).then(|| Advice {
        weight: OF_EPOCHS,
        sentence: message!(
            "The validation loss was still falling in the last epochs: more of them."
        ),
        command: Some(format!(
            "{} --epochs {}",
            command::resume(&files.run),
            done + MORE_EPOCHS
        )),
    })
}

/// Whether the loss of the last phase was still falling at its end.
fn is_falling(history: &[EpochRecord]) -> bool {
    let Some(last) = history.last() else {
        return false;
    };
    let own: Vec<f64> = history
        .iter()
        .filter(|record| record.phase == last.phase)
        .map(|record| record.val_loss)
        .collect();
    let [.., before, between, end] = own[..] else {
        return false;
    };
    end < between && between < before && before - end > STILL_FALLING * before
}

/// The class whose images are mistaken most, where it stands out.
fn of_classes(classes: &Classes, training_counts: &[usize]) -> Option<Advice> {
    let figures = classes.matrix.per_class();
    let total = classes.matrix.total().max(1) as f64;
    let mistakes = |class: usize| (1.0 - figures[class].recall) * figures[class].images as f64;
    let class =
        (0..figures.len()).max_by(|&one, &other| mistakes(one).total_cmp(&mistakes(other)))?;
    let average = (1.0 - classes.matrix.accuracy()) * total / figures.len() as f64;
    if mistakes(class) < 1.5 * average || mistakes(class) < 2.0 {
        return None;
    }
    let of_training = training_counts
        .get(class)
        .copied()
        .filter(|count| *count > 0);
    let of_training = of_training.map_or(String::new(), |count| {
        message!(", from {count} training images")
    });
    let taken = taken_for(classes, class);
    Some(Advice {
        weight: (mistakes(class) - average) / total,
        sentence: message!(
            "More pictures of {class}: {mistaken:.0} of its {images} validation images are mistaken{of_training}{taken}.",
            class = figures[class].class,
            mistaken = mistakes(class),
            images = figures[class].images
        ),
        command: None,
    })
}

/// The class that another is mistaken for most often, in words.
fn taken_for(classes: &Classes, class: usize) -> String {
    let others = classes
        .matrix
        .row(class)
        .filter(|(other, _)| *other != class);
    let most = others.max_by_key(|(_, count)| *count);
    let Some((most, count)) = most.filter(|(_, count)| *count > 1) else {
        return String::new();
    };
    message!(
        ", {count} of them for {class}",
        class = classes.matrix.classes()[most]
    )
}

fn uncertain(classes: &Classes) -> Option<Advice> {
    let interval = classes.matrix.interval();
    let half = (interval.high - interval.low) / 2.0;
    (half > UNCERTAIN).then(|| Advice {
        weight: half - UNCERTAIN,
        sentence: message!(
            "More validation images: with {count} of them, the share that is right is known to within {points:.0} \
             points only.",
            count = classes.matrix.total(),
            points = half * 100.0
        ),
        command: None,
    })
}

/// Small objects, or the class with the lowest average precision.
fn of_scenes(scenes: &Scenes) -> Option<Advice> {
    let coco = scenes.figures.coco();
    if let (Some(small), Some(large)) = (coco.ap_small, coco.ap_large.or(coco.ap_medium))
        && small < large / 2.0
    {
        return Some(Advice {
            weight: (large - small) / 4.0,
            sentence: message!(
                "Larger images: objects of fewer than 32 × 32 pixels have an average precision of {small:.2}, larger \
                 ones of {large:.2}. Train again with a larger --image-size."
            ),
            command: None,
        });
    }
    let classes = scenes.figures.per_class();
    let known = classes.iter().filter_map(|class| Some((class, class.ap?)));
    let (class, ap) = known.min_by(|(_, one), (_, other)| one.total_cmp(other))?;
    let all = coco.ap?;
    (ap < all * 0.7).then(|| Advice {
        weight: (all - ap) / classes.len() as f64,
        sentence: message!(
            "More pictures with {class}: its average precision is {ap:.2}, the mean of all classes {all:.2}.",
            class = class.class
        ),
        command: None,
    })
}
