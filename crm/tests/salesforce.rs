//! The Salesforce connector over its wire, against the stand-in.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use async_trait::async_trait;
use crm::salesforce::{Salesforce, SalesforceAccount};
use crm::secret::{NoVault, Vault};
use engine::expr::Expr;
use engine::failure::{Class, Failure};
use engine::outside::crm::{
    Batch, Crm, Cursor, Deleted, DeletedPage, DeletedSpan, Object, Operation, OrderBy, Outcome, Page, Read,
    ReadDeleted, ReadField, Steps, What, Window, Write, WriteField, WritePlan,
};
use futures::StreamExt;
use jiff::Timestamp;
use sandbox::{Fault, JobFailure, Options, Route, SalesforceField, SalesforceOptions, SalesforceSettings, Sandbox};
use serde_json::{Value, json};

const NOW: &str = "2026-03-08T09:00:00Z";

struct World {
    sandbox: Sandbox,
    crm: Salesforce,
}

/// With so many contacts; an external id, a money, a list and a time besides.
fn world(contacts: u32, more: Value) -> World {
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

fn connect(sandbox: &Sandbox, more: Value) -> Salesforce {
    let told = sandbox.salesforce();
    let mut all = json!({
        "url": told["url"], "clientId": told["clientId"], "clientSecret": told["clientSecret"],
        "bulk": { "pollMin": "1ms" }, "limits": { "retryWaitMin": "1ms" },
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let account: SalesforceAccount = serde_json::from_value(all).unwrap();
    let vault: Arc<dyn Vault> = Arc::new(NoVault);
    Salesforce::new("sf", account, &vault).unwrap()
}

impl World {
    fn settings(&self, change: impl FnOnce(&mut SalesforceSettings)) {
        let mut settings = self.sandbox.admin().salesforce().settings();
        change(&mut settings);
        self.sandbox.admin().salesforce().set_settings(settings);
    }

    fn fault(&self, fault: Fault) {
        self.sandbox.admin().add_fault(fault).map(|_| ()).unwrap();
    }

    fn id(&self, number: u32) -> String {
        self.sandbox.admin().salesforce().id("Contact", number).unwrap()
    }

    async fn contacts(&self) -> Arc<Object> {
        Arc::new(self.crm.describe("Contact").await.unwrap())
    }

    fn requests(&self, part: &str) -> Vec<String> {
        let all = self.sandbox.admin().requests(0).into_iter();
        all.map(|request| format!("{} {}", request.method, request.path)).filter(|line| line.contains(part)).collect()
    }

    async fn pages(&self, read: &Read, from: Option<Cursor>) -> Result<Vec<Page>, Failure> {
        let pages: Vec<_> = self.crm.read(Arc::new(read.clone()), from).collect().await;
        pages.into_iter().collect()
    }

    async fn deleted(&self, span: DeletedSpan) -> Result<(Vec<Deleted>, DeletedPage), Failure> {
        let read = Arc::new(ReadDeleted { object: self.contacts().await, span });
        let pages: Vec<_> = self.crm.deleted(read, None).collect().await;
        let mut pages: Vec<DeletedPage> = pages.into_iter().collect::<Result<_, _>>()?;
        let records = pages.iter().flat_map(|page| page.records.clone()).collect();
        Ok((records, pages.pop().unwrap()))
    }

    /// Writes over the wire: what was done to which record.
    fn changes(&self) -> Vec<(sandbox::ChangeKind, String)> {
        let changes = self.sandbox.admin().salesforce().changes(1).into_iter();
        changes.filter(|change| matches!(change.by, sandbox::By::Wire)).map(|change| (change.kind, change.id)).collect()
    }
}

fn read(object: &Arc<Object>, fields: &[&str]) -> Read {
    let fields = fields.iter().map(|name| ReadField { field: object.fields[*name].clone(), raw: false });
    Read::new(object.clone(), fields.collect())
}

fn texts(pages: &[Page], column: usize) -> Vec<Option<String>> {
    let text = |page: &Page| -> Vec<Option<String>> {
        page.records.column(column).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    };
    pages.iter().flat_map(text).collect()
}

fn ids(pages: &[Page]) -> Vec<String> {
    texts(pages, 0).into_iter().flatten().collect()
}

/// Steps in memory, as of a file.
#[derive(Default)]
struct Kept(Mutex<Vec<Value>>);

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

fn write(object: &Arc<Object>, operation: Operation, key: &[&str], fields: &[&str]) -> Write {
    let field = |name: &&str| WriteField { field: object.fields[*name].clone(), raw: true, target: None };
    Write {
        object: object.clone(),
        operation,
        key: key.iter().map(|name| (*name).to_owned()).collect(),
        fields: fields.iter().map(field).collect(),
        chosen_ids: false,
        detect_duplicates: true,
        assignment_rule: None,
        batch_max: None,
        at_once_max: None,
    }
}

fn rows(write: &Write, rows: &[&[Option<&str>]]) -> RecordBatch {
    let column = |place: usize| -> ArrayRef { Arc::new(rows.iter().map(|row| row[place]).collect::<StringArray>()) };
    let fields: Vec<_> = write.fields.iter().map(|field| field.field.column(true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), (0..write.fields.len()).map(column).collect()).unwrap()
}

/// Encodes and sends one batch.
async fn send(
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

fn words(outcomes: &[Outcome]) -> Vec<String> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Done { what, .. } => what.word().to_owned(),
        Outcome::Refused(reject) => reject.code.clone(),
        Outcome::InDoubt { .. } => "in doubt".to_owned(),
    };
    outcomes.iter().map(word).collect()
}

#[tokio::test]
async fn each_login_gets_a_token_and_a_wrong_one_says_what_is_missing() {
    let world = world(3, json!({}));
    let told = world.sandbox.salesforce();
    let password = json!({
        "login": "password", "username": told["username"], "password": told["password"],
        "securityToken": told["securityToken"],
    });
    let refresh = json!({ "login": "refreshToken", "refreshToken": told["refreshToken"] });
    for login in [json!({}), password, refresh] {
        let steps = connect(&world.sandbox, login.clone()).test().await;
        assert_eq!(steps.len(), 5, "{steps:?}");
        assert!(steps.iter().all(|step| step.result.is_ok()), "{login}: {steps:?}");
    }
    let steps = connect(&world.sandbox, json!({ "clientSecret": "canary" })).test().await;
    let failure = steps.last().unwrap().result.as_ref().unwrap_err();
    assert_eq!((steps.len(), failure.class), (3, Class::Auth));
    assert!(failure.help.as_ref().unwrap().contains("consumer secret"), "{failure:?}");
    assert!(!format!("{steps:?}").contains("canary"));
    let old = connect(&world.sandbox, json!({ "apiVersion": "v99.0" })).test().await;
    assert!(old.last().unwrap().result.as_ref().unwrap_err().help.as_ref().unwrap().contains("apiVersion"));
}

#[tokio::test]
async fn an_assertion_is_good_whatever_our_clock_says_and_another_key_is_refused() {
    let world = world(0, json!({}));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sandbox/tests/keys/");
    let public = std::fs::read_to_string(format!("{folder}application.public.pem")).unwrap();
    world.sandbox.admin().salesforce().set_public_key(&public).unwrap();
    let login = |key: &str| {
        json!({
            "login": "jwt", "username": world.sandbox.salesforce()["username"],
            "privateKey": { "file": format!("{folder}{key}.key.pem") },
        })
    };
    // The stand-in's clock is months away from ours.
    let steps = connect(&world.sandbox, login("application")).test().await;
    assert!(steps.len() == 5 && steps.iter().all(|step| step.result.is_ok()), "{steps:?}");
    let failure = connect(&world.sandbox, login("stranger")).now().await.unwrap_err();
    assert!(failure.class == Class::Auth && failure.help.unwrap().contains("certificate"));
}

#[tokio::test]
async fn a_refresh_token_that_is_replaced_is_kept_in_its_file() {
    let world = world(0, json!({}));
    world.settings(|settings| settings.rotate_refresh_tokens = true);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, world.sandbox.salesforce()["refreshToken"].as_str().unwrap()).unwrap();
    for _ in 0..3 {
        let before = std::fs::read_to_string(&file).unwrap();
        let crm = connect(&world.sandbox, json!({ "login": "refreshToken", "refreshToken": { "file": file } }));
        crm.now().await.unwrap();
        assert_ne!(std::fs::read_to_string(&file).unwrap(), before);
    }
}

#[tokio::test]
async fn what_is_described_is_what_can_be_read_and_found() {
    let world = world(3, json!({}));
    let object = world.contacts().await;
    let kind = |name: &str| format!("{:?}", object.fields[name].kind);
    for (name, expected) in [
        ("Id", "Text"),
        ("AccountId", "Lookup"),
        ("LastName", "Text"),
        ("LeadSource", "TextPicklist"),
        ("Tags__c", "TextMultiPicklist"),
        ("Worth__c", "Money"),
        ("Calls__c", "Time"),
        ("HasOptedOutOfEmail", "Bool"),
        ("Birthdate", "Date"),
        ("SystemModstamp", "DateTime"),
        ("MailingLatitude", "Double"),
    ] {
        assert_eq!(kind(name), expected, "{name}");
    }
    assert!(!object.fields["MailingAddress"].readable && object.fields["MailingCity"].readable);
    assert!(object.fields["LastName"].required && object.feed && object.id == "Id");
    assert!(object.key(&["Ext__c".to_owned()]).unwrap().unusable.is_none());
    assert!(object.key(&["Loose__c".to_owned()]).unwrap().unusable.as_ref().unwrap().contains("not unique"));
    assert_eq!(object.fields["AccountId"].targets[0].path, "Account");
    let path = world.crm.describe_path(&object, "Account.AccountNumber").await.unwrap();
    assert_eq!((path.name.as_str(), path.readable, path.creatable), ("Account.AccountNumber", true, false));
    assert!(world.crm.describe_path(&object, "Account.Number__c").await.unwrap().creatable);
    let wrong = world.crm.describe_path(&object, "Acount.Name").await.unwrap_err();
    assert!(wrong.help.unwrap().contains("`Account`"));
    let wrong = world.crm.describe("Contakt").await.unwrap_err();
    assert!(wrong.class == Class::Config && wrong.help.unwrap().contains("`Contact`"));
}

#[tokio::test]
async fn fields_filters_and_orders_go_through_related_records() {
    let world = world(40, json!({}));
    let object = world.contacts().await;
    let mut all = read(&object, &["Id", "LastName", "CreatedDate"]);
    for path in ["Account.Name", "Account.AccountNumber"] {
        let field = world.crm.describe_path(&object, path).await.unwrap();
        all.fields.push(ReadField { field, raw: false });
    }
    let pages = world.pages(&all, None).await.unwrap();
    let names: BTreeSet<String> = texts(&pages, 3).into_iter().flatten().collect();
    assert!(!names.is_empty() && ids(&pages).len() == 40, "{names:?}");
    let wanted = names.first().unwrap().clone();
    let filter = Expr::parse(&format!("field(\"Account.Name\") == \"{wanted}\"")).unwrap();
    let order = vec![OrderBy { field: "Account.Name".to_owned(), descending: true }];
    let some = world.pages(&Read { filter: Some(filter), order, ..all.clone() }, None).await.unwrap();
    let found = texts(&some, 3);
    assert!(!found.is_empty() && found.iter().all(|name| name.as_deref() == Some(wanted.as_str())));
    assert_eq!(found.len(), texts(&pages, 3).iter().filter(|name| name.as_deref() == Some(wanted.as_str())).count());
}

#[tokio::test]
async fn a_large_reading_is_a_bulk_job_which_goes_on_from_any_page_and_gives_the_same_as_rest() {
    let world = world(2_300, json!({ "bulk": { "pollMin": "1ms", "recordsPerPage": 500 } }));
    let object = world.contacts().await;
    let fields = ["Id", "LastName", "Birthdate", "HasOptedOutOfEmail", "LastModifiedDate", "AccountId"];
    let bulk = read(&object, &fields);
    let pages = world.pages(&bulk, None).await.unwrap();
    assert_eq!(pages[0].records.num_rows(), 0, "the job is kept before anything is read of it");
    assert_eq!(world.requests("POST /services/data/v67.0/jobs/query").len(), 1);
    let rest = Read { order: vec![OrderBy { field: "Id".to_owned(), descending: false }], ..bulk.clone() };
    let same = world.pages(&rest, None).await.unwrap();
    let lines = |pages: &[Page]| -> BTreeSet<String> {
        let versions = pages
            .iter()
            .flat_map(|page| page.versions.iter().flatten().flatten().map(str::to_owned).collect::<Vec<_>>());
        ids(pages).into_iter().zip(versions).map(|(id, version)| format!("{id} {version}")).collect()
    };
    assert_eq!((ids(&pages).len(), lines(&pages).len()), (2_300, 2_300));
    assert_eq!(lines(&pages), lines(&same));
    let whole = ids(&pages);
    let mut seen = 0;
    for page in &pages {
        seen += page.records.num_rows();
        let Some(cursor) = page.next.clone() else { continue };
        assert_eq!(ids(&world.pages(&bulk, Some(cursor)).await.unwrap()), whole[seen..]);
    }
    assert_eq!(world.requests("POST /services/data/v67.0/jobs/query").len(), 1, "it is the same job");
    assert_eq!(world.crm.count(&bulk).await.unwrap(), Some(2_300));
}

#[tokio::test]
async fn a_lost_locator_and_an_ended_session_cost_nothing_in_the_order_of_ids() {
    let world = world(900, json!({ "limits": { "retryWaitMin": "1ms", "recordsPerPage": 200 } }));
    let object = world.contacts().await;
    let plain = read(&object, &["Id", "LastName"]);
    let mut pages = world.crm.read(Arc::new(plain.clone()), None);
    let first = pages.next().await.unwrap().unwrap();
    let cursor = first.next.clone().unwrap();
    drop(pages);
    world.sandbox.admin().salesforce().lose_locators();
    world.sandbox.admin().revoke_tokens();
    let rest = world.pages(&plain, Some(cursor)).await.unwrap();
    let found: Vec<String> = ids(&[first]).into_iter().chain(ids(&rest)).collect();
    assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (900, 900));

    let ordered = Read { order: vec![OrderBy { field: "LastName".to_owned(), descending: false }], ..plain };
    let cursor = world.crm.read(Arc::new(ordered.clone()), None).next().await.unwrap().unwrap().next;
    world.sandbox.admin().salesforce().lose_locators();
    assert_eq!(world.pages(&ordered, cursor).await.unwrap_err().class, Class::CursorLost);
}

