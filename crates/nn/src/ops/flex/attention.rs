//! Attention on the processor.

use warmstart_kernels::{self as kernels, Attention};

use super::primitive::{Primitive, contiguous, dimensions, tensor, values};

fn attention_of(qkv: &Primitive, heads: usize) -> Attention {
    let [batch, height, width, channels] = dimensions(qkv);
    Attention {
        batch,
        tokens: height * width,
        heads,
        head_channels: channels / (3 * heads),
    }
}

pub(super) fn attention(qkv: Primitive, heads: usize) -> Primitive {
    let qkv = contiguous(qkv);
    let [batch, height, width, channels] = dimensions(&qkv);
    let output = kernels::attention(&attention_of(&qkv, heads), values(&qkv));
    tensor(output, [batch, height, width, channels / 3])
}

pub(super) fn attention_backward(gradient: Primitive, qkv: Primitive, heads: usize) -> Primitive {
    let [gradient, qkv] = [gradient, qkv].map(contiguous);
    let attention = attention_of(&qkv, heads);
    let by_qkv = kernels::attention_backward(&attention, values(&gradient), values(&qkv));
    tensor(by_qkv, dimensions(&qkv))
}
