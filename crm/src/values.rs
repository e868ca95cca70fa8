//! From the text of a JSON value to a column of its type; what does not fit is null and named.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder,
    ListBuilder, PrimitiveBuilder, StringArray, StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType, TimeUnit};
use jiff::{Timestamp, civil};

use crate::numbers;

/// Up to this number floating point has every whole number.
const DOUBLE_WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
/// The longest part of a value that a message shows, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// One value that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) row: usize,
    pub(crate) message: String,
}

/// Converts a column; the texts are those of the JSON values, strings without quotes. Lists of texts are written `a;b`, as
/// Salesforce does, lists of numbers `1,2`, as Dataverse does.
pub(crate) fn convert(texts: &StringArray, to: &DataType, unfit: &mut Vec<Unfit>) -> ArrayRef {
    let rows = texts.len();
    match to {
        DataType::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(rows);
            each(texts, to, unfit, boolean, |value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        DataType::Int32 => {
            primitive(Int32Builder::with_capacity(rows), texts, to, unfit, |text| int(text)?.try_into().ok())
        }
        DataType::Int64 => primitive(Int64Builder::with_capacity(rows), texts, to, unfit, int),
        DataType::Float64 => primitive(Float64Builder::with_capacity(rows), texts, to, unfit, float),
        DataType::Decimal128(precision, scale) => {
            let builder = Decimal128Builder::with_capacity(rows).with_data_type(to.clone());
            primitive(builder, texts, to, unfit, |text| decimal(text, *precision, *scale))
        }
        DataType::Date32 => primitive(Date32Builder::with_capacity(rows), texts, to, unfit, date),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let builder = TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(to.clone());
            let parse = if zone.is_some() { instant } else { local };
            primitive(builder, texts, to, unfit, parse)
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive(Time64MicrosecondBuilder::with_capacity(rows), texts, to, unfit, time)
        }
        DataType::List(item) if *item.data_type() == DataType::Int32 => {
            let mut builder = ListBuilder::new(Int32Builder::new()).with_field(item.clone());
            each(texts, to, unfit, numbers, |values| match values {
                Some(values) => builder.append_value(values.into_iter().map(Some)),
                None => builder.append_null(),
            });
            Arc::new(builder.finish())
        }
        DataType::List(item) if *item.data_type() == DataType::Utf8 => {
            let mut builder = ListBuilder::new(StringBuilder::new()).with_field(item.clone());
            for text in texts {
                match text {
                    Some(text) => builder.append_value(text.split(';').filter(|item| !item.is_empty()).map(Some)),
                    None => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }
        // Text, and what no system has.
        _ => Arc::new(texts.clone()),
    }
}

fn primitive<T: ArrowPrimitiveType>(
    mut builder: PrimitiveBuilder<T>,
    texts: &StringArray,
    to: &DataType,
    unfit: &mut Vec<Unfit>,
    parse: impl Fn(&str) -> Option<T::Native>,
) -> ArrayRef {
    each(texts, to, unfit, parse, |value| builder.append_option(value));
    Arc::new(builder.finish())
}

fn each<T>(
    texts: &StringArray,
    to: &DataType,
    unfit: &mut Vec<Unfit>,
    parse: impl Fn(&str) -> Option<T>,
    mut append: impl FnMut(Option<T>),
) {
    for (row, text) in texts.iter().enumerate() {
        let value = text.and_then(&parse);
        if let (Some(text), None) = (text, &value) {
            unfit.push(Unfit { row, message: misfit(text, to) });
        }
        append(value);
    }
}

/// What a value held, and what was expected.
pub(crate) fn misfit(text: &str, to: &DataType) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let mut message = format!("`{shown}` is not ");
    let written = match to {
        DataType::Boolean => write!(message, "true or false"),
        DataType::Int32 => write!(message, "a whole number of 32 bits"),
        DataType::Int64 => write!(message, "a whole number of 64 bits"),
        DataType::Float64 => write!(message, "a number that floating point can hold"),
        DataType::Decimal128(precision, scale) => {
            write!(message, "a number of at most {precision} digits, {scale} of them after the point")
        }
        DataType::Date32 => write!(message, "a date such as 1980-05-31"),
        DataType::Timestamp(_, Some(_)) => {
            write!(message, "a date and time such as 2026-03-03T10:00:00Z, the last one being {}", Timestamp::MAX)
        }
        DataType::Timestamp(_, None) => write!(message, "a date and time without zone such as 2026-03-03T10:00:00"),
        DataType::Time64(_) => write!(message, "a time of day such as 10:00:00"),
        DataType::List(_) => write!(message, "a list of numbers such as 1,2,3"),
        _ => write!(message, "a single value"),
    };
    written.map_or_else(|_| String::new(), |()| message)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn int(text: &str) -> Option<i64> {
    // `5.0` is a whole number, `5.5` is not.
    text.parse().ok().or_else(|| decimal(text, 19, 0)?.try_into().ok())
}

fn float(text: &str) -> Option<f64> {
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
    // A whole number that floating point does not have would become another one.
    let is_kept = value.abs() < DOUBLE_WHOLE_MAX || numbers::altered_by_double(text).is_none();
    is_kept.then_some(value)
}

/// A decimal number, scaled; digits that would be lost make it unfit, zeros do not.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(place) => (&text[..place], text[place + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    let value = digits_value(whole.bytes().chain(fraction.bytes()), whole.len() + fraction.len())?;
    let shift = i32::from(scale).checked_add(exponent)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = || 10_i128.checked_pow(shift.unsigned_abs());
    let value = match shift {
        _ if value == 0 => 0,
        0.. => value.checked_mul(power()?)?,
        _ => {
            let power = power()?;
            if value % power != 0 {
                return None;
            }
            value / power
        }
    };
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (value < limit).then_some(if negative { -value } else { value })
}

/// The number that these digits write; 64 bits are enough for most, and faster.
fn digits_value(mut digits: impl Iterator<Item = u8>, count: usize) -> Option<i128> {
    if count <= 18 {
        let sum = digits.try_fold(0_i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')));
        return sum.map(i128::from);
    }
    digits.try_fold(0_i128, |n, b| {
        b.is_ascii_digit().then_some(())?;
        n.checked_mul(10)?.checked_add(i128::from(b - b'0'))
    })
}

/// A day; also one written as midnight.
fn date(text: &str) -> Option<i32> {
    let (day, time) = text.split_once('T').unwrap_or((text, ""));
    let is_midnight = time.trim_end_matches('Z').bytes().all(|b| matches!(b, b'0' | b':' | b'.'));
    (is_midnight && digits(day.as_bytes(), "0000-00-00"))
        .then(|| days(day.as_bytes()))?
        .and_then(|days| days.try_into().ok())
}

/// An instant, in microseconds; the zone must be said.
fn instant(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let known = |micros: i64| (micros <= Timestamp::MAX.as_microsecond()).then_some(micros);
    if digits(bytes, "0000-00-00T00:00:00Z") {
        return known(seconds(bytes)?.checked_mul(1_000_000)?);
    }
    // As Salesforce writes them.
    let utc = bytes.strip_suffix(b"+0000").or(bytes.strip_suffix(b"Z"));
    if utc.is_some_and(|bytes| digits(bytes, "0000-00-00T00:00:00.000")) {
        return known(seconds(bytes)?.checked_mul(1_000_000)?.checked_add(number(bytes, 20, 23) * 1_000)?);
    }
    Some(text.parse::<Timestamp>().ok()?.as_microsecond())
}

/// A day and time without zone, in microseconds as if it were UTC. Dataverse writes a `Z` that means nothing here.
fn local(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if digits(bytes, "0000-00-00T00:00:00Z") {
        return seconds(bytes)?.checked_mul(1_000_000);
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    // A zone that says something must not be thrown away.
    if text.len() < 19 || text[19..].contains(['+', '-', '[']) {
        return None;
    }
    let at: civil::DateTime = text.parse().ok()?;
    at.duration_since(civil::date(1970, 1, 1).at(0, 0, 0, 0)).as_micros().try_into().ok()
}

/// A time of day. Salesforce writes a `Z` that means nothing here.
fn time(text: &str) -> Option<i64> {
    let at: civil::Time = text.strip_suffix('Z').unwrap_or(text).parse().ok()?;
    civil::Time::midnight().until(at).ok()?.total(jiff::Unit::Microsecond).ok().map(|micros| {
        #[expect(clippy::cast_possible_truncation, reason = "less than a day")]
        let micros = micros as i64;
        micros
    })
}

/// The numbers of a multi-select picklist, which Dataverse writes as `1,2,3`.
fn numbers(text: &str) -> Option<Vec<i32>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    text.split(',').map(|item| item.trim().parse().ok()).collect()
}

/// Whether the bytes have this form, where `0` stands for any digit.
fn digits(bytes: &[u8], form: &str) -> bool {
    bytes.len() == form.len()
        && bytes.iter().zip(form.as_bytes()).all(|(b, f)| if *f == b'0' { b.is_ascii_digit() } else { b == f })
}

/// Seconds since 1970 of `0000-00-00T00:00:00Z`.
fn seconds(bytes: &[u8]) -> Option<i64> {
    let (hour, minute, second) = (number(bytes, 11, 13), number(bytes, 14, 16), number(bytes, 17, 19));
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(days(bytes)? * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days since 1970 of `0000-00-00…`, by Howard Hinnant's `days_from_civil`.
fn days(bytes: &[u8]) -> Option<i64> {
    let (year, month, day) = (number(bytes, 0, 4), number(bytes, 5, 7), number(bytes, 8, 10));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn number(bytes: &[u8], from: usize, to: usize) -> i64 {
    bytes[from..to].iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_that_dataverse_writes_is_the_instant_that_jiff_reads() {
        for day in (-100_000_i64..100_000).step_by(37) {
            let at = Timestamp::from_second(day * 86_400 + (day.rem_euclid(86_400))).unwrap();
            assert_eq!(instant(&at.to_string()), Some(at.as_microsecond()), "{at}");
        }
        for wrong in
            ["2026-02-29T10:00:00Z", "2026-13-01T10:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01", "20260101", "5"]
        {
            assert_eq!(instant(wrong), None, "{wrong}");
        }
        let at = instant("2026-07-01T22:30:00Z");
        assert_eq!(instant("2026-07-01T22:30:00.250+0000"), at.map(|at| at + 250_000));
        for same in [
            "2026-07-01T22:30:00.000+0000",
            "2026-07-02T00:30:00.000+0200",
            "2026-07-02T00:30:00+02:00",
            "2026-07-01T22:30:00.000Z",
            "2026-07-01T22:30:00.0000000Z",
        ] {
            assert_eq!(instant(same), at, "{same}");
        }
        for same in ["2026-07-01T22:30:00", "2026-07-01T22:30:00.000Z"] {
            assert_eq!(local(same), at, "{same}");
        }
        assert_eq!(local("2026-07-01T22:30:00+02:00"), None);
    }

    #[test]
    fn the_last_day_is_a_reading_of_a_clock_however_it_is_written_and_no_instant() {
        let last = Some(253_402_300_799_000_000);
        for same in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59", "9999-12-31T23:59:59.000"] {
            assert_eq!(local(same), last, "{same}");
        }
        assert_eq!(instant("9999-12-30T22:00:00Z"), Some(253_402_207_200_000_000));
        for wrong in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z", "9999-12-31T23:59:59+00:00"] {
            assert_eq!(instant(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_decimal_number_loses_no_digit() {
        assert_eq!(decimal("20000.0000", 19, 4), Some(200_000_000));
        assert_eq!(decimal("-0.0001", 19, 4), Some(-1));
        assert_eq!(decimal("1.50000000000000", 19, 4), Some(15_000));
        assert_eq!(decimal("1.5E3", 19, 4), Some(15_000_000));
        assert_eq!(decimal("15e-1", 19, 1), Some(15));
        assert_eq!(decimal("922337203685477.5807", 19, 4), Some(9_223_372_036_854_775_807));
        for wrong in ["0.00001", "1000000000000000", "1e400", "", "-", ".", "1-2", "1.2.3", "abc"] {
            assert_eq!(decimal(wrong, 19, 4), None, "{wrong}");
        }
        assert_eq!((int("5.0"), int("5.5"), int("9223372036854775807")), (Some(5), None, Some(i64::MAX)));
    }

    #[test]
    fn a_whole_number_never_becomes_another_one_by_floating_point() {
        assert_eq!(int("9.007199254740993E15"), Some(9_007_199_254_740_993));
        assert_eq!(decimal("9.007199254740993E15", 38, 0), Some(9_007_199_254_740_993));
        assert_eq!(float("9007199254740992"), Some(9_007_199_254_740_992.0));
        assert_eq!((float("9007199254740993"), float("9.007199254740993E15")), (None, None));
        assert_eq!((float("1E300"), float("0.1"), float("1e999")), (Some(1e300), Some(0.1), None));
    }

    #[test]
    fn a_day_is_read_also_where_it_is_written_as_midnight() {
        assert_eq!(date("1980-05-31"), Some(3803));
        assert_eq!(date("1980-05-31T00:00:00Z"), Some(3803));
        assert_eq!(date("1980-05-31T01:00:00Z"), None);
        assert_eq!(date("31/05/1980"), None);
        assert_eq!((time("10:00:01.5"), time("10:00:01.500Z")), (Some(36_001_500_000), Some(36_001_500_000)));
        assert_eq!((numbers("1, 2,3"), numbers("1;2")), (Some(vec![1, 2, 3]), None));
    }
}
