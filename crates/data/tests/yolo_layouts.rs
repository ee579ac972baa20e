//! Layouts of YOLO data sets, as tools write them and people move them.

#[path = "common/detection.rs"]
#[allow(dead_code)]
mod detection;

use detection::{add, add_picture, opened, problems, refusal, yolo};
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use warmstart_data::scenes::{Layout, OpenedScenes, Problem, layout, open};

/// Pictures with a label each; a label file lies where `images` in the path is `labels`.
fn add_labelled(dir: &Path, images: &[&str]) {
    for (index, image) in images.iter().enumerate() {
        add_picture(dir, image, 40, 40);
        let label = Path::new(image).with_extension("txt");
        let label = label.to_str().unwrap().replace("images", "labels");
        add(dir, &label, format!("{} 0.5 0.5 0.5 0.5\n", index % 2));
    }
}

/// Train, validation and test images and objects.
fn sizes(read: &OpenedScenes) -> [(usize, usize); 3] {
    let dataset = &read.dataset;
    let test = dataset.test.as_deref().unwrap_or_default();
    [&dataset.train, &dataset.validation, test].map(|samples| {
        let objects = samples.iter().map(|sample| sample.label.objects.len());
        (samples.len(), objects.sum())
    })
}

/// Twelve images in `images/train`, four in `images/val`.
fn split_images() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..4 {
        let train = (0..3).map(|part| format!("images/train/{index}{part}.png"));
        let images: Vec<String> = train.chain([format!("images/val/{index}.png")]).collect();
        let images: Vec<&str> = images.iter().map(|image| &image[..]).collect();
        add_labelled(dir.path(), &images);
    }
    dir
}

#[test]
fn label_studio_s_export_is_read_and_validates_by_share() {
    let dir = tempfile::tempdir().unwrap();
    let images: Vec<String> = (0..10).map(|index| format!("images/{index}.png")).collect();
    let images: Vec<&str> = images.iter().map(|image| &image[..]).collect();
    add_labelled(dir.path(), &images);
    add(dir.path(), "classes.txt", "red\nblue\n\n");
    add(
        dir.path(),
        "notes.json",
        r#"{"categories": [{"id": 0, "name": "red"}]}"#,
    );
    let read = opened(&dir);
    assert_eq!(read.layout, Layout::Yolo);
    assert_eq!(read.dataset.classes, ["red", "blue"]);
    assert_eq!(sizes(&read), [(8, 8), (2, 2), (0, 0)]);
    assert!(read.validates_by_share);
    assert_eq!(problems(&read.findings), []);
}

