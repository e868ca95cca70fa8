//! Values on their way into a field of a CRM.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int32Array, Int64Array, ListBuilder, StringArray, StringBuilder,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use engine::expr::Value;
use engine::failure::Failure;
use engine::outside::crm::{CHOICES_TOLD_MAX, FieldKind, ObjectField, choices};
use engine::types::{Type, UTC};
use engine::words::counted;
use engine::written::read_list;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::conversion::Conversion;
use crate::convert::exactly;
use crate::file_extract::text;

/// What separates the values of a list that is written as one text.
const LIST_SEPARATORS: [char; 2] = [';', ','];

/// Whether values of a type can become those of a field; else what to write instead, where there is something.
///
/// Text is read where there is one way to read it; a record whose text cannot be read is a reject. What changes a value
/// in another way (an instant that is a day only somewhere, a number that loses its fraction) is never done silently.
pub(super) fn fits(from: &Type, kind: FieldKind, conversion: Conversion) -> Result<(), Option<&'static str>> {
    use FieldKind as K;
    use Type as T;
    if matches!(from, T::Null | T::Any | T::Text) || conversion.is_raw() {
        return Ok(());
    }
    let dated = matches!(from, T::Date | T::DateTime | T::LocalDateTime);
    match kind {
        K::Text | K::TextPicklist | K::Lookup if !matches!(from, T::List(_)) => Ok(()),
        K::Bool if *from == T::Bool => Ok(()),
        K::Bool if *from == T::Int => Err(Some("… != 0")),
        K::Picklist if *from == T::Bool => Err(Some("the number of its choice: if … { 1 } else { 2 }")),
        // Salesforce describes most numbers as whole ones of 18 digits; a value that is none is a reject.
        K::BigInt if matches!(from, T::Decimal | T::Float) => Ok(()),
        K::Int | K::BigInt | K::Picklist => match from {
            T::Int | T::Bool => Ok(()),
            T::Decimal | T::Float => Err(Some("to_int(…)")),
            _ => Err(None),
        },
        K::Double | K::Money | K::Decimal { .. } if matches!(from, T::Int | T::Decimal | T::Float) => Ok(()),
        K::Date if *from == T::Date || (dated && conversion == Conversion::DateOnly) => Ok(()),
        K::Date if dated => Err(Some("\"conversion\": \"dateOnly\" beside it, or date(…)")),
        K::DateTime | K::LocalDateTime if dated => Ok(()),
        K::Time if *from == T::Time => Ok(()),
        K::MultiPicklist if matches!(from, T::List(_) | T::Int) => Ok(()),
        K::TextMultiPicklist if matches!(from, T::List(_)) => Ok(()),
        _ => Err(None),
    }
}

/// What a field's values are called, for messages.
pub(super) fn named(kind: FieldKind) -> String {
    match kind {
        FieldKind::Picklist => "a number of its list".to_owned(),
        FieldKind::MultiPicklist => "a list of numbers".to_owned(),
        kind => Type::of(&kind.arrow()).map_or_else(|| kind.arrow().to_string(), |ty| ty.to_string()),
    }
}

/// What to do about a value that a field does not take; its limits and choices, as far as the CRM describes them.
pub(super) fn cure(field: &ObjectField) -> String {
    use FieldKind::{
        BigInt, Date, DateTime, Decimal, Double, Int, LocalDateTime, Money, MultiPicklist, Picklist, Text,
        TextMultiPicklist, TextPicklist, Time,
    };
    let correct = "correct the value, or what is computed of it";
    let ends = match (field.min.zip(field.max), field.kind) {
        (Some((min, max)), Int | Double | Money | Decimal { .. }) => Some((min.to_string(), max.to_string())),
        (None, Int) => Some((i32::MIN.to_string(), i32::MAX.to_string())),
        (_, BigInt) => Some((i64::MIN.to_string(), i64::MAX.to_string())),
        _ => None,
    };
    match (field.kind, ends) {
        (Picklist | MultiPicklist, _) if !field.options.is_empty() => {
            format!("send one of its numbers: {}", choices(&field.options, CHOICES_TOLD_MAX).join(", "))
        }
        (TextPicklist | TextMultiPicklist, _) if !field.options.is_empty() => {
            let told: Vec<&str> = field.options.keys().take(CHOICES_TOLD_MAX).map(String::as_str).collect();
            let others = field.options.len() - told.len();
            let more = if others > 0 { format!(", … {others} more") } else { String::new() };
            format!("send one of {}{more}", told.join(", "))
        }
        (_, Some((min, max))) => format!("{correct}: {} takes {min} to {max}", field.name),
        (Text, _) if let Some(most) = field.length => {
            format!("{correct}: {} takes at most {}", field.name, counted(most, "character"))
        }
        (Date, _) => format!("{correct}: {} takes a date such as 2026-03-01", field.name),
        (DateTime | LocalDateTime, _) => {
            format!("{correct}: {} takes a date and time such as 2026-03-01T10:00:00", field.name)
        }
        (Time, _) => format!("{correct}: {} takes a time of day such as 10:00:00", field.name),
        _ => correct.to_owned(),
    }
}

