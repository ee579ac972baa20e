//! Connections to object stores, and their errors in words.

use std::error::Error as _;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};
use warmstart_files::one_line;
use warmstart_language::message;

use super::address::Store;

/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Time for which a server may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// How often a request is sent again that the server or the network failed.
const RETRIES: usize = 4;
/// Longest time between two of them.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Time after which a request is not sent again.
const PATIENCE: Duration = Duration::from_secs(90);
/// Letters of an error that are shown.
const LETTERS: usize = 300;
/// The variables that name a server other than Amazon's.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

/// The server of buckets that the settings name; empty for Amazon's.
pub fn endpoint(settings: &[(String, String)]) -> &str {
    let mut named = ENDPOINTS.iter().filter_map(|name| {
        let mut set = settings.iter();
        set.find(|(set, _)| set == name)
    });
    named.next().map_or("", |(_, value)| value.as_str())
}

/// A connection to a store. No request is sent yet.
///
/// # Errors
/// If the settings contradict themselves.
pub fn open(
    store: &Store,
    settings: &[(String, String)],
) -> Result<Box<dyn ObjectStore>, object_store::Error> {
    // The clients have none of their own. One that is installed already serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = match store {
        Store::Bucket(bucket) => return bucket_of(bucket, settings),
        Store::Server(server) => server,
    };
    let options = ClientOptions::new()
        .with_allow_http(server.starts_with("http:"))
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT)
        .with_read_timeout(SILENCE);
    let store = HttpBuilder::new()
        .with_url(server)
        .with_client_options(options)
        .with_retry(retries())
        .build()?;
    Ok(Box::new(store))
}

fn bucket_of(
    bucket: &str,
    settings: &[(String, String)],
) -> Result<Box<dyn ObjectStore>, object_store::Error> {
    let seconds = |time: Duration| format!("{}s", time.as_secs());
    // A file may take any time, as long as something of it arrives: the usual timeout is for all of it.
    let mut builder = [
        (ClientConfigKey::Timeout, "365days".to_owned()),
        (ClientConfigKey::ConnectTimeout, seconds(CONNECT)),
        (ClientConfigKey::ReadTimeout, seconds(SILENCE)),
    ]
    .into_iter()
    .fold(AmazonS3Builder::new(), |builder, (key, value)| {
        builder.with_config(AmazonS3ConfigKey::Client(key), value)
    });
    for (name, value) in settings {
        // Other programs have variables of their own that begin so.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let store = builder
        .with_bucket_name(bucket)
        .with_retry(retries())
        .build()?;
    Ok(Box::new(store))
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: LONGEST_WAIT,
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: PATIENCE,
    }
}

/// What went wrong, and what the user can do.
pub fn explained(store: &Store, error: &object_store::Error) -> (String, String) {
    let text = whole(error);
    let status = status(error, &text);
    let code = code(&text).map_or(String::new(), |code| format!(", {code}"));
    let reason = match status {
        Some(404) => message!("there is nothing of this name (404{code})"),
        Some(status @ (401 | 403)) => message!("access was refused ({status}{code})"),
        Some(_) | None => shortened(&text),
    };
    let fix = match (store, status) {
        (Store::Bucket(_), Some(404)) => message!(
            "check the address, AWS_REGION and, for a server other than Amazon's, AWS_ENDPOINT_URL"
        ),
        (Store::Bucket(_), Some(401 | 403)) => message!(
            "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION; for a public bucket set \
             AWS_SKIP_SIGNATURE=true"
        ),
        (Store::Bucket(_), Some(_) | None) => message!(
            "check the network, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_SKIP_SIGNATURE=true for a public \
             bucket), AWS_REGION and AWS_ENDPOINT_URL (with AWS_ALLOW_HTTP=true for http://)"
        ),
        (Store::Server(_), Some(401 | 403)) => message!(
            "a login is not supported: copy the files into a folder of this machine by other means"
        ),
        (Store::Server(_), Some(_) | None) => message!("check the address and the network"),
    };
    (reason, fix)
}

/// The HTTP status that an error is about. Errors of lists have it in their words alone.
fn status(error: &object_store::Error, text: &str) -> Option<u16> {
    match error {
        object_store::Error::NotFound { .. } => Some(404),
        object_store::Error::PermissionDenied { .. } => Some(403),
        object_store::Error::Unauthenticated { .. } => Some(401),
        _ => {
            let (_, rest) = text.split_once("status code: ")?;
            rest.get(..3)?.parse().ok()
        }
    }
}

/// S3's own word for an error, such as `NoSuchBucket`.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_word = code.len() < 60 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word.then_some(code)
}

/// An error with the causes that it does not tell itself.
fn whole(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

/// The end of a long text tells the cause, and its beginning the request.
fn shortened(text: &str) -> String {
    let text = one_line(text);
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= LETTERS {
        return text.into_owned();
    }
    let half = LETTERS / 2;
    let (start, end) = (&letters[..half], &letters[letters.len() - half..]);
    format!("{}…{}", String::from_iter(start), String::from_iter(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(words: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: words.into(),
        }
    }

    #[test]
    fn an_error_of_a_list_is_explained_by_its_status() {
        let bucket = Store::Bucket("b".to_owned());
        let said = "status code: 403 Forbidden: <Error><Code>AccessDenied</Code></Error>";
        let (reason, fix) = explained(&bucket, &error(said));
        assert_eq!(reason, "access was refused (403, AccessDenied)");
        assert!(fix.contains("AWS_SKIP_SIGNATURE"));
        let (reason, fix) = explained(&bucket, &error("connection refused"));
        assert!(reason.contains("connection refused") && fix.contains("AWS_ENDPOINT_URL"));
    }

    #[test]
    fn a_long_error_is_shortened_to_a_line() {
        let text = shortened(&format!("begin\n{}end", "<x>".repeat(400)));
        assert!(
            text.chars().count() == LETTERS + 1 && !text.contains('\n'),
            "{text}"
        );
        assert!(text.starts_with("begin") && text.ends_with("end"));
    }

    #[test]
    fn the_endpoint_is_part_of_what_a_copy_is_of() {
        let set = [("AWS_ENDPOINT_URL".to_owned(), "http://m:9000".to_owned())];
        assert_eq!((endpoint(&set), endpoint(&[])), ("http://m:9000", ""));
    }

    #[test]
    fn stores_open_without_a_request() {
        let set = [
            ("AWS_ACCESS_KEY_ID".to_owned(), "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "secret".to_owned()),
            ("AWS_PROFILE".to_owned(), "unknown to stores".to_owned()),
        ];
        assert!(open(&Store::Bucket("b".to_owned()), &set).is_ok());
        assert!(open(&Store::Server("http://h".to_owned()), &[]).is_ok());
    }
}
