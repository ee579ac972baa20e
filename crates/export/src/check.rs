//! The check of a file by another engine, tract, before it is called done.

use serde::Serialize;

use crate::Agreement;

/// The engine's verdict on a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// The network after the preprocessing, beside the trainer.
    pub network: Agreement,
    /// The whole file from pixels on, beside the trainer; `None` if the file has no preprocessing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<WholeCheck>,
}

/// The check of a whole file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WholeCheck {
    /// It was compared.
    Compared(Agreement),
    /// The engine cannot compute it, and says why.
    NotComputed(String),
}

#[cfg(feature = "check")]
pub use engine::{Whole, network_results};

#[cfg(feature = "check")]
mod engine {
    use tract_onnx::prelude::*;
    use warmstart_data::RgbImage;
    use warmstart_metrics::softmax;

    use crate::agreement::Outputs;

    type Runnable = Arc<TypedRunnableModel>;

    /// The engine's results for inputs `[channels, size, size]` of a network's file, or of the part of a file that
    /// [`network_part`](crate::onnx::network_part) cuts out; `logits` says that a classifier's outputs are logits.
    ///
    /// # Errors
    /// In words, if the engine cannot read or compute it.
    pub fn network_results(
        bytes: &[u8],
        [channels, size]: [usize; 2],
        logits: bool,
        inputs: &[Vec<f32>],
    ) -> Result<Vec<Outputs>, String> {
        let shape = [1, channels, size, size];
        let result = || -> TractResult<Vec<Outputs>> {
            let runnable = loaded(bytes, f32::datum_type(), &shape)?;
            let results = inputs.iter().map(|input| {
                let input = Tensor::from_shape(&shape, input)?;
                let results = runnable.run(tvec!(input.into()))?;
                outputs(&results, logits)
            });
            results.collect()
        };
        result().map_err(in_words)
    }

    /// A classifier's file with its preprocessing, prepared for pictures of one size.
    pub struct Whole {
        runnable: Runnable,
        shape: [usize; 4],
    }

    impl Whole {
        /// Prepares a file for pictures of the size of one.
        ///
        /// # Errors
        /// In words, if the engine cannot read or prepare it.
        pub fn load(bytes: &[u8], picture: &RgbImage) -> Result<Self, String> {
            let channels = picture.pixels.len() / (picture.width * picture.height);
            let shape = [1, picture.height, picture.width, channels];
            let runnable = loaded(bytes, u8::datum_type(), &shape).map_err(in_words)?;
            Ok(Self { runnable, shape })
        }

        /// The engine's probabilities for pictures of that size; `logits` says that the outputs are logits.
        ///
        /// # Errors
        /// In words, if the engine cannot compute it.
        pub fn results(&self, logits: bool, pictures: &[RgbImage]) -> Result<Vec<Outputs>, String> {
            let result = |picture: &RgbImage| -> TractResult<Outputs> {
                let input = Tensor::from_shape(&self.shape, &picture.pixels)?;
                outputs(&self.runnable.run(tvec!(input.into()))?, logits)
            };
            let results = pictures.iter().map(result).collect::<TractResult<Vec<_>>>();
            results.map_err(in_words)
        }
    }

    /// The first line of an error and its causes.
    fn in_words(error: TractError) -> String {
        let words = format!("{error:#}");
        words.lines().next().unwrap_or_default().to_owned()
    }

    fn loaded(bytes: &[u8], element: DatumType, shape: &[usize]) -> TractResult<Runnable> {
        let model = onnx().model_for_read(&mut std::io::Cursor::new(bytes))?;
        let shape: TVec<usize> = shape.iter().copied().collect();
        let model = model.with_input_fact(0, InferenceFact::dt_shape(element, shape))?;
        model.into_optimized()?.into_runnable()
    }

    fn outputs(results: &[TValue], logits: bool) -> TractResult<Outputs> {
        let values = |index: usize| -> TractResult<Vec<f32>> {
            Ok(results[index]
                .try_as_plain_ram()?
                .as_slice::<f32>()?
                .to_vec())
        };
        if results.len() == 1 {
            let values = values(0)?;
            return Ok(Outputs::Classes(if logits {
                softmax(&values)
            } else {
                values
            }));
        }
        let (boxes, by_class) = (values(0)?, values(1)?);
        let boxes = boxes.as_chunks().0.to_vec();
        let points = boxes.len();
        let classes = by_class.len() / points.max(1);
        let score = |place: usize| by_class[place % classes * points + place / classes];
        Ok(Outputs::Points {
            scores: (0..by_class.len()).map(score).collect(),
            boxes,
        })
    }
}
