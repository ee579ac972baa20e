//! Sums over the images of a batch, or of a part of it.

use warmstart_nn::{BatchStatistics, Parameters, pool_statistics};

/// The sums over some images of a batch, of which a step is made.
#[derive(Default)]
pub(super) struct Sums {
    /// Of the images' losses, divided by the images of the whole batch.
    pub loss: f64,
    /// Gradients of it, times the factor on the loss.
    pub gradients: Parameters,
    /// What the batch norms saw.
    pub statistics: Vec<BatchStatistics>,
}

impl Sums {
    /// The sums over these images and those of others, which come after them.
    pub fn with(mut self, others: Self) -> Self {
        self.loss += others.loss;
        self.gradients.add(others.gradients);
        pool_statistics(&mut self.statistics, others.statistics);
        self
    }
}
