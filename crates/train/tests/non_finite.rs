//! A step whose loss or gradient is not finite is not taken, and the first such layer is named.

mod common;

use warmstart_ranks::Ranks;
use warmstart_tasks::classify::Target;
use warmstart_tasks::task::Task;
use warmstart_train::phase_setup::PhaseSetup;
use warmstart_train::step::{NonFinite, Step};
use warmstart_train::training_state::TrainingState;
use warmstart_train::virtual_shards::VirtualShards;

use common::{Beginning, features, pixels};

const BATCH: usize = 4;

struct Fixture {
    run: Beginning,
}

impl Fixture {
    fn new(lines: &str) -> Self {
        Self {
            run: Beginning::new("resnet18", BATCH, lines),
        }
    }

    fn change(&mut self, name: &str, change: impl Fn(usize, f32) -> f32) {
        let parameters = &mut self.run.state.parameters;
        let values = parameters.values(name).into_iter().enumerate();
        let values = values.map(|(index, value)| change(index, value)).collect();
        let shape = parameters.shape(name);
        parameters.insert_values(name, &shape, values, &warmstart_nn::device());
    }

    fn step(&mut self, pixel: f32) -> Result<f64, NonFinite> {
        let image = |number: usize| {
            let mut pixels = pixels(number * 31);
            pixels[5] = pixel;
            pixels
        };
        let images: Vec<Vec<f32>> = (0..BATCH).map(image).collect();
        let head = self.run.task.head().parameters;
        let setup = PhaseSetup::new(&self.run.phase, &self.run.architecture, &head).unwrap();
        let step = Step {
            architecture: &self.run.architecture,
            task: &self.run.task,
            phase: &self.run.phase,
            setup: &setup,
            seed: 1,
            ranks: &Ranks::alone(),
            shards: VirtualShards {
                shards: 1,
                ranks: 1,
                rank: 0,
            },
        };
        step.run(
            &mut self.run.state,
            features(&images),
            &[0, 1, 0, 1].map(Target::from),
            BATCH,
            1e-3,
            None,
            &mut |_| (),
        )
    }

    fn values(&self) -> Vec<(String, Vec<u32>)> {
        let TrainingState {
            parameters,
            optimizer,
            ..
        } = &self.run.state;
        let all = [parameters, &optimizer.state].map(|map| {
            let bits = |name: &str| map.values(name).iter().map(|v| v.to_bits()).collect();
            map.names()
                .map(|name| (name.to_owned(), bits(name)))
                .collect::<Vec<_>>()
        });
        all.concat()
    }

    /// The layer of a step that must not be taken, and change nothing.
    fn refused(&mut self, pixel: f32) -> NonFinite {
        self.step(0.0).ok();
        let before = (
            self.values(),
            self.run.state.steps,
            self.run.state.optimizer.steps,
        );
        let refused = self.step(pixel).unwrap_err();
        let after = (
            self.values(),
            self.run.state.steps,
            self.run.state.optimizer.steps,
        );
        assert!(before == after, "nothing is changed");
        refused
    }
}

#[test]
fn a_sound_step_is_taken() {
    let mut fixture = Fixture::new("");
    let before = fixture.values();
    assert!(fixture.step(0.0).unwrap().is_finite());
    assert!(fixture.values() != before);
    assert_eq!(fixture.run.state.steps, 1);
}

#[test]
fn of_a_loss_the_first_layer_from_the_image_on_is_named() {
    for (lines, parameter, layer) in [
        ("", "layer2.0.conv1.weight", "layer2.0"),
        ("micro_batch = 2", "layer4.1.bn2.weight", "layer4.1"),
        ("batch_norm = 'frozen'", "fc.bias", "the head"),
    ] {
        let mut fixture = Fixture::new(lines);
        fixture.change(
            parameter,
            |index, value| if index == 0 { f32::NAN } else { value },
        );
        let refused = fixture.refused(0.0);
        assert_eq!(refused.layer, layer, "{parameter}");
        assert_eq!(refused.what, "the loss is NaN");
    }
}

#[test]
fn an_image_that_is_not_finite_is_named_as_such() {
    let refused = Fixture::new("").refused(f32::NAN);
    assert_eq!(refused.layer, "the image itself");
}

#[test]
fn of_a_gradient_the_layer_nearest_to_the_loss_is_named() {
    let mut fixture = Fixture::new("batch_norm = 'batch'");
    // Small weights on large inputs: the result is small, and the weights' gradient is the product of the
    // inputs and a gradient that was large already.
    fixture.change("fc.weight", |_, value| value * 1e36);
    fixture.change("layer4.1.bn1.weight", |_, value| value * 1e4);
    fixture.change("layer4.1.conv2.weight", |_, value| value * 1e-6);
    let refused = fixture.refused(0.0);
    assert_eq!(refused.what, "the loss is finite, its gradient is not");
    assert_eq!(refused.layer, "layer4.1.conv2.weight");
}
