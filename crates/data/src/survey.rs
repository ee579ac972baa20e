//! Findings about a data set that matter before training on it.

use crate::check::Checked;
use crate::copies::Album;
use crate::error::some_of;
use crate::sketch::Sketch;
use serde::Serialize;
use std::path::Path;
use warmstart_files::{Key, shown};
use warmstart_language::{counted, english, message};

/// Near-duplicates that a finding names.
const NAMED: usize = 3;
/// Training images that are looked up among all others: enough to know their share to a percentage point,
/// while the time does not grow with the square of the data set.
const LOOKED_UP: usize = 5000;
/// Share of training images with a near-duplicate among them that is tolerated, in percent. Copies
/// inside the training split do little harm.
const COPIES_TOLERATED: usize = 5;
/// Training images below which a class is rare.
const FEW_OF_A_CLASS: usize = 10;
/// The ratio of the largest to the smallest class above which classes are called unequal.
pub const IMBALANCE: f64 = 5.0;
/// Share of small images that is tolerated, in percent.
const SMALL_TOLERATED: usize = 10;
/// Validation images below which their figures say little.
const FEW_VALIDATION: usize = 50;
/// The smallest side of a network's input that is suggested, in pixels.
const LEAST_SIDE: usize = 32;

/// Something of a data set that makes the training worse or its figures mean less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind of finding, in a word or two of English. [`warmstart_language::translated`] shows it to people.
    pub what: &'static str,
    /// Its amount, with a unit.
    pub count: String,
    /// One sentence with an example, what it means, and the fix.
    pub sentence: String,
}

/// The images of one split that can be read.
#[derive(Debug, Clone, Default)]
pub struct Pictures<'a> {
    /// Number of all of them.
    all: usize,
    /// Those that have a sketch.
    paths: Vec<&'a Path>,
    sketches: &'a [Sketch],
}

impl<'a> Pictures<'a> {
    /// The readable images of a check. Files are named by their paths below `root`.
    pub fn of<L>(checked: &'a Checked<L>, root: &Path) -> Self {
        let sketched = checked.sketched.iter();
        let paths = sketched.map(|&place| {
            let path = &checked.readable[place].path;
            path.strip_prefix(root).unwrap_or(path)
        });
        Self {
            all: checked.readable.len(),
            paths: paths.collect(),
            sketches: &checked.sketches,
        }
    }
}

/// What a sentence adds where not all images of some splits have a sketch.
fn of_a_sample(splits: &[&Pictures]) -> String {
    let all: usize = splits.iter().map(|split| split.all).sum();
    let sketched: usize = splits.iter().map(|split| split.sketches.len()).sum();
    if sketched == all {
        return String::new();
    }
    message!("; only {sketched} of the {all} images were compared, a sample drawn by their paths")
}

