//! The format of numbers: activations on a graphics card may have 16 bits, and whatever is summed up has 32.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::DType;

/// The values in a format: the tensor itself where it has that already.
pub(super) fn in_format<B: Backend>(x: FloatTensor<B>, format: DType) -> FloatTensor<B> {
    if x.dtype() == format {
        x
    } else {
        B::float_cast(x, format.into())
    }
}

/// The values in f32.
pub(super) fn single<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    in_format::<B>(x, DType::F32)
}
