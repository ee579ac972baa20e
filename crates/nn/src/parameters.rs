use std::collections::BTreeMap;

use burn::backend::{Dispatch, DispatchTensor, TensorMetadata};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

use crate::ops::{Adam, Heard, Listener, Rates, Sgd, Tensors, VisionOps};

/// An expression in which `$d` is a parameter's number of dimensions, from 1 to 4.
macro_rules! of_rank {
    ($rank:expr, $d:ident => $body:expr) => {
        match $rank {
            1 => {
                const $d: usize = 1;
                $body
            }
            2 => {
                const $d: usize = 2;
                $body
            }
            3 => {
                const $d: usize = 3;
                $body
            }
            4 => {
                const $d: usize = 4;
                $body
            }
            rank => panic!("parameters have 1 to 4 dimensions, not {rank}"),
        }
    };
}

/// Every weight and running statistic of a model, by its native name, on one device.
///
/// Names are torchvision's (`features.0.0.weight`). The tensors are handles: a clone shares their
/// memory, and replacing one leaves the clone as it was.
#[derive(Clone, Default)]
pub struct Parameters {
    tensors: BTreeMap<String, DispatchTensor>,
}

impl Parameters {
    /// An empty set.
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
        let tensor =
            of_rank!(shape.len(), D => Tensor::<D>::from_data(data, device).into_dispatch());
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

    /// The tensors for whose names `rename` has a new one, under that.
    pub fn renamed(&self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let tensors = self.tensors.iter();
        let renamed = tensors.filter_map(|(name, tensor)| Some((rename(name)?, tensor.clone())));
        Self {
            tensors: renamed.collect(),
        }
    }

    /// Takes the tensors of others in place of those of the same names, and inserts the rest.
    pub fn replace(&mut self, others: Self) {
        self.tensors.extend(others.tensors);
    }

    /// Adds the tensors of others to those of the same names, and inserts the rest.
    pub fn add(&mut self, others: Self) {
        for (name, other) in others.tensors {
            let sum = match self.tensors.remove(&name) {
                None => other,
                Some(tensor) => {
                    of_rank!(tensor.shape().num_dims(), D => sum::<D>(tensor, other))
                }
            };
            self.tensors.insert(name, sum);
        }
    }

    /// Sum of the squares of all values, in an order that depends on the shapes alone.
    pub fn sum_of_squares(&self) -> f64 {
        if self.tensors.is_empty() {
            0.0
        } else {
            Dispatch::sum_of_squares(self.tensors.values().cloned().collect())
        }
    }

    /// The named tensors alone, in the same memory.
    ///
    /// # Panics
    /// If one is missing.
    pub fn only(&self, names: &[&str]) -> Self {
        let named = |name: &&str| ((*name).to_owned(), self.dispatch(name).clone());
        Self {
            tensors: names.iter().map(named).collect(),
        }
    }

    /// Takes out those of the named tensors that are here.
    pub fn take_out(&mut self, names: &[&str]) -> Self {
        let taken = names
            .iter()
            .filter_map(|name| self.tensors.remove_entry(*name));
        Self {
            tensors: taken.collect(),
        }
    }

    /// These tensors less those of the same names among others.
    ///
    /// # Panics
    /// If one is missing there.
    pub fn less(self, others: &Self) -> Self {
        let tensors = self.tensors.into_iter().map(|(name, tensor)| {
            let other = others.dispatch(&name).clone();
            let rank = tensor.shape().num_dims();
            let difference = of_rank!(rank, D => difference::<D>(tensor, other));
            (name, difference)
        });
        Self {
            tensors: tensors.collect(),
        }
    }

    /// One step of SGD on the named parameters, each at its own rates. The velocities are
    /// `[values]` under `<parameter>.<velocity>` in `state`, and start at zero. Memory that nobody
    /// else holds is changed in place.
    ///
    /// # Panics
    /// If a parameter or its gradient is missing.
    pub fn sgd_step(
        &mut self,
        mut gradients: Self,
        state: &mut Self,
        velocity: &str,
        updates: &[(&str, Rates)],
        sgd: Sgd,
    ) {
        let (names, rates): (Vec<_>, Vec<_>) = updates.iter().copied().unzip();
        if names.is_empty() {
            return;
        }
        let keys = state.moments(self, &names, velocity);
        let (values, velocities) = Dispatch::sgd_step(
            self.take(&names),
            gradients.take(&names),
            state.take(&keys),
            rates,
            sgd,
        );
        self.put(&names, values);
        state.put(&keys, velocities);
    }

