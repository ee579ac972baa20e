//! One range of addresses whose pages, once touched, stay: the next step needs buffers of the same
//! sizes, and a fresh page costs a fault and a clearing.
#![allow(unsafe_code, reason = "the arena hands out raw memory")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A cache line in bytes, and the widest register.
pub(super) const LINE: usize = 64;

/// Addresses, not memory: only touched pages count.
#[cfg(target_os = "linux")]
const RESERVED: usize = 1 << 40;

/// Addresses that become memory at a time: whole huge pages.
const GROWTH: usize = 16 << 20;

/// Memory of the arena that nobody else has.
pub(super) struct Block {
    pub memory: *mut u8,
    /// Bytes at its start that were in use before. The rest is as the system gave it: zero.
    pub used_before: usize,
}

/// Blocks of whole cache lines, the smallest that fits first, neighbours joined when freed.
pub(super) struct Arena(Mutex<Blocks>);

/// Offsets and sizes in bytes.
struct Blocks {
    /// Address of offset 0, once there is one; 0 before, and where there can be none.
    start: usize,
    is_asked_for: bool,
    /// Nothing at or above it was ever handed out.
    top: usize,
    /// Everything below it may be read and written.
    writable: usize,
    reserved: usize,
    in_use: usize,
    /// Largest number of bytes in use at a time.
    peak: usize,
    by_offset: BTreeMap<usize, usize>,
    by_size: BTreeSet<(usize, usize)>,
}

impl Arena {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Blocks {
            start: 0,
            is_asked_for: false,
            top: 0,
            writable: 0,
            reserved: 0,
            in_use: 0,
            peak: 0,
            by_offset: BTreeMap::new(),
            by_size: BTreeSet::new(),
        }))
    }

    /// A block of at least `size` bytes that begins at a cache line, or `None` where there are no
    /// addresses left.
    pub(super) fn allocate(&self, size: usize) -> Option<Block> {
        let mut blocks = self.blocks();
        if !blocks.is_asked_for {
            blocks.is_asked_for = true;
            (blocks.start, blocks.reserved) = reserve();
        }
        let size = size.checked_next_multiple_of(LINE)?;
        let top_before = blocks.top;
        let offset = blocks.take(size)?;
        if blocks.top > blocks.writable && !blocks.make_writable() {
            blocks.put_back(offset, size);
            return None;
        }
        Some(Block {
            memory: std::ptr::with_exposed_provenance_mut(blocks.start + offset),
            used_before: top_before.saturating_sub(offset).min(size),
        })
    }

    /// Takes a block back, or returns false if it is not the arena's.
    pub(super) fn free(&self, memory: *mut u8, size: usize) -> bool {
        let mut blocks = self.blocks();
        let offset = match memory.addr().checked_sub(blocks.start) {
            Some(offset) if offset < blocks.reserved => offset,
            _ => return false,
        };
        blocks.put_back(offset, size.next_multiple_of(LINE));
        true
    }

    /// Gives the pages of free blocks back to the system.
    pub(super) fn release_free(&self) {
        let blocks = self.blocks();
        for (&offset, &size) in &blocks.by_offset {
            release(blocks.start + offset, size);
        }
    }

    /// Addresses that only tensors can use, in bytes.
    pub(super) fn reserved(&self) -> usize {
        self.blocks().reserved
    }

    /// Bytes in use.
    pub(super) fn in_use(&self) -> usize {
        self.blocks().in_use
    }

    /// Largest number of bytes in use at a time, since the last call of `forget_peak`.
    pub(super) fn peak(&self) -> usize {
        self.blocks().peak
    }

    pub(super) fn forget_peak(&self) {
        let mut blocks = self.blocks();
        blocks.peak = blocks.in_use;
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        // Nothing panics while the lock is held; and an allocator must not.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blocks {
    fn take(&mut self, size: usize) -> Option<usize> {
        let offset = self.find(size)?;
        self.in_use += size;
        self.peak = self.peak.max(self.in_use);
        Some(offset)
    }

    fn find(&mut self, size: usize) -> Option<usize> {
        if let Some(&(found, offset)) = self.by_size.range((size, 0)..).next() {
            self.remove(offset, found);
            if found > size {
                self.insert(offset + size, found - size);
            }
            return Some(offset);
        }
        // A free block at the top is part of the missing space.
        let last = self.by_offset.last_key_value();
        let last = last.map(|(&offset, &size)| (offset, size));
        let offset = match last {
            Some((offset, size)) if offset + size == self.top => offset,
            _ => self.top,
        };
        let top = offset
            .checked_add(size)
            .filter(|&top| top <= self.reserved)?;
        if let Some((last, size)) = last.filter(|&(last, _)| last == offset) {
            self.remove(last, size);
        }
        self.top = top;
        Some(offset)
    }

    /// Makes addresses writable only as they are handed out: a limit on data counts writable addresses.
    fn make_writable(&mut self) -> bool {
        let end = self.top.next_multiple_of(GROWTH).min(self.reserved);
        let grown = allow_writes(self.start + self.writable, end - self.writable);
        if grown {
            self.writable = end;
        }
        grown
    }

    fn put_back(&mut self, mut offset: usize, mut size: usize) {
        self.in_use -= size;
        if let Some((&before, &its_size)) = self.by_offset.range(..offset).next_back()
            && before + its_size == offset
        {
            self.remove(before, its_size);
            (offset, size) = (before, its_size + size);
        }
        if let Some(&behind) = self.by_offset.get(&(offset + size)) {
            self.remove(offset + size, behind);
            size += behind;
        }
        self.insert(offset, size);
    }

    fn insert(&mut self, offset: usize, size: usize) {
        self.by_offset.insert(offset, size);
        self.by_size.insert((size, offset));
    }

    fn remove(&mut self, offset: usize, size: usize) {
        self.by_offset.remove(&offset);
        self.by_size.remove(&(size, offset));
    }
}

