//! The language of what people read.
//!
//! English is in the code, where the compiler checks it: [`message!`] takes what `format!` takes. Every other language is
//! a [`Catalogue`], with the English literal as the key, which the program hands to [`speak`]. Programs read English
//! whatever the language is: names of keys and columns, recipes, and what model files hold are never translated.
//!
//! ```
//! use warmstart_language::message;
//!
//! let (images, folder) = (3, "photos");
//! assert_eq!(message!("{folder}: {images} images"), "photos: 3 images");
//! ```

mod catalogue;
mod width;
mod wrapping;

use std::sync::OnceLock;

pub use catalogue::Catalogue;
pub use warmstart_language_macros::message;
pub use width::{columns, cut, padded};
pub use wrapping::{bent, wrapped};

/// A language of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English, the language of the code.
    #[default]
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// The word for it, as in `--lang zh`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// The language of a locale, such as `zh_CN.UTF-8`; English where there is no catalogue for it.
    pub fn of_locale(locale: &str) -> Self {
        let word = locale.split(['_', '-', '.', '@']).next();
        let known = Self::ALL
            .into_iter()
            .find(|language| Some(language.word()) == word);
        known.unwrap_or_default()
    }
}

/// What this process speaks, where it is not English.
static SPOKEN: OnceLock<(Language, Catalogue)> = OnceLock::new();

/// Makes a language that of this process, with its catalogue. The first call counts.
pub fn speak(language: Language, catalogue: Catalogue) {
    let _ = SPOKEN.set((language, catalogue));
}

/// The language of this process: English until [`speak`] was called.
pub fn language() -> Language {
    SPOKEN
        .get()
        .map_or_else(Language::default, |spoken| spoken.0)
}

/// The message of the catalogue for an English literal; `None` in English, and for a literal that is not there.
pub fn translation(english: &str) -> Option<&'static str> {
    SPOKEN.get()?.1.messages.get(english).map(String::as_str)
}

/// A text of `--help` in the user's language: what is not in the catalogue is a word of the program, and stays.
pub fn help_text(english: &str) -> &str {
    let text = SPOKEN.get().and_then(|spoken| spoken.1.help.get(english));
    text.map_or(english, String::as_str)
}

/// A text of the catalogue with its placeholders filled, for [`message!`]: each by what stands between its braces. A
/// value that the operating system has said is in the user's language, too.
pub fn filled(text: &str, values: &[(&str, String)]) -> String {
    let system = SPOKEN.get().map(|spoken| &spoken.1.system);
    catalogue::filled(text, values, |value| {
        let translated = system.and_then(|system| system.get(value));
        translated.map_or(value, String::as_str)
    })
}

/// A text without placeholders in the user's language, for constants that [`english!`] marks, and for what a file has of
/// them.
pub fn translated(english: &str) -> &str {
    translation(english).unwrap_or(english)
}

/// A web page in the user's language: `{LANGUAGE}` in it becomes the language's name in HTML, and `{WORDS}` the words of
/// its script, an object of JSON.
pub fn page_in_words(page: &str, words: &str) -> String {
    // No word can end the script.
    let words = words.replace('<', "\\u003c");
    page.replace("{LANGUAGE}", translated("en"))
        .replace("{WORDS}", &words)
}

/// `1 image`, `2 images`. The catalogue has it under `{} images`.
pub fn counted(count: usize, noun: &str) -> String {
    match translation(&format!("{{}} {noun}s")) {
        None => {
            let plural = if count == 1 { "" } else { "s" };
            format!("{count} {noun}{plural}")
        }
        Some(translated) => filled(translated, &[("0", count.to_string())]),
    }
}

/// Marks a literal as a message for the catalogue, and is that literal. [`translated`] shows it.
#[macro_export]
macro_rules! english {
    ($english:literal) => {
        $english
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_names_its_language() {
        for locale in ["zh_CN.UTF-8", "zh", "zh-TW", "zh_HK.utf8"] {
            assert_eq!(Language::of_locale(locale), Language::Chinese);
        }
        for locale in ["", "C", "POSIX", "en_US.UTF-8", "de_DE", "zhx"] {
            assert_eq!(Language::of_locale(locale), Language::English);
        }
    }

    #[test]
    fn english_counts_one_and_many() {
        assert_eq!(counted(1, "image"), "1 image");
        assert_eq!(counted(0, "image"), "0 images");
    }
}
