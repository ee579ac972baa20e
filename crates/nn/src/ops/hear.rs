//! Gradients of parameters that someone hears while the backward pass goes on.
//!
//! A backward pass goes through its operations by their depth, the deepest first. So a node that passes a parameter on
//! has to be as deep as the layers that use it: its second parent is what these layers take.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::listener::Heard;
use super::vision_ops::VisionOps;

/// Its parents are the parameter and what its layers take.
#[derive(Debug)]
struct HearBackward;

impl<B: VisionOps> Backward<B, 2> for HearBackward {
    type State = Heard;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let Heard {
            parameter,
            listener,
        } = ops.state;
        let data = burn::tensor::try_read_sync(B::float_into_data(gradient.clone()))
            .expect("the device can be waited for")
            .expect("the device computes");
        let values = data
            .try_into_vec()
            .expect("gradients of parameters are f32");
        listener.tell(&parameter, values);
        if let [Some(leaf), _] = &ops.parents {
            grads.register::<B>(leaf.id, gradient);
        }
    }
}

pub(super) fn tracked_hear<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    before: FloatTensor<Autodiff<B, C>>,
    heard: Heard,
) -> FloatTensor<Autodiff<B, C>> {
    let (x, leaf) = x.into_parts();
    let (_, before) = before.into_parts();
    match Backward::<B, 2>::prepare::<C>(HearBackward, [leaf, before])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => prepared.finish(heard, x),
        OpsKind::UnTracked(prepared) => prepared.finish(x),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use burn::tensor::{Tensor, TensorData};

    use crate::Parameters;
    use crate::ops::Listener;

    const NAMES: [&str; 4] = ["early", "shared", "last", "unused"];

    fn parameters() -> Parameters {
        let mut parameters = Parameters::new();
        for (index, name) in NAMES.into_iter().enumerate() {
            let values = (0..3).map(|value| (value + index) as f32 / 7.0 - 0.5);
            parameters.insert_values(name, &[3], values.collect(), &crate::device());
        }
        parameters
    }

    fn scaled(x: Tensor<4>, parameters: &Parameters, name: &str) -> Tensor<4> {
        x * parameters.get::<1>(name).reshape([1, 1, 1, 3])
    }

    /// The gradients of a network of two parts, of which the second uses one parameter three times, and what was heard of
    /// them before the pass was over.
    fn learned(listens: bool) -> (Parameters, Vec<(String, Vec<f32>)>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        let listener = Listener::new(move |name, values| {
            kept.lock().unwrap().push((name.to_owned(), values));
        });
        let leaves = parameters().tracked(|_| true);
        let mut used = leaves.clone();
        let x = TensorData::new(vec![0.3_f32; 6], [2, 1, 1, 3]);
        let x = Tensor::<4>::from_data(x, &crate::device()).autodiff();
        if listens {
            used.hear(["early"], &x, &listener);
        }
        let map = scaled(x, &used, "early");
        if listens {
            used.hear(["shared", "last", "unused"], &map, &listener);
        }
        let once = scaled(map.clone(), &used, "shared");
        let twice = scaled(once, &used, "shared");
        let again = scaled(map, &used, "shared");
        let root = scaled(twice + again, &used, "last").sum();
        let mut gradients = root.backward();
        let said = std::mem::take(&mut *said.lock().unwrap());
        (leaves.take_gradients(&mut gradients), said)
    }

    fn bits(values: Vec<f32>) -> Vec<u32> {
        values.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn each_gradient_is_heard_once_and_whole_the_deepest_part_first() {
        let (gradients, said) = learned(true);
        let mut heard: Vec<&str> = said.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(heard.pop(), Some("early"));
        heard.sort_unstable();
        assert_eq!(heard, ["last", "shared"]);
        for (name, values) in said {
            assert_eq!(bits(values), bits(gradients.values(&name)), "{name}");
        }
    }

    #[test]
    fn listening_changes_no_bit_of_a_gradient() {
        let (alone, said) = learned(false);
        assert!(said.is_empty());
        let (heard, _) = learned(true);
        assert!(alone.names().eq(heard.names()));
        assert!(!alone.contains("unused"));
        for name in alone.names() {
            assert_eq!(bits(alone.values(name)), bits(heard.values(name)), "{name}");
        }
    }
}
