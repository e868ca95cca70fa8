//! The controls over HTTP, below `/admin/salesforce`: thin, since all they do is a method of [`SalesforceAdmin`].

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::{Path, Query, State as Shared},
    response::Response,
    routing::{get, post, put},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{DuplicateRule, SalesforceAdmin, SalesforceField, ValidationRule};
use crate::{
    admin::{
        Refused,
        http::{answer, from, one_or_many, read, to_json},
    },
    state::State,
};

type App = Shared<Arc<State>>;

/// The routes below `/admin/salesforce`.
pub(crate) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/settings", get(settings).put(set_settings))
        .route("/fields/{object}", post(add_fields))
        .route("/validationRules/{object}", post(add_validation_rules))
        .route("/duplicateRules/{object}", post(add_duplicate_rules))
        .route("/rules/{object}", axum::routing::delete(clear_rules))
        .route("/merge", post(merge))
        .route("/undelete", post(undelete))
        .route("/purge", post(purge))
        .route("/publicKey", put(set_public_key))
        .route("/user", put(set_user))
        .route("/refreshTokens/revoke", post(revoke_refresh_tokens))
        .route("/locators/lose", post(lose_locators))
        .route("/changes", get(changes))
}

async fn settings(Shared(state): App) -> Response {
    answer(&state, |_| to_json(SalesforceAdmin::new(&state).settings()))
}

async fn set_settings(Shared(state): App, body: Bytes) -> Response {
    answer(&state, |_| {
        let right = r#"{"sessionSeconds": 60, "dailyRequests": 1000}, whatever is to change"#;
        let given: Json = read(&body, right)?;
        let admin = SalesforceAdmin::new(&state);
        let mut all = to_json(super::Settings { used_requests: None, ..admin.settings() })?;
        match (&mut all, given) {
            (Json::Object(all), Json::Object(given)) => all.extend(given),
            _ => return Err(Refused(format!("right would be: {right}"))),
        }
        admin.set_settings(read(all.to_string().as_bytes(), right)?);
        to_json(admin.settings())
    })
}

async fn add_fields(Shared(state): App, Path(object): Path<String>, body: Bytes) -> Response {
    answer(&state, |_| {
        let right = r#"{"name": "ExtId__c", "type": "string", "externalId": true, "unique": true}, or a list of such"#;
        for field in one_or_many::<SalesforceField>(&body, right)? {
            SalesforceAdmin::new(&state).add_field(&object, &field)?;
        }
        Ok(json!({}))
    })
}

async fn add_validation_rules(Shared(state): App, Path(object): Path<String>, body: Bytes) -> Response {
    answer(&state, |_| {
        let right = r#"{"name": "noTest", "condition": "LastName = 'Test'", "message": "No tests"}, or a list of such"#;
        for rule in one_or_many::<ValidationRule>(&body, right)? {
            SalesforceAdmin::new(&state).add_validation_rule(&object, &rule)?;
        }
        Ok(json!({}))
    })
}

async fn add_duplicate_rules(Shared(state): App, Path(object): Path<String>, body: Bytes) -> Response {
    answer(&state, |_| {
        let right = r#"{"name": "sameMail", "fields": ["Email"], "allowSave": true}, or a list of such"#;
        for rule in one_or_many::<DuplicateRule>(&body, right)? {
            SalesforceAdmin::new(&state).add_duplicate_rule(&object, &rule)?;
        }
        Ok(json!({}))
    })
}

async fn clear_rules(Shared(state): App, Path(object): Path<String>) -> Response {
    answer(&state, |_| SalesforceAdmin::new(&state).clear_rules(&object).map(|()| json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    object: String,
    master: String,
    losers: Vec<String>,
}

async fn merge(Shared(state): App, body: Bytes) -> Response {
    answer(&state, |_| {
        let merge: Merge = read(&body, r#"{"object": "Contact", "master": "003…", "losers": ["003…"]}"#)?;
        SalesforceAdmin::new(&state).merge(&merge.object, &merge.master, &merge.losers).map(|()| json!({}))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Records {
    object: String,
    ids: Vec<String>,
}

async fn undelete(Shared(state): App, body: Bytes) -> Response {
    answer(&state, |_| {
        let records: Records = read(&body, r#"{"object": "Contact", "ids": ["003…"]}"#)?;
        let admin = SalesforceAdmin::new(&state);
        let done = records.ids.iter().map(|id| admin.undelete(&records.object, id)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({"undeleted": done.into_iter().filter(|done| *done).count()}))
    })
}

async fn purge(Shared(state): App, body: Bytes) -> Response {
    answer(&state, |_| {
        let admin = SalesforceAdmin::new(&state);
        if body.is_empty() {
            admin.empty_bin();
            return Ok(json!({}));
        }
        let records: Records = read(&body, r#"{"object": "Contact", "ids": ["003…"]}, or no body to empty the bin"#)?;
        let done = records.ids.iter().map(|id| admin.purge(&records.object, id)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({"purged": done.into_iter().filter(|done| *done).count()}))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    pem: String,
}

async fn set_public_key(Shared(state): App, body: Bytes) -> Response {
    answer(&state, |_| {
        let key: Key = read(&body, r#"{"pem": "-----BEGIN PUBLIC KEY-----…"}"#)?;
        SalesforceAdmin::new(&state).set_public_key(&key.pem).map(|()| json!({}))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    active: bool,
    #[serde(default = "yes")]
    approved: bool,
}

fn yes() -> bool {
    true
}

async fn set_user(Shared(state): App, body: Bytes) -> Response {
    answer(&state, |_| {
        let user: User = read(&body, r#"{"active": true, "approved": true}"#)?;
        SalesforceAdmin::new(&state).set_user(user.active, user.approved);
        Ok(json!({}))
    })
}

async fn revoke_refresh_tokens(Shared(state): App) -> Response {
    answer(&state, |_| {
        SalesforceAdmin::new(&state).revoke_refresh_tokens();
        Ok(json!({}))
    })
}

async fn lose_locators(Shared(state): App) -> Response {
    answer(&state, |_| {
        SalesforceAdmin::new(&state).lose_locators();
        Ok(json!({}))
    })
}

async fn changes(Shared(state): App, Query(query): Query<HashMap<String, String>>) -> Response {
    answer(&state, |_| {
        let admin = SalesforceAdmin::new(&state);
        let changes = admin.changes(from(&query)?);
        Ok(json!({"changes": to_json(changes)?, "next": admin.next_change()}))
    })
}
