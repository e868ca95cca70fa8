//! Values of a request: of the right type, or an error with the product's code.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value as Json;

use super::{
    error::Error,
    id::Id,
    schema::{Field, Kind, Rare},
    store::Store,
    table::RowState,
    value::{Value, parse_instant},
};
use crate::time::{self, DAY};

/// A value as it came.
#[derive(Debug, Clone, Copy)]
pub(super) enum Input<'a> {
    /// In JSON.
    Json(&'a Json),
    /// In a cell of a CSV file: any text but the empty one.
    Cell(&'a str),
    /// From the admin API: taken as it is, too long ones and references to nothing too.
    Admin(&'a Json),
}

impl Input<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Json(json) | Self::Admin(json) => json.as_str(),
            Self::Cell(text) => Some(text),
        }
    }

    fn wrong_type(&self, field: &Field) -> Error {
        let kind = field.kind.name();
        let json = match self {
            Self::Json(json) => json,
            Self::Cell(text) => {
                let text = format!("{}: value not of required type: {text}", field.label);
                return Error::field("INVALID_TYPE_ON_FIELD_IN_RECORD", text, &field.name);
            }
            Self::Admin(json) => {
                return Error::new("", format!("{json} does not fit \"{}\", which is a {kind}", field.name));
            }
        };
        let found = match json {
            Json::String(_) => "VALUE_STRING",
            Json::Bool(true) => "VALUE_TRUE",
            Json::Bool(false) => "VALUE_FALSE",
            Json::Number(number) if number.is_f64() => "VALUE_NUMBER_FLOAT",
            Json::Number(_) => "VALUE_NUMBER_INT",
            Json::Array(_) => "START_ARRAY",
            Json::Object(_) => "START_OBJECT",
            Json::Null => "VALUE_NULL",
        };
        let shown = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
        Error::json(format!(
            "Cannot deserialize instance of {kind} from {found} value {shown} or request may be missing a required field at [line:1, column:1]"
        ))
    }
}

/// Reads a value for a field.
pub(super) fn value(store: &Store, field: &Field, input: Input<'_>) -> Result<Value, Error> {
    let is_admin = matches!(input, Input::Admin(_));
    if matches!(input, Input::Json(Json::Null) | Input::Admin(Json::Null)) {
        return null(field);
    }
    let value = match &field.kind {
        Kind::Boolean => boolean(field, input)?,
        Kind::Long => Value::Integer(long(input).ok_or_else(|| input.wrong_type(field))?),
        kind if kind.is_number() => number(field, input)?,
        Kind::Date => {
            let days = input
                .text()
                .and_then(|text| time::parse_date(text).or_else(|| Some(parse_instant(text)?.div_euclid(DAY))));
            Value::Date(days.ok_or_else(|| input.wrong_type(field))?)
        }
        Kind::DateTime => {
            let seconds =
                input.text().and_then(|text| parse_instant(text).or_else(|| Some(time::parse_date(text)? * DAY)));
            Value::Instant(seconds.ok_or_else(|| input.wrong_type(field))?)
        }
        Kind::Address | Kind::Location => return Err(input.wrong_type(field)),
        Kind::Rare(rare) => of_rare(*rare, field, input)?,
        _ => {
            // The product trims texts, and an empty one is none.
            let text = input.text().ok_or_else(|| input.wrong_type(field))?;
            let text = if is_admin { text } else { text.trim() };
            if text.is_empty() {
                return null(field);
            }
            match &field.kind {
                Kind::Reference { to, .. } => reference(store, field, text, to, is_admin)?,
                _ => Value::text(text),
            }
        }
    };
    if !is_admin && let Some(text) = value.as_text() {
        check_text(field, text)?;
    }
    Ok(value)
}

fn null(field: &Field) -> Result<Value, Error> {
    if field.kind == Kind::Boolean {
        let text = format!("{}: value not of required type: null", field.label);
        return Err(Error::field("INVALID_TYPE_ON_FIELD_IN_RECORD", text, &field.name));
    }
    Ok(Value::Null)
}

