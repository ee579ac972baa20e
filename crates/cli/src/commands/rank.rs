//! `warmstart rank`.

use std::io::stdout;

use warmstart_language::{columns, english, message, padded, translated};
use warmstart_recipe::{NO_WEIGHTS, UserValue as _};
use warmstart_workflows::rank::{Ranked, Ranking, Request};

use super::Failure;
use super::seen::warn_of_seen;
use super::train::resources;
use crate::arguments::Rank;
use crate::printing;
use crate::progress::{Output, Progress, interval};

/// p-value above which two files count as equally good.
const TOLD_APART: f64 = 0.05;

pub fn rank(arguments: Rank) -> Result<(), Failure> {
    let resources = resources(&arguments.threads, &arguments.cache)?;
    let request = Request {
        data: arguments.data,
        weights: arguments.weights,
        weights_prefix: arguments.weights_prefix,
        model: arguments.model,
        image_size: arguments.image_size,
        fit: arguments.fit.stored(),
        seed: arguments.seed,
    };
    let mut progress = Progress::new(Output::BesideResults);
    let ranking =
        warmstart_workflows::rank::rank(&request, resources, &mut |event| progress.show(event));
    progress.clear();
    let ranking = ranking?;
    for Ranked { weights, seen, .. } in &ranking.ranked {
        if let Some(seen) = seen {
            warn_of_seen(weights, seen, ranking.images);
        }
    }
    let mut out = stdout().lock();
    if arguments.json {
        return Ok(printing::json(&mut out, &ranking)?);
    }
    for line in lines(&ranking) {
        printing::line(&mut out, line)?;
    }
    Ok(())
}

fn lines(ranking: &Ranking) -> Vec<String> {
    let width = |name: fn(&Ranked) -> &str, least: usize| {
        let widths = ranking.ranked.iter().map(|line| columns(name(line)));
        widths.max().unwrap_or(0).max(least)
    };
    let (weights, model) = (width(|l| &l.weights, 7), width(|l| &l.model, 5));
    let mut lines = vec![format!(
        "{}  {}  {}",
        padded(&message!("weights"), weights, false),
        padded(&message!("model"), model, false),
        message!("linear probe accuracy")
    )];
    for line in &ranking.ranked {
        lines.push(format!(
            "{}  {}  {:.4}{}",
            padded(&line.weights, weights, false),
            padded(&line.model, model, false),
            line.accuracy,
            interval(Some(line.interval))
        ));
    }
    lines.push(message!(
        "linear probe on {} training images, each classified by the frozen features of the others; majority-class baseline: {:.4}",
        ranking.images, ranking.largest_class
    ));
    lines.extend(verdict(ranking));
    lines
}

/// A file of weights, or none, in a sentence.
fn named(weights: &str) -> &str {
    match weights {
        NO_WEIGHTS => translated(english!("random weights")),
        file => file,
    }
}

/// A sentence on whether the first is significantly better than the others.
fn verdict(ranking: &Ranking) -> Option<String> {
    let first = ranking.ranked.first()?;
    let as_good: Vec<&str> = ranking.ranked[1..]
        .iter()
        .filter(|line| line.p_value.is_some_and(|p_value| p_value > TOLD_APART))
        .map(|line| named(&line.weights))
        .collect();
    if first.interval.low <= ranking.largest_class {
        return Some(message!(
            "{} is hardly better than the majority-class baseline: none of these weights suits the data",
            named(&first.weights)
        ));
    }
    Some(match (as_good.as_slice(), ranking.ranked.len()) {
        (_, 1) => return None,
        ([], _) => message!("{} suits the data best", named(&first.weights)),
        (others, _) => message!(
            "{} ranks first, but not significantly ahead of {}",
            named(&first.weights),
            others.join(", ")
        ),
    })
}
