//! A page of records: from its bytes to Arrow.
//!
//! ```text
//!   bytes ─arrow-json─▶ one row { value: [ { column: text … } ] } ─values─▶ typed columns ─▶ records, misfits
//!        └─ where a value is not a single one ─▶ record by record ─┘
//! ```
//!
//! arrow-json takes the whole page as one JSON row, which needs no search for the borders of records. It reads every
//! value as text and not as its type, because it is too kind: it cuts `2.5` to 2 for a whole number, takes a bare number
//! for an instant, and stops the whole page at the first value that it does not take.

mod loose;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Int64Builder, StringArray, StringBuilder, StructArray};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use engine::failure::Failure;
use engine::outside::crm::{Deleted, Read, ReadField, Versions};
use memchr::{memchr2_iter, memmem};

use super::column;
use crate::records::{Layout, Part, ROWS_MAX, Texts};

const ETAG: &str = "@odata.etag";
const NEXT_LINK: &str = "@odata.nextLink";
const VALUE: &str = "value";
const DELTA_LINK: &str = "@odata.deltaLink";
/// Of a record of a feed of changes: what kind of entry it is.
const CONTEXT: &str = "@odata.context";
/// How the context of an entry ends that says that a record was deleted; its id is in [`DELETED_ID`].
const DELETED: &str = "/$deletedEntity";
const DELETED_ID: &str = "id";
/// How deep a page may nest and still be given to arrow-json, which shows what it does not take by recursion.
const DEPTH_MAX: usize = 32;

/// Decodes pages of one query.
#[derive(Debug)]
pub struct PageDecoder {
    layout: Layout,
    /// Where the texts are within a record, each once; the version comes last.
    places: Vec<Place>,
    /// Of the page.
    envelope: SchemaRef,
    /// Of `places` those of context and id, where a feed of changes is read.
    feed: Option<(usize, usize)>,
    /// Of `places` the id, which every record has.
    id: Option<usize>,
}

/// Where a text is: under this key of the record, or of the record at the end of this way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    way: Option<String>,
    key: String,
    /// Whether a value that is no single one is kept as JSON: types that we do not know.
    is_json: bool,
}

/// What a page held.
#[derive(Debug)]
pub struct Decoded {
    /// In order; more than one only where the page is larger than a batch may be.
    pub parts: Vec<Part>,
    /// Where the next page is.
    pub next_link: Option<String>,
    /// Records that a feed of changes reports as deleted.
    pub deleted: Vec<Deleted>,
    /// Of a feed of changes, on its last page: where the next reading begins.
    pub delta_link: Option<String>,
}

/// The links at the end of a page.
#[derive(Debug, Default)]
struct Links {
    next: Option<String>,
    delta: Option<String>,
}

impl PageDecoder {
    /// For these columns of records of their own.
    pub fn new(fields: &[ReadField]) -> Self {
        let place = |field: &ReadField| Place {
            way: None,
            key: column::own_key(&field.field),
            is_json: column::is_unknown(&field.field),
        };
        Self::with(fields, fields.iter().map(place).collect(), false, None)
    }

    /// For this reading.
    ///
    /// # Errors
    /// `Class::Config` where the way to a related record is not known.
    pub fn of(read: &Read) -> Result<Self, Failure> {
        let place = |field: &ReadField| {
            let is_json = column::is_unknown(&field.field);
            column::wire(&read.object, &field.field).map(|wire| Place { way: wire.way, key: wire.key, is_json })
        };
        let places = read.fields.iter().map(place).collect::<Result<_, _>>()?;
        Ok(Self::with(&read.fields, places, read.feed.is_some(), Some(&read.object.id)))
    }

