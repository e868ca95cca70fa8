//! What a commit writes: every rule of an append is checked here, for every kind of store.

use std::collections::BTreeMap;

use engine::event::Recorded;
use engine::outside::store::{Append, Expect, Hold, OptionChange, RunId, StoreError};
use engine::run::Status;

use crate::disk::{Batch, Disk, damaged};
use crate::read;
use crate::record::{self, Head, Meta};

/// What one caller wants written, all or nothing; already encoded and within its limits.
#[derive(Debug)]
pub(crate) struct Request {
    /// The folder's new id.
    folder: Option<String>,
    journal: Option<Journal>,
    options: Vec<Change>,
}

#[derive(Debug)]
struct Journal {
    run: RunId,
    expected: u64,
    /// Each with its bytes.
    events: Vec<(Recorded, Vec<u8>)>,
    hold: Hold,
}

#[derive(Debug)]
struct Change {
    name: String,
    expect: Expect,
    value: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn append(append: Append) -> Result<Self, StoreError> {
        let Append { run, expected, events, options, hold } = append;
        let encoded = (expected..).zip(events).map(|(number, event)| {
            let bytes = record::encode_event(&run, number, &event)?;
            Ok((event, bytes))
        });
        let events = encoded.collect::<Result<_, StoreError>>()?;
        Ok(Self { folder: None, journal: Some(Journal { run, expected, events, hold }), options: changes(options)? })
    }

    pub(crate) fn options(options: Vec<OptionChange>) -> Result<Self, StoreError> {
        Ok(Self { folder: None, journal: None, options: changes(options)? })
    }

    /// Gives the folder a new id.
    pub(crate) fn renew(folder: String) -> Self {
        Self { folder: Some(folder), journal: None, options: Vec::new() }
    }
}

fn changes(options: Vec<OptionChange>) -> Result<Vec<Change>, StoreError> {
    let change = |OptionChange { name, expect, value }: OptionChange| {
        let value = value.map(|value| record::encode_option(&name, &value)).transpose()?;
        Ok(Change { name, expect, value })
    };
    options.into_iter().map(change).collect()
}

/// One commit in the making. Requests see those admitted before them, although nothing is written yet.
pub(crate) struct Plan<'a> {
    disk: &'a dyn Disk,
    /// The folder's id before.
    folder: String,
    admitted: Staged,
}

#[derive(Clone)]
struct Staged {
    meta: Meta,
    values: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a> Plan<'a> {
    /// Begins a commit of the owner with this epoch.
    pub(crate) fn new(disk: &'a dyn Disk, epoch: u64) -> Result<Self, StoreError> {
        let meta = read::meta(disk)?.ok_or_else(|| damaged("the store", "its own record is missing"))?;
        if meta.epoch != epoch {
            return Err(StoreError::Fenced { ours: epoch, theirs: meta.epoch });
        }
        let folder = meta.folder.clone();
        Ok(Self { disk, folder, admitted: Staged { meta, values: BTreeMap::new() } })
    }

    /// Adds a request where all that it expects is true, else nothing of it.
    pub(crate) fn admit(&mut self, request: Request) -> Result<(), StoreError> {
        let mut staged = Staged { meta: self.admitted.meta.clone(), values: BTreeMap::new() };
        if let Some(folder) = request.folder {
            staged.meta.folder = folder;
        }
        if let Some(journal) = request.journal {
            self.stage_events(&mut staged, journal)?;
        }
        for change in request.options {
            self.stage_option(&mut staged, change)?;
        }
        self.admitted.meta = staged.meta;
        self.admitted.values.append(&mut staged.values);
        Ok(())
    }

    /// The number of this commit and what it writes; `None` where nothing was asked for.
    pub(crate) fn finish(self) -> Result<Option<(u64, Batch)>, StoreError> {
        let Staged { mut meta, values } = self.admitted;
        if values.is_empty() && meta.folder == self.folder {
            return Ok(None);
        }
        meta.commits += 1;
        let mut batch: Batch = values.into_iter().collect();
        batch.push((record::META.to_vec(), Some(meta.encode()?)));
        Ok(Some((meta.commits, batch)))
    }

