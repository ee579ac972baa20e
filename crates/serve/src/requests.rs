//! The requests that are answered.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use warmstart_language::{message, page_in_words};

use crate::body::{Refusal, Sent, memory, pictures};
use crate::limits::ANSWER_TIME;
use crate::queue::Queue;

/// The page to try the model, with places for its language and its words; everything else it needs is in it.
const PAGE: &str = include_str!("page.html");
/// What that page may do: nothing from elsewhere, and requests to this server alone.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                           img-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'";

/// What requests share.
pub struct Service {
    queue: Queue,
    memory: Arc<Semaphore>,
    about: Value,
    page: Bytes,
}

impl Service {
    /// A service that puts pictures into `queue`, and says `about` itself.
    pub fn new(queue: Queue, about: Value) -> Self {
        Self {
            queue,
            memory: memory(),
            about,
            page: page_of_user().into(),
        }
    }
}

/// The routes of a service.
pub fn routes(service: Service) -> Router {
    let nothing = || async {
        let what = message!("there are GET /, GET /healthz and POST /predict");
        Refusal(StatusCode::NOT_FOUND, what)
    };
    let method = || async {
        let what = message!("GET / and GET /healthz are read, POST /predict is sent to");
        Refusal(StatusCode::METHOD_NOT_ALLOWED, what)
    };
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(about))
        .route("/predict", post(predict))
        .fallback(nothing)
        .method_not_allowed_fallback(method)
        .with_state(Arc::new(service))
}

/// The page in the user's language.
fn page_of_user() -> String {
    let words = json!({
        "choose": message!("Choose images"),
        "orDrop": message!("or drop or paste them here"),
        "about": message!("{count} classes: {names}", count = "{count}", names = "{names}"),
        "waiting": message!("computing …"),
        "nothing": message!("nothing found"),
        "failed": message!("the server does not answer"),
    });
    page_in_words(PAGE, &words.to_string())
}

async fn page(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, service.page.clone())
}

async fn about(State(service): State<Arc<Service>>) -> Json<Value> {
    Json(service.about.clone())
}

async fn predict(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Refusal> {
    let Sent {
        pictures,
        is_form,
        held,
    } = pictures(request, &service.memory).await?;
    let awaited = service.queue.put(pictures).map_err(|_| Refusal::full())?;
    let all = async {
        let mut answers = Vec::new();
        for answer in awaited {
            answers.push(answer.await.map_err(|_| {
                let what = message!("the model failed on this picture: report this as a bug");
                Refusal(StatusCode::INTERNAL_SERVER_ERROR, what)
            })?);
        }
        Ok(answers)
    };
    let answers = timeout(ANSWER_TIME, all).await.map_err(|_| {
        let time = ANSWER_TIME.as_secs();
        let what = message!("the answer took longer than {time} seconds: try again later");
        Refusal(StatusCode::SERVICE_UNAVAILABLE, what)
    })??;
    drop(held);
    if is_form {
        return Ok(Json(Value::Array(answers)).into_response());
    }
    // The body was one picture.
    let answer = answers.into_iter().next().unwrap_or_default();
    let is_read = answer["error"].is_null();
    let status = if is_read {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    Ok((status, Json(answer)).into_response())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, what) = self;
        let mut response = (status, Json(json!({"error": what}))).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, 1.into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use axum::body::Body;
    use crossbeam_channel::Receiver;
    use http_body_util::BodyExt as _;
    use hyper::body::Frame;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use tokio::time::Instant;

    use super::*;
    use crate::limits::{BODY_BYTES, BODY_TIME};
    use crate::queue::Waiting;

    /// A part of a body.
    const PART: usize = 1 << 20;

    /// A body of so many parts, whose client then sends nothing more and does not end it, or ends it.
    struct Parts {
        left: usize,
        ends: bool,
    }

    impl hyper::body::Body for Parts {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.left > 0 {
                self.left -= 1;
                let part = Bytes::from_static(&[0; PART]);
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            if self.ends {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        }
    }

    /// A server, and the end of its queue that the network would take pictures from.
    fn server() -> (TowerToHyperService<Router>, Receiver<Waiting>) {
        let (queue, taken) = Queue::new();
        let routes = routes(Service::new(queue, json!({"status": "ok"})));
        (TowerToHyperService::new(routes), taken)
    }

    fn sent(body: Body) -> Request {
        let request = axum::http::Request::post("/predict");
        request.body(body).unwrap()
    }

    /// The error of a response, and whether it says when to try again.
    async fn refused(response: Response, status: StatusCode) -> (String, bool) {
        assert_eq!(response.status(), status);
        let tries_again = response.headers().contains_key(RETRY_AFTER);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        (body["error"].as_str().unwrap().to_owned(), tries_again)
    }

    fn assert_took(time: Duration, started: Instant) {
        let taken = started.elapsed();
        let about = time..time + Duration::from_secs(1);
        assert!(about.contains(&taken), "{taken:?} is not {time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_refused_after_its_time() {
        let (server, taken) = server();
        let started = Instant::now();
        for left in [0, 3] {
            let body = Body::new(Parts { left, ends: false });
            let response = server.call(sent(body)).await.unwrap();
            let (error, _) = refused(response, StatusCode::REQUEST_TIMEOUT).await;
            assert_eq!(error, "the body took longer than 30 seconds");
        }
        assert_took(2 * BODY_TIME, started);
        assert!(taken.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_given_up_after_its_time() {
        let (server, taken) = server();
        let started = Instant::now();
        let response = server.call(sent(Body::from("a picture"))).await.unwrap();
        let (error, tries_again) = refused(response, StatusCode::SERVICE_UNAVAILABLE).await;
        assert!(error.contains("took longer than 60 seconds"), "{error}");
        assert!(tries_again);
        assert_took(ANSWER_TIME, started);
        // Nobody waits for it any more, and the network leaves it out.
        assert!(taken.recv().unwrap().caller.is_gone());
    }

    #[tokio::test]
    async fn a_picture_that_the_model_fails_on_is_an_error_of_the_server() {
        let (server, taken) = server();
        let network = std::thread::spawn(move || drop(taken.recv()));
        let response = server.call(sent(Body::from("a picture"))).await.unwrap();
        let (error, _) = refused(response, StatusCode::INTERNAL_SERVER_ERROR).await;
        assert!(error.contains("report this as a bug"), "{error}");
        network.join().unwrap();
    }

    #[tokio::test]
    async fn a_body_that_does_not_tell_its_length_is_limited_as_well() {
        let (server, _taken) = server();
        let left = BODY_BYTES / PART + 1;
        let body = Body::new(Parts { left, ends: true });
        let response = server.call(sent(body)).await.unwrap();
        let (error, tries_again) = refused(response, StatusCode::PAYLOAD_TOO_LARGE).await;
        assert!(error.contains("larger than 64 MiB"), "{error}");
        assert!(!tries_again);
    }
}
