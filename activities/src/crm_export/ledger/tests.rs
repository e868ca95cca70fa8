//! What a crash, a torn write and a damaged disk leave of a ledger.

use std::fs;

use engine::outside::crm::What;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::crm_export::ledger::state::Header;

fn header() -> Entry {
    let header = json!({
        "plan": { "method": "one", "recordsMax": 2, "bytesMax": 1000, "atOnce": 1 },
        "settings": "s", "pinned": { "now": "2026-03-03T10:00:00Z" }, "firsts": null, "records": 9
    });
    Entry::Header(Box::new(serde_json::from_value::<Header>(header).unwrap()))
}

fn intended(batch: u64, from: u64, records: u64) -> Entry {
    let fate = |place: u64| match place % 3 {
        2 => Fate::Decided(engine::outside::crm::Outcome::Done { id: place.to_string(), what: What::Unchanged }),
        _ => Fate::Send(format!("{{\"record\":{place}}}").into()),
    };
    Entry::Intended { batch, from, records: (from..from + records).map(fate).collect() }
}

fn answered(batch: u64, from: u64, records: u64) -> Entry {
    let sent = (from..from + records).filter(|place| place % 3 != 2);
    let done = |place: u64| engine::outside::crm::Outcome::Done { id: place.to_string(), what: What::Created };
    Entry::Answered { batch, outcomes: sent.map(done).collect() }
}

/// Two lanes: batches 0 and 1 are under way together, and 1 is answered first.
fn entries() -> Vec<Entry> {
    vec![
        header(),
        intended(0, 0, 3),
        intended(1, 3, 2),
        Entry::Step { batch: 1, step: json!({ "job": "750" }) },
        answered(1, 3, 2),
        intended(2, 5, 4),
        answered(0, 0, 3),
        answered(2, 5, 4),
    ]
}

/// A folder with a ledger of these entries, each durable before the next, and how long the file was after each.
async fn written(entries: &[Entry]) -> (tempfile::TempDir, std::path::PathBuf, Vec<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export.ledger");
    let (ledger, state) = Ledger::open(&path).unwrap();
    assert_eq!(state, State::default());
    let mut ends = vec![frame::HEAD];
    for entry in entries {
        ends.push(ledger.append(entry).unwrap().durable().await.unwrap());
    }
    (folder, path, ends)
}

fn fold(entries: &[Entry], ends: &[u64]) -> State {
    let mut state = State::default();
    for (entry, at) in entries.iter().zip(ends) {
        state.apply(*at, entry.clone()).unwrap();
    }
    state
}

#[tokio::test]
async fn a_crash_at_any_byte_leaves_the_entries_that_were_durable_and_the_file_goes_on_from_there() {
    let entries = entries();
    let (_folder, path, ends) = written(&entries).await;
    let whole = fs::read(&path).unwrap();
    let last = usize::try_from(*ends.last().unwrap()).unwrap();
    assert_eq!(whole.len(), last);
    let near = |length: &usize| ends.iter().any(|end| end.abs_diff(*length as u64) < 3) || length.is_multiple_of(23);
    for length in (0..=last).filter(near) {
        // What is left of a write may also be zeros.
        for rest in [0, 50] {
            let mut bytes = whole[..length].to_vec();
            bytes.resize(length + rest, 0);
            fs::write(&path, &bytes).unwrap();
            let (ledger, state) = Ledger::open(&path).unwrap();
            let kept = ends.iter().filter(|end| **end <= length as u64).count().saturating_sub(1);
            assert_eq!(state, fold(&entries[..kept], &ends), "cut at {length}");
            if let Some(next) = entries.get(kept) {
                ledger.append(next).unwrap().durable().await.unwrap();
                drop(ledger);
                let (_, state) = Ledger::open(&path).unwrap();
                assert_eq!(state, fold(&entries[..=kept], &ends), "gone on at {length}");
            }
        }
    }
}

#[tokio::test]
async fn what_was_durable_and_is_not_sound_any_more_is_told_and_never_skipped() {
    let entries = entries();
    let (_folder, path, ends) = written(&entries).await;
    let whole = fs::read(&path).unwrap();
    let last_entry = usize::try_from(ends[ends.len() - 2]).unwrap();
    for place in (16..last_entry).step_by(3) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let failure = Ledger::open(&path).unwrap_err();
        assert_eq!(failure.class, Class::Storage, "byte {place}");
        assert!(failure.help.is_some_and(|help| help.contains("look up in the CRM")));
        assert_eq!(fs::read(&path).unwrap(), bytes, "the file is left as it is");
    }
    fs::write(&path, b"Some other file, which nobody should write over").unwrap();
    assert!(Ledger::open(&path).unwrap_err().message.contains("no temp file"));
}

