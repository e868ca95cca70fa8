//! A job and its data in one request (`multipart/form-data`).

use bytes::Bytes;

/// A part of a form.
#[derive(Debug)]
pub(super) struct Part {
    /// Its name.
    pub(super) name: String,
    /// What it holds.
    pub(super) content: Bytes,
}

/// The parts of a body; `None` if it has none.
pub(super) fn parts(content_type: &str, body: &Bytes) -> Option<Vec<Part>> {
    let (_, boundary) = content_type.split_once("boundary=")?;
    let boundary = boundary.split(';').next()?.trim().trim_matches('"');
    let mark = format!("--{boundary}");
    let starts: Vec<usize> = memchr::memmem::find_iter(body, mark.as_bytes()).collect();
    let part = |pair: &[usize]| {
        let (start, end) = (pair[0] + mark.len(), pair[1]);
        let inner = &body[start..end];
        let (head, content_at) = match memchr::memmem::find(inner, b"\r\n\r\n") {
            Some(at) => (&inner[..at], at + 4),
            None => memchr::memmem::find(inner, b"\n\n").map(|at| (&inner[..at], at + 2))?,
        };
        let head = String::from_utf8_lossy(head);
        let (_, name) = head.split_once(" name=")?;
        let name = name.split([';', '\r', '\n']).next()?.trim().trim_matches('"').to_owned();
        let content = body.slice(start + content_at..end);
        let trimmed = content.strip_suffix(b"\r\n").or_else(|| content.strip_suffix(b"\n")).unwrap_or(&content).len();
        Some(Part { name, content: content.slice(..trimmed) })
    };
    let parts: Vec<Part> = starts.windows(2).filter_map(part).collect();
    if parts.is_empty() { None } else { Some(parts) }
}
