//! Multi-head attention against the formulas.

use std::ops::Range;

use proptest::prelude::*;
use warmstart_kernels::{Attention, attention, attention_backward};

use crate::reference::{assert_sums_close, values};

/// Roundings that add up in a value, each half an `f32::EPSILON` of its terms. Three were seen in
/// plain f32 arithmetic.
const ROUNDINGS: f64 = 8.0;

/// An attention with its operands.
struct Case {
    geometry: Attention,
    qkv: Vec<f32>,
    gradient: Vec<f32>,
}

/// Values, and the sums of their terms without signs.
struct Sums {
    values: Vec<f64>,
    terms: Vec<f64>,
}

impl Sums {
    fn zeros(len: usize) -> Self {
        Self {
            values: vec![0.0; len],
            terms: vec![0.0; len],
        }
    }

    fn add(&mut self, place: usize, value: f64, terms: f64) {
        self.values[place] += value;
        self.terms[place] += terms;
    }

    fn assert_close(&self, found: &[f32]) {
        assert_sums_close(found, &self.values, &self.terms, 1e-30);
    }
}

/// The sum of the products, and that of their magnitudes.
fn dot(a: &[f32], b: &[f32]) -> [f64; 2] {
    let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.fold([0.0; 2], |[sum, terms], product| {
        [sum + product, terms + product.abs()]
    })
}

/// `1 / √head_channels`
fn scale(geometry: &Attention) -> f64 {
    1.0 / (geometry.head_channels as f64).sqrt()
}

/// The places in `qkv` of one head's query (part 0), key (1) or value (2) of a token.
fn row(geometry: &Attention, [image, token, part, head]: [usize; 4]) -> Range<usize> {
    let row = (image * geometry.tokens + token) * 3 + part;
    let first = (row * geometry.heads + head) * geometry.head_channels;
    first..first + geometry.head_channels
}

/// The places in the result of one head of a token.
fn result_row(geometry: &Attention, [image, token, head]: [usize; 3]) -> Range<usize> {
    let row = image * geometry.tokens + token;
    let first = (row * geometry.heads + head) * geometry.head_channels;
    first..first + geometry.head_channels
}

/// The result in f64 from the definition.
pub fn attended(geometry: &Attention, qkv: &[f64]) -> Vec<f64> {
    let g = geometry;
    let mut result = vec![0.0; g.batch * g.tokens * g.heads * g.head_channels];
    for (image, head, query) in heads_and_tokens(g) {
        let vector = |token: usize, part: usize| &qkv[row(g, [image, token, part, head])];
        let weights: Vec<f64> = (0..g.tokens)
            .map(|token| {
                let pairs = vector(query, 0).iter().zip(vector(token, 1));
                (scale(g) * pairs.map(|(q, k)| q * k).sum::<f64>()).exp()
            })
            .collect();
        let total: f64 = weights.iter().sum();
        let result = &mut result[result_row(g, [image, query, head])];
        for (token, weight) in weights.iter().enumerate() {
            for (result, value) in result.iter_mut().zip(vector(token, 2)) {
                *result += weight / total * value;
            }
        }
    }
    result
}

/// `(image, head, token)` for all of them.
fn heads_and_tokens(geometry: &Attention) -> impl Iterator<Item = (usize, usize, usize)> {
    let Attention {
        batch,
        tokens,
        heads,
        ..
    } = *geometry;
    (0..batch * heads * tokens).map(move |number| {
        let pair = number / tokens;
        (pair / heads, pair % heads, number % tokens)
    })
}

impl Case {
    /// `qkv` has values in `-spread..spread`.
    fn new([batch, tokens, heads, head_channels]: [usize; 4], spread: f32) -> Self {
        let geometry = Attention {
            batch,
            tokens,
            heads,
            head_channels,
        };
        let len = batch * tokens * heads * head_channels;
        let mut qkv = values(3 * len, 1);
        qkv.iter_mut().for_each(|value| *value *= spread);
        Self {
            geometry,
            qkv,
            gradient: values(len, 2),
        }
    }

    /// The result and the gradient.
    fn run(&self) -> [Vec<f32>; 2] {
        let geometry = &self.geometry;
        [
            attention(geometry, &self.qkv),
            attention_backward(geometry, &self.gradient, &self.qkv),
        ]
    }