/// Findings about a data set that matter before training on it, the gravest first; empty if there are none.
///
/// `test` may be empty. `class_counts` are the names of the classes and the number of their training
/// images; none in detection. `image_size` is the side of the network's input in pixels, and `step` what a
/// suggested one is a multiple of.
///
/// It finds images of validation and test with a near-duplicate in training, images of test with one in
/// validation, near-duplicates in training (above 5%, of at most 5,000 images that are looked up), classes with fewer than 10
/// training images, a largest class above 5 times the smallest, images whose shorter side is below
/// half of `image_size` (above 10%), and fewer than 50 validation images. What it says of pixels is of the images that
/// have a sketch.
pub fn survey(
    train: &Pictures,
    validation: &Pictures,
    test: &Pictures,
    class_counts: &[(&str, usize)],
    image_size: usize,
    step: usize,
) -> Vec<Finding> {
    let album = Album::new(train.sketches);
    [
        seen_before((&album, train), validation, |copies, all, named| {
            message!(
                "{copies} of {all} validation images are also in training, or nearly ({named}): metrics on images that the network has seen are optimistic; remove one of each pair from the training folder"
            )
        }),
        seen_before((&album, train), test, |copies, all, named| {
            message!(
                "{copies} of {all} test images are also in training, or nearly ({named}): metrics on images that the network has seen are optimistic; remove one of each pair from the training folder"
            )
        }),
        seen_before(
            (&Album::new(validation.sketches), validation),
            test,
            |copies, all, named| {
                message!(
                    "{copies} of {all} test images also validate, or nearly ({named}): the epoch is chosen by them, so the test's metric is optimistic; remove one of each pair"
                )
            },
        ),
        few_validation(validation.all),
        rare_classes(class_counts),
        unequal_classes(class_counts),
        small_images(train, image_size, step),
        repeated_in_training(&album, train),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The first few pairs, for people.
fn named(copies: &[(usize, usize)], of: &Pictures, among: &Pictures) -> String {
    let pair = |&(one, other): &(usize, usize)| {
        let (one, other) = (shown(of.paths[one]), shown(among.paths[other]));
        message!("{one} and {other}")
    };
    let pairs: Vec<String> = copies.iter().take(NAMED).map(pair).collect();
    if copies.len() > NAMED {
        message!("such as {}", pairs.join("; "))
    } else {
        pairs.join("; ")
    }
}

/// Images of `split` with a near-duplicate in `album`. The sentence is made of their number, that of all images of the
/// split, and examples.
fn seen_before(
    (album, others): (&Album, &Pictures),
    split: &Pictures,
    sentence: fn(usize, usize, &str) -> String,
) -> Option<Finding> {
    let copies = album.copies_of(split.sketches);
    (!copies.is_empty()).then(|| Finding {
        what: english!("near-duplicates"),
        count: counted(copies.len(), "image"),
        sentence: sentence(
            copies.len(),
            split.sketches.len(),
            &named(&copies, split, others),
        ) + &of_a_sample(&[split, others]),
    })
}

fn repeated_in_training(album: &Album, train: &Pictures) -> Option<Finding> {
    let sketched = train.sketches.len();
    let looked_up: Vec<usize> = (0..sketched)
        .step_by(sketched.div_ceil(LOOKED_UP).max(1))
        .collect();
    let copies = album.copies_inside(&looked_up);
    (copies.len() * 100 > looked_up.len() * COPIES_TOLERATED).then(|| Finding {
        what: english!("repeated images"),
        count: format!("{}%", copies.len() * 100 / looked_up.len()),
        sentence: message!(
            "{} of {} training images that were looked up are there twice or more, or nearly ({}): they count for more than the others, and there is less to learn from than their number says; remove all but one of each",
            copies.len(),
            looked_up.len(),
            named(&copies, train, train)
        ) + &of_a_sample(&[train]),
    })
}

fn rare_classes(class_counts: &[(&str, usize)]) -> Option<Finding> {
    let mut rare: Vec<_> = class_counts
        .iter()
        .filter(|(_, count)| *count < FEW_OF_A_CLASS)
        .collect();
    rare.sort_by_key(|(_, count)| *count);
    let names: Vec<String> = rare
        .iter()
        .map(|(class, count)| format!("{class} {count}"))
        .collect();
    (!rare.is_empty()).then(|| Finding {
        what: english!("rare classes"),
        count: match rare.len() {
            1 => message!("1 class"),
            count => message!("{count} classes"),
        },
        sentence: message!(
            "fewer than {FEW_OF_A_CLASS} training images of a class ({}) are too few to learn what its images share; add images, or merge or remove the class",
            some_of(&names)
        ),
    })
}

/// The ratio of the largest to the smallest class in images; infinite if the smallest has none, and 1
/// without classes.
pub fn imbalance(counts: &[usize]) -> f64 {
    let (few, many) = (counts.iter().min(), counts.iter().max());
    few.zip(many)
        .map_or(1.0, |(&few, &many)| many as f64 / few as f64)
}

fn unequal_classes(class_counts: &[(&str, usize)]) -> Option<Finding> {
    let (smallest, few) = class_counts.iter().min_by_key(|(_, count)| *count)?;
    let (largest, many) = class_counts.iter().max_by_key(|(_, count)| *count)?;
    (imbalance(&[*few, *many]) > IMBALANCE).then(|| Finding {
        what: english!("imbalance"),
        count: format!("{many} : {few}"),
        sentence: message!(
            "{largest} has {many} training images and {smallest} has {few}: a network that favours the large classes has a high accuracy and misses the small ones, so read the recall of each class, and add images of {smallest}; balance = \"loss\" or \"sampling\" gives the small ones more weight"
        ),
    })
}

fn small_images(train: &Pictures, image_size: usize, step: usize) -> Option<Finding> {
    let mut sides: Vec<usize> = train
        .sketches
        .iter()
        .map(|sketch| sketch.width.min(sketch.height))
        .collect();
    sides.sort_unstable();
    let small = sides.partition_point(|side| side * 2 < image_size);
    if small * 100 <= sides.len() * SMALL_TOLERATED {
        return None;
    }
    let median = sides[sides.len() / 2];
    let fitting = median.max(LEAST_SIDE).next_multiple_of(step);
    let fix = if fitting < image_size {
        message!(
            "a smaller {}, such as {fitting}, is faster, and with pretrained weights often less accurate",
            Key::IMAGE_SIZE
        )
    } else {
        // Most images would lose by a smaller size.
        message!("replace them by larger ones if there are any")
    };
    Some(Finding {
        what: english!("small images"),
        count: counted(small, "image"),
        sentence: message!(
            "{small} of {} training images have a shorter side below half of the {image_size} pixels that the network takes (the median of all is {median}): enlarging them takes time and adds no detail; {fix}",
            sides.len()
        ) + &of_a_sample(&[train]),
    })
}

fn few_validation(count: usize) -> Option<Finding> {
    // Half of Wilson's 95% interval at 50%: z / 2 / √(n + z²), z = 1.96.
    let points = 98.0 / (count as f64 + 3.84).sqrt();
    (1..FEW_VALIDATION).contains(&count).then(|| Finding {
        what: english!("few validation images"),
        count: counted(count, "image"),
        sentence: message!(
            "an accuracy of 50% on {} is known to ± {points:.0} points only, so that epochs and runs differ by luck; give validation more images",
            counted(count, "image")
        ),
    })
}
