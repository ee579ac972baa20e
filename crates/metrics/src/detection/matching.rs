//! Which detections of an image are of labelled objects, one by one.

use super::boxes::{Detected, Truth};
use super::overlap;
use crate::ranking::falling;

/// IoU from which on a detection counts as that of a labelled object.
pub const MATCHING_IOU: f64 = 0.5;

/// Whether each detection is of a labelled object: of those with its class that no detection of a higher score took, it
/// takes the one that it overlaps most, by an IoU of at least `iou`; where there is none, it may be in a crowd of its
/// class, which can be taken any number of times. Equal scores take in the order they came in.
pub fn matched(truths: &[Truth], detected: &[Detected], iou: f64) -> Vec<bool> {
    let of = pairing(truths, detected, iou).into_iter();
    of.zip(detected)
        .map(|(of, detected)| match of {
            Of::Label(index) => truths[index].class == detected.class,
            Of::Crowd => true,
            Of::Nothing => false,
        })
        .collect()
}

/// What a detection is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The labelled object of this index, of whatever class.
    Label(usize),
    /// A crowd of its class.
    Crowd,
    /// Nothing that is labelled, or an object that another detection took.
    Nothing,
}

/// What each detection of an image is of, where boxes overlap by an IoU of at least `iou`. First, in falling order of
/// the scores, each takes the free object of its class that it overlaps most, else a crowd of its class: the matches of
/// COCO's figures. Then the others take the objects that are left, of whatever class, those that overlap most first.
pub(super) fn pairing(truths: &[Truth], detected: &[Detected], iou: f64) -> Vec<Of> {
    let mut order: Vec<usize> = (0..detected.len()).collect();
    // Stable, so that equal scores keep their order.
    order.sort_by(|&one, &other| falling(detected[one].score, detected[other].score));
    let mut is_free: Vec<bool> = truths.iter().map(|truth| !truth.crowd).collect();
    let mut of = vec![Of::Nothing; detected.len()];
    for &place in &order {
        let own = &detected[place];
        let overlapped = |crowd: bool| {
            truths
                .iter()
                .enumerate()
                .filter(move |(_, truth)| truth.class == own.class && truth.crowd == crowd)
                .map(move |(index, truth)| (index, overlap::coco(own, truth)))
                .filter(move |(_, overlap)| *overlap >= iou)
        };
        let best = overlapped(false)
            .filter(|(index, _)| is_free[*index])
            .max_by(|(_, one), (_, other)| one.total_cmp(other));
        if let Some((index, _)) = best {
            is_free[index] = false;
            of[place] = Of::Label(index);
        } else if overlapped(true).next().is_some() {
            of[place] = Of::Crowd;
        }
    }
    let mut left: Vec<(f64, usize, usize)> = Vec::new();
    for &place in &order {
        for (index, truth) in truths.iter().enumerate() {
            let overlap = overlap::coco(&detected[place], truth);
            if of[place] == Of::Nothing && is_free[index] && overlap >= iou {
                left.push((overlap, place, index));
            }
        }
    }
    left.sort_by(|(one, ..), (other, ..)| falling(*one, *other));
    for (_, place, index) in left {
        if is_free[index] && of[place] == Of::Nothing {
            is_free[index] = false;
            of[place] = Of::Label(index);
        }
    }
    of
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(class: usize, left: f64, crowd: bool) -> Truth {
        Truth {
            class,
            bounds: [left, 0.0, left + 10.0, 10.0],
            area: 100.0,
            crowd,
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

    #[test]
    fn an_object_is_taken_once_by_the_highest_score() {
        let truths = [truth(0, 0.0, false), truth(1, 50.0, false)];
        let found = [
            detected(0, 0.5, 0.0),
            detected(0, 0.9, 1.0),
            // Of another class, and beside every object.
            detected(0, 0.8, 50.0),
            detected(1, 0.1, 50.0),
            detected(1, 0.7, 58.0),
        ];
        let expected = [false, true, false, true, false];
        assert_eq!(matched(&truths, &found, 0.5), expected);
        assert_eq!(matched(&[], &found, 0.5), [false; 5]);
    }

    #[test]
    fn a_crowd_is_taken_by_everything_in_it() {
        let found = [detected(0, 0.5, 0.0), detected(0, 0.9, 0.0)];
        assert_eq!(matched(&[truth(0, 0.0, true)], &found, 0.5), [true, true]);
    }

    #[test]
    fn an_object_in_a_crowd_is_taken_before_the_crowd() {
        let truths = [truth(0, 0.0, true), truth(0, 2.0, false)];
        let found = [
            detected(0, 0.9, 0.0),
            detected(0, 0.8, 0.0),
            // Not of the crowd's class.
            detected(1, 0.7, 0.0),
        ];
        assert_eq!(matched(&truths, &found, 0.5), [true, true, false]);
        assert_eq!(
            pairing(&truths, &found, 0.5),
            [Of::Label(1), Of::Crowd, Of::Nothing]
        );
    }

    #[test]
    fn an_object_that_its_class_leaves_is_taken_by_another() {
        let truths = [truth(0, 0.0, false), truth(1, 50.0, false)];
        let found = [
            // The class decides before the overlap and the score.
            detected(1, 0.9, 0.0),
            detected(0, 0.3, 2.0),
            // Of the two that are left for the second object, the nearer one.
            detected(0, 0.8, 52.0),
            detected(2, 0.2, 51.0),
        ];
        let expected = [Of::Nothing, Of::Label(0), Of::Nothing, Of::Label(1)];
        assert_eq!(pairing(&truths, &found, 0.5), expected);
    }

    #[test]
    fn a_crowd_takes_what_its_class_has_left_and_nothing_else() {
        let truths = [truth(0, 0.0, true), truth(0, 0.0, false)];
        let found = [
            detected(0, 0.9, 0.0),
            detected(0, 0.8, 0.0),
            detected(1, 0.7, 0.0),
        ];
        let expected = [Of::Label(1), Of::Crowd, Of::Nothing];
        assert_eq!(pairing(&truths, &found, 0.5), expected);
    }

    #[test]
    fn a_box_that_is_not_a_number_is_of_nothing() {
        let mut found = [detected(0, f64::NAN, 0.0), detected(0, 0.5, 0.0)];
        let truths = [truth(0, 0.0, false)];
        assert_eq!(pairing(&truths, &found, 0.5), [Of::Nothing, Of::Label(0)]);
        found[1].bounds[0] = f64::NAN;
        assert_eq!(pairing(&truths, &found, 0.5), [Of::Label(0), Of::Nothing]);
    }
}
