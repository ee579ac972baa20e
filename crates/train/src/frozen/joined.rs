//! Features that stay on a graphics card.

use warmstart_nn::burn::tensor::{DType, Device, Tensor};

/// The maps of a whole batch, filled part by part. They lie as those that come from the host do, so that what is computed
/// from them has the same bits.
pub(super) struct Joined {
    maps: Vec<Tensor<4>>,
    /// Images so far.
    images: usize,
}

impl Joined {
    /// Room for so many images, each with maps of these shapes `[height, width, channels]` and formats.
    pub fn new(images: usize, shapes: &[[usize; 3]], formats: &[DType], device: &Device) -> Self {
        let room = |(&[height, width, channels], &format): (&[usize; 3], &DType)| {
            Tensor::empty([images, height, width, channels], (device, format))
        };
        Self {
            maps: shapes.iter().zip(formats).map(room).collect(),
            images: 0,
        }
    }

    /// Adds the maps of the next images.
    pub fn add(&mut self, part: Vec<Tensor<4>>) {
        let first = self.images;
        self.images += part.first().map_or(0, |map| map.dims()[0]);
        let rows = first..self.images;
        let place = |(whole, part): (Tensor<4>, Tensor<4>)| {
            let [_, height, width, channels] = whole.dims();
            let place = [rows.clone(), 0..height, 0..width, 0..channels];
            whole.slice_assign(place, part)
        };
        let maps = std::mem::take(&mut self.maps);
        self.maps = maps.into_iter().zip(part).map(place).collect();
    }

    /// The maps, once all images are there.
    pub fn into_maps(self) -> Vec<Tensor<4>> {
        self.maps
    }
}

#[cfg(test)]
mod tests {
    use warmstart_nn::burn::tensor::TensorData;
    use warmstart_nn::ops::values;

    use super::*;

    #[test]
    fn parts_come_one_after_the_other_in_each_map() {
        let device = warmstart_nn::device();
        let map = |first: usize, [images, size]: [usize; 2]| {
            let numbers = (first * size..(first + images) * size).map(|number| number as f32);
            let data = TensorData::new(numbers.collect::<Vec<_>>(), [images, 1, 1, size]);
            Tensor::<4>::from_data(data, &device)
        };
        let mut joined = Joined::new(5, &[[1, 1, 3], [1, 1, 2]], &[DType::F32; 2], &device);
        joined.add(vec![map(0, [2, 3]), map(0, [2, 2])]);
        joined.add(vec![map(2, [3, 3]), map(2, [3, 2])]);
        let maps = joined.into_maps();
        assert_eq!(maps.len(), 2);
        assert_eq!(maps[0].dims(), [5, 1, 1, 3]);
        assert_eq!(values(maps[0].clone()), values(map(0, [5, 3])));
        assert_eq!(values(maps[1].clone()), values(map(0, [5, 2])));
    }
}
