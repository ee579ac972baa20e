//! Inputs made from good ones, by damage of the usual kinds.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Longest part in bytes that is removed, repeated or overwritten at once.
const LONGEST_PART: usize = 64;

/// Bytes on which readers stumble: ends of the ranges of numbers in either order of bytes, and what texts
/// are made of.
const TOKENS: [&[u8]; 40] = [
    &[0x00],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0xff, 0xff],
    &[0x00, 0x00, 0x00, 0x00],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0x80, 0x00, 0x00, 0x00],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80],
    b"0",
    b"-1",
    b"1",
    b"33",
    b"1e999",
    b"-1e308",
    b"NaN",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551615",
    b"4294967296",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"\"\"",
    b"[[[[[[[[",
    b"{\"a\":",
    b"\"",
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\n",
    b"../",
    b"/dev/zero",
    b"<!DOCTYPE a [<!ENTITY b \"c\">]>",
    b"&b;",
];

/// The input of that number: one of `seeds`, changed once, and with a chance of a half once more, and
/// so on. The same number means the same input.
///
/// # Panics
/// If there is no seed.
pub fn mutated(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let mut input = seeds[below(&mut rng, seeds.len())].clone();
    for _ in 0..=rng.next_u64().trailing_zeros() {
        change(&mut rng, &mut input, seeds);
    }
    input
}

fn change(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = below(rng, input.len() + 1);
    let part = (1 + below(rng, LONGEST_PART)).min(input.len() - at);
    match rng.next_u64() % 9 {
        0 if at < input.len() => input[at] ^= 1 << below(rng, 8),
        1 if at < input.len() => input[at] = rng.next_u64() as u8,
        2 => input.truncate(at),
        3 => drop(input.drain(at..at + part)),
        4 => {
            let copy = input[at..at + part].to_vec();
            let to = below(rng, input.len() + 1);
            input.splice(to..to, copy);
        }
        5 => {
            let token = TOKENS[below(rng, TOKENS.len())];
            input.splice(at..at, token.iter().copied());
        }
        6 => {
            let token = TOKENS[below(rng, TOKENS.len())];
            let end = (at + token.len()).min(input.len());
            input.splice(at..end, token.iter().copied());
        }
        7 => replace_number(rng, input, at),
        _ => {
            let other = &seeds[below(rng, seeds.len())];
            let from = below(rng, other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

/// Puts another number into the place of the first one in digits behind `at`.
fn replace_number(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, at: usize) {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let Some(start) = input[at..].iter().position(is_digit) else {
        return;
    };
    let start = at + start;
    let length = input[start..]
        .iter()
        .take_while(|byte| is_digit(byte))
        .count();
    let number = match rng.next_u64() % 4 {
        0 => rng.next_u64().to_string(),
        1 => (rng.next_u64() % 100_000).to_string(),
        2 => format!("{}.5", rng.next_u64() % 1000),
        _ => String::from_utf8_lossy(TOKENS[13 + below(rng, 11)]).into_owned(),
    };
    input.splice(start..start + length, number.bytes());
}

/// A number from 0 to below `end`, which is at least 1.
fn below(rng: &mut ChaCha8Rng, end: usize) -> usize {
    (rng.next_u64() % end as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_gives_the_same_input_and_others_differ() {
        let seeds = [b"{\"width\": 12}".to_vec(), vec![0; 30]];
        let inputs: Vec<_> = (0..200).map(|number| mutated(&seeds, number)).collect();
        assert!((0..200).all(|number| mutated(&seeds, number) == inputs[number as usize]));
        let mut distinct = inputs.clone();
        distinct.sort();
        distinct.dedup();
        assert!(distinct.len() > 150, "{}", distinct.len());
    }

    #[test]
    fn an_empty_seed_grows() {
        let inputs = (0..100).map(|number| mutated(&[Vec::new()], number));
        assert!(inputs.filter(|input| !input.is_empty()).count() > 20);
    }
}
