//! Failures of a graphics card, told by the panics in which they come up.
//!
//! CubeCL works beside the program. What fails there marks the values that it would have computed, and comes up as a
//! panic where such a value is read (`Tensor::into_data`), in whichever thread reads it; or at once, in the thread that
//! calls the driver. Neither has more to tell it by than its text.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

thread_local! {
    /// The failures that unwind in this thread, because its work is to be caught.
    static CAUGHT: Cell<&'static [CardFailure]> = const { Cell::new(&[]) };
}

/// Does some work, of which every panic is caught. A failure of a graphics card that comes up in this thread does not
/// end the process, as it would elsewhere, and nothing is printed of it: its words are in the panic.
///
/// # Errors
/// If the work panics, with that panic. Nothing that the work has changed should be used then.
pub fn catching_card_failures<T>(work: impl FnOnce() -> T) -> thread::Result<T> {
    catching(&[CardFailure::OutOfMemory, CardFailure::Lost], work)
}

/// The same as [`catching_card_failures`], except that a card that is lost still ends the process: for work that can go
/// on without one result, but not without the card.
///
/// # Errors
/// If the work panics, with that panic. Nothing that the work has changed should be used then.
pub fn catching_exhausted_cards<T>(work: impl FnOnce() -> T) -> thread::Result<T> {
    catching(&[CardFailure::OutOfMemory], work)
}

fn catching<T>(failures: &'static [CardFailure], work: impl FnOnce() -> T) -> thread::Result<T> {
    let before = CAUGHT.replace(failures);
    let result = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(before);
    result
}

/// A failure of a graphics card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CardFailure {
    /// It has not enough memory left, or none in one piece.
    OutOfMemory,
    /// It was lost, or is of no use until the process ends.
    Lost,
}

/// Words for an allocation that failed, one of which is in every text on it. They are those of the versions in
/// Cargo.lock.
const OUT_OF_MEMORY: [&str; 11] = [
    // cubecl-runtime, server/base.rs, IoError::OutOfMemory: CUDA's and Vulkan's storage.
    "out of device memory allocating",
    // IoError::BufferTooBig: more than the driver gives in one piece.
    "can't allocate buffer of size",
    // IoError::PageSizesExhausted: too many sizes of pages are in use.
    "every page size the memory tracks still holds live allocations",
    // cubecl-server, memory_management/error_graph.rs and memory_manage.rs: a value that got no memory, where the error
    // above is not at hand, and another result of the kernel that would have written it.
    "was never allocated: the reservation behind it failed",
    "Memory location was never initialized",
    // cubecl-runtime, LaunchError::OutOfMemory: ROCm's launch of a kernel.
    "An out-of-memory error happened during launch",
    // cubecl-server, driver.rs, DriverError: status 2 is that of CUDA and of ROCm for it, such as hipMalloc's.
    " failed with status 2\n",
    // cudarc, its error of the driver.
    "CUDA_ERROR_OUT_OF_MEMORY",
    // cubecl-metal, memory/storage.rs, which has no error of its own for it.
    "Failed to allocate Metal buffer of size",
    // cubecl-wgpu, compute/device_poison.rs, with wgpu's Error::OutOfMemory: buffers to read or write through.
    "wgpu error: Out of Memory",
    // wgpu-core, device/mod.rs, DeviceError::OutOfMemory: the queue's.
    "Not enough memory left.",
];

/// Words for a card that was lost.
const LOST: [&str; 3] = [
    // burn-std, device_settings.rs, ExecutionError::DevicePoisoned, and cubecl-runtime's ServerError and IoError.
    "The device is poisoned",
    // cubecl-runtime, LaunchError::DevicePoisoned.
    "The device was poisoned",
    // wgpu-core, device/mod.rs, DeviceError::Lost.
    "Parent device is lost",
];

impl CardFailure {
    /// The failure that the text of a panic tells of; `None` if it is of something else.
    pub(super) fn told_by(text: &str) -> Option<Self> {
        let has_one = |words: &[&str]| words.iter().any(|words| text.contains(words));
        // A card that was lost gives no memory, either.
        if has_one(&LOST) {
            Some(Self::Lost)
        } else if has_one(&OUT_OF_MEMORY) {
            Some(Self::OutOfMemory)
        } else {
            None
        }
    }

    /// Whether this thread is at work that is caught when it fails in this way.
    pub(super) fn is_caught(self) -> bool {
        CAUGHT.get().contains(&self)
    }
}

