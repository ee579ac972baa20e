//! `warmstart data`: its commands, of which `check` and `convert` are here.

use std::io::stdout;

use warmstart_data::scenes::{self, Report};
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_recipe::{SEED, VAL_SPLIT};

use super::labels::labels;
use super::{Failure, use_threads};
use crate::arguments::{DataCheck, DataCommand, DataConvert};
use crate::printing::{json, line, lines};

pub fn data(command: DataCommand) -> Result<(), Failure> {
    match command {
        DataCommand::Check(arguments) => check(arguments),
        DataCommand::Convert(arguments) => convert(arguments),
        DataCommand::Labels(arguments) => labels(arguments),
    }
}

fn check(arguments: DataCheck) -> Result<(), Failure> {
    use_threads(&arguments.threads)?;
    let opened = scenes::open(&arguments.folder, VAL_SPLIT, SEED)?;
    let mut report = Report::new(&opened);
    report.decode_images(&opened, |_, _| ());
    let mut out = stdout().lock();
    if arguments.json {
        json(&mut out, &report)?;
    } else {
        lines(&mut out, &report.to_string())?;
    }
    match report.unreadable.len() {
        0 => Ok(()),
        count => Err(Failure::failed(message!("{count} images cannot be read"))),
    }
}

fn convert(arguments: DataConvert) -> Result<(), Failure> {
    use_threads(&arguments.threads)?;
    let opened = scenes::open(&arguments.folder, VAL_SPLIT, SEED)?;
    let written = scenes::write(&opened.dataset, &arguments.out, arguments.to.into())?;
    let mut out = stdout().lock();
    if opened.validates_by_share {
        let drawn = message!(
            "the data have no validation split: {} of {} images were drawn for one, with the seed {SEED}",
            opened.dataset.validation.len(),
            opened.dataset.train.len() + opened.dataset.validation.len()
        );
        line(&mut out, drawn)?;
    }
    if !opened.findings.is_empty() {
        lines(&mut out, &opened.findings.to_string())?;
    }
    let counts = message!(
        "{}: {} images, {} objects",
        shown(&arguments.out),
        written.images,
        written.objects
    );
    line(&mut out, counts)?;
    let count = written.crowds_left_out;
    if count > 0 {
        let lost = message!("{count} crowds left out, which the layout cannot express");
        line(&mut out, lost)?;
    }
    let count = written.difficult_lost;
    if count > 0 {
        let lost =
            message!("{count} marks of difficult objects lost, which the layout cannot express");
        line(&mut out, lost)?;
    }
    let count = written.renamed;
    if count > 0 {
        let renamed = message!("{count} images renamed, because other images have the same name");
        line(&mut out, renamed)?;
    }
    Ok(())
}
