//! The rejects desk of a test.

use std::sync::Arc;

use engine::document::escape;
use engine::failure::Failure;
use engine::outside::desk::{KeptReject, RejectState, Wanted};
use serde_json::{Value, json};
use server::rejects::Ignore;
use server::service::Service;

use super::crm::Refusal;
use super::file::Step;
use super::world::World;

/// What a reject's columns are called, besides those of its record.
pub(super) const COLUMNS: [&str; 11] =
    ["id", "activity", "key", "code", "symbol", "message", "field", "help", "attempts", "state", "reason"];
/// What a column of the record begins with.
const RECORD: &str = "record.";
/// What a field that went out begins with.
const SENT: &str = "sent.";

impl World {
    /// Corrects and ignores what a step says; tells what is refused.
    pub(super) fn put_right(&self, step: &Step) -> Result<Vec<Refusal>, Failure> {
        if step.correct.is_empty() && step.ignore.is_none() {
            return Ok(Vec::new());
        }
        self.ask(async |engine| {
            let service = Service::new(Arc::clone(engine), Arc::new(self.project.clone()));
            let mut refused = Vec::new();
            for (id, values) in &step.correct {
                // It is a number, or the file was not right.
                let done = service.correct(id.parse().unwrap_or_default(), values).await;
                refused.extend(done.err().map(|why| (format!("correct/{}", escape(id)), why.message)));
            }
            if let Some(ignore) = &step.ignore {
                let done = service.ignore(&Ignore { ids: ignore.ids.clone(), reason: ignore.reason.clone() }).await;
                refused.extend(done.err().map(|why| ("ignore".to_owned(), why.message)));
            }
            Ok(refused)
        })
    }

    /// All that is on the desk, the first first.
    pub(super) fn rejects(&self) -> Result<Vec<KeptReject>, Failure> {
        let wanted = Wanted { closed: true, ..Wanted::default() };
        let mut rejects = self.ask(async |engine| engine.environment.desk.list(&wanted).await)?;
        rejects.sort_by_key(|reject| reject.id);
        Ok(rejects)
    }
}

/// A value of a reject; none where nothing is called so.
pub(super) fn cell(reject: &KeptReject, column: &str) -> Option<Value> {
    let why = &reject.reject;
    Some(match column {
        "id" => json!(reject.id),
        "activity" => json!(reject.activity),
        "key" => json!(reject.key),
        "code" => json!(why.code),
        "symbol" => json!(why.symbol),
        "message" => json!(why.message),
        "field" => json!(why.field),
        "help" => json!(why.help),
        "attempts" => json!(reject.attempts),
        "state" => json!(match reject.state {
            RejectState::Open if reject.corrected => "corrected",
            RejectState::Open => "open",
            RejectState::Sending { .. } => "sending",
            RejectState::Passed { .. } => "passed",
            RejectState::Ignored { .. } => "ignored",
            RejectState::Settled { .. } => "settled",
        }),
        "reason" => match &reject.state {
            RejectState::Ignored { reason, .. } => json!(reason),
            _ => Value::Null,
        },
        column => match column.strip_prefix(SENT) {
            Some(field) => reject.sent.as_ref()?.get(field)?.clone(),
            None => reject.record.get(column.strip_prefix(RECORD)?)?.clone(),
        },
    })
}
