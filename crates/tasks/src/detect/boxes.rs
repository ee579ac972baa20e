//! Boxes as a detector computes with them, the points that predict them, and their IoU.

use warmstart_models::detector::{Coding, STRIDES};

/// `[left, top, right, bottom]` in pixels of the network's input.
pub type Corners = [f32; 4];

/// Largest logarithm of a distance or a size in strides: far beyond any image, and its exponential is still finite.
pub const LARGEST_LOGARITHM: f32 = 8.0;

/// Added to a size in strides before its logarithm is taken (YOLOX).
const LEAST_SIZE: f32 = 1e-8;

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

/// The points of a square image whose edge is `image_size`, a multiple of 32, in the order of the predictions: a point
/// in each cell of each feature map.
pub fn points(image_size: usize, coding: Coding) -> Vec<Point> {
    let mut points = Vec::new();
    for stride in STRIDES {
        let cells = image_size / stride;
        let place = |cell: usize| (cell as f32 + place_in_cell(coding)) * stride as f32;
        for row in 0..cells {
            points.extend((0..cells).map(|column| Point {
                x: place(column),
                y: place(row),
                stride: stride as f32,
            }));
        }
    }
    points
}

/// The place of a point in its cell from the top left corner, in strides.
fn place_in_cell(coding: Coding) -> f32 {
    match coding {
        Coding::Logarithms => 0.5,
        Coding::Distances | Coding::Centers => 0.0,
    }
}

impl Point {
    /// The box of a prediction.
    ///
    /// A box of [`Coding::Distances`] has a negative width or height where the distances are negative: such a box has
    /// no area, and no IoU with any.
    pub fn decode(&self, coding: Coding, prediction: [f32; 4]) -> Corners {
        match coding {
            // Tian, Shen, Chen and He, "FCOS" (arXiv 1904.01355), equation 1, with exponentials as in section 3.2.
            Coding::Logarithms => self.around(prediction.map(|logarithm| self.extent(logarithm))),
            Coding::Distances => self.around(prediction.map(|distance| distance * self.stride)),
            Coding::Centers => {
                let [across, down, width, height] = prediction;
                let (x, y) = (self.x + across * self.stride, self.y + down * self.stride);
                let [half_width, half_height] = [width, height].map(|size| 0.5 * self.extent(size));
                [
                    x - half_width,
                    y - half_height,
                    x + half_width,
                    y + half_height,
                ]
            }
        }
    }

    fn around(&self, [left, top, right, bottom]: [f32; 4]) -> Corners {
        [self.x - left, self.y - top, self.x + right, self.y + bottom]
    }

    /// A distance or a size in pixels, from the logarithm of that in strides.
    fn extent(&self, logarithm: f32) -> f32 {
        logarithm.min(LARGEST_LOGARITHM).exp() * self.stride
    }

    /// The derivative of [`extent`](Self::extent).
    fn extent_slope(&self, logarithm: f32) -> f32 {
        if logarithm < LARGEST_LOGARITHM {
            self.extent(logarithm)
        } else {
            0.0
        }
    }

    /// The gradient of a prediction, from the gradient of its box.
    pub fn decode_gradient(
        &self,
        coding: Coding,
        prediction: [f32; 4],
        [x1, y1, x2, y2]: Corners,
    ) -> [f32; 4] {
        let outward = [-x1, -y1, x2, y2];
        match coding {
            Coding::Logarithms => {
                std::array::from_fn(|side| outward[side] * self.extent_slope(prediction[side]))
            }
            Coding::Distances => outward.map(|gradient| gradient * self.stride),
            Coding::Centers => [
                (x1 + x2) * self.stride,
                (y1 + y2) * self.stride,
                0.5 * (x2 - x1) * self.extent_slope(prediction[2]),
                0.5 * (y2 - y1) * self.extent_slope(prediction[3]),
            ],
        }
    }

