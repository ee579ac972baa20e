use std::ops::Range;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use warmstart_kernels::{Adam, Sgd};

use super::list::Tensors;
use super::listener::Heard;
use super::records::{
    BranchGradients, BranchOutput, ConvSpec, FoldedUnits, LinearGradients, NormGradients,
    PackedWeight, PoolSpec, Rates, Residual, UnitResults, UnitSpec, Units,
};
use super::stock;

/// The branches of convolutional networks: units of convolution, batch norm and activation, one after
/// the other, and a residual before the last activation.
///
/// The operation is a branch, not a unit, because the values between its units need never be in
/// memory as a whole. A backend that implements nothing gets the bodies of [`stock`].
///
/// Parameters, gates and statistics are f32, and so are the gradients of parameters and gates. An activation may have
/// another format where the backend computes in it; a result has that of `x`, and a gradient that of what it is the
/// gradient of.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait VisionOps: Backend {
    /// Prepares a weight, once, for [`branch_inference`](Self::branch_inference) on any number of
    /// batches and images of any size.
    fn pack_weight(weight: FloatTensor<Self>, spec: ConvSpec) -> PackedWeight<Self> {
        stock::pack_weight::<Self>(weight, spec)
    }

    /// Inference: `activation(conv(…) + bias + residual)` over the units. An image's result depends on
    /// no other image of the batch; on a graphics card its rounding may depend on their number.
    fn branch_inference(
        x: FloatTensor<Self>,
        #[extension_type] units: FoldedUnits<Self>,
        #[extension_type] residual: Residual<Self>,
        specs: Vec<UnitSpec>,
    ) -> FloatTensor<Self> {
        stock::branch_inference::<Self>(x, units.0, residual, &specs)
    }

    /// Training: `activation(batch_norm(conv(…)) + residual)` over the units, at most
    /// [`MAX_UNITS`].
    fn branch(
        x: FloatTensor<Self>,
        #[extension_type] units: Units<Self>,
        #[extension_type] residual: Residual<Self>,
        specs: Vec<UnitSpec>,
    ) -> BranchOutput<Self> {
        stock::branch::<Self>(x, units.0, residual, &specs)
    }

    /// The gradients of a [`branch`](Self::branch), given that of its output and the values that it kept.
    fn branch_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        #[extension_type] units: Units<Self>,
        #[extension_type] residual: Residual<Self>,
        #[extension_type] results: UnitResults<Self>,
        specs: Vec<UnitSpec>,
        need_input: bool,
    ) -> BranchGradients<Self> {
        stock::branch_backward::<Self>(
            gradient, x, units.0, residual, results.0, &specs, need_input,
        )
    }

    /// The largest value of each window, NaN if there is one.
    fn max_pool(x: FloatTensor<Self>, spec: PoolSpec) -> FloatTensor<Self> {
        stock::max_pool::<Self>(x, spec)
    }

    /// Gradient of [`max_pool`](Self::max_pool) with respect to its input `x`: a window's goes to the
    /// first of its largest values.
    fn max_pool_backward(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        spec: PoolSpec,
    ) -> FloatTensor<Self> {
        stock::max_pool_backward::<Self>(x, gradient, spec)
    }

    /// The mean of each window, without the padding.
    fn average_pool(x: FloatTensor<Self>, spec: PoolSpec) -> FloatTensor<Self> {
        stock::average_pool::<Self>(x, spec)
    }

    /// Gradient of [`average_pool`](Self::average_pool) with respect to its input, whose
    /// `[height, width]` is `input_size`.
    fn average_pool_backward(
        gradient: FloatTensor<Self>,
        input_size: [usize; 2],
        spec: PoolSpec,
    ) -> FloatTensor<Self> {
        stock::average_pool_backward::<Self>(gradient, input_size, spec)
    }

    /// The mean over the pixels of each image: x `[batch, height, width, channels]` to `[batch, channels]` in f32,
    /// whatever the format of x.
    fn image_means(x: FloatTensor<Self>) -> FloatTensor<Self> {
        stock::image_means::<Self>(x)
    }

    /// Gradient of [`image_means`](Self::image_means) with respect to its input, whose `[height, width]` is
    /// `input_size`; in f32.
    fn image_means_backward(
        gradient: FloatTensor<Self>,
        input_size: [usize; 2],
    ) -> FloatTensor<Self> {
        stock::image_means_backward::<Self>(gradient, input_size)
    }

    /// `x · gate` of x `[batch, height, width, channels]` and gate `[batch, channels]`.
    fn scale_channels(x: FloatTensor<Self>, gate: FloatTensor<Self>) -> FloatTensor<Self> {
        stock::scale_channels::<Self>(x, gate)
    }

    /// Gradients of [`scale_channels`](Self::scale_channels) with respect to x and gate.
    fn scale_channels_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        gate: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        stock::scale_channels_backward::<Self>(gradient, x, gate)
    }

    /// The channels of maps `[batch, height, width, channels]` of one size, one after the other.
    fn concatenate(#[extension_type] maps: Tensors<Self>) -> FloatTensor<Self> {
        stock::concatenate::<Self>(maps)
    }

    /// The channels in each of `parts` of a map, as a map of their own: the gradients of
    /// [`concatenate`](Self::concatenate) with respect to its maps, from that of its result.
    fn split_channels(x: FloatTensor<Self>, parts: Vec<Range<usize>>) -> Tensors<Self> {
        stock::split_channels::<Self>(x, parts)
    }

    /// Every pixel of x `[batch, height, width, channels]` twice in both directions.
    fn upsample(x: FloatTensor<Self>) -> FloatTensor<Self> {
        stock::upsample::<Self>(x)
    }

    /// Gradient of [`upsample`](Self::upsample) with respect to its input.
    fn upsample_backward(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        stock::upsample_backward::<Self>(gradient)
    }

    /// The channels of x `[batch, height, width, channels]` in reverse order; so is its gradient made.
    fn reverse_channels(x: FloatTensor<Self>) -> FloatTensor<Self> {
        stock::reverse_channels::<Self>(x)
    }

    /// Each block of two by two pixels of x `[batch, height, width, channels]` as one pixel of four times the channels:
    /// those of the top left pixel, then bottom left, top right and bottom right.
    fn space_to_depth(x: FloatTensor<Self>) -> FloatTensor<Self> {
        stock::space_to_depth::<Self>(x)
    }

    /// The inverse of [`space_to_depth`](Self::space_to_depth), by which its gradient is made.
    fn depth_to_space(x: FloatTensor<Self>) -> FloatTensor<Self> {
        stock::depth_to_space::<Self>(x)
    }

    /// `x + y` of two tensors of one shape.
    fn add(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        stock::add::<Self>(x, y)
    }

    /// `x · factor`, with one factor `[1]` for all.
    fn scale(x: FloatTensor<Self>, factor: FloatTensor<Self>) -> FloatTensor<Self> {
        stock::scale::<Self>(x, factor)
    }

    /// A tensor for each of several uses of x, whose gradients are summed by [`add`](Self::add).
    fn fork(x: FloatTensor<Self>, uses: usize) -> Tensors<Self> {
        stock::fork::<Self>(x, uses)
    }

    /// A zero `[1]`, whose gradient with respect to x is `gradient`.
    fn with_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        stock::with_gradient::<Self>(x, gradient)
    }

    /// The parameter `x` itself, whose gradient is heard in a backward pass before that of `before`, which its layers
    /// take.
    fn hear(x: FloatTensor<Self>, before: FloatTensor<Self>, heard: Heard) -> FloatTensor<Self> {
        stock::hear::<Self>(x, before, heard)
    }

    /// `x · weightᵀ + bias` of x `[batch, in]`, weight `[out, in]` and bias `[out]`.
    fn linear_layer(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        stock::linear::<Self>(x, weight, bias)
    }

    /// Gradients of [`linear_layer`](Self::linear_layer), from that of its output `[batch, out]`.
    fn linear_layer_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        need_x: bool,
    ) -> LinearGradients<Self> {
        stock::linear_backward::<Self>(gradient, x, weight, need_x)
    }

    /// Layer norm over the channels of each pixel: x `[batch, height, width, channels]`, scale gamma and shift beta
    /// `[channels]`; `epsilon` is added to the variance before its square root is taken.
    fn layer_normalization(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        stock::layer_norm::<Self>(x, gamma, beta, epsilon)
    }

    /// Gradients of [`layer_normalization`](Self::layer_normalization), from that of its output.
    fn layer_normalization_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        epsilon: f32,
        need_x: bool,
    ) -> NormGradients<Self> {
        stock::layer_norm_backward::<Self>(gradient, x, gamma, epsilon, need_x)
    }

    /// Global response norm over each image: x `[batch, height, width, channels]`, scale gamma and shift beta
    /// `[channels]`; `epsilon` is added to the mean length of a channel.
    fn response_normalization(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        stock::response_norm::<Self>(x, gamma, beta, epsilon)
    }

    /// Gradients of [`response_normalization`](Self::response_normalization), from that of its output.
    fn response_normalization_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        epsilon: f32,
        need_x: bool,
    ) -> NormGradients<Self> {
        stock::response_norm_backward::<Self>(gradient, x, gamma, epsilon, need_x)
    }

    /// Attention between all pixels of each image: qkv `[batch, height, width, 3 · channels]`, queries, keys and values
    /// in this order, each with the channels of the heads one after the other, to `[batch, height, width, channels]`.
    fn self_attention(qkv: FloatTensor<Self>, heads: usize) -> FloatTensor<Self> {
        stock::attention::<Self>(qkv, heads)
    }

    /// Gradient of [`self_attention`](Self::self_attention) with respect to its input.
    fn self_attention_backward(
        gradient: FloatTensor<Self>,
        qkv: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        stock::attention_backward::<Self>(gradient, qkv, heads)
    }

    /// One step of SGD on every parameter, each with its gradient (of its shape), its velocity
    /// `[values]` and its rates: the new parameters and velocities. A tensor that nobody else holds
    /// is changed in place.
    fn sgd_step(
        #[extension_type] parameters: Tensors<Self>,
        #[extension_type] gradients: Tensors<Self>,
        #[extension_type] velocities: Tensors<Self>,
        rates: Vec<Rates>,
        sgd: Sgd,
    ) -> (Tensors<Self>, Tensors<Self>) {
        stock::sgd_step::<Self>(parameters, gradients, velocities, rates, sgd)
    }

    /// One step of Adam or AdamW, as [`sgd_step`](Self::sgd_step): the new parameters, mean
    /// gradients and mean squared gradients.
    fn adam_step(
        #[extension_type] parameters: Tensors<Self>,
        #[extension_type] gradients: Tensors<Self>,
        #[extension_type] means: Tensors<Self>,
        #[extension_type] squares: Tensors<Self>,
        rates: Vec<Rates>,
        adam: Adam,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        stock::adam_step::<Self>(parameters, gradients, means, squares, rates, adam)
    }

    /// The sum of the squares of all values.
    fn sum_of_squares(#[extension_type] tensors: Tensors<Self>) -> f64 {
        stock::sum_of_squares::<Self>(tensors)
    }

    /// Moves averages towards values of the same shapes: `(1 − share) · average + share · factor ·
    /// value`, with one factor a tensor.
    fn move_averages(
        #[extension_type] averages: Tensors<Self>,
        #[extension_type] values: Tensors<Self>,
        factors: Vec<f64>,
        share: f64,
    ) -> Tensors<Self> {
        stock::move_averages::<Self>(averages, values, factors, share)
    }
}

/// Units of the longest branch: a node of Burn's gradient graph has a fixed number of parents.
pub const MAX_UNITS: usize = 3;
