//! The HTTP side: connections, faults, the log.
//!
//! axum routes; hyper serves, because a connection must be able to end before its reply.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{Request as HttpRequest, State as Shared},
    response::Response,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use hyper::{header::HeaderValue, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use crate::{
    admin::{self, Admin},
    dataverse::{self, Call},
    faults::{self, Fault, RetryAfter, Route},
    log::{self, HEADERS_LOGGED},
    random::mix,
    reply::Reply,
    salesforce,
    spelling::{Spelling, Spellings},
    state::State,
    time,
};

/// Longest request body in bytes.
const BODY_MAX: usize = 160 * 1024 * 1024;

/// Until another connection is accepted after one could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// By how much tokio's timers come late at most, whose ticks are a millisecond each.
const TIMER_LATE: Duration = Duration::from_millis(2);

/// Pieces a second in which a slowed body is sent.
const PIECES_PER_SECOND: u64 = 10;

/// Mark on a response: end the connection instead of sending it.
#[derive(Debug, Clone, Copy)]
struct Cut;

/// Mark on a response: its headers' names as they are spelled.
#[derive(Debug, Clone)]
struct Names(Vec<&'static str>);

/// Mark on a request: it came encrypted.
#[derive(Debug, Clone, Copy)]
struct Encrypted;

/// Serves until `stop` changes, encrypted if there is something to encrypt with.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    encryption: Option<TlsAcceptor>,
    state: Arc<State>,
    mut stop: watch::Receiver<bool>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot serve"),
    };
    let router = Router::new().nest("/admin", admin::router()).fallback(protocol).with_state(state);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        let Ok((connection, _)) = accepted else {
            // Such as too many open files: that lasts.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // A page goes out in one piece; waiting for more would only add delay.
        if connection.set_nodelay(true).is_err() {
            continue;
        }
        let (router, encryption) = (router.clone(), encryption.clone());
        tokio::spawn(async move {
            match encryption {
                None => converse(connection, router).await,
                Some(acceptor) => match acceptor.accept(connection).await {
                    Ok(connection) => converse(connection, router.layer(Extension(Encrypted))).await,
                    Err(error) => tracing::debug!(%error, "a client did not agree on an encryption"),
                },
            }
        });
    }
}

