//! A convolution as taps of `depth` values each, for the forward pass and the weight gradient.
//!
//! Usually a tap is a pixel's channels. An image has only three of them, too few to keep a register
//! tile busy between two pointers, but the taps of a kernel row lie side by side in memory. So when
//! channels are few, the input is copied with its padding and a kernel row becomes a single tap.

use rayon::prelude::*;

use crate::gather::Gather;
use crate::geometry::Convolution;
use crate::memory::with_scratch;
use crate::operand::Operand;

/// Channels with which a pixel keeps the register tile busy.
const ENOUGH_CHANNELS: usize = 16;

/// Taps of a convolution's input and the places of their weights.
pub(crate) struct InputView {
    pub gather: Gather,
    pub places: WeightPlaces,
}

/// A weight's place within its output channel is that of its tap plus that of its depth.
pub(crate) struct WeightPlaces {
    pub taps: Vec<usize>,
    pub depths: Vec<usize>,
}

impl WeightPlaces {
    pub(crate) fn new(c: &Convolution) -> Self {
        let [height, width] = c.kernel;
        let channels = 0..c.group_in_channels();
        if merges_rows(c) {
            let places = |x| channels.clone().map(move |channel| channel * c.taps() + x);
            Self {
                taps: (0..height).map(|y| y * width).collect(),
                depths: (0..width).flat_map(places).collect(),
            }
        } else {
            Self {
                taps: (0..c.taps()).collect(),
                depths: channels.map(|channel| channel * c.taps()).collect(),
            }
        }
    }
}

/// Whether a kernel row counts as a single tap.
fn merges_rows(c: &Convolution) -> bool {
    let is_narrow = c.groups == 1 && c.group_in_channels() < ENOUGH_CHANNELS;
    is_narrow && c.kernel[1] > 1 && c.dilation[1] == 1
}

/// Calls `work` with the view and its input. `even_depth` asks for an input that may be
/// read to an even depth.
pub(crate) fn with_input_view<R>(
    c: &Convolution,
    x: Operand<'_>,
    even_depth: bool,
    work: impl FnOnce(&InputView, Operand<'_>) -> R,
) -> R {
    let view = |gather: Gather| InputView {
        gather,
        places: WeightPlaces::new(c),
    };
    if merges_rows(c) {
        with_padded(c, x, |padded, x| {
            work(&view(Gather::forward(padded).with_merged_rows()), x)
        })
    } else if even_depth && !c.group_in_channels().is_multiple_of(2) {
        with_padded(c, x, |padded, x| work(&view(Gather::forward(padded)), x))
    } else {
        work(&view(Gather::forward(c)), x)
    }
}

/// Copies `x` with the zeros around it, and one more value that may be read but has no meaning.
fn with_padded<R>(
    c: &Convolution,
    x: Operand<'_>,
    work: impl FnOnce(&Convolution, Operand<'_>) -> R,
) -> R {
    let x = &x.whole();
    let ([top, left], [bottom, right]) = (c.padding, c.padding_end);
    let padded = Convolution {
        in_height: top + c.in_height + bottom,
        in_width: left + c.in_width + right,
        padding: [0; 2],
        padding_end: [0; 2],
        ..*c
    };
    let row_len = c.in_width * c.in_channels;
    let padded_len = padded.in_width * c.in_channels;
    with_scratch(padded.input_len() + 1, |buffer| {
        let rows = buffer[..padded.input_len()].par_chunks_exact_mut(padded_len.max(1));
        rows.enumerate().for_each(|(number, row)| {
            let (image, y) = (number / padded.in_height, number % padded.in_height);
            row.fill(0.0);
            if let Some(y) = y.checked_sub(top).filter(|&y| y < c.in_height) {
                let source = &x[(image * c.in_height + y) * row_len..][..row_len];
                row[left * c.in_channels..][..row_len].copy_from_slice(source);
            }
        });
        work(&padded, Operand::Values(buffer))
    })
}
