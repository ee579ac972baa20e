//! Published detectors as they are: recognised by their tensors, with the constants of their record, and ready for use.

mod named_classes;

use std::path::{Path, PathBuf};

use warmstart_language::message;
use warmstart_models::coco::COCO_CLASSES;
use warmstart_models::{Architecture, by_name, detector_names};
use warmstart_recipe::near_miss::{any_of, meant};
use warmstart_recipe::run_files::resolve_path;
use warmstart_recipe::{Error, TaskKind, architecture, model_names, named_detector, weights_file};
use warmstart_weights::{Expected, FileTensor, LoadPlan, Target, WeightFile, compare, inspect};

use crate::expectations::{IMAGENET_CLASSES, conventions, expectations, of_detector};
use crate::model_file::ModelInfo;
use crate::preprocessing::letterboxed;
pub use named_classes::{NamedClasses, names_of_classes};

/// A model by what a user gives: a file that warmstart wrote, the folder of a run, the file of a published detector, or
/// the name of one. Its tensors are under the names, and in the shapes, that the network has here.
///
/// # Errors
/// If it cannot be read, is no whole model, or this machine does not have the file of that name.
pub fn read_model(model: &Path) -> Result<(WeightFile, ModelInfo), Error> {
    let record = named_detector(model);
    let path = model_file(model)?;
    let file = warmstart_weights::read(&path)?;
    if let Some(info) = ModelInfo::of(&file)? {
        return Ok((file, info));
    }
    let detector = match record {
        Some(record) => Some(architecture(&record.name)?),
        None => recognised(&file)?,
    };
    let Some(detector) = detector else {
        let known: Vec<_> = detector_names().collect();
        let what = message!("it carries no class names and preprocessing");
        let fix = message!(
            "give a model that warmstart trained (best.safetensors) or a published detector ({}), or train one from \
             these weights",
            known.join(", ")
        );
        return Err(Error::model(&path, what).fix(fix));
    };
    ready(file, &detector)
}

/// The file of a model: of a run's folder, the kept one; of a published detector's name, its file on this machine.
///
/// # Errors
/// If there is none.
pub fn model_file(model: &Path) -> Result<PathBuf, Error> {
    match named_detector(model) {
        Some(record) => weights_file(&record.name),
        None => model_path(model),
    }
}

/// The file that a path means. One that is not there may be a misspelled name.
fn model_path(model: &Path) -> Result<PathBuf, Error> {
    let known: Vec<_> = detector_names().collect();
    let name = model.to_str().filter(|_| !model.exists());
    let likely = name.map_or(Vec::new(), |name| meant(name, &known));
    if likely.is_empty() {
        return resolve_path(model);
    }
    let what = message!("there is neither such a file nor a published detector of that name");
    Err(Error::model(model, what).fix(message!("did you mean {}?", any_of(&likely))))
}

/// The published detector that a file's tensors are of; `None` if they are of none.
///
/// # Errors
/// If the tensors contradict each other.
pub fn recognised(file: &WeightFile) -> Result<Option<Architecture>, Error> {
    best_fit(file, detector_names(), None)
}

/// The network that a file's tensors are of, those of classifiers included; `None` if they are of none.
///
/// # Errors
/// If the tensors contradict each other, or none is under the prefix.
pub fn network_in(file: &WeightFile, prefix: Option<&str>) -> Result<Option<Architecture>, Error> {
    best_fit(file, model_names(), prefix)
}

/// The one of some networks that a file's tensors are of.
fn best_fit(
    file: &WeightFile,
    names: impl Iterator<Item = &'static str>,
    prefix: Option<&str>,
) -> Result<Option<Architecture>, Error> {
    let networks: Vec<Architecture> = names.filter_map(by_name).collect();
    let parts: Vec<_> = networks
        .iter()
        .map(|network| {
            let expected = if network.is_detector {
                of_detector(network, COCO_CLASSES.len())
            } else {
                let classifier = network.classifier_parameters(IMAGENET_CLASSES);
                expectations(&network.backbone_parameters(), &classifier)
            };
            (network.name, expected, conventions(network))
        })
        .collect();
    let targets: Vec<Target> = parts
        .iter()
        .map(|(architecture, expected, conventions)| Target {
            architecture,
            expected,
            conventions,
        })
        .collect();
    let found = inspect(file, &targets, prefix)?.architecture;
    let is_found = |network: &Architecture| found.as_deref() == Some(network.name);
    Ok(networks.into_iter().find(is_found))
}

/// Number of classes of a file's class predictors, the first of which are of `class_layers`; `None` if it has none.
pub fn classes_in(plan: &LoadPlan, class_layers: &[String]) -> Option<usize> {
    let weight = format!("{}.weight", class_layers.first()?);
    let loaded = plan.loaded.get(&weight).map(|tensor| &tensor.shape);
    let mut others = plan.wrong_shape.iter();
    let other = others.find(|other| other.name == weight);
    let shape = loaded.or(other.map(|other| &other.found))?;
    shape.first().copied().filter(|classes| *classes > 0)
}

