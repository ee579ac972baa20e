//! Networks as backbones of detectors, which work on features of three strides.

use std::fmt;

use warmstart_language::message;

use crate::architecture::{Architecture, SMALL};
use crate::detector::Detector;

impl Architecture {
    /// The layers of a detector of that many classes after the stages: its own, or a light one on the features of
    /// [`taps`](Self::taps).
    ///
    /// # Panics
    /// If it has no taps: see [`with_taps`](Self::with_taps).
    pub fn detector(&self, classes: usize) -> Detector {
        (self.detector)(self, classes)
    }

    /// The backbone of a detector: it outputs the features of all three taps, and ends with the last. A detector from
    /// the start stays as it is.
    ///
    /// # Errors
    /// If all its features have one stride.
    pub fn with_taps(mut self) -> Result<Self, NoTaps> {
        if self.is_detector {
            return Ok(self);
        }
        let Some([first, second, last]) = self.taps else {
            return Err(NoTaps { model: self.name });
        };
        self.stages.truncate(last + 1);
        self.features = self.channels_of(last);
        self.outputs = vec![first, second];
        Ok(self)
    }

    /// Channels of the maps that a detector works on, at strides 8, 16 and 32.
    ///
    /// # Panics
    /// If it has no taps: see [`with_taps`](Self::with_taps).
    pub fn map_channels(&self) -> [usize; 3] {
        if !self.is_detector {
            let taps = self.taps.expect("a backbone of a detector has taps");
            return taps.map(|tap| self.channels_of(tap));
        }
        let (_, results) = self.flow(SMALL).pop().expect("a detector has a neck");
        let channels = results.into_iter().map(|[_, _, channels]| channels);
        let channels: Vec<usize> = channels.collect();
        channels
            .try_into()
            .expect("a neck gives a map for each stride")
    }
}

/// A network has no features of strides 8, 16 and 32, which a detector works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTaps {
    model: &'static str,
}

impl fmt::Display for NoTaps {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { model } = self;
        f.write_str(&message!(
            "{model} has features of one stride only, so no detector can be built on it; take a ConvNeXt, a ResNet or \
             a MobileNet"
        ))
    }
}

impl std::error::Error for NoTaps {}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use warmstart_nn::Forward;
    use warmstart_nn::burn::tensor::{Tensor, TensorData};
    use warmstart_nn::initialization::Initialization;

    use super::*;

    fn detectors() -> impl Iterator<Item = Architecture> {
        crate::detector_names().map(|name| crate::by_name(name).unwrap())
    }

    #[test]
    fn a_neck_is_the_last_stage_and_the_last_group() {
        for detector in detectors() {
            let neck = detector.stages.len() - 1;
            assert_eq!(detector.stage("neck"), Ok(neck));
            assert_eq!(detector.stages[neck].group + 1, detector.groups());
            assert_eq!(detector.groups(), 6);
            assert_eq!(detector.stages[neck].graph().inputs(), 3);
        }
        let stage = |model, name| crate::by_name(model).unwrap().stage(name).unwrap();
        assert_eq!(stage("rtmdet_tiny", "backbone.stem"), 0);
        assert_eq!(stage("rtmdet_tiny", "backbone.stage4"), 7);
        assert_eq!(stage("cspnext_s", "backbone.stage4.2"), 9);
        assert_eq!(stage("yolox_nano", "backbone.backbone.dark5"), 7);
    }

    #[test]
    fn a_network_of_one_stride_is_the_backbone_of_no_detector_and_says_what_is() {
        let vision_transformer = crate::by_name("vit_tiny_patch16_224").unwrap();
        let words = vision_transformer.with_taps().unwrap_err().to_string();
        assert_eq!(
            words,
            "vit_tiny_patch16_224 has features of one stride only, so no detector can be built on it; take a ConvNeXt, \
             a ResNet or a MobileNet"
        );
        for name in crate::names() {
            let network = crate::by_name(name).unwrap();
            assert_eq!(network.taps.is_none(), network.tokens.is_some(), "{name}");
            assert_eq!(network.patch.is_some(), network.tokens.is_some(), "{name}");
        }
    }

    /// Frozen stages may end anywhere: before the neck, or behind it.
    #[test]
    fn a_detector_can_be_cut_at_any_stage() {
        let architecture = crate::by_name("yolox_nano").unwrap();
        let device = warmstart_nn::device();
        let infos = architecture.backbone_parameters();
        let defaults = architecture.initialization();
        let parameters = Initialization::default().parameters(&infos, &defaults, 1, &device);
        let end = architecture.stages.len();
        let folded = architecture.fold(0..end, &parameters, &device);
        let run = |stages: Range<usize>, maps| {
            architecture.forward_maps(stages, maps, &mut Forward::Inference(&folded))
        };
        let host = |maps: Vec<Tensor<4>>| -> Vec<Vec<f32>> {
            let maps = maps.into_iter();
            maps.map(|map| map.into_data().try_into_vec().unwrap())
                .collect()
        };
        let pixel = |index: usize| ((index * 7919) % 255) as f32;
        let pixels = (0..2 * 64 * 32 * 3).map(pixel).collect::<Vec<f32>>();
        let images = TensorData::new(pixels, [2, 64, 32, 3]);
        let images = Tensor::<4>::from_data(images, &device);
        let whole = run(0..end, vec![images.clone()]);
        let shapes: Vec<_> = whole.iter().map(|map| map.dims()).collect();
        assert_eq!(shapes, [[2, 8, 4, 64], [2, 4, 2, 128], [2, 2, 1, 256]]);
        let whole = host(whole);
        for cut in 0..=end {
            let below = run(0..cut, vec![images.clone()]);
            assert_eq!(host(run(cut..end, below)), whole, "cut at {cut}");
        }
    }
}
