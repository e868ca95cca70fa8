//! What an activity is: one struct in one file, whose fields are what authors write.
//!
//! ```ignore
//! /// Keeps one record of each group of equal ones.
//! #[derive(Debug, Deserialize, JsonSchema)]
//! #[serde(rename_all = "camelCase", deny_unknown_fields)]
//! pub struct Dedupe { by: Vec<Source>, … }
//!
//! pub static SPEC: Spec = Spec { kind: "dedupe", ports: &[Port::always("ok")], …, ..Spec::of::<Dedupe>() };
//! ```

use std::borrow::Cow;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::context::Cx;
use crate::expr::Source;
use crate::failure::Failure;
use crate::flow::FlowCx;
use crate::graph::Arrivals;
use crate::plan::{Plan, PlanCx};
use crate::scope::IndexScope;
use crate::variables::Sets;

/// One activity of a workflow, as its author set it.
#[async_trait]
pub trait Activity: Send + Sync {
    /// The columns that come out of each port, of the columns that come in; and what is wrong with the settings, given
    /// those columns. A pure function, for `check`, the run and the forms.
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow;

    /// Works. It may be called again after a crash or a failure, and then goes on from [`Cx::position`].
    ///
    /// # Errors
    /// Whatever keeps it from ending; what it sealed stays.
    async fn run(&self, cx: &mut Cx) -> Result<(), Failure>;

    /// What it would ask of a CRM if it worked now, for `campanile explain`. Nothing is written or recorded.
    ///
    /// # Errors
    /// Where it could not begin, as its run would say.
    async fn plan(&self, _: &PlanCx) -> Result<Option<Plan>, Failure> {
        Ok(None)
    }

    /// Expressions over the columns that come in which together name a record, where there are such: a reject is known by
    /// them, and closed once a record that they name the same passes.
    ///
    /// # Errors
    /// Where what the outside must be known for is not known.
    async fn record_key(&self, _: &Cx) -> Result<Vec<Source>, Failure> {
        Ok(Vec::new())
    }

    /// What went out of each of these records, or would have, by the names of the fields that it was meant for; nothing where
    /// nothing goes out. The rejects desk keeps it beside the record.
    ///
    /// # Errors
    /// Where what the outside must be known for is not known.
    async fn sent(&self, _: &Cx, _: &RecordBatch) -> Result<Vec<Map<String, Value>>, Failure> {
        Ok(Vec::new())
    }

    /// Remembers, beyond the run, what a task has written that nothing was handed on of, and what is in doubt: the task may
    /// never go on. It may be called again, and then remembers the same.
    ///
    /// # Errors
    /// If it cannot be remembered: what the task keeps to go on with must stay.
    async fn remember(&self, _: &Cx) -> Result<(), Failure> {
        Ok(())
    }

    /// What must be known of the outside for [`flow`](Activity::flow).
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }

    /// Ports whose names the settings choose, in addition to those of the specification.
    fn own_ports(&self) -> Vec<Port> {
        Vec::new()
    }

    /// Variables that it sets for what comes after it.
    fn sets(&self) -> Sets {
        Sets::default()
    }

    /// Attempts of a loop that passes through it, where its author says nothing.
    fn attempts_default(&self) -> Option<u32> {
        None
    }

    /// How it takes what arrives.
    fn arrivals(&self) -> Arrivals {
        Arrivals::Each
    }

    /// The account and object whose changes it brings, run by run; none if it does not, or brings more than changes.
    fn brings_changes(&self) -> Option<(&str, &str)> {
        None
    }

    /// The account and object whose records it inserts or updates.
    fn changes_records(&self) -> Option<(&str, &str)> {
        None
    }

    /// The automatic index that it keeps: the option's name, or an empty text for the default one.
    fn index_option(&self) -> Option<&str> {
        None
    }

    /// Which records its automatic index is of; none if it has none, or if they never change.
    fn index_scope(&self) -> Option<IndexScope> {
        None
    }
}

/// Columns by port.
pub type Flow = IndexMap<String, Columns>;

/// What is known of the columns on a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// There is no population.
    None,
    /// It could not be found out, since something outside or before is not known.
    Unknown,
    /// These, without the column that keeps the order.
    Known(SchemaRef),
}

