//! Downloads into our cache, and from the Hugging Face Hub into the hub's.

use std::fs;
use std::path::{Path, PathBuf};

use warmstart_language::message;

use crate::checksum::Checksum;
use crate::error::FetchError;
use crate::event::{Event, Observer};
use crate::http::{Client, NoReply, plain};
use crate::hub::{REVISION, Repository};
use crate::lock::Lock;
use crate::places::Places;
use crate::present::{Fetched, present};
use crate::source::{Hub, Source};
use crate::transfer::{Failure, Received, Request, receive};
use crate::verify::{Check, checksum_file};

/// An address of a source.
struct Address<'a> {
    url: String,
    /// The file's name there.
    file: String,
    /// Its repository, if it is on the hub.
    hub: Option<&'a Hub>,
}

/// Downloads a source from the first of its addresses that has it.
///
/// # Errors
/// If none has it, or what one has is not what was published or cannot be kept.
pub fn download(
    source: &Source,
    places: &Places,
    observe: Observer,
) -> Result<Fetched, FetchError> {
    let addresses = addresses(source, places);
    let missing = |reasons| Err(FetchError::missing(source, places, reasons));
    if addresses.is_empty() {
        return missing(vec![message!("its publisher states no address for it")]);
    }
    let client = Client::new(places.timeout, &places.endpoint, places.token.as_deref());
    let client = match client {
        Ok(client) => client,
        Err(reason) => return missing(vec![reason]),
    };
    let work = Work {
        source,
        places,
        client,
    };
    let mut reasons: Vec<String> = Vec::new();
    for address in &addresses {
        let result = match address.hub {
            Some(hub) => work.download_from_hub(address, hub, observe),
            None => work.download_to_cache(address, observe),
        };
        match result {
            Ok(fetched) => return Ok(fetched),
            Err(Failure::Fatal(error)) => return Err(error),
            Err(Failure::Useless(reason)) => {
                observe(Event::Next {
                    url: &plain(&address.url),
                    reason: reason.clone(),
                });
                reasons.push(reason);
            }
        }
    }
    missing(reasons)
}

/// The addresses in the order in which they are asked: the user's mirror, then the publisher's own, then the hub, which
/// comes before the publisher where the user names a mirror of it.
fn addresses<'a>(source: &'a Source, places: &Places) -> Vec<Address<'a>> {
    let address = |url, file: &str, hub| Address {
        url,
        file: file.to_owned(),
        hub,
    };
    let mirrored = places.mirror.iter().flat_map(|mirror| {
        let names = source.file_names().into_iter();
        names.map(move |name| address(format!("{mirror}/{name}"), &name, None))
    });
    let own = source.url.iter().map(|url| {
        let name = source.file.as_deref().or_else(|| url.rsplit('/').next());
        address(url.clone(), name.unwrap_or_default(), None)
    });
    let hub = source.hub.iter().flat_map(|hub| {
        let files = hub.files.iter();
        files.map(move |file| {
            let page = hub.page(&places.endpoint);
            let url = format!("{page}/resolve/{REVISION}/{file}");
            address(url, file, Some(hub))
        })
    });
    let mirrored = mirrored.collect::<Vec<_>>().into_iter();
    if places.has_own_endpoint {
        mirrored.chain(hub).chain(own).collect()
    } else {
        mirrored.chain(own).chain(hub).collect()
    }
}

/// What every download of a source needs.
struct Work<'a> {
    source: &'a Source,
    places: &'a Places,
    client: Client,
}

