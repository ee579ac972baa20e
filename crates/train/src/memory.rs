//! How much memory the process has held, as Linux counts it.

use std::fs;

/// Highest resident memory since the last [`reset_peak`], in MB (10⁶ bytes); 0 where the system
/// does not tell.
pub fn peak_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| {
            rest.trim()
                .trim_end_matches(" kB")
                .trim()
                .parse::<f64>()
                .ok()
        });
    kibibytes.map_or(0.0, |kibibytes| kibibytes * 1024.0 / 1e6)
}

/// Forgets the peak so far. Where the system cannot, peaks are over the whole process.
pub fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}
