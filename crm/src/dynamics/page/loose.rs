//! The slow way to read a page: record by record, so that a value which is no single one spoils its record only.

use std::collections::HashMap;

use arrow::array::{StringArray, StringBuilder};
use arrow::datatypes::Fields;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::records::Texts;
use crate::values::Unfit;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
    #[serde(rename = "@odata.nextLink")]
    next_link: Option<String>,
}

/// The texts of the wanted keys, and where the next page is.
pub(super) fn read(wire: &Fields, body: &[u8]) -> Result<(Texts, Option<String>), String> {
    let Envelope { value, next_link } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut builders: Vec<StringBuilder> = wire.iter().map(|_| StringBuilder::new()).collect();
    let mut unfit = Vec::new();
    for (row, record) in value.iter().enumerate() {
        let values: Option<HashMap<String, &RawValue>> = serde_json::from_str(record.get()).ok();
        if values.is_none() {
            unfit.push((0, Unfit { row, message: "the record is not a JSON object".to_owned() }));
        }
        for (place, (field, builder)) in wire.iter().zip(&mut builders).enumerate() {
            match values.as_ref().and_then(|values| values.get(field.name())).map_or(Ok(None), |raw| text(raw)) {
                Ok(text) => builder.append_option(text),
                Err(message) => {
                    builder.append_null();
                    unfit.push((place, Unfit { row, message }));
                }
            }
        }
    }
    let columns: Vec<StringArray> = builders.iter_mut().map(StringBuilder::finish).collect();
    Ok((Texts { columns, rows: value.len(), unfit }, next_link))
}

/// The text of a single value: a string without quotes, a number as it is written, none for null.
fn text(raw: &RawValue) -> Result<Option<String>, String> {
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