#[test]
fn of_entries_that_were_written_together_the_disk_may_keep_the_later_one_alone() {
    let salt = [7; 8];
    let (mut one, mut two) = (frame::head(salt), Vec::new());
    let at = frame::HEAD;
    frame::put(&mut two, salt, at, at, 1, b"first").unwrap();
    let second = two.len();
    frame::put(&mut two, salt, at, at, 1, b"second").unwrap();
    two[..second].fill(0);
    one.extend(two);
    let length = one.len() as u64;
    let end = frame::read_all::<Told>(&mut std::io::Cursor::new(one), salt, length, |_| panic!("nothing is sound"));
    assert_eq!(end.unwrap(), at, "neither was told to be durable, so nothing followed from them");
}

#[derive(Debug)]
struct Told;

impl From<Unsound> for Told {
    fn from(_: Unsound) -> Self {
        Self
    }
}

#[tokio::test]
async fn entries_of_many_lanes_are_written_together_in_the_order_of_the_calls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export.ledger");
    let (ledger, _) = Ledger::open(&path).unwrap();
    let mut receipts = vec![ledger.append(&header()).unwrap()];
    for batch in 0..500 {
        receipts.push(ledger.append(&intended(batch, batch * 3, 3)).unwrap());
    }
    for receipt in receipts {
        receipt.durable().await.unwrap();
    }
    drop(ledger);
    let (ledger, state) = Ledger::open(&path).unwrap();
    assert_eq!(state.next(), 1500);
    let Entry::Intended { records, .. } = intended(77, 231, 3) else { panic!() };
    assert_eq!(ledger.intended(&state.batches[77]).unwrap(), records);
}

#[derive(Debug, Clone)]
enum Act {
    Intend(u64),
    Step(u64),
    Answer(u64),
    Nonsense(Entry),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1..5u64).prop_map(Act::Intend),
        1 => (0..8u64).prop_map(Act::Step),
        3 => (0..8u64).prop_map(Act::Answer),
        1 => (0..12u64, 0..20u64, 0..4u64).prop_map(|(batch, from, records)| Act::Nonsense(intended(batch, from, records))),
    ]
}

proptest! {
    /// Whatever is tried, each record of the input is in one batch at most, a batch has one answer at most, and a state
    /// that refuses an entry stays as it was.
    #[test]
    fn no_record_is_intended_twice_and_no_batch_is_answered_twice(acts in prop::collection::vec(act(), 0..60)) {
        let mut state = State::default();
        state.apply(0, header()).unwrap();
        let mut at = 1;
        for act in acts {
            at += 1;
            let before = state.clone();
            let known = |batch: u64| before.batches.get(usize::try_from(batch).unwrap());
            let (entry, legal) = match act {
                Act::Intend(records) => (intended(before.batches.len() as u64, before.next(), records), true),
                Act::Step(batch) => {
                    (Entry::Step { batch, step: json!(at) }, known(batch).is_some_and(|known| known.answered.is_none()))
                }
                Act::Answer(batch) => {
                    let (from, records) = known(batch).map_or((0, 0), |known| (known.from, known.records));
                    (answered(batch, from, records), known(batch).is_some_and(|known| known.answered.is_none()))
                }
                Act::Nonsense(entry) => {
                    let Entry::Intended { batch, from, records } = &entry else { unreachable!() };
                    let follows = *batch == before.batches.len() as u64 && *from == before.next();
                    let legal = follows && !records.is_empty();
                    (entry, legal)
                }
            };
            let (kind, bytes) = entry.encode().unwrap();
            let decoded = Entry::decode(kind, bytes.into());
            prop_assert_eq!(decoded.as_ref(), Some(&entry));
            prop_assert_eq!(state.apply(at, entry).is_ok(), legal);
            if !legal {
                prop_assert_eq!(&state, &before);
            }
            let mut next = 0;
            for batch in &state.batches {
                prop_assert_eq!(batch.from, next);
                next += batch.records;
            }
        }
    }
}
