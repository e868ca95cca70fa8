//! `file.extract`: writes records into a file.
//!
//! ```text
//!   records ─▶ .rejects.csv.<run>-<task>.part ─▶ sync ─▶ rename ─▶ sync folder ─▶ position: written
//! ```
//!
//! A crash leaves no half file under the file's own name, and a task that goes on writes the file anew.

pub(crate) mod place;
pub(crate) mod text;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv::writer::{Writer, WriterBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Effect, Flow, Port, Spec};
use engine::context::Cx;
use engine::expr::{Bound, Source, Values};
use engine::failure::Failure;
use engine::flow::FlowCx;
use engine::population::Population;
use engine::variables::Sets;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rows::{self, Out};
use place::Place;

/// Writes records into a CSV file: UTF-8, with a line of names first, values in quotes where they need it. Dates are
/// written as `2026-01-31`, instants in UTC as `2026-01-31 13:05:00.000000Z`, an empty value as nothing at all.
///
/// The records go on unchanged, and `vars.filename` tells what comes after where the file is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileExtract {
    /// The file, within the folder for files, such as `out/rejects-{date}.csv`. `{workflow}`, `{run}`, `{task}` and
    /// `{date}` stand for the workflow, the run, the task and the day. A file of an earlier run is written over. Where
    /// another task of the same run has already written a file of this name, the task's number is added to the name.
    path: String,
    /// The columns, in order: names of columns, or new ones with an expression. Without it, all columns.
    #[serde(default)]
    #[schemars(length(min = 1))]
    columns: Option<Vec<Column>>,
    /// What stands between two values: one character, such as `;`, or `tab`.
    #[serde(default = "comma")]
    separator: String,
    /// Whether the first line has the names of the columns.
    #[serde(default = "yes")]
    header: bool,
    /// Puts a `'` before text that a spreadsheet would take for a formula (that begins with `=`, `+`, `-` or `@`). Leave
    /// it off for files that programs read: they would read the `'` too.
    #[serde(default)]
    defuse_formulas: bool,
}

fn comma() -> String {
    ",".to_owned()
}

fn yes() -> bool {
    true
}

/// A column of the file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Column {
    /// A column of the records.
    Name(String),
    /// A computed one.
    Computed(Computed),
}

/// A computed column of the file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Computed {
    /// Its name in the file.
    name: String,
    /// What it holds.
    expression: Source,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "file.extract",
    elsewhere: &["file", "csv", "extract", "excel", "xlsx", "report", "download", "mail", "email"],
    effect: Effect::Writes,
    ports: &[Port::always("ok")],
    example: r#"{
        "type": "file.extract",
        "path": "rejects-{run}.csv",
        "columns": ["emailaddress1", { "name": "name", "expression": "firstname + \" \" + lastname" }],
        "separator": ";",
        "to": "next"
    }"#,
    ..Spec::of::<FileExtract>()
};

/// Where a task goes on, once the file is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    /// The file.
    written: String,
    /// Files of the population that were passed on.
    segment: usize,
}

#[async_trait]
impl Activity for FileExtract {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        let input = &rows::require("a file", input, cx);
        if let Err((message, help)) = place::check(&self.path) {
            cx.problem("/path", "bad-path", message, Some(help));
        }
        if self.separator_byte().is_none() {
            let message = format!("\"{}\" cannot separate values", self.separator);
            let help =
                "use one ASCII character that is no letter, digit or quote, such as ; or |, or \"tab\"".to_owned();
            cx.problem("/separator", "bad-separator", message, Some(help));
        }
        let mut names: Vec<&str> = Vec::new();
        for (number, column) in self.columns.iter().flatten().enumerate() {
            let (name, source) = column.parts();
            let pointer = match column {
                Column::Name(_) => format!("/columns/{number}"),
                Column::Computed(_) => format!("/columns/{number}/expression"),
            };
            match column {
                Column::Name(name) => check_column(&pointer, name, input, cx),
                Column::Computed(_) => drop(cx.expression(&pointer, &source, input, None)),
            }
            if names.contains(&name) {
                let message = format!("there is a column \"{name}\" already");
                cx.problem(&format!("/columns/{number}"), "column-taken", message, None);
            }
            names.push(name);
        }
        Flow::from([("ok".to_owned(), input.clone())])
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let (population, columns) = rows::input(cx).await?;
        let mut position = match cx.position::<Position>()? {
            Some(position) => position,
            None => {
                let written = self.write(cx, &population, &columns).await?;
                let position = Position { written, segment: 0 };
                cx.seal(&position).await?;
                position
            }
        };
        cx.set_var("filename", position.written.clone());
        let mut out = Out::default();
        for segment in &population.segments()[position.segment..] {
            out.pass_on(cx, "ok", segment, &position).await?;
            position.segment += 1;
        }
        Ok(())
    }

    fn sets(&self) -> Sets {
        Sets::vars(["filename"])
    }
}

impl Column {
    fn parts(&self) -> (&str, Source) {
        match self {
            Self::Name(name) => (name, Source::from(format!("field({name:?})"))),
            Self::Computed(Computed { name, expression }) => (name, expression.clone()),
        }
    }
}