#[tokio::test]
async fn a_record_changed_or_deleted_between_pages_takes_no_other_with_it() {
    let world = world(900, json!({ "limits": { "retryWaitMin": "1ms", "recordsPerPage": 200 } }));
    let object = world.contacts().await;
    let plain = Arc::new(read(&object, &["Id", "LastName"]));
    let mut pages = world.crm.read(plain.clone(), None);
    let mut found = ids(&[pages.next().await.unwrap().unwrap()]);
    let admin = world.sandbox.admin().salesforce();
    admin.put("Contact", &world.id(3), &json!({ "LastName": "Changed" })).unwrap();
    admin.delete("Contact", &world.id(4)).unwrap();
    admin.delete("Contact", &world.id(850)).unwrap();
    while let Some(page) = pages.next().await {
        found.extend(ids(&[page.unwrap()]));
    }
    let others: BTreeSet<&String> = found.iter().filter(|id| **id != world.id(850)).collect();
    assert_eq!((others.len(), found.len() - others.len() <= 1), (899, true));
}

#[tokio::test]
async fn keys_are_looked_up_by_few_requests_with_short_lines() {
    let world = world(2_500, json!({}));
    let object = world.contacts().await;
    let plain = read(&object, &["Id", "LastName"]);
    let mut wanted: Vec<String> = (0..1_999).map(|number| world.id(number)).collect();
    wanted.push("003000000ZZZZZZAAM".to_owned());
    let wanted: Vec<String> = wanted.into_iter().filter_map(|id| world.crm.key(&object, "Id", &id).ok()).collect();
    let page = world.crm.fetch(&plain, "Id", &wanted).await.unwrap();
    assert_eq!(page.records.num_rows(), 1_999);
    assert_eq!(world.requests("composite/sobjects/Contact").len(), 1);
    let names: BTreeSet<String> = texts(&[page], 1).into_iter().flatten().take(300).collect();
    let names: Vec<String> = names.into_iter().collect();
    let by_name = world.crm.fetch(&plain, "LastName", &names).await.unwrap();
    assert!(by_name.records.num_rows() >= names.len());
    assert!(world.sandbox.admin().requests(0).iter().all(|request| request.path.len() < 2_000));
}

