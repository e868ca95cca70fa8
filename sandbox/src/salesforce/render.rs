//! Records as the REST API writes them.

use super::{
    schema::{Kind, Source},
    soql::Node,
    store::Store,
    table::{Record, Table},
    value::write_json_text,
};

/// Appends a record with these fields, and with its `attributes`.
pub(super) fn write_record(
    out: &mut Vec<u8>,
    store: &Store,
    table: &Table,
    record: Record<'_>,
    nodes: &[Node],
    root: &str,
) {
    let name = table.object.name;
    let id = table.id(record.number());
    out.extend_from_slice(b"{\"attributes\":{\"type\":\"");
    for part in [name, "\",\"url\":\"", root, "/sobjects/", name, "/", id.as_str(), "\"}"] {
        out.extend_from_slice(part.as_bytes());
    }
    for node in nodes {
        out.push(b',');
        match node {
            Node::Field(field) => {
                write_json_text(out, &table.object.fields[*field].name);
                out.push(b':');
                write_field(out, table, record, *field);
            }
            Node::Parent { name, reference, table: parent, nodes } => {
                write_json_text(out, name);
                out.push(b':');
                let parent = &store.tables[*parent];
                match table.referred(record, *reference, parent) {
                    Some(record) => write_record(out, store, parent, record, nodes, root),
                    None => out.extend_from_slice(b"null"),
                }
            }
            Node::Leads { name, reference } => {
                write_json_text(out, name);
                match store.leads_to(table, record, *reference) {
                    Some(object) => {
                        out.extend_from_slice(b":{\"attributes\":{\"type\":\"Name\"},\"Type\":");
                        write_json_text(out, object);
                        out.push(b'}');
                    }
                    None => out.extend_from_slice(b":null"),
                }
            }
        }
    }
    out.push(b'}');
}

/// Appends what a record holds in a field.
pub(super) fn write_field(out: &mut Vec<u8>, table: &Table, record: Record<'_>, field: usize) {
    let shape = &table.object.fields[field];
    match (&shape.source, &shape.kind) {
        (Source::Id, _) => {
            out.push(b'"');
            out.extend_from_slice(table.id(record.number()).as_str().as_bytes());
            out.push(b'"');
        }
        (_, Kind::Address(prefix)) => write_address(out, table, record, prefix),
        _ => table.value(record, field).write_json(out),
    }
}

/// An address as one object, null if nothing of it is known.
fn write_address(out: &mut Vec<u8>, table: &Table, record: Record<'_>, prefix: &str) {
    const PARTS: &[(&str, &str)] = &[
        ("city", "City"),
        ("country", "Country"),
        ("latitude", "Latitude"),
        ("longitude", "Longitude"),
        ("postalCode", "PostalCode"),
        ("state", "State"),
        ("street", "Street"),
    ];
    let value = |name: &str| {
        let field = table.object.field(&format!("{prefix}{name}"))?;
        Some(table.value(record, field))
    };
    let values: Vec<_> = PARTS.iter().map(|(key, name)| (*key, value(name))).collect();
    if values.iter().all(|(_, value)| value.as_ref().is_none_or(|value| value.is_null())) {
        out.extend_from_slice(b"null");
        return;
    }
    out.push(b'{');
    for (key, value) in values {
        write_json_text(out, key);
        out.push(b':');
        match value {
            Some(value) => value.write_json(out),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
    }
    out.extend_from_slice(b"\"geocodeAccuracy\":null}");
}
