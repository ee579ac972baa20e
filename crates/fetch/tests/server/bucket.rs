//! A bucket behind as much of S3's interface as copying takes: ListObjectsV2, a page at a time, and GET with an ETag.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use super::{Answer, Asked, Server};

/// Objects on a page of a list.
const PAGE: usize = 3;

/// The objects of a bucket, which a test may change while the server runs.
#[derive(Clone, Default)]
pub struct Bucket {
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Bucket {
    pub fn put(&self, key: &str, content: impl Into<Vec<u8>>) {
        let mut objects = self.objects.lock().unwrap();
        objects.insert(key.to_owned(), content.into());
    }

    pub fn remove(&self, key: &str) {
        self.objects.lock().unwrap().remove(key);
    }

    /// A server of this bucket, under the name `photos`.
    pub fn serve(&self) -> Server {
        let bucket = self.clone();
        Server::start(move |asked| bucket.answer(asked))
    }

    /// The answer to a request for the bucket `photos`.
    pub fn answer(&self, asked: &Asked) -> Answer {
        let (path, query) = asked
            .path
            .split_once('?')
            .unwrap_or((asked.path.as_str(), ""));
        let Some(key) = path.strip_prefix("/photos") else {
            return refusal(404, "NoSuchBucket");
        };
        if query.contains("list-type=2") {
            return self.list(query);
        }
        let objects = self.objects.lock().unwrap();
        let Some(content) = objects.get(&decoded(key.trim_start_matches('/'))) else {
            return refusal(404, "NoSuchKey");
        };
        let etag = etag(content);
        if asked.if_none_match.as_ref() == Some(&etag) {
            return Answer::status(304);
        }
        Answer::content(content, asked)
            .header("ETag", etag)
            .header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
    }

    fn list(&self, query: &str) -> Answer {
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(found, _)| *found == name)
                .map(|(_, value)| decoded(value))
        };
        let prefix = value("prefix").unwrap_or_default();
        let first: usize = value("continuation-token").map_or(0, |token| token.parse().unwrap());
        let objects = self.objects.lock().unwrap();
        let found: Vec<_> = objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .collect();
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult>");
        for (key, content) in found.iter().skip(first).take(PAGE) {
            let (bytes, etag) = (content.len(), etag(content));
            let etag = etag.replace('"', "&quot;");
            write!(
                text,
                "<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>\
                 <ETag>{etag}</ETag><Size>{bytes}</Size></Contents>"
            )
            .unwrap();
        }
        let next = first + PAGE;
        if next < found.len() {
            write!(
                text,
                "<NextContinuationToken>{next}</NextContinuationToken>"
            )
            .unwrap();
        }
        text += "</ListBucketResult>";
        let mut answer = Answer::status(200);
        answer.body = text.into_bytes();
        answer
    }
}

/// S3's error in XML.
pub fn refusal(status: u16, code: &str) -> Answer {
    let mut answer = Answer::status(status);
    answer.body = format!("<Error><Code>{code}</Code></Error>").into_bytes();
    answer
}

fn etag(content: &[u8]) -> String {
    let sum = content.iter().fold(7_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
    });
    format!("\"{sum:x}\"")
}

/// A text without the percent signs of an address.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = after;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}
