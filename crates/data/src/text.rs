//! Text files that other people's tools wrote, in whatever encoding, as Unicode.
//!
//! ```text
//! byte order mark ─▶ UTF-16 by its zeros ─▶ XML's declaration ─▶ UTF-8 ─▶ GBK, with a note
//! ```
//!
//! The first that applies decides. What a file does not say and its bytes do not prove is noted in
//! [`Text::assumed`], so that a person can check the names; what is not clear is refused.

mod evidence;

use crate::error::DataError;
use encoding_rs::{DecoderResult, Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};
use evidence::{is_accident, is_plausible, looks_like_gbk, looks_like_utf_8, utf_16_without_mark};
use std::io::Read as _;
use std::ops::Deref;
use std::path::Path;

/// Bytes that a text file may have: several times COCO's largest file, and little enough that a sparse
/// file does not fill the memory.
const MAX_BYTES: u64 = 4 << 30;

/// Bytes at the start of a file in which XML's declaration is looked for.
const DECLARATION: usize = 1024;

/// A text without its byte order mark.
#[derive(Debug)]
pub(crate) struct Text {
    content: String,
    /// The encoding that was assumed, and why, if the file does not say it or says another one.
    pub assumed: Option<String>,
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.content
    }
}

impl Text {
    fn certain(content: String) -> Self {
        Self {
            content,
            assumed: None,
        }
    }

    /// The lines, which may end in the carriage returns alone of old Macs.
    pub fn rows(&self) -> impl Iterator<Item = &str> {
        let end = if self.content.contains('\n') {
            '\n'
        } else {
            '\r'
        };
        let rows = self.content.split_terminator(end);
        rows.map(|row| row.strip_suffix('\r').unwrap_or(row))
    }

    /// The text with other content, which was read in the same encoding.
    pub fn map(self, content: impl FnOnce(&str) -> String) -> Self {
        Self {
            content: content(&self.content),
            assumed: self.assumed,
        }
    }

    fn assumed(content: String, encoding: &str, reason: &str) -> Self {
        let example = beyond_ascii(&content);
        let assumed = format!("{reason}; read as {encoding}, which gives {example:?}");
        Self {
            content,
            assumed: Some(assumed),
        }
    }
}

/// The first few letters together that are not in ASCII.
fn beyond_ascii(text: &str) -> String {
    let mut runs = text.split(|letter: char| letter.is_ascii());
    let first = runs.find(|run| !run.is_empty());
    first.unwrap_or_default().chars().take(12).collect()
}

/// Reads a text file of at most 4 GiB.
///
/// # Errors
/// If it cannot be read, is not a regular file, is too large, or is not text in an encoding that is
/// clear, then with the line.
pub(crate) fn read_text(path: &Path) -> Result<Text, DataError> {
    read_text_within(path, MAX_BYTES)
}

/// Reads a text file as [`read_text`] does, of at most `limit` bytes.
pub(crate) fn read_text_within(path: &Path, limit: u64) -> Result<Text, DataError> {
    read_where(path, limit, is_plausible)
}

/// Reads the text of a JSON file as [`read_text`] does: what is valid UTF-8 is UTF-8, as RFC 8259 has it.
pub(crate) fn read_json_text(path: &Path) -> Result<Text, DataError> {
    read_where(path, MAX_BYTES, |_| true)
}

fn read_where(path: &Path, limit: u64, is_utf_8: impl Fn(&str) -> bool) -> Result<Text, DataError> {
    let bytes =
        warmstart_files::read(path, limit).map_err(|source| DataError::read(path, source))?;
    decoded(bytes, is_utf_8).map_err(|Undecodable { line, problem }| {
        DataError::annotations(path, line, format!("{problem}; save the file as UTF-8"))
    })
}

/// The text of the first bytes of a regular file, at most `limit`, and whether that is all of it; to tell
/// what a file is.
///
/// # Errors
/// If it cannot be read or is not a regular file.
pub(crate) fn start_of(path: &Path, limit: u64) -> std::io::Result<(String, bool)> {
    let mut start = Vec::new();
    let read = warmstart_files::open(path)?
        .take(limit)
        .read_to_end(&mut start)?;
    Ok((lossy(&start), (read as u64) < limit))
}

