//! Layers of transformers and of networks like them: inference, training and arithmetic by hand agree.

mod common;
#[path = "common/passes.rs"]
mod passes;

use common::{assert_close, filled, host, tensor};
use passes::{all_ways, parameters_of};
use warmstart_nn::layers::{
    Attention, Layer, LayerNorm, Pool, PositionResize, Positions, ResponseNorm, TokenPool, Tokens,
};
use warmstart_nn::{Kind, Parameters};

#[test]
fn a_layer_norm_normalizes_the_channels_of_each_pixel() {
    let layer = Layer::LayerNorm(LayerNorm {
        name: "norm".into(),
        channels: 5,
        epsilon: 1e-3,
    });
    let parameters = parameters_of(&layer);
    let x = tensor([2, 3, 1, 5], 1);
    let trained = all_ways(&layer, &parameters, std::slice::from_ref(&x));
    let [gamma, beta] = ["norm.weight", "norm.bias"].map(|name| parameters.values(name));
    let x = host(x);
    let expected = x.chunks(5).flat_map(|pixel| {
        let mean = pixel.iter().sum::<f32>() / 5.0;
        let squares = pixel.iter().map(|value| (value - mean).powi(2));
        let deviation = (squares.sum::<f32>() / 5.0 + 1e-3).sqrt();
        let channels = pixel.iter().zip(gamma.iter().zip(&beta));
        channels.map(move |(value, (gamma, beta))| (value - mean) / deviation * gamma + beta)
    });
    assert_close(&trained.output, &expected.collect::<Vec<_>>(), 1e-5);
    let mut by_beta = vec![0.0; 5];
    for (index, gradient) in trained.weights.iter().enumerate() {
        by_beta[index % 5] += gradient;
    }
    assert_close(&trained.parameters.values("norm.bias"), &by_beta, 1e-5);
    assert!(trained.parameters.contains("norm.weight"));
}

#[test]
fn a_response_norm_scales_channels_by_their_share_of_the_length() {
    let layer = Layer::ResponseNorm(ResponseNorm {
        name: "grn".into(),
        channels: 3,
    });
    let kinds = layer.kind().parameters().into_iter().map(|info| info.kind);
    let kinds: Vec<Kind> = kinds.collect();
    assert_eq!(kinds, [Kind::ResponseScale, Kind::NormShift]);
    let parameters = parameters_of(&layer);
    let x = tensor([2, 2, 2, 3], 1);
    let trained = all_ways(&layer, &parameters, std::slice::from_ref(&x));
    let [gamma, beta] = ["grn.weight", "grn.bias"].map(|name| parameters.values(name));
    let mut expected = host(x);
    for image in expected.chunks_mut(12) {
        let mut lengths = [0f32; 3];
        for (index, value) in image.iter().enumerate() {
            lengths[index % 3] += value * value;
        }
        let lengths = lengths.map(f32::sqrt);
        let mean = lengths.iter().sum::<f32>() / 3.0 + 1e-6;
        for (index, value) in image.iter_mut().enumerate() {
            let channel = index % 3;
            *value += gamma[channel] * *value * lengths[channel] / mean + beta[channel];
        }
    }
    assert_close(&trained.output, &expected, 1e-5);
    assert_eq!(trained.parameters.names().count(), 2);
}

#[test]
fn attention_mixes_the_values_of_the_tokens_of_an_image_head_by_head() {
    const TOKENS: usize = 6;
    const HEAD: usize = 3;
    const CHANNELS: usize = 2 * HEAD;
    let layer = Layer::Attention(Attention {
        name: "attn".into(),
        channels: CHANNELS,
        heads: 2,
    });
    assert!(layer.kind().parameters().is_empty());
    let pairs = TOKENS * TOKENS;
    let shape = [2, 3, 3 * CHANNELS];
    assert_eq!(layer.kind().multiply_adds(&[shape]), 2 * pairs * CHANNELS);
    let qkv = tensor([2, 2, 3, 3 * CHANNELS], 1);
    let trained = all_ways(&layer, &Parameters::new(), std::slice::from_ref(&qkv));
    let qkv = host(qkv);
    let mut expected = vec![0.0; 2 * TOKENS * CHANNELS];
    for image in 0..2 {
        // Query, key or value (0, 1, 2) of a token, in a channel of all heads.
        let at = |token: usize, part: usize, channel: usize| {
            qkv[((image * TOKENS + token) * 3 + part) * CHANNELS + channel]
        };
        for head in [0..HEAD, HEAD..CHANNELS] {
            for token in 0..TOKENS {
                let score = |other: usize| {
                    let products = head.clone().map(|c| at(token, 0, c) * at(other, 1, c));
                    (products.sum::<f32>() / (HEAD as f32).sqrt()).exp()
                };
                let sum: f32 = (0..TOKENS).map(score).sum();
                for channel in head.clone() {
                    let mixed = (0..TOKENS).map(|other| score(other) * at(other, 2, channel));
                    let place = (image * TOKENS + token) * CHANNELS + channel;
                    expected[place] = mixed.sum::<f32>() / sum;
                }
            }
        }
    }
    assert_close(&trained.output, &expected, 1e-5);
}

/// Tokens of three channels for a grid of two by three patches.
fn tokens(class: &[&str], registers: usize, prefix: usize) -> Layer {
    Layer::Tokens(Tokens {
        class: class.iter().map(|&name| name.to_owned()).collect(),
        registers: (registers > 0).then(|| ("reg_token".to_owned(), registers)),
        positions: Positions {
            name: "pos_embed".into(),
            grid: [2, 3],
            prefix,
            resize: PositionResize::Antialiased,
        },
        channels: 3,
    })
}

