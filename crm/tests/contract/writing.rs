//! What is promised of writing.

use std::collections::BTreeMap;

use engine::outside::crm::{Operation, Outcome, What, Write};

use crate::stand::{End, Stand, Trouble, done, noon, object, pages, read, row, send, texts, words, write};

/// The write by each of the system's methods.
fn by_methods(stand: &dyn Stand, write: &Write) -> Vec<Write> {
    let method = |(batch_max, detect_duplicates)| Write { batch_max, detect_duplicates, ..write.clone() };
    stand.methods().into_iter().map(method).collect()
}

fn counted(changes: &[(What, String)]) -> BTreeMap<(&'static str, String), usize> {
    let mut counts = BTreeMap::new();
    changes.iter().for_each(|(what, id)| *counts.entry((what.word(), id.clone())).or_default() += 1);
    counts
}

pub(crate) async fn every_operation_tells_what_it_did_by_every_method(stand: &dyn Stand) {
    let names = stand.names();
    let insert = write(stand, Operation::Insert, &[], &[names.name]).await;
    for (number, insert) in by_methods(stand, &insert).iter().enumerate() {
        let first = u32::try_from(number).unwrap() * 10;
        let ends = send(stand, insert, &texts(insert, &[row(&["Ada"]), row(&["Grace"]), row(&["Alan"])])).await;
        assert_eq!(words(&ends), ["created"; 3]);
        let ids = done(&ends);
        let expected: Vec<_> = ids.iter().map(|id| (What::Created, id.clone())).collect();
        let mut changes = stand.changes();
        changes.sort_by_key(|(_, id)| ids.iter().position(|own| own == id));
        assert_eq!(changes, expected);

        (first..first + 2).for_each(|n| stand.put(n, "Old", noon()));
        let update = by_methods(stand, &write(stand, Operation::Update, &[names.id], &[names.id, names.name]).await)
            .remove(number);
        let rows = [row(&[&stand.id(first), "New"]), row(&[&stand.id(first + 1), "New"])];
        let ends = send(stand, &update, &texts(&update, &rows)).await;
        assert_eq!(
            (words(&ends), done(&ends)),
            (vec!["updated".to_owned(); 2], vec![stand.id(first), stand.id(first + 1)])
        );
        assert_eq!(stand.changes().iter().filter(|(what, _)| *what == What::Updated).count(), 2);

        let upsert = by_methods(stand, &write(stand, Operation::Upsert, &[names.key], &[names.key, names.name]).await)
            .remove(number);
        let key = format!("K {number}'s");
        for expected in ["created", "updated"] {
            let ends = send(stand, &upsert, &texts(&upsert, &[row(&[&key, "Barbara"])])).await;
            assert_eq!(words(&ends), [expected]);
            let changes = stand.changes();
            assert_eq!((changes.len(), changes[0].0.word(), &changes[0].1), (1, expected, &done(&ends)[0]));
        }
    }
}

pub(crate) async fn a_bad_record_is_refused_alone_and_says_why(stand: &dyn Stand) {
    let names = stand.names();
    (0..4).for_each(|n| stand.put(n, "Old", noon()));
    let update = write(stand, Operation::Update, &[names.id], &[names.id, names.name]).await;
    for update in by_methods(stand, &update) {
        stand.changes();
        let rows = [
            row(&[&stand.id(0), "New"]),
            row(&[&stand.id(1), &"x".repeat(200)]),
            row(&[&stand.id(99), "Nobody"]),
            vec![None, Some("No key".to_owned())],
            row(&["no id", "Malformed"]),
            row(&[&stand.id(3), "New"]),
        ];
        let ends = send(stand, &update, &texts(&update, &rows)).await;
        let found = words(&ends);
        assert_eq!((found[0].as_str(), found[5].as_str()), ("updated", "updated"), "{found:?}");
        assert_eq!((found[3].as_str(), found[4].as_str()), ("KEY_EMPTY", "ID_MALFORMED"), "{found:?}");
        let (Ok(Outcome::Refused(too_long)), Ok(Outcome::Refused(missing))) = (&ends[1], &ends[2]) else {
            panic!("{found:?}")
        };
        assert_eq!(too_long.field.as_deref(), Some(names.name), "{too_long:?}");
        assert!([too_long, missing].iter().all(|reject| !reject.symbol.is_empty() && reject.help.is_some()));
        // 99 is not made by an update.
        let written: Vec<String> = stand.changes().into_iter().map(|(_, id)| id).collect();
        assert_eq!(written, [stand.id(0), stand.id(3)]);
    }
}

