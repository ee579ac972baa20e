//! Pages in headless Chromium.
#![allow(clippy::print_stderr, reason = "a test says what it leaves out")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Names of the program, as distributions have them.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
/// Time of the page's own clock that its scripts have, in milliseconds.
const BUDGET: u32 = 30_000;

/// The browser; `None`, with a line, where there is none.
pub fn browser() -> Option<&'static str> {
    let answers = |name: &&str| {
        let answer = Command::new(name).arg("--version").output();
        answer.is_ok_and(|answer| answer.status.success())
    };
    let found = NAMES.into_iter().find(answers);
    if found.is_none() {
        eprintln!("left out: there is no Chromium to open the page in (scripts/test installs it)");
    }
    found
}

/// Opens a copy of a page, after whose own scripts `script` runs as the body of an async function, and returns what
/// that returns. No address outside of the machine can be reached.
pub fn open(browser: &str, page: &Path, width: u32, script: &str) -> Value {
    let text = fs::read_to_string(page).unwrap();
    let copy = page.with_file_name("page-under-test.html");
    let probe = format!(
        "<script>(async () => {{ const answer = await (async () => {{ {script} }})(); \
         document.body.dataset.answer = encodeURIComponent(JSON.stringify(answer)); }})()\
         .catch((error) => {{ document.body.dataset.answer = encodeURIComponent(JSON.stringify(String(error))); }});\
         </script>"
    );
    let whole = match text.rfind("</body>") {
        Some(end) => format!("{}{probe}{}", &text[..end], &text[end..]),
        None => text + &probe,
    };
    fs::write(&copy, whole).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .arg("--host-resolver-rules=MAP * ~NOTFOUND")
        .arg(format!("--window-size={width},900"))
        .arg(format!("--virtual-time-budget={BUDGET}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg("--dump-dom")
        .arg(format!("file://{}", copy.canonicalize().unwrap().display()))
        .output()
        .unwrap();
    fs::remove_file(&copy).unwrap();
    let page = String::from_utf8_lossy(&output.stdout);
    let start = page.find("data-answer=\"").unwrap_or_else(|| {
        panic!(
            "the page gave no answer: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    let answer = &page[start + "data-answer=\"".len()..];
    let answer = &answer[..answer.find('"').unwrap()];
    serde_json::from_str(&decoded(answer)).unwrap()
}

/// A text without the escapes of encodeURIComponent.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        if *first == b'%' {
            let code = std::str::from_utf8(&others[..2]).unwrap();
            bytes.push(u8::from_str_radix(code, 16).unwrap());
            rest = &others[2..];
        } else {
            bytes.push(*first);
            rest = others;
        }
    }
    String::from_utf8(bytes).unwrap()
}
