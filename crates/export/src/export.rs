//! From a model file to a checked ONNX file.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use warmstart_data::RgbImage;
use warmstart_data::random::{Purpose, below, stream};
use warmstart_language::message;
use warmstart_recipe::{Error, Key, Problem};
use warmstart_tasks::kinds::Trained;

use crate::Agreement;
use crate::agreement::Reference;
use crate::check::Checked;
use crate::model::Model;
use crate::onnx::{OnnxFile, OnnxOptions, build};
use crate::sidecar::{sidecar, sidecar_path};

/// A request for an ONNX file.
#[derive(Clone, Debug)]
pub struct OnnxRequest {
    /// The file to write; one that exists is replaced.
    pub path: PathBuf,
    /// Whether the way from pixels to the network's input is in the graph.
    pub preprocessing: bool,
    /// Whether a classifier's outputs are logits.
    pub logits: bool,
    /// Whether a detector's outputs are those of all points.
    pub raw: bool,
    /// Whether weights are stored in 16 bits.
    pub half: bool,
}

/// An ONNX file that was written.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// The file.
    pub file: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// The file that says how to prepare an input; `None` if the graph does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<PathBuf>,
    /// The network's name.
    pub model: String,
    /// Number of classes.
    pub classes: usize,
    /// The verdict of another engine on the file with `f32` weights; `None` in a build without the check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked: Option<Checked>,
    /// The same network with 16-bit weights beside the trainer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half: Option<Agreement>,
}

/// Pictures of a whole file's check; the engine prepares itself for each size anew.
#[cfg(feature = "check")]
const WHOLE_PICTURES: usize = 3;
/// Sizes of pictures of noise: a square, a wide and a tall one.
const NOISE_SIZES: [(usize, usize); 3] = [(160, 160), (200, 120), (90, 220)];
/// Pictures of noise of each size.
const NOISE_PICTURES: usize = 2;
/// Edge of the blocks of one colour in them, in pixels.
const NOISE_BLOCK: usize = 8;

/// Writes a model file's network as an ONNX file, once another engine agrees with the trainer about it. `trained` is the
/// same model, and `pictures` what the two are compared on.
///
/// # Errors
/// If the request does not fit the model, the engines disagree, or the file cannot be written. There is no file then, or
/// the one that was there.
pub fn export_onnx(
    source: &Path,
    trained: &Trained,
    pictures: &[RgbImage],
    request: &OnnxRequest,
) -> Result<Exported, Error> {
    require_place(&request.path)?;
    let options = options(request, trained)?;
    let model = Model::read(source)?;
    let full = OnnxOptions {
        half: false,
        ..options
    };
    let mut file = build(&model, full, &[]);
    let reference = Reference::new(trained, pictures)?;
    let checked = checked(&file, &model, &reference, (trained, pictures), request)?;
    let mut half = None;
    if options.half {
        file = build(&model, options, &[]);
        half = compared(&file, &reference, request)?;
        if let Some(agreement) = &half {
            let facts = [
                (
                    "f16_largest_difference".to_owned(),
                    format!("{:e}", agreement.largest_difference),
                ),
                (
                    "f16_same_class".to_owned(),
                    format!("{} of {}", agreement.same_class, agreement.images),
                ),
            ];
            file = build(&model, options, &facts);
        }
    }
    write(&model, file, request, checked, half)
}

/// Settings of the graph. A detector selects what `predict` shows by default.
fn options(request: &OnnxRequest, trained: &Trained) -> Result<OnnxOptions, Error> {
    let wrong = |flag: &'static str, what: String| {
        Problem::new(what)
            .of_key(Key(flag))
            .fix(message!("leave --{flag} out"))
    };
    let selection = match trained {
        Trained::Classifier(_) if request.raw => {
            let what = message!("--raw is for detectors, and this model is a classifier");
            return Err(wrong("raw", what).into());
        }
        Trained::Detector(_) if request.logits => {
            let what = message!("--logits is for classifiers, and this model is a detector");
            return Err(wrong("logits", what).into());
        }
        Trained::Classifier(_) => None,
        Trained::Detector(detector) => (!request.raw).then(|| detector.selection()),
    };
    Ok(OnnxOptions {
        preprocessing: request.preprocessing,
        logits: request.logits,
        selection,
        half: request.half,
    })
}

/// Refuses a path that cannot become a file, before anything is computed.
fn require_place(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if folder.is_some_and(|folder| !folder.is_dir()) {
        let what = message!("the folder it is to be in does not exist");
        return Err(Problem::new(what)
            .of_file(path)
            .fix(message!("create the folder, or give another path"))
            .into());
    }
    if path.is_dir() {
        return Err(Problem::new(message!("it is a folder"))
            .of_file(path)
            .fix(message!(
                "give the path of a file, such as model.onnx in it"
            ))
            .into());
    }
    Ok(())
}

