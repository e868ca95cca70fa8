//! `start`: where a run begins.

use async_trait::async_trait;
use engine::activity::{Activity, Columns, Flow, Port, Spec};
use engine::context::Cx;
use engine::failure::Failure;
use engine::flow::FlowCx;
use schemars::JsonSchema;
use serde::Deserialize;

/// Marks where a run begins. It may be left out: every activity that nothing leads into begins a run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Start {}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "start",
    elsewhere: &["begin", "trigger", "entry"],
    inbound: false,
    ports: &[Port::always("ok")],
    example: r#"{ "type": "start", "to": "next" }"#,
    ..Spec::of::<Start>()
};

#[async_trait]
impl Activity for Start {
    fn flow(&self, _: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), Columns::None)])
    }

    async fn run(&self, _: &mut Cx) -> Result<(), Failure> {
        Ok(())
    }
}
