//! [`VisionOps`] on the processor: slices out of Burn's tensors, `warmstart-kernels`, and back.

mod arrange;
mod attention;
mod branch;
mod linear;
mod norm;
mod primitive;

use std::ops::Range;

pub(super) use arrange::into_values;
use burn::backend::Flex;
use primitive::{
    Primitive, contiguous, contiguous_residual, dimensions, geometry, output_shape,
    residual_values, tensor, values, values_mut, whole,
};
use warmstart_kernels::{self as kernels, Pooling, Update};

use super::{
    Adam, BranchGradients, BranchOutput, ConvSpec, FoldedTensors, FoldedUnits, LinearGradients,
    NormGradients, PackedWeight, PoolSpec, Rates, Residual, Sgd, Tensors, UnitResults, UnitSpec,
    Units, VisionOps,
};

fn map(tensors: Tensors<Flex>, prepare: fn(Primitive) -> Primitive) -> Vec<Primitive> {
    tensors.into_tensors().map(prepare).collect()
}

fn pooling([batch, height, width, channels]: [usize; 4], spec: PoolSpec) -> Pooling {
    Pooling {
        batch,
        input: [height, width],
        channels,
        size: spec.size,
        stride: spec.stride,
        padding: spec.padding,
        ceil: spec.ceil,
    }
}

fn pooled_shape(p: &Pooling) -> [usize; 4] {
    let [height, width] = p.output();
    [p.batch, height, width, p.channels]
}

fn contiguous_unit(unit: FoldedTensors<Flex>) -> FoldedTensors<Flex> {
    FoldedTensors {
        weight: PackedWeight {
            values: contiguous(unit.weight.values),
            shape: unit.weight.shape,
        },
        bias: contiguous(unit.bias),
    }
}

impl VisionOps for Flex {
    fn pack_weight(weight: Primitive, spec: ConvSpec) -> PackedWeight<Self> {
        let weight = contiguous(weight);
        let shape = dimensions(&weight);
        // Packing depends on neither batch nor size.
        let images = [0, 0, 0, shape[1] * spec.groups];
        let packed = kernels::pack_weights(&geometry(images, shape, spec), values(&weight));
        let len = packed.len();
        PackedWeight {
            values: tensor(packed, [len]),
            shape,
        }
    }

    fn branch_inference(
        x: Primitive,
        units: FoldedUnits<Self>,
        residual: Residual<Self>,
        specs: Vec<UnitSpec>,
    ) -> Primitive {
        let (x, residual) = (contiguous(x), contiguous_residual(residual));
        let units: Vec<_> = units.0.into_iter().map(contiguous_unit).collect();
        let mut shape = dimensions(&x);
        let units = units.iter().zip(specs).map(|(unit, spec)| {
            let convolution = geometry(shape, unit.weight.shape, spec.conv);
            shape = output_shape(&convolution);
            kernels::InferenceUnit {
                convolution,
                packed: values(&unit.weight.values),
                bias: values(&unit.bias),
                activation: spec.activation,
            }
        });
        let units: Vec<_> = units.collect();
        let output = kernels::branch_inference(&units, values(&x), residual_values(&residual, &x));
        tensor(output, shape)
    }

    fn branch(
        x: Primitive,
        tensors: Units<Self>,
        residual: Residual<Self>,
        specs: Vec<UnitSpec>,
    ) -> BranchOutput<Self> {
        branch::forward(x, tensors, residual, specs)
    }

    fn branch_backward(
        gradient: Primitive,
        x: Primitive,
        tensors: Units<Self>,
        residual: Residual<Self>,
        results: UnitResults<Self>,
        specs: Vec<UnitSpec>,
        need_input: bool,
    ) -> BranchGradients<Self> {
        let (x, residual) = (contiguous(x), contiguous_residual(residual));
        let units = branch::units(&x, tensors, results, specs);
        branch::backward(contiguous(gradient), &x, units, &residual, need_input)
    }

    fn max_pool(x: Primitive, spec: PoolSpec) -> Primitive {
        let x = contiguous(x);
        let p = pooling(dimensions(&x), spec);
        tensor(kernels::max_pool(&p, values(&x)), pooled_shape(&p))
    }

