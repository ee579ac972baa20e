//! A copy of what is at an address: what is missing is fetched, what is gone there is removed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::{future, stream};
use object_store::path::Path as Location;
use object_store::{ObjectMeta, ObjectStore};
use warmstart_files::one_line;
use warmstart_language::message;

use super::address::{Address, Wanted};
use super::error::ObjectError;
use super::inventory::{Inventory, Object, PARTS};
use super::names::{folders_of, require_safe};
use super::receiving::{Item, Receiver};
use super::request::{Mirror, Mirrored, ObjectEvent};
use super::store::{self, explained};
use crate::error::FetchError;
use crate::lock::Lock;

/// Objects that are received at the same time.
const AT_ONCE: usize = 16;
/// Most objects of a copy: each takes some hundred bytes of memory.
const MOST_OBJECTS: usize = 10_000_000;
/// Shortest time between two inventories that are written while objects arrive.
const BETWEEN_INVENTORIES: Duration = Duration::from_secs(5);
/// The time between two of them in multiples of that which the last one took.
const SHARE: u32 = 20;
/// Shortest time between two reports of the bytes.
const BETWEEN_REPORTS: Duration = Duration::from_millis(100);

/// Copies what is at an address: see [`mirror`](super::mirror()).
pub fn mirror(
    request: &Mirror,
    observe: &mut dyn FnMut(ObjectEvent),
) -> Result<Mirrored, ObjectError> {
    let address = Address::parse(request.address)?;
    let endpoint = store::endpoint(&request.settings);
    let locks = request.folder.join(".locks");
    let lock = locks.join(format!("{}.lock", address.key(endpoint)));
    let _lock = Lock::take(&lock, || observe(ObjectEvent::Waiting))?;
    let folder = address.folder(request.folder, endpoint);
    let parts = folder.join(PARTS);
    warmstart_files::create_folder(&parts).map_err(|error| FetchError::create(&parts, error))?;
    let refused = |reason: String, fix| ObjectError::Server {
        address: address.text.clone(),
        reason,
        fix,
    };
    let store = store::open(&address.store, &request.settings).map_err(|error| {
        let (reason, fix) = explained(&address.store, &error);
        refused(reason, fix)
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| refused(error.to_string(), String::new()))?;
    let work = Work {
        address: &address,
        store: &*store,
        folder: &folder,
        is_stopped: request.is_stopped,
        observe: RefCell::new(observe),
        done: Cell::new(0),
        of: Cell::new(None),
        reported: Cell::new(None),
    };
    let result = runtime.block_on(work.run());
    // What is left of files that did not arrive; the next copy begins them anew.
    let _ = fs::remove_dir_all(&parts);
    result
}

/// A copy that is being made.
struct Work<'a, 'o> {
    address: &'a Address,
    store: &'a dyn ObjectStore,
    folder: &'a Path,
    is_stopped: &'a dyn Fn() -> bool,
    observe: RefCell<&'a mut (dyn FnMut(ObjectEvent) + 'o)>,
    /// Bytes that have arrived.
    done: Cell<u64>,
    /// Bytes that will, where they are known.
    of: Cell<Option<u64>>,
    reported: Cell<Option<Instant>>,
}

impl Work<'_, '_> {
    async fn run(&self) -> Result<Mirrored, ObjectError> {
        let mut inventory = Inventory::load(self.folder, &self.address.text);
        let (names, items, bytes) = match &self.address.wanted {
            Wanted::Below(prefix) => self.changed(self.list(prefix).await?, &inventory),
            Wanted::Files(files) => {
                let item = |(location, name): &(Location, String)| Item {
                    location: location.clone(),
                    name: name.clone(),
                    here: inventory.here(self.folder, name).cloned(),
                };
                let names = files.iter().map(|(_, name)| name.clone()).collect();
                (names, files.iter().map(item).collect(), None)
            }
        };
        self.tell(ObjectEvent::Found {
            files: names.len(),
            wanted: items.len(),
            bytes,
        });
        self.of.set(bytes);
        let removed = self.remove_others(&names, &mut inventory)?;
        if inventory.note(items.iter().map(|item| &*item.name)) {
            inventory.save(self.folder)?;
        }
        let fetched = self.receive_all(items, &mut inventory).await;
        inventory.save(self.folder)?;
        let fetched = fetched?;
        let path = match self.address.single_file() {
            Some(name) => self.folder.join(name),
            None => self.folder.to_owned(),
        };
        Ok(Mirrored {
            path,
            files: inventory.arrived().count(),
            bytes: inventory.arrived().map(|object| object.bytes).sum(),
            fetched,
            removed,
        })
    }