/// The text of bytes without their byte order mark, in UTF-16 if that or their zeros say so and else in
/// UTF-8; what is not valid becomes U+FFFD.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    let marked = Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
    let unmarked = match bytes[..] {
        [_, 0, _, 0, ..] => Some(UTF_16LE),
        [0, _, 0, _, ..] => Some(UTF_16BE),
        _ => None,
    };
    let encoding = marked.or(unmarked).unwrap_or(UTF_8);
    encoding.decode_with_bom_removal(bytes).0.into_owned()
}

/// The place and the reason.
#[derive(Debug)]
struct Undecodable {
    line: usize,
    problem: String,
}

/// The text of bytes. `is_utf_8` decides of those that are valid UTF-8 and declare nothing.
fn decoded(mut bytes: Vec<u8>, is_utf_8: impl Fn(&str) -> bool) -> Result<Text, Undecodable> {
    match bytes[..] {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Err(Undecodable {
            line: 1,
            problem: "expected text in UTF-8, found UTF-32".into(),
        }),
        [0xef, 0xbb, 0xbf, ..] => {
            bytes.drain(..3);
            strict(UTF_8, bytes).map(Text::certain)
        }
        [0xff, 0xfe, ..] => strict(UTF_16LE, bytes.split_off(2)).map(Text::certain),
        [0xfe, 0xff, ..] => strict(UTF_16BE, bytes.split_off(2)).map(Text::certain),
        _ => match (utf_16_without_mark(&bytes), declaration(&bytes)) {
            (Some(encoding), _) => strict(encoding, bytes).map(Text::certain),
            (None, Some(label)) => as_declared(bytes, &label),
            (None, None) => undeclared(bytes, "it does not say its encoding", is_utf_8),
        },
    }
}

/// The text, if every byte is valid.
fn strict(encoding: &'static Encoding, bytes: Vec<u8>) -> Result<String, Undecodable> {
    let (valid, at, found) = if encoding == UTF_8 {
        let error = match String::from_utf8(bytes) {
            Ok(text) => return Ok(text),
            Err(error) => error,
        };
        let at = error.utf8_error().valid_up_to();
        let found = error.as_bytes()[at];
        (error.into_bytes(), at, found)
    } else {
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let capacity = decoder.max_utf8_buffer_length_without_replacement(bytes.len());
        let mut text = String::with_capacity(capacity.unwrap_or(bytes.len()));
        let (result, read) = decoder.decode_to_string_without_replacement(&bytes, &mut text, true);
        let DecoderResult::Malformed(bad, after) = result else {
            return Ok(text);
        };
        let at = read.saturating_sub(usize::from(bad) + usize::from(after));
        (text.into_bytes(), usize::MAX, bytes[at])
    };
    let before = valid.iter().take(at);
    Err(Undecodable {
        line: 1 + before.filter(|byte| **byte == b'\n').count(),
        problem: format!(
            "expected text in {}, found the byte 0x{found:02x}",
            encoding.name()
        ),
    })
}

/// The encoding that XML's first line declares.
fn declaration(bytes: &[u8]) -> Option<String> {
    let start = bytes.trim_ascii_start();
    let start = &start[..start.len().min(DECLARATION)];
    let end = start.windows(2).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(&start[..end]).ok()?;
    let (_, rest) = declaration.strip_prefix("<?xml")?.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|quote| "\"'".contains(*quote))?;
    let (label, _) = rest[1..].split_once(quote)?;
    Some(label.trim().to_owned())
}

