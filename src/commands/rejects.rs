//! `campanile rejects`

use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use engine::outside::desk::{KeptReject, RejectId, RejectState, Wanted};
use engine::outside::memory::Answer;
use engine::run::Status;
use serde_json::{Map, Value, json};
use server::client::step;
use server::rejects::{Ignore, RejectsView, Resend, Resent};
use server::view::RunView;

use crate::commands::{run, show};
use crate::fault::Fault;
use crate::follow::Follower;
use crate::global::Global;
use crate::table::{Table, counted, instant, number};
use crate::{report, terminal};

/// The most rejects that a list shows where nothing is said.
const LIMIT_DEFAULT: usize = 50;

/// Look at rejected records, correct them, send them again, or leave them alone.
///
/// Every record that a task refuses is kept with the reason, whether or not its port `reject` leads on. It is closed when
/// it passes: sent again by hand, or when the same key of the same activity passes in a later run.
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Count rejects by code, and list the latest.
    List {
        #[command(flatten)]
        which: Which,
        /// Also those that are closed.
        #[arg(long)]
        all: bool,
        /// How many are listed at most; all are counted.
        #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT)]
        limit: usize,
    },
    /// Show one, with its record, its reason and its cure.
    Show {
        /// Its number.
        id: RejectId,
    },
    /// Correct values of a record; they are checked against their columns and sent by `resend`.
    Correct {
        /// Its number.
        id: RejectId,
        /// A column and its new value. null empties it; a "quoted" text is taken as text whatever it looks like.
        #[arg(required = true, value_name = "COLUMN=VALUE", value_parser = correction)]
        values: Vec<(String, Value)>,
    },
    /// Close rejects that nobody will send.
    Ignore {
        /// Their numbers.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<RejectId>,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Say what became of a record in doubt, once you have looked it up in the CRM.
    ///
    /// The next export of the record does not send it if it was created, and sends it if it was not.
    Settle {
        /// Its number.
        id: RejectId,
        /// The CRM has it; with its id there, if you know it.
        #[arg(long, value_name = "CRM_ID", num_args = 0..=1, default_missing_value = "", required_unless_present = "not_created")]
        created: Option<String>,
        /// The CRM does not have it.
        #[arg(long, conflicts_with = "created")]
        not_created: bool,
    },
    /// Send rejects again, with corrected values: a run of the same file that begins at the activity that refused them.
    Resend {
        #[command(flatten)]
        which: Which,
        /// Their numbers; without any, all that wait.
        #[arg(value_name = "ID")]
        ids: Vec<RejectId>,
    },
}