/// Addresses for the arena and how many, or none.
#[cfg(target_os = "linux")]
fn reserve() -> (usize, usize) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // A limit on addresses may leave no room for as many.
    for reserved in [RESERVED, RESERVED >> 4, RESERVED >> 7] {
        // SAFETY: a new mapping of nothing, wherever the system wants it.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                reserved,
                libc::PROT_NONE,
                flags,
                -1,
                0,
            )
        };
        if start != libc::MAP_FAILED {
            // SAFETY: the mapping was just made. Advice that is not taken does no harm.
            unsafe { libc::madvise(start, reserved, libc::MADV_HUGEPAGE) };
            return (start.expose_provenance(), reserved);
        }
    }
    use_one_heap();
    (0, 0)
}

/// Lets all threads allocate from one heap of the C library. Where the arena got no addresses, the 64 MiB
/// of them that glibc reserves for each thread would take the rest.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn use_one_heap() {
    // SAFETY: it sets a number, and allocates nothing through this allocator, whose lock is held.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

#[cfg(all(target_os = "linux", not(target_env = "gnu")))]
fn use_one_heap() {}

/// Elsewhere the system's allocator does everything.
#[cfg(not(target_os = "linux"))]
fn reserve() -> (usize, usize) {
    (0, 0)
}

/// Makes a part of the arena's addresses writable; false if the system refuses.
fn allow_writes(start: usize, size: usize) -> bool {
    #[cfg(target_os = "linux")]
    {
        let pages = std::ptr::with_exposed_provenance_mut(start);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a part of the arena's mapping that nobody uses yet.
        unsafe { libc::mprotect(pages, size, access) == 0 }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (start, size);
        false
    }
}

