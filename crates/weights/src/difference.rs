//! Difference between two files of weights, tensor by tensor.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use warmstart_language::message;

use crate::read::{FileTensor, Unreadable, WeightFile};
use crate::text::{counted, cut_line, grouped, shape};

/// A tensor that one of the files has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lone {
    /// Its key.
    pub name: String,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
}

/// A tensor that has another shape in each file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reshaped {
    /// Its key.
    pub name: String,
    /// Extents in the first file, outermost first.
    pub a: Vec<usize>,
    /// Extents in the second file.
    pub b: Vec<usize>,
}

/// A tensor with other values in each file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changed {
    /// Its key.
    pub name: String,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Number of values that differ.
    pub different: usize,
    /// Number of those that are NaN or infinite in a file; the following leave them out.
    pub not_finite: usize,
    /// Largest |a − b|.
    pub largest: f64,
    /// Largest |a − b| / max(|a|, |b|), 0 to 2.
    pub relative: f64,
}

/// Difference between two files of weights. Values are compared as 32-bit floats.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The first file.
    #[serde(serialize_with = "crate::text::as_shown")]
    pub a: PathBuf,
    /// The second file.
    #[serde(serialize_with = "crate::text::as_shown")]
    pub b: PathBuf,
    /// Number of tensors that are the same in both.
    pub same: usize,
    /// Tensors of the first file alone, by name.
    pub only_a: Vec<Lone>,
    /// Tensors of the second file alone, by name.
    pub only_b: Vec<Lone>,
    /// Tensors of other shapes, by name.
    pub reshaped: Vec<Reshaped>,
    /// Tensors of other values, the largest difference first.
    pub changed: Vec<Changed>,
    /// Keys, in either file, of tensors that cannot be read, each with the reason; they are not compared.
    pub unreadable: BTreeMap<String, String>,
}

impl Difference {
    /// Compares two files by the names of their tensors.
    pub fn of(a: &WeightFile, b: &WeightFile) -> Self {
        let mut difference = Self {
            a: a.path.clone(),
            b: b.path.clone(),
            same: 0,
            only_a: Vec::new(),
            only_b: Vec::new(),
            reshaped: Vec::new(),
            changed: Vec::new(),
            unreadable: BTreeMap::new(),
        };
        for (name, Unreadable { what, .. }) in a.unreadable.iter().chain(&b.unreadable) {
            difference.unreadable.insert(name.clone(), what.clone());
        }
        let lone = |name: &String, tensor: &FileTensor| Lone {
            name: name.clone(),
            shape: tensor.shape.clone(),
        };
        for (name, tensor) in &a.tensors {
            match b.tensors.get(name) {
                Some(other) => difference.compare(name, tensor, other),
                None if difference.unreadable.contains_key(name) => {}
                None => difference.only_a.push(lone(name, tensor)),
            }
        }
        for (name, tensor) in &b.tensors {
            if !a.tensors.contains_key(name) && !difference.unreadable.contains_key(name) {
                difference.only_b.push(lone(name, tensor));
            }
        }
        // A stable sort: equal ones stay in the order of their names.
        difference
            .changed
            .sort_by(|one, other| other.largest.total_cmp(&one.largest));
        difference
    }

    /// Whether the files have the same tensors.
    pub fn is_none(&self) -> bool {
        self.only_a.is_empty()
            && self.only_b.is_empty()
            && self.reshaped.is_empty()
            && self.changed.is_empty()
            && self.unreadable.is_empty()
    }

    /// Whether both files have tensors, and none of one name.
    pub fn shares_no_name(&self) -> bool {
        let shared = self.same + self.reshaped.len() + self.changed.len();
        shared == 0 && !self.only_a.is_empty() && !self.only_b.is_empty()
    }

    fn compare(&mut self, name: &str, a: &FileTensor, b: &FileTensor) {
        if a.shape != b.shape {
            self.reshaped.push(Reshaped {
                name: name.to_owned(),
                a: a.shape.clone(),
                b: b.shape.clone(),
            });
            return;
        }
        let mut changed = Changed {
            name: name.to_owned(),
            shape: a.shape.clone(),
            different: 0,
            not_finite: 0,
            largest: 0.0,
            relative: 0.0,
        };
        for (a, b) in a.data.iter().zip(&b.data) {
            if a == b || (a.is_nan() && b.is_nan()) {
                continue;
            }
            changed.different += 1;
            if !a.is_finite() || !b.is_finite() {
                changed.not_finite += 1;
                continue;
            }
            let [a, b] = [*a, *b].map(f64::from);
            let apart = (a - b).abs();
            changed.largest = changed.largest.max(apart);
            changed.relative = changed.relative.max(apart / a.abs().max(b.abs()));
        }
        if changed.different > 0 {
            self.changed.push(changed);
        } else {
            self.same += 1;
        }
    }

