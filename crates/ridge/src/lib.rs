//! A classification head in closed form: ridge regression from pooled features of one or several layers to one-hot
//! classes, with calibrated probabilities and an honest estimate of how good they are.
//!
//! A [`Solver`] takes images in one pass and gives a [`Solution`] for any choice of its layers: an ordinary linear
//! layer on the features as they came. Each value is standardised over the images, each layer weighs the same, and the
//! intercept is not penalised. The penalty is the one with which images are predicted best by the regression on all
//! other images (leave-one-out, in closed form); those predictions give the temperature and are in [`LeftOut`].
//!
//! # Forms
//! All rows are kept while there are at most max(values, 4,096) images, rounded up to a multiple of 256. Their
//! regression is a system of images × images, or of values × values if there are fewer values than images. Beyond
//! that, rows are folded into the sums of a system of values × values as they come, and an even sample of 4,096 images
//! is kept to choose the penalty and the temperature by.
//!
//! # Memory
//! In bytes, with r the rows kept, at most max(values, 4,096), s the smaller of images and values, or values if rows
//! are folded, and j the images judged, at most r:
//!
//! 4 · r · values (rows) + 16 · s² (a system and its factor) + 16 · values · (values + classes) (sums, if rows are
//! folded) + classes · (32 · s + 20 · j) (two penalties' heads and scores) + 12 · classes · values (the head).
//!
//! [`memory()`] adds the small parts. On two threads, 300 images of 4,000 values in 8 classes take at most 20 MB,
//! 100,000 images of 4,000 values in 1,000 classes 1 GB, and more images no more than that.
//!
//! # Reproducibility
//! Work is cut into tiles whose sizes do not depend on the number of threads, so a solution is the same to the bit on
//! any number of threads of a computer.

mod cholesky;
mod left_out;
mod memory;
mod moments;
mod penalty;
mod problem;
mod product;
mod rows;
mod solver;
mod standard;
mod temperature;
#[cfg(test)]
mod tests;

pub use left_out::LeftOut;
pub use memory::memory;
pub use solver::{Solution, Solver};
