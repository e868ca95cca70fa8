//! Reads the whole or its ranges, several at once, and keeps the place in each of them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::AsArray;
use engine::context::Cx;
use engine::expr::Values;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Crm, Cursor, Page, Range, Read};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::own::Own;
use super::pages::Sieve;
use super::plan::Plan;
use super::window::{open_tail, seen_before};
use crate::automatic_index::{Opened, Seen, Tail, hash, place};
use crate::pinned::Pinned;
use crate::rejects::Kinds;

/// Where an import goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Position {
    pub(super) window: Option<Opened>,
    /// What its filter reads; an older version kept none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pinned: Option<Pinned>,
    /// The place in the feed of changes that it began at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    /// The place in it that it came to, once it has read all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    feed: Option<String>,
    /// Up to when that is all, where the CRM says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    covered: Option<Timestamp>,
    /// What is read, and how far.
    #[serde(default)]
    parts: Vec<Part>,
    /// How far it was, before there were parts.
    #[serde(default, skip_serializing)]
    next: Option<Cursor>,
    #[serde(default, skip_serializing)]
    done: bool,
    /// Whether its records have their versions; an older version of Campanile let them go.
    #[serde(default)]
    pub(super) has_versions: bool,
    /// Records read so far.
    read: u64,
    /// Records in the file of what was seen.
    pub(super) seen: u64,
    /// Rejects so far, for the journal.
    #[serde(default)]
    pub(super) rejects: Kinds,
}

/// The whole or one range.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<Range>,
    /// After which page; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Cursor>,
    /// Whether the last page was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    done: bool,
    /// Whether it was begun anew, since the CRM had lost the place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    anew: bool,
}

impl Position {
    pub(super) fn new(window: Option<Opened>, since: Option<String>, ranges: Vec<Range>) -> Self {
        let mut parts: Vec<Part> =
            ranges.into_iter().map(|range| Part { range: Some(range), ..Part::default() }).collect();
        if parts.is_empty() {
            parts.push(Part::default());
        }
        let (rejects, read, seen) = (Kinds::default(), 0, 0);
        Self {
            window,
            pinned: None,
            since,
            feed: None,
            covered: None,
            parts,
            next: None,
            done: false,
            has_versions: true,
            read,
            seen,
            rejects,
        }
    }

    /// With parts, also where an older version kept it.
    pub(super) fn upgraded(mut self) -> Self {
        if self.parts.is_empty() {
            let (next, done) = (self.next.take(), self.done);
            self.parts.push(Part { next, done, ..Part::default() });
        }
        self
    }

    fn is_anew(&self) -> bool {
        self.parts.iter().any(|part| part.anew)
    }
}

/// Reads all that is left from a position on.
pub(super) async fn import(
    cx: &mut Cx,
    crm: Arc<dyn Crm>,
    read: Read,
    (plan, values): (&Plan, &Values),
    own: Option<&Own>,
    mut position: Position,
    at_once: usize,
) -> Result<(), Failure> {
    let follows = read.feed.is_some();
    let seen = match &position.window {
        Some(window) if !follows && !window.is_backfill => seen_before(cx, window).await?,
        _ => Seen::default(),
    };
    let mut tail = open_tail(cx, &position, follows)?;
    let window = position.window.clone();
    let mut sieve = Sieve::new(plan, &read, values, &seen, window.as_ref());
    sieve.own = own;
    sieve.has_versions = position.has_versions;
    if position.is_anew() {
        sieve.delivered = delivered(cx, plan).await?;
    }
    let mut pages = streams(&crm, &read, &position.parts, at_once);
    while let Some((number, page)) = pages.next().await {
        let page = match page {
            Ok(page) => page,
            Err(failure) => {
                drop(pages);
                begin_anew(cx, &read, &mut position, number, failure).await?;
                sieve.delivered = delivered(cx, plan).await?;
                pages = streams(&crm, &read, &position.parts, at_once);
                continue;
            }
        };
        let came = sieve.take(cx, &page, tail.as_mut(), &mut position.rejects).await?;
        position.read += came;
        if let Some(part) = position.parts.get_mut(number) {
            part.done = page.next.is_none();
            part.next = page.next;
        }
        position.feed = page.feed.or(position.feed);
        position.covered = page.covered.or(position.covered);
        if let Some(tail) = &mut tail {
            position.seen = tail.sync()?;
        }
        cx.progress(position.read, None);
        cx.checkpoint(&position).await?;
    }
    if let Some(part) = position.parts.iter().find(|part| !part.done) {
        return Err(Failure::internal(format!(
            "the reading of {} ended before its last page: {part:?}",
            read.object.name
        )));
    }
    finish(cx, &position, tail, follows).await
}

