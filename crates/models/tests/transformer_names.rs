//! The parameters of ConvNeXt, ViT, DeiT and DINOv2 against timm, and their names in other libraries.
//!
//! `tests/fixtures/README.md` says how the tables were made.

use std::collections::BTreeMap;
use std::path::Path;

use warmstart_models::{Architecture, by_name, in_library, names, parts_of};
use warmstart_nn::ParameterInfo;

/// The parameters of a network in every library that has it: `tests/fixtures/names/<network>.tsv`.
struct Table {
    /// The libraries, timm first.
    libraries: Vec<String>,
    rows: Vec<Row>,
}

/// A parameter.
struct Row {
    /// Its shape in timm.
    shape: Vec<usize>,
    /// In each library the names of its parts, or its name with its shape there.
    names: Vec<Vec<(String, Vec<usize>)>>,
}

impl Row {
    fn native(&self) -> &str {
        &self.names[0][0].0
    }
}

impl Table {
    fn of(network: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/names");
        let text = std::fs::read_to_string(folder.join(format!("{network}.tsv"))).unwrap();
        let mut lines = text.lines().map(|line| line.split('\t'));
        let libraries = lines.next().unwrap().skip(1).map(str::to_owned).collect();
        let rows = lines.map(|mut columns| {
            let shape = sizes(columns.next().unwrap());
            let names = columns.map(|cell| of_cell(cell, &shape)).collect();
            Row { shape, names }
        });
        Self {
            libraries,
            rows: rows.collect(),
        }
    }
}

/// `name`, `name shape`, `part+part+part`, or `-` for nothing.
fn of_cell(cell: &str, shape: &[usize]) -> Vec<(String, Vec<usize>)> {
    if cell == "-" {
        return Vec::new();
    }
    if let Some((name, other)) = cell.split_once(' ') {
        return vec![(name.to_owned(), sizes(other))];
    }
    let parts: Vec<&str> = cell.split('+').collect();
    let mut of_each = shape.to_vec();
    of_each[0] /= parts.len();
    let parts = parts.into_iter();
    parts
        .map(|name| (name.to_owned(), of_each.clone()))
        .collect()
}

fn sizes(shape: &str) -> Vec<usize> {
    shape.split('x').map(|size| size.parse().unwrap()).collect()
}

/// The networks of these families.
fn networks() -> impl Iterator<Item = Architecture> {
    let families = ["convnext", "vit_", "deit_"];
    let of_families = move |name: &&str| families.iter().any(|family| name.starts_with(family));
    names()
        .filter(of_families)
        .map(|name| by_name(name).unwrap())
}

fn parameters(network: &Architecture) -> Vec<ParameterInfo> {
    let mut infos = network.backbone_parameters();
    infos.extend(network.classifier_parameters(1000));
    infos
}

#[test]
fn names_and_shapes_are_timm_s() {
    let mut compared = 0;
    for network in networks() {
        let table = Table::of(network.name);
        let ours = parameters(&network).into_iter();
        let ours: BTreeMap<String, Vec<usize>> = ours.map(|info| (info.name, info.shape)).collect();
        let rows = table.rows.iter();
        let theirs = rows.map(|row| (row.native().to_owned(), row.shape.clone()));
        assert_eq!(ours, theirs.collect::<BTreeMap<_, _>>(), "{}", network.name);
        compared += 1;
    }
    assert_eq!(compared, 18);
}

/// A name without the prefix that transformers' networks with a classifier have before all other names, and that no
/// convention has.
fn without_prefix<'a>(library: &str, name: &'a str) -> &'a str {
    let (first, rest) = name.split_once('.').unwrap_or_default();
    if library == "transformers" && !first.ends_with("classifier") {
        rest
    } else {
        name
    }
}

#[test]
fn names_of_other_libraries_map_to_native_ones_or_to_their_parts() {
    for network in networks() {
        let table = Table::of(network.name);
        for (column, library) in table.libraries.iter().enumerate().skip(1) {
            let library = library.trim_end_matches(".state_dict");
            let mut known = network.conventions.iter();
            let convention = known.find(|convention| convention.name == library);
            let convention = convention.unwrap_or_else(|| panic!("{}: {library}", network.name));
            for row in &table.rows {
                let theirs = row.names[column].iter();
                let theirs = theirs.map(|(name, _)| without_prefix(library, name));
                let mapped: Vec<Option<String>> = theirs.map(convention.to_native).collect();
                let expected = match mapped.len() {
                    0 | 1 => vec![row.native().to_owned(); mapped.len()],
                    _ => parts_of(row.native()),
                };
                let expected: Vec<Option<String>> = expected.into_iter().map(Some).collect();
                assert_eq!(mapped, expected, "{} in {library}", network.name);
            }
        }
        for convention in network.conventions {
            let mut columns = table.libraries.iter();
            assert!(
                columns.any(|library| library == convention.name),
                "{}: {}",
                network.name,
                convention.name
            );
        }
    }
}

#[test]
fn other_names_have_no_native_one() {
    for network in networks() {
        for convention in network.conventions {
            for stranger in [
                "",
                "stages",
                "features.1.0.block.1.weight",
                "features.0.2.weight",
                "features.1.0.block.0.running_mean",
                "downsample_layers.1.0.gamma",
                "stages.0.0.grn.weight.beta",
                "stages.0.blocks.0.conv_dw.weight",
                "encoder.stages.0.layers.0.pwconv3.weight",
                "encoder.layer.0.attention.attention.query.scale",
                "encoder.layer.x.layernorm_before.weight",
                "encoder.layers.encoder_layer_0.ln_1.weight",
                "blocks.0.attn.relative_position.weight",
                "classifier.1.weight",
                "embeddings.other_token",
            ] {
                assert_eq!(
                    (convention.to_native)(stranger),
                    None,
                    "{} in {}: {stranger}",
                    network.name,
                    convention.name
                );
            }
        }
    }
}

#[test]
fn a_library_has_its_own_names_and_shapes_of_these_networks() {
    for network in networks() {
        let table = Table::of(network.name);
        let infos = parameters(&network);
        for library in ["torchvision", "timm"] {
            let column = table.libraries.iter().position(|name| name == library);
            let found = in_library(&network, library, &infos);
            assert_eq!(found.is_some(), column.is_some(), "{}", network.name);
            let (Some(column), Some(found)) = (column, found) else {
                continue;
            };
            let found = found.parameters.into_iter();
            let found: BTreeMap<String, (String, Vec<usize>)> = found
                .map(|parameter| (parameter.native, (parameter.name, parameter.shape)))
                .collect();
            let rows = table.rows.iter();
            let expected = rows.map(|row| (row.native().to_owned(), row.names[column][0].clone()));
            let expected = expected.collect::<BTreeMap<_, _>>();
            assert_eq!(found, expected, "{} in {library}", network.name);
        }
    }
}
