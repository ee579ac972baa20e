//! The device of a run: opened, announced, and told apart from others.

use warmstart_language::message;
use warmstart_nn::burn::tensor::{DType, Device};
use warmstart_nn::devices::{self, Card, CardKind, DeviceError, DeviceName};
use warmstart_recipe::{Error, Key, Precision, Problem, Recipe};
use warmstart_run::event::{Event, Observer};

/// Opens the device that a recipe computes on.
///
/// # Errors
/// If it is not there, or does not compute in the recipe's format.
pub fn open(recipe: &Recipe) -> Result<Device, Error> {
    let Some(card) = card_of(recipe)? else {
        return Ok(warmstart_nn::device());
    };
    let device = card.device();
    if has_format(&device, recipe.precision) {
        return Ok(device);
    }
    let all = [Precision::F32, Precision::Bf16, Precision::F16];
    let own = all.into_iter().filter(|one| has_format(&device, *one));
    let own: Vec<String> = own.map(|one| one.to_string()).collect();
    Err(without_format(&card.title(), recipe.precision, &own))
}

/// The card that a recipe computes on; `None` for the processor, which needs no driver.
fn card_of(recipe: &Recipe) -> Result<Option<&'static Card>, DeviceError> {
    match recipe.device {
        DeviceName::Cpu => Ok(None),
        DeviceName::Gpu(_) => devices::card(recipe.device).map(Some),
    }
}

fn has_format(device: &Device, precision: Precision) -> bool {
    device.supports_dtype(format(precision))
}

/// The format of activations, as tensors name it.
pub fn format(precision: Precision) -> DType {
    match precision {
        Precision::F32 => DType::F32,
        Precision::Bf16 => DType::BF16,
        Precision::F16 => DType::F16,
    }
}

/// The error for a card that does not compute in a format; `own` are those that it has.
fn without_format(card: &str, precision: Precision, own: &[String]) -> Error {
    let own = own.join(", ");
    let what = message!("{card} does not compute in {precision}; it has {own}");
    let fix = message!("give {} f32", Key::PRECISION);
    let problem = Problem::new(what).of_key(Key::PRECISION);
    problem.fix(fix).into()
}

/// Opens the device of a recipe, and notes the card where it is one.
///
/// # Errors
/// As [`open`].
pub fn announce(recipe: &Recipe, observe: Observer) -> Result<(), Error> {
    open(recipe)?;
    let Some(card) = card_of(recipe)? else {
        return Ok(());
    };
    observe(Event::Note(computing_on(card)));
    if card.kind == CardKind::Software {
        observe(Event::Note(message!(
            "{} is a driver that computes on the processor, and slower than {} cpu",
            card.name,
            Key::DEVICE
        )));
    }
    Ok(())
}

/// Says which card is computed on, and through what.
pub fn computing_on(card: &Card) -> String {
    let (title, interface) = (card.title(), card.backend);
    match &*card.driver {
        "" => message!("computing on {title} ({interface})"),
        driver => message!("computing on {title} ({interface}, driver {driver})"),
    }
}

/// Everything about a device and the format of its numbers that the bits of a result depend on, and that the SIMD level
/// does not tell.
pub fn identity(device: &Device, precision: Precision) -> String {
    in_format(devices::identity(device), precision)
}

/// The same of the card that a recipe computes on; `None` for the processor.
pub fn card_identity(recipe: &Recipe) -> Option<String> {
    let card = card_of(recipe).ok()??;
    Some(in_format(card.identity(), recipe.precision))
}

fn in_format(device: String, precision: Precision) -> String {
    match precision {
        Precision::F32 => device,
        Precision::Bf16 | Precision::F16 => format!("{device}, {precision}"),
    }
}

#[cfg(test)]
mod tests {
    use warmstart_recipe::Draft;

    use super::*;

    fn recipe(device: DeviceName) -> Recipe {
        let text = format!("data = 'd'\nmodel = 'm'\nweights = 'w'\ndevice = '{device}'");
        let draft: Draft = toml::from_str(&text).unwrap();
        draft.resolve(224, None).unwrap()
    }

    #[test]
    fn the_processor_is_opened_without_a_word_and_is_no_card() {
        let recipe = recipe(DeviceName::Cpu);
        let mut notes = 0;
        announce(&recipe, &mut |_| notes += 1).unwrap();
        assert_eq!(notes, 0);
        assert_eq!(card_identity(&recipe), None);
        assert_eq!(open(&recipe).unwrap(), warmstart_nn::device());
    }

    #[test]
    fn a_card_that_is_not_there_is_refused_by_the_option() {
        let recipe = recipe(DeviceName::Gpu(99));
        assert_eq!(card_identity(&recipe), None);
        let error = open(&recipe).unwrap_err();
        assert!(error.is_usage(), "{error}");
        assert_eq!(error.fields().key, Some("device".into()));
    }

    #[test]
    fn a_format_that_a_card_lacks_is_named_with_those_that_it_has() {
        let own = ["f32".to_owned(), "f16".to_owned()];
        let error = without_format("gpu:0, A card", Precision::Bf16, &own);
        assert_eq!(
            warmstart_recipe::plain(&error.to_string()),
            "gpu:0, A card does not compute in bf16; it has f32, f16: give precision f32"
        );
    }

    #[test]
    fn another_format_is_another_identity() {
        let device = warmstart_nn::device();
        let of = |precision| identity(&device, precision);
        assert_ne!(of(Precision::Bf16), of(Precision::F16));
        assert_ne!(of(Precision::Bf16), of(Precision::F32));
    }
}
