//! Errors as the Web API spells them.

use std::time::Duration;

use serde_json::Map;

use super::call::{Call, Preferences};
use crate::reply::Reply;

/// An error of the Web API: status, code and message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Error {
    /// HTTP status.
    pub(crate) status: u16,
    /// The platform's code, such as `0x80040217`.
    pub(crate) code: String,
    /// Its text.
    pub(crate) message: String,
    /// Value of a `Retry-After` header.
    pub(crate) retry_after: Option<String>,
    /// Faults hold it up for so long.
    pub(crate) delay: Duration,
}

/// Codes that the platform documents or that its clients know.
pub(crate) mod code {
    /// A query or a property that the model does not have.
    pub(crate) const QUERY: &str = "0x80060888";
    /// No such segment in the URL.
    pub(crate) const SEGMENT: &str = "0x8006088a";
    /// No such record.
    pub(crate) const MISSING: &str = "0x80040217";
    /// A record with the same primary key exists.
    pub(crate) const EXISTS: &str = "0x80040237";
    /// A record with the same alternate key exists.
    pub(crate) const KEY_EXISTS: &str = "0x80060892";
    /// No record with this alternate key.
    pub(crate) const KEY_MISSING: &str = "0x80060891";
    /// The record's version is not the one expected.
    pub(crate) const VERSION: &str = "0x80060882";
    /// A text is too long.
    pub(crate) const TOO_LONG: &str = "0x80044331";
    /// A choice that the list does not have.
    pub(crate) const CHOICE: &str = "0x8004431a";
    /// A whole number outside its limits.
    pub(crate) const INTEGER: &str = "0x80044330";
    /// A number with places outside its limits.
    pub(crate) const DECIMAL: &str = "0x80044332";
    /// A date before 1753, or none.
    pub(crate) const DATE: &str = "0x80040239";
    /// A reason that does not belong to the state.
    pub(crate) const STATE: &str = "0x80048408";
    /// A duplicate-detection rule found another record.
    pub(crate) const DUPLICATE: &str = "0x80040333";
    /// A delta token is older than the window of change tracking.
    pub(crate) const EXPIRED_TOKEN: &str = "0x80044352";
    /// An argument that makes no sense.
    pub(crate) const ARGUMENT: &str = "0x80040203";
    /// A payload that does not fit the table.
    pub(crate) const PAYLOAD: &str = "0x80048d19";
    /// A number of requests over the limit.
    pub(crate) const REQUESTS: &str = "0x80072322";
    /// A time of execution over the limit.
    pub(crate) const EXECUTION: &str = "0x80072321";
    /// A number of requests at once over the limit.
    pub(crate) const CONCURRENCY: &str = "0x80072326";
    /// A privilege is missing.
    pub(crate) const PRIVILEGE: &str = "0x80040220";
    /// Something went wrong inside.
    pub(crate) const UNEXPECTED: &str = "0x80040216";
}

impl Error {
    /// An error of this status.
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), retry_after: None, delay: Duration::ZERO }
    }

    /// A query that cannot be answered: 400.
    pub(crate) fn query(message: impl Into<String>) -> Self {
        Self::new(400, code::QUERY, message)
    }

    /// A property that a table does not have: 400.
    pub(crate) fn property(name: &str, table: &str) -> Self {
        Self::query(format!("Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{table}'."))
    }

    /// A segment of the URL that leads nowhere: 404.
    pub(crate) fn segment(name: &str) -> Self {
        Self::new(404, code::SEGMENT, format!("Resource not found for the segment '{name}'."))
    }

    /// What the platform has and this stand-in leaves out on purpose: 501.
    pub(crate) fn not_there(message: impl Into<String>) -> Self {
        Self::new(501, code::QUERY, message)
    }

    /// A payload that does not fit the table: 400.
    pub(crate) fn payload(message: impl Into<String>) -> Self {
        Self::new(400, code::PAYLOAD, message)
    }

    /// The usual error of a status, for faults that name no other.
    pub(crate) fn usual(status: u16) -> Self {
        match status {
            429 => Self::busy(code::REQUESTS),
            403 => Self::new(status, code::PRIVILEGE, "Principal user is missing prvReadContact privilege."),
            404 => Self::new(status, code::MISSING, "The resource could not be found."),
            413 => Self::new(status, code::QUERY, "The request body is too large."),
            503 => Self::new(status, code::UNEXPECTED, "The service is unavailable."),
            _ => Self::new(status, code::UNEXPECTED, "An unexpected error occurred."),
        }
    }

    /// The usual error of a limit that was exceeded.
    pub(super) fn busy(code: &str) -> Self {
        let message = match code {
            code::EXECUTION => {
                "Combined execution time of incoming requests exceeded limit of 1,200,000 milliseconds over time window of 300 seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later."
            }
            code::CONCURRENCY => "Number of concurrent requests exceeded the limit of 52.",
            _ => "Number of requests exceeded the limit of 6000 over time window of 300 seconds.",
        };
        Self::new(429, code, message)
    }

    /// A method that an address does not have: 405.
    pub(super) fn method(method: &hyper::Method) -> Self {
        Self::new(405, code::QUERY, format!("The requested resource does not support http method '{method}'."))
    }

    /// The error on the wire, with the annotations that the request asks for.
    pub(crate) fn reply_to(&self, call: &Call) -> Reply {
        self.reply_with(&call.preferences())
    }

    /// The error on the wire.
    pub(crate) fn reply(&self) -> Reply {
        self.reply_with(&Preferences::default())
    }

    /// The error on the wire, with the annotations that are asked for.
    pub(super) fn reply_with(&self, preferences: &Preferences) -> Reply {
        let mut error = Map::from_iter([
            ("code".to_owned(), self.code.as_str().into()),
            ("message".to_owned(), self.message.as_str().into()),
        ]);
        let help =
            format!("http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException%3a{}", self.code);
        for (name, text) in [
            ("ErrorDetails.OperationStatus", "0"),
            ("ErrorDetails.SubErrorCode", "2146233088"),
            ("HelpLink", help.as_str()),
            ("TraceText", ""),
            ("InnerError.Message", self.message.as_str()),
        ] {
            let annotation = format!("Microsoft.PowerApps.CDS.{name}");
            if preferences.wants(&annotation) {
                error.insert(format!("@{annotation}"), text.into());
            }
        }
        let body = serde_json::json!({"error": error});
        let reply = Reply { delay: self.delay, ..Reply::json(self.status, &body) }.header("OData-Version", "4.0");
        match &self.retry_after {
            Some(after) => reply.header("Retry-After", after),
            None => reply,
        }
    }
}
