//! A view's plan is a function of (seed, view, sample), with the configured shares.

#[path = "common/scenes.rs"]
mod common;

use common::{FILTER, bounds, colourless, object, plain, render, sample};
use warmstart_data::{DataError, RgbImage, Sample, Scene, SceneAugmentation, ScenePlan};

fn four() -> Vec<Sample<Scene>> {
    let objects = |class| vec![object(class, bounds(5.0, 5.0, 35.0, 25.0))];
    [(40, 30), (64, 48), (50, 80), (60, 60)]
        .into_iter()
        .enumerate()
        .map(|(index, (width, height))| sample(width, height, objects(index)))
        .collect()
}

#[test]
fn seed_view_and_sample_decide_the_view_on_any_number_of_threads() {
    let scenes = four();
    let view = |sample: usize, seed: u64, view: u64| {
        let plan = ScenePlan::draw(
            sample,
            &scenes,
            &SceneAugmentation::default(),
            48,
            seed,
            view,
        );
        (render(&plan, &scenes), format!("{:?}", plan.objects()))
    };
    let all = || -> Vec<_> {
        use rayon::prelude::*;
        let views = 0..40usize;
        views
            .into_par_iter()
            .map(|i| view(i % 4, 9, i as u64 / 4))
            .collect()
    };
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(all)
    };
    let views = on(1);
    assert_eq!(views, on(3));
    for (i, a) in views.iter().enumerate() {
        assert_eq!(a, &view(i % 4, 9, i as u64 / 4), "alone as among others");
        assert!(views[..i].iter().all(|b| a.0 != b.0), "{i} is another view");
    }
    assert_ne!(view(0, 9, 0), view(0, 10, 0));
}

#[test]
fn half_of_the_views_are_mosaics_and_the_others_stay_when_mosaics_end() {
    // So many that hardly a mosaic repeats one of its pictures.
    let scenes: Vec<_> = (0..250).flat_map(|_| four()).collect();
    let augmentation = SceneAugmentation::default();
    let without = augmentation.without_mosaic();
    let mut mosaics = 0;
    for view in 0..1000 {
        let plan = ScenePlan::draw(1, &scenes, &augmentation, 64, 5, view);
        let later = ScenePlan::draw(1, &scenes, &without, 64, 5, view);
        assert_eq!(plan.samples()[0], 1, "the view's own picture comes first");
        assert_eq!(later.samples(), [1]);
        if plan.samples().len() > 1 {
            mosaics += 1;
        } else {
            assert_eq!(plan.objects(), later.objects());
            assert_eq!(render(&plan, &scenes), render(&later, &scenes));
        }
    }
    assert!((450..550).contains(&mosaics), "{mosaics} of 1000");
}

#[test]
fn centres_of_mosaics_fill_the_middle_half() {
    let corner = bounds(50.0, 50.0, 64.0, 64.0);
    let scenes = [sample(64, 64, vec![object(0, corner)])];
    let augmentation = SceneAugmentation {
        scale: [2.0, 2.0],
        flip: 0.0,
        mosaic: 1.0,
        ..colourless()
    };
    let mut seen = [[0; 33]; 2];
    for view in 0..2000 {
        let plan = ScenePlan::draw(0, &scenes, &augmentation, 64, 3, view);
        let first = plan.objects()[0].bounds;
        seen[0][first.right as usize - 16] += 1;
        seen[1][first.bottom as usize - 16] += 1;
    }
    assert!(seen.iter().flatten().all(|count| *count > 20), "{seen:?}");
}

#[test]
fn scales_and_places_are_uniform() {
    let scenes = [sample(
        50,
        50,
        vec![object(0, bounds(0.0, 0.0, 50.0, 50.0))],
    )];
    let augmentation = SceneAugmentation {
        scale: [0.5, 1.0],
        flip: 0.0,
        ..plain()
    };
    let count = 4000;
    let mut means = [0.0; 3];
    for view in 0..count {
        let plan = ScenePlan::draw(0, &scenes, &augmentation, 100, 3, view);
        let b = plan.objects()[0].bounds;
        assert_eq!(b.width(), b.height());
        assert!((50.0..=100.0).contains(&b.width()));
        for (mean, value) in means.iter_mut().zip([b.width(), b.left, b.top]) {
            *mean += value / count as f64;
        }
    }
    let [width, left, top] = means;
    assert!((width - 75.0).abs() < 1.0, "{width}");
    assert!((left - 12.5).abs() < 1.0, "{left}");
    assert!((top - 12.5).abs() < 1.0, "{top}");
}

