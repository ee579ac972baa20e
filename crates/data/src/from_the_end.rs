//! Taking a long list from its end on, so that another can have its memory.

/// Parts of a list after which it gives back the memory of those that were taken.
const PARTS: usize = 16;
/// Items for which that is not worth its time.
const FEW: usize = 1 << 12;

/// The items of a list, the last one first. Their memory is given back on the way, so that a list that is made of
/// millions of them grows in the place of this one.
pub(crate) fn from_the_end<T>(mut list: Vec<T>) -> impl Iterator<Item = T> {
    let given_back = (list.len() / PARTS).max(FEW);
    std::iter::from_fn(move || {
        if list.capacity() - list.len() > given_back {
            list.shrink_to_fit();
        }
        list.pop()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_comes_once_and_the_last_one_first() {
        for length in [0, 1, FEW, 3 * FEW + 5, 2 * PARTS * FEW] {
            let expected: Vec<usize> = (0..length).rev().collect();
            let items: Vec<usize> = from_the_end((0..length).collect()).collect();
            assert_eq!(items, expected, "{length}");
        }
    }
}
