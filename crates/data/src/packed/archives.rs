//! The archives that this process reads from: their indices, and the files that are open.

use super::member::Member;
use super::tar_index::TarIndex;
use crate::file_types::is_archive;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use warmstart_files::shown;
use warmstart_language::message;

/// Archives that are open at once. There may be more of them than files that a system lets a process open.
const MOST_OPEN: usize = 128;
/// Longest path that the system is asked about, in bytes; no system knows longer ones. A name in a list may have
/// hundreds of thousands of parts.
const LONGEST_PATH: usize = 1 << 15;

/// Every archive that was asked for.
static ARCHIVES: LazyLock<Mutex<HashMap<PathBuf, Arc<Archive>>>> = LazyLock::new(Mutex::default);

static OPEN_FILES: LazyLock<Mutex<OpenFiles>> = LazyLock::new(Mutex::default);

/// What is known of an archive; the lock is held while its headers are read.
type Archive = Mutex<Option<Known>>;

/// The index of an archive, as long as the archive stays what it was.
struct Known {
    stamp: ArchiveStamp,
    index: Arc<TarIndex>,
}

/// What shows that an archive was replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ArchiveStamp {
    bytes: u64,
    modified: SystemTime,
}

impl ArchiveStamp {
    fn of(metadata: &Metadata) -> io::Result<Self> {
        Ok(Self {
            bytes: metadata.len(),
            modified: metadata.modified()?,
        })
    }
}

/// The archives that were used last, by their paths.
#[derive(Default)]
struct OpenFiles {
    /// Each with the number of its last use.
    files: HashMap<PathBuf, (Arc<File>, u64)>,
    uses: u64,
}

/// A picture in an archive.
pub(crate) struct Found {
    archive: PathBuf,
    /// Its first byte.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// That of the archive whose index says the place.
    stamp: ArchiveStamp,
}

impl Found {
    /// When the archive was changed.
    pub fn modified(&self) -> SystemTime {
        self.stamp.modified
    }

    /// The archive, open for reading.
    ///
    /// # Errors
    /// If the system refuses, or another archive lies there since the picture was found.
    pub fn open(&self) -> io::Result<Arc<File>> {
        let kept = lock(&OPEN_FILES).used(&self.archive);
        if let Some(file) = kept
            && self.is_in(&file)?
        {
            return Ok(file);
        }
        let file = Arc::new(warmstart_files::open(&self.archive)?);
        if !self.is_in(&file)? {
            let archive = shown(&self.archive);
            let problem = message!("the archive {archive} was replaced while a picture was read");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
        }
        lock(&OPEN_FILES).keep(&self.archive, &file);
        Ok(file)
    }

    /// Returns whether a file is the archive that the picture was found in.
    fn is_in(&self, file: &File) -> io::Result<bool> {
        Ok(ArchiveStamp::of(&file.metadata()?)? == self.stamp)
    }
}

impl OpenFiles {
    /// An archive that is open, used now.
    fn used(&mut self, archive: &Path) -> Option<Arc<File>> {
        self.uses += 1;
        let (file, last_use) = self.files.get_mut(archive)?;
        *last_use = self.uses;
        Some(Arc::clone(file))
    }

    /// Keeps a file open, instead of the one whose last use is the longest ago if there are too many.
    fn keep(&mut self, archive: &Path, file: &Arc<File>) {
        self.uses += 1;
        let entry = (Arc::clone(file), self.uses);
        self.files.insert(archive.to_path_buf(), entry);
        if self.files.len() > MOST_OPEN {
            let oldest = self.files.iter().min_by_key(|(_, (_, last_use))| *last_use);
            let oldest = oldest.map(|(archive, _)| archive.clone());
            if let Some(archive) = oldest {
                self.files.remove(&archive);
            }
        }
    }
}

/// The archive that a path goes through, and the rest of the path: the nearest folder of the path that is a regular
/// file whose name ends in `.tar`.
fn located(path: &Path) -> Option<(&Path, &Path)> {
    let folders = path.ancestors().skip(1);
    let mut folders = folders.filter(|folder| folder.as_os_str().len() <= LONGEST_PATH);
    let archive = folders.find(|folder| is_archive(folder) && folder.is_file())?;
    Some((archive, path.strip_prefix(archive).ok()?))
}

