//! Constants that the description of their field already refutes: each record would be a reject.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use engine::expr::{Bound, Expr, Value, Values};
use engine::flow::FlowCx;
use engine::outside::crm::{FieldKind, ObjectField};
use engine::words::counted;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::values;
use crate::conversion::Conversion;

/// The functions whose value no constant tells.
const OF_THE_MOMENT: [&str; 2] = ["now", "today"];

/// Reports a constant that the field does not take.
pub(super) fn check(bound: &Bound, field: &ObjectField, conversion: Conversion, pointer: &str, cx: &mut FlowCx<'_>) {
    if conversion.is_raw() {
        return;
    }
    let Some(array) = constant(bound, cx.time_zone) else { return };
    let Ok((converted, lost)) = values::convert(&array, field.kind, conversion, cx.time_zone) else { return };
    let help = || Some(values::cure(field));
    if !lost.is_empty() {
        let message = format!("\"{}\" cannot be sent as {}", Value::at(&array, 0), values::named(field.kind));
        cx.problem(pointer, "value-not-taken", message, help());
        return;
    }
    let value = Value::at(&converted, 0);
    if let Some(message) = refusal(&value, field) {
        cx.problem(pointer, "value-not-taken", message, help());
    }
    // An administrator may have left the list open.
    if matches!(field.kind, FieldKind::TextPicklist | FieldKind::TextMultiPicklist)
        && let Some(choice) = unlisted(&value, field)
    {
        cx.risk(pointer, "value-not-listed", format!("\"{choice}\" is not on the list of {}", field.name), help());
    }
}

/// The value for every record, in one row; `None` where the record, a variable or the time decides, or it cannot be computed.
fn constant(bound: &Bound, zone: &TimeZone) -> Option<ArrayRef> {
    let mut is_constant = true;
    bound.expr().visit(&mut |expr| {
        is_constant &= match expr {
            Expr::Field(_) | Expr::Variable(_) | Expr::Shared(..) => false,
            Expr::Call(function, _) => !OF_THE_MOMENT.contains(&function.name),
            _ => true,
        };
    });
    if !is_constant {
        return None;
    }
    let row = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &row).ok()?;
    bound.eval(&row, &Values { zone: zone.clone(), ..Values::empty(Timestamp::UNIX_EPOCH) }).ok()
}

/// Why the field refuses this value for certain.
fn refusal(value: &Value, field: &ObjectField) -> Option<String> {
    use FieldKind::{BigInt, Decimal, Double, Int, Money, MultiPicklist, Picklist, Text};
    let name = &field.name;
    match field.kind {
        _ if *value == Value::Null => None,
        Text => {
            let (most, found) = (field.length?, value.to_string().chars().count());
            (found > most as usize)
                .then(|| format!("{name} takes {}, and this has {found}", counted(most, "character")))
        }
        Int | BigInt | Double | Money | Decimal { .. } => {
            let is_out = is_beyond(value, field.min, Ordering::Less) || is_beyond(value, field.max, Ordering::Greater);
            is_out.then(|| format!("{value} is beyond the ends of {name}"))
        }
        Picklist | MultiPicklist => {
            unlisted(value, field).map(|choice| format!("{choice} is no number of the list of {name}"))
        }
        _ => None,
    }
}

/// Whether a number is on this side of an end.
fn is_beyond(value: &Value, end: Option<f64>, side: Ordering) -> bool {
    let (text, Some(end)) = (value.to_string(), end) else { return false };
    let exact = |text: &str| text.parse::<rust_decimal::Decimal>().ok();
    match exact(&text).zip(exact(&end.to_string())) {
        Some((number, end)) => number.cmp(&end) == side,
        None => text.parse::<f64>().is_ok_and(|number| number.partial_cmp(&end) == Some(side)),
    }
}

/// The first choice that is not among those of the field, where these are known.
fn unlisted(value: &Value, field: &ObjectField) -> Option<String> {
    let choices = match value {
        Value::List(items) => items.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    let mut unlisted = choices.iter().map(Value::to_string).filter(|choice| !field.options.contains_key(choice));
    unlisted.next().filter(|choice| !field.options.is_empty() && !choice.is_empty())
}
