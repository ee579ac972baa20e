//! What Vulkan's drivers tell of their cards, beyond what Burn passes on.
#![allow(unsafe_code, reason = "Vulkan is a C interface")]

use std::ffi::CStr;
use std::sync::OnceLock;

use ash::ext::memory_budget;
use ash::{Entry, Instance, vk};

/// What a driver tells of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The driver and its version, such as `llvmpipe, Mesa 22.3.6 (LLVM 15.0.6)`.
    pub driver: String,
    /// Bytes of the largest part of the card's own memory.
    pub total: Option<u64>,
    /// Bytes of it that this process may still take; `None` if the driver does not tell.
    pub free: Option<u64>,
}

/// What the driver tells of a card; `None` without a driver that has it. It is the card with these two numbers of PCI
/// that follows `nth` equal ones: nothing but their order tells equal cards apart, which is the same here and in
/// Burn's list, as both are the loader's.
pub(super) fn told(vendor: u32, device: u32, nth: usize) -> Option<Told> {
    let instance = instance()?;
    // SAFETY: the instance is never destroyed.
    let cards = unsafe { instance.enumerate_physical_devices() }.ok()?;
    let mut equal = cards.into_iter().filter_map(|card| {
        // SAFETY: the card is one of this instance's.
        let properties = unsafe { instance.get_physical_device_properties(card) };
        let numbers = (properties.vendor_id, properties.device_id);
        (numbers == (vendor, device)).then_some((card, properties.api_version))
    });
    let (card, version) = equal.nth(nth)?;
    Some(Told {
        driver: driver(instance, card, version),
        total: total(instance, card),
        free: free(instance, card, version),
    })
}

/// The instance that everything is asked through. It is made once and never destroyed: some drivers do not bear that
/// instances come and go on several threads.
fn instance() -> Option<&'static Instance> {
    static LOADED: OnceLock<Option<(Entry, Instance)>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        // SAFETY: the loader is a system library whose initialization has no condition; the entry, which keeps it
        // loaded, is kept beside the instance for as long as the process lives.
        let entry = unsafe { Entry::load() }.ok()?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_2);
        let create = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: the structures live through the call, and no layer or extension is asked for.
        let instance = unsafe { entry.create_instance(&create, None) }.ok()?;
        Some((entry, instance))
    });
    loaded.as_ref().map(|(_, instance)| instance)
}

/// The driver's name and version, as far as it tells them; only from Vulkan 1.2 on do they belong to Vulkan.
fn driver(instance: &Instance, card: vk::PhysicalDevice, version: u32) -> String {
    if version < vk::API_VERSION_1_2 {
        return String::new();
    }
    let mut driver = vk::PhysicalDeviceDriverProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
    // SAFETY: the card is one of this instance's, and both are of version 1.2, to which the structures belong.
    unsafe { instance.get_physical_device_properties2(card, &mut properties) };
    let text = |name: &CStr| name.to_string_lossy().into_owned();
    let parts = [driver.driver_name_as_c_str(), driver.driver_info_as_c_str()];
    let parts = parts.into_iter().filter_map(|part| part.ok().map(text));
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

fn total(instance: &Instance, card: vk::PhysicalDevice) -> Option<u64> {
    // SAFETY: the card is one of this instance's.
    let memory = unsafe { instance.get_physical_device_memory_properties(card) };
    largest_own_heap(&memory).map(|heap| memory.memory_heaps[heap].size)
}

fn free(instance: &Instance, card: vk::PhysicalDevice, version: u32) -> Option<u64> {
    if version < vk::API_VERSION_1_1 {
        return None;
    }
    // SAFETY: the card is one of this instance's.
    let extensions = unsafe { instance.enumerate_device_extension_properties(card) }.ok()?;
    let mut names = extensions
        .iter()
        .filter_map(|extension| extension.extension_name_as_c_str().ok());
    if !names.any(|name| name == memory_budget::NAME) {
        return None;
    }
    let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    let mut memory = vk::PhysicalDeviceMemoryProperties2::default().push_next(&mut budget);
    // SAFETY: the card is one of this instance's and of version 1.1, to which the call belongs, and it has the
    // extension that the structure belongs to.
    unsafe { instance.get_physical_device_memory_properties2(card, &mut memory) };
    let heap = largest_own_heap(&memory.memory_properties)?;
    Some(budget.heap_budget[heap].saturating_sub(budget.heap_usage[heap]))
}

/// The largest part of the card's own memory. Some drivers list a small window to it, besides.
fn largest_own_heap(memory: &vk::PhysicalDeviceMemoryProperties) -> Option<usize> {
    let is_own = |heap: &usize| {
        let flags = memory.memory_heaps[*heap].flags;
        flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL)
    };
    let heaps = (0..memory.memory_heap_count as usize).filter(is_own);
    heaps.max_by_key(|&heap| memory.memory_heaps[heap].size)
}
