//! What the initial values of a network's parameters depend on.

use warmstart_nn::initialization::ModelDefaults;
use warmstart_nn::layers::{Layer, Shortcut};
use warmstart_nn::{Graph, Node, Value};

use crate::architecture::Architecture;
use crate::detector::light;
use crate::stage::Stage;

impl Architecture {
    /// Its properties that the initial values of its parameters depend on.
    pub fn initialization(&self) -> ModelDefaults {
        let graphs = self.stages.iter().map(Stage::graph);
        let last_norms = graphs.flat_map(|graph| {
            let nodes = graph.nodes().iter();
            nodes.filter_map(move |node| last_norm(graph, node))
        });
        ModelDefaults {
            linear: self.linear_default,
            light_detector: if self.is_detector || self.outputs.is_empty() {
                &[]
            } else {
                &light::PARTS
            },
            last_norms: last_norms.collect(),
            layer_scale: self.layer_scale,
        }
    }
}

/// The name of the batch norm that ends a branch, if the node is the branch and adds a shortcut, or adds one to its
/// result.
fn last_norm(graph: &Graph, node: &Node) -> Option<String> {
    let units = match &node.layer {
        Layer::Branch(branch) => match branch.shortcut {
            Shortcut::Identity | Shortcut::Second => branch.units.as_slice(),
            Shortcut::None => return None,
        },
        Layer::Add(_) => match node.inputs.first()? {
            Value::Node(index) => graph.nodes()[*index].layer.units(),
            Value::Input(_) => return None,
        },
        Layer::MaxPool(_)
        | Layer::AveragePool(_)
        | Layer::GlobalAverage(_)
        | Layer::SqueezeExcite(_)
        | Layer::ChannelAttention(_)
        | Layer::Linear(_)
        | Layer::Upsample(_)
        | Layer::Concatenate(_)
        | Layer::ReverseChannels(_)
        | Layer::SpaceToDepth(_)
        | Layer::LayerNorm(_)
        | Layer::Attention(_)
        | Layer::ResponseNorm(_)
        | Layer::Tokens(_)
        | Layer::TokenPool(_) => return None,
    };
    let norm = units.last()?.norm.as_ref()?;
    Some(norm.name.clone())
}

#[cfg(test)]
mod tests {
    use warmstart_nn::initialization::{Initialization, LinearDefault};

    use super::*;

    #[test]
    fn a_backbone_begins_as_its_family_s_and_the_light_detector_behind_it_alike_for_all() {
        let init = Initialization::default();
        for name in ["resnet18", "efficientnet_b0", "convnext_atto"] {
            let network = crate::by_name(name).unwrap();
            let backbone = network.clone().with_taps().unwrap();
            let of_network = network.initialization();
            let of_backbone = backbone.initialization();
            for info in backbone.backbone_parameters() {
                let expected = init.values(&info, &of_network, 1);
                let found = init.values(&info, &of_backbone, 1);
                assert_eq!(found, expected, "{name}: {}", info.name);
            }
            let of_detector = ModelDefaults {
                linear: LinearDefault::Normal,
                light_detector: &[],
                last_norms: Vec::new(),
                layer_scale: 1.0,
            };
            for info in backbone.detector(7).parameters() {
                let expected = init.values(&info, &of_detector, 1);
                let found = init.values(&info, &of_backbone, 1);
                assert_eq!(found, expected, "{name}: {}", info.name);
            }
        }
    }

    #[test]
    fn a_shortcut_behind_the_activation_ends_a_branch_as_well() {
        let cspnext = crate::by_name("cspnext_tiny").unwrap();
        let norms = cspnext.initialization().last_norms;
        let of_stage = |stage| format!("backbone.stage{stage}.1.blocks.0.conv2.pointwise_conv.bn");
        assert_eq!(norms, [1, 2, 3].map(of_stage));
    }
}
