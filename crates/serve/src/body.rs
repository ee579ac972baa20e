//! Bodies of requests, within limits.

use std::sync::Arc;

use axum::RequestExt as _;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Multipart, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use warmstart_language::message;

use crate::limits::{BODY_BYTES, BODY_TIME, HELD_BYTES, PICTURES};
use crate::queue::Picture;

/// Bytes that a permit of the memory stands for: a semaphore counts no more than 2²⁹.
const UNIT: usize = 1 << 10;
/// Name of a picture that is sent without one.
const UNNAMED: &str = "picture";

/// A request that is refused: why, in a status and in words.
#[derive(Debug)]
pub struct Refusal(pub StatusCode, pub String);

impl Refusal {
    fn too_large() -> Self {
        let most = BODY_BYTES >> 20;
        let what = message!("the body is larger than {most} MiB: send fewer or smaller pictures");
        Self(StatusCode::PAYLOAD_TOO_LARGE, what)
    }

    /// The server has no room now.
    pub fn full() -> Self {
        let what = message!("too many pictures are waiting: try again in a second");
        Self(StatusCode::SERVICE_UNAVAILABLE, what)
    }

    fn bad(what: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, what.into())
    }
}

/// The pictures of a request.
pub struct Sent {
    /// The pictures, at least one.
    pub pictures: Vec<Picture>,
    /// Whether they came in a form, whose answer is a list.
    pub is_form: bool,
    /// The memory of all of them, to be kept as long as they are.
    pub held: Option<OwnedSemaphorePermit>,
}

/// The memory of all bodies.
pub fn memory() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(HELD_BYTES / UNIT))
}

/// Reads the pictures of a request.
///
/// # Errors
/// If it is too large, too slow, not understood, or the memory is full.
pub async fn pictures(request: Request, memory: &Arc<Semaphore>) -> Result<Sent, Refusal> {
    let (parts, body) = request.into_parts();
    let read = timeout(BODY_TIME, whole(&parts.headers, body, memory));
    let (bytes, held) = read.await.map_err(|_| {
        let time = BODY_TIME.as_secs();
        let what = message!("the body took longer than {time} seconds");
        Refusal(StatusCode::REQUEST_TIMEOUT, what)
    })??;
    let is_form = is_form(&parts.headers);
    let pictures = if is_form {
        of_form(Request::from_parts(parts, Body::from(bytes))).await?
    } else {
        let file = UNNAMED.to_owned();
        vec![Picture { file, bytes }]
    };
    if pictures.iter().all(|picture| picture.bytes.is_empty()) {
        return Err(Refusal::bad(message!(
            "there is no picture in the body: send the bytes of one, or a form with files"
        )));
    }
    Ok(Sent {
        pictures,
        is_form,
        held,
    })
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("multipart/form-data")
    })
}

/// The whole body, with a permit for its memory.
async fn whole(
    headers: &HeaderMap,
    mut body: Body,
    memory: &Arc<Semaphore>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Refusal> {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    let length: Option<usize> = length.and_then(|length| length.parse().ok());
    if length.is_some_and(|length| length > BODY_BYTES) {
        return Err(Refusal::too_large());
    }
    let mut held: Option<OwnedSemaphorePermit> = None;
    let mut bytes = BytesMut::new();
    let mut refused = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::bad(message!("the body broke off: {error}")))?;
        let (Ok(data), None) = (frame.into_data(), &refused) else {
            // The rest is read and dropped: a client that is still sending would not read the refusal.
            continue;
        };
        let size = bytes.len() + data.len();
        let units =
            size.div_ceil(UNIT) - held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        match Arc::clone(memory).try_acquire_many_owned(units) {
            _ if size > BODY_BYTES => refused = Some(Refusal::too_large()),
            Err(_) => refused = Some(Refusal::full()),
            Ok(more) => {
                match &mut held {
                    Some(held) => held.merge(more),
                    None => held = Some(more),
                }
                bytes.extend_from_slice(&data);
            }
        }
        if refused.is_some() {
            bytes = BytesMut::new();
            held = None;
        }
    }
    match refused {
        Some(refusal) => Err(refusal),
        None => Ok((bytes.freeze(), held)),
    }
}

/// The files of a form.
async fn of_form(mut request: Request) -> Result<Vec<Picture>, Refusal> {
    // Its size was checked.
    DefaultBodyLimit::disable().apply(&mut request);
    let form: Result<Multipart, _> = request.extract().await;
    let mut form = form.map_err(|error| Refusal::bad(error.body_text()))?;
    let mut pictures = Vec::new();
    while let Some(field) = form
        .next_field()
        .await
        .map_err(|error| Refusal::bad(error.body_text()))?
    {
        if pictures.len() == PICTURES {
            let what =
                message!("a request may have {PICTURES} pictures: send the others in another");
            return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, what));
        }
        let name = field.file_name().or(field.name()).unwrap_or(UNNAMED);
        let file = name.to_owned();
        let bytes = field.bytes().await;
        let bytes = bytes.map_err(|error| Refusal::bad(error.body_text()))?;
        pictures.push(Picture { file, bytes });
    }
    Ok(pictures)
}
