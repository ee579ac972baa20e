//! The head of a phase with a frozen backbone, solved in closed form: ridge regression on the means of several layers,
//! in one pass over the images as an evaluation sees them.

use warmstart_data::{Batches, Loader};
use warmstart_language::message;
use warmstart_nn::Parameters;
use warmstart_recipe::{Balance, Error, Phase};
use warmstart_ridge::{LeftOut, Solution, Solver};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::classify::{Known, half_priors, multi_head};
use warmstart_tasks::task::Task;

use crate::frozen::{Frozen, Source};
use crate::head_layers::layers_of;
use crate::trainer::{Trainer, batches_ahead};

/// A head in closed form.
pub struct SolvedHead {
    /// The architecture's own head, solved on the last layer alone; the head on several layers, where it reads several;
    /// and the record of known pictures.
    pub parameters: Parameters,
    /// The regressions on all other images, of the head that counts.
    pub left_out: LeftOut,
    /// Penalty of the regression.
    pub penalty: f64,
}

impl<T: Task> Trainer<T> {
    /// Solves for the head that a phase asks for, on the layers of `frozen`. `None` if a stop is requested.
    ///
    /// # Errors
    /// If an image cannot be read, or a feature is not finite.
    pub fn solve_head(
        &self,
        frozen: &Frozen,
        phase: &Phase,
        observe: Observer,
    ) -> Result<Option<SolvedHead>, Error> {
        let source = frozen.clean_source(&self.task, &self.data);
        let samples = self.data.training();
        let mut solver = Solver::new(&frozen.values_of_layers(), self.data.classes.len());
        let class_of = T::CLASS_OF.expect("an image has one class");
        let labels = |place: usize| class_of(&self.data.train[samples[place]].label);
        let stop = &self.resources.stop;
        let complete = self.each_row(frozen, &source, &samples, observe, &mut |place, row| {
            solver.add(row, &[labels(place)]);
            !stop.is_requested()
        })?;
        if !complete {
            return Ok(None);
        }
        self.solution(&solver, phase, &frozen.values_of_layers())
            .map(Some)
    }

    /// Hands the row of each of some images to `each`, in their order, as long as that returns true. Whether it did for
    /// all of them.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn each_row(
        &self,
        frozen: &Frozen,
        source: &Source<T::Target>,
        samples: &[usize],
        observe: Observer,
        each: &mut dyn FnMut(usize, &[f32]) -> bool,
    ) -> Result<bool, Error> {
        let loader = Loader::new(
            Batches::of(samples.to_vec(), frozen.images()),
            self.resources.workers,
            batches_ahead(frozen.images()),
            source.prepare(),
        );
        let mut done = 0;
        for batch in loader {
            let maps = self.features(frozen, &batch?, source, observe);
            for row in frozen.by_image(maps) {
                if !each(done, &row) {
                    return Ok(false);
                }
                done += 1;
            }
            observe(Event::Evaluated {
                images: done,
                of: samples.len(),
            });
        }
        Ok(true)
    }

    fn solution(
        &self,
        solver: &Solver,
        phase: &Phase,
        values: &[usize],
    ) -> Result<SolvedHead, Error> {
        let layers = &layers_of(&self.architecture, &phase.head_layers)[..];
        let counts = self.data.class_counts().unwrap_or_default();
        let last = self.architecture.last_layer();
        let last = layers.iter().position(|layer| layer == last);
        let last = last.expect("the last layer is read");
        let all: Vec<usize> = (0..layers.len()).collect();
        let solve = |chosen: &[usize]| {
            let mut solution = solver.solve(chosen).ok_or_else(|| {
                Error::non_finite(message!("a feature of the frozen backbone is not finite")).fix(
                    message!("take other weights: these give no finite results on the images"),
                )
            })?;
            if phase.balance == Balance::Prior {
                solution.shift(
                    &half_priors(&counts)
                        .iter()
                        .map(|prior| -prior)
                        .collect::<Vec<_>>(),
                );
            }
            Ok::<_, Error>(solution)
        };
        let own = solve(&[last])?;
        let mut parameters = Parameters::new();
        for (info, values) in self
            .task
            .head()
            .parameters
            .iter()
            .zip([&own.weight, &own.bias])
        {
            parameters.insert_values(&info.name, &info.shape, values.clone(), &self.device);
        }
        let solution = if layers.len() == 1 {
            own
        } else {
            let several = solve(&all)?;
            parameters.replace(self.multi_head(layers, values, &several.weight, &several.bias));
            several
        };
        let largest = |(row, _): (&[f32], usize)| row.iter().copied().fold(0.0, f32::max);
        let largest: Vec<f32> = solution.left_out.rows().map(largest).collect();
        if let Some(known) = Known::new(&solver.judged(last), &largest) {
            parameters.replace(known.parameters(&self.device));
        }
        Ok(SolvedHead::new(parameters, solution))
    }

    /// The head on several layers of so many values each, from its weight `[classes, values of all layers]` and its bias
    /// `[classes]`.
    pub fn multi_head(
        &self,
        layers: &[String],
        values: &[usize],
        weight: &[f32],
        bias: &[f32],
    ) -> Parameters {
        let classes = bias.len();
        let width: usize = values.iter().sum();
        let mut parameters = Parameters::new();
        let mut first = 0;
        for (layer, &channels) in layers.iter().zip(values) {
            let rows = weight.chunks(width);
            let own = rows.flat_map(|row| row[first..first + channels].to_vec());
            let name = multi_head::weight_name(layer);
            parameters.insert_values(&name, &[classes, channels], own.collect(), &self.device);
            first += channels;
        }
        let bias_name = multi_head::bias_name();
        parameters.insert_values(&bias_name, &[classes], bias.to_vec(), &self.device);
        parameters
    }
}

impl SolvedHead {
    fn new(parameters: Parameters, solution: Solution) -> Self {
        Self {
            parameters,
            left_out: solution.left_out,
            penalty: solution.penalty,
        }
    }
}
