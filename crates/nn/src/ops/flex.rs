//! [`VisionOps`] on the processor: slices out of Burn's tensors, `warmstart-kernels`, and back.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Shape, TensorData};
use warmstart_kernels::{self as kernels, Convolution};

use super::{ConvSpec, NormGradients, Residual, Statistics, UnitOutput, UnitSpec, VisionOps};

type Primitive = FloatTensor<Flex>;

/// The values of a tensor that went through [`contiguous`].
fn values(tensor: &Primitive) -> &[f32] {
    tensor
        .as_slice::<f32>()
        .expect("an f32 tensor that was made contiguous")
}

fn contiguous(tensor: Primitive) -> Primitive {
    if tensor.as_slice::<f32>().is_some() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Primitive {
    Primitive::from_data(TensorData::new(values, shape))
}

fn dimensions(tensor: &Primitive) -> [usize; 4] {
    tensor.layout().shape().dims()
}

fn geometry(x: [usize; 4], weight: [usize; 4], spec: ConvSpec) -> Convolution {
    let [batch, in_height, in_width, in_channels] = x;
    let [out_channels, _, kernel_height, kernel_width] = weight;
    Convolution {
        batch,
        in_height,
        in_width,
        in_channels,
        out_channels,
        kernel: [kernel_height, kernel_width],
        stride: spec.stride,
        padding: spec.padding,
        dilation: spec.dilation,
        groups: spec.groups,
    }
}

fn output_shape(conv: &Convolution) -> [usize; 4] {
    [
        conv.batch,
        conv.out_height(),
        conv.out_width(),
        conv.out_channels,
    ]
}

fn residual_tensor(residual: Residual<Flex>) -> Option<Primitive> {
    match residual {
        Residual::None => None,
        Residual::Add(tensor) => Some(contiguous(tensor)),
    }
}

impl VisionOps for Flex {
    fn conv_act(
        x: Primitive,
        weight: Primitive,
        bias: Primitive,
        residual: Residual<Self>,
        spec: UnitSpec,
    ) -> Primitive {
        let [x, weight, bias] = [x, weight, bias].map(contiguous);
        let residual = residual_tensor(residual);
        let conv = geometry(dimensions(&x), dimensions(&weight), spec.conv);
        let output = kernels::convolution_inference(
            &conv,
            values(&x),
            values(&weight),
            values(&bias),
            residual.as_ref().map(values),
            spec.activation,
        );
        tensor(output, output_shape(&conv))
    }

    fn conv_norm_act(
        x: Primitive,
        weight: Primitive,
        gamma: Primitive,
        beta: Primitive,
        statistics: Statistics<Self>,
        residual: Residual<Self>,
        spec: UnitSpec,
    ) -> UnitOutput<Self> {
        let [x, weight, gamma, beta] = [x, weight, gamma, beta].map(contiguous);
        let residual = residual_tensor(residual);
        let geometry = geometry(dimensions(&x), dimensions(&weight), spec.conv);
        let conv = kernels::convolution_forward(&geometry, values(&x), values(&weight));
        let channels = geometry.out_channels;
        let (mean, variance) = match statistics {
            Statistics::Batch => {
                let (mean, variance) = kernels::batch_statistics(&conv, channels);
                (tensor(mean, [channels]), tensor(variance, [channels]))
            }
            Statistics::Frozen { mean, variance } => (contiguous(mean), contiguous(variance)),
        };
        let output = kernels::normalize(
            &conv,
            values(&mean),
            values(&variance),
            values(&gamma),
            values(&beta),
            spec.epsilon,
            residual.as_ref().map(values),
            spec.activation,
        );
        UnitOutput {
            output: tensor(output, output_shape(&geometry)),
            conv: tensor(conv, output_shape(&geometry)),
            mean,
            variance,
        }
    }

    fn norm_act_backward(
        gradient: Primitive,
        forward: UnitOutput<Self>,
        gamma: Primitive,
        spec: UnitSpec,
        batch_statistics: bool,
        need_residual: bool,
    ) -> NormGradients<Self> {
        let [gradient, gamma] = [gradient, gamma].map(contiguous);
        let [conv, output] = [forward.conv, forward.output].map(contiguous);
        let [mean, variance] = [forward.mean, forward.variance].map(contiguous);
        let shape = dimensions(&conv);
        let gradients = kernels::normalize_backward(
            values(&gradient),
            values(&conv),
            values(&output),
            values(&mean),
            values(&variance),
            values(&gamma),
            spec.epsilon,
            spec.activation,
            batch_statistics,
            need_residual,
        );
        NormGradients {
            conv: tensor(gradients.x, shape),
            gamma: tensor(gradients.gamma, [shape[3]]),
            beta: tensor(gradients.beta, [shape[3]]),
            residual: match gradients.residual {
                Some(residual) => tensor(residual, shape),
                None => tensor(Vec::new(), [0]),
            },
        }
    }

    fn conv_input_gradient(
        gradient: Primitive,
        weight: Primitive,
        [height, width]: [usize; 2],
        spec: ConvSpec,
    ) -> Primitive {
        let [gradient, weight] = [gradient, weight].map(contiguous);
        let batch = dimensions(&gradient)[0];
        let channels = dimensions(&weight)[1] * spec.groups;
        let shape = [batch, height, width, channels];
        let conv = geometry(shape, dimensions(&weight), spec);
        tensor(
            kernels::convolution_input_gradient(&conv, values(&gradient), values(&weight)),
            shape,
        )
    }

    fn conv_weight_gradient(
        x: Primitive,
        gradient: Primitive,
        weight_shape: [usize; 4],
        spec: ConvSpec,
    ) -> Primitive {
        let [x, gradient] = [x, gradient].map(contiguous);
        let conv = geometry(dimensions(&x), weight_shape, spec);
        tensor(
            kernels::convolution_weight_gradient(&conv, values(&x), values(&gradient)),
            weight_shape,
        )
    }
}
