//! Leaves out what the CRM has already: records are read by their key before they are sent.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use engine::expr::Value;
use engine::failure::Failure;
use engine::outside::crm::{Crm, FETCH_MAX, ObjectField, Page, Read, ReadField, Write};
use rust_decimal::Decimal;

use super::identity::KeyOf;
use crate::rows::wrong;

/// How records are read to be compared.
pub(super) struct Compare {
    pub(super) read: Read,
    key: String,
    /// The fields that are compared.
    fields: Vec<ObjectField>,
}

impl Compare {
    /// Of a write that has a key of one field.
    pub(super) fn new(write: &Write) -> Option<Self> {
        let [key] = write.key.as_slice() else { return None };
        let mut read: Vec<ReadField> = Vec::new();
        for field in &write.fields {
            read.push(ReadField { field: field.field.clone(), raw: field.raw });
        }
        if let Some(id) = write.object.fields.get(&write.object.id)
            && !read.iter().any(|field| field.field.name == id.name)
        {
            read.push(ReadField { field: id.clone(), raw: false });
        }
        let fields = write.fields.iter().filter(|field| field.field.name != *key);
        let fields = fields.map(|field| field.field.clone()).collect();
        Some(Self { read: Read::new(Arc::clone(&write.object), read), key: key.clone(), fields })
    }

    /// The ids of the records that are in the CRM with these values already.
    pub(super) async fn unchanged(
        &self,
        crm: &dyn Crm,
        records: &RecordBatch,
        keys: &[KeyOf],
        asked: &[bool],
    ) -> Result<Vec<Option<String>>, Failure> {
        let mut unchanged = vec![None; keys.len()];
        let one = |row: &usize| match &keys[*row] {
            KeyOf::Is(parts) => parts.first().cloned(),
            _ => None,
        };
        let rows: Vec<(usize, String)> =
            (0..keys.len()).filter(|row| asked[*row]).filter_map(|row| Some((row, one(&row)?))).collect();
        for some in rows.chunks(FETCH_MAX) {
            let wanted: Vec<String> = some.iter().map(|(_, key)| key.clone()).collect();
            let page = crm.fetch(&self.read, &self.key, &wanted).await?;
            let there = self.by_key(crm, &page)?;
            for (row, key) in some {
                if let Some(found) = there.get(key)
                    && self.is_same(crm, records, *row, &page.records, *found)?
                {
                    unchanged[*row] = Some(text_of(column(&page.records, &self.read.object.id)?, *found));
                }
            }
        }
        Ok(unchanged)
    }

    /// Where each record is in the page.
    fn by_key(&self, crm: &dyn Crm, page: &Page) -> Result<HashMap<String, usize>, Failure> {
        let keys = column(&page.records, &self.key)?;
        let key = |row| Some((crm.key(&self.read.object, &self.key, &text_of(keys, row)).ok()?, row));
        Ok((0..page.records.num_rows()).filter_map(key).collect())
    }

    /// Whether the CRM has these values already, as it keeps them.
    fn is_same(
        &self,
        crm: &dyn Crm,
        ours: &RecordBatch,
        row: usize,
        theirs: &RecordBatch,
        found: usize,
    ) -> Result<bool, Failure> {
        for field in &self.fields {
            let name = &field.name;
            let ours = Value::at(column(ours, name)?, row);
            // No related record is meant, and the lookup is left as it is.
            if ours == Value::Null && name.contains('.') {
                continue;
            }
            let theirs = crm.kept(field, Value::at(column(theirs, name)?, found));
            let ours = crm.kept(field, ours);
            if ours != theirs && !is_rounded(field, &ours, &theirs) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether the CRM has our number with the places that the field describes. Some systems round to them and some do not, so a
/// number of theirs with more places is never taken for ours; they differ in which way a half goes, so both ways count.
fn is_rounded(field: &ObjectField, ours: &Value, theirs: &Value) -> bool {
    let Some(places) = field.places.map(u32::from).filter(|places| *places <= Decimal::MAX_SCALE) else { return false };
    let (Some(ours), Some(theirs)) = (fraction(ours), fraction(theirs)) else { return false };
    let twice = ours.checked_sub(theirs).and_then(|lost| lost.abs().checked_mul(Decimal::TWO));
    theirs == theirs.trunc_with_scale(places) && twice.is_some_and(|twice| twice <= Decimal::new(1, places))
}

/// A number that may have places after the point.
fn fraction(value: &Value) -> Option<Decimal> {
    match value {
        Value::Decimal(number) => Some(*number),
        // As it is written: 1.005, not the binary number next to it.
        Value::Float(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, Failure> {
    let missing = || wrong(arrow::error::ArrowError::SchemaError(format!("there is no column {name}")));
    batch.column_by_name(name).ok_or_else(missing)
}

fn text_of(array: &ArrayRef, row: usize) -> String {
    Value::at(array, row).to_string()
}

#[cfg(test)]
mod tests {
    use engine::outside::crm::FieldKind;

    use super::*;

    #[test]
    fn a_number_is_the_same_with_the_places_that_its_field_describes() {
        let money = ObjectField { places: Some(2), ..ObjectField::new("f", FieldKind::Decimal { scale: 4 }) };
        let is = |ours: &str, theirs: &str| {
            let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
            let float = |text: &str| Value::Float(text.parse().unwrap());
            let same = is_rounded(&money, &decimal(ours), &decimal(theirs));
            assert_eq!(same, is_rounded(&money, &float(ours), &float(theirs)), "{ours} {theirs}");
            same
        };
        assert!(is("1.2346", "1.23") && is("1.2351", "1.2400") && is("-1.2346", "-1.23") && is("1e-7", "0"));
        assert!(is("1.005", "1.00") && is("1.005", "1.01"), "a half goes either way");
        assert!(!is("1.2346", "1.24") && !is("1.2346", "1.22") && !is("1.2346", "-1.23"));
        assert!(!is("1.23", "1.2346"), "the CRM keeps more places, and has another number");
        let far =
            [Value::Float(1e300), Value::Float(-1e300), Value::Decimal(Decimal::MAX), Value::Decimal(Decimal::MIN)];
        for (ours, theirs) in far.iter().flat_map(|ours| far.iter().map(move |theirs| (ours, theirs))) {
            assert!(ours == theirs || !is_rounded(&money, ours, theirs), "{ours:?} {theirs:?}");
        }
        let unknown = ObjectField { places: None, ..money.clone() };
        assert!(!is_rounded(&unknown, &Value::Float(1.2346), &Value::Float(1.23)));
        assert!(
            !is_rounded(&money, &Value::Null, &Value::Float(0.0))
                && !is_rounded(&money, &Value::Int(1), &Value::Int(2))
        );
    }
}
