//! Faults that strike single operations of a batch and single records of a bulk message.

use serde_json::{Map, Value as Json};

use super::{call::Call, error::Error};
use crate::{
    faults::{Fault, RetryAfter, Route},
    state::State,
};

/// Asks for faults of the route `part`; free of cost where there are none.
pub(super) struct Parts<'a> {
    state: &'a State,
    now: i64,
    is_armed: bool,
}

impl<'a> Parts<'a> {
    /// For one request.
    pub(super) fn new(state: &'a State, now: i64) -> Self {
        Self { state, now, is_armed: state.faults().any_of(Route::Part) }
    }

    /// The faults that strike an operation of a batch: by its address or its body.
    pub(super) fn of_operation(&self, call: &Call) -> Vec<Fault> {
        if !self.is_armed {
            return Vec::new();
        }
        self.fire(|text| {
            call.path.contains(text) || call.query.contains(text) || String::from_utf8_lossy(&call.body).contains(text)
        })
    }

    /// The faults that strike a record of a bulk message: by the message's address or the record itself.
    pub(super) fn of_record(&self, call: &Call, target: &Map<String, Json>) -> Vec<Fault> {
        if !self.is_armed {
            return Vec::new();
        }
        let text_of_target = Json::Object(target.clone()).to_string();
        self.fire(|text| text_of_target.contains(text) || call.path.contains(text))
    }

    fn fire(&self, contains: impl Fn(&str) -> bool) -> Vec<Fault> {
        let fired = self.state.faults().fire(Route::Part, self.now, contains);
        fired.into_iter().map(|(_, fault)| fault).collect()
    }
}

/// The error that faults ask for instead of what was to be done, if one does.
pub(super) fn injected(faults: &[Fault]) -> Option<Error> {
    faults.iter().find(|fault| fault.status.is_some()).map(Error::of_fault)
}

impl Error {
    /// The error that a fault asks for.
    pub(crate) fn of_fault(fault: &Fault) -> Self {
        let usual = match (fault.status.unwrap_or(500), fault.code.as_deref()) {
            // What a client is to do follows the code, and so does the text.
            (429, Some(code)) => Self::busy(code),
            (status, _) => Self::usual(status),
        };
        let retry_after = fault.retry_after.as_ref().map(|after| match after {
            RetryAfter::Seconds(seconds) => seconds.to_string(),
            RetryAfter::Text(text) => text.clone(),
        });
        Self {
            code: fault.code.clone().unwrap_or(usual.code),
            message: fault.message.clone().unwrap_or(usual.message),
            retry_after,
            ..usual
        }
    }
}
