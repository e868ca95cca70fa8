//! Names of headers on the wire as the real servers spell them, such as `OData-EntityId` and `ETag`.
//!
//! hyper knows names in small letters only. A connection of this kind looks for the heads of its own answers and writes their
//! names in the letters that the answer was made with. Lengths stay, and bodies pass untouched.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a body that go out together with the head before them, at most.
const TOGETHER_MAX: usize = 16 * 1024;

/// Spellings of the answers of one connection that are to be sent, in order; its server adds them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spellings(Arc<Mutex<VecDeque<Answer>>>);

#[derive(Debug)]
struct Answer {
    names: Vec<&'static str>,
    is_to_head: bool,
}

impl Spellings {
    /// The next answer has these names. One to `HEAD` has no body, whatever its head says.
    pub(crate) fn add(&self, names: Vec<&'static str>, is_to_head: bool) {
        self.answers().push_back(Answer { names, is_to_head });
    }

    fn answers(&self) -> MutexGuard<'_, VecDeque<Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that spells.
#[derive(Debug)]
pub(crate) struct Spelling<C> {
    connection: C,
    spellings: Spellings,
    place: Place,
}

/// Where in its answers a connection is.
#[derive(Debug)]
enum Place {
    /// In a head: what of it has been written.
    Head(Vec<u8>),
    /// In a body with so many bytes to come.
    Body(u64),
    /// In a body of unknown length: nothing more is spelled.
    Unknown,
}

impl<C> Spelling<C> {
    /// Spells the answers on a connection.
    pub(crate) fn new(connection: C, spellings: Spellings) -> Self {
        Self { connection, spellings, place: Place::Head(Vec::new()) }
    }

    /// The bytes of a head as they are to be written, behind what of it was, and some of the body after it.
    fn spelled(&self, before: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut head = [before, &bytes[..bytes.len().min(TOGETHER_MAX)]].concat();
        let end = end_of_head(&head).unwrap_or(head.len());
        let is_to_head = match self.spellings.answers().front() {
            Some(answer) => {
                spell(&mut head[..end], &answer.names);
                answer.is_to_head
            }
            None => {
                spell(&mut head[..end], &[]);
                false
            }
        };
        // What comes after the body is the next answer's.
        let body = if is_to_head { Some(0) } else { body_of(&head[..end]) };
        let body = body.map_or(usize::MAX, |length| usize::try_from(length).unwrap_or(usize::MAX));
        head.truncate(end.saturating_add(body));
        head.split_off(before.len())
    }

    /// So many of these bytes were written.
    fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Unknown => return,
                Place::Body(rest) => {
                    let written = bytes.len().min(usize::try_from(*rest).unwrap_or(usize::MAX));
                    *rest -= u64::try_from(written).unwrap_or(*rest);
                    bytes = &bytes[written..];
                    if *rest == 0 {
                        self.place = Place::Head(Vec::new());
                    }
                }
                Place::Head(head) => {
                    let before = head.len();
                    head.extend_from_slice(bytes);
                    let Some(end) = end_of_head(head) else { return };
                    bytes = &bytes[end - before..];
                    head.truncate(end);
                    let body = body_of(head);
                    // One of status 100 only says that the request may go on.
                    let answer = if is_interim(head) { None } else { self.spellings.answers().pop_front() };
                    let body = if answer.is_some_and(|answer| answer.is_to_head) { Some(0) } else { body };
                    self.place = match body {
                        Some(0) => Place::Head(Vec::new()),
                        Some(length) => Place::Body(length),
                        None => Place::Unknown,
                    };
                }
            }
        }
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|place| place + 4)
}

fn is_interim(head: &[u8]) -> bool {
    head.starts_with(b"HTTP/1.1 1")
}

/// How long the body behind a head is, if the head says so.
fn body_of(head: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    if is_interim(head) || matches!(text.split(' ').nth(1), Some("204" | "304")) {
        return Some(0);
    }
    text.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()
}

/// Writes the names in a head as they are spelled; others with a capital after each hyphen.
fn spell(head: &mut [u8], names: &[&'static str]) {
    for line in head.split_inclusive_mut(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = &mut line[..colon];
        if let Some(known) = names.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(name)) {
            name.copy_from_slice(known.as_bytes());
            continue;
        }
        let mut is_first = true;
        for byte in name {
            if is_first {
                byte.make_ascii_uppercase();
            }
            is_first = *byte == b'-';
        }
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Spelling<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let polled = match &this.place {
            Place::Head(before) => {
                let spelled = this.spelled(before, bytes);
                Pin::new(&mut this.connection).poll_write(cx, &spelled)
            }
            Place::Body(rest) => {
                let end = bytes.len().min(usize::try_from(*rest).unwrap_or(usize::MAX));
                Pin::new(&mut this.connection).poll_write(cx, &bytes[..end])
            }
            Place::Unknown => Pin::new(&mut this.connection).poll_write(cx, bytes),
        };
        if let Poll::Ready(Ok(count)) = polled {
            this.advance(&bytes[..count]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Spelling<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(cx, bytes)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A connection that takes few bytes at a time.
    struct Narrow(Vec<u8>, usize);

    impl AsyncWrite for Narrow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn names_are_spelled_however_the_writes_are_cut_and_bodies_stay() {
        // The body of the first looks like a head, the second is one to HEAD, and the third is hyper's own.
        let answers = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nodata-entityid: x: y\r\ncontent-length: 12\r\n\r\netag: w\r\n\r\nb\
                       HTTP/1.1 200 OK\r\netag: W/\"1\"\r\ncontent-length: 9\r\n\r\nHTTP/1.1 400 Bad Request\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n";
        let expected = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nOData-EntityId: x: y\r\nContent-Length: 12\r\n\r\netag: w\r\n\r\nb\
                        HTTP/1.1 200 OK\r\nETag: W/\"1\"\r\nContent-Length: 9\r\n\r\nHTTP/1.1 400 Bad Request\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n";
        for width in [1, 2, 7, 30, 1_000] {
            let spellings = Spellings::default();
            spellings.add(vec!["OData-EntityId"], false);
            spellings.add(vec!["ETag"], true);
            let mut connection = Spelling::new(Narrow(Vec::new(), width), spellings);
            connection.write_all(answers.as_bytes()).await.unwrap();
            assert_eq!(String::from_utf8(connection.connection.0).unwrap(), expected, "{width}");
        }
    }
}
