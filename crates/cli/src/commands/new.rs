//! `warmstart new`.

use std::io::stdout;

use warmstart_files::shown;
use warmstart_language::message;
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
    let (data, task, classes) = (shown(&arguments.data), content.task, content.classes.len());
    let mut out = stdout().lock();
    let what = match test {
        0 => message!(
            "{data}: {task}, {classes} classes; {train} training, {validation} validation images"
        ),
        _ => message!(
            "{data}: {task}, {classes} classes; {train} training, {validation} validation, {test} test images"
        ),
    };
    line(&mut out, what)?;
    line(&mut out, message!("wrote {}", shown(&arguments.out)))?;
    let next = command::word(&arguments.out);
    Ok(line(&mut out, format!("warmstart train {next}"))?)
}