/// Finds a picture in an archive, after the system has refused to open its path as a file's.
///
/// # Errors
/// The system's `refusal` if the path goes through no archive; else if the archive cannot be read or has no such
/// picture.
pub(crate) fn find(path: &Path, refusal: io::Error) -> io::Result<Found> {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    let may_be_packed = matches!(refusal.kind(), NotADirectory | NotFound | InvalidFilename);
    let Some((archive, name)) = located(path).filter(|_| may_be_packed) else {
        return Err(refusal);
    };
    let (index, stamp) = index_of(archive)?;
    let Some((offset, bytes)) = index.find(name) else {
        let (archive, name) = (shown(archive), shown(name));
        let problem = message!("the archive {archive} has no picture {name}");
        return Err(io::Error::new(NotFound, problem));
    };
    Ok(Found {
        archive: archive.to_path_buf(),
        offset,
        bytes,
        stamp,
    })
}

/// The index of an archive, read if it is not known or the archive was replaced.
fn index_of(archive: &Path) -> io::Result<(Arc<TarIndex>, ArchiveStamp)> {
    let place = place_of(archive);
    let mut known = lock(&place);
    let now = ArchiveStamp::of(&std::fs::metadata(archive)?)?;
    if let Some(known) = known.as_ref().filter(|known| known.stamp == now) {
        return Ok((Arc::clone(&known.index), now));
    }
    let read = read(archive, &mut |_, _| Ok(()))?;
    let found = (Arc::clone(&read.index), read.stamp);
    *known = Some(read);
    Ok(found)
}

/// Hands every member of an archive to `each` in the archive's order, with the file to read it from, and keeps the
/// index of its pictures.
///
/// # Errors
/// If the archive cannot be read, is cut short, has a picture twice, or `each` fails.
pub(crate) fn walk(
    archive: &Path,
    each: &mut dyn FnMut(&Member, &File) -> io::Result<()>,
) -> io::Result<()> {
    let read = read(archive, each)?;
    *lock(&place_of(archive)) = Some(read);
    Ok(())
}

fn read(
    archive: &Path,
    each: &mut dyn FnMut(&Member, &File) -> io::Result<()>,
) -> io::Result<Known> {
    let file = Arc::new(warmstart_files::open(archive)?);
    let stamp = ArchiveStamp::of(&file.metadata()?)?;
    let index = Arc::new(TarIndex::read(&file, each)?);
    lock(&OPEN_FILES).keep(archive, &file);
    Ok(Known { stamp, index })
}

fn place_of(archive: &Path) -> Arc<Archive> {
    let mut archives = lock(&ARCHIVES);
    if let Some(place) = archives.get(archive) {
        return Arc::clone(place);
    }
    let place = Arc::default();
    archives.insert(archive.to_path_buf(), Arc::clone(&place));
    place
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(archive: &Path, content: &[u8]) {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, "1.jpg", content).unwrap();
        std::fs::write(archive, builder.into_inner().unwrap()).unwrap();
    }

    #[test]
    fn a_picture_is_not_read_from_an_archive_that_has_taken_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tar");
        let found = || find(&archive.join("1.jpg"), io::ErrorKind::NotADirectory.into());
        write(&archive, b"first");
        let first = found().unwrap();
        assert!(first.open().is_ok());
        write(&archive, &[0; 2000]);
        let refusal = first.open().unwrap_err();
        assert_eq!(refusal.kind(), io::ErrorKind::UnexpectedEof);
        assert!(found().unwrap().open().is_ok());
    }

    #[test]
    fn a_path_of_many_parts_takes_no_quadratic_time() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tar");
        std::fs::write(&archive, "").unwrap();
        let name = "b.tar/".repeat(200_000) + "1.jpg";
        let path = archive.join(&name);
        assert_eq!(located(&path), Some((&*archive, Path::new(&name))));
    }
}
