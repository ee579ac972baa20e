//! Conversion of a first layer to another number of input channels.

/// The numbers of channels that are converted into each other: grey, RGB, and RGB with one more.
const CHANNELS: [usize; 3] = [1, 3, 4];

/// Returns whether two convolution weights `[out, in, height, width]` differ only in their input channels,
/// and both numbers of channels can be converted.
pub(super) fn is_convertible(found: &[usize], expected: &[usize]) -> bool {
    let ([out, from, rest @ ..], [same_out, to, same_rest @ ..]) = (found, expected) else {
        return false;
    };
    rest.len() == 2
        && out == same_out
        && rest == same_rest
        && CHANNELS.contains(from)
        && CHANNELS.contains(to)
}

/// A convolution's weight `[out, from, height, width]`, in row-major order, converted to `to` input channels
/// as timm does (`adapt_input_conv` of `timm/models/_manipulate.py`): to one channel by summing, to more by
/// repeating the channels in turn, scaled by `from / to`, so that an image with equal channels gives the same
/// output as before. timm converts only from 3 channels; other numbers follow the same rule.
pub(super) fn converted(values: &[f32], from: usize, to: usize, shape: &[usize]) -> Vec<f32> {
    let area: usize = shape.iter().skip(2).product();
    let scale = from as f32 / to as f32;
    let filters = values.chunks_exact((from * area).max(1));
    let convert = |filter: &[f32]| -> Vec<f32> {
        if to == 1 {
            let sum = |place| {
                (0..from)
                    .map(|channel| filter[channel * area + place])
                    .sum()
            };
            return (0..area).map(sum).collect();
        }
        let channels = (0..to).flat_map(|channel| &filter[channel % from * area..][..area]);
        channels.map(|value| value * scale).collect()
    };
    filters.flat_map(convert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of timm's formula, computed by `tests/fixtures/spread_channels.py`.
    #[test]
    fn channels_are_converted_as_timm_does() {
        let text = include_str!("../../tests/fixtures/spread_channels.json");
        let cases: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        assert!(cases.len() >= 5);
        for case in cases {
            let numbers =
                |key: &str| -> Vec<f32> { serde_json::from_value(case[key].clone()).unwrap() };
            let extent = |key: &str| case[key].as_u64().unwrap() as usize;
            let (from, to) = (extent("from"), extent("to"));
            let found = converted(&numbers("weight"), from, to, &[2, to, 2, 2]);
            let expected = numbers("expected");
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{from} to {to}: {found}, {expected}"
                );
            }
        }
    }

    #[test]
    fn only_the_input_channels_may_differ() {
        assert!(is_convertible(&[8, 1, 3, 3], &[8, 3, 3, 3]));
        assert!(is_convertible(&[8, 4, 3, 3], &[8, 3, 3, 3]));
        assert!(!is_convertible(&[8, 2, 3, 3], &[8, 3, 3, 3]));
        assert!(!is_convertible(&[8, 1, 5, 5], &[8, 3, 3, 3]));
        assert!(!is_convertible(&[8, 1], &[8, 3]));
    }
}
