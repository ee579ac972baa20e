//! Positions of tokens, and what they are on grids of other sizes.

use burn::tensor::{Tensor, TensorData};

use crate::ops;

/// The positions of class tokens and of the patches of a grid. Where an image has another grid of patches, those of the
/// patches are resized in the forward pass, so that gradients reach the parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Positions {
    /// Name of the parameter, `[1, prefix + height · width, channels]`.
    pub name: String,
    /// `[height, width]` of the grid that the parameter has positions for.
    pub grid: [usize; 2],
    /// Positions before those of the grid: one for each class token, or 0 where class tokens have none.
    pub prefix: usize,
    /// How they become those of another grid.
    pub resize: PositionResize,
}

/// How the positions of one grid become those of another, by cubic convolution: Keys, "Cubic Convolution Interpolation
/// for Digital Image Processing" (IEEE TASSP 29, 1981), section II.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionResize {
    /// With a = −0.5, and with a wider kernel where the grid shrinks: timm's `resample_abs_pos_embed` and the code of
    /// DINOv2 with registers, which is PyTorch's `interpolate(size=…, mode="bicubic", antialias=True)`.
    Antialiased,
    /// With a = −0.75, the same kernel for all sizes, and steps of `grid / (size + 0.1)`: the code of DINOv2 without
    /// registers, which is PyTorch's `interpolate(scale_factor=(size + 0.1) / grid, mode="bicubic")`.
    Scaled,
}

/// DINOv2's `interpolate_offset`, by which it keeps its scale factors above rounding.
const OFFSET: f64 = 0.1;

impl Positions {
    /// Number of all positions.
    pub(super) fn entries(&self) -> usize {
        let [height, width] = self.grid;
        self.prefix + height * width
    }

    /// The positions of the class tokens, `[1, prefix, channels]`, if they have any, and those of the patches of a grid
    /// of that `[height, width]`, `[1, height · width, channels]`. `all` is the parameter.
    pub(super) fn resized(
        &self,
        all: Tensor<3>,
        size: [usize; 2],
    ) -> (Option<Tensor<3>>, Tensor<3>) {
        let [height, width] = self.grid;
        let [_, _, channels] = all.dims();
        let of_class = (self.prefix > 0).then(|| all.clone().narrow(1, 0, self.prefix));
        let patches = all.narrow(1, self.prefix, height * width);
        if size == self.grid {
            return (of_class, patches);
        }
        let [to_height, to_width] = size;
        let x = patches.reshape([height, width, channels]);
        let x = x.permute([1, 2, 0]).reshape([width * channels, height]);
        let x = self.resize.along(x, to_height);
        let x = x.reshape([width, channels, to_height]);
        let x = x.permute([2, 1, 0]).reshape([to_height * channels, width]);
        let x = self.resize.along(x, to_width);
        let x = x.reshape([to_height, channels, to_width]);
        let x = x.permute([0, 2, 1]);
        (of_class, x.reshape([1, to_height * to_width, channels]))
    }
}

/// Positions `[height · width, channels]` of a grid `from` as those of a grid `to`, each `[height, width]`, without
/// gradients: the way of [`PositionResize::Antialiased`], in 64 bits.
///
/// # Panics
/// If there are no values, or the first grid has no positions.
pub fn resized_positions(values: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    let [height, width] = from;
    let channels = values.len() / (height * width);
    let weights = |grid, size| PositionResize::Antialiased.weights(grid, size);
    let values = combined(values, &weights(height, to[0]), width * channels);
    let values = combined(&values, &weights(width, to[1]), channels);
    values.into_iter().map(|value| value as f32).collect()
}

/// Values `[outer, grid, inner]` as `[outer, size, inner]`: sums over the grid by weights `[size][grid]`.
fn combined<T: Copy + Into<f64>>(values: &[T], weights: &[Vec<f64>], inner: usize) -> Vec<f64> {
    let grid = weights.first().map_or(1, Vec::len);
    let mut sums: Vec<f64> = Vec::with_capacity(values.len() / grid * weights.len());
    for values in values.chunks_exact(grid * inner) {
        for weights in weights {
            let start = sums.len();
            sums.resize(start + inner, 0.0);
            let weighted = values.chunks_exact(inner).zip(weights);
            // Of a large grid, nearly all weights are zero.
            for (values, weight) in weighted.filter(|(_, weight)| **weight != 0.0) {
                for (sum, value) in sums[start..].iter_mut().zip(values) {
                    let value: f64 = (*value).into();
                    *sum += weight * value;
                }
            }
        }
    }
    sums
}

