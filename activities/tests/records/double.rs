//! A CRM in memory that does what a test tells it, and counts what is asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::json::ReaderBuilder;
use async_trait::async_trait;
use engine::failure::{Class, Failure};
use engine::outside::crm::{
    Crm, Cursor, Deleted, DeletedPage, DeletedSpan, FieldKind, Misfit, Object, ObjectField, ObjectName, Page, Query,
    Range, Read, ReadDeleted, Step, System, Versions,
};
use engine::problem::suggestion;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) static SYSTEM: System = System {
    name: "Double",
    index_fields: &["modified"],
    changed_by: "",
    client_ids: true,
    query_all: Some("isdeleted"),
    change_feed: true,
    new_feed: "switch its feed on",
    new_log: "switch its log on",
    untimed_deletions: "",
    new_key: "",
};

/// Keeps a log of deletions, and has no feed.
pub(crate) static LOGGING: System = System {
    name: "Logging",
    index_fields: &["modified"],
    changed_by: "",
    client_ids: true,
    query_all: None,
    change_feed: false,
    new_feed: "",
    new_log: "",
    untimed_deletions: "",
    new_key: "",
};

/// What it has, and what it is told to do.
#[derive(Default)]
pub(crate) struct State {
    /// By id: the fields, and `version`.
    pub(crate) records: BTreeMap<String, Value>,
    pub(crate) now: Option<Timestamp>,
    /// Records of a page.
    pub(crate) page: usize,
    /// Pages that come before the CRM loses its place, once each.
    pub(crate) lose: Vec<usize>,
    /// The first values of ranges after the first one.
    pub(crate) ranges: Vec<String>,
    /// Bytes of a cursor.
    pub(crate) cursor_bytes: usize,
    /// The feed: what happened to which id, each at its number from 1.
    pub(crate) changes: Vec<(String, bool)>,
    /// Places of the feed before this one are no longer known.
    pub(crate) oldest: usize,
    /// Deletions and their times.
    pub(crate) deleted: Vec<(String, Timestamp)>,
    /// Whether deletions are logged, where no feed is kept.
    pub(crate) deletion_log: Option<bool>,
    /// The log goes back so far.
    pub(crate) log_from: Option<Timestamp>,
    /// Up to when the log and the feed are complete.
    pub(crate) covered: Option<Timestamp>,
    /// What was asked.
    pub(crate) asked: Vec<String>,
    pages: usize,
}

#[derive(Clone)]
pub(crate) struct Double {
    system: &'static System,
    state: Arc<Mutex<State>>,
}

