//! Prefixes that wrappers put before a network's names.

use std::collections::HashMap;

use warmstart_language::english;

use super::target::{Expected, Part, ToNative, native};
use crate::read::WeightFile;

/// Most path segments of a name; the segments before them are prefix.
const SEGMENTS: usize = 12;

/// Number of prefixes that are tried in full: those under which most names fit.
const TRIED: usize = 24;

/// Pairs of a prefix and the index of a convention under which backbone names are found, and always the empty
/// prefix with the native names. Sorted by the length of the prefix, then by prefix.
pub(super) fn candidates(
    file: &WeightFile,
    expected: &HashMap<&str, &Expected>,
    conventions: &[(&'static str, ToNative)],
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<(String, usize)> {
    let mut counts: HashMap<(&str, usize), usize> = HashMap::new();
    for key in file.tensors.keys().chain(file.unreadable.keys()) {
        let after_dots = key.rmatch_indices('.').map(|(dot, _)| dot + 1);
        for start in after_dots.take(SEGMENTS - 1).chain([0]) {
            let (prefix, name) = key.split_at(start);
            for (place, (_, to_native)) in conventions.iter().enumerate() {
                let name = native(name, *to_native);
                let found = name.and_then(|name| expected.get(name.as_str()).copied());
                if found.is_some_and(|expected| expected.part == Part::Backbone) {
                    *counts.entry((prefix, place)).or_default() += 1;
                }
            }
        }
    }
    let mut counted: Vec<_> = counts.into_iter().collect();
    counted.sort_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then(a.cmp(b)));
    // As many of the wanted prefixes, however many names fit under them.
    let (first, rest) = counted.split_at(counted.len().min(TRIED));
    let wanted = rest.iter().filter(|((prefix, _), _)| is_wanted(prefix));
    let mut found: Vec<(String, usize)> = first
        .iter()
        .chain(wanted.take(TRIED))
        .map(|((prefix, place), _)| ((*prefix).to_owned(), *place))
        .collect();
    let plain = (String::new(), 0);
    if !found.contains(&plain) {
        found.push(plain);
    }
    found.sort_by(|(a, of_a), (b, of_b)| (a.len(), a, of_a).cmp(&(b.len(), b, of_b)));
    found
}

/// Rank of a copy of the network among several, by the words of its prefix. The lowest is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The trained copy, or a teacher: the authors of DINO (arXiv 2104.14294, figure 6) and of Mean Teacher
    /// (arXiv 1703.01780) find the teacher better than its student.
    Usual,
    /// A student beside its teacher.
    Student,
    /// A moving average of the trained copy, as MoCo's `encoder_k` and BYOL's target network: a file with
    /// both was saved during training.
    Average,
}

impl Rank {
    /// Ranks of the copies under several prefixes, by the words that are not in all of them: of
    /// `ema.ema_model.` and `ema.online_model.`, only the first is an average.
    pub(super) fn of_each(prefixes: &[&str]) -> Vec<Self> {
        let mut each: Vec<Vec<String>> = prefixes.iter().map(|prefix| words(prefix)).collect();
        let shared = each.first().cloned().unwrap_or_default();
        for word in shared {
            let places: Vec<Option<usize>> = each
                .iter()
                .map(|words| words.iter().position(|other| *other == word))
                .collect();
            if places.iter().all(Option::is_some) {
                for (words, place) in each.iter_mut().zip(places.into_iter().flatten()) {
                    words.remove(place);
                }
            }
        }
        each.iter().map(|words| Self::of(words)).collect()
    }

    fn of(words: &[String]) -> Self {
        const AVERAGES: [&str; 14] = [
            "average", "averaged", "avg", "ema", "k", "key", "mean", "momentum", "offline",
            "shadow", "slow", "swa", "target", "targets",
        ];
        if words.iter().any(|word| AVERAGES.contains(&word.as_str())) {
            Self::Average
        } else if words.iter().any(|word| word == "student") {
            Self::Student
        } else {
            Self::Usual
        }
    }

    /// Why a copy of this rank comes before a rival that fits as well.
    pub(super) fn reason(self, rival: Self) -> &'static str {
        if self == rival {
            return english!("the first among equals by the length of its prefix, then by name");
        }
        match rival {
            Self::Average => english!("the trained copy comes before its moving average"),
            Self::Student => english!("a teacher comes before its student"),
            Self::Usual => english!("more tensors fit"),
        }
    }
}

/// The words of a prefix in lower case.
fn words(prefix: &str) -> Vec<String> {
    let lower = prefix.to_lowercase();
    let words = lower.split(|letter: char| !letter.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_learned_comes_before_its_average_and_a_teacher_before_its_student() {
        for (first, second) in [
            ("encoder_q.", "encoder_k."),
            ("online_encoder.net.", "target_encoder.net."),
            ("teacher.backbone.", "student.backbone."),
            ("model.", "model_ema."),
            ("state_dict.", "ema_state_dict."),
            ("backbone.", "backbone_momentum."),
            ("", "ema_model."),
            ("ema.online_model.", "ema.ema_model."),
            ("momentum.net.", "momentum.net_avg."),
            ("student.teacher.", "student.student."),
        ] {
            let ranks = Rank::of_each(&[first, second]);
            assert!(ranks[0] < ranks[1], "{first} before {second}");
        }
        assert_eq!(Rank::of_each(&["encoder.keypoints.", ""]), [Rank::Usual; 2]);
        assert_eq!(
            Rank::of_each(&["model.", "ema.ema_model.", "ema.online_model."]),
            [Rank::Usual, Rank::Average, Rank::Average]
        );
    }
}
