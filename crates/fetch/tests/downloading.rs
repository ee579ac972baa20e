//! Downloads from a server on this machine that behaves well and badly. No other server was ever asked.

mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use server::{Answer, Asked, Server};
use warmstart_fetch::{
    Check, Checksum, Event, FetchError, Fetched, Hub, Place, Places, Source, fetch, find,
};

/// Content of several chunks, no two of which are alike.
fn content() -> Vec<u8> {
    (0..300_000_u32)
        .flat_map(|i| (i * i).to_le_bytes())
        .collect()
}

fn checksum_of(bytes: &[u8]) -> Checksum {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, bytes).unwrap();
    Checksum::of_file(&path).unwrap()
}

/// A file with a checksum in its name, as torchvision's.
fn source(url: &str) -> Source {
    Source {
        name: "net.v1".to_owned(),
        file: Some("net-12345678.pth".to_owned()),
        url: Some(format!("{url}/net-12345678.pth")),
        hub: None,
        checksum: Checksum::new(&checksum_of(&content()).digits()[..8]),
    }
}

/// A file of the hub without a checksum.
fn hub_source() -> Source {
    Source {
        name: "net.hub".to_owned(),
        file: None,
        url: None,
        hub: Some(Hub {
            repository: "timm/net.hub".to_owned(),
            files: ["model.safetensors", "pytorch_model.bin"]
                .map(str::to_owned)
                .into(),
        }),
        checksum: None,
    }
}

/// Places below a folder, with little patience.
fn places(folder: &Path) -> Places {
    let mut places = Places::from_variables(|_| None);
    places.cache = Some(folder.join("cache"));
    places.hub_cache = Some(folder.join("hub"));
    places.timeout = Duration::from_millis(300);
    places
}

/// What happened, in words.
fn fetched(source: &Source, places: &Places) -> (Result<Fetched, FetchError>, Vec<String>) {
    let mut events = Vec::new();
    let result = fetch(source, places, &mut |event| match event {
        Event::Begin { present, bytes, .. } => events.push(format!("begin {present} of {bytes:?}")),
        Event::Bytes { .. } => {}
        Event::Again { reason, .. } => events.push(format!("again: {reason}")),
        Event::Waiting => events.push("waiting".to_owned()),
        Event::Damaged(_) => events.push("damaged".to_owned()),
        Event::Next { reason, .. } => events.push(format!("next: {reason}")),
    });
    (result, events)
}

/// The files below a folder, except locks.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .flat_map(|entry| match entry.file_type().unwrap() {
            _ if entry.file_name() == ".locks" => Vec::new(),
            kind if kind.is_dir() => files(&entry.path()),
            _ => vec![entry.path()],
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_file_is_downloaded_once_and_verified() {
    let server = Server::start(|asked| Answer::content(&content(), asked));
    let folder = tempfile::tempdir().unwrap();
    let (source, places) = (source(&server.url), places(folder.path()));
    let (first, events) = fetched(&source, &places);
    let first = first.unwrap();
    assert_eq!(first.path, folder.path().join("cache/net-12345678.pth"));
    assert_eq!(fs::read(&first.path).unwrap(), content());
    assert_eq!(
        first.check,
        Check::Published(source.checksum.clone().unwrap())
    );
    assert_eq!(events, ["begin 0 of Some(1200000)"]);
    let (second, events) = fetched(&source, &places);
    assert!(!second.unwrap().is_new && events.is_empty());
    assert_eq!(server.asked().len(), 1);
    assert_eq!(files(folder.path()), [first.path]);
}

#[test]
fn redirects_are_followed_and_endless_ones_are_not() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/net-12345678.pth" => Answer::status(302).header("Location", "/elsewhere"),
        "/elsewhere" => Answer::content(&content(), asked),
        _ => Answer::status(301).header("Location", asked.path.clone()),
    });
    let folder = tempfile::tempdir().unwrap();
    fetched(&source(&server.url), &places(folder.path()))
        .0
        .unwrap();
    let mut endless = source(&server.url);
    endless.url = Some(format!("{}/endless", server.url));
    let folder = tempfile::tempdir().unwrap();
    let error = fetched(&endless, &places(folder.path())).0.unwrap_err();
    assert!(
        error.to_string().contains("redirects more than 10"),
        "{error}"
    );
    assert!(files(folder.path()).is_empty());
}

