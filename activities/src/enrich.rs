//! `enrich`: adds columns of a table of the database, and computed ones.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Effect, Flow, Need, Port, Spec};
use engine::context::Cx;
use engine::expr::{Bound, Source, Values};
use engine::failure::{Class, Failure};
use engine::flow::FlowCx;
use engine::outside::database::{Gathered, Lookup, Matches, Table};
use engine::reject::Reject;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::convert::{self, convert, fits};
use crate::pinned::Pinned;
use crate::rejects::{self, Kinds};
use crate::rows;
use crate::sets::{self, Held};

/// Adds columns to each record: from the row of a database table that belongs to it, and computed ones.
///
/// A record for which several rows are found is a reject, `JOIN_AMBIGUOUS`: it is never multiplied, and no row is chosen
/// by chance.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enrich {
    /// The table of the database that has what is to be added.
    #[serde(default)]
    table: Option<String>,
    /// How a record finds its row: columns of the table, and the column or expression of the record that each must
    /// equal, such as `"iso": "address1_country"`. All of them must be equal; text is compared as
    /// `database.update` does. A record for which
    /// one is empty finds nothing.
    #[serde(default)]
    join: IndexMap<String, Source>,
    /// What is added: names of new columns, and the column of the table that each takes its value from, such as
    /// `"country_label": "label"`.
    #[serde(default)]
    add: IndexMap<String, String>,
    /// What is computed: names of new columns, each with an expression, which may also read what was added or computed
    /// before it.
    #[serde(default)]
    compute: IndexMap<String, Source>,
    /// What happens to records that find no row.
    #[serde(default)]
    unmatched: Unmatched,
}

/// What happens to records that find no row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Unmatched {
    /// They stay, and what would be added is empty.
    #[default]
    Keep,
    /// They are let go, counted by the rule `unmatched`.
    Drop,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "enrich",
    elsewhere: &["enrichment", "join", "lookup", "compute", "map", "mapping", "formula", "merge"],
    effect: Effect::Reads,
    ports: &[Port::always("ok"), Port::with_records("reject")],
    drops: &[("unmatched", "records that find no row, with `\"unmatched\": \"drop\"`")],
    example: r#"{
        "type": "enrich",
        "table": "country",
        "join": { "iso": "address1_country" },
        "add": { "country_label": "label" },
        "compute": { "full_name": "firstname + \" \" + lastname" },
        "to": "next"
    }"#,
    ..Spec::of::<Enrich>()
};

/// Where a task goes on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    /// The file of the population.
    segment: usize,
    /// Its records that are done.
    rows: u64,
    /// Records of all files that are done.
    done: u64,
    rejects: Kinds,
    /// What expressions read.
    pinned: Option<Pinned>,
}

#[async_trait]
impl Activity for Enrich {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        let input = &rows::require("an enrichment", input, cx);
        self.check_settings(cx);
        let table = self.table.as_ref().and_then(|table| cx.table("/table", table));
        if let Some(table) = &table {
            self.check_columns(table, cx);
        }
        for (column, source) in &self.join {
            let bound = cx.expression(&format!("/join/{column}"), source, input, None);
            if let (Some(bound), Some(table)) = (bound, &table) {
                check_key(&bound, column, table, cx);
            }
        }
        let ok = self.columns(input, table.as_deref(), cx);
        let reject = match input.known() {
            Some(schema) => Columns::Known(rejects::columns(schema)),
            None => Columns::Unknown,
        };
        Flow::from([("ok".to_owned(), ok), ("reject".to_owned(), reject)])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let (population, columns) = rows::input(cx).await?;
        let mut position: Position = cx.position()?.unwrap_or_default();
        let mut plan = Plan::new(self, cx, &columns, position.pinned.as_ref()).await?;
        position.pinned = Some(plan.pinned.clone());
        if let Some(join) = &mut plan.join {
            join.gather(cx, population.rows().saturating_sub(position.done)).await?;
        }
        for segment in &population.segments()[position.segment..] {
            let mut batches = rows::only(&population, segment).read();
            let mut row = 0;
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let first = row;
                row += batch.num_rows() as u64;
                if first < position.rows {
                    continue;
                }
                plan.enrich(cx, &batch, &mut position.rejects).await?;
                position.rows = row;
                position.done += batch.num_rows() as u64;
                cx.progress(position.done, Some(population.rows()));
                cx.checkpoint(&position).await?;
            }
            position.segment += 1;
            position.rows = 0;
        }
        cx.open("ok", plan.out).await;
        position.rejects.warn(cx).await
    }

    fn needs(&self) -> Vec<Need> {
        self.table.iter().map(|table| Need::Table(table.clone())).collect()
    }
}

