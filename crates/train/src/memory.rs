//! Memory that the process has used, and memory that is available to it, as Linux counts them; and that of a graphics
//! card, as its driver and its allocator do.

use std::fs;
use std::path::{Path, PathBuf};

use warmstart_language::english;
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::devices::{CardKind, CardMemory, card_of};
use warmstart_recipe::{Key, Memory};

/// Share of the available memory that is left to other processes, and to uses that no plan knows of.
const MARGIN: f64 = 0.1;

/// Highest resident memory since the last [`reset_peak`], in MB (10⁶ bytes); 0 where the system
/// does not tell.
pub fn peak_mb() -> f64 {
    status_kibibytes("VmHWM:").map_or(0.0, |kibibytes| kibibytes as f64 * 1024.0 / 1e6)
}

/// Forgets the peak so far. Where the system cannot, peaks are over the whole process.
pub fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Memory that the allocator of a graphics card holds, in MB: the most that was needed since it was last released
/// (`Device::memory_cleanup`), because it keeps what tensors leave free. `None` for the processor.
pub fn card_mb(device: &Device) -> Option<f64> {
    card_bytes(device).map(|bytes| bytes as f64 / 1e6)
}

fn card_bytes(device: &Device) -> Option<u64> {
    device.memory_pool_usage().map(|usage| usage.bytes_reserved)
}

/// The memory budget of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Size in bytes, after the margin.
    pub bytes: u64,
    /// The limit that determines it, in English words.
    pub set_by: String,
}

/// The smallest of the available memory, the limits of the control groups that the process is in, and
/// its own limits (`ulimit -d`, `ulimit -v`), less a tenth; `None` where the system does not tell. So many `processes`
/// train together on this machine, and share all but the limits of a process.
pub fn available(processes: usize) -> Option<Budget> {
    let share = |bytes: u64| bytes / processes.max(1) as u64;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    // A limit on data counts all writable memory, used or not: mostly stacks of threads.
    let unused = || {
        let [data, used] = ["VmData:", "RssAnon:"].map(|key| status_kibibytes(key).unwrap_or(0));
        data.saturating_sub(used) * 1024
    };
    let data = process_limit(&limits, "Max data size").map(|limit| limit.saturating_sub(unused()));
    // A limit on addresses counts all mapped ones; those reserved for tensors will be used.
    let mapped = || {
        let [mapped, used] = ["VmSize:", "VmRSS:"].map(|key| status_kibibytes(key).unwrap_or(0));
        let for_tensors =
            warmstart_nn::memory_reserved().saturating_sub(warmstart_nn::memory_in_use());
        (mapped.saturating_sub(used) * 1024).saturating_sub(for_tensors as u64)
    };
    let addresses =
        process_limit(&limits, "Max address space").map(|limit| limit.saturating_sub(mapped()));
    let found = [
        (
            kibibytes(&meminfo, "MemAvailable:").map(|k| share(k * 1024)),
            english!("the available memory"),
        ),
        (
            group_limit(&groups, Path::new("/sys/fs/cgroup")).map(share),
            english!("the limit of the control group"),
        ),
        (data, english!("the process's data limit (ulimit -d)")),
        (
            addresses,
            english!("the process's address space limit (ulimit -v)"),
        ),
    ];
    let smallest = found
        .into_iter()
        .filter_map(|(bytes, set_by)| Some((bytes?, set_by)))
        .min();
    smallest.map(|(bytes, set_by)| Budget {
        bytes: (bytes as f64 * (1.0 - MARGIN)) as u64,
        set_by: set_by.to_owned(),
    })
}

impl Budget {
    /// The memory that a recipe asks for, which is that of a process, or what is available to each of so many processes.
    pub fn of(memory: Memory, processes: usize) -> Option<Self> {
        match memory {
            Memory::Auto => available(processes),
            Memory::Bytes(size) => Some(Self {
                bytes: size.as_u64(),
                set_by: Key::MEMORY.to_string(),
            }),
        }
    }
}

/// The memory of the graphics card that a run computes on.
#[derive(Clone, Debug, PartialEq)]
pub struct CardBudget {
    /// The card in words.
    pub title: String,
    /// Bytes that the run may use, after the margin; `None` where the driver does not tell.
    pub bytes: Option<u64>,
    /// The most bytes that the driver gives in one piece; `None` as above.
    pub largest: Option<u64>,
    /// Whether it is a part of the system's memory, and counts against the run's budget of that, too.
    pub is_shared: bool,
}

