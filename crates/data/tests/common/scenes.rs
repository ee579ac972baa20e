//! Helpers for tests of pictures with boxes: scenes, pictures for them, and plain settings.
#![allow(dead_code, reason = "no test needs all of it")]

use warmstart_data::{
    BoundingBox, DataError, Interpolation, Object, RgbImage, Sample, Scene, SceneAugmentation,
    ScenePlan,
};

pub const FILTER: Interpolation = Interpolation::Bilinear;

pub fn bounds(left: f64, top: f64, right: f64, bottom: f64) -> BoundingBox {
    BoundingBox {
        left,
        top,
        right,
        bottom,
    }
}

pub fn object(class: usize, bounds: BoundingBox) -> Object {
    Object {
        class,
        bounds,
        area: bounds.area(),
        crowd: false,
        difficult: false,
    }
}

pub fn sample(width: usize, height: usize, objects: Vec<Object>) -> Sample<Scene> {
    Sample {
        path: "picture.png".into(),
        label: Scene {
            width,
            height,
            objects,
        },
    }
}

/// No flip, no colours, no mosaic, the scale of a letterbox.
pub fn plain() -> SceneAugmentation {
    SceneAugmentation {
        scale: [1.0, 1.0],
        flip: 0.0,
        mosaic: 0.0,
        ..colourless()
    }
}

pub fn colourless() -> SceneAugmentation {
    SceneAugmentation {
        hue: 0.0,
        saturation: 0.0,
        brightness: 0.0,
        ..SceneAugmentation::default()
    }
}

/// A picture without two equal neighbours.
pub fn pattern(width: usize, height: usize, salt: usize) -> RgbImage {
    let value = |i: usize| (i * 89 + i / (width * 3) * 31 + salt * 57) as u8;
    RgbImage {
        width,
        height,
        pixels: (0..width * height * 3).map(value).collect(),
    }
}

pub fn farthest(a: BoundingBox, b: BoundingBox) -> f64 {
    [
        a.left - b.left,
        a.top - b.top,
        a.right - b.right,
        a.bottom - b.bottom,
    ]
    .into_iter()
    .fold(0.0, |largest, difference| difference.abs().max(largest))
}

pub fn patterns(scenes: &[Sample<Scene>]) -> impl FnMut(usize) -> Result<RgbImage, DataError> {
    |index| {
        let scene = &scenes[index].label;
        Ok(pattern(scene.width, scene.height, index))
    }
}

pub fn render(plan: &ScenePlan, scenes: &[Sample<Scene>]) -> RgbImage {
    plan.render(FILTER, patterns(scenes)).unwrap()
}
