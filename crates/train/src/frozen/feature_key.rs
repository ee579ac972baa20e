//! The key of cached features: everything that their bits depend on.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use warmstart_data::{FeatureCache, FeatureCacheFolder, Preprocessing, Sample, stamp};
use warmstart_models::Architecture;
use warmstart_nn::Parameters;
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::devices::card_of;
use warmstart_recipe::{Phase, Precision, TaskKind};
use warmstart_tasks::network::INFERENCE_BATCH;
use warmstart_tasks::task_data::{EvaluationSplit, TaskData};

use crate::device::identity;

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
    /// The format that it computes in.
    pub precision: Precision,
}

/// The images of a file of features.
#[derive(Clone, Copy, Debug)]
pub enum CachedImages {
    /// The training images, under so many views.
    Views(usize),
    /// The training images, as images to evaluate on.
    Training,
    /// The validation images.
    Validation,
}

/// The features of a file.
#[derive(Clone, Debug)]
pub enum CachedPart {
    /// The result of the first stages, so many.
    Stages(usize),
    /// What is read of a layer ([`Tapped::means`](warmstart_models::Tapped::means)), which lies in the last of so many
    /// stages.
    Layer(String, usize),
}

impl CachedImages {
    /// Entries for each image.
    fn views(self) -> usize {
        match self {
            Self::Views(views) => views,
            Self::Training | Self::Validation => 1,
        }
    }
}

impl<L: Clone> FeatureKey<'_, L> {
    /// Share of the features that are in `folder` already, from 0 to 1: of the images to train on, under the views with
    /// the indices `places`, or of those to validate on. `beside` are files that are open at the same time.
    pub fn share_kept(
        &self,
        parts: &[CachedPart],
        images: CachedImages,
        places: &BTreeSet<usize>,
        (folder, beside): (&FeatureCacheFolder, &mut Vec<FeatureCache>),
    ) -> f64 {
        let files = self.files(images);
        let own = match images {
            CachedImages::Views(_) | CachedImages::Training => self.data.training(),
            CachedImages::Validation => self.data.evaluated(EvaluationSplit::Validation),
        };
        let count = files.len();
        let entries = |place| own.iter().map(move |sample| place * count + sample);
        let entries: Vec<usize> = places.iter().flat_map(entries).collect();
        let mut least = 1.0_f64;
        for part in parts {
            let find = || {
                let name = self.name(part, &files, images).ok()?;
                let open: Vec<&FeatureCache> = beside.iter().collect();
                folder.find(&name, files.len() * images.views(), &open)
            };
            let Some(found) = find() else { return 0.0 };
            least = least.min(share(&found, &entries));
            beside.push(found);
        }
        least
    }

    /// The images whose features are cached.
    fn files(&self, images: CachedImages) -> Vec<&Path> {
        let samples: &[Sample<L>] = match images {
            CachedImages::Views(_) | CachedImages::Training => &self.data.train,
            CachedImages::Validation => self.data.split(EvaluationSplit::Validation),
        };
        samples.iter().map(|sample| sample.path.as_path()).collect()
    }

    /// Opens the file of a part's features in `folder`, for entries of `values` values.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn open(
        &self,
        (part, values): (&CachedPart, usize),
        images: CachedImages,
        folder: &FeatureCacheFolder,
        beside: &[&FeatureCache],
    ) -> io::Result<FeatureCache> {
        let files = self.files(images);
        let name = self.name(part, &files, images)?;
        let description = self.description(part, files.len(), images);
        let entries = files.len() * images.views();
        folder.open(&name, &description, entries, values, beside)
    }

    /// A name that differs wherever the features' bits may.
    fn name(&self, part: &CachedPart, files: &[&Path], images: CachedImages) -> io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        // Another version's kernels may round otherwise.
        add(env!("CARGO_PKG_VERSION").as_bytes());
        add(warmstart_nn::simd_level().unwrap_or_default().as_bytes());
        add(identity(self.device, self.precision).as_bytes());
        if card_of(self.device).is_some() {
            // Shapes decide which kernels run.
            let images = self.phase.micro_batch().min(INFERENCE_BATCH);
            add(&(images as u64).to_le_bytes());
        }
        add(&serde_json::to_vec(&self.kind)?);
        add(&serde_json::to_vec(self.preprocessing)?);
        if let CachedImages::Views(views) = images {
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
        let stages = match part {
            CachedPart::Stages(stages) => *stages,
            CachedPart::Layer(name, stages) => {
                add(name.as_bytes());
                *stages
            }
        };
        add_frozen_part(self.architecture, self.parameters, stages, &mut add);
        for file in files {
            let stamp = stamp(file)?;
            let modified = stamp
                .modified
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            add(file.as_os_str().as_encoded_bytes());
            add(&stamp.bytes.to_le_bytes());
            add(&modified.as_nanos().to_le_bytes());
        }
        Ok(hasher.finalize().to_hex()[..32].to_owned())
    }

    fn description(&self, part: &CachedPart, files: usize, images: CachedImages) -> String {
        let of = match images {
            CachedImages::Views(1) => "training images, 1 view".to_owned(),
            CachedImages::Views(views) => format!("training images, {views} views"),
            CachedImages::Training => "training images".to_owned(),
            CachedImages::Validation => "validation images".to_owned(),
        };
        let part = match part {
            CachedPart::Stages(_) => format!("train {}", self.phase.train),
            CachedPart::Layer(name, _) => format!("layer {name}"),
        };
        format!("{}, {part}: {files} {of}", self.architecture.name)
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
fn share(cache: &FeatureCache, entries: &[usize]) -> f64 {
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
        for model in [
            "mobilenet_v3_small",
            "mobilenetv4_conv_small",
            "resnet18d",
            "convnext_atto",
            // Tokens, positions and layer norms.
            "vit_tiny_patch16_224",
            // Layer scales and registers.
            "vit_small_patch14_reg4_dinov2",
        ] {
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
    fn the_processor_has_the_words_that_caches_of_before_have() {
        let words = identity(&warmstart_nn::device(), Precision::F32);
        assert_eq!(words, "Device<Flex(Cpu)>");
    }

    #[test]
    fn the_way_in_which_positions_are_resized_changes_the_key() {
        // Two records of the same values and the same numerics, whose libraries resize positions otherwise.
        let own = by_name("vit_small_patch14_dinov2").unwrap();
        let timm = by_name("vit_small_patch14_dinov2.lvd142m").unwrap();
        assert_eq!(own.record.numerics, timm.record.numerics);
        let parameters = initialized(&own);
        assert_ne!(key(&own, &parameters), key(&timm, &parameters));
        let again = by_name("vit_small_patch14_dinov2").unwrap();
        assert_eq!(key(&own, &parameters), key(&again, &parameters));
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
