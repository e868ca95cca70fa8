//! A page of records, in JSON or CSV: from its bytes to texts, which [`crate::records`] makes Arrow.
//!
//! An empty text is null: Salesforce stores none, and its CSV cannot tell the two apart.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray, StringArray, StringBuilder};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use engine::outside::crm::{FieldKind, Read, Versions};
use engine::words::counted;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::field;
use super::query::{Plan, VERSION};
use crate::records::{Layout, Part, ROWS_MAX, Texts, scalar};
use crate::values::{self, Unfit};

/// Decodes pages of one reading.
#[derive(Debug)]
pub(super) struct PageDecoder {
    layout: Layout,
    /// What is selected, by its path.
    wire: Vec<Wire>,
    id: usize,
    version: Option<usize>,
    /// A page that has more becomes several parts.
    rows_max: usize,
}

#[derive(Debug)]
struct Wire {
    path: String,
    steps: Vec<String>,
    /// Whether a value that is no single one is kept as JSON: types that we do not know.
    is_json: bool,
}

impl Wire {
    fn text(&self, raw: &RawValue) -> Result<Option<String>, String> {
        let is_single = !raw.get().starts_with(['{', '[']);
        if self.is_json && !is_single { Ok(Some(raw.get().to_owned())) } else { scalar(raw) }
    }
}

/// What a page held.
pub(super) struct Decoded {
    pub(super) parts: Vec<Part>,
    /// Records of all parts, those that do not fit among them.
    pub(super) rows: usize,
    /// The id of the last record of each part.
    pub(super) last: Vec<Option<String>>,
    /// Where the next page is, in JSON.
    pub(super) next: Option<String>,
    /// How many records the whole query has.
    pub(super) total: u64,
}

impl Decoded {
    /// The first page of a query: without another one it is the whole.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn first(self) -> Result<Self, String> {
        match self.next {
            None if self.rows as u64 != self.total => {
                Err(format!("it is the only page, with {} of {} records", self.rows, self.total))
            }
            _ => Ok(self),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(default)]
    total_size: u64,
    done: bool,
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
    next_records_url: Option<String>,
}

impl PageDecoder {
    pub(super) fn new(read: &Read, plan: &Plan, records_per_page: u32) -> Self {
        let place = |path: &str| plan.select.iter().position(|known| known == path);
        let mut columns = Vec::with_capacity(read.fields.len());
        let mut json = vec![false; plan.select.len()];
        for wanted in &read.fields {
            let path = field::path(&wanted.field).unwrap_or_default();
            // `Plan` has refused what is not selected.
            let place = place(&path).unwrap_or_default();
            json[place] |= wanted.field.kind == FieldKind::Text;
            columns.push((place, wanted.column()));
        }
        let wire = plan.select.iter().zip(json).map(|(path, is_json)| Wire {
            path: path.clone(),
            steps: path.split('.').map(str::to_owned).collect(),
            is_json,
        });
        Self {
            layout: Layout::new(columns),
            wire: wire.collect(),
            id: place(&plan.id).unwrap_or_default(),
            version: place(VERSION),
            rows_max: (records_per_page.max(1) as usize).min(ROWS_MAX),
        }
    }

    /// A page of a query.
    ///
    /// # Errors
    /// Why the bytes are no page, such as being cut. A record that does not fit is no error.
    pub(super) fn json(&self, body: &[u8]) -> Result<Decoded, String> {
        let Envelope { total_size, done, records, next_records_url } =
            serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if !done && next_records_url.is_none() {
            return Err("it is not the last page, and has no link to the next one".to_owned());
        }
        let decoded = self.decoded(self.texts(&records))?;
        Ok(Decoded { next: next_records_url, total: total_size, ..decoded })
    }

