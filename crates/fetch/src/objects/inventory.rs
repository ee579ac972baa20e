//! What lies in a copy, with the version of each object: by it, nothing is fetched twice.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::error::FetchError;

/// Name of the file that keeps it, in the copy's folder.
pub const INVENTORY: &str = ".warmstart-objects.json";
/// Folder of the files that are not whole yet, in the copy's folder.
pub const PARTS: &str = ".warmstart-parts";
/// Largest inventory that is read: that of tens of millions of objects.
const MOST_BYTES: u64 = 4 << 30;
/// Size of an object that a copy has begun to fetch: that of no file.
const AWAITED: u64 = u64::MAX;

/// The objects of a copy.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// Where they are from.
    address: String,
    /// Each by its name below the folder.
    pub objects: BTreeMap<String, Object>,
}

/// A version of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its size.
    pub bytes: u64,
    /// The server's name for its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When it was changed, in seconds since 1970; 0 where the server does not tell.
    #[serde(default)]
    pub modified: i64,
}

impl Object {
    /// What a server says of an object.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            bytes: meta.size,
            etag: meta.e_tag.clone(),
            modified: meta.last_modified.timestamp(),
        }
    }

    /// One that has not arrived yet.
    fn awaited() -> Self {
        Self {
            bytes: AWAITED,
            etag: None,
            modified: 0,
        }
    }

    /// Whether it has not arrived yet.
    pub fn is_awaited(&self) -> bool {
        self.bytes == AWAITED
    }

    /// Whether two are the same content, as far as anybody can tell. Where a server tells neither a version nor a time,
    /// nobody can.
    pub fn is_same(&self, other: &Self) -> bool {
        let is_same_version = match (&self.etag, &other.etag) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => self.modified != 0 && self.modified == other.modified,
        };
        self.bytes == other.bytes && is_same_version
    }
}

impl Inventory {
    /// The inventory of a folder that was copied from an address, with or without its last slashes; empty where none
    /// can be read.
    pub fn load(folder: &Path, address: &str) -> Self {
        let address = address.trim_end_matches('/');
        let read = warmstart_files::read(&folder.join(INVENTORY), MOST_BYTES).ok();
        let stored: Option<Self> = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let stored = stored.filter(|stored| stored.address.trim_end_matches('/') == address);
        stored.unwrap_or_else(|| Self {
            address: address.to_owned(),
            objects: BTreeMap::new(),
        })
    }

    /// Writes it, in one step.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn save(&self, folder: &Path) -> Result<(), FetchError> {
        let path = folder.join(INVENTORY);
        let saved = warmstart_files::replace(&path, |file| {
            let mut out = BufWriter::new(file);
            serde_json::to_writer(&mut out, self)?;
            out.flush()
        });
        saved.map_err(|error| FetchError::write(&path, error))
    }

    /// Notes names that are about to be fetched, so that no file of a copy that is killed is unknown to the next one;
    /// whether one of them is new.
    pub fn note<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> bool {
        let before = self.objects.len();
        for name in names {
            self.objects
                .entry(name.to_owned())
                .or_insert_with(Object::awaited);
        }
        self.objects.len() > before
    }

    /// The objects that have arrived.
    pub fn arrived(&self) -> impl Iterator<Item = &Object> {
        let objects = self.objects.values();
        objects.filter(|object| !object.is_awaited())
    }

    /// The version that lies in the folder under a name, if a file of its size is there.
    pub fn here(&self, folder: &Path, name: &str) -> Option<&Object> {
        let object = self.objects.get(name)?;
        let file = std::fs::symlink_metadata(folder.join(name)).ok()?;
        (file.is_file() && file.len() == object.bytes).then_some(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bytes: u64, etag: Option<&str>, modified: i64) -> Object {
        Object {
            bytes,
            etag: etag.map(str::to_owned),
            modified,
        }
    }

    #[test]
    fn versions_are_compared_by_etag_and_else_by_time() {
        let one = object(3, Some("a"), 7);
        assert!(one.is_same(&object(3, Some("a"), 8)));
        assert!(!one.is_same(&object(4, Some("a"), 7)));
        assert!(!one.is_same(&object(3, Some("b"), 7)));
        assert!(one.is_same(&object(3, None, 7)) && !one.is_same(&object(3, None, 8)));
        assert!(!object(3, None, 0).is_same(&object(3, None, 0)));
    }

    #[test]
    fn an_inventory_is_kept_and_one_of_another_address_or_damaged_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let mut inventory = Inventory::load(folder.path(), "s3://a");
        inventory
            .objects
            .insert("1.jpg".to_owned(), object(2, None, 5));
        inventory.save(folder.path()).unwrap();
        assert_eq!(Inventory::load(folder.path(), "s3://a"), inventory);
        assert!(Inventory::load(folder.path(), "s3://b").objects.is_empty());
        assert_eq!(inventory.here(folder.path(), "1.jpg"), None);
        std::fs::write(folder.path().join("1.jpg"), b"12").unwrap();
        assert!(inventory.here(folder.path(), "1.jpg").is_some());
        std::fs::write(folder.path().join("1.jpg"), b"123").unwrap();
        assert_eq!(inventory.here(folder.path(), "1.jpg"), None);
        std::fs::write(folder.path().join(INVENTORY), b"{").unwrap();
        assert!(Inventory::load(folder.path(), "s3://a").objects.is_empty());
    }

    #[test]
    fn an_inventory_is_that_of_an_address_with_and_without_its_last_slashes() {
        let folder = tempfile::tempdir().unwrap();
        for (saved, loaded) in [("s3://a/b/", "s3://a/b"), ("s3://a/b", "s3://a/b//")] {
            let mut inventory = Inventory::load(folder.path(), saved);
            inventory
                .objects
                .insert("1.jpg".to_owned(), object(2, None, 5));
            inventory.save(folder.path()).unwrap();
            let found = Inventory::load(folder.path(), loaded);
            assert_eq!(found.objects.len(), 1, "{saved} {loaded}");
        }
    }

    #[test]
    fn what_is_about_to_be_fetched_is_known_and_not_here() {
        let folder = tempfile::tempdir().unwrap();
        let mut inventory = Inventory::load(folder.path(), "s3://a");
        let here = object(2, None, 5);
        inventory.objects.insert("1.jpg".to_owned(), here.clone());
        assert!(inventory.note(["1.jpg", "2.jpg"].into_iter()));
        assert!(!inventory.note(["2.jpg"].into_iter()));
        inventory.save(folder.path()).unwrap();
        let inventory = Inventory::load(folder.path(), "s3://a");
        assert!(inventory.objects.contains_key("2.jpg"));
        assert_eq!(inventory.arrived().collect::<Vec<_>>(), [&here]);
        std::fs::write(folder.path().join("2.jpg"), b"12").unwrap();
        assert_eq!(inventory.here(folder.path(), "2.jpg"), None);
    }
}
