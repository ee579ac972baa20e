//! Boxes in fractions of their picture, where a format has pixels.

/// Statistics of the numbers of some boxes.
#[derive(Clone, Copy)]
pub(super) struct Fractions {
    /// True if every number of every box is in 0 to 1, up to a hundredth for boxes that reach over the edge.
    pub within: bool,
    /// True if any number is not whole.
    pub broken: bool,
    /// Number of boxes, without those that are not finite.
    pub count: usize,
}

impl Fractions {
    pub fn of(boxes: impl IntoIterator<Item = [f64; 4]>) -> Self {
        let mut found = Self {
            within: true,
            broken: false,
            count: 0,
        };
        let finite = |numbers: &[f64; 4]| numbers.iter().all(|value| value.is_finite());
        for numbers in boxes.into_iter().filter(finite) {
            found.within &= numbers.iter().all(|value| (-0.01..=1.01).contains(value));
            found.broken |= numbers.iter().any(|value| value.fract() != 0.0);
            found.count += 1;
        }
        found
    }

    /// Returns whether the boxes of one file are likely fractions, in a data set with those of `whole`: a box
    /// of 0 to 1 is the whole picture or one pixel of it.
    pub fn are_likely_in(self, whole: Self) -> bool {
        self.within && (self.broken || whole.within && whole.broken)
    }
}