    fn max_pool_backward(x: Primitive, gradient: Primitive, spec: PoolSpec) -> Primitive {
        let [x, gradient] = [x, gradient].map(contiguous);
        let p = pooling(dimensions(&x), spec);
        let gradient = kernels::max_pool_backward(&p, values(&x), values(&gradient));
        tensor(gradient, dimensions(&x))
    }

    fn average_pool(x: Primitive, spec: PoolSpec) -> Primitive {
        let x = contiguous(x);
        let p = pooling(dimensions(&x), spec);
        tensor(kernels::average_pool(&p, values(&x)), pooled_shape(&p))
    }

    fn average_pool_backward(
        gradient: Primitive,
        [height, width]: [usize; 2],
        spec: PoolSpec,
    ) -> Primitive {
        let gradient = contiguous(gradient);
        let [batch, _, _, channels] = dimensions(&gradient);
        let shape = [batch, height, width, channels];
        let p = pooling(shape, spec);
        tensor(kernels::average_pool_backward(&p, values(&gradient)), shape)
    }

    fn image_means(x: Primitive) -> Primitive {
        let x = contiguous(x);
        let [batch, _, _, channels] = dimensions(&x);
        tensor(
            kernels::image_means(values(&x), batch, channels),
            [batch, channels],
        )
    }

    fn image_means_backward(gradient: Primitive, [height, width]: [usize; 2]) -> Primitive {
        let gradient = contiguous(gradient);
        let [batch, channels] = gradient.layout().shape().dims();
        let shape = [batch, height, width, channels];
        let spread = kernels::image_means_backward(values(&gradient), height * width, channels);
        tensor(spread, shape)
    }

    fn scale_channels(x: Primitive, gate: Primitive) -> Primitive {
        let [x, gate] = [x, gate].map(contiguous);
        let shape = dimensions(&x);
        tensor(
            kernels::scale_channels(values(&x), values(&gate), shape[3]),
            shape,
        )
    }

    fn scale_channels_backward(
        gradient: Primitive,
        x: Primitive,
        gate: Primitive,
    ) -> (Primitive, Primitive) {
        let [gradient, x, gate] = [gradient, x, gate].map(contiguous);
        let shape = dimensions(&x);
        let [batch, _, _, channels] = shape;
        let [by, x, gate] = [&gradient, &x, &gate].map(values);
        let (by_x, by_gate) = kernels::scale_channels_backward(x, gate, by, channels);
        (tensor(by_x, shape), tensor(by_gate, [batch, channels]))
    }

    fn concatenate(maps: Tensors<Self>) -> Primitive {
        arrange::concatenate(maps)
    }

    fn split_channels(x: Primitive, parts: Vec<Range<usize>>) -> Tensors<Self> {
        arrange::split_channels(x, &parts).into_iter().collect()
    }

    fn upsample(x: Primitive) -> Primitive {
        arrange::upsample(x)
    }

    fn upsample_backward(gradient: Primitive) -> Primitive {
        arrange::upsample_backward(gradient)
    }

    fn reverse_channels(x: Primitive) -> Primitive {
        arrange::reverse_channels(x)
    }

    fn space_to_depth(x: Primitive) -> Primitive {
        arrange::space_to_depth(x)
    }

    fn depth_to_space(x: Primitive) -> Primitive {
        arrange::depth_to_space(x)
    }

    fn add(x: Primitive, y: Primitive) -> Primitive {
        arrange::add(x, y)
    }

    fn scale(x: Primitive, factor: Primitive) -> Primitive {
        arrange::scale(x, factor)
    }

    fn linear_layer(x: Primitive, weight: Primitive, bias: Primitive) -> Primitive {
        linear::linear(x, weight, bias)
    }

    fn linear_layer_backward(
        gradient: Primitive,
        x: Primitive,
        weight: Primitive,
        need_x: bool,
    ) -> LinearGradients<Self> {
        linear::linear_backward(gradient, x, weight, need_x)
    }