    /// The difference in lines of text.
    pub fn report(&self) -> String {
        let [a, b] = [&self.a, &self.b].map(|path| warmstart_files::shown(path));
        let mut text = message!("the same in both: {}", counted(self.same, "tensor"));
        text.push('\n');
        let mut list = |title: String, lines: Vec<String>| {
            if lines.is_empty() {
                return;
            }
            let _ = writeln!(text, "\n{title}");
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        };
        let lone = |tensors: &[Lone]| -> Vec<String> {
            let tensors = tensors.iter();
            tensors
                .map(|one| format!("{} {}", named(&one.name), shape(&one.shape)))
                .collect()
        };
        let tensors = |count: usize| counted(count, "tensor");
        for (file, lone_ones) in [(&a, &self.only_a), (&b, &self.only_b)] {
            let title = message!("{} only in {file}", tensors(lone_ones.len()));
            list(title, lone(lone_ones));
        }
        let reshaped = self.reshaped.iter().map(|one| {
            let [a, b] = [&one.a, &one.b].map(|extents| shape(extents));
            message!("{} {a} and {b}", named(&one.name))
        });
        let title = message!("{} of other shapes", tensors(self.reshaped.len()));
        list(title, reshaped.collect());
        let changed = self.changed.iter().map(Changed::line);
        let title = message!(
            "{} of other values, with the largest difference, absolute and relative",
            tensors(self.changed.len())
        );
        list(title, changed.collect());
        let unreadable = self.unreadable.iter();
        let unreadable = unreadable.map(|(name, what)| message!("{}: {what}", named(name)));
        let title = message!("{} not compared", tensors(self.unreadable.len()));
        list(title, unreadable.collect());
        text
    }
}

impl Changed {
    fn line(&self) -> String {
        let values: usize = self.shape.iter().product();
        let mut line = message!(
            "{} {}: {:.3e}, {:.3e}; {} of {} values",
            named(&self.name),
            shape(&self.shape),
            self.largest,
            self.relative,
            grouped(self.different),
            grouped(values)
        );
        if self.not_finite > 0 {
            line.push_str(&message!(", {} not finite", grouped(self.not_finite)));
        }
        line
    }
}

fn named(name: &str) -> String {
    const LONGEST: usize = 200;
    cut_line(name, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Format;

    fn file(tensors: &[(&str, &[usize], &[f32])]) -> WeightFile {
        let tensor = |(name, shape, data): &(&str, &[usize], &[f32])| {
            let tensor = FileTensor {
                shape: shape.to_vec(),
                dtype: "f32",
                data: data.to_vec(),
            };
            ((*name).to_owned(), tensor)
        };
        WeightFile {
            path: "x.safetensors".into(),
            format: Format::Safetensors,
            stripped: Vec::new(),
            set_aside: Vec::new(),
            ignored_objects: Vec::new(),
            classes: None,
            unreadable: BTreeMap::new(),
            not_finite: Vec::new(),
            tensors: tensors.iter().map(tensor).collect(),
            metadata: None,
        }
    }

    #[test]
    fn every_kind_of_difference_is_told() {
        let a = file(&[
            ("same", &[1], &[1.0]),
            ("a", &[2], &[0.0, 0.0]),
            ("shape", &[2, 1], &[0.0, 0.0]),
            ("little", &[2], &[1.0, 2.0]),
            ("much", &[2], &[-1.0, 5.0]),
        ]);
        let b = file(&[
            ("same", &[1], &[1.0]),
            ("b", &[], &[0.0]),
            ("shape", &[2], &[0.0, 0.0]),
            ("little", &[2], &[1.0, 2.5]),
            ("much", &[2], &[1.0, 4.0]),
        ]);
        let difference = Difference::of(&a, &b);
        assert!(!difference.is_none());
        assert_eq!(difference.same, 1);
        assert_eq!(
            (&*difference.only_a[0].name, &*difference.only_b[0].name),
            ("a", "b")
        );
        assert_eq!(difference.reshaped[0].b, [2]);
        let [much, little] = &difference.changed[..] else {
            panic!("{difference:?}");
        };
        assert_eq!((&*much.name, much.different), ("much", 2));
        assert_eq!([much.largest, much.relative], [2.0, 2.0]);
        assert_eq!([little.largest, little.relative], [0.5, 0.2]);
        assert_eq!(
            difference.report(),
            "the same in both: 1 tensor\n\n\
             1 tensor only in x.safetensors\n  a [2]\n\n\
             1 tensor only in x.safetensors\n  b []\n\n\
             1 tensor of other shapes\n  shape [2, 1] and [2]\n\n\
             2 tensors of other values, with the largest difference, absolute and relative\n  \
             much [2]: 2.000e0, 2.000e0; 2 of 2 values\n  \
             little [2]: 5.000e-1, 2.000e-1; 1 of 2 values\n"
        );
    }

    #[test]
    fn values_that_are_not_finite_are_counted_and_not_measured() {
        let a = file(&[("x", &[4], &[f32::NAN, f32::INFINITY, 1.0, 1.0])]);
        let b = file(&[("x", &[4], &[f32::NAN, 1.0, f32::NAN, 0.5])]);
        let difference = Difference::of(&a, &b);
        let changed = &difference.changed[0];
        assert_eq!((changed.different, changed.not_finite), (3, 2));
        assert_eq!(changed.largest, 0.5);
        assert!(Difference::of(&a, &a).is_none());
    }

    #[test]
    fn a_tensor_that_cannot_be_read_is_no_tensor_of_one_file() {
        let a = file(&[("x", &[1], &[1.0]), ("y", &[1], &[1.0])]);
        let mut b = file(&[("y", &[1], &[1.0])]);
        let unreadable = Unreadable {
            shape: None,
            dtype: None,
            what: "it is odd".into(),
        };
        b.unreadable.insert("x".into(), unreadable);
        let difference = Difference::of(&a, &b);
        assert_eq!(difference.only_a, []);
        assert!(!difference.is_none());
        assert!(difference.report().contains("x: it is odd"));
    }
}
