//! Recipes out of files.

use std::path::Path;

use warmstart_files::{Key, read_text};
use warmstart_language::message;

use crate::command;
use crate::error::{Error, Problem};
use crate::keys::explained;
use crate::options::{Draft, Recipe};

/// Bytes of the longest recipe: far above any that a person writes.
const LONGEST_RECIPE: u64 = 1 << 20;

impl Draft {
    /// Reads a recipe as a user wrote it.
    ///
    /// # Errors
    /// If the file is missing or has an unknown key or a wrong type; names the line. If it is a folder,
    /// which is likely a data set.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            let fix = message!("for a data set, use {} {}", Key::DATA, command::word(path));
            return Err(
                Problem::new(message!("it is a folder, and a recipe is a file"))
                    .of_file(path)
                    .fix(fix)
                    .into(),
            );
        }
        let text =
            read_text(path, LONGEST_RECIPE).map_err(|error| Error::io("read", path, error))?;
        toml::from_str(&text).map_err(|error| mistake(path, &text, &error))
    }
}

impl Recipe {
    /// Reads a resolved recipe.
    ///
    /// # Errors
    /// If the file is missing or isn't one, or no run could work with it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            read_text(path, LONGEST_RECIPE).map_err(|error| Error::io("read", path, error))?;
        let recipe = Self::from_toml(path, &text)?;
        recipe.check()?;
        Ok(recipe)
    }

    /// A resolved recipe out of its text; errors name `path`.
    ///
    /// # Errors
    /// If it isn't one.
    pub fn from_toml(path: &Path, text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| mistake(path, text, &error))
    }
}

fn mistake(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let start = error.span().map_or(0, |span| span.start);
    Error::Recipe {
        path: path.to_owned(),
        line: text[..start.min(text.len())].matches('\n').count() + 1,
        mistake: Box::new(explained(error.message())),
    }
}