    /// The values that [`Coding::Centers`] has for a box at this point, as YOLOX computes them.
    pub(super) fn centers_of(&self, [x1, y1, x2, y2]: Corners) -> [f32; 4] {
        let size = |from: f32, to: f32| ((to - from) / self.stride + LEAST_SIZE).ln();
        [
            (0.5 * (x1 + x2) - self.x) / self.stride,
            (0.5 * (y1 + y2) - self.y) / self.stride,
            size(x1, x2),
            size(y1, y2),
        ]
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
    use proptest::prelude::*;

    use super::*;

    const CODINGS: [Coding; 3] = [Coding::Logarithms, Coding::Distances, Coding::Centers];

    const POINT: Point = Point {
        x: 20.0,
        y: 12.0,
        stride: 8.0,
    };

    fn close(found: Corners, expected: Corners) -> bool {
        let mut pairs = found.iter().zip(expected);
        pairs.all(|(found, expected)| (found - expected).abs() < 1e-4)
    }

    #[test]
    fn points_are_the_centres_of_cells_and_stride_8_comes_first() {
        let points = points(64, Coding::Logarithms);
        assert_eq!(points.len(), 64 + 16 + 4);
        let at = |index: usize| (points[index].x, points[index].y, points[index].stride);
        assert_eq!(at(0), (4.0, 4.0, 8.0));
        assert_eq!(at(9), (12.0, 12.0, 8.0));
        assert_eq!(at(64 + 5), (24.0, 24.0, 16.0));
        assert_eq!(at(83), (48.0, 48.0, 32.0));
    }

    #[test]
    fn points_of_published_detectors_are_the_corners_of_cells() {
        for coding in [Coding::Distances, Coding::Centers] {
            let points = points(64, coding);
            assert_eq!(points.len(), 64 + 16 + 4);
            let at = |index: usize| (points[index].x, points[index].y, points[index].stride);
            assert_eq!(at(0), (0.0, 0.0, 8.0));
            assert_eq!(at(9), (8.0, 8.0, 8.0));
            assert_eq!(at(83), (32.0, 32.0, 32.0));
        }
    }

    #[test]
    fn logarithms_are_distances_in_strides() {
        let decode = |prediction| POINT.decode(Coding::Logarithms, prediction);
        let twice = 2f32.ln();
        assert_eq!(decode([0.0; 4]), [12.0, 4.0, 28.0, 20.0]);
        assert!(close(
            decode([twice, 0.0, 0.0, twice]),
            [4.0, 4.0, 28.0, 28.0]
        ));
        assert!(decode([1e30; 4]).iter().all(|value| value.is_finite()));
    }

    #[test]
    fn distances_are_in_strides_and_may_be_negative() {
        let decode = |prediction| POINT.decode(Coding::Distances, prediction);
        assert_eq!(decode([1.0, 0.5, 2.0, 0.0]), [12.0, 8.0, 36.0, 12.0]);
        assert_eq!(decode([-1.0, 1.0, 0.5, 1.0]), [28.0, 4.0, 24.0, 20.0]);
    }

    #[test]
    fn centres_are_offsets_in_strides_and_sizes_are_logarithms() {
        let decode = |prediction| POINT.decode(Coding::Centers, prediction);
        assert_eq!(decode([0.0; 4]), [16.0, 8.0, 24.0, 16.0]);
        let [twice, half] = [2f32.ln(), 0.5f32.ln()];
        assert!(close(
            decode([0.5, -1.0, twice, half]),
            [16.0, 2.0, 32.0, 6.0]
        ));
        assert!(decode([0.0, 0.0, 1e30, 1e30]).iter().all(|v| v.is_finite()));
    }

    #[test]
    fn the_values_of_a_box_decode_to_it() {
        let corners = [3.0, 1.0, 33.0, 12.5];
        let values = POINT.centers_of(corners);
        assert!(close(POINT.decode(Coding::Centers, values), corners));
    }

    #[test]
    fn boxes_that_share_a_third_of_their_union_say_so() {
        assert_eq!(iou([0., 0., 2., 1.], [1., 0., 3., 1.]), 1.0 / 3.0);
        assert_eq!(iou([0., 0., 1., 1.], [2., 2., 3., 3.]), 0.0);
        assert_eq!(iou([1., 1., 1., 1.], [1., 1., 1., 1.]), 0.0);
    }

    #[test]
    fn a_box_without_area_has_no_iou_with_any() {
        let truth = [0.0, 0.0, 10.0, 10.0];
        let inverted = [[8., 2., 4., 6.], [2., 8., 6., 4.], [8., 8., 2., 2.]];
        let endless = [f32::NEG_INFINITY, 3.0, f32::INFINITY, 3.0];
        for corners in inverted.into_iter().chain([endless]) {
            assert_eq!(iou(corners, truth), 0.0);
            assert_eq!(iou(truth, corners), 0.0);
            assert_eq!(iou(corners, corners), 0.0);
        }
    }

    /// What [`Point::decode`] computes, in double precision.
    fn plainly(coding: Coding, [a, b, c, d]: [f64; 4]) -> [f64; 4] {
        let (x, y, s) = (20.0, 12.0, 8.0);
        match coding {
            Coding::Logarithms => [
                x - a.exp() * s,
                y - b.exp() * s,
                x + c.exp() * s,
                y + d.exp() * s,
            ],
            Coding::Distances => [x - a * s, y - b * s, x + c * s, y + d * s],
            Coding::Centers => {
                let [x, y, w, h] = [x + a * s, y + b * s, c.exp() * s, d.exp() * s];
                [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0]
            }
        }
    }

    proptest! {
        #[test]
        fn decoding_is_its_formula_and_its_gradient_its_differences(
            prediction in prop::array::uniform4(-2.0f32..2.0),
            slopes in prop::array::uniform4(-1.0f32..1.0),
        ) {
            for coding in CODINGS {
                let (values, step) = (prediction.map(f64::from), 1e-5);
                let expected = plainly(coding, values).map(|value| value as f32);
                prop_assert!(close(POINT.decode(coding, prediction), expected));
                let gradient = POINT.decode_gradient(coding, prediction, slopes);
                for (index, gradient) in gradient.into_iter().enumerate() {
                    let moved = |by: f64| {
                        let mut moved = values;
                        moved[index] += by;
                        let corners = plainly(coding, moved).into_iter();
                        let along = corners.zip(slopes).map(|(v, slope)| v * f64::from(slope));
                        along.sum::<f64>()
                    };
                    let slope = (moved(step) - moved(-step)) / (2.0 * step);
                    prop_assert!((f64::from(gradient) - slope).abs() < 1e-3, "{coding:?} {index}");
                }
            }
        }
    }

    #[test]
    fn a_bounded_logarithm_has_no_gradient() {
        let ones = [1.0; 4];
        let gradient = POINT.decode_gradient(Coding::Logarithms, [9.0; 4], ones);
        assert_eq!(gradient, [0.0; 4]);
        let gradient = POINT.decode_gradient(Coding::Centers, [9.0; 4], [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(gradient, [8.0, 8.0, 0.0, 0.0]);
    }
}
