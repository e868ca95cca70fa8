//! Instants in whole seconds since 1970 and days since 1970, and their text forms on the wire.

use jiff::{Timestamp, civil};

/// Seconds in a day.
pub(crate) const DAY: i64 = 86_400;

/// Year, month and day of a number of days since 1970 (Howard Hinnant's `civil_from_days`).
///
/// By hand because a page of 5,000 records holds some ten thousand instants.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn write_digits(out: &mut Vec<u8>, value: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_i64.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// Appends `2026-03-03`.
pub(crate) fn write_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil_from_days(days);
    write_digits(out, year, 4);
    out.push(b'-');
    write_digits(out, month, 2);
    out.push(b'-');
    write_digits(out, day, 2);
}

/// Appends `2026-03-03T10:00:00Z`: the wire has whole seconds.
pub(crate) fn write_instant(out: &mut Vec<u8>, seconds: i64) {
    write_date(out, seconds.div_euclid(DAY));
    let second_of_day = seconds.rem_euclid(DAY);
    out.push(b'T');
    write_digits(out, second_of_day / 3_600, 2);
    out.push(b':');
    write_digits(out, second_of_day / 60 % 60, 2);
    out.push(b':');
    write_digits(out, second_of_day % 60, 2);
    out.push(b'Z');
}

/// `2026-03-03T10:00:00Z`.
pub(crate) fn instant_text(seconds: i64) -> String {
    let mut out = Vec::with_capacity(20);
    write_instant(&mut out, seconds);
    String::from_utf8_lossy(&out).into_owned()
}

/// `2026-03-03`.
pub(crate) fn date_text(days: i64) -> String {
    let mut out = Vec::with_capacity(10);
    write_date(&mut out, days);
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads an instant with its offset (`2026-03-03T10:00:00Z`, `…+01:00`); fractions of a second are cut off.
pub(crate) fn parse_instant(text: &str) -> Option<i64> {
    let instant: Timestamp = text.parse().ok()?;
    Some(instant.as_second() - i64::from(instant.subsec_nanosecond() < 0))
}

/// Reads a day such as `2026-03-03`.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    if text.len() != 10 {
        return None;
    }
    let date: civil::Date = text.parse().ok()?;
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(midnight.timestamp().as_second().div_euclid(DAY))
}

/// The form of HTTP's `Date` header, such as `Tue, 03 Mar 2026 10:00:00 GMT`.
pub(crate) fn http_date(seconds: i64) -> String {
    let instant = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    instant.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::{instant_text, parse_date, parse_instant};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_instant_reads_back_as_it_was_written(seconds in -2_208_988_800_i64..4_102_444_800) {
            let text = instant_text(seconds);
            prop_assert_eq!(parse_instant(&text), Some(seconds));
            prop_assert_eq!(parse_date(&text[..10]), Some(seconds.div_euclid(super::DAY)));
        }
    }

    #[test]
    fn fractions_are_cut_off_also_before_1970() {
        assert_eq!(parse_instant("2026-03-03T10:00:00.999+01:00"), parse_instant("2026-03-03T09:00:00Z"));
        assert_eq!(parse_instant("1969-12-31T23:59:58.5Z"), Some(-2));
    }
}
