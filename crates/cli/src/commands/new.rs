//! `warmstart new`.

use std::io::stdout;

use warmstart_files::shown;
use warmstart_recipe::command;
use warmstart_run::event::Event;
use warmstart_workflows::new_recipe::{Request, write};

use super::Failure;
use crate::arguments::New;
use crate::printing::{line, print_to_stderr};

pub fn new(arguments: &New) -> Result<(), Failure> {
    let request = Request {
        data: arguments.data.clone(),
        out: arguments.out.clone(),
        model: arguments.model.clone(),
        weights: arguments.weights.clone(),
    };
    let content = write(&request, &mut |event| {
        if let Event::Note(note) = event {
            print_to_stderr(note);
        }
    })?;
    let [train, validation, test] = content.images;
    let test = match test {
        0 => String::new(),
        count => format!(", {count} test"),
    };
    let mut out = stdout().lock();
    let what = format!(
        "{}: {}, {} classes; {train} training, {validation} validation{test} images",
        shown(&arguments.data),
        content.task,
        content.classes.len()
    );
    line(&mut out, what)?;
    line(&mut out, format!("wrote {}", shown(&arguments.out)))?;
    let next = command::word(&arguments.out);
    Ok(line(&mut out, format!("warmstart train {next}"))?)
}
