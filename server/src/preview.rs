//! Looks into a population, also while it grows.

use std::path::Path;

use arrow::datatypes::{Field, SchemaRef};
use engine::event::{Segment, TaskId};
use engine::expr::Value;
use engine::failure::{Class, Failure};
use engine::outside::store::RunId;
use engine::population::read_segment;
use engine::problem::suggestion;
use engine::run::{Run, Task};
use engine::types::{Type, is_hidden, meta};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// The most records that are looked at at once.
pub const ROWS_MAX: usize = 10_000;

/// Which population to look into.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The activity.
    pub activity: String,
    /// The port.
    pub port: String,
    /// The task; without it, the activity's latest.
    pub task: Option<TaskId>,
    /// How many records at most.
    pub limit: usize,
}

/// The first records of a population.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Preview {
    /// The run.
    pub run: RunId,
    /// The activity.
    pub activity: String,
    /// The task that made it.
    pub task: TaskId,
    /// The port.
    pub port: String,
    /// How many records it has.
    pub records: u64,
    /// Whether more may come.
    pub growing: bool,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its first records, a value for each column.
    pub rows: Vec<Vec<serde_json::Value>>,
}

/// A column.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, in an author's words.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its label in the system it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A population that was found, with nothing of it read yet.
#[derive(Debug)]
pub(crate) struct Found {
    preview: Preview,
    segments: Vec<Segment>,
}

/// Finds the population in the run.
pub(crate) fn find(id: &RunId, run: &Run, wanted: &Wanted) -> Result<Found, Failure> {
    let task = find_task(id, run, wanted)?;
    let port = &wanted.port;
    let came_in = || {
        let (from, port) = task.inputs.first().filter(|_| port == "error" && task.emitted.contains(port))?;
        run.population(*from, port)
    };
    let segments = run.population(task.id, port).or_else(came_in).map(<[_]>::to_vec).ok_or_else(|| {
        let (activity, number) = (&task.activity, task.id);
        let message = format!("task {number} ({activity}) of run {id} has no population on port \"{port}\"");
        let ports: Vec<&str> = task.ports.keys().map(String::as_str).collect();
        let help = suggestion(port, ports).unwrap_or_else(|| match task.is_live() {
            true => "nothing is sealed yet; try again in a moment".to_owned(),
            false => "this task made no records".to_owned(),
        });
        Failure::new(Class::Config, message).help(help)
    })?;
    let preview = Preview {
        run: id.clone(),
        activity: task.activity.clone(),
        task: task.id,
        port: port.clone(),
        records: segments.iter().map(|segment| segment.rows).sum(),
        growing: task.is_live(),
        columns: Vec::new(),
        rows: Vec::new(),
    };
    Ok(Found { preview, segments })
}

fn find_task<'a>(id: &RunId, run: &'a Run, wanted: &Wanted) -> Result<&'a Task, Failure> {
    let activity = &wanted.activity;
    let of_activity = |task: &&Task| task.activity == *activity;
    if let Some(number) = wanted.task {
        return run.task(number).filter(of_activity).ok_or_else(|| {
            let numbers: Vec<String> = run.tasks.iter().filter(of_activity).map(|task| task.id.to_string()).collect();
            let failure = Failure::new(Class::Config, format!("run {id} has no task {number} of \"{activity}\""));
            match numbers.as_slice() {
                [] => failure,
                numbers => failure.help(format!("there are: {}", numbers.join(", "))),
            }
        });
    }
    run.tasks.iter().rev().find(of_activity).ok_or_else(|| {
        let names: Vec<&str> = run.graph().activities().map(|(name, _)| name).collect();
        if names.contains(&activity.as_str()) {
            return Failure::new(Class::Config, format!("\"{activity}\" of run {id} has not begun yet"));
        }
        let failure = Failure::new(Class::Config, format!("run {id} has no activity \"{activity}\""));
        match suggestion(activity, names) {
            Some(help) => failure.help(help),
            None => failure,
        }
    })
}

/// Reads the first records. It blocks.
pub(crate) fn read(run_folder: &Path, found: Found, limit: usize) -> Result<Preview, Failure> {
    let Found { mut preview, segments } = found;
    let limit = limit.min(ROWS_MAX);
    for segment in &segments {
        let (schema, batches) = read_segment(run_folder, segment)?;
        if preview.columns.is_empty() {
            preview.columns = columns(&schema);
        }
        for batch in batches {
            let batch = batch?;
            let shown: Vec<usize> = (0..batch.num_columns()).filter(|n| !is_hidden(schema.field(*n))).collect();
            let zones: Vec<Option<TimeZone>> = schema.fields().iter().map(|field| zone(field)).collect();
            for row in 0..batch.num_rows() {
                if preview.rows.len() >= limit {
                    return Ok(preview);
                }
                let value = |n: &usize| match (Value::at(batch.column(*n).as_ref(), row), &zones[*n]) {
                    (Value::DateTime(at), Some(zone)) => {
                        at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string().into()
                    }
                    _ => Value::json_at(batch.column(*n), row),
                };
                preview.rows.push(shown.iter().map(value).collect());
            }
        }
        if preview.rows.len() >= limit {
            break;
        }
    }
    Ok(preview)
}

/// The zone in which a column's instants are shown, where it is not UTC.
fn zone(field: &Field) -> Option<TimeZone> {
    TimeZone::get(field.metadata().get(meta::TIME_ZONE)?).ok()
}

fn columns(schema: &SchemaRef) -> Vec<Column> {
    let shown = schema.fields().iter().filter(|field| !is_hidden(field));
    let column = |field: &arrow::datatypes::FieldRef| Column {
        name: field.name().clone(),
        kind: Type::of(field.data_type()).map_or_else(|| field.data_type().to_string(), |kind| kind.to_string()),
        label: field.metadata().get(meta::LABEL).cloned(),
    };
    shown.map(column).collect()
}
