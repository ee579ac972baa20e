//! Writes a model's logits for a few made-up images, for `tests/python/check_torchvision.py` to
//! compare with PyTorch's: `cargo run --release -p warmstart-train --example logits -- MODEL OUT`.

use std::path::PathBuf;

use warmstart_tasks::kinds::Trained;
use warmstart_weights::{SavedData, SavedTensor};

const IMAGES: usize = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(model), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("give a model file and a file to write".into());
    };
    let trained = Trained::load(&model, &warmstart_nn::device())?;
    let Trained::Classifier(classifier) = trained else {
        return Err("the model is no classifier".into());
    };
    let size = classifier.info.preprocessing.crop;
    let pixel = |index: usize| (index as f32 * 0.618).sin() * 2.0;
    let images: Vec<Vec<f32>> = (0..IMAGES)
        .map(|image| {
            (0..size * size * 3)
                .map(|i| pixel(i * (image + 1)))
                .collect()
        })
        .collect();
    let pixels: Vec<&[f32]> = images.iter().map(Vec::as_slice).collect();
    let logits = classifier.logits(&pixels).concat();
    // PyTorch takes [image, channel, height, width].
    let mut input = Vec::with_capacity(IMAGES * size * size * 3);
    for image in &images {
        for channel in 0..3 {
            input.extend(image.iter().skip(channel).step_by(3));
        }
    }
    let shapes = [
        vec![IMAGES, 3, size, size],
        vec![IMAGES, classifier.info.classes.len()],
    ];
    let tensors = [
        ("input", &shapes[0], &input),
        ("logits", &shapes[1], &logits),
    ];
    let tensors = tensors.map(|(name, shape, values)| SavedTensor {
        name,
        shape,
        data: SavedData::F32(values),
    });
    warmstart_weights::save(&out, tensors, &serde_json::Value::Null)?;
    Ok(())
}
