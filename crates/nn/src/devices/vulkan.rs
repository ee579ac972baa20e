//! What Vulkan's drivers tell of their cards, beyond what Burn passes on.
#![allow(unsafe_code, reason = "Vulkan is a C interface")]

use std::ffi::CStr;

use ash::ext::memory_budget;
use ash::{Entry, Instance, vk};

/// What a driver tells of a card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The driver and its version, such as `llvmpipe, Mesa 22.3.6 (LLVM 15.0.6)`.
    pub driver: String,
    /// Bytes of the largest part of the card's own memory.
    pub total: Option<u64>,
    /// Bytes of it that this process may still take; `None` if the driver does not tell.
    pub free: Option<u64>,
}

/// What the driver tells of the card with these two numbers of PCI, the first of its kind; `None` without a driver.
pub(super) fn told(vendor: u32, device: u32) -> Option<Told> {
    // SAFETY: the loader is a system library whose initialization has no condition; it stays loaded while `entry` lives.
    let entry = unsafe { Entry::load() }.ok()?;
    let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_2);
    let create = vk::InstanceCreateInfo::default().application_info(&application);
    // SAFETY: the structures live through the call, and no layer or extension is asked for.
    let instance = unsafe { entry.create_instance(&create, None) }.ok()?;
    let told = find(&instance, vendor, device);
    // SAFETY: nothing of the instance is used after this.
    unsafe { instance.destroy_instance(None) };
    told
}

fn find(instance: &Instance, vendor: u32, device: u32) -> Option<Told> {
    // SAFETY: the instance is alive.
    let cards = unsafe { instance.enumerate_physical_devices() }.ok()?;
    let card = cards.into_iter().find(|&card| {
        // SAFETY: the card is one of this instance's.
        let properties = unsafe { instance.get_physical_device_properties(card) };
        (properties.vendor_id, properties.device_id) == (vendor, device)
    })?;
    Some(Told {
        driver: driver(instance, card),
        total: total(instance, card),
        free: free(instance, card),
    })
}

fn driver(instance: &Instance, card: vk::PhysicalDevice) -> String {
    let mut driver = vk::PhysicalDeviceDriverProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
    // SAFETY: the card is one of this instance's, which is of version 1.2, where a driver's properties belong to Vulkan.
    unsafe { instance.get_physical_device_properties2(card, &mut properties) };
    let text = |name: &CStr| name.to_string_lossy().into_owned();
    let name = driver.driver_name_as_c_str().map_or_else(|_| String::new(), text);
    let info = driver.driver_info_as_c_str().map_or_else(|_| String::new(), text);
    format!("{name}, {info}")
}

fn total(instance: &Instance, card: vk::PhysicalDevice) -> Option<u64> {
    // SAFETY: the card is one of this instance's.
    let memory = unsafe { instance.get_physical_device_memory_properties(card) };
    largest_own_heap(&memory).map(|heap| memory.memory_heaps[heap].size)
}

fn free(instance: &Instance, card: vk::PhysicalDevice) -> Option<u64> {
    // SAFETY: the card is one of this instance's.
    let extensions = unsafe { instance.enumerate_device_extension_properties(card) }.ok()?;
    let mut names = extensions.iter().filter_map(|extension| extension.extension_name_as_c_str().ok());
    if !names.any(|name| name == memory_budget::NAME) {
        return None;
    }
    let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    let mut memory = vk::PhysicalDeviceMemoryProperties2::default().push_next(&mut budget);
    // SAFETY: the card has the extension that the structure belongs to.
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
