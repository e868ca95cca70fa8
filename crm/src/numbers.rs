//! Numbers as texts: compared and checked without passing through floating point.

/// Beyond this many places before or after the point a text is no number of a CRM.
const PLACES_MAX: i64 = 400;

/// A number in the one form in which two equal ones are the same text, such as `5` for `5.0` and `0.5E1`; `None` for any
/// other text.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(place) => (&text[..place], text[place + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |mantissa| ("-", mantissa));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let zeros = all.bytes().take_while(|b| *b == b'0').count();
    let digits = all[zeros..].trim_end_matches('0');
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    // Where the point is, counted from the first digit that is not 0.
    let point = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()? + i64::from(exponent);
    if point.abs() > PLACES_MAX {
        return None;
    }
    let before = usize::try_from(point).unwrap_or(0);
    let leading = usize::try_from(-point).unwrap_or(0);
    Some(match digits.split_at_checked(before) {
        _ if leading > 0 || before == 0 => format!("{sign}0.{}{digits}", "0".repeat(leading)),
        Some((whole, "")) => format!("{sign}{whole}"),
        Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{digits}{}", "0".repeat(before - digits.len())),
    })
}

/// Whether two texts are the same number.
pub(crate) fn are_same(a: &str, b: &str) -> bool {
    canonical(a).is_some_and(|a| canonical(b) == Some(a))
}

/// The number that floating point makes of this one, where that is another.
pub(crate) fn altered_by_double(text: &str) -> Option<String> {
    let double = text.parse::<f64>().ok().filter(|double| double.is_finite())?.to_string();
    (!are_same(text, &double)).then_some(double)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_are_one_text_and_no_digit_is_lost() {
        for (texts, one) in [
            (vec!["5", "5.0", "05", "0.5E1", "50e-1"], "5"),
            (vec!["9007199254740993", "9.007199254740993E15", "9007199254740993.000"], "9007199254740993"),
            (vec!["-0.25", "-25E-2", "-.25", "-0.250"], "-0.25"),
            (vec!["1200", "1.2e3"], "1200"),
            (vec!["0", "-0.0", "0E99", "0.000"], "0"),
            (vec!["0.001", "1E-3"], "0.001"),
        ] {
            for text in texts {
                assert_eq!(canonical(text).as_deref(), Some(one), "{text}");
            }
        }
        for none in ["", "-", ".", "1.2.3", "1e", "1e999999", "five", "+-1", "NaN"] {
            assert_eq!(canonical(none), None, "{none}");
        }
    }

    #[test]
    fn what_floating_point_would_change_is_found() {
        assert_eq!(altered_by_double("9007199254740993").as_deref(), Some("9007199254740992"));
        assert_eq!(altered_by_double("1222333444555666.88").as_deref(), Some("1222333444555667"));
        for kept in ["9007199254740992", "0.1", "2500000000000000", "123456789012.3456", "1E22", "-5"] {
            assert_eq!(altered_by_double(kept), None, "{kept}");
        }
    }
}
