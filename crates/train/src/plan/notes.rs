//! What a user should know of a plan, in sentences.

use warmstart_language::{message, translated};
use warmstart_recipe::{Key, Memory, Phase, Recipe};
use warmstart_run::plan::PhasePlan;

use super::limits::{Demand, Limits, Scarce};
use super::memory_line::MB;
use crate::memory::{self, CardBudget};

/// Training steps below which a pretrained network has hardly adapted to the data.
const FEW_STEPS: usize = 200;

/// A note on a budget that exceeds what there is for each of so many processes.
pub(super) fn more_than_there_is(memory: Memory, processes: usize) -> Option<String> {
    let (Memory::Bytes(asked), Some(there)) = (memory, memory::available(processes)) else {
        return None;
    };
    let set_by = translated(&there.set_by);
    (asked.as_u64() > there.bytes).then(|| {
        message!(
            "{:.0} MB exceed 90% of {} ({:.0} MB): the system may kill the run, or slow it down",
            asked.as_u64() as f64 / MB,
            set_by,
            there.bytes as f64 / MB
        )
    })
}

/// A note on a graphics card that batches are not planned for.
pub(super) fn unknown_card_note(card: &CardBudget) -> Option<String> {
    let title = &card.title;
    card.bytes.is_none().then(|| {
        message!(
            "the driver of {title} does not tell how much memory it has, so no batch is made smaller for it"
        )
    })
}

/// A note on a phase that does not fit, or only in micro-batches, whose effect on the result is `effect`. The bytes are
/// those of a whole batch, and those of a micro-batch.
pub(super) fn memory_note(
    phase: &Phase,
    effect: &str,
    [whole, demand]: [Demand; 2],
    limits: &Limits,
) -> Option<String> {
    if let Some(scarce) = limits.scarce(demand) {
        return Some(too_little(phase, scarce, limits.compared(scarce, demand)));
    }
    let Phase { name, batch, .. } = phase;
    let micro_batch = phase
        .micro_batch
        .filter(|&micro_batch| micro_batch < *batch)?;
    // A recipe may have set it where the whole batch fits, too.
    let memory = limits.scarce(whole).and_then(Scarce::words);
    Some(match memory {
        None => message!(
            "{name}: a batch of {batch} does not fit and goes through in micro-batches of {micro_batch}, \
             whose gradients are averaged; {effect}"
        ),
        Some(memory) => message!(
            "{name}: a batch of {batch} does not fit into {memory} and goes through in micro-batches of \
             {micro_batch}, whose gradients are averaged; {effect}"
        ),
    })
}

/// The note on a phase that does not fit; the bytes are those that it needs, and those that there are.
fn too_little(phase: &Phase, scarce: Scarce, [needed, available]: [f64; 2]) -> String {
    let name = &phase.name;
    let images = match phase.micro_batch() {
        1 => message!("one image at a time"),
        images => message!("{images} images at a time"),
    };
    let (needed, available) = (needed / MB, available / MB);
    let key = Key::IMAGE_SIZE;
    match scarce.words() {
        None => message!(
            "{name}: needs about {:.0} MB even with {images}, but {:.0} MB are available: the \
             system may kill the run; use a smaller model or {}",
            needed,
            available,
            key
        ),
        Some(memory) => message!(
            "{name}: needs about {:.0} MB of {memory} even with {images}, but {:.0} MB are available: the run may end \
             for lack of memory; use a smaller model or {}",
            needed,
            available,
            key
        ),
    }
}

/// A note on images whose reading takes most of the memory.
pub(super) fn reading_note(reading: f64, threads: usize, limit: f64) -> Option<String> {
    (reading > limit / 2.0).then(|| {
        message!(
            "reading the largest image takes {:.0} MB in each of {threads} threads, {:.0} MB of the {:.0} MB \
             available: save the largest images smaller, or use fewer {}",
            reading / threads.max(1) as f64 / MB,
            reading / MB,
            limit / MB,
            Key::THREADS
        )
    })
}

/// A note on features that the cache has no room for.
pub(super) fn cache_note(phase: &str, cached: u64, limit: u64) -> Option<String> {
    (cached > limit).then(|| {
        message!(
            "{phase}: its features take {:.0} MB, and the cache's limit is {:.0} MB: every epoch computes them again \
             unless {} is larger",
            cached as f64 / MB,
            limit as f64 / MB,
            Key::CACHE_LIMIT
        )
    })
}