/// The values of each token of an image.
fn rows(values: &[f32]) -> Vec<&[f32]> {
    values.chunks(3).collect()
}

fn sum(one: &[f32], other: &[f32]) -> Vec<f32> {
    one.iter()
        .zip(other)
        .map(|(one, other)| one + other)
        .collect()
}

#[test]
fn class_tokens_come_first_then_registers_then_patches_each_with_its_position() {
    for (class, registers, prefix) in [
        (&["cls_token"][..], 0, 1),
        (&["cls_token", "dist_token"][..], 0, 2),
        (&["cls_token"][..], 4, 0),
        (&["cls_token"][..], 2, 1),
        (&[][..], 0, 0),
    ] {
        let layer = tokens(class, registers, prefix);
        let parameters = parameters_of(&layer);
        let patches = tensor([2, 2, 3, 3], 1);
        let trained = all_ways(&layer, &parameters, std::slice::from_ref(&patches));
        let patches = host(patches);
        let positions = parameters.values("pos_embed");
        let positions = rows(&positions);
        let mut expected = Vec::new();
        for image in rows(&patches).chunks(6) {
            for (index, name) in class.iter().enumerate() {
                let token = parameters.values(name);
                expected.extend(if prefix == 0 {
                    token
                } else {
                    sum(&token, positions[index])
                });
            }
            if registers > 0 {
                expected.extend(parameters.values("reg_token"));
            }
            for (patch, position) in image.iter().zip(&positions[prefix..]) {
                expected.extend(sum(patch, position));
            }
        }
        assert_close(&trained.output, &expected, 1e-6);

        // A gradient is that of the token that the value became, summed over the images where they share it.
        let before = class.len() + registers;
        let weights = rows(&trained.weights);
        let images: Vec<&[&[f32]]> = weights.chunks(before + 6).collect();
        let of_both = |token: usize| sum(images[0][token], images[1][token]);
        let by_patches = images.iter().flat_map(|image| image[before..].concat());
        assert_eq!(trained.inputs[0], by_patches.collect::<Vec<_>>());
        for (index, name) in class.iter().enumerate() {
            assert_close(&trained.parameters.values(name), &of_both(index), 1e-6);
        }
        if registers > 0 {
            let expected = (class.len()..before).flat_map(of_both).collect::<Vec<_>>();
            assert_close(&trained.parameters.values("reg_token"), &expected, 1e-6);
        }
        let expected = (0..prefix).chain(before..before + 6).flat_map(of_both);
        let expected = expected.collect::<Vec<_>>();
        assert_close(&trained.parameters.values("pos_embed"), &expected, 1e-6);
    }
}

#[test]
fn images_of_other_sizes_have_resized_positions_which_learn() {
    let layer = tokens(&["cls_token"], 0, 1);
    let parameters = parameters_of(&layer);
    for size in [[5, 4], [1, 2], [2, 6]] {
        let [height, width] = size;
        let trained = all_ways(&layer, &parameters, &[tensor([2, height, width, 3], 1)]);
        let gradient = trained.parameters.values("pos_embed");
        let (mut of_class, mut of_patches) = (vec![0.0; 3], vec![0.0; 3]);
        for image in rows(&trained.weights).chunks(1 + height * width) {
            of_class = sum(&of_class, image[0]);
            for token in &image[1..] {
                of_patches = sum(&of_patches, token);
            }
        }
        assert_close(&gradient[..3], &of_class, 1e-6);
        // Each new position is a mean of old ones, so that all weights of the gradient arrive.
        let arrived = rows(&gradient[3..]);
        let arrived = arrived
            .into_iter()
            .fold(vec![0.0; 3], |all, row| sum(&all, row));
        assert_close(&arrived, &of_patches, 1e-4);
    }
}

#[test]
fn pools_are_means_of_class_tokens_and_of_patches() {
    // Two class tokens, a register and two patches.
    #[rustfmt::skip]
    let image = [
        1.0, 10.0,
        3.0, 20.0,
        99.0, 99.0,
        5.0, -4.0,
        6.0, 0.0,
    ];
    let x = filled(&image, [1, 1, 5, 2]);
    let pool = |class, pool| {
        let layer = Layer::TokenPool(TokenPool {
            prefix: 3,
            class,
            pool,
        });
        all_ways(&layer, &Parameters::new(), std::slice::from_ref(&x))
    };
    let class = pool(1, Pool::Class);
    assert_eq!(class.output, [1.0, 10.0]);
    let mut expected = vec![0.0; 10];
    expected[..2].copy_from_slice(&class.weights);
    assert_eq!(class.inputs[0], expected);

    assert_eq!(pool(2, Pool::Class).output, [2.0, 15.0]);
    assert_eq!(pool(1, Pool::Mean).output, [5.5, -2.0]);
    let both = pool(1, Pool::Both);
    assert_eq!(both.output, [1.0, 10.0, 5.5, -2.0]);
    let halves: Vec<f32> = both.weights[2..]
        .iter()
        .map(|weight| weight / 2.0)
        .collect();
    let expected = [
        &both.weights[..2],
        &[0.0; 4],
        halves.as_slice(),
        halves.as_slice(),
    ];
    assert_eq!(both.inputs[0], expected.concat());
}
