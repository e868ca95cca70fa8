//! Brings a store of an older format up to date when it is opened. What it writes is derived from what is there, so an
//! upgrade that was interrupted is simply done again.

use std::collections::BTreeMap;

use engine::outside::store::{RunId, StoreError, WorkflowRuns};
use engine::run::RunHead;

use crate::disk::{Batch, Disk, damaged};
use crate::on_disk::new_folder_id;
use crate::read;
use crate::record::{self, FORMAT, Head, Meta};

/// How many runs one commit brings up to date.
const RUNS_AT_ONCE: usize = 500;

/// From format 1, which kept only the number of events of each run: heads, the list of runs, the list of open runs and the
/// records of workflows. The record of the store, which says the new format, is written last.
///
/// # Errors
/// If a journal is damaged.
pub(crate) fn to_newest(disk: &dyn Disk, mut meta: Meta) -> Result<Meta, StoreError> {
    let mut batch = Batch::new();
    let mut workflows: BTreeMap<String, WorkflowRuns> = BTreeMap::new();
    meta.open = 0;
    for (id, mut head) in heads(disk, meta.runs)? {
        head.run = RunHead::default();
        read::events(disk, &id, 0, usize::MAX)?.iter().for_each(|event| head.run.apply(event));
        let place = record::place_key(head.began);
        batch.push((place.clone(), Some(record::seal(&place, &id)?)));
        batch.push((record::head_key(&id), Some(head.encode(&id)?)));
        if head.is_open() {
            let open = record::open_key(&id);
            batch.push((open.clone(), Some(record::seal(&open, &id)?)));
            meta.open += 1;
        }
        let runs = workflows.entry(id.workflow().to_owned()).or_default();
        runs.last = runs.last.max(id.number().unwrap_or(0));
        if head.run.status().holds() {
            runs.holders.push(id);
        }
        if batch.len() >= RUNS_AT_ONCE {
            disk.commit(&std::mem::take(&mut batch))?;
        }
    }
    for (name, runs) in workflows {
        let key = record::workflow_key(&name);
        batch.push((key.clone(), Some(record::seal(&key, &runs)?)));
    }
    meta.folder = new_folder_id();
    meta.format = FORMAT;
    batch.push((record::META.to_vec(), Some(meta.encode()?)));
    disk.commit(&batch)?;
    Ok(meta)
}

/// The heads of all runs, in the order in which they began.
fn heads(disk: &dyn Disk, known: u64) -> Result<Vec<(RunId, Head)>, StoreError> {
    let mut heads = Vec::new();
    for (key, sealed) in disk.range(record::HEADS, &record::after(record::HEADS))? {
        let name = read::name_in(&key, record::HEADS)?;
        let run = RunId::parse(name).ok_or_else(|| damaged("the list of runs", format!("{name:?} is no run")))?;
        let head = Head::decode(&run, &sealed)?;
        heads.push((run, head));
    }
    heads.sort_unstable_by_key(|(_, head)| head.began);
    if heads.iter().map(|(_, head)| head.began).ne(0..known) {
        return Err(damaged("the list of runs", format!("it has {} of {known}", heads.len())));
    }
    Ok(heads)
}
