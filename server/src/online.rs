//! What has changed in the CRMs since a workflow's objects were described last.

use std::collections::BTreeSet;

use engine::activity::Need;
use engine::check::{Findings, Workflow};
use engine::describe::Ask;
use engine::engine::Engine;
use engine::environment::Environment;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Object, ObjectField};
use engine::problem::Problem;
use engine::types::Type;
use serde_json::Value;

use crate::api::{Checked, FindingsView};
use crate::refusal::ProblemView;

/// Checks a workflow against what the CRMs say now, and reports what has changed since, and which could not be asked.
/// Nothing is kept of it: the next run does that.
pub async fn check_online(engine: &Engine, checked: &Checked) -> FindingsView {
    let file = checked.file.display().to_string();
    let name = checked.file.file_stem().unwrap_or_default().to_string_lossy();
    let environment = &engine.environment;
    let (workflow, mut found) = engine.check(&file, &name, &checked.text, Ask::Refresh).await;
    let (mut notes, mut unasked) = (Vec::new(), Vec::new());
    for need in workflow.iter().flat_map(Workflow::needs) {
        let Need::Object { account, object } = &need else { continue };
        if !environment.accounts.contains_key(account) {
            continue;
        }
        let now = match environment.descriptions.object(environment, account, object).await {
            Ok(now) => now,
            Err(failure) => {
                // Of others, the check itself has a problem.
                if failure.class != Class::Config {
                    unasked.extend(workflow.as_ref().map(|workflow| {
                        let place = places(&checked.text, account, object).into_iter().next().unwrap_or_default();
                        not_asked(workflow, &place.0, &format!("{account} could not be asked about {object}"), &failure)
                    }));
                }
                continue;
            }
        };
        let before = environment.descriptions.kept_object(account, object);
        let Some(workflow) = &workflow else { continue };
        let drift = Drift { workflow, text: &checked.text, account, before: before.as_deref(), now: &now };
        drift.find(&mut found.problems, &mut notes);
        if let Err(problem) = drift.deletions(environment, &mut found).await {
            unasked.push(*problem);
        }
        if before.is_none() {
            notes.push(format!("{object} of {account} was not described before, so nothing can have changed"));
        }
    }
    found.problems.sort_by_key(|problem| (problem.line, problem.column));
    let unasked = unasked.into_iter().map(ProblemView::from).collect();
    FindingsView { notes, unasked, ..found.into() }
}

fn not_asked(workflow: &Workflow, pointer: &str, what: &str, failure: &Failure) -> Problem {
    workflow.problem(pointer, "not-asked", format!("{what}: {failure}"), failure.help.clone())
}

/// The activities that use an object: where each stands, and its settings.
fn places(text: &str, account: &str, object: &str) -> Vec<(String, Value)> {
    let mut file: Value = serde_json::from_str(text).unwrap_or_default();
    let Value::Object(activities) = file["activities"].take() else { return Vec::new() };
    let is_its = |settings: &Value| settings["account"] == account && settings["object"] == object;
    let its = activities.into_iter().filter(|(_, settings)| is_its(settings));
    its.map(|(name, settings)| (format!("/activities/{}", engine::document::escape(&name)), settings)).collect()
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
        for (pointer, settings) in places(self.text, self.account, &self.now.name) {
            let uses = Uses::of(&settings);
            self.fields(&pointer, &uses, problems, notes);
        }
    }

    /// Whether the system tells what was deleted, where that is imported: of a period, or since the last time. `Err` where it
    /// could not be asked.
    async fn deletions(&self, environment: &Environment, found: &mut Findings) -> Result<(), Box<Problem>> {
        let mut asking = places(self.text, self.account, &self.now.name);
        asking.retain(|(_, settings)| settings["type"] == "crm.importDeleted");
        for (setting, is_incremental) in [("start", false), ("automaticIndex", true)] {
            let is_said = |settings: &Value| !matches!(settings[setting], Value::Null | Value::Bool(false));
            let asking = asking.iter().filter(|(_, settings)| is_said(settings));
            let places: Vec<String> = asking.map(|(pointer, _)| format!("{pointer}/{setting}")).collect();
            if !places.is_empty() {
                self.deletions_told(environment, found, &places, is_incremental).await?;
            }
        }
        Ok(())
    }

    async fn deletions_told(
        &self,
        environment: &Environment,
        found: &mut Findings,
        places: &[String],
        is_incremental: bool,
    ) -> Result<(), Box<Problem>> {
        let (account, object) = (self.account, &self.now.name);
        let crm = environment.crm(account);
        let told = match &crm {
            Ok(crm) => crm.tells_deleted(self.now, is_incremental).await.map(|is_timed| (is_timed, crm.system())),
            Err(failure) => Err(failure.clone()),
        };
        match told {
            Ok((true, _)) => {}
            Ok((false, system)) => {
                let what = system.untimed_deletions;
                let message = format!("{account} does not say when a record of {object} was deleted: {what}");
                let help = format!("{}, or take ids that come again as known", system.new_log);
                found.warnings.extend(places.iter().map(|place| {
                    self.workflow.problem(place, "deletions-without-time", message.clone(), Some(help.clone()))
                }));
            }
            Err(failure) if failure.class == Class::Config => found.problems.extend(places.iter().map(|place| {
                self.workflow.problem(place, "deletions-not-kept", failure.message.clone(), failure.help.clone())
            })),
            Err(failure) => {
                let what = format!("{account} could not be asked whether it tells what is deleted of {object}");
                return Err(Box::new(not_asked(self.workflow, &places[0], &what, &failure)));
            }
        }
        Ok(())
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
