//! A few activities of the tests' own, and an outside without CRM and database.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Effect, Flow, Port, Spec};
use engine::context::Cx;
use engine::describe::Descriptions;
use engine::environment::{Environment, Limits};
use engine::event::IndexWindow;
use engine::failure::{Class, Failure};
use engine::flow::FlowCx;
use engine::outside::alerts::Alerts;
use engine::outside::clock::Clock;
use engine::outside::database::{Database, LedgerKey, Lookup, Matches, Scan, Scanned, Table, Write, Written};
use engine::outside::store::Store;
use engine::population::Population;
use engine::private::Access;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use store::{SqliteDesk, SqliteMemory};

/// Brings the numbers below `count`, ten a batch, each with a place to go on from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Numbers {
    count: i64,
    #[serde(default)]
    index: Option<String>,
    /// So many tasks fail once they have brought all.
    #[serde(default)]
    fails: u32,
}

fn columns() -> Columns {
    Columns::Known(Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)])))
}

#[async_trait]
impl Activity for Numbers {
    fn flow(&self, _: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), columns())])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let mut from = cx.position::<i64>()?.unwrap_or(0);
        if let Some(option) = &self.index
            && from == 0
        {
            let before = cx.option(option).await?.map(|option| option.value);
            let window = IndexWindow { option: option.clone(), before, after: "after".to_owned(), scope: None };
            cx.open_window(window).await?;
        }
        // What a loop leads back to it is not used.
        if let Some(rows) = cx.input().map(Population::rows).filter(|_| from == 0) {
            cx.dropped("inbound", rows);
        }
        cx.set_var("count", self.count);
        while from < self.count {
            let to = (from + 10).min(self.count);
            let numbers = Int64Array::from_iter_values(from..to);
            cx.tally().added += u64::try_from(to - from).unwrap();
            cx.write("ok", RecordBatch::try_from_iter([("n", Arc::new(numbers) as _)]).unwrap()).await;
            from = to;
            cx.seal(&from).await?;
        }
        if cx.task <= self.fails {
            return Err(Failure::new(Class::Transient, "not yet"));
        }
        Ok(())
    }
}

/// Notes every number that comes, once a task is done, and fails as often as it is told to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    /// The name under which it counts.
    name: String,
    #[serde(default)]
    fails: u32,
}

/// What the notes of a test saw: how often each name ran, and the numbers of its last success.
pub(crate) type Seen = BTreeMap<String, (u32, Vec<i64>)>;
pub(crate) static SEEN: Mutex<BTreeMap<String, Seen>> = Mutex::new(BTreeMap::new());

#[async_trait]
impl Activity for Note {
    fn flow(&self, input: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), input.clone())])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let mut numbers = Vec::new();
        if let Some(input) = cx.input() {
            let mut batches = input.read();
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let column = batch.column_by_name("n").unwrap().as_any().downcast_ref::<Int64Array>().unwrap();
                numbers.extend(column.values());
            }
        }
        let test = cx.data_folder().display().to_string();
        let times = {
            let mut seen = SEEN.lock().unwrap();
            let (times, last) = seen.entry(test).or_default().entry(self.name.clone()).or_default();
            *times += 1;
            *last = numbers;
            *times
        };
        if times <= self.fails {
            return Err(Failure::new(Class::Transient, "not yet"));
        }
        cx.pass_input_on("ok");
        Ok(())
    }
}

/// Passes on what came, as a loop's bound.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pass {}

#[async_trait]
impl Activity for Pass {
    fn flow(&self, input: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), input.clone())])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        cx.pass_input_on("ok");
        Ok(())
    }
}

/// Loses a record, which the engine must notice.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lose {}

#[async_trait]
impl Activity for Lose {
    fn flow(&self, input: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), input.clone())])
    }

    async fn run(&self, _: &mut Cx) -> Result<(), Failure> {
        Ok(())
    }
}

/// Cannot do without records.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Needy {}

