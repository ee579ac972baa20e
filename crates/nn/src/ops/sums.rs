//! Sums of maps, sums of gradients where a value has several uses, and gradients that are known already: their tensor
//! forms and their derivatives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Dispatch};
use burn::tensor::Tensor;

use super::list::Tensors;
use super::vision_ops::VisionOps;

/// `x + y` of two maps of one shape.
pub fn add(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::add(x.into_dispatch(), y.into_dispatch()))
}

/// A value for each of several uses. Without it the result is the same: here the gradients of the uses are summed by all
/// threads, elsewhere by one.
pub fn fork(x: Tensor<4>, uses: usize) -> Vec<Tensor<4>> {
    let ways = Dispatch::fork(x.into_dispatch(), uses).into_tensors();
    ways.map(Tensor::from_dispatch).collect()
}

/// A zero whose derivative by `x` is `gradient`, of the same shape: the root of a backward pass whose first gradients
/// were computed elsewhere.
pub fn with_gradient<const D: usize>(x: Tensor<D>, gradient: Tensor<D>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::with_gradient(
        x.into_dispatch(),
        gradient.into_dispatch(),
    ))
}

/// Its parents are the summands.
#[derive(Debug)]
struct AddBackward;

impl<B: VisionOps> Backward<B, 2> for AddBackward {
    type State = ();

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        for parent in ops.parents.iter().flatten() {
            grads.register::<B>(parent.id, gradient.clone());
        }
    }
}

pub(super) fn tracked_add<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    y: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let (x, x_node) = x.into_parts();
    let (y, y_node) = y.into_parts();
    Backward::<B, 2>::prepare::<C>(AddBackward, [x_node, y_node])
        .compute_bound()
        .stateless(B::add(x, y))
}

/// One of the ways from a value to its uses; its parent is the value.
#[derive(Debug)]
struct ForkBackward;

impl<B: VisionOps> Backward<B, 1> for ForkBackward {
    /// Whether the gradient of another way is at the value already.
    type State = Arc<AtomicBool>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let mut gradient = grads.consume::<B>(&ops.node);
        if let [Some(input)] = &ops.parents {
            // The gradient of a leaf cannot be taken away, because someone will ask for it.
            let is_leaf = input.order == 0;
            if ops.state.swap(true, Ordering::Relaxed) && !is_leaf {
                gradient = B::add(gradient, grads.consume::<B>(input));
            }
            grads.register::<B>(input.id, gradient);
        }
    }
}

pub(super) fn tracked_fork<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    uses: usize,
) -> Tensors<Autodiff<B, C>> {
    let is_there = Arc::new(AtomicBool::new(false));
    let way = || {
        let value = x.primitive().clone();
        match Backward::<B, 1>::prepare::<C>(ForkBackward, [x.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => prepared.finish(Arc::clone(&is_there), value),
            OpsKind::UnTracked(prepared) => prepared.finish(value),
        }
    };
    std::iter::repeat_with(way).take(uses).collect()
}

/// Its parent is the tensor whose gradient is given.
#[derive(Debug)]
struct GivenBackward;

impl<B: VisionOps> Backward<B, 1> for GivenBackward {
    /// The gradient.
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let factor = grads.consume::<B>(&ops.node);
        if let [Some(input)] = &ops.parents {
            grads.register::<B>(input.id, B::scale(ops.state, factor));
        }
    }
}

pub(super) fn tracked_with_gradient<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    gradient: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let (x, node) = x.into_parts();
    let gradient = gradient.into_primitive();
    let output = B::with_gradient(x, gradient.clone());
    match Backward::<B, 1>::prepare::<C>(GivenBackward, [node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => prepared.finish(gradient, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}
