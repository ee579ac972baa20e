//! The tensors that a file of weights gives a network.

use std::path::Path;

use warmstart_language::{english, message, translated};
use warmstart_models::Architecture;
use warmstart_nn::ParameterInfo;
use warmstart_recipe::{Error, Key, NECK, Recipe, TaskKind, weights_file};
use warmstart_tasks::classify::is_beside;
use warmstart_tasks::expectations::{beyond, conventions, expectations, record_line};
use warmstart_tasks::model_file::{ModelInfo, require_sound};
use warmstart_tasks::published::network_in;
use warmstart_tasks::task::{HeadParts, Task};
use warmstart_weights::{Expected, KeptRows, LoadPlan, Target, TensorMap, WeightFile};

use crate::class_rows::ClassRows;
use crate::trainer::Trainer;

/// Share of the backbone's tensors that a pretrained file must give.
const BACKBONE_COVERAGE: f64 = 0.95;

/// What a file gives.
#[derive(Default)]
pub struct Loaded {
    /// Whole tensors.
    pub tensors: TensorMap,
    /// Rows of tensors whose other rows are initialized.
    pub rows: Vec<KeptRows>,
    /// The load report.
    pub report: String,
}

/// The tensors of a run's pretrained file that its model has, with the load report.
///
/// # Errors
/// If the file cannot be read, is of another network, or covers too little of the backbone.
pub fn load_file<T: Task>(
    trainer: &Trainer<T>,
    backbone: &[ParameterInfo],
    head: &HeadParts,
) -> Result<Loaded, Error> {
    let Trainer {
        recipe,
        architecture,
        data,
        ..
    } = trainer;
    let path = weights_file(&recipe.weights)?;
    let mut file = warmstart_weights::read(&path)?;
    let info = ModelInfo::of(&file)?;
    if let Some(info) = &info {
        require_same_network(&path, info, recipe)?;
        file.tensors.retain(|name, _| !is_beside(name));
    }
    let mut expected = expectations(backbone, &head.parameters);
    expected.extend(beyond(architecture, &expected));
    let conventions = conventions(architecture);
    let compare = |file: &WeightFile, expected: &[Expected]| {
        let target = Target {
            architecture: architecture.name,
            expected,
            conventions: &conventions,
        };
        warmstart_weights::compare(file, &target, recipe.weights_prefix.as_deref())
    };
    let layers = &head.class_layers;
    let (plan, note) = match T::KIND {
        TaskKind::Classify => {
            let note = forget_other_head(&mut file, info.as_ref(), recipe, layers, &data.classes);
            (compare(&file, &expected)?, note)
        }
        TaskKind::Detect => {
            let mut plan = compare(&file, &expected)?;
            let from = (&file, info.as_ref());
            let ClassRows { rows, note } =
                ClassRows::of(from, &plan, architecture, layers, &data.classes);
            if let Some(rows) = rows {
                let of_classes = expected
                    .iter_mut()
                    .filter(|tensor| is_of_layers(layers, &tensor.name));
                of_classes.for_each(|tensor| tensor.rows = Some(rows.clone()));
                plan = compare(&file, &expected)?;
            }
            (plan, note)
        }
    };
    let without_neck = is_without_neck(architecture, &plan.loaded);
    if !recipe.allow_partial {
        if without_neck {
            return Err(no_neck(&path, architecture));
        }
        if let Err(error) = plan.require_backbone(BACKBONE_COVERAGE) {
            let other = other_network(&file, recipe, architecture);
            return Err(other.unwrap_or_else(|| error.into()));
        }
        plan.require_equal_copies()?;
    }
    let record = match file.metadata {
        // A model of warmstart says itself what it is.
        Some(_) => String::new(),
        None => format!("{}\n", record_line(architecture)),
    };
    let neck = if without_neck {
        translated(english!(
            "neck: the file has none, so it begins at random; the default learning rates are those for a detector's \
             file\n"
        ))
    } else {
        ""
    };
    let report = format!("{}{neck}{note}{record}", plan.report());
    let LoadPlan {
        loaded: tensors,
        rows,
        ..
    } = plan;
    require_neck(trainer, &tensors)?;
    let of_tensors = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.data.as_slice()));
    let of_rows = rows.iter().flat_map(|rows| {
        let values = rows.values.iter();
        values.map(move |(_, values)| (rows.name.as_str(), values.as_slice()))
    });
    require_sound(&path, of_tensors.chain(of_rows))?;
    Ok(Loaded {
        tensors,
        rows,
        report,
    })
}

