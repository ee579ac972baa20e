//! Pipes, devices and files that claim more than they hold: an error at once.

mod common;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use common::one_line;
use common::pickles::Pickler;
use warmstart_weights::read;

/// Longest that anything here may take; most take a few milliseconds.
const AT_ONCE: Duration = Duration::from_secs(5);

fn refused(path: &Path) -> String {
    let started = Instant::now();
    let line = one_line(&read(path).expect_err("this is no weights file"));
    assert!(
        started.elapsed() < AT_ONCE,
        "{line} took {:?}",
        started.elapsed()
    );
    line
}

fn refused_bytes(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.pth");
    std::fs::write(&path, bytes).unwrap();
    refused(&path)
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.pth");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    assert!(refused(&pipe).contains("it is a pipe, not a file"));
    for device in ["/dev/zero", "/dev/null"] {
        let link = folder.path().join(device.replace('/', "_"));
        std::os::unix::fs::symlink(device, &link).unwrap();
        assert!(refused(&link).contains("it is a device, not a file"));
    }
}

#[test]
fn a_sparse_file_of_a_hundred_gigabytes_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let header = br#"{"a":{"dtype":"U8","shape":[107374182288],"data_offsets":[0,107374182288]}}"#;
    let legacy = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02}.\x80\x02].";
    let starts: [(&str, Vec<u8>); 5] = [
        ("zeros.pth", Vec::new()),
        ("zeros.safetensors", Vec::new()),
        (
            "claims.safetensors",
            [&(header.len() as u64).to_le_bytes()[..], header].concat(),
        ),
        ("zip.pth", b"PK\x03\x04".to_vec()),
        ("legacy.pth", legacy.to_vec()),
    ];
    for (name, start) in starts {
        let path = folder.path().join(name);
        let mut file = File::create(&path).unwrap();
        file.write_all(&start).unwrap();
        file.set_len(100 << 30).unwrap();
        refused(&path);
    }
}

#[test]
fn tensors_that_inflate_are_not_inflated() {
    let zeros = vec![0.0; 16 << 20];
    let bytes = Pickler::new()
        .dict(|p| {
            p.text("a").tensor(&[16 << 20], &zeros);
        })
        .zipped(zip::CompressionMethod::Deflated);
    assert!(bytes.len() < 1 << 20);
    assert!(refused_bytes(&bytes).contains("claim 67,108,864 bytes"));
    // A view of one number of a storage that inflates.
    let mut small = Pickler::new();
    small
        .raw(b"}(")
        .text("a")
        .global("torch._utils", "_rebuild_tensor_v2")
        .raw(b"(");
    small.storage(&zeros).int(0).raw(b"))\x89}tRu");
    let bytes = small.zipped(zip::CompressionMethod::Deflated);
    assert!(refused_bytes(&bytes).contains("claim 67,108,864 bytes"));
}

#[test]
fn values_that_nest_and_repeat_without_end_are_survived() {
    // A million nested lists.
    let mut nested = Pickler::new();
    let bytes = nested
        .raw(&b"]".repeat(900_000))
        .raw(&b"a".repeat(899_999))
        .zip();
    assert!(refused_bytes(&bytes).contains("no tensors"));

    // Each list holds the previous one twice: 2^60 paths to one tensor.
    let mut doubled = Pickler::new();
    doubled.tensor(&[1], &[0.0]).raw(b"q\x00");
    for _ in 0..60 {
        doubled.raw(b"0(h\x00h\x00lq\x00");
    }
    let line = refused_bytes(&doubled.zip());
    assert!(line.contains("are too long"), "{line}");

    // A dictionary that holds itself, and a tensor.
    let mut cycle = Pickler::new();
    cycle
        .raw(b"}q\x00(")
        .model("", 1.0)
        .text("self")
        .raw(b"h\x00u");
    let file = common::read_bytes("cycle.pth", &cycle.zip());
    assert_eq!(file.tensors.len(), common::SHAPES.len());
}

#[test]
fn shapes_and_views_beyond_all_numbers_are_refused() {
    let with = |shape: &[u8], strides: &[u8], offset: &[u8]| {
        let mut pickler = Pickler::new();
        pickler
            .raw(b"}(")
            .text("a")
            .global("torch._utils", "_rebuild_tensor_v2")
            .raw(b"(");
        pickler
            .storage(&[1.0; 4])
            .raw(offset)
            .raw(b"(")
            .raw(shape)
            .raw(b"t(")
            .raw(strides);
        refused_bytes(&pickler.raw(b"t\x89}tRu").zip())
    };
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    let [one, zero] = [b"K\x01", b"K\x00"];
    for line in [
        with(huge, one, zero),
        with(&[&huge[..], huge].concat(), &[&one[..], one].concat(), zero),
        with(b"K\x04", huge, zero),
        with(b"K\x04", one, huge),
        with(b"K\x05", one, zero),
        with(b"J\xff\xff\xff\xff", one, zero),
        with(&one.repeat(65), &one.repeat(65), zero),
        with(one, &one.repeat(2), zero),
    ] {
        assert!(line.contains("hostile.pth: "), "{line}");
    }
}

#[test]
fn a_header_of_a_hundred_megabytes_is_refused_and_one_of_four_is_read_within_seconds() {
    let line = refused_bytes(&with_header(99_000_000));
    assert!(line.contains("more than the limit of 4194304"), "{line}");
    assert!(refused_bytes(&with_header(4_100_000)).contains("damaged"));
}

/// A file whose valid header has at least `bytes` bytes, with one byte too many after it.
fn with_header(bytes: usize) -> Vec<u8> {
    let mut header = b"{".to_vec();
    let mut count = 0;
    while header.len() < bytes {
        let entry =
            format!("\"{count}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}},");
        header.extend(entry.as_bytes());
        count += 1;
    }
    header.pop();
    header.push(b'}');
    [&(header.len() as u64).to_le_bytes()[..], &header, b"x"].concat()
}
