//! `database.update`: writes records into a table of the database, each exactly once.
//!
//! ```text
//!   key of each record ─▶ which come first? (once, kept)        ┌─▶ ok: whole files passed on, or the rest of them
//!   file ─▶ batches, always the same ─▶ Database::write ─ledger─┤
//!                                                               └─▶ reject
//! ```
//!
//! A batch is named by its number, and everything that decides what is in it (its size, the first record of each key,
//! the time and options that expressions read) is kept in the position before the first batch is written. So a batch that
//! is sent again after a crash is the same batch, and the database's ledger answers for it.
//!
//! The ledger of a task must live until the end of the task is in the journal; the engine then forgets it.

mod plan;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Effect, Flow, Need, Port, Spec};
use engine::context::Cx;
use engine::event::Segment;
use engine::expr::Source;
use engine::failure::{Class, Failure};
use engine::flow::FlowCx;
use engine::outside::database::{Operation, Table};
use engine::population::Population;
use engine::types::{Type, meta};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::chunks::Chunks;
use crate::convert::{self, fits};
use crate::older::{self, OlderVersions};
use crate::pinned::Pinned;
use crate::rejects::{self, Kinds};
use crate::rows::{self, Out};
use crate::sets::Firsts;
use plan::Plan;

/// Writes records into a table of the database. Only rows that differ are written, and each record once, also after a
/// crash.
///
/// Of several records with the same key the first that arrived is written; the others are rejects, `KEY_REPEATED`, since
/// the last one would win silently. A record whose key is empty is a reject, `KEY_EMPTY`. A record that the database
/// refuses is a reject with the database's own code and words; the others of its batch are written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseUpdate {
    /// The table.
    table: String,
    /// Whether rows are made, changed, or both: `upsert` changes the row that has the key and makes one where none has
    /// it. `delete` deletes the row that has the key; where none has it, that is counted as `absent`.
    #[serde(default = "upsert")]
    operation: Operation,
    /// The columns of the table by which an existing row is found, such as `["email"]`. What they are compared with
    /// stands in `set`. Text is compared as the table compares it: letter by letter, unless the column or a unique index of
    /// just these columns is declared with `COLLATE NOCASE` or `RTRIM`.
    #[serde(default)]
    key: Vec<String>,
    /// What is written: columns of the table, each with a column or an expression of the record, such as
    /// `"email": "lower(emailaddress1)"`.
    set: IndexMap<String, Source>,
    /// Whether an empty value empties the column of an existing row, or leaves it as it is.
    #[serde(default)]
    empty_source: EmptySource,
    /// What becomes of a record if a later run has written a newer version of it, as when a run is resumed after days:
    /// `drop` (default) counts it by the rule `older`, `write` puts it over the newer one.
    #[serde(default)]
    older: OlderVersions,
}

fn upsert() -> Operation {
    Operation::Upsert
}

/// What an empty value does to the column of an existing row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EmptySource {
    /// It empties the column.
    #[default]
    Empties,
    /// The column keeps its value.
    Keeps,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "database.update",
    elsewhere: &["save", "store", "upsert", "update", "insert", "load", "table", "sql", "database"],
    effect: Effect::Writes,
    ports: &[Port::always("ok"), Port::with_records("reject")],
    drops: &[(older::RULE, "records of which a later run has written a newer version")],
    example: r#"{
        "type": "database.update",
        "table": "recipient",
        "operation": "upsert",
        "key": ["email"],
        "set": { "email": "lower(emailaddress1)", "crm_id": "contactid", "last_name": "lastname" },
        "to": { "ok": "next", "reject": "next" }
    }"#,
    ..Spec::of::<DatabaseUpdate>()
};

/// Where a task goes on, and what must be the same when it does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    /// Records of a batch.
    batch_rows: usize,
    /// What expressions read beside the record.
    pinned: Pinned,
    /// The checksum of the file that tells the first record of each key.
    firsts: Option<String>,
    /// The file of the population.
    segment: usize,
    /// The place of its first record.
    place: u64,
    /// The number of its first batch.
    batch: u64,
    rejects: Kinds,
}