/// Gives back the whole pages in a range that nobody uses.
fn release(start: usize, size: usize) {
    #[cfg(target_os = "linux")]
    {
        /// Largest page of any supported processor.
        const PAGE: usize = 64 * 1024;
        let first = start.next_multiple_of(PAGE);
        let end = (start + size) / PAGE * PAGE;
        if first < end {
            let pages = std::ptr::with_exposed_provenance_mut(first);
            // SAFETY: a free part of the arena's mapping; its contents mean nothing.
            unsafe { libc::madvise(pages, end - first, libc::MADV_DONTNEED) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, size);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(reserved: usize) -> Blocks {
        let arena = Arena::new();
        let mut blocks = arena.0.into_inner().unwrap();
        (blocks.is_asked_for, blocks.reserved) = (true, reserved);
        blocks.writable = reserved;
        blocks
    }

    #[test]
    fn a_freed_block_is_used_again_and_its_rest_stays_free() {
        let mut blocks = blocks(10_000);
        let [a, b] = [640, 64].map(|size| blocks.take(size).unwrap());
        assert_eq!((a, b), (0, 640));
        blocks.put_back(a, 640);
        assert_eq!(blocks.take(128), Some(0));
        assert_eq!(blocks.take(512), Some(128));
        assert_eq!(blocks.top, 704);
    }

    #[test]
    fn the_smallest_block_that_fits_is_taken() {
        let mut blocks = blocks(10_000);
        let offsets = [640, 64, 128, 64].map(|size| blocks.take(size).unwrap());
        blocks.put_back(offsets[0], 640);
        blocks.put_back(offsets[2], 128);
        assert_eq!(blocks.take(128), Some(offsets[2]));
    }

    #[test]
    fn free_neighbours_become_one_block() {
        let mut blocks = blocks(10_000);
        let offsets = [64, 64, 64].map(|size| blocks.take(size).unwrap());
        for index in [0, 2, 1] {
            blocks.put_back(offsets[index], 64);
        }
        assert_eq!(blocks.by_offset, BTreeMap::from([(0, 192)]));
        assert_eq!(blocks.by_size, BTreeSet::from([(192, 0)]));
        // A free block at the top grows.
        assert_eq!(blocks.take(256), Some(0));
        assert_eq!((blocks.top, blocks.by_offset.len()), (256, 0));
    }

    #[test]
    fn what_is_in_use_is_counted() {
        let mut blocks = blocks(10_000);
        let [a, b] = [640, 64].map(|size| blocks.take(size).unwrap());
        blocks.put_back(a, 640);
        assert_eq!((blocks.in_use, blocks.peak), (64, 704));
        blocks.take(128).unwrap();
        blocks.put_back(b, 64);
        assert_eq!((blocks.in_use, blocks.peak), (128, 704));
    }

    #[test]
    fn what_does_not_fit_is_left_to_others() {
        let mut blocks = blocks(256);
        assert_eq!(blocks.take(320), None);
        assert_eq!(blocks.take(256), Some(0));
        assert_eq!(blocks.take(64), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_what_was_in_use_before_needs_to_be_cleared() {
        let arena = Arena::new();
        let first = arena.allocate(8192).unwrap();
        assert_eq!(first.used_before, 0);
        // SAFETY: the block has so many bytes, and nobody else has it.
        unsafe { first.memory.write_bytes(7, 8192) };
        assert!(arena.free(first.memory, 8192));
        let again = arena.allocate(4096).unwrap();
        assert_eq!((again.memory, again.used_before), (first.memory, 4096));
        // The rest of the first block, and as much that is new.
        let grown = arena.allocate(8192).unwrap();
        assert_eq!(grown.used_before, 4096);
        // SAFETY: as above.
        let new = unsafe { std::slice::from_raw_parts(grown.memory.add(4096), 4096) };
        assert!(new.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn zeroed_memory_is_zero_whatever_was_there() {
        for size in [600, 5_000, 70_000, 3_000_000] {
            for _ in 0..3 {
                let mut bytes = vec![0u8; size];
                assert!(bytes.iter().all(|&byte| byte == 0), "{size}");
                bytes.fill(255);
            }
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn zeroed_memory_that_is_new_costs_nothing_until_it_is_used() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages = status.split_whitespace().nth(1).unwrap();
            pages.parse::<usize>().unwrap() * 4096
        };
        let before = resident();
        let bytes = vec![0u8; 2 << 30];
        assert!(resident() < before + (256 << 20));
        assert_eq!(bytes[1 << 30], 0);
    }

    #[test]
    fn memory_is_whole_lines_and_keeps_what_is_written() {
        let sizes = (1..40).map(|index| 60_000 + index * 1_111);
        let tensors: Vec<Vec<u8>> = sizes
            .zip(0..)
            .map(|(size, fill)| vec![fill; size])
            .collect();
        for (fill, tensor) in tensors.iter().enumerate() {
            assert!(tensor.iter().all(|&value| usize::from(value) == fill));
            assert_eq!(tensor.as_ptr().addr() % LINE, 0);
        }
    }
}
