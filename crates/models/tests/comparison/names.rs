//! The names of layers in other libraries.

use super::fixtures;

/// The layers of a network in every library that has it: `tests/fixtures/names/<network>.tsv`.
pub struct Names {
    /// The libraries, the native one first.
    pub conventions: Vec<String>,
    pub layers: Vec<LayerNames>,
}

pub struct LayerNames {
    pub kind: String,
    pub shape: Vec<usize>,
    /// The layer's name in each library.
    pub names: Vec<String>,
    /// The shape of its weight in each library.
    pub shapes: Vec<Vec<usize>>,
}

impl Names {
    pub fn of(network: &str) -> Self {
        let path = fixtures().join(format!("names/{network}.tsv"));
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines().map(|line| line.split('\t'));
        let conventions = lines.next().unwrap().skip(2).map(str::to_owned).collect();
        let layers = lines.map(|mut columns| {
            let kind = columns.next().unwrap().to_owned();
            let shape = sizes(columns.next().unwrap());
            // A layer of another shape has it beside its name.
            let (names, shapes) = columns
                .map(|column| match column.split_once(' ') {
                    Some((name, other)) => (name.to_owned(), sizes(other)),
                    None => (column.to_owned(), shape.clone()),
                })
                .unzip();
            LayerNames {
                kind,
                shape,
                names,
                shapes,
            }
        });
        Self {
            conventions,
            layers: layers.collect(),
        }
    }
}

impl LayerNames {
    /// The names and shapes of its parameters.
    pub fn parameters(&self) -> Vec<(&'static str, Vec<usize>)> {
        let (weight, channels) = (self.shape.clone(), vec![self.shape[0]]);
        match &*self.kind {
            "conv" => vec![("weight", weight)],
            "conv_bias" | "linear" => vec![("weight", weight), ("bias", channels)],
            "norm" | "norm_end" => ["weight", "bias", "running_mean", "running_var"]
                .map(|field| (field, channels.clone()))
                .into(),
            kind => panic!("{kind}"),
        }
    }
}

fn sizes(shape: &str) -> Vec<usize> {
    shape.split('x').map(|size| size.parse().unwrap()).collect()
}