#[async_trait]
impl Activity for DatabaseUpdate {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        let input = &rows::require("an update of the database", input, cx);
        self.check_key(cx);
        let table = cx.table("/table", &self.table);
        if self.set.is_empty() {
            let help = "write \"set\": { \"<column of the table>\": \"<column of the record>\" }".to_owned();
            cx.problem("/set", "nothing-set", "no column is written", Some(help));
        }
        for (column, source) in &self.set {
            let pointer = format!("/set/{column}");
            let bound = cx.expression(&pointer, source, input, None);
            let Some(table) = &table else { continue };
            let Some((_, field)) = table.columns.column_with_name(column) else {
                unknown_column(&pointer, column, table, cx);
                continue;
            };
            let Some(bound) = bound else { continue };
            if let Err(instead) = fits(&bound.ty(), field.data_type()) {
                let there = convert::named(field.data_type());
                let message = format!("this is {}, but column {column} of table {} is {there}", bound.ty(), table.name);
                cx.problem(&pointer, "wrong-type", message, instead.map(|write| format!("write {write}")));
            } else if matches!(bound.ty(), Type::Text | Type::Any) && field.metadata().contains_key(meta::MAKES_NUMBERS)
            {
                let declared = field.metadata().get(meta::SYSTEM_TYPE).map_or("", String::as_str);
                let message = format!(
                    "column {column} of table {} is declared as {declared}, of which SQLite makes numbers: texts such as \
                     007 and 1e3 are rejects",
                    table.name
                );
                cx.risk(&pointer, "text-as-number", message, Some("declare the column as TEXT".to_owned()));
            }
        }
        let reject = input.known().map_or(Columns::Unknown, |schema| Columns::Known(rejects::columns(schema)));
        Flow::from([("ok".to_owned(), input.clone()), ("reject".to_owned(), reject)])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let (population, columns) = rows::input(cx).await?;
        let (mut plan, mut position) = match cx.position::<Position>()? {
            Some(position) => {
                check_ledger(cx, &position).await?;
                (Plan::new(self, cx, &columns, Some(&position.pinned)).await?, position)
            }
            None => self.begin(cx, &population, &columns).await?,
        };
        plan.compare_versions(cx, self.older).await?;
        let firsts = match &position.firsts {
            Some(checksum) => Some(Firsts::load(&Plan::firsts_file(cx)?, checksum)?),
            None => None,
        };
        // So that they are told also where nothing comes.
        let counted: &[&str] = match self.operation {
            Operation::Delete => &["deleted", "absent"],
            _ => &["inserted", "updated", "unchanged"],
        };
        for what in counted.iter().copied() {
            cx.count(what, 0);
        }
        let mut update = Update { plan, firsts, population: &population, out: Out::default() };
        for segment in &population.segments()[position.segment..] {
            update.segment(cx, segment, &mut position).await?;
            cx.checkpoint(&position).await?;
        }
        update.out.open(cx, "ok", &columns).await;
        position.rejects.warn(cx).await
    }

    async fn record_key(&self, _: &Cx) -> Result<Vec<Source>, Failure> {
        Ok(self.key.iter().filter_map(|column| self.set.get(column)).cloned().collect())
    }

    async fn sent(&self, cx: &Cx, records: &RecordBatch) -> Result<Vec<Map<String, Value>>, Failure> {
        let position = cx.position::<Position>()?;
        let pinned = position.as_ref().map(|position| &position.pinned);
        Plan::new(self, cx, records.schema_ref(), pinned).await?.sent(records)
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Table(self.table.clone())]
    }
}

impl DatabaseUpdate {
    fn check_key(&self, cx: &mut FlowCx<'_>) {
        if self.operation == Operation::Insert && !self.key.is_empty() {
            let help = "leave \"key\" out, or use \"upsert\"".to_owned();
            cx.problem("/key", "key-of-insert", "an insert looks for no existing row, so it has no key", Some(help));
        }
        if self.operation != Operation::Insert && self.key.is_empty() {
            let help = "write \"key\": [\"<column of the table>\"], or use \"insert\"".to_owned();
            cx.problem("", "no-key", "it is not said by which key existing rows are found", Some(help));
        }
        if self.operation == Operation::Delete {
            for column in self.set.keys().filter(|column| !self.key.contains(column)) {
                let message =
                    format!("a deletion writes nothing, so column \"{column}\" has no use but as part of the key");
                let help = format!("leave \"{column}\" out, or add it to \"key\"");
                cx.problem(&format!("/set/{column}"), "set-of-delete", message, Some(help));
            }
        }
        for (number, column) in self.key.iter().enumerate() {
            if !self.set.contains_key(column) {
                let help = format!("write \"{column}\": \"<column of the record>\" in \"set\"");
                let message = format!("the key column \"{column}\" is not among those that are set");
                cx.problem(&format!("/key/{number}"), "key-not-set", message, Some(help));
            }
        }
    }

