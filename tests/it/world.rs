//! A CRM, a project and a data folder of a test's own, and the binary that works in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::{By, Change, Fault, Options, Route, SalesforceOptions, Sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(90);
/// Records of a page, so that an import has several.
pub(crate) const PAGE: u32 = 250;

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    /// A CRM with so many contacts, whose clock stands still.
    pub(crate) fn new(contacts: u32) -> Self {
        Self::with_seed(contacts, 5)
    }

    /// Another organisation for each seed.
    pub(crate) fn with_seed(contacts: u32, seed: u64) -> Self {
        Self::with(Options { contacts, seed, ..Options::default() })
    }

    /// So many contacts in each of the two systems.
    pub(crate) fn with_salesforce(contacts: u32, salesforce_contacts: u32) -> Self {
        let salesforce = SalesforceOptions { contacts: salesforce_contacts, accounts: 20, leads: 0 };
        Self::with(Options { contacts, seed: 5, salesforce, ..Options::default() })
    }

    fn with(options: Options) -> Self {
        let now = "2026-03-03T10:00:00Z".parse().unwrap();
        let options = Options { accounts: 20, now: Some(now), frozen: true, ..options };
        let world = Self::of(options);
        world.configure(&[]);
        world
    }

    /// A CRM of these options, and a project that has no configuration yet.
    pub(crate) fn of(options: Options) -> Self {
        Self { sandbox: Sandbox::start(options).unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    /// Writes the configuration, with some of its lines in place of what they were.
    pub(crate) fn configure(&self, changed: &[(&str, &str)]) {
        let quoted = |text: String| format!("\"{text}\"");
        let mut text = "[limits]\nsegmentSeconds = 0\nrowsPerTransaction = 200\n\
             [limits.script]\nwallMs = 300\n[accounts.dynamics]\nkind = \"dynamics\"\n"
            .to_owned();
        let account = [
            ("url", quoted(self.sandbox.url())),
            ("tokenUrl", quoted(self.sandbox.token_url())),
            ("tenantId", quoted(self.sandbox.tenant_id())),
            ("clientId", quoted(self.sandbox.client_id())),
            ("clientSecret", quoted(self.sandbox.client_secret())),
            ("limits", format!("{{ retries = 0, recordsPerPage = {PAGE} }}")),
        ];
        for (key, value) in account {
            let value = changed.iter().find(|(name, _)| *name == key).map_or(value, |(_, value)| (*value).to_owned());
            text.push_str(&format!("{key} = {value}\n"));
        }
        self.write("campanile.toml", &text);
    }

    /// Adds the Salesforce organisation to the configuration, with more lines of its account.
    pub(crate) fn add_salesforce(&self, more: &str) {
        let told = self.sandbox.salesforce();
        let text = fs::read_to_string(self.path("campanile.toml")).unwrap();
        let account = format!(
            "{text}[accounts.salesforce]\nkind = \"salesforce\"\nurl = {}\nclientId = {}\nclientSecret = {}\n{more}",
            told["url"], told["clientId"], told["clientSecret"]
        );
        self.write("campanile.toml", &account);
    }

    /// Makes a table `person` of number, id in the CRM and last name, in a database of the test's own.
    pub(crate) fn people(&self, people: &[(Option<String>, String)]) {
        fs::create_dir_all(self.path(".campanile")).unwrap();
        let database = rusqlite::Connection::open(self.path(".campanile/marketing.db")).unwrap();
        database
            .execute_batch("CREATE TABLE person (number INTEGER PRIMARY KEY, crm_id TEXT, last_name TEXT) STRICT")
            .unwrap();
        for (id, name) in people {
            database.execute("INSERT INTO person (crm_id, last_name) VALUES (?1, ?2)", (id, name)).unwrap();
        }
    }

    /// Does something to the database of the data folder, which is made if it is missing.
    pub(crate) fn database(&self, sql: &str) {
        fs::create_dir_all(self.path(".campanile")).unwrap();
        rusqlite::Connection::open(self.path(".campanile/marketing.db")).unwrap().execute_batch(sql).unwrap();
    }

    /// The numbers of the one row that a query of the data folder's database finds.
    pub(crate) fn row<const COLUMNS: usize>(&self, sql: &str) -> [i64; COLUMNS] {
        let database = rusqlite::Connection::open(self.path(".campanile/marketing.db")).unwrap();
        database.query_row(sql, [], |row| Ok(std::array::from_fn(|n| row.get(n).unwrap()))).unwrap()
    }

    /// Every page of the CRM takes so long.
    pub(crate) fn slow_pages(&self, delay_ms: u64) {
        let fault = Fault { route: Route::Page, delay_ms: Some(delay_ms), ..Fault::default() };
        self.sandbox.admin().add_fault(fault).unwrap();
    }

    /// What was changed in the CRM over the wire.
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.sandbox.admin().changes(0).into_iter().filter(|change| change.by == By::Wire).collect()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes `workflows/<name>.json` with these activities; tells its path.
    pub(crate) fn workflow(&self, name: &str, activities: &Value) -> String {
        let file = format!("workflows/{name}.json");
        self.write(&file, &json!({ "version": 1, "activities": activities }).to_string());
        file
    }

    /// A workflow that says what a start does while another run of it is not over.
    pub(crate) fn workflow_when_running(&self, name: &str, rule: &str, activities: &Value) -> String {
        let file = format!("workflows/{name}.json");
        self.write(&file, &json!({ "version": 1, "whenRunning": rule, "activities": activities }).to_string());
        file
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_campanile"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        for variable in ["CAMPANILE_LOG", "CLICOLOR_FORCE", "FORCE_COLOR"] {
            command.env_remove(variable);
        }
        command.env("NO_COLOR", "1");
        command
    }

    /// Lets a command work to its end.
    pub(crate) fn ask(&self, args: &[&str]) -> Answer {
        Answer::of(&mut self.command(args))
    }

    /// Lets a command work while the test goes on.
    pub(crate) fn begin(&self, args: &[&str]) -> Working {
        self.begin_with(args, |_| {})
    }

    /// The same with something changed about the command.
    pub(crate) fn begin_with(&self, args: &[&str], change: impl FnOnce(&mut Command)) -> Working {
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let mut command = self.command(args);
        change(&mut command);
        let child = command.stdout(out.try_clone().unwrap()).stderr(err.try_clone().unwrap()).spawn().unwrap();
        Working { child, out, err }
    }

    /// Recipients by mail address, without the numbers that the database gives.
    pub(crate) fn recipients(&self) -> Vec<String> {
        let path = self.path(".campanile/marketing.db");
        if !path.exists() {
            return Vec::new();
        }
        let connection = rusqlite::Connection::open(path).unwrap();
        let sql = "SELECT email, crm_id, first_name, last_name, country_label FROM recipient ORDER BY email";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| {
            let cell = |n| row.get::<_, Option<String>>(n).map(|text| text.unwrap_or_else(|| "∅".to_owned()));
            (0..5).map(cell).collect::<Result<Vec<_>, _>>()
        });
        rows.unwrap().map(|row| row.unwrap().join(" | ")).collect()
    }

    /// Recipients while the database is being made and written.
    pub(crate) fn recipients_so_far(&self) -> Vec<i64> {
        let count = || -> rusqlite::Result<i64> {
            let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
            let connection = rusqlite::Connection::open_with_flags(self.path(".campanile/marketing.db"), flags)?;
            connection.query_row("SELECT count(*) FROM recipient", [], |row| row.get(0))
        };
        count().into_iter().filter(|count| *count > 0).collect()
    }

    /// The options and their values.
    pub(crate) fn options(&self) -> Value {
        if !self.path(".campanile").exists() {
            return json!({});
        }
        let mut options = self.ask(&["options", "list", "--json"]).json();
        for (_, option) in options.as_object_mut().unwrap() {
            *option = option["value"].take();
        }
        options
    }

    /// Requests that the CRM got, by what they asked for.
    pub(crate) fn requests(&self, route: &str) -> usize {
        self.sandbox.admin().requests(1).iter().filter(|request| request.route == route).count()
    }

    pub(crate) fn run(&self, run: &str) -> Value {
        self.ask(&["show", run, "--json"]).json()
    }

    /// Waits until a run shows what is waited for.
    pub(crate) fn until(&self, run: &str, shows: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        wait_for(&format!("run {run}"), || {
            let answer = self.ask(&["show", run, "--json"]);
            if answer.code != Some(0) {
                return false;
            }
            last = answer.json();
            shows(&last)
        });
        last
    }

    /// How many files the run's import has sealed.
    pub(crate) fn sealed(&self, run: &str) -> usize {
        let folder = self.path(&format!(".campanile/runs/{run}"));
        let tasks = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        let imports = tasks.filter(|path| path.to_string_lossy().ends_with("-import"));
        let files = imports.flat_map(|path| fs::read_dir(path.join("ok")).into_iter().flatten());
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "arrow")).count()
    }
}