fn check_column(pointer: &str, name: &str, input: &Columns, cx: &mut FlowCx<'_>) {
    let Some(schema) = input.known() else { return };
    if schema.column_with_name(name).is_none() {
        let help = cx.suggestions.of(name, schema.fields().iter().map(|field| field.name().as_str()));
        cx.problem(pointer, "unknown-column", format!("there is no column \"{name}\""), help);
    }
}

impl FileExtract {
    /// All columns, as the defaults are.
    pub(crate) fn whole(path: &str) -> Self {
        Self { path: path.to_owned(), columns: None, separator: comma(), header: true, defuse_formulas: false }
    }

    fn separator_byte(&self) -> Option<u8> {
        match self.separator.as_bytes() {
            b"tab" => Some(b'\t'),
            [byte] if (byte.is_ascii_punctuation() && *byte != b'"') || matches!(*byte, b' ' | b'\t') => Some(*byte),
            _ => None,
        }
    }

    /// Writes the file, and returns its path within the folder for files.
    pub(crate) async fn write(&self, cx: &Cx, population: &Population, columns: &SchemaRef) -> Result<String, Failure> {
        let place = Place::take(cx, population.run_folder(), &self.path)?;
        let part = place.part();
        let written = self.write_part(cx, population, columns, &part).await;
        let done = match written {
            Ok(()) => place.put(),
            Err(failure) => Err(failure),
        };
        if done.is_err() {
            // What is left of it is of no use to anybody.
            std::fs::remove_file(&part).ok();
        }
        done.map(|()| place.name)
    }

    async fn write_part(
        &self,
        cx: &Cx,
        population: &Population,
        columns: &SchemaRef,
        part: &Path,
    ) -> Result<(), Failure> {
        let wanted = self.wanted(cx, columns)?;
        let bounds: Vec<&Bound> = wanted.iter().map(|(_, bound)| bound).collect();
        let values = cx.values(bounds).await?;
        let io = |error: &std::io::Error| Failure::io(format!("cannot write {}", part.display()), error);
        let file = cx.files_access().create(part).map_err(|error| io(&error))?;
        let mut file =
            Csv::new(file, self.separator_byte().unwrap_or(b','), &wanted, self.header).map_err(failed(part))?;
        let mut batches = population.read();
        let mut done = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            cx.go_on()?;
            let texts = self.texts(&batch, done, &wanted, &values, &file.schema)?;
            done += batch.num_rows() as u64;
            file = tokio::task::spawn_blocking(move || file.write(&texts).map(|()| file))
                .await
                .map_err(|error| Failure::internal(error.to_string()))?
                .map_err(failed(part))?;
            cx.progress(done, Some(population.rows()));
        }
        let mut buffered = file.writer.into_inner();
        buffered.flush().map_err(|error| io(&error))?;
        buffered.get_ref().sync_all().map_err(|error| io(&error))
    }

    /// The columns of the file, by name.
    fn wanted(&self, cx: &Cx, columns: &SchemaRef) -> Result<Vec<(String, Bound)>, Failure> {
        let all: Vec<Column>;
        let wanted = match &self.columns {
            Some(columns) => columns,
            None => {
                all = columns.fields().iter().map(|field| Column::Name(field.name().clone())).collect();
                &all
            }
        };
        let bind = |column: &Column| {
            let (name, source) = column.parts();
            Ok((name.to_owned(), cx.bind(&source, columns)?))
        };
        wanted.iter().map(bind).collect()
    }

    fn texts(
        &self,
        batch: &RecordBatch,
        first: u64,
        wanted: &[(String, Bound)],
        values: &Values,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, Failure> {
        let columns = wanted.iter().map(|(_, bound)| {
            let text = text::written(&bound.eval(batch, values).map_err(|error| rows::at(error, first))?)?;
            Ok(if self.defuse_formulas { text::defused(&text) } else { text })
        });
        let columns = columns.collect::<Result<Vec<_>, Failure>>()?;
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(rows::wrong)
    }
}

/// The file while it is written.
struct Csv {
    schema: SchemaRef,
    writer: Writer<BufWriter<File>>,
}

impl Csv {
    fn new(
        file: File,
        separator: u8,
        columns: &[(String, Bound)],
        header: bool,
    ) -> Result<Self, arrow::error::ArrowError> {
        let fields = columns.iter().map(|(name, _)| Field::new(name, DataType::Utf8, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let builder = WriterBuilder::new().with_delimiter(separator).with_header(header);
        let mut csv = Self { schema, writer: builder.build(BufWriter::with_capacity(256 * 1024, file)) };
        // The names, also where no record comes.
        csv.write(&RecordBatch::new_empty(Arc::clone(&csv.schema)))?;
        Ok(csv)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), arrow::error::ArrowError> {
        self.writer.write(batch)
    }
}

fn failed(part: &Path) -> impl Fn(arrow::error::ArrowError) -> Failure {
    let part = part.display().to_string();
    move |error| match error {
        arrow::error::ArrowError::IoError(_, error) => Failure::io(format!("cannot write {part}"), &error),
        other => Failure::internal(format!("cannot write {part}: {other}")),
    }
}
