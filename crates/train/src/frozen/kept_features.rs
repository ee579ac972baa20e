//! The cached features of some images.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use warmstart_data::{FeatureCache, FeatureCacheFolder};
use warmstart_files::shown;
use warmstart_language::message;

use super::feature_key::{CachedImages, CachedPart, FeatureKey};

/// The cached features of some images, in one file or in one for each layer. The features of an image are the files'
/// entries one after the other, and are there if every file has its own.
pub(super) struct KeptFeatures {
    files: Vec<FeatureCache>,
    /// False after a failure to write: the run continues without writing.
    writes: AtomicBool,
}

impl KeptFeatures {
    /// Opens the files of `parts`, each with the number of values of an entry.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn open<'a, L: Clone>(
        key: &FeatureKey<'_, L>,
        parts: impl Iterator<Item = (&'a CachedPart, usize)>,
        images: CachedImages,
        folder: &FeatureCacheFolder,
        beside: Option<&Self>,
    ) -> io::Result<Self> {
        let mut files: Vec<FeatureCache> = Vec::new();
        for part in parts {
            let others = beside.iter().flat_map(|beside| &beside.files);
            let open: Vec<&FeatureCache> = files.iter().chain(others).collect();
            let file = key.open(part, images, folder, &open)?;
            files.push(file);
        }
        Ok(Self {
            files,
            writes: AtomicBool::new(true),
        })
    }

    /// Names of the files.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(FeatureCache::key)
    }

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.files.first().map_or(0, FeatureCache::entries)
    }

    /// Entries that every file has, whole or not: of a million, reading the features would take many seconds. A damaged
    /// one is found where it is [read](Self::read).
    pub fn written(&self) -> usize {
        let is_written = |entry: &usize| self.files.iter().all(|file| file.is_written(*entry));
        let entries = (0..self.entries()).into_par_iter();
        entries.filter(is_written).count()
    }

    /// The features at `entry`, if they are there and whole.
    pub fn read(&self, entry: usize) -> Option<Vec<f32>> {
        let mut features = Vec::new();
        for file in &self.files {
            features.extend(file.read(entry)?);
        }
        Some(features)
    }

    /// Keeps the features of an image, where a file does not have them yet. Returns a note on the first failure.
    pub fn write(&self, entry: usize, features: &[f32]) -> Option<String> {
        if !self.writes.load(Ordering::Relaxed) {
            return None;
        }
        let mut rest = features;
        for file in &self.files {
            let (own, others) = rest.split_at(file.values());
            rest = others;
            if file.read(entry).is_some() {
                continue;
            }
            if let Err(error) = file.write(entry, own) {
                self.writes.store(false, Ordering::Relaxed);
                return Some(message!(
                    "no more frozen features are cached in {}: {error}; missing ones are computed in every epoch",
                    shown(file.path())
                ));
            }
        }
        None
    }
}
