//! Sums over many values. The order in which they are added depends on the shape alone, and they are added in parts:
//! a graphics card gives each sum to one of its many threads.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;

/// The largest divisor of `count` that is not above `most`, at least 1.
pub(super) fn largest_divisor(count: usize, most: usize) -> usize {
    let mut falling = (1..=most).rev();
    let divisor = falling.find(|part| count.is_multiple_of(*part));
    divisor.unwrap_or(1)
}

/// The sums of the columns of x `[rows, columns]`: `[columns]`.
pub(super) fn sum_of_rows<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [rows, columns] = x.shape().dims();
    let parts = largest_divisor(rows, rows.isqrt());
    let x = B::float_reshape(x, Shape::new([parts, rows / parts, columns]));
    let sums = B::float_sum_dim(B::float_sum_dim(x, 1), 0);
    B::float_reshape(sums, Shape::new([columns]))
}

/// The sums over all pixels of all images: x `[batch, height, width, channels]` to `[channels]`.
pub(super) fn sums_by_channel<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, height, width, channels] = x.shape().dims();
    let rows = Shape::new([batch * height * width, channels]);
    sum_of_rows::<B>(B::float_reshape(x, rows))
}

/// Sums that together are the sum of all values of x, each over a share of them.
pub(super) fn partial_sums<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let values = x.shape().num_elements();
    let columns = largest_divisor(values, values.isqrt());
    let x = B::float_reshape(x, Shape::new([values / columns, columns]));
    B::float_reshape(B::float_sum_dim(x, 0), Shape::new([columns]))
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Tensor, TensorData};

    use super::*;

    fn whole_numbers<const D: usize>(shape: [usize; D]) -> FloatTensor<Flex> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|value| (value % 17) as f32).collect();
        let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), &crate::device());
        tensor.try_into_primitive::<Flex>().unwrap()
    }

    fn values(sums: FloatTensor<Flex>) -> Vec<f32> {
        let sums = Tensor::<1>::from_primitive::<Flex>(sums);
        sums.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn rows_are_summed_whatever_their_number() {
        for rows in [1, 2, 13, 36, 97, 1000] {
            let mut expected = [0.0; 3];
            for value in 0..3 * rows {
                expected[value % 3] += (value % 17) as f32;
            }
            let sums = sum_of_rows::<Flex>(whole_numbers([rows, 3]));
            assert_eq!(values(sums), expected, "{rows} rows");
        }
    }

    #[test]
    fn partial_sums_are_few_and_have_the_sum_of_all() {
        for count in [1, 2, 89, 1024, 3000] {
            let sums = values(partial_sums::<Flex>(whole_numbers([count, 1])));
            assert!(sums.len() <= count.isqrt().max(1));
            let all: f32 = (0..count).map(|value| (value % 17) as f32).sum();
            assert_eq!(sums.iter().sum::<f32>(), all, "{count} values");
        }
    }
}
