//! Torchvision's own MobileNetV2 file, from picture files to logits.
//!
//! Needs the real weights: `./quickstart --test-data` fetches them.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use warmstart_data::{Interpolation, Preprocessing, evaluation_pixels};
use warmstart_nn::Forward;
use warmstart_tasks::classify::Head;
use warmstart_tasks::model_file::complete_parameters;
use warmstart_tasks::network::images;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Pictures whose pixels differ from Pillow's, and by how much logits may then: JPEG decoders
/// disagree (docs/preprocessing.md). All others may differ by 1e-4 of the largest logit.
fn tolerance(name: &str) -> f32 {
    match name {
        name if name.ends_with(".jpg") => 0.02,
        _ => 1e-4,
    }
}

#[test]
fn logits_of_picture_files_are_pytorchs() {
    let path = root().join("quickstart-data/mobilenet_v2-b0353104.pth");
    assert!(
        path.is_file(),
        "{} is missing: run ./quickstart --test-data first",
        path.display()
    );
    let mut file = warmstart_weights::read(&path).unwrap();
    let architecture = warmstart_recipe::architecture("mobilenet_v2").unwrap();
    let head = Head::new(&architecture, 1000);
    let mut infos = architecture.backbone_parameters();
    infos.extend(head.parameters().clone());
    let device = warmstart_nn::device();
    let parameters = complete_parameters(&mut file, &infos, &device).unwrap();
    let all = 0..architecture.stages.len();
    let folded = architecture.fold(all.clone(), &parameters, &device);
    let preprocessing = Preprocessing {
        fit: Default::default(),
        resize: 256,
        crop: 224,
        interpolation: Interpolation::Bilinear,
        mean: architecture.pretrained().mean,
        std: architecture.pretrained().deviation,
    };

    let goldens = std::fs::read(root().join("tests/fixtures/picture_logits.safetensors")).unwrap();
    let goldens = SafeTensors::deserialize(&goldens).unwrap();
    let mut too_far = Vec::new();
    for (name, golden) in goldens.tensors() {
        let golden: Vec<f32> = golden
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let picture = root().join("crates/data/tests/fixtures/images").join(&name);
        let pixels = evaluation_pixels(&picture, &preprocessing).unwrap();
        let x = images(&[&pixels], 224, &device);
        let features = architecture.forward(all.clone(), x, &mut Forward::Inference(&folded));
        let logits = head.logits(features, &parameters, None);
        let ours: Vec<f32> = logits.into_data().try_into_vec().unwrap();
        let largest = golden.iter().fold(0f32, |a, v| a.max(v.abs()));
        let difference = ours
            .iter()
            .zip(&golden)
            .fold(0f32, |a, (x, y)| a.max((x - y).abs()));
        let relative = difference / largest;
        if relative > tolerance(&name) {
            too_far.push(format!("{name}: {relative:e}"));
        }
    }
    assert_eq!(goldens.len(), 42, "every picture was compared");
    assert!(too_far.is_empty(), "{too_far:?}");
}
