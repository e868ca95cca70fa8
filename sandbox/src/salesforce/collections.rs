//! `/composite/sobjects`: up to 200 records at a time, each with an outcome of its own.

use std::collections::HashSet;

use serde_json::{Map, Value as Json};

use super::{
    Id, Request,
    error::{Error, bytes_reply},
    render::write_record,
    single::{external_field, found, number_of},
    soql::Node,
    store::Store,
    validate::{Input, value},
    write::{self, Target, Terms},
};
use crate::reply::Reply;

/// Records in one request.
pub(super) const ROWS_MAX: usize = 200;

/// Runs of records of one type in one request.
const CHUNKS_MAX: usize = 10;

/// The version that brought upserts.
const UPSERT_FROM: u32 = 46;

/// What became of a row.
struct Outcome {
    id: Option<Id>,
    /// For an upsert: whether the row was, or would have been, created.
    created: Option<bool>,
    error: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation<'a> {
    Create,
    Update,
    Upsert(&'a str, &'a str),
}

/// Answers what lies below `/composite/sobjects`.
pub(super) fn dispatch(request: &Request<'_>, path: &[&str]) -> Result<Reply, Error> {
    match (path, request.call.method.as_str()) {
        ([], "POST") => write_all(request, Operation::Create),
        ([], "PATCH") => write_all(request, Operation::Update),
        ([], "DELETE") => delete_all(request),
        ([object], "POST") => {
            let body = object_body(request)?;
            let list = |name: &str| texts(body.get(name), name);
            retrieve(request, object, &list("ids")?, &list("fields")?)
        }
        ([object], "GET") => {
            let list = |name: &str| {
                let text = request.call.option(name).unwrap_or_default();
                text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>()
            };
            retrieve(request, object, &list("ids"), &list("fields"))
        }
        // Not there before version 46.
        ([_, _], "PATCH") if request.version_number() < UPSERT_FROM => Err(Error::not_found()),
        ([object, field], "PATCH") => write_all(request, Operation::Upsert(object, field)),
        _ => Err(Error::usual(405)),
    }
}

fn object_body(request: &Request<'_>) -> Result<Map<String, Json>, Error> {
    match serde_json::from_slice(&request.call.body) {
        Ok(Json::Object(body)) => Ok(body),
        Ok(_) => Err(Error::json("Unexpected value: an object is wanted at [line:1, column:1]")),
        Err(error) => Err(Error::json(error)),
    }
}

fn texts(list: Option<&Json>, name: &str) -> Result<Vec<String>, Error> {
    let texts =
        list.and_then(Json::as_array).map(|list| list.iter().filter_map(|text| Some(text.as_str()?.to_owned())));
    texts.map(Iterator::collect).ok_or_else(|| Error::json(format!("{name} must be a list of texts")))
}

fn write_all(request: &Request<'_>, operation: Operation<'_>) -> Result<Reply, Error> {
    let mut body = object_body(request)?;
    let all_or_none = body.get("allOrNone").and_then(Json::as_bool).unwrap_or(false);
    let Some(Json::Array(records)) = body.swap_remove("records") else {
        return Err(Error::json("records must be a list of objects"));
    };
    check_rows(&records)?;
    let terms = request.terms();
    let mut store = request.store_mut();
    if let Operation::Upsert(object, field) = operation {
        let table = request.table(&store, object)?;
        if !field.eq_ignore_ascii_case("Id") {
            external_field(&store, table, field)?;
        }
    }
    store.begin();
    let mut outcomes = Vec::with_capacity(records.len());
    let mut seen = HashSet::new();
    for record in &records {
        let Json::Object(record) = record else {
            store.roll_back();
            return Err(Error::json("records must be a list of objects"));
        };
        let outcome = row(request, &mut store, operation, record, (&terms, &mut seen));
        // A value that no field could hold is an error of the whole request.
        if let Some(error) = outcome.error.as_ref().filter(|error| error.code == "JSON_PARSER_ERROR") {
            let error = error.clone();
            store.roll_back();
            return Err(error);
        }
        outcomes.push(outcome);
    }
    finish(&mut store, &mut outcomes, all_or_none);
    drop(store);
    Ok(reply(&outcomes))
}

/// Keeps the rows that went well, or none of them if one failed and the client wants all or none.
fn finish(store: &mut Store, outcomes: &mut [Outcome], all_or_none: bool) {
    if !all_or_none || outcomes.iter().all(|outcome| outcome.error.is_none()) {
        store.commit();
        return;
    }
    store.roll_back();
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.error.is_none()) {
        let text = "Record rolled back because not all records were valid and the request was using AllOrNone header";
        outcome.id = None;
        outcome.error = Some(Error::new("ALL_OR_NONE_OPERATION_ROLLED_BACK", text));
    }
}

