//! `data.yaml`, `images/<split>/` and `labels/<split>/`.

use super::split::{Split, create_folder, place_images, write_file};
use crate::error::DataError;
use std::fmt::Write;
use std::path::Path;

/// Writes all splits. `path` is left out of the `data.yaml`: then it is the folder of that file,
/// wherever that is moved.
pub(super) fn write(classes: &[String], splits: &[Split], out: &Path) -> Result<(), DataError> {
    let mut yaml = String::new();
    for split in splits {
        let _ = writeln!(yaml, "{0}: images/{0}", split.name);
        place_images(split, &out.join("images").join(split.name))?;
        let labels = out.join("labels").join(split.name);
        create_folder(&labels)?;
        for image in &split.images {
            let (width, height) = (image.scene.width as f64, image.scene.height as f64);
            let mut lines = String::new();
            for object in &image.objects {
                let (class, bounds) = (object.class, object.bounds);
                let x = (bounds.left + bounds.right) / 2.0 / width;
                let y = (bounds.top + bounds.bottom) / 2.0 / height;
                let (w, h) = (bounds.width() / width, bounds.height() / height);
                let _ = writeln!(lines, "{class} {x:.9} {y:.9} {w:.9} {h:.9}");
            }
            write_file(&labels.join(format!("{}.txt", image.stem())), lines)?;
        }
    }
    yaml += "names:\n";
    for (index, class) in classes.iter().enumerate() {
        // A text in JSON is one in YAML, too.
        let _ = writeln!(yaml, "  {index}: {}", serde_json::Value::from(&class[..]));
    }
    write_file(&out.join("data.yaml"), yaml)
}
