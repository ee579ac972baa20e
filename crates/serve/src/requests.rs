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
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::body::{Refusal, Sent, memory, pictures};
use crate::limits::ANSWER_TIME;
use crate::queue::Queue;

/// The page to try the model; everything it needs is in it.
const PAGE: &str = include_str!("page.html");
/// What that page may do: nothing from elsewhere, and requests to this server alone.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                           img-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'";

/// What requests share.
pub struct Service {
    queue: Queue,
    memory: Arc<Semaphore>,
    about: Value,
}

impl Service {
    /// A service that puts pictures into `queue`, and says `about` itself.
    pub fn new(queue: Queue, about: Value) -> Self {
        Self {
            queue,
            memory: memory(),
            about,
        }
    }
}

/// The routes of a service.
pub fn routes(service: Service) -> Router {
    let nothing = || async {
        let what = "there are GET /, GET /healthz and POST /predict".to_owned();
        Refusal(StatusCode::NOT_FOUND, what)
    };
    let method = || async {
        let what = "GET / and GET /healthz are read, POST /predict is sent to".to_owned();
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

async fn page() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE)
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
                let what = "the model failed on this picture: report this as a bug".to_owned();
                Refusal(StatusCode::INTERNAL_SERVER_ERROR, what)
            })?);
        }
        Ok(answers)
    };
    let answers = timeout(ANSWER_TIME, all).await.map_err(|_| {
        let time = ANSWER_TIME.as_secs();
        let what = format!("the answer took longer than {time} seconds: try again later");
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
