//! A view of one picture, or of four in a mosaic: first drawn, then painted.

use super::SceneAugmentation;
use super::hsv::HsvChange;
use crate::augmentation::flip;
use crate::decode::decode_for;
use crate::error::DataError;
use crate::needed::Length;
use crate::placement::{Axis, Placement, fitted, grey_canvas};
use crate::preprocessing::Preprocessing;
use crate::random::{ChaCha8Rng, Purpose, below, between, stream, unit};
use crate::resize::Interpolation;
use crate::rgb_image::{DecodedPicture, RgbImage};
use crate::sample::Sample;
use crate::scene::{Object, Scene};

/// The smallest visible share of an object's box with which the object is kept: a smaller part rarely
/// shows the object's class.
pub const MIN_VISIBLE_SHARE: f64 = 0.2;

/// The smallest width and height of the visible part of an object's box, in pixels of the canvas.
pub const MIN_VISIBLE_SIDE: f64 = 1.0;

/// The plan of one view of a training picture, drawn from the sizes and boxes alone, so that the
/// boxes of a view are known without decoding anything.
#[derive(Clone, Debug)]
pub struct ScenePlan<'a> {
    scenes: &'a [Sample<Scene>],
    size: usize,
    /// Sample and place of each picture, one or four. They do not overlap.
    pictures: Vec<(usize, Placement)>,
    flipped: bool,
    colours: HsvChange,
}

impl<'a> ScenePlan<'a> {
    /// Draws view `view` of `scenes[sample]` on a canvas of `size` × `size` pixels: a function of all
    /// the arguments and of nothing else. `sample` is below the number of `scenes`, and `augmentation`
    /// has passed its check.
    ///
    /// Without a mosaic, the picture's letterboxed size is multiplied by a draw from the scales, and it
    /// lies anywhere on the canvas, or is cut anywhere where it is larger.
    ///
    /// A mosaic (Bochkovskiy et al., YOLOv4, arXiv 2004.10934, section 3.3) has a centre in the middle
    /// half of both sides. The picture itself and three drawn from all `scenes` (repeats happen) are
    /// multiplied by half a scale each, for four share the canvas, and lie with a corner at the centre,
    /// the first at the top left; what reaches over the canvas is cut.
    pub fn draw(
        sample: usize,
        scenes: &'a [Sample<Scene>],
        augmentation: &SceneAugmentation,
        size: usize,
        seed: u64,
        view: u64,
    ) -> Self {
        Self::draw_among(sample, scenes, None, augmentation, size, (seed, view))
    }

    /// As [`draw`](Self::draw), with a mosaic's other pictures from `partners` among the scenes; from all of
    /// them if there are none given. The last pair is seed and view.
    pub fn draw_among(
        sample: usize,
        scenes: &'a [Sample<Scene>],
        partners: Option<&[usize]>,
        augmentation: &SceneAugmentation,
        size: usize,
        (seed, view): (u64, u64),
    ) -> Self {
        let mixing = &mut stream(seed, view, sample as u64, Purpose::Mixing);
        let random = &mut stream(seed, view, sample as u64, Purpose::Augmentation);
        let around_neutral = |random: &mut _, reach| between(random, 1.0 - reach, 1.0 + reach);
        Self {
            scenes,
            size,
            flipped: unit(random) < augmentation.flip,
            colours: HsvChange {
                turn: between(random, -augmentation.hue, augmentation.hue),
                saturation: around_neutral(random, augmentation.saturation),
                value: around_neutral(random, augmentation.brightness),
            },
            pictures: if unit(mixing) < augmentation.mosaic {
                mosaic(sample, scenes, partners, augmentation, size, mixing)
            } else {
                let placement = alone(&scenes[sample].label, augmentation, size, random);
                vec![(sample, placement)]
            },
        }
    }

    /// The objects in the view, in pixels of the canvas: each object's visible part, with its area
    /// scaled as the area of its box. An object is left out when less than
    /// [`MIN_VISIBLE_SHARE`] of its box, or less than [`MIN_VISIBLE_SIDE`] of a side, is visible; a crowd
    /// when none of it is.
    pub fn objects(&self) -> Vec<Object> {
        let mut objects = Vec::new();
        for (sample, placement) in &self.pictures {
            let all = &self.scenes[*sample].label.objects;
            objects.extend(all.iter().filter_map(|object| visible(object, placement)));
        }
        if self.flipped {
            let width = self.size as f64;
            for Object { bounds, .. } in &mut objects {
                (bounds.left, bounds.right) = (width - bounds.right, width - bounds.left);
            }
        }
        objects
    }

    /// The samples whose pictures are needed, each once, the view's own first.
    pub fn samples(&self) -> Vec<usize> {
        let mut samples = Vec::new();
        for (sample, _) in &self.pictures {
            if !samples.contains(sample) {
                samples.push(*sample);
            }
        }
        samples
    }