    fn layer_normalization(
        x: Primitive,
        gamma: Primitive,
        beta: Primitive,
        epsilon: f32,
    ) -> Primitive {
        norm::layer_norm(x, gamma, beta, epsilon)
    }

    fn layer_normalization_backward(
        gradient: Primitive,
        x: Primitive,
        gamma: Primitive,
        epsilon: f32,
        need_x: bool,
    ) -> NormGradients<Self> {
        norm::layer_norm_backward(gradient, x, gamma, epsilon, need_x)
    }

    fn response_normalization(
        x: Primitive,
        gamma: Primitive,
        beta: Primitive,
        epsilon: f32,
    ) -> Primitive {
        norm::response_norm(x, gamma, beta, epsilon)
    }

    fn response_normalization_backward(
        gradient: Primitive,
        x: Primitive,
        gamma: Primitive,
        epsilon: f32,
        need_x: bool,
    ) -> NormGradients<Self> {
        norm::response_norm_backward(gradient, x, gamma, epsilon, need_x)
    }

    fn self_attention(qkv: Primitive, heads: usize) -> Primitive {
        attention::attention(qkv, heads)
    }

    fn self_attention_backward(gradient: Primitive, qkv: Primitive, heads: usize) -> Primitive {
        attention::attention_backward(gradient, qkv, heads)
    }

    fn sgd_step(
        parameters: Tensors<Self>,
        gradients: Tensors<Self>,
        velocities: Tensors<Self>,
        rates: Vec<Rates>,
        sgd: Sgd,
    ) -> (Tensors<Self>, Tensors<Self>) {
        let gradients = map(gradients, contiguous);
        let [mut parameters, mut velocities] = [parameters, velocities].map(|t| map(t, whole));
        let updates = values_mut(&mut parameters)
            .zip(gradients.iter().map(values))
            .zip(values_mut(&mut velocities))
            .zip(rates)
            .map(|(((parameter, gradient), velocity), rates)| Update {
                parameter,
                gradient,
                moments: [velocity],
                learning_rate: rates.learning_rate,
                weight_decay: rates.weight_decay,
            });
        kernels::sgd_step(sgd, updates.collect());
        let [parameters, velocities] = [parameters, velocities].map(Tensors::from_iter);
        (parameters, velocities)
    }

    fn adam_step(
        parameters: Tensors<Self>,
        gradients: Tensors<Self>,
        means: Tensors<Self>,
        squares: Tensors<Self>,
        rates: Vec<Rates>,
        adam: Adam,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        let gradients = map(gradients, contiguous);
        let [mut parameters, mut means, mut squares] =
            [parameters, means, squares].map(|t| map(t, whole));
        let updates = values_mut(&mut parameters)
            .zip(gradients.iter().map(values))
            .zip(values_mut(&mut means).zip(values_mut(&mut squares)))
            .zip(rates)
            .map(|(((parameter, gradient), (mean, square)), rates)| Update {
                parameter,
                gradient,
                moments: [mean, square],
                learning_rate: rates.learning_rate,
                weight_decay: rates.weight_decay,
            });
        kernels::adam_step(adam, updates.collect());
        let [parameters, means, squares] = [parameters, means, squares].map(Tensors::from_iter);
        (parameters, means, squares)
    }

    fn sum_of_squares(tensors: Tensors<Self>) -> f64 {
        let tensors = map(tensors, contiguous);
        kernels::sum_of_squares(&tensors.iter().map(values).collect::<Vec<_>>())
    }

    fn move_averages(
        averages: Tensors<Self>,
        seen: Tensors<Self>,
        factors: Vec<f64>,
        share: f64,
    ) -> Tensors<Self> {
        let mut averages = map(averages, whole);
        let seen = map(seen, contiguous);
        for ((averages, seen), factor) in values_mut(&mut averages).zip(&seen).zip(factors) {
            let (kept, added) = ((1.0 - share) as f32, (share * factor) as f32);
            for (average, value) in averages.iter_mut().zip(values(seen)) {
                *average = kept * *average + added * value;
            }
        }
        averages.into_iter().collect()
    }
}