/// Values as those of a field, and the rows of those that cannot be. Empty text is no value of a field that holds no text:
/// it empties the field, as null does.
pub(super) fn convert(
    values: &ArrayRef,
    kind: FieldKind,
    conversion: Conversion,
    zone: &TimeZone,
) -> Result<(ArrayRef, Vec<usize>), Failure> {
    use FieldKind as K;
    if *values.data_type() == DataType::Null || values.null_count() == values.len() {
        let to = if conversion.is_raw() { DataType::Utf8 } else { kind.arrow() };
        return Ok((arrow::array::new_null_array(&to, values.len()), Vec::new()));
    }
    if conversion.is_raw() || matches!(kind, K::Text | K::TextPicklist | K::Lookup) {
        return Ok((text::written(values)?, Vec::new()));
    }
    if *values.data_type() == kind.arrow() && conversion == Conversion::Default {
        return Ok((Arc::clone(values), Vec::new()));
    }
    let values = &without_empty_texts(values);
    let converted: ArrayRef = match kind {
        K::Date => Arc::new(each(values, |value| day(value, conversion, zone)).collect::<Date32Array>()),
        K::DateTime => {
            let instants = each(values, |value| instant(value, conversion, zone));
            Arc::new(instants.collect::<TimestampMicrosecondArray>().with_timezone(UTC))
        }
        K::LocalDateTime => {
            let locals = each(values, |value| Value::LocalDateTime(local(value, conversion, zone)?).integer());
            Arc::new(locals.collect::<TimestampMicrosecondArray>())
        }
        K::Time => Arc::new(each(values, clock).collect::<Time64MicrosecondArray>()),
        K::Int | K::BigInt | K::Picklist if is_fractional(values) => {
            let whole: ArrayRef = Arc::new(each(values, whole).collect::<Int64Array>());
            exactly(&whole, &kind.arrow())?
        }
        K::MultiPicklist => numbers(values),
        K::TextMultiPicklist => texts(values),
        _ => exactly(values, &kind.arrow())?,
    };
    let lost = (0..values.len()).filter(|row| values.is_valid(*row) && converted.is_null(*row)).collect();
    Ok((converted, lost))
}

fn is_fractional(values: &ArrayRef) -> bool {
    matches!(values.data_type(), DataType::Float64 | DataType::Decimal128(..))
}

/// A number without a fraction.
fn whole(value: Value) -> Option<i64> {
    let number = match value {
        Value::Decimal(number) => number,
        Value::Float(number) => number.to_string().parse::<Decimal>().ok()?,
        _ => return None,
    };
    number.fract().is_zero().then(|| number.to_i64())?
}

/// The same values, with null for empty text.
fn without_empty_texts(values: &ArrayRef) -> ArrayRef {
    match values.as_string_opt::<i32>() {
        Some(texts) if texts.iter().flatten().any(str::is_empty) => {
            Arc::new(texts.iter().map(|text| text.filter(|text| !text.is_empty())).collect::<StringArray>())
        }
        _ => Arc::clone(values),
    }
}

fn each<T>(values: &ArrayRef, of: impl Fn(Value) -> Option<T>) -> impl Iterator<Item = Option<T>> {
    (0..values.len()).map(move |row| match Value::at(values, row) {
        Value::Null => None,
        value => of(value),
    })
}

