//! Compares what is after a step with what is expected.

use std::collections::BTreeMap;

use engine::document::escape;
use engine::expr::Value as Cell;
use engine::failure::Failure;
use engine::outside::store::{RunId, Store};
use engine::population::read_segment;
use engine::problem::{Problem, suggestion};
use engine::run::{Run, Task, TaskStatus};
use indexmap::IndexMap;
use sandbox::Change;
use serde_json::{Map, Value, json};
use server::refusal::ProblemView;

use super::alerts;
use super::desk::{COLUMNS, cell};
use super::file::{ChangeKind, Expect, ExpectActivity, ExpectChange, ExpectRequests, ExpectRows, Status};
use super::outcome::Difference;
use super::read::Loaded;
use super::rows::Cells;
use super::world::World;

/// What a step left behind.
pub(super) struct After {
    /// What the run is at, where the step did something with one.
    pub(super) status: Option<(RunId, Status)>,
    /// Why the workflow did not start, or what a check found.
    pub(super) problems: Option<Vec<ProblemView>>,
    /// The last run.
    pub(super) run: Option<(RunId, Run)>,
    /// What this step warned of.
    pub(super) warnings: Vec<String>,
}

/// Compares, and collects what differs.
pub(super) struct Compare<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) world: &'a World,
    /// The numbers of the next change and request of each CRM before the step.
    pub(super) before: &'a IndexMap<String, (u64, u64)>,
    /// How many alerts there were before the step.
    pub(super) told_before: usize,
    pub(super) after: &'a After,
    /// Of the expectations in the file.
    pub(super) pointer: String,
    pub(super) step: String,
    pub(super) differences: Vec<Difference>,
    pub(super) problems: Vec<Problem>,
}

