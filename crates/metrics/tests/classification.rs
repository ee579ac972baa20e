//! Known answers, computed by hand.

use warmstart_metrics::{ConfusionMatrix, Evaluation, softmax, top_k};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn animals() -> ConfusionMatrix {
    ConfusionMatrix {
        classes: names(&["cat", "dog", "rabbit"]),
        counts: vec![vec![5, 3, 0], vec![2, 3, 1], vec![0, 2, 11]],
    }
}

fn close(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found - expected).abs() < 1e-12)
}

#[test]
fn accuracy_is_the_diagonal_over_all() {
    assert!(close(animals().accuracy(), 19.0 / 27.0));
    assert_eq!(animals().samples(), 27);
    assert_eq!(ConfusionMatrix::new(names(&["a", "b"])).accuracy(), None);
}

#[test]
fn scores_per_class_are_known() {
    let scores = animals().class_scores();
    let expected = [
        (5.0 / 7.0, 5.0 / 8.0, 10.0 / 15.0, 8),
        (3.0 / 8.0, 3.0 / 6.0, 6.0 / 14.0, 6),
        (11.0 / 12.0, 11.0 / 13.0, 22.0 / 25.0, 13),
    ];
    for (score, (precision, recall, f1, support)) in scores.iter().zip(expected) {
        assert!(close(score.precision, precision), "{score:?}");
        assert!(close(score.recall, recall), "{score:?}");
        assert!(close(score.f1, f1), "{score:?}");
        assert_eq!(score.support, support);
    }
}

#[test]
fn what_has_no_denominator_is_none() {
    let mut matrix = ConfusionMatrix::new(names(&["a", "b", "c"]));
    matrix.add(0, 1);
    let [a, b, c] = &matrix.class_scores()[..] else {
        panic!("three classes")
    };
    assert_eq!((a.precision, a.recall, a.f1), (None, Some(0.0), Some(0.0)));
    assert_eq!((b.precision, b.recall, b.f1), (Some(0.0), None, Some(0.0)));
    assert_eq!(
        (c.precision, c.recall, c.f1, c.support),
        (None, None, None, 0)
    );
}

#[test]
fn top1_and_top5_count_what_the_rows_say() {
    let mut evaluation = Evaluation::new(names(&["a", "b", "c", "d", "e", "f", "g"]));
    assert_eq!((evaluation.top1(), evaluation.top5()), (None, None));
    let scores = [0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];
    for truth in 0..7 {
        evaluation.add(&scores, truth);
    }
    assert!(close(evaluation.top1(), 1.0 / 7.0));
    assert!(close(evaluation.top5(), 5.0 / 7.0));
}

#[test]
fn ties_go_to_the_lower_class_also_in_accuracy() {
    let mut evaluation = Evaluation::new(names(&["a", "b", "c", "d", "e", "f"]));
    for truth in 0..6 {
        evaluation.add(&[0.0; 6], truth);
    }
    assert!(close(evaluation.top1(), 1.0 / 6.0));
    assert!(close(evaluation.top5(), 5.0 / 6.0));
    assert_eq!(evaluation.confusion.counts[3], [1, 0, 0, 0, 0, 0]);
}

#[test]
fn with_five_classes_top5_says_nothing() {
    let mut evaluation = Evaluation::new(names(&["a", "b", "c", "d", "e"]));
    evaluation.add(&[0.1, 0.2, 0.3, 0.4, 0.5], 0);
    assert_eq!((evaluation.top1(), evaluation.top5()), (Some(0.0), None));
}

#[test]
fn top_k_falls_breaks_ties_by_class_and_puts_nan_last() {
    let scores = [0.1, 0.5, f32::NAN, 0.5, f32::NEG_INFINITY];
    assert_eq!(top_k(&scores, 3), [(1, 0.5), (3, 0.5), (0, 0.1)]);
    let classes: Vec<usize> = top_k(&scores, 9)
        .into_iter()
        .map(|(class, _)| class)
        .collect();
    assert_eq!(classes, [1, 3, 0, 4, 2]);
    assert_eq!(top_k(&[0.0, -0.0], 1), [(0, 0.0)]);
    assert!(top_k(&[], 5).is_empty());
    let nan: Vec<usize> = top_k(&[f32::NAN; 3], 2)
        .into_iter()
        .map(|(class, _)| class)
        .collect();
    assert_eq!(nan, [0, 1]);
}

/// A sample whose scores are all NaN is counted wrong unless its class is the first.
#[test]
fn a_broken_row_is_still_counted() {
    let mut evaluation = Evaluation::new(names(&["a", "b"]));
    evaluation.add(&[f32::NAN, f32::NAN], 1);
    assert_eq!(evaluation.confusion.counts, [[0, 0], [1, 0]]);
}

#[test]
fn softmax_is_known_and_does_not_overflow() {
    // exp(1), exp(2), exp(3) over their sum.
    let expected = [0.090_030_57, 0.244_728_48, 0.665_240_9];
    for shift in [0.0, 1000.0, -1000.0] {
        let found = softmax(&[1.0 + shift, 2.0 + shift, 3.0 + shift]);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }
    assert_eq!(softmax(&[0.0, f32::NEG_INFINITY]), [1.0, 0.0]);
    assert!(softmax(&[0.0, f32::NAN]).iter().all(|value| value.is_nan()));
    assert!(softmax(&[]).is_empty());
}

#[test]
fn results_survive_json() {
    let evaluation = Evaluation {
        confusion: animals(),
        in_top5: 27,
    };
    let text = serde_json::to_string(&evaluation).unwrap();
    assert_eq!(
        serde_json::from_str::<Evaluation>(&text).unwrap(),
        evaluation
    );
    let undefined = serde_json::to_string(&ConfusionMatrix::new(names(&["a"])).class_scores());
    let expected = r#"[{"class":"a","precision":null,"recall":null,"f1":null,"support":0}]"#;
    assert_eq!(undefined.unwrap(), expected);
}

#[test]
fn the_table_of_classes_reads_well() {
    let mut confusion = animals();
    confusion.classes[1] = "a dog with a name that never ends".into();
    let evaluation = Evaluation {
        confusion,
        in_top5: 27,
    };
    let expected = "\
class                     precision  recall      F1  support
cat                           71.4%   62.5%   66.7%        8
a dog with a name that …      37.5%   50.0%   42.9%        6
rabbit                        91.7%   84.6%   88.0%       13

top-1 70.4% of 27 images
";
    assert_eq!(evaluation.table(), expected);
}

#[test]
fn the_confusion_matrix_reads_well() {
    let expected = "\
true \\ predicted  0  1  2
 0 cat            5  3  .
 1 dog            2  3  1
 2 rabbit         .  2 11
";
    assert_eq!(animals().table(), expected);
}

#[test]
fn many_classes_show_their_most_frequent_mistakes() {
    let mut matrix = ConfusionMatrix::new((0..100).map(|class| format!("class {class}")).collect());
    for class in 0..100 {
        matrix.counts[class][class] = 9;
        matrix.counts[class][(class + 1) % 100] = 1;
    }
    matrix.counts[7][3] = 4;
    let table = matrix.table();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 21);
    let first = "104 of 1004 images taken for another class; the 20 most frequent of 101 kinds";
    assert_eq!(lines[0], first);
    assert_eq!(lines[1], "class 7   taken for class 3: 4 of 14");
    assert_eq!(lines[2], "class 0   taken for class 1: 1 of 10");
}