    /// Decides, once and durably, what batches there will be.
    async fn begin(
        &self,
        cx: &mut Cx,
        population: &Population,
        columns: &arrow::datatypes::SchemaRef,
    ) -> Result<(Plan, Position), Failure> {
        let plan = Plan::new(self, cx, columns, None).await?;
        let firsts = match plan.is_keyed() {
            true => Some(plan.firsts(cx, population).await?.save(&Plan::firsts_file(cx)?)?),
            false => None,
        };
        let position = Position {
            batch_rows: cx.limits().rows_per_transaction.max(1),
            pinned: plan.pinned.clone(),
            firsts,
            segment: 0,
            place: 0,
            batch: 0,
            rejects: Kinds::default(),
        };
        cx.seal(&position).await?;
        Ok((plan, position))
    }
}

/// What the task has counted as written must be in the database: a database that was put back from an older copy, or that
/// lost its last transactions, lacks batches that would never be written again.
async fn check_ledger(cx: &Cx, position: &Position) -> Result<(), Failure> {
    match cx.database().batches(&cx.ledger_key()).await? {
        Some(batches) if batches < position.batch => {
            let message = format!(
                "the database lacks {} of the {} batches that this task has written: it is an older copy, or its last \
                 transactions are lost",
                position.batch - batches,
                position.batch
            );
            let help =
                format!("put the database back as it was, or start over with `campanile restart {}`", cx.run_name());
            Err(Failure::new(Class::Config, message).help(help))
        }
        _ => Ok(()),
    }
}

fn unknown_column(pointer: &str, column: &str, table: &Table, cx: &mut FlowCx<'_>) {
    let help = cx.suggestions.of(column, table.columns.fields().iter().map(|field| field.name().as_str()));
    cx.problem(pointer, "unknown-column", format!("table {} has no column \"{column}\"", table.name), help);
}

/// The update of one task.
struct Update<'a> {
    plan: Plan,
    firsts: Option<Firsts>,
    population: &'a Population,
    out: Out,
}

impl Update<'_> {
    /// Writes the records of a file, and moves the position behind it.
    async fn segment(&mut self, cx: &mut Cx, segment: &Segment, position: &mut Position) -> Result<(), Failure> {
        let before = position.clone();
        let mut counts = BTreeMap::new();
        let (mut stays, mut older) = (Vec::new(), 0);
        let mut chunks = Chunks::from(&rows::only(self.population, segment), 0);
        while let Some(chunk) = chunks.next(position.batch_rows).await? {
            cx.go_on()?;
            let done = self.plan.write(cx, &chunk, position.place, position.batch, self.firsts.as_ref()).await?;
            let refused: Vec<bool> = done.rejects.iter().map(Option::is_some).collect();
            stays.extend(refused.iter().zip(&done.older).map(|(refused, older)| !refused && !older));
            older += done.older.iter().filter(|older| **older).count() as u64;
            let reasons: Vec<_> = done.rejects.into_iter().flatten().collect();
            if !reasons.is_empty() {
                reasons.iter().for_each(|reason| position.rejects.count(reason));
                let records = rejects::batch(&rows::filter(&chunk, &refused)?, &reasons)?;
                self.out.write(cx, "reject", records).await;
            }
            for (what, rows) in done.counts {
                *counts.entry(what).or_default() += rows;
            }
            position.place += chunk.num_rows() as u64;
            position.batch += 1;
            cx.progress(position.place, Some(self.population.rows()));
        }
        if stays.iter().all(|stays| *stays) {
            // Nothing of this file is written to a port or counted yet, so it is not in what is sealed here.
            self.out.pass_on(cx, "ok", segment, &before).await?;
        } else {
            self.pass_rest_on(cx, segment, &stays).await?;
        }
        for (what, rows) in counts {
            cx.count(&what, rows);
        }
        cx.dropped(older::RULE, older);
        position.segment += 1;
        Ok(())
    }

    async fn pass_rest_on(&mut self, cx: &mut Cx, segment: &Segment, stays: &[bool]) -> Result<(), Failure> {
        let mut batches = rows::only(self.population, segment).read();
        let mut from = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let to = from + batch.num_rows();
            self.out.write(cx, "ok", rows::filter(&batch, &stays[from..to])?).await;
            from = to;
        }
        Ok(())
    }
}
