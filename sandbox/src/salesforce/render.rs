//! Records as the REST API writes them.

use super::{
    schema::{Field, Kind, Source},
    soql::Node,
    store::Store,
    table::{Record, Table},
    value::{Wire, write_json_text},
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
                write_field(out, table, record, *field, root);
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
fn write_field(out: &mut Vec<u8>, table: &Table, record: Record<'_>, field: usize, root: &str) {
    let shape = &table.object.fields[field];
    match (&shape.source, &shape.kind) {
        (Source::Id, _) => {
            out.push(b'"');
            out.extend_from_slice(table.id(record.number()).as_str().as_bytes());
            out.push(b'"');
        }
        (_, Kind::Address | Kind::Location) => write_compound(out, table, record, shape),
        // A file is not in the record, only where it is.
        (_, Kind::Base64) if !table.value(record, field).is_null() => {
            let (object, id) = (table.object.name, table.id(record.number()));
            write_json_text(out, &format!("{root}/sobjects/{object}/{id}/{}", shape.name));
        }
        _ => table.shown(record, field).write_json(out),
    }
}

/// Appends the parts of a compound field as one object, null if nothing of it is known.
fn write_compound(out: &mut Vec<u8>, table: &Table, record: Record<'_>, compound: &Field) {
    let fields = table.object.fields.iter().enumerate();
    let parts = fields.filter(|(_, part)| part.compound.as_deref() == Some(compound.name.as_str()));
    let mut parts: Vec<_> =
        parts.map(|(index, part)| (part_key(&part.name, &compound.name), table.value(record, index))).collect();
    if parts.iter().all(|(_, value)| value.is_null()) {
        out.extend_from_slice(b"null");
        return;
    }
    parts.sort_by(|left, right| left.0.cmp(&right.0));
    out.push(b'{');
    for (place, (key, value)) in parts.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_json_text(out, key);
        out.push(b':');
        value.write_json(out);
    }
    out.extend_from_slice(if compound.kind == Kind::Address { b",\"geocodeAccuracy\":null}" } else { b"}" });
}

/// `postalCode` for `MailingPostalCode` of `MailingAddress`, `latitude` for `Base__Latitude__s` of `Base__c`.
fn part_key(part: &str, compound: &str) -> String {
    let own = match compound.strip_suffix("__c") {
        Some(stem) => part.strip_prefix(stem).and_then(|rest| rest.strip_prefix("__")?.strip_suffix("__s")),
        None => part.strip_prefix(compound.strip_suffix("Address").unwrap_or_default()),
    };
    let mut chars = own.unwrap_or(part).chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}