impl Enrich {
    fn check_settings(&self, cx: &mut FlowCx<'_>) {
        if self.table.is_none() && !(self.join.is_empty() && self.add.is_empty()) {
            let help = "write \"table\", with the name of the table that is searched".to_owned();
            cx.problem("", "no-table", "an enrichment that adds columns needs \"table\"", Some(help));
        }
        if self.table.is_some() && self.join.is_empty() {
            let help = "write \"join\": { \"<column of the table>\": \"<column of the record>\" }".to_owned();
            cx.problem("", "no-join", "it is not said how a record finds its row of the table", Some(help));
        }
        if self.table.is_none() && self.compute.is_empty() {
            let help = "write \"table\", \"join\" and \"add\", or \"compute\"".to_owned();
            cx.problem("", "nothing-added", "this enrichment adds nothing", Some(help));
        }
    }

    fn check_columns(&self, table: &Table, cx: &mut FlowCx<'_>) {
        let columns = self.join.keys().map(|column| (format!("/join/{column}"), column));
        let columns = columns.chain(self.add.iter().map(|(name, column)| (format!("/add/{name}"), column)));
        for (pointer, column) in columns {
            if table.columns.column_with_name(column).is_none() {
                unknown_column(&pointer, column, table, cx);
            }
        }
    }

    /// The columns that come out; a name that is taken is a problem.
    fn columns(&self, input: &Columns, table: Option<&Table>, cx: &mut FlowCx<'_>) -> Columns {
        let mut fields: Vec<FieldRef> = input.known().map(|schema| schema.fields().to_vec()).unwrap_or_default();
        let mut all_known = input.known().is_some();
        for (name, column) in &self.add {
            check_name(&format!("/add/{name}"), name, &fields, cx);
            match table.and_then(|table| added(table, name, column)) {
                Some(field) => fields.push(field),
                None => all_known = false,
            }
        }
        for (name, source) in &self.compute {
            let pointer = format!("/compute/{name}");
            check_name(&pointer, name, &fields, cx);
            let so_far = match all_known {
                true => Columns::Known(Arc::new(Schema::new(fields.clone()))),
                false => Columns::Unknown,
            };
            match cx.expression(&pointer, source, &so_far, None) {
                Some(bound) => fields.push(bound.column(name)),
                None => all_known = false,
            }
        }
        if all_known { Columns::Known(Arc::new(Schema::new(fields))) } else { Columns::Unknown }
    }
}

fn added(table: &Table, name: &str, column: &str) -> Option<FieldRef> {
    let (_, field) = table.columns.column_with_name(column)?;
    Some(Arc::new(field.clone().with_name(name).with_nullable(true)))
}

fn check_name(pointer: &str, name: &str, fields: &[FieldRef], cx: &mut FlowCx<'_>) {
    if name.is_empty() || name.starts_with('_') {
        let message = format!("\"{name}\" cannot name a column");
        cx.problem(pointer, "bad-column-name", message, Some("begin the name with a letter".to_owned()));
    } else if fields.iter().any(|field| field.name() == name) {
        let message = format!("there is a column \"{name}\" already");
        cx.problem(pointer, "column-taken", message, Some("give the new column another name".to_owned()));
    }
}

