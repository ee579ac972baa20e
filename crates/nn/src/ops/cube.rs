//! [`VisionOps`] on graphics cards: the bodies of [`stock`](super::stock), which CubeCL compiles for the card.

use burn_cubecl::CubeBackend;

use super::VisionOps;

impl VisionOps for CubeBackend {}
