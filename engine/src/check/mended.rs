//! An activity with wrong settings, without those: one problem must not hide what else is wrong.

use serde_json::{Map, Value};

use crate::activity::{Activity, Need, Spec};
use crate::document::Document;
use crate::problem::Problem;

/// What an activity may name that is not there, whatever its other settings are. What follows from a setting that was left
/// out is not among it.
const SURE: [&str; 8] = [
    "unknown-account",
    "account-not-usable",
    "unknown-object",
    "unknown-field",
    "unknown-table",
    "unknown-column",
    "expression",
    "not-set",
];

/// An activity without its wrong settings.
pub(super) struct Mended {
    pub(super) activity: Box<dyn Activity>,
    /// Pointers to what was left out.
    left_out: Vec<String>,
}

impl std::fmt::Debug for Mended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mended").field("left_out", &self.left_out).finish_non_exhaustive()
    }
}

impl Mended {
    /// Leaves out what is wrong; `required` are settings that must be there, each with something to stand for it.
    pub(super) fn new(
        spec: &'static Spec,
        mut own: Value,
        pointer: &str,
        wrong: &[Problem],
        required: &[(String, Value)],
    ) -> Option<Self> {
        let mut left_out = Vec::new();
        for problem in wrong.iter().filter(|problem| problem.code != "expression") {
            let Some(path) = problem.pointer.strip_prefix(pointer).and_then(|path| path.strip_prefix('/')) else {
                continue;
            };
            left_out.extend(leave_out(own.as_object_mut()?, path).map(|path| format!("{pointer}/{path}")));
        }
        let settings = own.as_object_mut()?;
        for (name, value) in required {
            settings.entry(name).or_insert_with(|| value.clone());
        }
        let activity = (spec.build)(own).ok()?;
        Some(Self { activity, left_out })
    }

    /// What must be known of the outside, as far as it is named.
    pub(super) fn needs(&self) -> impl Iterator<Item = Need> {
        let is_named = |need: &Need| match need {
            Need::Account(account) => !account.is_empty(),
            Need::Object { account, object } | Need::Field { account, object, .. } => {
                !account.is_empty() && !object.is_empty()
            }
            Need::Table(table) => !table.is_empty(),
        };
        self.activity.needs().into_iter().filter(is_named)
    }

    /// Whether a problem has nothing to do with what was left out.
    pub(super) fn is_sure(&self, problem: &Problem, document: &Document) -> bool {
        let is_within = |left_out: &String| problem.pointer.starts_with(left_out.as_str());
        SURE.contains(&problem.code)
            && document.value.pointer(&problem.pointer).is_some()
            && !self.left_out.iter().any(is_within)
    }
}

/// Takes a setting away, or one entry of it where it is an object. Items of lists keep their places, so a list goes as a whole.
fn leave_out(settings: &mut Map<String, Value>, path: &str) -> Option<String> {
    let unescaped = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let mut parts = path.split('/');
    let (first, second) = (parts.next()?, parts.next());
    if let (Some(second), Some(Value::Object(inner))) = (second, settings.get_mut(&unescaped(first))) {
        inner.remove(&unescaped(second));
        return Some(format!("{first}/{second}"));
    }
    settings.remove(&unescaped(first));
    Some(first.to_owned())
}
