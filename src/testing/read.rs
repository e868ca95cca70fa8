//! Reads a test file: every problem at once, with its place, its cause and its cure.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use activities::PALETTE;
use engine::check;
use engine::document::{Document, escape};
use engine::outside::desk::RejectId;
use engine::problem::{Problem, suggestion};
use engine::schema::{self, Schemas};
use indexmap::IndexMap;
use server::project::Project;

use super::file::{Before, Expect, Kind, Step, TestFile};
use super::names::Names;
use crate::commands::check::read;
use crate::fault::Fault;
use crate::global::Global;

/// How the name of a test file ends.
const ENDING: &str = ".test.json";

/// A test file that is right as far as can be seen without trying it.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Its path.
    pub(crate) file: PathBuf,
    /// Its text.
    pub(crate) text: String,
    pub(super) document: Document,
    pub(super) tests: TestFile,
    pub(super) names: Names,
    /// The workflow's path and text.
    pub(super) workflow: (PathBuf, String),
    pub(super) project: Project,
}

impl Loaded {
    /// The names of its tests.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tests.tests.keys().map(String::as_str)
    }
}

/// Whether it is a test file, by its name.
pub(crate) fn is_test(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ENDING))
}

/// The tests of a workflow, by its file.
pub(crate) fn test_of(workflow: &Path) -> PathBuf {
    workflow.with_extension("test.json")
}

/// The workflow of a test, by its file.
fn workflow_of(test: &Path) -> PathBuf {
    let name = test.file_name().unwrap_or_default().to_string_lossy();
    test.with_file_name(format!("{}.json", name.strip_suffix(ENDING).unwrap_or(&name)))
}

/// Reads a test file and the workflow that it tests.
///
/// # Errors
/// All that is wrong with it, or with the workflow; or a file that cannot be read.
pub(crate) fn load(file: &Path, global: &Global) -> Result<Loaded, Fault> {
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::default);
    let text = read(file)?;
    let told = |problems: Vec<Problem>| Fault::Problems {
        problems: problems.into_iter().map(Into::into).collect(),
        text: text.clone(),
    };
    let (mut document, mut problems) =
        Document::parse(&file.display().to_string(), &text).map_err(|problem| told(vec![*problem]))?;
    problems.extend(schema::check(&document, &schema::schema_of::<TestFile>(), "", "a test file"));
    let given = serde_json::from_value(document.value["names"].clone()).unwrap_or_default();
    let (names, wrong) = Names::new(&given, &document);
    problems.extend(wrong);
    let mut value = document.value.clone();
    for part in ["before", "tests"] {
        if let Some(value) = value.get_mut(part) {
            names.resolve(value, &format!("/{part}"), &document, &mut problems);
        }
    }
    // What the schema let through is read; the rest was told.
    let tests = problems.is_empty().then(|| serde_json::from_value::<TestFile>(value.clone()));
    let tests = match tests {
        Some(Ok(tests)) => tests,
        Some(Err(error)) => {
            let message = format!("this is not what a test file says: {error}");
            return Err(told(vec![document.problem("", "wrong-value", message, None)]));
        }
        None => return Err(told(sorted(problems))),
    };
    document.value = value;
    let workflow = match &tests.workflow {
        Some(workflow) => file.with_file_name(workflow),
        None => workflow_of(file),
    };
    let workflow_text = read(&workflow).map_err(|fault| match (fault, &tests.workflow) {
        (Fault::NotRight(failure) | Fault::Failure(failure), Some(_)) => {
            told(vec![document.problem("/workflow", "unknown-workflow", failure.message, None)])
        }
        (Fault::NotRight(failure) | Fault::Failure(failure), None) => {
            let help = "call the test as its workflow, or name the workflow's file with \"workflow\"".to_owned();
            told(vec![document.problem("", "unknown-workflow", failure.message, Some(help))])
        }
        (fault, _) => fault,
    })?;
    let project = Project::load(&global.given(), Some(&workflow))?;
    let name = workflow.file_stem().unwrap_or_default().to_string_lossy();
    let (read, _) = check::read(PALETTE, &SCHEMAS, &workflow.display().to_string(), &name, &workflow_text);
    let check = Check { document: &document, workflow: read.as_ref(), accounts: accounts_of(&project) };
    let problems = check.file(&tests);
    if problems.is_empty() {
        let workflow = (workflow, workflow_text);
        return Ok(Loaded { file: file.to_owned(), text, document, tests, names, workflow, project });
    }
    Err(told(sorted(problems)))
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

