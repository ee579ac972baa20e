use std::collections::BTreeMap;

use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

/// Every weight and running statistic of a model, by its native name, on one device.
///
/// Names are torchvision's (`features.0.0.weight`). The tensors are handles: a clone shares their
/// memory, and replacing one leaves the clone as it was.
#[derive(Clone, Default)]
pub struct Parameters {
    tensors: BTreeMap<String, DispatchTensor>,
}

impl Parameters {
    /// No parameters yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor from its row-major values, or replaces the one of that name.
    pub fn insert_values(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
        device: &Device,
    ) {
        let data = TensorData::new(values, shape.to_vec());
        let tensor = match shape.len() {
            1 => Tensor::<1>::from_data(data, device).into_dispatch(),
            2 => Tensor::<2>::from_data(data, device).into_dispatch(),
            4 => Tensor::<4>::from_data(data, device).into_dispatch(),
            rank => panic!("{name}: parameters have 1, 2 or 4 dimensions, not {rank}"),
        };
        self.tensors.insert(name.to_owned(), tensor);
    }

    /// Adds a tensor, or replaces the one of that name.
    pub fn insert<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) {
        self.tensors.insert(name.to_owned(), tensor.into_dispatch());
    }

    /// The tensor of that name.
    ///
    /// # Panics
    /// If there is none: a model asks only for the parameters that it listed itself.
    pub fn get<const D: usize>(&self, name: &str) -> Tensor<D> {
        Tensor::from_dispatch(self.dispatch(name).clone())
    }

    fn dispatch(&self, name: &str) -> &DispatchTensor {
        self.tensors
            .get(name)
            .unwrap_or_else(|| panic!("the model has no parameter {name}"))
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensor of that name as a vector `[values]`. Panics as [`get`](Self::get) does.
    pub fn flat(&self, name: &str) -> Tensor<1> {
        let tensor = self.dispatch(name).clone();
        match tensor.shape().num_dims() {
            1 => Tensor::<1>::from_dispatch(tensor),
            2 => Tensor::<2>::from_dispatch(tensor).flatten(0, 1),
            _ => Tensor::<4>::from_dispatch(tensor).flatten(0, 3),
        }
    }

    /// Replaces the values of the tensor of that name, which keeps its shape. Panics as
    /// [`get`](Self::get) does.
    pub fn insert_flat(&mut self, name: &str, values: Tensor<1>) {
        match *self.shape(name) {
            [_] => self.insert(name, values),
            [rows, columns] => self.insert(name, values.reshape([rows, columns])),
            [a, b, c, d] => self.insert(name, values.reshape([a, b, c, d])),
            _ => unreachable!("parameters have 1, 2 or 4 dimensions"),
        }
    }

    /// Sum of the squares of the values of that name, in an order that depends on nothing but their
    /// number. Panics as [`get`](Self::get) does.
    pub fn sum_of_squares(&self, name: &str) -> f64 {
        let square = |value: f32| f64::from(value).powi(2);
        self.values(name).into_iter().map(square).sum()
    }

    /// The gradients that a backward pass left for these tracked parameters, by the same names.
    pub fn take_gradients(&self, gradients: &mut Gradients) -> Self {
        let mut taken = Self::new();
        for (name, tensor) in &self.tensors {
            let tensor = tensor.clone();
            let gradient = match tensor.shape().num_dims() {
                1 => gradient::<1>(tensor, gradients),
                2 => gradient::<2>(tensor, gradients),
                _ => gradient::<4>(tensor, gradients),
            };
            if let Some(gradient) = gradient {
                taken.tensors.insert(name.clone(), gradient);
            }
        }
        taken
    }

    /// The shape of the tensor of that name. Panics as [`get`](Self::get) does.
    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.dispatch(name).shape().to_vec()
    }

    /// The row-major values of the tensor of that name. Panics as [`get`](Self::get) does.
    pub fn values(&self, name: &str) -> Vec<f32> {
        let tensor = self.dispatch(name).clone();
        let data = match tensor.shape().num_dims() {
            1 => Tensor::<1>::from_dispatch(tensor).into_data(),
            2 => Tensor::<2>::from_dispatch(tensor).into_data(),
            _ => Tensor::<4>::from_dispatch(tensor).into_data(),
        };
        data.try_into_vec().expect("parameters are f32")
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The same parameters as leaves of a new gradient graph, of which those that `trainable`
    /// says yes to get a gradient.
    pub fn tracked(&self, trainable: impl Fn(&str) -> bool) -> Self {
        let tensors = self.tensors.iter().map(|(name, tensor)| {
            let tensor = tensor.clone();
            let tracked = match tensor.shape().num_dims() {
                1 => track::<1>(tensor, trainable(name)),
                2 => track::<2>(tensor, trainable(name)),
                _ => track::<4>(tensor, trainable(name)),
            };
            (name.clone(), tracked)
        });
        Self {
            tensors: tensors.collect(),
        }
    }
}

fn track<const D: usize>(tensor: DispatchTensor, require_grad: bool) -> DispatchTensor {
    let tensor = Tensor::<D>::from_dispatch(tensor).autodiff();
    if require_grad {
        tensor.require_grad().into_dispatch()
    } else {
        tensor.into_dispatch()
    }
}

fn gradient<const D: usize>(
    tensor: DispatchTensor,
    gradients: &mut Gradients,
) -> Option<DispatchTensor> {
    let gradient = Tensor::<D>::from_dispatch(tensor).grad_remove(gradients)?;
    Some(gradient.into_dispatch())
}
