//! Tensors that a file holds under several names, and a network once.

use serde::Serialize;
use warmstart_files::Key;
use warmstart_language::message;

use super::LoadPlan;
use super::naming::Match;
use crate::text::{counted, cut_line};
use crate::{WeightError, WeightFile};

/// A tensor of the file that should have the values of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contradiction {
    /// The key of the tensor that loads.
    pub file_name: String,
    /// The key of the other one, whose values differ.
    pub copy: String,
}

impl LoadPlan {
    /// Tells the file's copies of tensors from those that contradict them.
    pub(super) fn place_copies(&mut self, matched: &Match, file: &WeightFile) {
        for (name, key) in &matched.copies {
            let Some(own_key) = matched.file_keys.get(name) else {
                continue;
            };
            let [own, copy] = [own_key, key].map(|key| file.tensors.get(*key));
            let (Some(own), Some(copy)) = (own, copy) else {
                continue;
            };
            if own.shape == copy.shape && own.data == copy.data {
                self.copies.push((*key).to_owned());
            } else {
                self.contradictions.push(Contradiction {
                    file_name: (*own_key).to_owned(),
                    copy: (*key).to_owned(),
                });
            }
        }
    }

    /// Refuses a file in which a tensor that the network has once has several values.
    ///
    /// # Errors
    /// If there is one; the error names the first.
    pub fn require_equal_copies(&self) -> Result<(), WeightError> {
        let Some(first) = self.contradictions.first() else {
            return Ok(());
        };
        Err(WeightError::NotThere {
            path: self.file.clone(),
            detail: message!(
                "{} differs from {}, and {} has one tensor for both ({} like this): its results would be others; \
                 use a file of the published network, or train from this one anyway with {}",
                cut_line(&first.copy, 100),
                cut_line(&first.file_name, 100),
                self.architecture,
                counted(self.contradictions.len(), "tensor"),
                Key::ALLOW_PARTIAL
            ),
        })
    }
}
