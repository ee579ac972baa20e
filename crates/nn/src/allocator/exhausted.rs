//! What happens when the system has no more memory to give.

use std::ffi::{CString, OsString, c_char};
use std::io;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A command line, ended by null, that lives for good; null for none.
static COMMAND: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());

/// Lets a command take the place of this process when an allocation fails, instead of the abort that
/// would follow: a Rust program can neither catch the failure nor rely on any memory by then, so
/// whatever went on before can only be taken up by a process that starts anew. `None` takes that
/// back. The first word is the program's path.
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

/// Replaces the process, if a command was named. Allocates nothing.
pub(super) fn exhausted() {
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
