//! The columns of a Parquet file that hold its pictures and their classes.

use std::path::Path;

use parquet::basic::{CompressionCodec, ConvertedType, Type};
use parquet::file::metadata::{FileMetaData, ParquetMetaData};
use parquet::schema::types::ColumnDescriptor;
use serde_json::Value;
use warmstart_language::message;

use super::classes::require_names;
use crate::error::{DataError, some_of};

/// Names of columns of pictures, the usual one first.
const PICTURES: [&str; 2] = ["image", "img"];
/// Names of columns of classes, the usual one first.
const LABELS: [&str; 3] = ["label", "labels", "class"];
/// The key of what the library `datasets` tells of a file.
const DATASETS: &str = "huggingface";

/// The columns of a file.
#[derive(Debug)]
pub struct Columns {
    /// Number of the column of pictures.
    pub picture: usize,
    /// Number of the column of classes.
    pub label: usize,
    /// The names of the classes, where their numbers have some.
    pub names: Option<Vec<String>>,
}

/// The columns of a file.
///
/// # Errors
/// If it has none of pictures, none or several of classes, or they are compressed in a way that is not supported.
pub fn columns(path: &Path, metadata: &ParquetMetaData) -> Result<Columns, DataError> {
    let refused = |problem| DataError::Layout {
        folder: path.to_owned(),
        problem,
    };
    let features = features(metadata.file_metadata());
    let schema = metadata.file_metadata().schema_descr();
    let all = || {
        let names = schema.columns().iter().map(|column| column.path().string());
        some_of(&names.collect::<Vec<_>>())
    };
    let picture = picture_column(schema.columns().iter().map(|column| &**column), &features);
    let picture = picture.ok_or_else(|| {
        refused(message!(
            "it has no column of pictures (`image`, with bytes in it); its columns are {}",
            all()
        ))
    })?;
    let labels = label_columns(schema.columns().iter().map(|column| &**column), &features);
    let label = match labels[..] {
        [label] => label,
        [] => {
            return Err(refused(message!(
                "it has no column of classes (`label`, of whole numbers or texts); its columns are {}",
                all()
            )));
        }
        [..] => {
            let names = labels
                .iter()
                .map(|label| schema.column(*label).path().string());
            return Err(refused(message!(
                "it has several columns of classes ({}); call the one to learn `label`",
                some_of(&names.collect::<Vec<_>>())
            )));
        }
    };
    require_codecs(metadata, &[picture, label]).map_err(refused)?;
    let is_number = schema.column(label).physical_type() != Type::BYTE_ARRAY;
    let name = top(&schema.column(label)).to_owned();
    let names = names_of(&features[&name]).filter(|_| is_number);
    if let Some(names) = &names {
        require_names(names).map_err(refused)?;
    }
    Ok(Columns {
        picture,
        label,
        names,
    })
}

/// What the library `datasets` tells of the columns; null where it was not there.
fn features(metadata: &FileMetaData) -> Value {
    let mut entries = metadata.key_value_metadata().into_iter().flatten();
    let entry = entries.find(|entry| entry.key == DATASETS);
    let text = entry.and_then(|entry| entry.value.as_deref());
    let told: Option<Value> = text.and_then(|text| serde_json::from_str(text).ok());
    told.map_or(Value::Null, |told| told["info"]["features"].clone())
}

/// The names of classes that a feature tells.
fn names_of(feature: &Value) -> Option<Vec<String>> {
    let names = feature["names"].as_array()?.iter();
    names.map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The first part of a column's path.
fn top(column: &ColumnDescriptor) -> &str {
    column.path().parts().first().map_or("", String::as_str)
}

fn is_feature(features: &Value, column: &ColumnDescriptor, kind: &str) -> bool {
    features[top(column)]["_type"] == kind
}

/// The column of the bytes of pictures: `image.bytes`, or `image` itself.
fn picture_column<'a>(
    columns: impl Iterator<Item = &'a ColumnDescriptor>,
    features: &Value,
) -> Option<usize> {
    let mut found: Vec<(usize, &str)> = Vec::new();
    for (number, column) in columns.enumerate() {
        let parts = column.path().parts();
        let is_struct = parts.len() == 2 && parts[1] == "bytes";
        let is_plain = parts.len() == 1
            && column.converted_type() != ConvertedType::UTF8
            && (PICTURES.contains(&top(column)) || is_feature(features, column, "Image"));
        let is_binary = column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0;
        if is_binary && (is_struct || is_plain) {
            found.push((number, top(column)));
        }
    }
    let by_name = PICTURES.iter().find_map(|name| {
        let mut found = found.iter();
        found.find(|(_, found)| found == name)
    });
    match (by_name, &found[..]) {
        (Some((number, _)), _) | (None, [(number, _)]) => Some(*number),
        (None, _) => None,
    }
}

/// The columns that may be that of classes: one, if a name or a type tells it.
fn label_columns<'a>(
    columns: impl Iterator<Item = &'a ColumnDescriptor>,
    features: &Value,
) -> Vec<usize> {
    let usable: Vec<(usize, &ColumnDescriptor)> = columns
        .enumerate()
        .filter(|(_, column)| {
            let kind = column.physical_type();
            let is_label = [Type::INT32, Type::INT64, Type::BYTE_ARRAY].contains(&kind);
            is_label && column.max_rep_level() == 0 && column.path().parts().len() == 1
        })
        .collect();
    let named = |name: &str| {
        let mut usable = usable.iter();
        usable
            .find(|(_, column)| top(column) == name)
            .map(|(number, _)| *number)
    };
    if let Some(label) = named(LABELS[0]) {
        return vec![label];
    }
    let told = usable
        .iter()
        .filter(|(_, column)| is_feature(features, column, "ClassLabel"));
    let told: Vec<usize> = told.map(|(number, _)| *number).collect();
    if told.is_empty() {
        LABELS
            .iter()
            .find_map(|name| named(name))
            .into_iter()
            .collect()
    } else {
        told
    }
}

/// Refuses columns whose compression cannot be undone here.
fn require_codecs(metadata: &ParquetMetaData, columns: &[usize]) -> Result<(), String> {
    for group in metadata.row_groups() {
        for column in columns {
            let Some(column) = group.columns().get(*column) else {
                return Err(message!("it is damaged: a group of rows lacks a column"));
            };
            let codec = column.compression_codec();
            if ![
                CompressionCodec::UNCOMPRESSED,
                CompressionCodec::SNAPPY,
                CompressionCodec::GZIP,
                CompressionCodec::LZ4,
                CompressionCodec::LZ4_RAW,
            ]
            .contains(&codec)
            {
                return Err(message!(
                    "its column {} is compressed with {codec:?}; expected SNAPPY, GZIP, LZ4 or none: write the file again, \
                     in Python with pyarrow.parquet.write_table(table, file, compression=\"snappy\")",
                    column.column_path().string()
                ));
            }
        }
    }
    Ok(())
}
