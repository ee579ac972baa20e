//! Findings about a data set before training.

use std::path::Path;
use warmstart_data::{
    Checked, Finding, Interpolation, Pictures, RgbImage, Sample, Sketch, check, resize,
    save_picture, survey,
};

/// Nine blurred patches of colours that are others for every number.
fn picture(number: usize, side: usize) -> RgbImage {
    let random = blake3::hash(&number.to_le_bytes());
    let patches = RgbImage {
        width: 3,
        height: 3,
        pixels: random.as_bytes()[..27].to_vec(),
    };
    resized(&patches, side)
}

fn resized(image: &RgbImage, side: usize) -> RgbImage {
    let window = RgbImage::black(side, side).bounds();
    let filter = Interpolation::Bilinear;
    resize(image, image.bounds(), (side, side), window, filter)
}

/// The result of check() for these pictures, named split/0.png, split/1.png and so on.
fn checked(split: &str, pictures: &[RgbImage]) -> Checked {
    Checked {
        readable: (0..pictures.len())
            .map(|number| Sample {
                path: format!("{split}/{number}.png").into(),
                label: 0,
            })
            .collect(),
        sketched: (0..pictures.len()).collect(),
        sketches: pictures.iter().map(Sketch::of).collect(),
        unreadable: Vec::new(),
    }
}

/// As many different pictures of 64 × 64 pixels, from that number on.
fn different(numbers: std::ops::Range<usize>) -> Vec<RgbImage> {
    numbers.map(|number| picture(number, 64)).collect()
}

fn pictures(checked: &Checked) -> Pictures<'_> {
    Pictures::of(checked, Path::new(""))
}

/// The findings for a network of 64 × 64 pixels, without those of few validation images.
fn of_splits(train: &[RgbImage], validation: &[RgbImage], test: &[RgbImage]) -> Vec<Finding> {
    let splits = [("train", train), ("val", validation), ("test", test)];
    let [train, validation, test] = splits.map(|(split, pictures)| checked(split, pictures));
    let splits = [&train, &validation, &test].map(pictures);
    let mut findings = survey(&splits[0], &splits[1], &splits[2], &[], 64, 32);
    findings.retain(|finding| finding.what != "few validation images");
    findings
}

/// The findings for so many images of each class.
fn of_counts(counts: &[(&str, usize)]) -> Vec<Finding> {
    let none = Pictures::default();
    survey(&none, &none, &none, counts, 64, 32)
}

#[track_caller]
fn only(findings: Vec<Finding>) -> (&'static str, String, String) {
    assert_eq!(findings.len(), 1, "{findings:?}");
    let finding = findings.into_iter().next().unwrap();
    assert!(!finding.sentence.contains('\n'));
    (
        finding.what,
        finding.count,
        warmstart_files::plain(&finding.sentence),
    )
}

#[test]
fn nothing_is_said_of_a_good_data_set() {
    let (train, validation) = (different(0..100), different(100..150));
    let findings = of_splits(&train, &validation, &different(150..160));
    assert_eq!(findings, []);
    assert_eq!(of_counts(&[("cat", 50), ("owl", 10)]), []);
    assert_eq!(of_counts(&[]), []);
}

#[test]
fn validation_images_that_are_in_training_are_named_with_their_copies() {
    let train = different(0..40);
    let mut validation = different(40..50);
    validation[7] = resized(&train[12], 32);
    let (what, count, sentence) = only(of_splits(&train, &validation, &[]));
    assert_eq!((what, &*count), ("near-duplicates", "1 image"));
    assert_eq!(
        sentence,
        "1 of 10 validation images are also in training, or nearly (val/7.png and train/12.png): \
         metrics on images that the network has seen are optimistic; remove one of each pair from \
         the training folder"
    );
}

