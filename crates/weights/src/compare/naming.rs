//! The convention and the prefix of a file's names.

use std::collections::{BTreeMap, HashMap};

use warmstart_language::{english, message};

use super::coverage::{Coverage, RECOGNISED};
use super::prefixes::{Rank, candidates};
use super::source::Source;
use super::target::{Expected, Part, Target, ToNative, conventions, first_layer, native};
use crate::read::WeightFile;
use crate::text::quoted;

/// The convention and prefix under which most of a file's tensors fit a model.
pub(crate) struct Match<'a> {
    pub(crate) convention: &'static str,
    /// The convention's function.
    pub(super) to_native: ToNative,
    /// Removed from the keys that carry it; empty if none.
    pub(crate) prefix: String,
    /// From native name to key in the file, for the names that the model expects and those of their parts.
    pub(crate) file_keys: BTreeMap<String, &'a str>,
    /// Native names of tensors that the file has again, each with the key of the copy.
    pub(crate) copies: Vec<(String, &'a str)>,
    pub(crate) collision: Option<Collision<'a>>,
    /// Other prefixes under which the file has the backbone.
    pub(crate) rivals: Vec<String>,
    /// Why the prefix was chosen, from the catalogue; empty if there are no rivals.
    pub(crate) reason: &'static str,
}

/// Two keys for one name.
pub(crate) struct Collision<'a> {
    pub(crate) name: String,
    pub(crate) first: &'a str,
    pub(crate) second: &'a str,
}

/// Whether a key is that of the counter of a batch norm's updates, which nothing here needs.
pub(crate) fn is_batch_counter(key: &str) -> bool {
    key.rsplit('.').next() == Some("num_batches_tracked")
}

/// Number of parameters in a tensor of this name and shape: 0 for a batch norm's running statistics and
/// counter.
pub(crate) fn parameters_in(key: &str, shape: &[usize]) -> usize {
    match key.rsplit('.').next() {
        Some("running_mean" | "running_var" | "num_batches_tracked") => 0,
        _ => shape.iter().product(),
    }
}

/// Tries every convention with every prefix under which names fit. The best one has the most backbone
/// tensors, then the lowest [`Rank`], then the most tensors of both parts, then the most known names, then
/// the shortest prefix. `wanted` keeps only the prefixes that end in it.
///
/// # Errors
/// A message, if nothing fits under the wanted prefix.
pub(crate) fn best_match<'a>(
    file: &'a WeightFile,
    target: &Target,
    wanted: Option<&str>,
) -> Result<Match<'a>, String> {
    let expected: HashMap<&str, &Expected> = target
        .expected
        .iter()
        .flat_map(|expected| {
            let names = std::iter::once(&expected.name).chain(&expected.parts);
            names.map(move |name| (name.as_str(), expected))
        })
        .collect();
    let copies: HashMap<&str, &str> = target
        .expected
        .iter()
        .flat_map(|expected| {
            let copies = expected.copies.iter();
            copies.map(|copy| (copy.as_str(), expected.name.as_str()))
        })
        .collect();
    let first_layer = first_layer(target.expected);
    let conventions: Vec<_> = conventions(target).collect();
    let is_wanted = |prefix: &str| wanted.is_some_and(|wanted| ends_in(file, prefix, wanted));
    let mut tried: Vec<(Match, Score)> = Vec::new();
    for (prefix, convention) in candidates(file, &expected, &conventions, is_wanted) {
        let (name, to_native) = conventions[convention];
        let matched = match_names(file, (&expected, &copies), &prefix, name, to_native);
        let score = Score::of(&matched, target.expected, file, first_layer);
        tried.push((matched, score));
    }
    rank_equals(&mut tried);
    // A stable sort: the shortest prefix comes first, then the first by name.
    tried.sort_by(|(_, of_a), (_, of_b)| {
        let rank = of_a.rank.cmp(&of_b.rank);
        let backbone = of_b
            .backbone
            .loaded_tensors
            .cmp(&of_a.backbone.loaded_tensors);
        let rest = (of_b.both, of_b.names).cmp(&(of_a.both, of_a.names));
        backbone.then(rank).then(rest)
    });
    let mut fitting: Vec<(String, usize, Rank)> = Vec::new();
    for (matched, score) in &tried {
        let is_new = fitting.iter().all(|(prefix, ..)| *prefix != matched.prefix);
        if score.backbone.fraction() >= RECOGNISED && is_new {
            let tensors = score.backbone.loaded_tensors;
            fitting.push((matched.prefix.clone(), tensors, score.rank));
        }
    }
    if wanted.is_some() {
        tried.retain(|(matched, _)| is_wanted(&matched.prefix));
    }
    if tried.is_empty() {
        let wanted = wanted.unwrap_or_default();
        return Err(match fitting.as_slice() {
            [] => message!(
                "no tensor of {} is under the prefix `{wanted}`",
                target.architecture
            ),
            fitting => message!(
                "no tensor of {} is under the prefix `{wanted}`; it fits under {}",
                target.architecture,
                quoted(fitting.iter().map(|(prefix, ..)| prefix.as_str()))
            ),
        });
    }
    let (mut matched, score) = tried.swap_remove(0);
    let rivals: Vec<(String, usize, Rank)> = fitting
        .into_iter()
        .filter(|(prefix, ..)| *prefix != matched.prefix)
        .collect();
    matched.reason = match rivals.first() {
        _ if wanted.is_some() => english!("as requested"),
        Some((rival, ..)) if is_swapped(file, &matched.prefix, rival) => {
            english!("MMEngine saves the moving average under this name")
        }
        Some((_, tensors, _)) if *tensors < score.backbone.loaded_tensors => {
            english!("more tensors fit")
        }
        Some((.., rival)) => score.rank.reason(*rival),
        None => "",
    };
    matched.rivals = rivals.into_iter().map(|(prefix, ..)| prefix).collect();
    Ok(matched)
}

