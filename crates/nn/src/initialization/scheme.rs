//! Distributions of a weight's first values.

use std::fmt;
use std::str::FromStr;

use warmstart_language::message;

use super::random::{normal, orthogonal, truncated_normal, uniform};
use crate::Activation;
use crate::ParameterInfo;

/// The variance that a scheme keeps stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// The signal's, from layer to layer: counts the inputs of each output.
    In,
    /// The gradient's, from layer to layer: counts the outputs of each input.
    Out,
}

/// A distribution of weights, over convolutions `[out, in / groups, height, width]` and linear layers
/// `[out, in]`. A gain makes up for the loss in the activation that follows; see [`gain`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scheme {
    /// `N(0, deviation²)`: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
    /// Networks" (NIPS 2012), section 5, with a deviation of 0.01 in every layer.
    Normal {
        /// Standard deviation.
        deviation: f64,
    },
    /// As `Normal`, drawn again beyond two deviations, whose variance is `deviation² · (1 − 4φ(2) / (2Φ(2) − 1))`:
    /// Johnson, Kotz and Balakrishnan, "Continuous Univariate Distributions" (1994), chapter 13, section 10.1.
    TruncatedNormal {
        /// Standard deviation before the cut.
        deviation: f64,
    },
    /// `U(−a, a)` with `a = gain · √(6 / (fan_in + fan_out))`: Glorot and Bengio, "Understanding the
    /// Difficulty of Training Deep Feedforward Neural Networks" (AISTATS 2010), equation 16.
    XavierUniform {
        /// `None` for that of the activation that follows.
        gain: Option<f64>,
    },
    /// `N(0, gain² · 2 / (fan_in + fan_out))`: as above, equation 12.
    XavierNormal {
        /// `None` for that of the activation that follows.
        gain: Option<f64>,
    },
    /// `U(−a, a)` with `a = gain · √(3 / fan)`: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers"
    /// (arXiv 1502.01852), section 2.2.
    KaimingUniform {
        /// Fan-in as in equation 10, fan-out as in equation 14.
        fan: Fan,
    },
    /// `N(0, gain² / fan)`: as above.
    KaimingNormal {
        /// Fan-in as in equation 10, fan-out as in equation 14.
        fan: Fan,
    },
    /// `gain` times a matrix `[out, in · height · width]` whose rows or columns, whichever are fewer, are
    /// orthonormal: Saxe, McClelland and Ganguli, "Exact Solutions to the Nonlinear Dynamics of Learning
    /// in Deep Linear Neural Networks" (arXiv 1312.6120), section 3.
    Orthogonal {
        /// `None` for that of the activation that follows.
        gain: Option<f64>,
    },
}

/// The factor of a layer's weights with which the activation after it keeps the second moment of a
/// standard normal signal: `1 / √E[f(z)²]`; √2 for rectifiers (arXiv 1502.01852, equation 10).
pub fn gain(activation: Activation) -> f64 {
    match activation {
        // A gate's values are factors, not a signal: 1, as in PyTorch's `calculate_gain`.
        Activation::Identity | Activation::Sigmoid | Activation::HardSigmoid => 1.0,
        // Six deviations are as good as infinite.
        Activation::Relu | Activation::Relu6 => std::f64::consts::SQRT_2,
        Activation::HardSwish => HARD_SWISH_GAIN,
        Activation::Silu => SILU_GAIN,
        Activation::Gelu => GELU_GAIN,
    }
}

const HARD_SWISH_GAIN: f64 = 1.73666;
const SILU_GAIN: f64 = 1.67653;
const GELU_GAIN: f64 = 1.53353;

/// Inputs and outputs of a layer, as PyTorch counts them, also where a convolution has groups.
pub(super) fn fans(parameter: &ParameterInfo) -> [f64; 2] {
    let [out, inputs, kernel @ ..] = &parameter.shape[..] else {
        panic!("{}: a weight has two dimensions at least", parameter.name)
    };
    let kernel: usize = kernel.iter().product();
    [(inputs * kernel) as f64, (out * kernel) as f64]
}

