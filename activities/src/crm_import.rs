//! `crm.import`: records of a CRM become a population.

mod pages;

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Effect, Flow, Need, Port, Spec};
use engine::check::index_option;
use engine::context::Cx;
use engine::event::{IndexWindow, Level};
use engine::expr::{Bound, Source};
use engine::failure::{Class, Failure};
use engine::flow::FlowCx;
use engine::outside::crm::{Crm, Cursor, Object, ObjectField, OrderBy, Read, ReadField, Window};
use engine::problem::suggestion;
use engine::types::Type;
use engine::workflow::Span;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::automatic_index::{self, BEGINNING, Opened, Seen, Tail};
use crate::conversion::Conversion;
use crate::rejects::{self, Kinds};

/// Imports records of a CRM. The record's id is added by itself, and with an automatic index the date by which it knows
/// what changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CrmImport {
    /// The account, as campanile.toml names it.
    account: String,
    /// The kind of record, such as `contacts`.
    object: String,
    /// The fields to import, each by name or with a conversion.
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
}

/// A field by name, or with a conversion.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum FieldChoice {
    /// The field's name.
    Name(String),
    /// The field with how its values are taken over.
    Converted(ConvertedField),
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConvertedField {
    /// The field's name.
    field: String,
    /// How its values are taken over.
    #[serde(default)]
    conversion: Conversion,
}

impl FieldChoice {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Converted(converted) => &converted.field,
        }
    }

    fn conversion(&self) -> Conversion {
        match self {
            Self::Name(_) => Conversion::Default,
            Self::Converted(converted) => converted.conversion,
        }
    }
}

/// A field to order by, ascending by name alone.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OrderChoice {
    /// Ascending; empty values come first.
    Name(String),
    /// With a direction.
    Directed(DirectedOrder),
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DirectedOrder {
    /// The field's name.
    field: String,
    /// From the largest down; empty values come last.
    #[serde(default)]
    descending: bool,
}

impl OrderChoice {
    fn order(&self) -> OrderBy {
        match self {
            Self::Name(field) => OrderBy { field: field.clone(), descending: false },
            Self::Directed(order) => OrderBy { field: order.field.clone(), descending: order.descending },
        }
    }
}

/// On or off, or on with settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum AutomaticIndex {
    /// On or off.
    Switch(bool),
    /// On, with settings.
    Settings(IndexSettings),
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IndexSettings {
    /// The option that keeps the time of the last import; `LASTIMPORT_<workflow>_<activity>` where nothing is said.
    #[serde(default)]
    option: Option<String>,
    /// The date and time by which changes are known; the system's own where nothing is said, such as `modifiedon`.
    #[serde(default)]
    field: Option<String>,
    /// How much of the last import's time is read again, for records that were committed late; 5 minutes where nothing
    /// is said.
    #[serde(default)]
    overlap: Option<Span>,
}

impl Default for AutomaticIndex {
    fn default() -> Self {
        Self::Switch(false)
    }
}

impl AutomaticIndex {
    const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

    fn settings(&self) -> Option<IndexSettings> {
        match self {
            Self::Switch(false) => None,
            Self::Switch(true) => Some(IndexSettings::default()),
            Self::Settings(settings) => Some(settings.clone()),
        }
    }
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "crm.import",
    effect: Effect::Reads,
    ports: &[Port::always("ok"), Port::with_records("reject")],
    example: r#"{
        "type": "crm.import", "account": "dynamics", "object": "contacts",
        "fields": ["emailaddress1", "lastname", { "field": "birthdate", "conversion": "dateOnly" }],
        "filter": "statecode == 0 && !is_empty(emailaddress1)",
        "automaticIndex": true,
        "to": "next"
    }"#,
    ..Spec::of::<CrmImport>()
};

/// Where an import goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    window: Option<Opened>,
    /// After which page; `None` before the first.
    next: Option<Cursor>,
    /// Whether the last page was read.
    done: bool,
    /// Records read so far.
    read: u64,
    /// Records in the file of what was seen.
    seen: u64,
    /// Rejects so far, for the journal.
    #[serde(default)]
    rejects: Kinds,
}

