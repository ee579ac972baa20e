//! The pictures of a data set that could be read before: one that did not change since is not decoded again.
//!
//! A file of its own for each data set, written whole and read whole:
//!
//! ```text
//! two lines of text │ number of pictures │ number of sketches │ pictures, by their keys │ sketches │ checksum of all
//! ```

use crate::picture_file::{Stamp, stamp};
use crate::sketch::Sketch;
use std::fs::{FileTimes, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use warmstart_files::shown;

/// The first line of such a file. A line that describes it follows.
const MAGIC: &str = "warmstart checks 1\n";
pub(crate) const EXTENSION: &str = "checks";
/// Bytes at the beginning of a file in which its description lies.
const START: u64 = 8 << 10;
/// Bytes of a number.
const NUMBER: usize = size_of::<u64>();
/// Bytes of a picture: its key, its size, its time and the number of its sketch.
const PICTURE: usize = 3 * NUMBER + size_of::<u32>();
/// The number of the sketch of a picture that has none.
const NO_SKETCH: u32 = u32::MAX;
/// Bytes of a sketch: width, height, hash and thumbnail.
const SKETCH: usize = 2 * size_of::<u32>() + size_of::<u128>() + 192;
const CHECKSUM: usize = 32;
/// Largest file that is read: that of a hundred million pictures.
const MAX_BYTES: u64 = 4 << 30;

/// What is known of the pictures of a data set from an earlier check, and what is found now.
#[derive(Debug)]
pub struct CheckCache {
    file: PathBuf,
    /// The two lines of text. A version of ours that may decode or sketch otherwise has others.
    header: String,
    before: Known,
    now: Mutex<Found>,
}

/// A file, and where its pictures and sketches lie.
#[derive(Debug, Default)]
struct Known {
    bytes: Vec<u8>,
    pictures: Range<usize>,
    sketches: Range<usize>,
}

/// The pictures that can be read.
#[derive(Debug, Default)]
struct Found {
    pictures: Vec<Readable>,
    /// Whether any of them was not known.
    any_new: bool,
}

/// A picture that can be read.
#[derive(Debug)]
struct Readable {
    key: PictureKey,
    sketch: Option<Box<Sketch>>,
}

/// What tells one picture from another, and from itself after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PictureKey {
    /// Of its path: see [`path_number`].
    path: u64,
    bytes: u64,
    /// In nanoseconds since 1970.
    modified: i64,
}

impl CheckCache {
    /// What a cache folder, which need not exist, knows of a data set. A file that is damaged or of another version
    /// counts as none.
    pub fn open(folder: &Path, data: &Path) -> Self {
        let data = std::fs::canonicalize(data).unwrap_or_else(|_| data.to_path_buf());
        let name = blake3::hash(data.as_os_str().as_encoded_bytes()).to_hex();
        let file = folder.join(&name[..32]).with_extension(EXTENSION);
        let header = format!(
            "{MAGIC}pictures of {} that can be read, by version {}\n",
            shown(&data),
            env!("CARGO_PKG_VERSION")
        );
        let bytes = warmstart_files::read(&file, MAX_BYTES).unwrap_or_default();
        let before = Known::of(bytes, &header);
        if before.is_some() {
            touch(&file);
        }
        Self {
            before: before.unwrap_or_default(),
            file,
            header,
            now: Mutex::default(),
        }
    }

    /// What is known of a picture: whether there is a sketch of it, too. `None` if it is new or was changed, or if a
    /// sketch is needed and there is none.
    pub(crate) fn find(&self, key: PictureKey, needs_sketch: bool) -> Option<Option<Box<Sketch>>> {
        let sketch = self.before.find(key)?;
        if !needs_sketch {
            return Some(None);
        }
        let sketch = self.before.sketch(sketch?)?;
        Some(Some(Box::new(sketch)))
    }

    /// Takes a picture that can be read; whether it was known already.
    pub(crate) fn add(&self, key: PictureKey, sketch: Option<Box<Sketch>>, is_known: bool) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.any_new |= !is_known;
        now.pictures.push(Readable { key, sketch });
    }

    /// Keeps what was found, unless all of it was known.
    ///
    /// # Errors
    /// If the system refuses. The next check then reads the pictures again.
    pub fn keep(self) -> io::Result<()> {
        let Self {
            file,
            header,
            before,
            now,
        } = self;
        let Found {
            mut pictures,
            any_new,
        } = now.into_inner().unwrap_or_else(PoisonError::into_inner);
        drop(before);
        if !any_new {
            return Ok(());
        }
        // A picture of two splits is one; the one with a sketch stays.
        pictures.sort_unstable_by_key(|picture| (picture.key, picture.sketch.is_none()));
        pictures.dedup_by_key(|picture| picture.key.path);
        let bytes = bytes_of(&header, &pictures);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        warmstart_files::replace_unflushed(&file, |file| file.write_all(&bytes))
    }
}

