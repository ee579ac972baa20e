//! Memory for tensors: whole cache lines, kept warm.
#![allow(unsafe_code, reason = "a global allocator deals in raw memory")]

mod arena;
mod card_failure;
mod exhausted;

use std::alloc::{GlobalAlloc, Layout, System};

use arena::{Arena, LINE};
pub use card_failure::{catching_card_failures, catching_exhausted_cards};
pub(crate) use exhausted::name_card;
pub use exhausted::{Continuation, explain_exhaustion, run_when_exhausted, translate_exhaustion};

/// Allocations of at least so many bytes come from the arena, tensors and the sums of tiles among them: whole
/// lines, because a register that is loaded or stored across two lines costs two accesses.
const LARGE: usize = 1024;

/// The system's allocator for small things, the arena for tensors. See
/// `docs/decisions/0005-an-arena-for-tensors.md`.
struct TensorAllocator;

#[global_allocator]
static ALLOCATOR: TensorAllocator = TensorAllocator;

static ARENA: Arena = Arena::new();

/// Returns the memory that no tensor uses to the system, e.g. between two phases, whose tensors
/// differ.
pub fn release_free_memory() {
    ARENA.release_free();
}

/// Bytes in use by tensors and any other allocation of at least 1 KiB.
pub fn memory_in_use() -> usize {
    ARENA.in_use()
}

/// Bytes of addresses that are reserved for tensors, in use or not; 0 if the system refused.
pub fn memory_reserved() -> usize {
    ARENA.reserved()
}

/// Largest [`memory_in_use`] since the last [`forget_memory_peak`], in bytes.
pub fn memory_peak() -> usize {
    ARENA.peak()
}

/// Restarts [`memory_peak`] from the bytes in use.
pub fn forget_memory_peak() {
    ARENA.forget_peak();
}

fn aligned(layout: Layout) -> Layout {
    match layout.size() {
        LARGE.. => layout.align_to(LINE).unwrap_or(layout),
        _ => layout,
    }
}

// SAFETY: memory of the arena is told by its address and goes back there; all other goes to the
// system's allocator, with a layout that depends on the caller's alone and is at least as aligned.
unsafe impl GlobalAlloc for TensorAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE
            && layout.align() <= LINE
            && let Some(block) = ARENA.allocate(layout.size())
        {
            return block.memory;
        }
        // SAFETY: the caller's promise is the system allocator's condition.
        let memory = unsafe { System.alloc(aligned(layout)) };
        if memory.is_null() {
            exhausted::exhausted();
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE
            && layout.align() <= LINE
            && let Some(block) = ARENA.allocate(layout.size())
        {
            let used_before = block.used_before.min(layout.size());
            // SAFETY: the block is at least as large as the layout, and nobody else has it. What is not
            // cleared was never written to since the system gave it, so it costs no page until it is used.
            unsafe { block.memory.write_bytes(0, used_before) };
            return block.memory;
        }
        // SAFETY: the caller's promise is the system allocator's condition.
        let memory = unsafe { System.alloc_zeroed(aligned(layout)) };
        if memory.is_null() {
            exhausted::exhausted();
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // A node of the arena's own lists is smaller, so this asks it nothing while it is at work.
        if layout.size() >= LARGE && ARENA.free(memory, layout.size()) {
            return;
        }
        // SAFETY: it came from the system's allocator, with this layout.
        unsafe { System.dealloc(memory, aligned(layout)) }
    }
}
