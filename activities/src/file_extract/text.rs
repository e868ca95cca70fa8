//! The one written form of each type in a file, as in the database.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use engine::failure::{Class, Failure};
use engine::written::Written;

/// Values as text; null stays null.
pub(crate) fn written(values: &ArrayRef) -> Result<ArrayRef, Failure> {
    if *values.data_type() == DataType::Utf8 {
        return Ok(Arc::clone(values));
    }
    let none = || Failure::internal(format!("a value of type {} has no written form", values.data_type()));
    let written = Written::of(values).ok_or_else(none)?;
    let texts = (0..values.len()).map(|row| written.text(row)).collect::<Result<StringArray, _>>();
    texts.map(|texts| Arc::new(texts) as ArrayRef).map_err(|unwritable| {
        let help = "correct the value where it comes from, or leave such records out with a filter";
        Failure::new(Class::Data, unwritable.to_string()).help(help)
    })
}

/// With a `'` before what a spreadsheet would take for a formula; numbers are none.
pub(super) fn defused(texts: &ArrayRef) -> ArrayRef {
    let texts = texts.as_string::<i32>();
    let defuse = |text: &str| match text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err() {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    Arc::new(texts.iter().map(|text| text.map(defuse)).collect::<StringArray>())
}
