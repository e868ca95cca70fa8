//! Runs an activity in a real engine: records that the test gives lead into it, and what comes out is looked at.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use async_trait::async_trait;
use database::Sqlite;
use engine::activity::{Activity, Columns, Flow, Port, Spec};
use engine::context::Cx;
use engine::describe::{Ask, Descriptions};
use engine::engine::{Driven, Engine, NotStarted};
use engine::enter::Entering;
use engine::environment::{Environment, Limits};
use engine::event::{Backfill, Event, Level, Tally, Vars};
use engine::expr::Value as Cell;
use engine::failure::{Class, Failure};
use engine::flow::FlowCx;
use engine::outside::alerts::NoAlerts;
use engine::outside::clock::Clock;
use engine::outside::crm::{Account, Crm};
use engine::outside::database::Database;
use engine::outside::desk::NoDesk;
use engine::outside::store::{RunId, Store};
use engine::population::Population;
use engine::private::Access;
use engine::run::{Run, Status};
use engine::types::{Type, is_hidden};
use engine::version::Versions;
use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Memory, SqliteMemory};

/// Brings the records that its settings list, in files of `segment` records.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Records {
    columns: IndexMap<String, String>,
    rows: Vec<Vec<Value>>,
    #[serde(default)]
    segment: Option<usize>,
}

static RECORDS: Spec = Spec { kind: "records", inbound: false, ports: &[Port::always("ok")], ..Spec::of::<Records>() };

pub(crate) static PALETTE: &[&Spec] = &[
    &RECORDS,
    &activities::crm_import::SPEC,
    &activities::crm_import_deleted::SPEC,
    &activities::crm_delete::SPEC,
    &activities::crm_export::SPEC,
    &activities::wait::SPEC,
    &activities::dedupe::SPEC,
    &activities::enrich::SPEC,
    &activities::database_query::SPEC,
    &activities::database_update::SPEC,
    &activities::file_extract::SPEC,
    &activities::script::SPEC,
];

impl Records {
    fn schema(&self) -> SchemaRef {
        let ty = |word: &String| match word.as_str() {
            "text" => Type::Text,
            "int" => Type::Int,
            "float" => Type::Float,
            "decimal" => Type::Decimal,
            "bool" => Type::Bool,
            "date" => Type::Date,
            "datetime" => Type::DateTime,
            "list" => Type::List(Box::new(Type::Text)),
            other => panic!("no type {other}"),
        };
        let fields = self.columns.iter().map(|(name, word)| Field::new(name, ty(word).arrow(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

#[async_trait]
impl Activity for Records {
    fn flow(&self, _: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), Columns::Known(self.schema()))])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let mut from = cx.position::<usize>()?.unwrap_or(0);
        while from < self.rows.len() {
            let to = (from + self.segment.unwrap_or(self.rows.len())).min(self.rows.len());
            let objects: Vec<Value> = self.rows[from..to]
                .iter()
                .map(|row| {
                    self.columns.keys().cloned().zip(row.iter().cloned()).collect::<serde_json::Map<_, _>>().into()
                })
                .collect();
            let mut decoder = ReaderBuilder::new(self.schema()).with_batch_size(objects.len()).build_decoder().unwrap();
            decoder.serialize(&objects).unwrap();
            cx.tally().added += objects.len() as u64;
            cx.write("ok", decoder.flush().unwrap().unwrap()).await;
            from = to;
            cx.seal(&from).await?;
        }
        if self.rows.is_empty() {
            cx.open("ok", self.schema()).await;
        }
        Ok(())
    }
}

/// A clock that stands still unless it is moved.
#[derive(Debug)]
pub(crate) struct Hand(pub(crate) AtomicI64);

#[async_trait]
impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.0.fetch_max(until.as_second(), Ordering::SeqCst);
    }
}

/// A data folder with a database.
pub(crate) struct World {
    folder: Arc<tempfile::TempDir>,
    pub(crate) limits: Limits,
    pub(crate) files_access: Access,
    /// Scripts that workflows share.
    pub(crate) library: Vec<(String, String)>,
    pub(crate) clock: Arc<Hand>,
    pub(crate) database: Arc<dyn Database>,
    /// The account `crm`, where there is one.
    pub(crate) crm: Option<Arc<dyn Crm>>,
}

