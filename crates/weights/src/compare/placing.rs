//! What becomes of each tensor of a model.

use warmstart_language::message;

use super::fit::Fit;
use super::naming::{Match, parameters_in};
use super::positions::{ResizedPositions, TokenPosition};
use super::quantized::scale_of;
use super::rows::KeptRows;
use super::source::Source;
use super::target::{Expected, Part};
use super::{LoadPlan, Missing, ShapeDifference, channels};
use crate::read::{HostTensor, WeightFile};
use crate::text::cut_line;

impl LoadPlan {
    /// Loads a tensor of the model, or says why it does not load.
    ///
    /// # Errors
    /// A message, if a tensor that is needed cannot be read.
    pub(super) fn place(
        &mut self,
        expected: &Expected,
        is_first: bool,
        matched: &Match,
        file: &WeightFile,
    ) -> Result<(), String> {
        let source = Source::of(expected, matched);
        if expected.part != Part::Beyond {
            require_readable(&source, expected, file)?;
        }
        match &source {
            Source::Nothing => self.place_nothing(expected),
            Source::Whole(key) => self.place_whole(expected, is_first, key, file)?,
            Source::Parts(keys) => {
                if source.fits(expected, is_first, file, false) {
                    for key in source.keys() {
                        require_unscaled(key, file)?;
                    }
                }
                self.place_parts(expected, keys, matched, file);
            }
        }
        let is_there = source
            .keys()
            .iter()
            .any(|key| file.tensors.contains_key(*key));
        let is_loaded = self.loaded.contains_key(&expected.name);
        let coverage = match expected.part {
            Part::Backbone => &mut self.backbone,
            Part::Head => &mut self.head,
            Part::Beyond => return Ok(()),
        };
        let parameters = parameters_in(&expected.name, &expected.shape);
        if is_there || !expected.optional {
            coverage.expect(parameters);
        }
        if is_loaded {
            coverage.load(parameters);
        }
        Ok(())
    }

    fn place_nothing(&mut self, expected: &Expected) {
        if expected.part == Part::Beyond || expected.optional {
            return;
        }
        self.missing.push(Missing {
            name: expected.name.clone(),
            shape: expected.shape.clone(),
            part: expected.part,
            part_of: None,
        });
    }

    fn place_whole(
        &mut self,
        expected: &Expected,
        is_first: bool,
        key: &str,
        file: &WeightFile,
    ) -> Result<(), String> {
        let Some(tensor) = file.tensors.get(key) else {
            self.place_nothing(expected);
            return Ok(());
        };
        if expected.part == Part::Beyond {
            self.beyond.push(key.to_owned());
            return Ok(());
        }
        let of_rows = expected.rows.as_ref();
        let rows = of_rows.and_then(|rows| KeptRows::of(expected, rows, key, tensor));
        let fit = Fit::of(expected, tensor, is_first);
        if rows.is_some() || fit != Fit::No {
            require_unscaled(key, file)?;
        }
        let mut load = |data: Vec<f32>| {
            let loaded = HostTensor {
                shape: expected.shape.clone(),
                data,
            };
            self.loaded.insert(expected.name.clone(), loaded);
        };
        if let Some(rows) = rows {
            if let Some(data) = rows.complete() {
                load(data);
            } else {
                self.rows.push(rows);
            }
            return Ok(());
        }
        let difference = || ShapeDifference {
            name: expected.name.clone(),
            file_name: key.to_string(),
            expected: expected.shape.clone(),
            found: tensor.shape.clone(),
            part: expected.part,
        };
        match fit {
            Fit::No => self.wrong_shape.push(difference()),
            Fit::Reshaped => {
                load(tensor.data.clone());
                self.reshaped.push(difference());
            }
            Fit::Positions(conversion) => {
                load(conversion.converted(expected, &tensor.data));
                let resized = ResizedPositions::of(expected, key, &tensor.shape);
                self.resized.extend(resized);
                if conversion.has_token {
                    self.token_positions.push(TokenPosition {
                        name: expected.name.clone(),
                        file_name: key.to_owned(),
                        expected: expected.shape.clone(),
                        found: tensor.shape.clone(),
                        token: expected.position_of.clone().unwrap_or_default(),
                        is_added: false,
                    });
                }
            }
            Fit::Spread { from, to } => {
                load(channels::converted(&tensor.data, from, to, &expected.shape));
                self.spread.push(difference());
            }
            Fit::Same => load(tensor.data.clone()),
        }
        Ok(())
    }

    /// Adds the positions of tokens to the tokens, which have none in the model.
    pub(super) fn add_token_positions(&mut self, file: &WeightFile) {
        for position in &mut self.token_positions {
            let token = self.loaded.get_mut(&position.token);
            let (Some(token), Some(all)) = (token, file.tensors.get(&position.file_name)) else {
                continue;
            };
            let Some(own) = all.data.get(..token.data.len()) else {
                continue;
            };
            // As timm does, in 32 bits.
            for (value, own) in token.data.iter_mut().zip(own) {
                *value += own;
            }
            position.is_added = true;
        }
    }
}

/// Refuses a tensor that is needed and cannot be read. One that is known to have another shape is not needed.
fn require_readable(source: &Source, expected: &Expected, file: &WeightFile) -> Result<(), String> {
    let needed = match source {
        Source::Nothing | Source::Whole(_) => expected.shape.clone(),
        Source::Parts(_) => expected.part_shape(),
    };
    for key in source.keys() {
        let Some(unreadable) = file.unreadable.get(key) else {
            continue;
        };
        let shape = unreadable.shape.as_ref();
        if shape.is_none_or(|shape| *shape == needed) {
            return Err(message!(
                "{} is needed, and {}",
                cut_line(key, 100),
                unreadable.what
            ));
        }
    }
    Ok(())
}

/// Refuses a tensor whose values are useless without the scale beside it.
fn require_unscaled(key: &str, file: &WeightFile) -> Result<(), String> {
    let (Some(tensor), Some(scale)) = (file.tensors.get(key), scale_of(key, file)) else {
        return Ok(());
    };
    Err(message!(
        "{} is {} with a scale in {}, which is not applied: save it as bf16",
        cut_line(key, 100),
        tensor.dtype.to_uppercase(),
        cut_line(scale, 100)
    ))
}