#[tokio::test]
async fn records_are_written_by_collections_each_with_its_outcome_in_order() {
    let world = world(5, json!({}));
    let object = world.contacts().await;
    let insert = write(&object, Operation::Insert, &[], &["LastName", "Email"]);
    let plan = world.crm.write_plan(&insert, 2_000).unwrap();
    assert_eq!((plan.method.as_str(), plan.records_max), ("collections", 200));
    assert_eq!(world.crm.write_plan(&insert, 2_001).unwrap().method, "bulk");
    let records = rows(&insert, &[&[Some("Lovelace"), None], &[None, None], &[Some("Hopper"), Some("no address")]]);
    for records_of_all in [2_000, 2_001] {
        let plan = world.crm.write_plan(&insert, records_of_all).unwrap();
        let outcomes = send(&world.crm, &insert, &plan, &records, &Kept::default(), false).await.unwrap();
        assert_eq!(words(&outcomes), ["created", "REQUIRED_FIELD_MISSING", "INVALID_EMAIL_ADDRESS"], "{}", plan.method);
        let Outcome::Refused(reject) = &outcomes[1] else { panic!("{outcomes:?}") };
        assert_eq!((reject.symbol.as_str(), reject.field.as_deref()), ("REQUIRED_FIELD_MISSING", Some("LastName")));
        assert!(reject.help.is_some());
    }
    let upsert = write(&object, Operation::Upsert, &["Ext__c"], &["Ext__c", "LastName"]);
    let records = rows(&upsert, &[&[Some("A"), Some("One")], &[Some("B"), Some("Two")]]);
    for expected in ["created", "updated"] {
        let plan = world.crm.write_plan(&upsert, 2).unwrap();
        let outcomes = send(&world.crm, &upsert, &plan, &records, &Kept::default(), false).await.unwrap();
        assert_eq!(words(&outcomes), [expected, expected]);
    }
    let update = write(&object, Operation::Update, &["Ext__c"], &["Ext__c", "LastName"]);
    let records = rows(&update, &[&[Some("C"), Some("Ghost")], &[Some("b"), Some("Three")]]);
    let plan = world.crm.write_plan(&update, 2).unwrap();
    let outcomes = send(&world.crm, &update, &plan, &records, &Kept::default(), false).await.unwrap();
    assert_eq!(words(&outcomes), ["NOT_FOUND", "updated"], "an update makes no record");

    let delete = write(&object, Operation::Delete, &["Id"], &["Id"]);
    let (one, gone, never) = (world.id(0), world.id(1), world.id(4_000));
    world.sandbox.admin().salesforce().delete("Contact", &gone).unwrap();
    let records = rows(&delete, &[&[Some(&one)], &[Some(&gone)], &[Some(&never)]]);
    for (records_of_all, first) in [(3, "deleted"), (3_000, "absent")] {
        let plan = world.crm.write_plan(&delete, records_of_all).unwrap();
        let outcomes = send(&world.crm, &delete, &plan, &records, &Kept::default(), false).await.unwrap();
        assert_eq!(words(&outcomes), [first, "absent", "absent"], "{}", plan.method);
    }
}

