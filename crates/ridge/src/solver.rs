//! The solver: it takes images in, and solves for a head.

use crate::left_out::LeftOut;
use crate::moments::Moments;
use crate::penalty;
use crate::problem::Problem;
use crate::rows::{Rows, Sample};
use crate::standard::sources;
use crate::temperature::{probabilities, temperature};

/// Pooled features of labelled images, taken in one pass.
pub struct Solver {
    layers: Vec<usize>,
    images: usize,
    /// Images by class.
    counts: Vec<usize>,
    /// Whether all features of a layer are finite.
    finite: Vec<bool>,
    kept: Kept,
}

enum Kept {
    /// All rows, while there are few.
    All(Rows),
    /// Sums over many rows, and some of the rows.
    Folded(Box<Folded>),
}

struct Folded {
    moments: Moments,
    sample: Sample,
    /// Rows that do not fill a block yet, and are not in the moments.
    pending: Rows,
}

/// A linear head on features of the chosen layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// Weights on features as they were added, divided by the temperature: [classes, values of the chosen layers]. The
    /// softmax of weight · features + bias are calibrated probabilities.
    pub weight: Vec<f32>,
    /// Biases, divided by the temperature, one for each class.
    pub bias: Vec<f32>,
    /// Penalty λ on the squared weights of standardised features, whose mean square per image and layer is 1.
    pub penalty: f64,
    /// Temperature by which the regression's scores are divided; a score is 1 for a class that is certain.
    pub temperature: f64,
    /// What the regression on all other images says of each image.
    pub left_out: LeftOut,
}

impl Solution {
    /// Adds to the logit of each class, in the head and in the probabilities of the images left out.
    ///
    /// # Panics
    /// If there is not one number for each class.
    pub fn shift(&mut self, by: &[f32]) {
        assert_eq!(by.len(), self.bias.len(), "a number for each class");
        for (bias, by) in self.bias.iter_mut().zip(by) {
            *bias += by;
        }
        self.left_out.shift(by);
    }
}

impl Solver {
    /// A solver without images, for layers with these numbers of values and this number of classes.
    pub fn new(layers: &[usize], classes: usize) -> Self {
        Self {
            layers: layers.to_vec(),
            images: 0,
            counts: vec![0; classes],
            finite: vec![true; layers.len()],
            kept: Kept::All(Rows::new(layers.iter().sum())),
        }
    }

    /// Adds images: `rows` are their features, [images, values of all layers], layer by layer. However images are
    /// spread over calls, the solution is the same to the bit.
    ///
    /// # Panics
    /// If there is not a row for each label, or a label is not below the number of classes.
    pub fn add(&mut self, rows: &[f32], labels: &[usize]) {
        let values: usize = self.layers.iter().sum();
        assert_eq!(rows.len(), labels.len() * values, "a row for each label");
        for (image, &label) in labels.iter().enumerate() {
            self.add_image(&rows[image * values..(image + 1) * values], label);
        }
    }

    fn add_image(&mut self, row: &[f32], label: usize) {
        let image = self.images;
        self.images += 1;
        self.counts[label] += 1;
        let mut rest = row;
        for (finite, &values) in self.finite.iter_mut().zip(&self.layers) {
            let (layer, others) = rest.split_at(values);
            *finite &= layer.iter().all(|value| value.is_finite());
            rest = others;
        }
        if let Kept::All(rows) = &mut self.kept
            && rows.len() == kept_limit(row.len())
        {
            let rows = std::mem::replace(rows, Rows::new(row.len()));
            self.kept = Kept::Folded(Box::new(Folded::new(rows, row.len(), self.counts.len())));
        }
        match &mut self.kept {
            Kept::All(rows) => rows.push(row, label),
            Kept::Folded(folded) => folded.add(image, row, label),
        }
    }

    /// Number of images added.
    pub fn images(&self) -> usize {
        self.images
    }

