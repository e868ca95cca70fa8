//! Refusals, as the REST API spells them: an array of objects with `errorCode` and `message`.

use serde_json::{Value as Json, json};

use crate::reply::Reply;

/// The type of every JSON body.
pub(super) const JSON: &str = "application/json;charset=UTF-8";

/// Why a request, or one row of it, is refused.
#[derive(Debug, Clone)]
pub(crate) struct Error {
    /// HTTP status, where the whole request is refused.
    pub(super) status: u16,
    /// The code, such as `INVALID_FIELD`.
    pub(super) code: String,
    /// The text.
    pub(super) message: String,
    /// Fields that it is about.
    pub(super) fields: Vec<String>,
}

impl Error {
    /// A refusal with 400.
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into(), fields: Vec::new() }
    }

    /// The same about one field.
    pub(super) fn field(code: &str, message: impl Into<String>, field: &str) -> Self {
        Self { fields: vec![field.to_owned()], ..Self::new(code, message) }
    }

    /// The same with another status.
    pub(super) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// What the resource does not know.
    pub(super) fn not_found() -> Self {
        Self::new("NOT_FOUND", "The requested resource does not exist").status(404)
    }

    /// What the product has and this stand-in leaves out on purpose.
    pub(super) fn not_there(what: &str) -> Self {
        Self::new("NOT_IMPLEMENTED", format!("{what} is not part of this stand-in.")).status(501)
    }

    /// A body that cannot be read.
    pub(super) fn json(message: impl std::fmt::Display) -> Self {
        Self::new("JSON_PARSER_ERROR", message.to_string())
    }

    /// The usual error of a status, for faults.
    pub(crate) fn usual(status: u16) -> Self {
        let (code, message) = match status {
            401 => ("INVALID_SESSION_ID", "Session expired or invalid"),
            403 => ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
            404 => ("NOT_FOUND", "The requested resource does not exist"),
            405 => ("METHOD_NOT_ALLOWED", "HTTP Method not allowed."),
            412 => ("PRECONDITION_FAILED", "Precondition failed"),
            413 => ("REQUEST_ENTITY_TOO_LARGE", "The request body is too large."),
            414 => ("URI_TOO_LONG", "The URI is too long."),
            415 => ("UNSUPPORTED_MEDIA_TYPE", "The request's media type is not supported."),
            431 => ("REQUEST_HEADER_FIELDS_TOO_LARGE", "The URI and the headers together are too long."),
            503 => ("SERVER_UNAVAILABLE", "The server is unavailable; try again later."),
            500.. => (
                "UNKNOWN_EXCEPTION",
                "An unexpected error occurred. Please include this ErrorId if you contact support.",
            ),
            _ => ("UNKNOWN_EXCEPTION", "The request was refused."),
        };
        Self::new(code, message).status(status)
    }

    /// The same with a code and a message of one's own.
    pub(crate) fn with(mut self, code: Option<&str>, message: Option<&str>) -> Self {
        if let Some(code) = code {
            code.clone_into(&mut self.code);
        }
        if let Some(message) = message {
            message.clone_into(&mut self.message);
        }
        self
    }

    /// As an element of the array.
    pub(super) fn to_json(&self) -> Json {
        let mut error = json!({"message": self.message, "errorCode": self.code});
        if !self.fields.is_empty() {
            error["fields"] = json!(self.fields);
        }
        error
    }

    /// As an element of `errors` in a result of collections.
    pub(super) fn to_row_json(&self) -> Json {
        json!({"statusCode": self.code, "message": self.message, "fields": self.fields})
    }

    /// As `sf__Error` in a bulk result.
    pub(super) fn to_bulk_text(&self) -> String {
        format!("{}:{}:{} --", self.code, self.message, self.fields.join(","))
    }

    /// The whole answer.
    pub(crate) fn reply(&self) -> Reply {
        json_reply(self.status, &json!([self.to_json()]))
    }
}

/// An answer with a JSON body.
pub(super) fn json_reply(status: u16, body: &Json) -> Reply {
    bytes_reply(status, body.to_string().into_bytes())
}

/// An answer with a JSON body that is written already.
pub(super) fn bytes_reply(status: u16, body: Vec<u8>) -> Reply {
    Reply { body, ..Reply::empty(status) }.header("Content-Type", JSON)
}