impl Work<'_> {
    /// Downloads a file of the hub into the hub's cache, or into ours where the server does not say what the hub's
    /// cache needs.
    fn download_from_hub(
        &self,
        address: &Address,
        hub: &Hub,
        observe: Observer,
    ) -> Result<Fetched, Failure> {
        let reply = self.client.head(&address.url).map_err(|no_reply| {
            let (NoReply::Unreachable(reason) | NoReply::Refused(reason)) = no_reply;
            let url = plain(&address.url);
            Failure::Useless(message!("{url} could not be downloaded ({reason})"))
        })?;
        let cache = self.places.hub_cache.as_deref();
        let (Some(cache), Some(hash), Some(commit)) = (cache, reply.stated, reply.commit) else {
            // The content's own answer says what is wrong, if something is.
            return self.download_to_cache(address, observe);
        };
        let repository = Repository::new(cache, &hub.repository);
        let lock = repository.lock(hash.digits());
        let _lock = Lock::take(&lock, || observe(Event::Waiting))?;
        if let Some(present) = present(self.source, self.places, observe)? {
            return Ok(present);
        }
        let blob = repository.blob(hash.digits());
        create_folder_of(&blob)?;
        // As huggingface_hub names it, which can continue it.
        let part = blob.with_file_name(format!("{}.incomplete", hash.digits()));
        self.receive(&address.url, &part, Some(&hash), observe)?;
        rename(&part, &blob)?;
        let path = repository
            .publish(&commit, &address.file, hash.digits())
            .map_err(|error| FetchError::write(&blob, error))?;
        Ok(Fetched {
            path,
            check: Check::Stated(hash),
            is_new: true,
        })
    }

    /// Downloads a file into our cache.
    fn download_to_cache(&self, address: &Address, observe: Observer) -> Result<Fetched, Failure> {
        let Some(cache) = &self.places.cache else {
            let reason = message!(
                "there is no folder to keep it in: neither XDG_CACHE_HOME nor HOME names an absolute path"
            );
            return Err(Failure::Useless(reason));
        };
        let name = self.source.kept_name(&address.file);
        let lock = cache.join(".locks").join(format!("{name}.lock"));
        let _lock = Lock::take(&lock, || observe(Event::Waiting))?;
        // Another process may have downloaded it meanwhile.
        if let Some(present) = present(self.source, self.places, observe)? {
            return Ok(present);
        }
        let path = cache.join(&name);
        let part = cache.join(format!("{name}.part"));
        let published = self.source.checksum_of(&address.file);
        let received = self.receive(&address.url, &part, published, observe)?;
        let check = match (published, received.stated) {
            (Some(published), _) => Check::Published(published.clone()),
            (None, stated) => {
                store(&path, &name, &received.checksum)?;
                stated.map_or(Check::FirstUse(received.checksum), Check::Stated)
            }
        };
        rename(&part, &path)?;
        Ok(Fetched {
            path,
            check,
            is_new: true,
        })
    }

    fn receive(
        &self,
        url: &str,
        part: &Path,
        expected: Option<&Checksum>,
        observe: Observer,
    ) -> Result<Received, Failure> {
        let timeout = self.places.timeout;
        let request = Request {
            url,
            part,
            expected,
            timeout,
        };
        receive(&self.client, &request, observe)
    }
}

fn create_folder_of(path: &Path) -> Result<PathBuf, FetchError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    warmstart_files::create_folder(folder).map_err(|error| FetchError::create(folder, error))?;
    Ok(folder.to_owned())
}

/// Gives a complete file its name, in one step.
fn rename(part: &Path, path: &Path) -> Result<(), FetchError> {
    fs::rename(part, path).map_err(|error| FetchError::write(path, error))?;
    let folder = create_folder_of(path)?;
    warmstart_files::flush_folder(&folder).map_err(|error| FetchError::write(&folder, error))
}

/// Stores the checksum of a file before the file is there, as `sha256sum --check` reads it.
fn store(path: &Path, name: &str, checksum: &Checksum) -> Result<(), FetchError> {
    let path = checksum_file(path);
    let line = format!("{}  {name}\n", checksum.digits());
    warmstart_files::replace(&path, |file| {
        std::io::Write::write_all(file, line.as_bytes())
    })
    .map_err(|error| FetchError::write(&path, error))
}
