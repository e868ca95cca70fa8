//! `crm.importDeleted`: ids of records that were deleted in the CRM.
//!
//! ```text
//!   start, end ──────▶ a period, both ends included ─┐
//!   automaticIndex ──▶ what is new since the last ───┴─▶ Crm::deleted ─▶ ok: id, deletedon
//!   ids ─────────────▶ inbound ids that the CRM no longer has ─────────▶ ok: id, deletedon empty
//! ```

mod explain;
mod period;
mod reading;
mod reconcile;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Effect, Flow, Need, Port, Spec};
use engine::check::index_option;
use engine::context::Cx;
use engine::expr::Source;
use engine::failure::Failure;
use engine::flow::FlowCx;
use engine::outside::crm::{FieldKind, Object, ObjectField};
use engine::plan::{Plan, PlanCx};
use engine::types::{Type, UTC};
use engine::variables::Sets;
use engine::words::counted;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::automatic_index::VARS;
use crate::conversion::Conversion;
use crate::rejects;
use crate::rows::{self, wrong};
use period::{Moment, When};
use reconcile::MaxDeletes;

/// Imports the ids of records that were deleted in the CRM, so that they can be deleted elsewhere. Say one of three: a
/// period (`start` and `end`), `automaticIndex`, or `ids`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CrmImportDeleted {
    /// The account, as campanile.toml names it.
    account: String,
    /// The kind of record, such as `contacts`.
    object: String,
    /// The beginning of a period, included: `2026/03/01`, `2026-03-01 10:00:00`, ISO 8601, or an expression such as
    /// `vars.since`. A day alone begins at midnight, in the workflow's time zone.
    #[serde(default)]
    start: Option<Moment>,
    /// The end of the period, included; a day alone is the whole day. The CRM's clock where nothing is said.
    #[serde(default)]
    end: Option<Moment>,
    /// Imports only deletions since the last import.
    #[serde(default)]
    automatic_index: DeletedIndex,
    /// Compares keys: of the inbound ids, a column or an expression such as `crm_id`, those come out that the CRM no longer
    /// has.
    #[serde(default)]
    ids: Option<Source>,
    /// With `ids`: the most that may be missing, a number or a part such as `"5%"`; if more are, the task fails and nothing
    /// comes out. 10 % (10 where that is less), and never all, where nothing is said.
    #[serde(default)]
    max_deletes: Option<MaxDeletes>,
}

/// On or off, or on with settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum DeletedIndex {
    /// On or off.
    Switch(bool),
    /// On, with settings.
    Settings(DeletedIndexSettings),
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeletedIndexSettings {
    /// The option that keeps how far the system has told; `LASTIMPORT_<workflow>_<activity>` where nothing is said.
    #[serde(default)]
    option: Option<String>,
}

impl Default for DeletedIndex {
    fn default() -> Self {
        Self::Switch(false)
    }
}

impl DeletedIndex {
    /// The option's name, or an empty text for the default one; none where it is off.
    fn option(&self) -> Option<&str> {
        match self {
            Self::Switch(false) => None,
            Self::Switch(true) => Some(""),
            Self::Settings(settings) => Some(settings.option.as_deref().unwrap_or_default()),
        }
    }
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "crm.importDeleted",
    elsewhere: &["deleted", "deletions", "removed", "tombstones"],
    effect: Effect::Reads,
    ports: &[Port::always("ok"), Port::with_records("reject")],
    drops: &[
        ("outsidePeriod", "deletions before or after the period"),
        ("alreadyImported", "deletions that the import before has brought"),
        ("stillThere", "records that the CRM still has, with `ids`"),
        ("repeated", "ids that came in more than once, with `ids`"),
    ],
    example: r#"{
        "type": "crm.importDeleted", "account": "dynamics", "object": "contacts",
        "start": "2026/03/01", "end": "2026/03/07",
        "to": "next"
    }"#,
    ..Spec::of::<CrmImportDeleted>()
};

#[async_trait]
impl Activity for CrmImportDeleted {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        self.check_ways(cx);
        self.check_period(cx);
        let object = cx.object(&self.account, &self.object);
        if let Some(object) = &object {
            self.check_told(object, cx);
        }
        let reject = match &self.ids {
            Some(ids) => {
                let input = rows::require("a comparison of keys", input, cx);
                cx.expression("/ids", ids, &input, Some(&Type::Text));
                input.known().map_or(Columns::Unknown, |schema| Columns::Known(rejects::columns(schema)))
            }
            None => {
                if let Some(columns) = input.known() {
                    let message =
                        format!("it does not use the {} that lead into it", counted(columns.fields().len(), "column"));
                    let help = "compare them with \"ids\", or lead from an activity without records".to_owned();
                    cx.problem("", "population-not-used", message, Some(help));
                }
                Columns::Unknown
            }
        };
        let ok = object.map_or(Columns::Unknown, |object| Columns::Known(deleted_columns(&object, cx.time_zone)));
        Flow::from([("ok".to_owned(), ok), ("reject".to_owned(), reject)])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        if let Some(ids) = &self.ids {
            return reconcile::run(self, cx, ids).await;
        }
        reading::run(self, cx).await
    }

    async fn plan(&self, cx: &PlanCx) -> Result<Option<Plan>, Failure> {
        explain::plan(self, cx).await.map(Some)
    }

    fn needs(&self) -> Vec<Need> {
        Need::object(&self.account, &self.object, Vec::new())
    }

    fn index_option(&self) -> Option<&str> {
        self.automatic_index.option()
    }

    fn sets(&self) -> Sets {
        let has_option = self.automatic_index.option().is_some();
        Sets::vars(VARS.into_iter().filter(|name| self.ids.is_none() && (has_option || *name != "crmOptionName")))
    }
}

