//! Figures of a detection evaluation, as data and as text tables.

use super::f1::BestF1;
use crate::class_column;
use serde::Serialize;
use warmstart_language::{english, message, translated};

/// COCO's twelve figures, each 0 to 1, or `None` where no class has truth of that size (where
/// pycocotools has −1).
///
/// AP is average precision, the mean over 101 levels of recall. AR is average recall. Each is the
/// mean over the IoU thresholds 0.5, 0.55, … 0.95 and over the classes, unless it says otherwise.
/// Small is up to 32² pixels², medium up to 96², large above.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CocoFigures {
    /// COCO's primary figure, mAP@[.5:.95].
    pub ap: Option<f64>,
    /// AP at an IoU of 0.5 alone.
    pub ap_50: Option<f64>,
    /// AP at an IoU of 0.75 alone.
    pub ap_75: Option<f64>,
    /// AP of small objects.
    pub ap_small: Option<f64>,
    /// AP of medium objects.
    pub ap_medium: Option<f64>,
    /// AP of large objects.
    pub ap_large: Option<f64>,
    /// AR with one detection of each class in an image.
    pub ar_1: Option<f64>,
    /// AR with ten.
    pub ar_10: Option<f64>,
    /// AR with a hundred.
    pub ar_100: Option<f64>,
    /// AR of small objects, with a hundred detections.
    pub ar_small: Option<f64>,
    /// AR of medium objects.
    pub ar_medium: Option<f64>,
    /// AR of large objects.
    pub ar_large: Option<f64>,
}

/// COCO's average precision of one class, and its best F1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AveragePrecision {
    /// Name of the class.
    pub class: String,
    /// AP averaged over the IoU thresholds, 0 to 1; `None` without truth.
    pub ap: Option<f64>,
    /// AP at an IoU of 0.5; `None` without truth.
    pub ap_50: Option<f64>,
    /// Number of its objects, without crowds.
    pub truths: usize,
    /// The confidence at which its F1 is highest; `None` where none of its objects is found.
    pub f1: Option<BestF1>,
}

/// VOC's mean average precision at an IoU of more than 0.5, 0 to 1; `None` if no class has truth.
///
/// VOC's corners are pixels of the box, so that a side is one longer than their difference; the bounds of
/// [`Truth`](super::Truth) already include that pixel. Difficult truths and crowds need not be found, and
/// detections of them don't count. An IoU of exactly 0.5 is not a match, as in the paper and the usual ports;
/// the MATLAB development kit accepts it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VocFigures {
    /// VOC 2007's figure: the mean of the precision at recall 0, 0.1, … 1. The tenths are exact here; the
    /// kit's 0.3 is rounded up, so that a recall of exactly 3 in 10 does not reach it.
    pub map_11_points: Option<f64>,
    /// The figure of VOC 2010 and later: the area under the precision-recall curve.
    pub map_all_points: Option<f64>,
}

/// Precision-recall curve of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PrecisionRecall {
    /// Name of the class.
    pub class: String,
    /// Intersection over union from which a detection matches.
    pub iou: f64,
    /// Points at recall 0, 0.01, … 1.
    pub points: Vec<RecallPoint>,
}

/// One point of a precision-recall curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RecallPoint {
    /// Share of the objects found, 0 to 1.
    pub recall: f64,
    /// Highest precision at this recall or a higher one, 0 to 1; 0 if the recall is not reached.
    pub precision: f64,
    /// Score threshold at which the recall is reached; `None` if it is not reached.
    pub score: Option<f64>,
}