#[tokio::test]
async fn what_cannot_be_written_so_is_said_with_what_is_possible() {
    let world = world(0, json!({}));
    let object = world.contacts().await;
    let refused = |write: Write| world.crm.write_plan(&write, 1).unwrap_err();
    let loose = refused(write(&object, Operation::Upsert, &["Loose__c"], &["Loose__c", "LastName"]));
    assert!(loose.message.contains("not unique") && loose.help.unwrap().contains("Ext__c"), "{}", loose.message);
    assert!(refused(write(&object, Operation::Upsert, &["Title"], &["Title"])).message.contains("no key"));
    assert!(refused(write(&object, Operation::Delete, &["Ext__c"], &["Ext__c"])).message.contains("Id only"));
    let chosen = Write { chosen_ids: true, ..write(&object, Operation::Insert, &[], &["LastName"]) };
    assert!(refused(chosen).help.unwrap().contains("external id"));
}

#[tokio::test]
async fn a_lost_reply_writes_nothing_twice_and_an_insert_without_a_key_is_in_doubt() {
    let world = world(0, json!({}));
    let object = world.contacts().await;
    let cut = || Fault { route: Route::Write, cut_after_commit: true, times: Some(1), ..Fault::default() };
    let insert = write(&object, Operation::Insert, &[], &["LastName"]);
    let plan = world.crm.write_plan(&insert, 2).unwrap();
    let records = rows(&insert, &[&[Some("One")], &[Some("Two")]]);
    world.fault(cut());
    let steps = Kept::default();
    let failure = send(&world.crm, &insert, &plan, &records, &steps, false).await.unwrap_err();
    assert_eq!(failure.class, Class::InDoubt);
    let outcomes = send(&world.crm, &insert, &plan, &records, &steps, true).await.unwrap();
    assert_eq!((words(&outcomes), world.changes().len()), (vec!["in doubt".to_owned(); 2], 2));

    world.sandbox.admin().clear_log();
    let upsert = write(&object, Operation::Upsert, &["Ext__c"], &["Ext__c", "LastName"]);
    let plan = world.crm.write_plan(&upsert, 2).unwrap();
    let records = rows(&upsert, &[&[Some("A"), Some("One")], &[Some("B"), Some("Two")]]);
    world.fault(cut());
    let outcomes = send(&world.crm, &upsert, &plan, &records, &Kept::default(), false).await.unwrap();
    assert_eq!(outcomes.len(), 2);
    let made = world.changes().into_iter().filter(|(kind, _)| matches!(kind, sandbox::ChangeKind::Created));
    assert_eq!(made.count(), 2);
}

