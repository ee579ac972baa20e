//! Copies and sums against one loop a value. All are exact.

use std::ops::Range;

use proptest::prelude::*;
use warmstart_kernels::{
    Map, add, concatenate, depth_to_space, reverse_channels, scale, space_to_depth, split_channels,
    stack, sum, upsample, upsample_backward,
};

use crate::reference::values;

/// `[rows, width, channels]`, the rows of however many images.
fn shapes() -> impl Strategy<Value = [usize; 3]> {
    let channels = prop_oneof![1usize..5, 1usize..140];
    let extent = || prop_oneof![Just(1usize), 1usize..24];
    (extent(), extent(), channels).prop_map(|(rows, width, channels)| [rows, width, channels])
}

fn len(shape: [usize; 3]) -> usize {
    shape.iter().product()
}

/// The value of each place of `shape`, by its row, column and channel.
fn filled(shape: [usize; 3], value: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
    let [rows, width, channels] = shape;
    let mut values = Vec::with_capacity(len(shape));
    for row in 0..rows {
        for column in 0..width {
            for channel in 0..channels {
                values.push(value(row, column, channel));
            }
        }
    }
    values
}

fn at(
    values: &[f32],
    [_, width, channels]: [usize; 3],
    row: usize,
    column: usize,
    channel: usize,
) -> f32 {
    values[(row * width + column) * channels + channel]
}

/// Rows and columns within a block of two by two, in the order of its channels.
const BLOCK: [[usize; 2]; 4] = [[0, 0], [1, 0], [0, 1], [1, 1]];

fn check_rearrangements(shape: [usize; 3]) {
    let [rows, width, channels] = shape;
    let x = values(len(shape), 1);
    let large = [2 * rows, 2 * width, channels];
    let expected = filled(large, |row, column, channel| {
        at(&x, shape, row / 2, column / 2, channel)
    });
    assert!(upsample(&x, width, channels) == expected, "{shape:?}");

    let grad_y = values(len(large), 2);
    let expected = filled(shape, |row, column, channel| {
        let at = |[y, x]: [usize; 2]| at(&grad_y, large, 2 * row + y, 2 * column + x, channel);
        let [upper_left, lower_left, upper_right, lower_right] = BLOCK.map(at);
        (upper_left + lower_left) + (upper_right + lower_right)
    });
    let found = upsample_backward(&grad_y, width, channels);
    assert!(found == expected, "{shape:?}");

    let expected = filled(shape, |row, column, channel| {
        at(&x, shape, row, column, channels - 1 - channel)
    });
    assert!(reverse_channels(&x, channels) == expected, "{shape:?}");

    let deep = [rows, width, 4 * channels];
    let expected = filled(deep, |row, column, channel| {
        let [y, x] = BLOCK[channel / channels];
        at(
            &grad_y,
            large,
            2 * row + y,
            2 * column + x,
            channel % channels,
        )
    });
    let found = space_to_depth(&grad_y, 2 * width, channels);
    assert!(found == expected, "{shape:?}");
    let back = depth_to_space(&found, 2 * width, channels);
    assert!(back == grad_y, "{shape:?}");
}

/// Maps of so many channels, side by side, and some of their channels apart again.
fn check_channels(pixels: usize, channels: &[usize]) {
    let maps = channels.iter().zip(1..);
    let maps: Vec<Vec<f32>> = maps
        .map(|(channels, seed)| values(pixels * channels, seed))
        .collect();
    let beside = maps.iter().zip(channels);
    let beside = beside.map(|(values, &channels)| Map { values, channels });
    let whole = concatenate(&beside.collect::<Vec<_>>());
    let width: usize = channels.iter().sum();
    let mut expected = Vec::with_capacity(pixels * width);
    for pixel in 0..pixels {
        for (map, channels) in maps.iter().zip(channels) {
            expected.extend_from_slice(&map[pixel * channels..][..*channels]);
        }
    }
    assert!(whole == expected, "{pixels} {channels:?}");

    let mut end = 0;
    let parts = channels.iter().map(|channels| {
        end += channels;
        end - channels..end
    });
    let parts: Vec<Range<usize>> = parts.collect();
    let apart = split_channels(&whole, width, &parts);
    assert!(apart == maps, "{pixels} {channels:?}");
    // Some parts need no gradient, and a part may have nothing.
    let some = split_channels(&whole, width, &[parts[0].clone(), width..width]);
    assert!(some == [maps[0].clone(), Vec::new()]);
}

