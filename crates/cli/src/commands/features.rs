//! `warmstart features`.

use std::io::stdout;

use warmstart_language::message;
use warmstart_workflows::features::PhaseFeatures;

use super::Failure;
use super::shards::shard;
use super::train::{draft_of_one, resources};
use crate::arguments::Features;
use crate::printing;
use crate::progress::{Output, Progress};

pub fn features(arguments: Features) -> Result<(), Failure> {
    let Features {
        train: arguments,
        shard: word,
        json,
    } = arguments;
    let shard = shard(word)?;
    let resources = resources(&arguments.threads, &arguments.cache)?;
    let draft = draft_of_one(&arguments)?;
    let mut progress = Progress::new(Output::BesideResults);
    let done = warmstart_workflows::features::features(draft, shard, resources, &mut |event| {
        progress.show(event)
    });
    progress.clear();
    let mut out = stdout().lock();
    for phase in done? {
        if json {
            printing::json(&mut out, &phase)?;
        } else {
            printing::line(&mut out, line(&phase))?;
        }
    }
    Ok(())
}

fn line(phase: &PhaseFeatures) -> String {
    let PhaseFeatures {
        phase,
        features,
        computed,
        without,
    } = phase;
    match without {
        Some(why) => message!("{phase}: no features to compute ahead: {why}"),
        None => {
            let there = features - computed;
            message!("{phase}: {features} features, {there} were there and {computed} computed")
        }
    }
}
