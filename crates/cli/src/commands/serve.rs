//! `warmstart serve`.

use std::io::stdout;

use warmstart_files::shown;
use warmstart_language::message;
use warmstart_recipe::{Key, Problem};
use warmstart_run::stop::Stop;
use warmstart_tasks::kinds::Trained;

use super::devices::open_device;
use super::weights::fetch_detector;
use super::{Failure, use_threads};
use crate::arguments::Serve;
use crate::printing::{line, print_to_stderr};
use crate::progress::noted;
use crate::signals::Signals;

pub fn serve(arguments: &Serve) -> Result<(), Failure> {
    let readers = use_threads(&arguments.threads)?;
    let device = open_device(&arguments.device)?;
    fetch_detector(&arguments.model)?;
    let (model, note) = Trained::load_noted(&arguments.model, &device)?;
    if let Some(note) = note {
        print_to_stderr(noted(note));
    }
    let (host, port) = (&arguments.host, arguments.port);
    let refused = |error: std::io::Error| {
        Problem::new(message!("cannot listen on {host}, port {port}: {error}"))
            .of_key(Key("port"))
            .fix(message!(
                "give another --port or --host, or stop the program that uses it"
            ))
    };
    let listener = warmstart_serve::listen(host, port).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let stop = Stop::default();
    // The first signal lets the answers that are due be given; a second one ends the process.
    stop.saves(true);
    Signals::catch(&stop)?;
    if !address.ip().is_loopback() {
        print_to_stderr(noted(message!(
            "whoever reaches {address} can use the model; there is no password and no encryption"
        )));
    }
    let classes = model.info().classes.len();
    print_to_stderr(message!(
        "serving {} ({}, {classes} classes); Ctrl-C stops",
        shown(&arguments.model),
        model.info().model
    ));
    line(&mut stdout(), format!("http://{address}/"))?;
    warmstart_serve::serve(&model, listener, readers, &stop.requested())
        .map_err(|error| Failure::failed(message!("could not serve: {error}")))
}
