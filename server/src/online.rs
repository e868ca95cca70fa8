//! What has changed in the CRMs since a workflow's objects were described last.

use std::collections::BTreeSet;

use engine::activity::Need;
use engine::check::{Findings, Workflow};
use engine::describe::Ask;
use engine::engine::Engine;
use engine::environment::Environment;
use engine::failure::Class;
use engine::outside::crm::{Object, ObjectField};
use engine::problem::Problem;
use engine::types::Type;
use serde_json::Value;

use crate::api::{Checked, FindingsView};

/// Checks a workflow against what the CRMs say now, and reports what has changed since. Nothing is kept of it: the next
/// run does that.
pub async fn check_online(engine: &Engine, checked: &Checked) -> FindingsView {
    let file = checked.file.display().to_string();
    let name = checked.file.file_stem().unwrap_or_default().to_string_lossy();
    let environment = &engine.environment;
    let (workflow, mut found) = engine.check(&file, &name, &checked.text, Ask::Refresh).await;
    let mut notes = Vec::new();
    for need in workflow.iter().flat_map(Workflow::needs) {
        let Need::Object { account, object } = &need else { continue };
        if !environment.accounts.contains_key(account) {
            continue;
        }
        let now = match environment.descriptions.object(environment, account, object).await {
            Ok(now) => now,
            // A problem of the check already, or a note that it was not asked.
            Err(failure) => {
                found.unchecked.insert(format!("{object} of {account} as it is now: {failure}"));
                continue;
            }
        };
        let before = environment.descriptions.kept_object(account, object);
        let Some(workflow) = &workflow else { continue };
        let drift = Drift { workflow, text: &checked.text, account, before: before.as_deref(), now: &now };
        drift.find(&mut found.problems, &mut notes);
        if let Err(note) = drift.deletions(environment, &mut found).await {
            found.unchecked.insert(note);
        }
        if before.is_none() {
            notes.push(format!("{object} of {account} was not described before, so nothing can have changed"));
        }
    }
    found.problems.sort_by_key(|problem| (problem.line, problem.column));
    FindingsView { notes, ..found.into() }
}

/// One object then and now, in the eyes of one workflow.
struct Drift<'a> {
    workflow: &'a Workflow,
    text: &'a str,
    account: &'a str,
    before: Option<&'a Object>,
    now: &'a Object,
}

