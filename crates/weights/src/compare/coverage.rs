//! How much of a model a file covers.

use serde::Serialize;

/// Least share of a model's backbone in a file that is recognised as that model.
pub(crate) const RECOGNISED: f64 = 0.95;

/// Numbers of tensors and parameters of a part that a file covers. Parameters are the values that training
/// learns: running statistics are tensors but not parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Tensors the model has.
    pub expected_tensors: usize,
    /// Tensors that came from the file.
    pub loaded_tensors: usize,
    /// Parameters the model has.
    pub expected_parameters: usize,
    /// Parameters that came from the file.
    pub loaded_parameters: usize,
}

impl Coverage {
    /// The smaller of the fractions of tensors and of parameters, 0 to 1: neither a hundred scales without
    /// their convolutions nor the reverse is a loaded model. 1 if nothing was expected.
    pub fn fraction(&self) -> f64 {
        if self.expected_tensors == 0 {
            return 1.0;
        }
        let tensors = self.loaded_tensors as f64 / self.expected_tensors as f64;
        if self.expected_parameters == 0 {
            return tensors;
        }
        tensors.min(self.loaded_parameters as f64 / self.expected_parameters as f64)
    }

    pub(crate) fn expect(&mut self, parameters: usize) {
        self.expected_tensors += 1;
        self.expected_parameters += parameters;
    }

    pub(crate) fn load(&mut self, parameters: usize) {
        self.loaded_tensors += 1;
        self.loaded_parameters += parameters;
    }
}
