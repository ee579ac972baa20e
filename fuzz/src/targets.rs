//! Readers of warmstart, each as a function of bytes.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use tempfile::TempDir;
use warmstart_data::{
    Decode, FeatureCacheFolder, Fit, Interpolation, Preprocessing, decode_bytes, open_picture,
    scenes, stamp,
};

use crate::seeds::{self, Seeds};

/// The classes of tables and archives.
const PETS: [&str; 2] = ["cat", "dog"];

/// A reader.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Good inputs.
    pub seeds: fn() -> Seeds,
    /// Inputs of it that are read in the short pass.
    pub inputs: u64,
    /// Makes what is checked before anything else right again: a checksum.
    pub(crate) repair: fn(&mut Vec<u8>),
    /// Reads the input in an empty folder; whether it was accepted.
    pub(crate) read: fn(&[u8], &Path) -> bool,
}

impl Target {
    /// Gives an input to the reader. Returns whether it was accepted.
    ///
    /// # Panics
    /// Wherever the reader does.
    pub fn read(&self, input: &[u8]) -> bool {
        let folder = TempDir::new().expect("a temporary folder");
        let mut input = input.to_vec();
        (self.repair)(&mut input);
        (self.read)(&input, folder.path())
    }
}

/// Readers of data and of weights.
pub const TARGETS: [Target; 16] = [
    Target {
        name: "weights_zip",
        seeds: seeds::zip_weights,
        inputs: 4000,
        repair: nothing,
        read: |input, folder| weights(input, folder, "w.pth"),
    },
    Target {
        name: "weights_pickle",
        seeds: seeds::pickles,
        inputs: 4000,
        repair: nothing,
        read: |input, folder| weights(&seeds::zip_around(input), folder, "w.pth"),
    },
    Target {
        name: "weights_legacy",
        seeds: seeds::legacy_weights,
        inputs: 4000,
        repair: nothing,
        read: |input, folder| weights(input, folder, "w.pth"),
    },
    Target {
        name: "weights_safetensors",
        seeds: seeds::safetensors,
        inputs: 4000,
        repair: nothing,
        read: |input, folder| weights(input, folder, "w.safetensors"),
    },
    Target {
        name: "picture",
        seeds: seeds::pictures,
        inputs: 8000,
        repair: png_checksums,
        read: picture,
    },
    Target {
        name: "coco",
        seeds: seeds::coco,
        inputs: 4000,
        repair: nothing,
        read: |input, folder| {
            scene(
                folder,
                &[("annotations/instances_train.json", input)],
                &["train/a.png", "train/b.png"],
            )
        },
    },
    Target {
        name: "yolo_labels",
        seeds: seeds::yolo_labels,
        inputs: 4000,
        repair: nothing,
        read: |input, folder| {
            let yaml = b"train: images\nnames: [cat, dog]\n";
            let files = [
                ("data.yaml", &yaml[..]),
                ("labels/a.txt", input),
                ("labels/b.txt", b"0 .5 .5 .1 .1\n"),
            ];
            scene(folder, &files, &["images/a.png", "images/b.png"])
        },
    },
    Target {
        name: "yolo_yaml",
        seeds: seeds::yolo_yaml,
        inputs: 4000,
        repair: nothing,
        read: |input, folder| {
            let files = [
                ("data.yaml", input),
                ("labels/a.txt", b"0 .5 .5 .1 .1\n"),
                ("labels/b.txt", b"0 .5 .5 .1 .1\n"),
            ];
            scene(folder, &files, &["images/a.png", "images/b.png"])
        },
    },
    Target {
        name: "class_list",
        seeds: seeds::class_lists,
        inputs: 4000,
        repair: nothing,
        read: class_list,
    },
    Target {
        name: "class_table",
        seeds: seeds::class_tables,
        inputs: 4000,
        repair: nothing,
        read: class_table,
    },
    Target {
        name: "shard",
        seeds: seeds::shards,
        inputs: 4000,
        repair: tar_checksums,
        read: shard,
    },
    Target {
        name: "box_list",
        seeds: seeds::box_lists,
        inputs: 4000,
        repair: nothing,
        read: |input, folder| {
            let files = [
                ("2007_train.txt", input),
                ("voc_classes.txt", b"cat\ndog\n"),
            ];
            scene(folder, &files, &["images/a.png", "images/b b.png"])
        },
    },
    Target {
        name: "voc",
        seeds: seeds::voc,
        inputs: 4000,
        repair: nothing,
        read: |input, folder| {
            let files = [
                ("Annotations/a.xml", input),
                ("Annotations/b.xml", &seeds::voc()[0][..]),
            ];
            scene(folder, &files, &["JPEGImages/a.png", "JPEGImages/b.png"])
        },
    },
    Target {
        name: "labelme",
        seeds: seeds::labelme,
        inputs: 3000,
        repair: nothing,
        read: |input, folder| {
            let other = seeds::labelme_of("b.png");
            let files = [("train/a.json", input), ("train/b.json", &other[..])];
            scene(folder, &files, &["train/a.png", "train/b.png"])
        },
    },
    Target {
        name: "label_studio",
        seeds: seeds::label_studio,
        inputs: 3000,
        repair: nothing,
        read: |input, folder| scene(folder, &[("project.json", input)], &["a.png", "b.png"]),
    },
    Target {
        name: "feature_cache",
        seeds: seeds::feature_caches,
        inputs: 2000,
        repair: nothing,
        read: feature_cache,
    },
];

pub(crate) fn nothing(_: &mut Vec<u8>) {}

/// Writes a file below a folder; its path.
pub(crate) fn file(folder: &Path, name: &str, content: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
    fs::write(&path, content).expect("a file");
    path
}

