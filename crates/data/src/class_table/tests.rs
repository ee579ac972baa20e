use super::*;
use crate::{Dataset, open, open_split};
use std::fs;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

/// The pictures of training and of validation below the folder, each with its class.
fn pictures(dir: &Path, dataset: &Dataset) -> [Vec<String>; 2] {
    let shown = |samples: &[crate::Sample]| {
        let samples = samples.iter().map(|sample| {
            let path = sample.path.strip_prefix(dir).unwrap_or(&sample.path);
            let path = path.to_str().unwrap().replace('\\', "/");
            format!("{path} {}", dataset.classes[sample.label])
        });
        samples.collect()
    };
    [shown(&dataset.train), shown(&dataset.validation)]
}

fn refusal(table: &Path) -> String {
    open(table, 0.0, 0).unwrap_err().to_string()
}

#[test]
fn a_table_has_a_picture_a_class_and_a_split_in_each_row() {
    let text = "\u{feff}id,File_Name,Label,split\r\n\
        1,images/b.jpg,dog,train\r\n\
        2,\"images/a, 1.jpg\",\"cat\",train\r\n\
        3,/other/c.jpg,cat,valid\r\n\
        4,shards/0.tar/x.jpg,dog,val\r\n";
    let dir = folder(&[("pets.csv", text)]);
    let dataset = open(&dir.path().join("pets.csv"), 0.2, 0).unwrap();
    assert_eq!(dataset.classes, ["cat", "dog"]);
    let [train, validation] = pictures(dir.path(), &dataset);
    assert_eq!(train, ["images/a, 1.jpg cat", "images/b.jpg dog"]);
    assert_eq!(validation, ["/other/c.jpg cat", "shards/0.tar/x.jpg dog"]);
    assert_eq!(open(dir.path(), 0.2, 0).unwrap(), dataset, "by its folder");
}

#[test]
fn tables_of_tabs_semicolons_and_lines_of_json_are_read() {
    for (name, text) in [
        ("t.tsv", "path\tclass\na.jpg\tcat\nb.jpg\tdog\n"),
        ("t.csv", "path;class\na.jpg;cat\nb.jpg;dog\n"),
        ("t.csv", "path,class\n\na.jpg , cat\nb.jpg,dog"),
        (
            "t.jsonl",
            "{\"image\": \"a.jpg\", \"label\": \"cat\"}\n\n{\"label\": \"dog\", \"image\": \"b.jpg\"}",
        ),
    ] {
        let dir = folder(&[(name, text)]);
        let dataset = open(&dir.path().join(name), 0.0, 0).unwrap();
        let [train, _] = pictures(dir.path(), &dataset);
        assert_eq!(train, ["a.jpg cat", "b.jpg dog"], "{name}");
    }
}

#[test]
fn a_table_for_each_split_is_found_by_its_name() {
    let dir = folder(&[
        ("train.csv", "path,label\na.jpg,cat\nb.jpg,dog\n"),
        ("val.csv", "path,label\nc.jpg,cat\n"),
        ("sizes.csv", "path,width\na.jpg,3\n"),
        ("extra.csv", "path,label\nd.jpg,cat\n"),
        ("images/a.jpg", ""),
    ]);
    let of_folder = open(dir.path(), 0.2, 0).unwrap();
    let [train, validation] = pictures(dir.path(), &of_folder);
    assert_eq!(train, ["a.jpg cat", "b.jpg dog"]);
    assert_eq!(validation, ["c.jpg cat"]);
    assert!(
        of_folder.notes.concat().contains("extra.csv"),
        "{:?}",
        of_folder.notes
    );
    let of_table = open(&dir.path().join("train.csv"), 0.2, 0).unwrap();
    assert_eq!(pictures(dir.path(), &of_table), [train, validation]);
    let classes = ["dog".to_owned(), "cat".to_owned()];
    let split = open_split(&dir.path().join("val.csv"), &classes).unwrap();
    assert_eq!((split.samples.len(), split.samples[0].label), (1, 1));
    let refused = open_split(dir.path(), &classes).unwrap_err().to_string();
    assert!(
        refused.contains("the tables of several splits"),
        "{refused}"
    );
}

#[test]
fn the_split_of_a_row_counts_before_that_of_its_table() {
    let train = "path,label,split\n\
        a.jpg,cat,train\n\
        b.jpg,dog,\n\
        c.jpg,dog,val\n\
        c.jpg,cat,val\n";
    let dir = folder(&[("train.csv", train), ("val.csv", "path,label\nd.jpg,cat\n")]);
    let dataset = open(dir.path(), 0.2, 0).unwrap();
    let [train, validation] = pictures(dir.path(), &dataset);
    assert_eq!(train, ["a.jpg cat", "b.jpg dog"]);
    assert_eq!(validation, ["d.jpg cat", "c.jpg dog"]);
    let notes = dataset.notes.join("\n");
    assert!(notes.contains("train.csv, line 5: "), "{notes}");
}

