//! Networks and the tasks that they are for.

use warmstart_language::message;

use crate::choices::TaskKind;
use crate::error::{Error, Problem};
use crate::named_weights::is_detector;
use warmstart_files::Key;

/// The classifier that is suggested for images of classes in place of a detector without one of its own.
const CLASSIFIER: &str = "cspnext_tiny";

/// Refuses a detector for images of classes.
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
        TaskKind::Classify | TaskKind::Detect => Ok(()),
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
}
