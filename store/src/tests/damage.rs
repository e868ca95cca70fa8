//! What is read is what was written, or an error.

use std::fs;
use std::path::{Path, PathBuf};

use engine::outside::store::{Store, StoreError};

use super::{append, block_on, content, fill, on_each_disk, run};
use crate::disk::{self, Disk};
use crate::folder::{Witness, Witnessed};
use crate::memory::Kept;
use crate::record::{self, Meta};
use crate::{Kind, Memory, OnDisk, read};

on_each_disk! {
    a_changed_or_missing_value_is_noticed_when_the_store_opens_or_reads,
    a_text_changed_in_the_file_of_the_database_is_noticed,
    damage_to_any_file_is_noticed_or_changes_nothing,
    a_store_that_lost_its_last_commits_does_not_open,
    a_database_that_vanished_is_not_made_anew,
    what_a_newer_version_wrote_is_refused,
}

/// The entries of a store with a little of everything, as every kind keeps them.
fn entries() -> disk::Entries {
    let memory = Memory::new();
    block_on(fill(&memory));
    memory.entries()
}

#[test]
fn every_changed_byte_and_every_missing_or_swapped_value_is_noticed() {
    let entries = entries();
    let disk = Kept::default();
    let put = |key: &[u8], value: Option<Vec<u8>>| disk.commit(&vec![(key.to_vec(), value)]).unwrap();
    for (key, value) in &entries {
        put(key, Some(value.clone()));
    }
    read::verify(&disk).unwrap();
    let mut tried = 0;
    for (key, value) in &entries {
        let name = String::from_utf8_lossy(key);
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 0x10;
            put(key, Some(changed));
            let found = read::verify(&disk);
            assert!(matches!(found, Err(StoreError::Damaged { .. })), "byte {at} of {name}: {found:?}");
            tried += 1;
        }
        for cut in [0, 31, 32, value.len() - 1] {
            put(key, Some(value[..cut].to_vec()));
            assert!(read::verify(&disk).is_err(), "{name} cut to {cut} bytes");
        }
        put(key, None);
        assert!(read::verify(&disk).is_err(), "{name} missing");
        for (other, _) in entries.iter().filter(|(other, _)| other != key) {
            put(key, disk.get(other).unwrap());
            assert!(read::verify(&disk).is_err(), "{name} is {}", String::from_utf8_lossy(other));
        }
        put(key, Some(value.clone()));
    }
    read::verify(&disk).unwrap();
    assert!(tried > 1000);
}

#[test]
fn a_value_that_went_back_to_an_older_or_another_sound_one_is_noticed() {
    let memory = Memory::new();
    block_on(fill(&memory));
    let disk = Kept::default();
    disk.commit(&memory.entries().into_iter().map(|(key, value)| (key, Some(value))).collect()).unwrap();

    let key = record::option_key("LAST_1");
    let sound = disk.get(&key).unwrap();
    let older = record::encode_option("LAST_1", &super::option("2025/01/01 00:00:00")).unwrap();
    disk.commit(&vec![(key.clone(), Some(older))]).unwrap();
    let found = read::options(&disk).unwrap_err().to_string();
    assert_eq!(found, "the list of options is damaged: 2 were kept, and what is there is not what was kept");
    disk.commit(&vec![(key, sound)]).unwrap();

    let (run, last) = (run(1), 2);
    let before = disk.get(&record::event_key(&run, last - 1)).unwrap().unwrap();
    let json = record::encode_event(&run, last, &super::event("another")).unwrap();
    let chain = record::chain_next(before.first_chunk().unwrap(), &json);
    disk.commit(&vec![(record::event_key(&run, last), Some([&chain[..], &json].concat()))]).unwrap();
    let found = read::events(&disk, &run, 0, usize::MAX).unwrap_err().to_string();
    assert_eq!(found, "the journal of run import-1 is damaged: event 2 is not the one that was written last");
}

