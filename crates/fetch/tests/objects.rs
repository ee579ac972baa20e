//! Copies from a bucket and from a web server, both on this machine. No other server was ever asked.
#![cfg(feature = "remote")]

mod server;

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};

use server::bucket::{Bucket, refusal};
use server::{Answer, Server};
use warmstart_fetch::{Mirror, Mirrored, ObjectError, ObjectEvent, mirror};

/// Variables that lead to a server on this machine instead of Amazon's.
fn settings(url: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_SKIP_SIGNATURE", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A copy, and what happened.
fn copied(
    address: &str,
    server: &Server,
    folder: &Path,
) -> (Result<Mirrored, ObjectError>, Vec<ObjectEvent>) {
    let mut events = Vec::new();
    let request = Mirror {
        address,
        folder,
        settings: settings(&server.url),
        is_stopped: &|| false,
    };
    let result = mirror(&request, &mut |event| events.push(event));
    (result, events)
}

/// The paths below a folder of its files that are not hidden, and their contents.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    fn add(folder: &Path, root: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_hidden = path.file_name().unwrap().to_str().unwrap().starts_with('.');
            if is_hidden {
                continue;
            }
            if path.is_dir() {
                add(&path, root, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_owned();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    add(folder, folder, &mut found);
    found.sort();
    found
}

fn names(folder: &Path) -> Vec<String> {
    let files = files(folder).into_iter();
    files
        .map(|(name, _)| name.to_str().unwrap().replace('\\', "/"))
        .collect()
}

/// Requests for contents, not for lists.
fn contents(server: &Server) -> usize {
    let asked = server.asked();
    asked
        .iter()
        .filter(|asked| !asked.path.contains("list-type"))
        .count()
}

fn pets() -> Bucket {
    let bucket = Bucket::default();
    for number in 0..4 {
        bucket.put(&format!("pets/cat/{number}.jpg"), format!("cat {number}"));
        bucket.put(
            &format!("pets/dog/{number} (b).jpg"),
            format!("dog {number}"),
        );
    }
    // What tools leave to mark a folder, and what lies elsewhere.
    bucket.put("pets/", "");
    bucket.put("pets/cat/", "");
    bucket.put("petshop/1.jpg", "no pet");
    bucket
}

#[test]
fn a_prefix_is_copied_once() {
    let server = pets().serve();
    let folder = tempfile::tempdir().unwrap();
    let (first, events) = copied("s3://photos/pets/", &server, folder.path());
    let first = first.unwrap();
    assert_eq!((first.files, first.fetched, first.removed), (8, 8, 0));
    assert_eq!(first.path.file_name().unwrap(), "pets");
    let found = files(&first.path);
    assert_eq!(found.len(), 8);
    assert_eq!(
        found[0],
        (PathBuf::from("cat").join("0.jpg"), b"cat 0".to_vec())
    );
    assert_eq!(
        found[7],
        (PathBuf::from("dog").join("3 (b).jpg"), b"dog 3".to_vec())
    );
    let found = ObjectEvent::Found {
        files: 8,
        wanted: 8,
        bytes: Some(40),
    };
    assert!(events.contains(&found), "{events:?}");
    assert_eq!(contents(&server), 8);
    // With and without the last slash.
    let (second, _) = copied("s3://photos/pets", &server, folder.path());
    assert_eq!(
        second.unwrap(),
        Mirrored {
            fetched: 0,
            ..first
        }
    );
    assert_eq!(contents(&server), 8);
}

#[test]
fn what_changed_is_fetched_again_and_what_is_gone_is_removed() {
    let bucket = pets();
    let server = bucket.serve();
    let folder = tempfile::tempdir().unwrap();
    let first = copied("s3://photos/pets", &server, folder.path())
        .0
        .unwrap();
    // One of the same size, and one whose file here was damaged.
    bucket.put("pets/cat/1.jpg", "CAT 1");
    fs::write(first.path.join("cat/2.jpg"), "damage").unwrap();
    for number in 0..4 {
        bucket.remove(&format!("pets/dog/{number} (b).jpg"));
    }
    bucket.put("pets/dog", "a file now");
    fs::write(first.path.join("mine.txt"), "not from there").unwrap();
    let second = copied("s3://photos/pets", &server, folder.path())
        .0
        .unwrap();
    assert_eq!((second.files, second.fetched, second.removed), (5, 3, 4));
    assert_eq!(
        names(&second.path),
        [
            "cat/0.jpg",
            "cat/1.jpg",
            "cat/2.jpg",
            "cat/3.jpg",
            "dog",
            "mine.txt"
        ]
    );
    assert_eq!(fs::read(second.path.join("cat/1.jpg")).unwrap(), b"CAT 1");
    assert_eq!(fs::read(second.path.join("cat/2.jpg")).unwrap(), b"cat 2");
}

#[test]
fn a_name_that_leads_elsewhere_is_refused_and_nothing_is_written() {
    for key in [
        "pets/../../up.jpg",
        "pets//etc/1.jpg",
        "pets/a/./1.jpg",
        "pets/.warmstart-objects.json",
    ] {
        let bucket = pets();
        bucket.put(key, "hostile");
        let server = bucket.serve();
        let folder = tempfile::tempdir().unwrap();
        let error = copied("s3://photos/pets", &server, folder.path())
            .0
            .unwrap_err();
        assert!(
            matches!(error, ObjectError::Address { .. }),
            "{key}: {error}"
        );
        assert!(
            error.to_string().contains("cannot be copied"),
            "{key}: {error}"
        );
        assert!(names(folder.path()).is_empty(), "{key}");
    }
}

#[test]
fn an_object_that_is_a_file_and_a_folder_is_refused() {
    let bucket = pets();
    bucket.put("pets/cat", "a file");
    let server = bucket.serve();
    let folder = tempfile::tempdir().unwrap();
    let error = copied("s3://photos/pets", &server, folder.path())
        .0
        .unwrap_err();
    assert!(
        error.to_string().contains("a file and a folder at once"),
        "{error}"
    );
}

#[test]
fn a_refusal_is_named_with_the_address_and_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let closed = Server::start(|_| refusal(403, "AccessDenied"));
    let error = copied("s3://photos/pets", &closed, folder.path())
        .0
        .unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("s3://photos/pets") && said.contains("403, AccessDenied"),
        "{said}"
    );
    assert!(
        error.fix().contains("AWS_SECRET_ACCESS_KEY"),
        "{}",
        error.fix()
    );
    let server = pets().serve();
    for (address, words) in [
        ("s3://elsewhere/pets", "404, NoSuchBucket"),
        ("s3://photos/pets/none.tar", "404, NoSuchKey"),
        ("s3://photos/birds", "there is nothing below it"),
    ] {
        let error = copied(address, &server, folder.path()).0.unwrap_err();
        assert!(error.to_string().contains(words), "{address}: {error}");
        assert!(!error.fix().is_empty());
    }
    let plain = format!("{}/nowhere/a.tar", server.url);
    let error = copied(&plain, &server, folder.path()).0.unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
}

