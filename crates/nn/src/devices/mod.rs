//! The devices that networks compute on: the processor, and the graphics cards that this build can use.

#[cfg(feature = "gpu")]
mod cards;
mod interface;
#[cfg(feature = "gpu")]
mod linux;
#[cfg(feature = "vulkan")]
mod vulkan;

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use warmstart_language::message;

pub use interface::Interface;

/// Environment variable with the device that `auto` stands for.
pub const VARIABLE: &str = "WARMSTART_DEVICE";

/// The name of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceName {
    /// The processor.
    Cpu,
    /// A graphics card, by its place in [`cards`].
    Gpu(usize),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let card = |index: &str| index.parse().ok().map(Self::Gpu);
        let name = match text.split_once(':') {
            None if text == "cpu" => Some(Self::Cpu),
            None if text == "gpu" => Some(Self::Gpu(0)),
            Some(("gpu", index)) => card(index),
            None | Some(_) => None,
        };
        name.ok_or_else(|| {
            message!(
                "expected \"cpu\", \"gpu\", or a certain card such as \"gpu:1\", found \"{text}\""
            )
        })
    }
}

impl TryFrom<String> for DeviceName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(index) => write!(f, "gpu:{index}"),
        }
    }
}

/// Kind of a graphics card, as its driver tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardKind {
    /// A card with memory of its own.
    Discrete,
    /// A part of the processor, with which it shares its memory.
    Integrated,
    /// A card that a virtual machine is lent.
    Virtual,
    /// A driver that computes on the processor, such as Mesa's lavapipe.
    Software,
    /// A card whose driver does not tell.
    Other,
}

/// A graphics card that this build can use.
#[derive(Clone, Debug)]
pub struct Card {
    /// Its name to give to `--device`.
    pub name: DeviceName,
    /// The name that its driver gives it, such as `NVIDIA H100 PCIe`.
    pub model: String,
    /// The interface that it is used through.
    pub backend: Interface,
    /// Its kind.
    pub kind: CardKind,
    /// The driver and its version; empty if it does not tell.
    pub driver: String,
    /// What its kernels are compiled for.
    pub target: String,
    /// How many cards before it have the same target: it is told apart from its equals by its place among them.
    #[cfg(feature = "vulkan")]
    nth: usize,
    device: Device,
}

/// Memory of a graphics card in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardMemory {
    /// All that the driver lets a program use.
    pub total: u64,
    /// The part of it that no process uses; `None` if the driver does not tell.
    pub free: Option<u64>,
    /// The most that it gives in one piece.
    pub largest: u64,
}

/// The reason for which a device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// This build cannot use graphics cards.
    BuildWithoutCards,
    /// There is no such card. `found` has the names of those that there are.
    NoSuchCard {
        /// The card that was asked for.
        name: DeviceName,
        /// The cards that there are.
        found: Vec<String>,
    },
    /// [`VARIABLE`] holds no name of a device.
    Variable(String),
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&match self {
            Self::BuildWithoutCards => {
                message!("this build of warmstart computes on the processor alone")
            }
            Self::NoSuchCard { name, found } if found.is_empty() => {
                message!("{name}: this build finds no graphics card")
            }
            Self::NoSuchCard { name, found } => {
                message!(
                    "there is no {name}; the graphics cards here are {}",
                    found.join("; ")
                )
            }
            Self::Variable(problem) => message!("{VARIABLE}: {problem}"),
        })
    }
}

impl std::error::Error for DeviceError {}

impl Card {
    /// The card in words: `gpu:0, llvmpipe (LLVM 15.0.6, 256 bits)`.
    pub fn title(&self) -> String {
        format!("{}, {}", self.name, self.model)
    }

    /// Everything about the card that the bits of its results depend on.
    pub fn identity(&self) -> String {
        let Self {
            backend,
            model,
            driver,
            target,
            ..
        } = self;
        format!("{backend}, {model}, {driver}, {target}")
    }

    /// The card as a device for tensors. If a card fails, the last words name the one that was asked for last.
    pub fn device(&self) -> Device {
        crate::allocator::name_card(self.title());
        self.device.clone()
    }

