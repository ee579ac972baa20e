//! `warmstart data labels`.

use std::io::stdout;

use warmstart_files::shown;
use warmstart_language::message;
use warmstart_recipe::{Key, Problem};
use warmstart_run::doubts::{Doubt, count, doubts_of, table};
use warmstart_run::list::is_run;
use warmstart_run::replace_file;
use warmstart_workflows::box_labels::detector_runs;
use warmstart_workflows::labels::Request;

use super::Failure;
use super::doubtful_boxes::doubtful_boxes;
use super::eval_files::require_folder;
use super::train::resources;
use crate::arguments::DataLabels;
use crate::printing::{json, line, print_to_stderr};
use crate::progress::{Output, Progress};
use crate::text_table::rows;

/// Labels that are printed unless another number is asked for.
pub const SHOWN: usize = 20;

pub fn labels(arguments: DataLabels) -> Result<(), Failure> {
    if let Some(path) = &arguments.csv {
        require_folder(path)?;
    }
    let detectors = detector_runs(&arguments.folder)?;
    if !detectors.is_empty() {
        refuse_those_of_data_sets(&arguments)?;
        return doubtful_boxes(&arguments, &detectors);
    }
    let doubts = doubts(&arguments)?;
    if let Some(path) = &arguments.csv {
        replace_file(path, &table(&doubts))?;
        print_to_stderr(message!("wrote {}", shown(path)));
    }
    let doubtful = count(&doubts);
    let first: Vec<&Doubt> = match arguments.top {
        Some(most) => doubts.iter().take(most).collect(),
        None if arguments.json => doubts.iter().collect(),
        None => doubts.iter().filter(|it| it.doubtful).take(SHOWN).collect(),
    };
    let mut out = stdout().lock();
    if arguments.json {
        for doubt in &first {
            json(&mut out, doubt)?;
        }
        return Ok(());
    }
    let counts = match doubtful {
        0 => message!("none of {} labels is doubtful", doubts.len()),
        _ => message!(
            "{doubtful} of {} labels are doubtful: the other images speak for another class",
            doubts.len()
        ),
    };
    line(&mut out, counts)?;
    if first.is_empty() {
        return Ok(());
    }
    line(&mut out, "")?;
    let head = [
        message!("file"),
        message!("label"),
        message!("probable"),
        message!("score"),
    ];
    for text in rows(&head, first.iter().copied().map(row)) {
        line(&mut out, text)?;
    }
    Ok(())
}

/// A row of the table for people.
fn row(doubt: &Doubt) -> [String; 4] {
    [
        doubt.file.clone(),
        doubt.label.clone(),
        doubt.probable.clone(),
        format!("{:.4}", doubt.score()),
    ]
}

/// Refuses flags that a run answers itself.
fn refuse_those_of_data_sets(arguments: &DataLabels) -> Result<(), Failure> {
    let of_data_sets = [
        (Key::WEIGHTS, arguments.weights.is_some()),
        (Key::MODEL, arguments.model.is_some()),
        (Key::IMAGE_SIZE, arguments.image_size.is_some()),
    ];
    if let Some((key, _)) = of_data_sets.into_iter().find(|(_, given)| *given) {
        let what = message!("{key} is for a data set, and this is a run, which has its own");
        return Err(Problem::new(what)
            .of_file(&arguments.folder)
            .of_key(key)
            .fix(message!("leave it out, or give the folder of the data"))
            .into());
    }
    Ok(())
}

/// The doubts that a run has found, or those in a data set.
fn doubts(arguments: &DataLabels) -> Result<Vec<Doubt>, Failure> {
    if is_run(&arguments.folder) {
        refuse_those_of_data_sets(arguments)?;
        return Ok(doubts_of(&arguments.folder)?);
    }
    let request = Request {
        data: arguments.folder.clone(),
        weights: arguments.weights.clone(),
        model: arguments.model.clone(),
        image_size: arguments.image_size,
    };
    let resources = resources(&arguments.threads, &arguments.cache)?;
    let mut progress = Progress::new(Output::BesideResults);
    let found = warmstart_workflows::labels::labels(&request, resources, &mut |event| {
        progress.show(event);
    });
    progress.clear();
    Ok(found?)
}
