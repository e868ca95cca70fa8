//! Calls the API, in this process or through the socket of the process that has the data folder open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, header};
use engine::failure::{Class, Failure};
use engine::outside::clock::within;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tower_service::Service as _;

use crate::refusal::Refusal;

/// The longest that connecting to the socket may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// The longest that an answer may take where nothing else is said; the API's own limits end before it.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(90);
/// The longest that starting a workflow may take: it asks CRMs, which may be slow or throttle.
const START_TIME_MAX: Duration = Duration::from_secs(3_600);
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Calls the API.
#[derive(Debug, Clone)]
pub struct Client {
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    Here(Router),
    Socket { path: PathBuf, pid: u32 },
}

/// Why a call brought nothing.
#[derive(Debug)]
pub enum CallError {
    /// The API refused.
    Refused(Refusal),
    /// The process that had the data folder open is gone.
    Gone {
        /// Whether it may have heard what it was asked.
        heard: bool,
    },
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure.into())
    }
}

impl Client {
    /// Calls the API of this process.
    pub(crate) fn here(router: Router) -> Self {
        Self { way: Way::Here(router) }
    }

    /// Calls the API of the process that listens on this socket.
    pub(crate) fn socket(path: &Path, pid: u32) -> Self {
        Self { way: Way::Socket { path: path.to_owned(), pid } }
    }

    /// The process on the other side; none where it is this one.
    pub fn pid(&self) -> Option<u32> {
        match &self.way {
            Way::Here(_) => None,
            Way::Socket { pid, .. } => Some(*pid),
        }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// Where it is refused, or the other process is gone.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Method::GET, path, Body::empty(), ANSWER_TIME_MAX).await
    }

    /// Has something done.
    ///
    /// # Errors
    /// Where it is refused, or the other process is gone.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CallError> {
        self.call(Method::POST, path, json(body)?, START_TIME_MAX).await
    }

    /// Sets something.
    ///
    /// # Errors
    /// Where it is refused, or the other process is gone.
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CallError> {
        self.call(Method::PUT, path, json(body)?, ANSWER_TIME_MAX).await
    }

    /// Removes something.
    ///
    /// # Errors
    /// Where it is refused, or the other process is gone.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Method::DELETE, path, Body::empty(), ANSWER_TIME_MAX).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body,
        time: Duration,
    ) -> Result<T, CallError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "campanile")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| Failure::internal(format!("{path}: {error}")))?;
        let answered = async {
            let response = self.send(request).await?;
            let status = response.status();
            let bytes =
                to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.map_err(|_| CallError::Gone { heard: true })?;
            Ok::<_, CallError>((status, bytes))
        };
        let (status, bytes) = match within(time, answered).await {
            Some(answered) => answered?,
            None => return Err(self.silent(time).into()),
        };
        if status.is_success() {
            let value = serde_json::from_slice(&bytes);
            return Ok(value.map_err(|error| Failure::internal(format!("{path} is not understood: {error}")))?);
        }
        Err(match serde_json::from_slice::<Refusal>(&bytes) {
            Ok(refusal) => CallError::Refused(refusal),
            Err(_) => Failure::internal(format!("{path}: {status}: {}", String::from_utf8_lossy(&bytes))).into(),
        })
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, CallError> {
        match &self.way {
            Way::Here(router) => match router.clone().call(request).await {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            },
            Way::Socket { path, .. } => {
                let stream = within(CONNECT_TIME_MAX, UnixStream::connect(path))
                    .await
                    .ok_or_else(|| self.silent(CONNECT_TIME_MAX))?
                    .map_err(|_| CallError::Gone { heard: false })?;
                let (mut sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(|_| CallError::Gone { heard: false })?;
                tokio::spawn(async move {
                    // What breaks the connection breaks the request too, which tells its caller.
                    connection.await.ok();
                });
                let response = sender.send_request(request).await.map_err(|_| CallError::Gone { heard: true })?;
                Ok(response.map(Body::new))
            }
        }
    }

    fn silent(&self, time: Duration) -> Failure {
        let who = self
            .pid()
            .map_or_else(|| "the engine".to_owned(), |pid| format!("process {pid}, which has the data folder open,"));
        Failure::new(Class::Transient, format!("{who} did not answer within {} seconds", time.as_secs()))
            .help("look what that process is doing; end it, and this command takes the data folder over")
    }
}

/// A piece of text as one step of a path.
pub fn step(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn json(body: &impl Serialize) -> Result<Body, Failure> {
    serde_json::to_vec(body).map(Body::from).map_err(|error| Failure::internal(error.to_string()))
}
