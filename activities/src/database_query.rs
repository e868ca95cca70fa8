//! `database.query`: reads a table of the database.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Effect, Flow, Need, Port, Spec};
use engine::context::Cx;
use engine::expr::{Bound, Source, Values};
use engine::failure::{Class, Failure};
use engine::flow::FlowCx;
use engine::outside::database::{Scan, Scanned, Table};
use engine::types::{Type, meta};
use engine::words::counted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::pinned::Pinned;
use crate::rejects::{self, Kinds};
use crate::rows;

/// Rows that are read at once.
const ROWS_AT_ONCE: usize = 10_000;

/// Reads the records of a table of the database that a filter lets through. A record with a value that is not what its
/// column is declared as, or with text that is not Unicode, is a reject.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseQuery {
    /// The table.
    table: String,
    /// Its columns that come out; all where nothing is said.
    #[serde(default)]
    fields: Vec<String>,
    /// Which records come out: a condition over the columns of the table, such as `is_empty(crm_id)`. Columns that only
    /// the filter needs do not come out.
    #[serde(default)]
    filter: Option<Source>,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "database.query",
    elsewhere: &["query", "sql", "select", "table", "filter", "segment"],
    effect: Effect::Reads,
    ports: &[Port::always("ok"), Port::with_records("reject")],
    drops: &[("filter", "rows for which the filter is not true and that the database did not leave out itself")],
    example: r#"{
        "type": "database.query",
        "table": "recipient",
        "fields": ["email", "first_name", "last_name"],
        "filter": "is_empty(crm_id) && !is_empty(email)",
        "to": { "ok": "next", "reject": "next" }
    }"#,
    ..Spec::of::<DatabaseQuery>()
};

/// Where a task goes on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    /// What the filter reads; `None` before it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pinned: Option<Pinned>,
    /// Where the next rows begin; `None` before the first.
    next: Option<Value>,
    read: u64,
    #[serde(default)]
    rejects: Kinds,
    done: bool,
}

#[async_trait]
impl Activity for DatabaseQuery {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        if let Some(columns) = input.known() {
            let message =
                format!("this query does not use the {} that lead into it", counted(columns.fields().len(), "column"));
            cx.problem("", "population-not-used", message, Some("lead from an activity without records".to_owned()));
        }
        let Some(table) = cx.table("/table", &self.table) else {
            if let Some(filter) = &self.filter {
                cx.expression("/filter", filter, &Columns::Unknown, Some(&Type::Bool));
            }
            return flow(Columns::Unknown);
        };
        let (mut sound, mut chosen) = (true, HashSet::new());
        for (number, name) in self.fields.iter().enumerate() {
            let pointer = format!("/fields/{number}");
            if !chosen.insert(name) {
                cx.problem(&pointer, "chosen-twice", format!("{name} is chosen twice"), None);
                sound = false;
            }
            if table.columns.field_with_name(name).is_err() {
                let help = cx.suggestions.of(name, table.columns.fields().iter().map(|field| field.name().as_str()));
                cx.problem(&pointer, "unknown-column", format!("table {} has no column \"{name}\"", self.table), help);
                sound = false;
            }
        }
        if let Some(filter) = &self.filter {
            let columns = Columns::Known(Arc::clone(&table.columns));
            sound &= cx.expression("/filter", filter, &columns, Some(&Type::Bool)).is_some();
        }
        let columns = match sound {
            true => Columns::Known(Arc::new(Schema::new(self.columns(&table)))),
            false => Columns::Unknown,
        };
        flow(columns)
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let table = cx.database().table(&self.table).await?;
        let mut position: Position = cx.position()?.unwrap_or_default();
        let plan = self.plan(&table, cx, position.pinned.as_ref()).await?;
        position.pinned = Some(plan.pinned.clone());
        cx.open("ok", Arc::clone(&plan.out)).await;
        while !position.done {
            let scanned = cx.database().read(&plan.scan, position.next.take()).await?;
            let rows = scanned.rows.num_rows() as u64;
            cx.tally().added += rows;
            let sound = plan.refuse(&scanned, &mut position.rejects, cx).await?;
            let kept = plan.keep(&sound)?;
            cx.dropped("filter", (sound.num_rows() - kept.num_rows()) as u64);
            cx.write("ok", kept).await;
            position.read += rows;
            position.done = scanned.next.is_none();
            position.next = scanned.next;
            cx.progress(position.read, None);
            cx.checkpoint(&position).await?;
        }
        position.rejects.warn(cx).await
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Table(self.table.clone())]
    }
}

