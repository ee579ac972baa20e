//! The command line: arguments in, calls out, and the one place that prints.

mod arguments;
mod commands;
mod cores;
mod findings;
mod language;
mod picture_bar;
mod plan_table;
mod printing;
mod progress;
mod ranks_table;
mod run_pages;
mod signals;
mod text_table;

use std::process::ExitCode;

use arguments::{Arguments, Command, arguments};
use commands::Failure;

fn main() -> ExitCode {
    // Before anything is allocated.
    warmstart_nn::explain_exhaustion();
    language::speak();
    warmstart_nn::translate_exhaustion();
    let (arguments, prints_json) = match arguments() {
        Ok(arguments) => {
            let prints_json = arguments.command.prints_json();
            (Ok(arguments), prints_json)
        }
        // A command line that is not understood counts as one with JSON if it has the word.
        Err(failure) => (
            Err(failure),
            std::env::args_os().any(|word| word == "--json"),
        ),
    };
    match arguments.and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(prints_json),
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    signals::survive_size_limit()?;
    commands::simd_level()?;
    match arguments.command {
        Command::Demo(arguments) => commands::demo::demo(&arguments),
        Command::New(arguments) => commands::new::new(&arguments),
        Command::Train(arguments) => commands::train::train(*arguments),
        Command::Resume(arguments) => commands::train::resume(arguments),
        Command::Runs(arguments) => commands::runs::runs(arguments),
        Command::Plan(arguments) => commands::plan::plan(*arguments),
        Command::LrFind(arguments) => commands::lr_find::lr_find(*arguments),
        Command::Rank(arguments) => commands::rank::rank(arguments),
        Command::Features(arguments) => commands::features::features(*arguments),
        Command::Merge(arguments) => commands::merge::merge(&arguments),
        Command::Probe => commands::plan::probe(),
        Command::Report(arguments) => commands::report::report(arguments),
        Command::Compare(arguments) => commands::report::compare(arguments),
        Command::Eval(arguments) => commands::eval::eval(arguments),
        Command::Predict(arguments) => commands::predict::predict(arguments),
        Command::Export(arguments) => commands::export::export(arguments),
        Command::InitCheck(arguments) => commands::init_check::init_check(arguments),
        Command::Data(arguments) => commands::data::data(arguments.command),
        Command::Cache(arguments) => commands::cache::cache(arguments),
        Command::Models(arguments) => commands::models::models(&arguments),
        Command::Devices(arguments) => commands::devices::devices(&arguments),
        Command::Weights(arguments) => commands::weights::weights(arguments.command),
        Command::Serve(arguments) => commands::serve::serve(&arguments),
        Command::Completions(arguments) => commands::manual::completions(&arguments),
        Command::Man(arguments) => commands::manual::man(&arguments),
    }
}