fn check_sums(len: usize) {
    let (a, b) = (values(len, 1), values(len, 2));
    let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    assert!(sum(&a, &b) == expected);
    let mut sums = a.clone();
    add(&mut sums, &b);
    assert!(sums == expected);
    let mut scaled = a.clone();
    scale(&mut scaled, 0.3);
    let expected: Vec<f32> = a.iter().map(|a| a * 0.3).collect();
    assert!(scaled == expected);
}

fn check_stack(count: usize, len: usize) {
    let parts: Vec<Vec<f32>> = (0..count).map(|part| values(len, part as u64)).collect();
    let slices: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
    assert!(stack(&slices) == parts.concat());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_are_at_the_places_that_the_formula_says(shape in shapes()) {
        check_rearrangements(shape);
    }

    #[test]
    fn maps_lie_side_by_side_and_come_apart_again(
        pixels in prop_oneof![0usize..4, 1usize..700],
        channels in prop::collection::vec(prop_oneof![1usize..4, 1usize..70], 1..6),
    ) {
        check_channels(pixels, &channels);
    }

    #[test]
    fn sums_and_products_are_those_of_each_value(len in prop_oneof![0usize..70, 1usize..40_000]) {
        check_sums(len);
    }

    #[test]
    fn arrays_lie_one_after_the_other(count in 0usize..5, len in prop_oneof![0usize..9, 1usize..40_000]) {
        check_stack(count, len);
    }
}

#[test]
fn shapes_of_many_pieces_follow_the_formula() {
    check_rearrangements([57, 91, 19]);
    check_rearrangements([160, 160, 3]);
    check_rearrangements([3, 5, 20_000]);
    check_channels(57 * 91, &[96, 24, 1, 33]);
    check_channels(3, &[20_000, 30_000]);
}

#[test]
fn one_pixel_and_one_channel_move_as_any_other() {
    check_rearrangements([1, 1, 1]);
    check_channels(1, &[1]);
    assert_eq!(upsample(&[3.0], 1, 1), [3.0; 4]);
    assert_eq!(upsample_backward(&[1.0, 2.0, 3.0, 4.0], 1, 1), [10.0]);
    assert_eq!(
        space_to_depth(&[1.0, 2.0, 3.0, 4.0], 2, 1),
        [1.0, 3.0, 2.0, 4.0]
    );
    assert_eq!(reverse_channels(&[1.0, 2.0, 3.0], 3), [3.0, 2.0, 1.0]);
}

#[test]
fn an_empty_batch_gives_empty_results() {
    assert!(upsample(&[], 3, 2).is_empty());
    assert!(upsample_backward(&[], 3, 2).is_empty());
    assert!(reverse_channels(&[], 2).is_empty());
    assert!(space_to_depth(&[], 2, 2).is_empty());
    assert!(depth_to_space(&[], 2, 2).is_empty());
    assert!(concatenate(&[]).is_empty());
    assert!(stack(&[]).is_empty());
}

#[test]
fn one_and_three_threads_give_the_same_bits() {
    let on_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let [x, y] = [1, 2].map(|seed| values(2 * 57 * 91 * 24, seed));
        pool.unwrap().install(|| {
            let map = |values| Map {
                values,
                channels: 24,
            };
            let mut sums = x.clone();
            add(&mut sums, &y);
            scale(&mut sums, 0.7);
            let parts = split_channels(&x, 24, &[0..7, 7..24]);
            let mut results = vec![
                sums,
                sum(&x, &y),
                concatenate(&[map(&x[..]), map(&y[..])]),
                upsample(&x, 91, 24),
                upsample_backward(&x, 12, 19),
                reverse_channels(&x, 3),
                space_to_depth(&x, 114, 3),
            ];
            results.extend(parts);
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            results.into_iter().map(bits).collect::<Vec<_>>()
        })
    };
    assert!(on_threads(1) == on_threads(3));
}

#[test]
#[should_panic(expected = "maps of as many pixels")]
fn maps_of_different_sizes_are_refused() {
    let map = |values| Map {
        values,
        channels: 2,
    };
    concatenate(&[map(&[0.0; 4]), map(&[0.0; 6])]);
}

#[test]
#[should_panic(expected = "a part of 4 channels")]
fn a_part_beyond_the_channels_is_refused() {
    split_channels(&[0.0; 8], 4, &[0..3, 3..5]);
}

#[test]
#[should_panic(expected = "whole pairs of pixels")]
fn half_a_block_is_refused() {
    space_to_depth(&[0.0; 12], 3, 2);
}

#[test]
#[should_panic(expected = "expected whole rows of 6 values, found 8")]
fn a_row_that_is_cut_is_refused() {
    upsample(&[0.0; 8], 3, 2);
}
