//! Attention of tokens.

use burn::tensor::{Device, Tensor};

use super::kind::{LayerKind, Shape, nothing_to_fold, only};
use crate::forward::Forward;
use crate::ops;
use crate::parameter_info::ParameterInfo;
use crate::{Parameters, Part};

/// Multi-head attention between the tokens of an image, which are all pixels of its map: `softmax(q · kᵀ / √d) · v` in
/// each head of `d` channels; Vaswani and others, "Attention Is All You Need" (arXiv 1706.03762), section 3.2. The input
/// has three times the channels: the queries of all heads, their keys, and their values. The linear layers before and
/// behind it are units.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Names it in messages: it has no parameters.
    pub name: String,
    /// Channels of the output.
    pub channels: usize,
    /// Heads, which share the channels equally.
    pub heads: usize,
}

impl LayerKind for Attention {
    fn parameters(&self) -> Vec<ParameterInfo> {
        Vec::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        let [height, width, _] = inputs[0];
        [height, width, self.channels]
    }

    /// Each token's query meets all keys, and its weights all values.
    fn multiply_adds(&self, inputs: &[Shape]) -> usize {
        let [height, width, _] = inputs[0];
        let tokens = height * width;
        2 * tokens * tokens * self.channels
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, _forward: &mut Forward) -> Tensor<4> {
        ops::attention(only(inputs), self.heads)
    }

    fn fold(&self, _parameters: &Parameters, _device: &Device) -> Vec<(String, Part)> {
        nothing_to_fold()
    }
}
