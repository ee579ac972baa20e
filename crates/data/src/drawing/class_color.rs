//! Distinct colours for classes.

/// The step by which every next hue falls into a large gap of the circle, however many there are.
const GOLDEN_ANGLE: f64 = 137.507_764_050_037_85;

/// Red.
const FIRST_HUE: f64 = 25.0;

/// Classes whose hues are close are 8, 13 or 34 apart, so that turns of three give most of them
/// another lightness: the nearest two of 20 classes are three times as far apart as with one.
const LIGHTNESS: [f64; 3] = [0.65, 0.85, 0.5];

/// The 8-bit sRGB colour of a class: the most vivid of its hue and lightness in OKLCh.
pub fn class_color(class: usize) -> [u8; 3] {
    let hue = (FIRST_HUE + class as f64 * GOLDEN_ANGLE).to_radians();
    let lightness = LIGHTNESS[class % LIGHTNESS.len()];
    let color = |chroma: f64| linear_rgb(lightness, chroma * hue.cos(), chroma * hue.sin());
    // No sRGB colour has a chroma above 0.33.
    let (mut shown, mut beyond) = (0.0, 0.4);
    for _ in 0..20 {
        let chroma = f64::midpoint(shown, beyond);
        if color(chroma).iter().all(|part| (0.0..=1.0).contains(part)) {
            shown = chroma;
        } else {
            beyond = chroma;
        }
    }
    color(shown).map(|part| (encoded(part) * 255.0).round() as u8)
}

/// Black or white, whichever has the higher contrast ratio with that colour (WCAG 2.2, "contrast
/// ratio" and "relative luminance").
pub fn text_on([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let luminance = 0.2126 * decoded(red) + 0.7152 * decoded(green) + 0.0722 * decoded(blue);
    let with_black = (luminance + 0.05) / 0.05;
    let with_white = 1.05 / (luminance + 0.05);
    if with_black > with_white {
        [0; 3]
    } else {
        [255; 3]
    }
}

/// OKLab to linear sRGB (Ottosson 2020, "A perceptual color space for image processing").
fn linear_rgb(lightness: f64, a: f64, b: f64) -> [f64; 3] {
    let long = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let medium = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let short = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * long - 3.307_711_591_3 * medium + 0.230_969_929_2 * short,
        -1.268_438_004_6 * long + 2.609_757_401_1 * medium - 0.341_319_396_5 * short,
        -0.004_196_086_3 * long - 0.703_418_614_7 * medium + 1.707_614_701_0 * short,
    ]
}

/// The transfer function of sRGB (IEC 61966-2-1), 0 to 1.
fn encoded(linear: f64) -> f64 {
    if linear <= 0.003_130_8 {
        12.92 * linear
    } else {
        1.055 * linear.powf(1.0 / 2.4) - 0.055
    }
}

/// The inverse of [`encoded`] for an 8-bit value.
fn decoded(value: u8) -> f64 {
    let value = f64::from(value) / 255.0;
    if value <= 0.040_45 {
        value / 12.92
    } else {
        ((value + 0.055) / 1.055).powf(2.4)
    }
}
