//! [`VisionOps`] with gradients, and the derivative of [`VisionOps::branch`]. Inference and optimizers
//! have no derivative: they keep their stock bodies.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend};

use super::{
    BranchOutput, Heard, List, MAX_UNITS, PoolSpec, Residual, Statistics, Tensors, UnitResult,
    UnitResults, UnitSpec, UnitTensors, Units, VisionOps, arrange, attention, gate, hear, linear,
    norm, pool, sums,
};

/// The backward step. Its parents are the input, weight, gamma and beta of each unit, and the
/// residual if one is added.
#[derive(Debug)]
struct BranchBackward;

#[derive(Clone, Debug)]
struct Saved<B: Backend> {
    x: FloatTensor<B>,
    units: Units<B>,
    residual: Residual<B>,
    results: UnitResults<B>,
    specs: Vec<UnitSpec>,
}

impl<B: VisionOps, const N: usize> Backward<B, N> for BranchBackward {
    type State = Saved<B>;

    fn backward(
        self,
        ops: Ops<Saved<B>, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let saved = ops.state;
        let parent = |index: usize| ops.parents.get(index).and_then(Option::as_ref);
        let found = B::branch_backward(
            gradient,
            saved.x,
            saved.units,
            saved.residual,
            saved.results,
            saved.specs,
            parent(0).is_some(),
        );
        let units = found.units.0.into_iter();
        let parameters = units.flat_map(|unit| [unit.weight, unit.gamma, unit.beta]);
        let gradients = [found.input]
            .into_iter()
            .chain(parameters)
            .chain([found.residual]);
        for (index, gradient) in gradients.enumerate() {
            if let Some(parent) = parent(index) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

/// A branch's inputs on the inner backend.
struct Inputs<B: Backend> {
    x: FloatTensor<B>,
    units: Units<B>,
    residual: Residual<B>,
    specs: Vec<UnitSpec>,
}

fn record<B: VisionOps, C: CheckpointStrategy, const N: usize>(
    nodes: Vec<NodeGuard>,
    inputs: Inputs<B>,
) -> BranchOutput<Autodiff<B, C>> {
    let Ok(nodes) = <[NodeGuard; N]>::try_from(nodes) else {
        unreachable!("{N} parents were counted");
    };
    let forward = B::branch(
        inputs.x.clone(),
        inputs.units.clone(),
        inputs.residual.clone(),
        inputs.specs.clone(),
    );
    let constant = <Autodiff<B, C> as AutodiffBackend>::from_inner;
    let units = forward.units.0.iter().map(|unit| UnitResult {
        conv: constant(unit.conv.clone()),
        mean: constant(unit.mean.clone()),
        variance: constant(unit.variance.clone()),
    });
    let units = List(units.collect());
    let output = match BranchBackward
        .prepare::<C>(nodes)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => {
            let saved = Saved {
                x: inputs.x,
                units: inputs.units,
                residual: inputs.residual,
                results: forward.units,
                specs: inputs.specs,
            };
            prepared.finish(saved, forward.output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(forward.output),
    };
    BranchOutput { output, units }
}

impl<B: VisionOps, C: CheckpointStrategy> VisionOps for Autodiff<B, C> {
    fn branch(
        x: FloatTensor<Self>,
        units: Units<Self>,
        residual: Residual<Self>,
        specs: Vec<UnitSpec>,
    ) -> BranchOutput<Self> {
        let (x, node) = x.into_parts();
        let mut nodes = vec![node];
        let mut part = |tensor: FloatTensor<Self>| {
            let (tensor, node) = tensor.into_parts();
            nodes.push(node);
            tensor
        };
        let units = units.0.into_iter().map(|unit| UnitTensors {
            weight: part(unit.weight),
            gamma: part(unit.gamma),
            beta: part(unit.beta),
            statistics: match unit.statistics {
                Statistics::Batch => Statistics::Batch,
                Statistics::Frozen { mean, variance } => Statistics::Frozen {
                    mean: mean.into_primitive(),
                    variance: variance.into_primitive(),
                },
            },
        });
        let units = List(units.collect());
        let residual = match residual {
            Residual::None => Residual::None,
            Residual::Input => Residual::Input,
            Residual::Add(residual) => Residual::Add(part(residual)),
        };
        let inputs = Inputs {
            x,
            units,
            residual,
            specs,
        };
        match nodes.len() {
            4 => record::<B, C, 4>(nodes, inputs),
            5 => record::<B, C, 5>(nodes, inputs),
            7 => record::<B, C, 7>(nodes, inputs),
            8 => record::<B, C, 8>(nodes, inputs),
            10 => record::<B, C, 10>(nodes, inputs),
            11 => record::<B, C, 11>(nodes, inputs),
            _ => panic!(
                "expected a branch of 1 to {MAX_UNITS} units, found {}",
                inputs.specs.len()
            ),
        }
    }

    fn max_pool(x: FloatTensor<Self>, spec: PoolSpec) -> FloatTensor<Self> {
        pool::tracked_max_pool::<B, C>(x, spec)
    }

    fn average_pool(x: FloatTensor<Self>, spec: PoolSpec) -> FloatTensor<Self> {
        pool::tracked_average_pool::<B, C>(x, spec)
    }

    fn image_means(x: FloatTensor<Self>) -> FloatTensor<Self> {
        gate::tracked_image_means::<B, C>(x)
    }

    fn scale_channels(x: FloatTensor<Self>, gate: FloatTensor<Self>) -> FloatTensor<Self> {
        gate::tracked_scale_channels::<B, C>(x, gate)
    }

    fn concatenate(maps: Tensors<Self>) -> FloatTensor<Self> {
        arrange::tracked_concatenate::<B, C>(maps)
    }

    fn upsample(x: FloatTensor<Self>) -> FloatTensor<Self> {
        arrange::tracked_upsample::<B, C>(x)
    }

    fn reverse_channels(x: FloatTensor<Self>) -> FloatTensor<Self> {
        arrange::tracked_reverse_channels::<B, C>(x)
    }

    fn space_to_depth(x: FloatTensor<Self>) -> FloatTensor<Self> {
        arrange::tracked_space_to_depth::<B, C>(x)
    }

    fn add(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        sums::tracked_add::<B, C>(x, y)
    }

    fn fork(x: FloatTensor<Self>, uses: usize) -> Tensors<Self> {
        sums::tracked_fork::<B, C>(x, uses)
    }

    fn with_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        sums::tracked_with_gradient::<B, C>(x, gradient)
    }

    fn hear(x: FloatTensor<Self>, before: FloatTensor<Self>, heard: Heard) -> FloatTensor<Self> {
        hear::tracked_hear::<B, C>(x, before, heard)
    }

    fn linear_layer(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        linear::tracked_linear::<B, C>(x, weight, bias)
    }

    fn layer_normalization(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        norm::tracked_layer_norm::<B, C>(x, gamma, beta, epsilon)
    }

    fn response_normalization(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        norm::tracked_response_norm::<B, C>(x, gamma, beta, epsilon)
    }

    fn self_attention(qkv: FloatTensor<Self>, heads: usize) -> FloatTensor<Self> {
        attention::tracked_attention::<B, C>(qkv, heads)
    }
}