#[test]
fn folders_without_a_data_yaml_are_read() {
    for (train, validation, list) in [
        ("images/train", "images/val", "classes.txt"),
        ("Images/Training", "Images/Validation", "labels/classes.txt"),
        ("train/images", "valid/images", "obj.names"),
        ("train", "valid", "train/_darknet.labels"),
        ("train2017", "val2017", "my.names"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for (folder, images) in [(train, 2), (validation, 2)] {
            let images: Vec<String> = (0..images).map(|i| format!("{folder}/{i}.png")).collect();
            let images: Vec<&str> = images.iter().map(|image| &image[..]).collect();
            add_labelled(dir.path(), &images);
        }
        if train.starts_with("Images") {
            // Labels beside the images go with any name of the folder.
            for split in [train, validation] {
                assert!(dir.path().join(split).join("0.txt").exists());
            }
        }
        add(dir.path(), list, "red\nblue");
        let read = opened(&dir);
        assert_eq!(read.dataset.classes, ["red", "blue"], "{train}");
        assert_eq!(sizes(&read), [(2, 2), (2, 2), (0, 0)], "{train}");
        assert_eq!(problems(&read.findings), [], "{train}");
    }
}

#[test]
fn a_folder_of_images_and_labels_side_by_side_is_read() {
    let dir = tempfile::tempdir().unwrap();
    add_labelled(dir.path(), &["a.png", "b.png", "c.png", "d.png", "e.png"]);
    add(dir.path(), "classes.txt", "red\nblue");
    let read = opened(&dir);
    assert_eq!(sizes(&read), [(4, 4), (1, 1), (0, 0)]);
    add(dir.path(), "train.txt", "a.png\nb.png\n");
    add(dir.path(), "val.txt", "c.png\nd.png\n");
    let read = opened(&dir);
    assert_eq!(sizes(&read), [(2, 2), (2, 2), (0, 0)]);
    assert!(!read.validates_by_share);
}

#[test]
fn folders_of_pictures_and_labels_have_many_names() {
    for (pictures, labels) in [
        ("photos", "labels"),
        ("Pictures", "Label"),
        ("jpg", "annotations"),
        ("photos/train", "labels/train"),
        ("train/photos", "train/labels"),
        ("train/JPEGImages", "train/Annots"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for (index, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
            add_picture(dir.path(), &format!("{pictures}/{name}.png"), 40, 40);
            let label = format!("{} 0.5 0.5 0.5 0.5\n", index % 2);
            add(dir.path(), &format!("{labels}/{name}.txt"), label);
        }
        let read = opened(&dir);
        assert_eq!(read.layout, Layout::Yolo, "{pictures}");
        assert_eq!(sizes(&read), [(3, 3), (1, 1), (0, 0)], "{pictures}");
        assert_eq!(problems(&read.findings), [(Problem::UnnamedClasses, 1)]);
    }
}

#[test]
fn a_folder_of_pictures_without_labels_does_not_hide_the_splits() {
    for folder in ["pictures", "images"] {
        let dir = tempfile::tempdir().unwrap();
        add_labelled(dir.path(), &["train/images/a.png", "train/images/b.png"]);
        add_labelled(dir.path(), &["valid/images/c.png", "valid/images/d.png"]);
        add_picture(dir.path(), &format!("{folder}/example.png"), 40, 40);
        let read = opened(&dir);
        assert_eq!(sizes(&read), [(2, 2), (2, 2), (0, 0)], "{folder}");
        let example = &read.findings.examples(Problem::NotUsed)[0];
        assert!(example.ends_with(folder), "{example}");
    }
}

#[test]
fn classes_without_names_are_numbered_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    add_labelled(
        dir.path(),
        &[
            "images/train/a.png",
            "images/train/b.png",
            "images/val/c.png",
        ],
    );
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["class_0", "class_1"]);
    assert_eq!(read.findings.count(Problem::UnnamedClasses), 1);
    add(
        dir.path(),
        "data.yaml",
        "train: images/train\nval: images/val\nnc: 3\n",
    );
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["class_0", "class_1", "class_2"]);
    assert_eq!(read.findings.count(Problem::UnnamedClasses), 1);
}

#[test]
fn other_folders_with_text_files_are_not_yolo() {
    let dir = tempfile::tempdir().unwrap();
    for class in ["cat", "dog"] {
        add_picture(dir.path(), &format!("train/{class}/a.png"), 8, 8);
        add(
            dir.path(),
            &format!("train/{class}/a.txt"),
            "0 0.5 0.5 0.1 0.1",
        );
    }
    assert_eq!(layout(dir.path()), None);
    let dir = tempfile::tempdir().unwrap();
    add_picture(dir.path(), "images/a.png", 8, 8);
    add(dir.path(), "images/a.txt", "a red square on a grey ground");
    add(dir.path(), "labels/a.txt", "12\n7\n");
    assert_eq!(layout(dir.path()), None);
}

#[test]
fn darknet_s_and_cvat_s_export_is_read() {
    let dir = tempfile::tempdir().unwrap();
    add_labelled(
        dir.path(),
        &["obj_train_data/a.png", "obj_train_data/sub/b.png"],
    );
    add_labelled(
        dir.path(),
        &["obj_valid_data/c.png", "obj_valid_data/d.png"],
    );
    let data = "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\nbackup = backup/\n";
    add(dir.path(), "obj.data", data);
    add(dir.path(), "obj.names", "red\nblue\n");
    add(
        dir.path(),
        "train.txt",
        "data/obj_train_data/a.png\ndata/obj_train_data/sub/b.png\n",
    );
    add(
        dir.path(),
        "valid.txt",
        "data/obj_valid_data/c.png\ndata/obj_valid_data/d.png\n",
    );
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["red", "blue"]);
    assert_eq!(sizes(&read), [(2, 2), (2, 2), (0, 0)]);
    assert_eq!(problems(&read.findings), []);
    let by_file = open(&dir.path().join("obj.data"), 0.2, 0).unwrap();
    assert_eq!(by_file.dataset, read.dataset);
}

#[test]
fn darknet_s_count_of_no_classes_is_not_taken() {
    for count in ["0", "-1", "many", "99999999"] {
        let dir = tempfile::tempdir().unwrap();
        add_labelled(dir.path(), &["a.png", "b.png", "c.png", "d.png"]);
        add(
            dir.path(),
            "obj.data",
            format!("classes = {count}\ntrain = train.txt\nvalid = valid.txt\n"),
        );
        add(dir.path(), "train.txt", "a.png\nb.png\n");
        add(dir.path(), "valid.txt", "c.png\nd.png\n");
        let read = opened(&dir);
        assert_eq!(read.dataset.classes, ["class_0", "class_1"], "{count}");
        assert_eq!(sizes(&read), [(2, 2), (2, 2), (0, 0)]);
    }
}

