//! A trained model as a folder with a page that runs it in a browser, without a server and without a network.
//!
//! A page that is opened from a disk may load scripts, but no other files. So the ONNX file and onnxruntime-web's
//! WebAssembly lie in scripts, as base64.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use warmstart_data::RgbImage;
use warmstart_language::{message, page_in_words};
use warmstart_recipe::{Error, Key, Problem};
use warmstart_tasks::kinds::Trained;

use crate::export::{Exported, OnnxRequest, export_onnx};

/// The page, with places for its language and its words.
const PAGE: &str = include_str!("page.html");
/// The package of the runtime, as npm names it.
const PACKAGE: &str = "onnxruntime-web";
/// The version that the page was tested with.
const VERSION: &str = "1.30.0";
/// The runtime's program.
const PROGRAM: &str = "ort.wasm.min.js";
/// What loads its WebAssembly.
const LOADER: &str = "ort-wasm-simd-threaded.mjs";
/// Its WebAssembly.
const WASM: &str = "ort-wasm-simd-threaded.wasm";
/// Folders below the one that is given in which the files may lie.
const PLACES: [&str; 4] = [
    "",
    "dist",
    "package/dist",
    "node_modules/onnxruntime-web/dist",
];

/// Writes a folder with a page, `index.html`, that classifies pictures, or finds objects in them. `runtime` is a folder
/// with onnxruntime-web; without one, the npm client fetches it. `trained` and `pictures` are as in [`export_onnx`].
///
/// # Errors
/// If the folder is there already and not empty, the runtime cannot be had, the engines disagree, or the disk refuses.
/// There is no folder then.
pub fn export_web(
    source: &Path,
    trained: &Trained,
    pictures: &[RgbImage],
    folder: &Path,
    runtime: Option<&Path>,
) -> Result<Exported, Error> {
    require_new(folder)?;
    let parent = folder.parent().filter(|parent| *parent != Path::new(""));
    let work = tempfile::tempdir_in(parent.unwrap_or(Path::new(".")))
        .map_err(|error| Error::io("create", folder, error))?;
    let runtime = match runtime {
        Some(runtime) => dist_of(runtime)?,
        None => installed(&work.path().join("npm"))?,
    };
    let made = work.path().join("page");
    fs::create_dir(&made).map_err(|error| Error::io("create", folder, error))?;
    let onnx = made.join("model.onnx");
    let exported = export_onnx(
        source,
        trained,
        pictures,
        &OnnxRequest {
            path: onnx.clone(),
            preprocessing: true,
            logits: false,
            raw: false,
            half: false,
        },
    )?;
    let write = |name: &str, text: &[u8]| {
        let path = made.join(name);
        let mut file =
            fs::File::create(&path).map_err(|error| Error::io("write", folder, error))?;
        file.write_all(text)
            .map_err(|error| Error::io("write", folder, error))
    };
    let info = trained.info();
    let info = json!({
        "task": info.task,
        "classes": info.classes,
        "model": info.model,
        "version": env!("CARGO_PKG_VERSION"),
    });
    write(
        "model.js",
        script("WARMSTART", &[("info", info), ("onnx", text_of(&onnx)?)]).as_bytes(),
    )?;
    let runtime_files = [
        ("loader", text_of(&runtime.join(LOADER))?),
        ("wasm", text_of(&runtime.join(WASM))?),
    ];
    write(
        "runtime.js",
        script("WARMSTART_RUNTIME", &runtime_files).as_bytes(),
    )?;
    write(PROGRAM, &read(&runtime.join(PROGRAM))?)?;
    write("index.html", page().as_bytes())?;
    let _ = fs::remove_dir(folder);
    fs::rename(&made, folder).map_err(|error| Error::io("create", folder, error))?;
    let bytes = fs::read_dir(folder).map_err(|error| Error::io("list", folder, error))?;
    let bytes = bytes.filter_map(|entry| entry.ok()?.metadata().ok());
    Ok(Exported {
        file: folder.join("index.html"),
        bytes: bytes.map(|file| file.len()).sum(),
        ..exported
    })
}

/// The page in the user's language.
fn page() -> String {
    let words = json!({
        "choose": message!("Choose pictures"),
        "orDrop": message!("or drop or paste them here; they stay on this device"),
        "camera": message!("Use the camera"),
        "stop": message!("Stop the camera"),
        "noCamera": message!("there is no camera ({reason})", reason = "{reason}"),
        "classify": message!("Which class?"),
        "detect": message!("What is where?"),
        "nothing": message!("nothing found"),
        "progress": message!("{done} of {count} …", done = "{done}", count = "{count}"),
        "unread": message!("this picture cannot be read ({reason})", reason = "{reason}"),
        "unloaded": message!("The model cannot be loaded"),
    });
    page_in_words(PAGE, &words.to_string())
}

