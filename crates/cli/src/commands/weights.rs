//! `warmstart weights`.

use std::io::{self, stdout};
use std::path::{Path, PathBuf};

use warmstart_files::shown;
use warmstart_language::message;
use warmstart_recipe::near_miss::meant;
use warmstart_recipe::run_files::resolve_path;
use warmstart_recipe::{
    Error, Problem, USUAL_WEIGHTS, architecture, is_detector, model_names, published,
};
use warmstart_weights::Difference;
use warmstart_workflows::models::{Weights, weights as all_weights};

use super::Failure;
use crate::arguments::{
    Inspect, WeightsCommand, WeightsConvert, WeightsDiff, WeightsGet, WeightsList,
};
use crate::printing::{json, line, lines, print_to_stderr};
use crate::progress::{Output, Progress, noted};
use crate::text_table::{rows, unknown};

pub fn weights(command: WeightsCommand) -> Result<(), Failure> {
    match command {
        WeightsCommand::List(arguments) => list(&arguments),
        WeightsCommand::Get(arguments) => get(&arguments),
        WeightsCommand::Inspect(arguments) => inspect(arguments),
        WeightsCommand::Convert(arguments) => convert(&arguments),
        WeightsCommand::Diff(arguments) => diff(&arguments),
    }
}

fn list(arguments: &WeightsList) -> Result<(), Failure> {
    let all = all_weights();
    let mut out = stdout().lock();
    if arguments.json {
        for weights in &all {
            json(&mut out, weights)?;
        }
        return Ok(());
    }
    let head = [
        message!("name"),
        message!("model"),
        message!("size"),
        "top-1".to_owned(),
        "AP".to_owned(),
        message!("licence"),
        message!("publisher"),
        message!("here"),
    ];
    for row in rows(&head, all.iter().map(row)) {
        line(&mut out, row)?;
    }
    Ok(())
}

fn row(weights: &Weights) -> [String; 8] {
    let percent = |figure: Option<f64>| unknown(figure.map(|figure| format!("{figure:.1}")));
    [
        weights.name.to_owned(),
        weights.model.to_owned(),
        unknown(
            weights
                .bytes
                .map(|bytes| format!("{:.1} MB", bytes as f64 / 1e6)),
        ),
        percent(weights.top1),
        percent(weights.ap),
        unknown(weights.license.map(str::to_owned)),
        weights.library.to_owned(),
        if weights.path.is_some() {
            message!("yes")
        } else {
            String::new()
        },
    ]
}

fn get(arguments: &WeightsGet) -> Result<(), Failure> {
    let record = published(&arguments.name)?;
    let mut progress = Progress::new(Output::BesideResults);
    let path = warmstart_workflows::named_weights::get(record, &mut |event| progress.show(event));
    progress.clear();
    let mut path = path?;
    if let Some(to) = &arguments.to {
        path = copied(&path, to)?;
    }
    Ok(line(&mut stdout(), shown(&path))?)
}

/// Fetches the file of a published detector that is named in place of a model; nothing for a path.
pub fn fetch_detector(model: &Path) -> Result<(), Failure> {
    require_usable(model)?;
    let mut progress = Progress::new(Output::BesideResults);
    let fetched = warmstart_workflows::named_weights::fetch_detector(model, &mut |event| {
        progress.show(event);
    });
    progress.clear();
    Ok(fetched?)
}

/// Refuses a word that is neither a path nor a detector's name, nor near to one, which is answered where it is loaded.
fn require_usable(model: &Path) -> Result<(), Error> {
    let Some(name) = model.to_str().filter(|_| !model.exists()) else {
        return Ok(());
    };
    let detectors: Vec<&str> = model_names().filter(|name| is_detector(name)).collect();
    if is_detector(name) || !meant(name, &detectors).is_empty() {
        return Ok(());
    }
    if architecture(name).is_ok() {
        let what =
            message!("it names a classifier, which knows your classes only after a training");
        let fix = message!(
            "train one first (`warmstart train --data DIR --model {name} --weights {USUAL_WEIGHTS}`), and give the \
             folder of the run"
        );
        return Err(Error::model(model, what).fix(fix));
    }
    let is_word = model.extension().is_none() && model.components().count() == 1;
    if is_word {
        let what = message!(
            "there is neither such a file or folder nor a published detector of that name"
        );
        let fix = message!(
            "give the folder of a run, a model file, or one of {}",
            detectors.join(", ")
        );
        return Err(Error::model(model, what).fix(fix));
    }
    Ok(())
}

/// The copy of a file at a path that does not exist yet, or in a folder.
fn copied(path: &Path, to: &Path) -> Result<PathBuf, Failure> {
    let mut target = to.to_owned();
    if to.is_dir() {
        target.push(path.file_name().unwrap_or_default());
    }
    if std::fs::symlink_metadata(&target).is_ok() {
        return Err(Problem::new(message!("it exists already"))
            .of_file(&target)
            .fix(message!("remove it, or give another --to"))
            .into());
    }
    let copy = |file: &mut std::fs::File| {
        let mut from = warmstart_files::open(path)?;
        io::copy(&mut from, file).map(drop)
    };
    warmstart_files::replace(&target, copy).map_err(|error| Error::io("write", &target, error))?;
    Ok(target)
}

fn inspect(arguments: Inspect) -> Result<(), Failure> {
    let inspection = warmstart_workflows::inspect::inspect(
        &arguments.file,
        arguments.weights_prefix.as_deref(),
    )?;
    let mut out = stdout().lock();
    if arguments.json {
        json(&mut out, &inspection)?;
    } else {
        lines(&mut out, &inspection.report())?;
    }
    Ok(())
}

fn convert(arguments: &WeightsConvert) -> Result<(), Failure> {
    let WeightsConvert {
        file,
        out,
        to,
        weights_prefix,
    } = arguments;
    let prefix = weights_prefix.as_deref();
    let converted = warmstart_workflows::convert::convert(file, out, (*to).into(), prefix)?;
    for note in &converted.notes {
        print_to_stderr(noted(note));
    }
    let written = message!(
        "wrote {} tensors of {} into {}",
        converted.tensors,
        converted.network,
        shown(out)
    );
    Ok(line(&mut stdout(), written)?)
}

fn diff(arguments: &WeightsDiff) -> Result<(), Failure> {
    let read = |path: &Path| warmstart_weights::read(&resolve_path(path)?).map_err(Error::from);
    let difference = Difference::of(&read(&arguments.a)?, &read(&arguments.b)?);
    let mut out = stdout().lock();
    if arguments.json {
        json(&mut out, &difference)?;
    } else {
        lines(&mut out, &difference.report())?;
        if difference.shares_no_name() {
            print_to_stderr(noted(message!(
                "no name is in both files: `warmstart weights convert --to native` gives those of two classifiers the \
                 same names"
            )));
        }
    }
    if difference.is_none() {
        Ok(())
    } else {
        Err(Failure::differs())
    }
}
