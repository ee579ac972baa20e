//! Events as lines for people.

use warmstart_files::shown;
use warmstart_language::{counted, message, translated};
use warmstart_recipe::Phase;
use warmstart_run::event::Event;
use warmstart_run::record::EpochRecord;

use super::data_lines::data_lines;
use super::ending::{finished_lines, interval, next_commands};
use super::line::{Kind, Line, noted, of_kind};
use crate::plan_table::{plan_lines, thousands};
use crate::printing::USUAL_COLUMNS;

/// The lines of an event for a terminal of so many columns; `None` if none shows them.
pub fn lines(event: &Event, columns: Option<usize>) -> Vec<Line> {
    let news = |texts: Vec<String>| of_kind(Kind::News, texts);
    match event {
        Event::Checking { images } => news(vec![message!("reading {images} images once")]),
        Event::Data { .. } => data_lines(event, columns),
        Event::Plan(plan) => news(plan_lines(plan, columns.unwrap_or(USUAL_COLUMNS))),
        Event::Loaded(report) => news(report.lines().map(str::to_owned).collect()),
        Event::Phase {
            phase,
            number,
            phases,
            trained,
            frozen,
            steps,
        } => news(vec![phase_line(
            phase,
            [*number, *phases],
            [*trained, *frozen],
            *steps,
        )]),
        Event::Epoch {
            record,
            epochs,
            metric,
            is_highest,
        } => news(vec![epoch_line(record, *epochs, metric, *is_highest)]),
        Event::Note(note) => vec![Line::warning(noted(note))],
        Event::Finished {
            summary,
            run,
            recipe,
            is_validated,
        } => {
            let mut lines = of_kind(Kind::Result, finished_lines(summary, &shown(run)));
            let next = next_commands(run, recipe, *is_validated, summary.epochs);
            lines.extend(news(next));
            lines
        }
        Event::Checked { .. }
        | Event::Measuring
        | Event::Run { .. }
        | Event::Step(_)
        | Event::Evaluated { .. }
        | Event::Downloading { .. } => Vec::new(),
    }
}

fn phase_line(
    phase: &Phase,
    [number, phases]: [usize; 2],
    [trained, frozen]: [usize; 2],
    steps: usize,
) -> String {
    let (trained, frozen) = (thousands(trained), thousands(frozen));
    let name = &phase.name;
    if phase.is_solved() {
        message!(
            "phase {number} of {phases}, {name}: a {} head, solved once for the frozen backbone ({trained} values to \
             find, {frozen} frozen)",
            phase.head
        )
    } else {
        message!(
            "phase {number} of {phases}, {name}: {} × {steps} steps, batch {}, learning rate {:.1e}, training {} \
             ({trained} trainable parameters, {frozen} frozen)",
            counted(phase.epochs, "epoch"),
            phase.batch,
            phase.lr,
            phase.train
        )
    }
}

fn epoch_line(record: &EpochRecord, epochs: usize, metric: &str, is_highest: bool) -> String {
    let highest = if is_highest {
        message!(", highest so far")
    } else {
        String::new()
    };
    let metric = translated(metric);
    message!(
        "epoch {}/{epochs} ({}): train loss {:.3}, val loss {:.3}, {metric} {:.4}{}{highest} [{:.1} s, {:.1} images/s, {:.0} MB]",
        record.epoch,
        record.phase,
        record.train_loss,
        record.val_loss,
        record.metric,
        interval(record.interval),
        record.seconds,
        record.images_per_second,
        record.peak_memory_mb,
    )
}