    fn with(fields: &[ReadField], wanted: Vec<Place>, is_feed: bool, id: Option<&str>) -> Self {
        let mut places: Vec<Place> = Vec::with_capacity(wanted.len() + 4);
        let mut at = |place: Place| {
            places.iter().position(|known| *known == place).unwrap_or_else(|| {
                places.push(place);
                places.len() - 1
            })
        };
        let columns = fields.iter().zip(wanted).map(|(field, place)| (at(place), field.column())).collect();
        let own = |key: &str| Place { way: None, key: key.to_owned(), is_json: false };
        let feed = is_feed.then(|| (at(own(CONTEXT)), at(own(DELETED_ID))));
        let id = id.map(|id| at(own(id)));
        places.push(own(ETAG));
        let record = Field::new_list_field(DataType::Struct(record(&places)), false);
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let envelope = Schema::new(vec![
            Field::new(VALUE, DataType::List(Arc::new(record)), false),
            text(NEXT_LINK),
            text(DELTA_LINK),
        ]);
        Self { layout: Layout::new(columns), places, envelope: Arc::new(envelope), feed, id }
    }

    /// Decodes a page.
    ///
    /// # Errors
    /// Why the bytes are no page of records, such as being cut. A record that does not fit is no error.
    pub fn decode(&self, body: &[u8]) -> Result<Decoded, String> {
        // A byte order mark is not JSON, but some servers write one.
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
        let (mut texts, links) = match self.fast(body) {
            Some(found) => found,
            None => loose::read(&self.places, body)?,
        };
        let deleted = self.take_deleted(&mut texts)?;
        self.require_ids(&texts)?;
        let versions = versions(texts.columns.last());
        let parts = self.layout.parts(&texts, versions.as_ref(), ROWS_MAX).map_err(|error| error.to_string())?;
        Ok(Decoded { parts, next_link: links.next, deleted, delta_link: links.delta })
    }

    /// `None` where arrow-json does not take the page; the slow way then finds out why.
    fn fast(&self, body: &[u8]) -> Option<(Texts, Links)> {
        if is_too_deep(body) {
            return None;
        }
        // The page is one row, so that the size of a batch decides only how much room is made beforehand.
        let room = (body.len() / 256).clamp(1, 8 * 1024);
        let builder = ReaderBuilder::new(self.envelope.clone()).with_batch_size(room).with_coerce_primitive(true);
        let mut decoder = builder.build_decoder().ok()?;
        if decoder.decode(body).ok()? != body.len() || decoder.has_partial_record() || decoder.len() != 1 {
            return None;
        }
        let page = decoder.flush().ok()??;
        let records = page.column(0).as_list_opt::<i32>()?.values().as_struct_opt()?.clone();
        let link = |column: usize| {
            let link = page.column(column).as_string_opt::<i32>()?;
            link.is_valid(0).then(|| link.value(0).to_owned())
        };
        Some((self.texts(&records)?, Links { next: link(1), delta: link(2) }))
    }

    /// `None` where a column is no text.
    fn texts(&self, records: &StructArray) -> Option<Texts> {
        let column = |place: &Place| {
            let text = |of: &StructArray| of.column_by_name(&place.key)?.as_string_opt::<i32>().cloned();
            match &place.way {
                None => text(records),
                // Without the related record its fields are null too.
                Some(way) => text(records.column_by_name(way)?.as_struct_opt()?),
            }
        };
        let columns: Option<Vec<_>> = self.places.iter().map(column).collect();
        Some(Texts { columns: columns?, rows: records.len(), unfit: Vec::new() })
    }

    /// Takes the entries out that say that a record was deleted; they have its id and no time.
    fn take_deleted(&self, texts: &mut Texts) -> Result<Vec<Deleted>, String> {
        let Some((contexts, ids)) = self.feed.map(|(context, id)| (&texts.columns[context], &texts.columns[id])) else {
            return Ok(Vec::new());
        };
        let is_deleted = |row: usize| contexts.is_valid(row) && contexts.value(row).ends_with(DELETED);
        let rows: Vec<usize> = (0..texts.rows).filter(|row| is_deleted(*row)).collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if rows.iter().any(|row| ids.is_null(*row)) {
            return Err("a deletion does not say of which record".to_owned());
        }
        let deleted = rows.iter().map(|row| Deleted { id: ids.value(*row).to_ascii_lowercase(), at: None }).collect();
        let keep: BooleanArray = (0..texts.rows).map(|row| Some(!is_deleted(row))).collect();
        // Where a record now stands among those that are kept.
        let place = |row: usize| row - rows.partition_point(|deleted| *deleted < row);
        texts.unfit.retain(|(_, unfit)| keep.value(unfit.row));
        texts.unfit.iter_mut().for_each(|(_, unfit)| unfit.row = place(unfit.row));
        for column in &mut texts.columns {
            *column = filter(column, &keep).map_err(|error| error.to_string())?.as_string::<i32>().clone();
        }
        texts.rows = keep.true_count();
        Ok(deleted)
    }

