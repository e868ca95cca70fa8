//! Jobs that write.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use serde_json::Value as Json;

use super::{
    super::{
        Settings,
        error::Error,
        id::Id,
        schema::Kind,
        single::number_of,
        store::{Author, Store},
        table::RowState,
        validate::{Input, value},
        value::Value,
        write::{self, Target, Terms},
    },
    csv::{Format, Row, Rows},
    job::{Job, Progress},
};
use crate::{data::By, random::mix, state::State};

/// Rows among which an external id may stand once only.
const CHUNK: usize = 200;

/// What became of the rows of a job.
#[derive(Debug, Default)]
pub(super) struct Ingest {
    /// Rows that were worked on, not in the order in which they came.
    pub(super) outcomes: Vec<Outcome>,
    /// Where the rows begin that were not.
    pub(super) unprocessed_from: usize,
}

/// What became of a row.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Its place in the upload.
    pub(super) span: (usize, usize),
    /// The record, if it is known.
    pub(super) number: Option<u32>,
    /// It was created.
    pub(super) created: bool,
    /// Why it failed, if it did.
    pub(super) error: Option<Box<str>>,
}

/// What a column means.
enum Column {
    /// The record.
    Id,
    /// A field.
    Field(usize),
    /// A reference, by a field of its target.
    Related(usize, String),
}

/// What a worker needs.
struct Task<'a> {
    state: &'a State,
    settings: Settings,
    job: Job,
    table: usize,
    columns: Vec<Column>,
    external_id: Option<usize>,
}

/// Works on an upload until its end, an abort or a failure.
pub(super) fn work(state: &Arc<State>, job: Job, upload: &Bytes) {
    let progress = job.progress.clone();
    let end = run(state, job, upload);
    let mut inner = progress.lock();
    inner.end = Some(end);
}

