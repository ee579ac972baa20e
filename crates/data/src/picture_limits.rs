//! Limits on one picture: a few bytes can claim any size, and any work.

use warmstart_language::message;

/// Largest picture, in pixels.
pub const MAX_PIXELS: u64 = 200_000_000;

/// Longest side of a picture, in pixels: each row has its own cost, however short it is.
pub(crate) const MAX_SIDE: u64 = 100_000;

/// Most memory that one picture may take while it is read, in bytes: its file, the decoder's buffers and
/// the pixels, in each thread that reads one.
pub(crate) const MAX_BYTES: u64 = 1280 << 20;

/// Memory that any picture may take, however small its file, in bytes: 134 megapixels of RGB, 36 of
/// RGBA of 16 bits.
const ANY_FILE_BYTES: u64 = 384 << 20;

/// Memory that each byte of a file allows beyond [`ANY_FILE_BYTES`], in bytes. Photographs have two to
/// fifteen pixels a byte.
const BYTES_A_BYTE: u64 = 64;

/// Most memory for each of a profile, a header's table and EXIF data, in bytes.
pub(crate) const MAX_METADATA_BYTES: u64 = 16 << 20;

/// Most scans of a JPEG. Encoders write 1 to 14.
pub(crate) const MAX_SCANS: u64 = 100;

/// Most pixels of a JPEG times its scans, each of which may go through all of them.
const MAX_SCANNED_PIXELS: u64 = 2_000_000_000;

/// Bytes that reading a picture may take whose file has so many.
pub(crate) fn limit(file_bytes: u64) -> u64 {
    let allowed = ANY_FILE_BYTES.saturating_add(file_bytes.saturating_mul(BYTES_A_BYTE));
    allowed.min(MAX_BYTES)
}

/// Refuses a picture of no pixels, more than [`MAX_PIXELS`], or a side above [`MAX_SIDE`].
pub(crate) fn require_size(width: u64, height: u64) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(message!("its size is {width}×{height}"));
    }
    if width.saturating_mul(height) > MAX_PIXELS {
        let limit = MAX_PIXELS / 1_000_000;
        return Err(message!(
            "{width}×{height} is above the limit of {limit} megapixels"
        ));
    }
    if width.max(height) > MAX_SIDE {
        return Err(message!(
            "{width}×{height} is above the limit of {MAX_SIDE} pixels a side"
        ));
    }
    Ok(())
}

/// Refuses a picture whose reading takes more bytes than its file allows.
pub(crate) fn require_bytes(
    (width, height): (usize, usize),
    bytes: u64,
    file_bytes: u64,
) -> Result<(), String> {
    let limit = limit(file_bytes);
    if bytes <= limit {
        return Ok(());
    }
    let [bytes, limit] = [bytes, limit].map(|bytes| bytes as f64 / 1e6);
    let file = file_bytes as f64 / 1e3;
    Err(message!(
        "reading its {width}×{height} pixels takes {bytes:.0} MB, more than the {limit:.0} MB that a file of {file:.0} kB may take"
    ))
}

/// Refuses a JPEG whose scans are more than encoders write, or go through too many pixels.
pub(crate) fn require_scans(scans: u64, pixels: u64) -> Result<(), String> {
    let most = MAX_SCANS.min(MAX_SCANNED_PIXELS / pixels.max(1)).max(1);
    if scans <= most {
        return Ok(());
    }
    Err(message!(
        "the JPEG has {scans} scans; at most {most} are read at its size"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_file_may_take_more_up_to_the_limit_of_all() {
        assert_eq!(limit(0), 384 << 20);
        assert_eq!(limit(1 << 20), 448 << 20);
        assert_eq!(limit(50 << 20), MAX_BYTES);
        assert_eq!(limit(u64::MAX), MAX_BYTES);
    }

    #[test]
    fn no_file_below_a_megabyte_may_take_a_gibibyte() {
        assert!(limit(1_000_000) + 2 * MAX_METADATA_BYTES < 1 << 29);
    }

    #[test]
    fn a_photograph_of_200_megapixels_is_read_and_turned() {
        // RGB, and once more while it is turned, beside 40 MB of JPEG.
        assert!(MAX_PIXELS * 6 + 40_000_000 <= limit(40_000_000));
    }

    #[test]
    fn sides_have_a_limit_beside_their_product() {
        assert!(require_size(100_000, 2_000).is_ok());
        assert!(require_size(100_001, 1).is_err());
        assert!(require_size(1, 100_001).is_err());
        assert!(require_size(0, 7).is_err());
        assert!(require_size(1 << 40, 1 << 40).is_err());
    }

    #[test]
    fn usual_numbers_of_scans_are_read_at_any_size() {
        assert!(require_scans(10, MAX_PIXELS).is_ok());
        assert!(require_scans(11, MAX_PIXELS).is_err());
        assert!(require_scans(100, 1000).is_ok());
        assert_eq!(
            require_scans(101, 1000).unwrap_err(),
            "the JPEG has 101 scans; at most 100 are read at its size"
        );
    }
}
