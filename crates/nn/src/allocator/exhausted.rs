//! The end of a process for which the system or a graphics card has no more memory, or whose card has failed.

use std::ffi::{CString, OsString, c_char};
use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use warmstart_language::{english, message, translated};

use super::card_failure::{CardFailure, cause};

/// A command line, ended by null and never freed; null for none.
static COMMAND: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());
/// The same work as a user continues it.
static TYPED: Mutex<Option<String>> = Mutex::new(None);
/// How a user continues the work, where no command does; null for none, and never freed.
static HOW_TO_CONTINUE: AtomicPtr<String> = AtomicPtr::new(std::ptr::null_mut());
/// The graphics card that was opened last, in words.
static CARD: Mutex<Option<String>> = Mutex::new(None);
/// Whether an allocation of the system has failed.
static FAILED: AtomicBool = AtomicBool::new(false);

/// The last words of a process that a failed allocation ends.
const WORDS: &str = english!(
    "error: the system has no more memory to give: free some, raise the limit on it, or use a smaller model, image \
     size or batch\n"
);
/// The same in the user's language: a process without memory could not look them up.
static TRANSLATED: OnceLock<&str> = OnceLock::new();
/// The last words of a process that a failed allocation of a graphics card ends.
const CARD_WORDS: &str = english!(
    "error: the graphics card has no more memory to give: free some, or use a smaller model, image size or batch\n"
);

/// Work of this process that another one can continue.
pub struct Continuation {
    /// The command line that continues it with less memory. The first word is the program's path. Empty where no other
    /// process can take the place of this one: then the last words name the typed command.
    pub command: Vec<OsString>,
    /// The command with which a user continues it.
    pub typed: String,
}

/// Makes a command replace this process when an allocation fails, of the system or of a graphics card, instead of the
/// end that would follow: a Rust program can neither catch a failure of the system's nor rely on any memory by then, so
/// only a new process can continue the work. `None` restores that end.
///
/// # Errors
/// If a word has a zero byte in it.
pub fn run_when_exhausted(continuation: Option<Continuation>) -> io::Result<()> {
    let (pointer, typed) = match continuation {
        None => (std::ptr::null_mut(), None),
        Some(Continuation { command, typed }) if command.is_empty() => {
            (std::ptr::null_mut(), Some(typed))
        }
        Some(Continuation { command, typed }) => {
            let words = command
                .into_iter()
                .map(|word| Ok(CString::new(word.into_encoded_bytes())?));
            let words = words.collect::<io::Result<Vec<CString>>>()?;
            // A few words for each run of the process, never freed: they may be read at any moment.
            let words = words.into_iter().map(|word| word.into_raw().cast_const());
            let words: Vec<_> = words.chain([std::ptr::null()]).collect();
            (
                Box::leak(words.into_boxed_slice()).as_mut_ptr(),
                Some(typed),
            )
        }
    };
    let by_hand = typed
        .as_ref()
        .filter(|_| pointer.is_null())
        .map(|typed| message!("continue from the last checkpoint with `{typed}`") + "\n");
    let by_hand = by_hand.map_or(std::ptr::null_mut(), |line| Box::into_raw(Box::new(line)));
    COMMAND.store(pointer, Ordering::Release);
    HOW_TO_CONTINUE.store(by_hand, Ordering::Release);
    set(&TYPED, typed);
    Ok(())
}

/// Has the last words ready in the user's language, once it is set. The first call counts.
pub fn translate_exhaustion() {
    let _ = TRANSLATED.set(translated(WORDS));
}

/// Makes a failed allocation end the process with a line that says so and exit code 1, instead of an
/// abort, and a failure of a graphics card, instead of a panic, unless it is caught (`catching_card_failures`). Every
/// other panic stays as it was.
pub fn explain_exhaustion() {
    #[cfg(unix)]
    {
        extern "C" fn aborted(_signal: libc::c_int) {
            if !FAILED.load(Ordering::Acquire) {
                return;
            }
            let words = TRANSLATED.get().copied().unwrap_or(WORDS);
            // SAFETY: the calls are safe in a handler of signals, and the words live for good.
            unsafe {
                libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len());
                if let Some(line) = how_to_continue() {
                    libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
                }
                libc::_exit(1);
            }
        }
        let handler: extern "C" fn(libc::c_int) = aborted;
        // SAFETY: the handler allocates nothing. Where it returns, `abort` ends the process as ever.
        unsafe { libc::signal(libc::SIGABRT, handler as libc::sighandler_t) };
    }
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic: &PanicHookInfo| {
        let text = text(panic);
        match CardFailure::told_by(text) {
            None => usual(panic),
            // The panic goes on to who catches it.
            Some(failure) if failure.is_caught() => {}
            Some(CardFailure::OutOfMemory) => {
                // What only looks like a lack of memory can be told by this line.
                say(&short_of_memory(cause(text), get(&CARD)));
                replace_process();
                say(translated(CARD_WORDS));
                end(how_to_continue().unwrap_or_default());
            }
            Some(CardFailure::Lost) => end(&lost(cause(text), get(&CARD), get(&TYPED))),
        }
    }));
}

