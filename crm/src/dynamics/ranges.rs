//! How many records a reading would bring, and parts of it that can be read side by side.

use engine::failure::{Class, Failure};
use engine::outside::crm::{Range, Read};
use futures::future::try_join_all;
use jiff::Timestamp;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::odata;
use super::query::conditions;
use super::session::Session;
use crate::http::{Refusal, Repeat, Reply, in_query};

/// The fewest records that are worth reading in parts.
const RECORDS_MIN: u64 = 50_000;
/// Parts for each reading that goes on at the same time: they are of different sizes, and so even out.
const PARTS_A_LANE: usize = 4;
/// What parts are made by, the first that an object has. The time of creation does not change while it is read.
const FIELDS: &[&str] = &["createdon", "modifiedon"];
/// The most that `$count` tells by itself.
const COUNT_MAX: u64 = 5_000;

#[derive(Deserialize)]
struct Counted {
    #[serde(rename = "@odata.count")]
    count: Option<u64>,
    #[serde(rename = "@Microsoft.Dynamics.CRM.totalrecordcount")]
    total: Option<i64>,
    #[serde(rename = "@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded", default)]
    is_limited: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Totals {
    entity_record_count_collection: Collection,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Collection {
    #[serde(default)]
    values: Vec<u64>,
}

/// How many records there are: with conditions by asking for them, without by the CRM's own statistics, up to a day old.
pub(super) async fn count(session: &Session, read: &Read) -> Result<Option<u64>, Failure> {
    // Nobody tells how many changes a feed has.
    if read.feed.as_ref().is_some_and(|feed| feed.since.is_some()) {
        return Ok(None);
    }
    // Nor is it begun with a filter.
    let filter = if read.feed.is_some() { String::new() } else { filter(session, read)? };
    if filter.is_empty() { total(session, read).await } else { counted(session, read, &filter).await }
}

fn filter(session: &Session, read: &Read) -> Result<String, Failure> {
    conditions(read, odata::pushed(read).as_ref(), session.account())
}

async fn counted(session: &Session, read: &Read, filter: &str) -> Result<Option<u64>, Failure> {
    let object = &read.object;
    let filter = if filter.is_empty() { String::new() } else { format!("&$filter={}", in_query(filter)) };
    let relative = format!("{}?$select={}&$count=true&$top=1{filter}", object.name, object.id);
    let annotations = "odata.include-annotations=\"Microsoft.Dynamics.CRM.*\"";
    let counted: Counted = ask(session, &relative, Some(annotations), &format!("counting {}", object.name)).await?;
    let total = counted.total.and_then(|total| u64::try_from(total).ok());
    Ok(match (total, counted.count) {
        (Some(total), _) if total > COUNT_MAX || !counted.is_limited => Some(total),
        (_, Some(count)) if count < COUNT_MAX && !counted.is_limited => Some(count),
        // More than the CRM tells.
        _ => None,
    })
}

async fn total(session: &Session, read: &Read) -> Result<Option<u64>, Failure> {
    let object = &read.object;
    let names = in_query(&format!("[\"{}\"]", object.internal_name));
    let relative = format!("RetrieveTotalRecordCount(EntityNames=@n)?@n={names}");
    match ask::<Totals>(session, &relative, None, &format!("counting {}", object.name)).await {
        Ok(totals) => Ok(totals.entity_record_count_collection.values.first().copied()),
        // Tables that keep no statistics, and environments that do not have this function.
        Err(failure) if failure.class == Class::Config => counted(session, read, "").await,
        Err(failure) => Err(failure),
    }
}

/// Parts by a time that all records have, several times as many as are read at the same time.
pub(super) async fn ranges(session: &Session, read: &Read, at_most: usize) -> Result<Vec<Range>, Failure> {
    let lanes = at_most.min(session.http.limits().requests_at_once as usize);
    let by_time =
        |name: &&&str| read.object.fields.get(**name).is_some_and(|field| field.readable && field.is_date_time());
    let Some(field) = FIELDS.iter().find(by_time) else { return Ok(Vec::new()) };
    if lanes < 2 || !read.order.is_empty() || read.feed.is_some() || read.range.is_some() {
        return Ok(Vec::new());
    }
    // Beyond what it counts the CRM says no more than "many", and the statistics have the last word.
    let unfiltered = Read { filter: None, window: None, ..read.clone() };
    let count = match count(session, read).await? {
        Some(count) => Some(count),
        None => total(session, &unfiltered).await?,
    };
    if count.is_some_and(|count| count < RECORDS_MIN) {
        return Ok(Vec::new());
    }
    let (first, last) = tokio::try_join!(border(session, read, field, "asc"), border(session, read, field, "desc"))?;
    let Some((first, last)) = first.zip(last) else { return Ok(Vec::new()) };
    let parts = split(field, first, last, lanes * PARTS_A_LANE);
    let is_known = count.is_some();
    if is_known || is_worth_it(session, read, &parts).await? { Ok(parts) } else { Ok(Vec::new()) }
}

/// Where nobody tells how many there are, some of the parts are counted: at most so many, and evenly chosen.
const SAMPLES: usize = 4;

/// Whether all parts together have enough records, as far as some of them show it.
async fn is_worth_it(session: &Session, read: &Read, parts: &[Range]) -> Result<bool, Failure> {
    let step = (parts.len() / SAMPLES).max(1);
    let sample = parts.iter().skip(step / 2).step_by(step);
    let counts = sample.map(async |part| count(session, &Read { range: Some(part.clone()), ..read.clone() }).await);
    // A part that has more than is counted has enough.
    let counts: Vec<u64> = try_join_all(counts).await?.into_iter().map(|count| count.unwrap_or(RECORDS_MIN)).collect();
    let mean = counts.iter().sum::<u64>() / (counts.len() as u64).max(1);
    Ok(mean * parts.len() as u64 >= RECORDS_MIN)
}

/// The least or greatest time of the records that will be read.
async fn border(session: &Session, read: &Read, field: &str, order: &str) -> Result<Option<Timestamp>, Failure> {
    #[derive(Deserialize)]
    struct List {
        value: Vec<Map<String, Value>>,
    }
    let filter = filter(session, read)?;
    let filter = if filter.is_empty() { format!("{field} ne null") } else { format!("{filter} and {field} ne null") };
    let object = &read.object.name;
    let filter = in_query(&filter);
    let relative = format!("{object}?$select={field}&$filter={filter}&$orderby={field}%20{order}&$top=1");
    let list: List = ask(session, &relative, None, &format!("asking for the borders of {object}")).await?;
    let value = list.value.first().and_then(|record| record.get(field)).and_then(Value::as_str);
    Ok(value.and_then(|text| text.parse().ok()))
}

/// Parts of equal length in time, in whole seconds; the first also has what is before and null, the last what comes after.
fn split(field: &str, first: Timestamp, last: Timestamp, parts: usize) -> Vec<Range> {
    let (from, seconds) = (first.as_second(), last.as_second() - first.as_second());
    let parts = i64::try_from(parts).unwrap_or(1).min(seconds);
    if parts < 2 {
        return Vec::new();
    }
    let border = |part: i64| {
        let offset = i128::from(seconds) * i128::from(part) / i128::from(parts);
        let at = Timestamp::from_second(from + i64::try_from(offset).unwrap_or(0));
        at.ok().filter(|_| part > 0 && part < parts).map(|at| at.to_string())
    };
    (0..parts).map(|part| Range { field: field.to_owned(), from: border(part), to: border(part + 1) }).collect()
}

async fn ask<T: serde::de::DeserializeOwned>(
    session: &Session,
    relative: &str,
    prefer: Option<&'static str>,
    what: &str,
) -> Result<T, Failure> {
    let makes_sense = |reply: &Reply| -> Result<(), Refusal> {
        match serde_json::from_slice::<serde::de::IgnoredAny>(&reply.body) {
            Ok(_) => Ok(()),
            Err(_) => Err(session.no_sense(what, reply).into()),
        }
    };
    let url = session.address(relative)?;
    let reply = session
        .get_repeating(Repeat::IfAnswered, url, prefer.map(HeaderValue::from_static), what, &makes_sense)
        .await?;
    serde_json::from_slice(&reply.body).map_err(|_| {
        let mut failure = session.no_sense(what, &reply);
        failure.class = Class::Config;
        failure
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_meet_without_a_gap_and_reach_beyond_both_ends() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let parts = split("createdon", at("2020-01-01T00:00:00Z"), at("2020-01-01T00:00:10Z"), 4);
        assert_eq!(parts.len(), 4);
        assert!(parts[0].from.is_none() && parts[3].to.is_none());
        assert!(parts.windows(2).all(|pair| pair[0].to.is_some() && pair[0].to == pair[1].from), "{parts:?}");
        assert_eq!(split("createdon", at("2020-01-01T00:00:00Z"), at("2020-01-01T00:00:02Z"), 32).len(), 2);
        assert!(split("createdon", at("2020-01-01T00:00:00Z"), at("2020-01-01T00:00:01Z"), 32).is_empty());
    }
}
