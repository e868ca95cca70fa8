//! Dataverse's Web API and the token endpoint before it, as Microsoft's Web API documentation describes them.

mod apply;
mod assertion;
mod batch;
mod bulk;
mod call;
mod csdl;
mod cursor;
mod delta;
mod discovery;
mod error;
mod expand;
mod fetch;
mod filter;
mod key;
mod metadata;
mod metadata_filter;
mod model;
mod order;
mod parts;
mod payload;
mod protection;
mod query;
mod render;
mod rules;
mod single;
mod tables;
mod token;
mod types;

pub(crate) use call::Call;
pub(crate) use error::Error;
pub(crate) use metadata::TYPE_NAMES;
pub(crate) use payload::{Leniency, field_value};
pub use protection::Limits;
pub(crate) use protection::Protection;
pub(crate) use tables::{describe_messages, tables};
pub(crate) use token::{Tokens, refuse as refuse_token};

use std::{sync::Arc, time::Instant};

use hyper::Method;
use serde_json::json;

use crate::{data::Store, reply::Reply, state::State};

/// Sets, actions and functions of the platform that its clients ask for and that are not part of this stand-in.
const LEFT_OUT: &[&str] = &[
    "AddToQueue",
    "BulkDelete",
    "CalculateRollupField",
    "Associate",
    "Disassociate",
    "ExecuteWorkflow",
    "GrantAccess",
    "InitializeFileBlocksDownload",
    "InitializeFileBlocksUpload",
    "InitializeFrom",
    "ManagedPropertyDefinitions",
    "Merge",
    "ModifyAccess",
    "PublishAllXml",
    "PublishXml",
    "QualifyLead",
    "Restore",
    "RetrieveAllEntities",
    "RetrieveAuditDetails",
    "RetrieveDuplicates",
    "RetrieveEntityChanges",
    "RetrieveMetadataChanges",
    "RetrieveTimestamp",
    "RevokeAccess",
    "RollbackRetain",
    "SendEmail",
    "SetState",
    "activitypointers",
    "annotations",
    "asyncoperations",
    "bulkdeleteoperations",
    "businessunits",
    "campaigns",
    "emails",
    "importjobs",
    "incidents",
    "invoices",
    "lists",
    "opportunities",
    "phonecalls",
    "privileges",
    "products",
    "publishers",
    "quotes",
    "roles",
    "salesorders",
    "savedqueries",
    "solutions",
    "subscriptions",
    "tasks",
    "teams",
    "transactioncurrencies",
    "userqueries",
    "webresources",
    "workflows",
];

/// Options of the platform's own that are not part of this stand-in: what they ask for must not be passed over.
const OPTIONS_LEFT_OUT: &[&str] = &["savedQuery", "userQuery", "sql", "partitionId"];
use model::Scope;
use token::Refusal;

/// Answers one request of the protocol. What comes with the answer counts the request against its user's limits until the
/// answer is sent; there is none where nobody was let in.
pub(crate) fn answer(state: &Arc<State>, call: &Call) -> (Reply, Option<Running>) {
    if call.is_token_endpoint() {
        let reply = if call.method == Method::POST {
            state.tokens().answer(call)
        } else {
            Error::new(405, error::code::QUERY, "The endpoint only accepts POST.").reply()
        };
        return (reply, None);
    }
    if let Some(metadata) = discovery::answer(state, call) {
        return (metadata, None);
    }
    if !call.path.starts_with(call::API) {
        let text = format!("{} is not part of this stand-in, which has the Web API below /api/data.", call.path);
        return (Error::not_there(text).reply(), None);
    }
    let user = state.tokens().check(call);
    let user = match user {
        Ok(user) => user,
        Err(refusal) => return (unauthorized(state, call, refusal), None),
    };
    let Some((_, resource)) = call.resource() else {
        return (Error::segment(call.path.trim_start_matches('/')).reply(), None);
    };
    let admission = state.protection().admit(&user, call.now);
    if let Err(error) = admission {
        return (error.reply_to(call), None);
    }
    let running = Running { state: state.clone(), user, since: Instant::now() };
    let reply = route(state, call, &resource).unwrap_or_else(|error| error.reply_to(call));
    (reply, Some(running))
}

/// A request that counts against its user's limits, however it ends.
pub(crate) struct Running {
    state: Arc<State>,
    user: String,
    since: Instant,
}