/// What is read, and what is kept of it.
struct Plan {
    scan: Scan,
    filter: Option<Bound>,
    values: Values,
    pinned: Pinned,
    /// The first columns of the scan.
    out: SchemaRef,
}

impl DatabaseQuery {
    /// The columns that come out; those of the primary key say so, by which whoever exports the records knows them again.
    fn columns(&self, table: &Table) -> Vec<FieldRef> {
        let is_chosen = |name: &String| self.fields.is_empty() || self.fields.contains(name);
        let chosen: Vec<&FieldRef> = match self.fields.is_empty() {
            true => table.columns.fields().iter().collect(),
            false => self
                .fields
                .iter()
                .filter_map(|name| table.columns.fields().find(name))
                .map(|(_, field)| field)
                .collect(),
        };
        let whole_key = !table.primary_key.is_empty() && table.primary_key.iter().all(is_chosen);
        let column = |field: &FieldRef| {
            let mut metadata = field.metadata().clone();
            metadata.remove(meta::KEY);
            if whole_key && table.primary_key.contains(field.name()) {
                metadata.insert(meta::KEY.to_owned(), table.name.clone());
            }
            Arc::new(field.as_ref().clone().with_metadata(metadata))
        };
        chosen.into_iter().map(column).collect()
    }

    async fn plan(&self, table: &Table, cx: &Cx, pinned: Option<&Pinned>) -> Result<Plan, Failure> {
        let out = Arc::new(Schema::new(self.columns(table)));
        if out.fields().len() < self.fields.len() {
            let message = format!("table {} lacks some of the columns {}", self.table, self.fields.join(", "));
            return Err(Failure::new(Class::Config, message).help("run `campanile check` on the workflow"));
        }
        let filter = self.filter.as_ref().map(|filter| cx.bind(filter, &table.columns)).transpose()?;
        let mut columns: Vec<String> = out.fields().iter().map(|field| field.name().clone()).collect();
        for name in filter.iter().flat_map(|filter| filter.expr().fields()) {
            if !columns.iter().any(|column| column == name) {
                columns.push(name.to_owned());
            }
        }
        let bounds: Vec<&Bound> = filter.iter().collect();
        let (values, pinned) = Pinned::values(cx, &bounds, pinned).await?;
        let zone = values.zone.clone();
        let scan = Scan { table: self.table.clone(), columns, rows_max: ROWS_AT_ONCE, zone };
        Ok(Plan { scan, filter, values, pinned, out })
    }
}

/// What cannot be read is refused, with what can be read of it.
fn flow(columns: Columns) -> Flow {
    let reject = columns.known().map_or(Columns::Unknown, |columns| Columns::Known(rejects::columns(columns)));
    Flow::from([("ok".to_owned(), columns), ("reject".to_owned(), reject)])
}

impl Plan {
    /// Refuses the rows that have a value which cannot be read, whether or not the filter would let them through; gives the
    /// others.
    async fn refuse(&self, scanned: &Scanned, kinds: &mut Kinds, cx: &mut Cx) -> Result<RecordBatch, Failure> {
        let Scanned { rows, misfits, .. } = scanned;
        if misfits.is_empty() {
            return Ok(rows.clone());
        }
        let mut unread = vec![false; rows.num_rows()];
        let mut rejects = Vec::with_capacity(misfits.len());
        for (row, reject) in misfits {
            unread[*row] = true;
            kinds.count(reject);
            rejects.push(reject.clone());
        }
        let records = self.shown(&rows::filter(rows, &unread)?)?;
        cx.write("reject", rejects::batch(&records, &rejects)?).await;
        let sound: Vec<bool> = unread.into_iter().map(|unread| !unread).collect();
        rows::filter(rows, &sound)
    }

    fn keep(&self, rows: &RecordBatch) -> Result<RecordBatch, Failure> {
        let kept = match &self.filter {
            None => rows.clone(),
            Some(filter) => {
                let keep = filter.matches(rows, &self.values)?;
                match keep.true_count() == keep.len() {
                    true => rows.clone(),
                    false => filter_record_batch(rows, &keep).map_err(rows::wrong)?,
                }
            }
        };
        self.shown(&kept)
    }

    /// Without the columns that only the filter needs.
    fn shown(&self, rows: &RecordBatch) -> Result<RecordBatch, Failure> {
        let columns = rows.columns()[..self.out.fields().len()].to_vec();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.out), columns, &options).map_err(rows::wrong)
    }
}
