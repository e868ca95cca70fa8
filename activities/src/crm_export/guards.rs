//! Guards: an export that is not like what its author had in mind stops before it writes.

use std::sync::Arc;

use engine::allow;
use engine::context::Cx;
use engine::failure::{Class, Failure};
use engine::flow::FlowCx;
use engine::reject::KEY_REPEATED;
use engine::words::counted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::identity::Unkeyed;
use super::request::Guards;
use crate::sets::Firsts;

/// How many of the last exports are remembered.
const REMEMBERED: usize = 5;

/// How many records are usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// The fewest records that are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    least: Option<u64>,
    /// The most records that are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    most: Option<u64>,
    /// The most, as a multiple of the largest of the last five exports of this activity that ended well. They are kept in
    /// the option `VOLUME_<workflow>_<activity>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times_last: Option<u32>,
}

/// Reports a volume that nothing can have.
pub(crate) fn check_volume(volume: Option<&Volume>, cx: &mut FlowCx<'_>) {
    if let Some(Volume { least: Some(least), most: Some(most), .. }) = volume
        && least > most
    {
        cx.problem("/volume", "bad-volume", format!("at least {least} and at most {most} is nothing"), None);
    }
}

/// What an operator allowed when resuming the run.
fn allowed(cx: &Cx, name: &str) -> Option<u64> {
    cx.instance_vars().get(name).and_then(serde_json::Value::as_u64)
}

fn stopped(cx: &Cx, message: String, option: &str, number: u64) -> Failure {
    let run = cx.run_name();
    Failure::new(Class::Limit, message).help(format!(
        "look at the records; if that is meant so, go on with `campanile resume {run} {option} {number}`"
    ))
}

/// Stops where the number of records is unusual.
pub(super) async fn volume(cx: &Cx, guards: &Guards, records: u64) -> Result<(), Failure> {
    let Some(volume) = guards.volume else { return Ok(()) };
    if allowed(cx, allow::VOLUME).is_some_and(|allowed| records <= allowed) {
        return Ok(());
    }
    let last = last(cx).await?.into_iter().max();
    let by_last = volume.times_last.and_then(|times| Some(last?.saturating_mul(times.into())));
    let most = [volume.most, by_last].into_iter().flatten().min();
    let why = match (volume.least, most) {
        (Some(least), _) if records < least => format!("fewer than {least}"),
        (_, Some(most)) if records > most => format!("more than {most}"),
        _ => return Ok(()),
    };
    Err(stopped(
        cx,
        format!("{} came in, {why}; nothing was sent", counted(records, "record")),
        "--allow-volume",
        records,
    ))
}

/// Remembers how many records there were.
pub(super) async fn remember_volume(cx: &Cx, guards: &Guards, records: u64) -> Result<(), Failure> {
    if guards.volume.and_then(|volume| volume.times_last).is_none() || records == 0 {
        return Ok(());
    }
    let mut all = last(cx).await?;
    all.push(records);
    let from = all.len().saturating_sub(REMEMBERED);
    let text: Vec<String> = all[from..].iter().map(u64::to_string).collect();
    cx.set_option(&option(cx), &text.join(",")).await
}

async fn last(cx: &Cx) -> Result<Vec<u64>, Failure> {
    let option = cx.option(&option(cx)).await?;
    Ok(option.iter().flat_map(|option| option.value.split(',')).filter_map(|text| text.trim().parse().ok()).collect())
}

fn option(cx: &Cx) -> String {
    format!("VOLUME_{}_{}", cx.workflow, cx.activity)
}

/// Stops before the first of too many deletes.
pub(super) fn deletes(cx: &Cx, guards: &Guards, records: u64) -> Result<(), Failure> {
    let Some(most) = guards.max_deletes else { return Ok(()) };
    let most = most.max(allowed(cx, allow::DELETES).unwrap_or(0));
    match records > most {
        true => {
            let message = format!(
                "{} would be deleted, more than maxDeletes {most}; nothing was sent",
                counted(records, "record")
            );
            Err(stopped(cx, message, "--allow-deletes", records))
        }
        false => Ok(()),
    }
}

/// Stops before the first request if too many records have no key, or one that came before.
pub(super) fn keys(
    cx: &Cx,
    guards: &Guards,
    records: u64,
    (firsts, unkeyed): &(Firsts, Arc<Unkeyed>),
) -> Result<(), Failure> {
    let (first, alone) = firsts.places.count(0..records);
    let mut kinds: Vec<(&str, u64)> = vec![(KEY_REPEATED, records.saturating_sub(first + alone))];
    kinds.extend(unkeyed.rejects());
    kinds.retain(|(_, records)| *records > 0);
    let all = kinds.iter().map(|(_, records)| records).sum();
    let told = kinds.iter().map(|(code, records)| format!("{records} × {code}")).collect::<Vec<_>>().join("; ");
    let sent = || "nothing was sent".to_owned();
    rejects(cx, guards, all, sent, || told.clone())
}

/// Stops if too many records were refused. `sent` says what was done before, `reasons` why they were refused.
pub(super) fn rejects(
    cx: &Cx,
    guards: &Guards,
    rejects: u64,
    sent: impl FnOnce() -> String,
    reasons: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let Some(most) = guards.max_rejects else { return Ok(()) };
    let most = most.max(allowed(cx, allow::REJECTS).unwrap_or(0));
    match rejects > most {
        true => {
            let noun = if rejects == 1 { "record was" } else { "records were" };
            let message = format!(
                "{rejects} {noun} rejected, more than maxRejects {most}; {}. The reasons: {}",
                sent(),
                reasons()
            );
            // How many more there will be is not known; more than came in there are not.
            let number = cx.input().map_or(rejects, |population| population.rows().max(rejects));
            Err(stopped(cx, message, "--allow-rejects", number))
        }
        false => Ok(()),
    }
}
