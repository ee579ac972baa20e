//! Tensors out of repeatable numbers, and back.
#![allow(dead_code, reason = "each test file uses some of them")]

use warmstart_nn::burn::tensor::{Device, Tensor, TensorData};

/// Values in −1..1, the same everywhere.
pub fn values(length: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

pub fn tensor<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    tensor_on(shape, seed, &warmstart_nn::device())
}

pub fn tensor_on<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    filled_on(&values(shape.iter().product(), seed), shape, device)
}

pub fn filled<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    filled_on(values, shape, &warmstart_nn::device())
}

pub fn filled_on<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

pub fn leaf<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    leaf_on(shape, seed, &warmstart_nn::device())
}

pub fn leaf_on<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    tensor_on(shape, seed, device).autodiff().require_grad()
}

pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Fails unless every value is within `tolerance` of the largest expected one.
#[track_caller]
pub fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-3f32, |a, v| a.max(v.abs()));
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        let off = (a - b).abs();
        assert!(
            off <= tolerance * largest,
            "value {index}: {a} is not {b} (largest {largest})"
        );
    }
}

/// Output and input gradient, every output weighted differently.
pub fn run(x: [usize; 4], layer: impl Fn(Tensor<4>) -> Tensor<4>) -> [Vec<f32>; 2] {
    let x = leaf(x, 1);
    let y = layer(x.clone());
    let weights = tensor(y.dims(), 2).autodiff();
    let gradients = (y.clone() * weights).sum().backward();
    [host(y), host(x.grad(&gradients).unwrap())]
}
