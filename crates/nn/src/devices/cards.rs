//! Graphics cards, as Burn lists them.

use std::sync::OnceLock;

use burn::tensor::{Device, DeviceType};
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::device::WgpuDeviceKind;

use super::{Card, CardKind, CardMemory, DeviceName, linux};

/// Every card of this build's interfaces, in this order: CUDA, ROCm, Vulkan or Metal; of each, discrete ones first and
/// software last. A card that two interfaces reach is listed under the first alone.
pub(super) fn found() -> &'static [Card] {
    static FOUND: OnceLock<Vec<Card>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut cards: Vec<Card> = Vec::new();
        for (backend, device_type) in interfaces() {
            let devices = Device::enumerate(device_type).into_vec();
            for device in devices {
                let is_known = cards.iter().any(|card| is_same_card(&card.device, &device));
                if !is_known && let Some(card) = card(cards.len(), backend, device) {
                    cards.push(card);
                }
            }
        }
        cards
    })
}

/// What wgpu reaches cards through: Metal on Apple's systems, Vulkan elsewhere.
#[cfg(any(feature = "vulkan", feature = "metal"))]
const WGPU: &str = if cfg!(target_vendor = "apple") { "metal" } else { "vulkan" };

fn interfaces() -> Vec<(&'static str, DeviceType)> {
    vec![
        #[cfg(feature = "cuda")]
        ("cuda", DeviceType::Cuda),
        #[cfg(feature = "rocm")]
        ("rocm", DeviceType::Rocm),
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

fn card(index: usize, backend: &'static str, device: Device) -> Option<Card> {
    let identity = device.identity()?;
    Some(Card {
        name: DeviceName::Gpu(index),
        driver: driver(backend, &identity.fingerprint),
        kind: kind(&device),
        model: identity.name,
        target: identity.fingerprint,
        backend,
        device,
    })
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

/// The driver and its version; empty if nothing tells.
fn driver(backend: &str, fingerprint: &str) -> String {
    match backend {
        #[cfg(feature = "vulkan")]
        "vulkan" => told_by_vulkan(fingerprint).unwrap_or_default().driver,
        _ => linux::driver(backend),
    }
}

/// What the driver of a Vulkan card tells. CubeCL's fingerprint has the card's two numbers of PCI: `spirv_65541_0`.
#[cfg(feature = "vulkan")]
fn told_by_vulkan(fingerprint: &str) -> Option<super::vulkan::Told> {
    let mut numbers = fingerprint.rsplit('_').map(|number| number.parse().ok());
    let (device, vendor) = (numbers.next()??, numbers.next()??);
    super::vulkan::told(vendor, device)
}

pub(super) fn memory(card: &Card) -> Option<CardMemory> {
    let client = cube(&card.device)?.client();
    let memory = &client.properties().memory;
    let [total, free] = match card.backend {
        #[cfg(feature = "vulkan")]
        "vulkan" => {
            let told = told_by_vulkan(&card.target).unwrap_or_default();
            [told.total, told.free]
        }
        _ => [memory.max_memory(), None],
    };
    let pci = || card.device.identity()?.physical?.pci_address;
    Some(CardMemory {
        total: total?,
        free: free.or_else(|| linux::free(&pci()?.to_string())),
        largest: memory.max_page_size,
    })
}
