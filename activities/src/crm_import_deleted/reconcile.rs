//! Compares keys: which of the ids that come in the CRM no longer has.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::AsArray;
use engine::allow;
use engine::context::Cx;
use engine::expr::Source;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Crm, Object, Read, ReadField};
use engine::plan::{Plan, PlanCx};
use futures::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::{CrmImportDeleted, deleted_batch, deleted_columns};
use crate::automatic_index::hash;
use crate::chunks::Chunks;
use crate::rejects::{self, Kinds};
use crate::remote_ids::{CHUNK_RECORDS, Found, RemoteIds};
use crate::rows;

/// Reading all ids is taken for cheaper than asking for each where the CRM has at most so many times as many records.
const SCAN_FACTOR: u64 = 4;
/// How many may be missing where the author says nothing: this part of them, …
const DEFAULT_PERCENT: f64 = 10.0;
/// … or so many, where that is more.
const DEFAULT_RECORDS: u64 = 10;

/// How many may be missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum MaxDeletes {
    Records(u64),
    Percent(f64),
}

impl<'de> Deserialize<'de> for MaxDeletes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Records(u64),
            Percent(String),
        }
        let text = match Form::deserialize(deserializer)? {
            Form::Records(records) => return Ok(Self::Records(records)),
            Form::Percent(text) => text,
        };
        let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
        percent
            .map(Self::Percent)
            .ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is not a part such as 5%")))
    }
}

impl JsonSchema for MaxDeletes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MaxDeletes".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "a number of records, or a part of them such as \"5%\"",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^\\s*\\d+(\\.\\d+)?\\s*%$" },
            ]
        })
    }
}

impl MaxDeletes {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a part of a number of records, rounded down"
    )]
    fn of(self, records: u64) -> u64 {
        match self {
            Self::Records(most) => most,
            Self::Percent(percent) => (records as f64 * percent / 100.0) as u64,
        }
    }
}

/// Where it goes on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    /// Inbound records that are done.
    done: u64,
    /// Of these, those with an id.
    compared: u64,
    /// Of these, those that the CRM does not have.
    missing: u64,
    rejects: Kinds,
}

pub(super) async fn run(import: &CrmImportDeleted, cx: &mut Cx, ids: &Source) -> Result<(), Failure> {
    let crm = cx.crm(&import.account).await?;
    let object = cx.object(&import.account, &import.object).await?;
    let (population, columns) = rows::input(cx).await?;
    let ids = RemoteIds::new(cx, ids, &columns, &object).await?;
    let read = only_ids(&object)?;
    let mut position: Position = cx.position()?.unwrap_or_default();
    cx.open("ok", deleted_columns(&object, &cx.time_zone)).await;
    let left = population.rows() - position.done.min(population.rows());
    let there = scan(cx, &*crm, &read, left).await?;
    let mut told = told(cx, &*crm, &object).await?;
    let mut chunks = Chunks::from(&population, position.done);
    while let Some(chunk) = chunks.next(CHUNK_RECORDS).await? {
        let came = ids.of(&*crm, &chunk)?;
        // What the scan did not see is asked for: a record must be missed twice before it counts as deleted.
        let unseen = came.iter().flatten().map(|id| &id.key).filter(|key| !there.contains(&hash(key, "")));
        let unseen: Vec<String> = unseen.cloned().collect();
        let found = Found::fetch(&*crm, &read, 0, &unseen).await?;
        let (mut gone, mut refused, mut reasons) = (Vec::new(), vec![false; chunk.num_rows()], Vec::new());
        let (mut still, mut repeated) = (0, 0);
        for (row, id) in came.into_iter().enumerate() {
            let id = match id {
                Ok(id) => id,
                Err(reason) => {
                    refused[row] = true;
                    position.rejects.count(&reason);
                    reasons.push(reason);
                    continue;
                }
            };
            position.compared += 1;
            let key = hash(&id.key, "");
            if there.contains(&key) || found.has(&id.key) {
                still += 1;
                continue;
            }
            position.missing += 1;
            if told.insert(key) {
                gone.push(id.text);
            } else {
                repeated += 1;
            }
        }
        let batch = deleted_batch(&object, &cx.time_zone, gone.iter().map(|id| (id.as_str(), None)))?;
        cx.write("ok", batch).await;
        if !reasons.is_empty() {
            cx.write("reject", rejects::batch(&rows::filter(&chunk, &refused)?, &reasons)?).await;
        }
        cx.dropped("stillThere", still);
        cx.dropped("repeated", repeated);
        position.done += chunk.num_rows() as u64;
        cx.progress(position.done, Some(population.rows()));
        cx.checkpoint(&position).await?;
    }
    guard(import.max_deletes, cx, &position, &object)?;
    position.rejects.warn(cx).await
}