#[async_trait]
impl Activity for Needy {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        if *input == Columns::None {
            cx.problem("", "no-records", "no records come", None);
        }
        Flow::from([("ok".to_owned(), input.clone())])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        cx.pass_input_on("ok");
        Ok(())
    }
}

/// Passes on what came so many times, with a place to go on from of so many bytes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spread {
    times: u64,
    position: usize,
}

#[async_trait]
impl Activity for Spread {
    fn flow(&self, input: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), input.clone())])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let rows = cx.input().unwrap().rows();
        cx.tally().added += rows * (self.times - 1);
        for _ in 0..self.times {
            cx.pass_input_on("ok");
        }
        cx.seal(&"x".repeat(self.position)).await
    }
}

/// Passes on what came, once it has waited.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rest {
    seconds: i64,
}

#[async_trait]
impl Activity for Rest {
    fn flow(&self, input: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), input.clone())])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        if cx.has_waited() {
            cx.pass_input_on("ok");
        } else {
            cx.wait_until(cx.clock().now() + SignedDuration::from_secs(self.seconds));
        }
        Ok(())
    }
}

/// Never ends by itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forever {}

#[async_trait]
impl Activity for Forever {
    fn flow(&self, _: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), Columns::None)])
    }

    async fn run(&self, _: &mut Cx) -> Result<(), Failure> {
        std::future::pending().await
    }
}

/// Stops all else.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Halt {}

#[async_trait]
impl Activity for Halt {
    fn flow(&self, _: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), Columns::None)])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        cx.stop_all();
        cx.pass_input_on("ok");
        Ok(())
    }
}

/// Writes what came to a system that has it once it was sent, as an export does: what its temp folder has is not sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Send {}

#[async_trait]
impl Activity for Send {
    fn flow(&self, input: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), input.clone())])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let sent = cx.temp_folder()?.join("sent");
        if !sent.exists() {
            std::fs::write(sent, "").unwrap();
            let test = cx.data_folder().display().to_string();
            SEEN.lock().unwrap().entry(test).or_default().entry("sent".to_owned()).or_default().0 += 1;
        }
        cx.pass_input_on("ok");
        Ok(())
    }
}

/// Refuses a number, in some of its tasks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refuse {
    /// The name under which it counts.
    name: String,
    number: i64,
    /// Its tasks that do, counted from 1 over all runs.
    tasks: Vec<u32>,
}

#[async_trait]
impl Activity for Refuse {
    fn flow(&self, input: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), input.clone()), ("reject".to_owned(), Columns::Unknown)])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let test = cx.data_folder().display().to_string();
        let task = {
            let mut seen = SEEN.lock().unwrap();
            let (tasks, _) = seen.entry(test).or_default().entry(self.name.clone()).or_default();
            *tasks += 1;
            *tasks
        };
        let mut batches = cx.input().unwrap().read();
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let numbers = batch.column_by_name("n").unwrap().as_primitive::<Int64Type>();
            let refuses = self.tasks.contains(&task);
            let refused: BooleanArray = numbers.iter().map(|n| Some(refuses && n == Some(self.number))).collect();
            let rest = not(&refused).unwrap();
            cx.write("ok", filter_record_batch(&batch, &rest).unwrap()).await;
            let refused = filter_record_batch(&batch, &refused).unwrap();
            if refused.num_rows() > 0 {
                let codes: StringArray = (0..refused.num_rows()).map(|_| Some("NO")).collect();
                let (schema, mut columns, _) = refused.into_parts();
                columns.push(Arc::new(codes));
                let code = Arc::new(Field::new("errorCode", DataType::Utf8, true));
                let fields: Vec<_> = schema.fields().iter().cloned().chain([code]).collect();
                cx.write("reject", RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()).await;
            }
        }
        Ok(())
    }
}

