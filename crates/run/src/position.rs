//! The position of a run in its recipe. It follows from the finished epochs: a phase ends after its
//! epochs, or earlier if it is out of patience.

use warmstart_language::message;
use warmstart_recipe::{Error, Key, Phase, Position, Problem, Recipe, THAW_WARMUP};

use crate::record::EpochRecord;

/// The position of the epoch after those of `history`; `None` if there is none, or the history does not fit the recipe.
pub fn next(recipe: &Recipe, history: &[EpochRecord]) -> Option<Position> {
    if history.is_empty() {
        return recipe.phases.first().map(|_| Position {
            phase: 0,
            epoch_in_phase: 0,
        });
    }
    let last = last(recipe, history)?;
    let done = last.epoch_in_phase + 1;
    let phase = &recipe.phases[last.phase];
    let own = &history[history.len() - done..];
    if done < phase.epochs && !is_out_of_patience(phase, own) {
        return Some(Position {
            epoch_in_phase: done,
            ..last
        });
    }
    (last.phase + 1 < recipe.phases.len()).then_some(Position {
        phase: last.phase + 1,
        epoch_in_phase: 0,
    })
}

/// The position of the last epoch of `history`; `None` if there is none, or a phase has had more epochs than it has in
/// the recipe.
pub fn last(recipe: &Recipe, history: &[EpochRecord]) -> Option<Position> {
    let mut rest = history;
    for (index, phase) in recipe.phases.iter().enumerate() {
        let own = rest.iter().take_while(|record| record.phase == phase.name);
        let done = own.count();
        if done > phase.epochs {
            return None;
        }
        rest = &rest[done..];
        if done > 0 && rest.is_empty() {
            return Some(Position {
                phase: index,
                epoch_in_phase: done - 1,
            });
        }
    }
    None
}

/// Epochs of the run at its end, if no further phase ends early.
pub fn epochs(recipe: &Recipe, history: &[EpochRecord]) -> usize {
    let left = next(recipe, history).map_or(0, |next| {
        let phases = recipe.phases[next.phase..].iter();
        phases.map(|phase| phase.epochs).sum::<usize>() - next.epoch_in_phase
    });
    history.len() + left
}

/// Whether an epoch of `history`, counted from 1, is the last of its phase.
pub fn ends_phase(recipe: &Recipe, history: &[EpochRecord], epoch: usize) -> bool {
    let next = history.get(..epoch).map(|history| next(recipe, history));
    next.is_some_and(|next| next.is_none_or(|position| position.epoch_in_phase == 0))
}

/// Whether a phase ends early after these epochs: the last `patience` of them were no better than the best before.
pub fn is_out_of_patience(phase: &Phase, epochs: &[EpochRecord]) -> bool {
    let mut best: Option<&EpochRecord> = None;
    let mut since = 0;
    for record in epochs {
        // A metric that is not finite is no better.
        let is_better = best.map_or(!record.metric.is_nan(), |best| record.is_better_than(best));
        if is_better {
            best = Some(record);
            since = 0;
        } else {
            since += 1;
        }
    }
    phase.patience > 0 && since >= phase.patience
}

/// The recipe for another total of epochs, those of `history` included: the last phase becomes longer
/// or shorter, or, if the run is finished, a further phase like it is added.
///
/// # Errors
/// If fewer epochs are asked for than are finished or than come before the last phase.
pub fn with_epochs(
    mut recipe: Recipe,
    epochs: usize,
    history: &[EpochRecord],
) -> Result<Recipe, Error> {
    let (total, done) = (recipe.epochs(), history.len());
    let next = next(&recipe, history);
    let last = recipe.phases.len() - 1;
    if recipe.phases[last].is_solved() {
        let what = message!("the last phase solves for a head, which more epochs do not change");
        return Err(Problem::new(what)
            .of_key(Key::EPOCHS)
            .fix(message!(
                "to train the backbone as well, start a run with this one as its weights"
            ))
            .into());
    }
    let left = |phases: &[Phase]| phases.iter().map(|phase| phase.epochs).sum::<usize>();
    let before_last = match next {
        Some(next) => done + left(&recipe.phases[next.phase..last]) - next.epoch_in_phase,
        None => done,
    };
    if epochs <= done.max(before_last) {
        let what = message!(
            "{} {epochs}: {done} of {total} epochs are done and the last phase begins after epoch {before_last}",
            Key::EPOCHS
        );
        let fix = message!("ask for more than {}", done.max(before_last));
        return Err(Problem::new(what).of_key(Key::EPOCHS).fix(fix).into());
    }
    let mut phase = recipe.phases[last].clone();
    phase.close_as_in(total, epochs, epochs - before_last);
    phase.epochs = epochs - before_last;
    match next {
        Some(_) => recipe.phases[last] = phase,
        None => recipe.phases.push(Phase {
            name: format!("extension-{}", recipe.phases.len()),
            warmup: phase.warmup.max(THAW_WARMUP),
            ..phase
        }),
    }
    Ok(recipe)
}

