//! Files that are refused, with an error in one line that names the cause and the fix.

mod common;

use std::path::Path;

use common::{error_for, fixture, one_line};
use warmstart_weights::{WeightError, read};

fn refused(name: &str) -> String {
    one_line(&read(&fixture(name)).expect_err(name))
}

fn assert_says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
}

#[test]
fn a_pickle_that_calls_code_is_refused_by_name_and_not_run() {
    for name in [
        "runs_code.pth",
        "runs_code_protocol4.pth",
        "runs_code_legacy.pth",
        "runs_code_outside_of_the_weights.pth",
    ] {
        let error = read(&fixture(name)).expect_err(name);
        assert!(matches!(&error, WeightError::RunsCode { call, .. } if call == "posix.system"));
        assert_says(
            &one_line(&error),
            &[name, "posix.system", "nothing was run"],
        );
    }
    assert!(!Path::new("pickle-payload-ran").exists());
}

/// Hand-written pickles, each of which runs something when Python loads it.
#[test]
fn ways_around_a_plain_call_are_seen() {
    let cases: [(&str, &[u8], &str); 13] = [
        ("a call", b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.", "os.system"),
        ("a call whose result is dropped", b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R0}.", "os.system"),
        ("protocol 0", b"cos\nsystem\n(S'id'\ntR.", "os.system"),
        ("INST", b"(S'id'\nios\nsystem\n.", "os.system"),
        ("OBJ", b"(cos\nsystem\nX\x02\x00\x00\x00ido.", "os.system"),
        ("a name from the stack", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.", "os.system"),
        ("a name from the memo", b"\x80\x04\x8c\x06systemq\x00\x8c\x02osh\x00\x93\x8c\x02id\x85R.", "os.system"),
        ("a name inside of an allowed module", b"\x80\x04\x8c\x0bcollections\x8c\x04_sys\x93}b.", "collections._sys"),
        ("a dotted name", b"\x80\x04\x8c\x0ctorch._utils\x8c\x11_rebuild_x.system\x93)R.", "_rebuild_x.system"),
        ("a callable that is handed on", b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\nX\x02\x00\x00\x00id\x85}tR.", "os.system"),
        ("the same through a list filled later", b"\x80\x02]q\x00ctorch._tensor\n_rebuild_from_type_v2\n(h\x00h\x00h\x00}tR0h\x00cos\nsystem\na.", "os.system"),
        ("a module's own dictionary", b"\x80\x02cos\nenviron\nX\x01\x00\x00\x00aX\x01\x00\x00\x00bs.", "a change of os.environ"),
        ("a state that sets the state", b"\x80\x02c__main__\nA\n)\x81}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsbX\x02\x00\x00\x00idb.", "__setstate__"),
    ];
    for (what, pickle, call) in cases {
        let line = error_for("evil.pth", pickle);
        assert_says(&line, &["evil.pth", "would run", call]);
        assert!(line.contains("nothing was run"), "{what}: {line}");
    }
}

#[test]
fn plain_values_are_not_taken_for_code() {
    for pickle in [
        &b"\x80\x02ccollections\nOrderedDict\n)R."[..],
        b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f4K\x00K\x01\x87R.",
        b"\x80\x02cpathlib\nPosixPath\nX\x03\x00\x00\x00runq\x00\x85R.",
        b"\x80\x02ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R.",
    ] {
        assert_says(&error_for("plain.pkl", pickle), &["a plain pickle"]);
    }
}

#[test]
fn a_tensor_larger_than_its_file_is_not_allocated() {
    assert_says(
        &refused("expanded.pth"),
        &["400,000,000 bytes", "a file of 1,584", ".contiguous()"],
    );
}

#[test]
fn what_is_no_plain_tensor_is_named() {
    assert_says(
        &refused("sparse.pth"),
        &["_rebuild_sparse_tensor", "not a plain tensor"],
    );
    assert_says(
        &refused("torchscript.pt"),
        &["TorchScript", "torch.jit.load"],
    );
    assert_says(
        &refused("colliding_names.pth"),
        &["have one name", "state_dict()"],
    );
    assert_says(&refused("no_tensors.pth"), &["no tensors", "state_dict()"]);
}

#[test]
fn things_saved_by_mistake_are_recognised() {
    let cases: [(&[u8], &[&str]); 12] = [
        (b"", &["an empty file", "download it again"]),
        (
            b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title>",
            &["an HTML page", "download it again"],
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
            &["a git-lfs pointer", "git lfs pull"],
        ),
        (b"<?xml version='1.0'?><Error>", &["an XML page"]),
        (
            b"Not Found\nsee the log",
            &["a text file (\"Not Found\")", "download it again"],
        ),
        (b"import torch\nR.", &["a text file"]),
        (b"\x1f\x8b\x08\x00", &["a gzip archive", "unpack"]),
        (b"\x89HDF\r\n\x1a\n", &["HDF5", "torch.save"]),
        (b"\xff\xd8\xff\xe0", &["a JPEG image"]),
        (b"PK\x05\x06\0\0\0\0", &["an empty zip archive"]),
        (
            b"\x00\x01\x02\x03\xff\xfe",
            &["begins with 00 01 02 03 ff fe"],
        ),
        (b"\x80\x02}q", &["damaged or cut short"]),
    ];
    for (bytes, parts) in cases {
        let line = error_for("mobilenet.pth", bytes);
        assert_says(&line, &["mobilenet.pth: "]);
        assert_says(&line, parts);
    }
}

#[test]
fn a_zip_of_other_things_says_what_is_inside() {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("models/lite.pth", zip::write::SimpleFileOptions::default())
        .unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    assert_says(
        &error_for("wheel.pth", &bytes),
        &[
            "a zip archive of models/lite.pth",
            "unpack it and give models/lite.pth",
        ],
    );
}

#[test]
fn a_file_that_is_not_there_or_a_folder_is_named() {
    let line = one_line(&read(Path::new("no/such.pth")).unwrap_err());
    assert_says(&line, &["no/such.pth", "cannot be read"]);
    let folder = tempfile::tempdir().unwrap();
    assert_says(&one_line(&read(folder.path()).unwrap_err()), &["a folder"]);
}

#[test]
fn a_safetensors_header_that_lies_is_refused() {
    fn with_header(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }
    let beyond = with_header(
        r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#,
        8,
    );
    assert_says(
        &error_for("a.safetensors", &beyond),
        &["describes 16 bytes of tensors, the file has 8"],
    );
    // Offsets whose sum does not fit into 64 bits.
    let huge = r#"{"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}}"#;
    assert_says(
        &error_for("b.safetensors", &with_header(huge, 8)),
        &["damaged"],
    );
    let gap = with_header(
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
        8,
    );
    assert_says(
        &error_for("c.safetensors", &gap),
        &["invalid offset for tensor `a`"],
    );
    let kind = with_header(
        r#"{"a":{"dtype":"F8_E8M0","shape":[8],"data_offsets":[0,8]}}"#,
        8,
    );
    assert_says(
        &error_for("d.safetensors", &kind),
        &["element type F8_E8M0", "convert"],
    );
    let long = [&u64::to_le_bytes(99_000_000)[..], b"{}"].concat();
    assert_says(
        &error_for("e.safetensors", &long),
        &["a header of 99000000 bytes"],
    );
}
