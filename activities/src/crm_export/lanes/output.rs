//! Passes records on, in the order of arrival, with what became of them.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use engine::context::Cx;
use engine::event::Level;
use engine::failure::Failure;
use engine::outside::crm::{Operation, Outcome, What};
use engine::types::is_hidden;
use serde::{Deserialize, Serialize};

use crate::crm_export::batches::Cut;
use crate::crm_export::ledger::state::Fate;
use crate::crm_export::remember::{Asker, InDoubt, explain_all};
use crate::crm_export::request::Request;
use crate::file_extract::FileExtract;
use crate::rejects::{self, Kinds};
use crate::rows::{self, wrong};

/// What the port `ok` adds to the columns of the records.
const OK: [&str; 2] = ["crmId", "outcome"];
/// And the port `inDoubt`.
const IN_DOUBT: [&str; 1] = ["inDoubtReason"];
/// Counts records in doubt that an earlier export sent.
pub(super) const SET_ASIDE: &str = "setAside";
/// The longest reason that the journal has, in characters; the record has all of it.
const REASON_CHARS_MAX: usize = 160;

/// The columns of records that were written.
pub(crate) fn columns_ok(records: &Schema) -> SchemaRef {
    with(records, &OK)
}

/// The columns of records of which nothing can be known.
pub(crate) fn columns_in_doubt(records: &Schema) -> SchemaRef {
    with(records, &IN_DOUBT)
}

/// A record that was exported before loses what was said of it then.
fn with(records: &Schema, new: &[&str]) -> SchemaRef {
    let fields = kept(records, new).map(|(_, field)| Arc::clone(field));
    let new = new.iter().map(|name| Arc::new(Field::new(*name, DataType::Utf8, true)));
    Arc::new(Schema::new(fields.chain(new).collect::<Vec<FieldRef>>()))
}

fn kept<'a>(records: &'a Schema, new: &[&str]) -> impl Iterator<Item = (usize, &'a FieldRef)> {
    let all = records.fields().iter().enumerate();
    all.filter(move |(_, field)| !is_hidden(field) && !new.contains(&field.name().as_str()))
}

/// Records with new columns of text.
fn added(records: &RecordBatch, names: &[&str], values: Vec<StringArray>) -> Result<RecordBatch, Failure> {
    let schema = records.schema();
    let mut columns: Vec<ArrayRef> = kept(&schema, names).map(|(place, _)| Arc::clone(records.column(place))).collect();
    columns.extend(values.into_iter().map(|values| Arc::new(values) as ArrayRef));
    let mut fields = with(&schema, names).fields().to_vec();
    for (field, column) in rows::hidden(records) {
        fields.push(field);
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(wrong)
}

/// How far records were passed on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Position {
    /// The place of the first record that was not.
    pub(super) place: u64,
    /// Rejects so far.
    pub(super) refused: u64,
    pub(super) rejects: Kinds,
    in_doubt: u64,
    /// Of the first record in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Whether the file of the rejects is written.
    #[serde(default)]
    written: bool,
}

pub(super) struct Output {
    position: Position,
    records: u64,
    asker: Asker,
}

impl Output {
    pub(super) async fn new(
        cx: &mut Cx,
        request: &Request,
        columns: &SchemaRef,
        records: u64,
        position: Position,
        asker: Asker,
    ) -> Self {
        cx.open("ok", columns_ok(columns)).await;
        let whats: &[What] = match request.write.operation {
            Operation::Insert => &[What::Created],
            Operation::Update => &[What::Updated, What::Unchanged],
            Operation::Upsert => &[What::Created, What::Updated, What::Unchanged],
            Operation::Delete => &[What::Deleted, What::Absent],
        };
        // So that they are told also where nothing comes.
        for what in whats {
            cx.count(what.word(), 0);
        }
        cx.progress(position.place, Some(records));
        Self { position, records, asker }
    }