/// Answers the requests of one connection.
async fn converse(connection: impl AsyncRead + AsyncWrite + Unpin, router: Router) {
    let spellings = Spellings::default();
    let connection = Spelling::new(connection, spellings.clone());
    let service = service_fn(move |request| answer(router.clone(), spellings.clone(), request));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(
    mut router: Router,
    spellings: Spellings,
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<Response, io::Error> {
    let is_to_head = request.method() == hyper::Method::HEAD;
    let mut response = match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if response.extensions().get::<Cut>().is_some() {
        return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault"));
    }
    let names = response.extensions_mut().remove::<Names>().map(|names| names.0);
    spellings.add(names.unwrap_or_default(), is_to_head);
    Ok(response)
}

/// Answers a request in a CRM's protocol, with whatever faults fire on it.
async fn protocol(Shared(state): Shared<Arc<State>>, request: HttpRequest) -> Result<Response, Infallible> {
    let (head, body) = request.into_parts();
    let is_salesforce = salesforce::owns(head.uri.path());
    let failed = |status| {
        let reply = match is_salesforce {
            true => salesforce::Error::usual(status).reply(),
            false => dataverse::Error::usual(status).reply(),
        };
        respond(reply, state.clock.now())
    };
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return Ok(failed(413));
    };
    let started = Instant::now();
    let mut call = Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or("").to_owned(),
        headers: head.headers,
        body,
        now: state.clock.now(),
        is_tls: head.extensions.get::<Encrypted>().is_some(),
        ..Call::default()
    };
    let running = is_salesforce.then(|| state.salesforce.usage.begin());
    let route = if is_salesforce { salesforce::route(&call) } else { call.route() };
    let fired = state.faults().fire(route, call.now, |text| contains(&call, text));
    call.next_link_host = fired.iter().find_map(|(_, fault)| fault.next_link_host.clone());
    call.repeat_page = fired.iter().any(|(_, fault)| fault.repeat_page);
    let (state_there, faults) = (state.clone(), fired.clone());
    let work = tokio::task::spawn_blocking(move || {
        edit(&state_there, &faults);
        let injected = faults.iter().find(|(_, fault)| fault.is_answer());
        let (reply, admitted) = match injected {
            Some((_, fault)) => (injected_reply(&state_there, &call, route, fault), None),
            None if is_salesforce => (salesforce::answer(&state_there, &call), None),
            None => dataverse::answer(&state_there, &call),
        };
        (call, reply, admitted)
    });
    let Ok((call, mut reply, admitted)) = work.await else {
        return Ok(failed(500));
    };
    let is_cut = reply.cut || fired.iter().any(|(_, fault)| fault.cut_after_commit);
    record(&state, &call, route, if is_cut { None } else { Some(&reply) }, started, &fired);
    let delay = faults::delay(fired.iter().map(|(_, fault)| fault));
    let latency = state.latency().saturating_sub(started.elapsed());
    let delay = delay.saturating_add(reply.delay).saturating_add(latency);
    // Every wait is here, where it holds no lock, nor a thread but for its very end, and ends with the server.
    if !delay.is_zero() {
        wait(delay).await;
    }
    drop(running);
    reply.headers.extend(admitted.map(dataverse::Running::end).unwrap_or_default());
    let now = state.clock.now();
    if is_cut {
        let mut response = respond(reply, now);
        response.extensions_mut().insert(Cut);
        return Ok(response);
    }
    let cut_after = fired.iter().find_map(|(_, fault)| fault.cut_after_bytes);
    let per_second = fired.iter().find_map(|(_, fault)| fault.bytes_per_second);
    let is_plain = cut_after.is_none() && per_second.is_none();
    let accepts = call.header("accept-encoding").is_some_and(|accepted| accepted.contains("gzip"));
    let reply = if is_plain && accepts && state.compresses() {
        tokio::task::block_in_place(|| reply.compressed())
    } else {
        reply
    };
    Ok(respond_slowly(reply, now, cut_after, per_second))
}

/// Waits, to some tenths of a millisecond. The last of it has a thread of its own.
async fn wait(delay: Duration) {
    let until = Instant::now() + delay;
    tokio::time::sleep(delay.saturating_sub(TIMER_LATE)).await;
    let rest = until.saturating_duration_since(Instant::now());
    if !rest.is_zero() {
        tokio::task::spawn_blocking(move || std::thread::sleep(rest)).await.ok();
    }
}

/// What faults want changed before the answer.
fn edit(state: &Arc<State>, faults: &[(u64, Fault)]) {
    for edit in faults.iter().flat_map(|(_, fault)| &fault.before) {
        if let Err(error) = Admin::new(state.clone()).edit(edit) {
            tracing::warn!(%error, "a fault's edit was not made");
        }
    }
}

fn contains(call: &Call, text: &str) -> bool {
    call.path.contains(text)
        || call.options().iter().any(|(name, value)| format!("{name}={value}").contains(text))
        || String::from_utf8_lossy(&call.body).contains(text)
}

