use serde_json::Value;

use super::{Phase, Recipe};

/// How a recipe differs from an earlier one of the same run: a line for each value, with what it means
/// for the result.
pub(super) fn differences(before: &Recipe, now: &Recipe) -> Vec<String> {
    let mut lines = Vec::new();
    let [mut run_before, mut run_now] = [before, now].map(json);
    for run in [&mut run_before, &mut run_now] {
        run.as_object_mut()
            .expect("a recipe is a table")
            .remove("phase");
    }
    compare("", &run_before, &run_now, &mut lines);
    for phase in &now.phases {
        match before.phases.iter().find(|old| old.name == phase.name) {
            Some(old) => {
                let place = format!("phase {}: ", phase.name);
                compare(&place, &json(old), &json(phase), &mut lines);
            }
            None => lines.push(format!(
                "phase {}: new, {} epochs with a schedule of their own",
                phase.name, phase.epochs
            )),
        }
    }
    let gone = |old: &&Phase| now.phases.iter().all(|phase| phase.name != old.name);
    for phase in before.phases.iter().filter(gone) {
        lines.push(format!("phase {}: removed", phase.name));
    }
    lines
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("a recipe is plain data")
}

fn compare(place: &str, before: &Value, now: &Value, lines: &mut Vec<String>) {
    let [before, now] = [before, now].map(|value| value.as_object().expect("a table"));
    let keys = before
        .keys()
        .chain(now.keys().filter(|key| !before.contains_key(*key)));
    for key in keys {
        let [old, new] = [before, now].map(|table| table.get(key).unwrap_or(&Value::Null));
        match (old, new) {
            _ if old == new => {}
            (Value::Object(_), Value::Object(_)) => {
                compare(&format!("{place}{key}."), old, new, lines);
            }
            _ => lines.push(format!(
                "{place}{key} {} → {}{}",
                shown(key, old),
                shown(key, new),
                meaning(key)
            )),
        }
    }
}

fn shown(key: &str, value: &Value) -> String {
    match value {
        Value::Null if key == "micro_batch" => "whole batch".into(),
        Value::Number(epochs) if key == "patience" && epochs.as_u64() == Some(0) => "none".into(),
        Value::Null => "auto".into(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// What a change means for the result.
fn meaning(key: &str) -> &'static str {
    match key {
        "batch" => {
            ": other steps from here on, so another result; each image is still seen once an epoch"
        }
        "micro_batch" => {
            ": batch norm's statistics, where it does not keep its own, and a detector's loss are taken over \
             these, so the result may differ a little"
        }
        "epochs" => {
            ": the learning rate falls over the new length; what is done was done at the old one's rates, so \
             the result is not that of a run of this length from the start"
        }
        "lr" => ": the rest of the phase learns at this rate, what is done was not",
        "data" | "memory" | "checkpoint_every" | "keep" | "warmstart" => "",
        _ => ": from here on",
    }
}

#[cfg(test)]
mod tests {
    use crate::course;
    use crate::recipe::Draft;

    #[test]
    fn every_change_is_named_with_what_it_means() {
        let draft: Draft =
            toml::from_str("data = 'd'\nmodel = 'mobilenet_v2'\nweights = 'w'").unwrap();
        let before = draft.resolve(224, None).unwrap();
        assert!(before.differences(&before).is_empty());
        let history = course::history(&before, 14);
        let mut now = course::with_epochs(before.clone(), 20, &history).unwrap();
        now.phases[1].batch = 4;
        now.phases[1].micro_batch = Some(2);
        now.seed = 7;
        let lines = now.differences(&before).join("\n");
        for words in [
            "seed 42 → 7: from here on",
            "phase thaw: batch 16 → 4: other steps",
            "phase thaw: micro_batch whole batch → 2: batch norm's statistics, where it does not keep its own",
            "phase extension-2: new, 6 epochs with a schedule",
        ] {
            assert!(lines.contains(words), "{words}\n{lines}");
        }
    }
}
