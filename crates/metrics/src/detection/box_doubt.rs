//! Doubt in labelled boxes: what a detector that has not learned from the images says of them.

use serde::Serialize;

use super::boxes::{Detected, Truth};
use super::coco::size_index;
use super::matching::{MATCHING_IOU, Of, pairing};
use super::overlap;

/// IoU with a label up to which a detection is not just a loose box around what is labelled.
const APART: f64 = 0.3;
/// Share of the confidence that is too little to say that something was found.
const FAINT: f64 = 0.25;
/// Share of the objects of a class and size that must be found, so that it says something where one is not.
const USUALLY_FOUND: f64 = 0.5;
/// Sizes of objects.
const SIZES: usize = 3;

/// What speaks against a label, or for a missing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DoubtOfBox {
    /// Something is found where no object is labelled.
    NoLabel,
    /// Something of another class is found where an object is labelled, and nothing of its class.
    OtherClass,
    /// Nothing is found where an object is labelled.
    NotFound,
}

/// A box that a detector and the labels disagree on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxDoubt {
    /// Index among the images.
    pub image: usize,
    /// What speaks against the label.
    pub kind: DoubtOfBox,
    /// Class of the label; `None` where there is none.
    pub label: Option<usize>,
    /// Class of what is found; `None` where nothing is.
    pub found: Option<usize>,
    /// Box of the label, or of what is found without one.
    pub bounds: [f64; 4],
    /// The score of what is found; where nothing is, the share of the objects of the label's class and size that are
    /// found.
    pub score: f64,
    /// Whether the label is worth a look. Something that is found: its score is at least the mean of those of its class
    /// that agree with their labels (compare Northcutt and others, "Confident Learning", arXiv 1911.00068). Something
    /// that is not: at least half of the objects of its class and size are.
    pub is_doubtful: bool,
}

/// Sums over what is found as it is labelled.
#[derive(Clone, Copy, Default)]
struct Agreed {
    found: usize,
    score: f64,
    /// Objects of each size, and how many of them are found.
    truths: [usize; SIZES],
    found_of_size: [usize; SIZES],
}

/// The boxes that a detector and the labels of some images disagree on, the doubtful ones first and the highest scores
/// first among them. Detections with a score of at least `confidence` count; the detector must not have learned from
/// the images. `classes` is the number of classes.
///
/// # Panics
/// If a class is not below `classes`.
pub fn box_doubts(
    images: &[(Vec<Truth>, Vec<Detected>)],
    classes: usize,
    confidence: f64,
) -> Vec<BoxDoubt> {
    let compared: Vec<Compared> = images
        .iter()
        .map(|(truths, detected)| Compared::new(truths, detected, confidence))
        .collect();
    let mut agreed = vec![Agreed::default(); classes];
    for image in &compared {
        image.add_to(&mut agreed);
    }
    let mut doubts: Vec<BoxDoubt> = compared
        .iter()
        .enumerate()
        .flat_map(|(number, image)| image.doubts(number, &agreed))
        .collect();
    doubts.sort_by(|one, other| {
        let scores = other.score.total_cmp(&one.score);
        other.is_doubtful.cmp(&one.is_doubtful).then(scores)
    });
    doubts
}

/// The objects of an image beside what is found in it.
struct Compared<'a> {
    truths: &'a [Truth],
    /// What is found with at least the confidence, and what each is of.
    found: Vec<(Detected, Of)>,
    /// What is found, perhaps: with a small share of the confidence.
    perhaps: Vec<&'a Detected>,
}

impl<'a> Compared<'a> {
    fn new(truths: &'a [Truth], detected: &'a [Detected], confidence: f64) -> Self {
        let at_least = |least: f64| detected.iter().filter(move |it| it.score >= least);
        let found: Vec<Detected> = at_least(confidence).copied().collect();
        let of = pairing(truths, &found, MATCHING_IOU);
        Self {
            truths,
            found: found.into_iter().zip(of).collect(),
            perhaps: at_least(FAINT * confidence).collect(),
        }
    }