impl Scheme {
    /// Values of a weight, row-major. They depend on the scheme, the seed, the name and the shape alone.
    pub fn values(self, weight: &ParameterInfo, seed: u64) -> Vec<f32> {
        let [fan_in, fan_out] = fans(weight);
        let following = gain(weight.activation);
        let fan_of = |fan| match fan {
            Fan::In => fan_in,
            Fan::Out => fan_out,
        };
        let glorot = |gain: Option<f64>, share: f64| {
            gain.unwrap_or(following) * (share / (fan_in + fan_out)).sqrt()
        };
        match self {
            Self::Normal { deviation } => normal(weight, seed, deviation),
            Self::TruncatedNormal { deviation } => truncated_normal(weight, seed, deviation),
            Self::XavierUniform { gain } => uniform(weight, seed, glorot(gain, 6.0)),
            Self::XavierNormal { gain } => normal(weight, seed, glorot(gain, 2.0)),
            Self::KaimingUniform { fan } => {
                uniform(weight, seed, following * (3.0 / fan_of(fan)).sqrt())
            }
            Self::KaimingNormal { fan } => normal(weight, seed, following / fan_of(fan).sqrt()),
            Self::Orthogonal { gain } => orthogonal(weight, seed, gain.unwrap_or(following)),
        }
    }
}

/// Deviation of `normal` and `trunc_normal` without a number, as in tutorials' trainers.
const USUAL_DEVIATION: f64 = 0.02;

impl FromStr for Scheme {
    type Err = String;

    /// `name` or `name(argument)`: a deviation, a gain, or `in` or `out`. The trainers' `xavier` and
    /// `kaiming` are `xavier_normal` and `kaiming_normal`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, argument) = match text.split_once('(') {
            Some((name, rest)) => (
                name,
                Some(rest.strip_suffix(')').ok_or_else(unknown(text))?),
            ),
            None => (text, None),
        };
        let number = || {
            let is_one = |number: &f64| number.is_finite() && *number > 0.0;
            let parse = |argument: &str| argument.trim().parse().ok().filter(is_one);
            argument
                .map(|argument| parse(argument).ok_or_else(unknown(text)))
                .transpose()
        };
        let fan = || match argument.map(str::trim) {
            None | Some("in") => Ok(Fan::In),
            Some("out") => Ok(Fan::Out),
            Some(_) => Err(unknown(text)()),
        };
        let deviation = || Ok::<_, String>(number()?.unwrap_or(USUAL_DEVIATION));
        Ok(match name.trim() {
            "normal" => Self::Normal {
                deviation: deviation()?,
            },
            "trunc_normal" => Self::TruncatedNormal {
                deviation: deviation()?,
            },
            "xavier_uniform" => Self::XavierUniform { gain: number()? },
            "xavier_normal" | "xavier" => Self::XavierNormal { gain: number()? },
            "kaiming_uniform" => Self::KaimingUniform { fan: fan()? },
            "kaiming_normal" | "kaiming" => Self::KaimingNormal { fan: fan()? },
            "orthogonal" => Self::Orthogonal { gain: number()? },
            _ => return Err(unknown(text)()),
        })
    }
}