    /// The objects below a prefix, by their names below it.
    async fn list(&self, prefix: &Location) -> Result<BTreeMap<String, ObjectMeta>, ObjectError> {
        let unusable = |name: &str, problem: String| {
            let name = one_line(name);
            self.refused(
                message!("the object {name} cannot be copied: {problem}"),
                message!("rename or remove it there"),
            )
        };
        let mut found = BTreeMap::new();
        let mut listed = 0;
        let mut listing = self.store.list(Some(prefix));
        while let Some(meta) = listing.next().await {
            let meta = meta.map_err(|error| match error {
                object_store::Error::InvalidPath { source } => {
                    let problem = one_line(&source.to_string()).into_owned();
                    self.refused(
                        message!("an object cannot be copied: {problem}"),
                        message!("rename or remove it there"),
                    )
                }
                error => {
                    let (reason, fix) = explained(&self.address.store, &error);
                    ObjectError::Server {
                        address: self.address.text.clone(),
                        reason,
                        fix,
                    }
                }
            })?;
            if (self.is_stopped)() {
                return Err(self.stopped(0));
            }
            // A server may also list one name without end.
            listed += 1;
            if listed > MOST_OBJECTS {
                return Err(self.refused(
                    message!("there are more than {MOST_OBJECTS} objects"),
                    message!("pack them into archives (.tar)"),
                ));
            }
            let location = meta.location.as_ref();
            let name = location.strip_prefix(prefix.as_ref()).unwrap_or(location);
            let name = name.strip_prefix('/').unwrap_or(name);
            // Tools mark a folder by an empty object of its name.
            if name.is_empty() || (meta.size == 0 && found.contains_key(name)) {
                continue;
            }
            require_safe(name).map_err(|problem| unusable(name, problem))?;
            found.insert(name.to_owned(), meta);
        }
        let folders: HashSet<String> = folders_of(found.keys().map(String::as_str))
            .into_iter()
            .map(str::to_owned)
            .collect();
        found.retain(|name, meta| meta.size > 0 || !folders.contains(name));
        if let Some(name) = folders.iter().find(|name| found.contains_key(*name)) {
            return Err(unusable(
                name,
                message!("it is a file and a folder at once"),
            ));
        }
        if found.is_empty() {
            return Err(self.refused(
                message!("there is nothing below it"),
                message!("check the bucket and the folder"),
            ));
        }
        Ok(found)
    }

    /// All names of a list; the objects that are not here, or are other ones than here; and their bytes.
    fn changed(
        &self,
        listed: BTreeMap<String, ObjectMeta>,
        inventory: &Inventory,
    ) -> (HashSet<String>, Vec<Item>, Option<u64>) {
        let names = listed.keys().cloned().collect();
        let mut bytes = 0;
        let mut items = Vec::new();
        for (name, meta) in listed {
            let here = inventory.here(self.folder, &name);
            if here.is_some_and(|here| here.is_same(&Object::of(&meta))) {
                continue;
            }
            bytes += meta.size;
            items.push(Item {
                location: meta.location,
                name,
                here: None,
            });
        }
        (names, items, Some(bytes))
    }

    /// Removes the files of the inventory that have none of these names, and the folders that are empty then; returns
    /// their number, without that of files which never arrived.
    fn remove_others(
        &self,
        names: &HashSet<String>,
        inventory: &mut Inventory,
    ) -> Result<usize, ObjectError> {
        let others = inventory
            .objects
            .keys()
            .filter(|name| !names.contains(*name));
        let others: Vec<String> = others.cloned().collect();
        let mut removed = 0;
        for name in &others {
            let object = inventory.objects.remove(name);
            let had_arrived = object.is_some_and(|object| !object.is_awaited());
            // An inventory is a file that anybody may have written.
            if require_safe(name).is_err() {
                continue;
            }
            let path = self.folder.join(name);
            match fs::remove_file(&path) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    removed += usize::from(had_arrived);
                }
                // A folder of somebody else's has taken the place of a file that never arrived.
                Err(_) if !had_arrived && path.is_dir() => {}
                Err(error) => return Err(FetchError::write(&path, error).into()),
            }
            let folders = path.ancestors().skip(1);
            for folder in folders.take_while(|folder| *folder != self.folder) {
                if fs::remove_dir(folder).is_err() {
                    break;
                }
            }
        }
        Ok(removed)
    }

    /// Receives objects, and returns how many were not the same as here.
    async fn receive_all(
        &self,
        items: Vec<Item>,
        inventory: &mut Inventory,
    ) -> Result<usize, ObjectError> {
        let arrived = |count: i64| self.arrived(count);
        let begins_again = |reason| self.tell(ObjectEvent::Again { reason });
        let receiver = Receiver {
            address: self.address,
            store: self.store,
            folder: self.folder,
            is_stopped: self.is_stopped,
            arrived: &arrived,
            begins_again: &begins_again,
            files: Cell::new(0),
        };
        let wanted = items.len();
        let begun = stream::iter(items).take_while(|_| future::ready(!(self.is_stopped)()));
        let received = begun.map(|item| receiver.receive(item));
        let mut received = pin!(received.buffer_unordered(AT_ONCE));
        let (mut seen, mut fetched) = (0, 0);
        let mut saved = Instant::now();
        let mut pause = BETWEEN_INVENTORIES;
        while let Some(result) = received.next().await {
            let (name, object) = result?;
            seen += 1;
            if let Some(object) = object {
                fetched += 1;
                inventory.objects.insert(name, object);
            }
            if saved.elapsed() >= pause {
                let began = Instant::now();
                inventory.save(self.folder)?;
                pause = BETWEEN_INVENTORIES.max(SHARE * began.elapsed());
                saved = Instant::now();
            }
        }
        if seen < wanted {
            return Err(self.stopped(inventory.arrived().count()));
        }
        Ok(fetched)
    }

    fn arrived(&self, count: i64) {
        let done = self.done.get().saturating_add_signed(count);
        self.done.set(done);
        let reported = self.reported.get();
        if reported.is_none_or(|time| time.elapsed() >= BETWEEN_REPORTS) {
            self.reported.set(Some(Instant::now()));
            let of = self.of.get();
            self.tell(ObjectEvent::Bytes { done, of });
        }
    }

    fn tell(&self, event: ObjectEvent) {
        (self.observe.borrow_mut())(event);
    }

    fn refused(&self, problem: String, fix: String) -> ObjectError {
        ObjectError::Address {
            address: self.address.text.clone(),
            problem,
            fix,
        }
    }

    fn stopped(&self, files: usize) -> ObjectError {
        ObjectError::Stopped {
            address: self.address.text.clone(),
            files,
        }
    }
}
