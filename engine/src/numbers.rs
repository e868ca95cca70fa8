//! Numbers that become another kind of number. Whole digits are never lost on the way: a number whose whole digits the
//! other kind cannot hold does not become one.

use std::cmp::Ordering;

use rust_decimal::Decimal;

/// Up to here (2⁵³) a floating point number holds every whole number.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
/// Beyond this (2¹⁰⁰) a floating point number is larger than any number that is compared with it exactly.
const COMPARED_MAX: f64 = 1_267_650_600_228_229_401_496_703_205_376.0;

/// A whole number as floating point; `None` if that would be another number.
pub fn float_of_int(int: i64) -> Option<f64> {
    let float = nearest(int);
    (order(int.into(), float) == Some(Ordering::Equal)).then_some(float)
}

/// A decimal number as floating point, the nearest one; `None` if its whole digits would be others.
pub fn float_of_decimal(decimal: Decimal) -> Option<f64> {
    float_of_digits(&decimal.to_string())
}

/// As [`float_of_decimal`], of a number as it is written: `-12.5`. One with an exponent, `1e300`, was floating point before.
pub fn float_of_digits(text: &str) -> Option<f64> {
    let float: f64 = text.parse().ok().filter(|float: &f64| float.is_finite())?;
    if float.abs() < WHOLE_MAX || text.contains(['e', 'E']) {
        return Some(float);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_exact = || whole.parse().is_ok_and(|whole| order(whole, float) == Some(Ordering::Equal));
    // Or as floating point itself is written, whose last digits are zeros.
    let is_same = fraction.bytes().all(|digit| digit == b'0') && (is_exact() || float.to_string() == whole);
    is_same.then_some(float)
}

/// The decimal number that a floating point number is written as, at this scale, rounded half away from zero; `None` if it
/// has more digits than that.
pub fn decimal_of_float(float: f64, precision: u8, scale: i8) -> Option<i128> {
    let exact: Decimal = float.to_string().parse().ok()?;
    decimal_at(exact, precision, scale)
}

/// How Arrow keeps a decimal at this scale, rounded half away from zero; `None` if it does not fit.
pub fn decimal_at(decimal: Decimal, precision: u8, scale: i8) -> Option<i128> {
    use rust_decimal::RoundingStrategy::MidpointAwayFromZero;
    let digits = u32::try_from(scale).ok()?;
    let rounded = decimal.round_dp_with_strategy(digits, MidpointAwayFromZero);
    let up = 10i128.checked_pow(digits.checked_sub(rounded.scale())?)?;
    let mantissa = rounded.mantissa().checked_mul(up)?;
    (mantissa.unsigned_abs() < 10u128.checked_pow(precision.into())?).then_some(mantissa)
}

/// The order of a whole number and a floating point number, exactly; `None` beside what is not a number.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
pub(crate) fn order(whole: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float.abs() >= COMPARED_MAX {
        return Some(if float > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let by_fraction = || 0.0.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal);
    Some(whole.cmp(&(float.trunc() as i128)).then_with(by_fraction))
}

#[expect(clippy::cast_precision_loss, reason = "whoever calls checks what was lost")]
fn nearest(int: i64) -> f64 {
    int as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_becomes_floating_point_only_if_it_stays_the_same() {
        let two_53 = 9_007_199_254_740_992;
        assert_eq!(float_of_int(two_53), Some(9_007_199_254_740_992.0));
        assert_eq!((float_of_int(two_53 + 1), float_of_int(i64::MAX)), (None, None));
        assert_eq!(float_of_int(i64::MIN), Some(-9_223_372_036_854_775_808.0));
        assert_eq!(float_of_digits("9007199254740993"), None);
        assert_eq!(float_of_digits("9007199254740993.0"), None);
        assert_eq!(float_of_digits("9007199254740992.5"), None);
        assert_eq!(float_of_digits("-12.5"), Some(-12.5));
        assert_eq!(float_of_digits("0.3333333333333333333333333333"), Some(1.0 / 3.0));
        for float in [1e300, -1e23, 1.234_567_890_123_456_7e40, 9_007_199_254_740_994.0] {
            assert_eq!(float_of_digits(&float.to_string()), Some(float), "as it is written");
            assert_eq!(float_of_digits(&format!("{float:e}")), Some(float));
        }
        assert_eq!(float_of_digits(&format!("{}1", "9".repeat(50))), None);
    }

    #[test]
    fn a_whole_number_and_a_floating_point_number_have_their_exact_order() {
        use Ordering::{Equal, Greater, Less};
        let float = 9_007_199_254_740_992.0;
        for (whole, other, wanted) in [
            (9_007_199_254_740_993, float, Some(Greater)),
            (9_007_199_254_740_992, float, Some(Equal)),
            (-3, -2.5, Some(Less)),
            (-2, -2.5, Some(Greater)),
            (i128::from(i64::MAX), 9_223_372_036_854_775_808.0, Some(Less)),
            (0, f64::NEG_INFINITY, Some(Greater)),
            (0, f64::NAN, None),
        ] {
            assert_eq!(order(whole, other), wanted, "{whole} and {other}");
        }
    }
}
