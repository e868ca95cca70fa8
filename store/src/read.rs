//! Reading, with nothing believed that its checksum does not confirm.

use std::collections::BTreeMap;

use engine::event::Recorded;
use engine::outside::store::{OptionValue, RunId, StoreError};

use crate::disk::{Disk, damaged};
use crate::record::{self, Head, Meta, Sum};

/// `None` where nothing was ever written.
pub(crate) fn meta(disk: &dyn Disk) -> Result<Option<Meta>, StoreError> {
    disk.get(record::META)?.map(|bytes| Meta::decode(&bytes)).transpose()
}

pub(crate) fn head(disk: &dyn Disk, run: &RunId) -> Result<Option<Head>, StoreError> {
    disk.get(&record::head_key(run))?.map(|bytes| Head::decode(run, &bytes)).transpose()
}

/// The events of a run from `from` on.
///
/// The head is read first: events that are appended meanwhile are left for the next reading.
pub(crate) fn events(disk: &dyn Disk, run: &RunId, from: u64) -> Result<Vec<Recorded>, StoreError> {
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
    let mut events = Vec::new();
    let mut number = from;
    for (key, stored) in disk.range(&record::event_key(run, from), &record::event_key(run, head.events))? {
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
    if number != head.events {
        return Err(missing(run, number));
    }
    if chain != head.chain {
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

/// All runs in the order in which they began, with the number of their events.
pub(crate) fn runs(disk: &dyn Disk) -> Result<Vec<(RunId, u64)>, StoreError> {
    // Read before the heads: a run that begins meanwhile is only one more.
    let known = meta(disk)?.map_or(0, |meta| meta.runs);
    let mut runs = Vec::new();
    for (key, value) in disk.range(record::HEADS, &record::after(record::HEADS))? {
        let name = name_in(&key, record::HEADS)?;
        let run = RunId::parse(name).ok_or_else(|| damaged("the list of runs", format!("{name:?} is no run")))?;
        let head = Head::decode(&run, &value)?;
        runs.push((head.began, run, head.events));
    }
    runs.sort_unstable_by_key(|(began, ..)| *began);
    let out_of_step = runs.iter().zip(0..).position(|((began, ..), place)| *began != place);
    let place = out_of_step.unwrap_or(runs.len());
    if out_of_step.is_some() || (place as u64) < known {
        return Err(damaged("the list of runs", format!("run number {} of {known} is missing", place + 1)));
    }
    Ok(runs.into_iter().map(|(_, run, events)| (run, events)).collect())
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
    let mut left = meta.cloned().unwrap_or_else(Meta::new);
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

fn name_in<'a>(key: &'a [u8], prefix: &[u8]) -> Result<&'a str, StoreError> {
    let name = key.strip_prefix(prefix).and_then(|name| std::str::from_utf8(name).ok());
    name.ok_or_else(|| damaged("the store", format!("it has the key {:?}", String::from_utf8_lossy(key))))
}

/// Reads everything.
pub(crate) fn verify(disk: &dyn Disk) -> Result<(), StoreError> {
    meta(disk)?.ok_or_else(|| damaged("the store", "its own record is missing"))?;
    for (run, _) in runs(disk)? {
        events(disk, &run, 0)?;
    }
    options(disk).map(drop)
}
