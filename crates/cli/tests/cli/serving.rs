//! `warmstart serve`: every answer is the one of `predict --json`, whoever else asks; limits are answers, too.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;

use image::DynamicImage;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::process::{signal, wait_until};
use crate::common::server::{Server, form, response};
use crate::common::{CLASSES, data, pictures, pretrained, warmstart};

/// Largest body of a request, in bytes.
const BODY: usize = 64 << 20;
/// Most pictures of a request.
const PICTURES: usize = 64;

/// A trained model, and pictures with what `predict --json` prints of each but the file's name.
struct Trained {
    model: PathBuf,
    pictures: Vec<(String, Vec<u8>, Value)>,
}

fn trained(dir: &Path) -> Trained {
    let data = data(dir);
    // A head in closed form on that network: one that is trained for an epoch says the same of every picture.
    let model = dir.join("model");
    warmstart()
        .args(["train", "--model", "mobilenet_v2", "--image-size", "32"])
        .args(["--freeze-epochs", "1", "--epochs", "1"])
        .args(["--weights", &pretrained(dir, &data)])
        .arg("--data")
        .arg(&data)
        .arg("--out")
        .arg(&model)
        .assert()
        .success();
    let folder = dir.join("pictures");
    pictures(&folder, &CLASSES, 200, 8);
    let printed = warmstart()
        .arg("predict")
        .arg(&model)
        .arg(&folder)
        .arg("--json")
        .assert()
        .success();
    let printed = String::from_utf8(printed.get_output().stdout.clone()).unwrap();
    let pictures = printed.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let file = line["file"].as_str().unwrap();
        let bytes = fs::read(file).unwrap();
        (file.to_owned(), bytes, line["predictions"].clone())
    });
    Trained {
        model,
        pictures: pictures.collect(),
    }
}

#[test]
fn clients_at_once_get_what_predict_prints_each_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let Trained { model, pictures } = trained(dir.path());
    let different: std::collections::HashSet<String> = pictures
        .iter()
        .map(|(.., predicted)| predicted.to_string())
        .collect();
    assert!(
        different.len() > 12,
        "the pictures tell answers apart: {}",
        different.len()
    );
    let server = Server::start(&model);
    thread::scope(|scope| {
        for client in 0..8 {
            let (server, pictures) = (&server, &pictures);
            scope.spawn(move || {
                for round in 0..6 {
                    let start = (client * 5 + round) % pictures.len();
                    let (_, bytes, expected) = &pictures[start];
                    let answer = server.predict("image/png", bytes);
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    let answer = answer.json();
                    assert_eq!(answer["file"], "picture");
                    assert_eq!(&answer["predictions"], expected);

                    let some: Vec<_> = pictures.iter().cycle().skip(start).take(5).collect();
                    let files: Vec<(String, Vec<u8>)> = some
                        .iter()
                        .map(|(file, bytes, _)| (file.clone(), bytes.clone()))
                        .collect();
                    let answers = server.predict_form(&files);
                    assert_eq!(answers.status, 200, "{}", answers.body);
                    let answers = answers.json();
                    let answers = answers.as_array().unwrap();
                    assert_eq!(answers.len(), some.len());
                    for (answer, (file, _, predictions)) in answers.iter().zip(&some) {
                        assert_eq!(answer["file"], **file);
                        assert_eq!(&answer["predictions"], predictions);
                        assert!(answer["unknown"]["score"].is_number(), "{answer}");
                    }
                }
            });
        }
    });
}

#[test]
fn a_picture_that_cannot_be_decoded_has_an_error_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let Trained { model, pictures } = trained(dir.path());
    let server = Server::start(&model);
    let file = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    let (_, good, expected) = &pictures[0];
    let cut = &good[..good.len() / 2];
    let answers = server.predict_form(&[
        file("a.png", good),
        file("cut.png", cut),
        file("text.png", b"text"),
        file("b.png", good),
    ]);
    assert_eq!(answers.status, 200);
    let answers = answers.json();
    for (place, name) in [(0, "a.png"), (3, "b.png")] {
        assert_eq!(answers[place]["file"], name);
        assert_eq!(&answers[place]["predictions"], expected);
    }
    for (place, name) in [(1, "cut.png"), (2, "text.png")] {
        let error = answers[place]["error"].as_str().unwrap();
        assert!(error.contains(name), "{error}");
        assert_eq!(answers[place]["predictions"], Value::Null);
    }
    let alone = server.predict("image/png", cut);
    assert_eq!(alone.status, 422);
    assert!(
        alone.json()["error"]
            .as_str()
            .unwrap()
            .contains("cannot decode picture")
    );
}

