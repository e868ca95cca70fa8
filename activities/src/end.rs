//! `end`: where a branch ends.

use async_trait::async_trait;
use engine::activity::{Activity, Columns, Flow, Spec};
use engine::context::Cx;
use engine::failure::Failure;
use engine::flow::FlowCx;
use schemars::JsonSchema;
use serde::Deserialize;

/// Ends a branch. It may be left out: a branch also ends where nothing leads on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct End {
    /// Also stops everything else that is still running.
    #[serde(default)]
    stop_all: bool,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "end",
    elsewhere: &["stop", "finish", "exit", "terminate"],
    example: r#"{ "type": "end", "stopAll": true }"#,
    drops: &[("end", "all records that reach it")],
    ..Spec::of::<End>()
};

#[async_trait]
impl Activity for End {
    fn flow(&self, _: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::new()
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let rows = cx.inputs().iter().map(engine::population::Population::rows).sum();
        cx.dropped("end", rows);
        if self.stop_all {
            cx.stop_all();
        }
        Ok(())
    }
}
