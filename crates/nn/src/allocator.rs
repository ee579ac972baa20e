//! Memory for tensors: whole cache lines, kept warm.
#![allow(
    unsafe_code,
    reason = "a global allocator and mallopt deal in raw memory"
)]

use std::alloc::{GlobalAlloc, Layout, System};

/// A cache line, and the widest register.
const LINE: usize = 64;
/// Allocations of so many bytes are worth aligning.
const LARGE: usize = 1024;

/// The system's allocator, with large allocations aligned to cache lines: a register that is loaded
/// or stored across two lines costs two accesses.
struct LineAllocator;

#[global_allocator]
static ALLOCATOR: LineAllocator = LineAllocator;

fn aligned(layout: Layout) -> Layout {
    match layout.size() {
        LARGE.. => layout.align_to(LINE).unwrap_or(layout),
        _ => layout,
    }
}

// SAFETY: every call goes to the system's allocator, with a layout that depends on the caller's
// alone, so that memory goes back the way it came; its alignment is at least the caller's.
unsafe impl GlobalAlloc for LineAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the system allocator's condition.
        unsafe { System.alloc(aligned(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(aligned(layout)) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above; `memory` came from the same layout.
        unsafe { System.dealloc(memory, aligned(layout)) }
    }
}

/// Tells glibc's allocator to keep what is freed, for the next step needs buffers of the same sizes:
/// a page that was given back costs the kernel a fault and a clearing when it is needed again. To be
/// called once, before the first large allocation. Other allocators are left as they are.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Larger than any activation: nothing is mapped, and unmapped, on its own.
        const LARGEST: libc::c_int = 1 << 30;
        // SAFETY: mallopt only sets numbers inside the allocator and takes its lock; any value is
        // allowed, and one that is not understood is refused.
        unsafe {
            // The second alone would switch off what the allocator finds out by itself.
            if libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST) == 1 {
                libc::mallopt(libc::M_TRIM_THRESHOLD, LARGEST);
            }
        }
    }
}
