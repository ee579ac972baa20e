//! Boxes as a detector computes with them, the points that predict them, and their IoU.

use warmstart_models::detector::STRIDES;

/// `[left, top, right, bottom]` in pixels of the network's input.
pub type Corners = [f32; 4];

/// Largest logarithm of a distance in strides: far beyond any image, and its exponential is still finite.
pub const LARGEST_LOGARITHM: f32 = 8.0;

/// A point that predicts a box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Pixels from the left.
    pub x: f32,
    /// Pixels from the top.
    pub y: f32,
    /// Pixels to the next point of its feature map.
    pub stride: f32,
}

/// The points of a square image whose edge is `image_size`, a multiple of 32, in the order of the predictions: the
/// centres of the cells of each feature map.
pub fn points(image_size: usize) -> Vec<Point> {
    let mut points = Vec::new();
    for stride in STRIDES {
        let cells = image_size / stride;
        let center = |cell: usize| (cell as f32 + 0.5) * stride as f32;
        for row in 0..cells {
            points.extend((0..cells).map(|column| Point {
                x: center(column),
                y: center(row),
                stride: stride as f32,
            }));
        }
    }
    points
}

impl Point {
    /// The box of a prediction: Tian, Shen, Chen and He, "FCOS" (arXiv 1904.01355), equation 1, with
    /// exponentials as in section 3.2.
    pub fn decode(&self, prediction: [f32; 4]) -> Corners {
        let [left, top, right, bottom] = self.distances(prediction);
        [self.x - left, self.y - top, self.x + right, self.y + bottom]
    }

    fn distances(&self, prediction: [f32; 4]) -> [f32; 4] {
        prediction.map(|logarithm| logarithm.min(LARGEST_LOGARITHM).exp() * self.stride)
    }

    /// The gradient of a prediction, from the gradient of its box.
    pub fn decode_gradient(&self, prediction: [f32; 4], [x1, y1, x2, y2]: Corners) -> [f32; 4] {
        let distances = self.distances(prediction);
        let outward = [-x1, -y1, x2, y2];
        std::array::from_fn(|side| {
            if prediction[side] < LARGEST_LOGARITHM {
                outward[side] * distances[side]
            } else {
                0.0
            }
        })
    }

    /// Whether the point is inside a box, its border excluded.
    pub fn is_in(&self, [x1, y1, x2, y2]: Corners) -> bool {
        x1 < self.x && self.x < x2 && y1 < self.y && self.y < y2
    }
}

fn area([x1, y1, x2, y2]: Corners) -> f32 {
    (x2 - x1).max(0.0) * (y2 - y1).max(0.0)
}

/// Intersection over union, 0..1; 0 for boxes without area.
pub fn iou(a: Corners, b: Corners) -> f32 {
    let shared = area([
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ]);
    let union = area(a) + area(b) - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_the_centres_of_cells_and_stride_8_comes_first() {
        let points = points(64);
        assert_eq!(points.len(), 64 + 16 + 4);
        let at = |index: usize| (points[index].x, points[index].y, points[index].stride);
        assert_eq!(at(0), (4.0, 4.0, 8.0));
        assert_eq!(at(9), (12.0, 12.0, 8.0));
        assert_eq!(at(64 + 5), (24.0, 24.0, 16.0));
        assert_eq!(at(83), (48.0, 48.0, 32.0));
    }

    #[test]
    fn a_prediction_is_distances_in_strides() {
        let point = Point {
            x: 20.0,
            y: 12.0,
            stride: 8.0,
        };
        let twice = 2f32.ln();
        assert_eq!(point.decode([0.0; 4]), [12.0, 4.0, 28.0, 20.0]);
        let [x1, _, _, y2] = point.decode([twice, 0.0, 0.0, twice]);
        assert!((x1 - 4.0).abs() < 1e-5 && (y2 - 28.0).abs() < 1e-5);
        assert!(
            point
                .decode([1e30; 4])
                .iter()
                .all(|value| value.is_finite())
        );
    }

    #[test]
    fn boxes_that_share_a_third_of_their_union_say_so() {
        assert_eq!(iou([0., 0., 2., 1.], [1., 0., 3., 1.]), 1.0 / 3.0);
        assert_eq!(iou([0., 0., 1., 1.], [2., 2., 3., 3.]), 0.0);
        assert_eq!(iou([1., 1., 1., 1.], [1., 1., 1., 1.]), 0.0);
    }
}