    /// The card's memory; `None` if its driver does not tell.
    pub fn memory(&self) -> Option<CardMemory> {
        #[cfg(feature = "gpu")]
        return cards::memory(self);
        #[cfg(not(feature = "gpu"))]
        None
    }
}

/// The graphics cards that this build can use, the same in every call; none in a build without cards.
#[cfg(feature = "gpu")]
pub fn cards() -> &'static [Card] {
    cards::found()
}

/// The graphics cards that this build can use: none.
#[cfg(not(feature = "gpu"))]
pub fn cards() -> &'static [Card] {
    &[]
}

/// The device that `auto` stands for: that of the environment variable [`VARIABLE`] (where `auto` counts as unset), or
/// else the first card if it is a discrete one or Apple's, or else the processor. It depends on no measurement, so that
/// the same machine and build give the same bits.
///
/// # Errors
/// If the variable holds no name of a device.
pub fn automatic() -> Result<DeviceName, DeviceError> {
    let is_set = |text: &OsString| !text.is_empty() && *text != "auto";
    if let Some(text) = std::env::var_os(VARIABLE).filter(is_set) {
        let name = text.to_string_lossy().parse();
        return name.map_err(DeviceError::Variable);
    }
    let first = cards().first();
    let is_fast =
        |card: &&Card| card.kind == CardKind::Discrete || card.backend == Interface::Metal;
    Ok(first
        .filter(is_fast)
        .map_or(DeviceName::Cpu, |card| card.name))
}

/// The device of that name.
///
/// # Errors
/// If it is a card that isn't there, or that this build cannot use.
pub fn open(name: DeviceName) -> Result<Device, DeviceError> {
    match name {
        DeviceName::Cpu => Ok(crate::device()),
        DeviceName::Gpu(_) => card(name).map(Card::device),
    }
}

/// The device that `auto` stands for.
///
/// # Errors
/// As [`automatic`] and [`open`].
pub fn usual() -> Result<Device, DeviceError> {
    open(automatic()?)
}

/// The card of that name.
///
/// # Errors
/// If it isn't there, or this build cannot use it.
pub fn card(name: DeviceName) -> Result<&'static Card, DeviceError> {
    if !cfg!(feature = "gpu") {
        return Err(DeviceError::BuildWithoutCards);
    }
    let cards = cards();
    cards
        .iter()
        .find(|card| card.name == name)
        .ok_or_else(|| DeviceError::NoSuchCard {
            name,
            found: cards.iter().map(Card::title).collect(),
        })
}

/// The card that a device is; `None` for the processor.
pub fn card_of(device: &Device) -> Option<&'static Card> {
    // The processor needs no driver.
    if *device == crate::device() {
        return None;
    }
    cards().iter().find(|card| card.device == *device)
}

/// Everything about a device that the bits of its results depend on, and that the SIMD level does not tell.
pub fn identity(device: &Device) -> String {
    card_of(device).map_or_else(|| format!("{device:?}"), Card::identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_say_and_come_back() {
        for (text, name) in [
            ("cpu", DeviceName::Cpu),
            ("gpu", DeviceName::Gpu(0)),
            ("gpu:0", DeviceName::Gpu(0)),
            ("gpu:12", DeviceName::Gpu(12)),
        ] {
            assert_eq!(text.parse(), Ok(name));
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for text in ["", "cuda", "gpu:", "gpu:one", "gpu:-1", "cpu:0", "GPU"] {
            let error = text.parse::<DeviceName>().unwrap_err();
            assert!(error.contains("such as \"gpu:1\""), "{text}: {error}");
        }
    }

    #[test]
    fn the_processor_can_always_be_opened_and_is_no_card() {
        let device = open(DeviceName::Cpu).unwrap();
        assert!(card_of(&device).is_none());
        assert_eq!(identity(&device), format!("{:?}", crate::device()));
    }

    #[test]
    fn a_card_that_is_not_there_is_named_with_those_that_are() {
        let error = open(DeviceName::Gpu(99)).unwrap_err();
        if cfg!(feature = "gpu") {
            assert!(error.to_string().contains("gpu:99"), "{error}");
        } else {
            assert_eq!(error, DeviceError::BuildWithoutCards);
        }
    }
}
