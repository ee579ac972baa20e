//! What pictures share.

use std::io::Write as _;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Error;

/// Colours that differ in lightness too: Okabe and Ito, "Color Universal Design" (2008).
pub const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];
/// What drawing comes to.
pub type Drawn<'a> =
    Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// Writes an SVG of that size, in pixels.
///
/// # Errors
/// If the file cannot be written.
pub fn write(
    path: &Path,
    size: (u32, u32),
    draw: impl for<'a> Fn(&DrawingArea<SVGBackend<'a>, Shift>) -> Drawn<'a>,
) -> Result<(), Error> {
    let mut svg = String::new();
    let drawn = {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let drawn = root.fill(&WHITE).and_then(|()| draw(&root));
        let drawn = drawn.and_then(|()| root.present());
        drawn.map_err(|error| error.to_string())
    };
    let written = drawn.and_then(|()| {
        let written = warmstart_files::replace(path, |file| file.write_all(svg.as_bytes()));
        written.map_err(|error| error.to_string())
    });
    written.map_err(|problem| Error::Write {
        path: path.to_owned(),
        problem,
    })
}

/// Ten to the power of `exponent`. Exponents are what is drawn: the drawing library's own logarithmic axis
/// has no marks below 1e-15.
pub fn power(exponent: f64) -> String {
    match exponent.fract() == 0.0 {
        true => format!("1e{exponent}"),
        false => format!("{:.1e}", 10f64.powf(exponent)),
    }
}
