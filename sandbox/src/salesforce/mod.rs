//! Salesforce's REST API, Bulk API 2.0 and logins, as its documentation and its real clients describe them.

mod admin;
mod admin_fields;
mod admin_http;
mod bulk;
mod collections;
mod composite;
mod cursor;
mod describe;
mod error;
mod generate;
mod id;
mod kind;
mod limits;
mod login;
mod objects;
mod query;
mod render;
mod replication;
mod route;
mod rules;
mod schema;
mod session;
mod settings;
mod single;
mod soql;
mod store;
mod table;
mod validate;
mod value;
mod write;

pub use admin::{DuplicateRule, SalesforceAdmin, ValidationRule};
pub use admin_fields::SalesforceField;
pub(crate) use admin_http::router as admin_router;
pub(crate) use error::Error;
pub(crate) use login::refusal as refuse_token;
pub(crate) use route::{owns, route};
pub(crate) use session::{Credentials, Sessions};
use settings::SalesforceSettings as Settings;
pub use settings::{JobFailure, SalesforceSettings};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hyper::Method;
use serde_json::json;

use crate::{clock::Clock, dataverse::Call, random::mix, reply::Reply, state::State};
use error::json_reply;
use id::Id;
use store::Store;

/// Users of the organisation; the first of them is the connection's.
const USERS: u32 = 12;

/// URL and headers of a request in bytes, at most.
const HEAD_MAX: usize = 16_384;

/// The versions of the API that it names. It answers any other as well.
const VERSIONS: std::ops::RangeInclusive<u32> = 31..=67;

/// Resources of the data API that are not there, by the first segment behind the version.
const RESOURCES_LEFT_OUT: &[&str] = &[
    "actions",
    "analytics",
    "appMenu",
    "apexrest",
    "async-queries",
    "chatter",
    "compactLayouts",
    "connect",
    "consent",
    "event",
    "folders",
    "graphql",
    "knowledgeManagement",
    "licensing",
    "localizedvalue",
    "metadata",
    "nouns",
    "parameterizedSearch",
    "process",
    "quickActions",
    "recent",
    "search",
    "support",
    "tabs",
    "theme",
    "tooling",
    "ui-api",
    "wave",
];

/// How many generated records an organisation begins with.
#[derive(Debug, Clone, Copy, Default)]
pub struct SalesforceOptions {
    /// Contacts. They take no memory until they are changed.
    pub contacts: u32,
    /// Accounts that the contacts work for.
    pub accounts: u32,
    /// Leads.
    pub leads: u32,
}

/// The state of one organisation.
#[derive(Debug)]
pub(crate) struct Org {
    store: RwLock<Store>,
    sessions: Mutex<Sessions>,
    settings: RwLock<Settings>,
    cursors: Mutex<cursor::Cursors>,
    jobs: Mutex<bulk::Jobs>,
    /// What it counts.
    pub(crate) usage: limits::Usage,
}

impl Org {
    /// A new organisation whose records end at `until`.
    pub(crate) fn new(options: SalesforceOptions, seed: u64, until: i64) -> Self {
        let chance = |purpose: u64| mix(seed, 2_000 + purpose);
        let credentials = Credentials {
            client_id: format!("3MVG9sandbox{:016x}{:016x}", chance(1), chance(2)),
            client_secret: format!("{:016X}{:016X}", chance(3), chance(4)),
            username: "integration@campanile.example.com".to_owned(),
            password: format!("pw-{:012x}", chance(5) >> 16),
            security_token: format!("st{:016x}", chance(6)),
            organisation: Id::new("00D", 0).to_string(),
            user: Id::new("005", 0).to_string(),
        };
        let sizes = generate::Sizes {
            seed: chance(7),
            contacts: options.contacts,
            accounts: options.accounts,
            leads: options.leads,
            users: USERS,
            until,
        };
        Self {
            store: RwLock::new(store::new(&sizes, Settings::default().bin_days())),
            sessions: Mutex::new(Sessions::new(credentials, chance(8))),
            settings: RwLock::default(),
            cursors: Mutex::default(),
            jobs: Mutex::default(),
            usage: limits::Usage::default(),
        }
    }

    /// Who may log in, and who is.
    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a test can set.
    pub(crate) fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_settings(&self, settings: Settings) {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        store.retention.bin_days = Some(settings.bin_days());
        drop(store);
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    fn cursors(&self) -> MutexGuard<'_, cursor::Cursors> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn jobs(&self) -> MutexGuard<'_, bulk::Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the next bulk job fails, if it is to.
    fn take_job_failure(&self) -> Option<JobFailure> {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        let failure = settings.fail_jobs.as_mut().filter(|failure| failure.times > 0)?;
        failure.times -= 1;
        Some(failure.clone())
    }

    /// The records as they are visible now, to read.
    pub(crate) fn store(&self, clock: &Clock) -> RwLockReadGuard<'_, Store> {
        let now = clock.now();
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        if !store.is_unsettled(now) {
            return store;
        }
        drop(store);
        drop(self.store_mut(clock));
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The records as they are visible now, to write.
    pub(crate) fn store_mut(&self, clock: &Clock) -> RwLockWriteGuard<'_, Store> {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        store.settle(clock.now());
        store
    }
}

/// A request of the data API, past its login.
#[derive(Debug)]
struct Request<'a> {
    state: &'a Arc<State>,
    call: &'a Call,
    /// The version in the path, such as `67.0`.
    version: &'a str,
    /// Segments of the path behind the version, decoded.
    path: Vec<String>,
}