impl Running {
    /// The request ends here: the headers that tell its user what is left.
    pub(crate) fn end(self) -> Vec<(&'static str, String)> {
        let (state, user) = (self.state.clone(), self.user.clone());
        drop(self);
        state.protection().headers(&user)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.state.protection().finish(&self.user, self.since.elapsed());
    }
}

/// 401 with an empty body: the useful part is the header.
pub(crate) fn unauthorized(state: &State, call: &Call, refusal: Refusal) -> Reply {
    let tenant = state.tokens().tenant_id.clone();
    let host = call.host();
    let scheme = if call.is_tls { "https" } else { "http" };
    let challenge =
        format!("Bearer authorization_uri={scheme}://{host}/{tenant}/oauth2/authorize, resource_id={scheme}://{host}/");
    let reason = match refusal {
        Refusal::Missing => "",
        Refusal::Expired => ", error=\"invalid_token\", error_description=\"The access token expired\"",
        Refusal::Unknown => ", error=\"invalid_token\", error_description=\"The access token is invalid\"",
    };
    Reply::empty(401).header("WWW-Authenticate", format!("{challenge}{reason}"))
}

/// 401 as if the token were not known, for faults.
pub(crate) fn unauthorized_by_fault(state: &State, call: &Call) -> Reply {
    unauthorized(state, call, Refusal::Unknown)
}

fn route(state: &State, call: &Call, resource: &str) -> Result<Reply, Error> {
    let path = key::Path::parse(&call.with_aliases(resource))?;
    if let Some((name, _)) = call.options().into_iter().find(|(name, _)| OPTIONS_LEFT_OUT.contains(&name.as_str())) {
        return Err(Error::not_there(format!("The query parameter {name} is not part of this stand-in.")));
    }
    let first = path.segments.first().map_or("", |segment| segment.name.as_str());
    match (first, &call.method) {
        ("", &Method::GET) => Ok(service_document(&state.store(), call)),
        ("WhoAmI" | "WhoAmI()", &Method::GET) => Ok(who_am_i(state, call)),
        ("organizations", &Method::GET) => Ok(organisations(state, call)),
        ("EntityDefinitions", &Method::GET) => metadata::answer(&state.store(), call, &path),
        ("EntityDefinitions", &Method::PUT) => metadata::update(&mut state.store_mut(), call, &path),
        ("RelationshipDefinitions" | "GlobalOptionSetDefinitions", &Method::GET) => {
            metadata::definitions(&state.store(), call, &path)
        }
        (
            "EntityDefinitions" | "RelationshipDefinitions" | "GlobalOptionSetDefinitions",
            &Method::POST | &Method::PUT | &Method::DELETE,
        ) => Err(Error::not_there(
            "Changes of the model over the wire are not part of this stand-in, but for change tracking and auditing.",
        )),
        ("EntityDefinitions" | "RelationshipDefinitions" | "GlobalOptionSetDefinitions", method) => {
            Err(Error::method(method))
        }
        ("$metadata", &Method::GET) => Ok(csdl::answer(&state.store(), call)),
        ("RetrieveTotalRecordCount", &Method::GET) => total_counts(&state.store(), call, &path),
        ("audits", &Method::GET) => {
            state.store_mut().expire_audits(call.now);
            read(&state.store(), call, &path)
        }
        ("$batch", &Method::POST) => batch::answer(state, call),
        (_, &Method::GET) => read(&state.store(), call, &path),
        _ => write(&mut state.store_mut(), state, call, &path),
    }
}

fn read(store: &Store, call: &Call, path: &key::Path) -> Result<Reply, Error> {
    let (index, first, rest) = table_of(store, path)?;
    let scope = Scope { store, table: &store.tables[index] };
    match (&first.key, rest) {
        (None, []) => match (call.option("fetchXml"), call.option("$apply")) {
            (Some(text), _) => fetch::answer(scope, call, &text),
            (None, Some(text)) => apply::answer(scope, call, &text),
            (None, None) => query::answer(scope, call),
        },
        (None, [last]) if last.name == "$count" => query::count(scope, call),
        (Some(key), []) => single::read(store, index, key, call),
        (Some(key), [part]) if part.key.is_none() => single::part(scope, key, &part.name, None, call),
        (Some(key), [part, last]) if matches!(last.name.as_str(), "$ref" | "$value") => {
            single::part(scope, key, &part.name, Some(&last.name), call)
        }
        (_, [unknown, ..]) => Err(Error::segment(&unknown.name)),
    }
}

