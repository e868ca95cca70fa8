//! What a data folder relies on elsewhere is still what it was: its database and the organisations of its accounts.
//!
//! The folder keeps what it knows of each in an option that only the engine sets. A database that is missing, replaced by
//! another or by an older copy, a folder that is an older copy, and an account that leads to another organisation are
//! failures that say how to continue: work on them would lose or repeat records without a sign of it.
//!
//! ```text
//!   folder's option @database ── id, token of the last start, writes ──▶ compared at each start with ──▶ database's row
//!              ▲                                                                                            │
//!              └─────────── a new token is kept here, then there, then here as the only one ◀──────────────┘
//! ```

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::activity::{Effect, Need};
use crate::check::Node;
use crate::environment::Environment;
use crate::failure::{Class, Failure};
use crate::outside::crm::Crm;
use crate::outside::database::{Attach, DatabaseMark};
use crate::outside::desk::RejectId;
use crate::outside::memory::MemoryId;
use crate::outside::store::{Expect, OptionChange, OptionValue};

/// How the names of options begin that only the engine sets.
pub const RESERVED: char = '@';
/// The option that says what is known of the database.
const DATABASE: &str = "@database";

/// What a workflow does with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// It only reads, also a database in which nothing can be kept.
    Reads,
    /// It writes.
    Writes,
}

/// What this process has compared already.
#[derive(Debug, Default)]
pub struct Compared {
    accounts: Mutex<HashSet<String>>,
    /// The most that the database was compared for.
    database: tokio::sync::Mutex<Option<Use>>,
}

impl Compared {
    fn accounts(&self) -> MutexGuard<'_, HashSet<String>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the folder knows of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KnownDatabase {
    /// The id that the database got when this folder used it first.
    id: String,
    /// The token of the last start.
    start: String,
    /// The token that a start was about to give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// How many batches it had written for this folder at least.
    writes: u64,
}

/// The option that says the highest number of a reject on the desk.
const DESK: &str = "@desk";
/// The option that says the highest number of a record in the memory between runs.
const MEMORY: &str = "@memory";

/// The name of the option that says which organisation an account leads to.
fn account_option(account: &str) -> String {
    format!("{RESERVED}account/{account}")
}

/// Compares the database with what the folder knows of it, once in a process, and, if it is written to, gives it this
/// start's token.
///
/// # Errors
/// If it is not the one that this folder used, or one of the two is an older copy.
pub async fn check_database(environment: &Environment, use_of: Use) -> Result<(), Failure> {
    let mut done = environment.compared.database.lock().await;
    if *done >= Some(use_of) {
        return Ok(());
    }
    let folder = environment.store.identity().folder;
    let known: Option<KnownDatabase> = known(environment, DATABASE).await?;
    if known.is_none() && use_of == Use::Reads {
        *done = Some(use_of);
        return Ok(());
    }
    let found = environment.database.mark(&folder).await?;
    compare(known.as_ref(), found.as_ref())?;
    if use_of == Use::Reads {
        *done = Some(use_of);
        return Ok(());
    }
    let id = known.as_ref().map_or_else(|| uuid::Uuid::new_v4().to_string(), |known| known.id.clone());
    let next = uuid::Uuid::new_v4().to_string();
    let before = known.as_ref().map_or(next.clone(), |known| known.start.clone());
    let writes = found.as_ref().map_or(0, |found| found.writes);
    let pending = KnownDatabase { id: id.clone(), start: before, next: Some(next.clone()), writes };
    keep(environment, DATABASE, &pending).await?;
    let attach = Attach { folder, database: id.clone(), start: next.clone() };
    if environment.database.attach(&attach).await? {
        keep(environment, DATABASE, &KnownDatabase { id, start: next, next: None, writes }).await?;
    } else {
        forget(environment, DATABASE).await?;
    }
    *done = Some(use_of);
    Ok(())
}

/// Compares the database before an activity uses it.
///
/// # Errors
/// As of [`check_database`]; none for an activity that uses no database.
pub(crate) async fn check_node(environment: &Environment, node: &Node) -> Result<(), Failure> {
    if !node.activity.needs().iter().any(|need| matches!(need, Need::Table(_))) {
        return Ok(());
    }
    let use_of = if node.spec.effect == Effect::Writes { Use::Writes } else { Use::Reads };
    check_database(environment, use_of).await
}

