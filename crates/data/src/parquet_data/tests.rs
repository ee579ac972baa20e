use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::dataset;

/// Classes in an order that is not that of their letters.
const NAMES: &str = r#"{"info": {"features": {"image": {"_type": "Image"},
    "label": {"names": ["dog", "cat"], "_type": "ClassLabel"}}}}"#;

/// A file as the library `datasets` writes it: pictures, some without bytes, and their labels.
struct Rows<'a> {
    pictures: Vec<Option<&'a [u8]>>,
    labels: Vec<Option<i64>>,
    told: Option<&'a str>,
    compression: Compression,
}

impl<'a> Rows<'a> {
    /// As many pictures of classes 0 and 1 in turn.
    fn new(count: usize, picture: &'a [u8]) -> Self {
        Self {
            pictures: vec![Some(picture); count],
            labels: (0..count as i64).map(|row| Some(row % 2)).collect(),
            told: Some(NAMES),
            compression: Compression::SNAPPY,
        }
    }

    fn write(&self, path: &Path) {
        let schema = "message schema {
            optional group image { optional binary bytes; optional binary path (UTF8); }
            optional int64 label;
        }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let told = self
            .told
            .map(|told| vec![KeyValue::new("huggingface".to_owned(), told.to_owned())]);
        let properties = WriterProperties::builder()
            .set_compression(self.compression)
            .set_key_value_metadata(told)
            .build();
        let file = File::create(path).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
        // Groups of rows, whose ends are not those of what is read at once.
        for (pictures, labels) in self.pictures.chunks(21).zip(self.labels.chunks(21)) {
            let mut group = writer.next_row_group().unwrap();
            let levels: Vec<i16> = pictures
                .iter()
                .map(|picture| if picture.is_some() { 2 } else { 1 })
                .collect();
            let bytes: Vec<ByteArray> = pictures
                .iter()
                .flatten()
                .map(|bytes| ByteArray::from(bytes.to_vec()))
                .collect();
            let mut column = group.next_column().unwrap().unwrap();
            let typed = column.typed::<ByteArrayType>();
            typed.write_batch(&bytes, Some(&levels), None).unwrap();
            column.close().unwrap();
            let paths = vec![ByteArray::from("0.jpg"); pictures.len()];
            let mut column = group.next_column().unwrap().unwrap();
            let typed = column.typed::<ByteArrayType>();
            typed
                .write_batch(&paths, Some(&vec![2; pictures.len()]), None)
                .unwrap();
            column.close().unwrap();
            let levels: Vec<i16> = labels
                .iter()
                .map(|label| i16::from(label.is_some()))
                .collect();
            let numbers: Vec<i64> = labels.iter().flatten().copied().collect();
            let mut column = group.next_column().unwrap().unwrap();
            let typed = column.typed::<Int64Type>();
            typed.write_batch(&numbers, Some(&levels), None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.close().unwrap();
    }
}

/// A file whose classes are texts beside plain bytes of pictures.
fn write_texts(path: &Path, picture: &[u8], labels: &[&str]) {
    let schema = "message schema { required binary img; required binary label (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let pictures = vec![ByteArray::from(picture.to_vec()); labels.len()];
    let labels: Vec<ByteArray> = labels.iter().map(|label| ByteArray::from(*label)).collect();
    for values in [&pictures, &labels] {
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<ByteArrayType>()
            .write_batch(values, None, None)
            .unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

/// A picture that is not like another.
fn picture(shade: u8) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(8, 8, image::Rgb([shade, 0, 255 - shade]));
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

fn unpacked(data: &Path, folder: &Path) -> Result<Unpacked, DataError> {
    let parquet = ParquetData::at(data)?.unwrap();
    parquet.unpack(folder, &mut |_, _| {})
}

/// What is said of a file of these rows.
fn refusal(rows: &Rows) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("train.parquet");
    rows.write(&path);
    let error = unpacked(&path, &dir.path().join("out")).unwrap_err();
    assert!(!dir.path().join("out/train").exists());
    assert!(!dir.path().join("out/.part").exists());
    let said = error.to_string();
    assert!(said.contains("train.parquet"), "{said}");
    said
}

#[test]
fn rows_become_shards_of_their_splits_in_the_classes_own_order() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("pets");
    fs::create_dir_all(data.join("data")).unwrap();
    fs::write(data.join("README.md"), "about").unwrap();
    let picture = picture(7);
    Rows::new(50, &picture).write(&data.join("data/train-00000-of-00002.parquet"));
    Rows::new(6, &picture).write(&data.join("data/train-00001-of-00002.parquet"));
    Rows::new(4, &picture).write(&data.join("data/validation-00000-of-00001.parquet"));
    let out = dir.path().join("out");
    let first = unpacked(&data, &out).unwrap();
    let written = Written {
        pictures: 60,
        unlabelled: 0,
        classes: 2,
    };
    assert_eq!(
        (&first.path, first.written),
        (&out.join("pets"), Some(written))
    );
    assert_eq!(
        fs::read_to_string(first.path.join("classes.txt")).unwrap(),
        "dog\ncat\n"
    );
    let opened = dataset::open(&first.path, 0.0, 1).unwrap();
    assert_eq!(opened.classes, ["dog", "cat"]);
    assert_eq!(opened.train.len(), 56);
    assert_eq!(
        opened.train[0].path,
        first.path.join("train-00000.tar/000000000.png")
    );
    let mut archive = tar::Archive::new(File::open(first.path.join("train-00000.tar")).unwrap());
    let mut bytes = Vec::new();
    archive
        .entries()
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    assert_eq!(bytes, picture, "the picture is not encoded again");
    let again = unpacked(&data, &out).unwrap();
    assert_eq!((again.path, again.written), (first.path, None));
}

#[test]
fn other_files_have_another_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let key = || ParquetData::at(&path).unwrap().unwrap().key().to_owned();
    fs::write(&path, b"1").unwrap();
    let first = key();
    assert_eq!(first, key());
    fs::write(&path, b"12").unwrap();
    assert_ne!(first, key());
}

