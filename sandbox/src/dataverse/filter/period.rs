//! Spans of time that are named from now, such as the last seven days, in UTC.

use jiff::{
    Span, Timestamp,
    civil::{Date, Weekday},
    tz::TimeZone,
};

use crate::time::DAY;

/// The greatest number of hours, days and so on that is counted with; more reaches beyond all records.
const COUNT_MAX: i64 = 100_000;

/// From (included) and to (excluded) in seconds since 1970; open without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
}

/// The period that a function names, as its documentation says: what lies back ends now, what lies ahead begins now, and
/// whole days, weeks (from Sunday), months and years are those of the calendar.
pub(super) fn of(name: &str, count: i64, now: i64) -> Option<Period> {
    let count = count.clamp(0, COUNT_MAX);
    let today = Timestamp::from_second(now).ok()?.to_zoned(TimeZone::UTC).date();
    let since_sunday = i64::from(today.weekday().since(Weekday::Sunday));
    let whole = |start: Date, unit, from: i64| {
        let edge = |count| midnight(moved(start, unit, count)?);
        Some(Period { from: edge(from), to: edge(from + 1) })
    };
    // What happens in this second has happened.
    let last = |from: Option<i64>| Some(Period { from, to: Some(now + 1) });
    let next = |to: Option<i64>| Some(Period { from: Some(now), to });
    let days_away = |count: i64| midnight(moved(today, "Days", count)?);
    let week = moved(today, "Days", -since_sunday)?;
    match name {
        "Yesterday" => whole(today, "Days", -1),
        "Today" => whole(today, "Days", 0),
        "Tomorrow" => whole(today, "Days", 1),
        "Last7Days" => last(days_away(-7)),
        "Next7Days" => next(days_away(8)),
        "LastWeek" => whole(week, "Weeks", -1),
        "ThisWeek" => whole(week, "Weeks", 0),
        "NextWeek" => whole(week, "Weeks", 1),
        "LastMonth" => whole(today.first_of_month(), "Months", -1),
        "ThisMonth" => whole(today.first_of_month(), "Months", 0),
        "NextMonth" => whole(today.first_of_month(), "Months", 1),
        "LastYear" => whole(today.first_of_year(), "Years", -1),
        "ThisYear" => whole(today.first_of_year(), "Years", 0),
        "NextYear" => whole(today.first_of_year(), "Years", 1),
        "OlderThanXMinutes" => Some(Period { from: None, to: Some(now - count * 60) }),
        "OlderThanXHours" => Some(Period { from: None, to: Some(now - count * 3_600) }),
        "LastXHours" => last(Some(now - count * 3_600)),
        "NextXHours" => next(Some(now + count * 3_600 + 1)),
        _ => {
            let mut kinds = ["LastX", "NextX", "OlderThanX"].into_iter();
            let (kind, unit) = kinds.find_map(|kind| Some((kind, name.strip_prefix(kind)?)))?;
            if !UNITS.contains(&unit) {
                return None;
            }
            let edge = moved(today, unit, if kind == "NextX" { count } else { -count }).and_then(midnight);
            match kind {
                "LastX" => last(edge),
                // The day so far ahead counts as a whole.
                "NextX" => next(edge.map(|at| at + DAY)),
                // Nothing is older than the calendar.
                _ => Some(Period { from: None, to: edge.or(Some(i64::MIN)) }),
            }
        }
    }
}

/// Units of whole days.
const UNITS: [&str; 4] = ["Days", "Weeks", "Months", "Years"];

/// The day so many units away; none beyond the ends of the calendar.
fn moved(day: Date, unit: &str, count: i64) -> Option<Date> {
    let span = match unit {
        "Days" => Span::new().try_days(count),
        "Weeks" => Span::new().try_weeks(count),
        "Months" => Span::new().try_months(count),
        _ => Span::new().try_years(count),
    };
    day.checked_add(span.ok()?).ok()
}

fn midnight(day: Date) -> Option<i64> {
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::time::{instant_text, parse_instant};

    #[test]
    fn periods_are_those_of_the_calendar() {
        // A Tuesday.
        let now = parse_instant("2026-03-03T10:00:00Z").unwrap();
        for (name, count, from, to) in [
            ("Today", 0, "2026-03-03T00:00:00Z", "2026-03-04T00:00:00Z"),
            ("Yesterday", 0, "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"),
            ("LastWeek", 0, "2026-02-22T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("ThisMonth", 0, "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
            ("LastYear", 0, "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("Last7Days", 0, "2026-02-24T00:00:00Z", "2026-03-03T10:00:01Z"),
            ("LastXDays", 7, "2026-02-24T00:00:00Z", "2026-03-03T10:00:01Z"),
            ("LastXHours", 2, "2026-03-03T08:00:00Z", "2026-03-03T10:00:01Z"),
            ("LastXMonths", 1, "2026-02-03T00:00:00Z", "2026-03-03T10:00:01Z"),
            ("NextXWeeks", 1, "2026-03-03T10:00:00Z", "2026-03-11T00:00:00Z"),
            ("OlderThanXYears", 1, "", "2025-03-03T00:00:00Z"),
            ("OlderThanXMinutes", 30, "", "2026-03-03T09:30:00Z"),
        ] {
            let period = of(name, count, now).unwrap();
            let shown = |at: Option<i64>| at.map(instant_text).unwrap_or_default();
            assert_eq!((shown(period.from), shown(period.to)), (from.to_owned(), to.to_owned()), "{name}");
        }
        assert_eq!(of("LastXFortnights", 1, now), None);
        assert!(of("LastXYears", i64::MAX, now).unwrap().from.is_none());
    }
}
