//! A CRM in memory: its own table, its own rules, and faults as a test scripts them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::json::ReaderBuilder;
use async_trait::async_trait;
use bytes::Bytes;
use engine::expr::Value as Cell;
use engine::failure::{Class, Failure};
use engine::outside::crm::{
    Batch, Crm, Cursor, FieldKind, Object, ObjectField, ObjectKey, ObjectName, Operation, Outcome, Page, Payload,
    Query, Read, Step, System, Target, What, Write, WritePlan,
};
use engine::reject::Reject;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

/// The longest last name.
const NAME_MAX: usize = 50;

static CHOOSING: System = System {
    name: "Choosing",
    index_fields: &[],
    changed_by: "",
    client_ids: true,
    query_all: None,
    change_feed: false,
    new_feed: "",
    new_log: "",
    untimed_deletions: "",
    new_key: "another is made in Keys",
};
static NUMBERING: System = System {
    name: "Numbering",
    index_fields: &[],
    changed_by: "",
    client_ids: false,
    query_all: None,
    change_feed: false,
    new_feed: "",
    new_log: "",
    untimed_deletions: "",
    new_key: "",
};

/// What happens to one call of `send`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is cut before the CRM has it.
    CutBefore,
    /// Or after it committed, before its reply.
    CutAfter,
    /// The process dies before the CRM has it.
    DieBefore,
    /// Or after it committed.
    DieAfter,
    /// The CRM has no time.
    Busy,
    /// It takes so many milliseconds.
    Slow(u64),
    /// It does not allow it.
    Forbidden,
}

/// A change, as the CRM itself lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) what: &'static str,
    pub(crate) id: String,
    pub(crate) fields: Vec<String>,
}

/// A CRM with one object, `contacts`.
pub(crate) struct Double {
    system: &'static System,
    table: Mutex<BTreeMap<String, Map<String, Value>>>,
    pub(crate) log: Mutex<Vec<Change>>,
    /// What happens to each call of `send`, by its number from 0.
    pub(crate) faults: Mutex<BTreeMap<u64, Fault>>,
    pub(crate) sends: AtomicU64,
    /// Told when the process is to die.
    pub(crate) dying: Notify,
    pub(crate) lanes: usize,
    pub(crate) records_max: usize,
    /// When the first record was encoded.
    pub(crate) began: Mutex<Option<Instant>>,
    encodes: AtomicU64,
    /// The call of `encode` that fails, from 0.
    pub(crate) encode_fails: Option<u64>,
    /// How long each takes.
    pub(crate) encode_takes: Duration,
    numbers: AtomicU64,
    /// The most sends that were under way at once.
    under_way: AtomicU64,
    pub(crate) at_once: AtomicU64,
}

/// The id of a contact of the scenarios.
pub(crate) fn contact(number: u32) -> String {
    format!("c0000000-0000-4000-8000-{number:012}")
}

impl Double {
    /// One that takes ids that we choose.
    pub(crate) fn choosing() -> Self {
        Self::new(&CHOOSING)
    }

    /// One that gives new records their ids itself.
    pub(crate) fn numbering() -> Self {
        Self::new(&NUMBERING)
    }

    fn new(system: &'static System) -> Self {
        Self {
            system,
            table: Mutex::default(),
            log: Mutex::default(),
            faults: Mutex::default(),
            sends: AtomicU64::new(0),
            dying: Notify::new(),
            lanes: 1,
            records_max: 1000,
            began: Mutex::default(),
            encodes: AtomicU64::new(0),
            encode_fails: None,
            encode_takes: Duration::ZERO,
            numbers: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            at_once: AtomicU64::new(0),
        }
    }

    pub(crate) fn with(self, contacts: &[(u32, &str)]) -> Self {
        let mut table = self.table.lock().unwrap();
        for (number, name) in contacts {
            let id = contact(*number);
            let record = json!({ "contactid": id, "lastname": name });
            table.insert(id, record.as_object().unwrap().clone());
        }
        drop(table);
        self
    }

    pub(crate) fn fault(self, send: u64, fault: Fault) -> Self {
        self.faults.lock().unwrap().insert(send, fault);
        self
    }

    /// Values of a field of all records.
    pub(crate) fn all(&self, field: &str) -> Vec<Value> {
        self.table.lock().unwrap().values().map(|record| record.get(field).cloned().unwrap_or_default()).collect()
    }

    /// The change log as `what id fields`.
    pub(crate) fn changes(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter().map(|Change { what, id, fields }| format!("{what} {id} {}", fields.join(","))).collect()
    }

