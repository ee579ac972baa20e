//! Folders with links, pipes and odd names.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use warmstart_data::{image_files, open};

/// Class folders a and b with two pictures each.
fn two_classes() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in ["a/0.png", "a/1.png", "b/0.png", "b/1.png"] {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    dir
}

fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[test]
fn pipes_sockets_and_devices_are_named_and_left_out() {
    let dir = two_classes();
    let place = |name: &str| dir.path().join("a").join(name);
    pipe(&place("pipe.jpg"));
    let _listening = UnixListener::bind(place("socket.png")).unwrap();
    symlink("/dev/zero", place("device.png")).unwrap();
    let dataset = open(dir.path(), 0.5, 0).unwrap();
    assert_eq!((dataset.train.len(), dataset.validation.len()), (2, 2));
    let lines = dataset.ignored.lines();
    for (line, name) in lines.iter().zip(["device.png", "pipe.jpg", "socket.png"]) {
        let expected = format!(
            "{}: a pipe, a socket or a device, not a file",
            place(name).display()
        );
        assert!(line.contains(&expected), "{line}");
    }
    assert_eq!(lines.len(), 3);
    let error = image_files(&place("pipe.jpg")).unwrap_err().to_string();
    assert!(
        error.contains("it is a pipe, a socket or a device"),
        "{error}"
    );
}

#[test]
fn folders_that_double_at_each_depth_are_listed_once() {
    let dir = two_classes();
    let mut folder = dir.path().join("a");
    for depth in 0..26 {
        let next = dir.path().join("a").join(format!("d{depth}"));
        fs::create_dir(&next).unwrap();
        fs::write(next.join("x.png"), "").unwrap();
        symlink(&next, folder.join("left")).unwrap();
        symlink(&next, folder.join("right")).unwrap();
        folder = next;
    }
    let dataset = open(dir.path(), 0.5, 0).unwrap();
    assert_eq!(dataset.train.len() + dataset.validation.len(), 4 + 26);
    let lines = dataset.ignored.lines();
    assert_eq!(lines.len(), 11, "52 links: ten are named, {lines:?}");
}

#[test]
fn links_between_nested_folders_elsewhere_are_followed_once() {
    let (dir, elsewhere) = (two_classes(), tempfile::tempdir().unwrap());
    for depth in 0..26 {
        let folder = elsewhere.path().join(depth.to_string());
        let next = elsewhere.path().join((depth + 1).to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("x.png"), "").unwrap();
        symlink(&next, folder.join("left")).unwrap();
        symlink(&next, folder.join("right")).unwrap();
    }
    symlink(elsewhere.path().join("0"), dir.path().join("a/more")).unwrap();
    let dataset = open(dir.path(), 0.5, 0).unwrap();
    assert_eq!(dataset.train.len() + dataset.validation.len(), 4 + 26);
}

#[test]
fn a_link_to_a_folder_above_the_data_is_not_followed() {
    let dir = two_classes();
    symlink("/", dir.path().join("a/root")).unwrap();
    symlink("..", dir.path().join("a/up")).unwrap();
    let dataset = open(dir.path(), 0.5, 0).unwrap();
    assert_eq!(dataset.train.len(), 2);
    assert_eq!(dataset.ignored.lines().len(), 2);
}

#[test]
fn a_class_that_links_to_another_in_its_split_is_said() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["train/a/0.png", "train/b/0.png", "val/a/1.png"] {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    symlink("b", dir.path().join("train/c")).unwrap();
    let error = open(dir.path(), 0.5, 0).unwrap_err().to_string();
    assert!(error.contains("train/c has no image"), "{error}");
    assert!(
        error.contains("it is a link: perhaps to a folder that is listed already"),
        "{error}"
    );
}

#[test]
fn a_class_that_links_to_another_is_said_without_splits_too() {
    for name in ["c", "test", "0"] {
        let dir = two_classes();
        symlink("b", dir.path().join(name)).unwrap();
        let error = open(dir.path(), 0.5, 0).unwrap_err().to_string();
        assert!(error.contains(&format!("/{name} has no image")), "{error}");
        assert!(
            error.contains("; it is a link: perhaps to a folder"),
            "{error}"
        );
    }
    // A link inside a class is left out and named, and the images stay with the other class.
    let dir = two_classes();
    symlink("../b", dir.path().join("a/more")).unwrap();
    let dataset = open(dir.path(), 0.5, 0).unwrap();
    assert_eq!((dataset.train.len(), dataset.validation.len()), (2, 2));
    let lines = dataset.ignored.lines();
    assert!(
        lines.len() == 1 && lines[0].contains("a/more: a link to a folder"),
        "{lines:?}"
    );
    // One to a folder elsewhere is a class like any other.
    let (elsewhere, dir) = (two_classes(), two_classes());
    symlink(elsewhere.path().join("a"), dir.path().join("c")).unwrap();
    let dataset = open(dir.path(), 0.5, 0).unwrap();
    assert_eq!(dataset.classes, ["a", "b", "c"]);
    assert_eq!(dataset.train.len() + dataset.validation.len(), 6);
}

#[test]
fn deep_folders_are_searched_to_the_end() {
    let dir = two_classes();
    let deep = dir.path().join("a").join("d/".repeat(500));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("x.png"), "").unwrap();
    let dataset = open(dir.path(), 0.5, 0).unwrap();
    assert_eq!(dataset.train.len() + dataset.validation.len(), 5);
}

#[test]
fn a_broken_link_is_left_to_the_check_of_the_images() {
    let dir = two_classes();
    symlink("nowhere", dir.path().join("a/broken.png")).unwrap();
    let dataset = open(dir.path(), 0.5, 0).unwrap();
    assert_eq!(dataset.train.len() + dataset.validation.len(), 5);
}

#[test]
fn names_that_are_not_text_work_for_pictures_and_are_named_for_classes() {
    let dir = two_classes();
    let name = OsStr::from_bytes(b"\xff\xfe.png");
    fs::write(dir.path().join("a").join(name), "").unwrap();
    let dataset = open(dir.path(), 0.5, 0).unwrap();
    assert_eq!(dataset.train.len() + dataset.validation.len(), 5);

    let class = dir.path().join(OsStr::from_bytes(b"caf\xe9\n"));
    fs::create_dir(&class).unwrap();
    let error = open(dir.path(), 0.5, 0).unwrap_err().to_string();
    assert!(
        error.ends_with("/caf\\xe9\\n: the name of the class folder is not valid UTF-8; rename it"),
        "{error}"
    );
}

#[test]
fn a_folder_without_an_image_says_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let error = |dir: &Path| image_files(dir).unwrap_err().to_string();
    assert!(
        error(dir.path())
            .ends_with("there is no image in it (jpg, jpeg, jfif, png, webp, bmp, gif, tif, tiff)")
    );
    fs::write(dir.path().join("x.heic"), "").unwrap();
    assert!(
        error(dir.path())
            .contains(", but 1 file of an unsupported type (.heic 1); save .heic as JPEG")
    );
    fs::write(dir.path().join("x.gif"), "").unwrap();
    assert_eq!(image_files(dir.path()).unwrap().0.len(), 1);
}