#[test]
fn test_images_that_validate_are_reported_beside_those_in_training() {
    let (train, validation) = (different(0..60), different(100..160));
    let test = [&train[..1], &validation[..2], &different(200..210)].concat();
    let findings = of_splits(&train, &validation, &test);
    let sentences: Vec<&str> = findings.iter().map(|found| &*found.sentence).collect();
    let [in_training, validate] = sentences[..] else {
        panic!("{sentences:?}")
    };
    assert!(in_training.starts_with("1 of 13 test images are also in training"));
    assert!(validate.starts_with("2 of 13 test images also validate"));
}

#[test]
fn three_of_many_pairs_are_named() {
    let train = different(0..40);
    let (_, count, sentence) = only(of_splits(&train, &different(50..60), &train[20..]));
    assert_eq!(count, "20 images");
    let pairs = "20 of 20 test images are also in training, or nearly (such as test/0.png and \
                 train/20.png; test/1.png and train/21.png; test/2.png and train/22.png): ";
    assert!(sentence.starts_with(pairs), "{sentence}");
}

#[test]
fn repetitions_in_training_are_reported_if_they_are_many() {
    let mut train = different(0..100);
    train.extend_from_slice(&different(0..2));
    assert_eq!(of_splits(&train, &[], &[]), []);
    train.extend_from_slice(&different(2..4));
    let (what, count, sentence) = only(of_splits(&train, &[], &[]));
    assert_eq!((what, &*count), ("repeated images", "7%"));
    let start = "8 of 104 training images that were looked up are there twice or more";
    assert!(sentence.starts_with(start), "{sentence}");
    assert!(sentence.contains("train/0.png and train/100.png"));
}

#[test]
fn classes_with_few_images_are_listed_the_rarest_first() {
    let counts = [("cat", 10), ("dog", 9), ("elk", 12), ("owl", 3)];
    let (what, count, sentence) = only(of_counts(&counts));
    assert_eq!((what, &*count), ("rare classes", "2 classes"));
    assert!(sentence.contains("(owl 3, dog 9)"), "{sentence}");
    let many = [
        ("a", 4),
        ("b", 4),
        ("c", 4),
        ("d", 4),
        ("e", 4),
        ("f", 4),
        ("g", 4),
    ];
    let (_, _, sentence) = only(of_counts(&many));
    assert!(sentence.contains("a 4, b 4, c 4, d 4, e 4 and 2 more"));
}

#[test]
fn a_class_of_more_than_five_times_another_is_an_imbalance() {
    let (what, count, sentence) = only(of_counts(&[("cat", 51), ("dog", 20), ("owl", 10)]));
    assert_eq!((what, &*count), ("imbalance", "51 : 10"));
    let start = "cat has 51 training images and owl has 10: ";
    assert!(sentence.starts_with(start), "{sentence}");
    assert!(sentence.contains("balance = \"loss\" or \"sampling\""));
    assert!(sentence.contains("add images of owl; balance = \"loss\" or \"sampling\" gives"));
}

#[test]
fn a_class_of_which_no_image_can_be_read_is_rare_and_an_imbalance() {
    let kinds: Vec<_> = of_counts(&[("cat", 50), ("owl", 0)])
        .into_iter()
        .map(|finding| (finding.what, finding.count))
        .collect();
    let expected = [("rare classes", "1 class"), ("imbalance", "50 : 0")];
    assert_eq!(
        kinds,
        expected.map(|(what, count)| (what, count.to_owned()))
    );
}

/// The findings for a network of 224 × 224 pixels and training images of these sides.
fn of_sides(sides: &[(usize, usize)]) -> Vec<Finding> {
    of_sides_in_steps(sides, 32)
}

fn of_sides_in_steps(sides: &[(usize, usize)], step: usize) -> Vec<Finding> {
    let sized: Vec<RgbImage> = sides
        .iter()
        .enumerate()
        .flat_map(|(index, &(side, count))| (0..count).map(move |n| (side, 100 * index + n)))
        .map(|(side, number)| picture(number, side))
        .collect();
    let train = checked("train", &sized);
    let none = Pictures::default();
    survey(&pictures(&train), &none, &none, &[], 224, step)
}

