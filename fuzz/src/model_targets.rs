//! Readers of recipes, states and models, each as a function of bytes.

use warmstart_recipe::{Draft, Recipe};
use warmstart_tasks::kinds::Trained;

use crate::model_seeds;
use crate::targets::{Target, file, nothing};

/// Readers of recipes, states and models.
pub const TARGETS: [Target; 4] = [
    Target {
        name: "recipe",
        seeds: model_seeds::recipes,
        inputs: 4000,
        repair: nothing,
        read: |input, folder| {
            let draft = Draft::read(&file(folder, "recipe.toml", input));
            draft.is_ok_and(|draft| draft.resolve(224, None).is_ok())
        },
    },
    Target {
        name: "resolved_recipe",
        seeds: model_seeds::resolved_recipes,
        inputs: 2000,
        repair: nothing,
        read: |input, folder| Recipe::read(&file(folder, "recipe.toml", input)).is_ok(),
    },
    Target {
        name: "state",
        seeds: model_seeds::states,
        inputs: 2000,
        repair: state_checksum,
        read: |input, folder| {
            file(
                folder,
                "run/recipe.toml",
                &model_seeds::resolved_recipes()[0],
            );
            file(folder, "run/checkpoints/epoch-0001/state.json", input);
            let runs = warmstart_run::list::runs(folder).expect("the folder can be listed");
            runs[0].kept.is_some()
        },
    },
    Target {
        name: "model_metadata",
        seeds: model_seeds::model_metadata,
        inputs: 150,
        repair: nothing,
        read: |input, folder| {
            let model = model_seeds::model_with(input);
            let file = file(folder, "best.safetensors", &model);
            Trained::load(&file, &warmstart_nn::device()).is_ok()
        },
    },
];

/// Gives a state the checksum that its text has, as a checkpoint's state has it: with zeros in its place.
fn state_checksum(input: &mut Vec<u8>) {
    const KEY: &str = "\"checksum\": \"";
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Some(start) = text.find(KEY).map(|start| start + KEY.len()) else {
        return;
    };
    let Some(length) = text[start..].find('"') else {
        return;
    };
    let found = &text[start..start + length];
    if found.is_empty() {
        return;
    }
    let sum = blake3::hash(text.replacen(found, &"0".repeat(64), 1).as_bytes());
    *input = text.replacen(found, &sum.to_hex(), 1).into_bytes();
}