#[test]
fn a_yaml_of_any_name_describes_the_data_if_it_is_the_only_one() {
    let dir = split_images();
    add(
        dir.path(),
        "fruit.yaml",
        "train: images/train\nval: images/val\nnames: [red, blue]\n",
    );
    add(dir.path(), "hyp.yaml", "lr0: 0.01\nmosaic: 1.0\n");
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["red", "blue"]);
    assert_eq!(sizes(&read), [(12, 12), (4, 4), (0, 0)]);
    add(
        dir.path(),
        "more.yml",
        "train: images/val\nval: images/val\nnames: [a, b]\n",
    );
    assert_eq!(
        refusal(&dir),
        "DIR: several files describe a data set (DIR/fruit.yaml, DIR/more.yml); give the one that is meant as the data, or call it data.yaml"
    );
    let by_file = open(&dir.path().join("fruit.yaml"), 0.2, 0).unwrap();
    assert_eq!(by_file.dataset, read.dataset);
    assert_eq!(layout(&dir.path().join("fruit.yaml")), Some(Layout::Yolo));
}

#[test]
fn a_file_that_is_given_as_the_data_must_describe_some() {
    let dir = split_images();
    add(dir.path(), "hyp.yaml", "lr0: 0.01\n");
    let message = open(&dir.path().join("hyp.yaml"), 0.2, 0).unwrap_err();
    assert!(message.to_string().ends_with("hyp.yaml, line 1: there is no key names; list the class names, such as names: [cat, dog]"), "{message}");
}

#[test]
fn names_may_be_a_mapping_or_a_file() {
    let dir = split_images();
    add(dir.path(), "lists/fruit.names", "red\nblue\n");
    let yaml = |names: &str| format!("train: images/train\nval: images/val\nnames: {names}\n");
    add(dir.path(), "data.yaml", yaml("lists/fruit.names"));
    assert_eq!(opened(&dir).dataset.classes, ["red", "blue"]);
    add(
        dir.path(),
        "data.yaml",
        yaml("/home/me/fruit/lists/fruit.names"),
    );
    assert_eq!(opened(&dir).dataset.classes, ["red", "blue"]);
    add(dir.path(), "lists/fruit.names", "red\n\nblue\n");
    let message = refusal(&dir);
    assert!(
        message.starts_with("DIR/lists/fruit.names, line 2: expected a class name"),
        "{message}"
    );
    add(dir.path(), "data.yaml", yaml("gone.names"));
    let message = refusal(&dir);
    assert!(
        message.starts_with("DIR/data.yaml, line 3: expected names: to be a list"),
        "{message}"
    );
}

#[test]
fn the_images_beside_a_data_yaml_go_before_those_of_a_neighbour() {
    let dir = tempfile::tempdir().unwrap();
    let own = [
        "ds/train/images/a.png",
        "ds/train/images/b.png",
        "ds/valid/images/c.png",
    ];
    add_labelled(dir.path(), &own);
    add_labelled(dir.path(), &["train/images/x.png", "valid/images/y.png"]);
    let yaml = "train: ../train/images\nval: ../valid/images\nnames: [red, blue]\n";
    add(dir.path(), "ds/data.yaml", yaml);
    let read = open(&dir.path().join("ds"), 0.2, 0).unwrap();
    assert_eq!(sizes(&read), [(2, 2), (1, 1), (0, 0)]);
    assert_eq!(read.findings.count(Problem::TwoPlaces), 2);
    // Without images of its own, `../train` is what it says.
    fs::remove_dir_all(dir.path().join("ds/train")).unwrap();
    fs::remove_dir_all(dir.path().join("ds/valid")).unwrap();
    let read = open(&dir.path().join("ds"), 0.2, 0).unwrap();
    assert_eq!(sizes(&read), [(1, 1), (1, 1), (0, 0)]);
    assert_eq!(read.findings.count(Problem::TwoPlaces), 0);
}

#[test]
fn usual_names_of_splits_are_keys() {
    for validation in ["val", "valid", "validation", "dev", "eval", "Val", "VALID"] {
        let dir = split_images();
        let yaml = format!("Train: images/train\n{validation}: [images/val]\nnames: [red, blue]\n");
        add(dir.path(), "data.yaml", yaml);
        let read = opened(&dir);
        assert_eq!(sizes(&read), [(12, 12), (4, 4), (0, 0)], "{validation}");
        assert_eq!(problems(&read.findings), [], "{validation}");
    }
}

