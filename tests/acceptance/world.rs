//! A CRM, a database, a store and a clock, all of a test's own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use crm::dynamics::{Dynamics, DynamicsAccount};
use crm::salesforce::{Salesforce, SalesforceAccount};
use crm::secret::{NoVault, Vault};
use database::Sqlite;
use engine::describe::Descriptions;
use engine::engine::{Driven, Engine, NotStarted};
use engine::environment::{Environment, Limits};
use engine::event::{Event, Vars};
use engine::failure::{Class, Failure};
use engine::identity::Compared;
use engine::outside::alerts::Alerts;
use engine::outside::clock::Clock;
use engine::outside::clock::SystemClock;
use engine::outside::crm::{Account, Crm};
use engine::outside::database::{Database, Gathered, LedgerKey, Lookup, Matches, Scan, Scanned, Table, Write, Written};
use engine::outside::desk::NoDesk;
use engine::outside::store::{RunId, Store};
use engine::population::Population;
use engine::private::Access;
use engine::run::{Run, Status, Task};
use engine::types::is_hidden;
use jiff::{SignedDuration, Timestamp};
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use server::alerts::Receivers;
use store::{Memory, SqliteMemory};

use crate::side::Side;

/// How far our clock is ahead of the CRM's.
pub(crate) const AHEAD: SignedDuration = SignedDuration::from_mins(7);

/// The longest that a test waits for alerts to be taken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The example workflow.
pub(crate) const DYNAMICS_IMPORT: &str = include_str!("dynamicsImport.json");

pub(crate) struct World {
    pub(crate) side: Side,
    pub(crate) sandbox: Sandbox,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Memory,
    pub(crate) clock: Arc<Hands>,
    pub(crate) database: Arc<Refusable>,
    /// The accounts' limits.
    pub(crate) limits: Value,
    /// When Salesforce's bulk jobs are used.
    pub(crate) bulk: Value,
    /// Where alerts are posted to.
    pub(crate) webhook: Option<String>,
}

impl World {
    /// An empty CRM whose clock stands at `now`, and a database with the tables of the example.
    pub(crate) fn new(side: Side, now: &str) -> Self {
        Self::with_contacts(side, now, 0)
    }

