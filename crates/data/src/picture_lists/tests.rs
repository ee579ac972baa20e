use super::*;

fn names(dir: &Path, count: usize) -> (Vec<String>, Vec<Problem>) {
    let mut findings = Findings::default();
    let names = class_names(dir, "cls_classes.txt", count, &mut findings).unwrap();
    (names, findings.iter().map(|(problem, _)| problem).collect())
}

#[test]
fn the_split_is_a_word_of_the_name_and_the_rest_belongs_to_the_data_set() {
    use SplitKind::{Test, Train, Validation};
    for (name, expected) in [
        ("cls_train.txt", Some((Train, "cls".to_owned()))),
        ("2007_val.txt", Some((Validation, "2007".to_owned()))),
        ("cls_test.txt", Some((Test, "cls".to_owned()))),
        ("train.txt", Some((Train, String::new()))),
        ("2007_trainval.txt", None),
        ("pictures.txt", None),
    ] {
        assert_eq!(split_of(Path::new(name)), expected, "{name}");
    }
}

#[test]
fn the_list_of_classes_that_fits_the_labels_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("model_data")).unwrap();
    let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
    write("model_data/voc_classes.txt", "aeroplane\nbicycle\nbird\n");
    assert_eq!(names(dir.path(), 2).0.len(), 3);
    write("model_data/my_classes.txt", "cat\ndog\n");
    assert_eq!(
        names(dir.path(), 2),
        (vec!["cat".into(), "dog".into()], vec![])
    );
    write("cls_classes.txt", "Katze\nHund\n");
    assert_eq!(
        names(dir.path(), 2),
        (
            vec!["Katze".into(), "Hund".into()],
            vec![Problem::OtherClasses]
        )
    );
}

#[test]
fn a_path_through_an_archive_comes_before_a_file_at_the_end_of_the_path() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["shards", "cat"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    std::fs::write(dir.path().join("cat/1.jpg"), "").unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    archive
        .append_data(&mut header, "cat/1.jpg", &b"a"[..])
        .unwrap();
    let shard = dir.path().join("shards/0.tar");
    std::fs::write(&shard, archive.into_inner().unwrap()).unwrap();
    let folder = [dir.path().to_path_buf()];
    let mut finder = Finder::new(&folder);
    let mut findings = Findings::default();
    let mut find = |path: &str| finder.find(path, String::new, &mut findings);
    let packed = shard.join("cat/1.jpg");
    assert_eq!(find("shards/0.tar/cat/1.jpg"), Some(packed));
    let plain = dir.path().join("cat/1.jpg");
    assert_eq!(find("other/0.tar/cat/1.jpg"), Some(plain));
    assert_eq!(findings.count(Problem::ForeignName), 1);
}

#[test]
fn without_a_list_classes_are_called_by_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        names(dir.path(), 2),
        (
            vec!["class_0".into(), "class_1".into()],
            vec![Problem::UnnamedClasses]
        )
    );
}