    /// How far records were passed on.
    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    /// Passes the records of a batch on.
    pub(super) async fn pass_on(&mut self, cx: &mut Cx, cut: Cut, outcomes: Vec<Outcome>) -> Result<(), Failure> {
        let mut outcomes = outcomes.into_iter();
        let (mut ids, mut whats, mut refused, mut reasons) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut masks = [const { Vec::new() }; 3];
        let mut doubts = Vec::new();
        for (row, fate) in cut.fates.into_iter().enumerate() {
            let (outcome, sent) = match fate {
                Fate::Decided(outcome) => (outcome, false),
                Fate::Send(_) => (outcomes.next().ok_or_else(|| Failure::internal("an outcome is missing"))?, true),
            };
            let port = match outcome {
                Outcome::Done { id, what } => {
                    cx.count(what.word(), 1);
                    // Of some that a person settled it is only known that they are there.
                    ids.push(Some(id).filter(|id| !id.is_empty()));
                    whats.push(what.word());
                    0
                }
                Outcome::Refused(reject) => {
                    self.position.rejects.count(&reject);
                    refused.push(reject);
                    1
                }
                Outcome::InDoubt { reason } => {
                    let first = || reason.chars().take(REASON_CHARS_MAX).collect();
                    self.position.reason.get_or_insert_with(first);
                    doubts.push(InDoubt { row, reason: reason.clone(), sent });
                    reasons.push(reason);
                    2
                }
            };
            for (number, mask) in masks.iter_mut().enumerate() {
                mask.push(number == port);
            }
        }
        let [ok, reject, in_doubt] = masks;
        self.position.refused += refused.len() as u64;
        self.position.in_doubt += reasons.len() as u64;
        if !ids.is_empty() {
            let values = vec![StringArray::from(ids), StringArray::from(whats)];
            cx.write("ok", added(&rows::filter(&cut.rows, &ok)?, &OK, values)?).await;
        }
        if !refused.is_empty() {
            cx.write("reject", rejects::batch(&rows::filter(&cut.rows, &reject)?, &refused)?).await;
        }
        if !reasons.is_empty() {
            self.asker.ask(cx, cut.from, &cut.rows, &doubts).await?;
            let set_aside = doubts.iter().filter(|doubt| !doubt.sent).count() as u64;
            if set_aside > 0 {
                cx.count(SET_ASIDE, set_aside);
            }
            let records = rows::filter(&cut.rows, &in_doubt)?;
            cx.write("inDoubt", added(&records, &IN_DOUBT, vec![StringArray::from(reasons)])?).await;
        }
        self.position.place = cut.from + cut.rows.num_rows() as u64;
        cx.progress(self.position.place, Some(self.records));
        cx.checkpoint(&self.position).await
    }

    /// What is left to do once all records are passed on.
    pub(super) async fn end(mut self, cx: &mut Cx, request: &Request, folder: &Path) -> Result<(), Failure> {
        if self.position.in_doubt > 0 {
            explain_all(cx, folder).await?;
        }
        if let Some(path) = request.rejects_file.as_ref().filter(|_| !self.position.written) {
            cx.seal(&self.position).await?;
            let population = cx.sealed("reject");
            if population.rows() > 0 {
                let (columns, _) =
                    engine::population::read_segment(population.run_folder(), &population.segments()[0])?;
                FileExtract::whole(path).write(cx, &population, &rows::visible(&columns)).await?;
            }
            self.position.written = true;
            cx.seal(&self.position).await?;
        }
        self.position.rejects.warn(cx).await?;
        let Position { in_doubt, reason, .. } = &self.position;
        if *in_doubt > 0 {
            let noun = if *in_doubt == 1 { "record" } else { "records" };
            let reason = reason.as_deref().unwrap_or_default();
            cx.log(Level::Warning, format!("{in_doubt} {noun} in doubt, not sent again: {reason}")).await?;
        }
        Ok(())
    }
}