/// Whether a parameter is one of some layers'.
fn is_of_layers(layers: &[String], parameter: &str) -> bool {
    let layer = parameter.rsplit_once('.').map(|(layer, _)| layer);
    layers.iter().any(|name| layer == Some(name.as_str()))
}

/// Refuses a model of warmstart of another network.
fn require_same_network(path: &Path, info: &ModelInfo, recipe: &Recipe) -> Result<(), Error> {
    if info.model == recipe.model {
        return Ok(());
    }
    let what = message!(
        "it holds a {} and the run asks for {}",
        info.model,
        recipe.model
    );
    let fix = message!("give {} {}", Key::MODEL, info.model);
    Err(Error::model(path, what).fix(fix))
}

/// The refusal of a file of another network; `None` if it is not told to be of one.
fn other_network(file: &WeightFile, recipe: &Recipe, asked: &Architecture) -> Option<Error> {
    let prefix = recipe.weights_prefix.as_deref();
    let found = network_in(file, prefix).ok()??;
    // Of networks with the same tensors, the first is found.
    if found.name == asked.name || found.backbone_parameters() == asked.backbone_parameters() {
        return None;
    }
    let what = message!(
        "it is of {}, and the run asks for {}",
        found.name,
        asked.name
    );
    let fix = if found.is_detector && recipe.task == TaskKind::Classify {
        message!(
            "give weights of {}: {} is a detector",
            asked.name,
            found.name
        )
    } else {
        message!(
            "leave {} out, or give {} {}",
            Key::MODEL,
            Key::MODEL,
            found.name
        )
    };
    Some(Error::model(&file.path, what).fix(fix))
}

/// Takes a classifier for other classes out of a file of warmstart, even if it has the same shape, and returns the
/// report's line on it.
fn forget_other_head(
    file: &mut WeightFile,
    info: Option<&ModelInfo>,
    recipe: &Recipe,
    layers: &[String],
    classes: &[String],
) -> String {
    // Of the other task's model only the backbone is used, so its classes do not matter.
    let Some(info) = info.filter(|info| info.task == recipe.task) else {
        return String::new();
    };
    if info.classes == classes {
        return message!("head: same classes, kept\n");
    }
    file.tensors.retain(|name, _| !is_of_layers(layers, name));
    message!(
        "head: the file's {} classes are not the data's {}: re-initialised ({} → {} classes)\n",
        info.classes.len(),
        classes.len(),
        info.classes.len(),
        classes.len()
    )
}

/// Whether a file gives a detector its backbone and no neck, as that of a classifier does.
fn is_without_neck(architecture: &Architecture, loaded: &TensorMap) -> bool {
    let Ok(neck) = architecture.stage(NECK) else {
        return false;
    };
    let is_there = |info: &&ParameterInfo| loaded.contains_key(&info.name);
    let mut of_neck = architecture.stages[neck].parameters().iter();
    let before = architecture.stages[..neck]
        .iter()
        .flat_map(|stage| stage.parameters());
    let (all, there) = (before.clone().count(), before.filter(is_there).count());
    !of_neck.any(|info| is_there(&info)) && there as f64 >= BACKBONE_COVERAGE * all as f64
}

/// The refusal of a file without a neck.
fn no_neck(path: &Path, architecture: &Architecture) -> Error {
    let what = message!(
        "it has the backbone of {} without a neck, as a classifier's file has",
        architecture.name
    );
    let fix = message!(
        "give a detector's file, such as {} {}, or train a new neck and head by {} and {} 0",
        Key::WEIGHTS,
        architecture.name,
        Key::ALLOW_PARTIAL,
        Key::FREEZE_EPOCHS
    );
    Error::model(path, what).fix(fix)
}

/// Refuses to freeze a detector's neck that the file does not have, as that of a classifier does not.
fn require_neck<T: Task>(trainer: &Trainer<T>, loaded: &TensorMap) -> Result<(), Error> {
    let architecture = &trainer.architecture;
    let Ok(neck) = architecture.stage(NECK) else {
        return Ok(());
    };
    let mut parameters = architecture.stages[neck].parameters().iter();
    let is_there = parameters.any(|info| loaded.contains_key(&info.name));
    let first = trainer.boundaries.iter().zip(&trainer.recipe.phases).next();
    match first {
        Some((&boundary, phase)) if !is_there && boundary > neck => {
            let what = message!(
                "the file has no neck of {}, and the phase \"{}\" would freeze it as it is initialised",
                architecture.name,
                phase.name
            );
            let fix = message!(
                "give {} 0, or train = \"{NECK}\" for that phase in a recipe",
                Key::FREEZE_EPOCHS
            );
            Err(Error::usage(what).fix(fix))
        }
        Some(_) | None => Ok(()),
    }
}
