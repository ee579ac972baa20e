//! Which detections of an image are of labelled objects, one by one.

use super::boxes::{Detected, Truth};
use super::overlap;

/// Whether each detection is of a labelled object: of those with its class that no detection of a higher score took, it
/// takes the one that it overlaps most, if that is by an IoU of at least `iou`. A crowd can be taken any number of times.
/// Equal scores take in the order they came in.
pub fn matched(truths: &[Truth], detected: &[Detected], iou: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..detected.len()).collect();
    // Stable, so that equal scores keep their order.
    order.sort_by(|&one, &other| detected[other].score.total_cmp(&detected[one].score));
    let mut taken = vec![false; truths.len()];
    let mut matched = vec![false; detected.len()];
    for place in order {
        let own = &detected[place];
        let free = truths
            .iter()
            .enumerate()
            .filter(|(index, truth)| truth.class == own.class && (truth.crowd || !taken[*index]));
        let overlaps = free.map(|(index, truth)| (index, overlap::coco(own, truth)));
        let best = overlaps.max_by(|(_, one), (_, other)| one.total_cmp(other));
        if let Some((index, _)) = best.filter(|(_, overlap)| *overlap >= iou) {
            taken[index] = true;
            matched[place] = true;
        }
    }
    matched
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
}