impl PositionResize {
    /// Rows `[rows, grid]` resized to `[rows, size]`.
    fn along(self, rows: Tensor<2>, size: usize) -> Tensor<2> {
        let device = rows.device();
        let [_, grid] = rows.dims();
        let weights = self.weights(grid, size).concat();
        let weights = weights.into_iter().map(|weight| weight as f32).collect();
        let weights = Tensor::from_data(TensorData::new(weights, [size, grid]), &device);
        let zeros = Tensor::from_data(TensorData::new(vec![0f32; size], [size]), &device);
        ops::linear(rows, weights, zeros)
    }

    /// The weights of the `grid` positions in each of `size` new ones.
    fn weights(self, grid: usize, size: usize) -> Vec<Vec<f64>> {
        let new = 0..size;
        match self {
            Self::Antialiased => {
                let step = grid as f64 / size as f64;
                let stretch = step.max(1.0);
                let weights = |index: usize| {
                    // Each position is in the middle of its cell.
                    let center = step * (index as f64 + 0.5);
                    let distance = |place: usize| (place as f64 + 0.5 - center) / stretch;
                    let weights = (0..grid).map(|place| cubic(distance(place), -0.5));
                    let weights: Vec<f64> = weights.collect();
                    // Those beyond the grid are missing, and the sum is 1 without them.
                    let sum: f64 = weights.iter().sum();
                    weights.into_iter().map(|weight| weight / sum).collect()
                };
                new.map(weights).collect()
            }
            Self::Scaled => {
                let step = grid as f64 / (size as f64 + OFFSET);
                let weights = |index: usize| {
                    let center = step * (index as f64 + 0.5) - 0.5;
                    let first = center.floor() - 1.0;
                    let mut weights = vec![0.0; grid];
                    for neighbor in 0..4 {
                        let place = first + f64::from(neighbor);
                        // The grid goes on beyond its border with the position at the border.
                        let inside = place.clamp(0.0, (grid - 1) as f64) as usize;
                        weights[inside] += cubic(place - center, -0.75);
                    }
                    weights
                };
                new.map(weights).collect()
            }
        }
    }
}