    /// A CRM with so many contacts.
    pub(crate) fn with_contacts(side: Side, now: &str, contacts: u32) -> Self {
        let now: Timestamp = instant(now);
        let options = Options { now: Some(now), frozen: true, contacts, ..Options::default() };
        let sandbox = Sandbox::start(options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("marketing.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch(TABLES).unwrap();
        let database = Arc::new(Refusable { inner: Sqlite::open(&path).unwrap(), refuses: AtomicBool::new(false) });
        let clock = Arc::new(Hands { admin: sandbox.admin().clone(), horizon: Mutex::new(Timestamp::MAX) });
        if side == Side::Salesforce {
            side.add_field(&sandbox, "lastonholdtime", "time");
            side.add_field(&sandbox, "statecode", "number");
        }
        let (store, limits, bulk) = (Memory::new(), json!({ "retries": 0 }), json!({}));
        Self { side, sandbox, folder, store, clock, database, limits, bulk, webhook: None }
    }

    /// The CRM's clock is set, and does not move by itself.
    pub(crate) fn at(&self, now: &str) {
        self.sandbox.admin().set_clock(instant(now), true).unwrap();
    }

    /// A contact of the CRM, changed or made.
    pub(crate) fn contact(&self, number: u8, mut fields: Value) {
        if let Some(fields) = fields.as_object_mut() {
            fields.entry("statecode").or_insert(json!(0));
        }
        self.side.put(&self.sandbox, &self.id(number), &fields);
    }

    /// The id of C01 and its like.
    pub(crate) fn id(&self, number: u8) -> String {
        self.side.id(&self.sandbox, number)
    }

    /// An engine on what is there now, as a new process would have it.
    pub(crate) fn engine(&self) -> Arc<Engine> {
        self.engine_on(self.store.reopened())
    }

    pub(crate) fn engine_on(&self, store: Memory) -> Arc<Engine> {
        let account: DynamicsAccount = serde_json::from_value(json!({
            "url": self.sandbox.url(),
            "tokenUrl": self.sandbox.token_url(),
            "tenantId": self.sandbox.tenant_id(),
            "clientId": self.sandbox.client_id(),
            "clientSecret": self.sandbox.client_secret(),
            "limits": self.limits,
        }))
        .unwrap();
        let dynamics = Dynamics::new("dynamics", account, &NoVault, Arc::new(SystemClock)).unwrap();
        let told = self.sandbox.salesforce();
        let account: SalesforceAccount = serde_json::from_value(json!({
            "url": told["url"], "clientId": told["clientId"], "clientSecret": told["clientSecret"], "limits": self.limits,
            "bulk": self.bulk,
        }))
        .unwrap();
        let vault: Arc<dyn Vault> = Arc::new(NoVault);
        let salesforce = Salesforce::new("salesforce", account, &vault, Arc::new(SystemClock)).unwrap();
        let accounts = BTreeMap::from([
            ("dynamics".to_owned(), Account::from(Arc::new(dynamics) as Arc<dyn Crm>)),
            ("salesforce".to_owned(), Account::from(Arc::new(salesforce) as Arc<dyn Crm>)),
        ]);
        let folder = self.folder.path();
        Arc::new(Engine::new(Arc::new(Environment {
            store: Arc::new(store),
            desk: Arc::new(NoDesk),
            memory: Arc::new(SqliteMemory::new(folder)),
            alerts: self.alerts(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            database: Arc::clone(&self.database) as Arc<dyn Database>,
            accounts,
            descriptions: Descriptions::new(folder),
            palette: activities::PALETTE,
            folder: folder.to_owned(),
            files: folder.join("files"),
            files_access: Access::default(),
            library: Vec::new(),
            limits: Limits::default(),
            compared: Compared::default(),
        })))
    }

    /// Those who are told when a run needs a person, in the configuration's words.
    fn alerts(&self) -> Arc<dyn Alerts> {
        let webhook = self.webhook.as_ref().map(|url| json!({ "url": url }));
        let limits = json!({ "retryWaitMin": "10ms" });
        let config = serde_json::from_value(json!({ "webhook": webhook, "limits": limits })).unwrap();
        Arc::new(Receivers::new(config, self.folder.path(), Arc::new(NoVault), Arc::new(SystemClock)))
    }

    /// Runs a workflow named `dynamicsImport`, written in Dynamics' words, until nothing drives it any more.
    pub(crate) async fn run(&self, workflow: &str) -> Ended {
        let engine = self.engine();
        let (id, driven) = match engine.start("dynamicsImport.json", &self.side.say(workflow), Vars::new()).await {
            Ok(started) => started,
            Err(NotStarted::Problems(problems)) => panic!("{problems:#?}"),
            Err(NotStarted::Failure(failure)) => panic!("{failure:?}"),
        };
        Ended::new(self, &engine, id, &driven).await
    }

    /// Goes on with a run, as a new process would.
    pub(crate) async fn resume(&self, id: &RunId) -> Ended {
        let engine = self.engine();
        let driven = engine.resume(id).await.unwrap();
        Ended::new(self, &engine, id.clone(), &driven).await
    }

    /// Goes on with a run that was killed, unless it had ended just before.
    pub(crate) async fn resume_unless_over(&self, id: &RunId) -> Ended {
        let (_, run) = self.engine().load(id).await.unwrap();
        if run.status().is_over() { Ended::of(self, id.clone(), run) } else { self.resume(id).await }
    }

    pub(crate) async fn option(&self, name: &str) -> Option<String> {
        self.store.option(name).await.unwrap().map(|option| option.value)
    }

    pub(crate) fn sql(&self, sql: &str) -> Vec<String> {
        let connection = rusqlite::Connection::open(self.folder.path().join("marketing.db")).unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cell = |n| row.get::<_, Option<String>>(n).map(|text| text.unwrap_or_else(|| "∅".to_owned()));
            (0..columns).map(cell).collect::<Result<Vec<_>, _>>()
        });
        rows.unwrap().map(|row| row.unwrap().join(" | ")).collect()
    }

    pub(crate) fn sql_write(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.folder.path().join("marketing.db")).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// The recipients, by mail address.
    pub(crate) fn recipients(&self) -> Vec<String> {
        let rows = self.sql("SELECT crm_id, email, first_name, last_name, country_label FROM recipient ORDER BY email");
        rows.into_iter().map(|row| self.short(&row)).collect()
    }

    /// Requests for contacts, as they were sent.
    pub(crate) fn queries(&self) -> Vec<String> {
        let requests = self.sandbox.admin().requests(0).into_iter();
        requests.map(|request| request.path).filter(|path| self.side.is_data(path)).map(|path| decode(&path)).collect()
    }

    /// Ids of contacts as C01.
    pub(crate) fn short(&self, text: &str) -> String {
        short(text, &self.ids())
    }

    /// The id that is shown as C01.
    pub(crate) fn long(&self, shown: &str) -> String {
        let number = shown.strip_prefix('C').and_then(|number| number.parse().ok());
        number.map_or_else(|| shown.to_owned(), |number| self.id(number))
    }

    fn ids(&self) -> Vec<String> {
        (0..100).map(|number| self.id(number)).collect()
    }
}

const TABLES: &str = "
    CREATE TABLE country (iso TEXT PRIMARY KEY, label TEXT);
    INSERT INTO country VALUES ('GB', 'United Kingdom'), ('US', 'United States'), ('IE', 'Ireland');
    CREATE TABLE recipient (crm_id TEXT, email TEXT, first_name TEXT, last_name TEXT, country_label TEXT);
    INSERT INTO recipient VALUES (NULL, 'grace@example.com', 'Grace B.', 'Hopper', NULL),
                                 (NULL, 'old@example.com', 'Old', 'Entry', NULL);
";

/// What a run left behind.
pub(crate) struct Ended {
    pub(crate) id: RunId,
    pub(crate) status: Status,
    pub(crate) run: Run,
    folder: std::path::PathBuf,
    pub(crate) side: Side,
    ids: Vec<String>,
}

impl Ended {
    async fn new(world: &World, engine: &Engine, id: RunId, driven: &Driven) -> Self {
        driven.wait().await.unwrap();
        assert!(engine.until_told(PATIENCE).await, "somebody is not told");
        tells_no_secret(world, &id).await;
        Self::of(world, id, driven.journal.run().clone())
    }