    /// An entry without an id is not a record. A record whose values do not fit is rejected by itself.
    fn require_ids(&self, texts: &Texts) -> Result<(), String> {
        let Some(ids) = self.id.map(|id| &texts.columns[id]).filter(|ids| ids.null_count() > 0) else { return Ok(()) };
        let is_unfit = |row: usize| texts.unfit.iter().any(|(_, unfit)| unfit.row == row);
        match (0..texts.rows).find(|row| ids.is_null(*row) && !is_unfit(*row)) {
            Some(row) => Err(format!("record {} of the page has no id", row + 1)),
            None => Ok(()),
        }
    }
}

/// What arrow-json is to read of a record: its own texts, and a structure for each related record.
fn record(places: &[Place]) -> Fields {
    let text = |place: &Place| Arc::new(Field::new(&place.key, DataType::Utf8, true));
    let mut fields: Vec<FieldRef> = Vec::with_capacity(places.len());
    let mut related: BTreeMap<&str, Vec<FieldRef>> = BTreeMap::new();
    for place in places {
        match &place.way {
            None => fields.push(text(place)),
            Some(way) => related.entry(way).or_default().push(text(place)),
        }
    }
    let related = related.into_iter().map(|(way, texts)| Arc::new(Field::new_struct(way, texts, true)));
    fields.into_iter().chain(related).collect()
}

/// `W/"72201545"` is version 72201545.
fn versions(etags: Option<&StringArray>) -> Option<Versions> {
    let etags = etags.filter(|etags| etags.null_count() < etags.len())?;
    let mut exact = StringBuilder::with_capacity(etags.len(), etags.value_data().len());
    let mut order = Int64Builder::with_capacity(etags.len());
    for etag in etags {
        let version = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
        exact.append_option(version);
        order.append_option(version.and_then(|version| version.parse().ok()));
    }
    Some(Versions { exact: exact.finish(), order: order.finish() })
}

/// Finds where the next page is in the last bytes of this one, so that it can be asked for before this one is decoded.
/// The decoded page has the last word.
pub(super) fn link_in_tail(body: &[u8]) -> Option<String> {
    const TAIL_BYTES: usize = 64 * 1024;
    let tail = &body[body.len().saturating_sub(TAIL_BYTES)..];
    // Within a text the quotes would be escaped, so that this is the key itself.
    let key = b"\"@odata.nextLink\"";
    let after = &tail[memmem::rfind(tail, key)? + key.len()..];
    let text = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let mut end = 1;
    while *text.get(end)? != b'"' {
        end += if text[end] == b'\\' { 2 } else { 1 };
    }
    serde_json::from_slice(text.get(..=end)?).ok()
}

/// Whether the bytes could be a page at all: an object, from beginning to end.
pub(super) fn is_object(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    body.starts_with(b"{") && body.ends_with(b"}")
}

/// Whether arrow-json should not see this page.
///
/// A record's brace follows a comma or the list's bracket; any other opens a value within a value, as the envelope and
/// its list do. Only where there are more of them is their depth counted.
fn is_too_deep(body: &[u8]) -> bool {
    let is_inner = |place: &usize| match place.checked_sub(1).map(|before| body[before]) {
        Some(b',' | b'[') => body[*place] == b'[',
        _ => true,
    };
    if memchr2_iter(b'{', b'[', body).filter(is_inner).nth(DEPTH_MAX).is_none() {
        return false;
    }
    let (mut depth, mut deepest, mut is_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest > DEPTH_MAX
}

#[cfg(test)]
mod tests;