#[test]
fn two_keys_for_one_split_must_agree() {
    let dir = split_images();
    let yaml = |valid: &str| {
        format!("train: images/train\nval: images/val\nvalid: {valid}\nnames: [red, blue]\n")
    };
    add(dir.path(), "data.yaml", yaml("images/val"));
    assert_eq!(sizes(&opened(&dir))[1], (4, 4));
    add(dir.path(), "data.yaml", yaml("images/train"));
    assert_eq!(
        refusal(&dir),
        "DIR/data.yaml, line 3: valid: another key above it names other images for the same split; keep one of the two"
    );
}

#[test]
fn keys_folders_and_lists_of_pictures_that_no_split_uses_are_named() {
    let dir = split_images();
    add_labelled(
        dir.path(),
        &[
            "images/minival/m.png",
            "test/images/t.png",
            "more/deep/d.png",
        ],
    );
    add(dir.path(), "holdout.txt", "images/val/0.png\n");
    add(dir.path(), "notes.txt", "made in May\n");
    let yaml = "train: images/train\nminival: images/minival\nlicense: CC0\nnames: [red, blue]\n";
    add(dir.path(), "data.yaml", yaml);
    let read = opened(&dir);
    assert!(read.validates_by_share);
    let root = dir.path().display().to_string();
    let examples = read.findings.examples(Problem::NotUsed);
    let examples: Vec<String> = examples.iter().map(|e| e.replace(&root, "DIR")).collect();
    assert_eq!(read.findings.count(Problem::NotUsed), 6);
    assert_eq!(
        examples,
        [
            "DIR/data.yaml, line 2: minival: images/minival",
            "DIR/holdout.txt",
            "DIR/images/minival",
            "DIR/images/val",
            "DIR/more/deep",
        ]
    );
}

#[test]
fn lists_have_paths_of_other_systems_and_machines() {
    for (line, other_place) in [
        ("images/{}", 0),
        ("./images/{}", 0),
        (".\\images\\{}", 0),
        ("\"images/{}\"", 0),
        ("data/images/{}", 0),
        ("../images/{}", 0),
        ("/content/drive/fruit/images/{}", 1),
        ("D:\\data\\fruit\\images\\{}", 1),
    ] {
        let dir = split_images();
        add(
            dir.path(),
            "data.yaml",
            "train: train.txt\nval: val.txt\nnames: [red, blue]\n",
        );
        let list = |names: &[&str]| -> String {
            let lines = names.iter().map(|name| {
                let name = if line.contains('\\') {
                    name.replace('/', "\\")
                } else {
                    (*name).into()
                };
                line.replace("{}", &name) + "\r\n"
            });
            lines.collect()
        };
        add(
            dir.path(),
            "train.txt",
            "# made by hand\n".to_owned() + &list(&["train/00.png", "train/01.png"]),
        );
        add(dir.path(), "val.txt", list(&["val/0.png"]));
        let read = opened(&dir);
        assert_eq!(sizes(&read)[..2], [(2, 2), (1, 1)], "{line}");
        assert_eq!(read.findings.count(Problem::MissingImage), 0, "{line}");
        assert_eq!(
            read.findings.count(Problem::ForeignName),
            3 * other_place,
            "{line}"
        );
    }
}

#[test]
fn lists_of_other_tools_are_named_as_what_they_are() {
    for line in [
        "images/train/00.png 1,2,30,40,0 5,6,7,8,1",
        "images/train/00.png,1,2,30,40,red",
    ] {
        let dir = split_images();
        add(
            dir.path(),
            "data.yaml",
            "train: train.txt\nval: images/val\nnames: [red, blue]\n",
        );
        add(dir.path(), "train.txt", format!("\n{line}\n"));
        let message = refusal(&dir);
        assert_eq!(
            message,
            format!(
                "DIR/train.txt, line 2: found {line:?}, a path with its boxes as keras-yolo3 and keras-retinanet have it; expected the path alone, and the boxes in a label file (class x y width height in fractions)"
            )
        );
    }
    let dir = split_images();
    add(
        dir.path(),
        "data.yaml",
        "train: a.json\nval: images/val\nnames: [red, blue]\n",
    );
    add(dir.path(), "a.json", "{\n}\n");
    assert_eq!(
        refusal(&dir),
        "DIR/a.json, line 1: expected the path of an image in every line, found \"{\""
    );
}