impl Answer {
    /// Lets a command work to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let answer = Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        assert!(!answer.err.contains("panicked"), "{command:?}: {}", answer.err);
        answer
    }

    /// The last line on stdout as JSON.
    pub(crate) fn json(&self) -> Value {
        let line = self.out.lines().last().unwrap_or_else(|| panic!("nothing on stdout: {}", self.err));
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// It says all of this on stderr.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        }
        self
    }
}

/// A command at work. It is killed when it is dropped.
pub(crate) struct Working {
    child: Child,
    out: fs::File,
    err: fs::File,
}

impl Working {
    /// At once, as a power cut would end it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn end(mut self) -> Answer {
        let mut status = None;
        wait_for("the end of the command", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let (out, err) = (read(&self.out), read(&self.err));
        // On a disk whose syncs fail, a thread of sled's own panics; the store reports the error all the same.
        let ours = |line: &&str| line.contains("panicked") && !line.contains("/sled-");
        assert!(!err.lines().any(|line| ours(&line)), "{err}");
        Answer { code: status.unwrap().code(), out, err }
    }

    pub(crate) fn is_working(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn out(&self) -> String {
        read(&self.out)
    }

    pub(crate) fn err(&self) -> String {
        read(&self.err)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read(file: &fs::File) -> String {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    // At its place, since the command writes at the same one.
    file.read_exact_at(&mut bytes, 0).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[track_caller]
pub(crate) fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The main job: import, deduplicate, enrich, update the database.
pub(crate) fn main_job() -> Value {
    let workflow: Value = serde_json::from_str(include_str!("../../workflows/dynamicsImport.json")).unwrap();
    let mut activities = workflow["activities"].clone();
    // A failed import shows itself, rather than being tried again in five minutes.
    activities["import"]["to"].as_object_mut().unwrap().remove("error");
    activities.as_object_mut().unwrap().remove("waitAndRetry");
    activities
}

/// An import that leads to this.
pub(crate) fn import_to(to: &str, others: &Value) -> Value {
    let mut activities = json!({
        "import": { "type": "crm.import", "account": "dynamics", "object": "contacts",
            "fields": ["lastname", "emailaddress1"], "automaticIndex": true, "to": to },
    });
    activities.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    activities
}

/// Whether two folders are the same place.
pub(crate) fn is_same(a: &Path, b: &Path) -> bool {
    a.canonicalize().unwrap() == b.canonicalize().unwrap()
}
