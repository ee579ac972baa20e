//! The shape of a convolution.

use std::fmt;

/// Geometry of one 2-D convolution. Pairs are `[vertical, horizontal]`.
///
/// Activations are contiguous `[batch, height, width, channels]`, weights
/// `[out_channels, in_channels / groups, kernel height, kernel width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Number of images.
    pub batch: usize,
    /// Height of the input in pixels.
    pub in_height: usize,
    /// Width of the input in pixels.
    pub in_width: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the kernel in taps.
    pub kernel: [usize; 2],
    /// Step of the kernel in input pixels.
    pub stride: [usize; 2],
    /// Rows of zeros added above the input, and columns on its left.
    pub padding: [usize; 2],
    /// Rows of zeros added below the input, and columns on its right.
    pub padding_end: [usize; 2],
    /// Distance between two taps in input pixels.
    pub dilation: [usize; 2],
    /// Number of independent groups that the channels fall into.
    pub groups: usize,
}

/// A [`Convolution`] that can't be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeometryError(String);

impl fmt::Display for GeometryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for GeometryError {}

impl Convolution {
    /// Height of the output in pixels; 0 if the kernel is larger than the padded input.
    pub fn out_height(&self) -> usize {
        self.out_extent(0, self.in_height)
    }

    /// Width of the output in pixels; 0 if the kernel is larger than the padded input.
    pub fn out_width(&self) -> usize {
        self.out_extent(1, self.in_width)
    }

    /// Input pixels from the first tap to the last.
    fn reach(&self, axis: usize) -> usize {
        self.dilation[axis] * self.kernel[axis].saturating_sub(1) + 1
    }

    fn out_extent(&self, axis: usize, in_extent: usize) -> usize {
        let padded = in_extent + self.padding[axis] + self.padding_end[axis];
        match padded.checked_sub(self.reach(axis)) {
            Some(room) => room / self.stride[axis].max(1) + 1,
            None => 0,
        }
    }

    /// The same convolution with TensorFlow's padding `SAME`: along each axis the output has the
    /// size of the input divided by the stride, rounded up, and of an odd number of zeros the end
    /// gets one more.
    pub fn padded_same(self) -> Self {
        let total = [0, 1].map(|axis| {
            let in_extent = [self.in_height, self.in_width][axis];
            let steps = in_extent
                .div_ceil(self.stride[axis].max(1))
                .saturating_sub(1);
            (steps * self.stride[axis] + self.reach(axis)).saturating_sub(in_extent)
        });
        Self {
            padding: total.map(|total| total / 2),
            padding_end: total.map(|total| total.div_ceil(2)),
            ..self
        }
    }

    /// Number of input values.
    pub fn input_len(&self) -> usize {
        self.batch * self.in_height * self.in_width * self.in_channels
    }

    /// Number of output values.
    pub fn output_len(&self) -> usize {
        self.batch * self.out_height() * self.out_width() * self.out_channels
    }

    /// Number of weights.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.group_in_channels() * self.taps()
    }

    /// Multiplications of one forward pass, including those with padding.
    pub fn multiply_adds(&self) -> usize {
        self.output_len() * self.group_in_channels() * self.taps()
    }

    /// Whether every channel is convolved with a kernel of its own.
    pub fn is_depthwise(&self) -> bool {
        self.groups == self.in_channels && self.groups == self.out_channels && self.groups > 1
    }

    /// Whether every output pixel depends on all channels of the input pixel at its place alone.
    pub(crate) fn is_pointwise(&self) -> bool {
        let pair = [self.kernel, self.stride];
        let padding = [self.padding, self.padding_end];
        pair == [[1, 1]; 2] && padding == [[0, 0]; 2] && self.groups == 1
    }

    /// Checks that the geometry can be computed. The kernels panic on one that can't.
    ///
    /// # Errors
    /// If a kernel, stride, dilation or group count is zero, the groups don't divide the channels,
    /// or the kernel is larger than the padded input.
    pub fn check(&self) -> Result<(), GeometryError> {
        let error = |message: String| Err(GeometryError(format!("convolution: {message}")));
        for (name, pair) in [
            ("kernel", self.kernel),
            ("stride", self.stride),
            ("dilation", self.dilation),
        ] {
            if pair.contains(&0) {
                return error(format!("expected a {name} of at least 1x1, found {pair:?}"));
            }
        }
        let channels = [self.in_channels, self.out_channels];
        if self.groups == 0 || channels.iter().any(|count| count % self.groups != 0) {
            return error(format!(
                "expected groups that divide the channels {channels:?}, found {}",
                self.groups
            ));
        }
        if self.out_height() == 0 || self.out_width() == 0 {
            return error(format!(
                "expected an input at least as large as the kernel {:?} (dilation {:?}, padding {:?} and {:?}), found {}x{}; use larger images",
                self.kernel,
                self.dilation,
                self.padding,
                self.padding_end,
                self.in_height,
                self.in_width
            ));
        }
        Ok(())
    }

    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    pub(crate) fn group_in_channels(&self) -> usize {
        self.in_channels / self.groups.max(1)
    }

    pub(crate) fn group_out_channels(&self) -> usize {
        self.out_channels / self.groups.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEM: Convolution = Convolution {
        batch: 2,
        in_height: 224,
        in_width: 224,
        in_channels: 3,
        out_channels: 64,
        kernel: [7, 7],
        stride: [2, 2],
        padding: [3, 3],
        padding_end: [3, 3],
        dilation: [1, 1],
        groups: 1,
    };

    #[test]
    fn the_stem_of_a_resnet_halves_the_image() {
        assert_eq!((STEM.out_height(), STEM.out_width()), (112, 112));
        assert_eq!(STEM.weight_len(), 64 * 3 * 49);
        assert_eq!(STEM.check(), Ok(()));
    }

    #[test]
    fn padding_same_adds_more_at_the_end() {
        let same = |in_height, in_width, kernel, stride| {
            let c = Convolution {
                in_height,
                in_width,
                kernel: [kernel; 2],
                stride: [stride; 2],
                ..STEM
            };
            let c = c.padded_same();
            let out = [c.out_height(), c.out_width()];
            assert_eq!(out, [in_height.div_ceil(stride), in_width.div_ceil(stride)]);
            (c.padding, c.padding_end)
        };
        assert_eq!(same(224, 113, 3, 2), ([0, 1], [1, 1]));
        assert_eq!(same(224, 113, 5, 2), ([1, 2], [2, 2]));
        assert_eq!(same(14, 1, 5, 1), ([2, 2], [2, 2]));
        assert_eq!(same(9, 10, 1, 2), ([0, 0], [0, 0]));
        assert_eq!(same(9, 10, 2, 1), ([0, 0], [1, 1]));
    }

    #[test]
    fn impossible_geometries_say_what_is_wrong() {
        let message = |c: Convolution| c.check().unwrap_err().to_string();
        let stride = [0, 1];
        assert!(message(Convolution { stride, ..STEM }).contains("stride"));
        assert!(message(Convolution { groups: 2, ..STEM }).contains("groups"));
        let in_width = 0;
        assert!(message(Convolution { in_width, ..STEM }).contains("224x0"));
    }
}