/// A note on a run with too few steps.
pub(super) fn few_steps(recipe: &Recipe, phases: &[PhasePlan]) -> Option<String> {
    let steps: usize = phases
        .iter()
        .map(|phase| phase.epochs * phase.steps_per_epoch)
        .sum();
    // A head in closed form needs no steps.
    if steps >= FEW_STEPS || recipe.phases.iter().any(Phase::is_solved) {
        return None;
    }
    let epochs = (recipe.epochs() * FEW_STEPS).div_ceil(steps.max(1));
    Some(message!(
        "only {steps} training steps: use more epochs ({epochs} in total) or a smaller batch"
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use warmstart_recipe::Draft;

    use super::*;

    /// The phase of a recipe with these lines.
    pub fn phase(lines: &str) -> Phase {
        let text =
            format!("data = 'd'\nmodel = 'm'\nweights = 'w'\n[[phase]]\nepochs = 1\n{lines}\n");
        let draft: Draft = toml::from_str(&text).unwrap();
        draft.resolve(224, None).unwrap().phases.remove(0)
    }

    fn of_system(system: f64) -> Demand {
        Demand {
            system,
            ..Demand::default()
        }
    }

    fn limits(system: f64, card: f64) -> Limits {
        Limits {
            most: Demand {
                system,
                card,
                piece: f64::INFINITY,
            },
            is_shared: false,
        }
    }

    #[test]
    fn images_that_take_most_of_the_memory_to_read_are_noted() {
        assert_eq!(reading_note(400.0 * MB, 2, 900.0 * MB), None);
        assert_eq!(reading_note(400.0 * MB, 2, f64::INFINITY), None);
        let note = reading_note(600.0 * MB, 2, 900.0 * MB).unwrap();
        assert!(
            note.starts_with(
                "reading the largest image takes 300 MB in each of 2 threads, 600 MB of the 900 MB"
            ),
            "{note}"
        );
    }

    #[test]
    fn features_that_the_cache_has_no_room_for_are_noted() {
        assert_eq!(cache_note("freeze", 20_000_000, 20_000_000), None);
        let note = cache_note("freeze", 30_000_000, 20_000_000).unwrap();
        let words = "freeze: its features take 30 MB, and the cache's limit is 20 MB";
        assert!(note.starts_with(words), "{note}");
    }

    #[test]
    fn the_effect_of_micro_batches_is_noted() {
        let mut thaw = phase("train = 'all'");
        thaw.micro_batch = Some(4);
        let note = |planned| {
            let bytes = [of_system(4.0), of_system(planned)];
            memory_note(&thaw, "as the whole", bytes, &limits(2.0, 0.0)).unwrap()
        };
        assert!(note(1.0).contains("does not fit and goes through"));
        assert!(note(1.0).ends_with("whose gradients are averaged; as the whole"));
        assert!(note(3.0).contains("even with 4 images"));
    }

    #[test]
    fn the_memory_that_is_too_small_is_named() {
        let mut thaw = phase("train = 'all'");
        thaw.micro_batch = Some(4);
        let demand = |system, card| Demand {
            system: system * MB,
            card: card * MB,
            piece: 0.0,
        };
        let limits = limits(9.0 * MB, 5.0 * MB);
        let note = |bytes| memory_note(&thaw, "as the whole", bytes, &limits).unwrap();
        let split = note([demand(1.0, 20.0), demand(1.0, 5.0)]);
        assert!(
            split.contains("does not fit into the graphics card's memory and goes through"),
            "{split}"
        );
        let none = note([demand(1.0, 20.0), demand(1.0, 6.0)]);
        assert!(
            none.contains(
                "needs about 6 MB of the graphics card's memory even with 4 images at a time, but 5 MB"
            ),
            "{none}"
        );
        let shared = Limits {
            is_shared: true,
            ..limits
        };
        let bytes = [demand(5.0, 5.0), demand(5.0, 4.0)];
        let split = memory_note(&thaw, "as the whole", bytes, &shared).unwrap();
        assert!(
            split.contains("the system's memory, of which the graphics card's is a part"),
            "{split}"
        );
    }

    #[test]
    fn a_card_whose_driver_does_not_tell_its_memory_is_noted() {
        let card = |bytes| CardBudget {
            title: "gpu:0, A card".to_owned(),
            bytes,
            largest: bytes,
            is_shared: false,
        };
        assert_eq!(unknown_card_note(&card(Some(1))), None);
        let note = unknown_card_note(&card(None)).unwrap();
        assert!(note.contains("gpu:0, A card"), "{note}");
    }
}
