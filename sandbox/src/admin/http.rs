//! The admin API over HTTP: thin, since all it does is a method of [`Admin`].

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::{Path, Query, State as Shared},
    response::Response,
    routing::{get, post, put},
};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};

use super::{Admin, Attribute, ClockSetting, Refused, Tracking};
use crate::{data::KeyStatus, faults::Fault, reply::Reply, server::respond, state::State};

/// What a request of the admin API comes to: a body, or a text that says what would be right.
pub(crate) type Outcome = Result<Json, Refused>;

/// The routes below `/admin`.
pub(crate) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/clock", get(clock).put(set_clock))
        .route("/clock/advance", post(advance_clock))
        .route("/records/{set}", post(put_records).delete(clear_records))
        .route("/records/{set}/{id}", put(put_record).get(record).delete(delete_record))
        .route("/change", post(change))
        .route("/attributes/{table}", post(add_attribute))
        .route("/keys/{table}", post(add_key))
        .route("/duplicates/{table}", post(add_rule).delete(clear_rules))
        .route("/faults", post(add_faults).get(faults).delete(clear_faults))
        .route("/tracking", put(set_tracking))
        .route("/limits", get(limits).put(set_limits))
        .route("/latency", put(set_latency))
        .route("/compression", put(set_compression))
        .route("/tokens/revoke", post(revoke_tokens))
        .route("/tokens", put(set_tokens))
        .route("/credentials", put(set_credentials))
        .route("/requests", get(requests))
        .route("/changes", get(changes))
        .route("/log", axum::routing::delete(clear_log))
        .nest("/salesforce", crate::salesforce::admin_router())
        .route("/state", get(state))
        .fallback(unknown)
}

async fn clock(Shared(state): Shared<Arc<State>>) -> Response {
    answer(&state, |admin| to_json(admin.clock()))
}

