//! `wait`: holds what came for a while.

use async_trait::async_trait;
use engine::activity::{Activity, Columns, Flow, Port, Spec};
use engine::context::Cx;
use engine::failure::Failure;
use engine::flow::FlowCx;
use engine::workflow::{ATTEMPTS_DEFAULT, Span};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

/// Holds what came for a length of time, then passes it on. In a loop, such as error → wait → try again, it also
/// bounds how often the loop may pass: `attempts`, 5 where nothing is said; then its port `exhausted` leads on, or the
/// run waits for an operator.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wait {
    /// How long, such as `30s`, `5m`, `2h` or `1d`.
    #[serde(rename = "for")]
    length: Span,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "wait",
    elsewhere: &["pause", "sleep", "delay"],
    ports: &[Port::always("ok")],
    example: r#"{ "type": "wait", "for": "5m", "attempts": 5, "to": "next" }"#,
    ..Spec::of::<Wait>()
};

/// What older versions sealed before they waited: a run that they began waits no longer than it was to.
#[derive(Deserialize)]
struct Position {
    until: Timestamp,
}

#[async_trait]
impl Activity for Wait {
    fn flow(&self, input: &Columns, _: &mut FlowCx<'_>) -> Flow {
        Flow::from([("ok".to_owned(), input.clone())])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        if cx.has_waited() {
            cx.pass_input_on("ok");
            return Ok(());
        }
        let until = match cx.position::<Position>()? {
            Some(Position { until }) => until,
            None => cx.clock().now().checked_add(self.length.0).unwrap_or(Timestamp::MAX),
        };
        cx.wait_until(until);
        Ok(())
    }

    fn attempts_default(&self) -> Option<u32> {
        Some(ATTEMPTS_DEFAULT)
    }
}
