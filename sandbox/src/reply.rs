//! An answer before it is sent.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};

/// Shorter bodies go as they are, in bytes.
const COMPRESSED_FROM: usize = 2_048;

/// Status, headers and body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// Headers in order.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Body, empty for 204.
    pub(crate) body: Vec<u8>,
    /// What was asked has taken hold, but the connection ends before this answer.
    pub(crate) cut: bool,
    /// It is sent so much later than it is there, in real time.
    pub(crate) delay: Duration,
}

impl Reply {
    /// An answer without body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// An answer with a JSON body.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        let reply = Self { status, body: body.to_string().into_bytes(), ..Self::default() };
        reply.header("Content-Type", "application/json; odata.metadata=minimal")
    }

    /// The same compressed, if it is long enough to be worth it.
    pub(crate) fn compressed(mut self) -> Self {
        if self.body.len() < COMPRESSED_FROM {
            return self;
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(self.body.len() / 8), Compression::fast());
        let body = encoder.write_all(&self.body).and_then(|()| encoder.finish());
        match body {
            Ok(body) => {
                self.body = body;
                self.header("Content-Encoding", "gzip").header("Vary", "Accept-Encoding")
            }
            Err(_) => self,
        }
    }

    /// The same with one more header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
