//! `warmstart cache list` and `warmstart cache clear`.

use std::io::stdout;
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use warmstart_data::CachedFile;
use warmstart_files::shown;
use warmstart_language::{message, padded, translated};

use super::Failure;
use crate::arguments::{Cache, CacheCommand, NO_CACHE_FOLDER};
use crate::printing;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

pub fn cache(arguments: Cache) -> Result<(), Failure> {
    let (place, clears) = match arguments.command {
        CacheCommand::List(place) => (place, false),
        CacheCommand::Clear(place) => (place, true),
    };
    let folder = place.get().ok_or_else(|| {
        Failure::failed(message!(
            "there is no cache folder: {why}; name one with --cache DIR",
            why = translated(NO_CACHE_FOLDER)
        ))
    })?;
    let files = if clears {
        folder.clear()
    } else {
        folder.files()
    };
    let shown = shown(folder.path());
    let files = files.map_err(|error| Failure::failed(format!("{shown}: {error}")))?;
    let mut out = stdout().lock();
    let bytes = ByteSize(files.iter().map(|file| file.bytes).sum());
    if clears {
        let removed = message!("{shown}: removed {} files, {bytes}", files.len());
        printing::line(&mut out, removed)?;
        return Ok(());
    }
    for file in &files {
        printing::line(&mut out, line(file))?;
    }
    let all = message!("{shown}: {} files, {bytes}", files.len());
    printing::line(&mut out, all)?;
    Ok(())
}

fn line(file: &CachedFile) -> String {
    let ago = SystemTime::now().duration_since(file.last_used);
    format!(
        "{:>9}  {}  {}",
        ByteSize(file.bytes).to_string(),
        padded(&age(ago.unwrap_or_default()), 12, true),
        file.description
    )
}

fn age(ago: Duration) -> String {
    match ago.as_secs() {
        seconds @ 0..HOUR => message!("{} min ago", seconds / 60),
        seconds @ HOUR..DAY => message!("{} h ago", seconds / HOUR),
        seconds => message!("{} days ago", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_the_unit_that_fits() {
        for (seconds, words) in [
            (0, "0 min ago"),
            (59 * 60 + 59, "59 min ago"),
            (HOUR, "1 h ago"),
            (DAY - 1, "23 h ago"),
            (40 * DAY, "40 days ago"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), words);
        }
    }
}
