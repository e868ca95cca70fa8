//! The two ends of a period, as authors write them.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use engine::context::Cx;
use engine::expr::{Bound, ExprError, Source, Value, Values};
use engine::failure::{Class, Failure};
use engine::flow::FlowCx;
use engine::types::Type;
use jiff::civil::{self, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// What to write instead.
const HELP: &str =
    "write 2026/03/01, \"2026-03-01 10:00:00\", 2026-03-01T10:00:00Z, or an expression that gives a time";

/// A time, such as `2026/03/01` or `2026-03-01 10:00:00`, or an expression that gives one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Moment(String);

impl Moment {
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Where it is no time as it stands.
    pub(super) fn expression(&self) -> Source {
        Source::from(self.0.as_str())
    }
}

/// One end of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// A whole day.
    Day(civil::Date),
    /// A time of the workflow's time zone.
    Local(DateTime),
    /// An instant.
    Instant(Timestamp),
}

impl When {
    /// ISO 8601; or year, month and day, and perhaps hours, minutes and seconds, with anything between them.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Some(Self::Instant(instant));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() && parts.len() < 6 {
            let digits = rest.chars().take_while(char::is_ascii_digit).count();
            let number = &rest[..digits];
            let sound = if parts.is_empty() { digits == 4 } else { (1..=2).contains(&digits) };
            parts.push(number.parse::<i16>().ok().filter(|_| sound)?);
            rest = &rest[digits..];
            rest = match rest.chars().next() {
                None => rest,
                // After the day a T may stand, as in ISO 8601; and a fraction of a second after a point.
                Some('T' | 't') if parts.len() == 3 => &rest[1..],
                Some(between) if between.is_alphanumeric() => return None,
                Some(between) if parts.len() < 6 => rest[between.len_utf8()..].trim_start(),
                Some(_) => rest,
            };
        }
        let fraction = rest.strip_prefix('.').is_some_and(|digits| digits.chars().all(|c| c.is_ascii_digit()));
        if !rest.is_empty() && !fraction {
            return None;
        }
        let small = |number: i16| i8::try_from(number).ok();
        let day = |parts: &[i16]| civil::Date::new(parts[0], small(parts[1])?, small(parts[2])?).ok();
        match parts.as_slice() {
            [_, _, _] => Some(Self::Day(day(&parts)?)),
            [.., hour, minute] if parts.len() == 5 => Some(Self::Local(
                day(&parts)?.to_datetime(civil::Time::new(small(*hour)?, small(*minute)?, 0, 0).ok()?),
            )),
            [.., hour, minute, second] if parts.len() == 6 => {
                let time = civil::Time::new(small(*hour)?, small(*minute)?, small(*second)?, 0).ok()?;
                Some(Self::Local(day(&parts)?.to_datetime(time)))
            }
            _ => None,
        }
    }

    fn first(self, zone: &TimeZone) -> Result<Timestamp, String> {
        match self {
            Self::Instant(instant) => Ok(instant),
            Self::Local(local) => instant(local, zone),
            Self::Day(day) => instant(day.into(), zone),
        }
    }

    fn last(self, zone: &TimeZone) -> Result<Timestamp, String> {
        let Self::Day(day) = self else { return self.first(zone) };
        let next = day.tomorrow().map_err(|error| error.to_string())?;
        let next = instant(next.into(), zone)?;
        // Times are kept in microseconds.
        next.checked_sub(SignedDuration::from_micros(1)).map_err(|error| error.to_string())
    }
}

fn instant(local: DateTime, zone: &TimeZone) -> Result<Timestamp, String> {
    zone.to_timestamp(local).map_err(|error| error.to_string())
}

/// From the first instant to the last, both included.
///
/// # Errors
/// Where the end lies before the beginning.
pub(super) fn period(start: When, end: When, zone: &TimeZone) -> Result<(Timestamp, Timestamp), String> {
    let (from, to) = (start.first(zone)?, end.last(zone)?);
    match to < from {
        true => Err(format!("the period ends at {to}, before its beginning, {from}")),
        false => Ok((from, to)),
    }
}

/// What is wrong with a text that is written as a time and is none, such as 2026/13/45; `None` where it is not so written.
fn misread(text: &str) -> Option<String> {
    let text = text.trim();
    let (year, rest) = text.split_at_checked(4)?;
    let is_written = year.bytes().all(|byte| byte.is_ascii_digit())
        && rest.starts_with(['/', '-', '.'])
        && rest.chars().all(|c| c.is_ascii_digit() || "/-.:,+ TtZz".contains(c));
    if !is_written || When::read(text).is_some() {
        return None;
    }
    let parts = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let numbers: Vec<i16> = parts.map(|part| part.parse().unwrap_or(i16::MAX)).collect();
    let small = |number: &i16| i8::try_from(*number).unwrap_or(i8::MAX);
    Some(match numbers.as_slice() {
        [_, month, ..] if !(1..=12).contains(month) => format!("there is no month {month}"),
        [year, month, day, ..] if civil::Date::new(*year, small(month), small(day)).is_err() => {
            format!("{year}/{month:02} has no day {day}")
        }
        [_, _, _, hour, ..] if *hour > 23 => format!("there is no hour {hour}"),
        [_, _, _, _, minute, ..] if *minute > 59 => format!("there is no minute {minute}"),
        [_, _, _, _, _, second, ..] if *second > 59 => format!("there is no second {second}"),
        [_] | [_, _] => format!("`{text}` is not a whole day"),
        _ => format!("`{text}` is not a time"),
    })
}

