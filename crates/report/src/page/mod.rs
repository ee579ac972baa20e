//! The page of a run: one file, which loads nothing.

mod advice;
mod answer;
mod chart;
mod classes;
mod curves;
mod found;
mod gallery;
mod scenes;
mod ticks;
mod training;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use warmstart_files::shown;
use warmstart_language::{english, message, translated};
use warmstart_recipe::plain;
use warmstart_workflows::report::{Judged, Pictures, RunReport};

pub use answer::{percent, range};
pub use chart::{Chart, EPOCH, Series};
pub use curves::metric_name;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// Nothing is loaded from anywhere, whatever a name in the data holds.
const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The page of a run as HTML.
pub fn page(report: &RunReport) -> String {
    let body = html! {
        main {
            (answer::answer(report))
            @if let Some(why) = &report.why_not_judged {
                p.note { (message!("Without the kept model's answers: {why}", why = plain(why))) }
            }
            @if report.lost > 0 {
                p.note {
                    (message!(
                        "{lost} of the run's validation images are gone or changed, or cannot be read, and left out of \
                         the answers below.",
                        lost = report.lost
                    ))
                }
            }
            (curves::curves(report))
            @match &report.judged {
                Some(Judged::Classes(classes)) => (classes::classes(classes, &report.pictures)),
                Some(Judged::Scenes(scenes)) => (scenes::scenes(scenes, &report.pictures)),
                None => {}
            }
            (training::doubts(report))
            (training::samples(report))
            (training::plan(report))
            (training::texts(report))
        }
    };
    document(&shown(&report.files.run), &body, &report.pictures)
}

/// A whole document with the page's style and script.
pub fn document(title: &str, body: &Markup, pictures: &Pictures) -> String {
    let document = html! {
        (DOCTYPE)
        // The language's name in HTML.
        html lang=(translated(english!("en"))) {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – warmstart" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                footer { "warmstart " (env!("CARGO_PKG_VERSION")) }
                dialog {
                    h3 {}
                    div.pictures {}
                    form method="dialog" { button { (message!("Close")) } }
                }
                (gallery::data(pictures))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    document.into_string()
}
