//! Differences between a recipe and an earlier one of the same run.

use serde::Serialize;
use serde_json::Value;

use crate::option::OptionInfo;
use crate::options::{PHASE_OPTIONS, Phase, RUN_OPTIONS, Recipe};
use warmstart_files::Key;

impl Recipe {
    /// Differences from an earlier recipe of the same run: a line for each value, with the effect on the result.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        self.differences_except(before, &[])
    }

    /// [`differences`](Self::differences) without the options named in `leave_out`; an option of a phase is named
    /// `phase NAME: KEY` there.
    pub(crate) fn differences_except(&self, before: &Self, leave_out: &[String]) -> Vec<String> {
        let mut lines = Lines {
            leave_out,
            found: Vec::new(),
        };
        let [run_before, run_now] = [before, self].map(|recipe| {
            let mut run = json(recipe);
            run.as_object_mut()
                .expect("a recipe is a table")
                .remove("phase");
            run
        });
        lines.compare("", "", &run_before, &run_now);
        for phase in &self.phases {
            match before.phases.iter().find(|old| old.name == phase.name) {
                Some(old) => {
                    let place = format!("phase {}: ", phase.name);
                    lines.compare(&place, "", &json(old), &json(phase));
                }
                None => lines.found.push(format!(
                    "phase {}: new, {} epochs with a schedule of their own",
                    phase.name, phase.epochs
                )),
            }
        }
        let gone = |old: &&Phase| self.phases.iter().all(|phase| phase.name != old.name);
        for phase in before.phases.iter().filter(gone) {
            lines.found.push(format!("phase {}: removed", phase.name));
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

struct Lines<'a> {
    leave_out: &'a [String],
    found: Vec<String>,
}

impl Lines<'_> {
    fn compare(&mut self, place: &str, table: &str, before: &Value, now: &Value) {
        let [before, now] = [before, now].map(|value| value.as_object().expect("a table"));
        let keys = before
            .keys()
            .chain(now.keys().filter(|key| !before.contains_key(*key)));
        for key in keys {
            let [old, new] = [before, now].map(|table| table.get(key).unwrap_or(&Value::Null));
            let key = format!("{table}{key}");
            if old == new || self.leave_out.contains(&format!("{place}{key}")) {
                continue;
            }
            if old.is_object() && new.is_object() {
                self.compare(place, &format!("{key}."), old, new);
                continue;
            }
            self.found.push(format!(
                "{place}{key} {} → {}{}",
                shown(&key, old),
                shown(&key, new),
                effect(&key)
            ));
        }
    }
}

fn shown(key: &str, value: &Value) -> String {
    match value {
        Value::Null if key == Key::MICRO_BATCH.0 => "whole batch".into(),
        Value::Number(epochs) if key == Key::PATIENCE.0 && epochs.as_u64() == Some(0) => {
            "none".into()
        }
        Value::Null => "auto".into(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// The effect of a change on the result, after a colon; nothing where there is none.
fn effect(key: &str) -> String {
    let mut options = RUN_OPTIONS.iter().chain(PHASE_OPTIONS);
    let declared = options.find(|option: &&OptionInfo| option.key == key);
    match declared.map(|option| option.resume.effect) {
        Some("") => String::new(),
        Some(effect) => format!(": {effect}"),
        None if key == "warmstart" => String::new(),
        // A key of the augmentation, or the fold of a cross-validation.
        None => ": from here on".to_owned(),
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
    }
}