#[test]
fn a_connection_that_ends_in_mid_file_is_continued_where_it_ended() {
    let server = Server::start(|asked| {
        let answer = Answer::content(&content(), asked).header("ETag", "\"v1\"");
        match asked.earlier {
            0 => answer.cut(400_000),
            1 => answer.cut(100_000),
            _ => answer,
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (result, events) = fetched(&source(&server.url), &places(folder.path()));
    assert_eq!(fs::read(result.unwrap().path).unwrap(), content());
    let asked = server.asked();
    let froms: Vec<_> = asked.iter().map(|asked| asked.from).collect();
    assert_eq!(froms, [None, Some(400_000), Some(500_000)]);
    assert_eq!(asked[1].if_range.as_deref(), Some("\"v1\""));
    let reason = "again: the connection ended after 400000 of 1200000 bytes";
    assert_eq!(events[1], reason, "{events:?}");
}

#[test]
fn a_silent_server_is_left_and_asked_again() {
    let server = Server::start(|asked| {
        let answer = Answer::content(&content(), asked);
        match asked.earlier {
            0 => answer.cut(200_000).stall(Duration::from_secs(5)),
            _ => answer,
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let (result, events) = fetched(&source(&server.url), &places(folder.path()));
    assert_eq!(fs::read(result.unwrap().path).unwrap(), content());
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(events[1], "again: the server fell silent");
    assert_eq!(server.asked()[1].from, Some(200_000));
}

#[test]
fn what_a_killed_process_left_is_continued() {
    let server = Server::start(|asked| Answer::content(&content(), asked));
    let folder = tempfile::tempdir().unwrap();
    let (source, places) = (source(&server.url), places(folder.path()));
    let part = folder.path().join("cache/net-12345678.pth.part");
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, &content()[..500_000]).unwrap();
    let (result, events) = fetched(&source, &places);
    let path = result.unwrap().path;
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(events, ["begin 500000 of Some(1200000)"]);
    // All of it was there, but its process did not come to give it its name.
    fs::rename(&path, &part).unwrap();
    assert!(fetched(&source, &places).0.unwrap().is_new);
    // What was left is not the file's beginning.
    fs::remove_file(&path).unwrap();
    fs::write(&part, vec![1; 500_000]).unwrap();
    let (result, _) = fetched(&source, &places);
    assert_eq!(fs::read(result.unwrap().path).unwrap(), content());
    assert_eq!(server.asked().last().unwrap().from, None);
}

#[test]
fn a_server_that_sends_no_parts_sends_all() {
    let server = Server::start(|asked| {
        let whole = Asked::default();
        let answer = Answer::content(&content(), &whole);
        if asked.earlier == 0 {
            answer.cut(400_000)
        } else {
            answer
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (result, _) = fetched(&source(&server.url), &places(folder.path()));
    assert_eq!(fs::read(result.unwrap().path).unwrap(), content());
}

#[test]
fn another_content_leaves_nothing_behind() {
    let server = Server::start(|asked| Answer::content(b"something else", asked));
    let folder = tempfile::tempdir().unwrap();
    let error = fetched(&source(&server.url), &places(folder.path()))
        .0
        .unwrap_err();
    let words = error.to_string();
    assert!(
        words.contains("its SHA-256 is") && words.contains("expected"),
        "{words}"
    );
    assert!(!words.contains('\n') && !error.fix().is_empty());
    assert!(files(folder.path()).is_empty());
}

#[test]
fn statuses_are_told_apart() {
    for (status, tries, words) in [
        (404, 1, "HTTP status 404: it is not there"),
        (403, 1, "HF_TOKEN"),
        (429, 5, "HTTP status 429: too many requests"),
        (503, 5, "HTTP status 503: the server is in trouble"),
    ] {
        let server = Server::start(move |_| Answer::status(status));
        let folder = tempfile::tempdir().unwrap();
        let mut places = places(folder.path());
        places.timeout = Duration::from_millis(50);
        let error = fetched(&source(&server.url), &places).0.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains(&server.url), "{error}");
        assert_eq!(server.asked().len(), tries, "{status}");
        assert!(files(folder.path()).is_empty());
    }
}

#[test]
fn a_server_that_wants_to_be_left_alone_is_obeyed() {
    let server = Server::start(|asked| match asked.earlier {
        0 => Answer::status(429).header("Retry-After", "1"),
        1 => Answer::status(503).header("Retry-After", "0"),
        _ => Answer::content(&content(), asked),
    });
    let folder = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    fetched(&source(&server.url), &places(folder.path()))
        .0
        .unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));
    let server = Server::start(|_| Answer::status(429).header("Retry-After", "3600"));
    let error = fetched(&source(&server.url), &places(&folder.path().join("other")))
        .0
        .unwrap_err();
    assert!(error.to_string().contains("asks to wait 3600 s"), "{error}");
}

#[test]
fn without_a_network_the_error_names_the_address_and_the_places() {
    // Nobody listens there any more.
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let folder = tempfile::tempdir().unwrap();
    let error = fetched(&source(&url), &places(folder.path()))
        .0
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("{url}/net-12345678.pth")),
        "{error}"
    );
    let fix = error.fix();
    let cache = folder.path().join("cache").display().to_string();
    for part in [&url, &cache, "WARMSTART_WEIGHTS", "as net-12345678.pth"] {
        assert!(fix.contains(part), "{fix}");
    }
    let mut offline = places(folder.path());
    offline.is_offline = true;
    let error = fetched(&source(&url), &offline).0.unwrap_err();
    assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
}

#[test]
fn the_folder_of_the_user_is_asked_first_and_not_written_to() {
    let server = Server::start(|asked| Answer::content(&content(), asked));
    let folder = tempfile::tempdir().unwrap();
    let (source, mut places) = (source(&server.url), places(folder.path()));
    let own = folder.path().join("own");
    fs::create_dir(&own).unwrap();
    places.folder = Some(own.clone());
    let path = own.join("net-12345678.pth");
    fs::write(&path, "damaged").unwrap();
    let error = fetched(&source, &places).0.unwrap_err();
    assert!(
        error.to_string().contains("own/net-12345678.pth"),
        "{error}"
    );
    assert!(path.is_file());
    fs::write(&path, content()).unwrap();
    assert_eq!(fetched(&source, &places).0.unwrap().path, path);
    fs::remove_file(&path).unwrap();
    // Under the source's own name, it is the user's word that counts.
    fs::write(own.join("net.v1.safetensors"), "other").unwrap();
    let found = fetched(&source, &places).0.unwrap();
    assert_eq!(found.check, Check::Unchecked);
    assert_eq!(find(&source, &places).unwrap().place, Place::Folder);
    assert!(server.asked().is_empty());
}

#[test]
fn a_mirror_of_the_user_is_asked_first() {
    let publisher = Server::start(|asked| Answer::content(&content(), asked));
    let mirror = Server::start(|asked| match asked.path.as_str() {
        "/weights/net-12345678.pth" => Answer::content(&content(), asked),
        _ => Answer::status(404),
    });
    let folder = tempfile::tempdir().unwrap();
    let mut places = places(folder.path());
    places.mirror = Some(format!("{}/weights", mirror.url));
    fetched(&source(&publisher.url), &places).0.unwrap();
    assert!(publisher.asked().is_empty());
    // What the mirror does not have comes from the publisher.
    let other = tempfile::tempdir().unwrap();
    places.cache = Some(other.path().to_owned());
    places.mirror = Some(mirror.url.clone());
    fetched(&source(&publisher.url), &places).0.unwrap();
    assert_eq!(publisher.asked().len(), 1);
}

#[test]
fn a_damaged_file_of_the_cache_is_downloaded_again() {
    let server = Server::start(|asked| Answer::content(&content(), asked));
    let folder = tempfile::tempdir().unwrap();
    let (source, places) = (source(&server.url), places(folder.path()));
    let path = fetched(&source, &places).0.unwrap().path;
    let mut bytes = content();
    bytes[7] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (result, events) = fetched(&source, &places);
    assert_eq!(events[0], "damaged");
    assert_eq!(fs::read(result.unwrap().path).unwrap(), content());
}

/// A server like the hub: it states hash and commit, and redirects to a server that has the content.
fn hub(states: bool) -> Server {
    let hash = checksum_of(&content()).digits().to_owned();
    Server::start(move |asked| match asked.path.as_str() {
        "/timm/net.hub/resolve/main/model.safetensors" if states => Answer::status(302)
            .header("Location", "/content")
            .header("X-Linked-Etag", format!("\"{hash}\""))
            .header("X-Repo-Commit", "c0ffee00"),
        "/timm/net.hub/resolve/main/model.safetensors" => {
            Answer::status(302).header("Location", "/content")
        }
        "/content" => Answer::content(&content(), asked).header("ETag", "\"other\""),
        _ => Answer::status(404),
    })
}

#[test]
fn a_file_of_the_hub_lies_where_other_programs_look() {
    let server = hub(true);
    let folder = tempfile::tempdir().unwrap();
    let mut places = places(folder.path());
    places.endpoint = server.url.clone();
    places.token = Some("key".to_owned());
    let fetched_first = fetched(&hub_source(), &places).0.unwrap();
    let hash = checksum_of(&content());
    assert_eq!(fetched_first.check, Check::Stated(hash.clone()));
    let repository = folder.path().join("hub/models--timm--net.hub");
    let snapshot = repository.join("snapshots/c0ffee00/model.safetensors");
    assert_eq!(fetched_first.path, snapshot);
    assert_eq!(
        fs::read_to_string(repository.join("refs/main")).unwrap(),
        "c0ffee00"
    );
    assert_eq!(
        fs::read(repository.join("blobs").join(hash.digits())).unwrap(),
        content()
    );
    let key = server
        .asked()
        .iter()
        .all(|it| it.authorization.as_deref() == Some("Bearer key"));
    assert!(key, "{:?}", server.asked());
    let count = server.asked().len();
    let again = fetched(&hub_source(), &places).0.unwrap();
    assert_eq!(
        (again.path, again.check),
        (snapshot.clone(), Check::Stored(hash))
    );
    assert_eq!(server.asked().len(), count);
    // Damaged, it is replaced.
    fs::write(&snapshot, "damaged").unwrap();
    let (again, events) = fetched(&hub_source(), &places);
    assert_eq!(events[0], "damaged");
    assert_eq!(fs::read(again.unwrap().path).unwrap(), content());
}

#[test]
fn the_key_stays_with_the_hub() {
    let other = Server::start(|asked| Answer::content(&content(), asked));
    let target = format!("{}/content", other.url);
    let server = Server::start(move |_| Answer::status(302).header("Location", target.clone()));
    let folder = tempfile::tempdir().unwrap();
    let mut places = places(folder.path());
    places.endpoint = server.url.clone();
    places.token = Some("key".to_owned());
    fetched(&hub_source(), &places).0.unwrap();
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| asked.authorization.is_some())
    );
    assert!(
        other
            .asked()
            .iter()
            .all(|asked| asked.authorization.is_none())
    );
}

#[test]
fn where_nobody_states_a_hash_it_is_stored_at_first_use() {
    let server = hub(false);
    let folder = tempfile::tempdir().unwrap();
    let mut places = places(folder.path());
    places.endpoint = server.url.clone();
    let first = fetched(&hub_source(), &places).0.unwrap();
    let hash = checksum_of(&content());
    assert_eq!(first.check, Check::FirstUse(hash.clone()));
    let path = folder.path().join("cache/net.hub.safetensors");
    assert_eq!(first.path, path);
    let stored = fs::read_to_string(folder.path().join("cache/net.hub.safetensors.sha256"));
    assert_eq!(
        stored.unwrap(),
        format!("{}  net.hub.safetensors\n", hash.digits())
    );
    let again = fetched(&hub_source(), &places).0.unwrap();
    assert_eq!(again.check, Check::Stored(hash));
    fs::write(&path, "damaged").unwrap();
    assert_eq!(fetched(&hub_source(), &places).1[0], "damaged");
}

#[test]
fn an_older_file_of_the_hub_is_taken_where_there_is_no_other() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/timm/net.hub/resolve/main/pytorch_model.bin" => Answer::content(&content(), asked),
        _ => Answer::status(404),
    });
    let folder = tempfile::tempdir().unwrap();
    let mut places = places(folder.path());
    places.endpoint = server.url.clone();
    let path = fetched(&hub_source(), &places).0.unwrap().path;
    assert_eq!(path, folder.path().join("cache/net.hub.bin"));
}

