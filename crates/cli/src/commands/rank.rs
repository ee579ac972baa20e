//! `warmstart rank`.

use std::io::{self, BufRead as _, Write, stdout};

use serde::Serialize;
use warmstart_language::{columns, english, message, padded, translated};
use warmstart_recipe::{Error, NO_WEIGHTS, UserValue as _};
use warmstart_run::parts::AllParts;
use warmstart_train::resources::Resources;
use warmstart_workflows::rank::{Contest, Ground, Judged, Ranked, Ranking, Request};
use warmstart_workflows::settle_data::local_data;

use super::Failure;
use super::seen::warn_of_seen;
use super::shards::{AskedPart, add_line, asked_part};
use super::train::resources;
use crate::arguments::Rank;
use crate::printing;
use crate::progress::{Output, Progress, interval};

/// p-value above which two files count as equally good.
const TOLD_APART: f64 = 0.05;

pub fn rank(arguments: Rank) -> Result<(), Failure> {
    let part = asked_part("rank", &arguments.part, &[])?;
    let resources = resources(&arguments.threads, &arguments.cache)?;
    let mut progress = Progress::new(Output::BesideResults);
    let data = local_data(
        &arguments.data,
        resources.cache.as_ref(),
        &resources.stop,
        &mut |event| progress.show(event),
    )?;
    let request = Request {
        data,
        weights: arguments.weights,
        weights_prefix: arguments.weights_prefix,
        model: arguments.model,
        image_size: arguments.image_size,
        fit: arguments.fit.stored(),
        device: arguments.device.given(),
        seed: arguments.seed,
    };
    if let Some(part) = part {
        return rank_part(&part, &request, &resources, &mut progress);
    }
    let ranking =
        warmstart_workflows::rank::rank(&request, resources, &mut |event| progress.show(event));
    progress.clear();
    let ranking = ranking?;
    warn(&ranking);
    Ok(print_ranking(
        &mut stdout().lock(),
        &ranking,
        arguments.json,
    )?)
}

/// Judges a part of the weights.
fn rank_part(
    part: &AskedPart,
    request: &Request,
    resources: &Resources,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let contest = Contest::open(request, resources, &mut |event| progress.show(event))?;
    let mut key = part.key(None, None)?;
    key.add(contest.words()?.as_bytes());
    for file in contest.files()? {
        key.add_file(&file)?;
    }
    key.add_pictures(contest.pictures());
    let own = part.range(request.weights.len());
    part.write(&key, own.len(), |out| {
        add_line(out, part.folder(), &text(&contest.ground()))?;
        let mut written = Ok(());
        let mut each = |judged: Judged| {
            if written.is_ok() {
                written = add_line(out, part.folder(), &text(&judged));
            }
        };
        contest.judge(own, resources, &mut |event| progress.show(event), &mut each)?;
        written?;
        Ok(0)
    })?;
    progress.clear();
    Ok(())
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("results are plain data")
}

/// The ranking of the weights of all parts.
///
/// # Errors
/// If a part's content is not that of a ranking.
pub fn ranking_of(all: &AllParts) -> Result<Ranking, Failure> {
    let mut ground = None;
    let mut results = Vec::new();
    for part in &all.parts {
        let failed = |error| Error::io("read", part.path(), error);
        let mut lines = part.content()?.lines();
        let first = lines.next().transpose().map_err(failed)?;
        let first = first.and_then(|line| serde_json::from_str::<Ground>(&line).ok());
        let first = first.ok_or_else(|| part.odd())?;
        let ground = *ground.get_or_insert(first);
        for line in lines {
            let judged = serde_json::from_str::<Judged>(&line.map_err(failed)?).ok();
            let judged = judged.filter(|judged| ground.fits(judged));
            results.push(judged.ok_or_else(|| part.odd())?);
        }
    }
    let ground = ground.ok_or_else(|| Failure::failed(message!("there are no parts")))?;
    Ok(ground.ranking(results))
}

/// Warns of weights that have seen the images.
pub fn warn(ranking: &Ranking) {
    for Ranked { weights, seen, .. } in &ranking.ranked {
        if let Some(seen) = seen {
            warn_of_seen(weights, seen, ranking.images);
        }
    }
}

/// Prints a ranking.
///
/// # Errors
/// If the output is closed.
pub fn print_ranking(out: &mut impl Write, ranking: &Ranking, as_json: bool) -> io::Result<()> {
    if as_json {
        return printing::json(out, ranking);
    }
    let mut all = lines(ranking).into_iter();
    all.try_for_each(|line| printing::line(out, line))
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
