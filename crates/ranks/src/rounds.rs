//! Parts of bytes, cut into rounds: MPI counts bytes in 32 bits.

use std::ops::Range;

/// Most bytes of a buffer.
pub(crate) const MOST: usize = 1 << 30;

/// A piece of each of several parts, one piece after the other in a buffer.
pub(crate) struct Round {
    /// The piece as a range of its part.
    pieces: Vec<Range<usize>>,
}

impl Round {
    /// The pieces of the parts of these lengths, from `start` on, of at most `most` bytes each. Pieces of parts that
    /// have no more bytes are empty.
    pub fn new(lengths: impl IntoIterator<Item = usize>, start: usize, most: usize) -> Self {
        let pieces = lengths.into_iter().map(|length| {
            let end = start.saturating_add(most).min(length);
            start.min(length)..end
        });
        Self {
            pieces: pieces.collect(),
        }
    }

    /// Bytes of all pieces.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(ExactSizeIterator::len).sum()
    }

    /// Bytes of each piece.
    pub fn counts(&self) -> Vec<i32> {
        let counts = self.pieces.iter().map(|piece| count(piece.len()));
        counts.collect()
    }

    /// The place of each piece in the buffer.
    pub fn places(&self) -> Vec<i32> {
        let mut next = 0;
        let places = self.pieces.iter().map(|piece| {
            let place = next;
            next += piece.len();
            count(place)
        });
        places.collect()
    }

    /// The pieces of these parts, as a buffer, which has an address of its own even if it is empty.
    pub fn join(&self, parts: &[Vec<u8>]) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(self.bytes().max(1));
        for (part, piece) in parts.iter().zip(&self.pieces) {
            buffer.extend_from_slice(&part[piece.clone()]);
        }
        buffer
    }

    /// Appends the pieces of a buffer to these parts.
    pub fn append(&self, mut buffer: &[u8], parts: &mut [Vec<u8>]) {
        for (part, piece) in parts.iter_mut().zip(&self.pieces) {
            let (piece, rest) = buffer.split_at(piece.len());
            part.extend_from_slice(piece);
            buffer = rest;
        }
    }
}

fn count(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a round has at most 1 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every rank receives, when the ranks exchange `parts[from][to]` in rounds.
    fn exchanged(parts: &[Vec<Vec<u8>>], most: usize) -> Vec<Vec<Vec<u8>>> {
        let ranks = parts.len();
        let longest = parts.iter().flatten().map(Vec::len).max().unwrap();
        let mut received = vec![vec![Vec::new(); ranks]; ranks];
        for start in (0..longest).step_by(most) {
            for (to, received) in received.iter_mut().enumerate() {
                let mut buffer = Vec::new();
                for parts in parts {
                    let round = Round::new(parts.iter().map(Vec::len), start, most);
                    assert!(round.bytes() <= ranks * most);
                    let sent = round.join(parts);
                    let place = round.places()[to] as usize;
                    let count = round.counts()[to] as usize;
                    buffer.extend_from_slice(&sent[place..place + count]);
                }
                let lengths = parts.iter().map(|parts| parts[to].len());
                let round = Round::new(lengths, start, most);
                assert_eq!(round.bytes(), buffer.len());
                round.append(&buffer, received);
            }
        }
        received
    }

    #[test]
    fn parts_arrive_whole_whatever_the_size_of_a_round() {
        let part = |from: usize, to: usize| -> Vec<u8> {
            let bytes = (from * 5 + to * 3) % 11;
            (0..bytes)
                .map(|byte| (from * 50 + to * 10 + byte) as u8)
                .collect()
        };
        let parts: Vec<Vec<_>> = (0..4)
            .map(|from| (0..4).map(|to| part(from, to)).collect())
            .collect();
        assert!(parts.iter().flatten().any(Vec::is_empty));
        for most in [1, 2, 3, 10, 11, 100, usize::MAX / 4] {
            for (to, received) in exchanged(&parts, most).into_iter().enumerate() {
                for (from, received) in received.into_iter().enumerate() {
                    assert_eq!(received, part(from, to), "{from} to {to} by {most}");
                }
            }
        }
    }
}