fn check_rows(records: &[Json]) -> Result<(), Error> {
    let exceeded = |text: String| Err(Error::new("EXCEEDED_ID_LIMIT", text));
    if records.len() > ROWS_MAX {
        return exceeded(format!("record limit reached. cannot submit more than {ROWS_MAX} records into this call"));
    }
    let kind = |record: &Json| record["attributes"]["type"].as_str().unwrap_or("").to_lowercase();
    let changes = records.windows(2).filter(|pair| kind(&pair[0]) != kind(&pair[1])).count();
    if changes >= CHUNKS_MAX {
        return exceeded(format!(
            "Cannot have more than {CHUNKS_MAX} chunks in a single operation. Please rearrange the data to reduce chunking."
        ));
    }
    Ok(())
}

/// Writes one row.
fn row(
    request: &Request<'_>,
    store: &mut Store,
    operation: Operation<'_>,
    record: &Map<String, Json>,
    (terms, seen): (&Terms, &mut HashSet<String>),
) -> Outcome {
    let mut outcome = Outcome { id: None, created: None, error: None };
    let injected = request.row_fault(terms, || Json::Object(record.clone()).to_string());
    match injected.and_then(|()| write_row(store, operation, record, (terms, seen), &mut outcome.created)) {
        Ok(id) => outcome.id = Some(id),
        Err(error) => outcome.error = Some(error),
    }
    outcome
}

fn write_row(
    store: &mut Store,
    operation: Operation<'_>,
    record: &Map<String, Json>,
    (terms, seen): (&Terms, &mut HashSet<String>),
    created: &mut Option<bool>,
) -> Result<Id, Error> {
    let kind = record.get("attributes").and_then(|attributes| attributes["type"].as_str());
    let kind = kind.ok_or_else(|| Error::new("INVALID_TYPE", "Type must be specified in attributes of each record"))?;
    let table = store
        .index(kind)
        .ok_or_else(|| Error::new("INVALID_TYPE", format!("sObject type '{kind}' is not supported.")))?;
    let id = record.iter().find(|(name, _)| name.eq_ignore_ascii_case("id")).and_then(|(_, id)| id.as_str());
    let mut key = None;
    let (target, without) = match operation {
        Operation::Create if id.is_some() => {
            return Err(Error::field("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", "Id"));
        }
        Operation::Create => (Target::New, ""),
        Operation::Update => {
            let id = id.ok_or_else(|| Error::field("MISSING_ARGUMENT", "Id not specified in an update call", "Id"))?;
            (Target::Existing(number_of(store, table, id)?), "id")
        }
        Operation::Upsert(object, _) if !kind.eq_ignore_ascii_case(object) => {
            let text = format!("the record's type {kind} is not that of the request, {object}");
            return Err(Error::new("INVALID_TYPE", text));
        }
        Operation::Upsert(_, field) if field.eq_ignore_ascii_case("Id") => {
            *created = Some(id.is_none());
            match id {
                Some(id) => (Target::Existing(number_of(store, table, id)?), "id"),
                None => (Target::New, "id"),
            }
        }
        Operation::Upsert(_, field) => {
            // What fails before a record is found counts as one that would have been created.
            *created = Some(true);
            let (target, value) = keyed(store, table, field, record, seen)?;
            *created = Some(target == Target::New);
            key = value.filter(|_| target == Target::New);
            (target, field)
        }
    };
    let mut values = write::values(store, table, record, target, &[without])?;
    values.extend(key);
    let number = write::write(store, table, target, values, terms)?;
    Ok(store.tables[table].id(number))
}

/// The record that a row's external id means, and the id as a value for a new one.
fn keyed(
    store: &Store,
    table: usize,
    name: &str,
    record: &Map<String, Json>,
    seen: &mut HashSet<String>,
) -> Result<(Target, Option<(usize, super::value::Value)>), Error> {
    let field = external_field(store, table, name)?;
    let shape = &store.tables[table].object.fields[field];
    let given = record.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, given)| given);
    let missing = || Error::field("MISSING_ARGUMENT", format!("{name} not specified"), &shape.name);
    let key = value(store, shape, Input::Json(given.ok_or_else(missing)?))?;
    if key.is_null() {
        return Err(missing());
    }
    let shown = key.to_json().to_string();
    if !seen.insert(shown.to_lowercase()) {
        let text = format!("Duplicate external id specified: {}", shown.trim_matches('"'));
        return Err(Error::field("DUPLICATE_VALUE", text, &shape.name));
    }
    match store.tables[table].find(field, &key).as_slice() {
        [] => Ok((Target::New, Some((field, key)))),
        [number] => Ok((Target::Existing(*number), None)),
        many => {
            let prefix = store.tables[table].object.prefix;
            let ids: Vec<String> = many.iter().map(|number| Id::new(prefix, *number).to_string()).collect();
            let ids = ids.join(", ");
            let text = format!("{}: more than one record found for external id field: [{ids}]", shape.name);
            Err(Error::field("DUPLICATE_EXTERNAL_ID", text, &shape.name))
        }
    }
}