    fn of(world: &World, id: RunId, run: Run) -> Self {
        let folder = world.folder.path().join("runs").join(id.as_str());
        Self { folder, id, status: run.status(), run, side: world.side, ids: world.ids() }
    }

    pub(crate) fn tasks(&self, activity: &str) -> Vec<&Task> {
        self.run.tasks.iter().filter(|task| task.activity == activity).collect()
    }

    /// The last task of an activity.
    pub(crate) fn task(&self, activity: &str) -> &Task {
        self.tasks(activity).pop().unwrap_or_else(|| panic!("no task of {activity}"))
    }

    /// How many records left by a port.
    pub(crate) fn out(&self, activity: &str, port: &str) -> u64 {
        self.task(activity).ports.get(port).into_iter().flatten().map(|segment| segment.rows).sum()
    }

    pub(crate) fn count(&self, activity: &str, what: &str) -> u64 {
        self.task(activity).tally.counts.get(what).copied().unwrap_or(0)
    }

    pub(crate) fn dropped(&self, activity: &str, rule: &str) -> u64 {
        self.task(activity).tally.dropped.get(rule).copied().unwrap_or(0)
    }

    pub(crate) fn var(&self, activity: &str, name: &str) -> Value {
        self.task(activity).vars.get(name).cloned().unwrap_or(Value::Null)
    }

    /// The values of a column, by Dynamics' name, on a port, as text, in order.
    pub(crate) async fn column(&self, activity: &str, port: &str, column: &str) -> Vec<String> {
        let segments = self.task(activity).ports.get(port).cloned().unwrap_or_default();
        let mut batches = Population::new(&self.folder, segments).read();
        let mut values = Vec::new();
        while let Some(batch) = batches.next().await {
            let batch: RecordBatch = batch.unwrap();
            let array = batch.column_by_name(&self.side.say(column)).unwrap_or_else(|| panic!("no column {column}"));
            let options = arrow::util::display::FormatOptions::default().with_null("∅");
            let shown = arrow::util::display::ArrayFormatter::try_new(array, &options).unwrap();
            values.extend((0..batch.num_rows()).map(|row| short(&shown.value(row).to_string(), &self.ids)));
        }
        values
    }