/// The encoding of a label of the WHATWG's list, of Python's spellings and of Windows' code pages.
fn encoding(label: &str) -> Option<&'static Encoding> {
    let label = label.to_ascii_lowercase().replace('_', "-");
    let page = label.strip_prefix("cp").or(label.strip_prefix("ms"));
    let known = match page.unwrap_or(&label) {
        "936" | "54936" => "gbk",
        "932" => "shift-jis",
        "949" => "euc-kr",
        "950" => "big5",
        "65001" => "utf-8",
        _ => &label,
    };
    let joined = known.replace('-', "");
    Encoding::for_label_no_replacement(known.as_bytes())
        .or_else(|| Encoding::for_label_no_replacement(joined.as_bytes()))
}

/// Reads bytes in the encoding that they declare, unless they are proof of another.
fn as_declared(bytes: Vec<u8>, label: &str) -> Result<Text, Undecodable> {
    let says = format!("it declares the encoding {label:?}");
    let encoding = match encoding(label) {
        // A declaration that can be read byte by byte is not in UTF-16.
        Some(found) if found != UTF_8 && found != UTF_16LE && found != UTF_16BE => found,
        Some(_) => {
            let reason = format!("{says}, which its bytes do not look like");
            return undeclared(bytes, &reason, |text| !is_accident(text));
        }
        None if bytes.is_ascii() => return strict(UTF_8, bytes).map(Text::certain),
        None => {
            let content = strict(UTF_8, bytes)?;
            let reason = format!("{says}, which is not known");
            return Ok(Text::assumed(content, "UTF-8", &reason));
        }
    };
    let is_utf_8 = match std::str::from_utf8(&bytes) {
        Ok(text) if text.is_ascii() => return strict(UTF_8, bytes).map(Text::certain),
        Ok(text) => looks_like_utf_8(text, encoding),
        Err(_) => false,
    };
    if is_utf_8 {
        let reason = format!("{says} and its bytes are UTF-8");
        return strict(UTF_8, bytes).map(|content| Text::assumed(content, "UTF-8", &reason));
    }
    strict(encoding, bytes).map(Text::certain)
}