fn compare(known: Option<&KnownDatabase>, found: Option<&DatabaseMark>) -> Result<(), Failure> {
    let restored = "put the one back that belongs to it; to continue with what is there, `campanile accept database`: \
                    then runs that are not over are stopped, and what was written since is not known";
    let wrong = |message: String| Err(Failure::new(Class::Config, message).help(restored));
    match (known, found) {
        (None, None) => Ok(()),
        // Only the first token was about to be given.
        (Some(known), None) if known.next.as_ref() == Some(&known.start) && known.writes == 0 => Ok(()),
        (Some(_), None) => wrong(
            "the database is not the one that this data folder wrote to: it is missing, new, or another one".to_owned(),
        ),
        (None, Some(_)) => {
            let message = "this data folder is older than the database: it does not know that it wrote to it";
            Err(Failure::new(Class::Config, message).help(OLDER_FOLDER))
        }
        (Some(known), Some(found)) if known.id != found.database => {
            wrong("the database is not the one that this data folder wrote to".to_owned())
        }
        (Some(known), Some(found)) if known.start != found.start && known.next.as_ref() != Some(&found.start) => {
            let message = "this data folder and the database do not belong together: one of them is an older copy, or \
                           a copy of this folder was used since";
            Err(Failure::new(Class::Config, message).help(OLDER_FOLDER))
        }
        (Some(known), Some(found)) if found.writes < known.writes => wrong(format!(
            "the database is an older copy: {} batches that were written to it are missing",
            known.writes - found.writes
        )),
        (Some(_), Some(_)) => Ok(()),
    }
}

const OLDER_FOLDER: &str = "put both back from one backup, or use the folder that was used last; to continue with this \
                            folder, `campanile accept data`, with this database, `campanile accept database`: then runs \
                            that are not over are stopped, and what was done since is not known";

/// Compares the rejects desk with what the folder knows of it.
///
/// # Errors
/// If its file is missing or an older copy.
pub async fn check_desk(environment: &Environment) -> Result<(), Failure> {
    let known: RejectId = known(environment, DESK).await?.unwrap_or(0);
    if known == 0 || environment.desk.last().await? >= known {
        return Ok(());
    }
    let message = "the rejects desk lacks rejects that this data folder kept: its file is missing or an older copy";
    let help = "put rejects.db back from a backup; to continue without them, `campanile accept data`";
    Err(Failure::new(Class::Storage, message).help(help))
}

/// Compares the memory between runs with what the folder knows of it.
///
/// # Errors
/// If its file is missing or an older copy.
pub async fn check_memory(environment: &Environment) -> Result<(), Failure> {
    let known: MemoryId = known(environment, MEMORY).await?.unwrap_or(0);
    if known == 0 || environment.memory.last().await? >= known {
        return Ok(());
    }
    let message =
        "the memory between runs lacks records that this data folder kept: its file is missing or an older copy";
    let help = "put memory.db back from a backup: without it, exports may create records a second time; to continue \
                without them, `campanile accept data`";
    Err(Failure::new(Class::Storage, message).help(help))
}

/// Keeps what the folder knows of the memory between runs, after an export has remembered records.
///
/// # Errors
/// If one of them cannot be read, or the store cannot be written.
pub(crate) async fn remembered(environment: &Environment) -> Result<(), Failure> {
    let last = environment.memory.last().await?;
    let before: MemoryId = known(environment, MEMORY).await?.unwrap_or(0);
    if last > before { keep(environment, MEMORY, &last).await } else { Ok(()) }
}

/// What the folder knows of the desk after a task that was refused records: kept together with the end of the task.
///
/// # Errors
/// If the desk cannot be read.
pub(crate) async fn refused(environment: &Environment) -> Result<Option<OptionChange>, Failure> {
    match environment.desk.last().await? {
        0 | RejectId::MAX => Ok(None),
        last => Ok(Some(change(environment, DESK, &last))),
    }
}

/// What the folder knows of the database after a task that wrote to it: kept together with the end of the task, so that a
/// database that lacks it is noticed.
///
/// # Errors
/// If the database cannot be read.
pub(crate) async fn written(environment: &Environment) -> Result<Option<OptionChange>, Failure> {
    let Some(known) = known::<KnownDatabase>(environment, DATABASE).await? else { return Ok(None) };
    let Some(found) = environment.database.mark(&environment.store.identity().folder).await? else { return Ok(None) };
    Ok(Some(change(environment, DATABASE, &KnownDatabase { writes: found.writes.max(known.writes), ..known })))
}

/// Compares the organisation that an account leads to with the one that the folder knows, once in a process.
///
/// # Errors
/// If it leads to another one, or cannot be asked.
pub async fn check_account(environment: &Environment, account: &str, crm: &dyn Crm) -> Result<(), Failure> {
    if environment.compared.accounts().contains(account) {
        return Ok(());
    }
    if let Some(now) = crm.organisation().await? {
        let option = account_option(account);
        match known::<String>(environment, &option).await? {
            Some(before) if before != now => {
                let message = format!(
                    "account {account} leads to another organisation than before: {now}, not {before}; its indexes, runs \
                     and ids belong to that one"
                );
                let help = format!(
                    "put its address back; for another organisation use another account name; if it moved, `campanile \
                     accept account {account}`: then its runs that are not over are stopped"
                );
                return Err(Failure::new(Class::Config, message).help(help));
            }
            Some(_) => {}
            None => keep(environment, &option, &now).await?,
        }
    }
    environment.compared.accounts().insert(account.to_owned());
    Ok(())
}

