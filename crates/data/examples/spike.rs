#![allow(clippy::print_stdout, missing_docs)]
use warmstart_data::{resize::*, rgb_image::*};
use std::time::Instant;
fn pattern(w: usize, h: usize) -> RgbImage {
    let mut im = RgbImage::black(w, h);
    for y in 0..h { for x in 0..w { for c in 0..3 {
        let v = (x * (3 + c) + y * (5 - c)) / 4 + (x / 16 * 37 + y / 16 * 59) * (c + 1);
        im.pixels[(y * w + x) * 3 + c] = (v % 256) as u8;
    }}}
    im
}
fn main() {
    use fast_image_resize as fir;
    for (w, h, ow, oh) in [(500, 375, 224, 224), (900, 700, 224, 224), (4000, 3000, 224, 224), (64, 64, 64, 64), (300,300,224,224)] {
        let im = pattern(w, h);
        let full = Region { left: 0, top: 0, width: ow, height: oh };
        for f in [Interpolation::Bilinear, Interpolation::Bicubic] {
            let n = if w > 1000 { 10 } else { 200 };
            let mut ours = resize(&im, im.bounds(), (ow, oh), full, f);
            let mut a = 1e9f64;
            for _ in 0..n { let t = Instant::now(); ours = resize(&im, im.bounds(), (ow, oh), full, f); a = a.min(t.elapsed().as_secs_f64() * 1e3); }
            let src = fir::images::ImageRef::new(w as u32, h as u32, &im.pixels, fir::PixelType::U8x3).unwrap();
            let mut dst = fir::images::Image::new(ow as u32, oh as u32, fir::PixelType::U8x3);
            let mut r = fir::Resizer::new();
            let o = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(if f == Interpolation::Bilinear { fir::FilterType::Bilinear } else { fir::FilterType::CatmullRom }));
            r.resize(&src, &mut dst, &o).unwrap();
            let mut b = 1e9f64;
            for _ in 0..n { let t = Instant::now(); r.resize(&src, &mut dst, &o).unwrap(); b = b.min(t.elapsed().as_secs_f64() * 1e3); }
            let d: Vec<i32> = ours.pixels.iter().zip(dst.buffer()).map(|(a, b)| (*a as i32 - *b as i32).abs()).collect();
            println!("{w}x{h} {f:?} ours {a:.3} ms fir {b:.3} ms max diff {} mean {:.4}", d.iter().max().unwrap(), d.iter().sum::<i32>() as f64 / d.len() as f64);
        }
    }
}