/// The innermost cause in the text of a failure, a line without the calls that led to it.
pub(super) fn cause(text: &str) -> &str {
    let said = text.split("\nBacktrace").next().unwrap_or(text);
    let innermost = said.rsplit("Caused by:").next().unwrap_or(said);
    innermost
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use burn::backend::ExecutionError;

    use super::*;

    /// The text of the panic of a tensor that cannot be read.
    fn panic(error: &ExecutionError) -> String {
        format!(
            "Error while reading data: use `try_into_data` instead to catch the error at runtime: {error:?}"
        )
    }

    #[test]
    fn a_value_that_cannot_be_read_for_lack_of_memory_is_recognised() {
        let error = ExecutionError::with_context(
            "The bytes were never written (failure #3, still claiming 2 buffer(s))\nCaused by:\n  An IO error \
             happened\nCaused by:\n  out of device memory allocating 1048576 bytes\nNo backtrace available\nAsked \
             at:\nNo backtrace available",
        );
        assert_eq!(
            CardFailure::told_by(&panic(&error)),
            Some(CardFailure::OutOfMemory)
        );
        for text in [
            "wgpu error: Out of Memory",
            "Error in Queue::submit: Not enough memory left.",
            "couldn't find resource for that handle: Memory location was never initialized\nNo backtrace available",
            "Unknown error happened during execution: hipMalloc failed with status 2\nNo backtrace available",
        ] {
            assert_eq!(CardFailure::told_by(text), Some(CardFailure::OutOfMemory));
        }
    }

    #[test]
    fn a_lost_card_is_recognised_with_its_cause() {
        let error = ExecutionError::device_poisoned(
            "The device is poisoned\nCaused by:\n  Unknown: the card has fallen off the bus\nBacktrace:\n   0: \
             main\n",
        );
        let text = panic(&error);
        assert_eq!(CardFailure::told_by(&text), Some(CardFailure::Lost));
        assert_eq!(cause(&text), "Unknown: the card has fallen off the bus");
        let text = "wgpu error: Validation Error\n\nCaused by:\n  In Queue::submit\n    Parent device is lost\n";
        assert_eq!(CardFailure::told_by(text), Some(CardFailure::Lost));
        assert_eq!(cause(text), "Parent device is lost");
    }

    #[test]
    fn other_panics_are_none_of_a_card() {
        let validation = ExecutionError::with_context(
            "A validation error happened during execution\nCaused by:\n  the shapes differ",
        );
        for text in [
            panic(&validation),
            "index out of bounds: the len is 3 but the index is 7".to_owned(),
            "cuLaunchKernel failed with status 201\nNo backtrace available".to_owned(),
            String::new(),
        ] {
            assert_eq!(CardFailure::told_by(&text), None, "{text}");
        }
    }

    #[test]
    fn failures_are_caught_as_long_as_the_work_lasts() {
        let caught = || [CardFailure::OutOfMemory, CardFailure::Lost].map(CardFailure::is_caught);
        assert_eq!(caught(), [false, false]);
        assert_eq!(catching_card_failures(caught).unwrap(), [true, true]);
        assert_eq!(catching_exhausted_cards(caught).unwrap(), [true, false]);
        let within = || {
            let inner = catching_exhausted_cards(caught).unwrap();
            (inner, caught())
        };
        assert_eq!(
            catching_card_failures(within).unwrap(),
            ([true, false], [true, true])
        );
        assert_eq!(caught(), [false, false]);
    }

    #[test]
    fn failures_are_caught_no_longer_after_a_panic() {
        let result: thread::Result<()> =
            catching_card_failures(|| std::panic::resume_unwind(Box::new("the driver is gone")));
        let panic = result.unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"the driver is gone"));
        assert!(!CardFailure::OutOfMemory.is_caught() && !CardFailure::Lost.is_caught());
    }

    #[test]
    fn other_threads_do_not_take_part() {
        let elsewhere = || thread::spawn(|| CardFailure::OutOfMemory.is_caught()).join();
        assert!(!catching_card_failures(elsewhere).unwrap().unwrap());
    }

    #[cfg(feature = "gpu")]
    #[test]
    fn the_errors_of_cubecl_still_have_these_words() {
        use burn_cubecl::cubecl::server::{IoError, LaunchError, ServerError};

        let too_large = IoError::BufferTooBig {
            size: 7,
            backtrace: Default::default(),
        };
        let none_left = IoError::OutOfMemory {
            size: 7,
            backtrace: Default::default(),
        };
        let too_many_sizes = IoError::PageSizesExhausted {
            size: 7,
            backtrace: Default::default(),
        };
        let launch = LaunchError::OutOfMemory {
            reason: "out of memory launching kernel matmul".to_owned(),
            backtrace: Default::default(),
        };
        for root in [
            ServerError::Io(too_large),
            ServerError::Io(none_left),
            ServerError::Io(too_many_sizes),
            ServerError::Launch(launch),
        ] {
            // As it comes up where a value is read that was computed from one that there was no memory for.
            let unwritten = ServerError::Unwritten {
                failure: 1,
                claimed: 1,
                chain: vec!["skipped: a kernel".to_owned()],
                root: Box::new(root),
                backtrace: Default::default(),
            };
            let text = panic(&ExecutionError::with_context(unwritten.to_string()));
            assert_eq!(
                CardFailure::told_by(&text),
                Some(CardFailure::OutOfMemory),
                "{text}"
            );
        }
    }
}
