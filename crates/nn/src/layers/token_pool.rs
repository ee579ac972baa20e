//! Tokens pooled to one.

use burn::tensor::{Device, Tensor};

use super::kind::{LayerKind, Shape, for_two_uses, nothing_to_fold, only};
use crate::forward::Forward;
use crate::ops;
use crate::parameter_info::ParameterInfo;
use crate::{Parameters, Part};

/// What a [`TokenPool`] makes of the tokens of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The mean of the class tokens: one, or DeiT's two.
    Class,
    /// The mean of the patches.
    Mean,
    /// Both joined: [`Class`](Self::Class), then [`Mean`](Self::Mean).
    Both,
}

/// The tokens of an image as one pixel: `[1, 1, channels]`, or `[1, 1, 2 · channels]` of [`Pool::Both`].
#[derive(Clone, Debug, PartialEq)]
pub struct TokenPool {
    /// Tokens before the patches: class tokens and registers.
    pub prefix: usize,
    /// The first of them, which are class tokens.
    pub class: usize,
    /// What it makes of them.
    pub pool: Pool,
}

/// The mean of `count` tokens from `start` on: x is `[batch, 1, tokens, channels]`, the result
/// `[batch, 1, 1, channels]`.
fn mean(x: Tensor<4>, start: usize, count: usize) -> Tensor<4> {
    let means = ops::image_means(x.narrow(2, start, count));
    let [batch, channels] = means.dims();
    means.reshape([batch, 1, 1, channels])
}

impl LayerKind for TokenPool {
    fn parameters(&self) -> Vec<ParameterInfo> {
        Vec::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        let [_, _, channels] = inputs[0];
        let channels = match self.pool {
            Pool::Class | Pool::Mean => channels,
            Pool::Both => 2 * channels,
        };
        [1, 1, channels]
    }

    fn multiply_adds(&self, _inputs: &[Shape]) -> usize {
        0
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, forward: &mut Forward) -> Tensor<4> {
        let x = only(inputs);
        let [_, _, tokens, _] = x.dims();
        let patches = tokens - self.prefix;
        match self.pool {
            Pool::Class => mean(x, 0, self.class),
            Pool::Mean => mean(x, self.prefix, patches),
            Pool::Both => {
                let (one, other) = for_two_uses(x, forward);
                ops::concatenate(vec![
                    mean(one, 0, self.class),
                    mean(other, self.prefix, patches),
                ])
            }
        }
    }

    fn fold(&self, _parameters: &Parameters, _device: &Device) -> Vec<(String, Part)> {
        nothing_to_fold()
    }
}
