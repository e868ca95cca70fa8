//! `script`: a few lines of Rhai between other activities.

use std::sync::Arc;

use async_trait::async_trait;
use engine::activity::{Activity, Columns, Flow, Port, Spec};
use engine::context::{Cx, Notes};
use engine::event::{Level, Vars};
use engine::expr::ExprError;
use engine::failure::{Class, Failure};
use engine::flow::FlowCx;
use engine::script::{self, Host, ScriptErrorKind};
use engine::variables::Sets;
use jiff::{Timestamp, tz::TimeZone};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::runtime::Handle;

/// Runs a script in the Rhai language. It reads and sets `vars`, `instance.vars` and options, and writes to the journal
/// with `log_info`, `log_warning` and `log_error`. What came in goes on unchanged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Script {
    /// The script, as one text or as a list of lines.
    script: Text,
}

/// A text, or its lines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Text {
    /// All of it.
    Whole(String),
    /// Line by line.
    Lines(Vec<String>),
}

impl Text {
    fn joined(&self) -> String {
        match self {
            Self::Whole(text) => text.clone(),
            Self::Lines(lines) => lines.join("\n"),
        }
    }
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "script",
    elsewhere: &["code", "javascript", "js", "python", "function", "transform", "set"],
    ports: &[Port::always("ok")],
    example: r#"{
        "type": "script",
        "script": ["instance.vars.total = (instance.vars.total ?? 0) + vars.recCount;", "log_info(`${instance.vars.total} so far`);"],
        "to": "next"
    }"#,
    ..Spec::of::<Script>()
};

#[async_trait]
impl Activity for Script {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        let text = self.script.joined();
        let checked = script::check(&text, cx.functions());
        for error in checked.errors {
            let (pointer, error) = self.place(error, &text);
            cx.expression_problem(&pointer, error);
        }
        for (variable, at) in &checked.reads {
            if let Some(error) = cx.unset(variable, *at) {
                let (pointer, error) = self.place(error, &text);
                cx.unset_problem(&pointer, error);
            }
        }
        Flow::from([("ok".to_owned(), input.clone())])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let script = script::Script::compile_with(&self.script.joined(), cx.functions())?;
        let records: u64 = cx.inputs().iter().map(engine::population::Population::rows).sum();
        cx.set_var("recCount", records);
        let notes = cx.notes();
        let cancelled = notes.cancelled();
        let host = Arc::new(Outside { notes, runtime: Handle::current(), zone: cx.time_zone.clone() });
        let (vars, instance, limits) = (cx.vars(), cx.instance_vars(), cx.limits().script.clone());
        let run = move || script.run(host, vars, instance, Vars::new(), &limits, cancelled);
        let outcome = tokio::task::spawn_blocking(run).await.map_err(|error| Failure::internal(error.to_string()))?;
        let outcome = outcome.map_err(|error| {
            let class = match error.kind {
                ScriptErrorKind::Limit(_) | ScriptErrorKind::Deadline => Class::Limit,
                ScriptErrorKind::Stopped => Class::Stopped,
                ScriptErrorKind::Host => Class::Storage,
                ScriptErrorKind::Unset => Class::Config,
                ScriptErrorKind::Thrown | ScriptErrorKind::Other => Class::Data,
            };
            Failure::new(class, format!("the script, {error}"))
        })?;
        for (name, value) in outcome.vars {
            cx.set_var(&name, value);
        }
        for (name, value) in outcome.instance {
            cx.set_instance_var(&name, value);
        }
        cx.pass_input_on("ok");
        Ok(())
    }

    fn sets(&self) -> Sets {
        let script::Checked { sets, sets_any, .. } =
            script::check(&self.script.joined(), &script::Functions::default());
        let mut variables = Sets::vars(["recCount"]).variables;
        variables.extend(sets);
        Sets { variables, any: sets_any }
    }
}

impl Script {
    /// The pointer to an error, and its place there, which is in one of the lines where the script is a list of them.
    fn place(&self, error: ExprError, text: &str) -> (String, ExprError) {
        match &self.script {
            Text::Whole(_) => ("/script".to_owned(), error),
            Text::Lines(_) => {
                let (line, column) = error.line_column(text);
                let error = ExprError { at: Some(column.saturating_sub(1)), ..error };
                (format!("/script/{}", line.saturating_sub(1)), error)
            }
        }
    }
}

/// What a script sees of the outside, from the thread that it runs on.
struct Outside {
    notes: Notes,
    runtime: Handle,
    zone: TimeZone,
}

impl Host for Outside {
    fn option(&self, name: &str) -> Result<Option<String>, String> {
        self.runtime.block_on(self.notes.option(name)).map_err(|failure| failure.to_string())
    }

    fn is_index(&self, name: &str) -> bool {
        self.notes.is_index(name)
    }

    fn set_option(&self, name: &str, value: &str) -> Result<(), String> {
        self.runtime.block_on(self.notes.set_option(name, value)).map_err(|failure| failure.to_string())
    }

    fn log(&self, level: script::Level, message: &str) {
        let level = match level {
            script::Level::Info => Level::Info,
            script::Level::Warning => Level::Warning,
            script::Level::Error => Level::Error,
        };
        // A note that cannot be written is told by the task's own end, which cannot be written either.
        if let Err(failure) = self.runtime.block_on(self.notes.log(level, message.to_owned())) {
            tracing::warn!(%failure, message, "a note of the script was lost");
        }
    }

    fn now(&self) -> Timestamp {
        self.notes.now()
    }

    fn zone(&self) -> TimeZone {
        self.zone.clone()
    }
}