/// Answers a request that writes.
fn write(store: &mut Store, state: &State, call: &Call, path: &key::Path) -> Result<Reply, Error> {
    let (index, first, rest) = table_of(store, path)?;
    match (&first.key, rest, &call.method) {
        (None, [], &Method::POST) => single::create(store, state, index, call),
        (None, [last], &Method::POST) => match bulk::Message::of_segment(&last.name) {
            Some(message) => bulk::answer(store, state, index, message, call),
            None => Err(Error::segment(&last.name)),
        },
        (Some(key), [], &Method::PATCH) => single::update(store, state, index, key, call),
        (Some(key), [], &Method::DELETE) => single::delete(store, index, key, call),
        (Some(key), [property], &Method::PUT | &Method::DELETE) => {
            single::property(store, index, key, &property.name, call)
        }
        (Some(key), [navigation, last], &Method::PUT | &Method::DELETE) if last.name == "$ref" => {
            single::reference(store, index, key, &navigation.name, call)
        }
        (_, [unknown, ..], _) => Err(Error::segment(&unknown.name)),
        (_, [], method) => Err(Error::method(method)),
    }
}

fn table_of<'a>(store: &Store, path: &'a key::Path) -> Result<(usize, &'a key::Segment, &'a [key::Segment]), Error> {
    let (first, rest) = path.segments.split_first().ok_or_else(|| Error::segment(""))?;
    let index = store.tables.iter().position(|table| table.shape.set == first.name);
    let unknown = || match LEFT_OUT.contains(&first.name.as_str()) {
        true => Error::not_there(format!("{} is not part of this stand-in.", first.name)),
        false => Error::segment(&first.name),
    };
    Ok((index.ok_or_else(unknown)?, first, rest))
}

fn service_document(store: &Store, call: &Call) -> Reply {
    let sets: Vec<_> = store
        .tables
        .iter()
        .map(|table| json!({"name": table.shape.set, "kind": "EntitySet", "url": table.shape.set}))
        .collect();
    let body = json!({"@odata.context": format!("{}$metadata", call.root()), "value": sets});
    Reply::json(200, &body).header("OData-Version", "4.0")
}

/// Answers `GET /RetrieveTotalRecordCount(EntityNames=['contact','account'])`.
fn total_counts(store: &Store, call: &Call, path: &key::Path) -> Result<Reply, Error> {
    let names = path.segments.first().and_then(|segment| segment.key.as_deref()).unwrap_or("");
    let names = names.strip_prefix("EntityNames=").and_then(|list| list.trim().strip_prefix('[')?.strip_suffix(']'));
    let names = names.ok_or_else(|| Error::query("The parameter 'EntityNames' must be a list of table names."))?;
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for name in names.split(',').map(|name| name.trim().trim_matches(['\'', '"'])) {
        let table = store.table(name).ok_or_else(|| {
            let message = format!("The entity with a name = '{name}' was not found in the MetadataCache.");
            Error::new(404, error::code::MISSING, message)
        })?;
        keys.push(name.to_owned());
        values.push(table.len());
    }
    let body = json!({
        "@odata.context": format!("{}$metadata#Microsoft.Dynamics.CRM.RetrieveTotalRecordCountResponse", call.root()),
        "EntityRecordCountCollection": {"Count": keys.len(), "IsReadOnly": false, "Keys": keys, "Values": values},
    });
    Ok(Reply::json(200, &body).header("OData-Version", "4.0"))
}

/// Answers `GET /organizations`: the one, whether it is audited, and for how many days.
fn organisations(state: &State, call: &Call) -> Reply {
    let retention = state.store().retention;
    let organisation = json!({
        "organizationid": state.organisation.organisation.to_string(),
        "isauditenabled": retention.audit,
        "auditretentionperiodv2": retention.audit_days.map_or(-1, i64::from),
    });
    let body = json!({"@odata.context": format!("{}$metadata#organizations", call.root()), "value": [organisation]});
    Reply::json(200, &body).header("OData-Version", "4.0")
}

fn who_am_i(state: &State, call: &Call) -> Reply {
    let ids = &state.organisation;
    let body = json!({
        "@odata.context": format!("{}$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse", call.root()),
        "BusinessUnitId": ids.business_unit.to_string(),
        "UserId": ids.user.to_string(),
        "OrganizationId": ids.organisation.to_string(),
    });
    Reply::json(200, &body).header("OData-Version", "4.0")
}