#[test]
fn extensions_and_folders_of_labels_may_be_in_capitals() {
    let dir = tempfile::tempdir().unwrap();
    add(
        dir.path(),
        "data.yaml",
        "train: Images/train\nval: Images/val\nnames: [red, blue]\n",
    );
    for image in ["train/a", "train/b", "val/c"] {
        add_picture(dir.path(), &format!("Images/{image}.PNG"), 40, 40);
        add(
            dir.path(),
            &format!("Labels/{image}.TXT"),
            "0 0.5 0.5 0.5 0.5\n1 0.2 0.2 0.1 0.1",
        );
    }
    add(dir.path(), "Labels/train/gone.TXT", "0 0.5 0.5 0.5 0.5");
    let read = opened(&dir);
    assert_eq!(sizes(&read), [(2, 4), (1, 2), (0, 0)]);
    assert_eq!(problems(&read.findings), [(Problem::UnknownImage, 1)]);
}

#[cfg(unix)]
#[test]
fn a_data_yaml_that_is_a_pipe_or_huge_is_refused_without_reading() {
    let dir = yolo(&[("a", b"0 0.5 0.5 0.2 0.2")]);
    let file = dir.path().join("data.yaml");
    fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    assert!(made.unwrap().success());
    let message = refusal(&dir);
    assert!(
        message.starts_with("cannot read DIR/data.yaml: it is a pipe, not a file"),
        "{message}"
    );
    fs::remove_file(&file).unwrap();
    fs::File::create(&file).unwrap().set_len(100 << 30).unwrap();
    let message = refusal(&dir);
    assert!(message.starts_with("DIR/data.yaml, line 1: expected a few lines that describe a data set, found 107374182400 bytes"), "{message}");
}

#[cfg(unix)]
#[test]
fn pipes_and_huge_files_beside_the_data_are_not_read() {
    let dir = split_images();
    let yaml = "train: images/train\nval: images/val\nnames: [red, blue]\n";
    add(dir.path(), "data.yaml", yaml);
    for name in ["pipe.txt", "pipe.yaml", "classes.txt"] {
        let made = std::process::Command::new("mkfifo")
            .arg(dir.path().join(name))
            .status();
        assert!(made.unwrap().success());
    }
    let huge = fs::File::create(dir.path().join("huge.txt")).unwrap();
    huge.set_len(100 << 30).unwrap();
    assert_eq!(problems(&opened(&dir).findings), []);
    fs::rename(dir.path().join("data.yaml"), dir.path().join("fruit.yaml")).unwrap();
    assert_eq!(problems(&opened(&dir).findings), []);
}

#[test]
fn yaml_that_would_grow_or_nests_without_end_is_read_in_its_size() {
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for level in 1..60 {
        bomb += &format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}]\n", level - 1);
    }
    let keys = "train: images/train\nval: images/val\nnames: [cat, dog]\n";
    let dir = yolo(&[("a", b"0 0.5 0.5 0.2 0.2\n1 0.2 0.2 0.1 0.1")]);
    add(dir.path(), "data.yaml", bomb + keys);
    assert_eq!(problems(&opened(&dir).findings), []);
    for nested in [
        "- ".repeat(20_000),
        "[".repeat(20_000),
        "{a: ".repeat(20_000),
        "? ".repeat(20_000),
    ] {
        add(dir.path(), "data.yaml", format!("{keys}x:\n  {nested}\n"));
        let started = std::time::Instant::now();
        let _ = open(dir.path(), 0.2, 0);
        assert!(started.elapsed().as_secs() < 5, "{}", &nested[..4]);
    }
}

/// Two pictures in each split, with lists of classes at these places.
fn with_lists(splits: [&str; 2], lists: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for split in splits {
        let images = [format!("{split}/a.png"), format!("{split}/b.png")];
        add_labelled(dir.path(), &[&images[0], &images[1]]);
    }
    for (list, names) in lists {
        add(dir.path(), list, names);
    }
    dir
}

#[test]
fn lists_of_classes_that_agree_are_used_wherever_they_lie() {
    for (splits, lists) in [
        (
            ["images/train", "images/val"],
            &[
                ("labels/train/classes.txt", "red\nblue\n"),
                ("labels/val/classes.txt", "red\n"),
            ][..],
        ),
        (
            ["images/train", "images/val"],
            &[
                ("labels/train/classes.txt", "red\n"),
                ("labels/val/classes.txt", "red\nblue\n"),
            ],
        ),
        (
            ["train", "valid"],
            &[
                ("train/_darknet.labels", "red\nblue"),
                ("valid/_darknet.labels", "red\r\nblue\r\n"),
            ],
        ),
        (
            ["train/images", "valid/images"],
            &[
                ("classes.txt", "red\nblue"),
                ("obj.names", "red\nblue\n\n"),
                ("data/predefined_classes.txt", "dog\nperson\n"),
                ("data/coco.names", "person\nbicycle\n"),
                ("labels.txt", "train/labels/a.txt\n"),
            ],
        ),
    ] {
        let read = opened(&with_lists(splits, lists));
        assert_eq!(read.dataset.classes, ["red", "blue"], "{lists:?}");
        assert_eq!(problems(&read.findings), [], "{lists:?}");
    }
}

