//! `getUpdated` and `getDeleted`: which records changed in a span of time.

use serde_json::json;

use super::{
    Request, Settings,
    error::{Error, json_reply},
    schema::Source,
    store::Store,
    table::{Record, RowState, Table},
    value::{instant_text, parse_instant},
};
use crate::{reply::Reply, time::DAY};

const MINUTE: i64 = 60;

/// Answers `/sobjects/{object}/updated`.
pub(super) fn updated(request: &Request<'_>, object: &str) -> Result<Reply, Error> {
    let settings = request.org().settings();
    let (start, end) = span(request, settings.updated_days)?;
    let store = request.store();
    let table = &store.tables[request.table(&store, object)?];
    check_replicable(table)?;
    let changed = |record: &Record<'_>| (start..=end).contains(&table.modified(*record));
    let ids: Vec<String> =
        table.records(false).filter(changed).map(|record| table.id(record.number()).to_string()).collect();
    check_count(ids.len(), &settings)?;
    let covered = covered(request, &settings, &store, end);
    Ok(json_reply(200, &json!({"ids": ids, "latestDateCovered": instant_text(covered)})))
}

/// Answers `/sobjects/{object}/deleted`.
pub(super) fn deleted(request: &Request<'_>, object: &str) -> Result<Reply, Error> {
    let settings = request.org().settings();
    let (start, end) = span(request, settings.deleted_days)?;
    let store = request.store();
    let table = &store.tables[request.table(&store, object)?];
    check_replicable(table)?;
    let mut deletions: Vec<(i64, u32)> = table
        .deletions()
        .filter(|(number, at)| {
            let is_gone = table.get(*number).is_none_or(|record| matches!(record.state(), RowState::Deleted(_)));
            is_gone && (start..=end).contains(at)
        })
        .map(|(number, at)| (at, number))
        .collect();
    let restored = table.restored().filter(|(_, at)| settings.log_restored && (start..=end).contains(at));
    deletions.extend(restored.map(|(number, at)| (at, number)));
    check_count(deletions.len(), &settings)?;
    deletions.sort_unstable();
    let records: Vec<_> = deletions
        .iter()
        .map(|(at, number)| json!({"id": table.id(*number).as_str(), "deletedDate": instant_text(*at)}))
        .collect();
    let body = json!({
        "deletedRecords": records,
        "earliestDateAvailable": instant_text(earliest(request.call.now, settings.deleted_days)),
        "latestDateCovered": instant_text(covered(request, &settings, &store, end)),
    });
    Ok(json_reply(200, &body))
}

/// Start and end with their seconds cut off; at most so many days back.
fn span(request: &Request<'_>, days: i64) -> Result<(i64, i64), Error> {
    let now = request.call.now;
    let instant = |name: &str| {
        let text = request.call.option(name).unwrap_or_default();
        // A `+` that was not encoded has become a blank.
        let seconds = parse_instant(&text.replace(' ', "+"));
        let seconds = seconds
            .ok_or_else(|| Error::new("MALFORMED_DATE", format!("{name} is missing or no date and time: {text}")))?;
        Ok::<i64, Error>(seconds.div_euclid(MINUTE) * MINUTE)
    };
    let (start, end) = (instant("start")?, instant("end")?);
    let refuse = |text: String| Err(Error::new("INVALID_REPLICATION_DATE", text));
    if end - start <= MINUTE {
        return refuse("startDate must be at least one minute greater than endDate".into());
    }
    if start > now {
        return refuse("startDate cannot be in the future".into());
    }
    let earliest = earliest(now, days);
    if start < earliest {
        return refuse(format!(
            "startDate before org replication enabled date or more than {days} days ago; the earliest date available is {}",
            instant_text(earliest)
        ));
    }
    Ok((start, end))
}

/// The first minute that is kept for so many days.
fn earliest(now: i64, days: i64) -> i64 {
    now.saturating_sub(days.saturating_mul(DAY)).div_euclid(MINUTE).saturating_mul(MINUTE)
}

/// Up to when the answer is complete: it lags while a long transaction runs, such as that of a change not yet visible.
fn covered(request: &Request<'_>, settings: &Settings, store: &Store, end: i64) -> i64 {
    let now = request.call.now.saturating_sub(settings.coverage_lag_seconds);
    let now = store.oldest_hidden().map_or(now, |hidden| now.min(hidden));
    end.min(now.div_euclid(MINUTE).saturating_mul(MINUTE))
}

fn check_count(count: usize, settings: &Settings) -> Result<(), Error> {
    if count > settings.replication_ids_max {
        let text =
            format!("The number of ids is over the limit of {}: ask for a shorter span", settings.replication_ids_max);
        return Err(Error::new("EXCEEDED_ID_LIMIT", text));
    }
    Ok(())
}

fn check_replicable(table: &Table) -> Result<(), Error> {
    let has_bin = table.object.fields.iter().any(|field| matches!(field.source, Source::IsDeleted));
    if has_bin {
        Ok(())
    } else {
        Err(Error::new("INVALID_TYPE_FOR_OPERATION", format!("{} is not replicable", table.object.name)))
    }
}
