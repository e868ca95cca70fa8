//! The slow way to read a page: record by record, so that a value which is no single one spoils its record only.

use std::collections::HashMap;

use arrow::array::{StringArray, StringBuilder};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Links, Place};
use crate::records::{Texts, scalar};
use crate::values::Unfit;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
    #[serde(rename = "@odata.nextLink")]
    next_link: Option<String>,
    #[serde(rename = "@odata.deltaLink")]
    delta_link: Option<String>,
}

type Values<'a> = HashMap<String, &'a RawValue>;

/// The texts at the wanted places, and where the next page is.
pub(super) fn read(places: &[Place], body: &[u8]) -> Result<(Texts, Links), String> {
    let Envelope { value, next_link, delta_link } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut builders: Vec<StringBuilder> = places.iter().map(|_| StringBuilder::new()).collect();
    let mut unfit = Vec::new();
    for (row, record) in value.iter().enumerate() {
        let values: Option<Values<'_>> = serde_json::from_str(record.get()).ok();
        if values.is_none() {
            unfit.push((0, Unfit { row, message: "the record is not a JSON object".to_owned() }));
        }
        for (number, (place, builder)) in places.iter().zip(&mut builders).enumerate() {
            match values.as_ref().map_or(Ok(None), |values| at(values, place)) {
                Ok(text) => builder.append_option(text),
                Err(message) => {
                    builder.append_null();
                    unfit.push((number, Unfit { row, message }));
                }
            }
        }
    }
    let columns: Vec<StringArray> = builders.iter_mut().map(StringBuilder::finish).collect();
    Ok((Texts { columns, rows: value.len(), unfit }, Links { next: next_link, delta: delta_link }))
}

/// The text at a place; none also where there is no related record.
fn at(values: &Values<'_>, place: &Place) -> Result<Option<String>, String> {
    let text = |raw: &&RawValue| match place.is_json && raw.get().starts_with(['{', '[']) {
        true => Ok(Some(raw.get().to_owned())),
        false => scalar(raw),
    };
    let Some(way) = &place.way else {
        return values.get(&place.key).map_or(Ok(None), text);
    };
    let Some(related) = values.get(way).filter(|raw| raw.get() != "null") else { return Ok(None) };
    let related: Values<'_> = serde_json::from_str(related.get())
        .map_err(|_| "a single value stands where a related record should be".to_owned())?;
    related.get(&place.key).map_or(Ok(None), text)
}
