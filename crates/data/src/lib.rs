//! From folders of images to the numbers a network takes.
//!
//! ```text
//! folder ─ open ─▶ samples ─ check ─▶ readable samples ─ order, Batches ─────▶ Loader ─▶ pixels
//!                                                          decode → resize → normalise ┘
//! ```
//!
//! [`open`] finds the images and their classes, [`check()`] decodes each once so that a damaged file
//! is found before training and keeps a [`Sketch`] by which copies are recognised, and a [`Loader`] prepares
//! batches beside the training on threads of its own. [`evaluation_pixels`] gives the pixels that
//! Pillow and torchvision would give, so that a pretrained network sees what it was trained on;
//! [`training_pixels`] gives a random view, and [`Augmentation::mixing`] chooses the part of another
//! image that goes into it. Everything random is a function of (seed, epoch, sample, purpose): see [`random`].
//!
//! [`survey()`] reports whatever in a data set makes training or its figures worse.
//!
//! [`scenes::open`] opens detection data of any layout, which takes the same path with a [`Scene`] as
//! its label.
//!
//! [`draw_boxes`] and [`crop`] show detected objects, and [`save_picture`] writes the picture.
//!
//! This crate knows nothing of tensors: its results are `Vec<f32>` in `[height, width, channel]`
//! order.

mod augmentation;
mod batches;
mod check;
mod check_cache;
mod class_folder_search;
mod class_folders;
mod class_layout;
mod class_list;
mod class_shards;
mod class_table;
mod color_jitter;
mod copies;
mod dataset;
mod decode;
mod drawing;
mod encode;
mod erasing;
mod error;
mod feature_cache;
mod file_types;
mod folder;
mod folder_names;
mod from_the_end;
mod held_out;
mod labelled_pictures;
mod labels_among_pictures;
mod letterbox;
mod linked;
mod listed_images;
mod loader;
mod mixing;
mod needed;
mod packed;
mod parquet_data;
mod permutation;
mod picture_file;
mod picture_header;
mod picture_limits;
mod picture_lists;
mod placement;
mod preprocessing;
pub mod rand_augment;
pub mod random;
mod random_region;
mod random_view;
mod resize;
mod rgb_image;
mod sample;
mod scaled_jpeg;
mod scene;
mod scene_augmentation;
pub mod scenes;
mod sketch;
mod skipped;
mod split_kind;
mod stratification;
mod survey;
mod text;
mod webp_chunks;

pub use augmentation::{Augmentation, training_pixels, training_pixels_of};
pub use batches::Batches;
pub use check::{Checked, SKETCHED, check, check_cached, require_readable};
pub use check_cache::CheckCache;
pub use color_jitter::{Adjustment, adjust};
pub use copies::copies;
pub use dataset::{Dataset, Split, is_listed, open, open_split};
pub use decode::{decode, decode_bytes};
pub use drawing::{DrawnBox, crop, draw_boxes};
pub use encode::{is_saved_picture, jpeg, save_picture};
pub use error::DataError;
pub use feature_cache::{
    CachedFile, FeatureCache, FeatureCacheFolder, MergedFile, file_len as feature_file_len,
};
pub use folder::{data_folder, image_files};
pub use letterbox::{Letterbox, letterboxed, letterboxed_picture};
pub use loader::{Loader, Prepare};
pub use mixing::Mixing;
pub use parquet_data::{ParquetData, READS_PARQUET, Unpacked, Written};
pub use permutation::Permutation;
pub use picture_file::{PictureFile, Stamp, open_picture, stamp};
pub use picture_header::{PictureHeader, is_square, picture_header};
pub use picture_limits::MAX_PIXELS;
pub use preprocessing::{Decode, Fit, Preprocessing, evaluation_pixels, evaluation_pixels_of};
pub use random::{balanced_order, epoch_order, stream};
pub use resize::{Interpolation, resize};
pub use rgb_image::{DecodedPicture, Region, RgbImage};
pub use sample::Sample;
pub use scene::{BoundingBox, Object, Scene};
pub use scene_augmentation::{MIN_VISIBLE_SHARE, MIN_VISIBLE_SIDE, SceneAugmentation, ScenePlan};
pub use sketch::Sketch;
pub use skipped::Skipped;
pub use split_kind::SplitKind;
pub use stratification::stratified;
pub use survey::{Finding, IMBALANCE, Pictures, imbalance, survey};
