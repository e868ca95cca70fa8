//! Functions of dates and times.

use jiff::civil;
use jiff::{Span, Zoned};

use super::super::value::{Value, civil_date, clock_time, date_time};
use super::Moment;
use super::number::short;
use super::text::wrong;

pub(super) fn date(args: &[Value], moment: &Moment) -> Result<Value, String> {
    match args {
        [Value::Text(text)] if text.trim().is_empty() => Ok(Value::Null),
        [Value::Text(text)] => match (civil_date(text), date_time(text)) {
            (Some(date), _) => Ok(Value::Date(date)),
            (_, Some(at)) => date(&[at], moment),
            _ => Err(format!("\"{}\" is not a date such as 2012-11-01", short(text))),
        },
        [value] => civil(value, moment).map(|at| Value::Date(at.date())).map_or_else(|| wrong("date", args), Ok),
        _ => wrong("date", args),
    }
}

pub(super) fn datetime(args: &[Value], moment: &Moment) -> Result<Value, String> {
    match args {
        [Value::Text(text)] if text.trim().is_empty() => Ok(Value::Null),
        [Value::Text(text)] => date_time(text)
            .ok_or_else(|| format!("\"{}\" is not a date and time such as 2012-11-01T10:00:00Z", short(text))),
        [Value::DateTime(at)] => Ok(Value::DateTime(*at)),
        [Value::Date(_) | Value::LocalDateTime(_)] => {
            let at = civil(&args[0], moment).and_then(|local| moment.zone.to_timestamp(local).ok());
            at.map(Value::DateTime).ok_or_else(|| format!("{} is too far away", args[0]))
        }
        _ => wrong("datetime", args),
    }
}

pub(super) fn time(args: &[Value], moment: &Moment) -> Result<Value, String> {
    match args {
        [Value::Text(text)] if text.trim().is_empty() => Ok(Value::Null),
        [Value::Text(text)] => clock_time(text.trim())
            .map(Value::Time)
            .ok_or_else(|| format!("\"{}\" is not a time such as 10:00:00", short(text))),
        [Value::Time(time)] => Ok(Value::Time(*time)),
        [value @ (Value::DateTime(_) | Value::LocalDateTime(_))] => {
            civil(value, moment).map(|at| Value::Time(at.time())).map_or_else(|| wrong("time", args), Ok)
        }
        _ => wrong("time", args),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the one shape of all functions")]
pub(super) fn now(_: &[Value], moment: &Moment) -> Result<Value, String> {
    Ok(Value::DateTime(moment.now))
}

#[expect(clippy::unnecessary_wraps, reason = "the one shape of all functions")]
pub(super) fn today(_: &[Value], moment: &Moment) -> Result<Value, String> {
    Ok(Value::Date(moment.zone.to_datetime(moment.now).date()))
}

pub(super) fn year(args: &[Value], moment: &Moment) -> Result<Value, String> {
    part("year", args, moment, |date| date.year().into())
}

pub(super) fn month(args: &[Value], moment: &Moment) -> Result<Value, String> {
    part("month", args, moment, |date| date.month().into())
}

pub(super) fn day(args: &[Value], moment: &Moment) -> Result<Value, String> {
    part("day", args, moment, |date| date.day().into())
}

pub(super) fn days_between(args: &[Value], moment: &Moment) -> Result<Value, String> {
    let days = match args {
        [from, to] => civil(from, moment).zip(civil(to, moment)),
        _ => None,
    };
    let days = days.and_then(|(from, to)| from.date().until(to.date()).ok());
    days.map_or_else(|| wrong("days_between", args), |span| Ok(Value::Int(span.get_days().into())))
}

pub(super) fn add_days(args: &[Value], moment: &Moment) -> Result<Value, String> {
    let [value, Value::Int(days)] = args else {
        return wrong("add_days", args);
    };
    let far = || format!("{days} days from {value} is too far away");
    let span = Span::new().try_days(*days).map_err(|_| far())?;
    match value {
        Value::Date(date) => date.checked_add(span).map(Value::Date).map_err(|_| far()),
        Value::LocalDateTime(local) => local.checked_add(span).map(Value::LocalDateTime).map_err(|_| far()),
        Value::DateTime(at) => {
            let later = Zoned::new(*at, moment.zone.clone()).checked_add(span).map_err(|_| far())?;
            Ok(Value::DateTime(later.timestamp()))
        }
        _ => wrong("add_days", args),
    }
}

fn part(name: &str, args: &[Value], moment: &Moment, of: impl Fn(civil::Date) -> i64) -> Result<Value, String> {
    let [value] = args else {
        return wrong(name, args);
    };
    civil(value, moment).map_or_else(|| wrong(name, args), |at| Ok(Value::Int(of(at.date()))))
}

/// What calendar and clock on the wall show.
fn civil(value: &Value, moment: &Moment) -> Option<civil::DateTime> {
    match value {
        Value::Date(date) => Some(date.to_datetime(civil::Time::midnight())),
        Value::LocalDateTime(local) => Some(*local),
        Value::DateTime(at) => Some(moment.zone.to_datetime(*at)),
        _ => None,
    }
}