fn unknown(text: &str) -> impl Fn() -> String {
    move || {
        message!(
            "`{text}` is no initialization: it is normal(deviation), trunc_normal(deviation), xavier_uniform, \
             xavier_normal, orthogonal (each with a gain in brackets, if not that of the activation that \
             follows), kaiming_uniform or kaiming_normal (with `in` or `out` in brackets)"
        )
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let fan_name = |fan: &Fan| match fan {
            Fan::In => "in",
            Fan::Out => "out",
        };
        let mut with_gain = |name: &str, gain: &Option<f64>| match gain {
            Some(gain) => write!(f, "{name}({gain})"),
            None => f.write_str(name),
        };
        match self {
            Self::XavierUniform { gain } => with_gain("xavier_uniform", gain),
            Self::XavierNormal { gain } => with_gain("xavier_normal", gain),
            Self::Orthogonal { gain } => with_gain("orthogonal", gain),
            Self::Normal { deviation } => write!(f, "normal({deviation})"),
            Self::TruncatedNormal { deviation } => write!(f, "trunc_normal({deviation})"),
            Self::KaimingUniform { fan } => write!(f, "kaiming_uniform({})", fan_name(fan)),
            Self::KaimingNormal { fan } => write!(f, "kaiming_normal({})", fan_name(fan)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn conv(shape: [usize; 4], activation: Activation) -> ParameterInfo {
        ParameterInfo {
            name: "layer".into(),
            shape: shape.to_vec(),
            kind: Kind::ConvWeight,
            activation,
        }
    }

    fn deviation(values: &[f32]) -> f64 {
        let squares = values.iter().map(|&value| f64::from(value).powi(2));
        (squares.sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn deviations_are_those_of_the_formulas() {
        let layer = conv([96, 64, 3, 3], Activation::Relu);
        let (fan_in, fan_out) = (64.0 * 9.0, 96.0 * 9.0_f64);
        let sqrt2 = std::f64::consts::SQRT_2;
        for (text, expected) in [
            ("normal(0.1)", 0.1),
            ("normal", 0.02),
            // Only values within two deviations are left.
            ("trunc_normal(0.1)", 0.1 * 0.8796),
            ("xavier_normal", sqrt2 * (2.0 / (fan_in + fan_out)).sqrt()),
            ("xavier_uniform(1)", (2.0 / (fan_in + fan_out)).sqrt()),
            ("xavier(0.02)", 0.02 * (2.0 / (fan_in + fan_out)).sqrt()),
            ("kaiming_normal", sqrt2 / fan_in.sqrt()),
            ("kaiming_uniform(in)", sqrt2 / fan_in.sqrt()),
            ("kaiming_normal(out)", sqrt2 / fan_out.sqrt()),
            // Rows of length one over fan_in values.
            ("orthogonal(1)", 1.0 / fan_in.sqrt()),
        ] {
            let found = deviation(&text.parse::<Scheme>().unwrap().values(&layer, 1));
            assert!(
                (found / expected - 1.0).abs() < 0.02,
                "{text}: {found}, not {expected}"
            );
        }
        let linear = conv([96, 64, 3, 3], Activation::Identity);
        let kaiming = Scheme::KaimingNormal { fan: Fan::In };
        assert!((deviation(&kaiming.values(&linear, 1)) * fan_in.sqrt() - 1.0).abs() < 0.02);
    }

    #[test]
    fn gains_keep_the_second_moment_of_a_normal_signal() {
        let silu = |z: f64| z / (1.0 + (-z).exp());
        // The normal distribution's integral by Simpson's rule, as Rust has no error function.
        let gelu = |z: f64| {
            let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let step = z / 200.0;
            let sum: f64 = (0..100)
                .map(|index| {
                    let x = f64::from(2 * index) * step;
                    density(x) + 4.0 * density(x + step) + density(x + 2.0 * step)
                })
                .sum();
            z * (0.5 + sum * step / 3.0)
        };
        let hard_swish = |z: f64| z * (z + 3.0).clamp(0.0, 6.0) / 6.0;
        for (activation, f) in [
            (
                Activation::Relu6,
                (|z: f64| z.clamp(0.0, 6.0)) as fn(f64) -> f64,
            ),
            (Activation::Silu, silu),
            (Activation::HardSwish, hard_swish),
            (Activation::Gelu, gelu),
        ] {
            let (mut sum, mut weight) = (0.0, 0.0);
            for index in 0..16_000 {
                let z = f64::from(index - 8000) / 1000.0;
                let density = (-z * z / 2.0).exp();
                sum += density * f(z).powi(2);
                weight += density;
            }
            let moment = gain(activation).powi(2) * sum / weight;
            assert!((moment - 1.0).abs() < 1e-3, "{activation:?}: {moment}");
        }
    }

    #[test]
    fn rows_or_columns_of_an_orthogonal_matrix_are_orthonormal() {
        for shape in [[8, 3, 3, 3], [40, 2, 3, 3], [1, 1, 1, 1]] {
            let layer = conv(shape, Activation::Identity);
            let values = Scheme::Orthogonal { gain: None }.values(&layer, 3);
            let (rows, columns) = (shape[0], shape[1] * shape[2] * shape[3]);
            let at = |row: usize, column: usize| f64::from(values[row * columns + column]);
            let few = rows.min(columns);
            for a in 0..few {
                for b in 0..few {
                    let dot: f64 = if rows <= columns {
                        (0..columns).map(|i| at(a, i) * at(b, i)).sum()
                    } else {
                        (0..rows).map(|i| at(i, a) * at(i, b)).sum()
                    };
                    let expected = if a == b { 1.0 } else { 0.0 };
                    assert!((dot - expected).abs() < 1e-5, "{shape:?}: {a} {b} {dot}");
                }
            }
        }
    }

    #[test]
    fn schemes_read_as_they_are_written() {
        for text in [
            "normal(0.1)",
            "trunc_normal(0.02)",
            "xavier_uniform",
            "xavier_normal(0.02)",
            "kaiming_uniform(in)",
            "kaiming_normal(out)",
            "orthogonal",
        ] {
            assert_eq!(text.parse::<Scheme>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "he",
            "normal(",
            "normal(-1)",
            "normal(inf)",
            "kaiming_normal(up)",
            "orthogonal(x)",
        ] {
            assert!(
                text.parse::<Scheme>()
                    .unwrap_err()
                    .contains("is no initialization"),
                "{text}"
            );
        }
    }
}