pub(crate) async fn a_lost_reply_writes_nothing_twice(stand: &dyn Stand) {
    let names = stand.names();
    for number in 0..stand.methods().len() {
        let first = u32::try_from(number).unwrap() * 10 + 100;
        let ids: Vec<String> = (first..first + 3).map(|n| stand.id(n)).collect();
        let rows: Vec<_> = ids.iter().map(|id| row(&[id, "Ada"])).collect();
        let mut operations =
            vec![(Operation::Update, names.id), (Operation::Upsert, names.key), (Operation::Delete, names.id)];
        if stand.crm().system().client_ids {
            operations.insert(0, (Operation::Insert, names.id));
        } else {
            (first..first + 3).for_each(|n| stand.put(n, "Old", noon()));
        }
        for (operation, key) in operations {
            let of_key = if operation == Operation::Insert { Vec::new() } else { vec![key] };
            let plain = write(stand, operation, &of_key, &[key, names.name]).await;
            let plain = Write { chosen_ids: operation == Operation::Insert, ..plain };
            let write = by_methods(stand, &plain).remove(number);
            let records = texts(&write, &rows);
            let records = if operation == Operation::Delete { records.project(&[0]).unwrap() } else { records };
            let write = if operation == Operation::Delete {
                Write { fields: write.fields[..1].to_vec(), ..write }
            } else {
                write
            };
            stand.changes();
            stand.trouble(Trouble::LostReply);
            let ends = send(stand, &write, &records).await;
            assert_eq!(done(&ends).len(), 3, "{operation:?} {:?}", words(&ends));
            let once = |what: What| {
                counted(&stand.changes()).iter().all(|((word, _), count)| *word != what.word() || *count == 1)
            };
            match operation {
                Operation::Insert => {
                    assert_eq!((words(&ends), done(&ends)), (vec!["created".to_owned(); 3], ids.clone()));
                    let changes = stand.changes();
                    assert!(
                        changes.len() == 3 && changes.iter().all(|(what, _)| *what == What::Created),
                        "{changes:?}"
                    );
                }
                Operation::Upsert => assert!(once(What::Created)),
                Operation::Delete => assert!(words(&ends).iter().all(|word| word == "deleted") && once(What::Deleted)),
                Operation::Update => assert!(words(&ends).iter().all(|word| word == "updated")),
            }
        }
    }
}

pub(crate) async fn an_insert_without_an_id_of_ours_is_not_sent_twice(stand: &dyn Stand) {
    let insert = write(stand, Operation::Insert, &[], &[stand.names().name]).await;
    for insert in by_methods(stand, &insert) {
        stand.changes();
        stand.trouble(Trouble::LostReply);
        let ends = send(stand, &insert, &texts(&insert, &[row(&["Ada"]), row(&["Grace"]), row(&["Alan"])])).await;
        let changes = stand.changes();
        let doubtful = words(&ends).iter().filter(|word| *word == "in doubt").count();
        assert!(changes.len() <= 3 && doubtful > 0 && changes.len() >= 3 - doubtful, "{:?} {changes:?}", words(&ends));
        // What is not in doubt is there, once.
        assert!(done(&ends).iter().all(|id| changes.contains(&(What::Created, id.clone()))));
    }
}

pub(crate) async fn what_is_deleted_or_was_never_there_is_told(stand: &dyn Stand) {
    let id = stand.names().id;
    let delete = write(stand, Operation::Delete, &[id], &[id]).await;
    for delete in by_methods(stand, &delete) {
        stand.put(1, "One", noon());
        stand.changes();
        let rows = [row(&[&stand.id(1)]), row(&[&stand.id(98)]), vec![None]];
        let ends = send(stand, &delete, &texts(&delete, &rows)).await;
        assert_eq!(words(&ends), ["deleted", "absent", "KEY_EMPTY"]);
        assert_eq!(stand.changes(), [(What::Deleted, stand.id(1))]);
    }
}

pub(crate) async fn a_busy_system_takes_every_record_once(stand: &dyn Stand) {
    let insert = write(stand, Operation::Insert, &[], &[stand.names().name]).await;
    for insert in by_methods(stand, &insert) {
        stand.changes();
        stand.trouble(Trouble::Busy);
        let ends = send(stand, &insert, &texts(&insert, &[row(&["Ada"]), row(&["Grace"])])).await;
        assert_eq!((words(&ends), stand.changes().len()), (vec!["created".to_owned(); 2], 2));
    }
}

pub(crate) async fn values_come_back_as_they_were_sent(stand: &dyn Stand) {
    let names = stand.names();
    let [whole, places, day, instant] = names.typed;
    let fields = [names.id, names.name, names.mail, whole, places, day, instant];
    let values =
        ["Zoë \u{1F600} \"O'Brien\"\\", "zoe@example.com", "-7", "1234.5", "1980-05-31", "2026-07-01T22:30:00Z"];
    stand.put(1, "One", noon());
    stand.put(2, "Two", noon());
    let update = write(stand, Operation::Update, &[names.id], &fields).await;
    let id = [stand.id(1), stand.id(2)];
    let full: Vec<&str> = [id[0].as_str()].into_iter().chain(values).collect();
    let mut empty = row(&[&id[1], "Two"]);
    empty.resize(fields.len(), None);
    let ends: Vec<End> = send(stand, &update, &texts(&update, &[row(&full), empty])).await;
    assert_eq!(words(&ends), ["updated", "updated"]);
    let object = object(stand).await;
    let mut read = read(stand).await;
    let field = |name: &&str| engine::outside::crm::ReadField { field: object.fields[*name].clone(), raw: true };
    read.fields = fields.iter().map(field).collect();
    let pages = pages(stand, &read, None).await;
    let texts = |row: usize| -> Vec<Option<String>> {
        let text = |column: &arrow::array::ArrayRef| {
            let column = arrow::array::AsArray::as_string::<i32>(column);
            arrow::array::Array::is_valid(column, row).then(|| column.value(row).to_owned())
        };
        pages[0].records.columns().iter().map(text).collect()
    };
    let rows = [texts(0), texts(1)];
    let of = |id: &str| rows.iter().find(|row| row[0].as_deref() == Some(id)).unwrap();
    let mut found = of(&id[0]).clone();
    // However many zeros it writes, and however it writes an instant.
    found[6] = found[6].as_ref().map(|text| text.replace(".000+0000", "Z"));
    found[4] = found[4].as_ref().map(|text| text.trim_end_matches('0').to_owned());
    assert_eq!(found, row(&full));
    assert!(of(&id[1])[2..].iter().all(Option::is_none), "{:?}", of(&id[1]));
}