#[test]
fn images_smaller_than_half_of_the_networks_suggest_a_smaller_network_input() {
    let (what, count, sentence) = only(of_sides(&[(70, 19), (300, 1)]));
    assert_eq!((what, &*count), ("small images", "19 images"));
    assert_eq!(
        sentence,
        "19 of 20 training images have a shorter side below half of the 224 pixels that the network \
         takes (the median of all is 70): enlarging them takes time and adds no detail; a smaller \
         image_size, such as 96, is faster, and with pretrained weights often less accurate"
    );
}

#[test]
fn a_suggested_input_is_one_that_the_network_can_take() {
    for (side, step, size) in [(71, 14, 84), (70, 14, 70), (20, 14, 42), (71, 16, 80)] {
        let (_, _, sentence) = only(of_sides_in_steps(&[(side, 20)], step));
        let suggested = format!("a smaller image_size, such as {size}, is faster");
        assert!(sentence.contains(&suggested), "{side}, {step}: {sentence}");
    }
}

#[test]
fn a_few_small_images_are_tolerated_and_more_do_not_make_the_others_smaller() {
    assert_eq!(of_sides(&[(64, 2), (230, 18)]), []);
    assert_eq!(of_sides(&[(112, 20)]), []);
    let (_, _, sentence) = only(of_sides(&[(64, 3), (230, 17)]));
    assert!(sentence.ends_with("replace them by larger ones if there are any"));
}

/// 49 images: 1.96 / 2 / √(49 + 1.96²) = 0.1348.
#[test]
fn few_validation_images_leave_an_accuracy_open() {
    let of_first = |count: usize| {
        let validation = checked("val", &different(0..count));
        let none = Pictures::default();
        survey(&none, &pictures(&validation), &none, &[], 64, 32)
    };
    assert_eq!(of_first(50), []);
    let (what, count, sentence) = only(of_first(49));
    assert_eq!((what, &*count), ("few validation images", "49 images"));
    assert!(sentence.contains("50% on 49 images is known to ± 13 points"));
}

#[test]
fn the_gravest_finding_comes_first() {
    let train = different(0..20);
    let (train, validation) = (checked("train", &train), checked("val", &train[..3]));
    let counts = [("cat", 18), ("owl", 2)];
    let findings = survey(
        &pictures(&train),
        &pictures(&validation),
        &Pictures::default(),
        &counts,
        224,
        32,
    );
    let kinds: Vec<&str> = findings.iter().map(|finding| finding.what).collect();
    let expected = [
        "near-duplicates",
        "few validation images",
        "rare classes",
        "imbalance",
        "small images",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn a_finding_on_a_sample_of_the_images_says_so() {
    let train = different(0..20);
    let validation = checked("val", &train[..3]);
    let mut train = checked("train", &train);
    // The first ten have a sketch.
    train.sketched.truncate(10);
    train.sketches.truncate(10);
    let (all, none) = (pictures(&train), Pictures::default());
    let findings = survey(&all, &pictures(&validation), &none, &[], 64, 32);
    let sentence = &findings[0].sentence;
    assert!(
        sentence.starts_with("3 of 3 validation images"),
        "{sentence}"
    );
    assert!(
        sentence
            .ends_with("; only 13 of the 23 images were compared, a sample drawn by their paths"),
        "{sentence}"
    );
}

#[test]
fn files_on_disk_are_surveyed_by_what_check_gives() {
    let dir = tempfile::tempdir().unwrap();
    let samples: Vec<Sample> = ["a.png", "b.jpg"]
        .map(|name| Sample {
            path: dir.path().join(name),
            label: 0,
        })
        .to_vec();
    for sample in &samples {
        save_picture(&sample.path, &picture(1, 64)).unwrap();
    }
    let train = check(samples[..1].to_vec(), |_, _| ());
    let validation = check(samples[1..].to_vec(), |_, _| ());
    let none = Pictures::default();
    let findings = survey(
        &pictures(&train),
        &pictures(&validation),
        &none,
        &[],
        64,
        32,
    );
    assert!(findings[0].sentence.contains("b.jpg and "), "{findings:?}");
}