impl Double {
    pub(crate) fn new(system: &'static System) -> Self {
        let state = State { page: 2, now: Some(at("10:00")), ..State::default() };
        Self { system, state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes or changes a record, at a time of the day.
    pub(crate) fn put(&self, id: &str, modified: &str, more: &Value) {
        let mut state = self.state();
        let mut record = json!({ "id": id, "modified": at(modified).to_string(), "isdeleted": false });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        state.changes.push((id.to_owned(), true));
        let version = state.changes.len();
        record["version"] = json!(version);
        state.records.insert(id.to_owned(), record);
    }

    pub(crate) fn delete(&self, id: &str) {
        let mut state = self.state();
        state.records.remove(id);
        state.changes.push((id.to_owned(), false));
    }

    pub(crate) fn asked(&self, what: &str) -> usize {
        self.state().asked.iter().filter(|asked| asked.starts_with(what)).count()
    }

    fn object() -> Object {
        let field = |name: &str, kind| (name.to_owned(), ObjectField::new(name, kind));
        let fields = [
            field("id", FieldKind::Text),
            field("name", FieldKind::Text),
            field("number", FieldKind::Int),
            field("modified", FieldKind::DateTime),
            field("isdeleted", FieldKind::Bool),
        ];
        Object {
            name: "people".to_owned(),
            label: "People".to_owned(),
            internal_name: "person".to_owned(),
            id: "id".to_owned(),
            fields: IndexMap::from(fields),
            keys: Vec::new(),
            feed: true,
            deletion_log: None,
        }
    }

    /// All that a reading brings, in order.
    fn all(state: &State, read: &Read) -> Vec<Value> {
        let time = |record: &Value| record["modified"].as_str().unwrap().parse::<Timestamp>().unwrap();
        let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
        let in_window = |record: &Value| {
            let Some(window) = &read.window else { return true };
            window.from.is_none_or(|from| from <= time(record)) && time(record) < window.to
        };
        let in_range = |record: &Value| {
            let Some(range) = &read.range else { return true };
            range.from.as_ref().is_none_or(|from| *from <= id(record))
                && range.to.as_ref().is_none_or(|to| id(record) < *to)
        };
        let since = read.feed.as_ref().and_then(|feed| feed.since.as_ref()).map_or(0, |since| since.parse().unwrap());
        let changed = |record: &Value| {
            let last = || state.changes.iter().rposition(|(changed, _)| *changed == id(record));
            read.feed.is_none() || last().is_some_and(|last| last + 1 > since)
        };
        let visible = |record: &Value| read.all || record["isdeleted"] != json!(true);
        let all = state.records.values().filter(|record| in_window(record) && in_range(record) && visible(record));
        let mut all: Vec<Value> = all.filter(|record| changed(record)).cloned().collect();
        if let Some(order) = read.order.first() {
            all.sort_by_key(|record| record[&order.field].to_string());
        }
        all
    }

    fn batch(read: &Read, records: &[Value]) -> RecordBatch {
        if records.is_empty() {
            return RecordBatch::new_empty(read.schema());
        }
        let mut decoder = ReaderBuilder::new(read.schema()).with_batch_size(records.len()).build_decoder().unwrap();
        decoder.serialize(records).unwrap();
        decoder.flush().unwrap().unwrap()
    }

    fn page(read: &Read, records: &[Value]) -> Page {
        let (bad, good): (Vec<Value>, Vec<Value>) =
            records.iter().cloned().partition(|record| record["number"].is_string());
        let misfit = |record: &Value| {
            let mut fits = record.clone();
            fits["number"] = Value::Null;
            let message = format!("{} is not a whole number", record["number"]);
            Misfit { record: Self::batch(read, &[fits]), field: "number".to_owned(), message }
        };
        Page {
            versions: Some(Versions {
                exact: good.iter().map(|record| Some(record["version"].to_string())).collect(),
                order: good.iter().map(|record| record["version"].as_i64()).collect(),
            }),
            rejects: bad.iter().map(misfit).collect(),
            ..Page::new(Self::batch(read, &good))
        }
    }

    /// The page after a cursor.
    fn next_page(&self, read: &Read, from: Option<&Cursor>) -> Result<Page, Failure> {
        let mut state = self.state();
        let after = from.map(|cursor| cursor.0["after"].as_u64().unwrap());
        let after = usize::try_from(after.unwrap_or(0)).unwrap();
        let range = read.range.as_ref().and_then(|range| range.from.clone()).unwrap_or_default();
        state.asked.push(format!("read {range}@{after}"));
        let since =
            read.feed.as_ref().and_then(|feed| feed.since.as_ref()).map(|since| since.parse::<usize>().unwrap());
        if since.is_some_and(|since| since < state.oldest) {
            return Err(Failure::new(Class::CursorLost, "the version stamp has expired"));
        }
        state.pages += 1;
        if after > 0 && state.lose.first().is_some_and(|lose| *lose < state.pages) {
            state.lose.remove(0);
            return Err(Failure::new(Class::CursorLost, "the query locator is gone"));
        }
        let all = Self::all(&state, read);
        let to = (after + state.page).min(all.len());
        let mut page = Self::page(read, &all[after.min(to)..to]);
        if to < all.len() {
            page.next = Some(Cursor(json!({ "after": to, "x": "x".repeat(state.cursor_bytes) })));
        } else if read.feed.is_some() {
            let changes = state.changes.iter().skip(since.unwrap_or(state.changes.len()));
            page.deleted =
                changes.filter(|(_, there)| !there).map(|(id, _)| Deleted { id: id.clone(), at: None }).collect();
            page.feed = Some(state.changes.len().to_string());
            page.covered = state.covered;
        }
        Ok(page)
    }
}

#[async_trait]
impl Crm for Double {
    fn system(&self) -> &'static System {
        self.system
    }

    async fn now(&self) -> Result<Timestamp, Failure> {
        Ok(self.state().now.unwrap())
    }

    async fn objects(&self) -> Result<Vec<ObjectName>, Failure> {
        Ok(Vec::new())
    }

    async fn describe(&self, _: &str) -> Result<Object, Failure> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.asked.push("describe".to_owned());
        let deletion_log = state.deletion_log;
        Ok(Object { feed: deletion_log.is_none(), deletion_log, ..Self::object() })
    }

    async fn describe_path(&self, _: &Object, path: &str) -> Result<ObjectField, Failure> {
        match path {
            "account.label" => Ok(ObjectField::new(path, FieldKind::Text)),
            _ => {
                let failure = Failure::new(Class::Config, format!("people lead to no field {path}"));
                Err(failure.help(suggestion(path, ["account.label"]).unwrap_or_default()))
            }
        }
    }

