//! What is to be fetched.

use crate::checksum::Checksum;

/// A published file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name for people, which is also its file's name here where its publisher states none.
    pub name: String,
    /// The file's name as published.
    pub file: Option<String>,
    /// Its address.
    pub url: Option<String>,
    /// Its repository on the Hugging Face Hub.
    pub hub: Option<Hub>,
    /// The SHA-256 of the published file, or its beginning.
    pub checksum: Option<Checksum>,
}

/// A repository of models on the Hugging Face Hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// Its name, `owner/name`.
    pub repository: String,
    /// Files in it that are weights, the preferred one first.
    pub files: Vec<String>,
}

/// Ends of names of files that are looked for under the source's own name.
const ENDS: [&str; 3] = ["safetensors", "pth", "bin"];

impl Source {
    /// The names that its file may have in a folder: the published one, and its own with the usual ends.
    pub fn file_names(&self) -> Vec<String> {
        let own = ENDS.map(|end| format!("{}.{end}", self.name));
        self.file.iter().cloned().chain(own).collect()
    }

    /// The name under which a file of that published name is kept.
    pub(crate) fn kept_name(&self, published: &str) -> String {
        let is_own = self.file.as_deref() == Some(published);
        let end = published.rsplit('.').next().unwrap_or_default();
        match is_own {
            true => published.to_owned(),
            false => format!("{}.{end}", self.name),
        }
    }

    /// The SHA-256 that its publisher states for a file of that name.
    pub(crate) fn checksum_of(&self, file: &str) -> Option<&Checksum> {
        let is_published = self.file.as_deref() == Some(file);
        self.checksum.as_ref().filter(|_| is_published)
    }
}

impl Hub {
    /// The address of its files for people.
    pub(crate) fn page(&self, endpoint: &str) -> String {
        format!("{endpoint}/{}", self.repository)
    }
}
