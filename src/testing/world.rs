//! All that one test has to itself: CRMs, a database, a data folder, a store and a clock.

use std::path::PathBuf;
use std::sync::Arc;

use database::Contents;
use engine::document::escape;
use engine::failure::{Class, Failure};
use engine::outside::store::{Expect, OptionChange, OptionValue, Store};
use engine::problem::Problem;
use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use server::config::Config;
use server::project::Project;
use store::Memory;
use tempfile::TempDir;

use super::alerts::Told;
use super::crm::{Crm, Refusal};
use super::file::{Account, Before, DatabaseBefore};
use super::process::Hands;
use super::read::{Loaded, accounts_of};

/// What the clocks show where a test says nothing.
const CLOCK_DEFAULT: &str = "2026-01-01T00:00:00Z";

/// All that one test has to itself.
pub(super) struct World {
    pub(super) crms: IndexMap<String, Arc<Crm>>,
    pub(super) project: Project,
    pub(super) store: Memory,
    pub(super) clock: Arc<Hands>,
    pub(super) told: Arc<Told>,
    pub(super) vars: Map<String, Value>,
    pub(super) database: PathBuf,
    /// Kept until the test is over.
    _folder: TempDir,
}

/// Why there is no world.
pub(super) enum NoWorld {
    Problems(Vec<Problem>),
    Failure(Failure),
}

impl From<Failure> for NoWorld {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Before {
    /// What a test begins with: its own, and what the file says of the rest. Tells also which keys are the test's own.
    fn over(&self, of_file: &Self) -> (Self, [bool; 3]) {
        let own = [self.crm.is_some(), self.database.is_some(), self.accounts.is_some()];
        let whole = Self {
            clock: self.clock.or(of_file.clock),
            ahead: self.ahead.or(of_file.ahead),
            accounts: self.accounts.clone().or_else(|| of_file.accounts.clone()),
            crm: self.crm.clone().or_else(|| of_file.crm.clone()),
            database: self.database.clone().or_else(|| of_file.database.clone()),
            options: self.options.clone().or_else(|| of_file.options.clone()),
            vars: self.vars.clone().or_else(|| of_file.vars.clone()),
        };
        (whole, own)
    }
}

impl World {
    /// The world of a test before its first step.
    pub(super) fn new(loaded: &Loaded, test: &str) -> Result<Self, NoWorld> {
        let pointer = format!("/tests/{}/before", escape(test));
        let own = &loaded.tests.tests[test].before;
        let (before, [own_crm, own_database, own_accounts]) = own.over(&loaded.tests.before);
        let at = |is_own: bool, key: &str| if is_own { format!("{pointer}/{key}") } else { format!("/before/{key}") };
        let mut problems = Vec::new();
        let wrong = |at: &str, why: String| loaded.document.problem(at, "refused", why, None);

        let io = |error: std::io::Error| Failure::io("cannot make a folder for the test", &error);
        let folder = tempfile::Builder::new().prefix("campanile-test-").tempdir().map_err(io)?;
        let now = before.clock.map_or_else(|| CLOCK_DEFAULT.parse().unwrap_or_default(), |clock| clock.0);
        let crms = crms(&loaded.project, &before, now)?;
        for (name, crm) in &crms {
            let Some(given) = before.crm.as_ref().and_then(|crms| crms.get(name)) else { continue };
            let at = format!("{}/{}", at(own_crm, "crm"), escape(name));
            problems.extend(crm.fill(given).into_iter().map(|(inner, why)| wrong(&format!("{at}/{inner}"), why)));
        }
        let database = folder.path().join("marketing.db");
        let refused = fill_database(&database, before.database.as_ref().unwrap_or(&DatabaseBefore::default()))?;
        let at_database = at(own_database, "database");
        problems.extend(refused.into_iter().map(|(inner, why)| wrong(&format!("{at_database}/{inner}"), why)));
        let at_accounts = at(own_accounts, "accounts");
        let mut config = String::new();
        for (name, crm) in &crms {
            match crm.configuration() {
                Ok(account) => config.push_str(&account),
                Err(why) => problems.push(wrong(&format!("{at_accounts}/{}/login", escape(name)), why)),
            }
        }
        let project = match Config::parse(&folder.path().join("campanile.toml"), &config) {
            Ok(config) => project(&loaded.project, config, &folder, &database),
            Err(wrong_limits) => {
                problems.extend(wrong_limits.into_iter().map(|problem| wrong(&at_accounts, problem.message)));
                loaded.project.clone()
            }
        };
        if !problems.is_empty() {
            return Err(NoWorld::Problems(problems));
        }
        let crms: IndexMap<String, Arc<Crm>> = crms.into_iter().map(|(name, crm)| (name, Arc::new(crm))).collect();
        let ahead = before.ahead.map_or(SignedDuration::ZERO, |ahead| ahead.0);
        let clock = Arc::new(Hands::new(crms.values().cloned().collect(), now, ahead));
        let vars = before.vars.unwrap_or_default();
        let world =
            Self { crms, project, store: Memory::new(), clock, told: Arc::default(), vars, database, _folder: folder };
        let options = before.options.unwrap_or_default();
        world.set_options(options.into_iter().map(|(name, value)| (name, Some(value))))?;
        Ok(world)
    }

