//! Tasks of rows, and the pixels that they read and write.

use std::ops::Range;

use crate::gather::Gather;

/// Source or destination values of a tile of rows: both stay in the L2 cache.
const TILE_VALUES: usize = 48 * 1024;

/// Destination rows of a tile, at least 1.
pub(super) fn rows_per_tile(gather: &Gather, channels: usize) -> usize {
    (TILE_VALUES / (gather.row_pixels() * channels).max(1)).max(1)
}

/// Rows of the destinations of all images.
pub(super) fn rows(gather: &Gather) -> usize {
    gather.batch * gather.vertical.positions
}

/// Destination pixels of the image rows in `rows`.
pub(super) fn pixels(gather: &Gather, rows: Range<usize>) -> Range<usize> {
    let width = gather.horizontal.positions;
    rows.start * width..rows.end * width
}

/// The rows of a task, in shares as even as possible.
pub(super) fn share(rows: usize, task: usize, tasks: usize) -> Range<usize> {
    task * rows / tasks..(task + 1) * rows / tasks
}

/// The smallest range that contains both.
pub(super) fn union(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b,
        (_, true) => a,
        _ => a.start.min(b.start)..a.end.max(b.end),
    }
}

/// The source row of each vertical tap that has one, and the index of the tap's first weight.
/// `start` is the address that source value 0 would have.
pub(super) fn source_rows(
    gather: &Gather,
    row: usize,
    channels: usize,
    start: *const f32,
    list: &mut Vec<(*const f32, usize)>,
) {
    let (vertical, horizontal) = (&gather.vertical, &gather.horizontal);
    let (image, y) = (row / vertical.positions, row % vertical.positions);
    list.clear();
    for (index, &tap) in vertical.taps.iter().enumerate() {
        if let Some(source) = vertical.source(y, tap) {
            let line = image * vertical.source_extent + source;
            let pointer = start.wrapping_add(line * horizontal.source_extent * channels);
            list.push((pointer, index * horizontal.taps.len()));
        }
    }
}