/// What is to be said of the class names of a model that [`read_model`] read; nothing of one that warmstart wrote.
pub fn note_on_model(file: &WeightFile, info: &ModelInfo) -> Option<String> {
    let is_ours = file.metadata.as_ref().is_some_and(|own| !own.is_null());
    if is_ours {
        return None;
    }
    names_of_classes(file, info.classes.len()).note_of_use()
}

/// What is to be said of the class names in the file of a published detector.
///
/// # Errors
/// If its tensors cannot be compared with the detector's.
pub fn note_on_file(
    file: &WeightFile,
    detector: &Architecture,
    prefix: Option<&str>,
) -> Result<Option<String>, Error> {
    let of_coco = COCO_CLASSES.len();
    let layers = detector.detector(of_coco).class_layers().to_vec();
    let plan = fit(file, detector, of_coco, prefix)?;
    let note = |classes| names_of_classes(file, classes).note_of_use();
    Ok(classes_in(&plan, &layers).and_then(note))
}

/// A detector's file with its metadata.
fn ready(file: WeightFile, detector: &Architecture) -> Result<(WeightFile, ModelInfo), Error> {
    let of_coco = COCO_CLASSES.len();
    let layers = detector.detector(of_coco).class_layers().to_vec();
    let mut plan = fit(&file, detector, of_coco, None)?;
    let classes = classes_in(&plan, &layers).unwrap_or(of_coco);
    if classes != of_coco {
        plan = fit(&file, detector, classes, None)?;
    }
    require_whole(&plan, detector)?;
    plan.require_equal_copies()?;
    let numbered = || (0..classes).map(|class| format!("class_{class}")).collect();
    let names = names_of_classes(&file, classes).names;
    let names = names.unwrap_or_else(numbered);
    let pretrained = detector.pretrained();
    let preprocessing = letterboxed(pretrained, pretrained.image_size);
    let info = ModelInfo::new(TaskKind::Detect, detector, &names, preprocessing);
    let tensors = plan.loaded.into_iter().map(|(name, tensor)| {
        let tensor = FileTensor {
            shape: tensor.shape,
            dtype: "f32",
            data: tensor.data,
        };
        (name, tensor)
    });
    let file = WeightFile {
        tensors: tensors.collect(),
        ..file
    };
    Ok((file, info))
}

/// A file compared with a detector for that many classes.
fn fit(
    file: &WeightFile,
    detector: &Architecture,
    classes: usize,
    prefix: Option<&str>,
) -> Result<LoadPlan, Error> {
    let expected: Vec<Expected> = of_detector(detector, classes);
    let target = Target {
        architecture: detector.name,
        expected: &expected,
        conventions: &conventions(detector),
    };
    Ok(compare(file, &target, prefix)?)
}