/// Days since 1970-01-01.
fn day(value: Value, conversion: Conversion, zone: &TimeZone) -> Option<i32> {
    let date = match value {
        Value::Date(date) => date,
        Value::LocalDateTime(at) if conversion == Conversion::DateOnly => at.date(),
        Value::DateTime(at) if conversion == Conversion::DateOnly => zone.to_datetime(at).date(),
        Value::Text(text) => match Value::Text(text.clone()).meet(&Type::LocalDateTime, zone) {
            // A day with a time is a day only where its author says so.
            Some(Value::LocalDateTime(at)) if conversion == Conversion::DateOnly => at.date(),
            Some(_) if text.trim().len() > 10 => return None,
            _ => match Value::Text(text).meet(&Type::Date, zone)? {
                Value::Date(date) => date,
                _ => return None,
            },
        },
        _ => return None,
    };
    i32::try_from(Value::Date(date).integer()?).ok()
}

/// A clock reading of the workflow's zone is the instant at which clocks there show it: the first where they show it
/// twice, and the one that clocks jumped to where they never do.
fn instant(value: Value, conversion: Conversion, zone: &TimeZone) -> Option<i64> {
    let at = match conversion {
        Conversion::DateOnly => TimeZone::UTC.to_timestamp(local(value, conversion, zone)?.date().into()).ok()?,
        // The clock reading itself, as if it were that of UTC.
        Conversion::WithoutTimeOffset => TimeZone::UTC.to_timestamp(local(value, conversion, zone)?).ok()?,
        Conversion::Default | Conversion::Copy => match value {
            Value::DateTime(at) => at,
            Value::LocalDateTime(at) => zone.to_timestamp(at).ok()?,
            Value::Date(date) => zone.to_timestamp(date.into()).ok()?,
            text @ Value::Text(_) => match text.meet(&Type::DateTime, zone)? {
                Value::DateTime(at) => at,
                _ => return None,
            },
            _ => return None,
        },
    };
    Some(at.as_microsecond())
}

/// What clocks in the workflow's zone show.
fn local(value: Value, conversion: Conversion, zone: &TimeZone) -> Option<DateTime> {
    let at = match value {
        Value::DateTime(at) => zone.to_datetime(at),
        Value::LocalDateTime(at) => at,
        Value::Date(date) => date.into(),
        text @ Value::Text(_) => match text.meet(&Type::LocalDateTime, zone) {
            Some(Value::LocalDateTime(at)) => at,
            _ => match text.meet(&Type::Date, zone)? {
                Value::Date(date) => date.into(),
                _ => return None,
            },
        },
        _ => return None,
    };
    Some(if conversion == Conversion::DateOnly { at.date().into() } else { at })
}

fn clock(value: Value) -> Option<i64> {
    value.meet(&Type::Time, &TimeZone::UTC)?.integer()
}

fn items(value: Value) -> Vec<Value> {
    match value {
        Value::List(items) => items,
        Value::Text(text) => {
            // As lists are written in the database and in files.
            if let Some(items) = read_list(&text) {
                return items.iter().map(Value::of_json).collect();
            }
            let parts = text.split(LIST_SEPARATORS).map(str::trim).filter(|part| !part.is_empty());
            parts.map(|part| Value::Text(part.to_owned())).collect()
        }
        one => vec![one],
    }
}

