//! The log on stderr.

use std::env::{self, VarError};

use crm::http::WAITS;
use engine::alerting::UNTOLD;
use engine::failure::{Class, Failure};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::fault::Fault;
use crate::global::{Global, LogFormat};
use crate::terminal::{self, Log};

/// Says what is logged, in the words of `tracing`.
const VARIABLE: &str = "CAMPANILE_LOG";
/// The crates that `-v` is about.
const OURS: [&str; 8] = ["campanile", "activities", "crm", "database", "engine", "sandbox", "server", "store"];

/// Begins to log; without `-v` only long waits, where they are to be told.
///
/// # Errors
/// Where the variable is not understood.
pub(crate) fn begin(global: &Global, tells_waits: bool) -> Result<(), Fault> {
    let filter = filter(global.verbose, tells_waits)?;
    let layer = tracing_subscriber::fmt::layer().with_writer(Log::default).with_ansi(terminal::has_colours());
    let registry = tracing_subscriber::registry().with(filter);
    match global.log_format {
        LogFormat::Human => registry.with(layer).init(),
        LogFormat::Json => registry.with(layer.json()).init(),
    }
    Ok(())
}

fn filter(verbose: u8, tells_waits: bool) -> Result<EnvFilter, Fault> {
    let wrong = |why: String| {
        let help = "write a level, such as debug, or levels by part, such as crm=debug,warn";
        Fault::Failure(Failure::new(Class::Config, format!("{VARIABLE} is not understood: {why}")).help(help))
    };
    match env::var(VARIABLE) {
        Ok(said) => return EnvFilter::try_new(said).map_err(|error| wrong(error.to_string())),
        Err(VarError::NotUnicode(_)) => return Err(wrong("it is not Unicode".to_owned())),
        Err(VarError::NotPresent) => {}
    }
    // What fails is told by the commands themselves, in a reader's words; not what is waited for.
    let level = match verbose {
        0 if tells_waits => return Ok(EnvFilter::new(format!("off,{WAITS}=warn,{UNTOLD}=warn"))),
        0 => return Ok(EnvFilter::new("off")),
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let ours: Vec<String> = OURS.iter().map(|name| format!("{name}={level}")).collect();
    Ok(EnvFilter::new(format!("warn,{}", ours.join(","))))
}