/// Checks an expression that gives one end.
pub(super) fn check(pointer: &str, moment: &Moment, cx: &mut FlowCx<'_>) {
    if let Some(wrong) = misread(moment.text()) {
        return cx.problem(pointer, "no-time", wrong, Some(HELP.to_owned()));
    }
    if let Ok(parsed) = moment.expression().parsed() {
        cx.reads(pointer, &parsed);
    }
    match moment.expression().bind_with(&Schema::empty(), cx.functions()) {
        Ok(bound) => {
            let ty = bound.ty();
            if !matches!(ty, Type::Date | Type::DateTime | Type::LocalDateTime | Type::Text | Type::Any) {
                cx.problem(pointer, "no-time", format!("this is {ty}, not a time"), Some(HELP.to_owned()));
            }
        }
        Err(errors) => {
            for error in errors {
                let help = error.help.clone().or_else(|| Some(HELP.to_owned()));
                cx.expression_problem(pointer, ExprError { help, ..error });
            }
        }
    }
}

/// One end of a period as it is now.
///
/// # Errors
/// Where it gives no time.
pub(super) async fn value(cx: &Cx, moment: &Moment) -> Result<When, Failure> {
    if let Some(when) = When::read(moment.text()) {
        return Ok(when);
    }
    let bound = cx.bind(&moment.expression(), &Schema::empty())?;
    let values = cx.values([&bound]).await?;
    evaluated(moment, &bound, &values)
}

/// What an expression for one end of a period gives.
///
/// # Errors
/// Where that is no time.
pub(super) fn evaluated(moment: &Moment, bound: &Bound, values: &Values) -> Result<When, Failure> {
    let bound = bound.resolve(values)?;
    let one = RecordBatchOptions::new().with_row_count(Some(1));
    let one = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &one);
    let array = bound.eval(&one.map_err(crate::rows::wrong)?, values)?;
    let value = Value::at(&array, 0);
    let when = match &value {
        Value::Date(day) => Some(When::Day(*day)),
        Value::DateTime(instant) => Some(When::Instant(*instant)),
        Value::LocalDateTime(local) => Some(When::Local(*local)),
        Value::Text(text) => When::read(text),
        _ => None,
    };
    when.ok_or_else(|| {
        let mut message = format!("{} gives {value}, which is no time", moment.text());
        if let Value::Text(text) = &value
            && let Some(wrong) = misread(text)
        {
            message = format!("{message}: {wrong}");
        }
        Failure::new(Class::Config, message).help(HELP)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(start: &str, end: &str, zone: &str) -> Result<(String, String), String> {
        let zone = TimeZone::get(zone).unwrap();
        let read = |text: &str| When::read(text).unwrap_or_else(|| panic!("{text}"));
        period(read(start), read(end), &zone).map(|(from, to)| (from.to_string(), to.to_string()))
    }

    #[test]
    fn a_day_alone_is_the_whole_day_in_the_workflows_zone_and_a_time_is_that_instant() {
        let is = |start: &str, end: &str, zone: &str, from: &str, to: &str| {
            assert_eq!(between(start, end, zone), Ok((from.to_owned(), to.to_owned())), "{start} {end}");
        };
        is("2026/03/01", "2026/03/07", "UTC", "2026-03-01T00:00:00Z", "2026-03-07T23:59:59.999999Z");
        is("2026/03/01 00:00:00", "2026/03/07 00:00:00", "UTC", "2026-03-01T00:00:00Z", "2026-03-07T00:00:00Z");
        is("2026-03-05 12:00:30", "2026-03-05 12:00:30", "UTC", "2026-03-05T12:00:30Z", "2026-03-05T12:00:30Z");
        is("1970.1.27", "1970-01-27", "Europe/Paris", "1970-01-26T23:00:00Z", "1970-01-27T22:59:59.999999Z");
        is("2012-06-27 14,25,00", "2012/06/27 14.25", "Europe/Paris", "2012-06-27T12:25:00Z", "2012-06-27T12:25:00Z");
        is("2026-03-01T10:00:00Z", "2026-03-01T12:00:00+01:00", "UTC", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z");
        is("2026-03-01T10:00:00.250", "2026-03-01T11:00:00", "UTC", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z");
        // The day on which clocks go forward has 23 hours.
        is("2026/03/29", "2026/03/29", "Europe/Paris", "2026-03-28T23:00:00Z", "2026-03-29T21:59:59.999999Z");
    }

    #[test]
    fn what_is_no_time_is_left_to_expressions_and_an_end_before_the_start_is_refused() {
        for text in
            ["", "03/01/2026", "2026/13/01", "2026/02/30", "2026/03", "today()", "2026/03/01x", "2026/3/1 10", "é"]
        {
            assert_eq!(When::read(text), None, "{text}");
        }
        assert!(
            between("2026/03/07", "2026/03/01", "UTC").is_err_and(|message| message.contains("before its beginning"))
        );
    }

    #[test]
    fn of_what_is_written_as_a_time_and_is_none_it_is_said_what_is_wrong() {
        for (text, wrong) in [
            ("2026/13/45", Some("there is no month 13")),
            ("2026-02-30", Some("2026/02 has no day 30")),
            ("2026/03/01 24:00:00", Some("there is no hour 24")),
            ("2026-03-01T10:60:00Z", Some("there is no minute 60")),
            ("2026/03", Some("`2026/03` is not a whole day")),
            ("2026/03/01", None),
            ("today()", None),
            ("5 + 5", None),
            ("éé", None),
        ] {
            assert_eq!(misread(text).as_deref(), wrong, "{text}");
        }
    }
}
