//! Where in an image a classifier sees a class.

/// The part that each place of an image has in the logit of a class, from 0 to 1, 1 where it is highest.
///
/// The head is linear in the means of its layers, so the gradient of a logit with respect to a layer is the same at
/// every place: Selvaraju and others, "Grad-CAM" (arXiv 1610.02391), section 3, whose appendix A shows that this is the
/// class activation map of Zhou and others (arXiv 1512.04150). The maps of several layers are added on the grid of the
/// finest, since their parts in the logit are.
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
    /// The part of each place in the logit, `[height, width]`.
    fn parts(&self) -> Vec<f32> {
        let [height, width, channels] = self.shape;
        let places = (height * width) as f32;
        let rows = self.activations.chunks_exact(channels.max(1));
        let part = |row: &[f32]| {
            row.iter()
                .zip(&self.weights)
                .map(|(a, w)| a * w)
                .sum::<f32>()
        };
        rows.map(|row| part(row) / places).collect()
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
            let parts = layer.parts();
            for y in 0..height {
                for x in 0..width {
                    let (row, column) = (y * rows / height, x * columns / width);
                    values[y * width + x] += parts[row * columns + column];
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
    fn layers_add_up_on_the_finest_grid_by_their_part_in_the_logit() {
        let coarse = layer([1, 2, 1], &[2.0, 0.0], &[1.0]);
        let fine = layer([1, 4, 1], &[0.0, 4.0, 0.0, 4.0], &[1.0]);
        let map = ActivationMap::of(&[coarse, fine]).unwrap();
        // Parts 1, 0 of the coarse one and 0, 1, 0, 1 of the fine one.
        assert_eq!(map.values, [0.5, 1.0, 0.0, 0.5]);
    }

    #[test]
    fn a_layer_of_one_place_says_nothing() {
        assert_eq!(ActivationMap::of(&[layer([1, 1, 1], &[1.0], &[1.0])]), None);
        let against = ActivationMap::of(&[layer([1, 2, 1], &[1.0, 2.0], &[-1.0])]);
        assert_eq!(against.unwrap().values, [0.0, 0.0]);
    }
}
