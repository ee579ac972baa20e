//! Activations in f16.

use warmstart_nn::Activation;
use warmstart_nn::burn::tensor::{DType, Device, FloatDType};
use warmstart_nn::ops::{self, PoolSpec};

use crate::branches::{Case, Shortcut};
use crate::card::card;
use crate::check;
use crate::operation::Operation;
use crate::transformers::{layer_norm, response_norm};
use crate::units::{train, unit};

/// Largest difference, as a share of the largest value.
const NEAR: f32 = 1e-2;

/// Branches whose activations have no kinks, which f16 would move values across.
fn smooth_cases() -> Vec<Case> {
    let (gelu, silu) = (Activation::Gelu, Activation::Silu);
    let branches = [
        vec![unit(12, 3, 1, 1, gelu)],
        vec![unit(8, 3, 2, 8, silu)],
        vec![
            unit(16, 1, 1, 1, silu),
            unit(16, 3, 1, 16, silu),
            unit(8, 1, 1, 1, Activation::Identity),
        ],
    ];
    let with_statistics = branches.into_iter().flat_map(|units| {
        let residual = match units.len() {
            1 => Shortcut::None,
            _ => Shortcut::Tensor,
        };
        [false, true].map(|frozen| Case {
            input: [4, 9, 8, 8],
            units: units.clone(),
            frozen,
            residual,
        })
    });
    with_statistics.collect()
}

#[test]
fn operations_in_f16_are_near_those_of_the_processor_in_f32() {
    let Some(card) = card().filter(|card| card.supports_dtype(DType::F16)) else {
        return;
    };
    // The processor has no f16.
    let format = |device: &Device| {
        if *device == card {
            FloatDType::F16
        } else {
            FloatDType::F32
        }
    };
    for case in smooth_cases() {
        check(&card, NEAR, &format!("{case:?}"), |device| {
            train(&case, device, format(device))
        });
    }
    let (shape, parameter, gate) = ([2, 3, 4, 24], [1, 1, 1, 24], [2, 1, 1, 24]);
    let pooling = PoolSpec {
        size: [3, 2],
        stride: [2; 2],
        padding: [1, 0],
        ceil: false,
    };
    let operations = [
        Operation {
            name: "layer norm",
            shapes: vec![shape, parameter, parameter],
            run: &layer_norm,
        },
        Operation {
            name: "global response norm",
            shapes: vec![shape, parameter, parameter],
            run: &response_norm,
        },
        Operation {
            name: "attention",
            shapes: vec![[2, 3, 4, 3 * 16]],
            run: &|mut x| ops::attention(x.remove(0), 2),
        },
        Operation {
            name: "averages",
            shapes: vec![shape],
            run: &|mut x| ops::average_pool(x.remove(0), pooling),
        },
        Operation {
            name: "means of images",
            shapes: vec![shape],
            run: &|mut x| ops::image_means(x.remove(0)).reshape([2, 1, 1, 24]),
        },
        Operation {
            name: "channels scaled by a gate",
            shapes: vec![shape, gate],
            run: &|x| ops::scale_channels(x[0].clone(), x[1].clone().reshape([2, 24])),
        },
        Operation {
            name: "upsampling",
            shapes: vec![shape],
            run: &|mut x| ops::upsample(x.remove(0)),
        },
    ];
    for operation in operations {
        check(&card, NEAR, operation.name, |device| {
            operation.learn(device, format(device))
        });
    }
}