fn run(state: &State, job: Job, upload: &Bytes) -> Result<(), String> {
    let org = &state.salesforce;
    let failure = org.take_job_failure();
    let failed = || failure.as_ref().and_then(|failure| failure.message.clone());
    let internal = "InternalServerError : Unable to process the job's data";
    let text = std::str::from_utf8(upload).map_err(|_| "InvalidBatch : The data is not UTF-8".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rows = Rows::new(text, 0, job.format);
    let mut header = Row::default();
    if !rows.read(&mut header) {
        return Ok(());
    }
    check_line_ending(text, job.format)?;
    let task = {
        let store = org.store(&state.clock);
        let table = store.index(&job.object).ok_or("InvalidEntity : The object is no longer there")?;
        let columns = columns(&store, table, &header)?;
        let external_id = job.external_id.as_deref().and_then(|name| store.tables[table].object.field(name));
        Task { state, settings: org.settings(), table, columns, external_id, job }
    };
    let limit = failure.as_ref().map_or(usize::MAX, |failure| failure.after_rows);
    let mut worked = 0;
    loop {
        let room = task.settings.bulk_batch_rows.max(1).min(limit - worked);
        if task.job.progress.is_aborted() {
            return Ok(());
        }
        if room == 0 {
            return Err(failed().unwrap_or_else(|| internal.to_owned()));
        }
        let mut batch = Vec::with_capacity(room.min(10_000));
        let mut row = Row::default();
        while batch.len() < room && rows.read(&mut row) {
            batch.push(std::mem::take(&mut row));
        }
        if batch.is_empty() {
            return if failure.is_some() { Err(failed().unwrap_or_else(|| internal.to_owned())) } else { Ok(()) };
        }
        worked += batch.len();
        task.batch(&batch, rows.at());
    }
}

/// A file whose lines end otherwise than the job says is refused as a whole.
fn check_line_ending(text: &str, format: Format) -> Result<(), String> {
    let Some(end) = text.find('\n') else {
        return Ok(());
    };
    if text[..end].ends_with('\r') == format.crlf {
        return Ok(());
    }
    let name = format.line_ending_name();
    Err(format!("ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {name}"))
}

fn columns(store: &Store, table: usize, header: &Row<'_>) -> Result<Vec<Column>, String> {
    let object = &store.tables[table].object;
    let unknown = |name: &str| format!("InvalidBatch : Field name not found : {name}");
    let column = |name: &str| match (object.field(name), name.split_once('.')) {
        (Some(index), _) if object.fields[index].kind == Kind::Id => Ok(Column::Id),
        (Some(index), _) if object.fields[index].kind == Kind::Base64 => {
            Err(format!("InvalidBatch : Binary field {name} is not supported for content type CSV"))
        }
        (Some(index), _) => Ok(Column::Field(index)),
        (None, Some((relationship, field))) => match object.relationship(relationship) {
            // `Account.ExtId__c`, or `Account:Account.ExtId__c` where a reference has several targets.
            Some(index) => Ok(Column::Related(index, field.to_owned())),
            None => Err(unknown(name)),
        },
        (None, None) => Err(unknown(name)),
    };
    header.cells.iter().map(|name| column(name.trim())).collect()
}

impl Task<'_> {
    /// Works on some rows together.
    fn batch(&self, rows: &[Row<'_>], end: usize) {
        let now = self.state.clock.now();
        self.state.salesforce.usage.count_bulk_batch(now);
        let terms = Terms::new(self.state, Author { now, by: By::Wire }, false);
        let mut outcomes = Vec::with_capacity(rows.len());
        {
            let mut store = self.state.salesforce.store_mut(&self.state.clock);
            for chunk in rows.chunks(CHUNK) {
                let mut seen = HashSet::new();
                for row in chunk {
                    outcomes.push(self.outcome(&mut store, row, &terms, &mut seen));
                }
            }
        }
        // Nobody may rely on the order of results.
        let mut order: Vec<(u64, Outcome)> =
            outcomes.into_iter().map(|outcome| (mix(7, u64::try_from(outcome.span.0).unwrap_or(0)), outcome)).collect();
        order.sort_unstable_by_key(|(chance, _)| *chance);
        let mut inner = self.job.progress.lock();
        inner.processed += rows.len();
        inner.failed += order.iter().filter(|(_, outcome)| outcome.error.is_some()).count();
        inner.ingest.outcomes.extend(order.into_iter().map(|(_, outcome)| outcome));
        inner.ingest.unprocessed_from = end;
    }

    fn outcome(&self, store: &mut Store, row: &Row<'_>, terms: &Terms, seen: &mut HashSet<String>) -> Outcome {
        let mut outcome = Outcome { span: row.span, number: None, created: false, error: None };
        let result = match row.problem {
            Some(problem) => Err(Error::new("INVALID_CSV_ROW", problem)),
            None => write::row_fault(self.state, terms, || row.cells.join(","))
                .and_then(|()| self.write(store, row, terms, seen, &mut outcome)),
        };
        if let Err(error) = result {
            outcome.error = Some(error.to_bulk_text().into_boxed_str());
        }
        outcome
    }

    fn write(
        &self,
        store: &mut Store,
        row: &Row<'_>,
        terms: &Terms,
        seen: &mut HashSet<String>,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        if row.cells.len() > self.columns.len() {
            return Err(Error::new("INVALID_CSV_ROW", "The row has more cells than the header"));
        }
        let id = self.id(store, row)?;
        if matches!(self.job.operation.as_str(), "delete" | "hardDelete") {
            let number = id.ok_or_else(|| Error::new("MISSING_ARGUMENT", "Id not specified in a delete call"))?;
            outcome.number = Some(number);
            return self.delete(store, number, terms);
        }
        let (target, key) = self.target(store, row, id, seen)?;
        if let Target::Existing(number) = target {
            outcome.number = Some(number);
        }
        let mut values = self.values(store, row, target)?;
        if target == Target::New {
            values.extend(key);
        }
        outcome.number = Some(write::write(store, self.table, target, values, terms)?);
        outcome.created = target == Target::New;
        Ok(())
    }

    fn delete(&self, store: &mut Store, number: u32, terms: &Terms) -> Result<(), Error> {
        let is_hard = self.job.operation == "hardDelete";
        let in_bin = store.tables[self.table].get(number).is_some_and(|record| record.state() != RowState::Live);
        if is_hard && in_bin {
            store.erase(self.table, number, terms.author);
            return Ok(());
        }
        write::delete(store, self.table, number, terms)?;
        if is_hard {
            store.erase(self.table, number, terms.author);
        }
        Ok(())
    }

    /// The record that the row names by its id.
    fn id(&self, store: &Store, row: &Row<'_>) -> Result<Option<u32>, Error> {
        let cells = self.columns.iter().zip(&row.cells);
        let id = cells.filter(|(column, _)| matches!(column, Column::Id)).map(|(_, cell)| cell.trim()).next();
        id.filter(|id| !id.is_empty()).map(|id| number_of(store, self.table, id)).transpose()
    }

    /// The record that the row is for, and the external id that a new one gets.
    fn target(
        &self,
        store: &Store,
        row: &Row<'_>,
        id: Option<u32>,
        seen: &mut HashSet<String>,
    ) -> Result<(Target, Option<(usize, Value)>), Error> {
        let table = &store.tables[self.table];
        match (self.job.operation.as_str(), self.external_id) {
            ("insert", _) if id.is_some() => {
                Err(Error::field("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", "Id"))
            }
            ("insert", _) => Ok((Target::New, None)),
            ("update", _) => match id {
                Some(number) => Ok((Target::Existing(number), None)),
                None => Err(Error::field("MISSING_ARGUMENT", "Id not specified in an update call", "Id")),
            },
            (_, Some(field)) if table.object.fields[field].kind != Kind::Id => {
                let shape = &table.object.fields[field];
                let cells = self.columns.iter().zip(&row.cells);
                let mut cell = cells.filter(|(column, _)| matches!(column, Column::Field(index) if *index == field));
                let key = cell.next().map(|(_, cell)| cell.as_ref()).filter(|cell| !cell.is_empty() && *cell != "#N/A");
                let missing = || Error::field("MISSING_ARGUMENT", format!("{} not specified", shape.name), &shape.name);
                let key = value(store, shape, Input::Cell(key.ok_or_else(missing)?))?;
                let shown = key.as_text().map_or_else(|| key.to_json().to_string(), str::to_owned);
                if !seen.insert(shown.to_lowercase()) {
                    let text = format!("Duplicate external id specified: {shown}");
                    return Err(Error::field("DUPLICATE_VALUE", text, &shape.name));
                }
                match table.find(field, &key).as_slice() {
                    [] => Ok((Target::New, Some((field, key)))),
                    [number] => Ok((Target::Existing(*number), None)),
                    _ => {
                        let text = format!("{}: more than one record found for external id field: {shown}", shape.name);
                        Err(Error::field("DUPLICATE_EXTERNAL_ID", text, &shape.name))
                    }
                }
            }
            _ => Ok((id.map_or(Target::New, Target::Existing), None)),
        }
    }

    /// The row's cells as values: an empty one leaves the field as it is, `#N/A` empties it.
    fn values(&self, store: &Store, row: &Row<'_>, target: Target) -> Result<Vec<(usize, Value)>, Error> {
        let object = &store.tables[self.table].object;
        let mut values = Vec::with_capacity(self.columns.len() + 1);
        for (column, cell) in self.columns.iter().zip(&row.cells) {
            let (index, related) = match column {
                Column::Id => continue,
                Column::Field(index) if Some(*index) == self.external_id && self.job.operation == "upsert" => continue,
                Column::Field(index) => (*index, None),
                Column::Related(index, name) => (*index, Some(name)),
            };
            if cell.is_empty() {
                continue;
            }
            let field = &object.fields[index];
            write::check_writable(field, target)?;
            let input = if cell == "#N/A" { Input::Json(&Json::Null) } else { Input::Cell(cell) };
            let value = match related {
                Some(name) if cell != "#N/A" => write::related_by(store, field, name, input)?,
                _ => value(store, field, input)?,
            };
            values.push((index, value));
        }
        Ok(values)
    }
}

/// The file of rows that went well, of those that failed, or of those not worked on.
pub(super) fn results(job: &Job, prefix: &str, upload: &Bytes, which: &str) -> Vec<u8> {
    let text = std::str::from_utf8(upload).unwrap_or("");
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let format = job.format;
    let mut rows = Rows::new(text, 0, format);
    let mut row = Row::default();
    let mut out = Vec::new();
    rows.read(&mut row);
    let own: &[&str] = match which {
        "successfulResults" => &["sf__Id", "sf__Created"],
        "failedResults" => &["sf__Id", "sf__Error"],
        _ => &[],
    };
    let header = own.iter().map(|name| name.as_bytes()).chain(row.cells.iter().map(|cell| cell.as_bytes()));
    format.write_row(&mut out, header);
    let columns = row.cells.len();
    let progress: &Progress = &job.progress;
    let inner = progress.lock();
    if own.is_empty() {
        let mut rest = Rows::new(text, inner.ingest.unprocessed_from.max(rows.at()), format);
        while job.state.is_end() && rest.read(&mut row) {
            format.write_row(&mut out, row.cells.iter().map(|cell| cell.as_bytes()));
        }
        return out;
    }
    let wants_failed = which == "failedResults";
    for outcome in inner.ingest.outcomes.iter().filter(|outcome| outcome.error.is_some() == wants_failed) {
        let id = outcome.number.map(|number| Id::new(prefix, number).to_string()).unwrap_or_default();
        let second = outcome.error.as_deref().unwrap_or(if outcome.created { "true" } else { "false" });
        let mut rows = Rows::new(text, outcome.span.0, format);
        rows.read(&mut row);
        let cells = row.cells.iter().map(|cell| cell.as_bytes()).chain(std::iter::repeat(&b""[..]));
        let own = [id.as_bytes(), second.as_bytes()].into_iter();
        format.write_row(&mut out, own.chain(cells.take(columns.max(row.cells.len()))));
    }
    out
}
