//! Receives alerts over HTTP, on a thread of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use serde_json::Value;

/// The longest that a test waits for an alert.
const PATIENCE: Duration = Duration::from_secs(60);
/// A part of the address that only who may post knows.
pub(crate) const SECRET: &str = "canary-5ec7e7";

/// Receives alerts.
pub(crate) struct Receiver {
    pub(crate) url: String,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    /// The key and the body of each alert, in the order in which they came.
    came: Mutex<Vec<(String, Value)>>,
    /// The next answers; after them all is well.
    answers: Mutex<VecDeque<u16>>,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        let inbox = Arc::new(Inbox::default());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/services/{SECRET}", listener.local_addr().unwrap());
        let app = Router::new().route(&format!("/services/{SECRET}"), post(take)).with_state(Arc::clone(&inbox));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { url, inbox }
    }

    /// Answers so to the next alerts.
    pub(crate) fn answer(&self, statuses: impl IntoIterator<Item = u16>) {
        self.inbox.answers.lock().unwrap().extend(statuses);
    }

    /// Answers as it should again.
    pub(crate) fn recover(&self) {
        self.inbox.answers.lock().unwrap().clear();
    }

    /// What came, each alert with its key.
    pub(crate) fn came(&self) -> Vec<(String, Value)> {
        self.inbox.came.lock().unwrap().clone()
    }

    /// Waits until so many came.
    pub(crate) fn until(&self, count: usize) -> Vec<(String, Value)> {
        let until = Instant::now() + PATIENCE;
        while self.came().len() < count {
            assert!(Instant::now() < until, "{count} alerts did not come");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.came()
    }
}

async fn take(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: String) -> (StatusCode, HeaderMap, String) {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    inbox.came.lock().unwrap().push((key, serde_json::from_str(&body).unwrap()));
    let status = inbox.answers.lock().unwrap().pop_front().unwrap_or(200);
    let elsewhere = HeaderMap::from_iter([(header::LOCATION, format!("/services/{SECRET}").parse().unwrap())]);
    (StatusCode::from_u16(status).unwrap(), elsewhere, format!("answer of {SECRET}"))
}
