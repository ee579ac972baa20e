//! Tests of whole solutions, and made data.

use crate::problem::Problem;
use crate::rows::{Rows, hash};
use crate::{Solution, Solver, memory};

/// Numbers with a normal distribution (Box and Muller, 1958).
pub(crate) fn normal(count: usize, seed: u64) -> Vec<f64> {
    let unit = |number: u64| (hash(number ^ (seed << 40)) >> 11) as f64 / (1_u64 << 53) as f64;
    let number = |index: u64| {
        let (radius, angle) = (unit(2 * index), unit(2 * index + 1));
        (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    };
    (0..count as u64).map(number).collect()
}

/// Images around a centre of each class, `apart` deviations from the others: their rows and labels. Every value is
/// a multiple of 2⁻¹⁰.
pub(crate) fn clouds(
    images: usize,
    values: usize,
    classes: usize,
    apart: f64,
) -> (Vec<f32>, Vec<usize>) {
    let labels: Vec<usize> = (0..images).map(|image| image % classes).collect();
    let centers = normal(classes * values, 1);
    let noise = normal(images * values, 2);
    let value = |(index, noise): (usize, &f64)| {
        let (image, value) = (index / values, index % values);
        let value = noise + apart * centers[labels[image] * values + value];
        ((value * 1024.0).round() / 1024.0) as f32
    };
    (noise.iter().enumerate().map(value).collect(), labels)
}

fn solver(layers: &[usize], classes: usize, (rows, labels): &(Vec<f32>, Vec<usize>)) -> Solver {
    let mut solver = Solver::new(layers, classes);
    solver.add(rows, labels);
    solver
}

/// The solution on one layer of all values.
fn solve(values: usize, classes: usize, data: &(Vec<f32>, Vec<usize>)) -> Solution {
    solver(&[values], classes, data).solve(&[0]).unwrap()
}

/// The largest difference of weights, as a share of the largest weight, and the same of biases and probabilities.
fn difference(a: &Solution, b: &Solution) -> f64 {
    let pairs = [
        (&a.weight, &b.weight),
        (&a.bias, &b.bias),
        (&a.left_out.probabilities, &b.left_out.probabilities),
    ];
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, |a, b| b.abs().max(a));
    let share = |(a, b): (&Vec<f32>, &Vec<f32>)| {
        assert_eq!(a.len(), b.len());
        let apart = largest(&mut a.iter().zip(b).map(|(a, b)| a - b));
        f64::from(apart) / f64::from(largest(&mut a.iter().copied())).max(1e-30)
    };
    pairs.into_iter().map(share).fold(0.0, f64::max)
}

#[test]
fn separate_classes_are_classified_and_mixed_ones_are_not() {
    let separate = solve(6, 3, &clouds(60, 6, 3, 10.0));
    assert_eq!(separate.left_out.accuracy(), 1.0);
    let mixed = solve(6, 3, &clouds(300, 6, 3, 0.0));
    let chance = mixed.left_out.accuracy();
    assert!((0.2..0.45).contains(&chance), "{chance}");
    assert!(mixed.left_out.confidence() < 0.45);
    assert!((mixed.left_out.log_loss() - 3.0_f64.ln()).abs() < 0.05);
}