    fn commit(&self, batch: &Batch<'_>) -> Vec<Outcome> {
        let mut table = self.table.lock().unwrap();
        let mut log = self.log.lock().unwrap();
        let one = |payload: &Bytes| {
            let mut record: Map<String, Value> = serde_json::from_slice(payload).unwrap();
            let id = record.get("contactid").and_then(Value::as_str).map(str::to_lowercase);
            let name = record.get("lastname").and_then(Value::as_str).unwrap_or_default();
            if name.chars().count() > NAME_MAX {
                return Outcome::Refused(Reject::new("0x80044331", "lastname is too long").field("lastname"));
            }
            if record.get("emailaddress1").and_then(Value::as_str) == Some("duplicate@example.com") {
                return Outcome::Refused(Reject::new("0x80040333", "a duplicate was found"));
            }
            let fields: Vec<String> = record.keys().filter(|name| *name != "contactid").cloned().collect();
            let find = |table: &BTreeMap<String, Map<String, Value>>| match batch.write.key.as_slice() {
                [key] if key != "contactid" => {
                    let found = table.iter().find(|(_, there)| there.get(key) == record.get(key));
                    found.map(|(id, _)| id.clone())
                }
                _ => id.clone().filter(|id| table.contains_key(id)),
            };
            let there = find(&table);
            let (what, word, id) = match (batch.write.operation, there) {
                (Operation::Delete, Some(id)) => {
                    table.remove(&id);
                    log.push(Change { what: "delete", id: id.clone(), fields: Vec::new() });
                    return Outcome::Done { id, what: What::Deleted };
                }
                (Operation::Delete, None) => {
                    return Outcome::Done { id: id.unwrap_or_default(), what: What::Absent };
                }
                // A record with an id that we chose is ours: it was made before.
                (Operation::Insert, Some(id)) if batch.write.chosen_ids => {
                    return Outcome::Done { id, what: What::Created };
                }
                (Operation::Insert, Some(_)) => {
                    return Outcome::Refused(Reject::new("0x80040237", "there is such a record"));
                }
                (Operation::Update, None) => {
                    return Outcome::Refused(Reject::new("0x80040217", "contact does not exist"));
                }
                (Operation::Update | Operation::Upsert, Some(id)) => (What::Updated, "update", id),
                (Operation::Insert | Operation::Upsert, None) => {
                    let next = || format!("{:018}", self.numbers.fetch_add(1, Ordering::SeqCst));
                    (What::Created, "create", id.unwrap_or_else(next))
                }
            };
            record.insert("contactid".to_owned(), id.clone().into());
            table.entry(id.clone()).or_default().extend(record);
            log.push(Change { what: word, id: id.clone(), fields });
            Outcome::Done { id, what }
        };
        batch.payloads.iter().map(one).collect()
    }
}

