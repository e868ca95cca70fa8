//! Ids of CRM records that come with a population: read, made comparable, looked up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use engine::context::Cx;
use engine::expr::{Bound, Source, Values};
use engine::failure::{Class, Failure};
use engine::outside::crm::{Crm, FETCH_MAX, Misfit, Object, Page, Read};
use engine::reject::Reject;
use engine::types::Type;

use crate::rows;

/// Records that are looked up together, so that there are never more ids than a CRM takes at once.
pub(crate) const CHUNK_RECORDS: usize = FETCH_MAX;

/// An id that came with a record.
#[derive(Debug, Clone)]
pub(crate) struct RemoteId {
    /// As it came.
    pub(crate) text: String,
    /// As the CRM compares it.
    pub(crate) key: String,
}

/// The expression that gives the id of each record.
pub(crate) struct RemoteIds {
    bound: Bound,
    values: Values,
    name: String,
    object: Arc<Object>,
}

impl RemoteIds {
    pub(crate) async fn new(
        cx: &Cx,
        source: &Source,
        columns: &arrow::datatypes::Schema,
        object: &Arc<Object>,
    ) -> Result<Self, Failure> {
        let bound = cx.bind(source, columns)?;
        let values = cx.values([&bound]).await?;
        let bound = bound.resolve(&values)?;
        if !matches!(bound.ty(), Type::Text | Type::Null | Type::Any) {
            let message = format!("the ids {} are {}, not text", source.text(), bound.ty());
            return Err(Failure::new(Class::Config, message));
        }
        Ok(Self { bound, values, name: source.text().to_owned(), object: Arc::clone(object) })
    }

    /// The id of each record, or why it has none.
    pub(crate) fn of(&self, crm: &dyn Crm, records: &RecordBatch) -> Result<Vec<Result<RemoteId, Reject>>, Failure> {
        let (array, failing) = rows::eval(&self.bound, records, &self.values)?;
        let texts = array.as_string_opt::<i32>();
        let empty = || {
            Reject::new("ID_EMPTY", format!("the id \"{}\" is empty", self.name))
                .field(&self.name)
                .help("fill it in where the record comes from, or leave such records out beforehand")
        };
        let mut ids: Vec<Result<RemoteId, Reject>> = (0..records.num_rows())
            .map(|row| {
                let text = texts.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row));
                let text = text.filter(|text| !text.trim().is_empty()).ok_or_else(empty)?;
                let key = crm.key(&self.object, &self.object.id, text.trim()).map_err(|why| {
                    Reject::new("ID_MALFORMED", format!("\"{}\" is no id of {}: {why}", short(text), self.object.name))
                        .field(&self.name)
                        .help("correct it where the record comes from")
                })?;
                Ok(RemoteId { text: text.to_owned(), key })
            })
            .collect();
        for (row, error) in failing {
            ids[row] = Err(rows::failed(&self.name, error));
        }
        Ok(ids)
    }

    /// The reject of a record that the CRM does not have.
    pub(crate) fn not_found(&self, id: &str) -> Reject {
        Reject::new("NOT_FOUND", format!("{} has no record with the id {id}", self.object.name)).field(&self.name).help(
            "it was deleted or merged in the CRM, or is not visible to the account; leave it out, or correct the id",
        )
    }
}

fn short(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    text.chars().take(CHARS_MAX).collect()
}

/// What the CRM has of some ids.
pub(crate) struct Found {
    pub(crate) page: Page,
    /// The place of each record in the page, by id as the CRM compares it.
    pub(crate) places: HashMap<String, usize>,
    misfits: HashMap<String, usize>,
}

impl Found {
    /// Looks up the distinct ones of these ids.
    pub(crate) async fn fetch(crm: &dyn Crm, read: &Read, id: usize, ids: &[String]) -> Result<Self, Failure> {
        let mut seen = HashSet::new();
        let distinct: Vec<String> = ids.iter().filter(|id| seen.insert(id.as_str())).cloned().collect();
        let page = if distinct.is_empty() {
            let records = RecordBatch::new_empty(read.schema());
            Page::new(records)
        } else {
            crm.fetch(read, &read.object.id, &distinct).await?
        };
        let key = |record: &RecordBatch, row: usize| {
            let column = record.column(id).as_string_opt::<i32>().filter(|column| column.is_valid(row))?;
            crm.key(&read.object, &read.object.id, column.value(row)).ok()
        };
        let places = (0..page.records.num_rows()).filter_map(|row| Some((key(&page.records, row)?, row))).collect();
        let misfits = page.rejects.iter().enumerate();
        let misfits = misfits.filter_map(|(n, misfit)| Some((key(&misfit.record, 0)?, n))).collect();
        Ok(Self { page, places, misfits })
    }

    /// The record that the CRM has but that does not fit its types.
    pub(crate) fn misfit(&self, id: &str) -> Option<&Misfit> {
        self.page.rejects.get(*self.misfits.get(id)?)
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.places.contains_key(id) || self.misfits.contains_key(id)
    }
}