    /// The columns of a port that authors see.
    pub(crate) async fn columns(&self, activity: &str, port: &str) -> Vec<String> {
        let segments = self.task(activity).ports.get(port).cloned().unwrap_or_default();
        let batch = Population::new(&self.folder, segments).read().next().await.unwrap().unwrap();
        let schema = batch.schema();
        schema.fields().iter().filter(|field| !is_hidden(field)).map(|field| field.name().clone()).collect()
    }
}

/// Our clock: seven minutes ahead of the CRM's, and moved with it to whatever is waited for, up to the horizon.
pub(crate) struct Hands {
    admin: sandbox::Admin,
    horizon: Mutex<Timestamp>,
}

impl Hands {
    /// What is waited for beyond this time of the CRM's clock does not come.
    pub(crate) fn stop_at(&self, horizon: Option<&str>) {
        *self.horizon.lock().unwrap() = horizon.map_or(Timestamp::MAX, instant);
    }
}

#[async_trait]
impl Clock for Hands {
    fn now(&self) -> Timestamp {
        self.admin.clock().now + AHEAD
    }

    async fn sleep_until(&self, until: Timestamp) {
        let crm = until - AHEAD;
        if crm > *self.horizon.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        if crm > self.admin.clock().now {
            self.admin.set_clock(crm, true).unwrap();
        }
    }
}

/// A database that can be told to refuse commits.
pub(crate) struct Refusable {
    inner: Sqlite,
    refuses: AtomicBool,
}

impl Refusable {
    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }
}

#[async_trait]
impl Database for Refusable {
    async fn tables(&self) -> Result<Vec<String>, Failure> {
        self.inner.tables().await
    }

    async fn table(&self, name: &str) -> Result<Table, Failure> {
        self.inner.table(name).await
    }

    async fn lookup(&self, lookup: &Lookup, keys: RecordBatch) -> Result<Matches, Failure> {
        self.inner.lookup(lookup, keys).await
    }

    async fn gather(&self, lookup: &Lookup, keys: u64, bytes: usize) -> Result<Option<Box<dyn Gathered>>, Failure> {
        self.inner.gather(lookup, keys, bytes).await
    }

    async fn read(&self, scan: &Scan, from: Option<Value>) -> Result<Scanned, Failure> {
        self.inner.read(scan, from).await
    }

    async fn write(&self, ledger: &LedgerKey, write: &Write, rows: RecordBatch) -> Result<Written, Failure> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Failure::new(Class::Transient, "the database refuses commits"));
        }
        self.inner.write(ledger, write, rows).await
    }

    async fn forget_versions(&self, folder: &str, before: u64) -> Result<(), Failure> {
        self.inner.forget_versions(folder, before).await
    }

    async fn forget(&self, task: &str) -> Result<(), Failure> {
        self.inner.forget(task).await
    }
}

/// `2026-03-03 10:00:00`, in UTC.
pub(crate) fn instant(text: &str) -> Timestamp {
    format!("{}Z", text.replace(' ', "T")).parse().unwrap()
}

fn short(text: &str, ids: &[String]) -> String {
    ids.iter().enumerate().fold(text.to_owned(), |text, (number, id)| text.replace(id, &format!("C{number:02}")))
}

fn decode(path: &str) -> String {
    percent_encoding::percent_decode_str(&path.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// No secret is in the journal, nor in any file.
async fn tells_no_secret(world: &World, id: &RunId) {
    let told = world.sandbox.salesforce();
    let secrets = [world.sandbox.client_secret(), told["clientSecret"].as_str().unwrap().to_owned()];
    let journal = format!("{:?}", events(&world.store, id).await);
    assert!(secrets.iter().all(|secret| !journal.contains(secret)), "a secret is in the journal");
    let mut folders = vec![world.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            // A temporary file may be gone meanwhile.
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            assert!(secrets.iter().all(|secret| !text.contains(secret)), "a secret is in {}", entry.path().display());
        }
    }
}

/// How many durable events a run made.
pub(crate) async fn events(store: &Memory, id: &RunId) -> Vec<Event> {
    store.events(id, 0, usize::MAX).await.unwrap().into_iter().map(|recorded| recorded.event).collect()
}
