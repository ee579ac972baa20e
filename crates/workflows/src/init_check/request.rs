//! A request to check initializations.

/// A batch to send through a network.
pub struct Request {
    /// Name of an architecture, or `plain`.
    pub model: String,
    /// Images in the batch.
    pub batch: usize,
    /// Edge of the square images in pixels; `None` for the model's own.
    pub image_size: Option<usize>,
    /// Seed of everything random.
    pub seed: u64,
    /// Data set whose images are taken; `None` for noise.
    pub data: Option<std::path::PathBuf>,
}
