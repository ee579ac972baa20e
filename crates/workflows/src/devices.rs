//! `warmstart devices`: the devices of this machine, and how fast each is; the device of a run.

use std::any::Any;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use warmstart_language::{english, message};
use warmstart_models::by_name;
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::catching_card_failures;
use warmstart_nn::devices::{self, Card, CardKind, DeviceError, DeviceName};
use warmstart_recipe::Error;
use warmstart_run::folder::recipe_of;
use warmstart_tasks::network::INFERENCE_BATCH;

use crate::models::classifier_pass;

/// The network that is measured.
const NETWORK: &str = "mobilenet_v2";
/// Channels of an image.
const CHANNELS: usize = 3;
/// Time after which no turn is begun.
const TIME: Duration = Duration::from_millis(1500);
/// Most turns that are timed.
const MOST_TURNS: usize = 50;

/// A device, for programs. What is not known is `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceInfo {
    /// Its name to give to `--device`.
    pub name: DeviceName,
    /// Whether `auto` stands for it.
    pub auto: bool,
    /// The name that its maker gives it.
    pub model: String,
    /// The interface that a card is used through; of the processor, the SIMD level of the kernels.
    pub interface: String,
    /// The driver of a card, and its version.
    pub driver: Option<String>,
    /// Its kind.
    pub kind: DeviceKind,
    /// Bytes of its memory.
    pub memory_total: Option<u64>,
    /// Bytes of its memory that a program may still take.
    pub memory_free: Option<u64>,
    /// Images a second of MobileNetV2, where they were measured.
    pub images_per_second: Option<f64>,
    /// Why they could not be measured.
    pub problem: Option<String>,
}

/// Kind of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The processor.
    Processor,
    /// A graphics card with memory of its own.
    Discrete,
    /// A graphics card that shares the processor's memory.
    Integrated,
    /// A graphics card that a virtual machine is lent.
    Virtual,
    /// A driver that computes on the processor.
    Software,
    /// A graphics card whose driver does not tell.
    Other,
}

impl DeviceKind {
    /// The kind in English words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Processor => english!("processor"),
            Self::Discrete => english!("discrete card"),
            Self::Integrated => english!("integrated card"),
            Self::Virtual => english!("virtual card"),
            Self::Software => english!("software driver"),
            Self::Other => english!("card"),
        }
    }
}

impl From<CardKind> for DeviceKind {
    fn from(kind: CardKind) -> Self {
        match kind {
            CardKind::Discrete => Self::Discrete,
            CardKind::Integrated => Self::Integrated,
            CardKind::Virtual => Self::Virtual,
            CardKind::Software => Self::Software,
            CardKind::Other => Self::Other,
        }
    }
}

/// The device that a run's recipe names; the processor where this machine or this build does not have it.
pub fn device_of_run(run: &Path) -> Device {
    let recipe = recipe_of(run).ok();
    let device = recipe.and_then(|(recipe, _)| devices::open(recipe.device).ok());
    device.unwrap_or_else(warmstart_nn::device)
}

/// Whether this build can use graphics cards.
pub fn can_use_cards() -> bool {
    !matches!(
        devices::card(DeviceName::Gpu(0)),
        Err(DeviceError::BuildWithoutCards)
    )
}

/// The processor and every graphics card that this build can use; measured, with the speed of each. None is
/// the automatic one if the environment names a device that there cannot be.
///
/// # Errors
/// If the environment names a SIMD level that this processor lacks.
pub fn list(measured: bool) -> Result<Vec<DeviceInfo>, Error> {
    let automatic = devices::automatic().ok();
    let mut all = vec![processor()?];
    all.extend(devices::cards().iter().map(of_card));
    for info in &mut all {
        info.auto = automatic == Some(info.name);
        if measured {
            match measure(&devices::open(info.name)?) {
                Ok(speed) => info.images_per_second = Some(speed),
                Err(problem) => info.problem = Some(problem),
            }
        }
    }
    Ok(all)
}

fn processor() -> Result<DeviceInfo, Error> {
    let simd = warmstart_nn::simd_level().map_err(|error| Error::usage(error.to_string()))?;
    let [processors, memory] =
        ["/proc/cpuinfo", "/proc/meminfo"].map(|file| fs::read_to_string(file).unwrap_or_default());
    let model = field(&processors, "model name").unwrap_or(std::env::consts::ARCH);
    Ok(DeviceInfo {
        name: DeviceName::Cpu,
        auto: false,
        model: model.to_owned(),
        interface: simd.to_owned(),
        driver: None,
        kind: DeviceKind::Processor,
        memory_total: bytes(&memory, "MemTotal"),
        memory_free: bytes(&memory, "MemAvailable"),
        images_per_second: None,
        problem: None,
    })
}

