//! The size of a picture from the first bytes of its file.

use crate::error::DataError;
use crate::picture_header::picture_header;
use std::path::Path;

/// Width and height of what [`decode`](crate::decode()) makes of a file, in pixels, with its EXIF
/// orientation applied. Only the header is read, so the pixels after it may still be damaged.
///
/// # Errors
/// Those of [`picture_header`].
pub fn picture_size(path: &Path) -> Result<(usize, usize), DataError> {
    Ok(picture_header(path)?.upright())
}
