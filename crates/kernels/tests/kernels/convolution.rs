//! Every convolution kernel against the formula.

use proptest::prelude::*;
use warmstart_kernels::{
    Activation, Convolution, InferenceUnit, branch_inference, convolution_forward,
    convolution_gradients, convolution_input_gradient, convolution_weight_gradient, pack_weights,
};

use crate::reference::{
    self, ACTIVATIONS, activate, activations, assert_close, convolutions, values,
};

/// f32 rounding of a few thousand summands.
const TOLERANCE: f64 = 2e-5;

fn check_all_passes(c: &Convolution) {
    let x = values(c.input_len(), 1);
    let w = values(c.weight_len(), 2);
    let grad_y = values(c.output_len(), 3);
    let y = convolution_forward(c, &x, &w);
    assert_close(&y, &reference::forward(c, &x, &w), TOLERANCE);
    let expected_x = reference::input_gradient(c, &grad_y, &w);
    let expected_w = reference::weight_gradient(c, &x, &grad_y);
    let apart = [
        convolution_input_gradient(c, &grad_y, &w),
        convolution_weight_gradient(c, &x, &grad_y),
    ];
    for [grad_x, grad_w] in [apart, convolution_gradients(c, &x, &w, &grad_y)] {
        assert_close(&grad_x, &expected_x, TOLERANCE);
        assert_close(&grad_w, &expected_w, TOLERANCE);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forward_and_gradients_follow_the_formula(c in convolutions()) {
        check_all_passes(&c);
    }

    #[test]
    fn inference_adds_bias_residual_and_activation(
        c in convolutions(), act in activations(), with_residual in any::<bool>()
    ) {
        let x = values(c.input_len(), 1);
        let w = values(c.weight_len(), 2);
        let bias = values(c.out_channels, 3);
        let residual = with_residual.then(|| values(c.output_len(), 4));
        let mut expected = reference::forward(&c, &x, &w);
        for (index, value) in expected.iter_mut().enumerate() {
            *value += f64::from(bias[index % c.out_channels]);
            *value += residual.as_ref().map_or(0.0, |residual| f64::from(residual[index]));
            *value = activate(act, *value);
        }
        let y = inference(&c, &x, &pack_weights(&c, &w), &bias, residual.as_deref(), act);
        assert_close(&y, &expected, TOLERANCE);
    }
}

fn inference(
    c: &Convolution,
    x: &[f32],
    packed: &[f32],
    bias: &[f32],
    residual: Option<&[f32]>,
    activation: Activation,
) -> Vec<f32> {
    let unit = InferenceUnit {
        convolution: *c,
        packed,
        bias,
        activation,
    };
    branch_inference(&[unit], x, residual)
}

/// [1×1 →] depthwise → 1×1, with the operands of each.
struct Branch {
    convolutions: Vec<Convolution>,
    packed: Vec<Vec<f32>>,
    biases: Vec<Vec<f32>>,
}

impl Branch {
    fn new(depthwise: Convolution, outer: [Option<usize>; 2]) -> Self {
        let wide = depthwise.in_channels;
        let pointwise = |batch, [height, width]: [usize; 2], channels: [usize; 2]| Convolution {
            in_height: height,
            in_width: width,
            ..square(batch, 1, channels, 1, 1)
        };
        let c = depthwise;
        let expand =
            outer[0].map(|narrow| pointwise(c.batch, [c.in_height, c.in_width], [narrow, wide]));
        let project = outer[1]
            .map(|narrow| pointwise(c.batch, [c.out_height(), c.out_width()], [wide, narrow]));
        let convolutions: Vec<_> = expand.into_iter().chain([c]).chain(project).collect();
        let packed = |c: &Convolution| pack_weights(c, &values(c.weight_len(), 2));
        Self {
            packed: convolutions.iter().map(packed).collect(),
            biases: convolutions
                .iter()
                .map(|c| values(c.out_channels, 3))
                .collect(),
            convolutions,
        }
    }

    fn units(&self) -> Vec<InferenceUnit<'_>> {
        let parts = self.convolutions.iter().zip(&self.packed).zip(&self.biases);
        let activations = [
            Activation::Relu6,
            Activation::HardSwish,
            Activation::Identity,
        ];
        parts
            .zip(activations)
            .map(
                |(((convolution, packed), bias), activation)| InferenceUnit {
                    convolution: *convolution,
                    packed,
                    bias,
                    activation,
                },
            )
            .collect()
    }

    fn check(&self) {
        let units = self.units();
        let x = values(self.convolutions[0].input_len(), 1);
        let residual = values(self.convolutions.last().unwrap().output_len(), 4);
        for residual in [None, Some(residual.as_slice())] {
            let (last, others) = units.split_last().unwrap();
            let between = others
                .iter()
                .fold(x.clone(), |x, unit| branch_inference(&[*unit], &x, None));
            let expected = branch_inference(&[*last], &between, residual);
            let found = branch_inference(&units, &x, residual);
            assert_eq!(found, expected, "{:?}", self.convolutions);
        }
    }
}

