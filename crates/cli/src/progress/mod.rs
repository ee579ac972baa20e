//! What a run says while it works: lines, a live block on a terminal, the log in its folder, or events as JSON.

mod block;
mod data_lines;
mod ending;
mod json;
mod line;
mod lines;
mod log;
mod time_left;

use std::io::{IsTerminal, stderr, stdout};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use warmstart_language::{english, message, translated};
use warmstart_run::event::Event;
use warmstart_train::memory;
use warmstart_workflows::cross_validate::CrossValidation;

pub use ending::interval;
pub use line::noted;

use crate::commands::Failure;
use crate::printing::{self, USUAL_COLUMNS};
use crate::run_pages::RunPages;
use block::Block;
use line::{Kind, Line};
use lines::lines;
use log::Log;

/// What is shown of a download.
const BYTES: &str =
    english!("{bar:30} {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left");
/// What is shown while images are read.
const IMAGES: &str = english!("reading images {bar:30} {human_pos} of {human_len}, {eta} left");
/// Time between two drawings of the block.
const REDRAW: Duration = Duration::from_millis(100);

/// The places that events are told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Lines on standard output, and what warns on standard error.
    Lines,
    /// The result on standard output, and what warns on standard error.
    Quiet,
    /// Events as JSON on standard output, and what warns on standard error.
    Json,
    /// Lines on standard error: standard output has the results of a command.
    BesideResults,
    /// The live block and what warns on standard error: the command says the rest itself.
    Own,
}

/// What stands at the foot of the terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Foot {
    /// Something whose length is unknown.
    Spinner,
    /// A download of so many bytes.
    Bytes(u64),
    /// The reading of so many images.
    Images(usize),
    /// The live block.
    Block,
}

/// The display of a run.
pub struct Progress {
    output: Output,
    foot: Option<(Foot, ProgressBar)>,
    block: Block,
    log: Log,
    began: Instant,
    /// The time of the last drawing of the block.
    drawn: Option<Instant>,
}

impl Progress {
    pub fn new(output: Output) -> Self {
        Self {
            output,
            foot: None,
            block: Block::default(),
            log: Log::default(),
            began: Instant::now(),
            drawn: None,
        }
    }

    pub fn show(&mut self, event: Event) {
        if let Event::Run { path } = &event
            && let Some(failure) = self.log.open(path)
        {
            self.warn_of_log(failure);
        }
        for line in lines(&event, None) {
            self.add_to_log(&line.text);
        }
        self.block.see(&event, self.began.elapsed().as_secs_f64());
        if self.output == Output::Json {
            // Ignored if nobody reads it.
            let _ = printing::json(&mut stdout(), &json::line(&event));
        }
        match &event {
            Event::Checking { images } if self.is_interactive() => {
                self.spin(message!("reading {images} images"));
            }
            Event::Measuring if self.is_interactive() => {
                self.spin(message!("measuring steps of each phase"));
            }
            Event::Checked { images, of } => self.show_images(*images, *of),
            Event::Downloading { done, of } => self.show_bytes(*done, *of),
            Event::Step(_) | Event::Evaluated { .. } => self.draw_block(),
            Event::Finished { .. } => {
                self.clear();
                self.say_all(&event);
                self.log.close();
            }
            Event::Checking { .. }
            | Event::Measuring
            | Event::Data { .. }
            | Event::Plan(_)
            | Event::Loaded(_)
            | Event::Run { .. }
            | Event::Phase { .. }
            | Event::Epoch { .. }
            | Event::Note(_) => self.say_all(&event),
        }
    }

    /// Prints the metrics of a cross-validation.
    pub fn folds(&mut self, result: &CrossValidation) {
        if self.output == Output::Json {
            let _ = printing::json(&mut stdout(), &json::folds_line(result));
        }
        self.say(&Line {
            kind: Kind::Result,
            text: ending::folds_line(result),
        });
    }

    /// Lets the pages of finished runs be written, and prints why one could not be.
    pub fn write_pages(&mut self, pages: RunPages) {
        if self.is_interactive() {
            self.spin(message!("writing the report"));
        }
        let problems = pages.finish();
        self.clear();
        for why in problems {
            self.say(&Line::warning(noted(message!("there is no report: {why}"))));
        }
    }

