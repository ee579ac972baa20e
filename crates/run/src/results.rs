//! The epochs of a run as a table for spreadsheets: results.csv.

use std::collections::BTreeSet;

use crate::record::EpochRecord;

/// Columns before the further metrics, and after them.
const FIRST: [&str; 5] = ["epoch", "phase", "train_loss", "val_loss", "metric"];
const LAST: [&str; 4] = ["lr", "images_per_second", "seconds", "peak_memory_mb"];

/// The epochs as comma-separated values, with the names of the columns. A metric that an epoch does not have, or that is
/// not finite, is an empty cell.
pub(crate) fn table(history: &[EpochRecord]) -> Vec<u8> {
    let names = history.iter().flat_map(|record| record.others.keys());
    // Some epochs have metrics that others lack.
    let others: BTreeSet<&str> = names.map(String::as_str).collect();
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut write = |row: Vec<String>| {
        let written = table.write_record(&row);
        written.expect("memory takes every row");
    };
    let head = FIRST.iter().chain(&others).chain(&LAST);
    write(head.map(|&name| name.to_owned()).collect());
    for record in history {
        let mut row = vec![record.epoch.to_string(), record.phase.clone()];
        row.extend([record.train_loss, record.val_loss, record.metric].map(cell));
        row.extend(others.iter().map(|&name| {
            let value = record.others.get(name).copied();
            value.map_or_else(String::new, cell)
        }));
        let [lr, speed] = [record.lr, record.images_per_second];
        row.extend([lr, speed, record.seconds, record.peak_memory_mb].map(cell));
        write(row);
    }
    table.into_inner().expect("memory takes every row")
}

fn cell(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_the_metrics_of_all() {
        let first = EpochRecord {
            phase: "freeze, first".into(),
            others: [("top_5".to_owned(), 0.75)].into(),
            seconds: 1.5,
            ..EpochRecord::example(1, 0.5)
        };
        let second = EpochRecord {
            others: [("leave_one_out".to_owned(), 0.25)].into(),
            val_loss: f64::NAN,
            lr: 3e-4,
            ..EpochRecord::example(2, 0.625)
        };
        let text = String::from_utf8(table(&[first, second])).unwrap();
        assert_eq!(
            text,
            "epoch,phase,train_loss,val_loss,metric,leave_one_out,top_5,lr,images_per_second,seconds,peak_memory_mb\n\
             1,\"freeze, first\",0,0,0.5,,0.75,0,0,1.5,0\n\
             2,thaw,0,,0.625,0.25,,0.0003,0,0,0\n"
        );
    }

    #[test]
    fn a_run_without_epochs_has_only_the_names() {
        let text = String::from_utf8(table(&[])).unwrap();
        assert_eq!(text.lines().count(), 1);
    }
}