#[test]
fn a_branch_has_the_bits_of_its_units_one_after_the_other() {
    let depthwise = |batch, size, channels, stride| Convolution {
        stride: [stride; 2],
        ..square(batch, size, [channels; 2], 3, channels)
    };
    for (c, outer) in [
        (depthwise(8, 14, 40, 1), [Some(8), Some(12)]),
        (depthwise(2, 113, 40, 2), [Some(16), Some(24)]),
        (depthwise(1, 112, 33, 1), [None, Some(16)]),
        (depthwise(9, 7, 100, 2), [Some(20), Some(21)]),
        (depthwise(30, 3, 8, 1), [Some(1), Some(1)]),
        (depthwise(20, 60, 144, 1), [Some(24), Some(24)]),
        (depthwise(0, 14, 40, 1), [Some(8), Some(12)]),
        (depthwise(8, 14, 40, 1), [Some(8), None]),
    ] {
        Branch::new(c, outer).check();
        Branch::new(c.padded_same(), outer).check();
    }
    let dilated = Convolution {
        dilation: [2, 3],
        padding: [2, 0],
        padding_end: [1, 3],
        kernel: [5, 3],
        ..depthwise(16, 40, 24, 1)
    };
    Branch::new(dilated, [Some(10), Some(30)]).check();
}

#[test]
fn an_image_gets_the_same_bits_alone_and_in_any_batch() {
    for (size, channels, kernel, groups) in [
        (7, [64, 96], 3, 1),
        (14, [48, 40], 3, 1),
        (7, [33, 50], 1, 1),
        (9, [3, 32], 7, 1),
        (6, [24, 24], 3, 24),
        (5, [8, 12], 3, 4),
    ] {
        let all = square(3, size, channels, kernel, groups);
        let one = Convolution { batch: 1, ..all };
        let x = values(all.input_len(), 1);
        let packed = pack_weights(&all, &values(all.weight_len(), 2));
        let bias = values(all.out_channels, 3);
        let run =
            |c: &Convolution, x: &[f32]| inference(c, x, &packed, &bias, None, Activation::Relu);
        let alone = x.chunks(one.input_len()).flat_map(|x| run(&one, x));
        assert_eq!(alone.collect::<Vec<_>>(), run(&all, &x), "{all:?}");
    }
}

#[test]
#[should_panic(expected = "weights: not packed for")]
fn weights_packed_for_another_convolution_are_refused() {
    let c = square(1, 4, [40, 40], 3, 1);
    let packed = pack_weights(&square(1, 4, [8, 8], 3, 1), &values(8 * 8 * 9, 1));
    inference(
        &c,
        &values(c.input_len(), 2),
        &packed,
        &values(40, 3),
        None,
        Activation::Relu,
    );
}

