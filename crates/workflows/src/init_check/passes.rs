//! The results of a forward and a backward pass, layer by layer.

use warmstart_nn::burn::tensor::Tensor;

/// The results and gradients of a layer.
pub struct Pass {
    pub name: String,
    pub output: Vec<f32>,
    /// The gradient of the loss by the output.
    pub gradient: Vec<f32>,
    /// Whether the layer lies on the network's main path, so that its values compare with those of other layers that
    /// do; see [`Layer::on_main_path`](super::Layer::on_main_path).
    pub on_main_path: bool,
}

/// The passes of a network.
pub struct Passes {
    /// The passes of its layers, from the image on.
    pub layers: Vec<Pass>,
    /// The pass of the classifier behind them; `None` for the plain network.
    pub head: Option<Pass>,
}

/// All values of a tensor.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("tensors are f32")
}
