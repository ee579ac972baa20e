//! One object, received whole into a file: under another name first, then renamed.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use object_store::path::Path as Location;
use object_store::{GetOptions, GetResult, ObjectStore};
use warmstart_language::message;

use super::address::{Address, Store};
use super::error::ObjectError;
use super::inventory::{Object, PARTS};
use super::store::explained;
use crate::error::FetchError;

/// How often a file is begun that does not arrive whole.
const TRIES: u32 = 3;
/// Time before the second of them; the time before each other is that much longer.
const WAIT: Duration = Duration::from_millis(500);

/// An object that is wanted.
pub struct Item {
    /// Its place in the store.
    pub location: Location,
    /// Its name below the folder.
    pub name: String,
    /// The version that is here, if the server is to be asked whether it is still the same.
    pub here: Option<Object>,
}

/// A receiver of objects; several are received at the same time, on one thread.
pub struct Receiver<'a> {
    /// Where they are from.
    pub address: &'a Address,
    /// The store.
    pub store: &'a dyn ObjectStore,
    /// Where they go.
    pub folder: &'a Path,
    /// Whether nothing is to be begun any more.
    pub is_stopped: &'a dyn Fn() -> bool,
    /// Gets the number of bytes that have arrived, which is negative for those of a file that has to begin again.
    pub arrived: &'a dyn Fn(i64),
    /// Gets the reason for which a file begins again.
    pub begins_again: &'a dyn Fn(String),
    /// Number of files so far.
    pub files: Cell<u64>,
}

/// Why a try failed.
enum Failure {
    /// It did not arrive whole: the next try may do better.
    Cut(String),
    /// Nothing would help.
    Fatal(ObjectError),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Fatal(error.into())
    }
}

impl Receiver<'_> {
    /// Receives an object, and returns its name and its version; no version if what is here is the same.
    ///
    /// # Errors
    /// If the server does not give it whole, or the system refuses.
    pub async fn receive(&self, item: Item) -> Result<(String, Option<Object>), ObjectError> {
        let number = self.files.get();
        self.files.set(number + 1);
        let part = self.folder.join(PARTS).join(number.to_string());
        let mut tries = 0;
        loop {
            tries += 1;
            match self.attempt(&item, &part).await {
                Ok(object) => return Ok((item.name, object)),
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Cut(reason)) => {
                    if tries == TRIES || (self.is_stopped)() {
                        return Err(ObjectError::Server {
                            address: self.address_of(&item),
                            reason,
                            fix: message!("try again; what is here is not fetched again"),
                        });
                    }
                    (self.begins_again)(message!("{}: {reason}", self.address_of(&item)));
                }
            }
            tokio::time::sleep(WAIT * tries).await;
        }
    }

    async fn attempt(&self, item: &Item, part: &Path) -> Result<Option<Object>, Failure> {
        let answer = match self.store.get_opts(&item.location, condition(item)).await {
            Ok(answer) => answer,
            Err(object_store::Error::NotModified { .. }) => return Ok(None),
            Err(error) => {
                let (reason, fix) = explained(&self.address.store, &error);
                return Err(Failure::Fatal(ObjectError::Server {
                    address: self.address_of(item),
                    reason,
                    fix,
                }));
            }
        };
        let object = Object::of(&answer.meta);
        if item.here.as_ref().is_some_and(|here| here.is_same(&object)) {
            return Ok(None);
        }
        let arrived = Cell::new(0);
        let written = self.write(answer, object.bytes, part, &arrived).await;
        if let Err(failure) = written {
            (self.arrived)(-arrived.get());
            return Err(failure);
        }
        let path = self.folder.join(&item.name);
        create_folder_of(&path)?;
        fs::rename(part, &path).map_err(|error| FetchError::write(&path, error))?;
        Ok(Some(object))
    }

    /// Writes the content. It is not flushed: a power cut may shorten it, which its size then shows.
    async fn write(
        &self,
        answer: GetResult,
        bytes: u64,
        part: &Path,
        arrived: &Cell<i64>,
    ) -> Result<(), Failure> {
        let failed = |error| FetchError::write(part, error);
        let mut file = File::create(part).map_err(failed)?;
        let mut content = answer.into_stream();
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(|error| {
                let (reason, _) = explained(&self.address.store, &error);
                Failure::Cut(reason)
            })?;
            file.write_all(&chunk).map_err(failed)?;
            let count = chunk.len() as i64;
            arrived.set(arrived.get() + count);
            (self.arrived)(count);
            if arrived.get() as u64 > bytes {
                break;
            }
        }
        if arrived.get() as u64 != bytes {
            let found = arrived.get();
            return Err(Failure::Cut(message!("{found} of {bytes} bytes arrived")));
        }
        Ok(())
    }

    /// The address of one object, as it was asked for.
    fn address_of(&self, item: &Item) -> String {
        match &self.address.store {
            Store::Bucket(bucket) => format!("s3://{bucket}/{}", item.location),
            Store::Server(server) => format!("{server}/{}", item.location),
        }
    }
}

/// The request for an object only if it is another one than that which is here.
fn condition(item: &Item) -> GetOptions {
    match &item.here {
        None => GetOptions::new(),
        Some(Object {
            etag: Some(etag), ..
        }) => GetOptions::new().with_if_none_match(Some(etag.as_str())),
        Some(Object { modified, .. }) => {
            let seconds = u64::try_from(*modified).ok().filter(|seconds| *seconds > 0);
            let time = seconds.and_then(|seconds| {
                SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
            });
            GetOptions::new().with_if_modified_since(time)
        }
    }
}

fn create_folder_of(path: &Path) -> Result<(), FetchError> {
    let folder: PathBuf = path.parent().unwrap_or(Path::new(".")).to_owned();
    fs::create_dir_all(&folder).map_err(|error| FetchError::create(&folder, error))
}