#[test]
fn lists_of_classes_in_different_orders_are_refused() {
    for (splits, [first, second]) in [
        (
            ["images/train", "images/val"],
            ["labels/train/classes.txt", "labels/val/classes.txt"],
        ),
        (
            ["train", "valid"],
            ["train/_darknet.labels", "valid/_darknet.labels"],
        ),
        (
            ["train/images", "valid/images"],
            ["train/labels/classes.txt", "valid/labels/classes.txt"],
        ),
        (
            ["images/train", "images/val"],
            ["classes.txt", "labels/val/classes.txt"],
        ),
        (["images/train", "images/val"], ["classes.txt", "obj.names"]),
    ] {
        let dir = with_lists(splits, &[(first, "red\nblue\n"), (second, "blue\nred\n")]);
        assert_eq!(
            refusal(&dir),
            format!(
                "DIR: DIR/{first} and DIR/{second} list different classes: 0 is \"red\" and \"blue\"; the numbers in the labels need one list, so give every label the numbers of one of them and remove the other"
            )
        );
    }
}

#[test]
fn a_darknet_s_names_and_another_list_in_another_order_are_refused() {
    let dir = with_lists(
        ["images/train", "images/val"],
        &[
            ("obj.names", "red\nblue\n"),
            ("labels/val/classes.txt", "blue\nred\n"),
        ],
    );
    add(
        dir.path(),
        "train.txt",
        "images/train/a.png\nimages/train/b.png\n",
    );
    add(
        dir.path(),
        "val.txt",
        "images/val/a.png\nimages/val/b.png\n",
    );
    let data = "classes = 2\ntrain = train.txt\nvalid = val.txt\nnames = obj.names\n";
    add(dir.path(), "obj.data", data);
    let message = refusal(&dir);
    assert!(
        message.starts_with("DIR: DIR/obj.names and DIR/labels/val/classes.txt list different"),
        "{message}"
    );
}

#[test]
fn lists_and_numbers_beside_a_data_yaml_s_names_are_compared_with_them() {
    let dir = split_images();
    let yaml = "train: images/train\nval: images/val\nnames: [red, blue]\n";
    add(dir.path(), "data.yaml", yaml);
    add(dir.path(), "classes.txt", "red\nblue\n");
    assert_eq!(problems(&opened(&dir).findings), []);
    add(dir.path(), "labels/train/classes.txt", "blue\nred\n");
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["red", "blue"]);
    assert_eq!(problems(&read.findings), [(Problem::OtherClasses, 1)]);
    fs::remove_file(dir.path().join("labels/train/classes.txt")).unwrap();
    add(dir.path(), "data.yaml", format!("{yaml}nc: 3\n"));
    let read = opened(&dir);
    assert_eq!(problems(&read.findings), [(Problem::OtherClasses, 1)]);
    let example = &read.findings.examples(Problem::OtherClasses)[0];
    assert!(
        example.ends_with("data.yaml counts 3 classes and 2 are named"),
        "{example}"
    );
}

#[test]
fn a_list_s_comments_are_no_classes_where_the_labels_show_it() {
    let splits = ["images/train", "images/val"];
    let dir = with_lists(splits, &[("classes.txt", "# classes\nred\nblue\n")]);
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["red", "blue"]);
    assert_eq!(problems(&read.findings), []);
    let names = ["#1", "#2"];
    let dir = with_lists(splits, &[("classes.txt", "#1\n#2\n")]);
    assert_eq!(opened(&dir).dataset.classes, names);
    // The labels have two classes of three or four: nothing shows which line is none.
    let dir = with_lists(splits, &[("classes.txt", "# classes\nred\nblue\ngreen\n")]);
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["# classes", "red", "blue", "green"]);
    assert_eq!(read.findings.count(Problem::OtherClasses), 1);
}