#[tokio::test]
async fn a_bulk_insert_is_exact_wherever_it_is_cut() {
    // Each kind of request of the protocol, cut after it took hold, and the process gone with it.
    for (number, containing) in
        ["\"operation\"", "/batches", "UploadComplete", "successfulResults"].into_iter().enumerate()
    {
        let world = world(
            0,
            json!({ "bulk": { "from": 1, "pollMin": "1ms" }, "limits": { "retryWaitMin": "1ms", "retries": 0 } }),
        );
        let object = world.contacts().await;
        let insert = write(&object, Operation::Insert, &[], &["LastName", "Title"]);
        let plan = world.crm.write_plan(&insert, 25).unwrap();
        assert_eq!(plan.method, "bulk");
        let names: Vec<String> = (0..25).map(|number| format!("Person {}", number / 2)).collect();
        let all: Vec<Vec<Option<&str>>> = names.iter().map(|name| vec![Some(name.as_str()), None]).collect();
        let all: Vec<&[Option<&str>]> = all.iter().map(Vec::as_slice).collect();
        let records = rows(&insert, &all);
        world.fault(Fault {
            containing: Some(containing.to_owned()),
            cut_after_commit: true,
            times: Some(1),
            ..Fault::default()
        });
        let steps = Kept::default();
        let mut outcomes = send(&world.crm, &insert, &plan, &records, &steps, false).await;
        for _ in 0..3 {
            if outcomes.is_ok() {
                break;
            }
            // Another process, with the steps of the first.
            let crm = connect(&world.sandbox, json!({}));
            outcomes = send(&crm, &insert, &plan, &records, &steps, true).await;
        }
        let outcomes = outcomes.unwrap();
        assert_eq!(words(&outcomes), vec!["created"; 25], "{number}: {containing}");
        let made: BTreeSet<_> = world.changes().into_iter().map(|(_, id)| id).collect();
        let told: BTreeSet<_> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Done { id, what: What::Created } => Some(id.clone()),
                _ => None,
            })
            .collect();
        assert_eq!((made.len(), &made), (25, &told), "{containing}");
    }
}

