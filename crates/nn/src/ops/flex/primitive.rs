//! Burn's tensors as the slices and shapes that the kernels take.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Shape, TensorData};
use warmstart_kernels::Convolution;

use crate::ops::{ConvSpec, Residual};

/// A tensor of Burn's CPU backend.
pub(super) type Primitive = FloatTensor<Flex>;

/// The values of a tensor that went through [`contiguous`].
pub(super) fn values(tensor: &Primitive) -> &[f32] {
    tensor
        .as_slice::<f32>()
        .expect("an f32 tensor that was made contiguous")
}

/// The values of tensors that went through [`whole`], to be changed: a buffer that another handle
/// shares is copied first.
pub(super) fn values_mut(tensors: &mut [Primitive]) -> impl Iterator<Item = &mut [f32]> {
    tensors.iter_mut().map(|tensor| tensor.storage_mut::<f32>())
}

pub(super) fn contiguous(tensor: Primitive) -> Primitive {
    if tensor.as_slice::<f32>().is_some() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// A tensor that is all of its buffer, so that the buffer may be changed.
pub(super) fn whole(tensor: Primitive) -> Primitive {
    if is_whole(&tensor) {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

fn is_whole(tensor: &Primitive) -> bool {
    let values = tensor.layout().num_elements();
    let starts = tensor.layout().is_contiguous() && tensor.layout().start_offset() == 0;
    starts && tensor.bytes().len() == values * size_of::<f32>()
}

/// The values of a tensor that is all of its buffer and that nobody else holds, to be changed in place.
pub(super) fn own_values_mut(tensor: &mut Primitive) -> Option<&mut [f32]> {
    if is_whole(tensor) {
        tensor.try_storage_mut::<f32>()
    } else {
        None
    }
}

pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Primitive {
    Primitive::from_data(TensorData::new(values, shape))
}

pub(super) fn dimensions(tensor: &Primitive) -> [usize; 4] {
    tensor.layout().shape().dims()
}

pub(super) fn geometry(x: [usize; 4], weight: [usize; 4], spec: ConvSpec) -> Convolution {
    let [batch, in_height, in_width, in_channels] = x;
    let [out_channels, _, kernel_height, kernel_width] = weight;
    let kernel = [kernel_height, kernel_width];
    let [padding, padding_end] = spec.zeros([in_height, in_width], kernel);
    Convolution {
        batch,
        in_height,
        in_width,
        in_channels,
        out_channels,
        kernel,
        stride: spec.stride,
        padding,
        padding_end,
        dilation: spec.dilation,
        groups: spec.groups,
    }
}

pub(super) fn output_shape(conv: &Convolution) -> [usize; 4] {
    [
        conv.batch,
        conv.out_height(),
        conv.out_width(),
        conv.out_channels,
    ]
}

/// The values that are added to those of the last unit.
pub(super) fn residual_values<'a>(
    residual: &'a Residual<Flex>,
    x: &'a Primitive,
) -> Option<&'a [f32]> {
    match residual {
        Residual::None => None,
        Residual::Input => Some(values(x)),
        Residual::Add(residual) => Some(values(residual)),
    }
}

pub(super) fn contiguous_residual(residual: Residual<Flex>) -> Residual<Flex> {
    match residual {
        Residual::Add(residual) => Residual::Add(contiguous(residual)),
        other => other,
    }
}