#[test]
fn the_head_on_rows_as_they_came_predicts_what_the_regression_does() {
    for (images, values) in [(240, 20), (60, 150)] {
        let (features, labels) = clouds(images, values, 4, 0.3);
        let features: Vec<f32> = features
            .into_iter()
            .map(|value| 3.0 * value + 40.0)
            .collect();
        let mut rows = Rows::new(values);
        for (row, &label) in features.chunks(values).zip(&labels) {
            rows.push(row, label);
        }
        let layers = [0..5, 5..values];
        let problem = Problem::of_rows(&layers, &rows, &[images / 4; 4]);
        let solution = solver(&[5, values - 5], 4, &(features, labels))
            .solve(&[0, 1])
            .unwrap();
        let weights = problem.weights(problem.judge(solution.penalty).unwrap());
        let standardised = problem.standard.standardised(&rows, 0..images, 0..values);
        let known = (standardised.dot(&weights.t()) + &problem.shares) / solution.temperature;
        let mut right = 0;
        for (image, known) in known.rows().into_iter().enumerate() {
            let score = |class: usize| {
                let weights = &solution.weight[class * values..(class + 1) * values];
                let products = rows.row(image).iter().zip(weights);
                let products = products.map(|(&a, &b)| f64::from(a) * f64::from(b));
                f64::from(solution.bias[class]) + products.sum::<f64>()
            };
            let scores: Vec<f64> = (0..4).map(score).collect();
            assert!(scores.iter().zip(known).all(|(a, b)| (a - b).abs() < 1e-4));
            let label = rows.labels()[image];
            right += usize::from(scores.iter().all(|&other| other <= scores[label]));
        }
        let (fitted, left_out) = (right as f64 / images as f64, solution.left_out.accuracy());
        assert!(fitted >= left_out && left_out > 0.4, "{fitted} {left_out}");
    }
}

#[test]
fn probabilities_of_images_left_out_are_calibrated() {
    for (images, values, apart) in [(400, 10, 0.3), (400, 600, 0.1), (6000, 20, 0.2)] {
        let left_out = solve(values, 5, &clouds(images, values, 5, apart)).left_out;
        let (accuracy, confidence) = (left_out.accuracy(), left_out.confidence());
        assert!(
            (accuracy - confidence).abs() < 0.06,
            "{accuracy} {confidence}"
        );
        assert!((0.3..0.9).contains(&accuracy), "{accuracy}");
    }
}

