//! What every kind of layer states of itself.

use burn::tensor::{Device, Tensor};

use crate::forward::Forward;
use crate::ops;
use crate::parameter_info::ParameterInfo;
use crate::{Parameters, Part};

/// `[height, width, channels]` of an image's activation.
pub type Shape = [usize; 3];

/// What each kind of layer states of itself.
pub trait LayerKind {
    /// Its parameters, in the order of PyTorch's `state_dict`.
    fn parameters(&self) -> Vec<ParameterInfo>;

    /// Shape of the result for inputs of these shapes.
    fn output_shape(&self, inputs: &[Shape]) -> Shape;

    /// Multiplications for one image.
    fn multiply_adds(&self, inputs: &[Shape]) -> usize;

    /// Sends a batch through the layer. Inputs and result are `[batch, height, width, channels]`.
    fn forward(&self, inputs: Vec<Tensor<4>>, forward: &mut Forward) -> Tensor<4>;

    /// Its parts prepared for inference, by name.
    fn fold(&self, parameters: &Parameters, device: &Device) -> Vec<(String, Part)>;
}

/// The only input of a layer that has one.
pub(super) fn only<T>(mut inputs: Vec<T>) -> T {
    assert_eq!(inputs.len(), 1, "the layer has one input");
    inputs.remove(0)
}

/// A value for each of two uses.
pub(super) fn for_two_uses(x: Tensor<4>, forward: &Forward) -> (Tensor<4>, Tensor<4>) {
    match forward {
        // The gradients of its two uses are as large as the map.
        Forward::Training { .. } => {
            let mut uses = ops::fork(x, 2).into_iter();
            let mut next = || uses.next().expect("a fork has as many ways as uses");
            (next(), next())
        }
        Forward::Inference(_) => (x.clone(), x),
    }
}

/// A layer without parameters has nothing to prepare.
pub(super) const fn nothing_to_fold() -> Vec<(String, Part)> {
    Vec::new()
}