    /// Sets and removes options, as an operator does.
    pub(super) fn set_options(&self, options: impl Iterator<Item = (String, Option<String>)>) -> Result<(), Failure> {
        let at = engine::outside::clock::Clock::now(&*self.clock);
        let change = |(name, value): (String, Option<String>)| {
            let value =
                value.map(|value| OptionValue { value, at, by: "operator".to_owned(), seen: None, scope: None });
            OptionChange { name, expect: Expect::Any, value }
        };
        let changes: Vec<OptionChange> = options.map(change).collect();
        if changes.is_empty() {
            return Ok(());
        }
        Ok(futures::executor::block_on(self.store.set_options(changes))?)
    }

    /// The tables of the database.
    pub(super) fn contents(&self) -> Result<Contents, Failure> {
        Contents::open(&self.database).map_err(|why| Failure::new(Class::Storage, why))
    }
}

fn crms(project: &Project, before: &Before, now: Timestamp) -> Result<IndexMap<String, Crm>, Failure> {
    let mut accounts: IndexMap<String, Account> =
        accounts_of(project).into_iter().map(|(name, kind)| (name, Account::Kind(kind))).collect();
    accounts.extend(before.accounts.clone().unwrap_or_default());
    let start = |(name, account): (String, Account)| {
        let given = before.crm.as_ref().and_then(|crms| crms.get(&name));
        let started = Crm::start(&name, &account, given, now);
        let started =
            started.map_err(|error| Failure::new(Class::Storage, format!("the sandbox cannot start: {error}")))?;
        Ok((name, started))
    };
    accounts.into_iter().map(start).collect()
}

/// The project of the workflow, with all that it would touch in the test's own folder.
fn project(of: &Project, accounts: Config, folder: &TempDir, database: &std::path::Path) -> Project {
    let mut project = of.clone();
    project.config.accounts = accounts.accounts;
    project.data = folder.path().join("data");
    project.database = format!("sqlite:{}", database.display());
    project.files = folder.path().join("files");
    project
}

fn fill_database(path: &std::path::Path, before: &DatabaseBefore) -> Result<Vec<Refusal>, Failure> {
    let contents = Contents::open(path).map_err(|why| Failure::new(Class::Storage, why))?;
    let mut refused = Vec::new();
    for (n, sql) in before.sql.iter().enumerate() {
        refused.extend(contents.perform(sql).err().map(|why| (format!("sql/{n}"), why)));
    }
    for (table, given) in &before.tables {
        let at = format!("tables/{}", escape(table));
        let columns: Vec<_> = given.make.iter().map(|(name, kind)| (name.clone(), kind.clone())).collect();
        let made = if columns.is_empty() { contents.empty(table) } else { contents.make(table, &columns) };
        if let Err(why) = made {
            refused.push((at, why));
            continue;
        }
        for (n, row) in given.rows.objects().into_iter().enumerate() {
            let (columns, values): (Vec<String>, Vec<Value>) = row.into_iter().unzip();
            let added = contents.add(table, &columns, &values);
            refused.extend(added.err().map(|why| (given.rows.pointer(&format!("{at}/rows"), n), why)));
        }
    }
    Ok(refused)
}