/// A picture in every kind of pixel that a PNG has; where there is transparency, its left half has some.
fn in_every_kind_of_pixel(picture: &DynamicImage) -> Vec<(&'static str, DynamicImage)> {
    let mut transparent = picture.to_rgba16();
    let middle = transparent.width() / 2;
    for (x, _, pixel) in transparent.enumerate_pixels_mut() {
        if x < middle {
            pixel.0[3] = u16::MAX / 3;
        }
    }
    let transparent = DynamicImage::from(transparent);
    vec![
        ("grey-8", picture.to_luma8().into()),
        ("grey-16", picture.to_luma16().into()),
        ("grey-alpha-8", transparent.to_luma_alpha8().into()),
        ("grey-alpha-16", transparent.to_luma_alpha16().into()),
        ("colour-8", picture.to_rgb8().into()),
        ("colour-16", picture.to_rgb16().into()),
        ("colour-alpha-8", transparent.to_rgba8().into()),
        ("colour-alpha-16", transparent),
    ]
}

#[test]
fn grey_deep_and_transparent_pictures_get_what_predict_prints() {
    let dir = tempfile::tempdir().unwrap();
    let Trained { model, pictures } = trained(dir.path());
    let (_, bytes, of_colours) = &pictures[0];
    let kinds = in_every_kind_of_pixel(&image::load_from_memory(bytes).unwrap());
    let folder = dir.path().join("kinds");
    fs::create_dir(&folder).unwrap();
    for (name, picture) in &kinds {
        picture.save(folder.join(format!("{name}.png"))).unwrap();
    }
    let printed = warmstart()
        .arg("predict")
        .arg(&model)
        .arg(&folder)
        .arg("--json")
        .assert()
        .success();
    let printed = String::from_utf8(printed.get_output().stdout.clone()).unwrap();
    let server = Server::start(&model);
    let mut predictions = HashMap::new();
    for line in printed.lines() {
        let expected: Value = serde_json::from_str(line).unwrap();
        let file = Path::new(expected["file"].as_str().unwrap());
        let answer = server.predict("image/png", &fs::read(file).unwrap());
        assert_eq!(answer.status, 200, "{}", answer.body);
        let found = answer.json()["predictions"].clone();
        assert_eq!(found, expected["predictions"], "{file:?}");
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        predictions.insert(name, found);
    }
    assert_eq!(predictions.len(), kinds.len());
    // Eight bits more of the same colours are the same picture; without its colours, or in part transparent, it is not.
    assert_eq!(&predictions["colour-8"], of_colours);
    assert_eq!(&predictions["colour-16"], of_colours);
    for other in ["grey-8", "colour-alpha-8"] {
        assert_ne!(&predictions[other], of_colours, "{other}");
    }
}

#[test]
fn what_is_asked_wrongly_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let Trained { model, pictures } = trained(dir.path());
    let server = Server::start(&model);
    let head = |length: usize| format!("POST /predict HTTP/1.1\r\nContent-Length: {length}");
    let (_, picture, _) = &pictures[0];
    let many = vec![("a.png".to_owned(), picture.clone()); PICTURES + 1];
    let refused = [
        (
            413,
            "larger than 64 MiB",
            response(server.begin(&head(BODY + 1), b"")),
        ),
        (413, "may have 64 pictures", server.predict_form(&many)),
        (
            400,
            "no picture in the body",
            server.predict("image/png", b""),
        ),
        (400, "no picture in the body", server.predict_form(&[])),
        (400, "", server.predict("multipart/form-data", picture)),
        (
            400,
            "",
            server.predict("multipart/form-data; boundary=x", b"--x\r\nodd"),
        ),
        (404, "POST /predict", server.get("/nowhere")),
        (405, "POST /predict", server.get("/predict")),
    ];
    for (status, words, answer) in refused {
        assert_eq!(answer.status, status, "{}", answer.body);
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(server.predict("image/png", picture).status, 200);
}

