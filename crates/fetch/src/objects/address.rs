//! Addresses: the store, and what is wanted of it.

use std::path::{Path, PathBuf};

use object_store::path::Path as Location;
use sha2::{Digest as _, Sha256};
use warmstart_files::one_line;
use warmstart_language::message;

use super::error::ObjectError;
use super::names::require_safe;

/// Most files that an address with braces may name.
const MOST_FILES: usize = 100_000;
/// Files that can be data sets or parts of them.
const KINDS: [&str; 4] = ["tar", "parquet", "csv", "jsonl"];
/// Digits of the hash in a folder's name.
const DIGITS: usize = 12;
/// An address of files, for messages.
const EXAMPLE: &str = "https://host/path/train-{000..099}.tar";

/// An address in parts.
#[derive(Debug)]
pub struct Address {
    /// It as a whole, without control characters.
    pub text: String,
    /// The store.
    pub store: Store,
    /// What is wanted of the store.
    pub wanted: Wanted,
    /// The name of what is there, for its folder.
    name: String,
}

/// A store of objects.
#[derive(Debug, PartialEq, Eq)]
pub enum Store {
    /// A bucket behind S3's interface.
    Bucket(String),
    /// A web server: its scheme, host and port.
    Server(String),
}

/// What is wanted of a store.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Everything below a prefix.
    Below(Location),
    /// Files, each with its name below the copy's folder.
    Files(Vec<(Location, String)>),
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// If nothing can be copied from it.
    pub fn parse(text: &str) -> Result<Self, ObjectError> {
        let shown = one_line(text).into_owned();
        parts(text)
            .map(|(store, wanted, name)| Self {
                text: shown.clone(),
                store,
                wanted,
                name,
            })
            .map_err(|(problem, fix)| ObjectError::Address {
                address: shown,
                problem,
                fix,
            })
    }

    /// The name of its folder of folders, unique to the address and the server behind it.
    pub fn key(&self, endpoint: &str) -> String {
        let (kind, place) = match &self.store {
            Store::Bucket(bucket) => ("s3", bucket.as_str()),
            Store::Server(server) => {
                let (scheme, host) = server.split_once("://").unwrap_or_default();
                (scheme, host)
            }
        };
        let hash = Sha256::digest(format!("{endpoint}\n{}", self.text.trim_end_matches('/')));
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{kind}-{}-{}", file_name(place), &digits[..DIGITS])
    }

    /// The folder of its copy.
    pub fn folder(&self, below: &Path, endpoint: &str) -> PathBuf {
        below.join(self.key(endpoint)).join(&self.name)
    }

    /// The file that stands for the copy, if that is not its folder.
    pub fn single_file(&self) -> Option<&str> {
        match &self.wanted {
            Wanted::Files(files) => match &files[..] {
                [(_, name)] if !is_of_kind(name, "tar") => Some(name),
                _ => None,
            },
            Wanted::Below(_) => None,
        }
    }
}

/// A problem and its fix.
type Refusal = (String, String);

fn parts(text: &str) -> Result<(Store, Wanted, String), Refusal> {
    let expected = message!("expected s3://bucket/folder or {EXAMPLE}");
    let check = message!("check the address");
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| (expected.clone(), check.clone()))?;
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    if place.is_empty() || place.contains(char::is_whitespace) {
        return Err((expected, check));
    }
    if place.contains('@') {
        let fix = message!("leave it out; AWS_ACCESS_KEY_ID and others are for buckets");
        return Err((
            message!("it has a user's name or password, which would be shown"),
            fix,
        ));
    }
    let store = match scheme {
        "s3" => Store::Bucket(place.to_owned()),
        "http" | "https" => Store::Server(format!("{scheme}://{place}")),
        _ => return Err((message!("{scheme} is not supported; {expected}"), check)),
    };
    if path.contains(['?', '#']) && matches!(store, Store::Server(_)) {
        let fix =
            message!("give the address without it, or copy the file into a folder of this machine");
        return Err((message!("an address with ? or # is not supported"), fix));
    }
    let wanted = wanted(&store, path).map_err(|problem| (problem, check))?;
    let name = match &wanted {
        Wanted::Below(prefix) => prefix.filename().unwrap_or(place).to_owned(),
        Wanted::Files(files) => match &files[..] {
            [(_, name)] => name
                .rsplit_once('.')
                .map_or(name.as_str(), |(stem, _)| stem)
                .to_owned(),
            _ => folder_before_braces(path)
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
        },
    };
    let name = if name.is_empty() { place } else { &name };
    let name = file_name(name);
    Ok((store, wanted, name))
}