/// What an import asks for and what it makes of it, found from the settings and the description of the object.
struct Plan {
    /// Columns read: the chosen ones, then the id and the index field where they were not chosen, then what only the
    /// filter needs.
    read: Vec<ReadField>,
    /// How each of the first columns is converted; the rest is not passed on.
    conversions: Vec<Conversion>,
    /// The columns that come out.
    out: SchemaRef,
    filter: Option<Bound>,
    index_field: Option<String>,
}

#[async_trait]
impl Activity for CrmImport {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        let columns = match cx.object(&self.account, &self.object) {
            None => {
                if let Some(filter) = &self.filter {
                    cx.expression("/filter", filter, &Columns::Unknown, Some(&Type::Bool));
                }
                Columns::Unknown
            }
            Some(object) => self.flow_of(&object, cx),
        };
        if let Some(columns) = input.known() {
            let message = format!("{} columns lead into this import, which does not use them", columns.fields().len());
            cx.problem("", "population-not-used", message, Some("lead from an activity without records".to_owned()));
        }
        let rejects = match &columns {
            Columns::Known(schema) => Columns::Known(rejects::columns(schema)),
            _ => columns.clone(),
        };
        Flow::from([("ok".to_owned(), columns), ("reject".to_owned(), rejects)])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let crm = cx.crm(&self.account)?;
        let object = cx.object(&self.account, &self.object).await?;
        let index_field = self.index_field(&object, crm.system().index_fields);
        let plan = self.plan(&object, index_field.as_deref(), &cx.time_zone)?;
        let position = match cx.position::<Position>()? {
            Some(position) => position,
            None => {
                let window = self.open_window(cx, &*crm, plan.index_field.as_deref()).await?;
                Position { window, next: None, done: false, read: 0, seen: 0, rejects: Kinds::default() }
            }
        };
        if let Some(window) = &position.window {
            set_vars(cx, window);
        }
        cx.open("ok", Arc::clone(&plan.out)).await;
        let read = Arc::new(self.read(&object, &plan, position.window.as_ref(), cx).await?);
        pages::import(cx, &*crm, read, &plan, position).await
    }

    fn needs(&self) -> Vec<Need> {
        let (account, object) = (self.account.clone(), self.object.clone());
        vec![Need::Account(account.clone()), Need::Object { account, object }]
    }

    fn index_option(&self) -> Option<&str> {
        match &self.automatic_index {
            AutomaticIndex::Switch(false) => None,
            AutomaticIndex::Switch(true) => Some(""),
            AutomaticIndex::Settings(settings) => Some(settings.option.as_deref().unwrap_or_default()),
        }
    }
}

impl CrmImport {
    fn flow_of(&self, object: &Object, cx: &mut FlowCx<'_>) -> Columns {
        let mut sound = true;
        let mut chosen: Vec<&str> = Vec::new();
        for (number, choice) in self.fields.iter().enumerate() {
            let pointer = format!("/fields/{number}");
            sound &= check_field(object, choice.name(), &pointer, cx);
            if chosen.contains(&choice.name()) {
                cx.problem(&pointer, "chosen-twice", format!("{} is chosen twice", choice.name()), None);
                sound = false;
            }
            chosen.push(choice.name());
            if let Some(why) = object.fields.get(choice.name()).and_then(|field| choice.conversion().refuses(field)) {
                cx.problem(&format!("{pointer}/conversion"), "conversion", why, None);
                sound = false;
            }
        }
        for (number, order) in self.order_by.iter().enumerate() {
            sound &= check_field(object, &order.order().field, &format!("/orderBy/{number}"), cx);
        }
        sound &= self.check_index(object, cx);
        sound &= self.check_filter(object, cx);
        let index = self.index_field(object, self.index_fields(cx));
        match sound.then(|| self.plan(object, index.as_deref(), cx.time_zone)) {
            Some(Ok(plan)) => Columns::Known(plan.out),
            _ => Columns::Unknown,
        }
    }

