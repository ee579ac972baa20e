//! Files of other libraries with the tensors of ConvNeXt, ViT, DeiT and DINOv2: recognised, and loaded whole.
//!
//! The names and shapes are those of `tests/fixtures/names`.

use std::collections::BTreeMap;
use std::path::Path;

use warmstart_models::{Architecture, by_name, names};
use warmstart_tasks::expectations::{IMAGENET_CLASSES, beyond, conventions, expectations};
use warmstart_tasks::published::network_in;
use warmstart_weights::{
    Convention, Expected, FileTensor, Format, LoadPlan, Target, WeightFile, compare, inspect,
};

/// Blocks of a vision transformer, each with a projection's weight and bias.
const JOINED: usize = 2 * 12;

/// A network as a library saves it.
struct Saved {
    library: String,
    file: WeightFile,
}

/// A network as each library saves it, with a classifier for that many classes, or with none.
fn saved(network: &Architecture, classes: Option<usize>) -> Vec<Saved> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/names");
    let text = std::fs::read_to_string(folder.join(format!("{}.tsv", network.name))).unwrap();
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let libraries = lines[0].iter().enumerate().skip(1);
    let saved = libraries.map(|(column, library)| {
        let mut tensors = BTreeMap::new();
        for row in &lines[1..] {
            let (native, cell) = (row[1], row[column]);
            let layer = native.rsplit_once('.').map(|(layer, _)| layer);
            let is_classifier = layer == Some(network.classifier);
            if cell == "-" || (is_classifier && classes.is_none()) {
                continue;
            }
            let (names, shape) = cell.split_once(' ').unwrap_or((cell, row[0]));
            let mut shape: Vec<usize> =
                shape.split('x').map(|size| size.parse().unwrap()).collect();
            if let Some(classes) = classes.filter(|_| is_classifier) {
                shape[0] = classes;
            }
            let names: Vec<&str> = names.split('+').collect();
            shape[0] /= names.len();
            for name in names {
                tensors.insert(name.to_owned(), tensor(&shape));
            }
        }
        for (name, shape) in for_other_purposes(network, library, classes) {
            tensors.insert(name.to_owned(), tensor(&shape));
        }
        Saved {
            library: (*library).to_owned(),
            file: file(tensors),
        }
    });
    saved.collect()
}

/// What a library's file has besides.
fn for_other_purposes(
    network: &Architecture,
    library: &str,
    classes: Option<usize>,
) -> Vec<(&'static str, Vec<usize>)> {
    let is_distilled = network.name.contains("distilled");
    match (library, classes) {
        ("facebookresearch", _) if network.name.contains("dinov2") => {
            vec![("mask_token", vec![1, 384])]
        }
        ("timm", Some(classes)) if is_distilled => vec![
            ("head_dist.weight", vec![classes, network.features]),
            ("head_dist.bias", vec![classes]),
        ],
        ("transformers", Some(classes)) if is_distilled => vec![
            (
                "distillation_classifier.weight",
                vec![classes, network.features],
            ),
            ("distillation_classifier.bias", vec![classes]),
        ],
        ("transformers", None) if network.name.starts_with("vit_tiny") => vec![
            ("vit.pooler.dense.weight", vec![192, 192]),
            ("vit.pooler.dense.bias", vec![192]),
        ],
        _ => Vec::new(),
    }
}

/// A tensor whose values do not matter.
fn tensor(shape: &[usize]) -> FileTensor {
    FileTensor {
        shape: shape.to_vec(),
        dtype: "f32",
        data: Vec::new(),
    }
}

fn file(tensors: BTreeMap<String, FileTensor>) -> WeightFile {
    WeightFile {
        path: "network.safetensors".into(),
        format: Format::Safetensors,
        stripped: Vec::new(),
        set_aside: Vec::new(),
        ignored_objects: Vec::new(),
        classes: None,
        unreadable: BTreeMap::new(),
        not_finite: Vec::new(),
        tensors,
        metadata: None,
    }
}

/// The networks of these families.
fn networks() -> impl Iterator<Item = Architecture> {
    let families = ["convnext", "vit_", "deit_"];
    let of_families = move |name: &&str| families.iter().any(|family| name.starts_with(family));
    names()
        .filter(of_families)
        .map(|name| by_name(name).unwrap())
}

fn expected(network: &Architecture) -> Vec<Expected> {
    let classifier = network.classifier_parameters(IMAGENET_CLASSES);
    expectations(&network.backbone_parameters(), &classifier)
}

fn loaded(network: &Architecture, file: &WeightFile) -> LoadPlan {
    let mut expected = expected(network);
    expected.extend(beyond(network, &expected));
    let target = Target {
        architecture: network.name,
        expected: &expected,
        conventions: &conventions(network),
    };
    compare(file, &target, None).unwrap()
}

#[test]
fn a_file_of_each_library_is_recognised_with_a_head_of_any_classes_or_none() {
    let known: Vec<(&str, Vec<Expected>, Vec<Convention>)> = networks()
        .map(|network| (network.name, expected(&network), conventions(&network)))
        .collect();
    let targets: Vec<Target> = known
        .iter()
        .map(|(architecture, expected, conventions)| Target {
            architecture,
            expected,
            conventions,
        })
        .collect();
    assert_eq!(targets.len(), 18);
    for network in networks() {
        // DeiT without distillation has the tensors of a ViT, which is listed first.
        let same = match network.name {
            "deit_tiny_patch16_224" => "vit_tiny_patch16_224",
            "deit_small_patch16_224" => "vit_small_patch16_224",
            name => name,
        };
        for classes in [Some(1000), Some(7), None] {
            for Saved { library, file } in saved(&network, classes) {
                let inspection = inspect(&file, &targets, None).unwrap();
                assert_eq!(
                    inspection.architecture.as_deref(),
                    Some(same),
                    "{} of {library} with {classes:?} classes",
                    network.name
                );
            }
        }
    }
}

