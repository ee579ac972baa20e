//! The derivative of [`VisionOps::conv_norm_act`], and where the others are. Inference has none, nor
//! have optimizers: they keep their stock bodies.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata};

use super::{PoolSpec, Residual, Statistics, UnitOutput, UnitSpec, VisionOps, linear, pool};

/// The backward step. Its parents are input, weight, gamma, beta and, with `N` = 5, the residual.
#[derive(Debug)]
struct UnitBackward;

#[derive(Clone, Debug)]
struct Saved<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    gamma: FloatTensor<B>,
    forward: UnitOutput<B>,
    spec: UnitSpec,
    batch_statistics: bool,
}

impl<B: VisionOps, const N: usize> Backward<B, N> for UnitBackward {
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
        let norm = B::norm_act_backward(
            gradient,
            saved.forward,
            saved.gamma,
            saved.spec,
            saved.batch_statistics,
            parent(4).is_some(),
        );
        if let Some(beta) = parent(3) {
            grads.register::<B>(beta.id, norm.beta);
        }
        if let Some(gamma) = parent(2) {
            grads.register::<B>(gamma.id, norm.gamma);
        }
        if let Some(residual) = parent(4) {
            grads.register::<B>(residual.id, norm.residual);
        }
        if let Some(input) = parent(0) {
            let [_, height, width, _] = saved.x.shape().dims();
            let gradient = B::conv_input_gradient(
                norm.conv.clone(),
                saved.weight.clone(),
                [height, width],
                saved.spec.conv,
            );
            grads.register::<B>(input.id, gradient);
        }
        if let Some(weight) = parent(1) {
            let shape = saved.weight.shape().dims();
            let gradient = B::conv_weight_gradient(saved.x, norm.conv, shape, saved.spec.conv);
            grads.register::<B>(weight.id, gradient);
        }
    }
}

/// A unit's inputs on the inner backend.
struct Inputs<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    statistics: Statistics<B>,
    residual: Residual<B>,
    spec: UnitSpec,
}

fn record<B: VisionOps, C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    inputs: Inputs<B>,
) -> UnitOutput<Autodiff<B, C>> {
    let batch_statistics = matches!(inputs.statistics, Statistics::Batch);
    let forward = B::conv_norm_act(
        inputs.x.clone(),
        inputs.weight.clone(),
        inputs.gamma.clone(),
        inputs.beta,
        inputs.statistics,
        inputs.residual,
        inputs.spec,
    );
    let constant = <Autodiff<B, C> as AutodiffBackend>::from_inner;
    let [conv, mean, variance] =
        [&forward.conv, &forward.mean, &forward.variance].map(|tensor| constant(tensor.clone()));
    let output = match UnitBackward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let output = forward.output.clone();
            let saved = Saved {
                x: inputs.x,
                weight: inputs.weight,
                gamma: inputs.gamma,
                forward,
                spec: inputs.spec,
                batch_statistics,
            };
            prepared.finish(saved, output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(forward.output),
    };
    UnitOutput {
        output,
        conv,
        mean,
        variance,
    }
}

impl<B: VisionOps, C: CheckpointStrategy> VisionOps for Autodiff<B, C> {
    fn conv_norm_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        statistics: Statistics<Self>,
        residual: Residual<Self>,
        spec: UnitSpec,
    ) -> UnitOutput<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (gamma, gamma_node) = gamma.into_parts();
        let (beta, beta_node) = beta.into_parts();
        let nodes = [x_node, weight_node, gamma_node, beta_node];
        let statistics = match statistics {
            Statistics::Batch => Statistics::Batch,
            Statistics::Frozen { mean, variance } => Statistics::Frozen {
                mean: mean.into_primitive(),
                variance: variance.into_primitive(),
            },
        };
        let inputs = |residual| Inputs::<B> {
            x,
            weight,
            gamma,
            beta,
            statistics,
            residual,
            spec,
        };
        match residual {
            Residual::None => record::<B, C, 4>(nodes, inputs(Residual::None)),
            Residual::Add(residual) => {
                let (residual, residual_node) = residual.into_parts();
                let [x, weight, gamma, beta] = nodes;
                record::<B, C, 5>(
                    [x, weight, gamma, beta, residual_node],
                    inputs(Residual::Add(residual)),
                )
            }
        }
    }

    fn max_pool(x: FloatTensor<Self>, spec: PoolSpec) -> FloatTensor<Self> {
        pool::tracked_max_pool::<B, C>(x, spec)
    }

    fn average_pool(x: FloatTensor<Self>, spec: PoolSpec) -> FloatTensor<Self> {
        pool::tracked_average_pool::<B, C>(x, spec)
    }

    fn linear_layer(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        linear::tracked_linear::<B, C>(x, weight, bias)
    }
}
