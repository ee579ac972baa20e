//! Optimizer steps, and the sums and averages for clipping and running statistics.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use warmstart_kernels::{Adam, Sgd};

use super::sum_of_rows::partial_sums;
use crate::ops::format::single;
use crate::ops::list::Tensors;
use crate::ops::records::Rates;

fn decayed<B: Backend>(
    gradient: FloatTensor<B>,
    value: &FloatTensor<B>,
    decay: f64,
) -> FloatTensor<B> {
    B::float_add(gradient, B::float_mul_scalar(value.clone(), decay.into()))
}

/// See [`VisionOps::sgd_step`](crate::ops::VisionOps::sgd_step).
pub fn sgd_step<B: Backend>(
    parameters: Tensors<B>,
    gradients: Tensors<B>,
    velocities: Tensors<B>,
    rates: Vec<Rates>,
    sgd: Sgd,
) -> (Tensors<B>, Tensors<B>) {
    let updates = parameters.into_tensors().zip(gradients.into_tensors());
    let updates = updates.zip(velocities.into_tensors()).zip(rates);
    let (values, velocities): (Vec<_>, Vec<_>) = updates
        .map(|(((value, gradient), velocity), rates)| {
            let (shape, flat) = (value.shape(), velocity.shape());
            let gradient = B::float_mul_scalar(gradient, sgd.gradient_scale.into());
            let gradient = decayed::<B>(gradient, &value, rates.weight_decay);
            let velocity = B::float_add(
                B::float_mul_scalar(
                    B::float_reshape(velocity, shape.clone()),
                    sgd.momentum.into(),
                ),
                gradient.clone(),
            );
            let ahead = B::float_mul_scalar(velocity.clone(), sgd.momentum.into());
            let step =
                B::float_mul_scalar(B::float_add(gradient, ahead), rates.learning_rate.into());
            (B::float_sub(value, step), B::float_reshape(velocity, flat))
        })
        .unzip();
    (
        values.into_iter().collect(),
        velocities.into_iter().collect(),
    )
}

/// See [`VisionOps::adam_step`](crate::ops::VisionOps::adam_step).
pub fn adam_step<B: Backend>(
    parameters: Tensors<B>,
    gradients: Tensors<B>,
    means: Tensors<B>,
    squares: Tensors<B>,
    rates: Vec<Rates>,
    adam: Adam,
) -> (Tensors<B>, Tensors<B>, Tensors<B>) {
    let steps = adam.step as f64;
    let [correction1, correction2] = [adam.beta1, adam.beta2].map(|beta| 1.0 - beta.powf(steps));
    // `share · old + (1 − share) · new`
    let mix = |old, share: f64, new| {
        B::float_add(
            B::float_mul_scalar(old, share.into()),
            B::float_mul_scalar(new, (1.0 - share).into()),
        )
    };
    let updates = parameters.into_tensors().zip(gradients.into_tensors());
    let moments = means.into_tensors().zip(squares.into_tensors());
    let (mut values, mut new_means, mut new_squares) = (Vec::new(), Vec::new(), Vec::new());
    for (((mut value, gradient), (mean, square)), rates) in updates.zip(moments).zip(rates) {
        let (shape, flat) = (value.shape(), mean.shape());
        let mut gradient = B::float_mul_scalar(gradient, adam.gradient_scale.into());
        if adam.decoupled_decay {
            let kept = 1.0 - rates.learning_rate * rates.weight_decay;
            value = B::float_mul_scalar(value, kept.into());
        } else {
            gradient = decayed::<B>(gradient, &value, rates.weight_decay);
        }
        let [mean, square] = [mean, square].map(|moment| B::float_reshape(moment, shape.clone()));
        let mean = mix(mean, adam.beta1, gradient.clone());
        let squared = B::float_mul(gradient.clone(), gradient);
        let square = mix(square, adam.beta2, squared);
        let deviation = B::float_add_scalar(
            B::float_div_scalar(B::float_sqrt(square.clone()), correction2.sqrt().into()),
            adam.epsilon.into(),
        );
        let step_size = rates.learning_rate / correction1;
        let step = B::float_div(
            B::float_mul_scalar(mean.clone(), step_size.into()),
            deviation,
        );
        values.push(B::float_sub(value, step));
        new_means.push(B::float_reshape(mean, flat.clone()));
        new_squares.push(B::float_reshape(square, flat));
    }
    (
        values.into_iter().collect(),
        new_means.into_iter().collect(),
        new_squares.into_iter().collect(),
    )
}

/// See [`VisionOps::sum_of_squares`](crate::ops::VisionOps::sum_of_squares). The device is waited for once.
pub fn sum_of_squares<B: Backend>(tensors: Tensors<B>) -> f64 {
    let squares = tensors.into_tensors().map(|tensor| {
        let tensor = single::<B>(tensor);
        partial_sums::<B>(B::float_mul(tensor.clone(), tensor))
    });
    let sums = B::float_cat(squares.collect(), 0);
    let sums = burn::tensor::try_read_sync(B::float_into_data(sums))
        .expect("the device can be waited for")
        .expect("the device computes");
    sums.iter::<f64>().sum()
}

/// See [`VisionOps::move_averages`](crate::ops::VisionOps::move_averages).
pub fn move_averages<B: Backend>(
    averages: Tensors<B>,
    values: Tensors<B>,
    factors: Vec<f64>,
    share: f64,
) -> Tensors<B> {
    let pairs = averages
        .into_tensors()
        .zip(values.into_tensors())
        .zip(factors);
    let moved = pairs.map(|((average, value), factor)| {
        B::float_add(
            B::float_mul_scalar(average, (1.0 - share).into()),
            B::float_mul_scalar(value, (factor * share).into()),
        )
    });
    moved.collect()
}
