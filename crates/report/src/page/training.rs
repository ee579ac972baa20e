//! What went in: doubtful labels, the images as the network saw them, the plan beside what was measured, and the texts.

use maud::{Markup, html};
use warmstart_files::duration;
use warmstart_language::message;
use warmstart_workflows::report::RunReport;

use super::answer::percent;
use super::classes::short;
use super::gallery::picture;

/// Training images whose labels are doubtful.
pub fn doubts(report: &RunReport) -> Markup {
    let doubts = &report.doubts;
    if doubts.shown.is_empty() {
        return html! {};
    }
    html! {
        section #doubts {
            h2 { (message!("Doubtful labels")) }
            p.note {
                (message!(
                    "Of {judged} training labels, {doubtful} are doubtful: a head that has not learned from the image is \
                     as sure of another class as it is of that class's own images. ",
                    judged = doubts.judged,
                    doubtful = doubts.doubtful
                ))
                @if doubts.shown.len() < doubts.doubtful {
                    (message!("The {shown} most doubtful; ", shown = doubts.shown.len()))
                }
                (message!("doubts.csv in the run has all."))
            }
            div.pictures {
                @for (id, doubt) in &doubts.shown {
                    (picture(*id, "", &report.pictures, &html! {
                        span.truth { (short(&doubt.label)) } " " (percent(doubt.label_probability.into())) br;
                        span.said { (short(&doubt.probable)) "?" } " " (percent(doubt.probability.into()))
                    }))
                }
            }
        }
    }
}

/// Training images as the network saw them.
pub fn samples(report: &RunReport) -> Markup {
    if report.samples.is_empty() {
        return html! {};
    }
    html! {
        section #samples {
            h2 { (message!("Training images as the network sees them")) }
            p.note { (message!("In the first view of the last phase, augmented as its recipe says.")) }
            div.pictures {
                @for (id, classes) in &report.samples {
                    (picture(*id, "", &report.pictures, &html! { (short(classes)) }))
                }
            }
        }
    }
}

/// The plan beside what was measured.
pub fn plan(report: &RunReport) -> Markup {
    let (Some(plan), Some(summary)) = (&report.files.plan, &report.files.summary) else {
        return html! {};
    };
    html! {
        section #plan {
            h2 { (message!("The plan and what was measured")) }
            div.wide {
                table {
                    thead { tr {
                        th { (message!("phase")) } th { "batch" } th { (message!("memory planned")) }
                        th { (message!("measured")) } th { (message!("time planned")) } th { (message!("measured")) }
                    } }
                    tbody {
                        @for phase in &summary.phases {
                            @let planned = plan.phases.iter().find(|planned| planned.name == phase.name);
                            tr {
                                td { (phase.name) }
                                td { (planned.map_or("–".to_owned(), |planned| planned.batch.to_string())) }
                                td { (planned.map_or("–".to_owned(), |planned| format!("{:.0} MB", planned.planned_mb))) }
                                td { (format!("{:.0} MB", phase.peak_mb)) }
                                td { (planned.map_or("–".to_owned(), |planned| duration(planned.seconds))) }
                                td { (duration(phase.seconds)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The run's own texts.
pub fn texts(report: &RunReport) -> Markup {
    let files = &report.files;
    let text = |name: &str, text: &str| {
        html! {
            @if !text.trim().is_empty() {
                details { summary { (name) } pre { (text.trim_end()) } }
            }
        }
    };
    html! {
        section #texts {
            h2 { (message!("The run's own words")) }
            (text(&message!("What was loaded from the weight file"), &files.load_report))
            (text(&message!("What the run said, with its findings on the data"), &files.log))
            (text(&message!("Recipe"), &files.recipe.to_toml()))
        }
    }
}
