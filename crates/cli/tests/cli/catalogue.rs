//! Every message of the code is in every catalogue, with the same placeholders, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use warmstart_language::{Catalogue, Language};

/// Crates whose code is about messages, and has none.
const WITHOUT_MESSAGES: [&str; 2] = ["language", "language-macros"];

#[test]
fn catalogues_have_every_message_and_nothing_else() {
    let in_code = messages();
    assert!(!in_code.is_empty());
    for (language, catalogue) in catalogues() {
        let word = language.word();
        let missing: Vec<_> = in_code
            .iter()
            .filter(|(message, _)| !catalogue.messages.contains_key(message.as_str()))
            .map(|(message, file)| format!("{}: {message:?}", file.display()))
            .collect();
        assert!(
            missing.is_empty(),
            "messages/{word}.toml lacks:\n{}",
            missing.join("\n")
        );
        let unused: BTreeSet<_> = catalogue
            .messages
            .keys()
            .filter(|message| !in_code.contains_key(*message))
            .collect();
        assert!(
            unused.is_empty(),
            "messages/{word}.toml has messages that are not in the code: {unused:#?}"
        );
    }
}

#[test]
fn translations_carry_the_placeholders_of_the_english_text() {
    for (language, catalogue) in catalogues() {
        let texts = catalogue.messages.iter().chain(&catalogue.help);
        for (english, text) in texts.chain(&catalogue.system) {
            assert_eq!(
                placeholders(english),
                placeholders(text),
                "messages/{}.toml: {english:?}",
                language.word()
            );
        }
    }
}

#[test]
fn translations_begin_and_end_as_the_english_text_does() {
    let edges = |text: &str| {
        let inner = text.trim();
        let start = text.find(inner).unwrap_or_default();
        (
            text[..start].to_owned(),
            text[start + inner.len()..].to_owned(),
        )
    };
    for (language, catalogue) in catalogues() {
        for (english, text) in &catalogue.messages {
            let word = language.word();
            assert!(
                !text.trim().is_empty() || english.trim().is_empty(),
                "{word}: {english:?}"
            );
            // Spaces between words go; line breaks and indents stay.
            let [(before, after), (before_in_english, after_in_english)] =
                [edges(text), edges(english)];
            let lines = |edge: &str| edge.matches('\n').count();
            assert_eq!(
                (lines(&before), lines(&after)),
                (lines(&before_in_english), lines(&after_in_english)),
                "messages/{word}.toml: {english:?}"
            );
            if before_in_english.len() > 1 {
                assert_eq!(
                    before, before_in_english,
                    "messages/{word}.toml: {english:?}"
                );
            }
        }
    }
}

/// The catalogues: every language but English has one.
fn catalogues() -> impl Iterator<Item = (Language, Catalogue)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("messages");
    let languages = Language::ALL.into_iter();
    let others = languages.filter(|language| *language != Language::English);
    others.map(move |language| {
        let path = folder.join(format!("{}.toml", language.word()));
        let text = std::fs::read_to_string(&path).unwrap();
        (language, Catalogue::read(&text).unwrap())
    })
}

/// What stands between braces, sorted; `{}` by its position.
fn placeholders(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut positions = 0;
    let plain = text.replace("{{", "").replace("}}", "");
    let mut rest = plain.as_str();
    while let Some(start) = rest.find('{') {
        let end = start + rest[start..].find('}').expect("a brace is closed");
        let mut inside = rest[start + 1..end].to_owned();
        if inside.is_empty() || inside.starts_with(':') {
            inside = format!("{positions}{inside}");
            positions += 1;
        }
        found.push(inside);
        rest = &rest[end + 1..];
    }
    found.sort();
    found
}

/// The messages of all crates, each with a file that has it.
fn messages() -> BTreeMap<String, PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeMap::new();
    for folder in crates
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        let name = folder.file_name().unwrap().to_str().unwrap();
        if !WITHOUT_MESSAGES.contains(&name) {
            read_folder(&folder.join("src"), &mut found);
        }
    }
    found
}

fn read_folder(folder: &Path, found: &mut BTreeMap<String, PathBuf>) {
    for path in folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if path.is_dir() {
            read_folder(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let code = std::fs::read_to_string(&path).unwrap();
            let tokens: TokenStream = code.parse().expect("Rust code");
            read_tokens(tokens, &mut |message| {
                found.entry(message).or_insert_with(|| path.clone());
            });
        }
    }
}

/// Finds `message!("…"`, `english!("…")` and `counted(…, "…")`.
fn read_tokens(tokens: TokenStream, found: &mut impl FnMut(String)) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else {
            continue;
        };
        let before = |back: usize| at.checked_sub(back).map(|at| tokens[at].to_string());
        let inside: Vec<_> = group.stream().into_iter().collect();
        let name = if before(1).as_deref() == Some("!") {
            before(2)
        } else {
            None
        };
        if matches!(name.as_deref(), Some("message" | "english")) {
            inside
                .first()
                .and_then(literal)
                .into_iter()
                .for_each(&mut *found);
        } else if before(1).as_deref() == Some("counted")
            && group.delimiter() == Delimiter::Parenthesis
        {
            let noun = inside.last().and_then(literal);
            noun.map(|noun| format!("{{}} {noun}s"))
                .into_iter()
                .for_each(&mut *found);
        }
        read_tokens(group.stream(), found);
    }
}

/// The text of a string literal.
fn literal(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else {
        return None;
    };
    let literal: syn::LitStr = syn::parse2(TokenTree::Literal(literal.clone()).into()).ok()?;
    Some(literal.value())
}
