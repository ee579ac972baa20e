//! Limits on the resources of a command.

use std::ffi::OsString;
use std::path::PathBuf;
use std::{env, thread};

use bytesize::ByteSize;
use clap::{Args, Subcommand};
use warmstart_data::FeatureCacheFolder;
use warmstart_language::{english, message};
use warmstart_recipe::size_with_unit;

/// Reason why there is no default cache folder.
#[cfg(windows)]
pub const NO_CACHE_FOLDER: &str = english!("LOCALAPPDATA does not name an absolute path");
#[cfg(not(windows))]
pub const NO_CACHE_FOLDER: &str =
    english!("neither XDG_CACHE_HOME nor HOME names an absolute path");

#[derive(Args)]
pub struct CacheFolder {
    /// Folder of the cached features of frozen backbones [default: warmstart/ in the user's cache folder]
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
    /// The flags that give another command the same setting.
    pub fn flags(&self) -> Vec<OsString> {
        vec!["--threads".into(), self.count().to_string().into()]
    }

    /// The requested number of threads, or that of the machine's cores.
    pub fn count(&self) -> usize {
        match self.threads {
            Some(threads) => usize::from(threads),
            None => thread::available_parallelism().map_or(1, usize::from),
        }
    }
}