static NUMBERS: Spec = Spec {
    kind: "numbers",
    inbound: true,
    ports: &[Port::always("ok")],
    drops: &[("inbound", "what a loop leads back to it")],
    ..Spec::of::<Numbers>()
};
static NOTE: Spec = Spec { kind: "note", ports: &[Port::always("ok")], ..Spec::of::<Note>() };
static PASS: Spec = Spec { kind: "pass", ports: &[Port::always("ok")], ..Spec::of::<Pass>() };
static NEEDY: Spec = Spec { kind: "needy", ports: &[Port::always("ok")], ..Spec::of::<Needy>() };
static LOSE: Spec = Spec { kind: "lose", ports: &[Port::always("ok")], ..Spec::of::<Lose>() };

static SPREAD: Spec = Spec { kind: "spread", ports: &[Port::always("ok")], ..Spec::of::<Spread>() };
static FOREVER: Spec = Spec { kind: "forever", inbound: true, ports: &[Port::always("ok")], ..Spec::of::<Forever>() };
static REST: Spec = Spec { kind: "rest", ports: &[Port::always("ok")], ..Spec::of::<Rest>() };
static HALT: Spec = Spec { kind: "halt", ports: &[Port::always("ok")], ..Spec::of::<Halt>() };
static SEND: Spec = Spec { kind: "send", effect: Effect::Writes, ports: &[Port::always("ok")], ..Spec::of::<Send>() };
static REFUSE: Spec =
    Spec { kind: "refuse", ports: &[Port::always("ok"), Port::with_records("reject")], ..Spec::of::<Refuse>() };

pub(crate) static PALETTE: &[&Spec] =
    &[&NUMBERS, &NOTE, &PASS, &LOSE, &NEEDY, &FOREVER, &HALT, &SEND, &REFUSE, &SPREAD, &REST];

/// A clock that jumps to whatever is waited for; what is more than a day away does not come.
#[derive(Debug)]
pub(crate) struct Jump(AtomicI64);

#[async_trait]
impl Clock for Jump {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }

    async fn sleep_until(&self, until: Timestamp) {
        if until.duration_since(self.now()) > SignedDuration::from_hours(24) {
            return std::future::pending().await;
        }
        self.0.fetch_max(until.as_second(), Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

/// No database; it tells which ledgers it was to forget.
struct Nothing {
    test: String,
}

/// The ledgers that the database of a test was told to forget.
pub(crate) static FORGOTTEN: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());

#[async_trait]
impl Database for Nothing {
    async fn tables(&self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    async fn table(&self, name: &str) -> Result<Table, Failure> {
        Err(Failure::new(Class::Config, format!("there is no table {name}")))
    }

    async fn lookup(&self, _: &Lookup, _: RecordBatch) -> Result<Matches, Failure> {
        Err(Failure::new(Class::Config, "there is no database"))
    }

    async fn read(&self, _: &Scan, _: Option<Value>) -> Result<Scanned, Failure> {
        Err(Failure::new(Class::Config, "there is no database"))
    }

    async fn write(&self, _: &LedgerKey, _: &Write, _: RecordBatch) -> Result<Written, Failure> {
        Err(Failure::new(Class::Config, "there is no database"))
    }

    async fn forget(&self, task: &str) -> Result<(), Failure> {
        FORGOTTEN.lock().unwrap().entry(self.test.clone()).or_default().push(task.to_owned());
        Ok(())
    }
}

pub(crate) fn environment(store: Arc<dyn Store>, folder: &Path, alerts: Arc<dyn Alerts>) -> Arc<Environment> {
    Arc::new(Environment {
        store,
        desk: Arc::new(SqliteDesk::new(folder)),
        memory: Arc::new(SqliteMemory::new(folder)),
        alerts,
        clock: Arc::new(Jump(AtomicI64::new(1_000_000))),
        database: Arc::new(Nothing { test: folder.display().to_string() }),
        accounts: BTreeMap::new(),
        descriptions: Descriptions::new(folder),
        palette: PALETTE,
        folder: folder.to_owned(),
        files: folder.join("files"),
        files_access: Access::default(),
        library: Vec::new(),
        limits: Limits::default(),
        compared: Default::default(),
    })
}
