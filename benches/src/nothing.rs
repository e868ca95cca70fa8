//! `nothing`: an activity that does nothing, to see what a task costs by itself.

use async_trait::async_trait;
use engine::activity::{Activity, Columns, Flow, Port, Spec};
use engine::context::Cx;
use engine::failure::Failure;
use engine::flow::FlowCx;
use schemars::JsonSchema;
use serde::Deserialize;

/// Does nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Nothing {}

/// What the palette shows.
pub(crate) static SPEC: Spec = Spec {
    kind: "nothing",
    ports: &[Port::always("ok")],
    example: r#"{ "type": "nothing" }"#,
    ..Spec::of::<Nothing>()
};

#[async_trait]
impl Activity for Nothing {
    fn flow(&self, _: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), Columns::None)])
    }

    async fn run(&self, _: &mut Cx) -> Result<(), Failure> {
        Ok(())
    }
}