    fn check_filter(&self, object: &Object, cx: &mut FlowCx<'_>) -> bool {
        let Some(filter) = &self.filter else { return true };
        let columns = Columns::Known(Arc::new(readable(object)));
        let Some(bound) = cx.expression("/filter", filter, &columns, Some(&Type::Bool)) else { return false };
        let raw = |name: &&str| self.fields.iter().any(|choice| choice.name() == *name && choice.conversion().is_raw());
        if let Some(name) = bound.expr().fields().into_iter().find(raw) {
            let message = format!("{name} cannot be copied as text and stand in the filter");
            let help = Some("choose another conversion for it, or filter in a later activity".to_owned());
            cx.problem("/filter", "copy-in-filter", message, help);
            return false;
        }
        true
    }

    fn check_index(&self, object: &Object, cx: &mut FlowCx<'_>) -> bool {
        let Some(settings) = self.automatic_index.settings() else { return true };
        let Some(name) = &settings.field else {
            let candidates = self.index_fields(cx);
            if object.index_field(candidates).is_some() {
                return true;
            }
            let message =
                format!("{} has none of the fields that tell changes: {}", object.name, candidates.join(", "));
            let help = Some("name a date and time of it as \"field\", or switch the automatic index off".to_owned());
            cx.problem("/automaticIndex", "no-index-field", message, help);
            return false;
        };
        let pointer = "/automaticIndex/field";
        if !check_field(object, name, pointer, cx) {
            return false;
        }
        let is_time = object.fields.get(name).is_some_and(ObjectField::is_date_time);
        if !is_time {
            let message = format!("{name} is not a date and time, so it cannot tell what changed");
            cx.problem(pointer, "index-field", message, Some("use one such as modifiedon".to_owned()));
        }
        let copied =
            self.fields.iter().any(|choice| choice.name() == name && choice.conversion() != Conversion::Default);
        if copied {
            let message = format!("{name} is the index field, so it is imported as it is");
            cx.problem(pointer, "index-field", message, Some("leave its conversion away".to_owned()));
        }
        is_time && !copied
    }