    /// Takes the end of a command: an error is in the log, too, which main prints.
    pub fn end(&mut self, result: Result<(), Failure>) -> Result<(), Failure> {
        self.clear();
        if let Err(failure) = &result {
            self.add_to_log(&failure.line());
        }
        result
    }

    /// Removes what stands at the foot of the terminal.
    pub fn clear(&mut self) {
        if let Some((_, bar)) = self.foot.take() {
            bar.finish_and_clear();
        }
    }

    /// Whether a terminal shows how it goes.
    fn is_interactive(&self) -> bool {
        match self.output {
            Output::Lines | Output::BesideResults | Output::Own => stderr().is_terminal(),
            Output::Quiet | Output::Json => false,
        }
    }

    fn add_to_log(&mut self, text: &str) {
        if let Some(failure) = self.log.line(text) {
            self.warn_of_log(failure);
        }
    }

    fn warn_of_log(&mut self, failure: String) {
        self.say(&Line::warning(noted(failure)));
    }

    /// Prints the lines of an event.
    fn say_all(&mut self, event: &Event) {
        let columns = match self.output {
            Output::Lines => printing::stdout_columns(),
            Output::Quiet | Output::Json | Output::BesideResults | Output::Own => {
                printing::stderr_columns()
            }
        };
        for line in lines(event, columns) {
            for part in line.bent(columns) {
                self.say(&part);
            }
        }
    }

    /// Prints a line where the output has it. Training continues whether or not anyone reads.
    fn say(&mut self, line: &Line) {
        let print: fn(&str) = match (self.output, line.kind) {
            (Output::BesideResults, Kind::News | Kind::Warning | Kind::Result)
            | (Output::Lines | Output::Quiet | Output::Json | Output::Own, Kind::Warning) => {
                |text| printing::print_to_stderr(text)
            }
            (Output::Lines, Kind::News | Kind::Result) | (Output::Quiet, Kind::Result) => {
                |text| printing::print_to_stdout(text)
            }
            (Output::Quiet, Kind::News)
            | (Output::Json | Output::Own, Kind::News | Kind::Result) => return,
        };
        match &self.foot {
            // It stays below the line.
            Some((Foot::Block, bar)) => bar.suspend(|| print(&line.text)),
            Some((Foot::Spinner | Foot::Bytes(_) | Foot::Images(_), _)) | None => {
                self.clear();
                print(&line.text);
            }
        }
    }

    /// Shows that something goes on whose length is unknown.
    fn spin(&mut self, message: String) {
        self.clear();
        let bar = ProgressBar::new_spinner().with_message(message);
        bar.enable_steady_tick(REDRAW);
        self.foot = Some((Foot::Spinner, bar));
    }

    fn show_bytes(&mut self, done: u64, of: Option<u64>) {
        if !self.is_interactive() {
            return;
        }
        // A length of 0 is no download's: it stands for one that is unknown.
        let length = of.unwrap_or(0);
        let bar = self.bar_of(Foot::Bytes(length), || {
            ProgressBar::new(length).with_style(style(translated(BYTES)))
        });
        bar.set_position(done);
    }

    fn show_images(&mut self, done: usize, of: usize) {
        if !self.is_interactive() {
            return;
        }
        let bar = self.bar_of(Foot::Images(of), || {
            ProgressBar::new(of as u64).with_style(style(translated(IMAGES)))
        });
        bar.set_position(done as u64);
    }

    fn draw_block(&mut self) {
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW);
        if !is_due || !self.is_interactive() {
            return;
        }
        self.drawn = Some(Instant::now());
        let columns = printing::stderr_columns().unwrap_or(USUAL_COLUMNS);
        let now = self.began.elapsed().as_secs_f64();
        let lines = self.block.lines(now, memory::peak_mb(), columns);
        let bar = self.bar_of(Foot::Block, || {
            ProgressBar::new_spinner().with_style(style("{msg}"))
        });
        bar.set_message(lines.join("\n"));
    }

    /// The bar of that kind, made if another or none is there.
    fn bar_of(&mut self, foot: Foot, make: impl FnOnce() -> ProgressBar) -> &ProgressBar {
        if self.foot.as_ref().is_none_or(|(there, _)| *there != foot) {
            self.clear();
        }
        let (_, bar) = self.foot.get_or_insert_with(|| (foot, make()));
        bar
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid")
}
