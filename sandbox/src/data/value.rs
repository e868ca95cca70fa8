//! What a field of a record can hold.

use std::{borrow::Cow, fmt};

use crate::{guid::Guid, time};

/// One value, borrowed from a stored record or made for the occasion.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    /// Nothing.
    Null,
    /// Text of one or many lines.
    Text(Cow<'a, str>),
    /// A whole number; also the value of a choice, a state or a status.
    Integer(i64),
    /// An exact number with places after the point.
    Decimal(Decimal),
    /// A binary floating-point number.
    Double(f64),
    /// Yes or no.
    Boolean(bool),
    /// An id that is not a reference.
    Guid(Guid),
    /// An instant in whole seconds since 1970.
    Instant(i64),
    /// A day, in days since 1970.
    Date(i64),
    /// Several choices, in ascending order.
    Choices(Vec<i64>),
    /// A reference to another record.
    Link(Link),
    /// A value of several parts, as its JSON.
    Tree(String),
}

/// A reference to a record of a named table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    /// Logical name of the table, such as `account`.
    pub(crate) table: &'static str,
    /// The record there; it need not exist.
    pub(crate) id: Guid,
}

/// An exact decimal number: `units` divided by ten to the power of `scale`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal {
    units: i128,
    scale: u8,
}

/// Places after the point that a [`Decimal`] can have at most.
const SCALE_MAX: u8 = 12;

impl Value<'_> {
    /// The same value, free of what it was borrowed from.
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Null => Value::Null,
            Value::Integer(number) => Value::Integer(number),
            Value::Decimal(number) => Value::Decimal(number),
            Value::Double(number) => Value::Double(number),
            Value::Boolean(flag) => Value::Boolean(flag),
            Value::Guid(id) => Value::Guid(id),
            Value::Instant(seconds) => Value::Instant(seconds),
            Value::Date(days) => Value::Date(days),
            Value::Choices(choices) => Value::Choices(choices),
            Value::Link(link) => Value::Link(link),
            Value::Tree(json) => Value::Tree(json),
        }
    }

    /// As plain JSON, for the admin API and the log; references are their id.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Text(text) => text.as_ref().into(),
            Value::Integer(number) => (*number).into(),
            Value::Decimal(number) => serde_json::from_str(&number.to_string()).unwrap_or_default(),
            Value::Double(number) => (*number).into(),
            Value::Boolean(flag) => (*flag).into(),
            Value::Guid(id) => id.to_string().into(),
            Value::Instant(seconds) => time::instant_text(*seconds).into(),
            Value::Date(days) => time::date_text(*days).into(),
            Value::Choices(choices) => choice_text(choices).into(),
            Value::Link(link) => link.id.to_string().into(),
            Value::Tree(json) => serde_json::from_str(json).unwrap_or_default(),
        }
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// True for [`Value::Null`].
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

impl Value<'static> {
    /// Text that lives in the program.
    pub(crate) const fn literal(text: &'static str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }

    /// Text of its own.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Value::Text(Cow::Owned(text.into()))
    }
}

impl Decimal {
    /// `units` divided by ten to the power of `scale`.
    pub(crate) const fn new(units: i128, scale: u8) -> Self {
        Self { units, scale }
    }

    /// Reads `-12.50`, and `1.5e3` as JSON allows it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{part}");
        if whole.is_empty() || all.len() > 30 || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut units: i128 = all.parse().ok()?;
        let mut scale = i32::try_from(part.len()).ok()? - exponent;
        if scale < 0 {
            units = units.checked_mul(10_i128.checked_pow(scale.unsigned_abs())?)?;
            scale = 0;
        }
        let units = if negative { -units } else { units };
        Some(
            Self::new(units, u8::try_from(scale).ok().filter(|scale| *scale <= 30)?)
                .rescaled(SCALE_MAX.min(u8::try_from(scale).ok()?)),
        )
    }

    /// The same number with so many places, rounded half away from zero.
    pub(crate) fn rescaled(self, scale: u8) -> Self {
        let units = if scale >= self.scale {
            self.units.saturating_mul(power_of_ten(scale - self.scale))
        } else {
            let divisor = power_of_ten(self.scale - scale);
            (self.units + self.units.signum() * divisor / 2) / divisor
        };
        Self { units, scale }
    }

    /// The whole number, if it is one.
    pub(crate) fn to_integer(self) -> Option<i64> {
        let divisor = power_of_ten(self.scale);
        (self.units % divisor == 0).then(|| i64::try_from(self.units / divisor).ok()).flatten()
    }

    /// The number that [`Decimal::comparable`] made of it.
    pub(crate) fn of_comparable(units: i128) -> Self {
        Self { units, scale: SCALE_MAX }
    }

    /// The number times ten to the power of twelve, so that all of them compare.
    pub(crate) fn comparable(self) -> i128 {
        self.rescaled(SCALE_MAX).units
    }
}

/// Several choices as the wire shows them: `1,3,7`.
pub(crate) fn choice_text(choices: &[i64]) -> String {
    choices.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}

fn power_of_ten(exponent: u8) -> i128 {
    10_i128.pow(u32::from(exponent))
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.comparable() == other.comparable()
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divisor = power_of_ten(self.scale);
        let sign = if self.units < 0 { "-" } else { "" };
        let units = self.units.abs();
        if self.scale == 0 {
            return write!(f, "{sign}{units}");
        }
        write!(f, "{sign}{}.{:0width$}", units / divisor, units % divisor, width = usize::from(self.scale))
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn decimals_read_print_and_round() {
        assert_eq!(Decimal::parse("-12.50").unwrap().to_string(), "-12.50");
        assert_eq!(Decimal::parse("1.5e3").unwrap().to_string(), "1500");
        assert_eq!(Decimal::parse("2.345").unwrap().rescaled(2).to_string(), "2.35");
        assert_eq!(Decimal::parse("-2.345").unwrap().rescaled(2).to_string(), "-2.35");
        assert_eq!(Decimal::parse("10.00"), Decimal::parse("1e1"));
        assert_eq!(Decimal::parse("ten"), None);
        assert_eq!(Decimal::parse("7.0").unwrap().to_integer(), Some(7));
        assert_eq!(Decimal::parse("7.5").unwrap().to_integer(), None);
    }
}
