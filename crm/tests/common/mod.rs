//! A sandbox, an account that speaks to it, and what came of a reading.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use crm::dynamics::{Dynamics, DynamicsAccount};
use crm::secret::NoVault;
use engine::expr::Expr;
use engine::failure::Failure;
use engine::outside::clock::SystemClock;
use engine::outside::crm::{Crm, Cursor, Object, OrderBy, Page, Read, ReadField, Window};
use futures::StreamExt;
use sandbox::{Admin, Options, Sandbox};
use serde_json::{Value, json};

/// A sandbox and an account that speaks to it.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) crm: Dynamics,
}

/// With so many contacts, and these limits; its clock stands at 2026-03-03 10:00:00.
pub(crate) fn world(contacts: u32, limits: Value) -> World {
    let now = Some("2026-03-03T10:00:00Z".parse().unwrap());
    let sandbox = Sandbox::start(Options { contacts, accounts: 20, now, frozen: true, ..Options::default() }).unwrap();
    let crm = connect(&sandbox, &sandbox.client_secret(), limits);
    World { sandbox, crm }
}

/// Limits with which a retry costs no time.
pub(crate) fn quick() -> Value {
    json!({ "retryWaitMin": "1ms" })
}

/// An account.
pub(crate) fn connect(sandbox: &Sandbox, secret: &str, limits: Value) -> Dynamics {
    let account: DynamicsAccount = serde_json::from_value(json!({
        "url": sandbox.url(), "tokenUrl": sandbox.token_url(), "tenantId": sandbox.tenant_id(),
        "clientId": sandbox.client_id(), "clientSecret": secret, "limits": limits,
    }))
    .unwrap();
    Dynamics::new("dynamics", account, &NoVault, Arc::new(SystemClock)).unwrap()
}

impl World {
    pub(crate) fn admin(&self) -> &Admin {
        self.sandbox.admin()
    }

    /// The contacts, described anew.
    pub(crate) async fn contacts(&self) -> Arc<Object> {
        Arc::new(self.crm.describe("contacts").await.unwrap())
    }

    /// How often each of these was asked for.
    pub(crate) fn count(&self, route: &str) -> usize {
        self.admin().requests(0).iter().filter(|request| request.route == route).count()
    }

    /// Reads to the end.
    pub(crate) async fn all(&self, read: &Read, from: Option<Cursor>) -> Result<Vec<Page>, Failure> {
        let pages: Vec<_> = self.crm.read(Arc::new(read.clone()), from).collect().await;
        pages.into_iter().collect()
    }
}

/// A reading of these fields.
pub(crate) fn read(object: &Arc<Object>, fields: &[&str]) -> Read {
    let fields = fields.iter().map(|name| ReadField { field: object.fields[*name].clone(), raw: false });
    Read::new(object.clone(), fields.collect())
}

/// With this filter.
pub(crate) fn filtered(read: Read, filter: &str) -> Read {
    Read { filter: Some(Expr::parse(filter).unwrap()), ..read }
}

/// In this order; `-` before a field is descending.
pub(crate) fn ordered(read: Read, by: &[&str]) -> Read {
    let order =
        by.iter().map(|by| OrderBy { field: by.trim_start_matches('-').to_owned(), descending: by.starts_with('-') });
    Read { order: order.collect(), ..read }
}

/// With this window on `modifiedon`.
pub(crate) fn windowed(read: Read, from: Option<&str>, to: &str) -> Read {
    let window = Window {
        field: "modifiedon".to_owned(),
        from: from.map(|from| from.parse().unwrap()),
        to: to.parse().unwrap(),
    };
    Read { window: Some(window), ..read }
}

/// Each record as `a | b | c`, with `∅` for null.
pub(crate) fn lines<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Vec<String> {
    let options = FormatOptions::new().with_null("∅");
    let mut lines = Vec::new();
    for batch in batches {
        let arrays: Vec<ArrayRef> = batch.columns().iter().map(printable).collect();
        let columns: Vec<_> = arrays.iter().map(|array| ArrayFormatter::try_new(array, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            lines.push(cells.join(" | "));
        }
    }
    lines
}

/// Arrow prints instants of named zones only with a feature that nothing else needs.
fn printable(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            Arc::new(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("+00:00"))
        }
        _ => array.clone(),
    }
}

/// All records of these pages.
pub(crate) fn records(pages: &[Page]) -> Vec<String> {
    lines(pages.iter().map(|page| &page.records))
}