/// Reads bytes as UTF-8, or as GBK where they are no UTF-8 or, as `is_utf_8` says, only by accident.
fn undeclared(
    bytes: Vec<u8>,
    reason: &str,
    is_utf_8: impl Fn(&str) -> bool,
) -> Result<Text, Undecodable> {
    let is_utf_8 = std::str::from_utf8(&bytes).is_ok_and(is_utf_8);
    if !is_utf_8
        && looks_like_gbk(&bytes)
        && let Ok(content) = strict(GB18030, bytes.clone())
    {
        return Ok(Text::assumed(content, "GBK", reason));
    }
    strict(UTF_8, bytes).map(Text::certain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Text {
        decoded(bytes.to_vec(), is_plausible)
            .unwrap_or_else(|error| panic!("{bytes:x?}: {error:?}"))
    }

    fn refusal(bytes: &[u8]) -> (usize, String) {
        let error = decoded(bytes.to_vec(), is_plausible).unwrap_err();
        (error.line, error.problem)
    }

    fn in_encoding(label: &str, text: &str) -> Vec<u8> {
        let encoding = encoding(label).unwrap();
        if encoding == UTF_16LE {
            return text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        }
        if encoding == UTF_16BE {
            return text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        }
        let (bytes, _, lossy) = encoding.encode(text);
        assert!(!lossy, "{text} in {label}");
        bytes.into_owned()
    }

    #[test]
    fn xml_is_read_in_the_encoding_that_it_declares() {
        for (label, name) in [
            ("GBK", "图片"),
            ("gb2312", "图片"),
            ("GB18030", "镕㐀"),
            ("cp936", "汽车"),
            ("Big5", "貓"),
            ("Shift_JIS", "猫"),
            ("cp932", "ネコ"),
            ("EUC-JP", "ねこ"),
            ("EUC-KR", "고양이"),
            ("ISO-8859-1", "café"),
            ("latin-1", "café"),
            ("latin_1", "Straße"),
            ("windows-1252", "naïve – €"),
            ("iso-8859-2", "Łódź"),
            ("windows-1251", "кошка"),
            ("KOI8-R", "кошка"),
            ("utf-8", "图片"),
            ("UTF8", "图片"),
            ("utf_8", "图片"),
        ] {
            for quote in ["\"", "'"] {
                let xml = format!(
                    "<?xml version='1.0' encoding = {quote}{label}{quote} ?>\n<a>{name}</a>"
                );
                let text = text(&in_encoding(label, &xml));
                assert_eq!(*text, *xml);
                assert_eq!(text.assumed, None, "{label}");
            }
        }
    }

    #[test]
    fn byte_order_marks_and_zeros_decide_before_a_declaration() {
        for declared in ["", "<?xml version=\"1.0\" encoding=\"GBK\"?>\r\n"] {
            let content = format!("{declared}<a>图片 café</a>");
            let utf_8 = [b"\xef\xbb\xbf", content.as_bytes()].concat();
            let little = in_encoding("utf-16le", &content);
            let big = in_encoding("utf-16be", &content);
            for bytes in [
                utf_8,
                [b"\xff\xfe", &little[..]].concat(),
                [b"\xfe\xff", &big[..]].concat(),
                little,
                big,
            ] {
                let text = text(&bytes);
                assert_eq!(*text, *content);
                assert_eq!(text.assumed, None);
            }
        }
        assert_eq!(
            *text(&in_encoding("utf-16le", "图片\r\n猫\r\n")),
            *"图片\r\n猫\r\n"
        );
        assert_eq!(*text(b"cats \0 dogs."), *"cats \0 dogs.");
        assert_eq!(*text(b""), *"");
        assert_eq!(*text(b"\xff\xfe"), *"");
    }

    #[test]
    fn a_declaration_that_the_bytes_refute_is_named() {
        let xml = "<?xml version=\"1.0\" encoding=\"LABEL\"?><a>图片 café</a>";
        for label in ["GBK", "ISO-8859-1", "Big5", "UTF-7"] {
            let xml = xml.replace("LABEL", label);
            let text = text(xml.as_bytes());
            assert_eq!(*text, *xml);
            let assumed = text.assumed.unwrap();
            assert!(assumed.contains(label), "{assumed}");
            assert!(
                assumed.ends_with("read as UTF-8, which gives \"图片\""),
                "{assumed}"
            );
        }
        // .NET declares UTF-16 in what it then writes as UTF-8.
        let utf_16 = xml.replace("LABEL", "utf-16");
        assert_eq!(text(utf_16.as_bytes()).assumed, None);
        let ascii = xml.replace("LABEL", "no such").replace("图片 café", "cat");
        assert_eq!(text(ascii.as_bytes()).assumed, None);
        let gbk = in_encoding(
            "gbk",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>图片</a>",
        );
        let assumed = text(&gbk).assumed.unwrap();
        assert_eq!(
            assumed,
            "it declares the encoding \"UTF-8\", which its bytes do not look like; read as GBK, which gives \"图片\""
        );
    }

    #[test]
    fn lists_in_gbk_are_read_and_the_guess_is_said() {
        for names in [
            "图片\n",
            "图片\n汽车\n",
            "cat\n猫\n狗\n",
            "1 红绿灯（大）\r\n",
            "人",
        ] {
            let text = text(&in_encoding("gbk", names));
            assert_eq!(*text, *names);
            let assumed = text.assumed.unwrap();
            assert!(assumed.contains("read as GBK"), "{assumed}");
        }
    }

    #[test]
    fn names_in_utf_8_are_not_taken_for_gbk() {
        for names in [
            "café\n",
            "épée\n",
            "Köter\nMöwe",
            "кот\nдом\n",
            "γάτα",
            "חתול",
            "قط",
            "猫\n",
            "Łódź",
            "25°",
            "ăn cơm",
            "mèo",
            "日本",
        ] {
            let text = text(names.as_bytes());
            assert_eq!((&*text, &text.assumed), (names, &None));
        }
    }

    #[test]
    fn letters_of_any_living_language_stay_utf_8() {
        for name in [
            "Hawaiʻi",
            "Oʻahu",
            "Камʼянець",
            "ʿAbd al-Qādir",
            "qurʾān",
            "e\u{301}te\u{301}",
            "ɲɔ ni ɣaŋ",
            "ƴiite",
            "ǧoahtti",
            "Ṭanṭā",
            "ἄνθρωπος",
            "5 € → ½ kg – “x” ℃",
            "ქართული",
            "հայերեն",
            "አማርኛ",
            "ខ្មែរ",
            "हिन्दी",
            "தமிழ்",
            "ԛԝа",
            "ދިވެހި",
        ] {
            let xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>{name}</a>");
            for content in [name, &xml, &format!("{name}\ncat\n")] {
                let text = text(content.as_bytes());
                assert_eq!((&*text, &text.assumed), (content, &None));
            }
        }
    }

    #[test]
    fn declared_utf_8_and_json_stay_utf_8_however_rare_a_letter_is() {
        for name in ["ƿ", "ͼ", "ͻ", "ƻƿ"] {
            let xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>{name}</a>");
            assert_eq!(text(xml.as_bytes()).assumed, None, "{name}");
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("a.json");
            let json = format!("{{\"name\": \"{name}\"}}");
            std::fs::write(&file, &json).unwrap();
            let text = read_json_text(&file).unwrap();
            assert_eq!((&*text, &text.assumed), (&*json, &None));
        }
    }

    #[test]
    fn what_is_in_another_encoding_of_pairs_is_not_taken_for_gbk() {
        for (label, names) in [
            ("big5", "貓\n狗\n汽車\n行人\n"),
            ("big5", "紅綠燈\n交通標誌\n"),
            ("euc-jp", "猫\nいぬ\n自転車\n"),
            ("euc-jp", "ネコ\n犬\n"),
            ("euc-kr", "고양이\n강아지\n자동차\n"),
        ] {
            let (_, problem) = refusal(&in_encoding(label, names));
            assert!(problem.starts_with("expected text in UTF-8"), "{names}");
        }
    }

    #[test]
    fn what_is_neither_utf_8_nor_clearly_gbk_is_refused_with_its_line() {
        for (label, names, line, byte) in [
            ("latin1", "cat\nélan\néléphant\n", 2, "e9"),
            ("latin1", "Löwe\n", 1, "f6"),
            ("windows-1251", "кот\nсобака\n", 1, "ea"),
            ("windows-1251", "собака\n", 1, "f1"),
            ("shift_jis", "dog\ncat\n猫犬\n", 3, "94"),
        ] {
            let (at, problem) = refusal(&in_encoding(label, names));
            assert_eq!(at, line, "{names}");
            assert_eq!(
                problem,
                format!("expected text in UTF-8, found the byte 0x{byte}")
            );
        }
    }

    #[test]
    fn broken_text_names_its_line() {
        let gbk = b"<?xml version='1.0' encoding='gbk'?>\n<a>\xcd\xbc\n\xff</a>";
        let (line, problem) = refusal(gbk);
        assert_eq!(line, 3);
        assert!(
            problem.starts_with("expected text in GBK, found the byte 0xff"),
            "{problem}"
        );
        assert_eq!(refusal(b"\xff\xfea\0\n\0\x00\xd8b\0").0, 2);
        assert_eq!(refusal(b"\xef\xbb\xbfa\n\xcd").0, 2);
        assert!(refusal(b"\xff\xfe\0\0a\0\0\0").1.contains("UTF-32"));
        let unknown = b"<?xml version='1.0' encoding='klingon'?><a>\xe9</a>";
        assert!(refusal(unknown).1.contains("0xe9"));
    }

    #[test]
    fn a_sparse_file_and_a_pipe_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.xml");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(100 << 30).unwrap();
        let message = read_text(&path).unwrap_err().to_string();
        assert!(message.contains("more than the limit"), "{message}");
        #[cfg(unix)]
        {
            let pipe = folder.path().join("pipe.txt");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            assert!(made.unwrap().success());
            let message = read_text(&pipe).unwrap_err().to_string();
            assert!(message.contains("it is a pipe"), "{message}");
        }
    }
}
