//! The database knows whose automatic index has brought records to it. A data folder that lacks the option of such an index,
//! because it is new or older, does not import everything again without a word.

use crate::activity::{Effect, Need};
use crate::check::{Node, Workflow};
use crate::environment::Environment;
use crate::event::Backfill;
use crate::failure::{Class, Failure};
use crate::identity::RESERVED;
use crate::outside::store::{Expect, OptionChange, OptionValue};

/// The mark that an option is missing because a person wants everything imported: only the engine sets it.
fn wanted(option: &str) -> String {
    format!("{RESERVED}full/{option}")
}

/// Keeps that the next import without this option is to read everything.
pub fn want_everything(option: &str, at: jiff::Timestamp) -> OptionChange {
    let value = OptionValue { value: String::new(), at, by: "operator".to_owned(), seen: None, scope: None };
    OptionChange { name: wanted(option), expect: Expect::Any, value: Some(value) }
}

/// Forgets it, once an import has read everything.
pub(crate) fn has_everything(option: &str) -> OptionChange {
    OptionChange { name: wanted(option), expect: Expect::Any, value: None }
}

/// Whether a workflow writes to the database.
fn writes(workflow: &Workflow) -> bool {
    let is_writer = |node: &Node| {
        node.spec.effect == Effect::Writes && node.activity.needs().iter().any(|need| matches!(need, Need::Table(_)))
    };
    workflow.activities.values().any(is_writer)
}

/// Before a run begins: no import of it would read everything although the database has its records.
///
/// # Errors
/// If one would, and nobody said that it shall. A database that does not answer is compared when an activity uses it.
pub(crate) async fn check(
    environment: &Environment,
    workflow: &Workflow,
    backfill: Option<&Backfill>,
) -> Result<(), Failure> {
    let mut indexes: Vec<(String, String)> =
        workflow.indexes().map(|(activity, option, _)| (activity.to_owned(), option)).collect();
    indexes.retain(|(activity, _)| !backfill.is_some_and(|backfill| backfill.is_of(activity)));
    if indexes.is_empty() || !writes(workflow) {
        return Ok(());
    }
    let Ok(known) = environment.database.indexes().await else { return Ok(()) };
    for (activity, option) in indexes {
        let is_known = known.contains(&option);
        if environment.store.option(&option).await?.is_some() {
            if !is_known {
                know(environment, &option).await;
            }
        } else if is_known && environment.store.option(&wanted(&option)).await?.is_none() {
            let message = format!(
                "the database has what {activity} imported, and this data folder lacks the option {option}, which says \
                 up to when: {activity} would import everything again"
            );
            let help = format!(
                "use the data folder that imported it, or put it back from a backup; to continue from a time, `campanile \
                 options set {option} \"2026/03/03 10:00:00\"`; to import everything, `campanile accept index {option}`"
            );
            return Err(Failure::new(Class::Config, message).help(help));
        }
    }
    Ok(())
}

/// These options of a workflow have moved: the database has the records up to there.
pub(crate) async fn moved(environment: &Environment, workflow: &Workflow, options: &[String]) {
    if writes(workflow) {
        for option in options {
            know(environment, option).await;
        }
    }
}

/// If it cannot be kept now, the next start does.
async fn know(environment: &Environment, option: &str) {
    if let Err(failure) = environment.database.know_index(option).await {
        tracing::warn!(option, %failure, "the database does not know yet of this automatic index");
    }
}
