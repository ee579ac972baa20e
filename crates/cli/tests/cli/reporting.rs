//! The page of a run, and the comparison of runs.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;

use crate::common::{self, browser, data, pretrained, scenes, small_run, warmstart};

/// A run of a solved head and a thawed epoch.
fn finished_run(dir: &Path) -> (PathBuf, PathBuf) {
    let data = data(dir);
    let weights = pretrained(dir, &data);
    let run = dir.join("run");
    let mut arguments = small_run(&data, &weights, &run);
    arguments.extend(["--freeze-epochs", "1", "--epochs", "3"]);
    warmstart().args(arguments).assert().success();
    (data, run)
}

fn page_of(run: &Path) -> String {
    fs::read_to_string(run.join("report.html")).unwrap()
}

/// Whether a page names an address that a browser would load.
fn loads_something(page: &str) -> bool {
    ["src=\"http", "href=\"http", "url(", "@import", "src=\"//"]
        .iter()
        .any(|sign| page.contains(sign))
}

#[test]
fn a_finished_run_has_a_page_that_says_what_came_out() {
    let dir = tempfile::tempdir().unwrap();
    let (_, run) = finished_run(dir.path());
    let page = page_of(&run);
    for words in [
        " of 12</strong> validation images correctly",
        "95%: ",
        "id=\"curves\"",
        "id=\"matrix\"",
        "id=\"classes\"",
        "id=\"reliability\"",
        "id=\"samples\"",
        "id=\"plan\"",
        "What was loaded from the weight file",
        "horizontal",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!loads_something(&page));
    assert!(page.len() < 5 << 20);
}

#[test]
fn a_page_is_made_again_and_of_a_run_whose_pictures_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (data, run) = finished_run(dir.path());
    let before = page_of(&run);
    fs::remove_file(run.join("report.html")).unwrap();
    warmstart()
        .arg("report")
        .arg(&run)
        .assert()
        .success()
        .stdout(contains("report.html"));
    assert_eq!(page_of(&run), before, "the same run has the same page");
    fs::remove_dir_all(data).unwrap();
    warmstart()
        .arg("report")
        .arg(&run)
        .assert()
        .success()
        .stderr(contains("without the kept model's answers"));
    let page = page_of(&run);
    assert!(page.contains("id=\"curves\"") && !page.contains("id=\"matrix\""));
}

#[test]
fn what_is_not_a_run_has_no_page() {
    let dir = tempfile::tempdir().unwrap();
    warmstart()
        .arg("report")
        .arg(dir.path())
        .assert()
        .code(2)
        .stderr(contains("it is not a run"));
    assert!(!dir.path().join("report.html").exists());
}

#[test]
fn a_name_on_a_page_is_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let classes = ["<script>alert(1)<", "b&\"'"];
    common::pictures(&data.join("train"), &classes, 0, 9);
    common::pictures(&data.join("val"), &classes, 100, 4);
    let run = dir.path().join("run");
    let mut arguments = small_run(&data, "none", &run);
    arguments.extend(["--epochs", "1"]);
    warmstart().args(arguments).assert().success();
    let page = page_of(&run);
    assert!(
        !page.contains("<script>alert"),
        "a class name became a script"
    );
    assert!(page.contains("&lt;script&gt;alert"));
}

#[test]
fn a_page_works_in_a_browser() {
    let Some(browser) = browser::browser() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (_, run) = finished_run(dir.path());
    for width in [500, 1280] {
        let answer = browser::open(
            browser,
            &run.join("report.html"),
            width,
            "const dialog = document.querySelector('dialog');
             // Not decode(), for which the page's clock does not wait.
             const loaded = async (image) => {
               if (!image.complete) await new Promise((go, fail) => { image.onload = go; image.onerror = fail; });
               if (!image.naturalWidth) throw new Error(image.title);
             };
             const images = [...document.querySelectorAll('main img[data-picture]')];
             await Promise.all(images.map(loaded));
             const button = document.querySelector('.matrix button');
             button.click();
             const opened = dialog.open;
             const shown = [...dialog.querySelectorAll('img')];
             await Promise.all(shown.map(loaded));
             const title = dialog.querySelector('h3').textContent;
             dialog.querySelector('form button').click();
             return {
               charts: document.querySelectorAll('#curves svg').length,
               points: document.querySelectorAll('#curves svg circle').length,
               cells: document.querySelectorAll('.matrix tbody td').length,
               images: images.length,
               opened, title, shown: shown.length, closed: !dialog.open,
               loaded: performance.getEntriesByType('resource').filter((of) => !of.name.startsWith('data:')).length,
               wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
             };",
        );
        assert!(answer["charts"].as_u64() >= Some(4), "{answer}");
        assert!(answer["points"].as_u64() >= Some(12), "{answer}");
        assert_eq!(answer["cells"], 9, "{answer}");
        assert!(answer["images"].as_u64() >= Some(12), "{answer}");
        assert_eq!(answer["opened"], true, "{answer}");
        assert!(answer["shown"].as_u64() >= Some(1), "{answer}");
        assert!(answer["title"].as_str().unwrap().contains(": "), "{answer}");
        assert_eq!(answer["closed"], true, "{answer}");
        assert_eq!(answer["loaded"], 0, "{answer}");
        assert_eq!(answer["wide"], 0, "nothing hangs over the edge: {answer}");
    }
}