#[test]
fn any_shape_and_any_size_can_be_drawn() {
    let scenes = [(1, 1), (6000, 40), (40, 6000), (1, 500)]
        .map(|(width, height)| sample(width, height, vec![]));
    for view in 0..60 {
        for size in [1, 2, 3, 5, 64] {
            for mosaic in [0.0, 1.0] {
                let augmentation = SceneAugmentation {
                    mosaic,
                    ..SceneAugmentation::default()
                };
                let plan = ScenePlan::draw(view % 4, &scenes, &augmentation, size, 0, view as u64);
                assert_eq!(render(&plan, &scenes).pixels.len(), size * size * 3);
            }
        }
    }
}

#[test]
fn colours_change_and_shapes_do_not() {
    let scenes = four();
    let on = SceneAugmentation::default().without_mosaic();
    for (name, off) in [
        (
            "hue",
            SceneAugmentation {
                hue: 0.0,
                ..on.clone()
            },
        ),
        (
            "saturation",
            SceneAugmentation {
                saturation: 0.0,
                ..on.clone()
            },
        ),
        (
            "brightness",
            SceneAugmentation {
                brightness: 0.0,
                ..on.clone()
            },
        ),
    ] {
        let plan = |augmentation| ScenePlan::draw(2, &scenes, augmentation, 48, 1, 1);
        let (with, without) = (plan(&on), plan(&off));
        assert_ne!(render(&with, &scenes), render(&without, &scenes), "{name}");
        assert_eq!(with.objects(), without.objects(), "{name}");
    }
}

#[test]
fn a_picture_of_another_size_than_its_scene_is_refused() {
    let scenes = [sample(40, 30, vec![])];
    let plan = ScenePlan::draw(0, &scenes, &plain(), 32, 1, 1);
    let error = plan
        .render(FILTER, |_| Ok(RgbImage::black(30, 40)))
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with("picture.png is 30 x 40 pixels and its labels are for 40 x 30;"),
        "{message}"
    );
    let broken = || DataError::NotAFolder("x".into());
    assert!(plan.render(FILTER, |_| Err(broken())).is_err());
}

#[test]
fn impossible_augmentation_is_refused() {
    let good = SceneAugmentation::default();
    good.check().unwrap();
    plain().check().unwrap();
    let scale = |scale| SceneAugmentation { scale, ..plain() };
    let expected = "expected 0 < smallest <= largest <= 10";
    for (bad, message) in [
        (
            scale([2.0, 0.5]),
            format!("scale is [2.0, 0.5]; {expected}"),
        ),
        (
            scale([0.0, 1.0]),
            format!("scale is [0.0, 1.0]; {expected}"),
        ),
        (
            scale([1.0, 11.0]),
            format!("scale is [1.0, 11.0]; {expected}"),
        ),
        (
            scale([1.0, f64::NAN]),
            format!("scale is [1.0, NaN]; {expected}"),
        ),
        (
            SceneAugmentation {
                mosaic: 1.5,
                ..plain()
            },
            "mosaic is 1.5; expected 0 to 1".into(),
        ),
        (
            SceneAugmentation {
                flip: -0.1,
                ..plain()
            },
            "flip is -0.1; expected 0 to 1".into(),
        ),
        (
            SceneAugmentation {
                hue: 0.6,
                ..plain()
            },
            "hue is 0.6; expected 0 to 0.5".into(),
        ),
        (
            SceneAugmentation {
                saturation: f64::NAN,
                ..plain()
            },
            "saturation is NaN; expected 0 to 1".into(),
        ),
        (
            SceneAugmentation {
                brightness: 2.0,
                ..plain()
            },
            "brightness is 2; expected 0 to 1".into(),
        ),
    ] {
        assert_eq!(bad.check().unwrap_err().to_string(), message);
    }
}

#[test]
fn a_recipe_may_name_only_what_it_changes() {
    let read: SceneAugmentation = serde_json::from_str(r#"{"mosaic": 0.25}"#).unwrap();
    let expected = SceneAugmentation {
        mosaic: 0.25,
        ..SceneAugmentation::default()
    };
    assert_eq!(read, expected);
    assert!(serde_json::from_str::<SceneAugmentation>(r#"{"mosaik": 0.1}"#).is_err());
}
