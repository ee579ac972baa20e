//! Patches as tokens, with class tokens, registers and positions.

use burn::tensor::{Device, FloatDType, Tensor, TensorData};

use super::kind::{LayerKind, Shape, only};
use super::positions::Positions;
use crate::forward::Forward;
use crate::parameter_info::{Kind, ParameterInfo};
use crate::{Activation, Parameters, Part};

/// The patches of an image as a row of tokens, `[1, tokens, channels]`, each with its position, behind class tokens and
/// registers: Dosovitskiy and others, "An Image Is Worth 16x16 Words" (arXiv 2010.11929), equation 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    /// Names of parameters `[1, 1, channels]` that come first, such as `cls_token`.
    pub class: Vec<String>,
    /// Name and number of the registers, `[1, number, channels]`, between class tokens and patches: Darcet and others,
    /// "Vision Transformers Need Registers" (arXiv 2309.16588), section 2.2. They have no positions.
    pub registers: Option<(String, usize)>,
    /// The positions.
    pub positions: Positions,
    /// Channels of input and output.
    pub channels: usize,
}

impl Tokens {
    /// Tokens before the patches.
    fn prefix(&self) -> usize {
        let registers = self.registers.as_ref().map_or(0, |(_, number)| *number);
        self.class.len() + registers
    }

    /// Names and numbers of the class tokens, of the registers, and of the positions.
    fn entries(&self) -> impl Iterator<Item = (&str, usize)> {
        let class = self.class.iter().map(|name| (name.as_str(), 1));
        let registers = self.registers.iter();
        let registers = registers.map(|(name, number)| (name.as_str(), *number));
        let positions = (self.positions.name.as_str(), self.positions.entries());
        class.chain(registers).chain([positions])
    }

    /// The parameters, `[1, entries, channels]`, in the order of [`entries`](Self::entries).
    fn tensors(&self, forward: &Forward) -> Vec<Tensor<3>> {
        let entries = self.entries();
        match forward {
            Forward::Inference(folded) => {
                let values = folded.values(&self.positions.name).into_iter();
                let values = values.zip(entries);
                values
                    .map(|(values, (_, entries))| values.reshape([1, entries, self.channels]))
                    .collect()
            }
            Forward::Training { parameters, .. } => {
                entries.map(|(name, _)| parameters.get(name)).collect()
            }
        }
    }
}

impl LayerKind for Tokens {
    fn parameters(&self) -> Vec<ParameterInfo> {
        let parameter = |(name, entries): (&str, usize)| ParameterInfo {
            name: name.to_owned(),
            shape: vec![1, entries, self.channels],
            kind: Kind::Token,
            activation: Activation::Identity,
        };
        self.entries().map(parameter).collect()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        let [height, width, channels] = inputs[0];
        [1, self.prefix() + height * width, channels]
    }

    fn multiply_adds(&self, _inputs: &[Shape]) -> usize {
        0
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, forward: &mut Forward) -> Tensor<4> {
        let x = only(inputs);
        let [batch, height, width, channels] = x.dims();
        // Added in f32: a token's gradient is a sum over all images.
        let format = x.dtype();
        let x = x.cast(FloatDType::F32);
        debug_assert!(
            [0, self.class.len()].contains(&self.positions.prefix),
            "all class tokens have positions, or none"
        );
        let mut tensors = self.tensors(forward);
        let all = tensors.pop().expect("tokens have positions");
        let (of_class, of_patches) = self.positions.resized(all, [height, width]);
        let patches = height * width;
        let patches = x.reshape([batch, 1, patches, channels])
            + of_patches.reshape([1, 1, patches, channels]);
        let registers = tensors.split_off(self.class.len());
        let mut before = Vec::new();
        if !tensors.is_empty() {
            let class = Tensor::cat(tensors, 1);
            before.push(match of_class {
                Some(positions) => class + positions,
                None => class,
            });
        }
        before.extend(registers);
        if before.is_empty() {
            return patches.cast(format);
        }
        let prefix = self.prefix();
        let before = Tensor::cat(before, 1).reshape([1, 1, prefix, channels]);
        let before = before.expand([batch, 1, prefix, channels]);
        Tensor::cat(vec![before, patches], 2).cast(format)
    }

    fn fold(&self, parameters: &Parameters, device: &Device) -> Vec<(String, Part)> {
        let value = |(name, _): (&str, usize)| {
            let values = parameters.values(name);
            let count = values.len();
            Tensor::from_data(TensorData::new(values, [count]), device)
        };
        let values = self.entries().map(value).collect();
        vec![(self.positions.name.clone(), Part::Values(values))]
    }
}
