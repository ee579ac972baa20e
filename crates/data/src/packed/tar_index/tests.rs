use super::*;
use std::io::Write as _;
use tar::{Builder, Header};

/// An archive that is written for a test.
struct Written(Builder<Vec<u8>>);

impl Written {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn add(mut self, name: &str, content: &[u8]) -> Self {
        let mut header = header(content.len() as u64);
        self.0.append_data(&mut header, name, content).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

/// Reads the index of an archive.
fn read(bytes: &[u8]) -> (File, io::Result<TarIndex>) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let index = TarIndex::read(&file, &mut |_, _| Ok(()));
    (file, index)
}

/// The content of a picture in an archive.
fn content(bytes: &[u8], name: &str) -> Option<Vec<u8>> {
    let (file, index) = read(bytes);
    let (offset, length) = index.unwrap().find(Path::new(name))?;
    let mut content = vec![0; length as usize];
    let read = read_at(&file, &mut content, offset).unwrap();
    assert_eq!(read, content.len());
    Some(content)
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).1.unwrap_err().to_string()
}

#[test]
fn a_picture_is_found_by_its_name() {
    let bytes = Written::new()
        .add("cat/1.jpg", b"one")
        .add("cat/1.cls", b"cat")
        .add("./dog//2.PNG", &[7; 5000])
        .bytes();
    assert_eq!(content(&bytes, "cat/1.jpg").unwrap(), b"one");
    assert_eq!(content(&bytes, "dog/2.PNG").unwrap(), [7; 5000]);
    assert_eq!(content(&bytes, "cat/2.jpg"), None);
    assert_eq!(content(&bytes, "cat/1.cls"), None, "no picture");
    assert_eq!(content(&bytes, "../cat/1.jpg"), None);
}

#[test]
fn a_picture_takes_24_bytes_of_the_index() {
    assert_eq!(size_of::<Place>(), 24);
}

#[test]
fn long_names_of_gnu_and_of_pax_are_read() {
    let long = format!("{}/{}.jpg", "folder".repeat(30), "name".repeat(60));
    let bytes = Written::new().add(&long, b"gnu").bytes();
    assert_eq!(content(&bytes, &long).unwrap(), b"gnu");
    let mut archive = Written::new();
    let path = long.as_bytes();
    archive.0.append_pax_extensions([("path", path)]).unwrap();
    let bytes = archive.add("short.jpg", b"pax").bytes();
    assert_eq!(content(&bytes, &long).unwrap(), b"pax");
    assert_eq!(content(&bytes, "short.jpg"), None);
}

#[test]
fn a_picture_that_is_there_twice_is_refused_by_name() {
    let bytes = Written::new()
        .add("cat/1.jpg", b"a")
        .add("cat/2.jpg", b"b")
        .add("cat/1.jpg", b"c")
        .bytes();
    let refusal = refusal(&bytes);
    assert!(refusal.contains("picture cat/1.jpg twice"), "{refusal}");
}

#[test]
fn an_archive_that_is_cut_short_is_refused_with_the_place() {
    let bytes = Written::new()
        .add("1.jpg", &[1; 600])
        .add("2.jpg", &[2; 600])
        .bytes();
    let inside_the_second = refusal(&bytes[..2300]);
    assert!(
        inside_the_second.starts_with("it is cut short: 2.jpg should end at byte 2648, and"),
        "{inside_the_second}"
    );
    for end in [3072, 1536, 1700, 0] {
        let missing = refusal(&bytes[..end]);
        let expected = format!("it is cut short at byte {end}: the end mark");
        assert!(missing.starts_with(&expected), "{missing}");
    }
}

#[test]
fn a_damaged_header_is_refused_with_its_place() {
    let mut bytes = Written::new()
        .add("1.jpg", &[1; 600])
        .add("2.jpg", &[2; 600])
        .bytes();
    bytes[1536 + 3] ^= 1;
    let refusal = refusal(&bytes);
    assert!(
        refusal.starts_with("it is damaged at byte 1536: "),
        "{refusal}"
    );
}

#[test]
fn absurd_sizes_are_refused() {
    for size in [1 << 40, u64::MAX - 100, u64::MAX] {
        let mut archive = Written::new();
        let mut header = header(size);
        header.set_path("1.jpg").unwrap();
        header.set_cksum();
        archive.0.append(&header, &b""[..]).unwrap();
        let refusal = refusal(&archive.bytes());
        assert!(refusal.starts_with("it is "), "{refusal}");
    }
}

#[test]
fn names_that_fill_the_memory_are_refused() {
    let name = vec![b'a'; 3 << 20];
    let mut archive = Written::new();
    let mut header = header(name.len() as u64);
    header.set_entry_type(EntryType::GNULongName);
    header.set_path("././@LongLink").unwrap();
    header.set_cksum();
    archive.0.append(&header, &name[..]).unwrap();
    let refusal = refusal(&archive.add("1.jpg", b"").bytes());
    assert!(
        refusal.contains("the names before a member take more than"),
        "{refusal}"
    );
}

#[test]
fn links_and_files_with_holes_are_handed_over_as_such() {
    let mut archive = Written::new();
    let mut link = header(0);
    link.set_entry_type(EntryType::Symlink);
    archive.0.append_link(&mut link, "1.jpg", "2.jpg").unwrap();
    archive
        .0
        .append_pax_extensions([("GNU.sparse.major", &b"1"[..])])
        .unwrap();
    let bytes = archive
        .add("2.jpg", b"holes")
        .add("3.jpg", b"plain")
        .bytes();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let mut kinds = Vec::new();
    let index = TarIndex::read(&file, &mut |member, _| {
        kinds.push(member.kind);
        Ok(())
    });
    assert_eq!(
        kinds,
        [MemberKind::Link, MemberKind::Sparse, MemberKind::File]
    );
    let index = index.unwrap();
    assert_eq!(index.find(Path::new("1.jpg")), None);
    assert_eq!(index.find(Path::new("2.jpg")), None);
    assert!(index.find(Path::new("3.jpg")).is_some());
}

#[test]
fn a_compressed_archive_is_refused_by_its_content() {
    let refusal = refusal(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    assert!(refusal.starts_with("it is compressed"), "{refusal}");
}