impl PictureKey {
    /// That of the file at a path whose [`path_number`] is known; `None` if there is no such picture.
    pub fn of(path: &Path, number: u64) -> Option<Self> {
        let Stamp { bytes, modified } = stamp(path).ok()?;
        // Times before 1970 are told apart, too.
        let nanoseconds = match modified.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => {
                let before = i64::try_from(before.duration().as_nanos());
                before.map_or(i64::MIN, |nanoseconds| -nanoseconds)
            }
        };
        Some(Self {
            path: number,
            bytes,
            modified: nanoseconds,
        })
    }
}

/// A number made of a path: that two of a million pictures have one is as likely as one in forty million.
pub(crate) fn path_number(path: &Path) -> u64 {
    let hash = blake3::hash(path.as_os_str().as_encoded_bytes());
    let (numbers, _) = hash.as_bytes().as_chunks();
    u64::from_le_bytes(numbers[0])
}

impl Known {
    /// The pictures in the bytes of a file, if it is ours and whole.
    fn of(bytes: Vec<u8>, header: &str) -> Option<Self> {
        let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        let rest = content.strip_prefix(header.as_bytes())?;
        if blake3::hash(content).as_bytes() != checksum {
            return None;
        }
        let (pictures, rest) = number(rest)?;
        let (sketches, rest) = number(rest)?;
        let start = content.len() - rest.len();
        let middle = start.checked_add(pictures.checked_mul(PICTURE)?)?;
        let end = middle.checked_add(sketches.checked_mul(SKETCH)?)?;
        (end == content.len()).then_some(Self {
            bytes,
            pictures: start..middle,
            sketches: middle..end,
        })
    }

    /// The number of a picture's sketch, if there is one; `None` if the picture is not known.
    fn find(&self, key: PictureKey) -> Option<Option<u32>> {
        let (pictures, _) = self.bytes[self.pictures.clone()].as_chunks::<PICTURE>();
        let at = pictures.binary_search_by_key(&key.path, |picture| read_picture(picture).0.path);
        let (found, sketch) = read_picture(&pictures[at.ok()?]);
        (found == key).then_some((sketch != NO_SKETCH).then_some(sketch))
    }

    fn sketch(&self, number: u32) -> Option<Sketch> {
        let (sketches, _) = self.bytes[self.sketches.clone()].as_chunks::<SKETCH>();
        Some(read_sketch(sketches.get(number as usize)?))
    }
}

/// What a file of ours says of itself.
///
/// # Errors
/// If it cannot be read, or is none of ours.
pub(crate) fn description(file: &Path) -> io::Result<String> {
    let mut start = Vec::new();
    let opened = warmstart_files::open(file)?;
    opened.take(START).read_to_end(&mut start)?;
    let text = String::from_utf8_lossy(&start);
    let line = text
        .strip_prefix(MAGIC)
        .and_then(|text| text.lines().next());
    line.map(str::to_owned)
        .ok_or_else(|| io::Error::other("not a file of checked pictures"))
}

/// Notes that a file is used: those that were not for long are removed first.
fn touch(file: &Path) {
    let now = FileTimes::new().set_modified(SystemTime::now());
    // If it cannot be noted, the file may be removed earlier.
    let _ = OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|file| file.set_times(now));
}

/// A number at the beginning of some bytes, and the rest.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<NUMBER>()?;
    Some((usize::try_from(u64::from_le_bytes(*number)).ok()?, rest))
}

/// The bytes of a file of pictures, which are sorted.
fn bytes_of(header: &str, pictures: &[Readable]) -> Vec<u8> {
    let sketched = || {
        pictures
            .iter()
            .filter_map(|picture| picture.sketch.as_deref())
    };
    let count = sketched().count();
    let mut bytes = Vec::with_capacity(
        header.len() + 2 * NUMBER + pictures.len() * PICTURE + count * SKETCH + CHECKSUM,
    );
    bytes.extend(header.as_bytes());
    bytes.extend((pictures.len() as u64).to_le_bytes());
    bytes.extend((count as u64).to_le_bytes());
    let mut number = 0;
    for Readable { key, sketch } in pictures {
        bytes.extend(key.path.to_le_bytes());
        bytes.extend(key.bytes.to_le_bytes());
        bytes.extend(key.modified.to_le_bytes());
        let own = if sketch.is_some() { number } else { NO_SKETCH };
        bytes.extend(own.to_le_bytes());
        number += u32::from(sketch.is_some());
    }
    for sketch in sketched() {
        for side in [sketch.width, sketch.height] {
            let side = u32::try_from(side).expect("a picture has fewer pixels than that");
            bytes.extend(side.to_le_bytes());
        }
        bytes.extend(sketch.hash.to_le_bytes());
        bytes.extend(sketch.thumbnail.as_flattened());
    }
    let checksum = blake3::hash(&bytes);
    bytes.extend(checksum.as_bytes());
    bytes
}