    /// Paints the view: `[size, size, 3]`, 8 bits, before normalisation. `decode` is called once for
    /// each of [`samples`](Self::samples), and one decoded picture is held at a time.
    ///
    /// Fails with `decode`, or if a picture has another size than its scene says: its boxes would be
    /// somewhere else.
    pub fn render(
        &self,
        interpolation: Interpolation,
        mut decode: impl FnMut(usize) -> Result<RgbImage, DataError>,
    ) -> Result<RgbImage, DataError> {
        self.painted(interpolation, |sample| {
            decode(sample).map(DecodedPicture::from)
        })
    }

    /// [`render`](Self::render) of the scenes' own files, each decoded as far as `preprocessing` asks: a picture that
    /// may be decoded smaller has at least the pixels that it is painted with.
    ///
    /// # Errors
    /// If a file cannot be read, or its picture has another size than its scene says.
    pub fn render_files(&self, preprocessing: &Preprocessing) -> Result<RgbImage, DataError> {
        self.painted(preprocessing.interpolation, |sample| {
            let placements = self.pictures.iter().filter(|(of, _)| *of == sample);
            let sides = placements.map(|(_, placement)| placement.longer_side());
            let pixels = sides.max().unwrap_or(usize::MAX);
            let needed = preprocessing.needed_of(pixels, Length::Longer, 1.0);
            decode_for(&self.scenes[sample].path, needed)
        })
    }

    fn painted(
        &self,
        interpolation: Interpolation,
        mut decode: impl FnMut(usize) -> Result<DecodedPicture, DataError>,
    ) -> Result<RgbImage, DataError> {
        let mut canvas = grey_canvas(self.size);
        for sample in self.samples() {
            let DecodedPicture { image, size } = decode(sample)?;
            let Sample { path, label } = &self.scenes[sample];
            if size != (label.width, label.height) {
                return Err(DataError::PictureSize {
                    path: path.clone(),
                    found: size,
                    expected: (label.width, label.height),
                });
            }
            for (_, placement) in self.pictures.iter().filter(|(of, _)| *of == sample) {
                placement.paint(&mut canvas, &image, interpolation);
            }
        }
        if self.flipped {
            flip(&mut canvas);
        }
        self.colours.apply(&mut canvas);
        Ok(canvas)
    }
}

/// The size of a scene's picture on the canvas, drawn.
fn scaled(
    scene: &Scene,
    augmentation: &SceneAugmentation,
    size: f64,
    random: &mut ChaCha8Rng,
) -> (usize, usize) {
    let [smallest, largest] = augmentation.scale;
    let factor = between(random, smallest, largest);
    fitted(scene.width, scene.height, size * factor)
}

/// The place of a picture that has the canvas to itself.
fn alone(
    scene: &Scene,
    augmentation: &SceneAugmentation,
    size: usize,
    random: &mut ChaCha8Rng,
) -> Placement {
    let (width, height) = scaled(scene, augmentation, size as f64, random);
    let mut axis = |length: usize, resized: usize| {
        let room = below(random, size.abs_diff(resized) + 1) as i64;
        let start = if resized > size { -room } else { room };
        Axis::new(length, resized, start, 0..size)
    };
    Placement {
        columns: axis(scene.width, width),
        rows: axis(scene.height, height),
    }
}

/// The four pictures of a mosaic and their places.
fn mosaic(
    sample: usize,
    scenes: &[Sample<Scene>],
    partners: Option<&[usize]>,
    augmentation: &SceneAugmentation,
    size: usize,
    random: &mut ChaCha8Rng,
) -> Vec<(usize, Placement)> {
    let mut middle = || size / 4 + below(random, size / 2 + 1);
    let (x, y) = (middle(), middle());
    let others = [(); 3].map(|()| match partners {
        None => below(random, scenes.len()),
        Some(partners) => partners[below(random, partners.len())],
    });
    // Ends at the centre, or begins there.
    let axis = |length: usize, resized: usize, center: usize, before: bool| {
        if before {
            let start = center as i64 - resized as i64;
            Axis::new(length, resized, start, 0..center)
        } else {
            Axis::new(length, resized, center as i64, center..size)
        }
    };
    let corners = [(true, true), (false, true), (true, false), (false, false)];
    let samples = [sample, others[0], others[1], others[2]];
    let mut pictures = Vec::with_capacity(4);
    for (sample, (left, top)) in samples.into_iter().zip(corners) {
        let scene = &scenes[sample].label;
        let (width, height) = scaled(scene, augmentation, size as f64 / 2.0, random);
        let placement = Placement {
            columns: axis(scene.width, width, x, left),
            rows: axis(scene.height, height, y, top),
        };
        pictures.push((sample, placement));
    }
    pictures
}

/// An object on the canvas, cut to where its picture is seen, if enough of it is.
fn visible(object: &Object, placement: &Placement) -> Option<Object> {
    let whole = placement.place(object.bounds);
    let bounds = placement.clip(whole);
    // The visible part of a crowd is still not background.
    let kept = if object.crowd {
        bounds.area() > 0.0
    } else {
        bounds.width() >= MIN_VISIBLE_SIDE
            && bounds.height() >= MIN_VISIBLE_SIDE
            && bounds.area() >= MIN_VISIBLE_SHARE * whole.area()
    };
    kept.then(|| Object {
        area: object.area * (bounds.area() / object.bounds.area()),
        bounds,
        ..*object
    })
}