    /// One step of Adam or AdamW, as [`sgd_step`](Self::sgd_step); `[mean, square]` are the names of
    /// the moments in `state`.
    ///
    /// # Panics
    /// If a parameter or its gradient is missing.
    pub fn adam_step(
        &mut self,
        mut gradients: Self,
        state: &mut Self,
        [mean, square]: [&str; 2],
        updates: &[(&str, Rates)],
        adam: Adam,
    ) {
        let (names, rates): (Vec<_>, Vec<_>) = updates.iter().copied().unzip();
        if names.is_empty() {
            return;
        }
        let [mean, square] = [mean, square].map(|moment| state.moments(self, &names, moment));
        let (values, means, squares) = Dispatch::adam_step(
            self.take(&names),
            gradients.take(&names),
            state.take(&mean),
            state.take(&square),
            rates,
            adam,
        );
        self.put(&names, values);
        state.put(&mean, means);
        state.put(&square, squares);
    }

    /// Moves each named tensor towards a value of its shape: `(1 − share) · old + share · factor ·
    /// value`.
    ///
    /// # Panics
    /// If a tensor is missing.
    pub(crate) fn move_averages(&mut self, towards: Vec<(String, Tensor<1>, f64)>, share: f64) {
        if towards.is_empty() {
            return;
        }
        let (mut names, mut values, mut factors) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value, factor) in towards {
            names.push(name);
            values.push(value.into_dispatch());
            factors.push(factor);
        }
        let values = values.into_iter().collect();
        let moved = Dispatch::move_averages(self.take(&names), values, factors, share);
        self.put(&names, moved);
    }

    /// Moves the named tensors towards those of others: `(1 − share) · old + share · other`.
    ///
    /// # Panics
    /// If one is missing.
    pub fn move_towards(&mut self, others: &Self, names: &[String], share: f64) {
        if names.is_empty() {
            return;
        }
        let values = names.iter().map(|name| others.dispatch(name).clone());
        let values = values.collect();
        let factors = vec![1.0; names.len()];
        let moved = Dispatch::move_averages(self.take(names), values, factors, share);
        self.put(names, moved);
    }

    /// Keys of one moment of the named parameters, zeros where it is not there yet.
    fn moments(&mut self, parameters: &Self, names: &[&str], moment: &str) -> Vec<String> {
        let key = |name: &&str| {
            let key = format!("{name}.{moment}");
            if !self.contains(&key) {
                self.insert(&key, parameters.flat(name).zeros_like());
            }
            key
        };
        names.iter().map(key).collect()
    }

    /// Takes tensors out, so that nobody else holds them and they can be changed in place.
    fn take(&mut self, names: &[impl AsRef<str>]) -> Tensors<Dispatch> {
        let taken = names.iter().map(|name| {
            let name = name.as_ref();
            self.tensors
                .remove(name)
                .unwrap_or_else(|| panic!("there is no {name}"))
        });
        taken.collect()
    }

    fn put(&mut self, names: &[impl AsRef<str>], tensors: Tensors<Dispatch>) {
        let names = names.iter().map(|name| name.as_ref().to_owned());
        self.tensors.extend(names.zip(tensors.into_tensors()));
    }

    /// The tensor of that name as a vector `[values]`.
    fn flat(&self, name: &str) -> Tensor<1> {
        let tensor = self.dispatch(name).clone();
        let shape = tensor.shape();
        let values = shape.num_elements();
        of_rank!(shape.num_dims(), D => Tensor::<D>::from_dispatch(tensor).reshape([values]))
    }

    /// The gradients that a backward pass left for these tracked parameters, by the same names.
    pub fn take_gradients(&self, gradients: &mut Gradients) -> Self {
        let mut taken = Self::new();
        for (name, tensor) in &self.tensors {
            let tensor = tensor.clone();
            let rank = tensor.shape().num_dims();
            let gradient = of_rank!(rank, D => gradient::<D>(tensor, gradients));
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
        let rank = tensor.shape().num_dims();
        let data = of_rank!(rank, D => Tensor::<D>::from_dispatch(tensor).into_data());
        data.try_into_vec().expect("parameters are f32")
    }

    /// The values of tensors of these names, one tensor after the other, in which others have the shapes. A tensor that is
    /// missing here is −0, which changes no value that it is added to.
    ///
    /// # Panics
    /// If there is no shape of a name, or the tensor has another.
    pub fn flat_values(&self, names: &[&str], shapes: &Self) -> Vec<f32> {
        let mut flat = Vec::with_capacity(shapes.count(names));
        for &name in names {
            let shape = shapes.shape(name);
            if self.contains(name) {
                assert_eq!(self.shape(name), shape, "{name}");
                flat.extend(self.values(name));
            } else {
                flat.resize(flat.len() + shape.iter().product::<usize>(), -0.0);
            }
        }
        flat
    }

    /// Tensors of these names, in the shapes and on the device of those here, with other values
    /// ([`flat_values`](Self::flat_values)).
    ///
    /// # Panics
    /// If a name is missing, or there are more or fewer values.
    pub fn with_flat_values(&self, names: &[&str], mut flat: &[f32]) -> Self {
        assert_eq!(flat.len(), self.count(names), "one value for each");
        let mut tensors = Self::new();
        for &name in names {
            let shape = self.shape(name);
            let (values, rest) = flat.split_at(shape.iter().product());
            tensors.insert_values(name, &shape, values.to_vec(), &self.device(name));
            flat = rest;
        }
        tensors
    }

    /// Values of the tensors of these names.
    fn count(&self, names: &[&str]) -> usize {
        let sizes = names
            .iter()
            .map(|name| self.dispatch(name).shape().num_elements());
        sizes.sum()
    }

    /// The device of the tensor of that name. Panics as [`get`](Self::get) does.
    pub fn device(&self, name: &str) -> Device {
        let tensor = self.dispatch(name).clone();
        of_rank!(tensor.shape().num_dims(), D => Tensor::<D>::from_dispatch(tensor).device())
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The same parameters as leaves of a new gradient graph. Those for which `trainable` returns
    /// true get a gradient.
    pub fn tracked(&self, trainable: impl Fn(&str) -> bool) -> Self {
        let tensors = self.tensors.iter().map(|(name, tensor)| {
            let tensor = tensor.clone();
            let rank = tensor.shape().num_dims();
            let tracked = of_rank!(rank, D => track::<D>(tensor, trainable(name)));
            (name.clone(), tracked)
        });
        Self {
            tensors: tensors.collect(),
        }
    }

    /// Lets someone hear the gradients of the named [tracked](Self::tracked) parameters, each as soon as it is complete
    /// in a backward pass, if it gets one. `before` is what the first layer takes that uses them: the pass has gone
    /// through everything behind it by then, and not yet through what it was made of.
    ///
    /// From here on these are no leaves: [`take_gradients`](Self::take_gradients) is for the parameters as they were
    /// tracked, and takes the same bits as if nobody had listened.
    ///
    /// # Panics
    /// If a name is missing.
    pub fn hear<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
        before: &Tensor<4>,
        listener: &Listener,
    ) {
        for name in names {
            let heard = Heard {
                parameter: name.to_owned(),
                listener: listener.clone(),
            };
            let before = before.clone().into_dispatch();
            let tensor = Dispatch::hear(self.dispatch(name).clone(), before, heard);
            self.tensors.insert(name.to_owned(), tensor);
        }
    }
}

