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

/// Returns whether text that is valid in UTF-8 is so by intent. Every letter is of an alphabet in use: 图片 in
/// GBK is ͼƬ in UTF-8; and three bytes of UTF-8 next to never fall together with pairs of bytes.
pub(super) fn is_plausible(text: &str) -> bool {
    text.is_ascii()
        || text.chars().any(|letter| letter.len_utf8() > 2)
        || text.chars().all(is_in_use)
}

/// Returns whether a character is ASCII, one of today's Latin, Greek, Cyrillic, Armenian, Hebrew or Arabic
/// alphabets, or a sign of Latin-1.
fn is_in_use(letter: char) -> bool {
    matches!(
        letter,
        '\0'..='\u{17f}' | 'Ə' | 'ə' | 'Ơ' | 'ơ' | 'Ư' | 'ư' | '\u{1cd}'..='\u{1dc}' | 'Ș'..='ț'
            | '\u{300}'..='\u{36f}' | '\u{386}'..='\u{3ce}' | '\u{400}'..='\u{4ff}'
            | '\u{531}'..='\u{587}' | '\u{591}'..='\u{5f4}' | '\u{60c}'..='\u{6ff}'
    )
}

/// Returns whether at least half of the pairs of bytes are common Chinese characters or punctuation: the first
/// level of GB 2312 and its signs. Letters with accents stand alone between letters of ASCII, and those
/// of Cyrillic are on the second level.
pub(super) fn looks_like_gbk(bytes: &[u8]) -> bool {
    let (mut pairs, mut common) = (0_usize, 0_usize);
    let mut bytes = bytes.iter();
    while let Some(first) = bytes.next() {
        if *first < 0x80 {
            continue;
        }
        let second = bytes.next().copied().unwrap_or(0);
        pairs += 1;
        common += usize::from((0xa1..=0xd7).contains(first) && second >= 0xa1);
    }
    common * 2 >= pairs
}
