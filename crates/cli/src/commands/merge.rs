//! `warmstart merge`: what shards have computed, as one.

use std::fs;
use std::io::{self, BufRead as _, Write, stdout};
use std::path::{Path, PathBuf};

use serde_json::json as value;
use warmstart_data::{FeatureCache, FeatureCacheFolder, MergedFile};
use warmstart_files::{shown, text};
use warmstart_language::message;
use warmstart_recipe::{Error, Key, Problem};
use warmstart_run::parts::{AllParts, has_parts};
use warmstart_run::replace_file;
use warmstart_workflows::cross_validate::merge_folds;

use super::eval::print_classes;
use super::eval_boxes::print_boxes;
use super::eval_parts::{Figures, figures};
use super::predict::KIND_ROWS;
use super::prediction_table::heading;
use super::predictions::Unreadable;
use super::rank::{print_ranking, ranking_of, warn};
use super::{Failure, use_threads};
use crate::arguments::Merge;
use crate::printing::{self, print_to_stderr};
use crate::progress::{Output, Progress};

pub fn merge(arguments: &Merge) -> Result<(), Failure> {
    let workers = use_threads(&arguments.threads)?;
    let folders = &arguments.folders;
    if folders.iter().any(|folder| has_parts(folder)) || arguments.key.is_some() {
        return merge_parts(arguments);
    }
    let mut files = Vec::new();
    for folder in folders {
        files.extend(feature_files(folder)?);
    }
    if !files.is_empty() {
        return merge_features(arguments, &files);
    }
    let folder = &folders[0];
    if has_folds(folder) && folders.len() == 1 {
        let output = if arguments.json {
            Output::Json
        } else {
            Output::Lines
        };
        let mut progress = Progress::new(output);
        let result = merge_folds(folder, workers, &mut |event| progress.show(event));
        progress.clear();
        progress.folds(&result?);
        return Ok(());
    }
    let what = message!(
        "it has neither parts of predict, eval or rank (*.part) nor cached features (*.features), and is not the folder \
         of a cross-validation (fold-1, …)"
    );
    let fix = message!("give the folder that the shards wrote into");
    Err(Problem::new(what).of_file(folder).fix(fix).into())
}

/// Whether a folder has runs of folds.
fn has_folds(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.any(|name| {
        let number = name.to_str().and_then(|name| name.strip_prefix("fold-"));
        number.is_some_and(|number| number.parse::<usize>().is_ok())
    })
}

/// The files of features in a folder, in the order of their names.
fn feature_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Error::io("list", folder, error);
    // One that is not there has no files, which would hide a misspelled name.
    fs::read_dir(folder).map_err(failed)?;
    let cache = FeatureCacheFolder::new(folder.to_owned(), u64::MAX);
    let files = cache.feature_files().map_err(failed)?;
    let mut files: Vec<PathBuf> = files.into_iter().map(|file| file.path).collect();
    files.sort_unstable();
    Ok(files)
}

/// Prints what a command without shards prints.
fn merge_parts(arguments: &Merge) -> Result<(), Failure> {
    let all = AllParts::find(&arguments.folders, arguments.key.as_deref())?;
    match all.command.as_str() {
        "predict" => {
            match &arguments.out {
                None => write_predictions(&all, &mut stdout().lock())?,
                Some(path) => {
                    let mut failure = None;
                    let written = warmstart_files::replace(path, |file| {
                        let mut file = io::BufWriter::new(file);
                        if let Err(error) = write_predictions(&all, &mut file) {
                            failure = Some(error);
                            return Err(io::Error::other("it is not complete"));
                        }
                        file.flush()
                    });
                    failure.map_or(Ok(()), Err)?;
                    written.map_err(|error| Error::io("write", path, error))?;
                    print_to_stderr(message!("wrote {}", shown(path)));
                }
            }
            Unreadable::new(all.unreadable()).end()
        }
        "eval" => {
            let (figures, origin) = figures(&all)?;
            print(arguments, |out| match &figures {
                Figures::Classes(result) => print_classes(out, result, &origin, arguments.json),
                Figures::Boxes(result) => print_boxes(out, result, &origin, arguments.json),
            })
        }
        "rank" => {
            let ranking = ranking_of(&all)?;
            warn(&ranking);
            print(arguments, |out| {
                print_ranking(out, &ranking, arguments.json)
            })
        }
        other => {
            let what = message!("it has parts of a command that is not known here: {other}");
            Err(Problem::new(what).of_file(&arguments.folders[0]).into())
        }
    }
}

/// Prints a result, or writes it into the file that is named.
fn print(
    arguments: &Merge,
    write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    write(&mut bytes)?;
    match &arguments.out {
        None => Ok(stdout().lock().write_all(&bytes)?),
        Some(path) => {
            replace_file(path, &bytes)?;
            print_to_stderr(message!("wrote {}", shown(path)));
            Ok(())
        }
    }
}

/// Copies the results of all parts.
fn write_predictions(all: &AllParts, out: &mut dyn Write) -> Result<(), Failure> {
    for (place, part) in all.parts.iter().enumerate() {
        let mut content = part.content()?;
        let failed = |error| Error::io("read", part.path(), error);
        let mut kind = String::new();
        content.read_line(&mut kind).map_err(failed)?;
        if place == 0 && kind.trim_end() == KIND_ROWS {
            out.write_all(heading().as_bytes())?;
        }
        io::copy(&mut content, out)?;
    }
    out.flush()?;
    Ok(())
}

/// Merges files of features into a cache, or tells what they lack where none is named.
fn merge_features(arguments: &Merge, files: &[PathBuf]) -> Result<(), Failure> {
    let named =
        |path: &Path, error: io::Error| Failure::failed(format!("{}: {error}", shown(path)));
    let mut merged: Vec<MergedFile> = Vec::new();
    let folder = match &arguments.out {
        Some(folder) => Some(FeatureCacheFolder::new(folder.clone(), u64::MAX)),
        None if arguments.folders.len() > 1 => {
            let what = message!("several caches are merged into one, and none is named");
            let fix = message!("give {} CACHE", Key::OUT);
            return Err(Problem::new(what).of_key(Key::OUT).fix(fix).into());
        }
        None => None,
    };
    for path in files {
        let file = match &folder {
            Some(folder) => folder.merge(path),
            None => FeatureCache::survey(path),
        };
        let file = file.map_err(|error| named(path, error))?;
        // The last word on a file that came from several folders.
        merged.retain(|other| other.path != file.path);
        merged.push(file);
    }
    let mut out = stdout().lock();
    for file in &merged {
        let MergedFile {
            path,
            description,
            entries,
            present,
            copied: _,
        } = file;
        if arguments.json {
            let file = value!({
                "file": text(path),
                "description": description,
                "entries": entries,
                "present": present,
            });
            printing::json(&mut out, &file)?;
        } else {
            let line = message!("{description}: {present} of {entries} features are there");
            printing::line(&mut out, line)?;
        }
    }
    let lacking = merged.iter().find(|file| file.present < file.entries);
    match lacking {
        Some(file) if !arguments.partial => {
            let what = message!(
                "{} of {} features are missing ({})",
                file.entries - file.present,
                file.entries,
                file.description
            );
            let fix = message!(
                "compute them by `warmstart features` with the same options and --cache {}, or give --partial if they are \
                 of one fold",
                shown(file.path.parent().unwrap_or(Path::new(".")))
            );
            Err(Problem::new(what).of_file(&file.path).fix(fix).into())
        }
        Some(_) | None => Ok(()),
    }
}