impl Request<'_> {
    fn org(&self) -> &Org {
        &self.state.salesforce
    }

    fn store(&self) -> RwLockReadGuard<'_, Store> {
        self.org().store(&self.state.clock)
    }

    fn store_mut(&self) -> RwLockWriteGuard<'_, Store> {
        self.org().store_mut(&self.state.clock)
    }

    /// `/services/data/v67.0`.
    fn root(&self) -> String {
        format!("/services/data/v{}", self.version)
    }

    /// The number of the version before its point.
    fn version_number(&self) -> u32 {
        self.version.split('.').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// The index of an object's table.
    fn table(&self, store: &Store, object: &str) -> Result<usize, Error> {
        store.index(object).ok_or_else(Error::not_found)
    }
}

/// Answers one request.
pub(crate) fn answer(state: &Arc<State>, call: &Call) -> Reply {
    let head: usize = call.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let url = call.path.len() + call.query.len();
    if url > HEAD_MAX {
        return Error::usual(414).reply();
    }
    if url + head > HEAD_MAX {
        return Error::usual(431).reply();
    }
    let org = &state.salesforce;
    let path = call.path.trim_end_matches('/');
    if matches!(path, "/services/oauth2/token" | "/services/oauth2/revoke") || path.starts_with("/services/Soap/") {
        return login_reply(org, call, path);
    }
    if path == "/services/data" && call.method == Method::GET {
        return versions();
    }
    let is_identity = path == "/services/oauth2/userinfo" || path.starts_with("/id/");
    // Other APIs of the product have sessions of another form: before them, so that theirs do not look expired.
    if !is_identity && !path.starts_with("/services/data/") {
        return Error::not_there(path).reply();
    }
    if !org.sessions().is_open(call) {
        return Error::usual(401).reply();
    }
    if is_identity {
        return identity(org, call);
    }
    let Some((version, rest)) = versioned(path) else {
        return Error::not_found().reply();
    };
    let info = match org.usage.count(&org.settings(), call.now) {
        Ok(info) => info,
        Err(refused) => {
            let info = format!("api-usage={}/{}", org.usage.used(call.now), org.settings().daily_requests);
            return refused.reply().header("Sforce-Limit-Info", info);
        }
    };
    let decoded = |segment: &str| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned();
    let request = Request { state, call, version, path: rest.split('/').map(decoded).collect() };
    let reply = dispatch(&request).unwrap_or_else(|error| error.reply());
    reply.header("Sforce-Limit-Info", info)
}

fn login_reply(org: &Org, call: &Call, path: &str) -> Reply {
    let settings = org.settings();
    let mut sessions = org.sessions();
    match path {
        "/services/oauth2/revoke" => login::revoke(&mut sessions, call),
        _ if call.method != Method::POST => Error::usual(405).reply(),
        "/services/oauth2/token" => login::token(&mut sessions, &settings, call),
        _ => login::soap(&mut sessions, &settings, call),
    }
}

/// Version and rest of `/services/data/v67.0/…`.
fn versioned(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/services/data/v")?;
    let (version, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let (major, minor) = version.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && minor == "0").then_some((version, rest))
}

fn dispatch(request: &Request<'_>) -> Result<Reply, Error> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let method = &request.call.method;
    match (path.as_slice(), method.as_str()) {
        ([""], "GET") => Ok(resources(request)),
        (["limits"], "GET") => Ok(request.org().usage.limits(&request.org().settings(), request.call.now)),
        (["query" | "queryAll"], "GET") => query::first(request),
        (["query" | "queryAll", locator], "GET") => query::next(request, locator),
        (["sobjects", rest @ ..], _) => single::dispatch(request, rest),
        (["composite", "sobjects", rest @ ..], _) => collections::dispatch(request, rest),
        (["jobs", rest @ ..], _) => bulk::dispatch(request, rest),
        (["composite", rest @ ..], "POST") => composite::dispatch(request, rest),
        ([resource, ..], _) if RESOURCES_LEFT_OUT.contains(resource) => {
            Err(Error::not_there(&format!("The resource /{resource}")))
        }
        _ => Err(Error::not_found()),
    }
}

fn versions() -> Reply {
    let versions = VERSIONS.map(|version| {
        json!({"label": format!("Release {version}"), "url": format!("/services/data/v{version}.0"), "version": format!("{version}.0")})
    });
    json_reply(200, &versions.collect())
}

fn resources(request: &Request<'_>) -> Reply {
    let names = ["limits", "sobjects", "query", "queryAll", "composite", "jobs"];
    let mut body: serde_json::Value =
        names.map(|name| (name, json!(format!("{}/{name}", request.root())))).into_iter().collect();
    let sessions = request.org().sessions();
    let ids = &sessions.credentials;
    body["identity"] = format!("{}/id/{}/{}", login::base_url(request.call), ids.organisation, ids.user).into();
    json_reply(200, &body)
}

fn identity(org: &Org, call: &Call) -> Reply {
    let sessions = org.sessions();
    let (ids, base) = (&sessions.credentials, login::base_url(call));
    let body = json!({
        "id": format!("{base}/id/{}/{}", ids.organisation, ids.user),
        "sub": format!("{base}/id/{}/{}", ids.organisation, ids.user),
        "user_id": ids.user,
        "organization_id": ids.organisation,
        "username": ids.username,
        "preferred_username": ids.username,
        "email": ids.username,
        "active": sessions.is_active,
        "user_type": "STANDARD",
        "timezone": "GMT",
        "urls": {
            "rest": format!("{base}/services/data/v{{version}}/"),
            "sobjects": format!("{base}/services/data/v{{version}}/sobjects/"),
            "query": format!("{base}/services/data/v{{version}}/query/"),
        },
    });
    json_reply(200, &body)
}