#[test]
fn a_class_name_is_the_same_however_its_accents_are_written() {
    let [composed, decomposed] = ["caf\u{e9}", "cafe\u{301}"];
    let dir = split_images();
    let yaml = "train: images/train\nval: images/val\n";
    for names in [
        format!("[{composed}, {decomposed}]"),
        format!("{{0: {composed}, 1: {decomposed}}}"),
    ] {
        add(dir.path(), "data.yaml", format!("{yaml}names: {names}\n"));
        assert_eq!(
            refusal(&dir),
            "DIR/data.yaml, line 1: the class \"caf\u{e9}\" is listed twice; rename or remove one"
        );
    }
    let list = ("classes.txt", &*format!("{composed}\n{decomposed}\n"));
    let dir = with_lists(["images/train", "images/val"], &[list]);
    assert!(refusal(&dir).contains("is listed twice"));
    let lists = [
        ("labels/train/classes.txt", &*format!("{composed}\nb\n")),
        ("labels/val/classes.txt", &*format!("{decomposed}\nb\n")),
    ];
    let read = opened(&with_lists(["images/train", "images/val"], &lists));
    assert_eq!(read.dataset.classes, [composed, "b"]);
}

#[test]
fn paths_of_any_number_of_parts_are_read_in_their_length() {
    let parts = |count: usize| vec!["a"; count].join("/");
    let list = |content: String| ("train: train.txt\n".to_owned(), content);
    let yaml = |content: String| (content, String::new());
    for (train, content) in [
        list(parts(20_000)),
        list(parts(20_000) + ".jpg\n" + &parts(1000) + ".jpg\nimages/train/00.png\n"),
        list(format!(
            "images/train/00.png\n{}",
            (parts(2000) + "/a.jpg\n").repeat(500)
        )),
        list(format!(
            "images/train/00.png\n{}.jpg\n",
            "images/".repeat(500)
        )),
        yaml(format!("train: {}\n", parts(20_000))),
        yaml(format!("path: {}\ntrain: images/train\n", parts(20_000))),
        yaml(format!("train: [{}]\n", "images/train, ".repeat(16_000))),
        yaml(format!(
            "train: images/train\nx: [{}]\n",
            "images/val, ".repeat(16_000)
        )),
    ] {
        let dir = split_images();
        let keys = "val: images/val\nnames: [red, blue]\n";
        add(dir.path(), "data.yaml", train.clone() + keys);
        add(dir.path(), "train.txt", content);
        let started = std::time::Instant::now();
        let opened = open(dir.path(), 0.2, 0);
        let start = &train[..train.len().min(40)];
        assert!(started.elapsed().as_secs() < 3, "{start}");
        if train.starts_with("train: [") {
            assert_eq!(sizes(&opened.unwrap())[0], (12, 12));
        } else if let Err(error) = opened {
            assert!(error.to_string().len() < 1000, "{start}");
        }
    }
}

#[test]
fn a_folder_of_another_case_beside_the_data_yaml_goes_before_a_neighbour() {
    for (train, yaml) in [
        ("Train/images", "../train/images"),
        ("train/Images", "..\\train\\images"),
        ("TRAIN/IMAGES", "../../train/images"),
        ("train/images", "../Train/Images"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        add_labelled(
            dir.path(),
            &["train/images/x.png", "set/valid/images/c.png"],
        );
        for name in ["a", "b"] {
            add_picture(dir.path(), &format!("set/{train}/{name}.png"), 40, 40);
            add(
                dir.path(),
                &format!("set/{train}/{name}.txt"),
                "0 0.5 0.5 0.5 0.5",
            );
        }
        let yaml = format!("train: {yaml}\nval: valid/images\nnames: [red, blue]\n");
        add(dir.path(), "set/data.yaml", yaml);
        let read = open(&dir.path().join("set"), 0.2, 0).unwrap();
        assert_eq!(sizes(&read)[0], (2, 2), "{train}");
        assert_eq!(read.findings.count(Problem::OtherFolder), 0, "{train}");
    }
}

#[test]
fn images_from_outside_of_the_data_set_s_folder_are_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    add_labelled(
        dir.path(),
        &["train/images/x.png", "set/valid/images/c.png"],
    );
    let yaml = "train: ../train/images\nval: valid/images\nnames: [red, blue]\n";
    add(dir.path(), "set/data.yaml", yaml);
    let outside = |dir: &TempDir| {
        let read = open(&dir.path().join("set"), 0.2, 0).unwrap();
        read.findings.count(Problem::OtherFolder)
    };
    assert_eq!(outside(&dir), 1);
    add(
        dir.path(),
        "set/data.yaml",
        yaml.replace("../train/images", "train.txt"),
    );
    add(dir.path(), "set/train.txt", "../train/images/x.png\n");
    assert_eq!(outside(&dir), 1);
    // `path` says where the data set is.
    let keys = "path: ..\ntrain: train/images\nval: set/valid/images\nnames: [red, blue]\n";
    add(dir.path(), "set/data.yaml", keys);
    assert_eq!(outside(&dir), 0);
}