#[test]
fn two_that_want_one_file_download_it_once() {
    let server = Server::start(|asked| {
        Answer::content(&content(), asked)
            .cut(1_200_000)
            .stall(Duration::from_millis(200))
    });
    let folder = tempfile::tempdir().unwrap();
    let (source, places) = (source(&server.url), places(folder.path()));
    std::thread::scope(|scope| {
        let fetching: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| fetched(&source, &places).0.unwrap().is_new))
            .collect();
        let new = fetching
            .into_iter()
            .filter_map(|it| it.join().ok())
            .filter(|new| *new);
        assert_eq!(new.count(), 1);
    });
    assert_eq!(server.asked().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_cache_that_cannot_be_written_is_one_line() {
    let server = Server::start(|asked| Answer::content(&content(), asked));
    let folder = tempfile::tempdir().unwrap();
    let mut places = places(folder.path());
    // Not even root can create a folder there.
    places.cache = Some("/proc/warmstart".into());
    let error = fetched(&source(&server.url), &places).0.unwrap_err();
    let words = error.to_string();
    assert!(
        words.starts_with("could not create /proc/warmstart"),
        "{words}"
    );
    assert!(!words.contains('\n'));
    // A file where the folder should be.
    fs::write(folder.path().join("file"), "").unwrap();
    places.cache = Some(folder.path().join("file"));
    let error = fetched(&source(&server.url), &places).0.unwrap_err();
    assert!(
        error.fix().contains("XDG_CACHE_HOME"),
        "{error}: {}",
        error.fix()
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_one_line() {
    let server = Server::start(|asked| Answer::content(&content(), asked));
    let folder = tempfile::tempdir().unwrap();
    let places = places(folder.path());
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    // A device that is always full.
    std::os::unix::fs::symlink("/dev/full", cache.join("net-12345678.pth.part")).unwrap();
    let error = fetched(&source(&server.url), &places).0.unwrap_err();
    let words = error.to_string();
    assert!(
        words.contains("net-12345678.pth.part: No space left"),
        "{words}"
    );
    assert!(error.fix().contains("free some space"), "{}", error.fix());
    assert!(files(&cache).is_empty());
}
