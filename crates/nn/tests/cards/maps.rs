//! Pools, rearrangements, means, gates and sums of maps.

use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::ops::{self, PoolSpec};

use crate::card::card;
use crate::common::{host, leaf_on, tensor_on};
use crate::numbers::Numbers;
use crate::operation::Operation;
use crate::{NEAR, Results, check};

fn random_pooling(numbers: &mut Numbers) -> ([usize; 4], PoolSpec) {
    let channels = numbers.between(1, 19);
    let shape = numbers.images(channels);
    let size = [1, 2].map(|axis| numbers.between(1, 5).min(shape[axis]));
    let padding = size.map(|size| numbers.between(0, 2).min(size / 2));
    let stride = [(); 2].map(|()| numbers.between(1, 3));
    let spec = PoolSpec {
        size,
        stride,
        padding,
        ceil: numbers.between(0, 1) == 1,
    };
    (shape, spec)
}

#[test]
fn pools_and_their_gradients_are_those_of_the_processor() {
    let Some(card) = card() else { return };
    let mut numbers = Numbers(31);
    for _ in 0..16 {
        let (shape, spec) = random_pooling(&mut numbers);
        let words = format!("{spec:?}");
        let shapes = vec![shape];
        let run = |mut x: Vec<Tensor<4>>| ops::max_pool(x.remove(0), spec);
        let max = Operation {
            name: &format!("maximum by {words}"),
            shapes: shapes.clone(),
            run: &run,
        };
        max.check(&card);
        let run = |mut x: Vec<Tensor<4>>| ops::average_pool(x.remove(0), spec);
        let average = Operation {
            name: &format!("average by {words}"),
            shapes,
            run: &run,
        };
        average.check(&card);
    }
}

/// Shapes of maps: one pixel, one channel, odd numbers, and more channels than a vector has.
fn map_shapes() -> [[usize; 4]; 6] {
    [
        [1, 1, 1, 1],
        [3, 1, 1, 8],
        [2, 7, 5, 1],
        [2, 3, 6, 5],
        [4, 9, 7, 12],
        [1, 2, 3, 67],
    ]
}

#[test]
fn rearrangements_means_gates_and_sums_are_those_of_the_processor() {
    let Some(card) = card() else { return };
    for shape in map_shapes() {
        let [batch, height, width, channels] = shape;
        let even = [batch, 2 * height, 2 * width, channels];
        let other = [batch, height, width, 3];
        let gate = [batch, 1, 1, channels];
        let means = move |x: Tensor<4>| -> Tensor<4> {
            ops::image_means(x).reshape([batch, 1, 1, channels])
        };
        let operations = [
            Operation {
                name: "upsampling",
                shapes: vec![shape],
                run: &|mut x| ops::upsample(x.remove(0)),
            },
            Operation {
                name: "channels in reverse",
                shapes: vec![shape],
                run: &|mut x| ops::reverse_channels(x.remove(0)),
            },
            Operation {
                name: "blocks as pixels",
                shapes: vec![even],
                run: &|mut x| ops::space_to_depth(x.remove(0)),
            },
            Operation {
                name: "a view, upsampled",
                shapes: vec![shape],
                run: &|mut x| ops::upsample(x.remove(0).permute([0, 2, 1, 3])),
            },
            Operation {
                name: "maps side by side, one of them twice",
                shapes: vec![shape, other, shape],
                run: &|mut x| {
                    x.push(x[0].clone());
                    ops::concatenate(x)
                },
            },
            Operation {
                name: "a sum",
                shapes: vec![shape, shape],
                run: &|x| ops::add(ops::add(x[0].clone(), x[1].clone()), x[0].clone()),
            },
            Operation {
                name: "a value with several uses",
                shapes: vec![shape, shape],
                run: &|x| {
                    let ways = ops::fork(x[0].clone() * 1.5, 3)
                        .into_iter()
                        .zip([2.0, 3.0, 4.0]);
                    let products = ways.map(|(way, factor)| way * x[1].clone() * factor);
                    products.reduce(|sum, product| sum + product).unwrap()
                },
            },
            Operation {
                name: "means of images",
                shapes: vec![shape],
                run: &|mut x| means(x.remove(0)),
            },
            Operation {
                name: "channels scaled by a gate",
                shapes: vec![shape, gate],
                run: &|x| {
                    let gate = x[1].clone().reshape([batch, channels]);
                    ops::scale_channels(x[0].clone(), gate)
                },
            },
        ];
        for operation in operations {
            operation.check(&card);
        }
    }
}

#[test]
fn a_given_gradient_arrives_on_a_card() {
    let Some(card) = card() else { return };
    check(&card, NEAR, "a given gradient", |device| {
        let x = leaf_on([2, 3, 5], 1, device);
        let given = tensor_on([2, 3, 5], 2, device);
        let root = ops::with_gradient(x.clone() * 2.0, given) * 0.3;
        let gradients = root.clone().backward();
        Results {
            outputs: vec![host(root)],
            gradients: vec![host(x.grad(&gradients).unwrap())],
        }
    });
}
