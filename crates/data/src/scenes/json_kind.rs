//! Kinds of JSON files that label pictures, recognised by their keys.
//!
//! A file of hundreds of megabytes is not parsed for that: its bytes are scanned for the keys of its
//! outermost object, or of the first object in its outermost list.

use crate::split_kind::SplitKind;
use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;

/// Bytes read at once. Most files show what they are in their first ones.
const CHUNK: usize = 1 << 16;

/// A file is not scanned beyond this.
const MAX_SCANNED: u64 = 1 << 30;

/// A kind of JSON file that labels pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonKind {
    Coco,
    Labelme,
    LabelStudio,
    CreateMl,
    Via,
    Datumaro,
    Supervisely,
}

impl JsonKind {
    /// The kind of a file; none if it is of no known kind or cannot be read.
    pub fn of(path: &Path) -> Option<Self> {
        if is_coco_by_name(path) {
            return Some(Self::Coco);
        }
        let mut file = warmstart_files::open(path).ok()?.take(MAX_SCANNED);
        let mut scan = Scan::default();
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
            if read.ok()? == 0 {
                return Self::at_the_end(path, &scan);
            }
            scan.feed(&chunk);
            let kind = Self::of_keys(&scan);
            if kind.is_some() || !scan.may_be_coco() {
                return kind;
            }
        }
    }

    fn of_keys(scan: &Scan) -> Option<Self> {
        let has = |key: &str| scan.keys.iter().any(|found| found == key);
        let first_has = |key: &str| scan.first.iter().any(|found| found == key);
        if scan.is_list {
            let exported = ["annotations", "completions", "predictions"];
            let whole = first_has("data") && exported.into_iter().any(first_has);
            return if whole || first_has("annotator") || first_has("annotation_id") {
                Some(Self::LabelStudio)
            } else if (first_has("image") || first_has("imagefilename")) && first_has("annotations")
            {
                Some(Self::CreateMl)
            } else {
                None
            };
        }
        if COCO_KEYS.into_iter().all(has) {
            Some(Self::Coco)
        } else if has("imageData") || has("shapes") && (has("imagePath") || has("version")) {
            Some(Self::Labelme)
        } else if has("_via_settings")
            || has("_via_img_metadata")
            || first_has("filename") && first_has("regions")
        {
            Some(Self::Via)
        } else if has("items") && has("categories") {
            Some(Self::Datumaro)
        } else if has("objects") && has("size") || has("classes") && has("tags") {
            Some(Self::Supervisely)
        } else {
            None
        }
    }

    /// The kind of a file that was scanned whole. A file that breaks off counts as the kind that it began as, and
    /// `annotations/<split>.json` without any JSON as the kind of its name, so that its reader can report the
    /// problem.
    fn at_the_end(path: &Path, scan: &Scan) -> Option<Self> {
        let breaks_off = scan.depth > 0 && scan.may_be_coco();
        let is_named = !scan.started && is_annotations_of_split(path);
        (breaks_off || is_named).then_some(Self::Coco)
    }
}

fn is_annotations_of_split(path: &Path) -> bool {
    let text = |name: Option<&OsStr>| name.unwrap_or_default().to_string_lossy().to_lowercase();
    let folder = text(path.parent().and_then(Path::file_name));
    folder == "annotations" && SplitKind::of(&text(path.file_stem())).is_some()
}

const COCO_KEYS: [&str; 3] = ["images", "annotations", "categories"];

/// `instances_train.json`, `_annotations.coco.json`.
fn is_coco_by_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_lowercase();
    name.starts_with("instances_") || name.ends_with(".coco.json")
}

/// The keys of a JSON text as far as it was scanned.
#[derive(Default)]
struct Scan {
    /// True if the outermost value is a list.
    is_list: bool,
    /// Keys of the outermost object.
    keys: Vec<String>,
    /// Keys of the first object in the outermost object or list.
    first: Vec<String>,
    depth: usize,
    /// True if the first inner object has ended.
    first_ended: bool,
    in_text: bool,
    escaped: bool,
    /// The last text outside of deeper values.
    text: Vec<u8>,
    started: bool,
}