/// Refuses a folder that has something in it.
fn require_new(folder: &Path) -> Result<(), Error> {
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(Error::io("list", folder, error)),
    };
    if is_empty {
        return Ok(());
    }
    let problem = Problem::new(message!("it exists and is not empty")).of_file(folder);
    let fix = message!("give another folder, or empty it");
    Err(problem.fix(fix).into())
}

/// The folder with the runtime's files, at or below one.
fn dist_of(folder: &Path) -> Result<PathBuf, Error> {
    let mut places = PLACES.iter().map(|place| folder.join(place));
    let has_all = |place: &PathBuf| {
        [PROGRAM, LOADER, WASM]
            .iter()
            .all(|name| place.join(name).is_file())
    };
    places.find(has_all).ok_or_else(|| {
        let what = message!("it does not hold {PACKAGE}: expected {PROGRAM}, {LOADER} and {WASM} in it or in its dist/");
        Problem::new(what)
            .of_file(folder)
            .fix(message!("unpack the npm package {PACKAGE} {VERSION} there"))
            .into()
    })
}

/// The folder with the runtime's files, installed by the npm client into `folder`.
fn installed(folder: &Path) -> Result<PathBuf, Error> {
    let without = |reason: String| {
        let what = message!("{PACKAGE} {VERSION} cannot be fetched by npm ({reason})");
        let fix = message!(
            "unpack that package elsewhere, and give its folder with {}",
            Key("runtime")
        );
        Error::from(Problem::new(what).fix(fix))
    };
    fs::create_dir(folder).map_err(|error| Error::io("create", folder, error))?;
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let answer = Command::new(program)
        .args([
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--silent",
            "--prefix",
        ])
        .arg(folder)
        .arg(format!("{PACKAGE}@{VERSION}"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| without(error.to_string()))?;
    if !answer.status.success() {
        let said = String::from_utf8_lossy(&answer.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        return Err(without(
            last.map_or_else(|| message!("it failed"), str::to_owned),
        ));
    }
    dist_of(folder)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::io("read", path, error))
}

/// A file's bytes as base64, in JSON.
fn text_of(path: &Path) -> Result<serde_json::Value, Error> {
    Ok(json!(STANDARD.encode(read(path)?)))
}

/// A script that makes an object a property of the page.
fn script(name: &str, fields: &[(&str, serde_json::Value)]) -> String {
    let fields = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()));
    let object = serde_json::Value::Object(fields.collect());
    format!("self.{name} = {object};\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_in_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(require_new(folder.path()).is_ok());
        assert!(require_new(&folder.path().join("not there")).is_ok());
        fs::write(folder.path().join("mine"), "").unwrap();
        let error = require_new(folder.path()).unwrap_err().to_string();
        assert!(error.contains("it exists and is not empty"), "{error}");
    }

    #[test]
    fn the_runtime_is_found_in_its_package_and_named_where_it_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let error = dist_of(folder.path()).unwrap_err().to_string();
        assert!(error.contains("unpack the npm package"), "{error}");
        let dist = folder.path().join("package/dist");
        fs::create_dir_all(&dist).unwrap();
        for name in [PROGRAM, LOADER, WASM] {
            fs::write(dist.join(name), "").unwrap();
        }
        assert_eq!(dist_of(folder.path()).unwrap(), dist);
    }

    #[test]
    fn the_page_holds_its_language_and_its_words() {
        let page = page();
        assert!(
            page.starts_with("<!doctype html>\n<html lang=\"en\">"),
            "{page}"
        );
        assert!(page.contains("\"choose\":\"Choose pictures\""), "{page}");
        assert!(
            page.contains("\"progress\":\"{done} of {count} …\""),
            "{page}"
        );
        for place in ["{LANGUAGE}", "{WORDS}"] {
            assert!(PAGE.contains(place) && !page.contains(place), "{place}");
        }
    }

    #[test]
    fn a_script_holds_any_text() {
        let text = script("X", &[("a", json!("\"</script>"))]);
        assert_eq!(text, "self.X = {\"a\":\"\\\"</script>\"};\n");
    }
}
