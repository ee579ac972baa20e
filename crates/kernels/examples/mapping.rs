//! Compares reading cached features from their file with mapping it into memory: entries in random
//! order, each verified by its checksum, as in an epoch. Docs: decisions/0006. Needs Linux.
//!
//! ```text
//! cargo run --release -p warmstart-kernels --example mapping
//! ```
#![allow(unsafe_code, reason = "mapped bytes are behind a raw pointer")]
#![allow(clippy::print_stdout, reason = "a table is what it is for")]

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};

const CHECKSUM: usize = 16;
const ROUNDS: usize = 7;
/// Bytes that may be read before pages are given back, and bytes that the system maps around each
/// page fault.
const HELD: usize = 4 << 20;
const AROUND: usize = 64 << 10;
/// Name of an entry, number of its values, and number of entries whose file fits in memory.
const SHAPES: [(&str, usize, usize); 2] = [
    ("a classifier's features (1280)", 1280, 13_088),
    (
        "a detector's maps at 320 pixels",
        (32 * 40 + 96 * 10 + 320 * 5) * 32,
        1600,
    ),
];

/// A buffer that is reused for every entry, as a pool does.
#[derive(Default)]
struct Buffers {
    bytes: Vec<u8>,
    values: Vec<f32>,
}

fn verify(entry: &[u8], values: &mut Vec<f32>) {
    let (stored, features) = entry.split_at(CHECKSUM);
    assert_eq!(stored, &blake3::hash(features).as_bytes()[..CHECKSUM]);
    values.clear();
    let found = features.as_chunks::<{ size_of::<f32>() }>().0.iter();
    values.extend(found.map(|value| f32::from_le_bytes(*value)));
}

type Way = fn(&Cached, usize, &mut Buffers);

struct Cached {
    file: File,
    /// One map per method, so that no method uses or loses the pages of another.
    borrowed: MmapRaw,
    copied: MmapRaw,
    given_back: MmapRaw,
    looked_at: Cell<usize>,
    len: usize,
    entries: usize,
}

impl Cached {
    fn new(values: usize, entries: usize) -> std::io::Result<Self> {
        let mut file = tempfile::tempfile()?;
        let len = CHECKSUM + values * size_of::<f32>();
        for entry in 0..entries {
            let features: Vec<u8> = (0..values)
                .flat_map(|value| ((value * entry) as f32).sin().to_le_bytes())
                .collect();
            file.write_all(&blake3::hash(&features).as_bytes()[..CHECKSUM])?;
            file.write_all(&features)?;
        }
        let map = || MmapOptions::new().map_raw_read_only(&file);
        Ok(Self {
            borrowed: map()?,
            copied: map()?,
            given_back: map()?,
            looked_at: Cell::new(0),
            file,
            len,
            entries,
        })
    }

    fn read(&self, entry: usize, warm: &mut Buffers) {
        let place = (entry * self.len) as u64;
        warm.bytes.resize(self.len, 0);
        self.file
            .read_exact_at(&mut warm.bytes, place)
            .expect("reading");
        verify(&warm.bytes, &mut warm.values);
    }

    /// Borrows the mapped bytes: the best case for mapping, which requires a file that nobody else
    /// writes or truncates.
    fn borrowed(&self, entry: usize, warm: &mut Buffers) {
        // SAFETY: the entry is within the map; the file is this process's alone and has been
        // written.
        let entry = unsafe {
            std::slice::from_raw_parts(self.borrowed.as_ptr().add(entry * self.len), self.len)
        };
        verify(entry, &mut warm.values);
    }

    /// Copies the mapped bytes, as a cache that others fill would have to: a missing page is an
    /// error instead of a signal, and later writes of another process do not change the copy.
    fn copy(&self, map: &MmapRaw, entry: usize, warm: &mut Buffers) {
        let place = entry * self.len;
        map.advise_range(Advice::PopulateRead, place, self.len)
            .expect("pages of the file");
        warm.bytes.resize(self.len, 0);
        // SAFETY: the entry is within the map, and the buffer is no part of it.
        unsafe {
            let entry = map.as_ptr().add(place);
            entry.copy_to_nonoverlapping(warm.bytes.as_mut_ptr(), self.len);
        }
        verify(&warm.bytes, &mut warm.values);
    }

    fn copied(&self, entry: usize, warm: &mut Buffers) {
        self.copy(&self.copied, entry, warm);
    }

    /// Gives pages back after some megabytes, as a run with limited memory has to.
    fn copied_and_given_back(&self, entry: usize, warm: &mut Buffers) {
        self.copy(&self.given_back, entry, warm);
        self.looked_at.set(self.looked_at.get() + self.len + AROUND);
        if self.looked_at.get() > HELD {
            self.looked_at.set(0);
            // SAFETY: the pages are the file's and come back when they are looked at again.
            let given_back = unsafe { self.given_back.unchecked_advise(UncheckedAdvice::DontNeed) };
            given_back.expect("giving pages back");
        }
    }

    /// Nanoseconds an entry, over all of them in an order of its own.
    fn time(&self, way: Way, round: usize) -> f64 {
        // A step that has no factor in common with the number of entries visits each once.
        let step = (self.entries / 3 + 7 * round..).find(|&step| gcd(step, self.entries) == 1);
        let step = step.expect("a step");
        let mut warm = Buffers::default();
        let started = Instant::now();
        for number in 0..self.entries {
            way(self, number * step % self.entries, &mut warm);
            std::hint::black_box(&warm.values);
        }
        started.elapsed().as_nanos() as f64 / self.entries as f64
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Megabytes of files that count as this process's memory.
fn resident_files() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssFile:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024 / 1_000_000
}

fn main() -> std::io::Result<()> {
    let ways: [(&str, Way); 4] = [
        ("read", Cached::read),
        ("mapped and borrowed", Cached::borrowed),
        ("mapped and copied", Cached::copied),
        ("the same, given back", Cached::copied_and_given_back),
    ];
    for (what, values, entries) in SHAPES {
        let cached = Cached::new(values, entries)?;
        println!(
            "{what}: {entries} entries, {} MB",
            entries * cached.len / 1_000_000
        );
        // A round is all ways in turn, so that a neighbour on the machine disturbs all of them.
        let rounds: Vec<Vec<f64>> = (0..ROUNDS)
            .map(|round| ways.iter().map(|(_, of)| cached.time(*of, round)).collect())
            .collect();
        for (way, (name, _)) in ways.iter().enumerate() {
            let mut times: Vec<f64> = rounds.iter().map(|round| round[way]).collect();
            let mut ratios: Vec<f64> = rounds.iter().map(|round| round[way] / round[0]).collect();
            times.sort_by(f64::total_cmp);
            ratios.sort_by(f64::total_cmp);
            println!(
                "  {name:26} {:8.1} µs an entry, {:.2} of reading ({:.2} to {:.2})",
                times[ROUNDS / 2] / 1e3,
                ratios[ROUNDS / 2],
                ratios[0],
                ratios[ROUNDS - 1],
            );
        }
        println!(
            "  files that count as the process's memory, {} MB",
            resident_files()
        );
    }
    Ok(())
}
