//! The parameters that a run starts from: out of a pretrained file, or initialized.

use std::collections::HashSet;
use std::path::Path;

use warmstart_models::Architecture;
use warmstart_nn::Parameters;
use warmstart_nn::block::ParameterInfo;
use warmstart_nn::burn::tensor::Device;
use warmstart_weights::{
    Convention, Expected, Inspection, LoadPlan, Part, Target, TensorMap, WeightFile,
};

use warmstart_recipe::Error;
use warmstart_tasks::detect::Detection;
use warmstart_tasks::detect::Head;
use warmstart_tasks::model_file::ModelInfo;
use warmstart_tasks::model_file::require_sound;
use warmstart_recipe::run_files::resolve_path;
use warmstart_recipe::NO_WEIGHTS;
use warmstart_recipe::Recipe;
use warmstart_tasks::task::Task;

/// Share of the backbone's tensors that a pretrained file must give.
const BACKBONE_COVERAGE: f64 = 0.95;

/// Classes of the usual pretrained classifier.
const IMAGENET_CLASSES: usize = 1000;
/// Classes of the usual detector.
const COCO_CLASSES: usize = 80;

/// What a run starts from.
pub struct InitialWeights {
    /// Every parameter of the model.
    pub parameters: Parameters,
    /// What was loaded and what was not, for people.
    pub report: String,
    /// Names of those that no file gave.
    pub initialized: HashSet<String>,
}

/// Loads or initializes every parameter of a model.
///
/// # Errors
/// If the file cannot be read, or covers too little of the backbone.
pub fn start(
    recipe: &Recipe,
    architecture: &Architecture,
    head: &[ParameterInfo],
    class_head: &str,
    classes: &[String],
    device: &Device,
) -> Result<InitialWeights, Error> {
    let backbone = architecture.backbone_parameters();
    let init = &recipe.init.0;
    if let Some(name) = init.unknown_name(backbone.iter().chain(head)) {
        return Err(Error::usage(format!(
            "init.by_name: {} has no convolution or linear layer `{name}`; `warmstart init-check --model {}` lists them",
            architecture.name, architecture.name
        )));
    }
    let (loaded, report) = if recipe.weights == NO_WEIGHTS {
        let report = format!(
            "no pretrained weights: all {} tensors are initialized ({}, seed {})\n",
            backbone.len() + head.len(),
            recipe.init,
            recipe.seed
        );
        (TensorMap::new(), report)
    } else {
        let path = resolve_path(Path::new(&recipe.weights))?;
        let mut file = warmstart_weights::read(&path)?;
        let note = forget_other_head(&mut file, recipe, class_head, classes)?;
        let mut expected = expectations(&backbone, head);
        expected.extend(beyond(architecture, &expected));
        let conventions = conventions(architecture);
        let plan = warmstart_weights::compare(
            &file,
            &Target {
                architecture: architecture.name,
                expected: &expected,
                conventions: &conventions,
            },
            recipe.weights_prefix.as_deref(),
        )?;
        if !recipe.allow_partial {
            plan.require_backbone(BACKBONE_COVERAGE)?;
        }
        let report = format!("{}{note}", plan.report());
        let LoadPlan { loaded, .. } = plan;
        let tensors = loaded
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.data.as_slice()));
        require_sound(&path, tensors)?;
        (loaded, report)
    };
    let defaults = architecture.initialization();
    let mut parameters = Parameters::new();
    let mut initialized = HashSet::new();
    for info in backbone.iter().chain(head) {
        let values = match loaded.get(&info.name) {
            Some(tensor) => tensor.data.clone(),
            None => {
                initialized.insert(info.name.clone());
                init.values(info, &defaults, recipe.seed)
            }
        };
        parameters.insert_values(&info.name, &info.shape, values, device);
    }
    Ok(InitialWeights {
        parameters,
        report,
        initialized,
    })
}

/// A classifier for other classes is of no use, even if it has the same shape: takes it out of the
/// file, and says so.
fn forget_other_head(
    file: &mut WeightFile,
    recipe: &Recipe,
    class_head: &str,
    classes: &[String],
) -> Result<String, Error> {
    let Some(info) = ModelInfo::of(file)? else {
        return Ok(String::new());
    };
    if info.model != recipe.model {
        return Err(Error::Model {
            path: file.path.clone(),
            problem: format!(
                "it holds a {} and the run asks for {}: give --model {}",
                info.model, recipe.model, info.model
            ),
        });
    }
    if info.task != recipe.task {
        // Of the other task's model the backbone serves, whatever its classes were.
        return Ok(String::new());
    }
    if info.classes == classes {
        return Ok("head: same classes, kept\n".into());
    }
    let head = format!("{class_head}.");
    file.tensors.retain(|name, _| !name.starts_with(&head));
    Ok(format!(
        "head: the file's {} classes are not the data's {}: re-initialised ({} → {} classes)\n",
        info.classes.len(),
        classes.len(),
        info.classes.len(),
        classes.len()
    ))
}

/// The architecture's parameters as `warmstart-weights` wants them.
fn expectations(backbone: &[ParameterInfo], head: &[ParameterInfo]) -> Vec<Expected> {
    let part = |infos: &[ParameterInfo], part: Part| -> Vec<Expected> {
        infos
            .iter()
            .map(|info| Expected {
                name: info.name.clone(),
                shape: info.shape.clone(),
                part,
                optional: false,
            })
            .collect()
    };
    [part(backbone, Part::Backbone), part(head, Part::Head)].concat()
}

/// What the architecture has as a classifier, and this model does without.
fn beyond(architecture: &Architecture, expected: &[Expected]) -> Vec<Expected> {
    let whole = warmstart_models::by_name(architecture.name);
    let of_whole = |whole: Architecture| {
        let classifier = whole.classifier_parameters(IMAGENET_CLASSES);
        expectations(&whole.backbone_parameters(), &classifier)
    };
    let mut beyond = whole.map(of_whole).unwrap_or_default();
    beyond.retain(|tensor| expected.iter().all(|own| own.name != tensor.name));
    for tensor in &mut beyond {
        tensor.part = Part::Beyond;
    }
    beyond
}

/// The architecture's naming conventions as `warmstart-weights` wants them.
fn conventions(architecture: &Architecture) -> Vec<Convention> {
    architecture
        .conventions
        .iter()
        .map(|convention| Convention {
            name: convention.name,
            to_native: convention.to_native,
        })
        .collect()
}

/// Contents of a file of weights, compared with every architecture there is; of the tensors under `prefix`, if one is
/// given.
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