fn numbers(values: &ArrayRef) -> ArrayRef {
    let mut builder = ListBuilder::new(Int32Array::builder(0));
    for row in 0..values.len() {
        let value = Value::at(values, row);
        let numbers = items(value.clone()).into_iter().map(|item| match item.meet(&Type::Int, &TimeZone::UTC) {
            Some(Value::Int(number)) => i32::try_from(number).ok(),
            _ => None,
        });
        match numbers.collect::<Option<Vec<i32>>>() {
            Some(numbers) if value != Value::Null => builder.append_value(numbers.into_iter().map(Some)),
            _ => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

fn texts(values: &ArrayRef) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..values.len() {
        match Value::at(values, row) {
            Value::Null => builder.append_null(),
            value => builder.append_value(items(value).into_iter().map(|item| Some(item.to_string()))),
        }
    }
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use arrow::compute::cast;

    use super::*;

    fn sent(text: &str, kind: FieldKind, conversion: Conversion) -> Option<String> {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some(text), None]));
        let local = super::local(Value::Text(text.to_owned()), Conversion::Default, &zone);
        let (converted, lost) = convert(&values, kind, conversion, &zone).unwrap();
        assert!(converted.is_null(1), "null stays null");
        // A date and time that is typed as one is sent as its text is, where that has no zone of its own.
        let typed = text.len() <= 19 && !conversion.is_raw() && kind == FieldKind::DateTime;
        if let Some(local) = local.filter(|_| typed) {
            let typed: ArrayRef =
                Arc::new(TimestampMicrosecondArray::from(vec![Value::LocalDateTime(local).integer()]));
            let (typed, _) = convert(&typed, kind, conversion, &zone).unwrap();
            assert_eq!(Value::at(&typed, 0), Value::at(&converted, 0));
        }
        lost.is_empty().then(|| arrow::util::display::array_value_to_string(&converted, 0).unwrap())
    }

    #[test]
    fn half_past_midnight_in_paris_is_sent_as_each_conversion_says() {
        let text = "2026-07-02 00:30:00";
        for (conversion, expected) in [
            (Conversion::Default, "2026-07-01T22:30:00Z"),
            (Conversion::DateOnly, "2026-07-02T00:00:00Z"),
            (Conversion::WithoutTimeOffset, "2026-07-02T00:30:00Z"),
            (Conversion::Copy, text),
        ] {
            assert_eq!(sent(text, FieldKind::DateTime, conversion).as_deref(), Some(expected), "{conversion:?}");
        }
        assert_eq!(sent(text, FieldKind::Date, Conversion::DateOnly).as_deref(), Some("2026-07-02"));
    }

    #[test]
    fn a_reading_that_never_was_is_the_one_that_clocks_jumped_to_and_one_that_was_twice_is_the_first() {
        for (text, expected) in [
            ("2026-03-29T02:30:00", "2026-03-29T01:30:00Z"),
            ("2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
            ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z"),
        ] {
            assert_eq!(sent(text, FieldKind::DateTime, Conversion::Default).as_deref(), Some(expected));
        }
    }

    #[test]
    fn text_is_read_only_where_there_is_one_way_to_read_it() {
        let default = Conversion::Default;
        assert_eq!(sent("1980-05-31", FieldKind::Date, default).as_deref(), Some("1980-05-31"));
        assert_eq!(sent("31/05/1980", FieldKind::Date, default), None);
        assert_eq!(sent("1980-05-31T10:00:00", FieldKind::Date, default), None);
        assert_eq!(sent("12", FieldKind::Int, default).as_deref(), Some("12"));
        assert_eq!(sent("12.5", FieldKind::Int, default), None);
        assert_eq!(sent("12.5", FieldKind::Money, default).as_deref(), Some("12.5000"));
        assert_eq!(sent("1,5", FieldKind::Money, default), None);
        // As the function `round` does it.
        for (text, rounded) in [("12.34565", "12.3457"), ("-12.34565", "-12.3457"), ("0.00004", "0.0000")] {
            assert_eq!(sent(text, FieldKind::Money, default).as_deref(), Some(rounded));
            let exact = cast(&StringArray::from(vec![text]), &DataType::Decimal128(20, 8)).unwrap();
            let (exact, _) = convert(&exact, FieldKind::Money, default, &TimeZone::UTC).unwrap();
            assert_eq!(Value::at(&exact, 0).to_string(), rounded);
        }
        assert_eq!(sent("1234567890123456.5", FieldKind::Money, default), None);
        assert_eq!(sent("true", FieldKind::Bool, default).as_deref(), Some("true"));
        // Where nobody knows of an end, it is often this day; no instant is as late.
        let last = "9999-12-31T10:00:00";
        assert_eq!(sent(last, FieldKind::LocalDateTime, default).as_deref(), Some(last));
        let typed: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![253_402_300_799_000_000]));
        let (day, lost) = convert(&typed, FieldKind::Date, Conversion::DateOnly, &TimeZone::UTC).unwrap();
        assert_eq!((Value::at(&day, 0).to_string().as_str(), lost.len()), ("9999-12-31", 0));
        assert_eq!(sent("09:05", FieldKind::Time, default).as_deref(), Some("09:05:00"));
        assert_eq!(sent("1;3", FieldKind::MultiPicklist, default).as_deref(), Some("[1, 3]"));
        assert_eq!(sent("1;x", FieldKind::MultiPicklist, default), None);
        assert_eq!(sent("a;b", FieldKind::TextMultiPicklist, default).as_deref(), Some("[a, b]"));
    }

    const KINDS: [FieldKind; 16] = [
        FieldKind::Text,
        FieldKind::Lookup,
        FieldKind::Bool,
        FieldKind::Int,
        FieldKind::BigInt,
        FieldKind::Double,
        FieldKind::Money,
        FieldKind::Decimal { scale: 10 },
        FieldKind::Date,
        FieldKind::DateTime,
        FieldKind::LocalDateTime,
        FieldKind::Time,
        FieldKind::Picklist,
        FieldKind::TextPicklist,
        FieldKind::MultiPicklist,
        FieldKind::TextMultiPicklist,
    ];

    /// A null and a value of this kind, made of whatever number, bits and texts come.
    fn values(kind: FieldKind, number: i64, bits: u64, texts: &[String]) -> ArrayRef {
        use FieldKind as K;
        let within = |range: std::ops::Range<i64>| number.rem_euclid(range.end - range.start) + range.start;
        let small = i32::try_from(number % (1 << 31)).unwrap();
        // 0000-01-01 to 9999-12-31, of which jiff's instants lack the end.
        let (days, seconds) = (-719_528..2_932_897, -62_167_219_200..253_402_207_200);
        let micros = within(seconds.start * 1_000_000..seconds.end * 1_000_000);
        match kind {
            K::Text | K::Lookup | K::TextPicklist => {
                Arc::new(StringArray::from(vec![None, texts.first().map(String::as_str)]))
            }
            K::Bool => Arc::new(arrow::array::BooleanArray::from(vec![None, Some(number % 2 == 0)])),
            K::Int | K::Picklist => Arc::new(Int32Array::from(vec![None, Some(small)])),
            K::BigInt => Arc::new(arrow::array::Int64Array::from(vec![None, Some(number)])),
            K::Double => {
                let float = Some(f64::from_bits(bits)).filter(|float| float.is_finite());
                Arc::new(arrow::array::Float64Array::from(vec![None, float]))
            }
            K::Money | K::Decimal { .. } => {
                let digits = if kind == K::Money { number.into() } else { i128::from(number) * i128::from(bits) };
                let array = arrow::array::Decimal128Array::from(vec![None, Some(digits % 10_i128.pow(38))]);
                Arc::new(array.with_data_type(kind.arrow()))
            }
            K::Date => Arc::new(Date32Array::from(vec![None, Some(i32::try_from(within(days)).unwrap())])),
            K::DateTime => Arc::new(TimestampMicrosecondArray::from(vec![None, Some(micros)]).with_timezone(UTC)),
            K::LocalDateTime => Arc::new(TimestampMicrosecondArray::from(vec![None, Some(micros)])),
            K::Time => Arc::new(Time64MicrosecondArray::from(vec![None, Some(within(0..86_400_000_000))])),
            K::MultiPicklist => {
                let mut list = ListBuilder::new(Int32Array::builder(0));
                list.append_null();
                list.append_value(texts.iter().map(|text| Some(small ^ i32::try_from(text.len()).unwrap())));
                Arc::new(list.finish())
            }
            K::TextMultiPicklist => {
                let mut list = ListBuilder::new(StringBuilder::new());
                list.append_null();
                list.append_value(texts.iter().map(Some));
                Arc::new(list.finish())
            }
        }
    }

    proptest::proptest! {
        /// In a file or a column of text.
        #[test]
        fn a_value_of_any_type_that_was_written_as_text_is_sent_as_it_was(
            kind in proptest::sample::select(&KINDS[..]),
            number: i64,
            bits: u64,
            texts in proptest::collection::vec("[a;,\"\\[\\] é\\\\0-9]{0,5}", 0..4),
        ) {
            let values = values(kind, number, bits, &texts);
            let written = text::written(&values).unwrap();
            let zone = TimeZone::get("Europe/Paris").unwrap();
            let (sent, lost) = convert(&written, kind, Conversion::Default, &zone).unwrap();
            proptest::prop_assert_eq!(&sent, &values, "{:?} was written as {:?}", kind, written);
            proptest::prop_assert!(lost.is_empty());
        }
    }

    #[test]
    fn a_list_is_read_as_it_is_written_here_and_as_systems_write_it() {
        for text in ["[\"Art\",\"Mu;sic\"]", " [\"Art\", \"Mu;sic\"]"] {
            let sent = sent(text, FieldKind::TextMultiPicklist, Conversion::Default);
            assert_eq!(sent.as_deref(), Some("[Art, Mu;sic]"), "{text}");
        }
        assert_eq!(
            sent("Art;Music", FieldKind::TextMultiPicklist, Conversion::Default).as_deref(),
            Some("[Art, Music]")
        );
        for text in ["[1,3]", "[\"1\", \"3\"]", "1;3", "1, 3"] {
            assert_eq!(sent(text, FieldKind::MultiPicklist, Conversion::Default).as_deref(), Some("[1, 3]"), "{text}");
        }
        for text in ["[1,null]", "[1.5]", "[[1]]", "[1"] {
            assert_eq!(sent(text, FieldKind::MultiPicklist, Conversion::Default), None, "{text}");
        }
    }

    #[test]
    fn no_number_becomes_another_one_on_its_way() {
        let exact = |text: &str| cast(&StringArray::from(vec![text]), &DataType::Decimal128(38, 10)).unwrap();
        let int = |number: i64| Arc::new(Int64Array::from(vec![number])) as ArrayRef;
        let float = |number: f64| Arc::new(arrow::array::Float64Array::from(vec![number])) as ArrayRef;
        let text = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
        let (double, big, money) = (FieldKind::Double, FieldKind::BigInt, FieldKind::Decimal { scale: 10 });
        for (values, kind, expected) in [
            (int(9_007_199_254_740_993), double, None),
            (int(-9_007_199_254_740_992), double, Some("-9007199254740992.0")),
            (text("9007199254740993"), double, None),
            (text("0.1"), double, Some("0.1")),
            (text("1e300"), double, Some("1e300")),
            (exact("0.1"), double, Some("0.1")),
            (int(9_007_199_254_740_993), big, Some("9007199254740993")),
            (text("9007199254740993"), big, Some("9007199254740993")),
            (exact("9007199254740993"), big, Some("9007199254740993")),
            (float(5.0), big, Some("5")),
            (float(1e19), big, None),
            (exact("1.5"), big, None),
            (float(1.5), FieldKind::Int, None),
            (float(1_234_567.89), money, Some("1234567.8900000000")),
            (exact("922337203685477.5807"), money, Some("922337203685477.5807000000")),
        ] {
            let (converted, lost) = convert(&values, kind, Conversion::Default, &TimeZone::UTC).unwrap();
            let sent = lost.is_empty().then(|| arrow::util::display::array_value_to_string(&converted, 0).unwrap());
            assert_eq!(sent.as_deref(), expected, "{values:?} as {kind:?}");
        }
    }

    #[test]
    fn empty_text_empties_a_field_that_holds_no_text_as_null_does() {
        use FieldKind as K;
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some(""), Some(" ")]));
        for kind in [K::Date, K::DateTime, K::LocalDateTime, K::Time, K::Bool, K::Int, K::Money, K::Picklist] {
            let (converted, lost) = convert(&values, kind, Conversion::Default, &TimeZone::UTC).unwrap();
            assert!(converted.is_null(0), "{kind:?}");
            assert_eq!(lost, [1], "{kind:?}: a blank is not nothing");
        }
        let (text, _) = convert(&values, K::Text, Conversion::Default, &TimeZone::UTC).unwrap();
        assert!(text.is_valid(0));
    }

    #[test]
    fn of_a_value_that_does_not_fit_it_is_said_what_does() {
        let mut gender = ObjectField::new("gendercode", FieldKind::Picklist);
        gender.options = [("1", "Male"), ("2", "Female")].map(|(n, label)| (n.to_owned(), label.to_owned())).into();
        assert_eq!(cure(&gender), "send one of its numbers: 1 Male, 2 Female");
        gender.options = (1..=11).map(|n| (n.to_string(), "x".to_owned())).collect();
        assert!(cure(&gender).ends_with("10 x, … 1 more"));
        let mut limit = ObjectField::new("creditlimit", FieldKind::Money);
        (limit.min, limit.max) = (Some(0.0), Some(100_000_000_000.0));
        assert!(cure(&limit).ends_with("creditlimit takes 0 to 100000000000"), "{}", cure(&limit));
        let children = ObjectField::new("numberofchildren", FieldKind::Int);
        assert!(cure(&children).ends_with("takes -2147483648 to 2147483647"), "{}", cure(&children));
    }
}