/// The answer that a fault asks for.
fn injected_reply(state: &State, call: &Call, route: Route, fault: &Fault) -> Reply {
    let status = fault.status.unwrap_or(200);
    let reply = match (&fault.body, route, status) {
        (Some(body), ..) => {
            let content_type = fault.content_type.as_deref().unwrap_or("text/html; charset=utf-8");
            Reply { body: body.clone().into_bytes(), ..Reply::empty(status) }.header("Content-Type", content_type)
        }
        (None, Route::Token, _) if salesforce::owns(&call.path) => {
            let error = fault.code.as_deref().unwrap_or(if status < 500 { "invalid_grant" } else { "server_error" });
            salesforce::refuse_token(status, error, fault.message.as_deref().unwrap_or("authentication failure"))
        }
        _ if fault.body.is_none() && salesforce::owns(&call.path) => {
            salesforce::Error::usual(status).with(fault.code.as_deref(), fault.message.as_deref()).reply()
        }
        (None, Route::Token, _) => {
            let error = fault.code.as_deref().unwrap_or(if status < 500 {
                "invalid_request"
            } else {
                "temporarily_unavailable"
            });
            let text =
                fault.message.as_deref().unwrap_or("The service is temporarily unavailable. Please retry later.");
            dataverse::refuse_token(status, error, &[], text, call.now, mix(0, call.now.unsigned_abs()))
        }
        (None, _, 401) if fault.code.is_none() => dataverse::unauthorized_by_fault(state, call),
        _ => return dataverse::Error::of_fault(fault).reply_to(call),
    };
    match &fault.retry_after {
        Some(RetryAfter::Seconds(seconds)) => reply.header("Retry-After", seconds.to_string()),
        Some(RetryAfter::Text(text)) => reply.header("Retry-After", text),
        None => reply,
    }
}

fn record(state: &State, call: &Call, route: Route, reply: Option<&Reply>, started: Instant, fired: &[(u64, Fault)]) {
    let headers = HEADERS_LOGGED.iter().filter_map(|name| Some(((*name).to_owned(), call.header(name)?.to_owned())));
    let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
    state.requests().push(|number| log::Request {
        number,
        at: time::instant_text(call.now),
        method: call.method.to_string(),
        path: format!("{}{query}", call.path),
        route: serde_json::to_value(route).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default(),
        headers: headers.collect(),
        status: reply.map_or(0, |reply| reply.status),
        bytes: reply.map_or(0, |reply| reply.body.len()),
        duration_ms: started.elapsed().as_secs_f64() * 1_000.0,
        faults: fired.iter().map(|(number, _)| *number).collect(),
    });
}

/// The reply as it is.
pub(crate) fn respond(reply: Reply, now: i64) -> Response {
    respond_slowly(reply, now, None, None)
}

fn respond_slowly(reply: Reply, now: i64, cut_after: Option<usize>, per_second: Option<u64>) -> Response {
    let length = reply.body.len();
    let body = Bytes::from(reply.body);
    let is_plain = cut_after.is_none() && per_second.is_none();
    let mut response =
        Response::new(if is_plain { Body::from(body) } else { body_in_pieces(body, cut_after, per_second) });
    *response.status_mut() =
        hyper::StatusCode::from_u16(reply.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let own = [("Date", time::http_date(now))];
    let length = (!is_plain).then(|| ("Content-Length", length.to_string()));
    response.extensions_mut().insert(Names(reply.headers.iter().map(|(name, _)| *name).collect()));
    for (name, value) in reply.headers.into_iter().chain(own).chain(length) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// A body that comes slowly, or ends too early: its stated length is longer, and the connection breaks.
fn body_in_pieces(body: Bytes, cut_after: Option<usize>, per_second: Option<u64>) -> Body {
    let sent = body.slice(..cut_after.unwrap_or(body.len()).min(body.len()));
    let piece = per_second
        .map_or(sent.len(), |rate| usize::try_from(rate.div_ceil(PIECES_PER_SECOND)).unwrap_or(usize::MAX))
        .max(1);
    let pause = per_second.map(|rate| {
        Duration::from_secs_f64(
            f64::from(u32::try_from(piece).unwrap_or(u32::MAX)) / f64::from(u32::try_from(rate).unwrap_or(u32::MAX)),
        )
    });
    let count = sent.len().div_ceil(piece);
    let pieces = stream::iter(0..count).then(move |number| {
        let bytes = sent.slice(number * piece..sent.len().min((number + 1) * piece));
        async move {
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            Ok(bytes)
        }
    });
    let cut = stream::iter(cut_after.map(|_| Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault"))));
    // The bytes before the cut must leave before the connection breaks.
    let cut = cut.then(|error| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        error
    });
    Body::from_stream(pieces.chain(cut))
}