#[tokio::test]
async fn a_job_that_fails_in_the_midst_is_gone_on_with_by_another_and_nothing_comes_twice() {
    let world = world(0, json!({ "bulk": { "from": 1, "pollMin": "1ms" } }));
    world.settings(|settings| {
        settings.bulk_batch_rows = 10;
        settings.fail_jobs = Some(JobFailure { times: 2, after_rows: 10, message: None });
    });
    let object = world.contacts().await;
    let insert = write(&object, Operation::Insert, &[], &["LastName"]);
    let plan = world.crm.write_plan(&insert, 25).unwrap();
    let names: Vec<String> = (0..25).map(|number| format!("Person {number}")).collect();
    let all: Vec<Vec<Option<&str>>> = names.iter().map(|name| vec![Some(name.as_str())]).collect();
    let all: Vec<&[Option<&str>]> = all.iter().map(Vec::as_slice).collect();
    let outcomes = send(&world.crm, &insert, &plan, &rows(&insert, &all), &Kept::default(), false).await.unwrap();
    assert_eq!(words(&outcomes), vec!["created"; 25]);
    assert_eq!((world.changes().len(), world.requests("POST /services/data/v67.0/jobs/ingest").len()), (25, 3));
}

#[tokio::test]
async fn a_locked_record_is_sent_again_by_itself_and_its_batch_is_not() {
    let world = world(3, json!({}));
    let object = world.contacts().await;
    let update = write(&object, Operation::Update, &["Id"], &["Id", "LastName"]);
    let ids: Vec<String> = (0..3).map(|number| world.id(number)).collect();
    let all: Vec<Vec<Option<&str>>> = ids.iter().map(|id| vec![Some(id.as_str()), Some("New")]).collect();
    let all: Vec<&[Option<&str>]> = all.iter().map(Vec::as_slice).collect();
    for records_of_all in [3, 3_000] {
        world.sandbox.admin().clear_log();
        world.sandbox.admin().clear_faults();
        world.fault(Fault {
            route: Route::Part,
            skip: 1,
            times: Some(1),
            status: Some(400),
            code: Some("UNABLE_TO_LOCK_ROW".to_owned()),
            ..Fault::default()
        });
        let plan = world.crm.write_plan(&update, records_of_all).unwrap();
        let outcomes = send(&world.crm, &update, &plan, &rows(&update, &all), &Kept::default(), false).await.unwrap();
        assert_eq!(words(&outcomes), vec!["updated"; 3], "{}", plan.method);
        assert_eq!(world.changes().len(), 3, "{}", plan.method);
        assert_eq!(world.sandbox.admin().faults()[0].fired, 1);
    }
}

