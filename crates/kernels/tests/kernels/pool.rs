//! Pooling against one loop a window.

use proptest::prelude::*;
use warmstart_kernels::{
    Pooling, average_pool, average_pool_backward, max_pool, max_pool_backward,
};

use crate::reference::{assert_close, values};

fn poolings() -> impl Strategy<Value = Pooling> {
    let extent = || [1usize..20, 1usize..20];
    let window = || {
        [
            (1usize..8, 0usize..4, 1usize..4),
            (1usize..8, 0usize..4, 1usize..4),
        ]
    };
    (
        1usize..4,
        extent(),
        prop_oneof![1usize..4, 1usize..70],
        window(),
        any::<bool>(),
    )
        .prop_map(|(batch, input, channels, windows, ceil)| {
            // Brought into range, so that no case is thrown away.
            let size = [0, 1].map(|axis| windows[axis].0.min(input[axis]));
            let padding = [0, 1].map(|axis| windows[axis].1.min(size[axis] / 2));
            let stride = [0, 1].map(|axis| windows[axis].2);
            Pooling {
                batch,
                input,
                channels,
                size,
                stride,
                padding,
                ceil,
            }
        })
}

fn input_len(p: &Pooling) -> usize {
    p.batch * p.input[0] * p.input[1] * p.channels
}

fn output_len(p: &Pooling) -> usize {
    p.batch * p.output()[0] * p.output()[1] * p.channels
}

/// The places in `x` of every window's values, by output value.
fn windows(p: &Pooling) -> Vec<Vec<usize>> {
    let mut windows = Vec::new();
    for image in 0..p.batch {
        for row in 0..p.output()[0] {
            for column in 0..p.output()[1] {
                for channel in 0..p.channels {
                    let mut places = Vec::new();
                    for y in 0..p.size[0] {
                        for x in 0..p.size[1] {
                            let y = (row * p.stride[0] + y).wrapping_sub(p.padding[0]);
                            let x = (column * p.stride[1] + x).wrapping_sub(p.padding[1]);
                            if y < p.input[0] && x < p.input[1] {
                                let pixel = (image * p.input[0] + y) * p.input[1] + x;
                                places.push(pixel * p.channels + channel);
                            }
                        }
                    }
                    windows.push(places);
                }
            }
        }
    }
    windows
}

/// PyTorch's choice: the first of the largest values, or the last NaN.
fn chosen(x: &[f32], window: &[usize]) -> usize {
    let nan = window.iter().rev().find(|&&place| x[place].is_nan());
    let largest = window
        .iter()
        .fold(f32::NEG_INFINITY, |a, &place| a.max(x[place]));
    let first = || window.iter().find(|&&place| x[place] == largest).unwrap();
    *nan.unwrap_or_else(first)
}

/// Few different values, so that ties are frequent, with some infinities and NaNs.
fn tied_values(len: usize) -> Vec<f32> {
    let value = |value: f32| match (value * 1000.0).round() as i32 {
        step if step % 29 == 0 => f32::NAN,
        step if step % 5 == 0 => f32::NEG_INFINITY,
        step => (step % 4) as f32,
    };
    values(len, 1).into_iter().map(value).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_largest_value_of_a_window_is_chosen_as_pytorch_does(p in poolings()) {
        let x = tied_values(input_len(&p));
        let y = max_pool(&p, &x);
        let grad_y = values(output_len(&p), 2);
        let mut grad_x = vec![0.0; x.len()];
        for ((window, y), grad_y) in windows(&p).iter().zip(&y).zip(&grad_y) {
            let chosen = chosen(&x, window);
            prop_assert!(x[chosen] == *y || x[chosen].is_nan() && y.is_nan());
            grad_x[chosen] += f64::from(*grad_y);
        }
        assert_close(&max_pool_backward(&p, &x, &grad_y), &grad_x, 1e-6);
    }

    #[test]
    fn the_mean_of_a_window_leaves_padding_out(p in poolings()) {
        let x = values(input_len(&p), 1);
        let grad_y = values(output_len(&p), 2);
        let mut y = Vec::new();
        let mut grad_x = vec![0.0; x.len()];
        for (window, grad_y) in windows(&p).iter().zip(&grad_y) {
            let count = window.len() as f64;
            y.push(window.iter().map(|&place| f64::from(x[place])).sum::<f64>() / count);
            for &place in window {
                grad_x[place] += f64::from(*grad_y) / count;
            }
        }
        assert_close(&average_pool(&p, &x), &y, 1e-6);
        assert_close(&average_pool_backward(&p, &grad_y), &grad_x, 1e-6);
    }
}

#[test]
fn one_and_three_threads_give_the_same_bits() {
    let p = Pooling {
        batch: 3,
        input: [57, 31],
        channels: 19,
        size: [3, 4],
        stride: [2, 1],
        padding: [1, 2],
        ceil: true,
    };
    let on_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let (x, grad_y) = (values(input_len(&p), 1), values(output_len(&p), 2));
        pool.install(|| {
            [
                max_pool(&p, &x),
                max_pool_backward(&p, &x, &grad_y),
                average_pool(&p, &x),
                average_pool_backward(&p, &grad_y),
            ]
        })
    };
    let bits = |results: [Vec<f32>; 4]| {
        results.map(|r| r.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    assert_eq!(bits(on_threads(1)), bits(on_threads(3)));
}

#[test]
#[should_panic(expected = "without a pixel")]
fn a_window_that_could_lie_in_the_padding_alone_is_refused() {
    let p = Pooling {
        batch: 1,
        input: [4, 4],
        channels: 1,
        size: [3, 3],
        stride: [1, 1],
        padding: [2, 1],
        ceil: false,
    };
    max_pool(&p, &[0.0; 16]);
}
