//! Evidence that the bytes of a text give of their encoding.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

/// UTF-16 known by its zeros: text in another encoding has none, and in UTF-16 every character of ASCII
/// has one on the same side.
pub(super) fn utf_16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let (units, rest) = bytes.as_chunks::<2>();
    let start = bytes.first_chunk::<2>()?;
    if !rest.is_empty() || !start.contains(&0) && std::str::from_utf8(bytes).is_ok() {
        return None;
    }
    let zeros = |side: usize| units.iter().filter(|unit| unit[side] == 0).count();
    let enough = |count: usize| count * 10 >= units.len();
    match (zeros(0), zeros(1)) {
        (0, low) if enough(low) => Some(UTF_16LE),
        (high, 0) if enough(high) => Some(UTF_16BE),
        _ => None,
    }
}

/// Returns whether text that is valid in UTF-8 is not by accident. Two characters of a single-byte encoding are
/// next to never a capital letter with a sign after it, and three bytes of UTF-8 next to never fall
/// together with pairs; pairs of GBK, such as 图片, often are two bytes of UTF-8 each.
pub(super) fn looks_like_utf_8(text: &str, declared: &'static Encoding) -> bool {
    declared.is_single_byte() || text.chars().any(|letter| letter.len_utf8() > 2)
}

/// Returns whether text that is valid in UTF-8 and says nothing of it is so by intent. Every letter is of an
/// alphabet in use: 图片 in GBK is ͼƬ in UTF-8; and three bytes of UTF-8 next to never fall together with
/// pairs of bytes.
pub(super) fn is_plausible(text: &str) -> bool {
    if text.is_ascii() || text.chars().any(|letter| letter.len_utf8() > 2) {
        return true;
    }
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let after = letters.peek().copied().unwrap_or(' ');
        let in_a_word = before.is_ascii_alphabetic() || after.is_ascii_alphabetic();
        if !(is_in_use(letter) || in_a_word && is_rare_latin(letter)) {
            return false;
        }
        before = letter;
    }
    true
}

/// Returns whether text that is valid in UTF-8 and declared as such is so by accident beyond doubt: no word mixes
/// letters of two scripts, as the Greek and the Latin one of ͼƬ, which is 图片 in GBK.
pub(super) fn is_accident(text: &str) -> bool {
    if text.chars().any(|letter| letter.len_utf8() > 2) {
        return false;
    }
    let scripts = || text.chars().map(script);
    scripts()
        .zip(scripts().skip(1))
        .any(|(a, b)| a.is_some() && b.is_some() && a != b)
}

/// Returns whether a character is ASCII, a sign, a mark, or a letter of today's Latin, Greek, Cyrillic, Armenian,
/// Hebrew, Arabic, Syriac, Thaana or N'Ko alphabets.
fn is_in_use(letter: char) -> bool {
    matches!(
        letter,
        '\0'..='\u{17f}' | 'Ə' | 'ə' | 'Ơ' | 'ơ' | 'Ư' | 'ư' | '\u{1cd}'..='\u{1dc}' | 'Ș'..='ț'
            | '\u{2b0}'..='\u{36f}' | '\u{386}'..='\u{3ce}' | '\u{400}'..='\u{52f}'
            | '\u{531}'..='\u{58f}' | '\u{591}'..='\u{5f4}' | '\u{600}'..='\u{7ff}'
    )
}

/// Letters of African, Sami and other languages and of the phonetic alphabet.
fn is_rare_latin(letter: char) -> bool {
    matches!(letter, '\u{180}'..='\u{2af}')
}

#[derive(PartialEq, Eq)]
enum Script {
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Hebrew,
    Arabic,
}

/// The script of a letter of two bytes; none for ASCII, signs and marks, which go with any.
fn script(letter: char) -> Option<Script> {
    match letter {
        '×' | '÷' => None,
        '\u{c0}'..='\u{2af}' => Some(Script::Latin),
        '\u{370}'..='\u{3ff}' => Some(Script::Greek),
        '\u{400}'..='\u{52f}' => Some(Script::Cyrillic),
        '\u{531}'..='\u{58f}' => Some(Script::Armenian),
        '\u{591}'..='\u{5f4}' => Some(Script::Hebrew),
        '\u{600}'..='\u{6ff}' => Some(Script::Arabic),
        _ => None,
    }
}

/// Pairs of bytes that suffice to recognise another encoding; fewer prove nothing.
const ENOUGH_PAIRS: usize = 8;

/// Returns whether pairs of bytes are Chinese in GBK: at least half of them are common characters or punctuation,
/// the first level of GB 2312 and its signs. Letters with accents stand alone between letters of ASCII,
/// and those of Cyrillic are on the second level. Other encodings of pairs show themselves as well:
///
/// - Big5 by characters for private use, or by those that GBK adds to GB 2312, if every fourth is one;
/// - EUC-JP by its kana, which Chinese does without;
/// - EUC-KR by the rows of its syllables: Chinese has two in five characters in those after them.
pub(super) fn looks_like_gbk(bytes: &[u8]) -> bool {
    let (mut pairs, mut common, mut added, mut hangul) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut bytes = bytes.iter();
    while let Some(first) = bytes.next() {
        if *first < 0x80 {
            continue;
        }
        let second = bytes.next().copied().unwrap_or(0);
        let is_private = match first {
            0xa1..=0xa7 => (0x40..0xa1).contains(&second),
            0xaa..=0xaf | 0xf8..=0xfe => second >= 0xa1,
            _ => false,
        };
        let is_kana = matches!(first, 0xa4 | 0xa5);
        if is_private || is_kana {
            return false;
        }
        pairs += 1;
        common += usize::from((0xa1..=0xd7).contains(first) && second >= 0xa1);
        added += usize::from(second < 0xa1 || *first < 0xa1);
        hangul += usize::from((0xb0..=0xc8).contains(first) && second >= 0xa1);
    }
    let is_korean = pairs >= ENOUGH_PAIRS && hangul == pairs;
    common * 2 >= pairs && added * 4 <= pairs && !is_korean
}