impl CardBudget {
    /// What there is of the memory of the card that a device is; `None` for the processor.
    pub fn of(device: &Device) -> Option<Self> {
        let card = card_of(device)?;
        let memory = card.memory();
        let own = card_bytes(device).unwrap_or_default();
        Some(Self {
            title: card.title(),
            bytes: memory.map(|memory| available_on_card(memory, own)),
            largest: memory.map(|memory| memory.largest),
            is_shared: matches!(card.kind, CardKind::Integrated | CardKind::Software),
        })
    }
}

/// The part of a card's memory that no other process uses, or all of it where the driver does not tell that part, less
/// a tenth. This process has `own` bytes of it.
fn available_on_card(memory: CardMemory, own: u64) -> u64 {
    let CardMemory { total, free, .. } = memory;
    let available = free.map_or(total, |free| (free + own).min(total));
    (available as f64 * (1.0 - MARGIN)) as u64
}

fn status_kibibytes(key: &str) -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, key)
}

/// The value of a line such as `VmHWM:  1234 kB`.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.trim().trim_end_matches("kB").trim().parse().ok()
}

/// The soft limit of a line in /proc/self/limits.
fn process_limit(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The smallest limit of the control groups, of either version, in /proc/self/cgroup and of those
/// above them.
fn group_limit(groups: &str, mounted: &Path) -> Option<u64> {
    let limits = groups.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next().unwrap_or(""), fields.next().unwrap_or("/"));
        let (root, file) = match controllers {
            "" => (mounted.to_owned(), "memory.max"),
            "memory" => (mounted.join("memory"), "memory.limit_in_bytes"),
            _ => (PathBuf::new(), ""),
        };
        let group = root.join(group.trim_start_matches('/'));
        let above: Vec<PathBuf> = group.ancestors().map(|group| group.join(file)).collect();
        above.into_iter().filter_map(move |file| {
            let inside = !root.as_os_str().is_empty() && file.starts_with(&root);
            // "max" is not a number, and means no limit.
            fs::read_to_string(file)
                .ok()
                .filter(|_| inside)?
                .trim()
                .parse()
                .ok()
        })
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_smallest_of_the_group_and_those_above_it() {
        let mounted = tempfile::tempdir().unwrap();
        let write = |group: &str, file: &str, text: &str| {
            let group = mounted.path().join(group);
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join(file), text).unwrap();
        };
        write("a/b", "memory.max", "max\n");
        write("a", "memory.max", "5000\n");
        write("memory/c", "memory.limit_in_bytes", "4000\n");
        write("memory", "memory.limit_in_bytes", "9223372036854771712\n");
        let limit = |groups| group_limit(groups, mounted.path());
        assert_eq!(limit("0::/a/b\n"), Some(5000));
        assert_eq!(limit("4:memory:/c\n0::/a\n"), Some(4000));
        assert_eq!(
            limit("4:memory:/elsewhere\n"),
            Some(9_223_372_036_854_771_712)
        );
        assert_eq!(limit("3:cpu:/c\n"), None);
    }

    #[test]
    fn limits_of_the_process_are_read_and_unlimited_is_none() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max data size             600000000            unlimited            bytes     \n\
                    Max address space         unlimited            unlimited            bytes     \n";
        assert_eq!(process_limit(text, "Max data size"), Some(600_000_000));
        assert_eq!(process_limit(text, "Max address space"), None);
    }

    #[test]
    fn a_card_has_what_no_other_process_uses() {
        let memory = |free| CardMemory {
            total: 1000,
            free,
            largest: 250,
        };
        assert_eq!(available_on_card(memory(None), 100), 900);
        assert_eq!(available_on_card(memory(Some(500)), 100), 540);
        assert_eq!(available_on_card(memory(Some(1000)), 100), 900);
    }

    #[test]
    fn the_processor_has_no_memory_of_a_card() {
        let device = warmstart_nn::device();
        assert_eq!(CardBudget::of(&device), None);
        assert_eq!(card_mb(&device), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_memory() {
        let budget = available(1).unwrap();
        assert!(budget.bytes > 1_000_000 && peak_mb() > 1.0, "{budget:?}");
        let fourth = available(4).unwrap();
        assert!(fourth.bytes < budget.bytes, "{fourth:?} of {budget:?}");
    }
}