/// The accounts of the configuration for which there is a stand-in.
pub(super) fn accounts_of(project: &Project) -> IndexMap<String, Kind> {
    let systems = server::opening::bare(project, PALETTE);
    let systems = systems.environment.accounts.iter();
    systems.filter_map(|(name, account)| Some((name.clone(), Kind::of_system(account.system.name)?))).collect()
}

impl Kind {
    /// The kind of a system by its name.
    fn of_system(name: &str) -> Option<Self> {
        match name {
            "Dynamics" => Some(Self::Dynamics),
            "Salesforce" => Some(Self::Salesforce),
            _ => None,
        }
    }
}

/// What must hold in a test file besides its schema.
struct Check<'a> {
    document: &'a Document,
    workflow: Option<&'a check::Workflow>,
    accounts: IndexMap<String, Kind>,
}

impl Check<'_> {
    fn file(&self, tests: &TestFile) -> Vec<Problem> {
        let mut problems = self.before(&tests.before, "/before", &self.accounts);
        for (name, test) in &tests.tests {
            let pointer = format!("/tests/{}", escape(name));
            let mut accounts = self.accounts.clone();
            for named in [&test.before.accounts, &tests.before.accounts].into_iter().flatten().take(1) {
                accounts.extend(named.iter().map(|(name, account)| (name.clone(), account.kind())));
            }
            problems.extend(self.before(&test.before, &format!("{pointer}/before"), &accounts));
            let mut began = false;
            for (n, step) in test.steps.iter().enumerate() {
                problems.extend(self.step(step, &format!("{pointer}/steps/{n}"), &accounts, &mut began));
            }
        }
        problems
    }

    fn before(&self, before: &Before, pointer: &str, accounts: &IndexMap<String, Kind>) -> Vec<Problem> {
        let mut accounts = accounts.clone();
        let own = before.accounts.iter().flatten();
        accounts.extend(own.map(|(name, account)| (name.clone(), account.kind())));
        let mut problems = Vec::new();
        for (account, crm) in before.crm.iter().flatten() {
            let pointer = format!("{pointer}/crm/{}", escape(account));
            problems.extend(self.account(account, &pointer, &accounts));
            for (object, rows) in &crm.records {
                problems.extend(rows.check(&format!("{pointer}/records/{}", escape(object)), self.document));
            }
        }
        for (table, given) in before.database.iter().flat_map(|database| &database.tables) {
            let pointer = format!("{pointer}/database/tables/{}/rows", escape(table));
            problems.extend(given.rows.check(&pointer, self.document));
        }
        problems
    }

    fn step(&self, step: &Step, at: &str, accounts: &IndexMap<String, Kind>, began: &mut bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        let says = |message: &str, help: &str| {
            vec![self.document.problem(at, "wrong-value", message.to_owned(), Some(help.to_owned()))]
        };
        let deeds = step.deeds();
        if let [first, second, ..] = deeds.as_slice() {
            let message = format!("a step does one thing, and this one does {} and {}", first.name(), second.name());
            problems.extend(says(&message, "make a step of each"));
        }
        if deeds.is_empty() && !step.changes() && step.expect.is_none() {
            problems.extend(says("this step does nothing and expects nothing", "give it run, a change, or expect"));
        }
        *began |= step.run.is_some();
        if !*began && deeds.iter().any(|deed| deed.needs_run()) {
            problems.extend(says("no step before this one starts a run", "begin with a step that has run"));
        }
        for id in step.correct.keys().filter(|id| id.parse::<RejectId>().is_err()) {
            let message = format!("\"{id}\" is not the number of a reject");
            let help = "rejects are numbered from 1, in the order in which they are refused".to_owned();
            let pointer = format!("{at}/correct/{}", escape(id));
            problems.push(self.document.problem_of_key(&pointer, "wrong-value", message, Some(help)));
        }
        if let Some(table) = &step.create_table {
            problems.extend(self.account_named(&table.account, &format!("{at}/createTable/account"), accounts));
        }
        for (account, change) in &step.crm {
            let pointer = format!("{at}/crm/{}", escape(account));
            problems.extend(self.account(account, &pointer, accounts));
            for (object, rows) in &change.put {
                problems.extend(rows.check(&format!("{pointer}/put/{}", escape(object)), self.document));
            }
        }
        for account in step.faults.keys() {
            problems.extend(self.account(account, &format!("{at}/faults/{}", escape(account)), accounts));
        }
        if (step.kill.is_some() || step.until.is_some()) && !deeds.iter().any(|deed| deed.drives()) {
            problems.extend(says("there is no process to end", "give it run, resume, restart or resend"));
        }
        if let Some(activity) = step.kill.as_ref().and_then(|kill| kill.activity.as_ref()) {
            problems.extend(self.activity(activity, &format!("{at}/kill/activity"), false));
        }
        if let Some(activity) = step.resend.as_ref().and_then(|resend| resend.activity.as_ref()) {
            problems.extend(self.activity(activity, &format!("{at}/resend/activity"), false));
        }
        let backfill = step.run.as_ref().and_then(|run| run.backfill.as_ref());
        if let Some(activity) = backfill.and_then(|backfill| backfill.activity.as_ref()) {
            problems.extend(self.activity(activity, &format!("{at}/run/backfill/activity"), false));
        }
        if let Some(expect) = &step.expect {
            problems.extend(self.expect(expect, &format!("{at}/expect"), accounts));
        }
        problems
    }

    fn expect(&self, expect: &Expect, at: &str, accounts: &IndexMap<String, Kind>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (activity, expected) in &expect.activities {
            let pointer = format!("{at}/activities/{}", escape(activity));
            problems.extend(self.activity(activity, &pointer, true));
            for (port, rows) in &expected.records {
                problems.extend(rows.check(&format!("{pointer}/records/{}", escape(port)), self.document));
                problems.extend(self.port(activity, port, &format!("{pointer}/records/{}", escape(port))));
            }
            for port in expected.out.iter().flat_map(IndexMap::keys) {
                problems.extend(self.port(activity, port, &format!("{pointer}/out/{}", escape(port))));
            }
        }
        for (table, rows) in &expect.database {
            problems.extend(rows.check(&format!("{at}/database/{}", escape(table)), self.document));
        }
        for (account, objects) in &expect.crm {
            let pointer = format!("{at}/crm/{}", escape(account));
            problems.extend(self.account(account, &pointer, accounts));
            for (object, rows) in objects {
                problems.extend(rows.check(&format!("{pointer}/{}", escape(object)), self.document));
            }
        }
        if let Some(rejects) = &expect.rejects {
            problems.extend(rejects.check(&format!("{at}/rejects"), self.document));
        }
        if let Some(alerts) = &expect.alerts {
            problems.extend(alerts.check(&format!("{at}/alerts"), self.document));
        }
        for (key, named) in
            [("changes", expect.changes.keys().collect::<Vec<_>>()), ("requests", expect.requests.keys().collect())]
        {
            for account in named {
                problems.extend(self.account(account, &format!("{at}/{key}/{}", escape(account)), accounts));
            }
        }
        problems
    }

    /// What is wrong with an account that is a key of the file.
    fn account(&self, account: &str, pointer: &str, accounts: &IndexMap<String, Kind>) -> Option<Problem> {
        let (message, help) = unknown_account(account, accounts)?;
        Some(self.document.problem_of_key(pointer, "unknown-account", message, Some(help)))
    }

    /// What is wrong with an account that is a text of the file.
    fn account_named(&self, account: &str, pointer: &str, accounts: &IndexMap<String, Kind>) -> Option<Problem> {
        let (message, help) = unknown_account(account, accounts)?;
        Some(self.document.problem(pointer, "unknown-account", message, Some(help)))
    }

    fn activity(&self, activity: &str, pointer: &str, is_key: bool) -> Option<Problem> {
        let known = self.workflow?.graph.activities().map(|(name, _)| name).collect::<Vec<_>>();
        if known.contains(&activity) {
            return None;
        }
        let message = format!("the workflow has no activity \"{activity}\"");
        let help = suggestion(activity, known);
        Some(match is_key {
            true => self.document.problem_of_key(pointer, "unknown-activity", message, help),
            false => self.document.problem(pointer, "unknown-activity", message, help),
        })
    }

    fn port(&self, activity: &str, port: &str, pointer: &str) -> Option<Problem> {
        let node = self.workflow?.activities.get(activity)?;
        let ports = node.ports();
        let mut known: Vec<&str> = ports.iter().map(|port| port.name.as_ref()).collect();
        known.extend(["error", "exhausted"]);
        if known.contains(&port) {
            return None;
        }
        let message = format!("\"{activity}\" has no port \"{port}\"");
        Some(self.document.problem_of_key(pointer, "unknown-port", message, suggestion(port, known)))
    }
}

fn unknown_account(account: &str, accounts: &IndexMap<String, Kind>) -> Option<(String, String)> {
    if accounts.contains_key(account) {
        return None;
    }
    let help = suggestion(account, accounts.keys().map(String::as_str))
        .unwrap_or_else(|| "add it to \"accounts\" of \"before\", or to campanile.toml".to_owned());
    Some((format!("there is no account \"{account}\""), help))
}
