//! Atomic replacement of files.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use warmstart_language::message;

use crate::reading::open;

/// Start of a temporary file's name, before a random number.
const PREFIX: &str = ".warmstart-";
/// End of a temporary file's name.
const SUFFIX: &str = ".writing";
/// Number of names that are tried for a temporary file.
const TRIES: usize = 8;

/// Replaces a file in one step by what `write` writes: readers see the old file or the new one, even after a
/// power cut, and if two processes write it, one of them wins. Its permissions follow the umask, as for any
/// new file. Links are followed. A device is written to, and so is a pipe behind a link; a pipe itself is
/// replaced.
///
/// Files that killed processes left half written in the folder are removed first.
///
/// # Errors
/// Those of `write` and of the system. The old file is then unchanged, unless only the final flush of the
/// folder failed.
pub fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = replace_in_memory(path, |file| {
        write(file)?;
        file.sync_all()
    })?;
    folder.map_or(Ok(()), |folder| flush_folder(&folder))
}

/// As [`replace`], except that a power cut may lose or empty the file. It is for files that can be made again
/// and are so many that flushing each would take longer than everything else.
///
/// # Errors
/// As [`replace`].
pub fn replace_unflushed(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    replace_in_memory(path, write).map(drop)
}

/// Makes a file by what `write` writes, whole or not at all; one that is there stays. Of several processes that make it
/// at once, all see the file of the first. What cannot be opened is replaced. As with [`replace_unflushed`], a power
/// cut may lose or empty the file.
///
/// # Errors
/// Those of `write` and of the system.
pub fn create_unflushed(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    if path.symlink_metadata().is_ok() && open(path).is_err() {
        return replace_unflushed(path, write);
    }
    let folder = folder_of(path);
    remove_leftovers_once(folder);
    let mut temporary = Temporary::in_folder(folder)?;
    write(&mut temporary.file)?;
    // Unlike a rename, a link replaces nothing.
    match fs::hard_link(&temporary.path, path) {
        Ok(()) => {
            // What fails is tried again when it is dropped.
            temporary.is_renamed = fs::remove_file(&temporary.path).is_ok();
            Ok(())
        }
        Err(_) if open(path).is_ok() => Ok(()),
        // The file system has no links.
        Err(_) => temporary.rename(path),
    }
}

/// Returns the folder whose entry has changed, if one has.
fn replace_in_memory(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<Option<PathBuf>> {
    // A dangling link is itself replaced.
    let target = path.canonicalize();
    let target = target.as_deref().unwrap_or(path);
    if let Ok(metadata) = target.metadata()
        && !metadata.is_file()
        && !metadata.is_dir()
        && !is_pipe(path)
    {
        write(&mut OpenOptions::new().write(true).open(target)?)?;
        return Ok(None);
    }
    let folder = folder_of(target);
    remove_leftovers_once(folder);
    let mut temporary = Temporary::in_folder(folder)?;
    write(&mut temporary.file)?;
    temporary.rename(target)?;
    Ok(Some(folder.to_owned()))
}

/// Returns whether the path itself, not a link's target, is a named pipe. It is replaced, because writing to
/// it would wait for a reader.
#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    let metadata = path.symlink_metadata();
    metadata.is_ok_and(|metadata| metadata.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new("."))
}

/// A temporary file, removed when dropped. It is locked, so that no other process removes it while this one
/// lives.
struct Temporary {
    path: PathBuf,
    file: File,
    is_renamed: bool,
}

