//! Numbers that look random, and are the same everywhere.

/// Pseudorandom numbers.
pub struct Numbers(pub u64);

impl Numbers {
    /// A number from `low` to `high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        // Vigna's xorshift64*.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        low + number as usize % (high - low + 1)
    }

    /// One of several values.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.between(0, all.len() - 1)]
    }

    /// Images of at most 14 × 14 pixels.
    pub fn images(&mut self, channels: usize) -> [usize; 4] {
        let [height, width] = [(); 2].map(|()| self.between(1, 14));
        [self.between(1, 4), height, width, channels]
    }
}