    /// A list of the records with these ids, in their order, in which those that are not there are null.
    pub(super) fn list(&self, body: &[u8], ids: &[String]) -> Result<Decoded, String> {
        let records: Vec<Option<&RawValue>> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if records.len() != ids.len() {
            return Err(format!("{} records for {} ids", records.len(), ids.len()));
        }
        let there = records.iter().zip(ids).filter_map(|(raw, id)| Some((raw.filter(|raw| raw.get() != "null")?, id)));
        let (records, ids): (Vec<&RawValue>, Vec<&String>) = there.unzip();
        let texts = self.texts(&records);
        let is_same = |(found, asked): (Option<&str>, &&String)| match found {
            Some(found) => normal(found) == normal(asked),
            // The check for ids says what is wrong.
            None => true,
        };
        if !texts.columns[self.id].iter().zip(&ids).all(is_same) {
            return Err("a record has another id than the one that was asked for at its place".to_owned());
        }
        self.decoded(texts)
    }

    fn texts(&self, records: &[&RawValue]) -> Texts {
        let mut builders: Vec<StringBuilder> = self.wire.iter().map(|_| StringBuilder::new()).collect();
        let mut unfit = Vec::new();
        let columns: Vec<(usize, &[String])> =
            self.wire.iter().enumerate().map(|(place, wire)| (place, wire.steps.as_slice())).collect();
        let mut row_of: Vec<Option<&RawValue>> = vec![None; self.wire.len()];
        for (row, record) in records.iter().enumerate() {
            row_of.fill(None);
            if !spread(record, &columns, &mut row_of) {
                unfit.push((self.id, Unfit { row, message: "the record is not a JSON object".to_owned() }));
            }
            for (place, (builder, raw)) in builders.iter_mut().zip(&row_of).enumerate() {
                match raw.map_or(Ok(None), |raw| self.wire[place].text(raw)) {
                    Ok(text) => builder.append_option(text.filter(|text| !text.is_empty())),
                    Err(message) => {
                        builder.append_null();
                        unfit.push((place, Unfit { row, message }));
                    }
                }
            }
        }
        Texts { columns: builders.iter_mut().map(StringBuilder::finish).collect(), rows: records.len(), unfit }
    }

    /// A page of a bulk job's result.
    ///
    /// # Errors
    /// Why the bytes are no CSV with the columns that were asked for.
    pub(super) fn csv(&self, body: &[u8]) -> Result<Decoded, String> {
        // Some results hold zero bytes, which no text has.
        let clean;
        let body = match memchr::memchr(0, body) {
            Some(_) => {
                clean = body.iter().copied().filter(|byte| *byte != 0).collect::<Vec<_>>();
                clean.as_slice()
            }
            None => body,
        };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(body);
        let header = reader.byte_headers().map_err(|error| error.to_string())?.clone();
        let mut places = Vec::with_capacity(self.wire.len());
        for wire in &self.wire {
            let is_it = |name: &[u8]| name.eq_ignore_ascii_case(wire.path.as_bytes());
            places.push(header.iter().position(is_it).ok_or_else(|| format!("the column {} is missing", wire.path))?);
        }
        let mut builders: Vec<StringBuilder> = self.wire.iter().map(|_| StringBuilder::new()).collect();
        let (mut unfit, mut rows, mut record) = (Vec::new(), 0, csv::ByteRecord::new());
        while reader.read_byte_record(&mut record).map_err(|error| error.to_string())? {
            if record.len() != header.len() {
                return Err(format!("line {} has {}, not {}", rows + 2, counted(record.len(), "value"), header.len()));
            }
            for (place, (builder, column)) in builders.iter_mut().zip(&places).enumerate() {
                match std::str::from_utf8(&record[*column]) {
                    Ok(text) => builder.append_option(Some(text).filter(|text| !text.is_empty())),
                    Err(_) => {
                        builder.append_null();
                        unfit.push((place, Unfit { row: rows, message: "the text is not Unicode".to_owned() }));
                    }
                }
            }
            rows += 1;
        }
        let columns = builders.iter_mut().map(StringBuilder::finish).collect();
        self.decoded(Texts { columns, rows, unfit })
    }

