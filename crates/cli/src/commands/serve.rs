//! `warmstart serve`.

use std::io::stdout;

use warmstart_files::shown;
use warmstart_recipe::{Key, Problem};
use warmstart_run::stop::Stop;
use warmstart_tasks::kinds::Trained;

use super::weights::fetch_detector;
use super::{Failure, use_threads};
use crate::arguments::Serve;
use crate::printing::{line, print_to_stderr};
use crate::signals::Signals;

pub fn serve(arguments: &Serve) -> Result<(), Failure> {
    let readers = use_threads(&arguments.threads)?;
    fetch_detector(&arguments.model)?;
    let (model, note) = Trained::load_noted(&arguments.model)?;
    if let Some(note) = note {
        print_to_stderr(format!("note: {note}"));
    }
    let (host, port) = (&arguments.host, arguments.port);
    let refused = |error: std::io::Error| {
        Problem::new(format!("cannot listen on {host}, port {port}: {error}"))
            .of_key(Key("port"))
            .fix("give another --port or --host, or stop the program that uses it")
    };
    let listener = warmstart_serve::listen(host, port).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let stop = Stop::default();
    // The first signal lets the answers that are due be given; a second one ends the process.
    stop.saves(true);
    Signals::catch(&stop)?;
    if !address.ip().is_loopback() {
        print_to_stderr(format!(
            "note: whoever reaches {address} can use the model; there is no password and no encryption"
        ));
    }
    let classes = model.info().classes.len();
    print_to_stderr(format!(
        "serving {} ({}, {classes} classes); Ctrl-C stops",
        shown(&arguments.model),
        model.info().model
    ));
    line(&mut stdout(), format!("http://{address}/"))?;
    warmstart_serve::serve(&model, listener, readers, &stop.requested())
        .map_err(|error| Failure::failed(format!("could not serve: {error}")))
}