#[tokio::test]
async fn deletions_of_a_period_are_told_with_both_ends_and_beyond_the_log_its_beginning_is_named() {
    let world = world(6, json!({}));
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    for (number, when) in [
        "2026-02-28T23:59:59Z",
        "2026-03-01T00:00:00Z",
        "2026-03-05T12:00:30Z",
        "2026-03-07T00:00:00Z",
        "2026-03-07T00:00:01Z",
    ]
    .into_iter()
    .enumerate()
    {
        world.sandbox.admin().set_clock(at(when), true).unwrap();
        let id = world.id(u32::try_from(number).unwrap());
        assert!(world.sandbox.admin().salesforce().delete("Contact", &id).unwrap());
    }
    world.sandbox.admin().set_clock(at(NOW), true).unwrap();
    let period = |from: &str, to: &str| DeletedSpan::Period { from: at(from), to: at(to) };
    let numbers = |found: &[Deleted]| -> Vec<u32> {
        found.iter().map(|deleted| (0..6).find(|number| world.id(*number) == deleted.id).unwrap()).collect()
    };
    for (from, to, expected) in [
        ("2026-03-01T00:00:00Z", "2026-03-07T00:00:00Z", vec![1, 2, 3]),
        ("2026-03-01T00:00:00Z", "2026-03-07T23:59:59Z", vec![1, 2, 3, 4]),
        ("2026-03-05T12:00:30Z", "2026-03-05T12:00:30Z", vec![2]),
    ] {
        let (found, _) = world.deleted(period(from, to)).await.unwrap();
        assert_eq!(numbers(&found), expected, "{from} {to}");
    }
    world.settings(|settings| settings.replication_ids_max = 2);
    let (found, _) = world.deleted(period("2026-02-28T00:00:00Z", "2026-03-07T23:59:59Z")).await.unwrap();
    assert_eq!(numbers(&found), [0, 1, 2, 3, 4]);
    let failure = world.deleted(period("2026-02-10T00:00:00Z", "2026-03-07T00:00:00Z")).await.unwrap_err();
    assert!(failure.class == Class::Config && failure.message.contains("2026-02-2"), "{failure}");
    assert!(failure.help.unwrap().contains("reconciliation"));

    let (found, last) = world.deleted(DeletedSpan::Since { from: None, feed: None }).await.unwrap();
    assert_eq!(numbers(&found).len(), 5);
    let (again, _) = world.deleted(DeletedSpan::Since { from: last.covered, feed: None }).await.unwrap();
    assert_eq!(again, [], "each deletion is told once");
}