fn unknown_column(pointer: &str, column: &str, table: &Table, cx: &mut FlowCx<'_>) {
    let help = cx.suggestions.of(column, table.columns.fields().iter().map(|field| field.name().as_str()));
    cx.problem(pointer, "unknown-column", format!("table {} has no column \"{column}\"", table.name), help);
}

fn check_key(bound: &Bound, column: &str, table: &Table, cx: &mut FlowCx<'_>) {
    let Some((_, field)) = table.columns.column_with_name(column) else { return };
    if let Err(instead) = fits(&bound.ty(), field.data_type()) {
        let there = convert::named(field.data_type());
        let message = format!("this is {}, but column {column} of table {} is {there}", bound.ty(), table.name);
        cx.problem(&format!("/join/{column}"), "wrong-type", message, instead.map(|write| format!("write {write}")));
    }
}

/// How rows of the table are found.
struct Join {
    lookup: Lookup,
    /// The key's expressions, with the types of the table's columns.
    keys: Vec<(Bound, DataType)>,
    /// What the table has, if it was read, and the memory that it takes.
    gathered: Option<(Box<dyn Gathered>, Held)>,
}

impl Join {
    /// Reads the table for so many records, if that is faster than to search for each and there is memory.
    async fn gather(&mut self, cx: &Cx, records: u64) -> Result<(), Failure> {
        let memory = cx.limits().set_memory_mib.max(1) * 1024 * 1024;
        let Some(mut held) = Held::take(memory) else { return Ok(()) };
        if let Some(gathered) = cx.database().gather(&self.lookup, records, held.bytes()).await? {
            held.keep(gathered.bytes());
            self.gathered = Some((gathered, held));
        }
        Ok(())
    }

    async fn find(&self, cx: &Cx, keys: RecordBatch) -> Result<Matches, Failure> {
        match &self.gathered {
            Some((gathered, _)) => gathered.find(&keys),
            None => cx.database().lookup(&self.lookup, keys).await,
        }
    }
}

/// What is looked up and computed.
struct Plan {
    join: Option<Join>,
    added: Vec<FieldRef>,
    compute: Vec<(FieldRef, Bound)>,
    values: Values,
    pinned: Pinned,
    out: SchemaRef,
    drop: bool,
}

impl Plan {
    async fn new(enrich: &Enrich, cx: &Cx, columns: &SchemaRef, pinned: Option<&Pinned>) -> Result<Self, Failure> {
        let mut fields = columns.fields().to_vec();
        let (mut join, mut new) = (None, Vec::new());
        if let Some(name) = &enrich.table {
            let table = cx.database().table(name).await?;
            let mut keys = Vec::new();
            for (column, source) in &enrich.join {
                let (_, field) = table.columns.column_with_name(column).ok_or_else(|| gone(&table, column))?;
                keys.push((cx.bind(source, columns)?, field.data_type().clone()));
            }
            for (name, column) in &enrich.add {
                new.push(added(&table, name, column).ok_or_else(|| gone(&table, column))?);
            }
            let (keys_of, columns) = (enrich.join.keys().cloned().collect(), enrich.add.values().cloned().collect());
            let zone = cx.time_zone.clone();
            let lookup = Lookup { table: name.clone(), keys: keys_of, columns, zone };
            join = Some(Join { lookup, keys, gathered: None });
        }
        fields.extend(new.iter().cloned());
        let mut compute = Vec::new();
        for (name, source) in &enrich.compute {
            let bound = cx.bind(source, &Schema::new(fields.clone()))?;
            fields.push(bound.column(name));
            compute.push((bound.column(name), bound));
        }
        let keys = join.iter().flat_map(|join: &Join| &join.keys).map(|(bound, _)| bound);
        let bounds: Vec<&Bound> = keys.chain(compute.iter().map(|(_, bound)| bound)).collect();
        let (values, pinned) = Pinned::values(cx, &bounds, pinned).await?;
        // What is known of variables now decides the type of a key.
        for (bound, _) in join.iter_mut().flat_map(|join| &mut join.keys) {
            *bound = bound.resolve(&values)?;
        }
        let out = Arc::new(Schema::new(fields));
        Ok(Self { join, added: new, compute, values, pinned, out, drop: enrich.unmatched == Unmatched::Drop })
    }