#[cfg(feature = "check")]
fn compared(
    file: &OnnxFile,
    reference: &Reference,
    request: &OnnxRequest,
) -> Result<Option<Agreement>, Error> {
    use prost::Message as _;
    let part = crate::onnx::network_part(&file.message, &file.network).encode_to_vec();
    let shape = [file.channels, file.size];
    let results = crate::check::network_results(&part, shape, request.logits, &reference.inputs);
    let results = results.map_err(|reason| {
        let what = message!("tract cannot compute what would be written ({reason})");
        Error::model(&request.path, what).fix(message!("no file was written; please report this"))
    })?;
    Ok(Some(reference.compare(&results)))
}

#[cfg(not(feature = "check"))]
fn compared(_: &OnnxFile, _: &Reference, _: &OnnxRequest) -> Result<Option<Agreement>, Error> {
    Ok(None)
}

#[cfg(feature = "check")]
fn checked(
    file: &OnnxFile,
    model: &Model,
    reference: &Reference,
    (trained, pictures): (&Trained, &[RgbImage]),
    request: &OnnxRequest,
) -> Result<Option<Checked>, Error> {
    use crate::check::WholeCheck;
    use crate::model::Network;
    let Some(network) = compared(file, reference, request)? else {
        return Ok(None);
    };
    if !network.is_close(model.info.preprocessing.crop) {
        let what = message!(
            "tract disagrees with warmstart about what would be written: {how}",
            how = network.words()
        );
        let fix = message!("no file was written; please report this");
        return Err(Error::model(&request.path, what).fix(fix));
    }
    let whole = match &model.network {
        Network::Classifier(_) if request.preprocessing => Some(whole_check(
            &file.bytes(),
            trained,
            pictures,
            request.logits,
        )?),
        Network::Detector(_) if request.preprocessing => Some(WholeCheck::NotComputed(message!(
            "the boxes of a detector are compared before they are placed in the picture"
        ))),
        Network::Classifier(_) | Network::Detector(_) => None,
    };
    Ok(Some(Checked { network, whole }))
}

/// The check from pixels on, with the smallest pictures, because the engine is slow at resizing.
#[cfg(feature = "check")]
fn whole_check(
    bytes: &[u8],
    trained: &Trained,
    pictures: &[RgbImage],
    logits: bool,
) -> Result<crate::check::WholeCheck, Error> {
    use crate::check::{Whole, WholeCheck};
    let mut few = pictures.to_vec();
    few.sort_by_key(|picture| picture.width * picture.height);
    few.truncate(WHOLE_PICTURES);
    let results = few.iter().map(|picture| {
        let picture = std::slice::from_ref(picture);
        Whole::load(bytes, &picture[0])?.results(logits, picture)
    });
    let results = results.collect::<Result<Vec<_>, String>>();
    Ok(match results {
        Ok(results) => {
            let reference = Reference::new(trained, &few)?;
            WholeCheck::Compared(reference.compare(&results.concat()))
        }
        Err(reason) => WholeCheck::NotComputed(reason),
    })
}

#[cfg(not(feature = "check"))]
fn checked(
    _: &OnnxFile,
    _: &Model,
    _: &Reference,
    _: (&Trained, &[RgbImage]),
    _: &OnnxRequest,
) -> Result<Option<Checked>, Error> {
    Ok(None)
}

fn write(
    model: &Model,
    file: OnnxFile,
    request: &OnnxRequest,
    checked: Option<Checked>,
    half: Option<Agreement>,
) -> Result<Exported, Error> {
    let replace = |path: &Path, bytes: &[u8]| {
        warmstart_files::replace(path, |file| file.write_all(bytes))
            .map_err(|error| Error::io("write", path, error))
    };
    let bytes = file.bytes();
    let mut written = None;
    if !request.preprocessing {
        let path = sidecar_path(&request.path);
        replace(&path, sidecar(model, &file, &request.path).as_bytes())?;
        written = Some(path);
    }
    if let Err(error) = replace(&request.path, &bytes) {
        if let Some(sidecar) = &written {
            // The error that is reported is the one of the file that it describes.
            let _ = std::fs::remove_file(sidecar);
        }
        return Err(error);
    }
    Ok(Exported {
        file: request.path.clone(),
        bytes: bytes.len() as u64,
        sidecar: written,
        model: model.info.model.clone(),
        classes: model.info.classes.len(),
        checked,
        half,
    })
}

/// Pictures to compare engines on where a model has none: blocks of colour, the same ones every time.
pub fn noise() -> Vec<RgbImage> {
    let pictures = NOISE_SIZES.iter().flat_map(|size| [size; NOISE_PICTURES]);
    pictures
        .zip(0..)
        .map(|(&(width, height), number)| {
            let mut random = stream(0, 0, number, Purpose::Noise);
            let columns = width.div_ceil(NOISE_BLOCK);
            let blocks: Vec<[u8; 3]> = (0..columns * height.div_ceil(NOISE_BLOCK))
                .map(|_| std::array::from_fn(|_| below(&mut random, 256) as u8))
                .collect();
            let pixel = |place: usize| {
                let (x, y) = (place % width, place / width);
                blocks[y / NOISE_BLOCK * columns + x / NOISE_BLOCK]
            };
            RgbImage {
                width,
                height,
                pixels: (0..width * height).flat_map(pixel).collect(),
            }
        })
        .collect()
}
