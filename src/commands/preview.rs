//! `campanile preview`

use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use engine::event::TaskId;
use engine::outside::store::RunId;
use serde_json::{Map, Value};
use server::api::ROWS_DEFAULT;
use server::client::step;
use server::preview::Preview;
use server::project::Project;

use crate::fault::Fault;
use crate::global::{Global, run_name};
use crate::table::{Table, counted, number};
use crate::terminal;

/// Look at the records on a port of an activity, also while they grow.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run, such as dynamicsImport-7.
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: RunId,
    /// The activity.
    #[arg(value_name = "ACTIVITY")]
    activity: String,
    /// The port.
    #[arg(value_name = "PORT", default_value = "ok")]
    port: String,
    /// The task, by its number; without it the activity's latest.
    #[arg(long, value_name = "N")]
    task: Option<TaskId>,
    /// How many records at most; 10,000 is the most there is.
    #[arg(long, value_name = "N", default_value_t = ROWS_DEFAULT)]
    limit: usize,
    /// How they are written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How records are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Table,
    /// A line of names, then a line a record.
    Csv,
    /// A list of objects.
    Json,
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = Arc::new(Project::of_run(&global.given(), &args.run)?);
    let task = args.task.map(|task| format!("&task={task}")).unwrap_or_default();
    let (activity, port) = (step(&args.activity), step(&args.port));
    let path = format!("/runs/{}/populations/{activity}/{port}?limit={}{task}", args.run, args.limit);
    let preview: Preview = global.ask(&project, async |client| client.get(&path).await).await?;
    match if global.json { Format::Json } else { args.format } {
        Format::Table => table(&preview),
        Format::Csv => csv(&preview),
        Format::Json => json(&preview),
    }
    if !global.json {
        told(&preview);
    }
    Ok(ExitCode::SUCCESS)
}

fn table(preview: &Preview) {
    let names: Vec<&str> = preview.columns.iter().map(|column| column.name.as_str()).collect();
    let mut table = Table::new(&names).with_empty_columns();
    for row in &preview.rows {
        let cell = |value: &Value| if value.is_null() { "∅".to_owned() } else { text(value) };
        table.row(row.iter().map(cell).collect());
    }
    table.print("");
}

/// How much of how many it was, for who watches.
fn told(preview: &Preview) {
    let more = if preview.growing { " so far" } else { "" };
    let all = counted(preview.records, "record");
    let shown = match preview.rows.len() as u64 {
        rows if rows == preview.records => String::new(),
        rows => format!("{} of ", number(rows)),
    };
    terminal::note(&format!(
        "{shown}{all}{more} on port {} of {} (task {})",
        preview.port, preview.activity, preview.task
    ));
}

fn csv(preview: &Preview) {
    let line = |cells: Vec<String>| cells.iter().map(|cell| field(cell)).collect::<Vec<_>>().join(",");
    terminal::line(&line(preview.columns.iter().map(|column| column.name.clone()).collect()));
    for row in &preview.rows {
        terminal::line(&line(row.iter().map(text).collect()));
    }
}

fn json(preview: &Preview) {
    let object = |row: &Vec<Value>| {
        let cells = preview.columns.iter().zip(row);
        Value::Object(cells.map(|(column, value)| (column.name.clone(), value.clone())).collect::<Map<_, _>>())
    };
    terminal::json(&preview.rows.iter().map(object).collect::<Vec<_>>());
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// By RFC 4180.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
