//! The parts that all pictures share.

use std::fs;
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
/// The end of every picture and page, which marks it as warmstart's.
pub const MARK: &str = "\n<!-- drawn by warmstart -->\n";
/// Largest file, in bytes, that is searched for the mark.
const LARGEST: u64 = 64 << 20;

/// The result of drawing.
pub type Drawn<'a> =
    Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// Refuses a path where a picture or a page cannot be written, or where something is that is neither of warmstart's.
/// To be called before the work that it shows.
///
/// # Errors
/// If its folder is missing, or something else is there.
pub fn require_place(path: &Path) -> Result<(), Error> {
    require_place_of(path, MARK)
}

/// [`require_place`] for what has that mark at its end.
pub fn require_place_of(path: &Path, mark: &str) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(Error::NoFolder {
            path: path.to_owned(),
            folder: folder.to_owned(),
        });
    }
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let read = warmstart_files::read(path, LARGEST);
    if read.is_ok_and(|bytes| bytes.ends_with(mark.as_bytes())) {
        return Ok(());
    }
    Err(Error::Occupied {
        path: path.to_owned(),
    })
}

/// A character as XML 1.0 allows it (section 2.2, "Char"), or the replacement character.
fn allowed(letter: char) -> char {
    match letter {
        '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'.. => letter,
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// Writes an SVG of that size, in pixels.
///
/// # Errors
/// If the file cannot be written, or something else is there.
pub fn write(
    path: &Path,
    size: (u32, u32),
    draw: impl for<'a> Fn(&DrawingArea<SVGBackend<'a>, Shift>) -> Drawn<'a>,
) -> Result<(), Error> {
    require_place(path)?;
    let mut svg = String::new();
    let drawn = {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let drawn = root.fill(&WHITE).and_then(|()| draw(&root));
        let drawn = drawn.and_then(|()| root.present());
        drawn.map_err(|error| error.to_string())
    };
    let svg: String = svg.chars().map(allowed).collect::<String>() + MARK;
    let written = drawn.and_then(|()| {
        let written = warmstart_files::replace(path, |file| file.write_all(svg.as_bytes()));
        written.map_err(|error| error.to_string())
    });
    written.map_err(|problem| Error::Write {
        path: path.to_owned(),
        problem,
    })
}

/// Ten to the power of `exponent`, as a label. The axes are drawn over exponents, because the drawing library's own
/// logarithmic axis has no marks below 1e-15.
pub fn power(exponent: f64) -> String {
    if exponent.fract() == 0.0 {
        format!("1e{exponent}")
    } else {
        format!("{:.1e}", 10f64.powf(exponent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(path: &Path) -> Result<(), Error> {
        write(path, (80, 40), |root| {
            root.draw(&Text::new(
                "a\u{1b}\u{0}\u{ffff}<b",
                (5, 5),
                ("sans-serif", 9),
            ))
        })
    }

    #[test]
    fn a_picture_holds_only_what_xml_allows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("picture.svg");
        draw(&path).unwrap();
        let svg = fs::read_to_string(&path).unwrap();
        assert!(svg.contains("a\u{fffd}\u{fffd}\u{fffd}&lt;b"), "{svg}");
    }

    #[test]
    fn only_a_picture_of_ours_is_drawn_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("picture.svg");
        require_place(&path).unwrap();
        draw(&path).unwrap();
        draw(&path).unwrap();
        fs::write(&path, "<svg/>").unwrap();
        let error = draw(&path).unwrap_err().to_string();
        assert!(
            error.contains("did not write it as a picture or page of this kind"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "<svg/>");
        let error = require_place(&dir.path().join("no/picture.svg"));
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("there is no folder")
        );
    }
}
