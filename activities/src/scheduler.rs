//! `scheduler`: when runs begin.

use std::str::FromStr;

use async_trait::async_trait;
use croner::Cron;
use engine::activity::{Activity, Columns, Flow, Port, Spec};
use engine::context::Cx;
use engine::failure::Failure;
use engine::flow::FlowCx;
use engine::workflow::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// Says when runs begin, for a service that runs workflows by the clock. `campanile run` does not wait for the time: it
/// begins at once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scheduler {
    /// Begins a run each time this length of time has passed, such as `15m`.
    #[serde(default)]
    every: Option<Span>,
    /// Begins a run at the times of a cron expression of five fields, such as `0 6 * * MON-FRI`, in the activity's time
    /// zone.
    #[serde(default)]
    cron: Option<String>,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "scheduler",
    elsewhere: &["schedule", "cron", "timer", "every", "interval"],
    inbound: false,
    ports: &[Port::always("ok")],
    example: r#"{ "type": "scheduler", "cron": "0 6 * * MON-FRI", "timeZone": "Europe/Paris", "to": "next" }"#,
    ..Spec::of::<Scheduler>()
};

#[async_trait]
impl Activity for Scheduler {
    fn flow(&self, _: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        match (&self.every, &self.cron) {
            (Some(_), Some(_)) => {
                let help = Some("keep one of them, or use two schedulers".to_owned());
                cx.problem("/cron", "two-schedules", "\"every\" and \"cron\" cannot both be given", help);
            }
            (None, None) => {
                let help = Some("write \"every\": \"15m\" or \"cron\": \"0 6 * * *\"".to_owned());
                cx.problem("", "no-schedule", "a scheduler needs \"every\" or \"cron\"", help);
            }
            (None, Some(cron)) => {
                if let Err(error) = Cron::from_str(cron) {
                    let help = Some("five fields: minute, hour, day of the month, month, day of the week".to_owned());
                    cx.problem("/cron", "cron", format!("\"{cron}\" is not a cron expression: {error}"), help);
                }
            }
            (Some(every), None) => {
                if every.0.is_zero() {
                    cx.problem("/every", "no-schedule", "a schedule cannot repeat without end at once", None);
                }
            }
        }
        Flow::from([("ok".to_owned(), Columns::None)])
    }

    async fn run(&self, _: &mut Cx) -> Result<(), Failure> {
        Ok(())
    }
}