async fn set_clock(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    answer(&state, |admin| {
        let setting: ClockSetting = read(&body, r#"{"now": "2026-03-03T10:00:00Z", "frozen": true}"#)?;
        admin.set_clock(setting.now, setting.frozen)?;
        to_json(admin.clock())
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: i64,
}

async fn advance_clock(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    answer(&state, |admin| {
        let advance: Advance = read(&body, r#"{"seconds": 300}"#)?;
        admin.advance_clock(advance.seconds)?;
        to_json(admin.clock())
    })
}

async fn put_records(Shared(state): Shared<Arc<State>>, Path(set): Path<String>, body: Bytes) -> Response {
    answer(&state, |admin| {
        let records: Vec<Json> = read(&body, r#"[{"contactid": "…", "lastname": "…"}, …]"#)?;
        admin.put_all(&set, &records)?;
        Ok(json!({"put": records.len()}))
    })
}

async fn clear_records(Shared(state): Shared<Arc<State>>, Path(set): Path<String>) -> Response {
    answer(&state, |admin| admin.clear(&set).map(|()| json!({})))
}

async fn put_record(
    Shared(state): Shared<Arc<State>>,
    Path((set, id)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    answer(&state, |admin| {
        let fields: Json = read(&body, r#"{"lastname": "…", "modifiedon": "2026-03-03T10:00:00Z"}"#)?;
        admin.put(&set, &id, &fields)?;
        Ok(admin.record(&set, &id)?.unwrap_or(json!({})))
    })
}

async fn record(Shared(state): Shared<Arc<State>>, Path((set, id)): Path<(String, String)>) -> Response {
    match Admin::new(state.clone()).record(&set, &id) {
        Ok(None) => missing(&state, &set, &id),
        found => answer(&state, |_| found.map(|record| record.unwrap_or_default())),
    }
}

async fn delete_record(Shared(state): Shared<Arc<State>>, Path((set, id)): Path<(String, String)>) -> Response {
    match Admin::new(state.clone()).delete(&set, &id) {
        Ok(false) => missing(&state, &set, &id),
        done => answer(&state, |_| done.map(|_| json!({}))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct People {
    set: String,
    count: usize,
    #[serde(default)]
    seed: u64,
}

async fn change(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    answer(&state, |admin| {
        let people: People = read(&body, r#"{"set": "contacts", "count": 100, "seed": 7}"#)?;
        Ok(json!({"ids": admin.change(&people.set, people.count, people.seed)?}))
    })
}

async fn add_attribute(Shared(state): Shared<Arc<State>>, Path(table): Path<String>, body: Bytes) -> Response {
    answer(&state, |admin| {
        for attribute in
            one_or_many::<Attribute>(&body, r#"{"name": "new_number", "type": "Integer"}, or a list of such"#)?
        {
            admin.add_attribute(&table, &attribute)?;
        }
        Ok(json!({}))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyOf {
    name: String,
    attributes: Vec<String>,
    #[serde(default)]
    status: KeyStatus,
}

async fn add_key(Shared(state): Shared<Arc<State>>, Path(table): Path<String>, body: Bytes) -> Response {
    answer(&state, |admin| {
        let key: KeyOf = read(&body, r#"{"name": "new_extid_key", "attributes": ["new_extid"]}"#)?;
        admin.add_key_with(&table, &key.name, &key.attributes, key.status).map(|()| json!({}))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleOf {
    name: String,
    attributes: Vec<String>,
    #[serde(default)]
    always: bool,
}

async fn add_rule(Shared(state): Shared<Arc<State>>, Path(table): Path<String>, body: Bytes) -> Response {
    answer(&state, |admin| {
        let rule: RuleOf = read(&body, r#"{"name": "same mail", "attributes": ["emailaddress1"], "always": true}"#)?;
        admin.add_rule(&table, &rule.name, &rule.attributes, rule.always).map(|()| json!({}))
    })
}

async fn clear_rules(Shared(state): Shared<Arc<State>>, Path(table): Path<String>) -> Response {
    answer(&state, |admin| admin.clear_rules(&table).map(|()| json!({})))
}

async fn add_faults(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    answer(&state, |admin| {
        let faults = one_or_many::<Fault>(
            &body,
            r#"{"route": "query", "times": 2, "status": 429, "retryAfter": 3}, or a list of such"#,
        )?;
        let numbers = faults.into_iter().map(|fault| admin.add_fault(fault)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({"numbers": numbers}))
    })
}

async fn faults(Shared(state): Shared<Arc<State>>) -> Response {
    answer(&state, |admin| Ok(json!({"faults": to_json(admin.faults())?})))
}

async fn clear_faults(Shared(state): Shared<Arc<State>>) -> Response {
    done(&state, Admin::clear_faults)
}

async fn set_tracking(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    answer(&state, |admin| {
        let right =
            r#"{"tables": {"contact": true}, "deltaDays": 7, "recycleBinDays": 30, "audit": true, "auditDays": 30}"#;
        admin.set_tracking(&read::<Tracking>(&body, right)?).map(|()| json!({}))
    })
}

async fn limits(Shared(state): Shared<Arc<State>>) -> Response {
    answer(&state, |admin| to_json(admin.limits()))
}

async fn set_limits(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    answer(&state, |admin| {
        admin.set_limits(read(&body, r#"{"requests": 6000, "executionMs": 1200000, "concurrency": 52}"#)?);
        to_json(admin.limits())
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Latency {
    base_ms: u64,
}

async fn set_latency(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    answer(&state, |admin| {
        let latency: Latency = read(&body, r#"{"baseMs": 40}"#)?;
        admin.set_latency(latency.base_ms);
        Ok(json!({}))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Compression {
    gzip: bool,
}

async fn set_compression(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    answer(&state, |admin| {
        let compression: Compression = read(&body, r#"{"gzip": false}"#)?;
        admin.set_compression(compression.gzip);
        Ok(json!({}))
    })
}

async fn revoke_tokens(Shared(state): Shared<Arc<State>>) -> Response {
    done(&state, Admin::revoke_tokens)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TokenLifetime {
    expires_in: u32,
}

async fn set_tokens(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    answer(&state, |admin| {
        let lifetime: TokenLifetime = read(&body, r#"{"expiresIn": 60}"#)?;
        admin.set_token_lifetime(lifetime.expires_in);
        Ok(json!({}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Credentials {
    client_secret: Option<String>,
    certificate: Option<String>,
    client_id: Option<String>,
}

async fn set_credentials(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    answer(&state, |admin| {
        let right = r#"{"clientSecret": "…"}, {"certificate": "-----BEGIN CERTIFICATE-----…"} or {"clientId": "…", "clientSecret": "…"} for another application"#;
        let Credentials { client_secret, certificate, client_id } = read(&body, right)?;
        if let Some(pem) = &certificate {
            admin.add_certificate(pem)?;
        }
        match (&client_id, &client_secret) {
            (Some(client), Some(secret)) => admin.add_application(client, secret),
            (None, Some(secret)) => admin.set_client_secret(secret),
            (Some(_), None) => return Err(Refused(format!("another application needs its secret: {right}"))),
            (None, None) => {}
        }
        Ok(json!({}))
    })
}

async fn requests(Shared(state): Shared<Arc<State>>, Query(query): Query<HashMap<String, String>>) -> Response {
    answer(&state, |admin| {
        let requests = admin.requests(from(&query)?);
        let next = admin.state.requests().next();
        Ok(json!({"requests": to_json(requests)?, "next": next}))
    })
}

async fn changes(Shared(state): Shared<Arc<State>>, Query(query): Query<HashMap<String, String>>) -> Response {
    answer(&state, |admin| {
        let changes = admin.changes(from(&query)?);
        let next = admin.state.store().next_change();
        Ok(json!({"changes": to_json(changes)?, "next": next}))
    })
}

async fn clear_log(Shared(state): Shared<Arc<State>>) -> Response {
    done(&state, Admin::clear_log)
}

async fn state(Shared(state): Shared<Arc<State>>) -> Response {
    answer(&state, |admin| to_json(admin.state()))
}

async fn unknown(Shared(state): Shared<Arc<State>>) -> Response {
    let text = "the admin API has no such part; `campanile help sandbox-controls` lists them";
    respond(Reply::json(404, &json!({"error": text})), state.clock.now())
}

fn missing(state: &State, set: &str, id: &str) -> Response {
    respond(Reply::json(404, &json!({"error": format!("{set} has no record {id}")})), state.clock.now())
}

pub(crate) fn answer(state: &Arc<State>, act: impl FnOnce(&Admin) -> Outcome) -> Response {
    // Much may be changed at once, or a lock waited for, while others are served.
    let reply = match tokio::task::block_in_place(|| act(&Admin::new(state.clone()))) {
        Ok(body) => Reply::json(200, &body),
        Err(refused) => Reply::json(400, &json!({"error": refused.to_string()})),
    };
    respond(reply, state.clock.now())
}

/// For what cannot be refused and tells nothing.
fn done(state: &Arc<State>, act: impl FnOnce(&Admin)) -> Response {
    answer(state, |admin| {
        act(admin);
        Ok(json!({}))
    })
}

pub(crate) fn to_json(value: impl serde::Serialize) -> Outcome {
    serde_json::to_value(value).map_err(|error| Refused(error.to_string()))
}

pub(crate) fn read<T: DeserializeOwned>(body: &[u8], right: &str) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused(format!("{error}; right would be: {right}")))
}

pub(crate) fn one_or_many<T: DeserializeOwned>(body: &[u8], right: &str) -> Result<Vec<T>, Refused> {
    match read(body, right)? {
        Json::Array(items) => items.into_iter().map(|item| read(item.to_string().as_bytes(), right)).collect(),
        item => Ok(vec![read(item.to_string().as_bytes(), right)?]),
    }
}

pub(crate) fn from(query: &HashMap<String, String>) -> Result<u64, Refused> {
    match query.get("from") {
        None => Ok(1),
        Some(text) => text.parse().map_err(|_| Refused(format!("from={text} is no number of an entry"))),
    }
}
