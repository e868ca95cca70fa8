//! `test`: leads on by the first condition that is true.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Flow, Port, Spec};
use engine::context::Cx;
use engine::expr::Source;
use engine::failure::Failure;
use engine::flow::FlowCx;
use engine::types::Type;
use engine::variables::Sets;
use schemars::JsonSchema;
use serde::Deserialize;

/// Leads on by the port of the first condition that is true, and by `default` where none is. Conditions see variables
/// and options, and `vars.recCount`, the number of records that came.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Test {
    /// The conditions, in order.
    #[schemars(length(min = 1, max = 100))]
    conditions: Vec<Condition>,
}

/// One condition and its port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// The port that leads on when it is true.
    port: String,
    /// An expression that is true or false, such as `vars.recCount > 0`.
    #[serde(rename = "if")]
    condition: Source,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "test",
    elsewhere: &["if", "condition", "switch", "branch", "router", "decision", "case", "split"],
    example: r#"{
        "type": "test",
        "conditions": [{ "if": "vars.recCount > 1000", "port": "many" }],
        "to": { "many": "next", "default": "next" }
    }"#,
    ..Spec::of::<Test>()
};

/// The port where no condition is true.
const DEFAULT: &str = "default";

#[async_trait]
impl Activity for Test {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        let mut names = BTreeSet::from([DEFAULT, "error", "exhausted"]);
        for (number, condition) in self.conditions.iter().enumerate() {
            if !names.insert(&condition.port) {
                let message = format!("the port \"{}\" is taken", condition.port);
                cx.problem(&format!("/conditions/{number}/port"), "port-taken", message, None);
            }
            let pointer = format!("/conditions/{number}/if");
            cx.expression(&pointer, &condition.condition, &Columns::None, Some(&Type::Bool));
        }
        self.own_ports().into_iter().map(|port| (port.name.into_owned(), input.clone())).collect()
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let records: u64 = cx.inputs().iter().map(engine::population::Population::rows).sum();
        cx.set_var("recCount", records);
        let one_record = RecordBatch::try_new_with_options(
            Arc::new(Schema::empty()),
            Vec::new(),
            &RecordBatchOptions::new().with_row_count(Some(1)),
        )
        .map_err(|error| Failure::internal(error.to_string()))?;
        let mut chosen = DEFAULT;
        for condition in &self.conditions {
            let bound = cx.bind(&condition.condition, &Schema::empty())?;
            let values = cx.values([&bound]).await?;
            let holds = bound.matches(&one_record, &values)?;
            if !holds.is_empty() && holds.value(0) {
                chosen = &condition.port;
                break;
            }
        }
        cx.choose(chosen);
        cx.pass_input_on(chosen);
        Ok(())
    }

    fn sets(&self) -> Sets {
        Sets::vars(["recCount"])
    }

    fn own_ports(&self) -> Vec<Port> {
        let ports = self.conditions.iter().map(|condition| Port::chosen(condition.port.clone()));
        ports.chain([Port::chosen(DEFAULT)]).collect()
    }
}
