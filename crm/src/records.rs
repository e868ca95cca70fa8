//! From texts of columns to records, and to those that do not fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use engine::outside::crm::{Misfit, Versions};
use serde_json::value::RawValue;

use crate::values::{self, Unfit};

/// Rows of a batch; a page that has more becomes several.
pub(crate) const ROWS_MAX: usize = 5_000;

/// Texts of the wanted columns, whichever way they were found.
pub(crate) struct Texts {
    pub(crate) columns: Vec<StringArray>,
    pub(crate) rows: usize,
    /// What is no single value: place in `columns`, and row.
    pub(crate) unfit: Vec<(usize, Unfit)>,
}

/// Some of a page's records.
#[derive(Debug)]
pub struct Part {
    /// Those that fit.
    pub records: RecordBatch,
    /// Their versions.
    pub versions: Option<Versions>,
    /// Those that do not.
    pub misfits: Vec<Misfit>,
}

/// Which columns are made of which texts.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Place in the texts, and the column.
    columns: Vec<(usize, FieldRef)>,
    schema: SchemaRef,
}

impl Layout {
    /// Of these columns, each with the place of its texts.
    pub(crate) fn new(columns: Vec<(usize, FieldRef)>) -> Self {
        let schema = Schema::new(columns.iter().map(|(_, field)| field.clone()).collect::<Vec<_>>());
        Self { columns, schema: Arc::new(schema) }
    }

    /// A page's records, at most so many a part; always one part at least.
    pub(crate) fn parts(
        &self,
        texts: &Texts,
        versions: Option<&Versions>,
        rows_max: usize,
    ) -> Result<Vec<Part>, ArrowError> {
        let mut parts = Vec::with_capacity(texts.rows / rows_max + 1);
        for from in (0..texts.rows.max(1)).step_by(rows_max) {
            let rows = (texts.rows - from).min(rows_max);
            parts.push(self.part(&texts.slice(from, rows), versions.map(|versions| versions.slice(from, rows)))?);
        }
        Ok(parts)
    }

    fn part(&self, texts: &Texts, versions: Option<Versions>) -> Result<Part, ArrowError> {
        let mut unfit: BTreeMap<usize, (usize, String)> = BTreeMap::new();
        let mut note = |column: usize, found: Unfit| {
            unfit.entry(found.row).or_insert((column, found.message));
        };
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        let mut found = Vec::new();
        for (column, (place, field)) in self.columns.iter().enumerate() {
            for (_, structural) in texts.unfit.iter().filter(|(wire, _)| wire == place) {
                note(column, structural.clone());
            }
            arrays.push(values::convert(&texts.columns[*place], field.data_type(), &mut found));
            found.drain(..).for_each(|misfit| note(column, misfit));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(texts.rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?;
        if unfit.is_empty() {
            return Ok(Part { records: batch, versions, misfits: Vec::new() });
        }
        let fits: BooleanArray = (0..texts.rows).map(|row| Some(!unfit.contains_key(&row))).collect();
        let apart = filter_record_batch(&batch, &not(&fits)?)?;
        let misfit = |(row, (column, message))| {
            let field = self.schema.field(column).name().clone();
            Misfit { record: apart.slice(row, 1), field, message }
        };
        let misfits = unfit.into_values().enumerate().map(misfit).collect();
        let versions = match versions {
            Some(versions) => Some(versions.filter(&fits)?),
            None => None,
        };
        Ok(Part { records: filter_record_batch(&batch, &fits)?, versions, misfits })
    }
}

impl Texts {
    fn slice(&self, from: usize, rows: usize) -> Self {
        let unfit = self.unfit.iter().filter(|(_, unfit)| (from..from + rows).contains(&unfit.row));
        Self {
            columns: self.columns.iter().map(|column| column.slice(from, rows)).collect(),
            rows,
            unfit: unfit.map(|(place, unfit)| (*place, Unfit { row: unfit.row - from, ..unfit.clone() })).collect(),
        }
    }
}

/// The text of a single value: a string without quotes, a number as it is written, none for null.
pub(crate) fn scalar(raw: &RawValue) -> Result<Option<String>, String> {
    let written = raw.get();
    match written.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => match serde_json::from_str(written) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err("the text is not Unicode".to_owned()),
        },
        Some(b'{') => Err("an object stands where a single value should be".to_owned()),
        Some(b'[') => Err("a list stands where a single value should be".to_owned()),
        _ => Ok(Some(written.to_owned())),
    }
}