fn delete_all(request: &Request<'_>) -> Result<Reply, Error> {
    let ids = request.call.option("ids").unwrap_or_default();
    let all_or_none = request.call.option("allOrNone").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let ids: Vec<&str> = ids.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    if ids.is_empty() {
        return Err(Error::new("MISSING_ARGUMENT", "ids must be specified"));
    }
    if ids.len() > ROWS_MAX {
        let text = format!("record limit reached. cannot submit more than {ROWS_MAX} records into this call");
        return Err(Error::new("EXCEEDED_ID_LIMIT", text));
    }
    let terms = request.terms();
    let mut store = request.store_mut();
    store.begin();
    let delete = |id: &&str| {
        let result = request.row_fault(&terms, || (*id).to_owned()).and_then(|()| delete_one(&mut store, id, &terms));
        let parsed = Id::parse(id);
        match result {
            Ok(()) => Outcome { id: parsed, created: None, error: None },
            Err(error) => Outcome { id: None, created: None, error: Some(error) },
        }
    };
    let mut outcomes: Vec<Outcome> = ids.iter().map(delete).collect();
    finish(&mut store, &mut outcomes, all_or_none);
    drop(store);
    Ok(reply(&outcomes))
}

fn delete_one(store: &mut Store, id: &str, terms: &Terms) -> Result<(), Error> {
    let malformed = || Error::new("MALFORMED_ID", format!("malformed id {id}"));
    let parsed = Id::parse(id).ok_or_else(malformed)?;
    let table = store.tables.iter().position(|table| table.object.prefix == parsed.prefix()).ok_or_else(malformed)?;
    let number = number_of(store, table, id)?;
    write::delete(store, table, number, terms)
}

fn reply(outcomes: &[Outcome]) -> Reply {
    let mut out = Vec::with_capacity(outcomes.len() * 80 + 2);
    out.push(b'[');
    for (place, outcome) in outcomes.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.push(b'{');
        if let Some(id) = &outcome.id {
            out.extend_from_slice(b"\"id\":\"");
            out.extend_from_slice(id.as_str().as_bytes());
            out.extend_from_slice(b"\",");
        }
        match &outcome.error {
            None => out.extend_from_slice(b"\"success\":true,\"errors\":[]"),
            Some(error) => {
                out.extend_from_slice(b"\"success\":false,\"errors\":[");
                out.extend_from_slice(error.to_row_json().to_string().as_bytes());
                out.push(b']');
            }
        }
        if let Some(created) = outcome.created {
            out.extend_from_slice(if created { b",\"created\":true" } else { b",\"created\":false" });
        }
        out.push(b'}');
    }
    out.push(b']');
    bytes_reply(200, out)
}

fn retrieve(request: &Request<'_>, object: &str, ids: &[String], fields: &[String]) -> Result<Reply, Error> {
    let store = request.store();
    let index = request.table(&store, object)?;
    let table = &store.tables[index];
    if ids.is_empty() || fields.is_empty() {
        return Err(Error::new("MISSING_ARGUMENT", "ids and fields must be specified"));
    }
    if ids.len() > super::query::PAGE_MAX {
        return Err(Error::new("EXCEEDED_ID_LIMIT", format!("at most {} ids", super::query::PAGE_MAX)));
    }
    let mut nodes = Vec::with_capacity(fields.len());
    for name in fields {
        let field = table.object.field(name).ok_or_else(|| {
            Error::new("INVALID_FIELD", format!("No such column '{name}' on entity '{}'.", table.object.name))
        })?;
        nodes.push(Node::Field(field));
    }
    if let Some(id) = ids.iter().find(|id| Id::parse(id).is_none()) {
        return Err(Error::new("MALFORMED_ID", format!("malformed id {id}")));
    }
    let mut out = vec![b'['];
    for (place, id) in ids.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        match found(&store, index, id) {
            Some(record) => write_record(&mut out, &store, table, record, &nodes, &request.root()),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b']');
    Ok(bytes_reply(200, out))
}
