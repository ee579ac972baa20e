//! The values of `tests/fixtures/formula.py`, which fill networks here and in PyTorch alike.

use warmstart_nn::{Kind, ParameterInfo};

/// `formula.py`'s uniform values in [0, 1).
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    (0..count as u64).map(move |index| {
        let mut z = hash.wrapping_add(index).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1u32 << 24)
    })
}

/// Values from `low` to `low + width`.
pub fn between(name: &str, count: usize, low: f64, width: f64) -> Vec<f32> {
    uniform(name, count)
        .map(|u| (low + width * u) as f32)
        .collect()
}

/// Values from −bound to bound.
pub fn symmetric(name: &str, count: usize, bound: f64) -> Vec<f32> {
    uniform(name, count)
        .map(|u| ((2.0 * u - 1.0) * bound) as f32)
        .collect()
}

/// The values of a parameter (`tests/fixtures/README.md`); `ends_branch` for the scale of a branch's last norm.
pub fn formula(info: &ParameterInfo, ends_branch: bool) -> Vec<f32> {
    let (name, count) = (&info.name, info.shape.iter().product());
    match info.kind {
        Kind::ConvWeight => {
            let fan_in: usize = info.shape[1..].iter().product();
            symmetric(name, count, (6.0 / fan_in as f64).sqrt())
        }
        Kind::LinearWeight => symmetric(name, count, (3.0 / info.shape[1] as f64).sqrt()),
        Kind::ConvBias | Kind::LinearBias | Kind::PriorBias => symmetric(name, count, 0.1),
        Kind::NormScale if ends_branch => between(name, count, 0.25, 0.5),
        Kind::NormScale | Kind::RunningVariance => between(name, count, 0.5, 1.0),
        Kind::NormShift | Kind::RunningMean => symmetric(name, count, 0.2),
        Kind::LayerScale => between(name, count, 0.25, 0.5),
        Kind::Token => symmetric(name, count, 1.0),
        Kind::ResponseScale => symmetric(name, count, 0.5),
    }
}
