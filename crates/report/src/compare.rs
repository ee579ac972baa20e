//! The page that shows runs side by side.

use std::path::Path;

use maud::{Markup, html};
use warmstart_files::{duration, shown};
use warmstart_language::{english, message};
use warmstart_recipe::plain;
use warmstart_run::record::EpochRecord;
use warmstart_workflows::compare::{Compared, Comparison};
use warmstart_workflows::report::Pictures;

use crate::Error;
use crate::page::{Chart, EPOCH, Series, document, metric_name, percent, range};
use crate::picture::require_place_of;
use crate::run_report::write_page;

/// The end of the page of a comparison, by which it is told from that of a run.
const MARK: &str = "\n<!-- compared by warmstart -->\n";

/// Refuses a path where the page of a comparison cannot be written, or where something else is.
///
/// # Errors
/// If its folder is missing, or something else is there.
pub fn require_place_of_comparison(path: &Path) -> Result<(), Error> {
    require_place_of(path, MARK)
}

/// Writes the page of a comparison.
///
/// # Errors
/// If the file cannot be written.
pub fn write_comparison(path: &Path, comparison: &Comparison) -> Result<(), Error> {
    let body = html! {
        main {
            h1 { (message!("Comparison of {count} runs", count = comparison.lines.len())) }
            p.answer { (sentence(comparison)) }
            (table(comparison))
            (curves(comparison))
            (differences(comparison))
        }
    };
    let page = document(&message!("Comparison"), &body, &Pictures::default());
    write_page(path, &page, MARK)
}

fn sentence(comparison: &Comparison) -> String {
    let [first, others @ ..] = &comparison.lines[..] else {
        return String::new();
    };
    let figure = message!(
        "{run} has {metric} {value}",
        run = shown(&first.run),
        metric = metric_name(&first.metric),
        value = percent(first.value)
    );
    let tested = others.iter().filter_map(|other| other.p_value);
    let (tested, sure) = tested.fold((0, 0), |(tested, sure), p_value| {
        (tested + 1, sure + usize::from(p_value < 0.05))
    });
    match (tested, sure) {
        (0, _) => message!("{figure}."),
        (1, 0) => {
            message!("{figure}. It is not shown to be better than the other: that may be luck.")
        }
        (_, 0) => {
            message!("{figure}. It is not shown to be better than any other: that may be luck.")
        }
        _ => message!(
            "{figure}. It is better by more than luck (p < 0.05, on the same images) than {sure} of the {tested} that could \
             be tested."
        ),
    }
}

fn table(comparison: &Comparison) -> Markup {
    let interval = |line: &Compared| line.interval.map_or("–".to_owned(), range);
    html! {
        section #table {
            h2 { (message!("Figures")) }
            div.wide {
                table {
                    thead { tr {
                        th { (message!("run")) } th { (message!("network")) }
                        th { (metric_name(&comparison.lines[0].metric)) } th { "95%" } th { "p" }
                        th { (message!("epochs")) } th { (message!("time")) } th { (message!("memory")) }
                    } }
                    tbody {
                        @for line in &comparison.lines {
                            tr {
                                td { (shown(&line.run)) } td { (line.model) } td { (percent(line.value)) }
                                td { (interval(line)) }
                                td { (line.p_value.map_or("–".to_owned(), |p| format!("{p:.3}"))) }
                                td { (line.epochs) } td { (duration(line.seconds)) }
                                td { (format!("{:.0} MB", line.peak_mb)) }
                            }
                        }
                    }
                }
            }
            p.note {
                (message!("p is the chance of a difference from the first run at least this large if both were equal."))
            }
            @for line in &comparison.lines {
                @if let Some(why) = &line.untested {
                    p.note { (message!("{run} was not tested: {why}", run = shown(&line.run), why = plain(why))) }
                }
            }
        }
    }
}

fn curves(comparison: &Comparison) -> Markup {
    let chart = |title: &str, axis, value: fn(&EpochRecord) -> f64| {
        let series = comparison.reports.iter().map(|report| Series {
            name: shown(&report.files.run),
            points: report
                .files
                .history
                .iter()
                .map(|record| [record.epoch as f64, value(record)])
                .collect(),
        });
        Chart {
            title: title.to_owned(),
            axes: [EPOCH, axis],
            series: series.collect(),
            bands: Vec::new(),
            mark: None,
            is_logarithmic: false,
            at_least: None,
        }
    };
    html! {
        section #curves {
            h2 { (message!("Curves")) }
            div.grid {
                (chart(metric_name(&comparison.lines[0].metric), english!("share"), |record| record.metric).figure())
                (chart(&message!("Validation loss"), english!("loss"), |record| record.val_loss).figure())
                (chart(&message!("Training loss"), english!("loss"), |record| record.train_loss).figure())
            }
        }
    }
}

fn differences(comparison: &Comparison) -> Markup {
    html! {
        section #differences {
            h2 { (message!("Options that differ from the first run's")) }
            @for line in comparison.lines.iter().skip(1) {
                details open {
                    summary { (shown(&line.run)) }
                    @if line.differences.is_empty() { p.note { (message!("None.")) } } @else {
                        ul { @for difference in &line.differences { li { (difference) } } }
                    }
                }
            }
        }
    }
}
