//! What it costs to have cached features from a mapped file, as the cache does, beside reading the file and beside
//! borrowing what is mapped: entries in random order, each verified by its checksum, as an epoch does. Docs:
//! decisions/0006.
//!
//! ```text
//! cargo run --release -p warmstart-kernels --example mapping
//! ```
#![allow(unsafe_code, reason = "mapped bytes are behind a raw pointer")]
#![allow(clippy::print_stdout, reason = "a table is what it is for")]

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use memmap2::{MmapOptions, MmapRaw};
use warmstart_kernels::MappedFile;

const CHECKSUM: usize = 16;
const ROUNDS: usize = 7;
/// What an entry is, its values, and how many make a file that fits in memory.
const SHAPES: [(&str, usize, usize); 2] = [
    ("a classifier's features (1280)", 1280, 13_088),
    (
        "a detector's maps at 320 pixels",
        (32 * 40 + 96 * 10 + 320 * 5) * 32,
        1600,
    ),
];

/// Memory that is used for one entry after the other, as a pool keeps it.
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
    mapped: MappedFile,
    /// Another map, of which no page is ever given back.
    map: MmapRaw,
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
        Ok(Self {
            mapped: MappedFile::new(file.try_clone()?)?,
            map: MmapOptions::new().map_raw_read_only(&file)?,
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

    /// As the cache does: the checksum by a read, for an entry may not be there, and the values by the map.
    fn mapped(&self, entry: usize, warm: &mut Buffers) {
        let place = entry * self.len;
        warm.bytes.resize(self.len, 0);
        let (stored, features) = warm.bytes.split_at_mut(CHECKSUM);
        self.file
            .read_exact_at(stored, place as u64)
            .expect("reading");
        self.mapped
            .read(place + CHECKSUM, features)
            .expect("reading what is mapped");
        verify(&warm.bytes, &mut warm.values);
    }

    /// Without a copy and with no guard, which only a file that nobody else writes allows: the best case for mapping.
    fn borrowed(&self, entry: usize, warm: &mut Buffers) {
        // SAFETY: the entry is within the map; the file is this process's alone and has been written.
        let entry = unsafe {
            std::slice::from_raw_parts(self.map.as_ptr().add(entry * self.len), self.len)
        };
        verify(entry, &mut warm.values);
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
    let ways: [(&str, Way); 3] = [
        ("read", Cached::read),
        ("mapped, as the cache does", Cached::mapped),
        ("mapped and borrowed", Cached::borrowed),
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