#[test]
fn a_table_for_testing_without_labels_is_left_out_and_not_measured() {
    let dir = folder(&[
        ("train.csv", "path,label\na.jpg,cat\nb.jpg,dog\n"),
        ("test.csv", "path,label\nc.jpg,\nd.jpg,\n"),
    ]);
    let dataset = open(dir.path(), 0.0, 0).unwrap();
    assert_eq!((dataset.train.len(), dataset.test), (2, None));
    let lines = dataset.ignored.lines();
    assert!(lines[0].ends_with("test.csv (2 images)"), "{lines:?}");
    let classes = ["cat".to_owned(), "dog".to_owned()];
    let refused = open_split(&dir.path().join("test.csv"), &classes).unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("none of its 2 rows can be used"),
        "{refused}"
    );
}

#[test]
fn class_folders_with_pictures_win_over_a_table_beside_them() {
    let dir = folder(&[
        ("labels.csv", "path,label\na.jpg,bird\nb.jpg,fish\n"),
        ("cat/1.jpg", ""),
        ("dog/1.jpg", ""),
    ]);
    assert_eq!(open(dir.path(), 0.0, 0).unwrap().classes, ["cat", "dog"]);
    let table = dir.path().join("labels.csv");
    assert_eq!(open(&table, 0.0, 0).unwrap().classes, ["bird", "fish"]);
}

#[test]
fn rows_that_cannot_be_used_are_counted_with_their_lines() {
    let text = "path,label,split\n\
        a.jpg,cat,train\n\
        b.jpg,dog,train\n\
        a.jpg,dog,train\n\
        c.jpg,,train\n\
        d.jpg,cat,holdout\n\
        ,cat,train\n\
        e.jpg\n";
    let dir = folder(&[("pets.csv", text)]);
    let table = dir.path().join("pets.csv");
    let notes = open(&table, 0.0, 0).unwrap().notes.join("\n");
    for expected in [
        "1 image is listed twice in a split (kept once): ",
        "pets.csv, line 4: ",
        "a.jpg is \"cat\" and \"dog\"; the first is taken",
        "1 image has no label (left out): ",
        "pets.csv, line 5: c.jpg",
        "3 annotations are malformed (dropped): ",
        "pets.csv, line 6: expected the split train, val or test, found \"holdout\"",
        "pets.csv, line 7: expected the path of a picture, found nothing",
        "pets.csv, line 8: expected at least 2 columns, found 1",
    ] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
    let classes = ["cat".to_owned(), "dog".to_owned()];
    let refused = open_split(&table, &classes).unwrap_err().to_string();
    assert!(
        refused.contains("1 image has no label (left out), such as"),
        "{refused}"
    );
}

#[test]
fn what_is_no_table_of_classes_is_refused_with_what_was_expected() {
    for (name, text, expected) in [
        (
            "t.csv",
            "a.jpg,cat\nb.jpg,dog\n",
            "line 1: expected a header with the columns path and label, found \"a.jpg,cat\"",
        ),
        ("t.csv", "", "line 1: expected a header"),
        ("t.csv", "path,label\n", "none of its 0 rows can be used"),
        (
            "t.csv",
            "path,label\na.jpg,\n",
            "none of its 1 rows can be used, such as",
        ),
        (
            "t.jsonl",
            "[1]\n",
            "none of its 1 rows can be used, such as",
        ),
        (
            "t.csv",
            "filename,class,xmin,ymin\na.jpg,cat,1,1\n",
            "looks like a table of boxes",
        ),
        (
            "t.csv",
            "path,label\na.jpg,cat\nb.jpg,cat\n",
            "all its pictures are of one class",
        ),
        (
            "val.csv",
            "path,label\na.jpg,cat\nb.jpg,dog\n",
            "no row is for training",
        ),
    ] {
        let dir = folder(&[(name, text)]);
        let refused = refusal(&dir.path().join(name));
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
}

#[test]
fn a_quote_that_is_not_closed_does_not_fill_the_memory() {
    let rows = "a.jpg,cat\n".repeat(2 << 20);
    let dir = folder(&[("t.csv", &format!("path,label\n\"{rows}"))]);
    let refused = refusal(&dir.path().join("t.csv"));
    assert!(refused.contains("is a quote not closed?"), "{refused}");
    let dir = folder(&[("t.jsonl", &"a".repeat(17 << 20))]);
    assert!(refusal(&dir.path().join("t.jsonl")).contains("a row of more than"));
}

#[test]
fn two_tables_that_may_be_meant_are_refused() {
    let rows = "path,label\na.jpg,cat\nb.jpg,dog\n";
    let dir = folder(&[("a.csv", rows), ("b.csv", rows)]);
    let refused = refusal(dir.path());
    assert!(refused.contains("it is not clear whether"), "{refused}");
    let dir = folder(&[("train.csv", rows), ("train.tsv", &rows.replace(',', "\t"))]);
    let refused = refusal(&dir.path().join("train.csv"));
    assert!(
        refused.contains("are tables for the same split"),
        "{refused}"
    );
}
