//! The key of cached features: everything that their bits depend on.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::UNIX_EPOCH;
use std::{fs, io};

use warmstart_data::{FeatureCache, FeatureCacheFolder, Preprocessing, Sample};
use warmstart_models::Architecture;
use warmstart_nn::Parameters;
use warmstart_nn::burn::tensor::Device;
use warmstart_recipe::{Phase, TaskKind};
use warmstart_tasks::task_data::{EvaluationSplit, TaskData};

/// Everything that cached features depend on.
pub struct FeatureKey<'a, L> {
    /// The kind of task.
    pub kind: TaskKind,
    /// The network.
    pub architecture: &'a Architecture,
    /// The network's parameters at the beginning of the phase.
    pub parameters: &'a Parameters,
    /// The phase.
    pub phase: &'a Phase,
    /// The images.
    pub data: &'a TaskData<L>,
    /// The preprocessing of an image.
    pub preprocessing: &'a Preprocessing,
    /// Seed of the run.
    pub seed: u64,
    /// The device that computes the features.
    pub device: &'a Device,
}

impl<L: Clone> FeatureKey<'_, L> {
    /// Shares of the features that are in `folder` already, each from 0 to 1: of the training images, under those of
    /// `views` views with the indices `places`, and of the validation images.
    pub fn kept(
        &self,
        boundary: usize,
        (views, places): (usize, &BTreeSet<usize>),
        folder: &FeatureCacheFolder,
    ) -> [f64; 2] {
        let find = |views: Option<usize>, beside: Option<&FeatureCache>| {
            let files = self.files(views);
            let name = self.name(boundary, &files, views).ok()?;
            folder.find(&name, files.len() * views.unwrap_or(1), beside)
        };
        let training = find(Some(views), None);
        let validation = find(None, training.as_ref());
        let images = self.data.train.len();
        let own = self.data.training();
        let entries = |place| own.iter().map(move |sample| place * images + sample);
        [
            share(training, places.iter().flat_map(entries).collect()),
            share(validation, self.data.evaluated(EvaluationSplit::Validation)),
        ]
    }

    /// The images whose features are cached: the training images with a number of views, else the validation images.
    pub(super) fn files(&self, views: Option<usize>) -> Vec<&Path> {
        let samples: &[Sample<L>] = match views {
            Some(_) => &self.data.train,
            None => self.data.split(EvaluationSplit::Validation),
        };
        samples.iter().map(|sample| sample.path.as_path()).collect()
    }

    /// A name that differs wherever the features' bits may.
    pub(super) fn name(
        &self,
        boundary: usize,
        files: &[&Path],
        views: Option<usize>,
    ) -> io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        // Another version's kernels may round otherwise.
        add(env!("CARGO_PKG_VERSION").as_bytes());
        add(warmstart_nn::simd_level().unwrap_or_default().as_bytes());
        add(format!("{:?}", self.device).as_bytes());
        add(&serde_json::to_vec(&self.kind)?);
        add(&serde_json::to_vec(self.preprocessing)?);
        if let Some(views) = views {
            add(&serde_json::to_vec(&(
                self.seed,
                // A phase that ends without mosaics has twice as many views.
                self.phase.views,
                views,
                &self.phase.augmentation,
            ))?);
            // Images that are mixed into others come from the same fold.
            let partners = self.data.partners();
            if let Some(partners) = partners.filter(|_| self.phase.augmentation.mixes()) {
                add(&serde_json::to_vec(partners)?);
            }
        }
        add_frozen_part(self.architecture, self.parameters, boundary, &mut add);
        for file in files {
            let metadata = fs::metadata(file)?;
            let modified = metadata
                .modified()?
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            add(file.as_os_str().as_encoded_bytes());
            add(&metadata.len().to_le_bytes());
            add(&modified.as_nanos().to_le_bytes());
        }
        Ok(hasher.finalize().to_hex()[..32].to_owned())
    }

    pub(super) fn description(&self, images: usize, views: Option<usize>) -> String {
        let split = match views {
            Some(1) => "training images, 1 view".to_owned(),
            Some(views) => format!("training images, {views} views"),
            None => "validation images".to_owned(),
        };
        format!(
            "{}, train {}: {images} {split}",
            self.architecture.name, self.phase.train
        )
    }
}

/// Adds everything that the features of a network's first stages depend on but the images: the layers, the paths
/// between them and their constants, and the parameters.
fn add_frozen_part(
    architecture: &Architecture,
    parameters: &Parameters,
    boundary: usize,
    add: &mut impl FnMut(&[u8]),
) {
    for stage in &architecture.stages[..boundary] {
        add(format!("{:?}", stage.graph()).as_bytes());
        for info in stage.parameters() {
            let values = parameters.values(&info.name);
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            add(info.name.as_bytes());
            add(&bytes);
        }
    }
}

/// Share of some entries that are in the cache; from 0 to 1.
fn share(cache: Option<FeatureCache>, entries: Vec<usize>) -> f64 {
    let Some(cache) = cache else { return 0.0 };
    let written = entries.iter().filter(|&&entry| cache.is_written(entry));
    written.count() as f64 / entries.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use warmstart_models::{by_name, records, with_record};
    use warmstart_nn::initialization::Initialization;

    use super::*;

    const BOUNDARY: usize = 4;

    fn key(architecture: &Architecture, parameters: &Parameters) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        add_frozen_part(architecture, parameters, BOUNDARY, &mut |bytes| {
            hasher.update(bytes);
        });
        hasher.finalize()
    }

    fn initialized(architecture: &Architecture) -> Parameters {
        let infos = architecture.backbone_parameters();
        let defaults = architecture.initialization();
        Initialization::default().parameters(&infos, &defaults, 1, &warmstart_nn::device())
    }

    #[test]
    fn every_parameter_below_the_boundary_changes_the_key_and_no_other() {
        for model in ["mobilenet_v3_small", "mobilenetv4_conv_small", "resnet18d"] {
            let architecture = by_name(model).unwrap();
            let parameters = initialized(&architecture);
            let before = key(&architecture, &parameters);
            let device = warmstart_nn::device();
            for (index, stage) in architecture.stages.iter().enumerate().take(BOUNDARY + 2) {
                for info in stage.parameters() {
                    let mut values = parameters.values(&info.name);
                    let last = values.last_mut().unwrap();
                    *last += 1.0;
                    let mut changed = parameters.clone();
                    changed.insert_values(&info.name, &info.shape, values, &device);
                    let is_other = key(&architecture, &changed) != before;
                    assert_eq!(is_other, index < BOUNDARY, "{model}: {}", info.name);
                }
            }
        }
    }

    #[test]
    fn constants_of_published_weights_change_the_key() {
        let architecture = by_name("efficientnet_b0").unwrap();
        let parameters = initialized(&architecture);
        let of_records = records("efficientnet_b0").map(|record| {
            let architecture = with_record("efficientnet_b0", record).unwrap();
            (record.numerics, key(&architecture, &parameters))
        });
        let of_records: Vec<_> = of_records.collect();
        let different: HashSet<_> = of_records.iter().map(|(_, key)| key).collect();
        assert!(different.len() > 1);
        for (numerics, hash) in &of_records {
            for (other, other_hash) in &of_records {
                assert_eq!(
                    numerics == other,
                    hash == other_hash,
                    "{numerics:?} {other:?}"
                );
            }
        }
    }
}