    async fn enrich(&self, cx: &mut Cx, batch: &RecordBatch, kinds: &mut Kinds) -> Result<(), Failure> {
        let (mut fields, mut columns) = (batch.schema().fields().to_vec(), batch.columns().to_vec());
        // What becomes of each record, unless it stays.
        let mut rejects: Vec<Option<Reject>> = vec![None; batch.num_rows()];
        let mut dropped = vec![false; batch.num_rows()];
        if let Some(join) = &self.join {
            let keys = self.keys(batch, join, &mut rejects)?;
            let matches = join.find(cx, keys).await?;
            for (row, found) in matches.found.iter().enumerate() {
                dropped[row] = self.drop && *found == 0 && rejects[row].is_none();
                if *found > 1 {
                    rejects[row].get_or_insert(ambiguous(&join.lookup));
                }
            }
            columns.extend_from_slice(matches.rows.columns());
            fields.extend(self.added.iter().cloned());
        }
        for (field, bound) in &self.compute {
            let so_far = RecordBatch::try_new(Arc::new(Schema::new(fields.clone())), columns.clone());
            let (array, failing) = rows::eval(bound, &so_far.map_err(rows::wrong)?, &self.values)?;
            for (row, error) in failing {
                rejects[row].get_or_insert(rows::failed(field.name(), error));
            }
            columns.push(array);
            fields.push(Arc::clone(field));
        }
        let all = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(rows::wrong)?;
        let stays: Vec<bool> = (0..batch.num_rows()).map(|row| rejects[row].is_none() && !dropped[row]).collect();
        let refused: Vec<bool> = (0..batch.num_rows()).map(|row| rejects[row].is_some() && !dropped[row]).collect();
        cx.dropped("unmatched", dropped.iter().filter(|dropped| **dropped).count() as u64);
        let reasons = rejects.into_iter().zip(&refused).filter_map(|(reject, refused)| reject.filter(|_| *refused));
        let reasons: Vec<Reject> = reasons.collect();
        if !reasons.is_empty() {
            reasons.iter().for_each(|reason| kinds.count(reason));
            cx.write("reject", rejects::batch(&rows::filter(batch, &refused)?, &reasons)?).await;
        }
        cx.write("ok", rows::filter(&all, &stays)?).await;
        Ok(())
    }

    /// What each record is searched by; null matches nothing, so an empty part or one that does not fit is null.
    fn keys(&self, batch: &RecordBatch, join: &Join, rejects: &mut [Option<Reject>]) -> Result<RecordBatch, Failure> {
        let mut columns = Vec::with_capacity(join.keys.len());
        for ((bound, to), name) in join.keys.iter().zip(&join.lookup.keys) {
            let (array, failing) = rows::eval(bound, batch, &self.values)?;
            for (row, error) in failing {
                rejects[row].get_or_insert(rows::failed(name, error));
            }
            let (array, _) = convert(&array, to)?;
            let array = arrow::compute::nullif(&array, &sets::empties(&array)).map_err(rows::wrong)?;
            columns.push((name, array, true));
        }
        RecordBatch::try_from_iter_with_nullable(columns).map_err(rows::wrong)
    }
}

fn ambiguous(lookup: &Lookup) -> Reject {
    let (table, keys) = (&lookup.table, lookup.keys.join(", "));
    Reject::new("JOIN_AMBIGUOUS", format!("several rows of table {table} have this {keys}"))
        .field(keys)
        .help(format!("make the rows of table {table} different in what they are joined by, or join by more columns"))
}

fn gone(table: &Table, column: &str) -> Failure {
    Failure::new(Class::Config, format!("table {} has no column \"{column}\"", table.name))
        .help("correct the workflow, or put the column back")
}