impl Drift<'_> {
    fn find(&self, problems: &mut Vec<Problem>, notes: &mut Vec<String>) {
        for (pointer, settings) in self.activities() {
            let uses = Uses::of(&settings);
            self.fields(&pointer, &uses, problems, notes);
        }
    }

    /// The activities that use the object: where each stands, and its settings.
    fn activities(&self) -> Vec<(String, Value)> {
        let mut file: Value = serde_json::from_str(self.text).unwrap_or_default();
        let Value::Object(activities) = file["activities"].take() else { return Vec::new() };
        let is_its =
            |settings: &Value| settings["account"] == self.account && settings["object"] == self.now.name.as_str();
        let its = activities.into_iter().filter(|(_, settings)| is_its(settings));
        its.map(|(name, settings)| (format!("/activities/{}", engine::document::escape(&name)), settings)).collect()
    }

    /// Whether the system keeps what was deleted, where a period of it is imported; `Err` where it could not be asked.
    async fn deletions(&self, environment: &Environment, found: &mut Findings) -> Result<(), String> {
        let of_period = |settings: &Value| settings["type"] == "crm.importDeleted" && !settings["start"].is_null();
        let mut asking = self.activities();
        asking.retain(|(_, settings)| of_period(settings));
        if asking.is_empty() {
            return Ok(());
        }
        let told = match environment.crm(self.account) {
            Ok(crm) => crm.tells_deleted(self.now).await,
            Err(failure) => Err(failure),
        };
        match told {
            Ok(true) => Ok(()),
            Ok(false) => {
                let message = format!(
                    "{} does not say when a record of {} was deleted: a period brings all that its recycle bin has",
                    self.account, self.now.name
                );
                let help =
                    "switch on auditing for the environment and this table, or take ids that come again as known";
                found.warnings.extend(asking.iter().map(|(pointer, _)| {
                    let (message, help) = (message.clone(), Some(help.to_owned()));
                    self.workflow.problem(&format!("{pointer}/start"), "deletions-without-time", message, help)
                }));
                Ok(())
            }
            Err(failure) if failure.class == Class::Config => {
                found.problems.extend(asking.iter().map(|(pointer, _)| {
                    let (message, help) = (failure.message.clone(), failure.help.clone());
                    self.workflow.problem(&format!("{pointer}/start"), "deletions-not-kept", message, help)
                }));
                Ok(())
            }
            Err(failure) => {
                Err(format!("whether {} keeps what is deleted of {}: {failure}", self.account, self.now.name))
            }
        }
    }

    fn fields(&self, pointer: &str, uses: &Uses, problems: &mut Vec<Problem>, notes: &mut Vec<String>) {
        let object = &self.now.name;
        let within = format!("{pointer}/");
        for (name, before) in self.before.iter().flat_map(|before| &before.fields) {
            let Some(place) = uses.place(name) else { continue };
            let at = format!("{pointer}{place}");
            let told =
                |problem: &Problem| problem.pointer.starts_with(&within) && problem.message.contains(name.as_str());
            let is_told = problems.iter().any(told);
            let mut tell = |problem: Problem| {
                if !is_told {
                    problems.push(problem);
                }
            };
            let help = |help: &str| Some(help.to_owned());
            let Some(now) = self.now.fields.get(name) else {
                let message = format!("{object} no longer has the field {name}, which was {}", kind(before));
                let help = help("take it out of the workflow, or give it back in the CRM");
                tell(self.workflow.problem(&at, "field-gone", message, help));
                continue;
            };
            if before.kind != now.kind {
                let message = format!("{name} of {object} was {} and is now {}", kind(before), kind(now));
                let help = help("look at what the workflow does with it; a run takes the new type");
                tell(self.workflow.problem(&at, "type-changed", message, help));
            }
            let gone: Vec<&str> =
                before.options.keys().filter(|value| !now.options.contains_key(*value)).map(String::as_str).collect();
            if let Some(value) = gone.iter().find(|value| uses.place(value).is_some()) {
                let message = format!("{name} of {object} no longer takes {value}, which the workflow names");
                let help = help("`campanile discover` shows the values that there are");
                tell(self.workflow.problem(&at, "value-gone", message, help));
            } else if !gone.is_empty() {
                notes.push(format!("{name} of {object} no longer takes {}", gone.join(", ")));
            }
        }
    }
}

fn kind(field: &ObjectField) -> String {
    let ours = Type::of(&field.kind.arrow()).map_or_else(String::new, |kind| kind.to_string());
    match field.system_type.as_str() {
        "" => ours,
        system => format!("{ours} ({system})"),
    }
}

/// The words of an activity's settings, with the pointer of the text that each stands in first.
struct Uses(Vec<(String, BTreeSet<String>)>);

impl Uses {
    fn of(settings: &Value) -> Self {
        let mut all = Vec::new();
        gather(settings, String::new(), &mut all);
        Self(all)
    }

    fn place(&self, word: &str) -> Option<&str> {
        self.0.iter().find(|(_, words)| words.contains(word)).map(|(pointer, _)| pointer.as_str())
    }
}

fn gather(value: &Value, pointer: String, all: &mut Vec<(String, BTreeSet<String>)>) {
    let words = |text: &str| -> BTreeSet<String> {
        let word = |c: char| !(c.is_alphanumeric() || c == '_' || c == '-');
        text.split(word).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                let inner_pointer = format!("{pointer}/{}", engine::document::escape(key));
                // The words of the workflow itself are no fields.
                if pointer.is_empty() && ["type", "account", "object", "to", "label", "notes"].contains(&key.as_str()) {
                    continue;
                }
                if !pointer.is_empty() {
                    all.push((inner_pointer.clone(), words(key)));
                }
                gather(inner, inner_pointer, all);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                gather(item, format!("{pointer}/{place}"), all);
            }
        }
        Value::String(text) => all.push((pointer, words(text))),
        Value::Number(number) => all.push((pointer, BTreeSet::from([number.to_string()]))),
        Value::Null | Value::Bool(_) => {}
    }
}