impl Temporary {
    fn in_folder(folder: &Path) -> io::Result<Self> {
        let mut last = None;
        for _ in 0..TRIES {
            // The seeds of hash maps are random and differ between processes and machines. The target's name
            // is left out, because it may be as long as the file system allows.
            let number = RandomState::new().hash_one(std::process::id());
            let path = folder.join(format!("{PREFIX}{number:016x}{SUFFIX}"));
            let file = OpenOptions::new().write(true).create_new(true).open(&path);
            let temporary = match file {
                Ok(file) => Self {
                    path,
                    file,
                    is_renamed: false,
                },
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    last = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Before it was locked, another process may have removed it as a leftover.
            match temporary.file.try_lock() {
                Err(TryLockError::WouldBlock) => {}
                // Without locks on this file system, no process removes it.
                Ok(()) | Err(TryLockError::Error(_)) if temporary.path.exists() => {
                    return Ok(temporary);
                }
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
        }
        Err(last.unwrap_or_else(|| {
            io::Error::other(message!(
                "another process keeps removing its temporary files"
            ))
        }))
    }

    fn rename(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_renamed {
            // A partial file would take space on a disk that may be full. The caller reports the first error.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns whether a name is that of a temporary file of [`replace`], in use or left by a killed process.
pub fn is_being_written(name: &OsStr) -> bool {
    let name = name.to_str();
    let number = name.and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
    number.is_some_and(|number| {
        number.len() == 16 && number.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

/// Removes half-written files of killed processes from a folder, once per process and folder.
fn remove_leftovers_once(folder: &Path) {
    static SEEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.insert(folder.to_owned()) {
        remove_leftovers(folder);
    }
}

/// Removes half-written files of killed processes from a folder. Those that cannot be removed stay: they do
/// no harm, and the next process tries again.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_file = || entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_being_written(&entry.file_name()) || !is_file() {
            continue;
        }
        let path = entry.path();
        // The system releases a lock when its process ends, however it ends. Network file systems lock only
        // files that are open for writing.
        if let Ok(file) = OpenOptions::new().write(true).open(&path)
            && file.try_lock().is_ok()
        {
            // A process that has created it but not locked it yet finds it gone, because this lock is held
            // until then.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Creates a folder and its missing parents, so that they survive a power cut.
///
/// # Errors
/// If the system refuses.
pub fn create_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => flush_folder(folder_of(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = folder_of(path);
            if folder == path || folder == Path::new(".") {
                return Err(error);
            }
            create_folder(folder)?;
            // Not this function again: some file systems, such as /proc, answer so whatever is asked.
            match fs::create_dir(path) {
                Err(_) if path.is_dir() => Ok(()),
                created => created.and_then(|()| flush_folder(folder)),
            }
        }
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Flushes a folder's entries, so that files created, renamed and removed in it survive a power cut. Does
/// nothing where the system cannot: Windows opens no folders, and some network file systems have nothing to
/// flush.
///
/// # Errors
/// If the system refuses.
pub fn flush_folder(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        Err(error) if is_not_for_folders(&error) => Ok(()),
        flushed => flushed,
    }
}

fn is_not_for_folders(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, Unsupported};
    matches!(error.kind(), InvalidInput | Unsupported)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::thread;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        // The longest name that file systems allow.
        let path = folder.path().join("n".repeat(255));
        for content in ["old", "new"] {
            replace(&path, |file| file.write_all(content.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        replace_unflushed(&path, |file| file.write_all(b"newest")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "newest");
        assert_eq!(names(folder.path()).len(), 1);
    }

    #[test]
    fn a_file_that_is_there_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for content in ["first", "second"] {
            create_unflushed(&path, |file| file.write_all(content.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        }
        assert_eq!(names(folder.path()), ["file"]);
        let full = |_: &mut File| Err(io::ErrorKind::StorageFull.into());
        assert!(create_unflushed(&folder.path().join("other"), full).is_err());
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn what_fails_or_panics_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        let full = |file: &mut File| {
            file.write_all(b"ne")?;
            Err(io::ErrorKind::StorageFull.into())
        };
        let error = replace(&path, full).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let panics = || replace(&path, |_| panic!("the panic that this test expects"));
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let leftover = format!("{PREFIX}0123456789abcdef{SUFFIX}");
        fs::write(folder.path().join(&leftover), "half").unwrap();
        for other in [".warmstart-mine.writing", ".writing", "notes"] {
            fs::write(folder.path().join(other), "a person's").unwrap();
        }
        let living = Temporary::in_folder(folder.path()).unwrap();
        assert!(is_being_written(living.path.file_name().unwrap()));
        let path = folder.path().join("file");
        replace(&path, |file| file.write_all(b"new")).unwrap();
        assert!(living.path.exists());
        drop(living);
        let left = [".warmstart-mine.writing", ".writing", "file", "notes"];
        assert_eq!(names(folder.path()), left);
    }

    #[test]
    fn of_many_that_write_the_same_file_and_clean_up_each_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        thread::scope(|scope| {
            for writer in 0..8_u8 {
                let (path, folder) = (&path, folder.path());
                scope.spawn(move || {
                    for _ in 0..50 {
                        remove_leftovers(folder);
                        replace_unflushed(path, |file| file.write_all(&[writer; 5000])).unwrap();
                        let content = fs::read(path).unwrap();
                        assert_eq!(content.len(), 5000);
                        assert!(content.iter().all(|byte| *byte == content[0]));
                    }
                });
            }
        });
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_and_a_device_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, |file| file.write_all(b"new")).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        replace_unflushed(Path::new("/dev/null"), |file| file.write_all(b"new")).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (plain, replaced) = (folder.path().join("plain"), folder.path().join("replaced"));
        fs::write(&plain, "").unwrap();
        replace(&replaced, |file| file.write_all(b"new")).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&replaced), mode(&plain));
    }

    #[test]
    fn a_folder_is_made_with_those_that_it_lies_in() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create_folder(&deep).unwrap();
        create_folder(&deep).unwrap();
        assert!(deep.is_dir());
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(create_folder(&file).is_err());
        assert!(create_folder(&file.join("below")).is_err());
        #[cfg(target_os = "linux")]
        assert!(create_folder(Path::new("/proc/warmstart/below")).is_err());
    }
}