/// The history of a run after `done` epochs, none of them better than the first.
#[cfg(test)]
pub fn history(recipe: &Recipe, done: usize) -> Vec<EpochRecord> {
    let mut history = Vec::new();
    for phase in &recipe.phases {
        for _ in 0..phase.epochs {
            let epoch = history.len() + 1;
            history.push(EpochRecord {
                phase: phase.name.clone(),
                ..EpochRecord::example(epoch, 0.5)
            });
        }
    }
    history.truncate(done);
    history
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmstart_recipe::{Draft, HeadKind};

    fn recipe(freeze: usize, total: usize) -> Recipe {
        let mut draft: Draft =
            toml::from_str("data = 'd'\nmodel = 'm'\nweights = 'w.pth'\n").unwrap();
        draft.frozen.epochs = Some(freeze);
        draft.frozen.head = Some(HeadKind::Linear);
        draft.thawed.epochs = Some(total);
        draft.resolve(224, None).unwrap()
    }

    fn place(recipe: &Recipe, done: usize) -> Option<(usize, usize)> {
        let position = next(recipe, &history(recipe, done))?;
        Some((position.phase, position.epoch_in_phase))
    }

    #[test]
    fn an_epoch_has_its_place_in_the_phases() {
        let recipe = recipe(2, 3);
        assert_eq!(place(&recipe, 0), Some((0, 0)));
        assert_eq!(place(&recipe, 1), Some((0, 1)));
        assert_eq!(place(&recipe, 2), Some((1, 0)));
        assert_eq!(place(&recipe, 3), None);
        let history = history(&recipe, 3);
        assert_eq!(
            [1, 2, 3].map(|epoch| ends_phase(&recipe, &history, epoch)),
            [false, true, true]
        );
    }

    #[test]
    fn a_phase_without_a_better_epoch_ends_when_its_patience_does() {
        let mut recipe = recipe(5, 9);
        recipe.phases[0].patience = 2;
        let mut done = history(&recipe, 2);
        assert_eq!(next(&recipe, &done).unwrap().epoch_in_phase, 2);
        done = history(&recipe, 3);
        let thaw = Position {
            phase: 1,
            epoch_in_phase: 0,
        };
        assert_eq!(next(&recipe, &done), Some(thaw));
        assert!(ends_phase(&recipe, &done, 3) && !ends_phase(&recipe, &done, 2));
        // The next phase has all of its own epochs.
        for epoch in 4..=7 {
            done.push(EpochRecord {
                phase: "thaw".into(),
                ..EpochRecord::example(epoch, 0.1)
            });
        }
        assert_eq!(next(&recipe, &done), None);
        done[2].metric = 0.6;
        done.truncate(3);
        assert_eq!(
            next(&recipe, &done).unwrap().epoch_in_phase,
            3,
            "it was better"
        );
    }

    #[test]
    fn a_metric_that_is_not_finite_is_no_improvement() {
        let mut recipe = recipe(5, 9);
        recipe.phases[0].patience = 3;
        let mut done = history(&recipe, 3);
        for record in &mut done {
            record.metric = f64::NAN;
        }
        assert_eq!(next(&recipe, &done).unwrap().phase, 1);
    }

    #[test]
    fn more_epochs_lengthen_the_last_phase_or_add_one_to_a_finished_run() {
        let recipe = recipe(2, 4);
        let epochs = |recipe: Recipe| recipe.phases.iter().map(|p| p.epochs).collect::<Vec<_>>();
        let changed = |total, done| with_epochs(recipe.clone(), total, &history(&recipe, done));
        assert_eq!(epochs(changed(6, 3).unwrap()), [2, 4]);
        assert_eq!(epochs(changed(6, 1).unwrap()), [2, 4]);
        let extended = changed(6, 4).unwrap();
        assert_eq!(extended.phases[2].name, "extension-2");
        assert_eq!(epochs(extended), [2, 2, 2]);
        assert!(changed(4, 4).is_err() && changed(2, 1).is_err());
    }

    #[test]
    fn epochs_are_a_total_of_those_that_were_trained() {
        let mut recipe = recipe(5, 9);
        recipe.phases[0].patience = 1;
        let mut done = history(&recipe, 2);
        done.push(EpochRecord {
            phase: "thaw".into(),
            ..EpochRecord::example(3, 0.9)
        });
        let longer = with_epochs(recipe, 10, &done).unwrap();
        assert_eq!(longer.phases[1].epochs, 8, "two were frozen");
    }

    #[test]
    fn a_run_made_longer_closes_over_the_same_share() {
        let text = "task = 'detect'\ndata = 'd'\nmodel = 'm'\nweights = 'w.pth'\n";
        let recipe = || {
            toml::from_str::<Draft>(text)
                .unwrap()
                .resolve(320, None)
                .unwrap()
        };
        let changed = |total, done| {
            let recipe = recipe();
            let history = history(&recipe, done);
            with_epochs(recipe, total, &history).unwrap()
        };
        let closing = |phase: &Phase| {
            let epochs = 0..phase.epochs;
            epochs.filter(|&epoch| phase.view(0, epoch).closing).count()
        };
        let longer = changed(40, 10);
        assert_eq!(
            longer.phases.iter().map(closing).collect::<Vec<_>>(),
            [0, 6]
        );
        // A finished run that has had its share of mosaics continues without them.
        let extended = changed(22, 20);
        assert_eq!(
            extended.phases.iter().map(closing).collect::<Vec<_>>(),
            [0, 3, 2]
        );
        let extended = changed(60, 20);
        assert_eq!(
            extended.phases.iter().map(closing).collect::<Vec<_>>(),
            [0, 3, 9]
        );
    }
}