#[test]
fn large_means_change_nothing() {
    for images in [40, 300, 5000] {
        let data = clouds(images, 50, 3, 0.3);
        let known = solve(50, 3, &data);
        let far = (data.0.iter().map(|value| value + 1000.0).collect(), data.1);
        let far = solve(50, 3, &far);
        let apart = known.weight.iter().zip(&far.weight);
        assert!(
            apart
                .clone()
                .all(|(a, b)| (a - b).abs() < 1e-5 * a.abs().max(1.0))
        );
        let apart = known
            .left_out
            .probabilities
            .iter()
            .zip(&far.left_out.probabilities);
        assert!(apart.clone().all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

#[test]
fn calls_do_not_matter() {
    for images in [300, 4700] {
        let (rows, labels) = clouds(images, 7, 3, 0.3);
        let known = solve(7, 3, &(rows.clone(), labels.clone()));
        for size in [1, 97, 256, 1000] {
            let mut solver = Solver::new(&[7], 3);
            for (rows, labels) in rows.chunks(size * 7).zip(labels.chunks(size)) {
                solver.add(rows, labels);
            }
            assert_eq!(solver.images(), images);
            assert_eq!(solver.solve(&[0]).unwrap(), known);
        }
    }
}

#[test]
fn threads_do_not_matter() {
    let cases = [(300, 700, 3), (1000, 300, 150), (5000, 280, 3)];
    for (images, values, classes) in cases {
        let data = clouds(images, values, classes, 0.1);
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build()
                .unwrap()
                .install(|| solve(values, classes, &data))
        };
        let known = with(1);
        assert!([2, 3, 5].iter().all(|&threads| with(threads) == known));
    }
}

#[test]
fn layers_that_are_not_chosen_do_not_matter() {
    for images in [20, 300, 4800] {
        let layers = [4, 30, 9];
        let (rows, labels) = clouds(images, 43, 3, 0.3);
        let mut data = (rows, labels);
        let known = {
            let chosen = data
                .0
                .chunks(43)
                .flat_map(|row| [&row[34..], &row[..4]].concat());
            solver(&[9, 4], 3, &(chosen.collect(), data.1.clone()))
        };
        let known = known.solve(&[0, 1]).unwrap();
        data.0[43 * 5 + 10] = f32::NAN;
        data.0[43 * (images - 1) + 10] = f32::INFINITY;
        let solver = solver(&layers, 3, &data);
        let found = solver.solve(&[2, 0]).unwrap();
        assert!(
            difference(&known, &found) < 1e-6,
            "{}",
            difference(&known, &found)
        );
        assert_eq!(known.penalty, found.penalty);
        assert_eq!(known.left_out.images, found.left_out.images);
        assert!(solver.solve(&[0, 1]).is_none());
    }
}

#[test]
fn many_images_are_judged_by_a_sample() {
    let solution = solve(3, 2, &clouds(6000, 3, 2, 1.0));
    let judged = &solution.left_out;
    assert_eq!(judged.images.len(), 4096);
    assert_eq!(judged.probabilities.len(), 2 * 4096);
    let labels = judged.images.iter().zip(&judged.labels);
    assert!(labels.clone().all(|(image, &label)| image % 2 == label));
}

#[test]
fn hardly_any_images_are_no_error() {
    let finite = |solution: &Solution| {
        let probabilities = &solution.left_out.probabilities;
        let all = [&solution.weight, &solution.bias, probabilities];
        assert!(all.into_iter().flatten().all(|value| value.is_finite()));
        for (row, _) in solution.left_out.rows() {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        }
        assert!(solution.left_out.log_loss().is_finite());
    };
    for values in [0, 1, 3, 200] {
        for (images, classes) in [
            (1, 1),
            (1, 3),
            (2, 2),
            (2, 1),
            (3, 2),
            (3, 3),
            (3, 1000),
            (10, 1),
        ] {
            finite(&solve(
                values,
                classes,
                &clouds(images, values, classes, 3.0),
            ));
            let equal = (vec![2.5; images * values], vec![0; images]);
            let equal = solve(values, classes, &equal);
            finite(&equal);
            assert!(equal.weight.iter().all(|&weight| weight == 0.0));
        }
    }
    // Values near the bounds of f32.
    for scale in [1e-42, 1e-20, 1e37] {
        let (rows, labels) = clouds(12, 9, 3, 1.0);
        finite(&solve(
            9,
            3,
            &(rows.iter().map(|value| value * scale).collect(), labels),
        ));
    }
    assert!(Solver::new(&[3], 2).solve(&[0]).is_none());
    assert!(Solver::new(&[], 0).solve(&[]).is_none());
    // Of two images of two classes, each is the only one of its class, so the other says nothing right about it.
    assert_eq!(solve(3, 2, &clouds(2, 3, 2, 3.0)).left_out.accuracy(), 0.0);
}

#[test]
fn a_thousand_classes_are_solved() {
    for (images, values) in [(1500, 40), (700, 900)] {
        let solution = solve(values, 1000, &clouds(images, values, 1000, 3.0));
        assert_eq!(solution.bias.len(), 1000);
        assert_eq!(solution.weight.len(), 1000 * values);
        assert!(solution.weight.iter().all(|weight| weight.is_finite()));
    }
    let twice = solve(200, 1000, &clouds(2000, 200, 1000, 3.0)).left_out;
    assert!(twice.accuracy() > 0.9, "{}", twice.accuracy());
}

#[test]
fn memory_is_stated() {
    for (images, layers, classes) in [
        (3, vec![40, 7], 2),
        (700, vec![300], 30),
        (9000, vec![150, 5], 20),
    ] {
        let data = clouds(images, layers.iter().sum(), classes, 0.2);
        let solver = solver(&layers, classes, &data);
        let (kept, stated) = (solver.bytes(), memory(images, &layers, classes));
        assert!(kept <= stated, "{images} images: {kept} of {stated}");
        assert!(
            stated < 3 * kept + 80_000_000,
            "{images} images: {kept} of {stated}"
        );
    }
    // More images than are kept take no more memory.
    assert_eq!(
        memory(10_000, &[4000], 1000),
        memory(1_000_000, &[4000], 1000)
    );
}