#[async_trait]
impl Crm for Double {
    fn system(&self) -> &'static System {
        self.system
    }

    async fn now(&self) -> Result<Timestamp, Failure> {
        Ok(Timestamp::UNIX_EPOCH)
    }

    async fn objects(&self) -> Result<Vec<ObjectName>, Failure> {
        Ok(Vec::new())
    }

    async fn describe(&self, object: &str) -> Result<Object, Failure> {
        let field = |name: &str, kind| ObjectField { system_type: format!("{kind:?}"), ..ObjectField::new(name, kind) };
        let read_only = |field: ObjectField| ObjectField { creatable: false, updatable: false, ..field };
        let target = |name: &str| Target {
            object: name[..name.len() - 1].to_owned(),
            name: name.to_owned(),
            path: String::new(),
        };
        let fields = [
            ObjectField { updatable: false, ..field("contactid", FieldKind::Text) },
            ObjectField { required: true, length: Some(50), ..field("lastname", FieldKind::Text) },
            field("emailaddress1", FieldKind::Text),
            field("birthdate", FieldKind::Date),
            field("lastonholdtime", FieldKind::DateTime),
            ObjectField { min: Some(0.0), max: Some(100.0), ..field("new_number", FieldKind::Int) },
            ObjectField {
                targets: vec![Target { path: "account".to_owned(), ..target("accounts") }],
                ..field("accountid", FieldKind::Lookup)
            },
            ObjectField {
                targets: vec![target("accounts"), target("contacts")],
                ..field("parentcustomerid", FieldKind::Lookup)
            },
            read_only(field("fullname", FieldKind::Text)),
            ObjectField {
                options: [("Web".to_owned(), "Web".to_owned())].into(),
                ..field("source", FieldKind::TextPicklist)
            },
            ObjectField {
                creatable: false,
                options: [("0", "Active"), ("1", "Inactive")].map(|(n, label)| (n.to_owned(), label.to_owned())).into(),
                ..field("statecode", FieldKind::Picklist)
            },
        ];
        let key = |name: &str, unusable: Option<&str>| ObjectKey {
            name: format!("key_{name}"),
            fields: vec![name.to_owned()],
            unusable: unusable.map(str::to_owned),
        };
        Ok(Object {
            name: object.to_owned(),
            label: object.to_owned(),
            internal_name: "contact".to_owned(),
            id: "contactid".to_owned(),
            fields: fields.into_iter().map(|field| (field.name.clone(), field)).collect(),
            keys: vec![
                key("emailaddress1", None),
                key("new_number", Some("its index is being built: wait until it is")),
            ],
            feed: false,
            deletion_log: None,
        })
    }

    async fn describe_path(&self, _: &Object, path: &str) -> Result<ObjectField, Failure> {
        let field = ObjectField::new(path, FieldKind::Text);
        match path {
            "account.number" | "account.code" => Ok(field),
            "account.name" => Ok(ObjectField { creatable: false, updatable: false, ..field }),
            _ => Err(Failure::new(Class::Config, format!("nothing leads to {path}"))),
        }
    }

    fn query(&self, _: &Read) -> Result<Query, Failure> {
        Ok(Query { text: String::new(), filter: None, exact: true })
    }

    fn read(&self, _: Arc<Read>, _: Option<Cursor>) -> BoxStream<'static, Result<Page, Failure>> {
        stream::empty().boxed()
    }

    async fn fetch(&self, read: &Read, key: &str, values: &[String]) -> Result<Page, Failure> {
        let table = self.table.lock().unwrap();
        let is_wanted = |record: &&Map<String, Value>| {
            record.get(key).and_then(Value::as_str).is_some_and(|value| values.iter().any(|wanted| wanted == value))
        };
        let found: Vec<Value> = table.values().filter(is_wanted).cloned().map(Value::Object).collect();
        let mut decoder = ReaderBuilder::new(read.schema()).build_decoder().unwrap();
        decoder.serialize(&found).unwrap();
        let records = decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(read.schema()));
        Ok(Page::new(records))
    }

    fn key(&self, object: &Object, field: &str, value: &str) -> Result<String, String> {
        if field != object.id {
            return Ok(value.to_lowercase());
        }
        let is_id = value.len() == 36 && value.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
        if is_id { Ok(value.to_lowercase()) } else { Err(format!("\"{value}\" is no id")) }
    }

    fn write_plan(&self, write: &Write, _: u64) -> Result<WritePlan, Failure> {
        Ok(WritePlan {
            method: "one".to_owned(),
            records_max: write.batch_max.unwrap_or(self.records_max),
            bytes_max: 10_000_000,
            at_once: write.at_once_max.unwrap_or(self.lanes),
        })
    }

    fn encode(&self, _: &Write, _: &WritePlan, records: &RecordBatch) -> Result<Vec<Result<Payload, Reject>>, Failure> {
        self.began.lock().unwrap().get_or_insert_with(Instant::now);
        std::thread::sleep(self.encode_takes);
        let call = Some(self.encodes.fetch_add(1, Ordering::SeqCst));
        if call == self.encode_fails {
            return Err(Failure::new(Class::Transient, "this call fails"));
        }
        let schema = records.schema();
        let one = |row| {
            let columns = schema.fields().iter().zip(records.columns());
            let record: Map<String, Value> =
                columns.map(|(field, column)| (field.name().clone(), Cell::at(column, row).to_json())).collect();
            let key = record.get("contactid").and_then(Value::as_str).map(str::to_owned);
            Ok(Payload { key, bytes: serde_json::to_vec(&record).unwrap().into() })
        };
        Ok((0..records.num_rows()).map(one).collect())
    }

    async fn send(&self, batch: Batch<'_>) -> Result<Vec<Outcome>, Failure> {
        let fault = self.faults.lock().unwrap().remove(&self.sends.fetch_add(1, Ordering::SeqCst));
        self.at_once.fetch_max(self.under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let sent = self.sent(batch, fault).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        sent
    }

    async fn test(&self) -> Vec<Step> {
        Vec::new()
    }
}

impl Double {
    async fn sent(&self, batch: Batch<'_>, fault: Option<Fault>) -> Result<Vec<Outcome>, Failure> {
        let in_doubt = || Err(Failure::new(Class::InDoubt, "the connection was cut"));
        match fault {
            Some(Fault::Forbidden) => return Err(Failure::new(Class::Config, "not allowed")),
            Some(Fault::Busy) => return Err(Failure::new(Class::Transient, "no time")),
            Some(Fault::CutBefore) => return in_doubt(),
            Some(Fault::DieBefore) => return self.die().await,
            Some(Fault::Slow(milliseconds)) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
            Some(Fault::CutAfter | Fault::DieAfter) | None => {}
        }
        // Inserts without an id of ours have nothing by which a second one would be the first.
        if batch.again && batch.write.operation == Operation::Insert && !batch.write.chosen_ids {
            let reason = "the connection broke while it was inserted".to_owned();
            return Ok(batch.payloads.iter().map(|_| Outcome::InDoubt { reason: reason.clone() }).collect());
        }
        let outcomes = self.commit(&batch);
        match fault {
            Some(Fault::CutAfter) => in_doubt(),
            Some(Fault::DieAfter) => self.die().await,
            _ => Ok(outcomes),
        }
    }

    async fn die(&self) -> Result<Vec<Outcome>, Failure> {
        self.dying.notify_one();
        std::future::pending().await
    }
}
