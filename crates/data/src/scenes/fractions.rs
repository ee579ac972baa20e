//! Boxes in fractions of their picture, where a format has pixels.

/// What the numbers of some boxes tell.
#[derive(Clone, Copy)]
pub(super) struct Fractions {
    /// Whether every number of every box is in 0 to 1, up to a hundredth for boxes that reach over the edge.
    pub within: bool,
    /// Whether any number is not whole.
    pub broken: bool,
    /// How many boxes there are, without those that are not finite.
    pub count: usize,
}

impl Fractions {
    pub fn of(boxes: impl IntoIterator<Item = [f64; 4]>) -> Self {
        let mut told = Self {
            within: true,
            broken: false,
            count: 0,
        };
        let finite = |numbers: &[f64; 4]| numbers.iter().all(|value| value.is_finite());
        for numbers in boxes.into_iter().filter(finite) {
            told.within &= numbers.iter().all(|value| (-0.01..=1.01).contains(value));
            told.broken |= numbers.iter().any(|value| value.fract() != 0.0);
            told.count += 1;
        }
        told
    }

    /// Whether the boxes of one file are fractions, in a data set with those of `whole`: a box of 0 to 1 is
    /// the whole picture or one pixel of it.
    pub fn are_likely_in(self, whole: Self) -> bool {
        self.within && (self.broken || whole.within && whole.broken)
    }
}
