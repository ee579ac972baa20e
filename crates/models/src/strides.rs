//! The places of a backbone where a stride ends.

use warmstart_nn::layers::Shape;

use crate::stage::Stage;

/// An image that every stride divides.
const IMAGE: Shape = [64, 64, 3];

/// Indices of the last of `stages` at strides 8, 16 and 32.
pub(crate) fn ends(stages: &[Stage]) -> [usize; 3] {
    let mut shape = IMAGE;
    let mut last = [0; 3];
    for (index, stage) in stages.iter().enumerate() {
        shape = stage.graph().output_shapes(&[shape])[0];
        for (place, stride) in last.iter_mut().zip([8, 16, 32]) {
            if IMAGE[0] == stride * shape[0] {
                *place = index;
            }
        }
    }
    last
}
