//! Published files of weights, from picture files to logits.
//!
//! Needs the real weights: `./quickstart --test-data` fetches them.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use warmstart_data::{Fit, evaluation_pixels};
use warmstart_nn::{Forward, Parameters};
use warmstart_tasks::classify::Head;
use warmstart_tasks::network::images;
use warmstart_tasks::preprocessing::for_size;
use warmstart_train::{conventions, expectations};
use warmstart_weights::Target;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Most that logits may differ, as a share of the largest, where the pixels are Pillow's.
const TOLERANCE: f32 = 1e-4;

/// A published file, the network with its record's constants, and the logits that PyTorch computes with it.
struct Published {
    file: &'static str,
    model: &'static str,
    logits: &'static str,
    /// Most that logits of JPEGs may differ, whose decoders disagree (docs/preprocessing.md).
    tolerance_of_jpegs: f32,
}

#[test]
fn logits_of_picture_files_are_pytorchs() {
    compare(&Published {
        file: "mobilenet_v2-b0353104.pth",
        model: "mobilenet_v2",
        logits: "picture_logits.safetensors",
        tolerance_of_jpegs: 0.02,
    });
}

/// The constants of a port from TensorFlow come from its record: padding, epsilon, bicubic resizing, (x − 127) ÷ 128.
#[test]
fn logits_of_efficientnet_lite0_are_pytorchs() {
    compare(&Published {
        file: "efficientnet-lite0-57934424.pth",
        model: "efficientnet_lite0.lite_pytorch",
        logits: "picture_logits_lite0.safetensors",
        tolerance_of_jpegs: 0.04,
    });
}

fn compare(published: &Published) {
    let path = root().join("quickstart-data").join(published.file);
    assert!(
        path.is_file(),
        "{} is missing: run ./quickstart --test-data first",
        path.display()
    );
    let file = warmstart_weights::read(&path).unwrap();
    let architecture = warmstart_recipe::architecture(published.model).unwrap();
    let head = Head::new(&architecture, 1000);
    let mut infos = architecture.backbone_parameters();
    infos.extend(head.parameters().clone());
    let expected = expectations(&infos, &[]);
    let target = Target {
        architecture: architecture.name,
        expected: &expected,
        conventions: &conventions(&architecture),
    };
    let plan = warmstart_weights::compare(&file, &target, None).unwrap();
    let device = warmstart_nn::device();
    let mut parameters = Parameters::new();
    for info in &infos {
        let values = plan.loaded[&info.name].data.clone();
        parameters.insert_values(&info.name, &info.shape, values, &device);
    }
    let all = 0..architecture.stages.len();
    let folded = architecture.fold(all.clone(), &parameters, &device);
    let pretrained = architecture.pretrained();
    let preprocessing = for_size(pretrained, pretrained.image_size, Fit::Crop);

    let goldens = std::fs::read(root().join("tests/fixtures").join(published.logits)).unwrap();
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
        let x = images(&[&pixels], pretrained.image_size, &device);
        let features = architecture.forward(all.clone(), x, &mut Forward::Inference(&folded));
        let logits = head.logits(features, &parameters, None);
        let ours: Vec<f32> = logits.into_data().try_into_vec().unwrap();
        let largest = golden.iter().fold(0f32, |a, v| a.max(v.abs()));
        let difference = ours
            .iter()
            .zip(&golden)
            .fold(0f32, |a, (x, y)| a.max((x - y).abs()));
        let relative = difference / largest;
        let tolerance = if name.ends_with(".jpg") {
            published.tolerance_of_jpegs
        } else {
            TOLERANCE
        };
        if relative > tolerance {
            too_far.push(format!("{name}: {relative:e}"));
        }
    }
    assert_eq!(goldens.len(), 42, "every picture was compared");
    assert!(too_far.is_empty(), "{too_far:?}");
}