fn square(
    batch: usize,
    size: usize,
    channels: [usize; 2],
    kernel: usize,
    groups: usize,
) -> Convolution {
    Convolution {
        batch,
        in_height: size,
        in_width: size,
        in_channels: channels[0],
        out_channels: channels[1],
        kernel: [kernel; 2],
        stride: [1; 2],
        padding: [kernel / 2; 2],
        padding_end: [kernel / 2; 2],
        dilation: [1; 2],
        groups,
    }
}

/// Shapes that span several tasks, chunks, panels and tiles.
pub fn large() -> [Convolution; 10] {
    let stride = [2; 2];
    let halving_same = |batch, size, channels, kernel, groups| {
        let c = square(batch, size, channels, kernel, groups);
        Convolution { stride, ..c }.padded_same()
    };
    [
        halving_same(3, 50, [3, 40], 3, 1),
        halving_same(4, 34, [100, 100], 3, 100),
        halving_same(3, 38, [72, 72], 5, 72),
        Convolution {
            padding_end: [0, 2],
            ..square(2, 20, [40, 36], 3, 1)
        },
        square(5, 24, [16, 72], 3, 1),
        Convolution {
            stride,
            ..square(3, 47, [3, 40], 7, 1)
        },
        square(1, 5, [520, 100], 1, 1),
        square(2, 40, [24, 24], 5, 24),
        Convolution {
            stride,
            ..square(4, 33, [100, 100], 3, 100)
        },
        square(2, 30, [24, 48], 3, 3),
    ]
}

#[test]
fn large_shapes_follow_the_formula() {
    for c in large() {
        check_all_passes(&c);
    }
}

#[test]
fn one_pixel_and_one_channel_are_a_product() {
    let c = square(1, 1, [1, 1], 1, 1);
    assert_eq!(convolution_forward(&c, &[3.0], &[-2.0]), [-6.0]);
    assert_eq!(convolution_input_gradient(&c, &[5.0], &[-2.0]), [-10.0]);
    assert_eq!(convolution_weight_gradient(&c, &[3.0], &[5.0]), [15.0]);
}

#[test]
fn input_pixels_between_the_strides_get_no_gradient() {
    let c = Convolution {
        stride: [3, 3],
        ..square(1, 4, [1, 1], 1, 1)
    };
    let grad_x = convolution_input_gradient(&c, &[1.0; 4], &[2.0]);
    let touched: Vec<_> = (0..16).filter(|&pixel| grad_x[pixel] != 0.0).collect();
    assert_eq!(touched, [0, 3, 12, 15]);
}

#[test]
fn an_empty_batch_gives_empty_activations_and_no_weight_gradient() {
    for groups in [1, 4] {
        let c = Convolution {
            batch: 0,
            ..square(1, 4, [4, 4], 3, groups)
        };
        let w = values(c.weight_len(), 1);
        assert!(convolution_forward(&c, &[], &w).is_empty());
        assert!(convolution_input_gradient(&c, &[], &w).is_empty());
        assert!(
            convolution_weight_gradient(&c, &[], &[])
                .iter()
                .all(|&value| value == 0.0)
        );
    }
}

#[test]
fn not_a_number_passes_through_the_activation() {
    let c = square(1, 1, [1, 1], 1, 1);
    for act in ACTIVATIONS {
        assert!(
            inference(
                &c,
                &[f32::NAN],
                &pack_weights(&c, &[1.0]),
                &[0.0],
                None,
                act
            )[0]
            .is_nan()
        );
    }
}

#[test]
fn one_and_three_threads_give_the_same_bits() {
    let on_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            large().map(|c| {
                let x = values(c.input_len(), 1);
                let w = values(c.weight_len(), 2);
                let grad_y = values(c.output_len(), 3);
                let [both_x, both_w] = convolution_gradients(&c, &x, &w, &grad_y);
                let results = [
                    convolution_forward(&c, &x, &w),
                    convolution_input_gradient(&c, &grad_y, &w),
                    convolution_weight_gradient(&c, &x, &grad_y),
                    both_x,
                    both_w,
                ];
                results.map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            })
        })
    };
    assert!(on_threads(1) == on_threads(3));
}