impl Scan {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.in_text {
                self.in_a_text(byte);
                continue;
            }
            match byte {
                b'"' => {
                    self.in_text = true;
                    self.text.clear();
                }
                b'{' | b'[' => {
                    if !self.started {
                        self.is_list = byte == b'[';
                        self.started = true;
                    }
                    self.depth += 1;
                }
                b'}' | b']' => {
                    self.first_ended |= self.depth == 2 && byte == b'}';
                    self.depth = self.depth.saturating_sub(1);
                }
                b':' => {
                    let key = String::from_utf8_lossy(&self.text).into_owned();
                    // The names of files may be keys, and they may be many.
                    if self.depth == 1 && self.keys.len() < 64 {
                        self.keys.push(key);
                    } else if self.depth == 2 && !self.first_ended && self.first.len() < 64 {
                        self.first.push(key);
                    }
                }
                _ => {}
            }
        }
    }

    fn in_a_text(&mut self, byte: u8) {
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.in_text = false;
        } else if byte != 0 && self.depth <= 2 && self.text.len() < 64 {
            // Zeros are the other half of letters in UTF-16.
            self.text.push(byte);
        }
    }

    /// Returns whether there is a key of COCO's, so that the others may follow.
    fn may_be_coco(&self) -> bool {
        !self.is_list && self.keys.iter().any(|key| COCO_KEYS.contains(&&key[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(content: impl AsRef<[u8]>) -> Option<JsonKind> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        std::fs::write(&path, content).unwrap();
        JsonKind::of(&path)
    }

    #[test]
    fn files_are_known_by_their_keys() {
        for (content, expected) in [
            (
                r#"{"info": {}, "images": [{"file_name": "}"}], "annotations": [], "categories": []}"#,
                Some(JsonKind::Coco),
            ),
            (r#"{"images": [{"id": 1}, "#, Some(JsonKind::Coco)),
            (r#"{"images": [], "annotations": [{"caption": "a"}]}"#, None),
            (
                r#"{"version": "5", "flags": {}, "shapes": [], "imagePath": "a.jpg"}"#,
                Some(JsonKind::Labelme),
            ),
            (
                r#"[{"id": 1, "annotations": [{"result": []}], "data": {"image": "a"}}]"#,
                Some(JsonKind::LabelStudio),
            ),
            (
                r#"[{"image": "a.jpg", "annotations": []}]"#,
                Some(JsonKind::CreateMl),
            ),
            (
                r#"{"a.jpg7": {"filename": "a.jpg", "size": 7, "regions": []}}"#,
                Some(JsonKind::Via),
            ),
            (
                r#"{"_via_settings": {}, "_via_img_metadata": {}}"#,
                Some(JsonKind::Via),
            ),
            (
                r#"{"info": {}, "categories": {}, "items": []}"#,
                Some(JsonKind::Datumaro),
            ),
            (
                r#"{"description": "", "tags": [], "size": {}, "objects": []}"#,
                Some(JsonKind::Supervisely),
            ),
            (r#"{"0": "cat", "1": "dog"}"#, None),
            ("{}", None),
            ("[]", None),
            ("", None),
            ("no JSON: at all", None),
        ] {
            assert_eq!(kind(content), expected, "{content}");
        }
    }

    #[test]
    fn long_files_byte_order_marks_and_utf_16_do_not_hide_the_keys() {
        let images = r#"{"file_name": "a.jpg"},"#.repeat(20_000);
        let long = format!(
            "\u{feff}{{\"images\": [{images}{{}}], \"annotations\": [], \"categories\": []}}"
        );
        assert_eq!(kind(long), Some(JsonKind::Coco));
        let wide = r#"{"shapes": [], "imagePath": "a.jpg"}"#.encode_utf16();
        let wide: Vec<u8> = std::iter::once(0xfeff)
            .chain(wide)
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(kind(wide), Some(JsonKind::Labelme));
    }
}
