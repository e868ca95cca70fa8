//! `crm.import`: records of a CRM become a population.
//!
//! ```text
//!   settings ─check─▶ Plan ─┬─ whole, or range by range side by side ─▶ pages ─▶ Sieve ─▶ ok, reject
//!                           ├─ the feed of changes ──────────────────▶ pages ─▶ Sieve ─▶ ok, reject, deleted
//!                           └─ by ids: inbound ─chunks─▶ fetch ──────▶ inbound + remote columns
//! ```

mod by_ids;
mod check;
mod explain;
mod own;
mod pages;
mod plan;
mod reading;
mod settings;
mod window;

use async_trait::async_trait;
use engine::activity::{Activity, Columns, Effect, Flow, Need, Port, Spec};
use engine::context::Cx;
use engine::expr::{Bound, Source};
use engine::failure::Failure;
use engine::flow::FlowCx;
use engine::outside::crm::{Feed, Object, Read, System, Window};
use engine::plan::{Plan as Asked, PlanCx};
use engine::scope::IndexScope;
use engine::variables::Sets;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::automatic_index::VARS;
use crate::crm_import_deleted::deleted_columns;
use crate::pinned::Pinned;
use own::Own;
use plan::Plan;
use reading::Position;
use settings::{AutomaticIndex, FieldChoice, OrderChoice, OwnWritesChoice};

/// Imports records of a CRM. The record's id is added by itself, and with an automatic index the date by which it knows
/// what changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CrmImport {
    /// The account, as campanile.toml names it.
    account: String,
    /// The kind of record, such as `contacts`.
    object: String,
    /// The fields to import, each by name or with a conversion. A field of a related record is written as the way to it,
    /// such as `Account.AccountNumber`.
    #[schemars(length(min = 1, max = 1000))]
    fields: Vec<FieldChoice>,
    /// Only records for which this is true, such as `statecode == 0 && !is_empty(emailaddress1)`.
    #[serde(default)]
    filter: Option<Source>,
    /// The order in which records come.
    #[serde(default)]
    order_by: Vec<OrderChoice>,
    /// Imports only what changed since the last import.
    #[serde(default)]
    automatic_index: AutomaticIndex,
    /// What becomes of records that this workflow's own exports wrote and that nobody has changed since: they come as all
    /// others and are counted as `ownWrites` (`keep`), or are dropped by that rule (`drop`).
    #[serde(default)]
    own_writes: OwnWritesChoice,
    /// Imports the records whose ids come in: a column or an expression of the inbound records, such as `crm_id`. Inbound
    /// columns are kept, the fields are added. It excludes `filter`, `automaticIndex` and `orderBy`.
    #[serde(default)]
    ids: Option<Source>,
    /// Also what people who use the CRM no longer see: deleted, archived and merged records, and the field that tells them.
    /// Salesforce has it.
    #[serde(default)]
    all: bool,
    /// The most requests at once; found by itself where nothing is said.
    #[serde(default)]
    #[schemars(range(min = 1, max = 16))]
    parallel: Option<u8>,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "crm.import",
    elsewhere: &[
        "salesforce",
        "dynamics",
        "dataverse",
        "crm",
        "import",
        "read",
        "source",
        "extract",
        "load",
        "get",
        "pull",
        "fetch",
        "connector",
        "input",
    ],
    effect: Effect::Reads,
    ports: &[
        Port::always("ok"),
        Port::with_records("reject"),
        Port::always("deleted").only_with("/automaticIndex/changes"),
    ],
    drops: &[
        ("filter", "records for which the filter is not true and that the CRM did not leave out itself"),
        ("alreadyImported", "records that the import before has seen in this version"),
        ("ownWrites", "records that this workflow wrote and nobody has changed since, with `\"ownWrites\": \"drop\"`"),
        ("readAgain", "records that came already before a lost place was read again"),
    ],
    example: r#"{
        "type": "crm.import", "account": "dynamics", "object": "contacts",
        "fields": ["emailaddress1", "lastname", { "field": "birthdate", "conversion": "dateOnly" }],
        "filter": "statecode == 0 && !is_empty(emailaddress1)",
        "automaticIndex": true,
        "to": "next"
    }"#,
    ..Spec::of::<CrmImport>()
};

/// Requests at once where the author says nothing.
const PARALLEL_DEFAULT: usize = 4;

