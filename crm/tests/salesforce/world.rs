//! A stand-in, an account that speaks to it, and small steps that the tests share.

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use async_trait::async_trait;
use crm::salesforce::{Salesforce, SalesforceAccount};
use crm::secret::{NoVault, Vault};
use engine::failure::Failure;
use engine::outside::clock::SystemClock;
use engine::outside::crm::{
    Batch, Crm, Cursor, Deleted, DeletedPage, DeletedSpan, Object, Operation, Outcome, Page, Read, ReadDeleted,
    ReadField, Steps, Write, WriteField, WritePlan,
};
use futures::StreamExt;
use sandbox::{Fault, Options, SalesforceField, SalesforceOptions, SalesforceSettings, Sandbox};
use serde_json::{Value, json};

pub(crate) const NOW: &str = "2026-03-08T09:00:00Z";

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) crm: Salesforce,
}

/// With so many contacts; an external id, a money, a list and a time besides.
pub(crate) fn world(contacts: u32, more: Value) -> World {
    let salesforce = SalesforceOptions { contacts, accounts: 3, leads: 0 };
    let now = Some(NOW.parse().unwrap());
    let sandbox = Sandbox::start(Options { now, frozen: true, salesforce, ..Options::default() }).unwrap();
    let field = |name: &str, kind: &str| SalesforceField {
        name: name.to_owned(),
        kind: Some(kind.to_owned()),
        ..SalesforceField::default()
    };
    let admin = sandbox.admin().salesforce();
    let ext = SalesforceField { external_id: Some(true), unique: Some(true), ..field("Ext__c", "string") };
    let loose = SalesforceField { external_id: Some(true), ..field("Loose__c", "string") };
    let tags = SalesforceField {
        values: Some(vec!["a".into(), "b".into(), "c d".into()]),
        ..field("Tags__c", "multipicklist")
    };
    for field in [ext, loose, tags, field("Worth__c", "currency"), field("Calls__c", "time")] {
        admin.add_field("Contact", &field).unwrap();
    }
    let number = SalesforceField { external_id: Some(true), unique: Some(true), ..field("Number__c", "string") };
    admin.add_field("Account", &number).unwrap();
    let crm = connect(&sandbox, more);
    World { sandbox, crm }
}

pub(crate) fn connect(sandbox: &Sandbox, more: Value) -> Salesforce {
    let told = sandbox.salesforce();
    let mut all = json!({
        "url": told["url"], "clientId": told["clientId"], "clientSecret": told["clientSecret"],
        "bulk": { "pollMin": "1ms" }, "limits": { "retryWaitMin": "1ms" },
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let account: SalesforceAccount = serde_json::from_value(all).unwrap();
    let vault: Arc<dyn Vault> = Arc::new(NoVault);
    Salesforce::new("sf", account, &vault, Arc::new(SystemClock)).unwrap()
}

impl World {
    pub(crate) fn settings(&self, change: impl FnOnce(&mut SalesforceSettings)) {
        let mut settings = self.sandbox.admin().salesforce().settings();
        change(&mut settings);
        self.sandbox.admin().salesforce().set_settings(settings);
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.sandbox.admin().add_fault(fault).map(|_| ()).unwrap();
    }

    pub(crate) fn id(&self, number: u32) -> String {
        self.sandbox.admin().salesforce().id("Contact", number).unwrap()
    }

    pub(crate) async fn contacts(&self) -> Arc<Object> {
        Arc::new(self.crm.describe("Contact").await.unwrap())
    }

    pub(crate) fn requests(&self, part: &str) -> Vec<String> {
        let all = self.sandbox.admin().requests(0).into_iter();
        all.map(|request| format!("{} {}", request.method, request.path)).filter(|line| line.contains(part)).collect()
    }

    pub(crate) async fn pages(&self, read: &Read, from: Option<Cursor>) -> Result<Vec<Page>, Failure> {
        let pages: Vec<_> = self.crm.read(Arc::new(read.clone()), from).collect().await;
        pages.into_iter().collect()
    }

    pub(crate) async fn deleted(&self, span: DeletedSpan) -> Result<(Vec<Deleted>, DeletedPage), Failure> {
        let read = Arc::new(ReadDeleted { object: self.contacts().await, span });
        let pages: Vec<_> = self.crm.deleted(read, None).collect().await;
        let mut pages: Vec<DeletedPage> = pages.into_iter().collect::<Result<_, _>>()?;
        let records = pages.iter().flat_map(|page| page.records.clone()).collect();
        Ok((records, pages.pop().unwrap()))
    }

    /// Writes over the wire: what was done to which record.
    pub(crate) fn changes(&self) -> Vec<(sandbox::ChangeKind, String)> {
        let changes = self.sandbox.admin().salesforce().changes(1).into_iter();
        changes.filter(|change| matches!(change.by, sandbox::By::Wire)).map(|change| (change.kind, change.id)).collect()
    }
}

pub(crate) fn read(object: &Arc<Object>, fields: &[&str]) -> Read {
    let fields = fields.iter().map(|name| ReadField { field: object.fields[*name].clone(), raw: false });
    Read::new(object.clone(), fields.collect())
}

pub(crate) fn texts(pages: &[Page], column: usize) -> Vec<Option<String>> {
    let text = |page: &Page| -> Vec<Option<String>> {
        page.records.column(column).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    };
    pages.iter().flat_map(text).collect()
}

pub(crate) fn ids(pages: &[Page]) -> Vec<String> {
    texts(pages, 0).into_iter().flatten().collect()
}

/// Steps in memory, as of a file.
#[derive(Default)]
pub(crate) struct Kept(pub(crate) Mutex<Vec<Value>>);

#[async_trait]
impl Steps for Kept {
    fn last(&self) -> Option<Value> {
        self.0.lock().unwrap().last().cloned()
    }

    async fn record(&self, step: Value) -> Result<(), Failure> {
        self.0.lock().unwrap().push(step);
        Ok(())
    }
}

pub(crate) fn write(object: &Arc<Object>, operation: Operation, key: &[&str], fields: &[&str]) -> Write {
    let field = |name: &&str| WriteField { field: object.fields[*name].clone(), raw: true, target: None };
    Write::new(object.clone(), operation, key.iter().copied(), fields.iter().map(field).collect())
}

pub(crate) fn rows(write: &Write, rows: &[&[Option<&str>]]) -> RecordBatch {
    let column = |place: usize| -> ArrayRef { Arc::new(rows.iter().map(|row| row[place]).collect::<StringArray>()) };
    let fields: Vec<_> = write.fields.iter().map(|field| field.field.column(true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), (0..write.fields.len()).map(column).collect()).unwrap()
}

/// Encodes and sends one batch.
pub(crate) async fn send(
    crm: &Salesforce,
    write: &Write,
    plan: &WritePlan,
    records: &RecordBatch,
    steps: &Kept,
    again: bool,
) -> Result<Vec<Outcome>, Failure> {
    let payloads: Vec<_> =
        crm.encode(write, plan, records).unwrap().into_iter().map(|payload| payload.unwrap().bytes).collect();
    crm.send(Batch { write, plan, name: "batch", payloads: &payloads, again, steps }).await
}

pub(crate) fn words(outcomes: &[Outcome]) -> Vec<String> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Done { what, .. } => what.word().to_owned(),
        Outcome::Refused(reject) => reject.code.clone(),
        Outcome::InDoubt { .. } => "in doubt".to_owned(),
    };
    outcomes.iter().map(word).collect()
}
