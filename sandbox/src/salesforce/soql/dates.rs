//! Dates that depend on today, such as `LAST_N_DAYS:30`. Days begin at midnight UTC, weeks on Sunday as in the US locale.

use jiff::{Span, ToSpan, civil::Date};

use crate::time::DAY;

const NAMES: &[&str] = &[
    "YESTERDAY",
    "TODAY",
    "TOMORROW",
    "LAST_WEEK",
    "THIS_WEEK",
    "NEXT_WEEK",
    "LAST_MONTH",
    "THIS_MONTH",
    "NEXT_MONTH",
    "LAST_YEAR",
    "THIS_YEAR",
    "NEXT_YEAR",
    "LAST_90_DAYS",
    "NEXT_90_DAYS",
    "LAST_N_DAYS",
    "NEXT_N_DAYS",
    "N_DAYS_AGO",
    "LAST_N_WEEKS",
    "LAST_N_MONTHS",
    "LAST_N_YEARS",
];

/// True for a word that names a span of days.
pub(super) fn is_relative(word: &str) -> bool {
    NAMES.iter().any(|name| name.eq_ignore_ascii_case(word))
}

/// The first day of the span and the first after it, in days since 1970.
pub(super) fn span(name: &str, count: i64, now: i64) -> Option<(i64, i64)> {
    let today = now.div_euclid(DAY);
    let epoch = Date::constant(1970, 1, 1);
    let date = epoch.checked_add(today.days()).ok()?;
    let number = |date: Date| epoch.until(date).ok().map(|span| i64::from(span.get_days()));
    // 1970 began on a Thursday.
    let week = today - (today + 4).rem_euclid(7);
    let month = |months: i64| number(date.first_of_month().checked_add(Span::new().try_months(months).ok()?).ok()?);
    let year = |years: i64| number(date.first_of_year().checked_add(Span::new().try_years(years).ok()?).ok()?);
    Some(match name {
        "YESTERDAY" => (today - 1, today),
        "TODAY" => (today, today + 1),
        "TOMORROW" => (today + 1, today + 2),
        "LAST_WEEK" => (week - 7, week),
        "THIS_WEEK" => (week, week + 7),
        "NEXT_WEEK" => (week + 7, week + 14),
        "LAST_N_WEEKS" => (week - 7 * count, week),
        "LAST_MONTH" => (month(-1)?, month(0)?),
        "THIS_MONTH" => (month(0)?, month(1)?),
        "NEXT_MONTH" => (month(1)?, month(2)?),
        "LAST_N_MONTHS" => (month(-count)?, month(0)?),
        "LAST_YEAR" => (year(-1)?, year(0)?),
        "THIS_YEAR" => (year(0)?, year(1)?),
        "NEXT_YEAR" => (year(1)?, year(2)?),
        "LAST_N_YEARS" => (year(-count)?, year(0)?),
        // The last days include today.
        "LAST_90_DAYS" => (today - 89, today + 1),
        "NEXT_90_DAYS" => (today + 1, today + 91),
        "LAST_N_DAYS" => (today - count, today + 1),
        "NEXT_N_DAYS" => (today + 1, today + 1 + count),
        "N_DAYS_AGO" => (today - count, today - count + 1),
        _ => return None,
    })
}
