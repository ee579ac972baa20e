//! Bytes as a function of the images that go through at a time: lines through two measurements.

use serde::{Deserialize, Serialize};

/// Bytes of a megabyte.
pub(super) const MB: f64 = 1e6;

/// Bytes as a function of the images that go through at a time: a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryLine {
    /// Bytes without any image.
    pub base: f64,
    /// Bytes of each further image.
    pub per_image: f64,
}

/// The memory of a training step, by its parts. The highest of a few images may be that of another part than the
/// highest of many: a step on two images of a network with many parameters needs the most while the optimizer changes
/// them, and says nothing of what more images need. So each part has a line of its own.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct StepMemory {
    /// Highest until the loss is known: parameters, the optimizer's state, and all activations.
    pub forward: MemoryLine,
    /// Highest until all gradients are known, the forward pass included. With few images it may be that of all
    /// gradients, when most activations are gone already.
    pub gradients: MemoryLine,
    /// Highest of the change of the parameters and of the beginning of the phase, which hardly grow with the images.
    pub update: MemoryLine,
}

/// Highest bytes of each part of a training step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StepPeaks {
    /// Until the loss is known.
    pub forward: usize,
    /// Until all gradients are known.
    pub gradients: usize,
    /// Of the change of the parameters, and of the beginning of the phase.
    pub update: usize,
}

impl MemoryLine {
    /// The line through two measurements, each of images and bytes.
    pub(super) fn through([few, many]: [(usize, f64); 2]) -> Self {
        let per_image = ((many.1 - few.1) / (many.0 - few.0) as f64).max(0.0);
        Self {
            base: (few.1 - few.0 as f64 * per_image).max(0.0),
            per_image,
        }
    }

    /// Bytes for `images` images at a time.
    pub fn of(self, images: usize) -> f64 {
        self.base + self.per_image * images as f64
    }
}

impl StepMemory {
    /// The lines through the peaks of steps of two batch sizes. To each the bytes are added that the allocator did not
    /// count up to there, which do not tell to which part they belong.
    pub(super) fn through(batches: [usize; 2], peaks: [StepPeaks; 2], uncounted: [f64; 2]) -> Self {
        let line = |part: fn(&StepPeaks) -> usize| {
            let bytes = |index: usize| part(&peaks[index]) as f64 + uncounted[index];
            MemoryLine::through([0, 1].map(|index| (batches[index], bytes(index))))
        };
        Self {
            forward: line(|peaks| peaks.forward),
            gradients: line(|peaks| peaks.gradients),
            update: line(|peaks| peaks.update),
        }
    }

    /// The memory of a phase that takes no steps, and solves for its head instead.
    pub(super) fn of_solving(solving: MemoryLine) -> Self {
        Self {
            update: solving,
            ..Self::default()
        }
    }

    /// Bytes for `images` images at a time: the highest of all parts.
    pub fn of(&self, images: usize) -> f64 {
        self.line(images).of(images)
    }

    /// Bytes until all gradients are known, for `images` images at a time.
    pub(super) fn until_gradients(&self, images: usize) -> f64 {
        self.forward.of(images).max(self.gradients.of(images))
    }

    /// The line of the part that needs the most for `images` images at a time.
    pub(super) fn line(&self, images: usize) -> MemoryLine {
        let higher = |one: MemoryLine, other: MemoryLine| {
            if other.of(images) > one.of(images) {
                other
            } else {
                one
            }
        };
        higher(higher(self.gradients, self.forward), self.update)
    }
}

impl StepPeaks {
    /// The highest bytes of the step.
    pub(super) fn highest(&self) -> usize {
        self.forward.max(self.gradients).max(self.update)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network with 100 bytes of parameters, twice as many of moments, and activations of 20 bytes per image, of
    /// which 1 is left when all gradients are known. The change of the parameters needs 500 bytes.
    fn peaks(images: usize) -> StepPeaks {
        let forward = 300 + 20 * images;
        StepPeaks {
            forward,
            gradients: forward.max(400 + images),
            update: 500,
        }
    }

    fn measured(uncounted: f64) -> StepMemory {
        StepMemory::through([2, 4], [2, 4].map(peaks), [uncounted; 2])
    }

    #[test]
    fn activations_of_many_images_are_planned_though_few_need_less_than_the_update() {
        assert_eq!([2, 4].map(|images| peaks(images).highest()), [500; 2]);
        let step = measured(0.0);
        for images in [2, 4, 8, 16, 64] {
            assert_eq!(step.of(images), peaks(images).highest() as f64, "{images}");
        }
    }

    #[test]
    fn the_line_is_that_of_the_part_which_needs_the_most() {
        let step = measured(0.0);
        let line = |base, per_image| MemoryLine { base, per_image };
        assert_eq!(step.line(4), line(500.0, 0.0));
        assert_eq!(step.line(16), line(300.0, 20.0));
        assert_eq!(step.until_gradients(4), 404.0);
    }

    #[test]
    fn what_the_allocator_does_not_count_is_a_part_of_every_peak() {
        assert_eq!(measured(30.0).of(4), 530.0);
        assert_eq!(measured(30.0).of(16), 650.0);
    }

    #[test]
    fn solving_for_a_head_has_no_gradients() {
        let solving = MemoryLine {
            base: 100.0,
            per_image: 3.0,
        };
        let step = StepMemory::of_solving(solving);
        assert_eq!(step.line(2), solving);
        assert_eq!(step.until_gradients(2), 0.0);
    }
}
