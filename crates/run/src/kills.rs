//! Kills for lack of memory, as Linux counts them, and which of them concern a run.
//!
//! The system tells how many processes it killed, but not which. So its count is evidence about a run only where no
//! other process can have raised it: in a control group that the run has to itself. Elsewhere only the user can know.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The counts of kills at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kills {
    /// ID of the system's boot, since which it counts.
    start: String,
    /// Kills in the whole system; the count only rises.
    system: u64,
    /// Kills in the control group, if this process is the only one in it.
    own_group: Option<OwnGroup>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OwnGroup {
    path: PathBuf,
    kills: u64,
}

/// Cause of the end of a run that ended without an error, as far as the counts of kills tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// No kill can have been the run's.
    OtherEnd,
    /// Some process was killed; it is unknown which.
    Unknown,
    /// The run was killed.
    Killed,
}

impl Kills {
    /// Kills up to now; `None` where the system does not tell.
    pub fn now() -> Option<Self> {
        let start = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Some(Self {
            start: start.trim().to_owned(),
            system: count(&fs::read_to_string("/proc/vmstat").ok()?)?,
            own_group: own_group(&groups, Path::new("/sys/fs/cgroup"), std::process::id()),
        })
    }

    /// Cause of the end of a run that was running at `self` and is not running `now`.
    pub fn end_cause(&self, now: &Self) -> EndCause {
        if self.start != now.start {
            return EndCause::OtherEnd;
        }
        match (&self.own_group, &now.own_group) {
            (Some(before), Some(now)) if before.path == now.path => {
                if now.kills != before.kills {
                    EndCause::Killed
                } else {
                    EndCause::OtherEnd
                }
            }
            _ if now.system != self.system => EndCause::Unknown,
            _ => EndCause::OtherEnd,
        }
    }
}

/// The value of a line such as `oom_kill 3`.
fn count(text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    value?.trim().parse().ok()
}

/// The control group of /proc/self/cgroup that counts kills of its own processes, if `process` is the only
/// one in it. The group at the root holds every process that is in no other.
fn own_group(groups: &str, mounted: &Path, process: u32) -> Option<OwnGroup> {
    let mut found = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let group = group.trim_start_matches('/');
        let (path, file) = if controllers.is_empty() {
            // `memory.events` counts those of the groups below, too.
            (mounted.join(group), "memory.events.local")
        } else if controllers.split(',').any(|name| name == "memory") {
            (mounted.join("memory").join(group), "memory.oom_control")
        } else {
            return None;
        };
        let kills = count(&fs::read_to_string(path.join(file)).ok()?)?;
        let members = fs::read_to_string(path.join("cgroup.procs")).ok()?;
        let alone = members.split_whitespace().eq([process.to_string()]);
        (!group.is_empty() && alone).then_some(OwnGroup { path, kills })
    });
    found.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kills(start: &str, system: u64, own: Option<(&str, u64)>) -> Kills {
        Kills {
            start: start.into(),
            system,
            own_group: own.map(|(path, kills)| OwnGroup {
                path: path.into(),
                kills,
            }),
        }
    }

    #[test]
    fn only_a_kill_in_a_group_of_its_own_is_surely_the_run_s() {
        let before = kills("a", 3, Some(("/g", 0)));
        for (now, cause) in [
            (kills("a", 3, Some(("/g", 0))), EndCause::OtherEnd),
            (kills("a", 4, Some(("/g", 1))), EndCause::Killed),
            // Other processes of the system were killed, but none in the group.
            (kills("a", 9, Some(("/g", 0))), EndCause::OtherEnd),
            (kills("a", 4, Some(("/h", 1))), EndCause::Unknown),
            (kills("a", 4, None), EndCause::Unknown),
            (kills("a", 3, None), EndCause::OtherEnd),
            (kills("b", 9, Some(("/g", 1))), EndCause::OtherEnd),
        ] {
            assert_eq!(before.end_cause(&now), cause, "{now:?}");
        }
        let before = kills("a", 3, None);
        assert_eq!(before.end_cause(&kills("a", 4, None)), EndCause::Unknown);
        let joined = kills("a", 4, Some(("/g", 4)));
        assert_eq!(before.end_cause(&joined), EndCause::Unknown);
    }

    #[test]
    fn a_group_is_the_run_s_own_if_nobody_else_is_in_it_and_it_is_not_the_root() {
        let mounted = tempfile::tempdir().unwrap();
        let write = |group: &str, file: &str, text: &str| {
            let group = mounted.path().join(group);
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join(file), text).unwrap();
        };
        let old = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n";
        for group in ["memory", "memory/job"] {
            write(group, "memory.oom_control", old);
            write(group, "cgroup.procs", "71\n");
        }
        let new = "low 0\nhigh 0\nmax 8\noom 1\noom_kill 1\noom_group_kill 0\n";
        for (group, members) in [("run", "71\n"), ("shared", "70\n71\n")] {
            write(group, "memory.events.local", new);
            write(group, "cgroup.procs", members);
        }
        let found = |groups| own_group(groups, mounted.path(), 71).map(|group| group.kills);
        assert_eq!(found("0::/run\n"), Some(1));
        assert_eq!(found("4:memory:/job\n0::/\n"), Some(2));
        assert_eq!(found("4:cpu,memory:/job\n"), Some(2));
        assert_eq!(found("0::/shared\n"), None);
        assert_eq!(found("4:memory:/\n"), None);
        assert_eq!(found("3:cpu:/job\n0::/\n"), None);
        assert_eq!(own_group("0::/run\n", mounted.path(), 72), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_system_counts() {
        let now = Kills::now().unwrap();
        assert_eq!(now.end_cause(&now), EndCause::OtherEnd);
    }
}
