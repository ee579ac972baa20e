//! What the nodes of layers are made from: values between layers, and the parameters of a network.

use warmstart_nn::Parameters;
use warmstart_nn::layers::Shape;

/// A value between layers.
#[derive(Clone, Debug)]
pub struct Map {
    /// Its name in the graph.
    pub name: String,
    /// `[height, width, channels]`
    pub shape: Shape,
}

/// The parameters of a network, and the prefix of its names: several networks may be in one graph.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// Start of all names.
    pub prefix: &'a str,
    /// Every parameter of its layers, by native names.
    pub parameters: &'a Parameters,
}

impl Scope<'_> {
    /// A name in this scope.
    pub fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The values of a parameter.
    pub fn values(&self, name: &str) -> Vec<f32> {
        self.parameters.values(name)
    }
}
