//! Records as JSON, written straight into the answer's bytes: a page of 5,000 must not cost the client's patience.

use std::io::Write;

use crate::{
    data::{DateBehavior, FieldKind, LookupRole, Record, Store, Value},
    dataverse::{
        expand::Expansion,
        model::{self, Scope},
    },
    time,
};

const FORMATTED: &str = "OData.Community.Display.V1.FormattedValue";
const NAVIGATION: &str = "Microsoft.Dynamics.CRM.associatednavigationproperty";
const LOGICAL_NAME: &str = "Microsoft.Dynamics.CRM.lookuplogicalname";

/// Which annotations a client asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    /// Values as people read them.
    pub(crate) formatted: bool,
    /// The navigation property of a reference.
    pub(crate) navigation: bool,
    /// The table that a reference points to.
    pub(crate) logical_name: bool,
    /// The number of all records.
    pub(crate) total: bool,
}

impl Annotations {
    /// Reads the value of `odata.include-annotations`.
    pub(crate) fn parse(list: &str) -> Self {
        let wanted = |name: &str| is_included(list, name);
        Self {
            formatted: wanted(FORMATTED),
            navigation: wanted(NAVIGATION),
            logical_name: wanted(LOGICAL_NAME),
            total: wanted("Microsoft.Dynamics.CRM.totalrecordcount"),
        }
    }
}

/// Whether an annotation is in the value of `odata.include-annotations`: a list of names, `*` for any rest, `-` in front to
/// exclude.
pub(super) fn is_included(list: &str, name: &str) -> bool {
    let mut included = false;
    for pattern in list.split(',').map(str::trim) {
        let (pattern, include) = pattern.strip_prefix('-').map_or((pattern, true), |rest| (rest, false));
        if pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start)) {
            included = include;
        }
    }
    included
}

/// The columns of an answer, prepared once for all its records.
pub(crate) struct Columns<'a> {
    scope: Scope<'a>,
    columns: Vec<Column>,
    expanded: Vec<Expanded<'a>>,
    annotations: Annotations,
}

/// The columns of the records behind a reference.
struct Expanded<'a> {
    /// `,"name":`
    start: Vec<u8>,
    link: usize,
    table: usize,
    columns: Columns<'a>,
}

struct Column {
    field: usize,
    name: String,
    /// `,"name":`
    start: Vec<u8>,
}

impl<'a> Columns<'a> {
    /// The columns of these fields and of the records that are referred to; the id is added if it is not among them.
    pub(crate) fn new(scope: Scope<'a>, fields: &[usize], expansions: &[Expansion], annotations: Annotations) -> Self {
        let table = scope.table;
        let id = table.field(table.shape.id_field).filter(|id| !fields.contains(id));
        let columns = fields.iter().copied().chain(id).map(|field| {
            let name = model::property_name(table, field);
            Column { field, start: format!(",\"{name}\":").into_bytes(), name }
        });
        let expanded = expansions.iter().map(|expansion| Expanded {
            start: format!(",\"{}\":", expansion.name).into_bytes(),
            link: expansion.link,
            table: expansion.table,
            columns: expansion.columns(scope, annotations),
        });
        Self { scope, columns: columns.collect(), expanded: expanded.collect(), annotations }
    }