impl World {
    /// With a database made by this SQL.
    pub(crate) fn new(sql: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let file = folder.path().join("marketing.db");
        rusqlite::Connection::open(&file).unwrap().execute_batch(&format!("CREATE TABLE _(_); {sql}")).unwrap();
        let database = Arc::new(Sqlite::open(&file).unwrap());
        let clock = Arc::new(Hand(AtomicI64::new(1_772_532_000)));
        let (limits, files_access, library) = Default::default();
        Self { folder, limits, files_access, library, clock, database, crm: None }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn engine(&self, store: Arc<dyn Store>) -> Arc<Engine> {
        let folder = self.folder.path();
        Arc::new(Engine::new(Arc::new(Environment {
            store,
            desk: Arc::new(NoDesk),
            memory: Arc::new(SqliteMemory::new(folder)),
            alerts: Arc::new(NoAlerts),
            clock: Arc::<Hand>::clone(&self.clock),
            database: Arc::clone(&self.database),
            accounts: self.crm.iter().map(|crm| ("crm".to_owned(), Account::from(Arc::clone(crm)))).collect(),
            descriptions: Descriptions::new(folder),
            palette: PALETTE,
            folder: folder.to_owned(),
            files: folder.join("files"),
            files_access: self.files_access,
            library: self.library.clone(),
            limits: self.limits.clone(),
            compared: Default::default(),
        })))
    }

    /// Runs activities to their end.
    pub(crate) async fn run(&self, activities: &Value) -> Ran {
        self.run_again(&Arc::new(Memory::new()), activities, None).await
    }

    /// Runs activities in this store.
    pub(crate) async fn run_in(&self, store: Arc<Memory>, activities: &Value) -> Ran {
        self.run_again(&store, activities, None).await
    }

    /// Runs activities to their end, with the options of earlier runs.
    pub(crate) async fn run_again(&self, store: &Arc<Memory>, activities: &Value, backfill: Option<Backfill>) -> Ran {
        let store = Arc::clone(store);
        let engine = self.engine(Arc::<Memory>::clone(&store));
        let (id, driven) = match engine.start_with("test.json", &workflow(activities), Vars::new(), backfill).await {
            Ok(started) => started,
            Err(NotStarted::Problems(problems)) => panic!("{problems:#?}"),
            Err(NotStarted::Failure(failure)) => panic!("{failure}"),
        };
        self.ran(&engine, store, id, &driven).await
    }

    /// Resumes a run with variables, in a new process.
    pub(crate) async fn resume(&self, ran: &Ran, vars: Vars) -> Ran {
        let store = Arc::new(ran.store.reopened());
        let engine = self.engine(Arc::<Memory>::clone(&store));
        let driven = engine.resume_with(&ran.id, vars).await.unwrap();
        self.ran(&engine, store, ran.id.clone(), &driven).await
    }

    /// Starts anew what a run began with, in a new process.
    pub(crate) async fn restart(&self, ran: &Ran) -> Ran {
        let store = Arc::new(ran.store.reopened());
        let engine = self.engine(Arc::<Memory>::clone(&store));
        let (id, driven) = engine.restart(&ran.id, false).await.unwrap();
        self.ran(&engine, store, id, &driven).await
    }

    /// Sends records to an activity again, as the run was that refused them, in a new process.
    pub(crate) async fn enter(&self, ran: &Ran, activity: &str) -> Ran {
        let store = Arc::new(ran.store.reopened());
        let engine = self.engine(Arc::<Memory>::clone(&store));
        let entering = Entering { activity: activity.to_owned(), records: Vec::new(), rejects: Vec::new() };
        let (id, driven) = engine.enter(&ran.id, Vars::new(), entering).await.unwrap();
        self.ran(&engine, store, id, &driven).await
    }

    /// Runs activities until `killed`, and leaves the run as a process does that ends there.
    pub(crate) async fn run_until(&self, activities: &Value, killed: impl Future<Output = ()>) -> Ran {
        let store = Arc::new(Memory::new());
        let engine = self.engine(Arc::<Memory>::clone(&store));
        let Ok((id, driven)) = engine.start("test.json", &workflow(activities), Vars::new()).await else {
            panic!("not started");
        };
        killed.await;
        driven.order(engine::driver::Order::Leave).await;
        self.ran(&engine, store, id, &driven).await
    }

    /// One life of a process: it begins the run or goes on with it, until it ends or is killed.
    pub(crate) async fn live(
        &self,
        store: &Arc<Memory>,
        id: Option<&RunId>,
        activities: &Value,
        killed: impl Future<Output = ()>,
    ) -> (Option<RunId>, Option<Ran>) {
        let engine = self.engine(Arc::<Memory>::clone(store));
        let (id, driven) = match id {
            None => match engine.start("test.json", &workflow(activities), Vars::new()).await {
                Ok((id, driven)) => (id, driven),
                Err(_) => return (None, None),
            },
            Some(id) => match engine.resume(id).await {
                Ok(driven) => (id.clone(), driven),
                Err(_) => return (Some(id.clone()), None),
            },
        };
        tokio::select! {
            () = killed => drop(driven.order(engine::driver::Order::Leave).await),
            _ = driven.wait() => {}
        }
        if driven.wait().await.is_err() {
            return (Some(id), None);
        }
        let ran = self.ran(&engine, Arc::clone(store), id.clone(), &driven).await;
        (Some(id), Some(ran))
    }

    async fn ran(&self, engine: &Engine, store: Arc<Memory>, id: RunId, driven: &Driven) -> Ran {
        let status = driven.wait().await.unwrap();
        let run = driven.journal.run().clone();
        Ran { run, status, folder: engine.environment.run_folder(&id), store, id, _world: Arc::clone(&self.folder) }
    }

    /// Runs activities in processes that end after `writes` more writes to the journal each, a second later, until one
    /// of them comes to the end.
    pub(crate) async fn run_dying(&self, activities: &Value, writes: u64) -> Ran {
        let mut store = Arc::new(Memory::failing_after(writes));
        let mut id = None;
        for life in 0..1000 {
            let engine = self.engine(Arc::<Memory>::clone(&store));
            let driven = match &id {
                None => {
                    engine.start("test.json", &workflow(activities), Vars::new()).await.ok().map(|(new, driven)| {
                        id = Some(new);
                        driven
                    })
                }
                Some(id) => engine.resume(id).await.ok(),
            };
            if let Some(driven) = driven
                && let Ok(status) = driven.wait().await
                && let Some(id) = &id
            {
                let run = driven.journal.run().clone();
                let folder = engine.environment.run_folder(id);
                let _world = Arc::clone(&self.folder);
                return Ran { run, status, folder, store, id: id.clone(), _world };
            }
            // One more each time, else it would begin the same work for ever.
            store = Arc::new(store.reopened_failing_after(writes + life));
            self.clock.0.fetch_add(1, Ordering::SeqCst);
        }
        panic!("it does not end");
    }

    /// The problems of activities, as `pointer: message (help)`.
    pub(crate) async fn problems(&self, activities: &Value) -> Vec<String> {
        let engine = self.engine(Arc::new(Memory::new()));
        let (_, findings) = engine.check("test.json", "test", &workflow(activities), Ask::Refresh).await;
        let problems = findings.problems.iter().map(|problem| {
            let help = problem.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{}: {}{help}", problem.pointer.trim_start_matches("/activities/"), problem.message)
        });
        problems.collect()
    }

    /// The risks of activities, as `pointer: code`.
    pub(crate) async fn risks(&self, activities: &Value) -> Vec<String> {
        let engine = self.engine(Arc::new(Memory::new()));
        let (_, findings) = engine.check("test.json", "test", &workflow(activities), Ask::Refresh).await;
        assert_eq!(findings.problems, []);
        let risks = findings.warnings.iter();
        risks.map(|risk| format!("{}: {}", risk.pointer.trim_start_matches("/activities/"), risk.code)).collect()
    }

    /// Rows of the database, their values joined by `|`.
    pub(crate) fn query(&self, sql: &str) -> Vec<String> {
        let connection = rusqlite::Connection::open(self.folder.path().join("marketing.db")).unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells = (0..columns).map(|column| {
                Ok(match row.get_ref(column)? {
                    rusqlite::types::ValueRef::Null => "∅".to_owned(),
                    rusqlite::types::ValueRef::Integer(int) => int.to_string(),
                    rusqlite::types::ValueRef::Real(real) => real.to_string(),
                    rusqlite::types::ValueRef::Text(text) | rusqlite::types::ValueRef::Blob(text) => {
                        String::from_utf8_lossy(text).into_owned()
                    }
                })
            });
            Ok(cells.collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    pub(crate) fn file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join("files").join(name)).ok()
    }
}

fn workflow(activities: &Value) -> String {
    json!({ "version": 1, "activities": activities }).to_string()
}

/// A run that came to an end.
pub(crate) struct Ran {
    pub(crate) run: Run,
    pub(crate) status: Status,
    pub(crate) store: Arc<Memory>,
    pub(crate) id: RunId,
    pub(crate) folder: PathBuf,
    /// Its files stay as long as they may be read.
    _world: Arc<tempfile::TempDir>,
}

impl Ran {
    pub(crate) fn task(&self, activity: &str) -> &engine::run::Task {
        self.run.tasks.iter().find(|task| task.activity == activity).unwrap()
    }