/// Has the graphics card that is opened ready in words, for a failure of it.
pub(crate) fn name_card(title: String) {
    set(&CARD, Some(title));
}

/// The line that says how a user continues the work. Allocates nothing.
fn how_to_continue() -> Option<&'static str> {
    let line = HOW_TO_CONTINUE.load(Ordering::Acquire);
    // SAFETY: it is null, or a text that lives for good.
    unsafe { line.as_ref() }.map(String::as_str)
}

/// Replaces the process, if a command was given. Allocates nothing.
pub(super) fn exhausted() {
    FAILED.store(true, Ordering::Release);
    replace_process();
}

/// Replaces the process by the command, if one was given; returns if the system refuses. Allocates nothing.
fn replace_process() {
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

/// Ends the process with these last words. Other threads may be at work with the card's driver, so nothing is torn
/// down.
fn end(words: &str) -> ! {
    say(words);
    #[cfg(unix)]
    {
        // SAFETY: it ends the process, on no condition.
        unsafe { libc::_exit(1) };
    }
    #[cfg(not(unix))]
    std::process::exit(1);
}

/// Writes these words to the standard error stream. There is nobody left to tell if that fails.
fn say(words: &str) {
    let _ = io::stderr().write_all(words.as_bytes());
}

/// A line on a graphics card that had no memory for the work, for `reason`.
fn short_of_memory(reason: &str, card: Option<String>) -> String {
    let card = card.unwrap_or_else(|| message!("the graphics card"));
    message!("{card} is out of memory: {reason}") + "\n"
}

/// The last words of a process whose graphics card has failed for `reason`; `typed` is the command with which a user
/// continues its work.
fn lost(reason: &str, card: Option<String>, typed: Option<String>) -> String {
    let card = card.unwrap_or_else(|| message!("the graphics card"));
    let words = match typed {
        None => message!("error: {card} has failed: {reason}"),
        Some(typed) => message!(
            "error: {card} has failed: {reason}; continue from the last checkpoint with `{typed}`"
        ),
    };
    words + "\n"
}

/// What a panic says; empty where it is no text.
fn text<'a>(panic: &'a PanicHookInfo) -> &'a str {
    let payload = panic.payload();
    let owned = || payload.downcast_ref::<String>().map(String::as_str);
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(owned).unwrap_or_default()
}

fn set(words: &Mutex<Option<String>>, value: Option<String>) {
    *words.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

fn get(words: &Mutex<Option<String>>) -> Option<String> {
    words.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::allocator::{catching_card_failures, catching_exhausted_cards};

    #[test]
    fn a_failure_of_a_card_that_is_caught_does_not_end_the_process() {
        explain_exhaustion();
        let panic: thread::Result<()> = catching_card_failures(|| panic!("Parent device is lost"));
        assert_eq!(
            panic.unwrap_err().downcast_ref::<&str>(),
            Some(&"Parent device is lost")
        );
        let panic: thread::Result<()> =
            catching_exhausted_cards(|| panic!("wgpu error: Out of Memory"));
        assert_eq!(
            panic.unwrap_err().downcast_ref::<&str>(),
            Some(&"wgpu error: Out of Memory")
        );
    }

    #[test]
    fn work_whose_process_cannot_be_replaced_is_continued_by_hand() {
        let typed = "warmstart resume runs/pets --out-of-memory".to_owned();
        let command = Vec::new();
        run_when_exhausted(Some(Continuation { command, typed })).unwrap();
        assert_eq!(
            how_to_continue(),
            Some(
                "continue from the last checkpoint with `warmstart resume runs/pets --out-of-memory`\n"
            )
        );
        run_when_exhausted(None).unwrap();
        assert_eq!(how_to_continue(), None);
    }

    #[test]
    fn a_card_without_memory_is_named_with_the_cause() {
        let reason = "out of device memory allocating 7 bytes";
        assert_eq!(
            short_of_memory(reason, None),
            "the graphics card is out of memory: out of device memory allocating 7 bytes\n"
        );
        assert_eq!(
            short_of_memory(reason, Some("gpu:0, A card".to_owned())),
            "gpu:0, A card is out of memory: out of device memory allocating 7 bytes\n"
        );
    }

    #[test]
    fn a_card_that_failed_is_named_and_the_work_is_continued_by_hand() {
        assert_eq!(
            lost("a driver was reset", None, None),
            "error: the graphics card has failed: a driver was reset\n"
        );
        let card = Some("gpu:0, A card".to_owned());
        let typed = Some("warmstart resume runs/pets".to_owned());
        assert_eq!(
            lost("a driver was reset", card, typed),
            "error: gpu:0, A card has failed: a driver was reset; continue from the last checkpoint with `warmstart \
             resume runs/pets`\n"
        );
    }
}