/// Refuses a file that lacks a tensor, or has one of another shape.
fn require_whole(plan: &LoadPlan, detector: &Architecture) -> Result<(), Error> {
    let missing = plan.missing.iter().map(|missing| missing.name.as_str());
    let others = plan.wrong_shape.iter().map(|other| other.name.as_str());
    let lacking: Vec<&str> = missing.chain(others).collect();
    let Some(first) = lacking.first() else {
        return Ok(());
    };
    let all = plan.backbone.expected_tensors + plan.head.expected_tensors;
    let what = message!(
        "{} of the {all} tensors of {} are missing or have another shape, such as {first}",
        lacking.len(),
        detector.name
    );
    let fix = message!(
        "give the file of a whole detector, or train one from these weights (warmstart weights inspect shows what is \
         there)"
    );
    Err(Error::model(&plan.file, what).fix(fix))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use warmstart_nn::initialization::Initialization;
    use warmstart_weights::Format;

    use super::*;

    /// A file of a detector as its home has it: random values, predictors as convolutions.
    fn published(name: &str, classes: usize) -> WeightFile {
        let detector = by_name(name).unwrap();
        let head = detector.detector(classes).parameters();
        let infos = detector.backbone_parameters().into_iter().chain(head);
        let defaults = detector.initialization();
        let tensors = infos.map(|info| {
            let data = Initialization::default().values(&info, &defaults, 1);
            let mut shape = info.shape;
            if shape.len() == 2 {
                shape.extend([1, 1]);
            }
            let tensor = FileTensor {
                shape,
                dtype: "f32",
                data,
            };
            (info.name, tensor)
        });
        WeightFile {
            path: "detector.pth".into(),
            format: Format::PthZip,
            stripped: Vec::new(),
            set_aside: Vec::new(),
            ignored_objects: Vec::new(),
            classes: None,
            unreadable: BTreeMap::new(),
            not_finite: Vec::new(),
            tensors: tensors.collect(),
            metadata: None,
        }
    }

    #[test]
    fn a_detector_is_recognised_and_gets_coco_s_classes_and_its_record_s_input() {
        for name in detector_names() {
            let file = published(name, COCO_CLASSES.len());
            let detector = recognised(&file).unwrap().unwrap();
            assert_eq!(detector.name, name);
            let (file, info) = ready(file, &detector).unwrap();
            assert_eq!((info.model.as_str(), info.classes.len()), (name, 80));
            assert_eq!(info.preprocessing.crop, detector.pretrained().image_size);
            let head = detector.detector(80).parameters();
            for parameter in detector.backbone_parameters().iter().chain(&head) {
                assert_eq!(file.tensors[&parameter.name].shape, parameter.shape);
            }
        }
    }

    #[test]
    fn a_detector_for_other_classes_has_the_names_of_its_file() {
        let detector = by_name("yolox_nano").unwrap();
        let mut file = published("yolox_nano", 2);
        let (_, info) = ready(file.clone(), &detector).unwrap();
        assert_eq!(info.classes, ["class_0", "class_1"]);
        file.classes = Some(Ok(vec!["cat".to_owned(), "dog".to_owned()]));
        let (file, info) = ready(file, &detector).unwrap();
        assert_eq!(info.classes, ["cat", "dog"]);
        assert_eq!(note_on_model(&file, &info), None);
    }

    #[test]
    fn classes_without_usable_names_are_numbered_and_a_note_says_why() {
        let detector = by_name("yolox_nano").unwrap();
        let numbered = "its classes are called class_0, class_1, …";
        let cannot = "the file's class names cannot be used:";
        let one = vec!["cat".to_owned()];
        let fault = "`meta.CLASSES` has the name `a` twice";
        for (classes, names, expected) in [
            (
                2,
                None,
                format!("the file does not name its 2 classes; {numbered}"),
            ),
            (
                80,
                Some(Err(fault.to_owned())),
                format!("{cannot} {fault}; {numbered}"),
            ),
            (
                80,
                Some(Ok(one)),
                format!("{cannot} 1 name and 80 rows in the class predictors; {numbered}"),
            ),
        ] {
            let mut file = published("yolox_nano", classes);
            file.classes = names;
            let before = note_on_file(&file, &detector, None).unwrap();
            let (file, info) = ready(file, &detector).unwrap();
            assert_eq!(info.classes.len(), classes);
            assert_eq!(info.classes[0], "class_0");
            assert_eq!(note_on_model(&file, &info), Some(expected));
            assert_eq!(note_on_model(&file, &info), before);
        }
    }

    #[test]
    fn coco_s_names_are_those_of_80_unnamed_classes_and_a_note_says_so() {
        let detector = by_name("yolox_nano").unwrap();
        let (file, info) = ready(published("yolox_nano", 80), &detector).unwrap();
        assert_eq!(info.classes[0], "person");
        let note = note_on_model(&file, &info).unwrap();
        assert_eq!(
            note,
            "the file does not name its classes, which are taken for COCO's 80"
        );
    }

    #[test]
    fn a_file_is_told_among_all_networks() {
        let file = published("rtmdet_tiny", 80);
        let network = network_in(&file, None).unwrap().unwrap();
        assert_eq!(network.name, "rtmdet_tiny");
    }

    #[test]
    fn a_detector_that_lacks_a_tensor_is_refused_by_its_name() {
        let detector = by_name("yolox_nano").unwrap();
        let mut file = published("yolox_nano", 80);
        file.tensors.remove("head.reg_preds.1.bias").unwrap();
        let error = ready(file, &detector).unwrap_err().to_string();
        let words =
            "of yolox_nano are missing or have another shape, such as head.reg_preds.1.bias";
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn levels_that_do_not_share_their_convolutions_are_refused() {
        let detector = by_name("rtmdet_tiny").unwrap();
        let mut file = published("rtmdet_tiny", 80);
        let mut copy = file.tensors["bbox_head.cls_convs.0.0.conv.weight"].clone();
        let second = "bbox_head.cls_convs.1.0.conv.weight";
        file.tensors.insert(second.to_owned(), copy.clone());
        ready(file.clone(), &detector).unwrap();
        copy.data[0] += 1.0;
        file.tensors.insert(second.to_owned(), copy);
        let error = ready(file, &detector).unwrap_err().to_string();
        assert!(error.contains(&format!("{second} differs from")), "{error}");
    }

    #[test]
    fn a_misspelled_name_is_answered_with_the_nearest() {
        let error = read_model(Path::new("rtmdet_tinyy"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("did you mean `rtmdet_tiny`?"), "{error}");
    }
}
