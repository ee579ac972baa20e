//! Lists of tensors across Burn's dispatch, which only derives fixed numbers of them.

use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
    ExtensionType,
};

/// Any number of structs of tensors.
#[derive(Clone, Debug)]
pub struct List<T>(pub Vec<T>);

impl<B: Backend, T: ExtensionType<B>> ExtensionType<B> for List<T> {
    type Target = List<T::Target>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let items = self.0.into_iter();
        List(
            items
                .map(|item| item.map_to_dispatch(&map_kind, autodiff))
                .collect(),
        )
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        let items = target.0.into_iter();
        Self(
            items
                .map(|item| T::map_from_dispatch(item, &unwrap_kind))
                .collect(),
        )
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.iter().find_map(T::routing_tensor)
    }

    fn routing_float_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.iter().find_map(T::routing_float_tensor)
    }

    fn autodiff_context(target: &Self::Target) -> DispatchAutodiffContext {
        let contexts = target.0.iter().map(T::autodiff_context);
        contexts.fold(
            DispatchAutodiffContext::Disabled,
            DispatchAutodiffContext::merge,
        )
    }
}

/// A tensor of any shape.
#[derive(ExtensionType, Clone, Debug)]
pub struct AnyTensor<B: Backend>(FloatTensor<B>);

/// Any number of tensors of any shapes, all on one device, as one argument of an operation.
pub type Tensors<B> = List<AnyTensor<B>>;

impl<B: Backend> FromIterator<FloatTensor<B>> for Tensors<B> {
    fn from_iter<I: IntoIterator<Item = FloatTensor<B>>>(tensors: I) -> Self {
        Self(tensors.into_iter().map(AnyTensor).collect())
    }
}

impl<B: Backend> Tensors<B> {
    /// The tensors, one after the other.
    pub fn into_tensors(self) -> impl Iterator<Item = FloatTensor<B>> {
        self.0.into_iter().map(|tensor| tensor.0)
    }
}
