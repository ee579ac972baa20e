//! x
pub mod resize;
pub mod rgb_image;