impl Compare<'_> {
    /// Compares all.
    pub(super) fn all(mut self, expect: &Expect) -> (Vec<Difference>, Vec<Problem>) {
        if !self.status(expect) {
            return (self.differences, self.problems);
        }
        for (name, activity) in &expect.activities {
            self.activity(name, activity);
        }
        self.vars(expect);
        self.options(expect);
        for (table, rows) in &expect.database {
            self.table(table, rows);
        }
        for (account, objects) in &expect.crm {
            for (object, rows) in objects {
                self.records(account, object, rows);
            }
        }
        for (account, objects) in &expect.changes {
            self.changes(account, objects);
        }
        for (account, requests) in &expect.requests {
            self.requests(account, requests);
        }
        if let Some(warnings) = &expect.warnings {
            self.warnings(warnings);
        }
        if let Some(rejects) = &expect.rejects {
            self.rejects(rejects);
        }
        if let Some(alerts) = &expect.alerts {
            self.alerts(alerts);
        }
        for (path, lines) in &expect.files {
            self.file(path, lines.as_deref());
        }
        (self.differences, self.problems)
    }

    fn differs(&mut self, what: impl Into<String>, expected: Value, found: Value) {
        let (step, what) = (self.step.clone(), what.into());
        self.differences.push(Difference { step, what, columns: Vec::new(), expected, found });
    }

    fn same(&mut self, what: impl Into<String>, expected: &Value, found: &Value) {
        if !equal(expected, found) {
            let (expected, found) = (self.shown(expected), self.shown(found));
            self.differs(what, expected, found);
        }
    }

    /// Something that the test names and that is not there.
    fn refused(&mut self, inner: &str, why: String, help: Option<String>) {
        let pointer = format!("{}/{inner}", self.pointer);
        self.problems.push(self.loaded.document.problem_of_key(&pointer, "refused", why, help));
    }

    /// Names in the place of long values.
    fn shown(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.loaded.names.shown(text).into(),
            Value::Array(items) => items.iter().map(|item| self.shown(item)).collect(),
            Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), self.shown(field))).collect(),
            other => other.clone(),
        }
    }

    /// Compares what the run is at; where that differs, all else follows from it.
    fn status(&mut self, expect: &Expect) -> bool {
        if let Some(problems) = &self.after.problems {
            let codes = |codes: &mut dyn Iterator<Item = &str>| {
                let mut codes: Vec<String> = codes.map(str::to_owned).collect();
                codes.sort();
                codes
            };
            let found = codes(&mut problems.iter().map(|problem| problem.code.as_str()));
            let told = problems.iter().map(|p| format!("{} {}: {}", p.pointer, p.code, p.message)).collect::<Vec<_>>();
            match &expect.problems {
                Some(expected) if codes(&mut expected.iter().map(String::as_str)) == found => {}
                Some(expected) => self.differs("problems", json!(expected), json!(told)),
                None => self.differs("the workflow does not start", json!("no problems"), json!(told)),
            }
            return self.differences.is_empty();
        }
        if let Some(expected) = &expect.problems {
            self.differs("problems", json!(expected), json!("the workflow started"));
            return false;
        }
        let (Some(expected), Some((id, found))) = (expect.status, &self.after.status) else { return true };
        if expected != *found {
            let failures = self.after.run.as_ref().map(|(_, run)| failures(run)).unwrap_or_default();
            let found = match (json!(found), failures.as_str()) {
                (found, "") => found,
                (found, failures) => json!(format!("{}: {failures}", found.as_str().unwrap_or_default())),
            };
            self.differs(format!("status of {id}"), json!(expected), found);
        }
        self.differences.is_empty()
    }

    fn activity(&mut self, name: &str, expected: &ExpectActivity) {
        let Some((_, run)) = &self.after.run else {
            self.refused(&format!("activities/{}", escape(name)), "no run has begun".to_owned(), None);
            return;
        };
        let tasks: Vec<&Task> = run.tasks.iter().filter(|task| task.activity == name).collect();
        let failed = tasks.iter().filter(|task| task.status == TaskStatus::Failed || task.failure.is_some()).count();
        let number = |expected: Option<u64>, found: usize| expected.map(|expected| (json!(expected), json!(found)));
        for (what, pair) in
            [("tasks", number(expected.tasks, tasks.len())), ("failed", number(expected.failed, failed))]
        {
            if let Some((expected, found)) = pair {
                self.same(format!("{name}: {what}"), &expected, &found);
            }
        }
        let Some(task) = tasks.last() else {
            if expected.tasks != Some(0) {
                self.differs(name, json!("a task"), json!("none"));
            }
            return;
        };
        let came = run.came(task);
        for (what, wanted, found) in [("in", expected.came, came), ("added", expected.added, task.tally.added)] {
            if let Some(wanted) = wanted {
                self.same(format!("{name}: {what}"), &json!(wanted), &json!(found));
            }
        }
        if let Some(out) = &expected.out {
            let found =
                task.ports.iter().map(|(port, _)| (port.clone(), run.rows(task.id, port).unwrap_or(0))).collect();
            self.numbers(&format!("{name}: out by"), out, &found, true);
        }
        if let Some(dropped) = &expected.dropped {
            self.numbers(&format!("{name}: dropped by rule"), dropped, &task.tally.dropped, true);
        }
        self.numbers(&format!("{name}: count of"), &expected.counts, &task.tally.counts, false);
        for (var, value) in &expected.vars {
            let found = task.vars.get(var).cloned().unwrap_or_default();
            self.same(format!("{name}: variable {var}"), value, &found);
        }
        if let Some(part) = &expected.failure {
            let found = task.failure.as_ref().map(ToString::to_string).unwrap_or_default();
            if !found.contains(part.as_str()) {
                self.differs(format!("{name}: failure"), json!(format!("… {part} …")), json!(found));
            }
        }
        for (port, wanted) in &expected.records {
            self.port(name, task, port, wanted);
        }
    }

    /// Compares numbers by name; a name that is not there is 0. With `wholly` no other name may have any.
    fn numbers(&mut self, what: &str, expected: &IndexMap<String, u64>, found: &BTreeMap<String, u64>, wholly: bool) {
        let others = found.keys().filter(|name| wholly && !expected.contains_key(*name)).cloned();
        let names: Vec<String> = expected.keys().cloned().chain(others).collect();
        for name in names {
            let of = |number: Option<&u64>| json!(number.copied().unwrap_or(0));
            self.same(format!("{what} {name}"), &of(expected.get(&name)), &of(found.get(&name)));
        }
    }

    fn port(&mut self, name: &str, task: &Task, port: &str, wanted: &ExpectRows) {
        let what = format!("{name}: records on {port}");
        let columns = wanted.cells().columns;
        match self.population(task, port, &columns) {
            Ok(found) => self.rows(what, wanted, found),
            Err(NotRead::Failure(failure)) => self.differs(what, json!("records"), json!(failure.to_string())),
            Err(NotRead::Column { column, known }) => {
                let inner = format!("activities/{}/records/{}", escape(name), escape(port));
                let help = suggestion(&column, known.iter().map(String::as_str));
                self.refused(&inner, format!("there is no column \"{column}\" on {port} of {name}"), help);
            }
        }
    }

    fn population(&self, task: &Task, port: &str, columns: &[String]) -> Result<Vec<Vec<Value>>, NotRead> {
        let Some((id, run)) = &self.after.run else { return Ok(Vec::new()) };
        let folder = engine::environment::run_folder(&self.world.project.data, id);
        // The port `error` carries what came in.
        let came_in =
            || task.inputs.first().filter(|_| port == "error").and_then(|(from, port)| run.population(*from, port));
        let segments = run.population(task.id, port).or_else(came_in).unwrap_or_default();
        let mut found = Vec::new();
        for segment in segments {
            let (schema, batches) = read_segment(&folder, segment)?;
            let index = |column: &String| {
                schema.index_of(column).map_err(|_| NotRead::Column {
                    column: column.clone(),
                    known: schema.fields().iter().map(|field| field.name().clone()).collect(),
                })
            };
            let indexes: Vec<usize> = columns.iter().map(index).collect::<Result<_, _>>()?;
            for batch in batches {
                let batch = batch?;
                let cell = |row: usize, n: &usize| Cell::json_at(batch.column(*n), row);
                found.extend((0..batch.num_rows()).map(|row| indexes.iter().map(|n| cell(row, n)).collect::<Vec<_>>()));
            }
        }
        Ok(found)
    }

    fn vars(&mut self, expect: &Expect) {
        let run = self.after.run.as_ref().map(|(_, run)| run);
        let mut vars = Map::new();
        for part in run.iter().flat_map(|run| {
            let last = run.tasks.iter().rev().find(|task| task.status == TaskStatus::Ended).map(|task| &task.vars);
            [Some(&run.instance_vars), last]
        }) {
            vars.extend(part.cloned().unwrap_or_default());
        }
        for (name, value) in &expect.vars {
            let found = vars.get(name).cloned().unwrap_or_default();
            self.same(format!("variable {name}"), value, &found);
        }
    }

    fn options(&mut self, expect: &Expect) {
        for (name, expected) in &expect.options {
            match futures::executor::block_on(self.world.store.option(name)) {
                Ok(found) => {
                    self.same(format!("option {name}"), &json!(expected), &json!(found.map(|option| option.value)))
                }
                Err(error) => self.differs(format!("option {name}"), json!(expected), json!(error.to_string())),
            }
        }
    }

    fn table(&mut self, table: &str, wanted: &ExpectRows) {
        let columns = wanted.cells().columns;
        let found = self.world.contents().map_err(|failure| failure.to_string());
        match found.and_then(|contents| contents.rows(table, &columns)) {
            Ok(found) => self.rows(format!("table {table}"), wanted, found),
            Err(why) => self.refused(&format!("database/{}", escape(table)), why, None),
        }
    }

    fn records(&mut self, account: &str, object: &str, wanted: &ExpectRows) {
        let columns = wanted.cells().columns;
        match self.world.crms[account].records(object) {
            Ok(records) => {
                let cell = |record: &Map<String, Value>, name: &String| record.get(name).cloned().unwrap_or_default();
                let row = |record: &Map<String, Value>| columns.iter().map(|name| cell(record, name)).collect();
                self.rows(format!("{object} in {account}"), wanted, records.iter().map(row).collect());
            }
            Err(why) => self.refused(&format!("crm/{}/{}", escape(account), escape(object)), why, None),
        }
    }

    fn rejects(&mut self, wanted: &ExpectRows) {
        let columns = wanted.cells().columns;
        let rejects = match self.world.rejects() {
            Ok(rejects) => rejects,
            Err(failure) => return self.differs("rejects", json!("the rejects desk"), json!(failure.to_string())),
        };
        let known =
            |column: &&String| rejects.is_empty() || rejects.iter().any(|reject| cell(reject, column).is_some());
        if let Some(column) = columns.iter().find(|column| !known(column)) {
            let message = format!("no reject has a column \"{column}\"");
            return self.refused("rejects", message, suggestion(column, COLUMNS));
        }
        let row = |reject| columns.iter().map(|column| cell(reject, column).unwrap_or_default()).collect();
        self.rows("rejects".to_owned(), wanted, rejects.iter().map(row).collect());
    }

    fn alerts(&mut self, wanted: &ExpectRows) {
        let columns = wanted.cells().columns;
        if let Some(column) = columns.iter().find(|column| !alerts::COLUMNS.contains(&column.as_str())) {
            let message = format!("no alert has a column \"{column}\"");
            return self.refused("alerts", message, suggestion(column, alerts::COLUMNS));
        }
        let row = |alert| columns.iter().map(|column| alerts::cell(alert, column)).collect();
        let told = self.world.told.after(self.told_before);
        self.rows("alerts".to_owned(), wanted, told.iter().map(row).collect());
    }

    /// Compares rows: of those that are on both sides each counts once.
    fn rows(&mut self, what: String, wanted: &ExpectRows, found: Vec<Vec<Value>>) {
        if let ExpectRows::Count(expected) = wanted {
            return self.same(what, &json!(expected), &json!(found.len()));
        }
        let Cells { columns, rows } = wanted.cells();
        let (in_order, contains) = match wanted {
            ExpectRows::Table(table) => (table.in_order, table.contains),
            _ => (false, false),
        };
        let (missing, others) = unmatched(&rows, found.clone());
        let step = self.step.clone();
        let shown = |rows: Vec<Vec<Value>>| self.shown(&json!(rows));
        if !missing.is_empty() || !(contains || others.is_empty()) {
            let (expected, found) = (shown(missing), shown(if contains { Vec::new() } else { others }));
            self.differences.push(Difference { step, what, columns, expected, found });
        } else if in_order && !is_in_order(&rows, &found) {
            let (expected, found) = (shown(rows), shown(found));
            self.differences.push(Difference { step, what: format!("{what}: order"), columns, expected, found });
        }
    }

    fn changes(&mut self, account: &str, expected: &IndexMap<String, Vec<ExpectChange>>) {
        let from = self.before[account].0;
        let mut found = self.world.crms[account].changes(from);
        let mut missing = Vec::new();
        let all = expected.iter().flat_map(|(object, changes)| changes.iter().map(move |change| (object, change)));
        let mut all: Vec<_> = all.collect();
        // Those that name a record first, so that none takes another's.
        all.sort_by_key(|(_, change)| (change.id.is_none(), std::cmp::Reverse(change.fields.len())));
        for (object, change) in all {
            match found.iter().position(|found| found.set == *object && fits(change, found)) {
                Some(place) => drop(found.remove(place)),
                None => missing.push(json!([kind_text(change.kind), object, change.id, change.fields])),
            }
        }
        if missing.is_empty() && found.is_empty() {
            return;
        }
        let fields = |change: &Change| -> Map<String, Value> {
            change.fields.iter().map(|field| (field.field.clone(), field.new.clone())).collect()
        };
        let found = found.iter().map(|c| json!([json!(c.kind), c.set, c.id, fields(c)]));
        let (expected, found) = (self.shown(&json!(missing)), self.shown(&found.collect()));
        let columns = ["kind", "object", "id", "fields"].map(str::to_owned).to_vec();
        let (step, what) = (self.step.clone(), format!("changes in {account}"));
        self.differences.push(Difference { step, what, columns, expected, found });
    }

    fn requests(&mut self, account: &str, expected: &ExpectRequests) {
        let requests = self.world.crms[account].requests(self.before[account].1);
        for (route, number) in &expected.count {
            let found = requests.iter().filter(|request| request.route == *route).count();
            self.same(format!("requests to {account}: {route}"), &json!(number), &json!(found));
        }
        let paths: Vec<String> = requests.iter().map(|request| decoded(&request.path)).collect();
        for text in &expected.containing {
            if !paths.iter().any(|path| path.contains(text.as_str())) {
                self.differs(format!("requests to {account}"), json!(format!("… {text} …")), json!(paths));
            }
        }
        for text in &expected.without {
            if let Some(path) = paths.iter().find(|path| path.contains(text.as_str())) {
                self.differs(format!("requests to {account}"), json!(format!("none with {text}")), json!(path));
            }
        }
    }

    fn warnings(&mut self, expected: &[String]) {
        let mut found = self.after.warnings.clone();
        let mut missing = Vec::new();
        for part in expected {
            match found.iter().position(|warning| warning.contains(part.as_str())) {
                Some(place) => drop(found.remove(place)),
                None => missing.push(json!([part])),
            }
        }
        if !missing.is_empty() || !found.is_empty() {
            let found = found.into_iter().map(|warning| json!([warning])).collect();
            let (step, what, columns) = (self.step.clone(), "warnings".to_owned(), vec!["text".to_owned()]);
            self.differences.push(Difference { step, what, columns, expected: missing.into(), found });
        }
    }

    fn file(&mut self, path: &str, expected: Option<&[String]>) {
        let found = std::fs::read_to_string(self.world.project.files.join(path)).ok();
        let found: Option<Vec<String>> = found.map(|text| text.lines().map(str::to_owned).collect());
        self.same(format!("file {path}"), &json!(expected), &json!(found));
    }
}

