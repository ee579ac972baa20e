//! The plan of a run as a table.

use warmstart_run::plan::Plan;

/// The plan as a table, with its notes.
pub fn plan_lines(plan: &Plan) -> Vec<String> {
    let budget = match plan.budget_mb {
        Some(budget) => format!("{budget:.0} MB, set by {}", plan.budget_set_by),
        None => "unknown on this system".into(),
    };
    let mut lines = vec![
        format!("plan: memory limit {budget}"),
        row([
            "phase",
            "trains",
            "trainable",
            "total",
            "batch",
            "micro-batch",
            "steps",
            "memory",
            "time (approx.)",
        ]),
    ];
    for phase in &plan.phases {
        let memory = format!(
            "{:.0} MB ({:.0} + {:.1} per image)",
            phase.planned_mb, phase.base_mb, phase.per_image_mb
        );
        let fields = [
            phase.name.clone(),
            phase.train.to_string(),
            thousands(phase.trained),
            thousands(phase.trained + phase.frozen),
            phase.batch.to_string(),
            phase.micro_batch.to_string(),
            match phase.steps_per_epoch {
                0 => "solved".to_owned(),
                steps => format!("{} × {steps}", phase.epochs),
            },
            memory,
            duration(phase.seconds),
        ];
        lines.push(row(fields.each_ref().map(String::as_str)));
    }
    lines.extend(cache_line(plan));
    lines.extend(plan.notes.iter().map(|note| format!("note: {note}")));
    lines
}

/// The size on disk of the features that phases keep.
fn cache_line(plan: &Plan) -> Option<String> {
    let kept = plan.phases.iter().filter(|phase| phase.cached_mb > 0.0);
    let sizes: Vec<String> = kept
        .map(|phase| format!("{} {:.1} MB", phase.name, phase.cached_mb))
        .collect();
    (!sizes.is_empty()).then(|| format!("cached features on disk: {}", sizes.join(", ")))
}

fn row(
    [
        phase,
        trains,
        trainable,
        total,
        batch,
        micro_batch,
        steps,
        memory,
        time,
    ]: [&str; 9],
) -> String {
    format!(
        "  {phase:12} {trains:>12} {trainable:>10} {total:>10} {batch:>5} {micro_batch:>11} {steps:>9} {memory:>30} {time:>14}"
    )
}

fn duration(seconds: f64) -> String {
    match seconds {
        ..100.0 => format!("{seconds:.0} s"),
        ..6000.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
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

    #[test]
    fn values_are_grouped_in_thousands() {
        assert_eq!(
            [0, 999, 1000, 2_236_682].map(thousands),
            ["0", "999", "1,000", "2,236,682"]
        );
    }
}