    /// The class that each object is found as.
    fn found_as(&self) -> Vec<Option<&Detected>> {
        let mut found_as = vec![None; self.truths.len()];
        for (detected, of) in &self.found {
            match of {
                Of::Label(truth) => found_as[*truth] = Some(detected),
                Of::Crowd | Of::Nothing => {}
            }
        }
        found_as
    }

    fn add_to(&self, agreed: &mut [Agreed]) {
        for (truth, found) in self.truths.iter().zip(self.found_as()) {
            if truth.crowd {
                continue;
            }
            let of_class = &mut agreed[truth.class];
            let size = size_index(truth.area);
            of_class.truths[size] += 1;
            if let Some(found) = found.filter(|found| found.class == truth.class) {
                of_class.found_of_size[size] += 1;
                of_class.found += 1;
                of_class.score += found.score;
            }
        }
    }

    fn doubts(&self, image: usize, agreed: &[Agreed]) -> Vec<BoxDoubt> {
        let mut doubts = Vec::new();
        for (truth, found) in self.truths.iter().zip(self.found_as()) {
            let doubt = BoxDoubt {
                image,
                kind: DoubtOfBox::NotFound,
                label: Some(truth.class),
                found: None,
                bounds: truth.bounds,
                score: 0.0,
                is_doubtful: false,
            };
            match found {
                Some(found) if found.class == truth.class => {}
                Some(found) => doubts.push(BoxDoubt {
                    kind: DoubtOfBox::OtherClass,
                    found: Some(found.class),
                    score: found.score,
                    is_doubtful: agreed[found.class].is_as_sure(found),
                    ..doubt
                }),
                None if truth.crowd || self.is_found_perhaps(truth) => {}
                None => {
                    let score = agreed[truth.class].share_found(size_index(truth.area));
                    doubts.push(BoxDoubt {
                        score,
                        is_doubtful: score >= USUALLY_FOUND,
                        ..doubt
                    });
                }
            }
        }
        let unlabelled = self.unlabelled().into_iter().map(|found| BoxDoubt {
            image,
            kind: DoubtOfBox::NoLabel,
            label: None,
            found: Some(found.class),
            bounds: found.bounds,
            score: found.score,
            is_doubtful: agreed[found.class].is_as_sure(found),
        });
        doubts.extend(unlabelled);
        doubts
    }

    /// Whether something overlaps an object, of whatever class and however low its score.
    fn is_found_perhaps(&self, truth: &Truth) -> bool {
        let mut perhaps = self.perhaps.iter();
        perhaps.any(|found| overlap::coco(found, truth) > APART)
    }

    /// What is found where nothing is labelled, each place once.
    fn unlabelled(&self) -> Vec<&Detected> {
        let is_apart = |(detected, of): &&(Detected, Of)| {
            *of == Of::Nothing
                && self
                    .truths
                    .iter()
                    .all(|truth| overlap::coco(detected, truth) <= APART)
        };
        let apart = self.found.iter().filter(is_apart).map(|(found, _)| found);
        let mut apart: Vec<&Detected> = apart.collect();
        apart.sort_by(|one, other| other.score.total_cmp(&one.score));
        let mut places: Vec<&Detected> = Vec::new();
        for found in apart {
            if places
                .iter()
                .all(|place| overlap::of_boxes(&place.bounds, &found.bounds) < MATCHING_IOU)
            {
                places.push(found);
            }
        }
        places
    }
}

impl Agreed {
    /// Whether a detection is at least as sure as those that agree with their labels are on average.
    fn is_as_sure(&self, found: &Detected) -> bool {
        self.found > 0 && found.score >= self.score / self.found as f64
    }

