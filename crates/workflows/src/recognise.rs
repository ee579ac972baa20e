//! The network that a file of weights is for, and the record of weights whose constants it has.

use std::path::Path;

use warmstart_language::message;
use warmstart_models::{Architecture, full_name};
use warmstart_recipe::run_files::resolve_path;
use warmstart_recipe::{Draft, Error, Key, NO_WEIGHTS, Problem, architecture, require_weights};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::model_file::ModelInfo;
use warmstart_weights::{Guess, WeightFile};

use crate::inspect::guesses;
use crate::named_weights::settle_weights;
use crate::twins::{convention_record, named_by_file, note_on_twins, told_by_names};

/// Gives a draft the model that its weights are for: where none was named, the one that the tensors fit; where an
/// architecture was named, the record that the tensors' names tell. A named record stays. Weights that are named rather
/// than in a file are fetched.
///
/// # Errors
/// If the weights cannot be read, or fit no network and none was named.
pub fn settle_model(draft: &mut Draft, observe: Observer) -> Result<(), Error> {
    if settle_weights(draft, observe)? {
        return Ok(());
    }
    let Some(weights) = draft.weights.clone().filter(|file| file != NO_WEIGHTS) else {
        return Ok(());
    };
    let named = draft.model.as_deref().map(architecture).transpose()?;
    if named.as_ref().is_some_and(|named| !is_open(named)) {
        return Ok(());
    }
    let prefix = draft.weights_prefix.as_deref();
    let Known { model, note } = known_model(&weights, named.as_ref(), prefix)?;
    match &draft.model {
        None => {
            observe(Event::Note(message!("the weights are of {model}")));
            if let Some(note) = note {
                observe(Event::Note(note));
            }
        }
        Some(named) if *named != model => observe(Event::Note(message!(
            "the names in the weights are those of {model}: its preprocessing and constants are used; {} NAME chooses \
             others",
            Key::MODEL
        ))),
        Some(_) => {}
    }
    draft.model = Some(model);
    Ok(())
}

/// Whether an architecture was named without a record, and its files come from several.
fn is_open(named: &Architecture) -> bool {
    let told = |record: Option<&str>| record.is_some_and(|record| record != named.record.name);
    full_name(named) == named.name
        && named
            .conventions
            .iter()
            .any(|convention| told(convention.record))
}

/// The model that a file is for.
pub(crate) struct Known {
    /// Its name, or that of a record.
    pub(crate) model: String,
    /// What is to be said of other networks of the same tensors, where nothing but these tells it.
    pub(crate) note: Option<String>,
}

/// The model that a file of weights is for, a record's where its names, its metadata or its own name tell one.
///
/// # Errors
/// If the file cannot be read, or fits no network and none is named.
pub(crate) fn known_model(
    weights: &str,
    named: Option<&Architecture>,
    prefix: Option<&str>,
) -> Result<Known, Error> {
    require_weights(weights)?;
    let path = resolve_path(Path::new(weights))?;
    let file = warmstart_weights::read(&path)?;
    if let Some(info) = ModelInfo::of(&file)? {
        let own = architecture(&info.model)?;
        // A contradiction is reported where the weights are loaded.
        let other = named.filter(|named| named.name != own.name);
        return Ok(Known {
            model: other.map_or(info.model, |named| full_name(named).to_owned()),
            note: None,
        });
    }
    let best = best_guess(&file, named, prefix)?;
    match (named, best) {
        (None, Some((network, guess))) => {
            if let Some(named) = named_by_file(&network, &file.path) {
                let model = full_name(&named).to_owned();
                return Ok(Known { model, note: None });
            }
            let record = convention_record(&network, guess.convention);
            let model = record.unwrap_or_else(|| full_name(&network)).to_owned();
            let note = note_on_twins(&architecture(&model)?);
            Ok(Known { model, note })
        }
        (Some(named), best) => {
            let record = best.and_then(|(own, guess)| convention_record(&own, guess.convention));
            let model = record.unwrap_or_else(|| full_name(named)).to_owned();
            Ok(Known { model, note: None })
        }
        (None, None) => {
            let fix = message!(
                "give {} NAME if it is one (warmstart weights inspect shows its content)",
                Key::MODEL
            );
            Err(matches_none(&path).fix(fix).into())
        }
    }
}

/// The network that a file's tensors are for, with the constants of the record that its names tell; and a note on others
/// of the same tensors.
///
/// # Errors
/// If they fit none.
pub(crate) fn network_of(
    file: &WeightFile,
    prefix: Option<&str>,
) -> Result<(Architecture, Option<String>), Error> {
    let Some((network, guess)) = best_guess(file, None, prefix)? else {
        let fix = message!("give weights of a network that warmstart models lists");
        return Err(matches_none(&file.path).fix(fix).into());
    };
    if network.is_detector {
        let what = message!(
            "it is {}, a detector, and only classifiers are written under other names",
            network.name
        );
        let fix = message!("use the file as it is, with train, eval, predict or export");
        return Err(Error::model(&file.path, what).fix(fix));
    }
    told_by_names(network, guess.convention, &file.path)
}

fn matches_none(path: &Path) -> Problem {
    Problem::new(message!("its tensors match no supported model")).of_file(path)
}

/// The named network, or the one that the file fits best, with how it fits.
fn best_guess(
    file: &WeightFile,
    named: Option<&Architecture>,
    prefix: Option<&str>,
) -> Result<Option<(Architecture, Guess)>, Error> {
    let inspection = guesses(file, named, prefix)?;
    let Some(known) = inspection.architecture else {
        return Ok(None);
    };
    let guess = inspection.guesses.into_iter().next();
    // The backbone of a detector serves as well.
    let network = architecture(known.trim_end_matches(" detector"))?;
    Ok(guess.map(|guess| (network, guess)))
}