#[test]
fn a_connection_that_ends_in_mid_object_is_tried_again() {
    let bucket = Bucket::default();
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    bucket.put("pets/train.tar", content.clone());
    let whole = bucket.clone();
    let server = Server::start(move |asked| {
        let answer = whole.answer(asked);
        // The first answer is that of the list.
        if (1..3).contains(&asked.earlier) {
            answer.cut(100_000)
        } else {
            answer
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let copy = copied("s3://photos/pets", &server, folder.path())
        .0
        .unwrap();
    assert_eq!(fs::read(copy.path.join("train.tar")).unwrap(), content);

    let server = Server::start(move |asked| {
        let answer = bucket.answer(asked);
        if asked.earlier > 0 {
            answer.cut(1000)
        } else {
            answer
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (result, events) = copied("s3://photos/pets", &server, folder.path());
    let error = result.unwrap_err();
    assert!(
        error.to_string().contains("s3://photos/pets/train.tar"),
        "{error}"
    );
    assert!(
        events
            .iter()
            .any(|event| matches!(event, ObjectEvent::Again { .. })),
        "{events:?}"
    );
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_copy_that_is_stopped_keeps_its_files_and_continues() {
    let bucket = Bucket::default();
    for number in 0..60 {
        bucket.put(
            &format!("pets/{number:02}.jpg"),
            format!("picture {number}"),
        );
    }
    let server = bucket.serve();
    let folder = tempfile::tempdir().unwrap();
    let is_stopped = Cell::new(false);
    let wanted = RefCell::new(Vec::new());
    let stop = || is_stopped.get();
    let request = Mirror {
        address: "s3://photos/pets",
        folder: folder.path(),
        settings: settings(&server.url),
        is_stopped: &stop,
    };
    let mut observe = |event: ObjectEvent| match event {
        ObjectEvent::Bytes { .. } => is_stopped.set(true),
        ObjectEvent::Found { wanted: count, .. } => wanted.borrow_mut().push(count),
        ObjectEvent::Waiting | ObjectEvent::Again { .. } => {}
    };
    let error = mirror(&request, &mut observe).unwrap_err();
    let ObjectError::Stopped { files, .. } = error else {
        panic!("{error}");
    };
    assert!((1..60).contains(&files), "{files}");
    is_stopped.set(false);
    let mut quiet = |event: ObjectEvent| {
        if let ObjectEvent::Found { wanted: count, .. } = event {
            wanted.borrow_mut().push(count);
        }
    };
    let copy = mirror(&request, &mut quiet).unwrap();
    assert_eq!((copy.files, copy.fetched), (60, 60 - files));
    assert_eq!(*wanted.borrow(), [60, 60 - files]);
}

#[test]
fn a_file_of_a_copy_that_was_killed_is_removed_once_it_is_gone_there() {
    let bucket = pets();
    let server = bucket.serve();
    let folder = tempfile::tempdir().unwrap();
    let first = copied("s3://photos/pets", &server, folder.path());
    let path = first.0.unwrap().path;
    fs::remove_dir_all(&path).unwrap();
    let is_stopped = Cell::new(false);
    let stop = || is_stopped.get();
    let request = Mirror {
        address: "s3://photos/pets",
        folder: folder.path(),
        settings: settings(&server.url),
        is_stopped: &stop,
    };
    let mut observe = |event: ObjectEvent| {
        if let ObjectEvent::Found { .. } = event {
            is_stopped.set(true);
        }
    };
    let error = mirror(&request, &mut observe).unwrap_err();
    assert!(
        matches!(error, ObjectError::Stopped { files: 0, .. }),
        "{error}"
    );
    // What a copy leaves that ends between a file and its inventory.
    fs::create_dir_all(path.join("dog")).unwrap();
    fs::write(path.join("dog/0 (b).jpg"), "dog 0").unwrap();
    bucket.remove("pets/dog/0 (b).jpg");
    bucket.remove("pets/dog/1 (b).jpg");
    let copy = copied("s3://photos/pets/", &server, folder.path())
        .0
        .unwrap();
    assert_eq!((copy.files, copy.fetched, copy.removed), (6, 6, 1));
    assert_eq!(files(&copy.path).len(), 6);
}

#[test]
fn files_of_a_web_server_are_named_by_braces_and_fetched_once() {
    let server = Server::start(|asked| {
        let content = asked.path.as_bytes();
        let etag = format!("\"{}\"", asked.path.len());
        if !asked.path.starts_with("/sets/a%20b/") {
            return Answer::status(404);
        }
        if asked.if_none_match.as_ref() == Some(&etag) {
            return Answer::status(304);
        }
        Answer::content(content, asked).header("ETag", etag)
    });
    let folder = tempfile::tempdir().unwrap();
    let address = format!("{}/sets/a%20b/{{train,val}}-{{00..01}}.tar", server.url);
    let first = copied(&address, &server, folder.path()).0.unwrap();
    assert_eq!(
        names(&first.path),
        ["train-00.tar", "train-01.tar", "val-00.tar", "val-01.tar"]
    );
    assert_eq!((first.files, first.fetched), (4, 4));
    let second = copied(&address, &server, folder.path()).0.unwrap();
    assert_eq!(
        second,
        Mirrored {
            fetched: 0,
            ..first
        }
    );
    // A single file that is no archive stands for itself.
    let address = format!("{}/sets/a%20b/pets.parquet", server.url);
    let file = copied(&address, &server, folder.path()).0.unwrap().path;
    assert_eq!(fs::read(file).unwrap(), b"/sets/a%20b/pets.parquet");
}

#[test]
fn a_server_that_is_not_there_is_an_error_and_not_a_wait_without_end() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let request = Mirror {
        address: "s3://photos/pets",
        folder: folder.path(),
        settings: settings(&url),
        is_stopped: &|| false,
    };
    let error = mirror(&request, &mut |_| {}).unwrap_err();
    assert!(matches!(error, ObjectError::Server { .. }), "{error}");
    assert!(error.fix().contains("AWS_ENDPOINT_URL"), "{}", error.fix());
}
