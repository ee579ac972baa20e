//! Virtual shards: a batch is cut into parts, and the sums over the parts are added in a tree that depends on the number of
//! parts alone. Each process computes some of them, so the result has the same bits on any number of processes.

use std::ops::Range;

use warmstart_language::message;
use warmstart_ranks::Ranks;
use warmstart_recipe::{Error, Key, Problem, Recipe};

/// Most shards of a batch.
const MOST: usize = 64;

/// The parts of every batch, and those of them that this process computes.
///
/// Shard `v` of `V` of a batch of `n` images has the images from `n·v/V` up to `n·(v+1)/V`; it is empty if there are fewer
/// images than shards and it is not its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualShards {
    /// Shards of a batch: a power of two.
    pub shards: usize,
    /// Processes: a power of two, and at most as many as shards.
    pub ranks: usize,
    /// The number of this process, from 0.
    pub rank: usize,
}

impl VirtualShards {
    /// The shards of a recipe, on these processes.
    ///
    /// # Errors
    /// If the number of processes is no power of two, or there are more of them than shards.
    pub fn of(recipe: &Recipe, ranks: &Ranks) -> Result<Self, Error> {
        let (shards, count) = (recipe.virtual_shards, ranks.count());
        if count > MOST {
            let what = message!(
                "training runs on {count} processes, and a batch has at most {MOST} shards"
            );
            let fix = message!("start {MOST} processes or fewer");
            return Err(Problem::new(what).fix(fix).into());
        }
        if !count.is_power_of_two() {
            let below = 1_usize << count.ilog2();
            return Err(Problem {
                expected: message!("a power of two"),
                found: count.to_string(),
                ..Problem::new(message!(
                    "training runs on {count} processes; their number must be a power of two"
                ))
            }
            .fix(message!("start {below} or {} processes", 2 * below))
            .into());
        }
        if count > shards {
            return Err(Problem {
                expected: message!("at least {count}"),
                found: shards.to_string(),
                ..Problem::new(message!(
                    "{} is {shards}, and training runs on {count} processes: each needs a shard of the batch",
                    Key::VIRTUAL_SHARDS
                ))
            }
            .of_key(Key::VIRTUAL_SHARDS)
            .fix(message!(
                "start at most {shards} processes, or begin a new run with {} {count} or more",
                Key::VIRTUAL_SHARDS
            ))
            .into());
        }
        Ok(Self {
            shards,
            ranks: count,
            rank: ranks.rank(),
        })
    }

    /// The images of a shard of a batch.
    pub fn images_of(self, shard: usize, images: usize) -> Range<usize> {
        images * shard / self.shards..images * (shard + 1) / self.shards
    }

    /// The shards that this process computes.
    pub fn own(self) -> Range<usize> {
        let of_rank = self.shards / self.ranks;
        self.rank * of_rank..(self.rank + 1) * of_rank
    }

    /// The images of a whole batch that this process computes: those of its shards.
    pub fn part_of_rank(self, images: usize) -> Range<usize> {
        let own = self.own();
        self.images_of(own.start, images).start..self.images_of(own.end - 1, images).end
    }
}

/// The sum of leaves that come one after the other, as a tree: that of the first half and that of the second, each added
/// up in the same way. Their number is a power of two, and the sums of their 2, 4, 8… equal parts are inner nodes of the
/// tree. A leaf can be `None`, which adds nothing. At most one sum of each height is held at a time.
pub struct TreeSum<T> {
    leaves: usize,
    /// The sums of the leaves so far, in their order, each of fewer leaves than the one before: one for each 1 of the
    /// binary number of leaves.
    held: Vec<Option<T>>,
}

impl<T> Default for TreeSum<T> {
    fn default() -> Self {
        Self {
            leaves: 0,
            held: Vec::new(),
        }
    }
}

