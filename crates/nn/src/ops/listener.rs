//! Who hears the gradients of parameters.

use std::fmt;
use std::sync::Arc;

/// Someone who hears the name of each parameter and its gradient, in row-major values, as soon as it is complete, while
/// the backward pass waits.
#[derive(Clone)]
pub struct Listener {
    hear: Arc<Hear>,
}

/// Hears the name of a parameter and its gradient.
type Hear = dyn Fn(&str, Vec<f32>) + Send + Sync;

impl Listener {
    /// A listener that does this with each gradient.
    pub fn new(hear: impl Fn(&str, Vec<f32>) + Send + Sync + 'static) -> Self {
        Self {
            hear: Arc::new(hear),
        }
    }

    pub(super) fn tell(&self, parameter: &str, gradient: Vec<f32>) {
        (self.hear)(parameter, gradient);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

/// A parameter whose gradient is heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Its name.
    pub parameter: String,
    /// Who hears it.
    pub listener: Listener,
}
