//! The plan of a run as a table, which fits 80 columns, or as lines for each phase where the terminal is narrow.

use warmstart_files::duration;
use warmstart_language::{columns, english, message, translated};
use warmstart_run::plan::{PhasePlan, Plan};

use crate::progress::noted;
use crate::text_table::{rows, unknown};

/// Fewest columns of a table; below, each phase is a block of lines.
const NARROW: usize = 60;

/// The plan for a terminal of so many columns, with its notes.
pub fn plan_lines(plan: &Plan, width: usize) -> Vec<String> {
    let mut lines = heading(plan, width);
    lines.extend(card_heading(plan, width));
    let table = table(plan);
    if width >= NARROW && table.iter().all(|line| columns(line) <= width) {
        lines.extend(table);
    } else {
        lines.extend(plan.phases.iter().flat_map(block));
    }
    lines.extend(cache_line(plan));
    lines.extend(plan.notes.iter().map(noted));
    lines
}

/// The memory limit, and what sets it: a line, or two where that is too long.
fn heading(plan: &Plan, width: usize) -> Vec<String> {
    let Some(budget) = plan.budget_mb else {
        return vec![message!("plan: memory limit unknown on this system")];
    };
    let limit = translated(&plan.budget_set_by);
    let line = message!("plan: memory limit {budget:.0} MB, set by {limit}");
    if columns(&line) <= width {
        vec![line]
    } else {
        vec![
            message!("plan: memory limit {budget:.0} MB"),
            message!("  set by {limit}"),
        ]
    }
}

/// The graphics card and the limit of its memory, below those of the system: a line, or two where that is too long.
/// None on the processor.
fn card_heading(plan: &Plan, width: usize) -> Vec<String> {
    let Some(card) = &plan.card else {
        return Vec::new();
    };
    let limit = match plan.card_budget_mb {
        Some(budget) => message!("memory limit {budget:.0} MB"),
        None => message!("memory limit unknown"),
    };
    let line = format!("  {card}: {limit}");
    if columns(&line) <= width {
        vec![line]
    } else {
        vec![format!("  {card}"), format!("    {limit}")]
    }
}

/// Two lines for each phase, below the names of the columns.
fn table(plan: &Plan) -> Vec<String> {
    let head = [
        message!("phase"),
        message!("trains"),
        message!("batch"),
        message!("micro"),
        message!("steps"),
        message!("memory"),
        message!("time"),
    ];
    let cells = plan.phases.iter().map(|phase| {
        [
            phase.name.clone(),
            phase.train.to_string(),
            phase.batch.to_string(),
            phase.micro_batch.to_string(),
            steps(phase),
            format!("{:.0} MB", phase.planned_mb),
            format!("~{}", duration(phase.seconds)),
        ]
    });
    let table = if plan.card.is_some() {
        rows_with_card(plan, head, cells)
    } else {
        rows(&head, cells)
    };
    let mut table = table.into_iter().map(|line| format!("  {line}"));
    let mut lines: Vec<String> = table.next().into_iter().collect();
    for (line, phase) in table.zip(&plan.phases) {
        lines.push(line);
        lines.push(message!(
            "      {} values; {}",
            values(phase),
            per_image(phase)
        ));
    }
    lines
}

/// The rows of a table with a column for the memory of a graphics card, in front of the time.
fn rows_with_card(
    plan: &Plan,
    [phase, trains, batch, micro, steps, memory, time]: [String; 7],
    cells: impl Iterator<Item = [String; 7]>,
) -> Vec<String> {
    let head = [
        phase,
        trains,
        batch,
        micro,
        steps,
        memory,
        message!("on card"),
        time,
    ];
    let cells = cells.zip(&plan.phases).map(|(cells, phase)| {
        let [name, train, batch, micro, steps, memory, time] = cells;
        let card = on_card(phase);
        [name, train, batch, micro, steps, memory, card, time]
    });
    rows(&head, cells)
}

/// The memory of a phase on the graphics card.
fn on_card(phase: &PhasePlan) -> String {
    unknown(phase.card_mb.map(|card| format!("{card:.0} MB")))
}

/// A phase in lines that fit 40 columns.
fn block(phase: &PhasePlan) -> Vec<String> {
    let mut lines = vec![
        (english!("trains"), phase.train.to_string()),
        (english!("values"), values(phase)),
        (
            english!("batch"),
            message!("{}, micro-batch {}", phase.batch, phase.micro_batch),
        ),
        (english!("steps"), steps(phase)),
        (english!("memory"), format!("{:.0} MB", phase.planned_mb)),
        (english!("of it"), per_image(phase)),
    ];
    if phase.card_mb.is_some() {
        lines.push((english!("on card"), on_card(phase)));
    }
    lines.push((english!("time"), format!("~{}", duration(phase.seconds))));
    let lines = lines
        .into_iter()
        .map(|(name, value)| message!("    {name}: {value}", name = translated(name)));
    let name = format!("  {}", phase.name);
    [name].into_iter().chain(lines).collect()
}