    /// Appends one record as an object; `context` is its `@odata.context`, if it stands alone.
    pub(crate) fn write(&self, record: Record<'a>, context: Option<&str>, out: &mut Vec<u8>) {
        let table = self.scope.table;
        out.extend_from_slice(b"{");
        if let Some(context) = context {
            out.extend_from_slice(b"\"@odata.context\":");
            write_text(context, out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"@odata.etag\":\"W/\\\"");
        write_integer(i128::from(table.version(record)), out);
        out.extend_from_slice(b"\\\"\"");
        for column in &self.columns {
            let value = table.value(record, column.field);
            if !value.is_null() {
                self.annotate(column, &value, out);
            }
            out.extend_from_slice(&column.start);
            write_value(&value, &table.fields[column.field].kind, out);
        }
        for expanded in &self.expanded {
            out.extend_from_slice(&expanded.start);
            match self.scope.related(record, expanded.link, expanded.table) {
                Some(related) => expanded.columns.write(related, None, out),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
    }

    /// Appends `,"value":[…]` with these records.
    pub(crate) fn write_all(&self, records: &[Record<'a>], out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"value\":[");
        for (place, record) in records.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            self.write(*record, None, out);
        }
        out.push(b']');
    }

    fn annotate(&self, column: &Column, value: &Value<'_>, out: &mut Vec<u8>) {
        let field = &self.scope.table.fields[column.field];
        let mut note = |annotation: &str, text: &str| {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(column.name.as_bytes());
            out.push(b'@');
            out.extend_from_slice(annotation.as_bytes());
            out.extend_from_slice(b"\":");
            write_text(text, out);
        };
        if self.annotations.formatted
            && let Some(text) = formatted(self.scope.store, value, &field.kind)
        {
            note(FORMATTED, &text);
        }
        if let (Value::Link(link), FieldKind::Lookup { role, targets }) = (value, &field.kind) {
            if self.annotations.navigation {
                let is_plain = targets.len() == 1 || *role == LookupRole::Owner;
                note(NAVIGATION, &if is_plain { field.name.clone() } else { format!("{}_{}", field.name, link.table) });
            }
            if self.annotations.logical_name {
                note(LOGICAL_NAME, link.table);
            }
        }
    }
}

/// Appends the annotations of how many records there are, which is told up to a limit.
pub(super) fn write_total(total: i64, is_over: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(
        format!(",\"@Microsoft.Dynamics.CRM.totalrecordcount\":{total},\"@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded\":{is_over}").as_bytes(),
    );
}

/// Appends a value in its form on the wire.
pub(super) fn write_value(value: &Value<'_>, kind: &FieldKind, out: &mut Vec<u8>) {
    let quoted = |out: &mut Vec<u8>, write: &dyn Fn(&mut Vec<u8>)| {
        out.push(b'"');
        write(out);
        out.push(b'"');
    };
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Text(text) if matches!(kind, FieldKind::Newest) && text.starts_with(['{', '[']) => {
            out.extend_from_slice(text.as_bytes());
        }
        Value::Text(text) => write_text(text, out),
        Value::Tree(json) => out.extend_from_slice(json.as_bytes()),
        Value::Integer(number) => write_integer(i128::from(*number), out),
        Value::Decimal(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Double(number) => out.extend_from_slice(serde_json::Value::from(*number).to_string().as_bytes()),
        Value::Boolean(flag) if matches!(kind, FieldKind::ManagedProperty) => {
            out.extend_from_slice(format!("{{\"Value\":{flag},\"CanBeChanged\":true}}").as_bytes());
        }
        Value::Boolean(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Value::Guid(id) => quoted(out, &|out| id.write(out)),
        Value::Link(link) => quoted(out, &|out| link.id.write(out)),
        Value::Instant(seconds) if matches!(kind, FieldKind::DateTime(DateBehavior::DateOnly)) => {
            quoted(out, &|out| time::write_date(out, seconds.div_euclid(time::DAY)));
        }
        Value::Instant(seconds) => quoted(out, &|out| time::write_instant(out, *seconds)),
        Value::Date(days) => quoted(out, &|out| time::write_date(out, *days)),
        Value::Choices(choices) => write_text(&crate::data::value::choice_text(choices), out),
    }
}

fn write_integer(number: i128, out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _written = write!(out, "{number}").is_ok();
}

/// Appends a JSON string.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (place, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain_from..place]);
        plain_from = place + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
    out.push(b'"');
}

/// A value as an English-speaking user in UTC reads it; `None` for kinds that have no such form (plain text, ids).
fn formatted(store: &Store, value: &Value<'_>, kind: &FieldKind) -> Option<String> {
    let label =
        |number: i64| kind.choices().iter().find(|choice| choice.value == number).map(|choice| choice.label.clone());
    match value {
        Value::Integer(number) => match kind {
            FieldKind::Integer { .. } | FieldKind::BigInt => Some(grouped(&number.to_string())),
            _ => label(*number),
        },
        Value::Choices(choices) => {
            Some(choices.iter().filter_map(|choice| label(*choice)).collect::<Vec<_>>().join("; "))
        }
        Value::Decimal(number) => match kind {
            FieldKind::Money { precision } => {
                let text = grouped(&number.rescaled(*precision).to_string());
                Some(text.strip_prefix('-').map_or(format!("${text}"), |positive| format!("-${positive}")))
            }
            FieldKind::Decimal { precision } => Some(grouped(&number.rescaled(*precision).to_string())),
            _ => None,
        },
        Value::Double(number) => match kind {
            FieldKind::Double { precision } => Some(grouped(&format!("{number:.*}", usize::from(*precision)))),
            _ => None,
        },
        Value::Boolean(flag) => match kind {
            FieldKind::Boolean { yes, no } => Some(if *flag { yes.clone() } else { no.clone() }),
            _ => None,
        },
        Value::Instant(seconds) => Some(spoken(*seconds, true)),
        Value::Date(days) => Some(spoken(days * time::DAY, false)),
        Value::Link(link) => {
            let target = store.table(link.table)?;
            let name = target.field(target.shape.name_field)?;
            match target.value(target.get(link.id)?, name) {
                Value::Text(text) => Some(text.into_owned()),
                _ => None,
            }
        }
        Value::Text(_) | Value::Guid(_) | Value::Tree(_) | Value::Null => None,
    }
}

/// `3/3/2026 9:05 AM`
fn spoken(seconds: i64, with_time: bool) -> String {
    let instant = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let form = if with_time { "%-m/%-d/%Y %-I:%M %p" } else { "%-m/%-d/%Y" };
    instant.strftime(form).to_string()
}

/// A number with commas between its thousands.
pub(super) fn grouped(number: &str) -> String {
    let (whole, part) = number.split_once('.').map_or((number, None), |(whole, part)| (whole, Some(part)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut text = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(part) = part {
        text.push('.');
        text.push_str(part);
    }
    text
}
