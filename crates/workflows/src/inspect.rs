//! `warmstart weights inspect`: the content of a file of weights, compared with every network.

use std::path::Path;

use warmstart_models::Architecture;
use warmstart_recipe::Error;
use warmstart_tasks::detect::{Detection, Head};
use warmstart_tasks::task::Task as _;
use warmstart_train::{IMAGENET_CLASSES, conventions, expectations};
use warmstart_weights::{Inspection, Target};

/// Classes of the usual detector.
const COCO_CLASSES: usize = 80;

/// Contents of a file of weights, or of its tensors under `prefix`, compared with every architecture.
///
/// # Errors
/// If it cannot be read, or has nothing under that prefix.
pub fn inspect(path: &Path, prefix: Option<&str>) -> Result<Inspection, Error> {
    let file = warmstart_weights::read(path)?;
    let architectures: Vec<Architecture> = warmstart_models::names()
        .filter_map(warmstart_models::by_name)
        .collect();
    let classifiers = architectures.iter().map(|architecture| {
        let head = architecture.classifier_parameters(IMAGENET_CLASSES);
        let expected = expectations(&architecture.backbone_parameters(), &head);
        let name = architecture.name.to_owned();
        (name, expected, conventions(architecture))
    });
    let detectors = architectures.iter().map(|architecture| {
        let backbone = Detection::backbone(architecture.clone());
        let head = Head::new(&backbone, COCO_CLASSES, 0).parameters();
        let expected = expectations(&backbone.backbone_parameters(), &head);
        let name = format!("{} detector", architecture.name);
        (name, expected, conventions(architecture))
    });
    let parts: Vec<_> = classifiers.chain(detectors).collect();
    let candidates: Vec<Target> = parts
        .iter()
        .map(|(architecture, expected, conventions)| Target {
            architecture,
            expected,
            conventions,
        })
        .collect();
    Ok(warmstart_weights::inspect(&file, &candidates, prefix)?)
}