/// The key of the number of updates of MMEngine's moving average.
pub(super) const AVERAGE_UPDATES: &str = "ema_state_dict.steps";

/// Whether a file has its moving average under `state_dict` and the trained weights under `ema_state_dict`: MMEngine's
/// `EMAHook.before_save_checkpoint` swaps them, so that a file is used as it was evaluated. Its count of updates is
/// beside them.
fn is_swapped(file: &WeightFile, taken: &str, rival: &str) -> bool {
    taken.starts_with("state_dict.")
        && rival.starts_with("ema_state_dict.module.")
        && file.tensors.contains_key(AVERAGE_UPDATES)
}

/// Ranks the copies that have equally many backbone tensors.
fn rank_equals(tried: &mut [(Match, Score)]) {
    let mut equals: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, (_, score)) in tried.iter().enumerate() {
        let tensors = score.backbone.loaded_tensors;
        equals.entry(tensors).or_default().push(place);
    }
    for places in equals.into_values() {
        let prefixes: Vec<&str> = places
            .iter()
            .map(|place| tried[*place].0.prefix.as_str())
            .collect();
        for (place, rank) in places.into_iter().zip(Rank::of_each(&prefixes)) {
            tried[place].1.rank = rank;
        }
    }
}

/// Returns whether a prefix is, or ends in, the wanted one; the dot at its end and the stripped wrappers are
/// optional.
fn ends_in(file: &WeightFile, prefix: &str, wanted: &str) -> bool {
    let wanted = wanted.trim_matches('.');
    let prefix = prefix.trim_end_matches('.');
    let outer = file.stripped.iter().map(|key| key.trim_end_matches('.'));
    let whole = outer
        .chain([prefix])
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(".");
    if wanted.is_empty() {
        return prefix.is_empty();
    }
    whole == wanted || whole.ends_with(&format!(".{wanted}"))
}

fn match_names<'a>(
    file: &'a WeightFile,
    (expected, copies): (&HashMap<&str, &Expected>, &HashMap<&str, &str>),
    prefix: &str,
    convention: &'static str,
    to_native: ToNative,
) -> Match<'a> {
    let mut matched = Match {
        convention,
        to_native,
        prefix: prefix.to_string(),
        file_keys: BTreeMap::new(),
        copies: Vec::new(),
        collision: None,
        rivals: Vec::new(),
        reason: "",
    };
    let keys = || file.tensors.keys().chain(file.unreadable.keys());
    let under = keys().filter_map(|key| Some((key, key.strip_prefix(prefix)?, true)));
    // The classifier may be outside the wrapper of the backbone.
    let outside = keys()
        .filter(|key| !key.starts_with(prefix))
        .map(|key| (key, key.as_str(), false));
    for (key, inner, is_under) in under.chain(outside) {
        let name = native(inner, to_native);
        if let Some(of) = name.as_deref().and_then(|name| copies.get(name)) {
            matched.copies.push(((*of).to_owned(), key.as_str()));
            continue;
        }
        let fits = |name: &String| {
            let expected = expected.get(name.as_str());
            expected.is_some_and(|expected| is_under || expected.part != Part::Backbone)
        };
        let Some(name) = name.filter(fits) else {
            continue;
        };
        if let Some(first) = matched.file_keys.get(&name) {
            if is_under {
                matched.collision.get_or_insert(Collision {
                    name,
                    first,
                    second: key,
                });
            }
        } else {
            matched.file_keys.insert(name, key);
        }
    }
    if matched.collision.is_none() {
        matched.collision = whole_and_part(&matched.file_keys, expected);
    }
    matched
}

/// The first tensor that the file has whole and in parts.
fn whole_and_part<'a>(
    file_keys: &BTreeMap<String, &'a str>,
    expected: &HashMap<&str, &Expected>,
) -> Option<Collision<'a>> {
    file_keys.iter().find_map(|(name, part)| {
        let whole = &expected.get(name.as_str())?.name;
        let key = file_keys.get(whole).filter(|_| whole != name)?;
        Some(Collision {
            name: whole.clone(),
            first: key,
            second: part,
        })
    })
}

/// Numbers of tensors that fit, and of names that the file has.
struct Score {
    backbone: Coverage,
    /// Rank among the copies with equally many backbone tensors.
    rank: Rank,
    both: usize,
    names: usize,
}

impl Score {
    fn of(
        matched: &Match,
        expected: &[Expected],
        file: &WeightFile,
        first_layer: Option<&str>,
    ) -> Self {
        let mut score = Self {
            backbone: Coverage::default(),
            rank: Rank::Usual,
            both: 0,
            names: matched.file_keys.len(),
        };
        for expected in expected {
            let source = Source::of(expected, matched);
            let is_first = first_layer == Some(expected.name.as_str());
            // One that cannot be read counts, because its name does.
            let fits = source.fits(expected, is_first, file, true);
            score.both += usize::from(fits);
            let is_there = !matches!(source, Source::Nothing);
            if expected.part != Part::Backbone || (expected.optional && !is_there) {
                continue;
            }
            let parameters = parameters_in(&expected.name, &expected.shape);
            score.backbone.expect(parameters);
            if fits {
                score.backbone.load(parameters);
            }
        }
        score
    }
}
