//! The content behind one address, received into a file: with as many tries as it takes, each from where the last ended.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use warmstart_language::message;

use crate::checksum::Checksum;
use crate::error::FetchError;
use crate::event::{Event, Observer};
use crate::http::{Client, NoReply, Reply, plain};

/// Tries in a row that bring no new byte.
const TRIES: usize = 5;
/// Tries in a row in which the server is not even reached: whoever is offline wants to know soon.
const UNANSWERED: usize = 2;
/// First and longest time between two tries.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// Longest time that a server may ask to wait, in seconds.
const LONGEST_WISH: u64 = 60;
/// Bytes that are received at a time.
const CHUNK: usize = 1 << 16;
/// Largest file: the most that is read of a file of weights.
const LARGEST: u64 = 8 << 30;

/// What is to be received.
pub struct Request<'a> {
    /// The address.
    pub url: &'a str,
    /// The file to write, which may hold the beginning already.
    pub part: &'a Path,
    /// The content's SHA-256, as far as it is known before.
    pub expected: Option<&'a Checksum>,
    /// Time for which a server may be silent; no time between two tries is longer.
    pub timeout: Duration,
}

/// Content that was received, and is what was expected.
pub struct Received {
    /// Its SHA-256.
    pub checksum: Checksum,
    /// The SHA-256 that the server states.
    pub stated: Option<Checksum>,
}

/// Why content was not received.
pub enum Failure {
    /// The address is of no use; another may be.
    Useless(String),
    /// Nothing else would help.
    Fatal(FetchError),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Fatal(error)
    }
}

/// The result of one try.
enum Try {
    Done,
    /// Why it failed, whether the server answered, and the seconds that it wants to be left alone.
    Failed(String, bool, Option<u64>),
}

/// A file that is being received.
struct Transfer<'a> {
    request: &'a Request<'a>,
    file: File,
    have: u64,
    /// The version of the content that is being received.
    version: Option<String>,
    stated: Option<Checksum>,
    /// Whether it was put together from several answers.
    is_spliced: bool,
    has_begun: bool,
}

/// Receives the content behind an address.
///
/// # Errors
/// If the address is of no use, or the content cannot be written or is not what was expected; then nothing is kept.
pub fn receive(client: &Client, request: &Request, observe: Observer) -> Result<Received, Failure> {
    let mut transfer = Transfer::open(request)?;
    loop {
        transfer.complete(client, observe)?;
        let part = request.part;
        let flushed = transfer.file.sync_all();
        flushed.map_err(|error| transfer.failed_write(error))?;
        let found = Checksum::of_file(part).map_err(|error| FetchError::read(part, error))?;
        let expected = request.expected.or(transfer.stated.as_ref());
        let Some(expected) = expected.filter(|expected| !expected.fits(&found)) else {
            return Ok(Received {
                checksum: found,
                stated: transfer.stated,
            });
        };
        if transfer.is_spliced {
            // Its parts may be of two versions.
            transfer.restart()?;
            transfer.is_spliced = false;
            continue;
        }
        let error = FetchError::OtherContent {
            what: plain(request.url),
            found,
            expected: expected.clone(),
            fix: message!(
                "nothing was kept; it was changed on the way, or its publisher replaced it: try again, or take it \
                 from elsewhere"
            ),
        };
        // What is wrong is removed whether or not that succeeds: the next download checks it again.
        let _ = std::fs::remove_file(part);
        return Err(error.into());
    }
}

impl<'a> Transfer<'a> {
    fn open(request: &'a Request<'a>) -> Result<Self, FetchError> {
        let part = request.part;
        let failed = |error| FetchError::write(part, error);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(part)
            .map_err(failed)?;
        let mut have = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if have > 0 && request.expected.is_none() {
            // Nothing would tell whether it belongs to what the server has now.
            file.set_len(0).map_err(failed)?;
            have = file.seek(SeekFrom::Start(0)).map_err(failed)?;
        }
        Ok(Self {
            request,
            file,
            have,
            version: None,
            stated: None,
            is_spliced: have > 0,
            has_begun: false,
        })
    }

