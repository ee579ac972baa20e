//! Values out of tensors.

use burn::backend::Flex;
use burn::tensor::{FloatDType, Tensor};

use super::flex;

/// The values of a tensor without gradients, of whatever format. Where another handle shares them, they are copied by
/// all threads.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let tensor = tensor.cast(FloatDType::F32);
    match tensor.clone().try_into_primitive::<Flex>() {
        Ok(primitive) => {
            drop(tensor);
            flex::into_values(primitive)
        }
        Err(_) => {
            let data = tensor.into_data();
            data.try_into_vec().expect("the values of a tensor are f32")
        }
    }
}
