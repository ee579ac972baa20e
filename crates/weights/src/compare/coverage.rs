//! How much of a model a file covers.

use serde::Serialize;

/// From this share of its backbone on, a file is taken to be a model's.
pub(crate) const SURE: f64 = 0.95;

/// How much of a part was found. Parameters are the values that training learns: running
/// statistics are tensors, but no parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Tensors the model has.
    pub expected_tensors: usize,
    /// Those that came from the file.
    pub loaded_tensors: usize,
    /// Parameters the model has.
    pub expected_parameters: usize,
    /// Those that came from the file.
    pub loaded_parameters: usize,
}

impl Coverage {
    /// The smaller one of the fractions of tensors and of parameters, from 0 to 1: neither a
    /// hundred scales without their convolutions nor the other way around is a loaded model.
    /// 1 if nothing was expected.
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
