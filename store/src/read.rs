//! Reading, with nothing believed that its checksum does not confirm.

use std::collections::{BTreeMap, BTreeSet};

use engine::event::Recorded;
use engine::outside::store::{OptionValue, Page, RunEntry, RunFilter, RunId, StoreError, WorkflowRuns};
use engine::run::{RunHead, Status};

use crate::disk::{Disk, damaged};
use crate::record::{self, Head, Meta, Sum};

/// `None` where nothing was ever written.
pub(crate) fn meta(disk: &dyn Disk) -> Result<Option<Meta>, StoreError> {
    disk.get(record::META)?.map(|bytes| Meta::decode(&bytes)).transpose()
}

pub(crate) fn head(disk: &dyn Disk, run: &RunId) -> Result<Option<Head>, StoreError> {
    disk.get(&record::head_key(run))?.map(|bytes| Head::decode(run, &bytes)).transpose()
}

/// At most `limit` events of a run from `from` on.
///
/// The head is read first: events that are appended meanwhile are left for the next reading.
pub(crate) fn events(disk: &dyn Disk, run: &RunId, from: u64, limit: usize) -> Result<Vec<Recorded>, StoreError> {
    let Some(head) = head(disk, run)? else {
        // A run without head has no events, unless the head was lost.
        let stray = disk.range(&record::event_key(run, 0), &record::event_key(run, u64::MAX))?;
        return match stray.is_empty() {
            true => Ok(Vec::new()),
            false => Err(damaged(format!("the journal of run {run}"), "it has events but no head")),
        };
    };
    if from >= head.events {
        return Ok(Vec::new());
    }
    let mut chain = match from.checked_sub(1) {
        None => record::chain_start(run),
        Some(before) => chain_of(disk, run, before)?,
    };
    let end = head.events.min(from.saturating_add(limit as u64));
    let mut events = Vec::new();
    let mut number = from;
    for (key, stored) in disk.range(&record::event_key(run, from), &record::event_key(run, end))? {
        if key != record::event_key(run, number) {
            return Err(missing(run, number));
        }
        let (stored_chain, json) = split(run, number, &stored)?;
        chain = record::chain_next(&chain, json);
        if chain != stored_chain {
            return Err(damaged(format!("event {number} of run {run}"), "its checksum is wrong"));
        }
        events.push(record::decode_event(run, number, json)?);
        number += 1;
    }
    if number != end {
        return Err(missing(run, number));
    }
    if end == head.events && chain != head.chain {
        let how = format!("event {} is not the one that was written last", number - 1);
        return Err(damaged(format!("the journal of run {run}"), how));
    }
    Ok(events)
}

fn chain_of(disk: &dyn Disk, run: &RunId, number: u64) -> Result<Sum, StoreError> {
    let stored = disk.get(&record::event_key(run, number))?.ok_or_else(|| missing(run, number))?;
    Ok(split(run, number, &stored)?.0)
}

fn split<'a>(run: &RunId, number: u64, stored: &'a [u8]) -> Result<(Sum, &'a [u8]), StoreError> {
    stored
        .split_first_chunk()
        .map(|(chain, json)| (*chain, json))
        .ok_or_else(|| damaged(format!("event {number} of run {run}"), format!("it has only {} bytes", stored.len())))
}

fn missing(run: &RunId, number: u64) -> StoreError {
    damaged(format!("event {number} of run {run}"), "it is missing")
}

/// Runs, the latest first.
///
/// # Errors
/// If one is missing that must be there.
pub(crate) fn runs(disk: &dyn Disk, filter: &RunFilter, page: Page) -> Result<Vec<RunEntry>, StoreError> {
    type Placed = (Option<u64>, RunId);
    let ids: Box<dyn Iterator<Item = Result<Placed, StoreError>>> = match (filter.open, &filter.workflow) {
        (true, _) => Box::new(open_runs(disk)?.into_iter().map(|id| Ok((None, id)))),
        (false, Some(workflow)) => {
            let last = self::workflow(disk, workflow)?.last;
            Box::new((1..=last).rev().map(|number| Ok((None, RunId::new(workflow, number)))))
        }
        (false, None) => {
            let known = meta(disk)?.map_or(0, |meta| meta.runs);
            let end = page.before.map_or(known, |before| before.min(known));
            Box::new((0..end).rev().map(|place| Ok((Some(place), run_at(disk, place)?))))
        }
    };
    let mut runs = Vec::new();
    for placed in ids {
        let (place, id) = placed?;
        // Numbers of a workflow may have gaps; every other list says what must be there.
        let Some(head) = head(disk, &id)? else {
            if !filter.open && filter.workflow.is_some() {
                continue;
            }
            return Err(damaged("the list of runs", format!("run {id} is missing")));
        };
        let entry = head.entry(id);
        if place.is_some_and(|place| place != entry.place) {
            return Err(damaged("the list of runs", format!("run {} is at two places", entry.id)));
        }
        if filter.has(&entry) && page.before.is_none_or(|before| entry.place < before) {
            runs.push(entry);
        }
        // Only the list of open runs is in another order.
        if runs.len() >= page.limit && !filter.open {
            break;
        }
    }
    runs.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.place));
    runs.truncate(page.limit);
    Ok(runs)
}