impl CocoFigures {
    /// The figures as a text table, one per line, in the order of COCO's own tool.
    pub fn table(&self) -> String {
        const EVERY: &str = "0.50:0.95";
        let (precision, recall) = (english!("average precision"), english!("average recall"));
        let (all, small) = (english!("all"), english!("small"));
        let (medium, large) = (english!("medium"), english!("large"));
        let rows = [
            (precision, EVERY, all, 100, self.ap),
            (precision, "0.50", all, 100, self.ap_50),
            (precision, "0.75", all, 100, self.ap_75),
            (precision, EVERY, small, 100, self.ap_small),
            (precision, EVERY, medium, 100, self.ap_medium),
            (precision, EVERY, large, 100, self.ap_large),
            (recall, EVERY, all, 1, self.ar_1),
            (recall, EVERY, all, 10, self.ar_10),
            (recall, EVERY, all, 100, self.ar_100),
            (recall, EVERY, small, 100, self.ar_small),
            (recall, EVERY, medium, 100, self.ar_medium),
            (recall, EVERY, large, 100, self.ar_large),
        ];
        let mut lines = vec![message!(
            "figure             IoU        size    detections   value"
        )];
        for (name, iou, size, detections, value) in rows {
            let name = class_column::cell(translated(name), 17);
            let size = class_column::cell(translated(size), 6);
            let value = cell(value);
            lines.push(format!("{name}  {iou:9}  {size}  {detections:10}  {value}"));
        }
        lines.join("\n")
    }
}

/// The average precision of each class, and its best F1 with the confidence, as a text table.
pub(super) fn class_table(figures: &[AveragePrecision]) -> String {
    let names: Vec<String> = figures
        .iter()
        .map(|figures| figures.class.clone())
        .collect();
    let width = class_column::width(&names);
    let mut lines = vec![message!(
        "{class}      AP    AP50  best F1  confidence  objects",
        class = class_column::heading(width)
    )];
    for figures in figures {
        let confidence = figures.f1.map(|best| format!("{:.3}", best.confidence));
        lines.push(format!(
            "{}  {}  {}   {}  {:>10}  {:7}",
            class_column::cell(&figures.class, width),
            cell(figures.ap),
            cell(figures.ap_50),
            cell(figures.f1.map(|best| best.f1)),
            confidence.as_deref().unwrap_or("-"),
            figures.truths
        ));
    }
    lines.join("\n")
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "     -".to_owned(), |value| format!("{value:6.4}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coco_table_lines_up_and_has_a_dash_where_there_is_no_truth() {
        let figures = CocoFigures {
            ap: Some(0.5),
            ap_50: Some(1.0),
            ap_75: Some(0.123_47),
            ap_small: None,
            ap_medium: Some(0.0),
            ap_large: Some(0.25),
            ar_1: Some(0.1),
            ar_10: Some(0.2),
            ar_100: Some(0.3),
            ar_small: None,
            ar_medium: Some(0.4),
            ar_large: Some(0.6),
        };
        let expected = "\
figure             IoU        size    detections   value
average precision  0.50:0.95  all            100  0.5000
average precision  0.50       all            100  1.0000
average precision  0.75       all            100  0.1235
average precision  0.50:0.95  small          100       -
average precision  0.50:0.95  medium         100  0.0000
average precision  0.50:0.95  large          100  0.2500
average recall     0.50:0.95  all              1  0.1000
average recall     0.50:0.95  all             10  0.2000
average recall     0.50:0.95  all            100  0.3000
average recall     0.50:0.95  small          100       -
average recall     0.50:0.95  medium         100  0.4000
average recall     0.50:0.95  large          100  0.6000";
        assert_eq!(figures.table(), expected);
    }

    #[test]
    fn the_table_by_class_cuts_long_names() {
        let figures =
            [("cat", Some(0.5), 3), (&*"owl ".repeat(20), None, 0)].map(|(class, ap, truths)| {
                AveragePrecision {
                    class: class.to_owned(),
                    ap,
                    ap_50: ap,
                    truths,
                    f1: ap.map(|ap| BestF1 {
                        confidence: 0.25,
                        f1: ap,
                        precision: ap,
                        recall: ap,
                    }),
                }
            });
        let expected = "\
class                         AP    AP50  best F1  confidence  objects
cat                       0.5000  0.5000   0.5000       0.250        3
owl owl owl owl owl owl…       -       -        -           -        0";
        assert_eq!(class_table(&figures), expected);
    }
}