#[test]
fn a_detector_has_a_page_with_labels_and_finds() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes::scenes(dir.path(), 8, 64);
    let run = dir.path().join("run");
    scenes::train(&data, &run).success();
    let page = page_of(&run);
    for words in [
        "id=\"precision-recall\"",
        "id=\"pictures-found\"",
        "mAP@[.5:.95]",
        " missed, ",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!loads_something(&page));
}

#[test]
fn runs_on_the_same_images_are_tested_in_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let (data, run) = finished_run(dir.path());
    let other = dir.path().join("other");
    let mut arguments = small_run(&data, "none", &other);
    arguments.extend(["--epochs", "1", "--seed", "3"]);
    warmstart().args(arguments).assert().success();
    let page = dir.path().join("compare.html");
    let output = warmstart()
        .arg("compare")
        .args([&run, &other])
        .arg("--json")
        .arg("--page")
        .arg(&page)
        .assert()
        .success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0]["value"].as_f64() >= lines[1]["value"].as_f64());
    assert!(lines[0]["p_value"].is_null());
    let p = lines[1]["p_value"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&p), "{p}");
    assert!(!loads_something(&fs::read_to_string(&page).unwrap()));
    // Only a page of ours is overwritten.
    fs::write(&page, "mine").unwrap();
    warmstart()
        .arg("compare")
        .args([&run, &other])
        .arg("--page")
        .arg(&page)
        .assert()
        .failure()
        .stderr(contains(
            "did not write it as a picture or page of this kind",
        ));
    assert_eq!(fs::read_to_string(&page).unwrap(), "mine");
}

#[test]
fn a_comparison_replaces_no_report_and_lists_no_run_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (_, run) = finished_run(dir.path());
    let report = page_of(&run);
    let compare = |runs: [&Path; 2]| {
        let mut command = warmstart();
        command.arg("compare").args(runs).arg("--page");
        command.arg(run.join("report.html")).assert()
    };
    let pretrained = dir.path().join("pretrained");
    compare([&run, &pretrained]).failure().stderr(contains(
        "did not write it as a picture or page of this kind",
    ));
    assert_eq!(page_of(&run), report);
    warmstart()
        .arg("compare")
        .args([&run, &run.join(".")])
        .assert()
        .code(2)
        .stderr(contains("it is the same run as"));
}

#[test]
fn where_nothing_is_held_out_the_page_says_whose_figure_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let run = dir.path().join("all");
    let train = data.join("train");
    let mut arguments = small_run(&train, &weights, &run);
    // A batch is of steps, and there are none.
    let batch = arguments
        .iter()
        .position(|word| *word == "--batch")
        .unwrap();
    arguments.drain(batch..batch + 2);
    arguments.extend(["--val-split", "0"]);
    warmstart()
        .args(arguments)
        .assert()
        .success()
        .stderr(contains("no image was held out"));
    warmstart()
        .arg("report")
        .arg(&run)
        .assert()
        .success()
        .stderr("");
    let page = page_of(&run);
    assert!(page.contains("each solved for without it: no image was held out"));
    assert!(!page.contains("Without the kept model"));
}

#[test]
fn runs_on_other_images_are_not_tested() {
    let dir = tempfile::tempdir().unwrap();
    let (data, run) = finished_run(dir.path());
    let more = dir.path().join("more");
    common::copy(&data, &more);
    let other = dir.path().join("other");
    let mut arguments = small_run(&more, "none", &other);
    arguments.extend(["--epochs", "1"]);
    warmstart().args(arguments).assert().success();
    warmstart()
        .arg("compare")
        .args([&run, &other])
        .assert()
        .success()
        .stdout(contains("top-1 accuracy").and(contains("–")))
        .stderr(contains("was not tested: it was measured on other images"));
}
