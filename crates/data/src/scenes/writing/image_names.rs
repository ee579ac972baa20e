//! File names for images from different folders that are written into one.

use crate::folder::is_image;
use std::collections::HashSet;
use std::path::Path;

/// The names of one folder. No two differ only in their extension, since labels are found by what is
/// before it, nor only in upper and lower case, since not every file system distinguishes these.
#[derive(Default)]
pub(super) struct ImageNames {
    taken: HashSet<String>,
}

impl ImageNames {
    /// The name for an image, its own if possible, and whether it is another one.
    pub fn give(&mut self, image: &Path) -> (String, bool) {
        let own = image.file_name().unwrap_or_default().to_string_lossy();
        // Lists have a name a line, and hidden files do not count as images.
        let plain = own.replace(char::is_control, "_");
        let plain = plain.trim();
        let mut plain = match plain.strip_prefix('.') {
            Some(rest) => format!("_{rest}"),
            None => plain.to_owned(),
        };
        if !is_image(Path::new(&plain)) {
            // Readers recognise a picture's format by its content, but find it by its extension.
            plain += ".jpg";
        }
        let (stem, extension) = plain.rsplit_once('.').unwrap_or((&plain, "jpg"));
        let stem = stem.trim_end();
        let numbered = (2..).map(|number| format!("{stem}_{number}"));
        let mut stems = std::iter::once(stem.to_owned()).chain(numbered);
        let free = stems.find(|stem| self.taken.insert(stem.to_lowercase()));
        let name = format!("{}.{extension}", free.unwrap_or_default());
        let renamed = name != own;
        (name, renamed)
    }
}
