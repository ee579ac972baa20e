//! Graphics cards, as Burn lists them.

use std::sync::OnceLock;

use burn::tensor::{Device, DeviceType};
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::device::WgpuDeviceKind;

use super::{Card, CardKind, CardMemory, DeviceName, Interface, linux};

/// Every card of this build's interfaces, in this order: CUDA, ROCm, Vulkan or Metal; of each, discrete ones first and
/// software last. A card that two interfaces reach is listed under the first alone.
pub(super) fn found() -> &'static [Card] {
    static FOUND: OnceLock<Vec<Card>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut cards: Vec<Card> = Vec::new();
        for (interface, device_type) in interfaces() {
            let devices = Device::enumerate(device_type).into_vec();
            for device in devices {
                let is_known = cards.iter().any(|card| is_same_card(&card.device, &device));
                if !is_known && let Some(card) = card(&cards, interface, device) {
                    cards.push(card);
                }
            }
        }
        cards
    })
}

/// What wgpu reaches cards through: Metal on Apple's systems, Vulkan elsewhere.
#[cfg(any(feature = "vulkan", feature = "metal"))]
const WGPU: Interface = if cfg!(target_vendor = "apple") {
    Interface::Metal
} else {
    Interface::Vulkan
};

fn interfaces() -> Vec<(Interface, DeviceType)> {
    vec![
        #[cfg(feature = "cuda")]
        (Interface::Cuda, DeviceType::Cuda),
        #[cfg(feature = "rocm")]
        (Interface::Rocm, DeviceType::Rocm),
        #[cfg(any(feature = "vulkan", feature = "metal"))]
        (WGPU, DeviceType::Wgpu),
    ]
}

fn is_same_card(one: &Device, other: &Device) -> bool {
    let physical = |device: &Device| device.identity().and_then(|identity| identity.physical);
    match (physical(one), physical(other)) {
        (Some(one), Some(other)) => one.is_same_card(&other),
        (None, _) | (_, None) => false,
    }
}

/// The card that follows the `earlier` ones; `None` if the device is not reached through the interface.
fn card(earlier: &[Card], interface: Interface, device: Device) -> Option<Card> {
    let identity = device.identity()?;
    let mut card = Card {
        name: DeviceName::Gpu(earlier.len()),
        driver: String::new(),
        kind: kind(&device),
        model: identity.name,
        #[cfg(feature = "vulkan")]
        nth: earlier
            .iter()
            .filter(|card| card.target == identity.fingerprint)
            .count(),
        target: identity.fingerprint,
        backend: interface,
        device,
    };
    card.driver = driver(&card)?;
    Some(card)
}

/// The device as CubeCL knows it.
fn cube(device: &Device) -> Option<&CubeDevice> {
    match device.as_dispatch() {
        burn::backend::DispatchDevice::Cube(cube) => Some(cube),
        _ => None,
    }
}

fn kind(device: &Device) -> CardKind {
    match cube(device) {
        Some(CubeDevice::Wgpu(device)) => match device.kind {
            WgpuDeviceKind::DiscreteGpu(_) => CardKind::Discrete,
            WgpuDeviceKind::IntegratedGpu(_) => CardKind::Integrated,
            WgpuDeviceKind::VirtualGpu(_) => CardKind::Virtual,
            WgpuDeviceKind::Cpu => CardKind::Software,
            WgpuDeviceKind::DefaultDevice
            | WgpuDeviceKind::Existing(_)
            | WgpuDeviceKind::Other(_) => CardKind::Other,
        },
        Some(CubeDevice::Cuda(_) | CubeDevice::Hip(_)) => CardKind::Discrete,
        Some(CubeDevice::Metal(_)) => CardKind::Integrated,
        Some(CubeDevice::Cpu(_)) => CardKind::Software,
        // CubeCL keeps the right to add interfaces.
        Some(_) | None => CardKind::Other,
    }
}

/// The driver and its version, empty if nothing tells; `None` for a card that Vulkan does not know. Where Vulkan has no
/// driver, wgpu falls back to OpenGL or Direct3D, for which nothing here is tested.
fn driver(card: &Card) -> Option<String> {
    match card.backend {
        Interface::Cuda | Interface::Rocm | Interface::Metal => Some(linux::driver(card.backend)),
        #[cfg(feature = "vulkan")]
        Interface::Vulkan => told_by_vulkan(card).map(|told| told.driver),
        #[cfg(not(feature = "vulkan"))]
        Interface::Vulkan => None,
    }
}

/// What the driver of a Vulkan card tells. CubeCL's fingerprint has the card's two numbers of PCI: `spirv_65541_0`.
#[cfg(feature = "vulkan")]
fn told_by_vulkan(card: &Card) -> Option<super::vulkan::Told> {
    let mut numbers = card.target.rsplit('_').map(|number| number.parse().ok());
    let (device, vendor) = (numbers.next()??, numbers.next()??);
    super::vulkan::told(vendor, device, card.nth)
}

pub(super) fn memory(card: &Card) -> Option<CardMemory> {
    let client = cube(&card.device)?.client();
    let memory = &client.properties().memory;
    let [total, free] = match card.backend {
        Interface::Cuda | Interface::Rocm | Interface::Metal => [memory.max_memory(), None],
        #[cfg(feature = "vulkan")]
        Interface::Vulkan => {
            let told = told_by_vulkan(card)?;
            [told.total, told.free]
        }
        #[cfg(not(feature = "vulkan"))]
        Interface::Vulkan => [None, None],
    };
    let pci = || card.device.identity()?.physical?.pci_address;
    Some(CardMemory {
        total: total?,
        free: free.or_else(|| linux::free(&pci()?.to_string())),
        largest: memory.max_page_size,
    })
}