    fn query(&self, _: &Read) -> Result<Query, Failure> {
        Ok(Query { text: String::new(), filter: None, exact: true })
    }

    async fn count(&self, _: &Read) -> Result<Option<u64>, Failure> {
        Ok(Some(self.state().records.len() as u64))
    }

    async fn ranges(&self, _: &Read, at_most: usize) -> Result<Vec<Range>, Failure> {
        let mut state = self.state();
        state.asked.push("ranges".to_owned());
        let firsts: Vec<String> = state.ranges.iter().take(at_most.saturating_sub(1)).cloned().collect();
        if firsts.is_empty() {
            return Ok(Vec::new());
        }
        let from = std::iter::once(None).chain(firsts.iter().cloned().map(Some));
        let to = firsts.iter().cloned().map(Some).chain([None]);
        Ok(from.zip(to).map(|(from, to)| Range { field: "id".to_owned(), from, to }).collect())
    }

    fn read(&self, read: Arc<Read>, from: Option<Cursor>) -> BoxStream<'static, Result<Page, Failure>> {
        let begin = (self.clone(), read, Some(from));
        stream::unfold(begin, |(double, read, from)| async move {
            let from = from?;
            tokio::task::yield_now().await;
            let page = double.next_page(&read, from.as_ref());
            let next = page.as_ref().ok().and_then(|page| page.next.clone()).map(Some);
            Some((page, (double, read, next)))
        })
        .boxed()
    }

    async fn fetch(&self, read: &Read, key: &str, values: &[String]) -> Result<Page, Failure> {
        assert_eq!(key, "id");
        let mut state = self.state();
        state.asked.extend(values.iter().map(|id| format!("fetch {id}")));
        let records: Vec<Value> = values.iter().filter_map(|id| state.records.get(id)).cloned().collect();
        Ok(Self::page(read, &records))
    }

    fn key(&self, _: &Object, _: &str, value: &str) -> Result<String, String> {
        match value.starts_with(['p', 'P']) {
            true => Ok(value.to_lowercase()),
            false => Err("it does not begin with p".to_owned()),
        }
    }

    fn deleted(
        &self,
        read: Arc<ReadDeleted>,
        from: Option<Cursor>,
    ) -> BoxStream<'static, Result<DeletedPage, Failure>> {
        let mut state = self.state();
        state.asked.push("deleted".to_owned());
        let (first, last) = match &read.span {
            DeletedSpan::Period { from, to } => (Some(*from), *to),
            DeletedSpan::Since { from, .. } => (*from, Timestamp::MAX),
        };
        if let (Some(first), Some(log_from)) = (first, state.log_from)
            && first < log_from
        {
            let message = format!("startDate before org replication enabled date; the log begins at {log_from}");
            return stream::once(async { Err(Failure::new(Class::CursorLost, message)) }).boxed();
        }
        // As systems that look at whole minutes, it tells a little more than it was asked for.
        let first = first.map(|first| first - jiff::SignedDuration::from_secs(60));
        let told = state.deleted.iter().filter(|(_, at)| first.is_none_or(|first| first <= *at) && *at <= last);
        let records: Vec<Deleted> = told.map(|(id, at)| Deleted { id: id.clone(), at: Some(*at) }).collect();
        let after = usize::try_from(from.map_or(0, |from| from.0["after"].as_u64().unwrap())).unwrap();
        let page = state.page;
        let covered = state.covered;
        let pages: Vec<Result<DeletedPage, Failure>> = (after..records.len().max(after + 1))
            .step_by(page)
            .map(|at| {
                let to = (at + page).min(records.len());
                let next = (to < records.len()).then(|| Cursor(json!({ "after": to })));
                let covered = covered.filter(|_| next.is_none());
                Ok(DeletedPage { records: records[at.min(to)..to].to_vec(), next, covered, feed: None })
            })
            .collect();
        stream::iter(pages).boxed()
    }

    async fn test(&self) -> Vec<Step> {
        Vec::new()
    }
}

/// A time of the day of all tests: `10:00`.
pub(crate) fn at(time: &str) -> Timestamp {
    let seconds = if time.len() == 5 { ":00" } else { "" };
    format!("2026-03-03T{time}{seconds}Z").parse().unwrap()
}

/// How often each value comes.
pub(crate) fn counted(rows: &[String]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for row in rows {
        *counts.entry(row.as_str()).or_default() += 1;
    }
    counts
}
