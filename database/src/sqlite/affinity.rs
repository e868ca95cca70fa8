//! What a declared type means: to SQLite, and to us.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use engine::types::{MONEY, Type};

/// What SQLite makes of a value that is written to a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    /// By the rules of <https://sqlite.org/datatype3.html#determination_of_column_affinity>.
    pub(super) fn of(declared: &str, strict: bool) -> Self {
        let name = declared.to_uppercase();
        let has = |part: &str| name.contains(part);
        if strict && name == "ANY" {
            Self::Blob
        } else if has("INT") {
            Self::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if has("BLOB") || name.is_empty() {
            Self::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// A declaration that gives this affinity.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Integer => "INTEGER",
            Self::Text => "TEXT",
            Self::Blob => "BLOB",
            Self::Real => "REAL",
            Self::Numeric => "NUMERIC",
        }
    }

    /// Whether text that looks like a number becomes a binary number.
    pub(super) fn makes_numbers(self) -> bool {
        matches!(self, Self::Integer | Self::Real | Self::Numeric)
    }
}

/// How a column is read.
pub(super) fn arrow_type(declared: &str) -> DataType {
    let upper = declared.to_uppercase();
    let (name, arguments) = match upper.split_once('(') {
        Some((name, rest)) => (format!("{name} {}", rest.split_once(')').map_or("", |(_, rest)| rest)), numbers(rest)),
        None => (upper, Vec::new()),
    };
    let words: Vec<&str> = name.split_whitespace().collect();
    if words.contains(&"LIST") {
        let rest = words.iter().filter(|word| **word != "LIST").copied().collect::<Vec<_>>().join(" ");
        return DataType::List(Arc::new(Field::new_list_field(scalar_type(&rest, &arguments), true)));
    }
    scalar_type(&words.join(" "), &arguments)
}

/// The length of text that is declared, in characters.
pub(super) fn declared_length(declared: &str) -> Option<u32> {
    let (name, rest) = declared.split_once('(')?;
    let is_text = Affinity::of(name, false) == Affinity::Text && !name.to_uppercase().contains("DECIMAL");
    is_text.then(|| numbers(rest).first().copied()).flatten()
}

fn scalar_type(name: &str, arguments: &[u32]) -> DataType {
    let has = |part: &str| name.contains(part);
    if has("BOOL") {
        DataType::Boolean
    } else if has("DECIMAL") || has("NUMERIC") || has("MONEY") || has("NUMBER") {
        decimal(arguments)
    } else if (has("TIMESTAMP") && has("WITHOUT")) || (has("DATETIME") && has("LOCAL")) {
        Type::LocalDateTime.arrow()
    } else if has("TIMESTAMP") || has("DATETIME") {
        Type::DateTime.arrow()
    } else if has("DATE") {
        DataType::Date32
    } else if name == "TIME" || name.starts_with("TIME ") {
        Type::Time.arrow()
    } else {
        match Affinity::of(name, false) {
            Affinity::Integer => DataType::Int64,
            Affinity::Real => DataType::Float64,
            Affinity::Text | Affinity::Blob | Affinity::Numeric => DataType::Utf8,
        }
    }
}

/// Money where it does not say.
fn decimal(arguments: &[u32]) -> DataType {
    let declared = match arguments {
        [precision] => Some((*precision, 0)),
        [precision, scale, ..] => Some((*precision, *scale)),
        [] => None,
    };
    let fits = |(precision, scale): (u32, u32)| {
        let (precision, scale) = (u8::try_from(precision).ok()?, i8::try_from(scale).ok()?);
        ((1..=38).contains(&precision) && scale.unsigned_abs() <= precision)
            .then_some(DataType::Decimal128(precision, scale))
    };
    declared.and_then(fits).unwrap_or(MONEY)
}

fn numbers(arguments: &str) -> Vec<u32> {
    let inner = arguments.split_once(')').map_or(arguments, |(inner, _)| inner);
    inner.split(',').filter_map(|number| number.trim().parse().ok()).collect()
}