/// What is wanted of a store, or why it is nothing.
fn wanted(store: &Store, path: &str) -> Result<Wanted, String> {
    let last = path.rsplit('/').next().unwrap_or_default();
    let names_files = path.contains('{') || KINDS.iter().any(|kind| is_of_kind(last, kind));
    match store {
        Store::Bucket(_) if !names_files => {
            let prefix = Location::parse(path).map_err(|error| error.to_string())?;
            return Ok(Wanted::Below(prefix));
        }
        Store::Server(_) if path.is_empty() || path.ends_with('/') => {
            return Err(message!(
                "a web server does not tell which files a folder has; name them, as in {EXAMPLE}"
            ));
        }
        Store::Server(_) if !KINDS.iter().any(|kind| is_of_kind(last, kind)) => {
            let kinds = KINDS.map(|kind| format!(".{kind}")).join(", ");
            return Err(message!("expected a file that ends in {kinds}"));
        }
        Store::Bucket(_) | Store::Server(_) => {}
    }
    let located = |text: &str| {
        let location = match store {
            Store::Bucket(_) => Location::parse(text),
            Store::Server(_) => Location::from_url_path(text),
        };
        location.map_err(|error| error.to_string())
    };
    let base = located(folder_before_braces(path))?;
    let mut files = Vec::new();
    for text in expanded(path)? {
        let location = located(&text)?;
        let name = location.as_ref().strip_prefix(base.as_ref());
        let name = name.unwrap_or_default().trim_start_matches('/').to_owned();
        require_safe(&name)?;
        files.push((location, name));
    }
    Ok(Wanted::Files(files))
}

fn is_of_kind(name: &str, kind: &str) -> bool {
    let extension = Path::new(name).extension();
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case(kind))
}