type Pages = BoxStream<'static, (usize, Result<Page, Failure>)>;

/// The pages of all parts that are left, as they come.
fn streams(crm: &Arc<dyn Crm>, read: &Read, parts: &[Part], at_once: usize) -> Pages {
    let left: Vec<(usize, Part)> = parts.iter().cloned().enumerate().filter(|(_, part)| !part.done).collect();
    let (crm, read) = (Arc::clone(crm), read.clone());
    let streams = stream::iter(left).map(move |(number, part)| {
        let read = Read { range: part.range, ..read.clone() };
        crm.read(Arc::new(read), part.next).map(move |page| (number, page)).boxed()
    });
    streams.flatten_unordered(at_once).boxed()
}

/// Where the CRM no longer knows the place in a part, that part is begun anew, once; what it brought before is known by
/// its ids.
async fn begin_anew(
    cx: &mut Cx,
    read: &Read,
    position: &mut Position,
    number: usize,
    failure: Failure,
) -> Result<(), Failure> {
    let feed = read.feed.as_ref();
    let Some(part) = position.parts.get_mut(number).filter(|_| failure.class == Class::CursorLost) else {
        return Err(failure);
    };
    if let Some(window) = position.window.as_ref().filter(|_| feed.is_some()) {
        // What came may have changed since, and come again; so a feed is not begun anew under a run.
        return Err(match (&part.next, feed.and_then(|feed| feed.since.as_ref())) {
            (None, Some(_)) => place::lost(failure, &window.option),
            _ => Failure { class: Class::Config, ..failure }
                .help("stop the run and start the workflow again: it reads the same changes anew"),
        });
    }
    if part.next.is_none() || part.anew {
        return Err(failure.help("stop the run and start the workflow again: it opens the window anew"));
    }
    tracing::warn!(object = read.object.name, %failure, "the CRM has lost the place of this reading; it is begun anew");
    part.next = None;
    part.anew = true;
    cx.seal(position).await
}

/// The ids of all records that were delivered.
async fn delivered(cx: &Cx, plan: &Plan) -> Result<HashSet<u128>, Failure> {
    let name = plan.read[plan.id].field.name.as_str();
    let ports = ["ok", "reject"].map(|port| cx.sealed(port));
    let records: u64 = ports.iter().map(engine::population::Population::rows).sum();
    let max = cx.limits().overlap_records as u64;
    if records > max {
        let message = format!(
            "{records} records came before the CRM lost the place, too many to compare (limit overlapRecords = {max})"
        );
        let help = "stop the run and start the workflow again, or raise the limit and resume it";
        return Err(Failure::new(Class::Limit, message).help(help));
    }
    let mut ids = HashSet::new();
    for port in ports {
        let mut batches = port.read();
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            let column = column.ok_or_else(|| Failure::internal(format!("no column {name} in what was delivered")))?;
            ids.extend(column.iter().flatten().map(|id| hash(id, "")));
        }
    }
    Ok(ids)
}

/// Leaves for the next import what it must know.
async fn finish(cx: &mut Cx, position: &Position, tail: Option<Tail>, follows: bool) -> Result<(), Failure> {
    if let Some(tail) = tail {
        tail.warn_of_rest(cx).await?;
        cx.tally().seen = Some(tail.finish()?);
    }
    if let Some(window) = position.window.as_ref().filter(|_| follows) {
        let Some(feed) = &position.feed else {
            let message = "the CRM ended its feed of changes without a link to the next changes";
            return Err(Failure::new(Class::Config, message)
                .help("check that the CRM tracks changes of this object, then restart the activity"));
        };
        cx.tally().seen = Some(place::keep(cx.data_folder(), window, &cx.task_key(), feed)?);
        if let Some(covered) = position.covered {
            let window = window.ending(covered);
            window.set_vars(cx);
            // Of the same records as when it was opened.
            cx.open_window(window.recorded(None)).await?;
        }
    }
    position.rejects.warn(cx).await
}