fn boolean(field: &Field, input: Input<'_>) -> Result<Value, Error> {
    match input {
        Input::Json(Json::Bool(flag)) | Input::Admin(Json::Bool(flag)) => Ok(Value::Boolean(*flag)),
        Input::Cell(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(Value::Boolean(true)),
        Input::Cell(text) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(Value::Boolean(false)),
        other => Err(other.wrong_type(field)),
    }
}

fn long(input: Input<'_>) -> Option<i64> {
    match input {
        Input::Json(Json::Number(number)) | Input::Admin(Json::Number(number)) => number.as_i64(),
        other => other.text()?.trim().parse().ok(),
    }
}

/// Clients write none of these: their values come from the admin API alone, or stand in a condition.
fn of_rare(rare: Rare, field: &Field, input: Input<'_>) -> Result<Value, Error> {
    let (Input::Json(json) | Input::Admin(json)) = input else {
        return Ok(Value::text(input.text().unwrap_or_default()));
    };
    Ok(match (rare, json) {
        (Rare::ComplexValue, Json::Object(_)) | (Rare::FloatArray, Json::Array(_)) => Value::Tree(json.to_string()),
        (Rare::ComplexValue | Rare::FloatArray, _) => return Err(input.wrong_type(field)),
        (_, Json::String(text)) => Value::text(text),
        (Rare::AnyType, Json::Bool(flag)) => Value::Boolean(*flag),
        (Rare::AnyType, Json::Number(number)) => match number.as_i64() {
            Some(whole) => Value::Integer(whole),
            None => Value::Double(number.as_f64().ok_or_else(|| input.wrong_type(field))?),
        },
        _ => return Err(input.wrong_type(field)),
    })
}

fn number(field: &Field, input: Input<'_>) -> Result<Value, Error> {
    let number = match input {
        Input::Json(Json::Number(number)) | Input::Admin(Json::Number(number)) => number.as_f64(),
        other => other.text().and_then(|text| text.trim().parse().ok()),
    };
    let number: f64 = number.filter(|number| number.is_finite()).ok_or_else(|| input.wrong_type(field))?;
    let out_of_range = || {
        let text = format!("{}: value outside of valid range on numeric field: {number}", field.label);
        Error::field("NUMBER_OUTSIDE_VALID_RANGE", text, &field.name)
    };
    match field.kind {
        Kind::Double { digits, places } | Kind::Currency { digits, places } | Kind::Percent { digits, places } => {
            if number.abs() >= 10_f64.powi(i32::from(digits)) {
                return Err(out_of_range());
            }
            let scale = 10_f64.powi(i32::from(places));
            // Beyond 15 digits the scaling itself would change the number.
            let rounded = if number.abs() * scale < 1e15 { (number * scale).round() / scale } else { number };
            Ok(Value::Double(rounded))
        }
        _ => {
            let digits = if let Kind::Int(digits) = field.kind { digits } else { 9 };
            if number.fract() != 0.0 {
                return Err(input.wrong_type(field));
            }
            if number.abs() >= 10_f64.powi(i32::from(digits)) {
                return Err(out_of_range());
            }
            // Whole and of few digits: its text is that of an integer.
            format!("{number:.0}").parse().map(Value::Integer).map_err(|_| out_of_range())
        }
    }
}

fn reference(store: &Store, field: &Field, text: &str, to: &[&str], is_admin: bool) -> Result<Value, Error> {
    let wrong = |code| Error::field(code, format!("{}: id value of incorrect type: {text}", field.label), &field.name);
    let id = Id::parse(text).ok_or_else(|| wrong("MALFORMED_ID"))?;
    if is_admin {
        return Ok(Value::text(id.as_str()));
    }
    let table = store.table_of(id).filter(|table| to.contains(&table.object.name));
    let table = table.ok_or_else(|| wrong("FIELD_INTEGRITY_EXCEPTION"))?;
    match table.number(id).and_then(|number| table.get(number)).map(|record| record.state()) {
        Some(RowState::Live) => Ok(Value::text(id.as_str())),
        Some(_) => Err(Error::field("ENTITY_IS_DELETED", "entity is deleted", &field.name)),
        None => Err(Error::field("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", &field.name)),
    }
}

fn check_text(field: &Field, text: &str) -> Result<(), Error> {
    if let Some(length) = field.kind.length()
        && text.len() > length
        && text.encode_utf16().count() > length
    {
        let text = format!("{}: data value too large: {text} (max length={length})", field.label);
        return Err(Error::field("STRING_TOO_LONG", text, &field.name));
    }
    match &field.kind {
        Kind::Email if !is_mail_address(text) => {
            let text = format!("{}: invalid email address: {text}", field.label);
            Err(Error::field("INVALID_EMAIL_ADDRESS", text, &field.name))
        }
        Kind::Picklist { words, restricted: true } if !words.iter().any(|word| word == text) => {
            Err(bad_word(field, text))
        }
        Kind::MultiPicklist { words, restricted: true } => {
            match text.split(';').find(|part| !words.iter().any(|word| word == part.trim())) {
                Some(part) => Err(bad_word(field, part)),
                None => Ok(()),
            }
        }
        Kind::Base64 if STANDARD.decode(text).is_err() => {
            let text = format!("{}: value not of required type: the text is not written in base 64", field.label);
            Err(Error::field("INVALID_TYPE_ON_FIELD_IN_RECORD", text, &field.name))
        }
        Kind::Time if !is_time(text) => {
            let text = format!("{}: value not of required type: {text}", field.label);
            Err(Error::field("INVALID_TYPE_ON_FIELD_IN_RECORD", text, &field.name))
        }
        _ => Ok(()),
    }
}

fn bad_word(field: &Field, word: &str) -> Error {
    let text = format!("{}: bad value for restricted picklist field: {word}", field.label);
    Error::field("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", text, &field.name)
}

fn is_time(text: &str) -> bool {
    text.trim_end_matches('Z').parse::<jiff::civil::Time>().is_ok()
}

/// What the product takes for a mail address: one `@`, a host with a dot, no blanks and no signs of lists.
fn is_mail_address(text: &str) -> bool {
    let is_clean = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.contains("..")
            && !part.chars().any(|char| char.is_whitespace() || char.is_control() || "@,;:<>()[]\\\"".contains(char))
    };
    text.split_once('@').is_some_and(|(local, host)| {
        let is_host = host.contains('.')
            && host.split('.').all(|part| !part.starts_with('-') && !part.ends_with('-'))
            && host.chars().all(|char| char.is_alphanumeric() || matches!(char, '.' | '-'));
        is_clean(local) && is_clean(host) && is_host && local.chars().count() <= 64
    })
}
