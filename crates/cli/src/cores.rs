//! The cores of a machine on which several ranks of a run compute.

use std::collections::BTreeSet;
use std::fs;

use warmstart_language::message;
use warmstart_ranks::Ranks;
use warmstart_train::lockstep::gather;

/// The cores that a rank computes on.
pub struct Cores {
    /// Number of ranks that compute on the same, this one included.
    pub sharers: usize,
    /// A note, where the launcher leaves cores of the machine unused.
    pub note: Option<String>,
}

impl Cores {
    /// Those of a rank. All ranks ask together.
    pub fn of(ranks: &Ranks) -> Self {
        if ranks.is_alone() {
            return Self {
                sharers: 1,
                note: None,
            };
        }
        let host = ranks.host().to_owned();
        let own = allowed("self").unwrap_or_default();
        let all = gather(ranks, &(host.clone(), own.clone()));
        let here = all.into_iter().filter(|(of, _)| *of == host);
        let here: Vec<String> = here.map(|(_, cores)| cores).collect();
        Self {
            sharers: here.iter().filter(|cores| **cores == own).count(),
            note: launcher().and_then(|(name, cores)| unused_note(&name, &here, &cores)),
        }
    }
}

/// The cores that a process may use, as Linux lists them: `0-3,8`.
fn allowed(process: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mut lines = status.lines();
    let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(list.trim().to_owned())
}

/// The launcher that started this process, if it is one that binds processes to cores, and the cores that it may use
/// itself.
#[cfg(target_os = "linux")]
fn launcher() -> Option<(String, String)> {
    let parent = std::os::unix::process::parent_id().to_string();
    let name = fs::read_to_string(format!("/proc/{parent}/comm")).ok()?;
    let name = name.trim().to_owned();
    match name.as_str() {
        "mpirun" | "orterun" | "orted" | "prterun" | "prted" => Some((name, allowed(&parent)?)),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn launcher() -> Option<(String, String)> {
    None
}

/// A note on cores that a launcher may use and that its processes on this machine may not.
fn unused_note(launcher: &str, of_processes: &[String], of_launcher: &str) -> Option<String> {
    let used: BTreeSet<usize> = of_processes.iter().flat_map(|list| numbers(list)).collect();
    let there = numbers(of_launcher);
    let processes = of_processes.len();
    (!used.is_empty() && used.len() < there.len()).then(|| {
        message!(
            "{launcher} lets its {processes} processes on this machine use {} of {} cores: give it --bind-to none, and \
             they share all of them",
            used.len(),
            there.len()
        )
    })
}

/// The numbers of a list such as `0-3,8`.
fn numbers(list: &str) -> BTreeSet<usize> {
    let ranges = list.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.trim().parse().ok()?..=last.trim().parse::<usize>().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_cores_is_read() {
        assert_eq!(numbers("0-3,8"), BTreeSet::from([0, 1, 2, 3, 8]));
        assert_eq!(numbers("5"), BTreeSet::from([5]));
        assert!(numbers("").is_empty());
    }

    #[test]
    fn cores_that_no_process_may_use_are_noted() {
        let bound = ["0".to_owned(), "1".to_owned()];
        let note = unused_note("mpirun", &bound, "0-15").unwrap();
        assert!(note.starts_with("mpirun lets its 2 processes on this machine use 2 of 16 cores"));
        assert_eq!(unused_note("mpirun", &bound, "0-1"), None);
        let free = ["0-15".to_owned(), "0-15".to_owned()];
        assert_eq!(unused_note("mpirun", &free, "0-15"), None);
        assert_eq!(unused_note("mpirun", &[String::new()], "0-15"), None);
    }

    #[test]
    fn ranks_on_the_same_cores_share_them() {
        let threads = Ranks::of_threads(2)
            .into_iter()
            .map(|ranks| std::thread::spawn(move || Cores::of(&ranks).sharers));
        let threads: Vec<_> = threads.collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 2);
        }
        assert_eq!(Cores::of(&Ranks::alone()).sharers, 1);
    }
}