/// The folder of all files that a path with braces names, without its last slash.
fn folder_before_braces(path: &str) -> &str {
    let plain = path.split('{').next().unwrap_or_default();
    plain.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The texts that one with braces stands for: `{000..099}` for numbers, `{train,val}` for words.
fn expanded(text: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = text.split_once('{') else {
        return Ok(vec![text.to_owned()]);
    };
    let (inside, after) = rest
        .split_once('}')
        .ok_or_else(|| message!("a brace is not closed"))?;
    let (choices, ends) = (choices(inside)?, expanded(after)?);
    if choices.len().saturating_mul(ends.len()) > MOST_FILES {
        return Err(message!(
            "the braces stand for more than {MOST_FILES} files"
        ));
    }
    let texts = choices.iter().flat_map(|choice| {
        let ends = ends.iter();
        ends.map(move |end| format!("{before}{choice}{end}"))
    });
    Ok(texts.collect())
}

fn choices(inside: &str) -> Result<Vec<String>, String> {
    let unclear = || {
        message!(
            "expected numbers such as 000..099 or words such as train,val between braces, found `{inside}`"
        )
    };
    let Some((from, to)) = inside.split_once("..") else {
        let words: Vec<String> = inside.split(',').map(str::to_owned).collect();
        let is_list = words.len() > 1 && !inside.contains('{');
        return if is_list { Ok(words) } else { Err(unclear()) };
    };
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (Some(first), Some(last)) = (number(from), number(to)) else {
        return Err(unclear());
    };
    if last < first {
        return Err(unclear());
    }
    if last - first >= MOST_FILES as u64 {
        return Err(message!(
            "the braces stand for more than {MOST_FILES} files"
        ));
    }
    let is_padded = [from, to]
        .iter()
        .any(|text| text.len() > 1 && text.starts_with('0'));
    let width = if is_padded {
        from.len().max(to.len())
    } else {
        0
    };
    Ok((first..=last)
        .map(|number| format!("{number:0width$}"))
        .collect())
}

/// A text as the name of a file in any system.
fn file_name(text: &str) -> String {
    let plain = |letter: char| match letter {
        '-' | '_' | '.' => letter,
        letter if letter.is_alphanumeric() => letter,
        _ => '_',
    };
    let name: String = text.chars().take(80).map(plain).collect();
    match name.starts_with('.') {
        true => format!("_{name}"),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(address: &str) -> Vec<String> {
        match Address::parse(address).unwrap().wanted {
            Wanted::Files(files) => files.into_iter().map(|(_, name)| name).collect(),
            Wanted::Below(prefix) => panic!("a prefix: {prefix}"),
        }
    }

    #[test]
    fn a_bucket_is_listed_below_a_prefix() {
        for (text, prefix) in [
            ("s3://b", ""),
            ("s3://b/", ""),
            ("s3://b/x/pets/", "x/pets"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.store, Store::Bucket("b".to_owned()));
            assert_eq!(address.wanted, Wanted::Below(Location::from(prefix)));
        }
        let folder = |text: &str| Address::parse(text).unwrap().folder(Path::new("c"), "");
        assert!(folder("s3://b/x/pets/").ends_with("pets"));
        assert_eq!(folder("s3://b/x/pets/"), folder("s3://b/x/pets"));
        assert_ne!(folder("s3://b/x/pets"), folder("s3://b/y/pets"));
    }

    #[test]
    fn braces_stand_for_numbers_and_words() {
        assert_eq!(
            names("https://h/p/train-{008..010}.tar"),
            ["train-008.tar", "train-009.tar", "train-010.tar"]
        );
        assert_eq!(
            names("s3://b/p/{train,val}/{9..10}.tar"),
            ["train/9.tar", "train/10.tar", "val/9.tar", "val/10.tar"]
        );
        assert_eq!(names("http://h:8000/a%20b/c%20d.parquet"), ["c d.parquet"]);
    }

    #[test]
    fn what_cannot_be_copied_is_refused_with_the_reason() {
        for (text, words) in [
            ("gs://b/x", "gs is not supported"),
            ("s3://", "expected s3://bucket/folder"),
            ("https://h/photos/", "does not tell which files"),
            ("https://h", "does not tell which files"),
            ("https://h/photo.jpg", "ends in .tar"),
            ("https://user:word@h/a.tar", "password"),
            ("https://h/a.tar?key=1", "with ? or #"),
            ("https://h/{1..200000}.tar", "more than 100000"),
            ("https://h/{0..999}{0..999}.tar", "more than 100000"),
            ("https://h/{9..1}.tar", "between braces"),
            ("https://h/{a}.tar", "between braces"),
            ("https://h/{1..2.tar", "not closed"),
            ("https://h/%2e%2e/a.tar", ".."),
            ("https://h/../a.tar", ".."),
            ("s3://b/../x", ".."),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.to_string().contains(words), "{text}: {error}");
            assert!(!error.fix().is_empty());
        }
    }

    #[test]
    fn one_file_that_is_no_archive_stands_for_itself() {
        let file = |text: &str| {
            Address::parse(text)
                .unwrap()
                .single_file()
                .map(str::to_owned)
        };
        assert_eq!(file("https://h/p/a.parquet").as_deref(), Some("a.parquet"));
        assert_eq!(file("https://h/p/a.tar"), None);
        assert_eq!(file("https://h/p/{a,b}.csv"), None);
    }
}
