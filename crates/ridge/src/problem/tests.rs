//! Tests of one regression against others that are made the long way.

use ndarray::Array1;

use super::*;
use crate::tests::clouds;

/// Rows of one layer, and the images of each class.
fn rows(images: usize, values: usize, classes: usize) -> (Rows, Vec<usize>) {
    let (features, labels) = clouds(images, values, classes, 0.4);
    let (mut rows, mut counts) = (Rows::new(values), vec![0; classes]);
    for (row, &label) in features.chunks(values).zip(&labels) {
        rows.push(row, label);
        counts[label] += 1;
    }
    (rows, counts)
}

/// Scores of one image by the regression with an intercept on all others, with the standard of all.
fn without(problem: &Problem<'_>, rows: &Rows, image: usize, penalty: f64) -> Array1<f64> {
    let others: Vec<usize> = (0..rows.len()).filter(|&other| other != image).collect();
    let (values, classes) = (problem.standard.values(), problem.shares.len());
    let mut features = problem
        .standard
        .standardised(rows, others.iter().copied(), 0..values);
    let mean = features.mean_axis(Axis(0)).unwrap();
    features -= &mean;
    let mut targets = Array2::from_shape_fn((others.len(), classes), |(other, class)| {
        target(rows.labels()[others[other]], class)
    });
    let shares = targets.mean_axis(Axis(0)).unwrap();
    targets -= &shares;
    let mut coefficients = targets.t().dot(&features);
    let products = features.t().dot(&features);
    penalised(&products, penalty)
        .unwrap()
        .solve(&mut coefficients);
    let own = problem
        .standard
        .standardised(rows, std::iter::once(image), 0..values);
    coefficients.dot(&(&own.row(0) - &mean)) + shares
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-8 * b.abs().max(1.0), "{a} {b}");
}

#[test]
fn scores_equal_those_of_regressions_on_all_other_images() {
    for (images, values, penalty) in [(30, 6, 0.1), (30, 6, 10.0), (30, 40, 0.1), (3, 2, 1.0)] {
        let (rows, counts) = rows(images, values, 3);
        let layer = 0..values;
        let problem = Problem::of_rows(std::slice::from_ref(&layer), &rows, &counts);
        let scores = problem.judge(penalty).unwrap().scores;
        for (image, scores) in scores.rows().into_iter().enumerate() {
            let known = without(&problem, &rows, image, penalty);
            known.iter().zip(scores).for_each(|(&a, &b)| close(a, b));
        }
    }
}

#[test]
fn both_forms_agree() {
    for (images, values) in [(50, 200), (200, 50), (140, 140)] {
        let (rows, counts) = rows(images, values, 4);
        let layers = [0..values / 3, values / 3..values];
        let [by_images, by_values] = [true, false].map(|by_images| {
            let problem = Problem::in_form(&layers, &rows, &counts, by_images);
            let candidate = problem.judge(0.3).unwrap();
            let (scores, error) = (candidate.scores.clone(), candidate.error);
            (scores, error, problem.weights(candidate))
        });
        close(by_images.1, by_values.1);
        by_images
            .0
            .iter()
            .zip(&by_values.0)
            .for_each(|(&a, &b)| close(a, b));
        by_images
            .2
            .iter()
            .zip(&by_values.2)
            .for_each(|(&a, &b)| close(a, b));
    }
}

#[test]
fn rows_that_are_folded_give_the_same_as_rows_that_are_kept() {
    let (rows, counts) = rows(1000, 20, 3);
    let layers = [5..20, 0..5];
    let kept = Problem::of_rows(&layers, &rows, &counts);
    let mut sample = Sample::new(20);
    for image in 0..rows.len() {
        sample.offer(image, rows.row(image), rows.labels()[image]);
    }
    let (mut moments, mut start) = (Moments::new(&rows, 20, 3), 0);
    while start < rows.len() {
        let mut block = Rows::new(20);
        for image in start..rows.len().min(start + BLOCK) {
            block.push(rows.row(image), rows.labels()[image]);
        }
        start += block.len();
        moments.fold(&block);
    }
    let folded = Problem::of_moments(&layers, &moments, &sample, &counts);
    let [kept, folded] = [kept, folded].map(|problem| {
        let candidate = problem.judge(0.3).unwrap();
        (candidate.scores.clone(), problem.weights(candidate))
    });
    kept.0
        .iter()
        .zip(&folded.0)
        .for_each(|(&a, &b)| close(a, b));
    kept.1
        .iter()
        .zip(&folded.1)
        .for_each(|(&a, &b)| close(a, b));
}
