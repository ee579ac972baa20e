//! What commands that work in shards share: which part is asked for, and its file.

use std::env;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use warmstart_files::shown;
use warmstart_language::{language, message};
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::devices::card_of;
use warmstart_recipe::{Error, Key, Precision, Problem, command};
use warmstart_run::part_key::PartKey;
use warmstart_run::parts::Part;
use warmstart_run::shard::{Shard, ShardWord};
use warmstart_tasks::network::INFERENCE_BATCH;
use warmstart_tasks::published::model_file;
use warmstart_train::device::identity;

use super::Failure;
use crate::arguments::PartOfWork;
use crate::printing::print_to_stderr;
use crate::progress::noted;

/// Most bytes of a command line that a part keeps.
const LONGEST_LINE: usize = 4000;

/// A part of a command's work that is asked for.
pub struct AskedPart<'a> {
    command: &'static str,
    folder: &'a Path,
    shard: Shard,
}

/// The shard that is asked for; all of the work where none is. A process among several that MPI or Slurm has started
/// does not share the work unless it is told to, which is said.
///
/// # Errors
/// If the environment does not name what it is asked for.
pub fn shard(word: Option<ShardWord>) -> Result<Shard, Failure> {
    let variable = |name: &str| env::var(name).ok();
    match word {
        Some(word) => Ok(word.find(variable)?),
        None => {
            if let Some(Shard { number, of }) = Shard::of_processes(variable) {
                print_to_stderr(noted(message!(
                    "it was started as process {number} of {of}, and does all of the work, as each of them does; \
                     --shard auto shares it"
                )));
            }
            Ok(Shard::whole())
        }
    }
}

/// The part of a command's work that is asked for; `None` where all of it is.
///
/// # Errors
/// As [`shard`], and if one of `refused`, flags in a recipe's spelling, was given beside it.
pub fn asked_part<'a>(
    command: &'static str,
    arguments: &'a PartOfWork,
    refused: &[(&'static str, bool)],
) -> Result<Option<AskedPart<'a>>, Failure> {
    let shard = shard(arguments.shard)?;
    let Some(folder) = &arguments.parts else {
        return Ok(None);
    };
    if let Some((flag, _)) = refused.iter().find(|(_, given)| *given) {
        let flag_text = flag.replace('_', "-");
        let what = message!("--{flag_text} is of the whole work, and --shard does a part of it");
        let fix = message!("leave --{flag_text} out, or --shard");
        return Err(Problem::new(what).of_key(Key(flag)).fix(fix).into());
    }
    Ok(Some(AskedPart {
        command,
        folder,
        shard,
    }))
}

impl AskedPart<'_> {
    /// A key for the result, to which the options are still to be added: of a model, where there is one, on a device.
    ///
    /// # Errors
    /// If the model's file cannot be read.
    pub fn key(&self, model: Option<&Path>, device: Option<&Device>) -> Result<PartKey, Failure> {
        let mut key = PartKey::of(self.command);
        // Another version's kernels may round otherwise.
        key.add(warmstart_nn::simd_level().unwrap_or_default().as_bytes());
        // Errors of pictures are in the user's language.
        key.add(language().word().as_bytes());
        if let Some(device) = device {
            key.add(identity(device, Precision::F32).as_bytes());
        }
        if let Some(model) = model {
            key.add_file(&model_file(model)?)?;
        }
        Ok(key)
    }

    /// Its range of so many pictures. On a graphics card it has whole batches: shapes decide which kernels run, so that a
    /// picture may have other bits in a batch of another length.
    pub fn pictures(&self, pictures: usize, device: &Device) -> Range<usize> {
        if card_of(device).is_none() {
            return self.shard.range(pictures);
        }
        let batches = self.shard.range(pictures.div_ceil(INFERENCE_BATCH));
        let place = |batch: usize| (batch * INFERENCE_BATCH).min(pictures);
        place(batches.start)..place(batches.end)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder
    }

    /// Its range of so many other items.
    pub fn range(&self, items: usize) -> Range<usize> {
        self.shard.range(items)
    }

    /// Writes the part by `fill`, which returns the number of items that could not be read, unless it is there already.
    ///
    /// # Errors
    /// Those of `fill` and of the disk.
    pub fn write(
        &self,
        key: &PartKey,
        items: usize,
        fill: impl FnOnce(&mut dyn Write) -> Result<usize, Failure>,
    ) -> Result<(), Failure> {
        let Shard { number, of } = self.shard;
        let arguments = arguments_of(self.command);
        let part = Part::new(
            self.folder,
            self.command,
            key,
            (self.shard, items),
            arguments,
        );
        if part.is_there() {
            let path = shown(part.path());
            print_to_stderr(message!("part {number} of {of} is there already: {path}"));
            return Ok(());
        }
        let mut unreadable = 0;
        part.write(|out| {
            unreadable = fill(out)?;
            Ok::<_, Failure>(unreadable)
        })?;
        if unreadable > 0 {
            print_to_stderr(noted(message!(
                "{unreadable} of {items} files could not be read"
            )));
        }
        let path = shown(part.path());
        print_to_stderr(message!("part {number} of {of}, {items} items: {path}"));
        Ok(())
    }
}

/// What follows a command's name on the command line, without the shard, quoted for a shell.
fn arguments_of(name: &str) -> String {
    let words = env::args_os().skip(1);
    let mut words = words.skip_while(|word| word.as_os_str() != name).skip(1);
    let mut line = String::new();
    while let Some(word) = words.next() {
        if word == "--shard" {
            words.next();
            continue;
        }
        if word
            .to_str()
            .is_some_and(|word| word.starts_with("--shard="))
        {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&command::word(&PathBuf::from(word)));
        if line.len() > LONGEST_LINE {
            let mut end = LONGEST_LINE;
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line.truncate(end);
            line.push_str(" …");
            break;
        }
    }
    line
}

/// Adds a line to a part.
///
/// # Errors
/// If the disk refuses.
pub fn add_line(out: &mut dyn Write, folder: &Path, line: &str) -> Result<(), Failure> {
    let written = writeln!(out, "{line}");
    written.map_err(|error| Error::io("write", folder, error).into())
}