impl<T> TreeSum<T> {
    /// Adds the next leaf, and with it every part of the tree that it completes.
    pub fn push(&mut self, leaf: Option<T>, add: &mut dyn FnMut(T, T) -> T) {
        let mut sum = leaf;
        for _ in 0..self.leaves.trailing_ones() {
            sum = match (self.held.pop().flatten(), sum) {
                (Some(first), Some(second)) => Some(add(first, second)),
                (only, None) | (None, only) => only,
            };
        }
        self.held.push(sum);
        self.leaves += 1;
    }

    /// The sums that are held. If one leaf more is the last that adds anything, the sum of all is that leaf, added to the
    /// last of these, added to the one before it, and so on.
    pub fn into_held(self) -> Vec<T> {
        self.held.into_iter().flatten().collect()
    }

    /// The sum of all leaves; `None` if none adds anything.
    pub fn sum(self, add: &mut dyn FnMut(T, T) -> T) -> Option<T> {
        let held = self.into_held().into_iter();
        held.rev().reduce(|later, first| add(first, later))
    }
}

/// The [sum](TreeSum) of leaves that are made one after the other.
///
/// # Errors
/// The first error of a leaf.
pub fn tree_sum<T, E>(
    leaves: Range<usize>,
    leaf: &mut dyn FnMut(usize) -> Result<Option<T>, E>,
    add: &mut dyn FnMut(T, T) -> T,
) -> Result<Option<T>, E> {
    let mut sum = TreeSum::default();
    for index in leaves {
        sum.push(leaf(index)?, add);
    }
    Ok(sum.sum(add))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;
    use warmstart_recipe::Draft;

    use super::*;

    /// The powers of two up to a number.
    fn powers(most: usize) -> impl Iterator<Item = usize> {
        (0..)
            .map(|power| 1 << power)
            .take_while(move |&power| power <= most)
    }

    fn shards(shards: usize, ranks: usize, rank: usize) -> VirtualShards {
        VirtualShards {
            shards,
            ranks,
            rank,
        }
    }

    /// The tree over leaves that are there already.
    fn sum(leaves: &[Option<f32>]) -> Option<f32> {
        let mut leaf = |index: usize| Ok::<_, Infallible>(leaves[index]);
        let Ok(sum) = tree_sum(0..leaves.len(), &mut leaf, &mut |a, b| a + b);
        sum
    }

    /// The same, level by level.
    fn naive(leaves: &[Option<f32>]) -> Option<f32> {
        let mut level = leaves.to_vec();
        while level.len() > 1 {
            let pairs = level.chunks(2).map(|pair| match (pair[0], pair[1]) {
                (Some(one), Some(other)) => Some(one + other),
                (one, other) => one.or(other),
            });
            level = pairs.collect();
        }
        level[0]
    }

    /// Numbers whose sum depends on the order.
    fn leaves(images: usize, number: usize) -> Vec<Option<f32>> {
        let value = |index: usize| {
            let noise = (index * 7919 + images * 104_729) % 1009;
            (noise as f32 / 1009.0 - 0.5) * 10.0_f32.powi((noise % 9) as i32 - 4)
        };
        let has_images = |&shard: &usize| !shards(number, 1, 0).images_of(shard, images).is_empty();
        let of = |shard| Some(shard).filter(has_images).map(value);
        (0..number).map(of).collect()
    }

    fn bits(sum: Option<f32>) -> Option<u32> {
        sum.map(f32::to_bits)
    }

    #[test]
    fn the_tree_adds_neighbours_level_by_level() {
        for number in powers(64) {
            for images in [1, 3, number, 5 * number + 1] {
                let leaves = leaves(images, number);
                assert_eq!(
                    bits(sum(&leaves)),
                    bits(naive(&leaves)),
                    "{number} {images}"
                );
            }
        }
        let in_order = leaves(256, 64).into_iter().flatten().sum::<f32>();
        assert_ne!(
            bits(sum(&leaves(256, 64))),
            bits(Some(in_order)),
            "order matters"
        );
    }

    #[test]
    fn any_number_of_processes_has_the_bits_of_one() {
        for number in powers(64) {
            for images in [1, 3, number, 5 * number + 1] {
                let leaves = leaves(images, number);
                for ranks in powers(number) {
                    let partial = |rank| sum(&leaves[shards(number, ranks, rank).own()]);
                    let partials: Vec<_> = (0..ranks).map(partial).collect();
                    assert_eq!(
                        bits(sum(&partials)),
                        bits(sum(&leaves)),
                        "{number} shards of {images} images on {ranks} processes"
                    );
                }
            }
        }
    }

    #[test]
    fn the_last_leaf_that_adds_anything_is_added_to_what_is_held_the_nearest_first() {
        for number in powers(64) {
            for last in 0..number {
                let mut leaves = leaves(64, number);
                leaves[last + 1..].fill(None);
                let mut before = TreeSum::default();
                for &leaf in &leaves[..last] {
                    before.push(leaf, &mut |a, b| a + b);
                }
                let held = before.into_held().into_iter().rev();
                let last_sum = held.fold(leaves[last].unwrap(), |later, first| first + later);
                assert_eq!(
                    bits(Some(last_sum)),
                    bits(naive(&leaves)),
                    "{last} of {number}"
                );
            }
        }
    }

    #[test]
    fn the_first_error_of_a_leaf_is_that_of_the_sum() {
        let mut leaf = |index: usize| {
            if index % 3 == 2 {
                Err(index)
            } else {
                Ok(Some(1))
            }
        };
        assert_eq!(tree_sum(0..8, &mut leaf, &mut |a, b| a + b), Err(2));
    }

    #[test]
    fn at_most_one_sum_of_each_height_is_held() {
        let held = std::cell::Cell::new(0);
        let most = std::cell::Cell::new(0);
        let mut leaf = |_: usize| {
            held.set(held.get() + 1);
            most.set(held.get().max(most.get()));
            Ok::<_, Infallible>(Some(()))
        };
        let Ok(sum) = tree_sum(0..64, &mut leaf, &mut |(), ()| held.set(held.get() - 1));
        assert_eq!((sum, held.get(), most.get()), (Some(()), 1, 7));
    }

    proptest! {
        #[test]
        fn every_image_is_computed_by_one_process(images in 0_usize..1000, power in 0_u32..7, below in 0_u32..7) {
            let number = 1 << power;
            let ranks = 1 << power.saturating_sub(below);
            let mut next = 0;
            for rank in 0..ranks {
                let shards = shards(number, ranks, rank);
                let part = shards.part_of_rank(images);
                prop_assert_eq!(part.start, next);
                let of_shards: usize = shards.own().map(|shard| shards.images_of(shard, images).len()).sum();
                prop_assert_eq!(part.len(), of_shards);
                prop_assert!(part.len() <= images.div_ceil(ranks));
                next = part.end;
            }
            prop_assert_eq!(next, images);
        }
    }

    fn of(shards: usize, ranks: usize) -> Result<VirtualShards, Error> {
        let text =
            format!("data = 'd'\nmodel = 'resnet18'\nweights = 'w'\nvirtual_shards = {shards}\n");
        let draft: Draft = toml::from_str(&text).unwrap();
        let recipe = draft.resolve(224, None).unwrap();
        VirtualShards::of(&recipe, Ranks::of_threads(ranks).last().unwrap())
    }

    #[test]
    fn processes_are_a_power_of_two_and_no_more_than_shards() {
        for (number, ranks) in [(1, 1), (8, 1), (8, 2), (8, 8), (64, 64)] {
            assert_eq!(of(number, ranks).unwrap(), shards(number, ranks, ranks - 1));
        }
        let error = of(8, 3).unwrap_err().to_string();
        assert!(error.contains("2 or 4 processes"), "{error}");
        let error = of(1, 8).unwrap_err();
        assert_eq!(error.fields().key, Some("virtual_shards".into()));
        let words = error.to_string();
        for part in ["start at most 1 processes, or begin a new run", "8 or more"] {
            assert!(words.contains(part), "{words}");
        }
        for ranks in [96, 128] {
            let error = of(64, ranks).unwrap_err().to_string();
            assert!(error.contains("at most 64 shards"), "{error}");
            assert!(error.contains("start 64 processes or fewer"), "{error}");
        }
    }
}