    /// An entry without an id is not a record. A record whose values do not fit is rejected by itself.
    fn require_ids(&self, texts: &Texts) -> Result<(), String> {
        let ids = &texts.columns[self.id];
        let is_unfit = |row: usize| texts.unfit.iter().any(|(_, unfit)| unfit.row == row);
        match (0..texts.rows).find(|row| ids.is_null(*row) && !is_unfit(*row)) {
            Some(row) => Err(format!("record {} of the page has no id", row + 1)),
            None => Ok(()),
        }
    }

    fn decoded(&self, texts: Texts) -> Result<Decoded, String> {
        self.require_ids(&texts)?;
        let changed = self.version.map(|place| changed(&texts.columns[place]));
        let mut parts =
            self.layout.parts(&texts, changed.as_ref(), self.rows_max).map_err(|error| error.to_string())?;
        for part in &mut parts {
            part.versions = versions(part).map_err(|error| error.to_string())?;
        }
        let ids = &texts.columns[self.id];
        let last = |part: usize| {
            let row = ((part + 1) * self.rows_max).min(ids.len()).checked_sub(1)?;
            ids.is_valid(row).then(|| ids.value(row).to_owned())
        };
        let last = (0..parts.len()).map(last).collect();
        Ok(Decoded { parts, rows: texts.rows, last, next: None, total: 0 })
    }
}

/// An id with 18 characters, by which ids are compared.
fn normal(id: &str) -> String {
    field::id(id).unwrap_or_else(|_| id.to_owned())
}

/// The instants of the last changes, as text and as numbers.
fn changed(texts: &StringArray) -> Versions {
    let instants = values::convert(texts, &FieldKind::DateTime.arrow(), &mut Vec::new());
    let order = instants.as_primitive::<TimestampMicrosecondType>().reinterpret_cast();
    Versions { exact: texts.clone(), order }
}

/// The second of the last change, and what the record holds: two changes within a second differ by that. Of values and
/// not of texts, since JSON and CSV write the same instant differently.
fn versions(part: &Part) -> Result<Option<Versions>, ArrowError> {
    let Some(Versions { exact: changed, order }) = &part.versions else { return Ok(None) };
    let batch = &part.records;
    let columns = batch.schema_ref().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let rows = match batch.num_columns() {
        0 => None,
        _ => Some(RowConverter::new(columns)?.convert_columns(batch.columns())?),
    };
    let mut versions = StringBuilder::with_capacity(changed.len(), changed.len() * 40);
    for (row, at) in changed.iter().enumerate() {
        let hash = rows.as_ref().map(|rows| blake3::hash(rows.row(row).as_ref()).to_hex());
        let at = at.map(|at| at.trim_end_matches("+0000").trim_end_matches('Z'));
        versions.append_value(format!("{}-{}", at.unwrap_or_default(), hash.as_ref().map_or("", |hash| &hash[..16])));
    }
    Ok(Some(Versions { exact: versions.finish(), order: order.clone() }))
}

/// Finds the values of these paths in a record; `false` where it is none.
fn spread<'a>(record: &'a RawValue, columns: &[(usize, &[String])], row: &mut [Option<&'a RawValue>]) -> bool {
    let Ok(values) = serde_json::from_str::<HashMap<String, &'a RawValue>>(record.get()) else { return false };
    let mut deeper: BTreeMap<&str, Vec<(usize, &[String])>> = BTreeMap::new();
    for (place, steps) in columns {
        match steps {
            [name] => row[*place] = values.get(name).copied(),
            [first, rest @ ..] => deeper.entry(first).or_default().push((*place, rest)),
            [] => {}
        }
    }
    for (first, columns) in deeper {
        // A record that leads to no other one has null there.
        if let Some(related) = values.get(first).filter(|raw| raw.get() != "null") {
            spread(related, &columns, row);
        }
    }
    true
}