fn weights(input: &[u8], folder: &Path, name: &str) -> bool {
    let read = warmstart_weights::read(&file(folder, name, input));
    read.is_ok_and(|read| {
        let inspection = warmstart_weights::inspect(&read, &[], None);
        inspection.is_ok_and(|inspection| !inspection.report().is_empty())
    })
}

/// Decodes JPEGs at the smallest fraction of their size.
fn smallest_fraction() -> Preprocessing {
    Preprocessing {
        resize: 1,
        crop: 1,
        fit: Fit::Squash,
        decode: Decode::Scaled,
        interpolation: Interpolation::Bilinear,
        mean: [0.5; 3],
        std: [0.5; 3],
    }
}

fn picture(input: &[u8], folder: &Path) -> bool {
    let path = file(folder, "picture.png", input);
    let size = scenes::picture_size(&path);
    let decoded = decode_bytes(input);
    if let (Ok((width, height)), Ok(image)) = (&size, &decoded) {
        assert_eq!(
            (image.width, image.height),
            (*width, *height),
            "header and decoder agree"
        );
    }
    let scaled = smallest_fraction().decoded_bytes(input);
    if let Ok(image) = &decoded {
        let size = scaled.map(|picture| picture.size);
        assert_eq!(size, Ok((image.width, image.height)), "at a fraction, too");
    }
    decoded.is_ok()
}

/// Opens a folder of labels and pictures of 64 × 48 pixels.
fn scene(folder: &Path, files: &[(&str, &[u8])], pictures: &[&str]) -> bool {
    for name in pictures {
        file(folder, name, &seeds::png());
    }
    for (name, content) in files {
        file(folder, name, content);
    }
    let opened = scenes::open(folder, 0.5, 0);
    opened.is_ok_and(|opened| {
        let _ = scenes::Report::new(&opened).to_string();
        true
    })
}

/// Opens a list of the classes of four pictures.
fn class_list(input: &[u8], folder: &Path) -> bool {
    for name in ["a.png", "b b.png", "c.png", "d.png"] {
        file(folder, &format!("images/{name}"), b"");
    }
    file(folder, "cls_classes.txt", b"cat\ndog\n");
    let list = file(folder, "cls_train.txt", input);
    let opened = warmstart_data::open(&list, 0.5, 0);
    let classes = ["cat".to_owned(), "dog".to_owned()];
    opened.is_ok() && warmstart_data::open_split(&list, &classes).is_ok()
}

/// Opens a table of the classes of four pictures.
fn class_table(input: &[u8], folder: &Path) -> bool {
    let is_json = input.starts_with(b"{");
    let name = if is_json { "pets.jsonl" } else { "pets.csv" };
    let table = file(folder, name, input);
    let opened = warmstart_data::open(&table, 0.5, 0);
    opened.is_ok() && warmstart_data::open_split(&table, &PETS.map(str::to_owned)).is_ok()
}

/// Opens an archive of pictures of cats and dogs, and reads them.
fn shard(input: &[u8], folder: &Path) -> bool {
    let archive = file(folder, "pets.tar", input);
    let Ok(opened) = warmstart_data::open(&archive, 0.5, 0) else {
        return false;
    };
    for sample in &opened.train {
        let stamp = stamp(&sample.path).expect("it is in the index");
        let picture = open_picture(&sample.path).expect("it is in the index");
        let mut content = Vec::new();
        let read = picture.take(1 << 20).read_to_end(&mut content);
        let read = read.expect("the archive is whole") as u64;
        assert_eq!(read, stamp.bytes, "exactly the picture");
    }
    warmstart_data::open_split(&archive, &PETS.map(str::to_owned)).is_ok()
}

fn feature_cache(input: &[u8], folder: &Path) -> bool {
    file(folder, "key.features", input);
    let cache = FeatureCacheFolder::new(folder.to_owned(), 1 << 20);
    let files = cache.files().expect("the folder can be listed");
    let found = cache.find("key", seeds::ENTRIES, &[]);
    let present = found.as_ref().map_or(0, |found| found.present());
    let opened = cache
        .open("key", "", seeds::ENTRIES, seeds::VALUES, &[])
        .expect("a small file");
    assert!(opened.present() <= seeds::ENTRIES);
    files.len() == 1 && present == seeds::ENTRIES
}

/// Gives the chunks of a PNG the checksums that their contents have (PNG specification, section 5.3).
#[allow(clippy::ptr_arg, reason = "a repair may change the length")]
fn png_checksums(input: &mut Vec<u8>) {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    if !input.starts_with(SIGNATURE) {
        return;
    }
    let mut at = SIGNATURE.len();
    while let Some(length) = input.get(at..at + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let Some(chunk) = length
            .checked_add(at + 8)
            .and_then(|end| input.get(at + 4..end))
        else {
            return;
        };
        let sum = crc32(chunk).to_be_bytes();
        let end = at + 8 + length;
        if let Some(place) = input.get_mut(end..end + 4) {
            place.copy_from_slice(&sum);
        }
        at = end + 4;
    }
}

/// Gives the headers of an archive the checksums that their contents have (POSIX.1-1988, ustar).
#[allow(clippy::ptr_arg, reason = "a repair may change the length")]
fn tar_checksums(input: &mut Vec<u8>) {
    const BLOCK: usize = 512;
    let mut at = 0;
    while let Some(header) = input.get_mut(at..at + BLOCK) {
        let size = std::str::from_utf8(&header[124..135]).ok();
        let size = size.and_then(|size| usize::from_str_radix(size.trim(), 8).ok());
        let Some(size) = size else {
            return;
        };
        seeds::add_tar_checksum(header);
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ 0xedb8_8320
            } else {
                sum >> 1
            };
        }
    }
    !sum
}
