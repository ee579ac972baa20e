//! What Linux and NVIDIA's own program tell of a card, for interfaces that tell neither driver nor free memory.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::interface::Interface;

/// The line in which NVIDIA's kernel module tells its version.
const NVIDIA: &str = "/proc/driver/nvidia/version";
/// The version of AMD's kernel module, where it is not the kernel's own.
const AMD: &str = "/sys/module/amdgpu/version";
/// The version of the kernel, whose own module AMD's usually is.
const KERNEL: &str = "/proc/sys/kernel/osrelease";
/// The longest that nvidia-smi is waited for: where the driver hangs, it never answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks whether a program has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// The driver of a card that is used through CUDA or ROCm, with its version; empty if the system does not tell.
pub(super) fn driver(interface: Interface) -> String {
    let read = |path: &str| fs::read_to_string(path).ok();
    match interface {
        Interface::Cuda => read(NVIDIA)
            .as_deref()
            .and_then(nvidia_version)
            .unwrap_or_default(),
        Interface::Rocm => {
            let version = read(AMD).or_else(|| read(KERNEL));
            version.map_or_else(String::new, |version| format!("amdgpu {}", version.trim()))
        }
        Interface::Metal | Interface::Vulkan => String::new(),
    }
}

/// The version in the text of NVIDIA's kernel module.
fn nvidia_version(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find(|line| line.starts_with("NVRM version:"))?;
    let is_version =
        |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    let version = line.split_whitespace().find(is_version)?;
    Some(format!("NVIDIA {version}"))
}

/// Bytes of a card's memory that no process uses, by its place on the PCI bus, such as `0000:07:00.0`; `None` if neither
/// AMD's module nor nvidia-smi tells in time.
pub(super) fn free(pci: &str) -> Option<u64> {
    free_of_amd(&Path::new("/sys/bus/pci/devices").join(pci)).or_else(|| {
        let query = ["--query-gpu=memory.free", "--format=csv,noheader,nounits"];
        let mut command = Command::new("nvidia-smi");
        command.args(query).arg(format!("--id={pci}"));
        mebibytes(&answer(&mut command, PATIENCE)?)
    })
}

/// The short text that a program prints, if it ends in time; it is killed otherwise.
fn answer(command: &mut Command, patience: Duration) -> Option<String> {
    let command = command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().ok()?;
    let began = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if began.elapsed() > patience {
            // Nobody waits for its end: a program that hangs in a driver may not even be killed.
            let _ = child.kill();
            return None;
        }
        thread::sleep(PAUSE);
    }
    let mut text = String::new();
    child.stdout.take()?.read_to_string(&mut text).ok()?;
    Some(text)
}

fn free_of_amd(folder: &Path) -> Option<u64> {
    let bytes = |name| {
        fs::read_to_string(folder.join(name))
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    Some(bytes("mem_info_vram_total")?.saturating_sub(bytes("mem_info_vram_used")?))
}

/// The bytes of a figure in MiB.
fn mebibytes(text: &str) -> Option<u64> {
    Some(text.trim().parse::<u64>().ok()? << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_nvidias_driver_is_found() {
        let text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n\
                    GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n";
        assert_eq!(nvidia_version(text).unwrap(), "NVIDIA 535.104.05");
        let open =
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n";
        assert_eq!(nvidia_version(open).unwrap(), "NVIDIA 570.86.15");
        assert_eq!(nvidia_version("nothing"), None);
    }

    #[test]
    fn free_memory_is_what_the_module_tells_and_nvidia_smi_counts_in_mib() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(free_of_amd(folder.path()), None);
        fs::write(folder.path().join("mem_info_vram_total"), "17163091968\n").unwrap();
        fs::write(folder.path().join("mem_info_vram_used"), "1163091968\n").unwrap();
        assert_eq!(free_of_amd(folder.path()), Some(16_000_000_000));
        assert_eq!(mebibytes("81042\n"), Some(81_042 << 20));
        assert_eq!(mebibytes("[N/A]"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_does_not_answer_in_time_is_not_waited_for() {
        let began = Instant::now();
        let slow = answer(Command::new("sleep").arg("60"), Duration::from_millis(50));
        assert_eq!(slow, None);
        assert!(began.elapsed() < Duration::from_secs(30));
        let quick = answer(Command::new("echo").arg("81042"), Duration::from_secs(30));
        assert_eq!(quick.as_deref(), Some("81042\n"));
        let missing = answer(&mut Command::new("no-such-program"), PATIENCE);
        assert_eq!(missing, None);
    }
}
