//! A published file on this machine.

use std::path::PathBuf;

use crate::error::FetchError;
use crate::hub::Repository;
use crate::places::Places;
use crate::source::Source;

/// A file on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// The kind of place that it lies in.
    pub place: Place,
}

/// The kinds of places, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The folder that the user names.
    Folder,
    /// Our cache.
    Cache,
    /// The cache of the Hugging Face Hub.
    HubCache,
}

/// The path of the file of a source on this machine. It is not verified.
///
/// # Errors
/// If it is not on this machine.
pub fn locate(source: &Source, places: &Places) -> Result<PathBuf, FetchError> {
    let found = find(source, places).map(|found| found.path);
    found.ok_or_else(|| FetchError::missing(source, places, Vec::new()))
}

/// The file of a source, if it is on this machine. It is not verified.
pub fn find(source: &Source, places: &Places) -> Option<Found> {
    let in_folder = |folder: &Option<PathBuf>, place| {
        let folder = folder.as_ref()?;
        let names = source.file_names().into_iter();
        let path = names.map(|name| folder.join(name)).find(|it| it.is_file());
        path.map(|path| Found { path, place })
    };
    in_folder(&places.folder, Place::Folder)
        .or_else(|| in_folder(&places.cache, Place::Cache))
        .or_else(|| in_hub_cache(source, places))
}

fn in_hub_cache(source: &Source, places: &Places) -> Option<Found> {
    let hub = source.hub.as_ref()?;
    let repository = Repository::new(places.hub_cache.as_ref()?, &hub.repository);
    let path = hub.files.iter().find_map(|file| repository.find(file))?;
    let place = Place::HubCache;
    Some(Found { path, place })
}
