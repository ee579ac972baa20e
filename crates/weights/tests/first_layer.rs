//! First layers with other numbers of channels, and files without one.

mod common;

use common::{expected, one_line, read_fixture, target, values};
use warmstart_weights::{FileTensor, WeightFile, compare};

const FIRST: &str = "features.0.0.weight";

/// The fixture with a first layer for `channels` channels, whose values are all one.
fn with_channels(channels: usize) -> WeightFile {
    let mut file = read_fixture("zip.pth");
    let shape = vec![4, channels, 2, 2];
    let data = vec![1.0; shape.iter().product()];
    let dtype = "f32";
    file.tensors
        .insert(FIRST.into(), FileTensor { shape, dtype, data });
    file
}

#[test]
fn one_and_four_channels_are_converted_and_said() {
    for (channels, value, words) in [
        (1, 1.0 / 3.0, "1 input channel in the file, converted to 3"),
        (4, 4.0 / 3.0, "4 input channels in the file, converted to 3"),
    ] {
        let plan = compare(&with_channels(channels), &target(&expected(5)), None).unwrap();
        plan.require_backbone(1.0).unwrap();
        assert_eq!(plan.loaded[FIRST].shape, [4, 3, 2, 2]);
        assert_eq!(plan.loaded[FIRST].data, [value; 48]);
        let report = plan.report();
        assert!(report.contains(&format!("{FIRST}: {words}")), "{report}");
    }
}

/// On an image with equal channels, the converted layer gives the same output as before.
#[test]
fn a_grey_layer_sees_the_same_in_a_grey_picture() {
    let mut file = with_channels(1);
    let grey: Vec<f32> = values(0).into_iter().take(16).collect();
    file.tensors.get_mut(FIRST).unwrap().data = grey.clone();
    let plan = compare(&file, &target(&expected(5)), None).unwrap();
    for (filter, grey) in plan.loaded[FIRST].data.chunks(12).zip(grey.chunks(4)) {
        for (place, grey) in grey.iter().enumerate() {
            let sum: f32 = (0..3).map(|channel| filter[channel * 4 + place]).sum();
            assert!((sum - grey).abs() < 1e-4);
        }
    }
}

#[test]
fn a_network_whose_first_layer_does_not_load_is_refused() {
    type Damage<'a> = &'a dyn Fn(&mut WeightFile);
    let cases: [(Damage, &str); 2] = [
        (
            &|file| *file = with_channels(2),
            "it is [4, 2, 2, 2] in the file, [4, 3, 2, 2] in the model",
        ),
        (
            &|file| drop(file.tensors.remove(FIRST)),
            "it is not in the file",
        ),
    ];
    for (change, words) in cases {
        let mut file = read_fixture("zip.pth");
        change(&mut file);
        let plan = compare(&file, &target(&expected(5)), None).unwrap();
        let line = one_line(&plan.require_backbone(0.1).unwrap_err());
        for part in [
            "the first layer of tiny, features.0.0.weight,",
            words,
            "allow_partial",
        ] {
            assert!(line.contains(part), "{part:?} is not in: {line}");
        }
    }
}