#[test]
fn two_folders_for_one_split_are_refused() {
    for [train, first, second] in [
        ["train/images", "val/images", "valid/images"],
        ["images/train", "images/dev", "images/eval"],
        ["train", "Test_set", "test"],
        ["valid", "train", "training"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        for split in [train, first, second] {
            for name in ["a", "b", "c", "d", "e"] {
                add_labelled(dir.path(), &[&format!("{split}/{name}.png")]);
            }
        }
        let message = refusal(&dir);
        let start = format!("DIR: DIR/{first} and DIR/{second} are both for the ");
        assert!(message.starts_with(&start), "{message}");
        // A folder without pictures is none.
        fs::remove_dir_all(dir.path().join(second)).unwrap();
        fs::create_dir(dir.path().join(second)).unwrap();
        opened(&dir);
    }
}

#[test]
fn a_list_of_label_files_is_named_as_that() {
    let dir = split_images();
    let yaml = "train: train.txt\nval: images/val\nnames: [red, blue]\n";
    add(dir.path(), "data.yaml", yaml);
    add(
        dir.path(),
        "train.txt",
        "labels/train/00.txt\nlabels/train/01.txt\n",
    );
    assert_eq!(
        refusal(&dir),
        "DIR/train.txt, line 1: found \"labels/train/00.txt\", a file of labels or text; expected the path of an image in every line, as images/a.jpg, whose labels are found in labels/a.txt"
    );
}

#[cfg(unix)]
#[test]
fn a_data_yaml_whose_link_leads_nowhere_is_an_error() {
    for (name, target) in [
        ("data.yaml", "gone.yaml"),
        ("data.yml", "/nowhere/data.yaml"),
        ("data.yaml", "data.yaml"),
    ] {
        let dir = split_images();
        std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
        assert_eq!(
            refusal(&dir),
            format!(
                "DIR/{name}: it cannot be read: its link leads nowhere; remove the link, or put the file there"
            )
        );
    }
    let dir = split_images();
    std::os::unix::fs::symlink("gone", dir.path().join("fruit.yaml")).unwrap();
    let read = opened(&dir);
    let example = &read.findings.examples(Problem::NotUsed)[0];
    assert!(
        example.ends_with("fruit.yaml: its link leads nowhere"),
        "{example}"
    );
}

#[test]
fn a_description_that_cannot_be_used_is_named() {
    for (name, content, reason) in [
        (
            "dataset.yaml",
            "names: [red, blue]\n",
            "there is no key train",
        ),
        (
            "fruit.yml",
            "train: images/train\nval: images/val\n",
            "there is no key names",
        ),
        ("obj.data", "names = obj.names\n", "there is no key train"),
    ] {
        let dir = split_images();
        add(dir.path(), name, content);
        add(dir.path(), "hyp.yaml", "lr0: 0.01\n");
        let read = opened(&dir);
        assert_eq!(read.findings.count(Problem::NotUsed), 1, "{name}");
        let example = &read.findings.examples(Problem::NotUsed)[0];
        assert!(
            example.contains(name) && example.contains(reason),
            "{example}"
        );
    }
}

#[test]
fn a_backslash_in_double_quotes_is_read_as_part_of_the_path() {
    for split in ["train", "new", "valid", "fruit", "red", "apples", "base"] {
        let dir = split_images();
        let folder = format!("images/{split}");
        if split != "train" {
            fs::rename(dir.path().join("images/train"), dir.path().join(&folder)).unwrap();
            let labels = dir.path().join("labels");
            fs::rename(labels.join("train"), labels.join(split)).unwrap();
        }
        for train in [
            format!("\"images\\{split}\""),
            format!("[\"images\\{split}\"]"),
        ] {
            let yaml = format!("train: {train}\nval: images/val\nnames: [red, blue]\n");
            add(dir.path(), "data.yaml", yaml);
            assert_eq!(sizes(&opened(&dir))[0], (12, 12), "{train}");
        }
    }
    let dir = split_images();
    let yaml = "train: \"data\\images\"\nval: images/val\nnames: [red, blue]\n";
    add(dir.path(), "data.yaml", yaml);
    let message = refusal(&dir);
    assert!(message.contains("write / for \\ in paths"), "{message}");
}
