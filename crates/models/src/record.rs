//! Records: weights that somebody published for an architecture, and what a network has to share with them.

use warmstart_nn::ops::Padding;
use warmstart_nn::{Activation, BatchNorm, Unit};

/// The filter that resizes pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Linear between two pixels.
    Bilinear,
    /// Cubic over four pixels.
    Bicubic,
}

/// The preprocessing with which published weights were trained and evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pretrained {
    /// Edge of the square image that goes into the network, in pixels.
    pub image_size: usize,
    /// Edge of the centre crop as a share of the resized shorter side.
    pub crop: f64,
    /// The filter of the resizing, antialiased as Pillow has it.
    pub interpolation: Interpolation,
    /// Subtracted mean by channel (red, green, blue) of pixels in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation by channel, by which pixels are divided.
    pub deviation: [f32; 3],
}

impl Pretrained {
    /// ImageNet's means and deviations, at these sizes.
    pub(crate) const fn imagenet(
        image_size: usize,
        resized: usize,
        interpolation: Interpolation,
    ) -> Self {
        Self {
            image_size,
            crop: image_size as f64 / resized as f64,
            interpolation,
            mean: [0.485, 0.456, 0.406],
            deviation: [0.229, 0.224, 0.225],
        }
    }
}

/// Constants of a network that are in no file of its weights, but change its results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numerics {
    /// Added to each batch norm's variance.
    pub epsilon: f32,
    /// Share of a new batch in the running statistics.
    pub momentum: f64,
    /// Whether convolutions pad as TensorFlow does: [`Padding::Same`].
    pub same_padding: bool,
}

impl Numerics {
    /// PyTorch's own.
    pub(crate) const PYTORCH: Self = Self {
        epsilon: 1e-5,
        momentum: 0.1,
        same_padding: false,
    };

    /// Those of networks that were ported from TensorFlow.
    pub(crate) const TENSORFLOW: Self = Self {
        epsilon: 1e-3,
        momentum: 0.01,
        same_padding: true,
    };

    /// A unit of a square kernel with these constants, whose padding keeps the size at stride 1.
    pub(crate) fn unit(
        &self,
        [conv, norm]: [&str; 2],
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
        activation: Activation,
    ) -> Unit {
        let mut unit = Unit::with_bias(conv, channels, kernel, stride, groups, activation);
        unit.norm = Some(BatchNorm {
            name: norm.to_owned(),
            momentum: self.momentum,
        });
        unit.spec.epsilon = self.epsilon;
        // At stride 1, an odd kernel is padded alike on each side anyway.
        if self.same_padding && stride > 1 {
            unit.spec.conv.padding = Padding::Same;
        }
        unit
    }
}

/// Weights that somebody published for an architecture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// Its name beside the architecture's, such as `imagenet1k_v1`, as torchvision or timm call it.
    pub tag: &'static str,
    /// Who published it.
    pub publisher: &'static str,
    /// The preprocessing that it expects.
    pub pretrained: Pretrained,
    /// The constants that it was trained with.
    pub numerics: Numerics,
    /// Published accuracy on ImageNet's validation images, in percent.
    pub top1: Option<f64>,
}
