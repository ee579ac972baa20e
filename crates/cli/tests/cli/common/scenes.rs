//! Small detection data sets, made on the spot: shapes of three classes on textured backgrounds, of
//! several sizes, some covered by others.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::assert::Assert;
use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use crate::common::warmstart;

pub const SHAPES: [&str; 3] = ["disc", "square", "cross"];

/// A shape in a scene: its class, and the middle and half the side of its box in pixels.
#[derive(Clone, Copy)]
pub struct Shape {
    pub class: usize,
    pub x: i32,
    pub y: i32,
    pub half: i32,
}

impl Shape {
    fn covers(&self, x: i32, y: i32) -> bool {
        let (dx, dy) = ((x - self.x).abs(), (y - self.y).abs());
        let inside = dx <= self.half && dy <= self.half;
        inside
            && match self.class {
                0 => dx * dx + dy * dy <= self.half * self.half,
                1 => true,
                _ => dx <= self.half / 3 || dy <= self.half / 3,
            }
    }

    /// COCO's box: left, top, width, height.
    pub fn bbox(&self) -> [i32; 4] {
        let side = 2 * self.half + 1;
        [self.x - self.half, self.y - self.half, side, side]
    }
}

/// A number that looks random, of any numbers.
fn hash(a: u32, b: u32, c: u32) -> u32 {
    let mut h =
        a.wrapping_mul(0x9E37_79B1) ^ b.wrapping_mul(0x85EB_CA77) ^ c.wrapping_mul(0xC2B2_AE3D);
    h ^= h >> 15;
    h = h.wrapping_mul(0x2C1B_3C6D);
    h ^ (h >> 13)
}

/// The shapes of a scene of that number: none in every seventh, else one to three.
pub fn shapes(number: u32, size: u32) -> Vec<Shape> {
    let draw = |shape: u32, what: u32, below: u32| (hash(number, shape, what) % below) as i32;
    let count = match number % 7 {
        6 => 0,
        _ => 1 + draw(9, 9, 3) as u32,
    };
    let shape = |shape: u32| {
        let half = size as i32 / 12 + draw(shape, 0, size / 6);
        let room = size as i32 - 2 * half - 2;
        Shape {
            class: draw(shape, 1, 3) as usize,
            x: half + 1 + draw(shape, 2, room as u32),
            y: half + 1 + draw(shape, 3, room as u32),
            half,
        }
    };
    (0..count).map(shape).collect()
}

/// The picture of a scene; later shapes cover earlier ones.
pub fn picture(number: u32, size: u32, shapes: &[Shape]) -> RgbImage {
    RgbImage::from_fn(size, size, |x, y| {
        let (x, y) = (x as i32, y as i32);
        if let Some(shape) = shapes.iter().rev().find(|shape| shape.covers(x, y)) {
            let shade = (hash(number, shape.x as u32, 5) % 60) as u8;
            return match shape.class {
                0 => Rgb([230 - shade, 60, 40]),
                1 => Rgb([40, 210 - shade, 90]),
                _ => Rgb([60, 80, 240 - shade]),
            };
        }
        // Blobs of two sizes.
        let coarse = hash(number, (x / 12) as u32, (y / 12) as u32) % 60;
        let fine = hash(number, x as u32, y as u32) % 30;
        let grey = (90 + coarse + fine) as u8;
        Rgb([grey, grey, grey])
    })
}

/// Writes a split in COCO's layout: pictures and annotations of the scenes of those numbers.
pub fn split(dir: &Path, name: &str, numbers: std::ops::Range<u32>, size: u32) {
    let folder = dir.join(name);
    fs::create_dir_all(&folder).unwrap();
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for number in numbers {
        let shapes = shapes(number, size);
        let file = format!("{number:03}.png");
        picture(number, size, &shapes)
            .save(folder.join(&file))
            .unwrap();
        images.push(json!({"id": number, "file_name": file, "width": size, "height": size}));
        for shape in shapes {
            let [.., width, height] = shape.bbox();
            annotations.push(json!({
                "id": annotations.len() + 1,
                "image_id": number,
                "category_id": shape.class + 1,
                "bbox": shape.bbox(),
                "area": width * height,
                "iscrowd": 0,
            }));
        }
    }
    write_annotations(dir, name, &images, &annotations);
}

pub fn write_annotations(dir: &Path, split: &str, images: &[Value], annotations: &[Value]) {
    let category = |(id, name)| json!({"id": id, "name": name});
    let categories: Vec<Value> = (1..).zip(SHAPES).map(category).collect();
    let text = json!({"images": images, "annotations": annotations, "categories": categories});
    fs::create_dir_all(dir.join("annotations")).unwrap();
    let file = dir.join(format!("annotations/instances_{split}.json"));
    fs::write(file, text.to_string()).unwrap();
}

/// A data set with a training and a validation split.
pub fn scenes(dir: &Path, train: u32, size: u32) -> PathBuf {
    let data = dir.join("scenes");
    split(&data, "train", 0..train, size);
    split(&data, "val", 100..106, size);
    data
}

/// Trains a detector for an epoch, from random weights.
pub fn train(data: &Path, run: &Path) -> Assert {
    let mut command = warmstart();
    command.args(["train", "--model", "mobilenet_v2", "--weights", "none"]);
    command.args(["--image-size", "64", "--epochs", "1", "--batch", "4"]);
    command.arg("--data").arg(data).arg("--out").arg(run);
    command.assert()
}
