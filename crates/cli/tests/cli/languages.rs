//! The language of what people read: that of `--lang`, else that of the environment. Programs read the same in each.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

use crate::common::{data, said, small_run, warmstart};

/// Every command with help.
const COMMANDS: [&str; 35] = [
    "",
    "demo",
    "new",
    "train",
    "resume",
    "runs",
    "plan",
    "lr-find",
    "rank",
    "features",
    "merge",
    "report",
    "compare",
    "eval",
    "predict",
    "serve",
    "export",
    "init-check",
    "data",
    "data check",
    "data convert",
    "data labels",
    "models",
    "devices",
    "weights",
    "weights list",
    "weights get",
    "weights inspect",
    "weights convert",
    "weights diff",
    "cache",
    "cache list",
    "cache clear",
    "completions",
    "man",
];

/// The binary for a user of that locale.
fn in_locale(locale: &str) -> Command {
    let mut command = warmstart();
    command.env_remove("LC_ALL").env_remove("LC_MESSAGES");
    command.env("LANG", locale);
    command
}

fn output(mut command: Command, line: &str) -> Output {
    command.args(line.split_whitespace()).output().unwrap()
}

fn help(command: Command, line: &str) -> String {
    let output = output(command, line);
    assert!(output.status.success(), "{line}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn is_chinese(text: &str) -> bool {
    text.contains(|letter: char| ('\u{4e00}'..='\u{9fff}').contains(&letter))
}

/// Four English words in a row, if there are any: names, flags and examples have fewer.
fn english_words(text: &str) -> Option<String> {
    let is_word = |word: &str| {
        let word = word.trim_end_matches([',', '.', ':', ';']);
        !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphabetic())
    };
    text.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut runs = words.windows(4);
        let found = runs.find(|run| run.iter().all(|word| is_word(word)));
        found.map(|run| run.join(" "))
    })
}

#[test]
fn help_is_in_the_language_of_the_flag() {
    for command in COMMANDS {
        for form in ["-h", "--help"] {
            let line = format!("{command} {form} --lang zh");
            let text = help(warmstart(), &line);
            assert!(text.contains("用法：warmstart"), "{line}: {text}");
            assert!(text.contains("选项："), "{line}: {text}");
            assert_eq!(english_words(&text), None, "{line}: {text}");
        }
    }
    let before = help(warmstart(), "--lang=zh train --help");
    assert_eq!(before, help(warmstart(), "train --help --lang zh"));
    let by_command = help(warmstart(), "--lang zh help weights convert");
    let by_flag = help(warmstart(), "weights convert --help --lang zh");
    assert_eq!(by_command, by_flag);
    let output = output(warmstart(), "--lang zh data");
    assert!(is_chinese(&said(&output)));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn chinese_help_names_what_the_english_one_names() {
    let flags = |text: &str| -> BTreeSet<String> {
        let is_inside = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        let words = text.split(|letter: char| !is_inside(letter));
        let words = words.filter(|word| word.starts_with("--"));
        words.map(str::to_owned).collect()
    };
    for command in COMMANDS {
        for form in ["-h", "--help"] {
            let [english, chinese] = ["en", "zh"].map(|word| {
                let line = format!("{command} {form} --lang {word}");
                flags(&help(warmstart(), &line))
            });
            assert_eq!(english, chinese, "{command} {form}");
        }
    }
}

#[test]
fn the_environment_names_the_language_unless_the_flag_does() {
    let english = help(warmstart(), "train --help");
    let chinese = help(warmstart(), "train --help --lang zh");
    assert!(!is_chinese(&english) && is_chinese(&chinese));
    assert_eq!(help(in_locale("zh_CN.UTF-8"), "train --help"), chinese);
    let line = "train --help --lang en";
    assert_eq!(help(in_locale("zh_CN.UTF-8"), line), english);
    for locale in ["C", "en_US.UTF-8", "de_DE.UTF-8", ""] {
        assert_eq!(help(in_locale(locale), "train --help"), english, "{locale}");
    }
    let mut command = in_locale("zh_CN.UTF-8");
    command.env("LC_ALL", "C");
    assert_eq!(help(command, "train --help"), english);
}

#[test]
fn a_wrong_command_line_is_a_chinese_line_with_the_same_exit_code() {
    for line in [
        "trian",
        "data chek x",
        "train --patiense 3",
        "train --zebra",
        "train -x",
        "train one two",
        "train --task classfy",
        "train --task",
        "train --epochs many",
        "train --quiet --json=x",
        "predict m a.png --conf high",
        "predict m a.png --device cuda",
        "predict m a.png --csv a.txt",
        "demo --seeds 0",
        "demo --seeds some",
        "demo --seeds 1 --seeds 2",
        "demo --no-cache --cache x",
        "rank --weights w",
        "compare one",
        "eval m --tile 640",
    ] {
        let english = output(warmstart(), line);
        let chinese = output(warmstart(), &format!("--lang zh {line}"));
        let text = said(&chinese);
        assert!(said(&english).starts_with("error: "), "{line}");
        assert!(text.starts_with("错误："), "{line}: {text}");
        assert_eq!(text.lines().count(), 1, "{line}: {text}");
        assert_eq!(english_words(&text), None, "{line}: {text}");
        assert_eq!(english.status.code(), Some(2), "{line}");
        assert_eq!(chinese.status.code(), Some(2), "{line}");
    }
    // A language that there is not.
    let text = said(&output(in_locale("zh_CN.UTF-8"), "train --lang fr"));
    assert!(text.starts_with("错误："), "{text}");
    assert!(text.contains("en, zh"), "{text}");
}

#[test]
fn a_missing_file_is_a_chinese_line_with_the_same_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    for line in [
        "predict missing.safetensors a.jpg",
        "weights inspect missing.pth",
        "data check missing",
        "train --data missing --model resnet18 --weights none",
    ] {
        let run = |language: &str| {
            let mut command = warmstart();
            command.current_dir(dir.path()).args(["--lang", language]);
            output(command, line)
        };
        let [english, chinese] = ["en", "zh"].map(run);
        let text = said(&chinese);
        let last = text.lines().last().unwrap_or_default();
        assert!(last.starts_with("错误："), "{line}: {text}");
        assert!(last.contains("missing"), "{line}: {text}");
        assert!(is_chinese(last), "{line}: {text}");
        assert!(!last.contains("No such file"), "{line}: {text}");
        assert!(!is_chinese(&said(&english)), "{line}");
        assert!(!english.status.success(), "{line}");
        assert_eq!(chinese.status.code(), english.status.code(), "{line}");
    }
}

