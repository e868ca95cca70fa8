//! Who keeps what was deleted of a table: the audit log, with times, or the recycle bin, without.

use engine::failure::{Class, Failure};
use engine::outside::crm::Object;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{AUDIT_DAYS, BIN_DAYS, ask, bin, deletions, what};
use crate::dynamics::metadata::Managed;
use crate::dynamics::session::Session;
use crate::http::in_query;

/// What an administrator can do where nobody tells what was deleted in a period.
const SWITCH_ON: &str = "switch on auditing for the environment and this table, or the recycle bin (Power Platform admin \
    center, Settings, Features, Deleted records), or import incrementally by change tracking";
/// The same where it is to be told what is new.
const SWITCH_ON_NEW: &str = "switch on auditing for the environment and this table, or change tracking for the table and take \
    the option away, so that the feed begins; a recycle bin does not say what is new in it. Or compare all ids \
    (`crm.importDeleted` with `ids`)";

/// Who keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeper {
    Audit {
        /// For so many days, where the environment says so and has an end for it.
        days: Option<i64>,
    },
    Bin,
}

impl Keeper {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Audit { .. } => "audit log",
            Self::Bin => "recycle bin",
        }
    }

    pub(super) fn days(self) -> Option<i64> {
        match self {
            Self::Audit { days } => days,
            // The most that it can be set to; it does not say to what it is.
            Self::Bin => Some(BIN_DAYS),
        }
    }
}

/// The audit log, or why there is none.
enum Log {
    On {
        /// For how many days new entries are kept, where that has an end.
        days: Option<i64>,
    },
    Off(String),
}

/// Asks who keeps what was deleted of a table.
pub(super) struct Search<'a> {
    session: &'a Session,
    object: &'a Object,
    /// The requests that it took, for `explain`.
    pub(super) asked: Vec<String>,
}

impl<'a> Search<'a> {
    pub(super) fn new(session: &'a Session, object: &'a Object) -> Self {
        Self { session, object, asked: Vec::new() }
    }

    /// The audit log, where it is written and may be read, else the recycle bin, where there is one.
    ///
    /// # Errors
    /// `Class::Config` where there is neither.
    pub(super) async fn of_period(&mut self) -> Result<Keeper, Failure> {
        let why_no_log = match self.log().await? {
            Log::On { days } => return Ok(Keeper::Audit { days }),
            Log::Off(why) => why,
        };
        match self.is_there(bin(self.object, 1, None).link).await? {
            Ok(()) => Ok(Keeper::Bin),
            Err(why_no_bin) => Err(self.nobody(
                &format!(
                    "tell what was deleted of {} in a time: it keeps neither an audit log of it ({why_no_log}) nor a \
                     recycle bin ({why_no_bin})",
                    self.object.name
                ),
                SWITCH_ON,
            )),
        }
    }

    /// The audit log: in a recycle bin, which has no times, a record that was restored and deleted again looks as before.
    ///
    /// # Errors
    /// `Class::Config` where there is none.
    pub(super) async fn of_news(&mut self) -> Result<Keeper, Failure> {
        match self.log().await? {
            Log::On { days } => Ok(Keeper::Audit { days }),
            Log::Off(why) => Err(self.nobody(
                &format!(
                    "tell what is newly deleted of {}: no feed of its changes was followed so far, and it keeps no audit log \
                     ({why})",
                    self.object.name
                ),
                SWITCH_ON_NEW,
            )),
        }
    }

    fn nobody(&self, what: &str, help: &str) -> Failure {
        Failure::new(Class::Config, format!("{}: Dynamics does not {what}", self.session.account())).help(help)
    }

    /// The audit log, while deletions of this table go to it: an old entry of it would be no sign that newer ones do.
    ///
    /// Each entry keeps the days that were set when it was made; the environment tells only those of now. See
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/auditing/configure>: -1 is for ever.
    async fn log(&mut self) -> Result<Log, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Table {
            is_audit_enabled: Option<Managed>,
        }
        #[derive(Default, Deserialize)]
        struct Organisation {
            isauditenabled: Option<bool>,
            auditretentionperiodv2: Option<i64>,
        }
        let table = format!("EntityDefinitions(LogicalName='{}')?$select=IsAuditEnabled", self.object.internal_name);
        let table: Table = self.json(table).await?;
        if !table.is_audit_enabled.is_some_and(|managed| managed.value) {
            return Ok(Log::Off("auditing of the table is off".to_owned()));
        }
        let settings = "organizations?$select=isauditenabled,auditretentionperiodv2".to_owned();
        let settings = match self.list::<Organisation>(settings).await {
            Ok(all) => all.into_iter().next().unwrap_or_default(),
            // No right to read the environment's settings: the log itself may be readable all the same.
            Err(failure) if is_refused(&failure) => Organisation::default(),
            Err(failure) => return Err(failure),
        };
        if settings.isauditenabled == Some(false) {
            return Ok(Log::Off("auditing of the environment is off".to_owned()));
        }
        let any = format!("audits?$select=auditid&$filter={}&$top=1", in_query(&deletions(self.object)));
        Ok(match self.is_there(any).await? {
            Ok(()) => Log::On { days: settings.auditretentionperiodv2.filter(|days| AUDIT_DAYS.contains(days)) },
            Err(why) => Log::Off(why),
        })
    }

    async fn json<T: DeserializeOwned>(&mut self, link: String) -> Result<T, Failure> {
        let answer = self.session.get_json(&link, "asking for auditing").await;
        self.asked.push(link);
        answer
    }

    async fn list<T: DeserializeOwned>(&mut self, link: String) -> Result<Vec<T>, Failure> {
        let answer = self.session.get_list(&link, "asking for auditing").await;
        self.asked.push(link);
        answer
    }

    /// Whether a list may be read, or why not: no right to it is as good as none.
    async fn is_there(&mut self, link: String) -> Result<Result<(), String>, Failure> {
        let answer = ask(self.session, &link, None, &what(self.object)).await;
        self.asked.push(link);
        match answer {
            Ok(_) => Ok(Ok(())),
            Err(failure) if is_refused(&failure) => Ok(Err(failure.message)),
            Err(failure) => Err(failure),
        }
    }
}

/// Whether the CRM itself refuses it, and not a proxy.
fn is_refused(failure: &Failure) -> bool {
    failure.class == Class::Config && failure.code.as_deref().is_some_and(|code| code.starts_with("0x"))
}
