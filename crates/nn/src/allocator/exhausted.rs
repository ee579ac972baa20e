//! The end of a process for which the system has no more memory.

use std::ffi::{CString, OsString, c_char};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use warmstart_language::{english, translated};

/// A command line, ended by null and never freed; null for none.
static COMMAND: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());
/// Whether an allocation has failed.
static FAILED: AtomicBool = AtomicBool::new(false);

/// The last words of a process that a failed allocation ends.
const WORDS: &str = english!(
    "error: the system has no more memory to give: free some, raise the limit on it, or use a smaller model, image \
     size or batch\n"
);
/// The same in the user's language: a process without memory could not look them up.
static TRANSLATED: OnceLock<&str> = OnceLock::new();

/// Makes a command replace this process when an allocation fails, instead of the abort that would
/// follow: a Rust program can neither catch the failure nor rely on any memory by then, so only a new
/// process can continue the work. `None` restores the abort. The first word is the program's path.
///
/// # Errors
/// If a word has a zero byte in it.
pub fn run_when_exhausted(command: Option<Vec<OsString>>) -> io::Result<()> {
    let pointer = match command {
        None => std::ptr::null_mut(),
        Some(words) => {
            let words = words
                .into_iter()
                .map(|word| Ok(CString::new(word.into_encoded_bytes())?));
            let words = words.collect::<io::Result<Vec<CString>>>()?;
            // A few words for each run of the process, never freed: they may be read at any moment.
            let words = words.into_iter().map(|word| word.into_raw().cast_const());
            let words: Vec<_> = words.chain([std::ptr::null()]).collect();
            Box::leak(words.into_boxed_slice()).as_mut_ptr()
        }
    };
    COMMAND.store(pointer, Ordering::Release);
    Ok(())
}

/// Has the last words ready in the user's language, once it is set. The first call counts.
pub fn translate_exhaustion() {
    let _ = TRANSLATED.set(translated(WORDS));
}

/// Makes a failed allocation end the process with a line that says so and exit code 1, instead of an
/// abort.
pub fn explain_exhaustion() {
    #[cfg(unix)]
    {
        extern "C" fn aborted(_signal: libc::c_int) {
            if !FAILED.load(Ordering::Acquire) {
                return;
            }
            let words = TRANSLATED.get().copied().unwrap_or(WORDS);
            // SAFETY: both calls are safe in a handler of signals, and the words live for good.
            unsafe {
                libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len());
                libc::_exit(1);
            }
        }
        let handler: extern "C" fn(libc::c_int) = aborted;
        // SAFETY: the handler allocates nothing. Where it returns, `abort` ends the process as ever.
        unsafe { libc::signal(libc::SIGABRT, handler as libc::sighandler_t) };
    }
}

/// Replaces the process, if a command was given. Allocates nothing.
pub(super) fn exhausted() {
    FAILED.store(true, Ordering::Release);
    let command = COMMAND.load(Ordering::Acquire);
    if command.is_null() {
        return;
    }
    #[cfg(unix)]
    // SAFETY: `command` is an array of C strings ended by null that lives for good.
    unsafe {
        libc::execv(*command, command);
    }
}