/// A picture, and the number of its sketch.
fn read_picture(bytes: &[u8; PICTURE]) -> (PictureKey, u32) {
    let (numbers, sketch) = bytes.as_chunks::<NUMBER>();
    let mut number = [0; size_of::<u32>()];
    number.copy_from_slice(sketch);
    let key = PictureKey {
        path: u64::from_le_bytes(numbers[0]),
        bytes: u64::from_le_bytes(numbers[1]),
        modified: i64::from_le_bytes(numbers[2]),
    };
    (key, u32::from_le_bytes(number))
}

fn read_sketch(bytes: &[u8; SKETCH]) -> Sketch {
    let (sides, rest) = bytes.split_at(2 * size_of::<u32>());
    let (sides, _) = sides.as_chunks();
    let (hash, thumbnail) = rest.split_at(size_of::<u128>());
    let mut bits = [0; size_of::<u128>()];
    bits.copy_from_slice(hash);
    let mut sketch = Sketch {
        width: u32::from_le_bytes(sides[0]) as usize,
        height: u32::from_le_bytes(sides[1]) as usize,
        hash: u128::from_le_bytes(bits),
        thumbnail: [[0; 3]; 64],
    };
    sketch
        .thumbnail
        .as_flattened_mut()
        .copy_from_slice(thumbnail);
    sketch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rgb_image::RgbImage;

    fn key(path: u64) -> PictureKey {
        PictureKey {
            path,
            bytes: 10 * path,
            modified: -5,
        }
    }

    fn sketch() -> Sketch {
        let mut image = RgbImage::black(40, 30);
        for (place, value) in image.pixels.iter_mut().enumerate() {
            *value = (place * 7 % 251) as u8;
        }
        Sketch::of(&image)
    }

    fn kept(folder: &Path) -> CheckCache {
        let cache = CheckCache::open(folder, Path::new("data"));
        cache.add(key(9), None, false);
        cache.add(key(2), Some(Box::new(sketch())), false);
        cache.add(key(2), None, false);
        cache.keep().unwrap();
        CheckCache::open(folder, Path::new("data"))
    }

    #[test]
    fn what_was_kept_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let cache = kept(folder.path());
        assert_eq!(cache.find(key(2), true), Some(Some(Box::new(sketch()))));
        assert_eq!(cache.find(key(2), false), Some(None));
        assert_eq!(cache.find(key(9), false), Some(None));
        assert_eq!(cache.find(key(9), true), None, "it has no sketch");
        assert_eq!(cache.find(key(3), false), None);
        let other = CheckCache::open(folder.path(), Path::new("other"));
        assert_eq!(other.find(key(2), false), None);
    }

    #[test]
    fn a_picture_that_was_changed_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let cache = kept(folder.path());
        let (mut larger, mut later) = (key(9), key(9));
        larger.bytes += 1;
        later.modified += 1;
        assert_eq!(cache.find(larger, false), None);
        assert_eq!(cache.find(later, false), None);
    }

    #[test]
    fn a_damaged_file_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = kept(folder.path());
        let whole = std::fs::read(&cache.file).unwrap();
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            let cut = whole[..place].to_vec();
            for (bytes, how) in [(damaged, "changed"), (cut, "cut")] {
                let known = Known::of(bytes, &cache.header);
                assert!(known.is_none(), "{how} at byte {place}");
            }
        }
        assert!(Known::of(whole.clone(), &cache.header).is_some());
        assert!(Known::of(whole, "another version\n").is_none());
    }

    #[test]
    fn a_file_describes_itself_and_is_not_written_where_all_was_known() {
        let folder = tempfile::tempdir().unwrap();
        let cache = kept(folder.path());
        let words = description(&cache.file).unwrap();
        assert!(
            words.starts_with("pictures of data that can be read"),
            "{words}"
        );
        std::fs::remove_file(&cache.file).unwrap();
        let file = cache.file.clone();
        cache.add(key(9), None, true);
        cache.keep().unwrap();
        assert!(!file.exists());
    }
}
