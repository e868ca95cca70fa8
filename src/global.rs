//! What every command takes, and how it asks the data folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use activities::PALETTE;
use clap::{Args, ValueEnum};
use engine::failure::{Class, Failure};
use engine::outside::store::RunId;
use server::client::{CallError, Client};
use server::door::{Door, Stay};
use server::project::{Given, Project};

use crate::fault::Fault;
use crate::report;

/// How often a command looks for the owner of the data folder anew when that one ends while it is asked.
const ASKED_MAX: usize = 5;

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// The data folder: journals, options, populations. Without it, what campanile.toml says, else `.campanile` in the
    /// project's folder: that of campanile.toml, else the parent of `workflows`.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub(crate) data: Option<PathBuf>,
    /// The configuration. Without it, the nearest campanile.toml in the workflow's folder or above it, else in the
    /// current folder or above it.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON for programs.
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
    /// Tell more of what happens, on stderr: -v what is done, -vv details, -vvv everything. The variable CAMPANILE_LOG
    /// says it more finely, such as `crm=debug`.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Everywhere")]
    pub(crate) verbose: u8,
    /// How the log is written.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Everywhere")]
    pub(crate) log_format: LogFormat,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// A JSON object a line.
    Json,
}

impl Global {
    pub(crate) fn given(&self) -> Given {
        Given { config: self.config.clone(), data: self.data.clone() }
    }

    /// The project of the current folder, or of a workflow.
    pub(crate) fn project(&self, workflow: Option<&Path>) -> Result<Arc<Project>, Fault> {
        Ok(Arc::new(Project::load(&self.given(), workflow)?))
    }

    /// Asks whoever has the data folder open, else opens it for as long as the answer takes.
    pub(crate) async fn ask<T>(
        &self,
        project: &Arc<Project>,
        ask: impl AsyncFn(&Client) -> Result<T, CallError>,
    ) -> Result<T, Fault> {
        self.nothing_to_ask(project)?;
        Ok(self.call(project, ask).await?)
    }

    /// Asks as [`ask`](Self::ask) does; a data folder that is not there is made.
    pub(crate) async fn call<T>(
        &self,
        project: &Arc<Project>,
        ask: impl AsyncFn(&Client) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        for _ in 0..ASKED_MAX {
            let door = Door::open(project, PALETTE, Stay::Brief).await?;
            report::interrupted(&door.find_interrupted(None).await);
            let answer = ask(&door.client).await;
            door.close().await;
            match answer {
                Err(CallError::Gone { .. }) => {}
                answer => return answer,
            }
        }
        let message = "the process that has the data folder open ended each time it was asked";
        Err(Failure::new(Class::Transient, message).help("try again").into())
    }

    /// Asking about a folder that is not there must not make it.
    pub(crate) fn nothing_to_ask(&self, project: &Project) -> Result<(), Fault> {
        if project.data.exists() {
            return Ok(());
        }
        let message = format!("there is no data folder {}", project.data.display());
        let help = "name it with --data; the first `campanile run` makes it";
        Err(Fault::Failure(Failure::new(Class::Config, message).help(help)))
    }

    /// These, with the data folder named if a command in the current folder would use another one: what is printed for the
    /// reader to copy must find it.
    #[must_use]
    pub(crate) fn for_project(&self, project: &Project) -> Self {
        let found = Project::load(&self.given(), None).is_ok_and(|found| found.data == project.data);
        let data = self.data.clone().or_else(|| (!found).then(|| project.data.clone()));
        Self { data, ..self.clone() }
    }

    /// A command line that does something with a run, for who reads it to copy.
    pub(crate) fn command(&self, verb: &str, run: &RunId) -> String {
        self.line(&format!("{verb} {run}"))
    }

    /// A command line for who reads it to copy.
    pub(crate) fn line(&self, command: &str) -> String {
        format!("{} {command}{}", program(), self.where_things_lie())
    }

    /// What was said of where things lie, as the end of a command line.
    pub(crate) fn where_things_lie(&self) -> String {
        let mut line = String::new();
        for (option, path) in [("--data", &self.data), ("--config", &self.config)] {
            if let Some(path) = path {
                line.push_str(&format!(" {option} {}", quoted(&path.display().to_string())));
            }
        }
        line
    }
}

/// This program as whoever reads a command can call it again: as it was called now.
pub(crate) fn program() -> String {
    let called = std::env::args().next().filter(|called| !called.is_empty());
    quoted(&called.unwrap_or_else(|| "campanile".to_owned()))
}

/// As a shell takes it.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A run as an operator names it.
///
/// # Errors
/// What would be right.
pub(crate) fn run_name(text: &str) -> Result<RunId, String> {
    RunId::parse(text)
        .ok_or_else(|| "a run is called as its workflow and a number, such as dynamicsImport-7".to_owned())
}
