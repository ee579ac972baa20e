//! Doubt in the label of an image: what a model that has not learned from the image says of it.

/// An image whose label is compared with a model's probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelDoubt {
    /// Index among the images.
    pub image: usize,
    /// Its label.
    pub label: usize,
    /// Probability of its label: the lower, the more doubtful, from 0 to 1.
    pub label_probability: f32,
    /// Its likeliest class.
    pub probable: usize,
    /// Probability of that class.
    pub probability: f32,
    /// Whether the image counts as one of its likeliest class, which is not its label: the probability of that class is
    /// at least its mean over the images with that label. Northcutt and others, "Confident Learning" (arXiv
    /// 1911.00068), section 3.1.
    pub is_doubtful: bool,
}

/// The images, the most doubtful label first. `probabilities` are rows `[images, classes]` of a model that has not
/// learned from the image of the row.
///
/// # Panics
/// If there is not a row for each label.
pub fn label_doubts(probabilities: &[f32], labels: &[usize], classes: usize) -> Vec<LabelDoubt> {
    assert_eq!(probabilities.len(), labels.len() * classes);
    let rows: Vec<&[f32]> = probabilities.chunks_exact(classes.max(1)).collect();
    let mut sums = vec![(0.0_f64, 0_usize); classes];
    for (row, &label) in rows.iter().zip(labels) {
        sums[label].0 += f64::from(row[label]);
        sums[label].1 += 1;
    }
    let mean = |class: usize| sums[class].0 / sums[class].1.max(1) as f64;
    let doubt = |(image, (row, &label)): (usize, (&&[f32], &usize))| {
        let (probable, probability) = crate::top_k(row, 1)[0];
        LabelDoubt {
            image,
            label,
            label_probability: row[label],
            probable,
            probability,
            is_doubtful: probable != label && f64::from(probability) >= mean(probable),
        }
    };
    let mut doubts: Vec<LabelDoubt> = rows.iter().zip(labels).enumerate().map(doubt).collect();
    doubts.sort_by(|one, other| one.label_probability.total_cmp(&other.label_probability));
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_as_sure_of_another_class_as_that_class_is_doubtful() {
        let probabilities = [
            0.9, 0.1, // as its label says
            0.7, 0.3, // as its label says, mean of class 0 with the others: 0.6
            0.2, 0.8, // labelled 0
            0.65, 0.35, // labelled 1, and as sure of 0 as images of 0 are
            0.1, 0.9, // as its label says
            0.55, 0.45, // labelled 1, less sure of 0 than images of 0 are
        ];
        let doubts = label_doubts(&probabilities, &[0, 0, 0, 1, 1, 1], 2);
        let order: Vec<usize> = doubts.iter().map(|doubt| doubt.image).collect();
        assert_eq!(order, [2, 3, 5, 1, 0, 4]);
        let doubtful = doubts.iter().filter(|doubt| doubt.is_doubtful);
        assert_eq!(
            doubtful.map(|doubt| doubt.image).collect::<Vec<_>>(),
            [2, 3]
        );
        assert_eq!((doubts[0].label, doubts[0].probable), (0, 1));
        assert_eq!(doubts[0].label_probability, 0.2);
    }

    #[test]
    fn no_images_have_no_doubts() {
        assert_eq!(label_doubts(&[], &[], 3), []);
    }
}
