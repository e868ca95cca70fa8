//! What tests and people may do to a stand-in: the same as plain methods and over HTTP.

mod attributes;
pub(crate) mod http;
mod records;
mod system;

pub use attributes::{Attribute, AttributeOption};
pub(crate) use http::router;
pub(crate) use records::SetCount;
pub use records::State as RecordCounts;
pub(crate) use system::{Controls, System, index};

use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    dataverse::Limits,
    faults::{Fault, FaultReport},
    jwt::PublicKey,
    log::{Change, Request},
    salesforce::{SalesforceAdmin, SalesforceSettings},
    state::State,
};

/// Seconds within which a clock can be set: years 1 to 9998.
const CLOCK_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_370_764_800;

/// A request to the admin API that makes no sense; the text says what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub(crate) String);

/// The controls of a running stand-in. Clones control the same one.
#[derive(Debug, Clone)]
pub struct Admin {
    state: Arc<State>,
}

/// What the sandbox's clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockSetting {
    /// The instant, in whole seconds.
    pub now: Timestamp,
    /// It stands still.
    #[serde(default)]
    pub frozen: bool,
}

/// What is remembered of changes and deletions; what is not given stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tracking {
    /// Change tracking by table: on for contacts, accounts and leads unless set otherwise.
    pub tables: IndexMap<String, bool>,
    /// Days for which a delta token is good: 7 unless set otherwise.
    pub delta_days: Option<u32>,
    /// Days for which a recycle bin keeps what is deleted from now on; 0, as at the start, for no bin.
    pub recycle_bin_days: Option<u32>,
    /// Whether deletions of audited tables go to the audit log from now on; not so at the start.
    pub audit: Option<bool>,
    /// Days for which deletions from now on stay in the audit log; 0, as at the start, for ever.
    pub audit_days: Option<u32>,
    /// Auditing by table: on for contacts, accounts and leads unless set otherwise.
    pub audited: IndexMap<String, bool>,
}

impl Admin {
    /// The controls of this state.
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// What is Salesforce's own. The methods here that name a set do for its objects too.
    pub fn salesforce(&self) -> SalesforceAdmin<'_> {
        SalesforceAdmin::new(&self.state)
    }

    /// What the clock shows.
    pub fn clock(&self) -> ClockSetting {
        let now = Timestamp::from_second(self.state.clock.now()).unwrap_or(Timestamp::UNIX_EPOCH);
        ClockSetting { now, frozen: self.state.clock.is_frozen() }
    }

    /// Sets the clock, to run on from there or to stand still. Fractions of a second are cut off.
    pub fn set_clock(&self, now: Timestamp, frozen: bool) -> Result<(), Refused> {
        let seconds = crate::time::parse_instant(&now.to_string()).filter(|seconds| CLOCK_SECONDS.contains(seconds));
        let seconds =
            seconds.ok_or_else(|| Refused(format!("the clock cannot show {now}: give a year from 1 to 9998")))?;
        self.state.clock.set(seconds, frozen);
        Ok(())
    }

    /// Moves the clock by so many seconds, backwards if negative.
    pub fn advance_clock(&self, seconds: i64) -> Result<(), Refused> {
        if self.state.clock.now().checked_add(seconds).is_none_or(|to| !CLOCK_SECONDS.contains(&to)) {
            return Err(Refused(format!("the clock cannot move by {seconds} seconds: it shows years from 1 to 9998")));
        }
        self.state.clock.advance(seconds);
        Ok(())
    }

    /// Asks for a fault and returns its number.
    pub fn add_fault(&self, fault: Fault) -> Result<u64, Refused> {
        fault.before.iter().try_for_each(|edit| self.check_edit(edit))?;
        self.state.faults().add(fault).map_err(Refused)
    }

    /// The faults asked for, with how often each fired.
    pub fn faults(&self) -> Vec<FaultReport> {
        self.state.faults().reports()
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.state.faults().clear();
    }

    /// Sets what is remembered of changes and deletions.
    pub fn set_tracking(&self, tracking: &Tracking) -> Result<(), Refused> {
        let mut store = self.state.store_mut();
        let of = |tables: &IndexMap<String, bool>| {
            let tables = tables.iter().map(|(name, on)| Ok((records::table_index(&store, name)?, *on)));
            tables.collect::<Result<Vec<_>, Refused>>()
        };
        let (tracked, audited) = (of(&tracking.tables)?, of(&tracking.audited)?);
        tracked.into_iter().for_each(|(table, on)| store.tables[table].tracks_changes = on);
        audited.into_iter().for_each(|(table, on)| store.tables[table].is_audited = on);
        if let Some(days) = tracking.delta_days {
            store.retention.delta_days = days;
        }
        if let Some(days) = tracking.recycle_bin_days {
            store.retention.bin_days = Some(days).filter(|days| *days > 0);
        }
        if let Some(audit) = tracking.audit {
            store.retention.audit = audit;
        }
        if let Some(days) = tracking.audit_days {
            store.retention.audit_days = Some(days).filter(|days| *days > 0);
        }
        Ok(())
    }

    /// The limits of users, off unless set.
    pub fn limits(&self) -> Limits {
        self.state.protection().limits().clone()
    }

    /// Sets the limits of users; what they have used so far is forgotten.
    pub fn set_limits(&self, limits: Limits) {
        self.state.protection().set(limits);
    }

    /// Lets every answer of either system take so many real milliseconds at least.
    pub fn set_latency(&self, milliseconds: u64) {
        self.state.set_latency(milliseconds);
    }

    /// Whether answers are compressed for clients that accept gzip, which is so unless set otherwise.
    pub fn set_compression(&self, on: bool) {
        self.state.set_compression(on);
    }

    /// Refuses with 401 every token given so far.
    pub fn revoke_tokens(&self) {
        self.state.tokens().revoke();
        self.state.salesforce.sessions().revoke();
    }

    /// Sets the lifetime of tokens given from now on, in seconds.
    pub fn set_token_lifetime(&self, seconds: u32) {
        self.state.tokens().lifetime = i64::from(seconds);
        let settings = self.salesforce().settings();
        let session_seconds = i64::from(seconds);
        self.salesforce().set_settings(SalesforceSettings { session_seconds, used_requests: None, ..settings });
    }

    /// Changes the application's secret; tokens given stay good.
    pub fn set_client_secret(&self, secret: &str) {
        secret.clone_into(&mut self.state.tokens().client_secret);
    }

    /// Registers a certificate of the application, in PEM (a public key will do): it can then sign for its tokens.
    pub fn add_certificate(&self, pem: &str) -> Result<(), Refused> {
        let key = PublicKey::from_pem(pem).map_err(Refused)?;
        self.state.tokens().certificates.push(key);
        Ok(())
    }

    /// Registers another application with its secret: a user of its own, with limits of its own.
    pub fn add_application(&self, client_id: &str, secret: &str) {
        self.state.tokens().others.insert(client_id.to_owned(), secret.to_owned());
    }

    /// The requests logged, from this number on (1 for all): at most the last 100,000.
    pub fn requests(&self, from: u64) -> Vec<Request> {
        self.state.requests().from(from).map(|(_, request)| request.clone()).collect()
    }

    /// The changes logged, from this number on (1 for all): at most the last 500,000.
    pub fn changes(&self, from: u64) -> Vec<Change> {
        self.state.store().changes(from)
    }

    /// Forgets both logs. Their numbers go on.
    pub fn clear_log(&self) {
        self.state.requests().clear();
        self.salesforce().clear_changes();
        self.state.store_mut().clear_changes();
    }
}