    fn stage_events(&self, staged: &mut Staged, journal: Journal) -> Result<(), StoreError> {
        let Journal { run, expected, events, hold } = journal;
        let stored = self.get(staged, &record::head_key(&run))?;
        let is_new = stored.is_none();
        let mut head = match stored {
            Some(bytes) => Head::decode(&run, &bytes)?,
            None => Head::new(&run, staged.meta.runs),
        };
        if head.events != expected {
            return Err(StoreError::Conflict { run, expected, actual: head.events });
        }
        if events.is_empty() {
            return Ok(());
        }
        let was_open = !is_new && head.is_open();
        if is_new {
            let key = record::place_key(head.began);
            staged.values.insert(key.clone(), Some(record::seal(&key, &run)?));
            staged.meta.runs += 1;
        }
        for (event, bytes) in events {
            head.chain = record::chain_next(&head.chain, &bytes);
            let stored = [&head.chain[..], &bytes].concat();
            staged.values.insert(record::event_key(&run, head.events), Some(stored));
            head.events += 1;
            head.run.apply(&event);
        }
        self.stage_open(staged, &run, was_open, head.is_open())?;
        self.stage_hold(staged, &run, is_new, head.run.status(), hold)?;
        staged.values.insert(record::head_key(&run), Some(head.encode(&run)?));
        Ok(())
    }

    fn stage_open(&self, staged: &mut Staged, run: &RunId, was: bool, is: bool) -> Result<(), StoreError> {
        let key = record::open_key(run);
        if was && self.get(staged, &key)?.is_none() {
            return Err(damaged("the list of open runs", format!("run {run} is missing")));
        }
        if was != is {
            let value = if is { Some(record::seal(&key, run)?) } else { None };
            staged.values.insert(key, value);
            staged.meta.open = staged.meta.open + u64::from(is) - u64::from(was);
        }
        Ok(())
    }

    /// Brings the hold of the run's workflow up to date.
    fn stage_hold(
        &self,
        staged: &mut Staged,
        run: &RunId,
        is_new: bool,
        status: Status,
        hold: Hold,
    ) -> Result<(), StoreError> {
        let key = record::workflow_key(run.workflow());
        let before = self.get(staged, &key)?;
        if before.is_none() && !is_new {
            return Err(damaged(format!("the record of workflow {}", run.workflow()), "it is missing"));
        }
        let before = before.map(|sealed| record::decode_workflow(run.workflow(), &sealed)).transpose()?;
        let mut runs = before.clone().unwrap_or_default();
        runs.last = runs.last.max(run.number().unwrap_or(0));
        let other = |list: &[RunId]| list.iter().find(|other| *other != run).cloned();
        if status == Status::Queued && !runs.queue.contains(run) {
            if let Hold::Queue(most) = hold
                && runs.queue.len() >= most
            {
                return Err(StoreError::QueueFull { waiting: runs.queue.len() });
            }
            runs.queue.push(run.clone());
        }
        if status.holds() && !runs.holders.contains(run) {
            let is_first = runs.queue.first() == Some(run);
            let before_it = if is_first { None } else { other(&runs.queue) };
            if hold == Hold::Take
                && let Some(by) = other(&runs.holders).or(before_it)
            {
                return Err(StoreError::Held { by });
            }
            runs.holders.push(run.clone());
        }
        if !status.holds() {
            runs.holders.retain(|holder| holder != run);
        }
        if status != Status::Queued {
            runs.queue.retain(|waiting| waiting != run);
        }
        if before.as_ref() != Some(&runs) {
            staged.values.insert(key.clone(), Some(record::seal(&key, &runs)?));
        }
        Ok(())
    }

    fn stage_option(&self, staged: &mut Staged, change: Change) -> Result<(), StoreError> {
        let Change { name, expect, value } = change;
        let key = record::option_key(&name);
        let before = self.get(staged, &key)?;
        let text = before.as_ref().map(|sealed| record::decode_option(&name, sealed)).transpose()?.map(|o| o.value);
        if let Expect::Is(expected) = expect
            && expected != text
        {
            return Err(StoreError::OptionMoved { name });
        }
        for sealed in [&before, &value].into_iter().flatten() {
            staged.meta.toggle_option(sealed);
        }
        let counted = (staged.meta.options + u64::from(value.is_some())).checked_sub(u64::from(before.is_some()));
        staged.meta.options = counted.ok_or_else(|| damaged("the list of options", "there are more than were kept"))?;
        staged.values.insert(key, value);
        Ok(())
    }

    fn get(&self, staged: &Staged, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match staged.values.get(key).or_else(|| self.admitted.values.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.disk.get(key),
        }
    }
}