/// The keys of JSON, each with those that it is below.
fn add_keys(value: &Value, above: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = format!("{above}/{key}");
                add_keys(value, &key, keys);
                keys.insert(key);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| add_keys(value, above, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The keys of lines of JSON.
fn keys(text: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        let value: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        add_keys(&value, "", &mut keys);
    }
    keys
}

#[test]
fn programs_read_the_same_keys_in_each_language() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = |language: &str, line: &[&str]| {
        let mut command = warmstart();
        command.current_dir(dir.path()).args(["--lang", language]);
        command.args(line).output().unwrap()
    };
    for line in [
        &["models", "--json"][..],
        &["devices", "--no-measure", "--json"],
        &["weights", "list", "--json"],
        &["train", "--patiense", "3", "--json"],
        &["predict", "missing.safetensors", "a.jpg", "--json"],
        &["data", "check", "missing", "--json"],
    ] {
        let [english, chinese] = ["en", "zh"].map(|language| said(&run(language, line)));
        assert!(!english.is_empty(), "{line:?}");
        assert_eq!(keys(&english), keys(&chinese), "{line:?}");
    }
    let train = |language: &str| {
        let out = dir.path().join(language);
        let mut line = small_run(&data, "none", &out);
        line.extend(["--epochs", "1", "--no-cache", "--json"]);
        let output = run(language, &line);
        assert!(output.status.success(), "{}", said(&output));
        keys(&String::from_utf8(output.stdout).unwrap())
    };
    let [english, chinese] = ["en", "zh"].map(train);
    assert!(english.len() > 10, "{english:?}");
    assert_eq!(english, chinese);
}

#[test]
fn a_new_recipe_is_explained_in_the_language() {
    let dir = tempfile::tempdir().unwrap();
    let (data, recipe) = (data(dir.path()), dir.path().join("recipe.toml"));
    let mut command = warmstart();
    command.args(["--lang", "zh", "new"]).arg(&data);
    command.args(["--weights", "none", "--model", "mobilenet_v2", "--out"]);
    command.arg(&recipe).assert().success();
    let text = fs::read_to_string(&recipe).unwrap();
    let comments: Vec<&str> = text.lines().filter(|line| line.starts_with("# ")).collect();
    assert!(comments.len() > 60, "{text}");
    for comment in comments {
        assert_eq!(english_words(comment), None, "{comment}");
    }
    // The value, and no other meaning of the word.
    assert!(text.contains("# 默认：false。"), "{text}");
}

#[test]
fn the_model_is_the_same_in_each_language() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let models = ["en", "zh"].map(|language| {
        let run = dir.path().join(language);
        let mut command = warmstart();
        command.args(["--lang", language]);
        command.args(small_run(&data, "none", &run));
        command.args(["--epochs", "2"]).assert().success();
        let log = fs::read_to_string(run.join("log.txt")).unwrap();
        assert_eq!(is_chinese(&log), language == "zh", "{log}");
        fs::read(run.join("best.safetensors")).unwrap()
    });
    assert!(
        models[0] == models[1],
        "the bits of the model depend on the language"
    );
}