    fn check(&self) {
        let expected = self.expected();
        for (expected, found) in expected.iter().zip(&self.run()) {
            expected.assert_close(found);
        }
    }

    /// What [`Self::run`] should give, in f64. An error of a score is one of the softmax relative to
    /// it, so the terms of a row grow with those of its scores.
    fn expected(&self) -> [Sums; 2] {
        let g = &self.geometry;
        let mut result = Sums::zeros(self.gradient.len());
        let mut grad_qkv = Sums::zeros(self.qkv.len());
        for (image, head, query) in heads_and_tokens(g) {
            let places = |token: usize, part: usize| row(g, [image, token, part, head]);
            let vector = |token: usize, part: usize| &self.qkv[places(token, part)];
            let result_places = result_row(g, [image, query, head]);
            let gradient = &self.gradient[result_places.clone()];

            let scores: Vec<_> = (0..g.tokens)
                .map(|token| dot(vector(query, 0), vector(token, 1)).map(|sum| scale(g) * sum))
                .collect();
            let most = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(s[0]));
            let growth = ROUNDINGS * (1.0 + scores.iter().fold(0.0, |m: f64, s| m.max(s[1])));
            let total: f64 = scores.iter().map(|score| (score[0] - most).exp()).sum();
            let shares: Vec<_> = scores
                .iter()
                .map(|score| (score[0] - most).exp() / total)
                .collect();

            let grad_shares: Vec<_> = (0..g.tokens)
                .map(|token| dot(gradient, vector(token, 2)))
                .collect();
            let weighted = shares.iter().zip(&grad_shares);
            let mean = weighted.fold([0.0; 2], |mean, (share, gradient)| {
                [mean[0] + share * gradient[0], mean[1] + share * gradient[1]]
            });

            for (token, (share, grad_share)) in shares.iter().zip(&grad_shares).enumerate() {
                let grad_score = scale(g) * share * (grad_share[0] - mean[0]);
                let terms = growth * scale(g) * share * (grad_share[1] + mean[1]);
                let queries = places(query, 0).zip(vector(query, 0));
                let keys = places(token, 1).zip(vector(token, 1));
                for ((grad_query, q), (grad_key, k)) in queries.zip(keys) {
                    let (q, k) = (f64::from(*q), f64::from(*k));
                    grad_qkv.add(grad_query, grad_score * k, terms * k.abs());
                    grad_qkv.add(grad_key, grad_score * q, terms * q.abs());
                }
                let values = places(token, 2).zip(vector(token, 2));
                let results = result_places.clone().zip(gradient);
                for ((grad_value, v), (place, gradient)) in values.zip(results) {
                    let (v, gradient) = (f64::from(*v), f64::from(*gradient));
                    result.add(place, share * v, growth * share * v.abs());
                    let terms = growth * share * gradient.abs();
                    grad_qkv.add(grad_value, share * gradient, terms);
                }
            }
        }
        [result, grad_qkv]
    }

    /// One image alone.
    fn image(&self, image: usize) -> Self {
        let len = self.gradient.len() / self.geometry.batch;
        Self {
            geometry: Attention {
                batch: 1,
                ..self.geometry
            },
            qkv: self.qkv[3 * len * image..][..3 * len].to_vec(),
            gradient: self.gradient[len * image..][..len].to_vec(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_passes_follow_the_formula(
        batch in 1usize..4, tokens in prop_oneof![1usize..8, 1usize..90],
        heads in 1usize..4, head_channels in prop_oneof![1usize..8, 1usize..100],
        spread in prop_oneof![Just(1.0f32), Just(8.0)]
    ) {
        Case::new([batch, tokens, heads, head_channels], spread).check();
    }
}

/// ViT at 224 pixels with patches of 16 and 14, other widths of a head, and a tile of fewer tokens.
const LARGE: [[usize; 4]; 5] = [
    [2, 197, 2, 64],
    [1, 257, 2, 64],
    [1, 201, 3, 32],
    [2, 100, 1, 96],
    [1, 1370, 1, 32],
];

#[test]
fn the_shapes_of_networks_follow_the_formula() {
    for shape in LARGE {
        Case::new(shape, 1.0).check();
    }
    Case::new(LARGE[0], 6.0).check();
}

#[test]
fn one_token_gets_its_own_value() {
    let case = Case::new([2, 1, 3, 5], 1.0);
    let [result, grad_qkv] = case.run();
    let parts = case.qkv.chunks_exact(15).zip(grad_qkv.chunks_exact(15));
    let results = result.chunks_exact(15).zip(case.gradient.chunks_exact(15));
    // Queries, keys and values of an image, in this order.
    for (number, (part, grad_part)) in parts.enumerate() {
        let (result, gradient) = results.clone().nth(number / 3).unwrap();
        if number % 3 == 2 {
            assert_eq!(part, result);
            assert_eq!(grad_part, gradient);
        } else {
            assert_eq!(grad_part, [0.0; 15]);
        }
    }
}

#[test]
fn far_scores_have_no_weight_and_do_not_overflow() {
    let geometry = Attention {
        batch: 1,
        tokens: 2,
        heads: 1,
        head_channels: 1,
    };
    // Both queries are 1e4, the keys 1e4 and -1e4: scores of plus and minus 1e8.
    let qkv = [1e4, 1e4, 3.0, 1e4, -1e4, 5.0];
    assert_eq!(attention(&geometry, &qkv), [3.0, 3.0]);
    let gradient = attention_backward(&geometry, &[1.0, 2.0], &qkv);
    assert_eq!(gradient, [0.0, 0.0, 3.0, 0.0, 0.0, 0.0]);
}

#[test]
fn what_is_not_a_number_reaches_all_that_depend_on_it() {
    let mut case = Case::new([2, 30, 1, 8], 1.0);
    let is_finite_by_token = |result: &[f32]| -> Vec<bool> {
        let tokens = result.chunks_exact(8);
        tokens
            .map(|token| token.iter().all(|value| value.is_finite()))
            .collect()
    };
    let query = row(&case.geometry, [0, 13, 0, 0]).start;
    let whole = case.qkv[query];
    case.qkv[query] = f32::NAN;
    let found = is_finite_by_token(&case.run()[0]);
    assert!((0..60).all(|token| found[token] == (token != 13)));
    case.qkv[query] = whole;
    case.qkv[row(&case.geometry, [0, 13, 1, 0]).start] = f32::NAN;
    let found = is_finite_by_token(&case.run()[0]);
    assert!((0..60).all(|token| found[token] == (token >= 30)));
}

#[test]
fn nothing_in_gives_nothing() {
    for shape in [[0, 5, 2, 3], [2, 0, 2, 3], [2, 5, 0, 3], [2, 5, 2, 0]] {
        assert_eq!(Case::new(shape, 1.0).run(), [vec![], vec![]], "{shape:?}");
    }
}

#[test]
#[should_panic(expected = "qkv has the shape of the attention")]
fn an_input_of_another_shape_is_refused() {
    attention(&Case::new([1, 2, 3, 4], 1.0).geometry, &[0.0; 71]);
}

#[test]
#[should_panic(expected = "the gradient has the result's shape")]
fn a_gradient_of_another_shape_is_refused() {
    let case = Case::new([1, 2, 3, 4], 1.0);
    attention_backward(&case.geometry, &[0.0; 23], &case.qkv);
}

fn bits(results: [Vec<f32>; 2]) -> [Vec<u32>; 2] {
    results.map(|values| values.into_iter().map(f32::to_bits).collect())
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let on_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let run = || LARGE.map(|shape| bits(Case::new(shape, 1.0).run()));
        pool.unwrap().install(run)
    };
    // One thread takes whole heads; eight share the tiles of one.
    let alone = on_threads(1);
    for threads in [2, 3, 8] {
        assert!(alone == on_threads(threads), "{threads} threads");
    }
}

#[test]
fn an_image_gets_the_same_bits_alone_and_in_any_batch() {
    for shape in [[3, 197, 2, 64], [4, 50, 1, 24]] {
        let case = Case::new(shape, 1.0);
        let all = bits(case.run());
        for image in 0..shape[0] {
            let alone = bits(case.image(image).run());
            for (all, alone) in all.iter().zip(alone) {
                assert_eq!(all[image * alone.len()..][..alone.len()], alone[..]);
            }
        }
    }
}