    /// Share of the objects of a size that are found.
    fn share_found(&self, size: usize) -> f64 {
        self.found_of_size[size] as f64 / self.truths[size].max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(class: usize, left: f64) -> Truth {
        Truth {
            class,
            bounds: [left, 0.0, left + 10.0, 10.0],
            area: 100.0,
            crowd: false,
            difficult: false,
        }
    }

    fn detected(class: usize, score: f64, left: f64) -> Detected {
        Detected {
            class,
            score,
            bounds: [left, 0.0, left + 10.0, 10.0],
        }
    }

    /// Cats and dogs that are found with scores of 0.8 on average.
    fn found() -> (Vec<Truth>, Vec<Detected>) {
        let truths = [
            truth(0, 0.0),
            truth(0, 20.0),
            truth(1, 40.0),
            truth(1, 60.0),
        ];
        let detected = [
            detected(0, 0.7, 0.0),
            detected(0, 0.9, 20.0),
            detected(1, 0.8, 40.0),
            detected(1, 0.8, 61.0),
        ];
        (truths.to_vec(), detected.to_vec())
    }

    fn kinds(doubts: &[BoxDoubt]) -> Vec<(usize, DoubtOfBox, bool)> {
        let kind = |doubt: &BoxDoubt| (doubt.image, doubt.kind, doubt.is_doubtful);
        doubts.iter().map(kind).collect()
    }

    #[test]
    fn what_agrees_is_not_doubted() {
        assert_eq!(box_doubts(&[found()], 2, 0.5), []);
        assert_eq!(box_doubts(&[], 2, 0.5), []);
    }

    #[test]
    fn a_find_without_a_label_is_doubtful_if_it_is_as_sure_as_others() {
        let sure = detected(0, 0.85, 100.0);
        let again = detected(1, 0.81, 101.0);
        let unsure = detected(0, 0.6, 200.0);
        let too_low = detected(0, 0.4, 300.0);
        let loose = detected(0, 0.9, 24.0);
        let mut image = found();
        image.1.extend([sure, again, unsure, too_low, loose]);
        let doubts = box_doubts(&[found(), image], 2, 0.5);
        let expected = [
            (1, DoubtOfBox::NoLabel, true),
            (1, DoubtOfBox::NoLabel, false),
        ];
        assert_eq!(kinds(&doubts), expected);
        assert_eq!(doubts[0].bounds, sure.bounds);
        assert_eq!((doubts[0].label, doubts[0].found), (None, Some(0)));
        assert_eq!(doubts[0].score, 0.85);
    }

    #[test]
    fn a_label_of_which_another_class_is_found_is_doubtful() {
        let mut image = found();
        image.0.push(truth(1, 100.0));
        image.1.push(detected(0, 0.95, 101.0));
        let doubts = box_doubts(&[found(), image], 2, 0.5);
        assert_eq!(kinds(&doubts), [(1, DoubtOfBox::OtherClass, true)]);
        assert_eq!((doubts[0].label, doubts[0].found), (Some(1), Some(0)));
        assert_eq!(doubts[0].bounds, truth(1, 100.0).bounds);
    }

    #[test]
    fn a_label_that_nothing_finds_is_doubtful_where_most_are_found() {
        let mut image = found();
        let large = Truth {
            area: 20_000.0,
            ..truth(0, 300.0)
        };
        let crowd = Truth {
            crowd: true,
            ..truth(0, 400.0)
        };
        image
            .0
            .extend([truth(0, 100.0), truth(0, 200.0), large, crowd]);
        // One is seen faintly, and says nothing against its label.
        image.1.push(detected(1, 0.2, 200.0));
        let doubts = box_doubts(&[image], 2, 0.5);
        let expected = [
            (0, DoubtOfBox::NotFound, true),
            (0, DoubtOfBox::NotFound, false),
        ];
        assert_eq!(kinds(&doubts), expected);
        // Two of the four small ones, and none of the large ones.
        assert_eq!((doubts[0].score, doubts[1].score), (0.5, 0.0));
        assert_eq!(doubts[1].bounds, large.bounds);
    }
}
