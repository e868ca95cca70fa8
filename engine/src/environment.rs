//! All that a run needs of the outside, gathered once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::activity::{Palette, Spec};
use crate::describe::Descriptions;
use crate::failure::{Class, Failure};
use crate::identity::Compared;
use crate::outside::alerts::Alerts;
use crate::outside::clock::Clock;
use crate::outside::crm::{Account, Crm};
use crate::outside::database::Database;
use crate::outside::desk::Desk;
use crate::outside::memory::Memory;
use crate::outside::store::{RunId, Store};
use crate::population::WriterLimits;
use crate::private::Access;
use crate::problem::suggestion;
use crate::script;

/// What a run sees of the outside.
pub struct Environment {
    /// Journals and options.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Rejected records.
    pub desk: Arc<dyn Desk>,
    /// What later runs must know of exports before them.
    pub memory: Arc<dyn Memory>,
    /// Who is told when a run needs a person.
    pub alerts: Arc<dyn Alerts>,
    /// The marketing database.
    pub database: Arc<dyn Database>,
    /// Accounts of CRMs, by name.
    pub accounts: BTreeMap<String, Account>,
    /// Kept descriptions of what the CRMs have.
    pub descriptions: Descriptions,
    /// The types of activities.
    pub palette: Palette,
    /// The data folder.
    pub folder: PathBuf,
    /// The folder outside of which no activity reads or writes files.
    pub files: PathBuf,
    /// Who may use the files that activities write.
    pub files_access: Access,
    /// Functions that scripts share, by file name; a run keeps those that it began with.
    pub library: Vec<(String, String)>,
    /// Limits.
    pub limits: Limits,
    /// Which of these this process has found to be what they were.
    pub compared: Compared,
}

impl Environment {
    /// Where the populations of a run lie.
    pub fn run_folder(&self, run: &RunId) -> PathBuf {
        run_folder(&self.folder, run)
    }

    /// An account's CRM.
    ///
    /// # Errors
    /// Where there is no such account, or its configuration is wrong.
    pub fn crm(&self, account: &str) -> Result<Arc<dyn Crm>, Failure> {
        self.account(account)?.crm()
    }

    /// An account.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn account(&self, account: &str) -> Result<&Account, Failure> {
        self.accounts.get(account).ok_or_else(|| {
            let help = suggestion(account, self.accounts.keys().map(String::as_str))
                .unwrap_or_else(|| format!("add [accounts.{account}] to campanile.toml"));
            Failure::new(Class::Config, format!("there is no account \"{account}\"")).help(help)
        })
    }

    /// A type of activity.
    pub fn spec(&self, kind: &str) -> Option<&'static Spec> {
        self.palette.iter().find(|spec| spec.kind == kind).copied()
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Where the populations of a run lie within a data folder.
pub fn run_folder(data: &Path, run: &RunId) -> PathBuf {
    data.join("runs").join(run.as_str())
}

/// Limits, each with the default that is used where the configuration says nothing.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Tasks of one run that work at once.
    #[schemars(range(min = 1))]
    pub tasks_at_once: usize,
    /// Memory of set operations (deduplication, sorting), in MiB; beyond it they use the disk.
    #[schemars(range(min = 1))]
    pub set_memory_mib: usize,
    /// A population's file is sealed after so many MiB.
    #[schemars(range(min = 1))]
    pub segment_mib: u64,
    /// Or after so many seconds.
    pub segment_seconds: u32,
    /// Rows that the database takes in one transaction.
    #[schemars(range(min = 1))]
    pub rows_per_transaction: usize,
    /// Ids and versions that an import remembers of the time it will read again; see the automatic index.
    pub overlap_records: usize,
    /// How many of the latest runs of each workflow keep their populations; the journals of all stay.
    #[schemars(range(min = 1))]
    pub runs_kept: usize,
    /// Rejected records that are kept beyond runs; beyond it the oldest are forgotten, closed ones first.
    pub rejects_kept: usize,
    /// Records that are remembered between runs: those in doubt, and those that an export created and did not hand on. An
    /// export that would remember more is suspended. As many own writes are remembered besides; beyond it the oldest are
    /// forgotten.
    #[schemars(range(min = 1))]
    pub records_remembered: usize,
    /// Limits of scripts.
    pub script: script::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tasks_at_once: 8,
            set_memory_mib: 256,
            segment_mib: 16,
            segment_seconds: 2,
            rows_per_transaction: 10_000,
            overlap_records: 4_000_000,
            runs_kept: 10,
            rejects_kept: 100_000,
            records_remembered: 1_000_000,
            script: script::Limits::default(),
        }
    }
}

impl Limits {
    /// When a population's file is sealed.
    pub fn segments(&self) -> WriterLimits {
        WriterLimits { segment_bytes: self.segment_mib.max(1) * 1024 * 1024, segment_seconds: self.segment_seconds }
    }
}
