//! Networks and the tasks that they are for.

use warmstart_language::message;
use warmstart_models::NoTaps;

use crate::choices::TaskKind;
use crate::error::{Error, Problem};
use crate::named_weights::is_detector;
use warmstart_files::Key;

/// The classifier that is suggested for images of classes in place of a detector without one of its own.
const CLASSIFIER: &str = "cspnext_tiny";

/// Refuses a detector for images of classes, and for boxes a network that no detector can be built on.
pub(crate) fn require_fitting(model: &str, task: TaskKind) -> Result<(), Error> {
    match task {
        TaskKind::Classify if is_detector(model) => {
            let record = warmstart_models::record(model);
            let name = record.map_or(model, |record| record.architecture.as_str());
            // RTMDet's backbones are networks of their own.
            let own = name.replace("rtmdet", "cspnext");
            let classifier = warmstart_models::names()
                .find(|known| *known == own)
                .unwrap_or(CLASSIFIER);
            let what = message!(
                "{model} is a detector, and the data are images of classes, without boxes"
            );
            let fix = message!(
                "give {} {classifier} or another classifier, or data with boxes",
                Key::MODEL
            );
            Err(Problem::new(what).of_key(Key::MODEL).fix(fix).into())
        }
        TaskKind::Detect => match warmstart_models::by_name(model) {
            Some(network) => network.with_taps().map(drop).map_err(Error::from),
            None => Ok(()),
        },
        TaskKind::Classify => Ok(()),
    }
}

impl From<NoTaps> for Error {
    fn from(error: NoTaps) -> Self {
        Problem::new(error.to_string()).of_key(Key::MODEL).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detector_is_not_for_images_of_classes() {
        for (model, classifier) in [
            ("rtmdet_tiny", "cspnext_tiny"),
            ("rtmdet_s", "cspnext_s"),
            ("yolox_nano", "cspnext_tiny"),
        ] {
            let error = require_fitting(model, TaskKind::Classify).unwrap_err();
            let words = crate::plain(&error.to_string());
            assert!(
                words.contains(&format!("give model {classifier} or")),
                "{words}"
            );
            require_fitting(model, TaskKind::Detect).unwrap();
        }
        require_fitting("resnet18", TaskKind::Classify).unwrap();
    }

    #[test]
    fn a_network_of_one_stride_is_not_for_boxes() {
        let error = require_fitting("vit_small_patch14_dinov2", TaskKind::Detect).unwrap_err();
        let words = crate::plain(&error.to_string());
        assert!(
            words.starts_with("vit_small_patch14_dinov2 has features of one stride only")
                && words.contains("take a ConvNeXt"),
            "{words}"
        );
        require_fitting("vit_small_patch14_dinov2", TaskKind::Classify).unwrap();
        for model in ["convnext_atto", "convnext_tiny.imagenet1k_v1", "resnet18"] {
            require_fitting(model, TaskKind::Detect).unwrap();
        }
    }
}
