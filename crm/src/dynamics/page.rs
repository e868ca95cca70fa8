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

use arrow::array::{Array, AsArray, StringArray, StringBuilder, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use engine::outside::crm::ReadField;
use memchr::{memchr2_iter, memmem};

use super::column;
use crate::records::{Layout, Part, Texts};

const ETAG: &str = "@odata.etag";
const NEXT_LINK: &str = "@odata.nextLink";
const VALUE: &str = "value";
/// How deep a page may nest and still be given to arrow-json, which shows what it does not take by recursion.
const DEPTH_MAX: usize = 32;

/// Decodes pages of one query.
#[derive(Debug)]
pub struct PageDecoder {
    layout: Layout,
    /// Of the records, all of them text: the distinct keys of the columns, then the version.
    wire: Fields,
    /// Of the page.
    envelope: SchemaRef,
}

/// What a page held.
#[derive(Debug)]
pub struct Decoded {
    /// In order; more than one only where the page is larger than a batch may be.
    pub parts: Vec<Part>,
    /// Where the next page is.
    pub next_link: Option<String>,
}

impl PageDecoder {
    /// For these columns.
    pub fn new(fields: &[ReadField]) -> Self {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut wire: Vec<FieldRef> = Vec::with_capacity(fields.len() + 1);
        let mut columns = Vec::with_capacity(fields.len());
        for read in fields {
            let key = column::key(&read.field).into_owned();
            let place = *places.entry(key).or_insert_with_key(|key| {
                wire.push(Arc::new(Field::new(key, DataType::Utf8, true)));
                wire.len() - 1
            });
            columns.push((place, read.column()));
        }
        wire.push(Arc::new(Field::new(ETAG, DataType::Utf8, true)));
        let wire = Fields::from(wire);
        let record = Field::new_list_field(DataType::Struct(wire.clone()), false);
        let envelope = Schema::new(vec![
            Field::new(VALUE, DataType::List(Arc::new(record)), false),
            Field::new(NEXT_LINK, DataType::Utf8, true),
        ]);
        Self { layout: Layout::new(columns), wire, envelope: Arc::new(envelope) }
    }

    /// Decodes a page.
    ///
    /// # Errors
    /// Why the bytes are no page of records, such as being cut. A record that does not fit is no error.
    pub fn decode(&self, body: &[u8]) -> Result<Decoded, String> {
        // A byte order mark is not JSON, but some servers write one.
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
        let (texts, next_link) = match self.fast(body) {
            Some(found) => found,
            None => loose::read(&self.wire, body)?,
        };
        let versions = versions(texts.columns.last());
        let parts = self.layout.parts(&texts, versions.as_ref()).map_err(|error| error.to_string())?;
        Ok(Decoded { parts, next_link })
    }

    /// `None` where arrow-json does not take the page; the slow way then finds out why.
    fn fast(&self, body: &[u8]) -> Option<(Texts, Option<String>)> {
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
        let link = page.column(1).as_string_opt::<i32>()?;
        let next_link = link.is_valid(0).then(|| link.value(0).to_owned());
        Some((texts_of(&records)?, next_link))
    }
}

/// `None` where a column is no text.
fn texts_of(records: &StructArray) -> Option<Texts> {
    let columns: Option<Vec<_>> = records.columns().iter().map(|array| array.as_string_opt::<i32>().cloned()).collect();
    Some(Texts { columns: columns?, rows: records.len(), unfit: Vec::new() })
}

/// `W/"72201545"` is version 72201545.
fn versions(etags: Option<&StringArray>) -> Option<StringArray> {
    let etags = etags.filter(|etags| etags.null_count() < etags.len())?;
    let mut versions = StringBuilder::with_capacity(etags.len(), etags.value_data().len());
    for etag in etags {
        versions.append_option(etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"')));
    }
    Some(versions.finish())
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
