//! `campanile backfill`

use std::path::PathBuf;
use std::process::ExitCode;

use engine::event::{Backfill, Vars};
use engine::failure::{Class, Failure};
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

use crate::commands::run;
use crate::fault::Fault;
use crate::global::Global;

/// Import a window of time again, and leave the option of the automatic index where it is.
///
/// The whole workflow runs; its imports read what changed from FROM to TO instead of what changed since the last one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Times are UTC unless they say otherwise: 2026-03-01, \"2026/03/01 10:00:00\",\n\
                        2026-03-01T10:00:00+01:00.\n\
                        Exit codes: as of `campanile run`.")]
pub(crate) struct Args {
    /// The workflow's file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The first instant that is imported.
    #[arg(long, value_parser = instant)]
    from: Timestamp,
    /// The first instant that is not; not later than the CRM's clock.
    #[arg(long, value_parser = instant)]
    to: Timestamp,
    /// Only this import has the window; the others read what they always do. All that have an automatic index where none
    /// is named.
    #[arg(long, value_name = "NAME")]
    activity: Option<String>,
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = global.project(Some(&args.file))?;
    if args.from >= args.to {
        let message = format!("the backfill ends at {}, which is not after its beginning, {}", args.to, args.from);
        return Err(Fault::NotRight(Failure::new(Class::Config, message).help("let --to be later than --from")));
    }
    let backfill = Backfill { from: args.from, to: args.to, activity: args.activity.clone() };
    let (run, view, follower) = run::start(&args.file, &project, Vars::new(), Some(backfill)).await?;
    let code = run::ended(&run, &view, global);
    follower.end().await;
    Ok(code)
}

fn instant(text: &str) -> Result<Timestamp, String> {
    let text = text.trim().replace('/', "-");
    let local = || {
        let at = text.parse::<civil::DateTime>().or_else(|_| text.parse::<civil::Date>().map(civil::Date::into));
        at.and_then(|at| at.to_zoned(TimeZone::UTC)).map(|at| at.timestamp())
    };
    text.parse::<Timestamp>()
        .or_else(|_| local())
        .map_err(|_| format!("\"{text}\" is no time: write 2026-03-01 or \"2026-03-01 10:00:00\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_an_options_text_or_iso() {
        let is =
            |text: &str, instant_text: &str| assert_eq!(instant(text), Ok(instant_text.parse().unwrap()), "{text}");
        is("2026-03-01", "2026-03-01T00:00:00Z");
        is("2026/03/01 10:00:00", "2026-03-01T10:00:00Z");
        is("2026-03-01T10:00:00+01:00", "2026-03-01T09:00:00Z");
        assert!(instant("03/01/2026").is_err() && instant("").is_err());
    }
}
