//! A network forward and back, cut between its units: each is a graph of its own, so that the gradient by every result
//! can be read, and not only that by the parameters.

use warmstart_models::Architecture;
use warmstart_nn::Parameters;
use warmstart_nn::block::{Block, Forward, Shortcut, Unit};
use warmstart_nn::burn::tensor::Tensor;
use warmstart_tasks::classify::Head;
use warmstart_tasks::classify::loss::cross_entropy;

use super::passes::{Pass, Passes, values};

/// A unit in the forward pass, cut off from those before it.
struct Node {
    name: String,
    input: Tensor<4>,
    /// The tensor that was added before its activation.
    added: Option<Tensor<4>>,
    output: Tensor<4>,
    role: Role,
}

/// How a unit's input and result connect it to other units.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The input is the result of the one before.
    Chain,
    /// As `Chain`, and the first of a branch whose input is kept for a shortcut.
    Fork,
    /// A shortcut's own unit: its input is that of the branch, and the last unit of the branch adds its result.
    Projection,
    /// A pool, which is not reported.
    Pool,
}

/// Sends images through a network and its head, forward, and the gradient of the loss back.
pub(super) fn pass(
    architecture: &Architecture,
    head: &Head,
    parameters: &Parameters,
    images: Tensor<4>,
    labels: &[usize],
) -> Passes {
    let untracked = parameters.tracked(|_| false);
    let mut nodes = Vec::new();
    let mut x = images;
    for block in architecture.stages.iter().flat_map(|stage| stage.blocks()) {
        x = block_forward(block, x, &untracked, &mut nodes);
    }
    let features = x.autodiff().require_grad();
    let logits = head.logits(features.clone(), &untracked, None);
    let results = logits.clone().inner().autodiff().require_grad();
    let gradients = cross_entropy(results.clone(), labels, 0.0).backward();
    let by_logits = results.grad(&gradients).expect("the logits are tracked");
    let gradients = (logits * by_logits.clone().autodiff()).sum().backward();
    Passes {
        layers: backward(
            nodes,
            features.grad(&gradients).expect("the features are tracked"),
        ),
        head: Some(Pass {
            name: architecture.classifier.to_owned(),
            output: values(results.inner()),
            gradient: values(by_logits),
        }),
    }
}

fn block_forward(
    block: &Block,
    x: Tensor<4>,
    parameters: &Parameters,
    nodes: &mut Vec<Node>,
) -> Tensor<4> {
    let mut statistics = Vec::new();
    let mut forward = Forward::Training {
        parameters,
        frozen_statistics: false,
        statistics: &mut statistics,
    };
    let mut unit = |unit: &Unit, x: Tensor<4>, added: Option<Tensor<4>>, role: Role| {
        let input = x.autodiff().require_grad();
        let added = added.map(|added| added.autodiff().require_grad());
        let output = unit.forward(input.clone(), added.clone(), &mut forward);
        let result = output.clone().inner();
        nodes.push(Node {
            name: unit.conv.clone(),
            input,
            added,
            output,
            role,
        });
        result
    };
    match block {
        Block::Unit(only) => unit(only, x, None, Role::Chain),
        Block::Residual { branch, shortcut } => {
            let added = match shortcut {
                Shortcut::None => None,
                Shortcut::Identity => Some(x.clone()),
                Shortcut::Projection(projection) => {
                    Some(unit(projection, x.clone(), None, Role::Projection))
                }
            };
            let forks = added.is_some();
            let mut added = added;
            let last = branch.len() - 1;
            branch.iter().enumerate().fold(x, |x, (index, layer)| {
                let role = if index == 0 && forks {
                    Role::Fork
                } else {
                    Role::Chain
                };
                let added = if index == last { added.take() } else { None };
                unit(layer, x, added, role)
            })
        }
        Block::MaxPool { .. } => {
            let input = x.autodiff().require_grad();
            let output = block.forward(input.clone(), &mut forward);
            let result = output.clone().inner();
            nodes.push(Node {
                name: String::new(),
                input,
                added: None,
                output,
                role: Role::Pool,
            });
            result
        }
    }
}

/// Sends the gradient of the last unit's result back, unit by unit.
fn backward(nodes: Vec<Node>, mut gradient: Tensor<4>) -> Vec<Pass> {
    let mut passes = Vec::new();
    // The gradient by what the current branch adds; it flows to the branch's input, through the projection if there is
    // one.
    let mut of_added: Option<Tensor<4>> = None;
    let mut nodes = nodes.into_iter().rev().peekable();
    while let Some(node) = nodes.next() {
        let by_output = match node.role {
            Role::Projection => of_added
                .take()
                .expect("a branch adds what its projection gives"),
            Role::Chain | Role::Fork | Role::Pool => gradient.clone(),
        };
        let root = (node.output.clone() * by_output.clone().autodiff()).sum();
        let gradients = root.backward();
        let by_input = node.input.grad(&gradients).expect("the input is tracked");
        if let Some(added) = &node.added {
            of_added = added.grad(&gradients);
        }
        match node.role {
            Role::Projection => gradient = gradient + by_input,
            Role::Fork
                if nodes
                    .peek()
                    .is_none_or(|next| next.role != Role::Projection) =>
            {
                gradient = by_input + of_added.take().expect("a fork has a shortcut");
            }
            Role::Fork | Role::Chain | Role::Pool => gradient = by_input,
        }
        if node.role != Role::Pool {
            passes.push(Pass {
                name: node.name,
                output: values(node.output.inner()),
                gradient: values(by_output),
            });
        }
    }
    passes.reverse();
    passes
}