    /// The head on the layers with these indices, in this order; `None` if there is no image, or a feature of one of
    /// those layers is not finite. A value that is constant over the images has no weight.
    ///
    /// # Panics
    /// If there is no layer with one of the indices.
    pub fn solve(&self, layers: &[usize]) -> Option<Solution> {
        let finite = layers.iter().all(|&layer| self.finite[layer]);
        if self.images == 0 || !finite {
            return None;
        }
        let sources = sources(&self.layers, layers);
        match &self.kept {
            Kept::All(rows) => {
                let problem = Problem::of_rows(&sources, rows, &self.counts);
                head(&problem, (0..rows.len()).collect())
            }
            Kept::Folded(folded) => {
                let Folded {
                    moments,
                    sample,
                    pending,
                } = &**folded;
                let problem = if pending.len() == 0 {
                    Problem::of_moments(&sources, moments, sample, &self.counts)
                } else {
                    let mut moments = moments.clone();
                    moments.fold(pending);
                    Problem::of_moments(&sources, &moments, sample, &self.counts)
                };
                let order = sample.order();
                head(
                    &problem,
                    order.iter().map(|&row| sample.images[row]).collect(),
                )
            }
        }
    }

    /// Features on the layer with this index of each image that is judged, in the order of [`LeftOut::images`].
    ///
    /// # Panics
    /// If there is no layer with the index.
    pub fn judged(&self, layer: usize) -> Vec<&[f32]> {
        let first = self.layers[..layer].iter().sum::<usize>();
        let values = first..first + self.layers[layer];
        match &self.kept {
            Kept::All(rows) => (0..rows.len())
                .map(|row| &rows.row(row)[values.clone()])
                .collect(),
            Kept::Folded(folded) => {
                let Folded { sample, .. } = &**folded;
                let order = sample.order();
                let rows = order
                    .iter()
                    .map(|&row| &sample.rows.row(row)[values.clone()]);
                rows.collect()
            }
        }
    }

    /// Bytes that are allocated between calls.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        match &self.kept {
            Kept::All(rows) => rows.bytes(),
            Kept::Folded(folded) => {
                let Folded {
                    moments,
                    sample,
                    pending,
                } = &**folded;
                moments.bytes() + sample.rows.bytes() + pending.bytes()
            }
        }
    }
}

/// Number of images of which all rows are kept.
pub(crate) fn kept_limit(values: usize) -> usize {
    values
        .max(crate::rows::SAMPLE)
        .next_multiple_of(crate::rows::BLOCK)
}

impl Folded {
    /// Folds `rows`, which are whole blocks.
    fn new(mut rows: Rows, values: usize, classes: usize) -> Self {
        let mut moments = Moments::new(&rows, values, classes);
        let mut sample = Sample::new(values);
        let mut image = 0;
        while let Some(block) = rows.take_block() {
            moments.fold(&block);
            for row in 0..block.len() {
                sample.offer(image, block.row(row), block.labels()[row]);
                image += 1;
            }
        }
        Self {
            moments,
            sample,
            pending: rows,
        }
    }

    fn add(&mut self, image: usize, row: &[f32], label: usize) {
        self.sample.offer(image, row, label);
        self.pending.push(row, label);
        if let Some(block) = self.pending.take_block() {
            self.moments.fold(&block);
        }
    }
}

/// The head of the best regression; `images` are the numbers of the images that are judged.
fn head(problem: &Problem<'_>, images: Vec<usize>) -> Option<Solution> {
    let best = penalty::choose(|penalty| problem.judge(penalty))?;
    let labels = problem.labels();
    let temperature = temperature(&best.scores, &labels);
    let (penalty, classes) = (best.penalty, problem.shares.len());
    let probabilities = probabilities(&best.scores, temperature);
    let left_out = LeftOut {
        images,
        labels,
        probabilities,
        classes,
    };
    let standardised = problem.weights(best);
    let mut weight = Vec::with_capacity(standardised.len());
    let mut bias = Vec::with_capacity(classes);
    for (row, share) in standardised.rows().into_iter().zip(&problem.shares) {
        let mut constant = share / temperature;
        for ((value, factor), mean) in row
            .iter()
            .zip(&problem.standard.factor)
            .zip(&problem.standard.mean)
        {
            let rounded = (value * factor / temperature) as f32;
            // By the weight as rounded, so that the rounding of a weight does not meet the whole of a large mean.
            constant -= f64::from(rounded) * mean;
            weight.push(rounded);
        }
        bias.push(constant as f32);
    }
    Some(Solution {
        weight,
        bias,
        penalty,
        temperature,
        left_out,
    })
}
