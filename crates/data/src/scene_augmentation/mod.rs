//! Changes to training pictures and their boxes before a detector sees them.

mod hsv;
mod plan;

pub use plan::{MIN_VISIBLE_SHARE, MIN_VISIBLE_SIDE, ScenePlan};

use crate::error::{DataError, require_up_to};
use serde::{Deserialize, Serialize};
use warmstart_language::{english, translated};

/// The largest `scale` accepted.
const MAX_SCALE: f64 = 10.0;

/// Random views of pictures and their boxes; [`ScenePlan`] draws and paints them. The size of a view
/// and the normalisation are the network's. Options that a recipe leaves out are those of
/// [`SceneAugmentation::default`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SceneAugmentation {
    /// Smallest and largest size of a picture, 1 being that of its [`Letterbox`](crate::Letterbox).
    /// A picture larger than its place on the canvas is cut; around a smaller one the canvas stays grey.
    pub scale: [f64; 2],
    /// Probability of a horizontal flip.
    pub flip: f64,
    /// Hue is turned by up to this part of the circle, at most 0.5; 0 leaves it.
    pub hue: f64,
    /// The saturation of HSV is multiplied by 1 - `saturation` to 1 + `saturation`; 0 leaves it.
    pub saturation: f64,
    /// The value of HSV is multiplied by 1 - `brightness` to 1 + `brightness`; 0 leaves it.
    pub brightness: f64,
    /// Probability of a mosaic of four pictures in place of one.
    pub mosaic: f64,
    /// Share of a phase's epochs, at its end, that go without mosaics: the last pictures a detector
    /// learns from are whole ones.
    pub mosaic_closing: f64,
}

impl Default for SceneAugmentation {
    /// The scales and the flip of RTMDet (Lyu et al., arXiv 2212.07784) in a narrower range, and its
    /// colours, which are those of YOLOX (Ge et al., arXiv 2107.08430): hue 5 of 180, saturation and
    /// value 30 of 255. These are added there; here is what they come to half way up the range.
    fn default() -> Self {
        Self {
            scale: [0.5, 2.0],
            flip: 0.5,
            hue: 0.028,
            saturation: 0.24,
            brightness: 0.24,
            mosaic: 0.5,
            mosaic_closing: 0.15,
        }
    }
}

impl SceneAugmentation {
    /// Refuses ranges that are empty or out of bounds.
    pub fn check(&self) -> Result<(), DataError> {
        let [smallest, largest] = self.scale;
        if !(smallest > 0.0 && smallest <= largest && largest <= MAX_SCALE) {
            return Err(DataError::OutOfRange {
                name: "scale",
                expected: translated(english!("0 < smallest <= largest <= 10")),
                found: format!("{:?}", self.scale),
            });
        }
        let shares = [
            ("flip", self.flip, 1.0, english!("0 to 1")),
            ("hue", self.hue, 0.5, english!("0 to 0.5")),
            ("saturation", self.saturation, 1.0, english!("0 to 1")),
            ("brightness", self.brightness, 1.0, english!("0 to 1")),
            ("mosaic", self.mosaic, 1.0, english!("0 to 1")),
            (
                "mosaic_closing",
                self.mosaic_closing,
                1.0,
                english!("0 to 1"),
            ),
        ];
        require_up_to(&shares)
    }

    /// The same without mosaics, as in the last epochs of training: a sample whose view is not a mosaic
    /// keeps that view.
    pub fn without_mosaic(&self) -> Self {
        Self {
            mosaic: 0.0,
            ..self.clone()
        }
    }
}