fn of_card(card: &Card) -> DeviceInfo {
    let memory = card.memory();
    DeviceInfo {
        name: card.name,
        auto: false,
        model: card.model.clone(),
        interface: card.backend.to_string(),
        driver: Some(card.driver.clone()).filter(|driver| !driver.is_empty()),
        kind: card.kind.into(),
        memory_total: memory.map(|memory| memory.total),
        memory_free: memory.and_then(|memory| memory.free),
        images_per_second: None,
        problem: None,
    }
}

/// The value of the first line such as `model name : A processor`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(found, _)| found.trim() == name)?;
    Some(value.trim())
}

/// The value of a line such as `MemTotal:  1234 kB`.
fn bytes(text: &str, name: &str) -> Option<u64> {
    let kibibytes: u64 = field(text, name)?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The speed of a device, or why it could not be measured.
fn measure(device: &Device) -> Result<f64, String> {
    // A driver that fails must not keep the other devices from the list.
    catching_card_failures(|| images_per_second(device))
        .unwrap_or_else(|panic| Err(words_of(&*panic)))
}

/// Images a second of MobileNetV2 with random weights, as `predict` computes them: a batch that lies in the host's memory
/// goes through, and its logits come back. It is the fastest of a few batches, after one in which a card compiles its
/// kernels.
fn images_per_second(device: &Device) -> Result<f64, String> {
    let network = by_name(NETWORK).expect("it is one of the networks");
    let size = network.pretrained().image_size;
    let grey = vec![0.5_f32; size * size * CHANNELS];
    let batch = [grey.as_slice(); INFERENCE_BATCH];
    let pass = classifier_pass(&network, device);
    let turn = || {
        let began = Instant::now();
        pass(&batch);
        // The logits are there, and whatever else the driver has to do for them is done now, too.
        device.sync().map_err(|error| error.to_string())?;
        Ok::<f64, String>(began.elapsed().as_secs_f64())
    };
    turn()?;
    let began = Instant::now();
    let mut fastest = turn()?;
    for _ in 1..MOST_TURNS {
        if began.elapsed() > TIME {
            break;
        }
        fastest = fastest.min(turn()?);
    }
    Ok(INFERENCE_BATCH as f64 / fastest)
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| message!("it panicked without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_comes_first_and_is_named_once() {
        let all = list(false).unwrap();
        assert_eq!(all[0].name, DeviceName::Cpu);
        assert_eq!(all[0].kind, DeviceKind::Processor);
        assert!(!all[0].model.is_empty() && !all[0].interface.is_empty());
        let others = all[1..].iter();
        assert!(others.clone().all(|info| info.name != DeviceName::Cpu));
        assert_eq!(others.len(), devices::cards().len());
        assert!(all.iter().filter(|info| info.auto).count() <= 1);
        assert!(all.iter().all(|info| info.images_per_second.is_none()));
    }

    #[test]
    fn the_speed_of_the_processor_is_measured() {
        let speed = measure(&warmstart_nn::device()).unwrap();
        assert!(speed > 0.0 && speed.is_finite(), "{speed}");
    }

    #[test]
    fn a_device_that_panics_has_its_words() {
        let panic: Box<dyn Any + Send> = Box::new("the driver is gone");
        assert_eq!(words_of(&*panic), "the driver is gone");
    }

    #[test]
    fn what_linux_tells_is_read() {
        let text = "processor\t: 0\nmodel name\t: A: processor\nmodel name\t: B\n";
        assert_eq!(field(text, "model name"), Some("A: processor"));
        assert_eq!(field(text, "model"), None);
        let text = "MemTotal:       2 kB\nMemFree: many\n";
        assert_eq!(bytes(text, "MemTotal"), Some(2048));
        assert_eq!(bytes(text, "MemFree"), None);
        assert_eq!(bytes("", "MemTotal"), None);
    }

    #[test]
    fn a_run_that_is_none_has_the_processor() {
        let device = device_of_run(Path::new("no run"));
        assert_eq!(device, warmstart_nn::device());
    }
}
