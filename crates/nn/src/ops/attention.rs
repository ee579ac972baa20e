//! Attention: its tensor form and its derivative.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Dispatch};
use burn::tensor::Tensor;

use super::vision_ops::VisionOps;

/// `softmax(queries · keysᵀ / √size) · values` for each head, where size is its number of channels, and all pixels of
/// an image attend to each other: Vaswani and others, "Attention Is All You Need" (arXiv 1706.03762), section 3.2.
/// `qkv` is `[batch, height, width, 3 · channels]`: the queries of all heads, one after the other, then their keys,
/// then their values. The result is `[batch, height, width, channels]`.
///
/// # Panics
/// If the channels of `qkv` are not three times the same number for each head.
pub fn attention(qkv: Tensor<4>, heads: usize) -> Tensor<4> {
    let [_, _, _, channels] = qkv.dims();
    assert!(
        channels.is_multiple_of(3 * heads),
        "expected queries, keys and values of {heads} heads, found {channels} channels"
    );
    Tensor::from_dispatch(Dispatch::self_attention(qkv.into_dispatch(), heads))
}

#[derive(Debug)]
struct AttentionBackward;

impl<B: VisionOps> Backward<B, 1> for AttentionBackward {
    /// The input, and the number of heads.
    type State = (FloatTensor<B>, usize);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let (qkv, heads) = ops.state;
        if let [Some(input)] = &ops.parents {
            grads.register::<B>(input.id, B::self_attention_backward(gradient, qkv, heads));
        }
    }
}

pub(super) fn tracked_attention<B: VisionOps, C: CheckpointStrategy>(
    qkv: FloatTensor<Autodiff<B, C>>,
    heads: usize,
) -> FloatTensor<Autodiff<B, C>> {
    let (qkv, node) = qkv.into_parts();
    let output = B::self_attention(qkv.clone(), heads);
    match Backward::<B, 1>::prepare::<C>(AttentionBackward, [node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => prepared.finish((qkv, heads), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}
