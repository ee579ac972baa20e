//! Limits on the resources of a command.

use std::ffi::OsString;
use std::path::PathBuf;
use std::{env, thread};

use bytesize::ByteSize;
use clap::{Args, Subcommand};
use warmstart_data::FeatureCacheFolder;
use warmstart_language::{english, message};
use warmstart_recipe::size_with_unit;
use warmstart_train::plan::network::Network;
use warmstart_workflows::plan::Machines;

/// Reason why there is no default cache folder.
#[cfg(windows)]
pub const NO_CACHE_FOLDER: &str = english!("LOCALAPPDATA does not name an absolute path");
#[cfg(not(windows))]
pub const NO_CACHE_FOLDER: &str =
    english!("neither XDG_CACHE_HOME nor HOME names an absolute path");

/// The largest number of machines that a plan says anything of.
const MOST_RANKS: usize = 1024;

#[derive(Args)]
pub struct CacheFolder {
    /// Folder of cached features, and of data copied from elsewhere [default: warmstart/ in the user's cache folder]
    #[arg(long = "cache", value_name = "DIR")]
    path: Option<PathBuf>,
    /// Size above which the least recently used features are removed
    #[arg(long = "cache-limit", value_name = "SIZE", default_value = "20GB", value_parser = size)]
    limit: ByteSize,
    /// Do not cache features; compute them every epoch (same result)
    #[arg(long, conflicts_with_all = ["path", "limit"])]
    no_cache: bool,
}

impl CacheFolder {
    /// The folder, unless the cache is turned off or the system has no place for it.
    pub fn get(&self) -> Option<FeatureCacheFolder> {
        if self.no_cache {
            return None;
        }
        let path = self.path.clone().or_else(user_cache_folder)?;
        Some(FeatureCacheFolder::new(path, self.limit.as_u64()))
    }

    /// Whether a cache is wanted, but neither the user nor the system names a folder.
    pub fn is_missing(&self) -> bool {
        !self.no_cache && self.get().is_none()
    }

    /// The flags that give another command the same setting.
    pub fn flags(&self) -> Vec<OsString> {
        if self.no_cache {
            return vec!["--no-cache".into()];
        }
        let limit = format!("{}B", self.limit.as_u64());
        let mut flags = vec!["--cache-limit".into(), limit.into()];
        if let Some(path) = &self.path {
            flags.extend(["--cache".into(), path.into()]);
        }
        flags
    }
}

fn size(text: &str) -> Result<ByteSize, String> {
    size_with_unit(text).ok_or_else(|| message!("expected a size with a unit, such as 20GB"))
}

/// The folder for a command that has no flag for it, if the system has a place for it.
pub fn usual_cache() -> Option<FeatureCacheFolder> {
    user_cache_folder().map(|path| FeatureCacheFolder::new(path, u64::MAX))
}

/// Folder of the user's caches; `None` if no variable names one. An empty or relative path does not count, by the XDG
/// Base Directory Specification; it would be another folder in every working directory.
fn user_cache_folder() -> Option<PathBuf> {
    let folder = |variable: &str| {
        let folder = env::var_os(variable).map(PathBuf::from);
        folder.filter(|folder| folder.is_absolute())
    };
    let folder = if cfg!(windows) {
        folder("LOCALAPPDATA")?
    } else {
        folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?
    };
    Some(folder.join("warmstart"))
}

#[derive(Args)]
pub struct Cache {
    #[command(subcommand)]
    pub command: CacheCommand,
}

#[derive(Subcommand)]
pub enum CacheCommand {
    /// List cached files, most recently used first
    List(CachePlace),
    /// Remove all cached files
    Clear(CachePlace),
}

#[derive(Args)]
pub struct CachePlace {
    /// The folder [default: warmstart/ in the user's cache folder]
    #[arg(long = "cache", value_name = "DIR")]
    path: Option<PathBuf>,
}

impl CachePlace {
    /// The folder, if the system has a place for it.
    pub fn get(self) -> Option<FeatureCacheFolder> {
        let path = self.path.or_else(user_cache_folder)?;
        Some(FeatureCacheFolder::new(path, u64::MAX))
    }
}

#[derive(Args)]
pub struct Threads {
    /// Threads to compute with; the result is the same for any number [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

impl Threads {
    /// The flags that give another command that many threads.
    pub fn flags(count: usize) -> Vec<OsString> {
        vec!["--threads".into(), count.to_string().into()]
    }

    /// The requested number of threads, or that of the machine's cores.
    pub fn count(&self) -> usize {
        self.count_of(1)
    }

    /// The requested number of threads, or that of the cores of one of so many processes that share them.
    pub fn count_of(&self, processes: usize) -> usize {
        match self.threads {
            Some(threads) => usize::from(threads),
            None => {
                let cores = thread::available_parallelism().map_or(1, usize::from);
                (cores / processes.max(1)).max(1)
            }
        }
    }

    /// Whether the number is given.
    pub fn is_given(&self) -> bool {
        self.threads.is_some()
    }
}

#[derive(Args)]
pub struct SharingMachines {
    /// Also say how long an epoch takes on 2, 4 and more machines, up to N, that share the run over MPI; N is a power of
    /// two
    #[arg(long, value_name = "N", value_parser = ranks)]
    ranks: Option<usize>,
    /// Network between these machines, such as 10Gbit, 100Mbit or 1GB/s [default: 1Gbit]
    #[arg(long, value_name = "SPEED", requires = "ranks", value_parser = network)]
    network: Option<Network>,
}

impl SharingMachines {
    /// The machines to plan for, where any were named.
    pub fn get(&self) -> Option<Machines> {
        self.ranks.map(|most| Machines {
            most,
            network: self.network.clone().unwrap_or_default(),
        })
    }
}

fn ranks(text: &str) -> Result<usize, String> {
    let ranks = text.parse().ok();
    let ranks =
        ranks.filter(|ranks: &usize| ranks.is_power_of_two() && (2..=MOST_RANKS).contains(ranks));
    ranks.ok_or_else(|| {
        message!(
            "expected a power of two from 2 to {most}",
            most = MOST_RANKS
        )
    })
}

fn network(text: &str) -> Result<Network, String> {
    text.parse()
}
