//! Numbers and dates of headers, in every form in which servers write them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use reqwest::header::{HeaderMap, HeaderName};

/// The two obsolete forms of a date that HTTP still allows, see <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7>.
const OBSOLETE_DATES: [&str; 2] = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// The text of a header, without spaces around it.
pub(crate) fn text(headers: &HeaderMap, name: impl reqwest::header::AsHeaderName) -> Option<&str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// A header that holds a date, such as `Date` itself.
pub(crate) fn date(headers: &HeaderMap, name: HeaderName) -> Option<Timestamp> {
    instant(text(headers, name)?)
}

/// A date as HTTP writes it, such as `Tue, 03 Mar 2026 10:00:00 GMT`.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let obsolete = |form: &&str| DateTime::strptime(form, text).ok()?.to_zoned(TimeZone::UTC).ok();
    let at = rfc2822::parse(text).ok().or_else(|| OBSOLETE_DATES.iter().find_map(obsolete));
    Some(at?.timestamp())
}

/// A number as programs and people write it (`1200`, `1,200.00`, `1 200`, `1.200,00`), without what follows its decimal
/// mark. What is left of an allowance is at least 0.
pub(crate) fn whole_number(text: &str) -> Option<u64> {
    let (text, is_negative) = text.strip_prefix('-').map_or((text, false), |text| (text, true));
    let whole = match decimal_mark(text) {
        Some(place) => {
            let fraction = &text[place + 1..];
            fraction.bytes().all(|b| b.is_ascii_digit()).then_some(&text[..place])?
        }
        None => text,
    };
    let mut groups = whole.split([',', '.', ' ', '\u{a0}', '\u{202f}', '\'', '\u{2019}']);
    let mut digits = groups.next()?.to_owned();
    for group in groups {
        digits.push_str(Some(group).filter(|group| group.len() == 3)?);
    }
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // All digits but no u64 is absurdly large.
    is_number.then(|| if is_negative { 0 } else { digits.parse().unwrap_or(u64::MAX) })
}

/// The place of the mark before the fraction: the last one of two kinds; of one kind a single point, or a comma that
/// groups no three digits.
fn decimal_mark(text: &str) -> Option<usize> {
    let (point, comma) = (text.rfind('.'), text.rfind(','));
    match (point, comma) {
        (Some(point), Some(comma)) => Some(point.max(comma)),
        (Some(point), None) => (text.find('.') == Some(point)).then_some(point),
        (None, Some(comma)) => (text.find(',') == Some(comma) && text.len() - comma != 4).then_some(comma),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_whole_however_it_is_grouped() {
        for (text, number) in [
            ("1200", 1_200),
            ("1,200.00", 1_200),
            ("1,200", 1_200),
            ("1200.00", 1_200),
            ("1.200,00", 1_200),
            ("1200,5", 1_200),
            ("1 200", 1_200),
            ("1,234,567", 1_234_567),
            ("1.234.567", 1_234_567),
            ("5.999", 5),
            ("0", 0),
            ("-0.25", 0),
            ("99999999999999999999999", u64::MAX),
        ] {
            assert_eq!(whole_number(text), Some(number), "{text}");
        }
        for none in ["", "-", ".", "many", "1,2,3", "12/3", "0x10", "1.2.3", "1,200.x"] {
            assert_eq!(whole_number(none), None, "{none}");
        }
    }

    #[test]
    fn a_date_is_read_in_all_three_forms_of_http() {
        let at = "2026-03-03T10:00:30Z".parse::<Timestamp>().ok();
        for text in ["Tue, 03 Mar 2026 10:00:30 GMT", "Tuesday, 03-Mar-26 10:00:30 GMT", "Tue Mar  3 10:00:30 2026"] {
            assert_eq!(instant(text), at, "{text}");
        }
        assert_eq!(instant("2026-03-03"), None);
    }
}
