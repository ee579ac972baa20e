//! The name of this machine, without MPI.

/// Where Linux tells the name.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// The name of this machine; "localhost" where the system doesn't tell it.
pub(crate) fn name() -> String {
    let of_kernel = || std::fs::read_to_string(HOSTNAME).ok();
    let of_shell = || std::env::var("HOSTNAME").ok();
    let of_windows = || std::env::var("COMPUTERNAME").ok();
    let name = of_kernel().or_else(of_shell).or_else(of_windows);
    let name = name.map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