fn a_changed_or_missing_value_is_noticed_when_the_store_opens_or_reads(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let opened = || OnDisk::open(folder.path(), kind);
    block_on(async { fill(&opened().unwrap()).await });
    for (key, _) in entries() {
        let name = String::from_utf8_lossy(&key).into_owned();
        let before = {
            let disk = disk::open(folder.path(), kind).unwrap();
            let before = disk.get(&key).unwrap().unwrap();
            let mut changed = before.clone();
            changed[before.len() / 2] ^= 1;
            disk.commit(&vec![(key.clone(), Some(changed))]).unwrap();
            before
        };
        let found = opened().and_then(|store| block_on(async { store.verify().await }));
        assert!(matches!(found, Err(StoreError::Damaged { .. })), "{name}: {found:?}");
        disk::open(folder.path(), kind).unwrap().commit(&vec![(key.clone(), None)]).unwrap();
        let found = opened().and_then(|store| block_on(async { store.verify().await }));
        assert!(matches!(found, Err(StoreError::Damaged { .. })), "{name} missing: {found:?}");
        disk::open(folder.path(), kind).unwrap().commit(&vec![(key, Some(before))]).unwrap();
    }
    opened().map(|store| block_on(async { store.verify().await })).unwrap().unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if path.file_name().unwrap() != "reserve" {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn files_in(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_in(&path, found);
        } else if fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
}

/// Flips bits and cuts tails, spread over what is written in each file.
fn damage_to_any_file_is_noticed_or_changes_nothing(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound");
    let expected = block_on(async {
        let store = OnDisk::open(&sound, kind).unwrap();
        fill(&store).await;
        content(&store).await.unwrap()
    });
    fs::remove_file(sound.join("reserve")).unwrap();
    let mut files = Vec::new();
    files_in(&sound, &mut files);
    let (mut tried, mut noticed) = (0, 0);
    for file in files {
        let name = file.strip_prefix(&sound).unwrap();
        let bytes = fs::read(&file).unwrap();
        // Both files are mostly empty room.
        let written: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let flips = (0..60).map(|n| (written[written.len() * n / 60], true));
        let cuts = (0..10).map(|n| (written[written.len() * n / 10], false));
        let places = flips.chain(cuts);
        for (at, flip) in places {
            let broken = folder.path().join("broken");
            copy(&sound, &broken);
            let mut changed = bytes.clone();
            if flip {
                changed[at] ^= 0x55;
            } else {
                changed.truncate(at);
            }
            fs::write(broken.join(name), changed).unwrap();
            let found = OnDisk::open(&broken, kind).and_then(|store| block_on(async { content(&store).await }));
            match found {
                Ok(found) => assert_eq!(found, expected, "{} at {at}, flip {flip}", name.display()),
                Err(_) => noticed += 1,
            }
            tried += 1;
            fs::remove_dir_all(&broken).unwrap();
        }
    }
    assert!(noticed > 10, "{noticed} of {tried} noticed");
}

/// One letter of the last event, in every page that has it: those no longer in use may say what they like.
fn a_text_changed_in_the_file_of_the_database_is_noticed(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    block_on(async { fill(&OnDisk::open(folder.path(), kind).unwrap()).await });
    let file = folder.path().join(kind.main_file());
    let mut bytes = fs::read(&file).unwrap();
    let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"three")).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] = b'T';
    }
    fs::write(&file, bytes).unwrap();
    let found = OnDisk::open(folder.path(), kind).and_then(|store| block_on(async { store.verify().await }));
    assert!(matches!(found, Err(StoreError::Damaged { .. })), "{found:?}");
}