/// How it would begin with so many records as are thought to come in.
pub(super) async fn plan(import: &CrmImportDeleted, cx: &PlanCx, crm: &dyn Crm) -> Result<Plan, Failure> {
    let account = import.account.clone();
    let object = cx.object(&account, &import.object).await?;
    let (read, rules) = (Box::new(only_ids(&object)?), vec!["stillThere", "repeated"]);
    let max = cx.limits().overlap_records as u64;
    Ok(match is_scanned(crm, &read, cx.records, max).await {
        true => {
            let notes = vec!["ids that this reading does not bring are asked for by themselves afterwards".to_owned()];
            Plan::Read { account, read, filter: None, rules, parts_max: 1, notes }
        }
        false => Plan::Fetch { account, read, rules },
    })
}

/// Ids alone are read.
fn only_ids(object: &Arc<Object>) -> Result<Read, Failure> {
    let id = object.fields.get(&object.id).cloned();
    let id = id.ok_or_else(|| Failure::internal(format!("{} has no field {}", object.name, object.id)))?;
    Ok(Read::new(Arc::clone(object), vec![ReadField { field: id, raw: false }]))
}

/// Whether reading all ids is cheaper than asking for each of so many, and they fit into memory.
async fn is_scanned(crm: &dyn Crm, read: &Read, records: u64, max: u64) -> bool {
    if records <= CHUNK_RECORDS as u64 {
        return false;
    }
    let cheaper = |count: &u64| *count <= records.saturating_mul(SCAN_FACTOR) && *count <= max;
    // It only plans: without a count the ids are asked for by themselves.
    let count = crm.count(read).await.unwrap_or_else(|failure| {
        tracing::warn!(%failure, object = read.object.name, "asking for each id");
        None
    });
    count.filter(cheaper).is_some()
}

/// All ids that the CRM has, where they are read.
async fn scan(cx: &Cx, crm: &dyn Crm, read: &Read, records: u64) -> Result<HashSet<u128>, Failure> {
    let mut there = HashSet::new();
    let max = cx.limits().overlap_records as u64;
    if !is_scanned(crm, read, records, max).await {
        return Ok(there);
    }
    let mut pages = crm.read(Arc::new(read.clone()), None);
    while let Some(page) = pages.next().await.transpose()? {
        cx.go_on()?;
        let ids = page.records.column(0).as_string::<i32>();
        let keys = ids.iter().flatten().filter_map(|id| crm.key(&read.object, &read.object.id, id).ok());
        there.extend(keys.map(|key| hash(&key, "")));
        if there.len() as u64 > max {
            return Ok(HashSet::new());
        }
    }
    Ok(there)
}

/// The ids that came out before a crash.
async fn told(cx: &Cx, crm: &dyn Crm, object: &Object) -> Result<HashSet<u128>, Failure> {
    let mut told = HashSet::new();
    let mut batches = cx.sealed("ok").read();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let ids = batch.column_by_name(&object.id).and_then(|ids| ids.as_string_opt::<i32>());
        let keys = ids.into_iter().flat_map(|ids| ids.iter().flatten());
        told.extend(keys.filter_map(|id| crm.key(object, &object.id, id.trim()).ok()).map(|key| hash(&key, "")));
    }
    Ok(told)
}

/// An answer that lacks too many is taken for a wrong one: a filter, a permission, another environment.
fn guard(max: Option<MaxDeletes>, cx: &Cx, position: &Position, object: &Object) -> Result<(), Failure> {
    let Position { compared, missing, .. } = *position;
    let most = match max {
        Some(max) => max.of(compared),
        None => {
            let most = MaxDeletes::Percent(DEFAULT_PERCENT).of(compared).max(DEFAULT_RECORDS);
            // One alone may well be gone.
            if compared > 1 { most.min(compared - 1) } else { most }
        }
    };
    let allowed = cx.instance_vars().get(allow::DELETES).and_then(serde_json::Value::as_u64).unwrap_or(0);
    if missing <= most.max(allowed) {
        return Ok(());
    }
    let message = format!(
        "{missing} of {compared} ids are no longer in {}; at most {most} may be (maxDeletes), so that a wrong answer deletes nobody",
        object.name
    );
    let help = format!(
        "see whether the account still sees all of {}; if they are really gone, `campanile resume {} --allow-deletes {missing}`",
        object.name,
        cx.run_name()
    );
    Err(Failure::new(Class::Limit, message).help(help))
}
