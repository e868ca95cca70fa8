//! An answer before it is sent.

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

    /// The same with one more header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