impl CrmImportDeleted {
    /// The option that keeps how far the system has told.
    fn option(&self, workflow: &str, activity: &str) -> String {
        match self.automatic_index.option() {
            Some(option) if !option.is_empty() => option.to_owned(),
            _ => index_option(workflow, activity),
        }
    }

    /// Somebody tells what is newly deleted, as far as the description says it.
    fn check_told(&self, object: &Object, cx: &mut FlowCx<'_>) {
        if self.automatic_index.option().is_none() || object.feed || object.deletion_log != Some(false) {
            return;
        }
        let message = format!("the CRM tells no deletions of {}", object.name);
        let ways = cx.system(&self.account).map_or([""; 2], |system| [system.new_feed, system.new_log]);
        let ways = ways.into_iter().filter(|how| !how.is_empty());
        let ways = ways.map(|how| format!("{how} ({}) in the CRM", object.internal_name));
        let help = ways.chain(["compare the keys with \"ids\"".to_owned()]).collect::<Vec<_>>().join("; or ");
        cx.problem("/automaticIndex", "no-change-feed", message, Some(help));
    }

    /// Exactly one way to find what was deleted.
    fn check_ways(&self, cx: &mut FlowCx<'_>) {
        let ways = [
            ("start", self.start.is_some() || self.end.is_some()),
            ("automaticIndex", self.automatic_index.option().is_some()),
            ("ids", self.ids.is_some()),
        ];
        let said: Vec<&str> = ways.iter().filter(|(_, said)| *said).map(|(name, _)| *name).collect();
        let help = || Some("write \"start\" and \"end\", or \"automaticIndex\", or \"ids\"".to_owned());
        match said.as_slice() {
            [] => cx.problem("", "deleted-when", "it is not said which deletions are imported", help()),
            [_] => {}
            [.., last] => {
                let message = format!("{} exclude each other", said.join(" and "));
                cx.problem(&format!("/{last}"), "deleted-when", message, help());
            }
        }
        if self.start.is_none() && self.end.is_some() {
            let help = Some("write \"start\"".to_owned());
            cx.problem("/end", "deleted-when", "a period needs a beginning", help);
        }
        if self.max_deletes.is_some() && self.ids.is_none() {
            let help = Some("leave it away, or write \"ids\"".to_owned());
            cx.problem("/maxDeletes", "max-deletes", "only a comparison of keys has \"maxDeletes\"", help);
        }
    }

    /// Texts that are times are compared now; expressions when it runs.
    fn check_period(&self, cx: &mut FlowCx<'_>) {
        let mut bounds = [None, None];
        for (bound, (pointer, source)) in bounds.iter_mut().zip([("/start", &self.start), ("/end", &self.end)]) {
            let Some(source) = source else { continue };
            match When::read(source.text()) {
                Some(when) => *bound = Some(when),
                None => period::check(pointer, source, cx),
            }
        }
        if let [Some(start), Some(end)] = bounds
            && let Err(message) = period::period(start, end, cx.time_zone)
        {
            cx.problem("/end", "end-before-start", message, Some("exchange them".to_owned()));
        }
    }
}

/// The columns of deleted records: the object's id, and when it was deleted.
pub(crate) fn deleted_columns(object: &Object, zone: &TimeZone) -> SchemaRef {
    let id = match object.fields.get(&object.id) {
        Some(field) => field.column(false),
        None => ObjectField::new(&object.id, FieldKind::Text).column(false),
    };
    let id = Arc::new(Field::clone(&id).with_data_type(DataType::Utf8));
    let at = Arc::new(Field::new("deletedon", FieldKind::DateTime.arrow(), true));
    Arc::new(Schema::new(vec![id, Conversion::Default.column(&at, zone)]))
}

/// Deleted records, each with the time of its deletion where it is known.
pub(crate) fn deleted_batch<'a>(
    object: &Object,
    zone: &TimeZone,
    records: impl Iterator<Item = (&'a str, Option<Timestamp>)>,
) -> Result<RecordBatch, Failure> {
    let (ids, times): (Vec<&str>, Vec<Option<i64>>) =
        records.map(|(id, at)| (id, at.map(Timestamp::as_microsecond))).unzip();
    let times = TimestampMicrosecondArray::from(times).with_timezone(UTC);
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(ids)), Arc::new(times)];
    RecordBatch::try_new(deleted_columns(object, zone), columns).map_err(wrong)
}
