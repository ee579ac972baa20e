//! Published weights by their names: a record's, a detector's, or `imagenet` for the usual ones of a model.

use std::path::{Path, PathBuf};

use warmstart_fetch::{Checksum, FetchError, Hub, Places, Source};
use warmstart_files::Key;
use warmstart_language::message;
use warmstart_models::{Architecture, Record, full_name};

use crate::error::{Error, Problem};
use crate::near_miss::{any_of, meant};
use crate::options::{Draft, NO_WEIGHTS};
use crate::run_files::resolve_path;

/// Value of `weights` for the usual published ones of the model.
pub const USUAL_WEIGHTS: &str = "imagenet";
/// The model of a request that names neither a model nor weights.
pub const DEFAULT_MODEL: &str = "mobilenet_v2";
/// Most names that a message suggests.
const SUGGESTED: usize = 6;
/// Ends of the names of files of weights. A name with one of them is no record's.
const ENDS: [&str; 8] = [
    "pth",
    "pt",
    "ckpt",
    "bin",
    "safetensors",
    "json",
    "tar",
    "onnx",
];
/// Files of a repository on the Hugging Face Hub that have its weights, as timm and transformers name them.
const HUB_FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// The names of all models: the classifiers, any of which may be a detector's backbone, and the detectors.
pub fn model_names() -> impl Iterator<Item = &'static str> {
    warmstart_models::names().chain(warmstart_models::detector_names())
}

/// Whether a model, by its name or a record's, is a detector from the start.
pub fn is_detector(model: &str) -> bool {
    let architecture =
        warmstart_models::record(model).map_or(model, |record| record.architecture.as_str());
    warmstart_models::detector_names().any(|name| name == architecture)
}

/// The architecture of that name.
///
/// # Errors
/// A usage error that lists the names there are.
pub fn architecture(name: &str) -> Result<Architecture, Error> {
    warmstart_models::by_name(name).ok_or_else(|| {
        let known: Vec<_> = model_names().collect();
        let what = message!(
            "there is no model `{name}`; the models are {}",
            known.join(", ")
        );
        let problem = Problem {
            found: name.to_owned(),
            expected: known.join(", "),
            ..Problem::new(what).of_key(Key::MODEL)
        };
        let likely = meant(name, &known);
        if likely.is_empty() {
            problem.into()
        } else {
            problem
                .fix(message!("did you mean {}?", any_of(&likely)))
                .into()
        }
    })
}

/// The record that weights are named after; `None` if they are a file, or none. A path that exists wins.
pub fn named_record(weights: &str) -> Option<&'static Record> {
    let record = warmstart_models::record(weights)?;
    (!Path::new(weights).exists()).then_some(record)
}

/// The record of that name, or the usual one of a detector of that name: a detector's weights are the whole network, so
/// that one name is enough.
fn record_of(name: &str) -> Option<&'static Record> {
    warmstart_models::record(name).or_else(|| {
        let usual = || warmstart_models::usual_record(name);
        is_detector(name).then(usual).flatten()
    })
}

/// The record of a published detector that is named in place of a model file: `rtmdet_tiny`, or the record's own name.
/// A path that exists wins.
pub fn named_detector(model: &Path) -> Option<&'static Record> {
    let record = record_of(model.to_str()?)?;
    (is_detector(&record.architecture) && !model.exists()).then_some(record)
}

/// The record of that name, or the usual one of an architecture of that name.
///
/// # Errors
/// A usage error that names the nearest ones.
pub fn published(name: &str) -> Result<&'static Record, Error> {
    let name = match name {
        USUAL_WEIGHTS => DEFAULT_MODEL,
        name => name,
    };
    warmstart_models::record(name)
        .or_else(|| warmstart_models::usual_record(name))
        .ok_or_else(|| unknown(name))
}

