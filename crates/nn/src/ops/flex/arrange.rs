//! Layers that give values other places, and sums, on the processor.

use std::ops::Range;

use burn::backend::Flex;
use warmstart_kernels::{self as kernels, Map};

use super::map;
use super::primitive::{Primitive, contiguous, dimensions, own_values_mut, tensor, values};
use crate::ops::Tensors;

pub(super) fn concatenate(maps: Tensors<Flex>) -> Primitive {
    let maps = map(maps, contiguous);
    let [batch, height, width, _] = maps.first().map_or([0; 4], dimensions);
    let parts = maps.iter().map(|part| {
        let shape = dimensions(part);
        assert_eq!(shape[..3], [batch, height, width], "maps of one size");
        Map {
            values: values(part),
            channels: shape[3],
        }
    });
    let parts: Vec<Map<'_>> = parts.collect();
    let channels: usize = parts.iter().map(|part| part.channels).sum();
    tensor(
        kernels::concatenate(&parts),
        [batch, height, width, channels],
    )
}

pub(super) fn split_channels(x: Primitive, parts: &[Range<usize>]) -> Vec<Primitive> {
    let x = contiguous(x);
    let [batch, height, width, channels] = dimensions(&x);
    let found = kernels::split_channels(values(&x), channels, parts).into_iter();
    let found = found.zip(parts);
    found
        .map(|(values, part)| tensor(values, [batch, height, width, part.len()]))
        .collect()
}

pub(super) fn upsample(x: Primitive) -> Primitive {
    let x = contiguous(x);
    let [batch, height, width, channels] = dimensions(&x);
    let large = kernels::upsample(values(&x), width, channels);
    tensor(large, [batch, 2 * height, 2 * width, channels])
}

pub(super) fn upsample_backward(gradient: Primitive) -> Primitive {
    let gradient = contiguous(gradient);
    let [batch, height, width, channels] = dimensions(&gradient);
    let (height, width) = (height / 2, width / 2);
    let sums = kernels::upsample_backward(values(&gradient), width, channels);
    tensor(sums, [batch, height, width, channels])
}

pub(super) fn reverse_channels(x: Primitive) -> Primitive {
    let x = contiguous(x);
    let shape = dimensions(&x);
    tensor(kernels::reverse_channels(values(&x), shape[3]), shape)
}

pub(super) fn space_to_depth(x: Primitive) -> Primitive {
    let x = contiguous(x);
    let [batch, height, width, channels] = dimensions(&x);
    assert!(height.is_multiple_of(2), "an image of whole blocks");
    let deep = kernels::space_to_depth(values(&x), width, channels);
    tensor(deep, [batch, height / 2, width / 2, 4 * channels])
}

pub(super) fn depth_to_space(x: Primitive) -> Primitive {
    let x = contiguous(x);
    let [batch, height, width, channels] = dimensions(&x);
    let (width, channels) = (2 * width, channels / 4);
    let wide = kernels::depth_to_space(values(&x), width, channels);
    tensor(wide, [batch, 2 * height, width, channels])
}

/// The sum takes the place of a summand that nobody else holds.
pub(super) fn add(x: Primitive, y: Primitive) -> Primitive {
    let [mut x, mut y] = [x, y].map(contiguous);
    let shape = x.layout().shape().clone();
    assert_eq!(&shape, y.layout().shape(), "summands of one shape");
    if let Some(sums) = own_values_mut(&mut x) {
        kernels::add(sums, values(&y));
        return x;
    }
    if let Some(sums) = own_values_mut(&mut y) {
        kernels::add(sums, values(&x));
        return y;
    }
    tensor(kernels::sum(values(&x), values(&y)), shape)
}

pub(super) fn scale(x: Primitive, factor: Primitive) -> Primitive {
    let factor = values(&contiguous(factor))[0];
    // Multiplying by one changes nothing.
    if factor == 1.0 {
        return x;
    }
    let mut x = contiguous(x);
    if let Some(values) = own_values_mut(&mut x) {
        kernels::scale(values, factor);
        return x;
    }
    let mut scaled = values(&x).to_vec();
    kernels::scale(&mut scaled, factor);
    tensor(scaled, x.layout().shape().clone())
}

/// The values of a tensor, without a copy where nobody else holds them.
pub(in crate::ops) fn into_values(x: Primitive) -> Vec<f32> {
    if x.is_unique() {
        let data = x.into_data();
        return data.try_into_vec().expect("the values of a tensor are f32");
    }
    kernels::stack(&[values(&contiguous(x))])
}
