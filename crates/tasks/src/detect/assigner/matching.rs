//! The choice of points for boxes from the costs of all pairs: Ge and others, "OTA" (arXiv 2103.14259), section 3.4, as
//! Ge and others simplified it in "YOLOX" (arXiv 2107.08430), section 2.2.

use std::cmp::Ordering;

use super::terms::{Match, Truth};

/// A truth and a point that may be assigned to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// IoU of the truth and the point's box.
    pub iou: f32,
    /// The lower, the better they fit.
    pub cost: f32,
}

/// Match of each of `count` points. `rows` has for each truth its pair with each of the `candidates`, which are indices
/// of points.
///
/// A truth chooses the cheapest candidates, as many as the sum of its `best_fits` highest IoUs. A point that several
/// truths chose gets the truth to which it is cheapest, even if that is one that did not choose it.
fn matches(
    count: usize,
    candidates: &[usize],
    rows: &[Vec<Pair>],
    best_fits: usize,
) -> Vec<Option<Match>> {
    let mut choices = vec![Choice::None; candidates.len()];
    for (truth, row) in rows.iter().enumerate() {
        for candidate in cheapest(row, number_of_points(row, best_fits)) {
            choices[candidate] = match choices[candidate] {
                Choice::None => Choice::Of(truth),
                Choice::Of(_) | Choice::OfSeveral => Choice::OfSeveral,
            };
        }
    }
    let mut matches = vec![None; count];
    for (candidate, choice) in choices.into_iter().enumerate() {
        let truth = match choice {
            Choice::None => None,
            Choice::Of(truth) => Some(truth),
            Choice::OfSeveral => {
                let cost = |&truth: &usize| rows[truth][candidate].cost;
                (0..rows.len()).min_by(|a, b| cost(a).total_cmp(&cost(b)))
            }
        };
        matches[candidates[candidate]] = truth.map(|truth| Match {
            truth,
            iou: rows[truth][candidate].iou,
        });
    }
    matches
}

/// The truths that chose a candidate.
#[derive(Clone, Copy)]
enum Choice {
    None,
    Of(usize),
    OfSeveral,
}

/// The number of points that a truth gets.
fn number_of_points(row: &[Pair], best_fits: usize) -> usize {
    let mut ious: Vec<f32> = row.iter().map(|pair| pair.iou).collect();
    ious.sort_unstable_by(|a, b| b.total_cmp(a));
    let sum: f32 = ious.iter().take(best_fits).sum();
    (sum as usize).max(1)
}

/// The cheapest candidates, of equal ones the first.
fn cheapest(row: &[Pair], number: usize) -> Vec<usize> {
    let by_cost = |&a: &usize, &b: &usize| -> Ordering {
        row[a].cost.total_cmp(&row[b].cost).then(a.cmp(&b))
    };
    let mut candidates: Vec<usize> = (0..row.len()).collect();
    if number < candidates.len() {
        candidates.select_nth_unstable_by(number, by_cost);
        candidates.truncate(number);
    }
    candidates
}

/// Match of each point, if any: candidates are points that are near any truth, `background` is the cost of a point that
/// has no class, and `pair` gets it for each truth.
pub(super) fn by_costs(
    points: usize,
    truths: &[Truth],
    is_near: impl Fn(usize, &Truth) -> bool,
    background: impl Fn(usize) -> f64,
    pair: impl Fn(usize, &Truth, f64) -> Pair,
    best_fits: usize,
) -> Vec<Option<Match>> {
    let is_candidate = |&point: &usize| truths.iter().any(|truth| is_near(point, truth));
    let candidates: Vec<usize> = (0..points).filter(is_candidate).collect();
    let backgrounds: Vec<f64> = candidates.iter().map(|&point| background(point)).collect();
    let row = |truth: &Truth| -> Vec<Pair> {
        let candidates = candidates.iter().zip(&backgrounds);
        let pairs = candidates.map(|(&point, &background)| pair(point, truth, background));
        pairs.collect()
    };
    let rows: Vec<Vec<Pair>> = truths.iter().map(row).collect();
    matches(points, &candidates, &rows, best_fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pairs: &[(f32, f32)]) -> Vec<Pair> {
        let pair = |&(iou, cost): &(f32, f32)| Pair { iou, cost };
        pairs.iter().map(pair).collect()
    }

    fn truths(matches: &[Option<Match>]) -> Vec<Option<usize>> {
        let truth = |found: &Option<Match>| found.map(|found| found.truth);
        matches.iter().map(truth).collect()
    }

    #[test]
    fn a_truth_gets_as_many_points_as_its_fits_come_to() {
        // 0.9 + 0.8 + 0.7 = 2.4, and with the two best alone 1.7.
        let only = row(&[(0.9, 3.0), (0.8, 1.0), (0.7, 2.0), (0.0, 9.0)]);
        let rows = [only];
        let found = matches(6, &[0, 2, 3, 5], &rows, 13);
        assert_eq!(truths(&found), [None, None, Some(0), Some(0), None, None]);
        assert_eq!(found[2].unwrap().iou, 0.8);
        let found = matches(6, &[0, 2, 3, 5], &rows, 2);
        assert_eq!(truths(&found), [None, None, Some(0), None, None, None]);
    }

    #[test]
    fn a_truth_that_nothing_fits_gets_the_cheapest_point() {
        let rows = [row(&[(0.0, 3.0), (0.0, 1.0), (0.0, 1.0)])];
        assert_eq!(
            truths(&matches(3, &[0, 1, 2], &rows, 10)),
            [None, Some(0), None]
        );
    }

    #[test]
    fn a_point_that_several_chose_gets_the_truth_of_least_cost_among_all() {
        // Both of the first two truths choose point 0, which is cheaper still to the third, whose own choice is 1.
        let rows = [
            row(&[(0.2, 5.0), (0.0, 9.0)]),
            row(&[(0.3, 4.0), (0.0, 9.0)]),
            row(&[(0.1, 3.0), (0.4, 2.0)]),
        ];
        let found = matches(2, &[0, 1], &rows, 10);
        assert_eq!(truths(&found), [Some(2), Some(2)]);
        assert_eq!(found[0].unwrap().iou, 0.1);
    }

    #[test]
    fn without_candidates_or_truths_there_is_no_match() {
        assert_eq!(truths(&matches(2, &[], &[Vec::new()], 10)), [None, None]);
        assert_eq!(truths(&matches(2, &[], &[], 10)), [None, None]);
    }

    #[test]
    fn costs_that_are_no_numbers_come_last() {
        let rows = [row(&[(0.5, f32::NAN), (0.5, f32::INFINITY), (0.5, 7.0)])];
        assert_eq!(
            truths(&matches(3, &[0, 1, 2], &rows, 10)),
            [None, None, Some(0)]
        );
    }
}