/// As sled does after a power cut: it opens well, but its tail is gone.
fn a_store_that_lost_its_last_commits_does_not_open(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let (now, old) = (folder.path().join("now"), folder.path().join("old"));
    block_on(async { fill(&OnDisk::open(&now, kind).unwrap()).await });
    copy(&now, &old);
    block_on(async {
        let store = OnDisk::open(&now, kind).unwrap();
        append(&store, &run(1), 3, super::events(&["four"]), vec![]).await.unwrap();
    });
    // The database of before, the witness of now.
    fs::copy(now.join("witness"), old.join("witness")).unwrap();
    let error = OnDisk::open(&old, kind).err().unwrap();
    assert_eq!(error.to_string(), "the store is damaged: its last 1 commits of 8 are missing");
    // Half a witness is enough; none is the operator's decision.
    let mut half = fs::read(now.join("witness")).unwrap();
    half[..512].fill(0);
    fs::write(old.join("witness"), half).unwrap();
    assert!(OnDisk::open(&old, kind).is_err());
    fs::write(old.join("witness"), [0; 1024]).unwrap();
    assert!(matches!(OnDisk::open(&old, kind).err(), Some(StoreError::Damaged { .. })));
    fs::remove_file(old.join("witness")).unwrap();
    assert_eq!(block_on(async { super::all_runs(&OnDisk::open(&old, kind).unwrap()).await }).unwrap().len(), 3);
}

fn a_database_that_vanished_is_not_made_anew(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    drop(OnDisk::open(folder.path(), kind).unwrap());
    let file = folder.path().join(kind.main_file());
    fs::write(&file, []).unwrap();
    assert!(matches!(OnDisk::open(folder.path(), kind).err(), Some(StoreError::Damaged { .. })));
    fs::remove_file(&file).unwrap();
    assert!(matches!(OnDisk::open(folder.path(), kind).err(), Some(StoreError::Damaged { .. })));
    assert!(!file.exists());
}

fn what_a_newer_version_wrote_is_refused(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    block_on(async { fill(&OnDisk::open(folder.path(), kind).unwrap()).await });

    let disk = disk::open(folder.path(), kind).unwrap();
    let json = br#"{"v":2,"at":"2026-01-01T00:00:00Z","event":"teleported","to":"Mars"}"#;
    let mut head = read::head(&disk, &run(1)).unwrap().unwrap();
    head.chain = record::chain_next(&head.chain, json);
    let stored = [&head.chain[..], json].concat();
    disk.commit(&vec![(record::event_key(&run(1), 3), Some(stored))]).unwrap();
    head.events = 4;
    disk.commit(&vec![(record::head_key(&run(1)), Some(head.encode(&run(1)).unwrap()))]).unwrap();
    drop(disk);
    let found = block_on(async { OnDisk::open(folder.path(), kind).unwrap().events(&run(1), 0, usize::MAX).await });
    assert_eq!(found.unwrap_err().to_string(), "event 3 of run import-1 has format 2; this version reads up to 1");

    let disk = disk::open(folder.path(), kind).unwrap();
    let newer = Meta { format: record::FORMAT + 1, ..read::meta(&disk).unwrap().unwrap() };
    disk.commit(&vec![(record::META.to_vec(), Some(newer.encode().unwrap()))]).unwrap();
    drop(disk);
    let refused =
        Some(StoreError::Format { what: "the store".to_owned(), found: record::FORMAT + 1, known: record::FORMAT });
    assert_eq!(OnDisk::open(folder.path(), kind).err(), refused);
}

#[test]
fn a_snapshot_that_sled_did_not_finish_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async { fill(&OnDisk::open(folder.path(), Kind::Sled).unwrap()).await });
    fs::write(folder.path().join("sled/snap.FFFFFFFFFFFFFFFF.generating"), b"half").unwrap();
    drop(OnDisk::open(folder.path(), Kind::Sled).unwrap());
}

#[test]
fn a_torn_line_of_the_witness_leaves_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let now = Witnessed { kind: Kind::Redb, epoch: 3, commits: 41 };
    let mut witness = Witness::begin(folder.path(), now).unwrap();
    witness.write(3, 42).unwrap();
    let path = folder.path().join("witness");
    let mut torn = fs::read(&path).unwrap();
    torn[20..512].fill(0);
    fs::write(&path, &torn).unwrap();
    assert_eq!(Witness::read(folder.path()).unwrap(), Some(now));
}
