//! The shapes of the demonstration's pictures, as sets of points.

/// A shape, which lies within the circle of radius 1 around the origin, or nearly so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Circle,
    Square,
    Triangle,
    Star,
    Cross,
    Ring,
    Hexagon,
    Heart,
    Arrow,
    Crescent,
    Corner,
    Bowtie,
}

/// The shapes that the source task tells apart.
pub const SOURCE: [Shape; 6] = [
    Shape::Circle,
    Shape::Square,
    Shape::Triangle,
    Shape::Star,
    Shape::Cross,
    Shape::Ring,
];
/// Those of the related target: none is one of the source.
pub const RELATED: [Shape; 6] = [
    Shape::Hexagon,
    Shape::Heart,
    Shape::Arrow,
    Shape::Crescent,
    Shape::Corner,
    Shape::Bowtie,
];

/// Radius of the inner corners of the star.
const STAR_INSIDE: f64 = 0.42;

impl Shape {
    /// Its name, which is that of a class.
    pub fn name(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Star => "star",
            Self::Cross => "cross",
            Self::Ring => "ring",
            Self::Hexagon => "hexagon",
            Self::Heart => "heart",
            Self::Arrow => "arrow",
            Self::Crescent => "crescent",
            Self::Corner => "corner",
            Self::Bowtie => "bowtie",
        }
    }

    /// Whether a point belongs to it.
    pub fn contains(self, x: f64, y: f64) -> bool {
        let radius = x.hypot(y);
        match self {
            Self::Circle => radius <= 0.9,
            Self::Square => x.abs().max(y.abs()) <= 0.78,
            Self::Triangle => y >= -0.5 && y <= 1.0 - 3f64.sqrt() * x.abs(),
            Self::Star => is_in_star(x, y),
            Self::Cross => x.abs().min(y.abs()) <= 0.28 && x.abs().max(y.abs()) <= 0.95,
            Self::Ring => (0.55..=1.0).contains(&radius),
            Self::Hexagon => (0.866 * x.abs() + 0.5 * y.abs()).max(y.abs()) <= 0.84,
            Self::Heart => {
                let (x, y) = (1.15 * x, 1.15 * y);
                (x * x + y * y - 1.0).powi(3) <= x * x * y.powi(3)
            }
            Self::Arrow => {
                let is_shaft = (-1.0..=0.2).contains(&x) && y.abs() <= 0.24;
                is_shaft || (x >= 0.1 && y.abs() <= 1.0 - x)
            }
            Self::Crescent => radius <= 1.0 && (x - 0.45).hypot(y) > 0.75,
            Self::Corner => x.abs().max(y.abs()) <= 0.8 && (x <= -0.2 || y <= -0.2),
            Self::Bowtie => x.abs() <= 0.95 && y.abs() <= 0.08 + 0.8 * x.abs(),
        }
    }
}

/// Whether a point is in the star with five points, one of them on the x axis.
fn is_in_star(x: f64, y: f64) -> bool {
    let half = std::f64::consts::PI / 5.0;
    // Each half of a point is a triangle: they are mirror images and turns of the first one.
    let angle = y.atan2(x).rem_euclid(2.0 * half);
    let angle = angle.min(2.0 * half - angle);
    let radius = x.hypot(y);
    let (x, y) = (radius * angle.cos(), radius * angle.sin());
    // The line from the tip at (1, 0) to the inner corner.
    let (inner_x, inner_y) = (STAR_INSIDE * half.cos(), STAR_INSIDE * half.sin());
    (inner_x - 1.0) * y - inner_y * (x - 1.0) >= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Share of the square from -1 to 1 that a shape fills.
    fn share(shape: Shape) -> f64 {
        let place = |index: i32| f64::from(index) / 50.0 - 0.99;
        let points = (0..100).flat_map(|x| (0..100).map(move |y| (place(x), place(y))));
        points.filter(|&(x, y)| shape.contains(x, y)).count() as f64 / 1e4
    }

    #[test]
    fn every_shape_fills_a_good_part_of_its_square() {
        for shape in SOURCE.into_iter().chain(RELATED) {
            let share = share(shape);
            assert!((0.2..0.8).contains(&share), "{shape:?}: {share}");
        }
    }

    #[test]
    fn shapes_have_their_holes_and_corners() {
        assert!(!Shape::Ring.contains(0.0, 0.0) && Shape::Ring.contains(0.0, 0.8));
        assert!(Shape::Star.contains(0.9, 0.0) && Shape::Star.contains(0.0, 0.0));
        assert!(!Shape::Star.contains(-0.8, 0.0));
        assert!(Shape::Heart.contains(0.0, -0.8) && !Shape::Heart.contains(0.0, 0.95));
        assert!(Shape::Corner.contains(-0.5, 0.5) && !Shape::Corner.contains(0.5, 0.5));
        assert!(Shape::Arrow.contains(0.95, 0.0) && !Shape::Arrow.contains(-0.9, 0.5));
    }
}