/// Gives a draft that names published weights the name of their record, and its model where none is named; one that
/// names neither weights nor a model gets the default. Weights in a file stay.
///
/// # Errors
/// Usage errors: there are no weights of that name, or they are another model's.
pub fn settle_names(draft: &mut Draft) -> Result<Option<&'static Record>, Error> {
    if draft.weights.is_none() && draft.model.is_none() {
        draft.weights = Some(USUAL_WEIGHTS.to_owned());
        draft.model = Some(DEFAULT_MODEL.to_owned());
    }
    let Some(weights) = draft.weights.as_deref().filter(|it| *it != NO_WEIGHTS) else {
        return Ok(None);
    };
    if Path::new(weights).exists() {
        return Ok(None);
    }
    let named = draft.model.as_deref().map(architecture).transpose()?;
    let record = match (weights, &named) {
        (USUAL_WEIGHTS, Some(named)) => named.record,
        (USUAL_WEIGHTS, None) => published(USUAL_WEIGHTS)?,
        (name, _) => match record_of(name) {
            Some(record) => record,
            None if is_path(name) => return Ok(None),
            None => return Err(unknown(name)),
        },
    };
    if let Some(named) = &named
        && named.name != record.architecture
    {
        let what = message!(
            "`{}` are weights of {}, not of {}",
            record.name,
            record.architecture,
            named.name
        );
        let fix = message!(
            "leave out {}, or give {} {USUAL_WEIGHTS} for the usual ones of {}",
            Key::MODEL,
            Key::WEIGHTS,
            named.name
        );
        return Err(Problem::new(what).of_key(Key::WEIGHTS).fix(fix).into());
    }
    // A record that is named as the model stays, whatever weights it gets.
    if named.is_none_or(|named| full_name(&named) == named.name) {
        draft.model = Some(full_name(&architecture(&record.name)?).to_owned());
    }
    draft.weights = Some(record.name.clone());
    Ok(Some(record))
}

/// Whether a text that is no record's name was meant as a path.
fn is_path(text: &str) -> bool {
    let end = text.rsplit('.').next().unwrap_or_default();
    text.contains(std::path::is_separator)
        || ENDS.iter().any(|known| end.eq_ignore_ascii_case(known))
}

fn unknown(name: &str) -> Error {
    let records = warmstart_models::all_records().iter();
    let mut known: Vec<&str> = records.map(|record| record.name.as_str()).collect();
    known.extend(warmstart_models::detector_names());
    known.push(USUAL_WEIGHTS);
    let mut likely = meant(name, &known);
    let more = likely.len() > SUGGESTED;
    likely.truncate(SUGGESTED);
    let what = message!("there is no file `{name}`, and no published weights of that name");
    let fix = match (likely.is_empty(), more) {
        (true, _) => message!("`warmstart weights list` lists them"),
        (false, true) => message!(
            "did you mean {}? `warmstart weights list` lists them",
            any_of(&likely)
        ),
        (false, false) => message!("did you mean {}?", any_of(&likely)),
    };
    Problem {
        found: name.to_owned(),
        expected: likely.join(", "),
        ..Problem::new(what).of_key(Key::WEIGHTS).fix(fix)
    }
    .into()
}

/// The published file of a record, for `warmstart_fetch`.
pub fn source_of(record: &Record) -> Source {
    let file = &record.file;
    Source {
        name: record.name.clone(),
        file: file.name.clone(),
        url: file.url.clone(),
        hub: file.hub.as_ref().map(|repository| Hub {
            repository: repository.clone(),
            files: HUB_FILES.map(str::to_owned).into(),
        }),
        checksum: file.sha256.as_deref().and_then(Checksum::new),
    }
}

/// The file of weights: a path, or where this machine has the file of a record.
///
/// # Errors
/// If the path is a folder without a model, or this machine does not have the record's file.
pub fn weights_file(weights: &str) -> Result<PathBuf, Error> {
    let Some(record) = named_record(weights) else {
        return resolve_path(Path::new(weights));
    };
    let found = warmstart_fetch::locate(&source_of(record), &Places::from_environment());
    found.map_err(|error| match Error::from(error) {
        Error::Download(mut problem) if warmstart_fetch::DOWNLOADS => {
            problem.fix = message!(
                "get it with `warmstart weights get {}`, or {fix}",
                record.name,
                fix = problem.fix
            );
            Error::Download(problem)
        }
        error => error,
    })
}

