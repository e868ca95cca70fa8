//! Own writes: what a workflow's export left in the CRM, recognised when an import of the same workflow brings it back.
//!
//! ```text
//!   export ─ a batch is answered ─▶ its records' versions are read ─ our own user changed them last ─▶ memory
//!   import ─ a record has a remembered version, and that user changed it last ─▶ own write
//! ```
//!
//! What is not sure to be our own comes as any other change: where a version could not be read, where somebody else changed the
//! record before it was, where an answer is from before a crash.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use engine::context::Cx;
use engine::event::Level;
use engine::failure::Failure;
use engine::outside::crm::{Crm, FETCH_MAX, Object, Operation, Outcome, Page, Read, ReadField, System, What, Write};
use engine::outside::memory::{Memory, OwnWrite, Reader};
use engine::words::counted;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use crate::automatic_index::hash;

/// What counts own writes, and the rule by which an import drops them.
pub(crate) const OWN_WRITES: &str = "ownWrites";

/// Learns which versions an export leaves, for the imports that bring them back.
pub(crate) struct Learner {
    crm: Arc<dyn Crm>,
    /// The id, by whom a record was changed last, and when.
    read: Read,
    user: OnceCell<Option<String>>,
    memory: Arc<dyn Memory>,
    readers: Vec<Reader>,
    most: usize,
    missed: Mutex<Missed>,
}

/// What the next import will not recognise.
#[derive(Default)]
struct Missed {
    records: u64,
    /// Why, of the first.
    reason: Option<String>,
    /// Older ones that made way.
    forgotten: u64,
}

impl Learner {
    /// For an export whose writes an import of the workflow brings back; none if there is no such import, or if the object
    /// does not say by whom and when a record was changed.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn new(
        cx: &Cx,
        crm: &Arc<dyn Crm>,
        (account, object): (&str, &str),
        write: &Write,
    ) -> Result<Option<Self>, Failure> {
        if write.operation == Operation::Delete {
            return Ok(None);
        }
        let readers = cx.readers(account, object).await?;
        let Some(read) = read(&write.object, crm.system()).filter(|_| !readers.is_empty()) else { return Ok(None) };
        Ok(Some(Self {
            crm: Arc::clone(crm),
            read,
            user: OnceCell::new(),
            memory: Arc::clone(cx.memory()),
            readers,
            most: cx.limits().records_remembered,
            missed: Mutex::default(),
        }))
    }

    /// Remembers the versions that a batch left, which was answered just now.
    pub(crate) async fn learn(&self, outcomes: &[Outcome]) {
        let written = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Done { id, what: What::Created | What::Updated } => Some(id),
            _ => None,
        });
        let object = &self.read.object;
        let ids: Vec<String> =
            written.map(|id| self.crm.key(object, &object.id, id).unwrap_or_else(|_| id.clone())).collect();
        for ids in ids.chunks(FETCH_MAX) {
            let learned = self.read_back(ids).await;
            let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
            match learned {
                Ok(forgotten) => missed.forgotten += forgotten,
                Err(failure) => {
                    tracing::warn!(object = object.name, %failure, "the versions of own writes are not known");
                    missed.records += ids.len() as u64;
                    missed.reason.get_or_insert_with(|| failure.message.clone());
                }
            }
        }
    }

    /// Tells how many older ones made way.
    async fn read_back(&self, ids: &[String]) -> Result<u64, Failure> {
        let Some(user) = self.user.get_or_try_init(|| self.crm.user()).await? else { return Ok(0) };
        let page = self.crm.fetch(&self.read, &self.read.object.id, ids).await?;
        self.memory.keep_own(&self.readers, left_by(&page, user), self.most).await
    }

    /// Tells in the journal what the next import will not recognise.
    ///
    /// # Errors
    /// If the store does not take it.
    pub(crate) async fn warn(&self, cx: &Cx) -> Result<(), Failure> {
        let Missed { records, reason, forgotten } =
            std::mem::take(&mut *self.missed.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(reason) = reason {
            let message = format!(
                "the versions that {} were left in could not be read; the next import does not know them as own writes: {reason}",
                counted(records, "record")
            );
            cx.log(Level::Warning, message).await?;
        }
        if forgotten > 0 {
            let message = format!(
                "{} of earlier are forgotten (limit recordsRemembered = {}); an import does not know them any more",
                counted(forgotten, "own write"),
                self.most
            );
            cx.log(Level::Warning, message).await?;
        }
        Ok(())
    }
}

/// What is read of a record that was written.
fn read(object: &Arc<Object>, system: &System) -> Option<Read> {
    let changed = object.index_field(system.index_fields)?.name.as_str();
    let fields = [object.id.as_str(), system.changed_by, changed].map(|name| {
        let field = object.fields.get(name).filter(|field| field.readable)?;
        Some(ReadField { field: field.clone(), raw: false })
    });
    Some(Read::new(Arc::clone(object), fields.into_iter().collect::<Option<Vec<_>>>()?))
}

/// The versions of the records that this user changed last.
fn left_by(page: &Page, user: &str) -> Vec<OwnWrite> {
    let [ids, by, at] = [0, 1, 2].map(|column| page.records.column(column));
    let (Some(versions), Some(ids), Some(by), Some(at)) = (
        versions(page),
        ids.as_string_opt::<i32>(),
        by.as_string_opt::<i32>(),
        at.as_primitive_opt::<TimestampMicrosecondType>(),
    ) else {
        return Vec::new();
    };
    let own = |row: usize| {
        let is_known = ids.is_valid(row) && versions.is_valid(row) && at.is_valid(row);
        (is_known && by.is_valid(row) && by.value(row) == user).then_some(())?;
        let at = Timestamp::from_microsecond(at.value(row)).ok()?;
        Some(OwnWrite { id: ids.value(row).to_owned(), version: versions.value(row), user: user.to_owned(), at })
    };
    (0..page.records.num_rows()).filter_map(own).collect()
}

fn versions(page: &Page) -> Option<&Int64Array> {
    page.versions.as_ref().map(|versions| &versions.order)
}

/// What an import may bring back.
#[derive(Debug, Default)]
pub(crate) struct OwnWrites(HashSet<u128>);

impl OwnWrites {
    /// What is remembered.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) async fn of(cx: &Cx, reader: &Reader) -> Result<Self, Failure> {
        let all = cx.memory().own(reader).await?;
        Ok(Self(all.into_iter().map(|own| name(&own.id, own.version, &own.user)).collect()))
    }

    /// Which records of a page are own writes; the columns have ids, and who changed each record last.
    pub(crate) fn among(&self, page: &Page, ids: &ArrayRef, by: &ArrayRef) -> Option<BooleanArray> {
        let columns: (&StringArray, &StringArray) = (ids.as_string_opt::<i32>()?, by.as_string_opt::<i32>()?);
        let versions = versions(page).filter(|_| !self.0.is_empty())?;
        let is_own = |((id, by), version): ((Option<&str>, Option<&str>), Option<i64>)| {
            let known = id.zip(by).zip(version);
            Some(known.is_some_and(|((id, by), version)| self.0.contains(&name(id, version, by))))
        };
        Some(columns.0.iter().zip(columns.1).zip(versions).map(is_own).collect())
    }
}

/// Names a version of a record that a user left.
fn name(id: &str, version: i64, user: &str) -> u128 {
    hash(id, &format!("{version}\0{user}"))
}
