//! `/sobjects`: one record at a time.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value as Json, json};

use super::{
    Id, Request, describe,
    error::{Error, bytes_reply, json_reply},
    render::write_record,
    replication,
    schema::Kind,
    soql::Node,
    store::Store,
    table::{Record, RowState},
    validate::{Input, value},
    value::Value,
    write::{self, Target},
};
use crate::{reply::Reply, time};

/// Answers what lies below `/sobjects`.
pub(super) fn dispatch(request: &Request<'_>, path: &[&str]) -> Result<Reply, Error> {
    match (path, request.call.method.as_str()) {
        ([] | [""], "GET") => describe::global(request),
        ([object], "GET") => describe::basic(request, object),
        ([object], "POST") => create(request, object),
        ([object, "describe"], "GET") => describe::object(request, object),
        ([object, "updated"], "GET") => replication::updated(request, object),
        ([object, "deleted"], "GET") => replication::deleted(request, object),
        ([object, id], method) => by_id(request, object, id, method),
        ([object, field, key], method) => by_key(request, object, field, key, method),
        _ => Err(Error::usual(405)),
    }
}

fn by_id(request: &Request<'_>, object: &str, id: &str, method: &str) -> Result<Reply, Error> {
    match method {
        "GET" => read(request, object, id),
        "PATCH" => update(request, object, id),
        "DELETE" => delete(request, object, id),
        _ => Err(Error::usual(405)),
    }
}

fn by_key(request: &Request<'_>, object: &str, field: &str, key: &str, method: &str) -> Result<Reply, Error> {
    if field.eq_ignore_ascii_case("Id") && !(method == "PATCH" && key.is_empty()) {
        return by_id(request, object, key, method);
    }
    if method == "PATCH" {
        return upsert(request, object, field, key);
    }
    if method == "GET"
        && let Some(reply) = file(request, object, field, key)?
    {
        return Ok(reply);
    }
    let (table, found) = {
        let store = request.store();
        let table = request.table(&store, object)?;
        let field = external_field(&store, table, field)?;
        let input = value(&store, &store.tables[table].object.fields[field], Input::Cell(key))?;
        (table, store.tables[table].find(field, &input))
    };
    match (found.as_slice(), method) {
        ([number], "GET" | "DELETE") => {
            let id = request.store().tables[table].id(*number).to_string();
            by_id(request, object, &id, method)
        }
        ([], _) => Err(Error::not_found()),
        ([_], _) => Err(Error::usual(405)),
        _ => Ok(choices(request, &request.store(), table, &found)),
    }
}

/// Answers `/sobjects/{object}/{id}/{field}` where the field is a file; none where the path is that of a key.
fn file(request: &Request<'_>, object: &str, id: &str, field: &str) -> Result<Option<Reply>, Error> {
    let store = request.store();
    let table = &store.tables[request.table(&store, object)?];
    let field = table.object.field(field).filter(|field| table.object.fields[*field].kind == Kind::Base64);
    let (Some(field), Some(id)) = (field, Id::parse(id)) else { return Ok(None) };
    let record = table.number(id).and_then(|number| table.live(number)).ok_or_else(Error::not_found)?;
    let value = table.value(record, field);
    let bytes = value.as_text().and_then(|text| STANDARD.decode(text).ok()).ok_or_else(Error::not_found)?;
    Ok(Some(Reply { body: bytes, ..Reply::empty(200) }.header("Content-Type", "application/octet-stream")))
}

/// A field by which records can be addressed.
pub(super) fn external_field(store: &Store, table: usize, name: &str) -> Result<usize, Error> {
    let object = &store.tables[table].object;
    object.field(name).filter(|field| object.fields[*field].external_id).ok_or_else(|| {
        let text = format!("Provided external ID field does not exist or is not accessible: {name}");
        Error::new("NOT_FOUND", text).status(404)
    })
}

/// The number of a record of a table by its id, or the error that the product has for it.
pub(super) fn number_of(store: &Store, table: usize, id: &str) -> Result<u32, Error> {
    let table = &store.tables[table];
    let wrong = || Error::new("MALFORMED_ID", format!("{} ID: id value of incorrect type: {id}", table.object.name));
    let parsed = Id::parse(id).ok_or_else(wrong)?;
    if parsed.prefix() != table.object.prefix {
        return Err(wrong());
    }
    let missing = || Error::new("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id").status(404);
    table.number(parsed).ok_or_else(missing)
}

