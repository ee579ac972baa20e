//! The text of a load plan, for the screen and for `load-report.txt`.

use std::fmt::Write;

use warmstart_files::{Key, shown};
use warmstart_language::{message, translated};

use super::fit::without_trailing_ones;
use super::{
    Coverage, KeptRows, LoadPlan, Missing, Part, ResizedPositions, ShapeDifference, TokenPosition,
};
use crate::text::{counted, cut_line, cut_list, cut_names, grouped, percent, quoted, shape};

/// Most names of a list that are shown.
const SHOWN: usize = 10;

/// Share of unused parameters above which a file is probably for another model.
const MUCH_UNUSED: f64 = 0.1;

impl LoadPlan {
    /// The whole plan as text, one fact per line, with what happens to each tensor that does not load.
    pub fn report(&self) -> String {
        let mut lines = vec![
            message!("file: {} ({})", shown(&self.file), self.format),
            message!("stripped: {}", list_or_none(&self.stripped)),
        ];
        if !self.set_aside.is_empty() {
            lines.push(message!("set aside: {}", cut_list(&self.set_aside, SHOWN)));
        }
        if !self.rivals.is_empty() {
            let taken = match self.stripped.last().filter(|_| self.has_prefix) {
                Some(prefix) => format!("`{}`", cut_line(prefix, 100)),
                None => message!("no prefix"),
            };
            lines.push(message!(
                "fits under {} prefixes: {taken} is taken ({}); also {}; choose with {}",
                self.rivals.len() + 1,
                translated(self.reason),
                quoted(self.rivals.iter().map(String::as_str)),
                Key::WEIGHTS_PREFIX
            ));
        }
        lines.push(message!(
            "model: {} ({} names)",
            self.architecture,
            self.convention
        ));
        for (label, coverage) in [("backbone", &self.backbone), ("head", &self.head)] {
            lines.push(message!("{label}: {}", covered(coverage)));
        }
        self.push_differences(&mut lines);
        lines.extend(self.rows_line());
        self.push_missing(&mut lines);
        if !self.unreadable.is_empty() {
            let named = self
                .unreadable
                .iter()
                .map(|(name, why)| match &why.dtype {
                    Some(dtype) => format!("{} ({dtype})", cut_line(name, 100)),
                    None => cut_line(name, 100),
                })
                .collect::<Vec<_>>();
            lines.push(message!(
                "cannot be read, and not needed: {}: {}",
                counted(named.len(), "tensor"),
                cut_list(&named, SHOWN)
            ));
        }
        if !self.beyond.is_empty() {
            lines.push(message!(
                "not needed: {} of other parts of the network: {}",
                counted(self.beyond.len(), "tensor"),
                cut_names(&self.beyond, SHOWN)
            ));
        }
        self.push_copies(&mut lines);
        lines.push(self.unused_line());
        if self.batch_counters > 0 {
            lines.push(message!(
                "num_batches_tracked: {}, not needed",
                counted(self.batch_counters, "counter")
            ));
        }
        let mut text = String::new();
        if let Some(warning) = self.not_finite_line() {
            let _ = writeln!(text, "{warning}");
        }
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    fn push_differences(&self, lines: &mut Vec<String>) {
        for part in [Part::Backbone, Part::Head] {
            let wrong: Vec<&ShapeDifference> =
                self.wrong_shape.iter().filter(|w| w.part == part).collect();
            lines.extend(wrong.iter().take(SHOWN).map(|w| wrong_shape(w)));
            if wrong.len() > SHOWN {
                lines.push(message!(
                    "{}: wrong shape in {} more",
                    label(part),
                    grouped(wrong.len() - SHOWN)
                ));
            }
        }
        for stem in &self.spread {
            let (found, expected) = (stem.found[1], stem.expected[1]);
            let channels = counted(found, "input channel");
            lines.push(message!(
                "{}: {channels} in the file, converted to {expected}",
                cut_line(&stem.file_name, 100)
            ));
        }
        if !self.reshaped.is_empty() {
            let pairs: Vec<String> = self
                .reshaped
                .iter()
                .map(|r| format!("{} {} → {}", r.name, shape(&r.found), shape(&r.expected)))
                .collect();
            lines.push(message!(
                "reshaped, values unchanged: {}",
                cut_list(&pairs, SHOWN)
            ));
        }
        self.push_joined(lines);
        lines.extend(self.token_positions.iter().map(of_token));
        lines.extend(self.resized.iter().map(ResizedPositions::line));
    }

    /// The tensors that are joined of parts. Their names are long and alike, so few are shown.
    fn push_joined(&self, lines: &mut Vec<String>) {
        const SHOWN: usize = 2;
        if self.joined.is_empty() {
            return;
        }
        let tensors: Vec<String> = self
            .joined
            .iter()
            .map(|joined| {
                let keys = joined.file_names.iter();
                let parts = keys.map(|key| cut_line(key, 200)).collect::<Vec<_>>();
                let parts = parts.join(" + ");
                message!("{} {} of {parts}", joined.name, shape(&joined.shape))
            })
            .collect();
        lines.push(message!(
            "joined of their parts, values unchanged: {}: {}",
            counted(tensors.len(), "tensor"),
            cut_list(&tensors, SHOWN)
        ));
    }

    fn push_missing(&self, lines: &mut Vec<String>) {
        if self.missing.is_empty() {
            lines.push(message!("missing: none"));
        }
        for part in [Part::Backbone, Part::Head] {
            let missing: Vec<&Missing> = self.missing.iter().filter(|m| m.part == part).collect();
            if missing.is_empty() {
                continue;
            }
            let names: Vec<String> = missing.iter().map(|m| named(m)).collect();
            let (count, names) = (counted(missing.len(), "tensor"), cut_list(&names, SHOWN));
            lines.push(match part {
                Part::Head => {
                    message!("missing in the file: {count} of the head: {names}: initialised")
                }
                Part::Backbone | Part::Beyond => message!(
                    "missing in the file: {count} of the backbone: {names}: left as initialised, not pretrained"
                ),
            });
        }
    }

    /// The tensors that the file's have other rows than, which is so for all of a network's class layers alike.
    fn rows_line(&self) -> Option<String> {
        let KeptRows {
            rows, of, values, ..
        } = self.rows.first()?;
        let names: Vec<&str> = self.rows.iter().map(|rows| rows.name.as_str()).collect();
        let (count, names) = (counted(names.len(), "tensor"), cut_list(&names, SHOWN));
        Some(match values.len() {
            0 => message!(
                "{count} of the head for the classes: no row comes from the file's {of}, all {rows} are initialised: \
                 {names}"
            ),
            kept => message!(
                "{count} of the head for the classes: {kept} of {rows} rows come from the file's {of}, the others are \
                 initialised: {names}"
            ),
        })
    }

    fn push_copies(&self, lines: &mut Vec<String>) {
        if !self.copies.is_empty() {
            lines.push(message!(
                "not needed: {} that the file holds again under the names of other levels: {}",
                counted(self.copies.len(), "tensor"),
                cut_names(&self.copies, SHOWN)
            ));
        }
        if !self.contradictions.is_empty() {
            let pairs: Vec<String> = self
                .contradictions
                .iter()
                .map(|pair| {
                    let [copy, own] = [&pair.copy, &pair.file_name].map(|key| cut_line(key, 100));
                    message!("{copy} is not {own}")
                })
                .collect();
            lines.push(message!(
                "WARNING: {} that this network shares between its levels differ in the file, and the first is used: {}",
                counted(pairs.len(), "tensor"),
                cut_list(&pairs, SHOWN)
            ));
        }
    }

    fn unused_line(&self) -> String {
        if self.unused.is_empty() {
            return message!("unused: none");
        }
        let used: usize = self.backbone.loaded_parameters + self.head.loaded_parameters;
        let share = self.unused_parameters as f64 / (used + self.unused_parameters).max(1) as f64;
        let count = counted(self.unused.len(), "tensor");
        let parameters = grouped(self.unused_parameters);
        let names = cut_names(&self.unused, SHOWN);
        if share > MUCH_UNUSED {
            message!(
                "unused: {count}, {parameters} parameters: {names}; that is {} of the file's parameters: is it for \
                 another model?",
                percent(share)
            )
        } else {
            message!("unused: {count}, {parameters} parameters: {names}")
        }
    }

    fn not_finite_line(&self) -> Option<String> {
        if self.not_finite.is_empty() {
            return None;
        }
        let tensors: Vec<String> = self
            .not_finite
            .iter()
            .map(|n| format!("{} ({})", cut_line(&n.name, 100), grouped(n.count)))
            .collect();
        Some(message!(
            "WARNING: NaN or infinite values in {} of the file: {}: \
             training from them cannot work; use another copy or an earlier checkpoint",
            counted(tensors.len(), "tensor"),
            cut_list(&tensors, SHOWN)
        ))
    }
}

pub(crate) fn covered(coverage: &Coverage) -> String {
    if coverage.expected_tensors == 0 {
        return message!("has no tensors");
    }
    let [loaded, expected] = [coverage.loaded_tensors, coverage.expected_tensors].map(grouped);
    let share = percent(coverage.loaded_tensors as f64 / coverage.expected_tensors as f64);
    let parameters = grouped(coverage.loaded_parameters);
    if coverage.loaded_parameters == coverage.expected_parameters {
        message!("{loaded} of {expected} tensors ({share}), {parameters} parameters")
    } else {
        message!(
            "{loaded} of {expected} tensors ({share}), {parameters} of {} parameters",
            grouped(coverage.expected_parameters)
        )
    }
}

/// A tensor that the file does not have, with the one that it is a part of.
fn named(missing: &Missing) -> String {
    let name = cut_line(&missing.name, 200);
    let extents = shape(&missing.shape);
    match &missing.part_of {
        None => format!("{name} {extents}"),
        Some(whole) => message!("{name} {extents} (without this part, {whole} does not load)"),
    }
}

/// What becomes of the position of a token.
fn of_token(position: &TokenPosition) -> String {
    let TokenPosition {
        name,
        expected,
        found,
        token,
        is_added,
        ..
    } = position;
    let [found, expected] = [found, expected].map(|extents| shape(extents));
    if *is_added {
        message!(
            "{name} {found} → {expected}: the first position is that of {token}, and added to it"
        )
    } else {
        message!(
            "{name} {found} → {expected}: the first position is that of {token}, which does not load, and is left out"
        )
    }
}

fn wrong_shape(difference: &ShapeDifference) -> String {
    let fate = match (difference.part, &*difference.found, &*difference.expected) {
        (Part::Backbone | Part::Beyond, ..) => message!("left as initialised, not pretrained"),
        (Part::Head, [old, rest @ ..], [new, same @ ..])
            if without_trailing_ones(rest) == without_trailing_ones(same) =>
        {
            message!("re-initialised ({old} → {new} classes)")
        }
        (Part::Head, ..) => message!("re-initialised"),
    };
    message!(
        "{}: {} is {} in the file, {} in the model: {fate}",
        label(difference.part),
        cut_line(&difference.file_name, 100),
        shape(&difference.found),
        shape(&difference.expected)
    )
}

fn label(part: Part) -> &'static str {
    match part {
        Part::Backbone => "backbone",
        Part::Head => "head",
        Part::Beyond => "beyond",
    }
}

fn list_or_none(items: &[String]) -> String {
    match items {
        [] => message!("nothing"),
        _ => cut_names(items, SHOWN),
    }
}