    fn restart(&mut self) -> Result<(), FetchError> {
        if self.have == 0 {
            return Ok(());
        }
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|error| FetchError::write(self.request.part, error))?;
        self.have = 0;
        Ok(())
    }

    /// A failed write. Where there is no space, what was written takes what little there is.
    fn failed_write(&self, error: std::io::Error) -> FetchError {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        if let StorageFull | QuotaExceeded | FileTooLarge = error.kind() {
            let _ = std::fs::remove_file(self.request.part);
        }
        FetchError::write(self.request.part, error)
    }

    /// Tries until everything is here.
    fn complete(&mut self, client: &Client, observe: Observer) -> Result<(), Failure> {
        let (mut failures, mut unanswered) = (0, 0);
        let [mut wait, longest] = WAITS.map(|wait| wait.min(self.request.timeout));
        loop {
            let before = self.have;
            let (reason, has_answered, wish) = match self.attempt(client, observe)? {
                Try::Done => return Ok(()),
                Try::Failed(reason, has_answered, wish) => (reason, has_answered, wish),
            };
            if self.have > before {
                (failures, unanswered) = (0, 0);
            }
            failures += 1;
            unanswered = if has_answered { 0 } else { unanswered + 1 };
            let useless = |reason| Err(Failure::Useless(self.of_address(reason)));
            if failures >= TRIES || unanswered >= UNANSWERED {
                self.remove_if_useless();
                return useless(reason);
            }
            if let Some(wish) = wish.filter(|wish| *wish > LONGEST_WISH) {
                return useless(message!("{reason}, and asks to wait {wish} s"));
            }
            let pause = wish.map_or(wait, Duration::from_secs);
            observe(Event::Again {
                reason,
                wait: pause,
            });
            std::thread::sleep(pause);
            wait = (2 * wait).min(longest);
        }
    }

    fn of_address(&self, reason: String) -> String {
        let url = plain(self.request.url);
        message!("{url} could not be downloaded ({reason})")
    }

    /// Removes an empty file, and one that no later download could continue.
    fn remove_if_useless(&self) {
        if self.have == 0 || self.request.expected.is_none() {
            let _ = std::fs::remove_file(self.request.part);
        }
    }

    fn attempt(&mut self, client: &Client, observe: Observer) -> Result<Try, Failure> {
        if self.request.expected.is_none() && self.version.is_none() {
            self.restart()?;
        }
        let version = self.version.as_deref();
        let reply = match client.get(self.request.url, self.have, version) {
            Ok(reply) => reply,
            Err(NoReply::Unreachable(reason)) => return Ok(Try::Failed(reason, false, None)),
            Err(NoReply::Refused(reason)) => {
                self.remove_if_useless();
                return Err(Failure::Useless(self.of_address(reason)));
            }
        };
        match reply.status {
            200 => self.restart()?,
            206 if reply
                .range
                .is_some_and(|part| part.first == Some(self.have)) =>
            {
                self.is_spliced |= self.have > 0;
            }
            206 => {
                self.restart()?;
                return Ok(Try::Failed(
                    message!("the server sent another part"),
                    true,
                    None,
                ));
            }
            416 if self.have > 0 => {
                let whole = reply.range.and_then(|part| part.whole);
                if whole == Some(self.have) {
                    return Ok(Try::Done);
                }
                self.restart()?;
                return Ok(Try::Failed(
                    message!("the server has another version"),
                    true,
                    None,
                ));
            }
            status @ (408 | 425 | 429 | 500 | 502 | 503 | 504) => {
                return Ok(Try::Failed(words(status), true, reply.retry_after));
            }
            status => {
                self.remove_if_useless();
                return Err(Failure::Useless(self.of_address(words(status))));
            }
        }
        self.body(reply, observe)
    }

    fn body(&mut self, mut reply: Reply, observe: Observer) -> Result<Try, Failure> {
        let whole = reply.length.map(|length| self.have + length);
        if whole.is_some_and(|whole| whole > LARGEST) {
            self.restart()?;
            self.remove_if_useless();
            return Err(Failure::Useless(
                self.of_address(message!("it is larger than 8 GiB")),
            ));
        }
        self.version = reply.etag;
        self.stated = reply.stated;
        if !self.has_begun {
            self.has_begun = true;
            observe(Event::Begin {
                url: &plain(self.request.url),
                bytes: whole,
                present: self.have,
            });
        }
        let mut chunk = vec![0; CHUNK];
        let ended = |have| match whole {
            Some(whole) => message!("the connection ended after {have} of {whole} bytes"),
            None => message!("the connection ended after {have} bytes"),
        };
        loop {
            let read = match reply.body.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Ok(Try::Failed(ended(self.have), true, None));
                }
                Err(error) => return Ok(Try::Failed(silence(&error), true, None)),
            };
            let written = self.file.write_all(&chunk[..read]);
            written.map_err(|error| self.failed_write(error))?;
            self.have += read as u64;
            if self.have > LARGEST {
                self.restart()?;
                self.remove_if_useless();
                return Err(Failure::Useless(
                    self.of_address(message!("it is larger than 8 GiB")),
                ));
            }
            observe(Event::Bytes {
                done: self.have,
                of: whole,
            });
        }
        if whole.is_some_and(|whole| self.have < whole) {
            return Ok(Try::Failed(ended(self.have), true, None));
        }
        Ok(Try::Done)
    }
}

/// The words for a status: its meaning, where it has one for people.
fn words(status: u16) -> String {
    match status {
        401 | 403 => message!(
            "HTTP status {status}: it may need a key (HF_TOKEN), or the consent to its licence on its page"
        ),
        404 | 410 => message!("HTTP status {status}: it is not there"),
        429 => message!("HTTP status {status}: too many requests"),
        500..=599 => message!("HTTP status {status}: the server is in trouble"),
        _ => message!("HTTP status {status}"),
    }
}

fn silence(error: &std::io::Error) -> String {
    let is_timeout = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<ureq::Error>())
        .is_some_and(|inner| matches!(inner, ureq::Error::Timeout(_)));
    if is_timeout || error.kind() == std::io::ErrorKind::TimedOut {
        message!("the server fell silent")
    } else {
        error.to_string()
    }
}
