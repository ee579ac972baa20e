//! Buffers that are written once, by many tiles at a time, and scratch space that is reused.
#![allow(
    unsafe_code,
    reason = "tiles write disjoint, interleaved parts of one uninitialised buffer"
)]

use std::cell::RefCell;
use std::ops::Range;
use std::slice;

use rayon::prelude::*;

/// A buffer under construction that several threads write at disjoint places.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    start: *mut f32,
    len: usize,
}

// SAFETY: the pointer is only written through `at`, whose callers keep to disjoint places.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Output {
    /// An output for the values in `range`, at their own offsets, in a buffer with room for just
    /// them.
    pub(crate) fn of_range(buffer: &mut Vec<f32>, range: Range<usize>) -> Self {
        buffer.clear();
        buffer.reserve(range.len());
        Self {
            start: buffer.as_mut_ptr().wrapping_sub(range.start),
            len: range.end,
        }
    }

    /// The address of element 0, even if the buffer begins later.
    pub(crate) fn start(self) -> *mut f32 {
        self.start
    }

    /// The place of element `offset`.
    ///
    /// # Safety
    /// The buffer must be alive, `offset` not exceed its length, and no two threads may use the
    /// same place.
    #[inline(always)]
    pub(crate) unsafe fn at(self, offset: usize) -> *mut f32 {
        debug_assert!(offset <= self.len);
        // SAFETY: within the allocation, as the caller guarantees.
        unsafe { self.start.add(offset) }
    }
}

/// A result before its tiles have written it, without a first pass of zeros.
pub(crate) struct Unwritten(Vec<f32>);

impl Unwritten {
    pub(crate) fn new(len: usize) -> Self {
        Self(Vec::with_capacity(len))
    }

    pub(crate) fn output(&mut self) -> Output {
        Output {
            start: self.0.as_mut_ptr(),
            len: self.0.capacity(),
        }
    }

    /// The result.
    ///
    /// # Safety
    /// The first `len` values must have been written.
    pub(crate) unsafe fn written(mut self, len: usize) -> Vec<f32> {
        assert!(len <= self.0.capacity());
        // SAFETY: within the capacity, and written, as the caller guarantees.
        unsafe { self.0.set_len(len) };
        self.0
    }
}

/// Lends a buffer of `len` values that is reused from call to call. Its contents are arbitrary.
pub(crate) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local! {
        // A stack: a thread that waits for others may start another kernel in the meantime.
        static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
    }
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    let result = work(&mut buffer[..len]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

/// Cuts scratch space into buffers.
pub(crate) fn split<const BUFFERS: usize>(
    mut scratch: &mut [f32],
    lens: [usize; BUFFERS],
) -> [&mut [f32]; BUFFERS] {
    lens.map(|len| {
        let (buffer, rest) = std::mem::take(&mut scratch).split_at_mut(len);
        scratch = rest;
        buffer
    })
}

/// `images` times `image_len` values, each image cut into pieces of `piece_len` (the last may be
/// shorter). `work(image, piece, values)` gets each piece as zeros that are still in its cache.
pub(crate) fn zeroed_pieces(
    images: usize,
    image_len: usize,
    piece_len: usize,
    work: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let piece_len = piece_len.max(1);
    let pieces = image_len.div_ceil(piece_len);
    let mut values = Unwritten::new(images * image_len);
    let output = values.output();
    (0..images * pieces).into_par_iter().for_each(|index| {
        let (image, piece) = (index / pieces, index % pieces);
        let first = piece * piece_len;
        let len = piece_len.min(image_len - first);
        // SAFETY: pieces are disjoint and within the buffer, and zeroed before they are lent.
        let values = unsafe {
            let start = output.at(image * image_len + first);
            start.write_bytes(0, len);
            slice::from_raw_parts_mut(start, len)
        };
        work(image, piece, values);
    });
    // SAFETY: the pieces cover all values.
    unsafe { values.written(images * image_len) }
}
