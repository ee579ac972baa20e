//! Parquet files into TAR shards: the classes first, then the rows.

use std::collections::BTreeSet;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use warmstart_language::{message, translated};

use super::classes::{Classes, add_label};
use super::columns::{Columns, columns};
use super::reading::{Label, labels, rows};
use super::shards::Shards;
use super::work::{ParquetFile, Written};
use crate::error::DataError;
use crate::picture_header::PANICKED;

/// The list of the classes' names, beside the shards.
const CLASSES: &str = "classes.txt";

/// Why rows cannot be used.
enum Refusal {
    /// The file is damaged, or has something that cannot be used, in words.
    Problem(String),
    /// A shard could not be written.
    Error(DataError),
}

impl From<ParquetError> for Refusal {
    fn from(error: ParquetError) -> Self {
        Self::Problem(message!("it is damaged, or no Parquet file: {error}"))
    }
}

impl From<DataError> for Refusal {
    fn from(error: DataError) -> Self {
        Self::Error(error)
    }
}

impl Refusal {
    fn of(self, file: &Path) -> DataError {
        match self {
            Self::Problem(problem) => DataError::Layout {
                folder: file.to_owned(),
                problem,
            },
            Self::Error(error) => error,
        }
    }
}

/// A file that is open, and what is known of it.
struct Open {
    reader: SerializedFileReader<File>,
    columns: Columns,
}

/// Writes shards and the list of classes into an empty folder.
pub fn unpack(
    files: &[ParquetFile],
    folder: &Path,
    observe: &mut dyn FnMut(u64, u64),
) -> Result<Written, DataError> {
    let mut survey = Survey::default();
    for file in files {
        guarded(&file.path, || survey.add(file))?;
    }
    let first = files.first().map_or(Path::new(""), |file| &file.path);
    let all = survey.rows;
    let classes = survey
        .classes()
        .map_err(|problem| Refusal::Problem(problem).of(first))?;
    let mut written = Written {
        classes: classes.names.len(),
        ..Written::default()
    };
    let mut done = 0;
    for files in files.chunk_by(|one, other| one.split == other.split) {
        let mut shards = Shards::new(folder, files[0].split);
        for file in files {
            guarded(&file.path, || {
                let mut count = || {
                    done += 1;
                    observe(done, all);
                };
                write_rows(file, &classes, &mut shards, &mut written, &mut count)
            })?;
        }
        shards.finish()?;
    }
    let list = folder.join(CLASSES);
    let lines = classes.names.join("\n") + "\n";
    std::fs::write(&list, lines).map_err(|source| DataError::write(&list, source))?;
    Ok(written)
}

/// Does something with a file; a decoder that panics on damaged data gives an error.
fn guarded<R>(path: &Path, work: impl FnOnce() -> Result<R, Refusal>) -> Result<R, DataError> {
    let result = catch_unwind(AssertUnwindSafe(work));
    let result = result.unwrap_or_else(|_| Err(Refusal::Problem(translated(PANICKED).to_owned())));
    result.map_err(|refusal| refusal.of(path))
}

fn open(path: &Path) -> Result<Open, Refusal> {
    let file = warmstart_files::open(path).map_err(|source| DataError::read(path, source))?;
    let reader = SerializedFileReader::new(file)?;
    let columns = columns(path, reader.metadata())?;
    Ok(Open { reader, columns })
}

/// What all files have to be known of before the first row is written.
#[derive(Default)]
struct Survey {
    rows: u64,
    /// The names that the files seen so far tell; `None` before the first.
    names: Option<Option<Vec<String>>>,
    labels: BTreeSet<Label>,
}

impl Survey {
    fn add(&mut self, file: &ParquetFile) -> Result<(), Refusal> {
        let Open { reader, columns } = open(&file.path)?;
        let metadata = reader.metadata().file_metadata();
        self.rows += u64::try_from(metadata.num_rows()).unwrap_or_default();
        match &self.names {
            Some(names) if *names != columns.names => {
                let problem = message!("its classes are others than those of the file before it");
                return Err(Refusal::Problem(problem));
            }
            Some(_) => {}
            None => self.names = Some(columns.names.clone()),
        }
        if columns.names.is_some() {
            return Ok(());
        }
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group)?;
            labels(
                &*group,
                metadata.schema_descr(),
                columns.label,
                &mut |label| {
                    let added = label.map_or(Ok(()), |label| add_label(&mut self.labels, label));
                    added.map_err(Refusal::Problem)
                },
            )?;
        }
        Ok(())
    }

    fn classes(self) -> Result<Classes, String> {
        match self.names.flatten() {
            Some(names) => Ok(Classes::named(names)),
            None => Classes::of_labels(self.labels),
        }
    }
}

fn write_rows(
    file: &ParquetFile,
    classes: &Classes,
    shards: &mut Shards,
    written: &mut Written,
    count: &mut dyn FnMut(),
) -> Result<(), Refusal> {
    let Open { reader, columns } = open(&file.path)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let places = (columns.picture, columns.label);
    let mut number = 0_usize;
    let mut each = |picture: Option<ByteArray>, label: Option<Label>| -> Result<(), Refusal> {
        number += 1;
        count();
        let Some(label) = label.filter(|label| !label.is_missing()) else {
            written.unlabelled += 1;
            return Ok(());
        };
        let class = classes.number(&label).ok_or_else(|| {
            let count = classes.names.len();
            Refusal::Problem(message!(
                "row {number}: its label is {label}, and there are {count} classes"
            ))
        })?;
        let picture = picture.filter(|picture| !picture.data().is_empty()).ok_or_else(|| {
            Refusal::Problem(message!(
                "row {number} has no bytes of a picture, at most its path elsewhere; save the data set with the \
                 pictures in it, or put them into one folder per class"
            ))
        })?;
        shards.add(picture.data(), class)?;
        written.pictures += 1;
        Ok(())
    };
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        rows::<Refusal>(&*group, schema, places, &mut each)?;
    }
    Ok(())
}
