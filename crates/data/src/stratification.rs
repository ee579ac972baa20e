//! Folds of images that show several classes each.

use crate::random::{Purpose, shuffle, stream};

/// The fold of each image, counted from 0, where an image has any number of classes: those in `classes`, in any order.
/// The images of every class are spread over the folds as evenly as the other classes allow. A function of the classes,
/// the number of folds and the seed.
///
/// Iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data", 2011): the
/// class with the fewest images left is dealt first, while it still has the choice. An image goes to the fold with the
/// fewest of that class, then with the fewest of its other classes, the rarest first, then with the fewest images.
///
/// # Panics
/// If there are images, but no folds.
pub fn stratified(classes: &[Vec<usize>], folds: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..classes.len()).collect();
    shuffle(&mut stream(seed, 0, 0, Purpose::Folds), &mut order);
    let mut dealing = Dealing::new(classes, folds);
    let mut of_class = vec![Vec::new(); dealing.left.len()];
    for &image in &order {
        for &class in &dealing.classes[image] {
            of_class[class].push(image);
        }
    }
    while let Some(class) = dealing.rarest() {
        for &image in &of_class[class] {
            dealing.deal(image, Some(class));
        }
    }
    for &image in &order {
        dealing.deal(image, None);
    }
    let dealt = dealing.fold_of.into_iter();
    dealt
        .map(|fold| fold.expect("every image is dealt"))
        .collect()
}

/// Images that are dealt to folds, one after another.
struct Dealing {
    /// Classes of each image, each once, the rarest first.
    classes: Vec<Vec<usize>>,
    /// Fold of each image that is dealt.
    fold_of: Vec<Option<usize>>,
    /// Number of images of each class that are not dealt.
    left: Vec<usize>,
    /// Number of images of each class in each fold: `[fold][class]`.
    counts: Vec<Vec<usize>>,
    /// Number of images in each fold.
    sizes: Vec<usize>,
}

impl Dealing {
    fn new(classes: &[Vec<usize>], folds: usize) -> Self {
        let number = classes.iter().flatten().max().map_or(0, |last| last + 1);
        let mut classes = classes.to_vec();
        let mut left = vec![0; number];
        for of_image in &mut classes {
            of_image.sort_unstable();
            of_image.dedup();
            for &class in &*of_image {
                left[class] += 1;
            }
        }
        for of_image in &mut classes {
            of_image.sort_by_key(|&class| left[class]);
        }
        Self {
            fold_of: vec![None; classes.len()],
            counts: vec![vec![0; number]; folds],
            sizes: vec![0; folds],
            classes,
            left,
        }
    }

    /// The class with the fewest images left, of those that have any.
    fn rarest(&self) -> Option<usize> {
        let open = (0..self.left.len()).filter(|class| self.left[*class] > 0);
        open.min_by_key(|class| self.left[*class])
    }

    /// Deals an image, unless it is dealt already. `first` is one of its classes, which decides before the others.
    fn deal(&mut self, image: usize, first: Option<usize>) {
        if self.fold_of[image].is_some() {
            return;
        }
        let of_image = &self.classes[image];
        let has = |fold: &usize| {
            let deciding = first.iter().chain(of_image);
            let counts: Vec<usize> = deciding.map(|class| self.counts[*fold][*class]).collect();
            (counts, self.sizes[*fold])
        };
        let fold = (0..self.sizes.len()).min_by_key(has);
        let fold = fold.expect("there are folds");
        for &class in of_image {
            self.counts[fold][class] += 1;
            self.left[class] -= 1;
        }
        self.sizes[fold] += 1;
        self.fold_of[image] = Some(fold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{below, unit};

    /// Classes of images as in a street: the first is that of every second object, each further one that of half as
    /// many, and an image in five shows nothing.
    fn street(images: usize) -> Vec<Vec<usize>> {
        let random = &mut stream(3, 0, 0, Purpose::Noise);
        let image = |_| {
            let objects = if unit(random) < 0.2 {
                0
            } else {
                1 + below(random, 5)
            };
            let class = |_| {
                let further = (0..).find(|_| unit(random) < 0.5).unwrap_or(0);
                usize::min(further, 6)
            };
            (0..objects).map(class).collect()
        };
        (0..images).map(image).collect()
    }

    /// Number of images of a class in each fold.
    fn spread(classes: &[Vec<usize>], folds: &[usize], count: usize, class: usize) -> Vec<usize> {
        let mut spread = vec![0; count];
        for (of_image, fold) in classes.iter().zip(folds) {
            spread[*fold] += usize::from(of_image.contains(&class));
        }
        spread
    }

    #[test]
    fn every_class_is_in_every_fold_about_as_often() {
        let classes = street(120);
        for count in [2, 3, 5] {
            let folds = stratified(&classes, count, 1);
            assert_eq!(folds.len(), 120);
            for class in 0..7 {
                let spread = spread(&classes, &folds, count, class);
                let (least, most) = (spread.iter().min().unwrap(), spread.iter().max().unwrap());
                let images: usize = spread.iter().sum();
                assert!(*least > 0 || images < count, "class {class}: {spread:?}");
                assert!(most - least <= 3, "class {class}: {spread:?}");
            }
            let mut sizes = vec![0; count];
            folds.iter().for_each(|fold| sizes[*fold] += 1);
            let apart = sizes.iter().max().unwrap() - sizes.iter().min().unwrap();
            assert!(apart <= 3, "{sizes:?}");
        }
    }

    #[test]
    fn a_class_of_as_many_images_as_folds_is_in_each_however_common_the_others_are() {
        let classes: Vec<Vec<usize>> = (0..40)
            .map(|image| match image {
                0..4 => vec![0, 1, 1, 0],
                4..36 => vec![0],
                _ => Vec::new(),
            })
            .collect();
        let folds = stratified(&classes, 4, 9);
        assert_eq!(spread(&classes, &folds, 4, 1), [1; 4]);
        assert_eq!(spread(&classes, &folds, 4, 0), [9; 4]);
    }

    #[test]
    fn the_seed_decides_and_neither_the_order_of_the_objects_nor_their_number() {
        let classes = street(60);
        let folds = stratified(&classes, 5, 1);
        let doubled: Vec<Vec<usize>> = classes
            .iter()
            .map(|of_image| of_image.iter().rev().chain(of_image).copied().collect())
            .collect();
        assert_eq!(stratified(&doubled, 5, 1), folds);
        assert_ne!(stratified(&classes, 5, 2), folds);
    }

    #[test]
    fn images_without_classes_are_spread_too() {
        assert!(stratified(&[], 3, 0).is_empty());
        let nothing: [Vec<usize>; 6] = Default::default();
        let mut folds = stratified(&nothing, 3, 0);
        folds.sort_unstable();
        assert_eq!(folds, [0, 0, 1, 1, 2, 2]);
    }
}
