//! Requests over HTTP and HTTPS, with redirects, proxies and keys.

use std::io::Read;
use std::time::Duration;

use ureq::Agent;
use ureq::http::header::HeaderMap;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use warmstart_language::message;

use crate::checksum::Checksum;
use crate::hub::is_plain;

/// Most redirects of one request.
const REDIRECTS: usize = 10;
/// The variable by which OpenSSL and others name the certificates to trust.
const CERTIFICATES: &str = "SSL_CERT_FILE";
/// Largest file of certificates.
const CERTIFICATE_BYTES: u64 = 16 << 20;

/// A client, with the proxies that the environment names.
pub struct Client {
    agent: Agent,
    /// Host to which the user's key is sent, and the key.
    key: Option<(String, String)>,
}

/// What a server answered, after redirects.
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The version of the content, if it can be trusted to name the same bytes.
    pub etag: Option<String>,
    /// Length of this answer's content.
    pub length: Option<u64>,
    /// First byte of this answer's content, and the length of the whole: `bytes 5-9/10`.
    pub range: Option<Part>,
    /// Seconds until the server wants to be asked again.
    pub retry_after: Option<u64>,
    /// The content's SHA-256, where one of the answers on the way states it.
    pub stated: Option<Checksum>,
    /// The commit of a file of the hub.
    pub commit: Option<String>,
    /// The content.
    pub body: Box<dyn Read>,
}

/// The part of a file that an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its first byte; `None` if the part that was asked for does not exist.
    pub first: Option<u64>,
    /// Length of the whole file.
    pub whole: Option<u64>,
}

/// Why there is no answer.
pub enum NoReply {
    /// The server was not reached, or fell silent: it may be reached later.
    Unreachable(String),
    /// Asking again would not help.
    Refused(String),
}

impl Client {
    /// A client that gives up when a server is silent for that time. The key is for the host of that address alone.
    ///
    /// # Errors
    /// If the certificates that the user names cannot be read.
    pub fn new(timeout: Duration, endpoint: &str, token: Option<&str>) -> Result<Self, String> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("warmstart/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(timeout))
            .timeout_connect(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .timeout_per_read(Some(timeout));
        if let Some(path) = std::env::var_os(CERTIFICATES).filter(|path| !path.is_empty()) {
            let roots = certificates(path.as_ref())?;
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            agent: config.build().new_agent(),
            key: token.map(|token| (authority(endpoint).to_owned(), token.to_owned())),
        })
    }

    /// Asks for the content behind an address from a byte on, unless it is another version by now.
    pub fn get(&self, url: &str, from: u64, version: Option<&str>) -> Result<Reply, NoReply> {
        self.ask(url, |agent, url, key| {
            let mut request = agent.get(url).header("Accept-Encoding", "identity");
            if let Some(key) = key {
                request = request.header("Authorization", key);
            }
            if from > 0 {
                request = request.header("Range", format!("bytes={from}-"));
                if let Some(version) = version {
                    request = request.header("If-Range", version);
                }
            }
            request.call()
        })
    }

    /// Asks what is behind an address.
    pub fn head(&self, url: &str) -> Result<Reply, NoReply> {
        self.ask(url, |agent, url, key| {
            let mut request = agent.head(url).header("Accept-Encoding", "identity");
            if let Some(key) = key {
                request = request.header("Authorization", key);
            }
            request.call()
        })
    }

