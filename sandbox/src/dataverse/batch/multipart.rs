//! A `$batch` body taken apart, as forgivingly as the real system does: line ends with or without a carriage return, boundaries
//! with or without quotes, addresses absolute or not.

use bytes::Bytes;
use hyper::{
    HeaderMap, Method,
    header::{HeaderName, HeaderValue},
};
use memchr::memmem;

use crate::dataverse::{call::Call, error::Error};

/// One thing that a batch asks for.
#[derive(Debug)]
pub(super) enum Item {
    /// An operation on its own.
    One(Box<Operation>),
    /// Operations that hold together or not at all.
    ChangeSet(Vec<Operation>),
}

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// The name that it can be referred to by.
    pub(super) content_id: Option<String>,
    /// The request. In a change set its path can begin with a reference, such as `$1`.
    pub(super) call: Call,
}

/// Names and values of headers.
type Headers<'a> = Vec<(&'a str, &'a str)>;

/// Takes the body of a batch apart.
pub(super) fn items(outer: &Call) -> Result<Vec<Item>, Error> {
    let boundary = outer.header("content-type").and_then(boundary).ok_or_else(|| {
        Error::query("The Content-Type header of a batch request must be 'multipart/mixed' with a boundary.")
    })?;
    split(&outer.body, &boundary)?.into_iter().map(|part| item(outer, part)).collect()
}

fn item(outer: &Call, part: &[u8]) -> Result<Item, Error> {
    let (headers, body) = headers(part)?;
    let kind = content_type(&headers);
    let Some(boundary) = boundary(kind) else {
        return operation(outer, &headers, body).map(|one| Item::One(Box::new(one)));
    };
    let operation = |part| {
        let (headers, body) = self::headers(part)?;
        operation(outer, &headers, body)
    };
    split(body, &boundary)?.into_iter().map(operation).collect::<Result<_, _>>().map(Item::ChangeSet)
}

/// The boundary in a content type of several parts.
fn boundary(content_type: &str) -> Option<String> {
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let value = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"').to_owned())
    })?;
    (!value.is_empty()).then_some(value)
}

/// The parts between the lines of a boundary.
fn split<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<&'a [u8]>, Error> {
    let mark = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut start = None;
    for place in memmem::find_iter(body, mark.as_bytes()) {
        let after = &body[place + mark.len()..];
        let line = &after[..memchr::memchr(b'\n', after).unwrap_or(after.len())];
        let is_end = line.starts_with(b"--");
        let is_line = (place == 0 || body[place - 1] == b'\n') && (is_end || line.iter().all(u8::is_ascii_whitespace));
        if !is_line {
            continue;
        }
        if let Some(start) = start {
            parts.push(without_line_end(body.get(start..place).unwrap_or_default()));
        }
        if is_end {
            return Ok(parts);
        }
        start = Some(place + mark.len() + line.len() + 1);
    }
    Err(Error::query(format!("Unexpected end of the batch: the closing line '{mark}--' is missing.")))
}

fn without_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

/// Header lines up to an empty one, and what follows it.
fn headers(part: &[u8]) -> Result<(Headers<'_>, &[u8]), Error> {
    let mut headers = Vec::new();
    let mut rest = part;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = without_line_end(rest.get(..=end).unwrap_or(rest));
        rest = rest.get(end + 1..).unwrap_or_default();
        if line.is_empty() {
            break;
        }
        let text = std::str::from_utf8(line).ok().and_then(|line| line.split_once(':'));
        let (name, value) = text.ok_or_else(|| {
            Error::query(format!("'{}' is no header of a batch's part.", String::from_utf8_lossy(line)))
        })?;
        headers.push((name.trim(), value.trim()));
    }
    Ok((headers, rest))
}

fn content_type<'a>(headers: &[(&str, &'a str)]) -> &'a str {
    find(headers, "content-type").unwrap_or("")
}

fn find<'a>(headers: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// A request within a part: its first line, its headers, its body.
fn operation(outer: &Call, part: &[(&str, &str)], message: &[u8]) -> Result<Operation, Error> {
    let kind = content_type(part);
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/http")) {
        return Err(Error::query(format!(
            "The content type '{kind}' of a batch's part is neither 'application/http' nor 'multipart/mixed'."
        )));
    }
    let message = message.trim_ascii_start();
    let end = memchr::memchr(b'\n', message).unwrap_or(message.len());
    let line = without_line_end(message.get(..=end).unwrap_or(message));
    let invalid = || {
        Error::query(format!(
            "The request line '{}' of a batch's part is invalid: it must be '{{method}} {{address}} HTTP/1.1'.",
            String::from_utf8_lossy(line)
        ))
    };
    let text = std::str::from_utf8(line).map_err(|_| invalid())?;
    let (method, rest) = text.trim().split_once(' ').ok_or_else(invalid)?;
    let address = rest.trim().strip_suffix("HTTP/1.1").ok_or_else(invalid)?.trim();
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| invalid())?;
    let (own, body) = headers(message.get(end + 1..).unwrap_or_default())?;
    let mut map = HeaderMap::with_capacity(own.len() + 1);
    for (name, value) in own {
        let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let (name, value) = header.ok_or_else(|| Error::query(format!("'{name}: {value}' is no header.")))?;
        map.append(name, value);
    }
    if let Some(host) = outer.headers.get("host") {
        map.insert("host", host.clone());
    }
    let content_id = find(part, "content-id").or_else(|| map.get("content-id").and_then(|id| id.to_str().ok()));
    let content_id = content_id.map(str::to_owned);
    let body = outer.body.slice_ref(body.trim_ascii());
    Ok(Operation { content_id, call: call(outer, method, address, map, body) })
}

/// The request of a part. Its address may be absolute, begin at the host's root, at the service root, or with a reference.
fn call(outer: &Call, method: Method, address: &str, headers: HeaderMap, body: Bytes) -> Call {
    let below_host = match address.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |start| &rest[start..]),
        None => address,
    };
    let (path, query) = below_host.split_once('?').unwrap_or((below_host, ""));
    let path = if path.starts_with(['/', '$']) { path.to_owned() } else { format!("{}{path}", outer.root_path()) };
    Call {
        method,
        path,
        query: query.to_owned(),
        headers,
        body,
        now: outer.now,
        is_tls: outer.is_tls,
        ..Call::default()
    }
}