/// Why a population was not read.
enum NotRead {
    Failure(Failure),
    Column { column: String, known: Vec<String> },
}

impl From<Failure> for NotRead {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn failures(run: &Run) -> String {
    let failed = run.tasks.iter().filter_map(|task| Some(format!("{}: {}", task.activity, task.failure.as_ref()?)));
    failed.collect::<Vec<_>>().join("; ")
}

/// The rows of each side that the other has not.
fn unmatched(expected: &[Vec<Value>], mut found: Vec<Vec<Value>>) -> (Vec<Vec<Value>>, Vec<Vec<Value>>) {
    let mut missing = Vec::new();
    for row in expected {
        match found.iter().position(|found| is_same_row(row, found)) {
            Some(place) => drop(found.remove(place)),
            None => missing.push(row.clone()),
        }
    }
    (missing, found)
}

/// Whether the rows that are expected come in this order among those found.
fn is_in_order(expected: &[Vec<Value>], found: &[Vec<Value>]) -> bool {
    let mut found = found.iter();
    expected.iter().all(|row| found.any(|found| is_same_row(row, found)))
}

fn is_same_row(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
}

/// Equal as JSON; numbers by what they are worth, so that 1 is 1.0.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => is_same_row(a, b),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

fn fits(expected: &ExpectChange, found: &Change) -> bool {
    let field = |name: &String| found.fields.iter().find(|field| field.field == *name).map(|field| &field.new);
    let value = |(name, value): (&String, &Value)| field(name).is_some_and(|new| equal(value, new));
    kind_text(expected.kind) == json!(found.kind)
        && expected.id.as_ref().is_none_or(|id| id.eq_ignore_ascii_case(&found.id))
        && expected.fields.iter().all(value)
}

fn kind_text(kind: ChangeKind) -> Value {
    json!(match kind {
        ChangeKind::Created => "created",
        ChangeKind::Updated => "updated",
        ChangeKind::Deleted => "deleted",
    })
}

/// An address as it is read: `%20` and `+` are spaces.
fn decoded(path: &str) -> String {
    let path = path.replace('+', " ");
    percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sets_in_which_each_counts_once() {
        let rows = |rows: Value| serde_json::from_value::<Vec<Vec<Value>>>(rows).unwrap();
        let (missing, others) =
            unmatched(&rows(json!([[1, "a"], [1, "a"], [2, null]])), rows(json!([[2, null], [1.0, "a"]])));
        assert_eq!((missing, others), (rows(json!([[1, "a"]])), rows(json!([]))));
        let (missing, others) = unmatched(&rows(json!([["1"]])), rows(json!([[1], [null]])));
        assert_eq!((missing, others), (rows(json!([["1"]])), rows(json!([[1], [null]]))));
        let large = rows(json!([[9_007_199_254_740_993_u64]]));
        let (missing, _) = unmatched(&large, rows(json!([[9_007_199_254_740_992_u64]])));
        assert_eq!(missing, large, "whole numbers are compared as they are");
        assert!(is_in_order(&rows(json!([[1], [3]])), &rows(json!([[1], [2], [3]]))));
        assert!(!is_in_order(&rows(json!([[3], [1]])), &rows(json!([[1], [2], [3]]))));
    }
}