/// The trained values of all.
fn values(phase: &PhasePlan) -> String {
    message!(
        "{trained} of {all}",
        trained = thousands(phase.trained),
        all = thousands(phase.trained + phase.frozen)
    )
}

/// The two parts of a phase's memory.
fn per_image(phase: &PhasePlan) -> String {
    message!(
        "{:.0} MB + {:.1} per image",
        phase.base_mb,
        phase.per_image_mb
    )
}

/// Epochs and steps of each.
fn steps(phase: &PhasePlan) -> String {
    match phase.steps_per_epoch {
        0 => message!("solved"),
        steps => format!("{} × {steps}", phase.epochs),
    }
}

/// The size on disk of the features that phases keep.
fn cache_line(plan: &Plan) -> Option<String> {
    let kept = plan.phases.iter().filter(|phase| phase.cached_mb > 0.0);
    let sizes: Vec<String> = kept
        .map(|phase| format!("{} {:.1} MB", phase.name, phase.cached_mb))
        .collect();
    (!sizes.is_empty()).then(|| message!("cached features on disk: {}", sizes.join(", ")))
}

/// 2236682 as 2,236,682.
pub fn thousands(value: usize) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let phase = |name: &str, trained: usize, steps_per_epoch: usize| PhasePlan {
            name: name.into(),
            train: "from:features.18".parse().expect("a part"),
            trained,
            frozen: 23_577_544 - trained,
            epochs: 14,
            steps_per_epoch,
            batch: 32,
            micro_batch: 16,
            lr: 1e-3,
            base_mb: 1461.0,
            per_image_mb: 86.1,
            planned_mb: 2938.0,
            card_mb: None,
            waits_for_writes: false,
            cached_mb: 0.0,
            seconds: 1860.0,
        };
        Plan {
            budget_mb: Some(1000.0),
            budget_set_by: "--memory".into(),
            card: None,
            card_budget_mb: None,
            phases: vec![
                phase("freeze", 16_392, 0),
                phase("extension-2", 23_524_424, 1000),
            ],
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_table_fits_80_columns_and_the_lines_fit_40() {
        for (width, least) in [(80, 6), (59, 17), (40, 18)] {
            let lines = plan_lines(&plan(), width);
            assert_eq!(lines.len(), least, "{lines:#?}");
            let widest = lines.iter().map(|line| columns(line)).max();
            assert!(widest <= Some(width), "{lines:#?}");
        }
        let lines = plan_lines(&plan(), 80);
        assert!(
            lines[2].contains("solved") && lines[5].contains("1461 MB + 86.1 per image"),
            "{lines:#?}"
        );
    }

    /// The plan for a graphics card, with shorter names.
    fn plan_for_card(budget: Option<f64>) -> Plan {
        let mut plan = plan();
        plan.card = Some("gpu:0, NVIDIA GeForce RTX 4090".into());
        plan.card_budget_mb = budget;
        for (phase, card_mb) in plan.phases.iter_mut().zip([410.0, 12_345.0]) {
            phase.train = "all".parse().expect("a part");
            phase.card_mb = Some(card_mb);
        }
        plan
    }

    #[test]
    fn a_graphics_card_has_a_heading_and_a_column() {
        let lines = plan_lines(&plan_for_card(Some(22_000.0)), 80);
        assert_eq!(lines.len(), 7, "{lines:#?}");
        assert_eq!(
            lines[1],
            "  gpu:0, NVIDIA GeForce RTX 4090: memory limit 22000 MB"
        );
        assert!(lines[2].contains("memory   on card"), "{lines:#?}");
        assert!(
            lines[5].contains("2938 MB  12345 MB  ~31 min"),
            "{lines:#?}"
        );
        let widest = lines.iter().map(|line| columns(line)).max();
        assert!(widest <= Some(80), "{lines:#?}");
    }

    #[test]
    fn the_lines_of_a_plan_for_a_graphics_card_fit_40_columns() {
        let lines = plan_lines(&plan_for_card(None), 40);
        assert_eq!(
            lines[2..4],
            [
                "  gpu:0, NVIDIA GeForce RTX 4090",
                "    memory limit unknown"
            ]
        );
        assert!(
            lines.contains(&"    on card: 12345 MB".to_owned()),
            "{lines:#?}"
        );
        let widest = lines.iter().map(|line| columns(line)).max();
        assert!(widest <= Some(40), "{lines:#?}");
    }

    #[test]
    fn values_are_grouped_in_thousands() {
        assert_eq!(
            [0, 999, 1000, 2_236_682].map(thousands),
            ["0", "999", "1,000", "2,236,682"]
        );
    }
}