/// Keys's kernel (equation 4 with his a free): 1 at a distance of 0, and 0 at all other whole distances.
fn cubic(distance: f64, a: f64) -> f64 {
    let x = distance.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANTIALIASED: PositionResize = PositionResize::Antialiased;
    const SCALED: PositionResize = PositionResize::Scaled;

    /// Positions of two class tokens and of a grid of four rows and three columns, with one channel.
    fn positions(resize: PositionResize) -> (Positions, Tensor<3>) {
        let positions = Positions {
            name: "pos_embed".into(),
            grid: [4, 3],
            prefix: 2,
            resize,
        };
        let grid = (0..12).map(|place| (place * 37 % 23) as f32 / 8.0 - 1.0);
        let values = [50.0, 60.0].into_iter().chain(grid).collect();
        let all = Tensor::from_data(TensorData::new(values, [1, 14, 1]), &crate::device());
        (positions, all)
    }

    fn resized(resize: PositionResize, size: [usize; 2]) -> Vec<f32> {
        let (positions, all) = positions(resize);
        let (class, patches) = positions.resized(all, size);
        let class: Vec<f32> = class.unwrap().into_data().try_into_vec().unwrap();
        assert_eq!(class, [50.0, 60.0]);
        assert_eq!(patches.dims(), [1, size[0] * size[1], 1]);
        patches.into_data().try_into_vec().unwrap()
    }

    /// What PyTorch 2 makes of the grid of [`positions`]:
    ///
    /// ```python
    /// grid = torch.tensor([[(r * 3 + c) * 37 % 23 / 8 - 1 for c in range(3)] for r in range(4)])[None, None]
    /// F.interpolate(grid, size=size, mode="bicubic", antialias=True)            # Antialiased
    /// F.interpolate(grid, scale_factor=((size[0] + 0.1) / 4, (size[1] + 0.1) / 3), mode="bicubic")  # Scaled
    /// ```
    #[test]
    fn positions_of_other_grids_are_pytorch_s() {
        #[rustfmt::skip]
        let cases: [(PositionResize, [usize; 2], &[f32]); 8] = [
            (ANTIALIASED, [6, 5], &[
                -1.3026, -0.425729, 0.782895, 0.139311, -0.427011,
                0.117092, 0.344271, 0.544118, -0.278315, -0.847669,
                1.555507, 1.039976, 0.166667, -0.396883, -0.671056,
                1.079025, 0.522485, -0.166667, 0.692981, 1.343226,
                0.665788, 0.100362, -0.544118, 0.651504, 1.519839,
                0.427011, -0.130843, -0.782895, 0.302926, 1.099181,
            ]),
            (ANTIALIASED, [2, 2], &[0.366302, -0.112495, 0.283546, 0.477133]),
            (ANTIALIASED, [3, 5], &[
                -0.46289, 0.03789, 0.655034, -0.135618, -0.731758,
                1.318747, 0.782124, -0.0, 0.147987, 0.336085,
                0.554871, -0.010347, -0.655034, 0.537572, 1.403928,
            ]),
            (ANTIALIASED, [4, 2], &[
                -0.342496, 0.088884, 1.026485, -0.526485,
                0.411115, 0.842496, -0.088884, 0.342496,
            ]),
            (SCALED, [6, 5], &[
                -1.405317, -0.395416, 0.772129, 0.320914, -0.42103,
                0.153401, 0.417495, 0.575004, -0.199921, -0.942071,
                1.637481, 1.063006, 0.205629, -0.396479, -0.690973,
                1.190045, 0.549147, -0.121897, 0.475108, 1.205162,
                0.711194, 0.048759, -0.540279, 0.541466, 1.68377,
                0.452651, -0.189929, -0.792731, 0.116961, 1.108523,
            ]),
            (SCALED, [2, 2], &[0.228119, -0.303508, 0.379304, 0.818603]),
            (SCALED, [3, 5], &[
                -0.836707, -0.107601, 0.687686, 0.150238, -0.562045,
                1.587258, 0.916735, 0.054484, -0.032861, 0.136907,
                0.589947, -0.060602, -0.65788, 0.320863, 1.372923,
            ]),
            (SCALED, [4, 2], &[
                -0.652965, 0.121998, 1.154192, -0.577152,
                0.666554, 0.785359, 0.145336, 0.376078,
            ]),
        ];
        for (resize, size, expected) in cases {
            let found = resized(resize, size);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                let apart = (found - expected).abs();
                assert!(
                    apart < 1e-5,
                    "{resize:?} {size:?}: {found} is not {expected}"
                );
            }
        }
    }

    #[test]
    fn positions_that_are_resized_beforehand_are_those_of_the_pass() {
        let (_, all) = positions(ANTIALIASED);
        let own: Vec<f32> = all.into_data().try_into_vec().unwrap();
        for size in [[6, 5], [2, 2], [3, 5], [4, 2], [4, 3]] {
            let in_pass = resized(ANTIALIASED, size);
            // A second channel, so that it may not be taken for a column.
            let twice: Vec<f32> = own[2..].iter().flat_map(|value| [*value, -value]).collect();
            let found = resized_positions(&twice, [4, 3], size);
            assert_eq!(found.len(), 2 * in_pass.len());
            for (found, expected) in found.chunks(2).zip(in_pass) {
                for (found, expected) in found.iter().zip([expected, -expected]) {
                    let apart = (found - expected).abs();
                    assert!(apart < 1e-5, "{size:?}: {found} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn positions_of_their_own_grid_stay_as_they_are() {
        for resize in [ANTIALIASED, SCALED] {
            let (_, all) = positions(resize);
            let own: Vec<f32> = all.into_data().try_into_vec().unwrap();
            assert_eq!(resized(resize, [4, 3]), own[2..]);
        }
    }

    #[test]
    fn a_grid_that_is_flat_stays_flat() {
        for resize in [ANTIALIASED, SCALED] {
            for (grid, size) in [(37, 16), (14, 20), (14, 1), (1, 3), (16, 37)] {
                for weights in resize.weights(grid, size) {
                    assert_eq!(weights.len(), grid);
                    let sum: f64 = weights.iter().sum();
                    assert!((sum - 1.0).abs() < 1e-12, "{resize:?} {grid} {size}: {sum}");
                }
            }
        }
    }

    #[test]
    fn gradients_reach_the_positions_that_new_ones_are_made_of() {
        for resize in [ANTIALIASED, SCALED] {
            let (positions, all) = positions(resize);
            let all = all.autodiff().require_grad();
            let size = [2, 5];
            let (_, patches) = positions.resized(all.clone(), size);
            // The first new position alone counts.
            let first = patches.narrow(1, 0, 1).sum();
            let gradient = all.grad(&first.backward()).unwrap();
            let gradient: Vec<f32> = gradient.into_data().try_into_vec().unwrap();
            let [rows, columns] = [resize.weights(4, 2), resize.weights(3, 5)];
            let expected = rows[0]
                .iter()
                .flat_map(|row| columns[0].iter().map(move |column| row * column));
            assert_eq!(gradient[..2], [0.0, 0.0]);
            for (found, expected) in gradient[2..].iter().zip(expected) {
                let apart = (f64::from(*found) - expected).abs();
                assert!(apart < 1e-6, "{resize:?}: {found} is not {expected}");
            }
        }
    }
}
