//! The file beside an ONNX file without preprocessing, which says what a caller has to do.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use warmstart_data::Fit;

use crate::model::{Model, Network};
use crate::onnx::{Dim, Element, OnnxFile, Port};

/// The path of the file beside an ONNX file: `pets.preprocessing.json` for `pets.onnx`.
pub fn sidecar_path(onnx: &Path) -> PathBuf {
    onnx.with_extension("preprocessing.json")
}

/// Its content.
pub fn sidecar(model: &Model, file: &OnnxFile, onnx: &Path) -> String {
    let info = &model.info;
    let ports = |ports: &[Port]| ports.iter().map(port).collect::<Vec<Value>>();
    let content = json!({
        "file": warmstart_files::text(Path::new(onnx.file_name().unwrap_or_default())),
        "task": info.task.to_string(),
        "model": info.model,
        "classes": info.classes,
        "inputs": ports(&file.inputs),
        "outputs": ports(&file.outputs),
        "preprocessing": info.preprocessing,
        "steps": steps(model),
    });
    let text = serde_json::to_string_pretty(&content).expect("a description is plain data");
    text + "\n"
}

fn port(port: &Port) -> Value {
    let dim = |dim: &Dim| match dim {
        Dim::Fixed(length) => json!(length),
        Dim::Named(name) => json!(name),
    };
    let element = match port.element {
        Element::Byte => "uint8",
        Element::Integer => "int64",
        Element::Float => "float32",
    };
    json!({
        "name": port.name,
        "type": element,
        "shape": port.shape.iter().map(dim).collect::<Vec<Value>>(),
        "meaning": port.meaning,
    })
}

/// What a caller has to do, in sentences.
fn steps(model: &Model) -> Vec<String> {
    let preprocessing = &model.info.preprocessing;
    let (size, resize) = (preprocessing.crop, preprocessing.resize);
    let filter = match preprocessing.interpolation {
        warmstart_data::Interpolation::Bilinear => "bilinear",
        warmstart_data::Interpolation::Bicubic => "bicubic",
    };
    let filter = format!("{filter}, antialiased, as Pillow does");
    let mut steps = vec![
        "decode the picture as 8-bit red, green and blue, turned as its EXIF orientation says, on white where it is \
         transparent"
            .to_owned(),
    ];
    if !preprocessing.decode.is_full() {
        steps.push(
            "the model was trained with decode = \"scaled\": of a JPEG that is far larger than the square, it saw a half, \
             a quarter or an eighth of the width and height, scaled in the DCT; all pixels, resized, come close to that"
                .to_owned(),
        );
    }
    steps.push(match preprocessing.fit {
        Fit::Crop => format!(
            "resize the shorter side to {resize} and cut the longer one to an integer ({filter}), then cut out the \
             centre of {size} x {size}"
        ),
        Fit::Squash => format!("resize to {size} x {size} ({filter})"),
        Fit::Letterbox => format!(
            "resize the longer side to {size} and round the shorter one ({filter}), and put it into the middle of a \
             square of {size} x {size} with the value 114 around it; an odd pixel goes to the right and the bottom"
        ),
    });
    steps.push(format!(
        "divide by 255, subtract the mean {:?} and divide by the deviation {:?} of each channel",
        preprocessing.mean, preprocessing.std
    ));
    steps.push("arrange the values as [batch, channels, height, width]".to_owned());
    if let Network::Detector(_) = model.network {
        steps.push(
            "afterwards, move the boxes, which are in pixels of the square, back: subtract the square's part left of \
             and above the picture, and multiply by the picture's width (height) over its resized width (height)"
                .to_owned(),
        );
    }
    steps
}