fn read(request: &Request<'_>, object: &str, id: &str) -> Result<Reply, Error> {
    let store = request.store();
    let index = request.table(&store, object)?;
    let table = &store.tables[index];
    let parsed = Id::parse(id).filter(|id| id.prefix() == table.object.prefix);
    let parsed = parsed.ok_or_else(|| {
        Error::new("NOT_FOUND", "Provided external ID field does not exist or is not accessible: ".to_owned() + id)
            .status(404)
    })?;
    let number = table.number(parsed);
    let record = match number.and_then(|number| table.get(number)) {
        Some(record) if record.state() == RowState::Live => record,
        Some(_) => return Err(write::deleted()),
        None if number.is_some_and(|number| table.is_gone(number)) => return Err(write::deleted()),
        None => return Err(Error::not_found()),
    };
    if let Some(reply) = not_modified(request, table.modified(record)) {
        return Ok(reply);
    }
    let nodes = match request.call.option("fields").filter(|fields| !fields.is_empty()) {
        Some(fields) => fields
            .split(',')
            .map(|name| {
                let field = table.object.field(name.trim());
                field.map(Node::Field).ok_or_else(|| {
                    Error::new(
                        "INVALID_FIELD",
                        format!("No such column '{name}' on sobject of type {}", table.object.name),
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..table.object.fields.len()).map(Node::Field).collect(),
    };
    let mut out = Vec::with_capacity(2_048);
    write_record(&mut out, &store, table, record, &nodes, &request.root());
    let reply = bytes_reply(200, out).header("Last-Modified", time::http_date(table.modified(record)));
    Ok(if table.object.name == "Account" { reply.header("ETag", etag(table.modified(record))) } else { reply })
}

/// Of accounts only, as documented.
fn etag(modified: i64) -> String {
    format!("\"{}--gzip\"", time::instant_text(modified))
}

fn not_modified(request: &Request<'_>, modified: i64) -> Option<Reply> {
    let since = request.call.header("if-modified-since").and_then(parse_http_date)?;
    (modified <= since).then(|| Reply::empty(304))
}

/// Reads `Tue, 03 Mar 2026 10:00:00 GMT`.
pub(super) fn parse_http_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(&text.trim().replace("GMT", "+0000")).ok().map(|at| at.timestamp().as_second())
}

/// `If-Unmodified-Since`, and for accounts `If-Match`.
fn check_unmodified(request: &Request<'_>, store: &Store, table: usize, number: u32) -> Result<(), Error> {
    let table = &store.tables[table];
    let Some(record) = table.live(number) else {
        return Ok(());
    };
    let modified = table.modified(record);
    let since = request.call.header("if-unmodified-since").and_then(parse_http_date);
    let tag = request.call.header("if-match").filter(|_| table.object.name == "Account");
    let is_other = tag.is_some_and(|tag| tag != "*" && !tag.split(',').any(|tag| tag.trim() == etag(modified)));
    if since.is_some_and(|since| modified > since) || is_other {
        return Err(Error::usual(412));
    }
    Ok(())
}

fn body(request: &Request<'_>) -> Result<Map<String, Json>, Error> {
    match serde_json::from_slice(&request.call.body) {
        Ok(Json::Object(body)) => Ok(body),
        Ok(other) => Err(Error::json(format!("Unexpected {other} at [line:1, column:1]"))),
        Err(error) => Err(Error::json(error)),
    }
}

fn create(request: &Request<'_>, object: &str) -> Result<Reply, Error> {
    let body = body(request)?;
    let terms = request.terms();
    request.row_fault(&terms, || Json::Object(body.clone()).to_string())?;
    let mut store = request.store_mut();
    let table = request.table(&store, object)?;
    if body.keys().any(|name| name.eq_ignore_ascii_case("id")) {
        return Err(Error::field("INVALID_FIELD", "cannot specify Id in an insert call", "Id"));
    }
    let values = write::values(&store, table, &body, Target::New, &[])?;
    let number = write::write(&mut store, table, Target::New, values, &terms)?;
    let id = store.tables[table].id(number);
    let reply = json_reply(201, &json!({"id": id.as_str(), "success": true, "errors": []}));
    Ok(reply.header("Location", format!("{}/sobjects/{object}/{id}", request.root())))
}

fn update(request: &Request<'_>, object: &str, id: &str) -> Result<Reply, Error> {
    let body = body(request)?;
    let terms = request.terms();
    request.row_fault(&terms, || format!("{id} {}", Json::Object(body.clone())))?;
    let mut store = request.store_mut();
    let table = request.table(&store, object)?;
    let number = number_of(&store, table, id)?;
    check_unmodified(request, &store, table, number)?;
    let target = Target::Existing(number);
    if body.keys().any(|name| name.eq_ignore_ascii_case("id")) {
        return Err(Error::field("INVALID_FIELD", "The Id field should not be specified in the sobject data.", "Id"));
    }
    if store.tables[table].live(number).is_none() {
        return match write::write(&mut store, table, target, Vec::new(), &terms) {
            Err(error) if error.code == "INVALID_CROSS_REFERENCE_KEY" => Err(Error::not_found()),
            other => other.map(|_| Reply::empty(204)),
        };
    }
    let values = write::values(&store, table, &body, target, &[])?;
    write::write(&mut store, table, target, values, &terms)?;
    Ok(Reply::empty(204))
}

fn delete(request: &Request<'_>, object: &str, id: &str) -> Result<Reply, Error> {
    let terms = request.terms();
    request.row_fault(&terms, || id.to_owned())?;
    let mut store = request.store_mut();
    let table = request.table(&store, object)?;
    let number = number_of(&store, table, id)?;
    match write::delete(&mut store, table, number, &terms) {
        Err(error) if error.code == "INVALID_CROSS_REFERENCE_KEY" => Err(Error::not_found()),
        other => other.map(|()| Reply::empty(204)),
    }
}

fn upsert(request: &Request<'_>, object: &str, field: &str, key: &str) -> Result<Reply, Error> {
    let body = body(request)?;
    let terms = request.terms();
    request.row_fault(&terms, || format!("{key} {}", Json::Object(body.clone())))?;
    let mut store = request.store_mut();
    let table = request.table(&store, object)?;
    if field.eq_ignore_ascii_case("Id") {
        return Err(Error::new(
            "METHOD_NOT_ALLOWED",
            "HTTP Method 'PATCH' not allowed. Allowed are HEAD,GET,PATCH,DELETE",
        )
        .status(405));
    }
    let index = external_field(&store, table, field)?;
    let given = body.keys().find(|name| name.eq_ignore_ascii_case(field) || name.eq_ignore_ascii_case("id"));
    if let Some(name) = given {
        let text = format!("The {name} field should not be specified in the sobject data.");
        return Err(Error::field("INVALID_FIELD", text, name));
    }
    let key_value = value(&store, &store.tables[table].object.fields[index], Input::Cell(key))?;
    if key_value.is_null() {
        return Err(Error::not_found());
    }
    let found = store.tables[table].find(index, &key_value);
    let target = match found.as_slice() {
        [] if request.call.option("updateOnly").is_some_and(|only| only.eq_ignore_ascii_case("true")) => {
            return Err(Error::not_found());
        }
        [] => Target::New,
        [number] => Target::Existing(*number),
        _ => return Ok(choices(request, &store, table, &found)),
    };
    if let Target::Existing(number) = target {
        check_unmodified(request, &store, table, number)?;
    }
    let mut values: Vec<(usize, Value)> = write::values(&store, table, &body, target, &[])?;
    if target == Target::New {
        values.push((index, key_value));
    }
    let number = write::write(&mut store, table, target, values, &terms)?;
    let created = target == Target::New;
    let mut result = json!({"id": store.tables[table].id(number).as_str(), "success": true, "errors": []});
    if request.version_number() >= 46 {
        result["created"] = created.into();
    } else if !created {
        return Ok(Reply::empty(204));
    }
    Ok(json_reply(if created { 201 } else { 200 }, &result))
}

/// 300: the records that all have the key.
fn choices(request: &Request<'_>, store: &Store, table: usize, found: &[u32]) -> Reply {
    let table = &store.tables[table];
    let url = |number: &u32| format!("{}/sobjects/{}/{}", request.root(), table.object.name, table.id(*number));
    json_reply(300, &json!(found.iter().map(url).collect::<Vec<_>>()))
}

/// A record with fields by name, for collections and composite: `None` if it is not live.
pub(super) fn found<'a>(store: &'a Store, table: usize, id: &str) -> Option<Record<'a>> {
    let table = &store.tables[table];
    table.live(table.number(Id::parse(id)?)?)
}
