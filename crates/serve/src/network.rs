//! The way of pictures from the queue through the network.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, Scope};

use crossbeam_channel::{Receiver, Sender};
use warmstart_data::DataError;
use warmstart_nn::catching_exhausted_cards;
use warmstart_tasks::answer;
use warmstart_tasks::kinds::{Preparation, Trained};
use warmstart_tasks::network::INFERENCE_BATCH;
use warmstart_tasks::prepared::PreparedPicture;

use crate::queue::{Caller, Picture, Waiting};

/// A picture that is ready for the network.
pub struct Ready {
    file: String,
    picture: PreparedPicture,
    caller: Caller,
}

/// Starts the threads that decode pictures; they end with the queue. Pictures that cannot be read are answered at once.
///
/// # Errors
/// If the system refuses a thread.
pub fn start_readers<'scope>(
    scope: &'scope Scope<'scope, '_>,
    readers: usize,
    waiting: Receiver<Waiting>,
    prepare: Box<Preparation>,
) -> io::Result<Receiver<Ready>> {
    let (ready, taken) = crossbeam_channel::bounded(INFERENCE_BATCH);
    let prepare: Arc<Preparation> = prepare.into();
    for number in 0..readers.max(1) {
        let (waiting, ready, prepare) = (waiting.clone(), ready.clone(), Arc::clone(&prepare));
        thread::Builder::new()
            .name(format!("reader-{number}"))
            .spawn_scoped(scope, move || read(&waiting, &ready, &*prepare))?;
    }
    Ok(taken)
}

fn read(waiting: &Receiver<Waiting>, ready: &Sender<Ready>, prepare: &Preparation) {
    for Waiting { picture, caller } in waiting {
        if caller.is_gone() {
            continue;
        }
        // A picture that trips the code must not end the thread: its caller is told that there is no answer.
        let prepared = catch_unwind(AssertUnwindSafe(|| prepared(&picture, prepare)));
        match prepared {
            Ok(Ok(prepared)) => {
                let sent = ready.send(Ready {
                    file: picture.file,
                    picture: prepared,
                    caller,
                });
                if sent.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => caller.answer(answer::of_error(&picture.file, &error)),
            Err(_) => {}
        }
    }
}

fn prepared(picture: &Picture, prepare: &Preparation) -> Result<PreparedPicture, DataError> {
    prepare(Path::new(&picture.file), &picture.bytes)
}

/// Sends pictures through the network until there are no more. A batch is what is ready, up to a size.
pub fn run(model: &Trained, ready: &Receiver<Ready>) {
    while let Ok(first) = ready.recv() {
        let mut batch = vec![first];
        batch.extend(ready.try_iter().take(INFERENCE_BATCH - 1));
        batch.retain(|picture| !picture.caller.is_gone());
        if batch.is_empty() {
            continue;
        }
        let pictures: Vec<_> = batch
            .iter()
            .map(|one| (one.file.as_str(), &one.picture))
            .collect();
        // As with the readers: one batch without answers is better than a server without a network. Only a graphics
        // card that is lost ends it, since no batch would have answers any more.
        let answers = catching_exhausted_cards(|| model.answers(&pictures));
        for (one, answer) in batch.into_iter().zip(answers.unwrap_or_default()) {
            one.caller.answer(answer);
        }
    }
}