#[test]
fn texts_are_classes_in_the_order_of_their_letters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("birds.parquet");
    write_texts(&path, &picture(1), &["wren", "auk", "wren", ""]);
    let out = unpacked(&path, dir.path()).unwrap();
    let written = out.written.unwrap();
    assert_eq!(
        (written.pictures, written.unlabelled, written.classes),
        (3, 1, 2)
    );
    assert_eq!(
        fs::read_to_string(out.path.join("classes.txt")).unwrap(),
        "auk\nwren\n"
    );
}

#[test]
fn numbers_without_names_are_their_own_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("digits.parquet");
    let picture = picture(1);
    let mut rows = Rows::new(4, &picture);
    rows.told = None;
    rows.labels = vec![Some(7), Some(-1), None, Some(3)];
    rows.compression = Compression::GZIP(Default::default());
    rows.write(&path);
    let out = unpacked(&path, dir.path()).unwrap();
    let written = out.written.unwrap();
    assert_eq!((written.pictures, written.unlabelled), (2, 2));
    assert_eq!(
        fs::read_to_string(out.path.join("classes.txt")).unwrap(),
        "3\n7\n"
    );
}

#[test]
fn a_row_that_has_only_a_path_is_refused_with_its_number() {
    let picture = picture(1);
    let mut rows = Rows::new(30, &picture);
    rows.pictures[22] = None;
    assert!(refusal(&rows).contains("row 23 has no bytes of a picture"));
    rows.pictures[22] = Some(b"");
    assert!(refusal(&rows).contains("row 23 has no bytes of a picture"));
}

#[test]
fn labels_and_columns_that_are_no_classes_are_refused() {
    let picture = picture(1);
    let mut rows = Rows::new(3, &picture);
    rows.labels[1] = Some(2);
    assert!(refusal(&rows).contains("row 2: its label is 2, and there are 2 classes"));
    rows.told = Some(r#"{"info": {"features": {"label": {"names": ["a", "a"]}}}}"#);
    assert!(refusal(&rows).contains("there twice"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table.parquet");
    let schema = Arc::new(parse_message_type("message schema { required int64 price; }").unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let writer =
        SerializedFileWriter::new(File::create(&path).unwrap(), schema, properties).unwrap();
    writer.close().unwrap();
    let said = unpacked(&path, dir.path()).unwrap_err().to_string();
    assert!(
        said.contains("no column of pictures") && said.contains("price"),
        "{said}"
    );
}

#[test]
fn files_whose_classes_differ_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let picture = picture(1);
    let mut rows = Rows::new(4, &picture);
    rows.write(&dir.path().join("train-0.parquet"));
    rows.told = Some(r#"{"info": {"features": {"label": {"names": ["cat", "dog"]}}}}"#);
    rows.write(&dir.path().join("validation-0.parquet"));
    let said = unpacked(dir.path(), &dir.path().join("out"))
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("validation-0.parquet: its classes are others"),
        "{said}"
    );
}

#[test]
fn a_damaged_file_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("train.parquet");
    Rows::new(40, &picture(1)).write(&path);
    let whole = fs::read(&path).unwrap();
    let out = dir.path().join("out");
    for length in (0..whole.len()).step_by(13) {
        fs::write(&path, &whole[..length]).unwrap();
        let error = unpacked(&path, &out).unwrap_err();
        assert!(error.to_string().contains("train.parquet"), "{error}");
    }
    for place in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(&path, &bytes).unwrap();
        // A bit of a picture may change without notice.
        let _ = unpacked(&path, &out);
        let _ = fs::remove_dir_all(&out);
    }
}