impl From<FetchError> for Error {
    fn from(error: FetchError) -> Self {
        let problem = Problem::new(error.to_string()).fix(error.fix());
        let problem = match error {
            FetchError::OtherContent {
                found, expected, ..
            } => Problem {
                found: found.to_string(),
                expected: expected.to_string(),
                ..problem
            },
            FetchError::Missing { .. } | FetchError::Io { .. } => problem,
        };
        Self::Download(Box::new(problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(model: Option<&str>, weights: Option<&str>) -> Result<[Option<String>; 2], Error> {
        let mut draft = Draft {
            model: model.map(str::to_owned),
            weights: weights.map(str::to_owned),
            ..Draft::default()
        };
        settle_names(&mut draft)?;
        Ok([draft.model, draft.weights])
    }

    fn error(model: Option<&str>, weights: &str) -> String {
        crate::plain(&settled(model, Some(weights)).unwrap_err().to_string())
    }

    #[test]
    fn names_stand_for_records_and_their_models() {
        let usual = "mobilenet_v2.imagenet1k_v1";
        let newer = "mobilenet_v2.imagenet1k_v2";
        for (model, weights, expected) in [
            (None, None, [Some("mobilenet_v2"), Some(usual)]),
            (None, Some("imagenet"), [Some("mobilenet_v2"), Some(usual)]),
            (
                Some("resnet18"),
                Some("imagenet"),
                [Some("resnet18"), Some("resnet18.imagenet1k_v1")],
            ),
            (Some(newer), Some("imagenet"), [Some(newer), Some(newer)]),
            (None, Some(newer), [Some(newer), Some(newer)]),
            (
                Some("mobilenet_v2"),
                Some(newer),
                [Some(newer), Some(newer)],
            ),
            (Some(newer), Some(usual), [Some(newer), Some(usual)]),
            (Some("resnet18"), None, [Some("resnet18"), None]),
            (None, Some("none"), [None, Some("none")]),
            (None, Some("some/file"), [None, Some("some/file")]),
            (None, Some("file.pth"), [None, Some("file.pth")]),
        ] {
            let expected = expected.map(|text| text.map(str::to_owned));
            assert_eq!(
                settled(model, weights).unwrap(),
                expected,
                "{model:?} {weights:?}"
            );
        }
    }

    #[test]
    fn a_detector_s_name_stands_for_its_weights() {
        for name in warmstart_models::detector_names() {
            let record = warmstart_models::usual_record(name).unwrap();
            let expected = [Some(name.to_owned()), Some(record.name.clone())];
            for model in [None, Some(name)] {
                assert_eq!(settled(model, Some(name)).unwrap(), expected);
                assert_eq!(settled(model, Some(&record.name)).unwrap(), expected);
            }
            assert_eq!(settled(Some(name), Some("imagenet")).unwrap(), expected);
            assert_eq!(named_detector(Path::new(name)), Some(record));
            assert!(is_detector(name) && is_detector(&record.name));
        }
        assert_eq!(named_detector(Path::new("mobilenet_v2")), None);
        assert!(!is_detector("resnet18.a1_in1k") && !is_detector("nothing"));
        let words = error(None, "rtmdet_tinyy");
        assert!(words.contains("did you mean `rtmdet_tiny`?"), "{words}");
    }

    #[test]
    fn what_is_not_known_is_answered_with_the_nearest() {
        let words = error(None, "mobilenet_v2.imagenet1k_v3");
        assert!(
            words.contains("did you mean `mobilenet_v2.imagenet1k_v"),
            "{words}"
        );
        let words = error(None, "mobilenet_v2");
        assert!(words.contains("`mobilenet_v2.imagenet1k_v1`, "), "{words}");
        let words = error(None, "resnet50");
        assert!(
            words.ends_with("`warmstart weights list` lists them"),
            "{words}"
        );
        assert!(error(None, "imagnet").contains("did you mean `imagenet`?"));
        let words = error(Some("resnet18"), "resnet50.a1_in1k");
        assert!(
            words.contains("weights of resnet50, not of resnet18"),
            "{words}"
        );
    }

    #[test]
    fn every_record_can_be_fetched_by_its_published_hash() {
        for record in warmstart_models::all_records() {
            let source = source_of(record);
            assert_eq!(source.checksum.is_some(), record.file.sha256.is_some());
        }
    }
}