fn sum<const D: usize>(a: DispatchTensor, b: DispatchTensor) -> DispatchTensor {
    (Tensor::<D>::from_dispatch(a) + Tensor::<D>::from_dispatch(b)).into_dispatch()
}

fn difference<const D: usize>(a: DispatchTensor, b: DispatchTensor) -> DispatchTensor {
    (Tensor::<D>::from_dispatch(a) - Tensor::<D>::from_dispatch(b)).into_dispatch()
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

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["a", "b"];

    fn parameters() -> Parameters {
        let device = crate::device();
        let mut parameters = Parameters::new();
        parameters.insert_values("b", &[3], vec![5.0, 6.0, 7.0], &device);
        parameters.insert_values("a", &[2, 2], vec![1.0, 2.0, 3.0, 4.0], &device);
        parameters.insert_values("c", &[1], vec![8.0], &device);
        parameters
    }

    #[test]
    fn tensors_become_flat_and_the_same_again() {
        let parameters = parameters();
        let flat = parameters.flat_values(&NAMES, &parameters);
        assert_eq!(flat, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let again = parameters.with_flat_values(&NAMES, &flat);
        assert_eq!(again.names().collect::<Vec<_>>(), NAMES);
        for name in NAMES {
            assert_eq!(again.shape(name), parameters.shape(name));
            assert_eq!(again.values(name), parameters.values(name));
        }
    }

    #[test]
    fn a_missing_tensor_changes_no_bit_of_what_it_is_added_to() {
        let parameters = parameters();
        let flat = parameters.only(&["a"]).flat_values(&NAMES, &parameters);
        let mut missing = parameters.with_flat_values(&["b"], &flat[4..]);
        let values = [0.0, -0.0, f32::MIN_POSITIVE];
        missing.add(parameters.with_flat_values(&["b"], &values));
        let bits = missing.values("b").into_iter().map(f32::to_bits);
        assert!(bits.eq(values.map(f32::to_bits)));
    }
}