/// The organisation that an account leads to, as far as the folder knows it.
pub(crate) async fn organisation(environment: &Environment, account: &str) -> Result<Option<String>, Failure> {
    known(environment, &account_option(account)).await
}

/// Forgets what the folder knew of its database, so that the next run takes it as it is.
///
/// # Errors
/// If the store cannot be written.
pub(crate) async fn accept_database(environment: &Environment) -> Result<(), Failure> {
    environment.database.detach(&environment.store.identity().folder).await?;
    forget(environment, DATABASE).await?;
    *environment.compared.database.lock().await = None;
    Ok(())
}

/// Forgets what the folder knew of everything else: it gets a new id, and the next run takes all as it is.
///
/// # Errors
/// If the store cannot be written.
pub(crate) async fn accept_data(environment: &Environment) -> Result<(), Failure> {
    forget(environment, DESK).await?;
    forget(environment, MEMORY).await?;
    forget(environment, DATABASE).await?;
    environment.store.renew().await?;
    *environment.compared.database.lock().await = None;
    Ok(())
}

/// Takes the organisation that an account leads to now for its own.
///
/// # Errors
/// If the store cannot be written.
pub(crate) async fn accept_account(environment: &Environment, account: &str) -> Result<(), Failure> {
    environment.compared.accounts().remove(account);
    forget(environment, &account_option(account)).await
}

async fn known<T: serde::de::DeserializeOwned>(environment: &Environment, name: &str) -> Result<Option<T>, Failure> {
    let Some(option) = environment.store.option(name).await? else { return Ok(None) };
    let known = serde_json::from_str(&option.value);
    known.map(Some).map_err(|error| Failure::new(Class::Storage, format!("option {name}: {error}")))
}

async fn keep<T: Serialize + Sync>(environment: &Environment, name: &str, known: &T) -> Result<(), Failure> {
    Ok(environment.store.set_options(vec![change(environment, name, known)]).await?)
}

async fn forget(environment: &Environment, name: &str) -> Result<(), Failure> {
    let change = OptionChange { name: name.to_owned(), expect: Expect::Any, value: None };
    Ok(environment.store.set_options(vec![change]).await?)
}

fn change<T: Serialize>(environment: &Environment, name: &str, known: &T) -> OptionChange {
    let value = serde_json::to_string(known).unwrap_or_default();
    let value = OptionValue { value, at: environment.clock.now(), by: "campanile".to_owned(), seen: None, scope: None };
    OptionChange { name: name.to_owned(), expect: Expect::Any, value: Some(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(start: &str, next: Option<&str>, writes: u64) -> KnownDatabase {
        KnownDatabase { id: "db".to_owned(), start: start.to_owned(), next: next.map(str::to_owned), writes }
    }

    fn found(database: &str, start: &str, writes: u64) -> DatabaseMark {
        DatabaseMark { database: database.to_owned(), start: start.to_owned(), writes }
    }

    #[test]
    fn only_the_database_that_the_folder_left_is_taken() {
        let is = |known: Option<&KnownDatabase>, found: Option<&DatabaseMark>| compare(known, found).is_ok();
        assert!(is(None, None), "neither was used");
        assert!(is(Some(&known("b", None, 7)), Some(&found("db", "b", 7))));
        assert!(is(Some(&known("b", None, 7)), Some(&found("db", "b", 9))), "a crash came before the folder knew");
        // A crash came while the token changed, before or after the database had it.
        assert!(is(Some(&known("a", Some("b"), 7)), Some(&found("db", "a", 7))));
        assert!(is(Some(&known("a", Some("b"), 7)), Some(&found("db", "b", 7))));
        assert!(is(Some(&known("b", Some("b"), 0)), None), "a crash came before the database had its first token");

        assert!(!is(Some(&known("b", None, 0)), None), "the database is missing or new");
        assert!(!is(None, Some(&found("db", "a", 0))), "the folder is older");
        assert!(!is(Some(&known("b", None, 7)), Some(&found("other", "b", 7))), "another database");
        assert!(!is(Some(&known("b", None, 7)), Some(&found("db", "a", 7))), "an older database");
        assert!(!is(Some(&known("a", None, 7)), Some(&found("db", "b", 7))), "a copy of the folder was used since");
        assert!(!is(Some(&known("b", None, 7)), Some(&found("db", "b", 6))), "its last batches are missing");
    }
}