    pub(crate) fn tally(&self, activity: &str) -> &Tally {
        &self.task(activity).tally
    }

    pub(crate) fn failure(&self, activity: &str) -> String {
        let failure = self.task(activity).failure.clone().unwrap();
        assert_ne!(failure.class, Class::Internal, "{failure}");
        failure.to_string()
    }

    /// Records of a port, their values joined by `|`.
    pub(crate) async fn port(&self, activity: &str, port: &str) -> Vec<String> {
        let segments = self.task(activity).ports.get(port).cloned().unwrap_or_default();
        let mut batches = Population::new(&self.folder, segments).read();
        let mut rows = Vec::new();
        while let Some(batch) = batches.next().await {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let schema = batch.schema();
                let columns = schema.fields().iter().zip(batch.columns()).filter(|(field, _)| !is_hidden(field));
                let cells = columns.map(|(_, column)| match Cell::at(column, row) {
                    Cell::Null => "∅".to_owned(),
                    cell => cell.to_string(),
                });
                rows.push(cells.collect::<Vec<_>>().join("|"));
            }
        }
        rows
    }

    /// Of records of a port, which source records they are, and in which version.
    pub(crate) async fn versions(&self, activity: &str, port: &str) -> Vec<String> {
        let segments = self.task(activity).ports.get(port).cloned().unwrap_or_default();
        let mut batches = Population::new(&self.folder, segments).read();
        let mut found = Vec::new();
        while let Some(batch) = batches.next().await {
            let batch = batch.unwrap();
            let Some(versions) = Versions::of(&batch) else { continue };
            let Versions { account, object, .. } = &versions;
            found.extend((0..batch.num_rows()).map(|row| match versions.get(row) {
                Some((id, version)) => format!("{account} {object} {id} {version}"),
                None => "unknown".to_owned(),
            }));
        }
        found
    }

    /// How many records each batch of a port has.
    pub(crate) async fn batches(&self, activity: &str, port: &str) -> Vec<usize> {
        let segments = self.task(activity).ports.get(port).cloned().unwrap_or_default();
        let mut batches = Population::new(&self.folder, segments).read();
        let mut rows = Vec::new();
        while let Some(batch) = batches.next().await {
            rows.push(batch.unwrap().num_rows());
        }
        rows
    }

    /// The warnings in the journal.
    pub(crate) async fn warnings(&self) -> Vec<String> {
        let events = self.store.events(&self.id, 0, usize::MAX).await.unwrap();
        let warnings = events.into_iter().filter_map(|recorded| match recorded.event {
            Event::Logged { level: Level::Warning, message, .. } => Some(message),
            _ => None,
        });
        warnings.collect()
    }

    /// Files of the input of an activity that came out as they are.
    pub(crate) fn passed_on(&self, from: &str, activity: &str, port: &str) -> usize {
        let before = &self.task(from).ports["ok"];
        self.task(activity).ports[port].iter().filter(|segment| segment.rows > 0 && before.contains(segment)).count()
    }
}
