//! Where in an image a classifier sees a class.

/// How much each place of an image speaks for a class, from 0 to 1, 1 where it is highest.
///
/// The head is linear in the means of its layers, so the gradient of a logit with respect to a layer is the same at
/// every place: Selvaraju and others, "Grad-CAM" (arXiv 1610.02391), section 3, whose appendix A shows that this is the
/// class activation map of Zhou and others (arXiv 1512.04150). The maps of several layers are added on the grid of the
/// finest, as their parts in the logit are. Layers of one place are left out: of ConvNeXt, that of the norm behind the
/// mean.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationMap {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height × width` values, row by row.
    pub values: Vec<f32>,
}

/// A layer's activations for one image, and the weights of a class on them.
pub struct WeightedLayer {
    /// `[height, width, channels]`
    pub shape: [usize; 3],
    /// The activations, in that order.
    pub activations: Vec<f32>,
    /// The weight of the class on each channel.
    pub weights: Vec<f32>,
}

impl WeightedLayer {
    /// What each place says for the class, `[height, width]`: the mean over the places is the layer's part in the logit,
    /// whatever their number.
    fn votes(&self) -> Vec<f32> {
        let [_, _, channels] = self.shape;
        let rows = self.activations.chunks_exact(channels.max(1));
        let vote = |row: &[f32]| row.iter().zip(&self.weights).map(|(a, w)| a * w).sum();
        rows.map(vote).collect()
    }
}

impl ActivationMap {
    /// The sum over layers, without the places that speak against the class; `None` if no layer has several places.
    pub fn of(layers: &[WeightedLayer]) -> Option<Self> {
        let spread: Vec<&WeightedLayer> = layers
            .iter()
            .filter(|layer| layer.shape[0] * layer.shape[1] > 1)
            .collect();
        let finest = spread
            .iter()
            .max_by_key(|layer| layer.shape[0] * layer.shape[1])?;
        let [height, width, _] = finest.shape;
        let mut values = vec![0.0_f32; height * width];
        for layer in spread {
            let [rows, columns, _] = layer.shape;
            let votes = layer.votes();
            for y in 0..height {
                for x in 0..width {
                    let (row, column) = (y * rows / height, x * columns / width);
                    values[y * width + x] += votes[row * columns + column];
                }
            }
        }
        let highest = values.iter().copied().fold(0.0, f32::max);
        let scale = if highest > 0.0 { 1.0 / highest } else { 0.0 };
        for value in &mut values {
            *value = value.max(0.0) * scale;
        }
        Some(Self {
            width,
            height,
            values,
        })
    }

    /// The mean of two maps of the same size.
    pub fn mean(&self, other: &Self) -> Self {
        let pairs = self.values.iter().zip(&other.values);
        Self {
            values: pairs.map(|(one, other)| (one + other) / 2.0).collect(),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(shape: [usize; 3], activations: &[f32], weights: &[f32]) -> WeightedLayer {
        WeightedLayer {
            shape,
            activations: activations.to_vec(),
            weights: weights.to_vec(),
        }
    }

    #[test]
    fn the_place_that_speaks_most_for_the_class_is_one() {
        let map = ActivationMap::of(&[layer(
            [1, 3, 2],
            &[1.0, 0.0, 0.0, 1.0, 2.0, 1.0],
            &[1.0, -1.0],
        )]);
        let map = map.unwrap();
        assert_eq!((map.width, map.height), (3, 1));
        assert_eq!(map.values, [1.0, 0.0, 1.0]);
    }

    #[test]
    fn layers_count_by_their_part_in_the_logit_not_by_their_places() {
        let coarse = layer([1, 2, 1], &[2.0, 0.0], &[1.0]);
        let fine = layer([1, 4, 1], &[0.0, 4.0, 0.0, 4.0], &[1.0]);
        let map = ActivationMap::of(&[coarse, fine]).unwrap();
        // 2, 2, 0, 0 of the coarse one and 0, 4, 0, 4 of the fine one; the means are their parts in the logit, 1 and 2.
        assert_eq!(map.values, [2.0, 6.0, 0.0, 4.0].map(|sum| sum / 6.0));
    }

    #[test]
    fn a_layer_of_one_place_says_nothing() {
        assert_eq!(ActivationMap::of(&[layer([1, 1, 1], &[1.0], &[1.0])]), None);
        let against = ActivationMap::of(&[layer([1, 2, 1], &[1.0, 2.0], &[-1.0])]);
        assert_eq!(against.unwrap().values, [0.0, 0.0]);
    }
}