#[tokio::test]
async fn deleted_and_merged_records_come_with_all_elements_only() {
    let world = world(3, json!({}));
    let object = world.contacts().await;
    let admin = world.sandbox.admin().salesforce();
    admin.delete("Contact", &world.id(1)).unwrap();
    admin.merge("Contact", &world.id(0), &[world.id(2)]).unwrap();
    let live = read(&object, &["Id", "IsDeleted", "MasterRecordId"]);
    assert_eq!(ids(&world.pages(&live, None).await.unwrap()), [world.id(0)]);
    let all = world.pages(&Read { all: true, ..live }, None).await.unwrap();
    assert_eq!(ids(&all).len(), 3);
    assert_eq!(texts(&all, 2).into_iter().flatten().collect::<Vec<_>>(), [world.id(0)]);
}

#[tokio::test]
async fn the_share_of_the_day_is_waited_for_and_then_named() {
    let world = world(3, json!({ "quotaPercent": 50, "quotaCheck": "10ms", "quotaWaitMax": "5s" }));
    let object = world.contacts().await;
    world.settings(|settings| settings.used_requests = Some(60_000));
    world.crm.now().await.unwrap();
    let plain = read(&object, &["Id"]);
    let reading = world.pages(&plain, None);
    let relief = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(world.requests("/query?q=").len(), 0, "it waits");
        world.settings(|settings| settings.used_requests = Some(10));
    };
    let (pages, ()) = tokio::join!(reading, relief);
    assert_eq!(ids(&pages.unwrap()).len(), 3);
    let daily = world.crm.limits().await.unwrap().remove(0);
    assert_eq!((daily.name.as_str(), daily.max, daily.window.as_str()), ("DailyApiRequests", 100_000, "24 hours"));

    world.settings(|settings| settings.used_requests = Some(60_000));
    let hasty = connect(&world.sandbox, json!({ "quotaPercent": 50, "quotaCheck": "1ms", "quotaWaitMax": "5ms" }));
    hasty.now().await.unwrap();
    let failure = hasty.now().await.unwrap_err();
    assert!(failure.class == Class::Quota && failure.message.contains("50 %"), "{failure}");
}

#[tokio::test]
async fn a_window_is_half_open_and_versions_tell_two_changes_of_one_second_apart() {
    let world = world(0, json!({}));
    let admin = world.sandbox.admin().salesforce();
    let put = |name: &str, at: &str| {
        admin.put("Contact", &world.id(7), &json!({ "LastName": name, "SystemModstamp": at })).unwrap();
    };
    put("One", "2026-03-03T10:00:00Z");
    let object = world.contacts().await;
    let window = |from: &str, to: &str| {
        let window =
            Window { field: "LastModifiedDate".to_owned(), from: Some(from.parse().unwrap()), to: to.parse().unwrap() };
        Read { window: Some(window), ..read(&object, &["Id", "LastName"]) }
    };
    for (from, to, count) in
        [("2026-03-03T10:00:00Z", "2026-03-03T10:00:01Z", 1), ("2026-03-03T09:00:00Z", "2026-03-03T10:00:00Z", 0)]
    {
        assert_eq!(ids(&world.pages(&window(from, to), None).await.unwrap()).len(), count);
    }
    let version = async || {
        let pages = world.pages(&window("2026-03-03T10:00:00Z", "2026-03-03T10:00:01Z"), None).await.unwrap();
        pages[0].versions.as_ref().unwrap().value(0).to_owned()
    };
    let first = version().await;
    assert_eq!(version().await, first);
    put("Two", "2026-03-03T10:00:00Z");
    assert_ne!(version().await, first);
}