impl Columns {
    /// The columns, if they are known.
    pub fn known(&self) -> Option<&SchemaRef> {
        match self {
            Self::Known(schema) => Some(schema),
            Self::None | Self::Unknown => None,
        }
    }
}

/// What a flow needs to know of the outside.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// The account.
    Account(String),
    /// An object of a CRM.
    Object {
        /// The account.
        account: String,
        /// The object.
        object: String,
    },
    /// A field of a related record, by its path.
    Field {
        /// The account.
        account: String,
        /// The object that the path begins at.
        object: String,
        /// Such as `Account.AccountNumber`.
        path: String,
    },
    /// A table of the database.
    Table(String),
}

impl Need {
    /// An object of a CRM with fields of related records, by their paths.
    pub fn object(account: &str, object: &str, paths: Vec<String>) -> Vec<Self> {
        let (account, object) = (account.to_owned(), object.to_owned());
        let field = |path| Self::Field { account: account.clone(), object: object.clone(), path };
        let mut needs: Vec<Self> = paths.into_iter().map(field).collect();
        needs.extend([Self::Account(account.clone()), Self::Object { account, object }]);
        needs
    }
}

/// What an activity may do to the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Pure,
    /// It reads.
    Reads,
    /// It writes; a simulated run leaves it out.
    Writes,
}

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: Cow<'static, str>,
    /// When it carries an event.
    pub when: When,
    /// The boolean setting without which the activity does not have it, as a JSON pointer such as `/complement`.
    pub only_with: Option<&'static str>,
}

/// When a port carries an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Whenever the task ended well, even with no record.
    Always,
    /// When it has records.
    WithRecords,
    /// When the task chose it.
    Chosen,
}

impl Port {
    /// It always carries an event.
    pub const fn always(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), when: When::Always, only_with: None }
    }

    /// It carries an event when it has records.
    pub const fn with_records(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), when: When::WithRecords, only_with: None }
    }

    /// It carries an event when the task chose it.
    pub fn chosen(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), when: When::Chosen, only_with: None }
    }

    /// The same, for activities in which this boolean setting is `true`; a JSON pointer.
    #[must_use]
    pub const fn only_with(mut self, setting: &'static str) -> Self {
        self.only_with = Some(setting);
        self
    }

    /// The setting that adds the port, as an author writes it: `"complement": true`.
    pub fn setting(&self) -> Option<String> {
        let names: Vec<&str> = self.only_with?.split('/').skip(1).collect();
        let inner = names.iter().rev().fold("true".to_owned(), |value, name| match value.as_str() {
            "true" => format!("\"{name}\": true"),
            value => format!("\"{name}\": {{ {value} }}"),
        });
        Some(inner)
    }
}

/// What is known of a type of activity.
pub struct Spec {
    /// The word for `type`.
    pub kind: &'static str,
    /// What people call it who know other tools, for those who write that as its type.
    pub elsewhere: &'static [&'static str],
    /// What it may do to the outside.
    pub effect: Effect,
    /// Whether anything may lead into it.
    pub inbound: bool,
    /// Its ways out, in addition to `error` and `exhausted`, which every activity has.
    pub ports: &'static [Port],
    /// The rules by which it drops records, each with what it drops.
    pub drops: &'static [(&'static str, &'static str)],
    /// A JSON object as an author would write it; a test checks it, and the manual shows it.
    pub example: &'static str,
    /// Records that go into the example, and those that come out of each port, as JSON: `{ "in": […], "ok": […] }`, with the
    /// tables that it reads as SQL in `database`. A test runs it, and the manual shows it. Empty for activities that need
    /// more of the outside.
    pub sample: &'static str,
    /// The JSON Schema of its settings, from its fields and their comments.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Makes it of its settings.
    pub build: fn(Value) -> Result<Box<dyn Activity>, serde_json::Error>,
}

impl Spec {
    /// What follows from the struct; the rest is written beside it.
    pub const fn of<A: Activity + DeserializeOwned + JsonSchema + 'static>() -> Self {
        Self {
            kind: "",
            elsewhere: &[],
            effect: Effect::Pure,
            inbound: true,
            ports: &[],
            drops: &[],
            example: "{}",
            sample: "",
            schema: A::json_schema,
            build: |settings| Ok(Box::new(serde_json::from_value::<A>(settings)?)),
        }
    }
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spec").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// All types of activities that there are.
pub type Palette = &'static [&'static Spec];