#[test]
fn a_file_of_transformers_is_recognised_among_all_networks() {
    for name in ["vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2"] {
        let network = by_name(name).unwrap();
        let mut files = saved(&network, None).into_iter();
        let of_transformers = files.find(|saved| saved.library == "transformers").unwrap();
        let found = network_in(&of_transformers.file, None).unwrap().unwrap();
        assert_eq!(found.name, name);
    }
}

#[test]
fn layer_scales_that_a_vit_does_not_have_are_those_of_another_network() {
    // DeiT III: in timm's names, and in those that Meta's repository and transformers would give them.
    let network = by_name("vit_small_patch16_224").unwrap();
    for (library, scale) in [
        ("timm", "blocks.{}.ls1.gamma"),
        ("timm", "blocks.{}.gamma_1"),
        ("transformers", "vit.encoder.layer.{}.layer_scale1.lambda1"),
    ] {
        let mut files = saved(&network, Some(IMAGENET_CLASSES)).into_iter();
        let mut file = files.find(|saved| saved.library == library).unwrap().file;
        for block in 0..12 {
            let name = scale.replace("{}", &block.to_string());
            file.tensors.insert(name, tensor(&[384]));
        }
        assert_eq!(network_in(&file, None).unwrap().map(|n| n.name), None);
        let plan = loaded(&network, &file);
        assert_eq!(plan.strangers.len(), 12, "{scale}");
        let refusal = plan.require_backbone(0.95).unwrap_err().to_string();
        assert!(
            refusal.contains("and 11 more belong to layers"),
            "{refusal}"
        );
    }
}

#[test]
fn a_file_of_each_library_loads_whole_and_the_plan_says_how() {
    for network in networks() {
        for Saved { library, file } in saved(&network, Some(IMAGENET_CLASSES)) {
            let plan = loaded(&network, &file);
            let of = format!("{} of {library}", network.name);
            assert_eq!(plan.backbone_coverage(), 1.0, "{of}");
            assert!(
                plan.missing.iter().all(|m| m.name.starts_with("head.")),
                "{of}"
            );
            assert!(plan.wrong_shape.is_empty(), "{of}: {:?}", plan.wrong_shape);
            assert!(plan.unused.is_empty(), "{of}: {:?}", plan.unused);
            assert_eq!(plan.positions_missing, None, "{of}");
            assert!(plan.rivals.is_empty(), "{of}: {:?}", plan.rivals);
            let is_meta_s_dino = library == "facebookresearch" && network.tokens.is_some();
            assert_eq!(
                plan.head.loaded_tensors,
                if is_meta_s_dino { 0 } else { 2 },
                "{of}"
            );
            let is_apart = library.starts_with("transformers") && network.tokens.is_some();
            assert_eq!(plan.joined.len(), if is_apart { JOINED } else { 0 }, "{of}");
            let is_timm_s = library == "timm";
            let has_position = network.name.contains("reg4") && !is_timm_s;
            assert_eq!(
                plan.token_positions.len(),
                usize::from(has_position),
                "{of}"
            );
            // Without registers, Meta's names are timm's.
            let expected = match library.trim_end_matches(".state_dict") {
                "timm" => "native",
                "facebookresearch" if is_meta_s_dino && !has_position => "native",
                other => other,
            };
            assert_eq!(plan.convention, expected, "{of}");
        }
    }
}

#[test]
fn queries_keys_and_values_become_rows_in_this_order() {
    let network = by_name("vit_tiny_patch16_224").unwrap();
    let mut files = saved(&network, None).into_iter();
    let mut file = files
        .find(|saved| saved.library == "transformers")
        .unwrap()
        .file;
    let key = |part: &str| format!("vit.encoder.layer.5.attention.attention.{part}.bias");
    for (part, value) in [("query", 1.0), ("key", 2.0), ("value", 3.0)] {
        let tensor = file.tensors.get_mut(&key(part)).unwrap();
        tensor.data = vec![value; 192];
    }
    let plan = loaded(&network, &file);
    let bias = &plan.loaded["blocks.5.attn.qkv.bias"];
    assert_eq!(bias.shape, [576]);
    let expected: Vec<f32> = [1.0, 2.0, 3.0].map(|value| vec![value; 192]).concat();
    assert_eq!(bias.data, expected);

    file.tensors.remove(&key("key"));
    let plan = loaded(&network, &file);
    let names: Vec<&str> = plan.missing.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, [key("key").as_str(), "head.weight", "head.bias"]);
}

#[test]
fn the_position_of_a_class_token_beside_registers_is_added_to_it() {
    let network = by_name("vit_small_patch14_reg4_dinov2").unwrap();
    let mut files = saved(&network, None).into_iter();
    let mut file = files
        .find(|saved| saved.library == "facebookresearch")
        .unwrap()
        .file;
    let mut positions = vec![0.25; 1370 * 384];
    positions[..384].fill(2.0);
    file.tensors.get_mut("pos_embed").unwrap().data = positions;
    file.tensors.get_mut("cls_token").unwrap().data = vec![0.5; 384];
    let plan = loaded(&network, &file);
    assert_eq!(plan.loaded["cls_token"].data, vec![2.5; 384]);
    assert_eq!(plan.loaded["pos_embed"].data, vec![0.25; 1369 * 384]);
    assert_eq!(plan.loaded["pos_embed"].shape, [1, 1369, 384]);
}