#[test]
fn a_full_server_refuses_for_now_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let Trained { model, pictures } = trained(dir.path());
    let server = Server::start(&model);
    let (_, picture, expected) = &pictures[0];
    // Bodies that are not complete hold memory: all but four MiB of it.
    let head = format!("POST /predict HTTP/1.1\r\nContent-Length: {BODY}");
    let part = vec![0; 63 << 20];
    let slow: Vec<TcpStream> = (0..4).map(|_| server.begin(&head, &part)).collect();
    let large = vec![0; 8 << 20];
    wait_until("it is full", || {
        let answer = server.predict("image/png", &large);
        if answer.status == 503 {
            assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
            assert!(
                answer.json()["error"]
                    .as_str()
                    .unwrap()
                    .contains("try again")
            );
        }
        answer.status == 503
    });
    // There is room for small ones.
    assert_eq!(
        &server.predict("image/png", picture).json()["predictions"],
        expected
    );
    drop(slow);
    wait_until("it has room again", || {
        server.predict("image/png", &large).status == 422
    });
}

#[test]
fn more_pictures_than_places_are_answered_or_refused_and_none_is_mixed_up() {
    let dir = tempfile::tempdir().unwrap();
    let Trained { model, pictures } = trained(dir.path());
    let server = Server::start(&model);
    let answered = thread::scope(|scope| {
        let clients: Vec<_> = (0..12)
            .map(|client| {
                let (server, pictures) = (&server, &pictures);
                scope.spawn(move || {
                    let some = pictures.iter().cycle().skip(client).take(PICTURES);
                    let (files, expected): (Vec<_>, Vec<_>) = some
                        .map(|(file, bytes, expected)| ((file.clone(), bytes.clone()), expected))
                        .unzip();
                    let answers = server.predict_form(&files);
                    if answers.status == 503 {
                        return 0;
                    }
                    assert_eq!(answers.status, 200, "{}", answers.body);
                    let answers = answers.json();
                    for (place, expected) in expected.into_iter().enumerate() {
                        assert_eq!(&answers[place]["predictions"], expected);
                    }
                    1
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum::<usize>()
    });
    assert!(
        answered >= 4,
        "the queue holds four of these requests: {answered}"
    );
    let (_, picture, expected) = &pictures[0];
    assert_eq!(
        &server.predict("image/png", picture).json()["predictions"],
        expected
    );
}

#[test]
fn it_stops_after_the_answers_that_are_due() {
    for name in ["INT", "TERM"] {
        let dir = tempfile::tempdir().unwrap();
        let Trained { model, pictures } = trained(dir.path());
        let mut server = Server::start(&model);
        let files: Vec<(String, Vec<u8>)> = pictures
            .iter()
            .cycle()
            .take(PICTURES)
            .map(|(file, bytes, _)| (file.clone(), bytes.clone()))
            .collect();
        let (kind, body) = form(&files);
        // All but the last bytes: the request is begun and cannot be answered yet.
        let (most, rest) = body.split_at(body.len() - 10);
        let head = format!(
            "POST /predict HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {}",
            body.len()
        );
        let mut due = server.begin(&head, most);
        // An answer on another connection: the server has seen the first one.
        assert_eq!(server.get("/healthz").status, 200);
        signal(&server.child, name);
        wait_until("it takes no more connections", || {
            TcpStream::connect(server.address).is_err()
        });
        due.write_all(rest).unwrap();
        let answers = response(due);
        assert_eq!(answers.status, 200, "{}", answers.body);
        let answers = answers.json();
        assert_eq!(answers.as_array().unwrap().len(), PICTURES);
        for (place, (file, _, expected)) in pictures.iter().enumerate() {
            assert_eq!(answers[place]["file"], **file);
            assert_eq!(&answers[place]["predictions"], expected);
        }
        assert!(server.child.wait().unwrap().success());
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let Trained { model, .. } = trained(dir.path());
    let server = Server::start(&model);
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html; charset=utf-8"));
    assert!(page.head.contains("default-src 'none'"), "{}", page.head);
    assert!(page.body.contains("prefers-color-scheme: dark"));
    assert!(page.body.contains("width=device-width"));
    for outside in [
        "http:",
        "https:",
        "//cdn",
        "@import",
        "<link",
        "<script src",
    ] {
        assert!(!page.body.contains(outside), "{outside}");
    }
    let about = server.get("/healthz").json();
    assert_eq!(about["status"], "ok");
    assert_eq!(about["model"], "mobilenet_v2");
    assert_eq!(about["classes"].as_array().unwrap().len(), 3);
}

#[test]
fn a_port_that_is_taken_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let Trained { model, .. } = trained(dir.path());
    let server = Server::start(&model);
    warmstart()
        .arg("serve")
        .arg(&model)
        .args(["--port", &server.address.port().to_string()])
        .assert()
        .code(2)
        .stderr(contains("cannot listen on 127.0.0.1, port").and(contains("give another --port")));
}