#[async_trait]
impl Activity for CrmImport {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        let (ok, reject) = check::flow(self, input, cx);
        let mut flow = Flow::from([("ok".to_owned(), ok), ("reject".to_owned(), reject)]);
        if self.automatic_index.follows_changes() {
            let deleted = cx.object(&self.account, &self.object).map(|object| deleted_columns(&object, cx.time_zone));
            flow.insert("deleted".to_owned(), deleted.map_or(Columns::Unknown, Columns::Known));
        }
        flow
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let crm = cx.crm(&self.account).await?;
        let object = cx.object_with(&self.account, &self.object, &self.related()).await?;
        let backfill = cx.backfill().is_some();
        let mut plan = Plan::new(self, &object, Some(crm.system()), cx.functions(), &cx.time_zone, backfill)?;
        if let Some(ids) = &self.ids {
            let read = Read { all: self.all, ..Read::new(object, plan.read.clone()) };
            return by_ids::import(cx, crm, read, &plan, ids, self.at_once()).await;
        }
        let begun = cx.position::<Position>()?.map(Position::upgraded);
        let (window, since) = match &begun {
            Some(position) => (position.window.clone(), position.since.clone()),
            None => window::open(self, cx, &*crm, &plan).await?,
        };
        if let Some(window) = &window {
            window.set_vars(cx);
        }
        let own = Own::begin(self, cx, (&object, crm.system()), &mut plan).await?;
        if let Some((own, window)) = own.as_ref().zip(window.as_ref()).filter(|_| begun.is_none()) {
            own.forget_before(cx, window).await?;
        }
        let has_versions = begun.as_ref().is_none_or(|position| position.has_versions);
        cx.open("ok", plan.columns(has_versions)).await;
        if self.automatic_index.follows_changes() {
            cx.open("deleted", deleted_columns(&object, &cx.time_zone)).await;
        }
        let bounds: Vec<&Bound> = plan.filter.iter().collect();
        let kept = begun.as_ref().and_then(|position| position.pinned.as_ref());
        let (values, pinned) = Pinned::values(cx, &bounds, kept).await?;
        let filter = plan.filter.as_ref().map(|filter| filter.resolve(&values)).transpose()?;
        let filter = filter.map(|filter| filter.expr().clone());
        let feed = self.automatic_index.follows_changes() && cx.backfill().is_none();
        let by_date = window.as_ref().zip(plan.index_field.clone()).filter(|_| !feed);
        let followed = window.as_ref().filter(|_| feed).map(|window| Feed { since: since.clone(), to: window.to });
        let read = Read {
            filter,
            order: self.order_by.iter().map(OrderChoice::order).collect(),
            window: by_date.map(|(window, field)| Window { field, from: window.from(), to: window.to }),
            feed: followed,
            all: self.all,
            ..Read::new(object, plan.read.clone())
        };
        let mut position = match begun {
            Some(position) => position,
            None => Position::new(window, since, self.ranges(&*crm, &read).await),
        };
        position.pinned = Some(pinned);
        reading::import(cx, crm, read, (&plan, &values), own.as_ref(), position, self.at_once()).await
    }

    async fn plan(&self, cx: &PlanCx) -> Result<Option<Asked>, Failure> {
        explain::plan(self, cx).await.map(Some)
    }

    async fn record_key(&self, _: &Cx) -> Result<Vec<Source>, Failure> {
        Ok(self.ids.iter().cloned().collect())
    }

    fn needs(&self) -> Vec<Need> {
        Need::object(&self.account, &self.object, self.related())
    }

    fn brings_changes(&self) -> Option<(&str, &str)> {
        self.automatic_index.is_on().then_some((&self.account, &self.object))
    }

    fn index_option(&self) -> Option<&str> {
        self.automatic_index.option()
    }

    fn index_scope(&self) -> Option<IndexScope> {
        let filter = self.filter.as_ref().map(Source::text);
        let fields = self.fields.iter().map(FieldChoice::name);
        self.automatic_index.is_on().then(|| IndexScope::new(&self.object, filter, fields))
    }

    fn sets(&self) -> Sets {
        Sets::vars(VARS.into_iter().filter(|_| self.automatic_index.is_on()))
    }
}

impl CrmImport {
    /// The fields of related records that the settings name, with the places in them.
    fn paths(&self) -> Vec<(String, String)> {
        let fields =
            self.fields.iter().enumerate().map(|(n, choice)| (format!("/fields/{n}"), choice.name().to_owned()));
        let order = self.order_by.iter().enumerate().map(|(n, by)| (format!("/orderBy/{n}"), by.name().to_owned()));
        let filter = self.filter.as_ref().and_then(|filter| filter.parse().ok());
        let filter = filter.iter().flat_map(engine::expr::Expr::fields);
        let filter = filter.map(|name| ("/filter".to_owned(), name.to_owned()));
        fields.chain(order).chain(filter).filter(|(_, name)| name.contains('.')).collect()
    }

    /// Without the places.
    fn related(&self) -> Vec<String> {
        self.paths().into_iter().map(|(_, path)| path).collect()
    }

    /// The date by which changes are known, where that is asked for.
    fn index_field(&self, object: &Object, system: Option<&System>) -> Option<String> {
        let settings = self.automatic_index.settings()?;
        let candidates = system.map(|system| system.index_fields).unwrap_or_default();
        settings.field.or_else(|| object.index_field(candidates).map(|field| field.name.clone()))
    }

    fn at_once(&self) -> usize {
        self.parallel.map_or(PARALLEL_DEFAULT, usize::from).max(1)
    }

    /// The most parts to read side by side; one where records have an order, or the feed has. What changed since the last
    /// import is seldom much, so that the CRM is not asked unless the author says so.
    fn parts_max(&self, read: &Read) -> usize {
        let is_full = read.window.as_ref().is_none_or(|window| window.from.is_none());
        let is_worth_it = self.parallel.is_some() || is_full;
        if is_worth_it && read.order.is_empty() && read.feed.is_none() { self.at_once() } else { 1 }
    }

    /// What is read side by side. It only plans: a reading that cannot be parted is one part.
    async fn ranges(&self, crm: &dyn engine::outside::crm::Crm, read: &Read) -> Vec<engine::outside::crm::Range> {
        match self.parts_max(read) {
            at_most if at_most > 1 => crm.ranges(read, at_most).await.unwrap_or_else(|failure| {
                tracing::warn!(%failure, object = read.object.name, "reading in one part");
                Vec::new()
            }),
            _ => Vec::new(),
        }
    }
}