/// Which rejects.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// Of this workflow.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Of this activity.
    #[arg(long, value_name = "NAME")]
    activity: Option<String>,
    /// With this code.
    #[arg(long)]
    code: Option<String>,
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = global.project(None)?;
    match args {
        Args::List { which, all, limit } => {
            let path = format!("/rejects?closed={all}&limit={limit}{}", query(which));
            let view: RejectsView = global.ask(&project, async |client| client.get(&path).await).await?;
            if global.json {
                terminal::json(&view);
            } else {
                list(&view);
            }
        }
        Args::Show { id } => {
            let path = format!("/rejects/{id}");
            let reject: KeptReject = global.ask(&project, async |client| client.get(&path).await).await?;
            if global.json {
                terminal::json(&reject);
            } else {
                print(&reject);
            }
        }
        Args::Correct { id, values } => {
            let path = format!("/rejects/{id}/correct");
            let values: Map<String, Value> = values.iter().cloned().collect();
            let reject: KeptReject = global.ask(&project, async |client| client.post(&path, &values).await).await?;
            if global.json {
                terminal::json(&reject);
            } else {
                print(&reject);
                terminal::note(&format!("send it with\n    {}", global.line(&format!("rejects resend {id}"))));
            }
        }
        Args::Ignore { ids, reason } => {
            let ignore = Ignore { ids: ids.clone(), reason: reason.clone() };
            let closed: Vec<KeptReject> =
                global.ask(&project, async |client| client.post("/rejects/ignore", &ignore).await).await?;
            if global.json {
                terminal::json(&closed);
            } else {
                terminal::note(&format!("{} closed", counted(closed.len() as u64, "reject")));
            }
        }
        Args::Settle { id, created, .. } => {
            let path = format!("/rejects/{id}/settle");
            let answer = match created {
                Some(id) => Answer::Created { id: Some(id.trim().to_owned()).filter(|id| !id.is_empty()) },
                None => Answer::NotCreated,
            };
            let reject: KeptReject = global.ask(&project, async |client| client.post(&path, &answer).await).await?;
            if global.json {
                terminal::json(&reject);
            } else {
                terminal::note(&format!("reject {id}: {}", state(&reject)));
            }
        }
        Args::Resend { which, ids } => return resend(which, ids, global).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn resend(which: &Which, ids: &[RejectId], global: &Global) -> Result<ExitCode, Fault> {
    let project = global.project(None)?;
    global.nothing_to_ask(&project)?;
    let Which { workflow, activity, code } = which;
    let (workflow, activity, code) = (workflow.clone(), activity.clone(), code.clone());
    let wanted = Wanted { workflow, activity, code, ids: ids.to_vec(), ..Wanted::default() };
    let resend = Resend { wanted, config: project.config_file.clone(), identity: project.identity.clone() };
    let mut follower = Follower::new(Arc::clone(&project)).await?;
    let sent = match follower.once(async |client| client.post::<Resent>("/rejects/resend", &resend).await).await {
        Ok(sent) => sent,
        Err(error) => {
            follower.end().await;
            return Err(run::refused(error));
        }
    };
    for why in &sent.left {
        report::warning(why);
    }
    if sent.sent == 0 {
        terminal::note("nothing to send");
        if global.json {
            terminal::json(&json!({ "sent": 0, "passed": 0, "runs": [], "left": sent.left }));
        }
        follower.end().await;
        return Ok(ExitCode::SUCCESS);
    }
    let mut views: Vec<RunView> = Vec::new();
    for began in &sent.runs {
        terminal::note(&format!("run {} sends again what was refused", began.run));
        let view = follower.follow(&began.run, 0).await?;
        report::what_now(&view, &began.run, global);
        views.push(view);
    }
    let passed = passed(&follower, &sent).await?;
    follower.end().await;
    if global.json {
        terminal::json(&json!({ "sent": sent.sent, "passed": passed, "runs": views, "left": sent.left }));
    } else {
        views.iter().for_each(show::tables);
        terminal::note(&format!("{} sent again, {} passed", counted(sent.sent, "reject"), number(passed)));
    }
    let finished = views.iter().all(|view| view.status == Status::Finished);
    Ok(if finished { ExitCode::SUCCESS } else { ExitCode::from(report::FAILED) })
}

/// How many of those that were sent passed.
async fn passed(follower: &Follower, sent: &Resent) -> Result<u64, Fault> {
    let mut passed = 0;
    for id in &sent.ids {
        let reject: KeptReject = follower.door.client.get(&format!("/rejects/{id}")).await?;
        passed += u64::from(matches!(reject.state, RejectState::Passed { .. }));
    }
    Ok(passed)
}

fn query(which: &Which) -> String {
    let Which { workflow, activity, code } = which;
    let said = [("workflow", workflow), ("activity", activity), ("code", code)];
    let part = |(name, value): (&str, &Option<String>)| Some(format!("&{name}={}", step(value.as_deref()?)));
    said.into_iter().filter_map(part).collect()
}

fn list(view: &RejectsView) {
    if view.groups.is_empty() {
        terminal::note("there are no rejects");
        return;
    }
    let mut groups = Table::new(&["WORKFLOW", "ACTIVITY", "CODE", "SYMBOL", ">REJECTS", "FIRST", "LAST", "DAYS"]);
    for group in &view.groups {
        let days: Vec<String> = group.days.iter().map(|(day, rejects)| format!("{day} {}", number(*rejects))).collect();
        groups.row(vec![
            group.workflow.clone(),
            group.activity.clone(),
            group.code.clone(),
            if group.symbol == group.code { String::new() } else { group.symbol.clone() },
            number(group.rejects),
            instant(group.first_at),
            instant(group.last_at),
            days.join(", "),
        ]);
    }
    groups.print("");
    terminal::line("");
    let mut table = Table::new(&[">ID", "REFUSED", "ACTIVITY", "KEY", "CODE", "FIELD", "MESSAGE", "STATE"]);
    for reject in &view.rejects {
        table.row(vec![
            reject.id.to_string(),
            instant(reject.at),
            format!("{}/{}", reject.workflow, reject.activity),
            reject.key.clone().unwrap_or_default(),
            reject.reject.code.clone(),
            reject.reject.field.clone().unwrap_or_default(),
            reject.reject.message.clone(),
            state(reject),
        ]);
    }
    table.print("");
    let all: u64 = view.groups.iter().map(|group| group.rejects).sum();
    let shown = view.rejects.len() as u64;
    if shown < all {
        terminal::note(&format!("{} of {}; --limit shows more", number(shown), counted(all, "reject")));
    }
}

fn state(reject: &KeptReject) -> String {
    match &reject.state {
        RejectState::Open if reject.question.is_some() => "in doubt".to_owned(),
        RejectState::Open if reject.corrected => "corrected".to_owned(),
        RejectState::Open => "open".to_owned(),
        RejectState::Sending { run } => format!("being sent by {run}"),
        RejectState::Passed { run, .. } => format!("passed in {run}"),
        RejectState::Ignored { reason, .. } => format!("ignored: {reason}"),
        RejectState::Settled { outcome, .. } => format!("settled: {outcome}"),
    }
}

fn print(reject: &KeptReject) {
    let why = &reject.reject;
    let line = |name: &str, value: &str| terminal::line(&format!("{name:<10} {value}"));
    terminal::line(&format!("reject {}, {}\n", reject.id, state(reject)));
    line(
        "refused",
        &format!("{} by {} of run {} (task {})", instant(reject.at), reject.activity, reject.run, reject.task),
    );
    if reject.attempts > 1 {
        line("", &format!("{} since {}", counted(reject.attempts.into(), "time"), instant(reject.first_at)));
    }
    let symbol = if why.symbol == why.code { String::new() } else { format!(" {}", why.symbol) };
    line("code", &format!("{}{symbol}", why.code));
    line("message", &why.message);
    let parts = [("field", &why.field), ("help", &why.help), ("key", &reject.key)];
    for (name, value) in parts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        line(name, value);
    }
    values("COLUMN", &reject.record);
    if let Some(sent) = &reject.sent {
        values("SENT AS", sent);
    }
}