    fn ask(
        &self,
        url: &str,
        send: impl Fn(
            &Agent,
            &str,
            Option<&str>,
        ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Reply, NoReply> {
        let mut url = url.to_owned();
        let (mut stated, mut commit) = (None, None);
        for _ in 0..=REDIRECTS {
            let key = self
                .key
                .as_ref()
                .filter(|(host, _)| host == authority(&url));
            let key = key.map(|(_, token)| format!("Bearer {token}"));
            let response = send(&self.agent, &url, key.as_deref()).map_err(no_reply)?;
            let headers = response.headers();
            // The hub states them before it redirects to the server that has the content.
            stated = stated.or_else(|| stated_checksum(headers));
            commit = commit.or_else(|| {
                let commit = text(headers, "x-repo-commit")?;
                is_plain(commit).then(|| commit.to_owned())
            });
            let status = response.status().as_u16();
            if let 301 | 302 | 303 | 307 | 308 = status
                && let Some(target) = text(headers, "location")
            {
                let target = resolved(&url, target);
                if url.starts_with("https:") && !target.starts_with("https:") {
                    let reason =
                        message!("it redirects to {}, which is not encrypted", plain(&target));
                    return Err(NoReply::Refused(reason));
                }
                url = target;
                continue;
            }
            return Ok(Reply {
                status,
                etag: text(headers, "etag")
                    .filter(|tag| tag.starts_with('"'))
                    .map(str::to_owned),
                length: text(headers, "content-length").and_then(|length| length.parse().ok()),
                range: text(headers, "content-range").and_then(part),
                retry_after: text(headers, "retry-after").and_then(|wait| wait.parse().ok()),
                stated,
                commit,
                body: Box::new(response.into_body().into_reader()),
            });
        }
        Err(NoReply::Refused(message!(
            "it redirects more than {REDIRECTS} times"
        )))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The SHA-256 that headers state. The hub's tags of large files are their SHA-256; other tags are something else.
fn stated_checksum(headers: &HeaderMap) -> Option<Checksum> {
    let tag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"))?;
    Checksum::whole(tag.trim_start_matches("W/").trim_matches('"'))
}

/// `bytes 5-9/10`, or `bytes */10`.
fn part(text: &str) -> Option<Part> {
    let (part, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let first = part
        .split_once('-')
        .and_then(|(first, _)| first.trim().parse().ok());
    let whole = whole.trim().parse().ok();
    Some(Part { first, whole })
}

/// The host and port of an address.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    &rest[..end]
}

/// An address without the password that it may hold.
pub fn plain(url: &str) -> String {
    match authority(url).rsplit_once('@') {
        Some((user, _)) => url.replacen(&format!("{user}@"), "", 1),
        None => url.to_owned(),
    }
}

/// The address that a server redirects to, which may be relative (RFC 3986, section 5.2, without `..`).
fn resolved(url: &str, target: &str) -> String {
    let scheme = url.split_once("://").map_or("https", |(scheme, _)| scheme);
    if target.contains("://") {
        target.to_owned()
    } else if target.starts_with("//") {
        format!("{scheme}:{target}")
    } else if target.starts_with('/') {
        format!("{scheme}://{}{target}", authority(url))
    } else {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let folder = path.rfind('/').map_or(path, |end| &path[..=end]);
        format!("{folder}{target}")
    }
}

fn certificates(path: &std::path::Path) -> Result<RootCerts, String> {
    let shown = warmstart_files::shown(path);
    let pem = warmstart_files::read(path, CERTIFICATE_BYTES)
        .map_err(|error| message!("{CERTIFICATES}: could not read {shown}: {error}"))?;
    let found: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(message!("{CERTIFICATES}: {shown} holds no certificate"));
    }
    Ok(RootCerts::new_with_certs(&found))
}

/// Why there is no answer, in words.
fn no_reply(error: ureq::Error) -> NoReply {
    use ureq::Error as E;
    let words = error.to_string();
    match error {
        E::Timeout(_) => NoReply::Unreachable(message!("the server does not answer")),
        E::HostNotFound => NoReply::Unreachable(message!("its host was not found")),
        E::Io(_) | E::ConnectionFailed | E::Protocol(_) | E::ConnectProxyFailed(_) => {
            NoReply::Unreachable(words)
        }
        _ => NoReply::Refused(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_may_be_relative() {
        let url = "https://a.example:8/b/c?d";
        for (target, expected) in [
            ("http://other/x", "http://other/x"),
            ("//other/x", "https://other/x"),
            ("/x?y", "https://a.example:8/x?y"),
            ("x", "https://a.example:8/b/x"),
        ] {
            assert_eq!(resolved(url, target), expected);
        }
    }

    #[test]
    fn parts_of_a_file_are_read() {
        let both = |text| part(text).map(|part| (part.first, part.whole));
        assert_eq!(both("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(both("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(both("bytes */10"), Some((None, Some(10))));
        assert_eq!(both("pages 1-2/3"), None);
    }

    #[test]
    fn a_password_is_not_printed() {
        assert_eq!(plain("https://me:secret@host/x@y"), "https://host/x@y");
        assert_eq!(plain("https://host/x@y"), "https://host/x@y");
    }
}
