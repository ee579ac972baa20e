//! Differences between a recipe and an earlier one of the same run.

use serde::Serialize;
use serde_json::Value;
use warmstart_language::{english, message, translated};

use crate::option::OptionInfo;
use crate::options::{PHASE_OPTIONS, Phase, RUN_OPTIONS, Recipe};
use warmstart_files::Key;

impl Recipe {
    /// Differences from an earlier recipe of the same run: a line for each value, with the effect on the result.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        self.differences_except(before, &[])
    }

    /// Differences from the recipe of another run: a line for each value.
    pub fn differences_between_runs(&self, other: &Self) -> Vec<String> {
        let lines = Lines {
            says_effects: false,
            ..Lines::default()
        };
        self.compared(other, lines)
    }

    /// [`differences`](Self::differences) without the options of the run or of a phase that are named in `leave_out`.
    pub(crate) fn differences_except(&self, before: &Self, leave_out: &[OptionOf]) -> Vec<String> {
        let lines = Lines {
            leave_out,
            ..Lines::default()
        };
        self.compared(before, lines)
    }

    fn compared(&self, before: &Self, mut lines: Lines) -> Vec<String> {
        let [run_before, run_now] = [before, self].map(|recipe| {
            let mut run = json(recipe);
            run.as_object_mut()
                .expect("a recipe is a table")
                .remove("phase");
            run
        });
        lines.compare(None, "", &run_before, &run_now);
        for phase in &self.phases {
            match before.phases.iter().find(|old| old.name == phase.name) {
                Some(old) => lines.compare(Some(&phase.name), "", &json(old), &json(phase)),
                None => lines.found.push(message!(
                    "phase {}: new, {} epochs with a schedule of their own",
                    phase.name,
                    phase.epochs
                )),
            }
        }
        let gone = |old: &&Phase| self.phases.iter().all(|phase| phase.name != old.name);
        for phase in before.phases.iter().filter(gone) {
            lines.found.push(message!("phase {}: removed", phase.name));
        }
        lines.found
    }
}

impl Phase {
    /// The first option that differs from that of the same phase before, although it is fixed from a phase's first step
    /// to its last.
    pub fn changed_within(&self, before: &Self) -> Option<&'static str> {
        let [before, now] = [before, self].map(json);
        let mut fixed = PHASE_OPTIONS
            .iter()
            .filter(|option| option.resume.fixed_in_phase);
        let changed = fixed.find(|option| before[option.key] != now[option.key]);
        changed.map(|option| option.key)
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("a recipe is plain data")
}

/// An option that a comparison leaves out.
pub(crate) struct OptionOf {
    /// Name of its phase; `None` for an option of the run.
    pub phase: Option<String>,
    /// Its key, after that of its table and a dot if it is in one.
    pub key: String,
}

struct Lines<'a> {
    leave_out: &'a [OptionOf],
    /// Whether a line says what the change means for the rest of a run.
    says_effects: bool,
    found: Vec<String>,
}

impl Default for Lines<'_> {
    fn default() -> Self {
        Self {
            leave_out: &[],
            says_effects: true,
            found: Vec::new(),
        }
    }
}

impl Lines<'_> {
    fn compare(&mut self, phase: Option<&str>, table: &str, before: &Value, now: &Value) {
        let [before, now] = [before, now].map(|value| value.as_object().expect("a table"));
        let keys = before
            .keys()
            .chain(now.keys().filter(|key| !before.contains_key(*key)));
        for key in keys {
            let [old, new] = [before, now].map(|table| table.get(key).unwrap_or(&Value::Null));
            let key = format!("{table}{key}");
            let is_left_out =
                |option: &OptionOf| option.phase.as_deref() == phase && option.key == key;
            if old == new || self.leave_out.iter().any(is_left_out) {
                continue;
            }
            if old.is_object() && new.is_object() {
                self.compare(phase, &format!("{key}."), old, new);
                continue;
            }
            let [old, new] = [old, new].map(|value| shown(&key, value));
            let change = match effect(&key).filter(|_| self.says_effects) {
                Some(effect) => message!("{key} {old} → {new}: {effect}"),
                None => format!("{key} {old} → {new}"),
            };
            self.found.push(match phase {
                Some(phase) => message!("phase {phase}: {change}"),
                None => change,
            });
        }
    }
}

fn shown(key: &str, value: &Value) -> String {
    match value {
        Value::Null if key == Key::MICRO_BATCH.0 => message!("whole batch"),
        Value::Number(epochs) if key == Key::PATIENCE.0 && epochs.as_u64() == Some(0) => {
            message!("none")
        }
        Value::Null => "auto".into(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// The effect of a change on the result; `None` where there is none.
fn effect(key: &str) -> Option<&'static str> {
    let mut options = RUN_OPTIONS.iter().chain(PHASE_OPTIONS);
    let declared = options.find(|option: &&OptionInfo| option.key == key);
    match declared.map(|option| option.resume.effect) {
        Some("") => None,
        Some(effect) => Some(translated(effect)),
        None if key == "warmstart" => None,
        // A key of the augmentation, or the fold of a cross-validation.
        None => Some(translated(english!("from here on"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Draft;

    #[test]
    fn every_change_is_reported_with_its_effect() {
        let draft: Draft =
            toml::from_str("data = 'd'\nmodel = 'mobilenet_v2'\nweights = 'w'").unwrap();
        let before = draft.resolve(224, None).unwrap();
        assert!(before.differences(&before).is_empty());
        let mut now = before.clone();
        now.phases.push(Phase {
            name: "extension-2".into(),
            epochs: 6,
            ..before.phases[1].clone()
        });
        now.phases[1].batch = 4;
        now.phases[1].micro_batch = Some(2);
        now.seed = 7;
        let lines = now.differences(&before).join("\n");
        for words in [
            "seed 42 → 7: from here on",
            "phase thaw: batch 16 → 4: the steps differ",
            "phase thaw: micro_batch whole batch → 2: batch norm statistics (unless frozen)",
            "phase extension-2: new, 6 epochs with a schedule",
        ] {
            assert!(lines.contains(words), "{words}\n{lines}");
        }
        let between_runs = now.differences_between_runs(&before);
        assert_eq!(
            between_runs[..2],
            ["seed 42 → 7", "phase thaw: batch 16 → 4"]
        );
    }
}
