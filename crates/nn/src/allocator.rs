//! Keeping freed memory warm.
#![allow(unsafe_code, reason = "mallopt is a C function")]

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
