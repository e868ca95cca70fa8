//! A server of pages that were rendered beforehand: it costs as little as a server can, so that the client is measured.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use bytes::Bytes;
use serde_json::json;
use tokio::net::TcpListener;

use crate::contacts;
use crate::measure::{Beside, Fallible, end_with_input};

/// How it is started.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Records in all.
    records: u32,
}

/// Beneath which all of it lies.
const ROOT: &str = "/api/data/v9.2/";

struct Pages {
    pages: Vec<Bytes>,
    /// Before each page is answered.
    latency_ms: AtomicU64,
}

/// Serves until the input ends; the first line of the output says where.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn serve(args: &Args) -> Fallible<()> {
    end_with_input();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let state = Arc::new(Pages { pages: render(&format!("{url}{ROOT}"), args.records), latency_ms: AtomicU64::new(0) });
    let bytes: usize = state.pages.iter().map(Bytes::len).sum();
    println!("{}", json!({ "url": url, "bytes": bytes }));
    let app = Router::new()
        .route("/latency/{ms}", post(set_latency))
        .route("/tenant/token", post(token))
        .fallback(get(answer))
        .with_state(state);
    let listener = listener.tap_io(|stream| {
        stream.set_nodelay(true).ok();
    });
    Ok(axum::serve(listener, app).await?)
}

fn render(root: &str, records: u32) -> Vec<Bytes> {
    let link = |page: u32| format!("{root}contacts?$skiptoken={page}");
    let pages = records.div_ceil(contacts::PAGE);
    let page = |page: u32| {
        let (from, to) = (page * contacts::PAGE, ((page + 1) * contacts::PAGE).min(records));
        let next = (page + 1 < pages).then(|| link(page + 1));
        Bytes::from(contacts::page(root, from, to, next.as_deref()))
    };
    (0..pages).map(page).collect()
}

async fn set_latency(State(state): State<Arc<Pages>>, Path(ms): Path<u64>) {
    state.latency_ms.store(ms, Ordering::Relaxed);
}

async fn token() -> Response {
    answered(json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "bench" }).to_string().into())
}

async fn answer(State(state): State<Arc<Pages>>, uri: Uri) -> Response {
    let Some(path) = uri.path().strip_prefix(ROOT) else { return StatusCode::NOT_FOUND.into_response() };
    if path.starts_with("EntityDefinitions(") && !path.ends_with(')') {
        // Neither alternate keys nor relationships.
        return answered(json!({ "value": [] }).to_string().into());
    }
    if path.starts_with("EntityDefinitions(") {
        return answered(contacts::description().to_string().into());
    }
    match path {
        "WhoAmI" => answered(json!({ "UserId": "u", "OrganizationId": "o" }).to_string().into()),
        "EntityDefinitions" => answered(contacts::tables().to_string().into()),
        "contacts" => {
            let token =
                uri.query().and_then(|query| query.split_once("$skiptoken=").or(query.split_once("%24skiptoken=")));
            let number = token.map_or(Ok(0), |(_, number)| number.parse::<usize>());
            let page = number.ok().and_then(|number| state.pages.get(number));
            let Some(page) = page else { return StatusCode::BAD_REQUEST.into_response() };
            match state.latency_ms.load(Ordering::Relaxed) {
                0 => {}
                ms => tokio::time::sleep(Duration::from_millis(ms)).await,
            }
            answered(page.clone())
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn answered(body: Bytes) -> Response {
    (
        [
            (header::CONTENT_TYPE, "application/json; odata.metadata=minimal"),
            (header::HeaderName::from_static("odata-version"), "4.0"),
        ],
        body,
    )
        .into_response()
}

/// The server in a process of its own.
pub(crate) struct Server {
    beside: Beside,
    /// Its address.
    pub(crate) url: String,
    /// Of all pages together.
    pub(crate) bytes: u64,
}

impl Server {
    /// Starts it.
    pub(crate) fn start(records: u32) -> Fallible<Self> {
        let beside = Beside::start(&["serve".to_owned(), records.to_string()])?;
        let url = beside.text("url")?;
        let bytes = beside.hello["bytes"].as_u64().ok_or("no number of bytes")?;
        Ok(Self { beside, url, bytes })
    }

    /// Sets how long each page takes before its first byte.
    #[tokio::main(flavor = "current_thread")]
    pub(crate) async fn latency(&self, ms: u64) -> Fallible<()> {
        let url = format!("{}/latency/{ms}", self.beside.text("url")?);
        crate::import::client()?.post(url).send().await?.error_for_status()?;
        Ok(())
    }
}

/// The address of the first page.
pub(crate) fn first_page(url: &str) -> String {
    format!("{url}{ROOT}contacts")
}
