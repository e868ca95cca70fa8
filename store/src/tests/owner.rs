//! One owner, one writer, and nothing more after a failure.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use engine::outside::store::{Expect, Store, StoreError};

use super::{append, block_on, content, event, events, fill, moved, on_each_disk, run};
use crate::disk::{Batch, Careful, Disk, Entries, failed};
use crate::folder::{Lock, Witness, Witnessed};
use crate::memory::Kept;
use crate::record::{self, Meta};
use crate::{Kind, Memory, OnDisk, RESERVE_BYTES, read};

on_each_disk! {
    a_second_open_is_refused_until_the_first_is_closed,
    an_owner_that_was_taken_over_writes_nothing_more,
    a_folder_of_the_other_kind_is_refused,
}

fn a_second_open_is_refused_until_the_first_is_closed(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let store = OnDisk::open(folder.path(), kind).unwrap();
        let second = OnDisk::open(folder.path(), kind).err();
        assert_eq!(second, Some(StoreError::InUse { folder: folder.path().to_owned() }));
        drop(store);
    }
    assert_eq!(fs::metadata(folder.path().join("reserve")).unwrap().len(), RESERVE_BYTES);
}

/// Takes a folder over from the store that has it open.
type TakeOver = fn(&OnDisk, &Path, Kind);

fn an_owner_that_was_taken_over_writes_nothing_more(kind: Kind) {
    let by_the_folder: TakeOver = |store, folder, kind| {
        let theirs = store.shared.epoch + 1;
        drop(Witness::begin(folder, Witnessed { kind, epoch: theirs, commits: 6 }).unwrap());
    };
    let by_the_database: TakeOver = |store, _, _| {
        let mut meta = read::meta(&store.shared.disk).unwrap().unwrap();
        meta.epoch += 1;
        store.shared.disk.commit(&vec![(record::META.to_vec(), Some(meta.encode().unwrap()))]).unwrap();
    };
    for take_over in [by_the_folder, by_the_database] {
        let folder = tempfile::tempdir().unwrap();
        block_on(async {
            let store = OnDisk::open(folder.path(), kind).unwrap();
            fill(&store).await;
            let ours = store.shared.epoch;
            take_over(&store, folder.path(), kind);
            let fenced = Err(StoreError::Fenced { ours, theirs: ours + 1 });
            assert_eq!(append(&store, &run(1), 3, events(&["four"]), vec![]).await, fenced);
            assert_eq!(store.set_options(vec![moved("A", Expect::Any, Some("x"))]).await, fenced);
            assert_eq!(store.events(&run(1), 0, usize::MAX).await.map(drop), fenced);
            assert_eq!(read::events(&store.shared.disk, &run(1), 0, usize::MAX).unwrap().len(), 3);
        });
    }
}

fn a_folder_of_the_other_kind_is_refused(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    drop(OnDisk::open(folder.path(), kind).unwrap());
    let other = if kind == Kind::Sled { Kind::Redb } else { Kind::Sled };
    let error = OnDisk::open(folder.path(), other).err().unwrap();
    assert!(error.to_string().ends_with(&format!("is kept in {kind}")), "{error}");
}

/// Fails, or panics as sled does, when it is told to, and counts commits.
#[derive(Default)]
struct Faulty {
    kept: Kept,
    full: AtomicBool,
    panics: AtomicBool,
    commits: AtomicU32,
}

impl Disk for Arc<Faulty> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.kept.get(key)
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Result<Entries, StoreError> {
        self.kept.range(from, to)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        assert!(!self.panics.load(Ordering::SeqCst), "called `Result::unwrap()` on an `Err`: No space left on device");
        if self.full.load(Ordering::SeqCst) {
            return Err(failed("write", "No space left on device", true));
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(2));
        self.kept.commit(batch)
    }
}

fn over_faulty(folder: &Path) -> (OnDisk, Arc<Faulty>) {
    let disk = Arc::new(Faulty::default());
    let meta = Meta::new("folder".to_owned());
    disk.commit(&vec![(record::META.to_vec(), Some(meta.encode().unwrap()))]).unwrap();
    let witness = Witness::begin(folder, Witnessed { kind: Kind::Sled, epoch: 0, commits: 0 }).unwrap();
    let lock = Lock::take(folder).unwrap();
    (OnDisk::start(Careful::around(Arc::clone(&disk)), &meta, witness, lock).unwrap(), disk)
}

#[test]
fn after_a_failed_write_everything_is_refused_though_the_disk_recovers() {
    let faults: [fn(&Faulty) -> &AtomicBool; 2] = [|disk| &disk.full, |disk| &disk.panics];
    for fault in faults {
        let folder = tempfile::tempdir().unwrap();
        let (store, disk) = over_faulty(folder.path());
        block_on(async {
            append(&store, &run(1), 0, events(&["one"]), vec![]).await.unwrap();
            fault(&disk).store(true, Ordering::SeqCst);
            let failed = append(&store, &run(1), 1, events(&["two"]), vec![]).await.unwrap_err();
            assert!(matches!(failed, StoreError::Io { full: true, .. }), "{failed:?}");
            fault(&disk).store(false, Ordering::SeqCst);
            assert_eq!(append(&store, &run(1), 1, events(&["two"]), vec![]).await, Err(failed.clone()));
            assert_eq!(super::all_runs(&store).await, Err(failed));
        });
        assert_eq!(read::events(&disk, &run(1), 0, usize::MAX).unwrap(), events(&["one"]));
    }
}

#[test]
fn callers_at_the_same_time_share_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk) = over_faulty(folder.path());
    let store = Arc::new(store);
    block_on(async {
        let callers = (1..=64).map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { append(&*store, &run(number), 0, events(&["one"]), vec![]).await })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap().unwrap();
        }
    });
    let commits = disk.commits.load(Ordering::SeqCst);
    assert!(commits < 16, "{commits} commits for 64 callers");
}

#[test]
fn a_store_in_memory_fails_where_it_is_told_and_keeps_what_it_kept() {
    block_on(async {
        let store = Memory::failing_after(1);
        append(&store, &run(1), 0, events(&["one"]), vec![]).await.unwrap();
        assert!(append(&store, &run(1), 1, events(&["two"]), vec![]).await.is_err());
        assert!(append(&store, &run(1), 1, events(&["two"]), vec![]).await.is_err());
        let again = store.reopened();
        assert_eq!(again.events(&run(1), 0, usize::MAX).await.unwrap(), events(&["one"]));
        append(&again, &run(1), 1, events(&["two"]), vec![]).await.unwrap();

        let store = Memory::losing_answer_of(2);
        append(&store, &run(1), 0, events(&["one"]), vec![]).await.unwrap();
        assert!(append(&store, &run(1), 1, events(&["two"]), vec![]).await.is_err());
        assert!(append(&store, &run(1), 2, events(&["three"]), vec![]).await.is_err());
        assert_eq!(content(&store.reopened()).await.unwrap().0, vec![(run(1), vec![event("one"), event("two")])]);
    });
}
