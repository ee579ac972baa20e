//! Records: weights that somebody published for an architecture, and what a network has to share with them.

use std::fmt;
use std::sync::LazyLock;

use serde::Deserialize;
use warmstart_nn::ops::Padding;
use warmstart_nn::{Activation, BatchNorm, Unit};

/// The filter that resizes pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Linear between two pixels.
    Bilinear,
    /// Cubic over four pixels.
    Bicubic,
}

/// The preprocessing with which published weights were trained and evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pretrained {
    /// Edge of the square image that goes into the network, in pixels.
    pub image_size: usize,
    /// Edge of the centre crop as a share of the resized shorter side.
    pub crop: f64,
    /// The filter of the resizing, antialiased as Pillow has it.
    pub interpolation: Interpolation,
    /// Subtracted mean by channel (red, green, blue) of pixels in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation by channel, by which pixels are divided.
    pub deviation: [f32; 3],
}

impl Pretrained {
    /// Shorter side, in pixels, to which a picture is resized before a square of `image_size` is cropped out of it.
    pub fn resized(&self, image_size: usize) -> usize {
        (image_size as f64 / self.crop).round() as usize
    }
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        })
    }
}

/// Constants of a network that are in no file of its weights, but change its results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numerics {
    /// Added to the variance of each batch norm or layer norm.
    pub epsilon: f32,
    /// Share of a new batch in the running statistics; without a batch norm it has no effect.
    pub momentum: f64,
    /// Whether convolutions pad as TensorFlow does: [`Padding::Same`].
    pub same_padding: bool,
}

impl Numerics {
    /// A unit of a square kernel with these constants, whose padding keeps the size at stride 1. `names` are those of
    /// the convolution and of its batch norm.
    pub(crate) fn unit(
        &self,
        names: [&str; 2],
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
        activation: Activation,
    ) -> Unit {
        let [conv, norm] = names;
        let mut unit = Unit::with_bias(conv, channels, kernel, stride, groups, activation);
        unit.norm = Some(BatchNorm {
            name: norm.to_owned(),
            momentum: self.momentum,
        });
        unit.spec.epsilon = self.epsilon;
        // At stride 1, an odd kernel is padded alike on each side anyway.
        if self.same_padding && stride > 1 {
            unit.spec.conv.padding = Padding::Same;
        }
        unit
    }
}

/// Weights that somebody published for an architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its name, `architecture.tag` as its publisher calls them, such as `mobilenet_v2.imagenet1k_v1`.
    pub name: String,
    /// Name of the architecture here.
    pub architecture: String,
    /// The library that published it.
    pub library: String,
    /// The preprocessing that it expects.
    pub pretrained: Pretrained,
    /// The constants that it was trained with.
    pub numerics: Numerics,
    /// Classes of its classifier or detector; 0 if it has none.
    pub classes: usize,
    /// Published accuracy on ImageNet's validation images, in percent.
    pub top1: Option<f64>,
    /// Published average precision (mAP@[.5:.95]) on COCO's validation images, in percent.
    pub ap: Option<f64>,
    /// Licence of the weights, where the publisher states one.
    pub license: Option<String>,
    /// Values of the whole network, its classifier included, where the publisher states their number.
    pub parameters: Option<usize>,
    /// The published file.
    pub file: PublishedFile,
}

/// The file of published weights. What its publisher does not state is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublishedFile {
    /// Its name.
    pub name: Option<String>,
    /// Its address.
    pub url: Option<String>,
    /// The repository on the Hugging Face Hub that has the weights, in a file of its own.
    pub hub: Option<String>,
    /// The Python package that contains it.
    pub package: Option<String>,
    /// Its SHA-256 in hexadecimal digits, or the beginning of it, which ends its name.
    pub sha256: Option<String>,
    /// Its size in bytes; rounded where the publisher rounds it.
    pub bytes: Option<u64>,
}

/// Every record, as `tests/fixtures/make_records.py` found them in the publishers' packages.
static RECORDS: LazyLock<Vec<Record>> = LazyLock::new(|| {
    let entries: Vec<Entry> = serde_json::from_str(include_str!("../records.json"))
        .expect("the records are valid: a test reads them");
    entries.into_iter().map(Entry::record).collect()
});

/// Every record; those of an architecture are neighbours.
pub fn all() -> &'static [Record] {
    &RECORDS
}

/// A record in the file. A field that its publisher does not state is not there.
#[derive(Deserialize)]
struct Entry {
    name: String,
    network: String,
    library: String,
    /// torchvision: the shorter side after resizing, and the crop.
    resize: Option<usize>,
    crop: Option<usize>,
    /// timm: `[channels, height, width]`, and the crop's share of the shorter side.
    input: Option<[usize; 3]>,
    crop_pct: Option<f64>,
    interpolation: Option<Interpolation>,
    mean: [f32; 3],
    std: [f32; 3],
    padding: EntryPadding,
    eps: f32,
    momentum: f64,
    classes: usize,
    top1: Option<f64>,
    ap: Option<f64>,
    license: Option<String>,
    parameters: Option<usize>,
    file: Option<String>,
    url: Option<String>,
    hf_hub: Option<String>,
    package: Option<String>,
    sha256: Option<String>,
    /// As torch.hub's names of files have it.
    sha256_prefix: Option<String>,
    bytes: Option<u64>,
    /// torchvision: the size, to three decimals.
    mebibytes: Option<f64>,
}

#[derive(PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EntryPadding {
    Symmetric,
    Same,
}

/// Bytes of a mebibyte.
const MEBIBYTE: f64 = 1024.0 * 1024.0;
/// timm's defaults for what a configuration leaves out.
const SIZE: usize = 224;
const CROP: f64 = 0.875;

impl Entry {
    fn record(self) -> Record {
        let image_size = self.crop.or(self.input.map(|[_, height, _]| height));
        let image_size = image_size.unwrap_or(SIZE);
        let crop = match self.resize {
            Some(resize) => image_size as f64 / resize as f64,
            None => self.crop_pct.unwrap_or(CROP),
        };
        let rounded = self.mebibytes.map(|size| (size * MEBIBYTE).round() as u64);
        Record {
            name: self.name,
            architecture: self.network,
            library: self.library,
            pretrained: Pretrained {
                image_size,
                crop,
                interpolation: self.interpolation.unwrap_or(Interpolation::Bicubic),
                mean: self.mean,
                deviation: self.std,
            },
            numerics: Numerics {
                epsilon: self.eps,
                momentum: self.momentum,
                same_padding: self.padding == EntryPadding::Same,
            },
            classes: self.classes,
            top1: self.top1,
            ap: self.ap,
            license: self.license,
            parameters: self.parameters,
            file: PublishedFile {
                name: self.file,
                url: self.url,
                hub: self.hf_hub,
                package: self.package,
                sha256: self.sha256.or(self.sha256_prefix),
                bytes: self.bytes.or(rounded),
            },
        }
    }
}