fn run_at(disk: &dyn Disk, place: u64) -> Result<RunId, StoreError> {
    let missing = || damaged("the list of runs", format!("the run at place {place} is missing"));
    let sealed = disk.get(&record::place_key(place))?.ok_or_else(missing)?;
    record::unseal(&record::place_key(place), &sealed, "the list of runs")
}

/// The runs that are not over or owe alerts, in the order of their names; none missing.
fn open_runs(disk: &dyn Disk) -> Result<Vec<RunId>, StoreError> {
    loop {
        let before = meta(disk)?;
        let mut open = Vec::new();
        for (key, sealed) in disk.range(record::OPEN, &record::after(record::OPEN))? {
            open.push(record::unseal(&key, &sealed, "the list of open runs")?);
        }
        let known = before.as_ref().map_or(0, |meta| meta.open);
        if open.len() as u64 == known {
            return Ok(open);
        }
        // Runs that began or ended while they were read do not fit the count; only then is it worth reading again.
        if meta(disk)? == before {
            return Err(damaged("the list of open runs", format!("it has {} of {known}", open.len())));
        }
    }
}

/// What is known of a workflow's runs.
pub(crate) fn workflow(disk: &dyn Disk, name: &str) -> Result<WorkflowRuns, StoreError> {
    let sealed = disk.get(&record::workflow_key(name))?;
    Ok(sealed.map(|sealed| record::decode_workflow(name, &sealed)).transpose()?.unwrap_or_default())
}

/// The head of a run.
pub(crate) fn run(disk: &dyn Disk, run: &RunId) -> Result<Option<RunEntry>, StoreError> {
    Ok(head(disk, run)?.map(|head| head.entry(run.clone())))
}

/// All options, none missing.
pub(crate) fn options(disk: &dyn Disk) -> Result<BTreeMap<String, OptionValue>, StoreError> {
    loop {
        let before = meta(disk)?;
        let found = options_once(disk, before.as_ref());
        // Options that moved while they were read do not fit the sum; only then is it worth reading again.
        if found.is_ok() || meta(disk)? == before {
            return found;
        }
    }
}

fn options_once(disk: &dyn Disk, meta: Option<&Meta>) -> Result<BTreeMap<String, OptionValue>, StoreError> {
    let mut left = meta.cloned().unwrap_or_else(|| Meta::new(String::new()));
    let mut options = BTreeMap::new();
    for (key, sealed) in disk.range(record::OPTIONS, &record::after(record::OPTIONS))? {
        let name = name_in(&key, record::OPTIONS)?;
        options.insert(name.to_owned(), record::decode_option(name, &sealed)?);
        left.toggle_option(&sealed);
    }
    if options.len() as u64 != left.options || left.options_sum != Sum::default() {
        let how = format!("{} were kept, and what is there is not what was kept", left.options);
        return Err(damaged("the list of options", how));
    }
    Ok(options)
}

pub(crate) fn name_in<'a>(key: &'a [u8], prefix: &[u8]) -> Result<&'a str, StoreError> {
    let name = key.strip_prefix(prefix).and_then(|name| std::str::from_utf8(name).ok());
    name.ok_or_else(|| damaged("the store", format!("it has the key {:?}", String::from_utf8_lossy(key))))
}

/// Reads everything, and compares what heads and workflows say with the journals.
pub(crate) fn verify(disk: &dyn Disk) -> Result<(), StoreError> {
    meta(disk)?.ok_or_else(|| damaged("the store", "its own record is missing"))?;
    let all = runs(disk, &RunFilter::default(), Page::ALL)?;
    let mut open = BTreeSet::new();
    let mut workflows: BTreeMap<&str, WorkflowRuns> = BTreeMap::new();
    for entry in all.iter().rev() {
        let mut head = RunHead::default();
        events(disk, &entry.id, 0, usize::MAX)?.iter().for_each(|event| head.apply(event));
        if head != entry.head {
            return Err(damaged(format!("the head of run {}", entry.id), "it is not what the journal says"));
        }
        if RunFilter::open().has(entry) {
            open.insert(&entry.id);
        }
        let expected = workflows.entry(entry.id.workflow()).or_default();
        expected.last = expected.last.max(entry.id.number().unwrap_or(0));
        match entry.head.status() {
            Status::Queued => expected.queue.push(entry.id.clone()),
            status if status.holds() => expected.holders.push(entry.id.clone()),
            _ => {}
        }
    }
    workflows.values_mut().for_each(|runs| {
        runs.holders.sort();
        runs.queue.sort();
    });
    let listed = open_runs(disk)?;
    if !listed.iter().eq(open) {
        return Err(damaged("the list of open runs", "it is not what the heads say"));
    }
    for (name, expected) in workflows {
        let mut found = workflow(disk, name)?;
        found.holders.sort();
        found.queue.sort();
        if found != expected {
            return Err(damaged(format!("the record of workflow {name}"), "it is not what the heads say"));
        }
    }
    options(disk).map(drop)
}
