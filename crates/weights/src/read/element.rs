//! Element types, and their values as `f32`.

use half::{bf16, f16};

/// The element types that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElementType {
    F64,
    F32,
    F16,
    Bf16,
    /// Four bits of exponent, three of mantissa, no infinity.
    F8E4m3,
    /// Five bits of exponent, two of mantissa.
    F8E5m2,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
}

impl ElementType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F8E4m3 => "f8_e4m3",
            Self::F8E5m2 => "f8_e5m2",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::U16 => "u16",
            Self::U8 => "u8",
            Self::Bool => "bool",
        }
    }

    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F8E4m3 | Self::F8E5m2 | Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Little-endian `bytes` as `f32`; an incomplete last element is ignored.
    pub(super) fn to_f32(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F64 => cast(bytes, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => cast(bytes, f32::from_le_bytes),
            Self::F16 => cast(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => cast(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Self::F8E4m3 => cast(bytes, |b: [u8; 1]| e4m3(b[0])),
            Self::F8E5m2 => cast(bytes, |b: [u8; 1]| e5m2(b[0])),
            Self::I64 => cast(bytes, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => cast(bytes, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => cast(bytes, |b| f32::from(i16::from_le_bytes(b))),
            Self::I8 => cast(bytes, |b| f32::from(i8::from_le_bytes(b))),
            Self::U64 => cast(bytes, |b| u64::from_le_bytes(b) as f32),
            Self::U32 => cast(bytes, |b| u32::from_le_bytes(b) as f32),
            Self::U16 => cast(bytes, |b| f32::from(u16::from_le_bytes(b))),
            Self::U8 | Self::Bool => cast(bytes, |b: [u8; 1]| f32::from(b[0])),
        }
    }
}

fn cast<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|b| convert(*b))
        .collect()
}

/// Value of an FP8 number in E4M3 format (Micikevicius et al., arXiv 2209.05433, table 1): bias 7, no
/// infinity, NaN if all bits but the sign are set.
fn e4m3(bits: u8) -> f32 {
    let (exponent, mantissa) = (i32::from((bits >> 3) & 0xf), f32::from(bits & 7));
    let magnitude = match (exponent, bits & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa / 8.0 * 2f32.powi(-6),
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
    };
    if bits & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// Value of an FP8 number in E5M2 format (the same table): the upper byte of an IEEE half.
fn e5m2(bits: u8) -> f32 {
    f16::from_bits(u16::from(bits) << 8).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 1 of arXiv 2209.05433.
    #[test]
    fn numbers_of_eight_bits_are_those_of_the_table() {
        assert_eq!(e4m3(0x7e), 448.0);
        assert_eq!(e4m3(0x08), 2f32.powi(-6));
        assert_eq!(e4m3(0x07), 0.875 * 2f32.powi(-6));
        assert_eq!(e4m3(0x81), -(2f32.powi(-9)));
        assert_eq!(e4m3(0x38), 1.0);
        assert!(e4m3(0x7f).is_nan() && e4m3(0xff).is_nan());
        assert_eq!(e5m2(0x7b), 57344.0);
        assert_eq!(e5m2(0x04), 2f32.powi(-14));
        assert_eq!(e5m2(0x01), 2f32.powi(-16));
        assert_eq!(e5m2(0xbc), -1.0);
        assert_eq!(e5m2(0x7c), f32::INFINITY);
        assert!(e5m2(0x7d).is_nan());
    }
}
