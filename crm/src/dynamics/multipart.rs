//! Several requests in one, as `$batch` takes them, and its answer.

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::http::Reply;

/// The most headers of one part.
const HEADERS_MAX: usize = 64;

/// One request within a batch.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) method: &'static str,
    /// From the host's root on, encoded.
    pub(super) path: String,
    /// Whole lines, without their ends.
    pub(super) headers: &'a [&'a str],
    /// Pieces of the body, one after the other; without any there is none.
    pub(super) body: &'a [&'a [u8]],
}

/// Writes a batch.
pub(super) fn write(boundary: &str, parts: &[Part<'_>]) -> Bytes {
    let size: usize = parts.iter().map(|part| part.body.iter().map(|piece| piece.len()).sum::<usize>() + 400).sum();
    let mut out = BytesMut::with_capacity(size);
    let line = |out: &mut BytesMut, pieces: &[&str]| {
        pieces.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
        out.extend_from_slice(b"\r\n");
    };
    for part in parts {
        line(&mut out, &["--", boundary]);
        line(&mut out, &["Content-Type: application/http"]);
        line(&mut out, &["Content-Transfer-Encoding: binary"]);
        line(&mut out, &[]);
        line(&mut out, &[part.method, " ", &part.path, " HTTP/1.1"]);
        part.headers.iter().for_each(|header| line(&mut out, &[header]));
        line(&mut out, &[]);
        part.body.iter().for_each(|piece| out.extend_from_slice(piece));
        line(&mut out, &[]);
    }
    line(&mut out, &["--", boundary, "--"]);
    out.freeze()
}

/// The answers to a batch's requests, in order; `Err` says why this is none, such as being cut.
pub(super) fn read(reply: &Reply) -> Result<Vec<Reply>, String> {
    let boundary = boundary(&reply.headers).ok_or("it names no boundary")?;
    let delimiter = format!("--{boundary}");
    let body = &reply.body;
    let is_at_line = |at: &usize| *at == 0 || body[at - 1] == b'\n';
    let places: Vec<usize> = memmem::find_iter(body, delimiter.as_bytes()).filter(is_at_line).collect();
    let is_closed = |at: &usize| body[at + delimiter.len()..].starts_with(b"--");
    if !places.last().is_some_and(is_closed) {
        return Err("it has no end".to_owned());
    }
    places.windows(2).map(|pair| one(body.slice(pair[0] + delimiter.len()..pair[1]))).collect()
}

fn boundary(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let parameter = value.split(';').map(str::trim).find_map(|part| part.strip_prefix("boundary="))?;
    let boundary = parameter.trim_matches('"');
    (!boundary.is_empty()).then(|| boundary.to_owned())
}

/// A part: its own headers, an empty line, and an answer of HTTP.
fn one(part: Bytes) -> Result<Reply, String> {
    let wrong = |error: httparse::Error| format!("a part makes no sense: {error}");
    let start = part.iter().position(|b| *b == b'\n').ok_or("a part has no content")? + 1;
    let mut outer = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let head = match httparse::parse_headers(&part[start..], &mut outer).map_err(wrong)? {
        httparse::Status::Complete((length, _)) => start + length,
        httparse::Status::Partial => return Err("a part has no content".to_owned()),
    };
    let answer = part.slice(head..);
    let mut inner = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut inner);
    let httparse::Status::Complete(length) = response.parse(&answer).map_err(wrong)? else {
        return Err("a part's answer is cut".to_owned());
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or("a part has no status")?;
    let headers = response.headers.iter().filter_map(|header| {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(header.value).ok()?))
    });
    let headers: HeaderMap = headers.collect();
    let body = answer.slice(length..);
    // The line's end before the next delimiter belongs to that.
    let end = body.strip_suffix(b"\r\n").or_else(|| body.strip_suffix(b"\n")).map_or(body.len(), <[u8]>::len);
    Ok(Reply { status, headers, body: body.slice(..end) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &str) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("multipart/mixed; boundary=\"batchresponse_1\""));
        Reply { status: StatusCode::OK, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn answers_come_in_order_whatever_their_line_ends_and_a_cut_batch_is_none() {
        let text = "--batchresponse_1\nContent-Type: application/http\nContent-ID: 1\n\nHTTP/1.1 204 No Content\n\
            OData-EntityId: x\n\n\n--batchresponse_1\nContent-Type: application/http\n\nHTTP/1.1 404 Not Found\n\
            Content-Type: application/json\n\n{\"error\":\"--batchresponse_1\"}\n--batchresponse_1--\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let replies = read(&reply(&text)).unwrap();
            let found: Vec<_> = replies.iter().map(|reply| (reply.status.as_u16(), &reply.body[..])).collect();
            assert_eq!(found, [(204, &b""[..]), (404, b"{\"error\":\"--batchresponse_1\"}")]);
            assert_eq!(replies[0].headers["odata-entityid"], "x");
            for end in [text.len() - 8, text.len() / 2, 30, 0] {
                assert!(read(&reply(&text[..end])).is_err(), "{end}");
            }
        }
    }

    #[test]
    fn what_is_written_has_one_line_end_and_every_body_as_it_is() {
        let part =
            Part { method: "PATCH", path: "/x(1)".into(), headers: &["If-Match: *"], body: &[b"{\"a\":", b"1}"] };
        let text = write("b", &[part]);
        let expected = "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n\
            PATCH /x(1) HTTP/1.1\r\nIf-Match: *\r\n\r\n{\"a\":1}\r\n--b--\r\n";
        assert_eq!(text, expected);
    }
}
