//! Rows of a Parquet file: a few at a time, of two columns.

use std::fmt;

use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::RowGroupReader;
use parquet::schema::types::SchemaDescriptor;
use warmstart_language::message;

/// Rows that are read at once: their pictures are in memory at the same time, beside the page that they are from.
const ROWS: usize = 16;
/// Labels that are read at once.
const LABELS: usize = 4096;

/// A label of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

impl Label {
    /// Whether it stands for no label: test sets have -1.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Number(number) => *number < 0,
            Self::Text(text) => text.is_empty(),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

/// The pages of a column, without a dictionary that would take memory for values which it cannot hold.
struct SoundPages(Box<dyn PageReader>);

impl Iterator for SoundPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for SoundPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.0.get_next_page()?;
        // Each value takes at least a byte.
        if let Some(Page::DictionaryPage {
            buf, num_values, ..
        }) = &page
            && *num_values as usize > buf.len()
        {
            let problem = message!("a dictionary has more values than bytes");
            return Err(ParquetError::General(problem));
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.0.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.0.at_record_boundary()
    }
}

/// The reader of a column of a group.
fn column_reader(
    group: &dyn RowGroupReader,
    schema: &SchemaDescriptor,
    column: usize,
) -> Result<ColumnReader> {
    let pages = SoundPages(group.get_column_page_reader(column)?);
    Ok(get_column_reader(schema.column(column), Box::new(pages)))
}

/// A reader of labels, by their type.
enum LabelReader {
    Int32(ColumnReaderImpl<Int32Type>),
    Int64(ColumnReaderImpl<Int64Type>),
    Text(ColumnReaderImpl<ByteArrayType>),
}

impl LabelReader {
    fn new(reader: ColumnReader) -> Result<Self> {
        match reader {
            ColumnReader::Int32ColumnReader(reader) => Ok(Self::Int32(reader)),
            ColumnReader::Int64ColumnReader(reader) => Ok(Self::Int64(reader)),
            ColumnReader::ByteArrayColumnReader(reader) => Ok(Self::Text(reader)),
            _ => Err(other_type()),
        }
    }

    /// The next labels, `None` where a row has none.
    fn read(&mut self, rows: usize, level: i16) -> Result<Vec<Option<Label>>> {
        Ok(match self {
            Self::Int32(reader) => {
                let labels = read_rows(reader, rows, level)?.into_iter();
                labels
                    .map(|label| label.map(|number| Label::Number(number.into())))
                    .collect()
            }
            Self::Int64(reader) => {
                let labels = read_rows(reader, rows, level)?.into_iter();
                labels.map(|label| label.map(Label::Number)).collect()
            }
            Self::Text(reader) => {
                let labels = read_rows(reader, rows, level)?.into_iter();
                let text = |bytes: ByteArray| -> Result<Label> {
                    Ok(Label::Text(bytes.as_utf8()?.to_owned()))
                };
                let labels = labels.map(|label| label.map(text).transpose());
                labels.collect::<Result<_>>()?
            }
        })
    }
}

/// The next rows of a column, `None` where a row has no value. `level` is the definition level of a value.
fn read_rows<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    level: i16,
) -> Result<Vec<Option<T::T>>> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    reader.read_records(rows, Some(&mut levels), None, &mut values)?;
    if level == 0 {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    let rows = levels
        .iter()
        .map(|found| if *found == level { values.next() } else { None });
    Ok(rows.collect())
}

fn other_type() -> ParquetError {
    ParquetError::General("a column of another type than its schema says".to_owned())
}

/// Hands every label of a group of rows to `each`, which is told where a row has none.
///
/// # Errors
/// If the group is damaged, or `each` fails.
pub fn labels<E: From<ParquetError>>(
    group: &dyn RowGroupReader,
    schema: &SchemaDescriptor,
    column: usize,
    each: &mut dyn FnMut(Option<Label>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let level = schema.column(column).max_def_level();
    let mut reader = LabelReader::new(column_reader(group, schema, column)?)?;
    loop {
        let labels = reader.read(LABELS, level)?;
        if labels.is_empty() {
            return Ok(());
        }
        labels.into_iter().try_for_each(&mut *each)?;
    }
}

/// Hands the picture and the label of every row of a group to `each`.
///
/// # Errors
/// If the group is damaged, or `each` fails.
pub fn rows<E: From<ParquetError>>(
    group: &dyn RowGroupReader,
    schema: &SchemaDescriptor,
    (picture, label): (usize, usize),
    each: &mut dyn FnMut(Option<ByteArray>, Option<Label>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let level = |column: usize| schema.column(column).max_def_level();
    let reader = column_reader(group, schema, picture)?;
    let ColumnReader::ByteArrayColumnReader(mut pictures) = reader else {
        return Err(other_type().into());
    };
    let mut labels = LabelReader::new(column_reader(group, schema, label)?)?;
    loop {
        let some = read_rows(&mut pictures, ROWS, level(picture))?;
        let their = labels.read(ROWS, level(label))?;
        if some.len() != their.len() {
            let problem = message!("its columns have different numbers of rows");
            return Err(ParquetError::General(problem).into());
        }
        if some.is_empty() {
            return Ok(());
        }
        for (picture, label) in some.into_iter().zip(their) {
            each(picture, label)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::basic::Encoding;

    /// Pages, the last one first.
    struct Pages(Vec<Page>);

    impl Iterator for Pages {
        type Item = Result<Page>;

        fn next(&mut self) -> Option<Self::Item> {
            self.get_next_page().transpose()
        }
    }

    impl PageReader for Pages {
        fn get_next_page(&mut self) -> Result<Option<Page>> {
            Ok(self.0.pop())
        }

        fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
            Ok(None)
        }

        fn skip_next_page(&mut self) -> Result<()> {
            self.0.pop();
            Ok(())
        }
    }

    #[test]
    fn a_dictionary_of_more_values_than_bytes_is_refused() {
        for (values, is_sound) in [(0, true), (8, true), (9, false), (u32::MAX, false)] {
            let dictionary = Page::DictionaryPage {
                buf: vec![0; 8].into(),
                num_values: values,
                encoding: Encoding::PLAIN,
                is_sorted: false,
            };
            let mut pages = SoundPages(Box::new(Pages(vec![dictionary])));
            assert_eq!(pages.get_next_page().is_ok(), is_sound, "{values}");
        }
    }
}