    fn index_fields(&self, cx: &FlowCx<'_>) -> &'static [&'static str] {
        cx.system(&self.account).map(|system| system.index_fields).unwrap_or_default()
    }

    fn index_field(&self, object: &Object, candidates: &[&str]) -> Option<String> {
        let settings = self.automatic_index.settings()?;
        settings.field.or_else(|| object.index_field(candidates).map(|field| field.name.clone()))
    }

    fn plan(&self, object: &Object, index_field: Option<&str>, zone: &TimeZone) -> Result<Plan, Failure> {
        let field = |name: &str| {
            object.fields.get(name).filter(|field| field.readable).cloned().ok_or_else(|| {
                let message = format!("{} has no field {name} that can be read", object.name);
                Failure::new(Class::Config, message).help("run `campanile check` on the workflow")
            })
        };
        let mut read = Vec::new();
        let mut conversions = Vec::new();
        for choice in &self.fields {
            read.push(ReadField { field: field(choice.name())?, raw: choice.conversion().is_raw() });
            conversions.push(choice.conversion());
        }
        for name in [Some(object.id.as_str()), index_field].into_iter().flatten() {
            if !read.iter().any(|chosen| chosen.field.name == name) {
                read.push(ReadField { field: field(name)?, raw: false });
                conversions.push(Conversion::Default);
            }
        }
        let columns = read.iter().zip(&conversions).map(|(field, conversion)| conversion.column(&field.column(), zone));
        let out = Arc::new(Schema::new(columns.collect::<Vec<FieldRef>>()));
        let filter = match &self.filter {
            None => None,
            Some(source) => Some(source.bind(&readable(object)).map_err(|errors| {
                errors.into_iter().next().map_or_else(|| Failure::internal("an error without error"), Failure::from)
            })?),
        };
        for name in filter.iter().flat_map(|filter| filter.expr().fields()) {
            if !read.iter().any(|chosen| chosen.field.name == name) {
                read.push(ReadField { field: field(name)?, raw: false });
            }
        }
        Ok(Plan { read, conversions, out, filter, index_field: index_field.map(str::to_owned) })
    }

    async fn open_window(&self, cx: &Cx, crm: &dyn Crm, field: Option<&str>) -> Result<Option<Opened>, Failure> {
        let Some(settings) = self.automatic_index.settings() else { return Ok(None) };
        if field.is_none() {
            let message = format!("{} has none of the fields {}", self.object, crm.system().index_fields.join(", "));
            return Err(Failure::new(Class::Config, message).help("name a date and time of it as \"field\""));
        }
        let option = settings.option.unwrap_or_else(|| index_option(&cx.workflow, &cx.activity));
        let current = cx.option(&option).await?;
        let before = current.as_ref().map(|current| current.value.clone());
        if let Some(before) = &before {
            // Refused before the CRM is asked anything.
            automatic_index::to_instant(&option, before)?;
        }
        let overlap = settings.overlap.map_or(AutomaticIndex::OVERLAP, |overlap| overlap.0);
        let opened = Opened::new(&option, before.clone(), crm.now().await?, overlap)?;
        automatic_index::clean_up(cx.data_folder(), &opened, current.and_then(|current| current.seen).as_ref());
        let window = IndexWindow { option, before, after: automatic_index::to_text(opened.to) };
        cx.open_window(window).await?;
        Ok(Some(opened))
    }

    async fn read(&self, object: &Arc<Object>, plan: &Plan, window: Option<&Opened>, cx: &Cx) -> Result<Read, Failure> {
        let filter = match &plan.filter {
            None => None,
            Some(filter) => Some(filter.resolve(&cx.values([filter]).await?)?.expr().clone()),
        };
        let field = plan.index_field.clone();
        let window = window.zip(field).map(|(window, field)| Window { field, from: window.from(), to: window.to });
        let order = self.order_by.iter().map(OrderChoice::order).collect();
        Ok(Read { filter, order, window, ..Read::new(Arc::clone(object), plan.read.clone()) })
    }
}

fn check_field(object: &Object, name: &str, pointer: &str, cx: &mut FlowCx<'_>) -> bool {
    match object.fields.get(name) {
        Some(field) if field.readable => return true,
        Some(_) => cx.problem(pointer, "unreadable-field", format!("{name} cannot be read"), None),
        None => {
            let help = suggestion(name, object.fields.keys().map(String::as_str));
            cx.problem(pointer, "unknown-field", format!("{} has no field \"{name}\"", object.name), help);
        }
    }
    false
}

/// The columns that a filter may use: every field that can be read.
fn readable(object: &Object) -> Schema {
    Schema::new(
        object.fields.values().filter(|field| field.readable).map(|field| field.column(false)).collect::<Vec<_>>(),
    )
}

fn set_vars(cx: &mut Cx, window: &Opened) {
    let start = window.before.clone().unwrap_or_else(|| BEGINNING.to_owned());
    cx.set_var("crmOptionName", window.option.clone());
    cx.set_var("crmStartImport", start.clone());
    cx.set_var("crmStartDate", start);
    cx.set_var("crmEndDate", automatic_index::to_text(window.to));
}

/// What was seen by the last import, for the window that this one opened.
async fn seen_before(cx: &Cx, window: &Opened) -> Result<Seen, Failure> {
    let current = cx.option(&window.option).await?.filter(|current| Some(&current.value) == window.before.as_ref());
    match current.and_then(|current| current.seen) {
        Some(file) => Seen::read(cx.data_folder(), &file),
        None => Ok(Seen::default()),
    }
}

fn open_tail(cx: &Cx, position: &Position) -> Result<Option<Tail>, Failure> {
    let Some(window) = &position.window else { return Ok(None) };
    let max = cx.limits().overlap_records;
    Tail::open(cx.data_folder(), window, &cx.task_key(), position.seen, max).map(Some)
}

async fn warn_of_rest(cx: &Cx, tail: &Tail) -> Result<(), Failure> {
    if tail.left_out == 0 {
        return Ok(());
    }
    let message = format!(
        "{} records of the last minutes were too many to remember (limit overlapRecords = {}); the next import brings them once more",
        tail.left_out,
        cx.limits().overlap_records
    );
    cx.log(Level::Warning, message).await
}
