//! Layers that give values other places: their tensor forms and their derivatives.

use std::ops::Range;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Dispatch, TensorMetadata};
use burn::tensor::Tensor;

use super::list::Tensors;
use super::vision_ops::VisionOps;

/// Most maps that training concatenates: a node of Burn's gradient graph has a fixed number of parents.
pub const MAX_MAPS: usize = 8;

/// The channels of maps of one size, one after the other: each is `[batch, height, width, channels]`.
///
/// # Panics
/// If there is no map, or, with gradients, if there are more than [`MAX_MAPS`].
pub fn concatenate(maps: Vec<Tensor<4>>) -> Tensor<4> {
    let maps = maps.into_iter().map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::concatenate(maps.collect()))
}

/// Every pixel twice in both directions: x is `[batch, height, width, channels]`.
pub fn upsample(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::upsample(x.into_dispatch()))
}

/// The channels in reverse order: x and the result are `[batch, height, width, channels]`.
pub fn reverse_channels(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::reverse_channels(x.into_dispatch()))
}

/// Each block of two by two pixels as one pixel of four times the channels: those of the top left pixel, then bottom
/// left, top right and bottom right. x is `[batch, height, width, channels]`, with an even height and width.
pub fn space_to_depth(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::space_to_depth(x.into_dispatch()))
}

/// The channels of maps that were concatenated.
fn parts(channels: &[usize]) -> impl Iterator<Item = Range<usize>> {
    channels.iter().scan(0, |end, channels| {
        let start = *end;
        *end += channels;
        Some(start..*end)
    })
}

/// Its parents are the maps.
#[derive(Debug)]
struct ConcatenateBackward;

impl<B: VisionOps, const N: usize> Backward<B, N> for ConcatenateBackward {
    /// Channels of each map.
    type State = Vec<usize>;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let maps = ops.parents.iter().zip(parts(&ops.state));
        let wanted = maps.filter_map(|(parent, part)| Some((parent.as_ref()?.id, part)));
        let (parents, parts): (Vec<_>, Vec<_>) = wanted.unzip();
        let gradients = B::split_channels(gradient, parts).into_tensors();
        for (parent, gradient) in parents.into_iter().zip(gradients) {
            grads.register::<B>(parent, gradient);
        }
    }
}

fn record_concatenate<B: VisionOps, C: CheckpointStrategy, const N: usize>(
    nodes: Vec<NodeGuard>,
    channels: Vec<usize>,
    output: FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    let Ok(nodes) = <[NodeGuard; N]>::try_from(nodes) else {
        unreachable!("{N} maps were counted");
    };
    match Backward::<B, N>::prepare::<C>(ConcatenateBackward, nodes)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => prepared.finish(channels, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

pub(super) fn tracked_concatenate<B: VisionOps, C: CheckpointStrategy>(
    maps: Tensors<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let (mut nodes, mut channels) = (Vec::new(), Vec::new());
    let mut inner = Vec::new();
    for map in maps.into_tensors() {
        let (map, node) = map.into_parts();
        let [_, _, _, of_map] = map.shape().dims();
        nodes.push(node);
        channels.push(of_map);
        inner.push(map);
    }
    let output = B::concatenate(inner.into_iter().collect());
    match nodes.len() {
        1 => record_concatenate::<B, C, 1>(nodes, channels, output),
        2 => record_concatenate::<B, C, 2>(nodes, channels, output),
        3 => record_concatenate::<B, C, 3>(nodes, channels, output),
        4 => record_concatenate::<B, C, 4>(nodes, channels, output),
        5 => record_concatenate::<B, C, 5>(nodes, channels, output),
        6 => record_concatenate::<B, C, 6>(nodes, channels, output),
        7 => record_concatenate::<B, C, 7>(nodes, channels, output),
        MAX_MAPS => record_concatenate::<B, C, MAX_MAPS>(nodes, channels, output),
        count => panic!("expected 1 to {MAX_MAPS} maps, found {count}"),
    }
}

/// A rearrangement of one map.
#[derive(Clone, Copy, Debug)]
enum Rearrangement {
    Upsample,
    ReverseChannels,
    SpaceToDepth,
}

#[derive(Debug)]
struct RearrangementBackward;

impl<B: VisionOps> Backward<B, 1> for RearrangementBackward {
    type State = Rearrangement;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        if let [Some(input)] = &ops.parents {
            let gradient = match ops.state {
                Rearrangement::Upsample => B::upsample_backward(gradient),
                Rearrangement::ReverseChannels => B::reverse_channels(gradient),
                Rearrangement::SpaceToDepth => B::depth_to_space(gradient),
            };
            grads.register::<B>(input.id, gradient);
        }
    }
}

fn rearranged<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    rearrangement: Rearrangement,
) -> FloatTensor<Autodiff<B, C>> {
    let (x, node) = x.into_parts();
    let output = match rearrangement {
        Rearrangement::Upsample => B::upsample(x),
        Rearrangement::ReverseChannels => B::reverse_channels(x),
        Rearrangement::SpaceToDepth => B::space_to_depth(x),
    };
    match Backward::<B, 1>::prepare::<C>(RearrangementBackward, [node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => prepared.finish(rearrangement, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

pub(super) fn tracked_upsample<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    rearranged::<B, C>(x, Rearrangement::Upsample)
}

pub(super) fn tracked_reverse_channels<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    rearranged::<B, C>(x, Rearrangement::ReverseChannels)
}

pub(super) fn tracked_space_to_depth<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    rearranged::<B, C>(x, Rearrangement::SpaceToDepth)
}