fn values(heading: &str, values: &Map<String, Value>) {
    terminal::line("");
    let mut table = Table::new(&[heading, "VALUE"]);
    for (name, value) in values {
        let text = match value {
            Value::Null => "∅".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        table.row(vec![name.clone(), text]);
    }
    table.print("");
}

fn correction(text: &str) -> Result<(String, Value), String> {
    let (column, value) = text.split_once('=').ok_or("write it as column=value")?;
    if column.is_empty() {
        return Err("write it as column=value".to_owned());
    }
    let value = match serde_json::from_str::<Value>(value) {
        Ok(json @ (Value::Null | Value::String(_) | Value::Array(_))) => json,
        _ => Value::String(value.to_owned()),
    };
    Ok((column.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corrected_value_is_a_text_unless_it_is_null_quoted_or_a_list() {
        let value = |text| correction(text).unwrap().1;
        assert_eq!(value("a=null"), Value::Null);
        assert_eq!(value("a=\"null\""), json!("null"));
        assert_eq!(value("a=007"), json!("007"));
        assert_eq!(value("a="), json!(""));
        assert_eq!(value("a=[1, 2]"), json!([1, 2]));
        assert_eq!(value("a=b=c"), json!("b=c"));
        assert!(correction("a").is_err() && correction("=b").is_err());
    }
}
