//! Notes on evaluation images that the model has seen before.

use std::path::PathBuf;

use warmstart_files::shown;
use warmstart_language::message;
use warmstart_workflows::run_data::Seen;

use crate::printing::print_to_stderr;
use crate::progress::noted;

/// Most images that a note names.
const NAMED: usize = 3;

/// Warns of images that make the metrics of the model `who` optimistic, out of `images` in total.
pub fn warn_of_seen(who: &str, seen: &Seen, images: usize) {
    if let Some(words) = trained_on(who, seen, images) {
        print_to_stderr(message!("warning: {words}"));
    }
    if let Some(words) = chosen_by(who, seen, images) {
        print_to_stderr(noted(words));
    }
}

fn trained_on(who: &str, seen: &Seen, images: usize) -> Option<String> {
    let count = seen.trained_on.len();
    (count > 0).then(|| {
        message!(
            "{who} was trained on {count} of these {images} images, or on near-duplicates of them ({}): metrics on \
             them are optimistic",
            examples(&seen.trained_on)
        )
    })
}

fn chosen_by(who: &str, seen: &Seen, images: usize) -> Option<String> {
    let count = seen.chosen_by.len();
    (count > 0).then(|| {
        message!(
            "the epoch of {who} was chosen by {count} of these {images} images ({}): metrics on them are slightly \
             optimistic",
            examples(&seen.chosen_by)
        )
    })
}

fn examples(paths: &[PathBuf]) -> String {
    let mut named: Vec<String> = paths.iter().take(NAMED).map(|path| shown(path)).collect();
    if paths.len() > NAMED {
        named.push("…".to_owned());
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_counts_the_images_and_names_some() {
        let paths: Vec<PathBuf> = ["a", "b", "c", "d"].map(PathBuf::from).into();
        let seen = Seen {
            trained_on: paths.clone(),
            chosen_by: paths[..1].to_vec(),
        };
        let words = trained_on("runs/pets", &seen, 9).unwrap();
        assert!(
            words.contains("4 of these 9 images") && words.contains("(a, b, c, …)"),
            "{words}"
        );
        let words = chosen_by("runs/pets", &seen, 9).unwrap();
        assert!(
            words.contains("1 of these 9 images") && words.contains("(a)"),
            "{words}"
        );
        assert_eq!(trained_on("runs/pets", &Seen::default(), 9), None);
    }
}
