//! What is promised of reading.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::outside::crm::{Deleted, DeletedPage, DeletedSpan, OrderBy, Read, ReadDeleted};
use futures::StreamExt;
use jiff::Timestamp;

use crate::stand::{Stand, Trouble, ids, later, noon, pages, read, windowed};

fn people(stand: &dyn Stand, count: u32, seconds: impl Fn(u32) -> i64) {
    (0..count).for_each(|n| stand.put(n, &format!("Person {n}"), later(seconds(n))));
}

pub(crate) async fn every_record_comes_once_whatever_the_order_and_wherever_the_reading_goes_on(stand: &dyn Stand) {
    people(stand, 23, |n| i64::from(n % 7) * 10);
    let plain = read(stand).await;
    let by_name = vec![OrderBy { field: stand.names().name.to_owned(), descending: true }];
    for read in [plain.clone(), windowed(stand, plain.clone(), later(3600)), Read { order: by_name, ..plain }] {
        let all = pages(stand, &read, None).await;
        assert!(all.len() > 4, "pages of five");
        let found = ids(&all);
        assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (23, 23));
        let mut seen = 0;
        for page in &all {
            seen += page.records.num_rows();
            let Some(cursor) = &page.next else { continue };
            let kept = serde_json::from_str(&serde_json::to_string(cursor).unwrap()).unwrap();
            assert_eq!(ids(&pages(stand, &read, Some(kept)).await), found[seen..]);
        }
    }
}

pub(crate) async fn equal_times_at_the_border_of_a_page_neither_hide_nor_repeat_a_record(stand: &dyn Stand) {
    people(stand, 23, |n| i64::from((3..18).contains(&n)));
    let read = windowed(stand, read(stand).await, later(3600));
    let found = ids(&pages(stand, &read, None).await);
    assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (23, 23));
}

pub(crate) async fn a_record_changed_or_deleted_between_pages_takes_no_other_with_it(stand: &dyn Stand) {
    people(stand, 23, i64::from);
    let read = windowed(stand, read(stand).await, later(3600));
    stand.trouble(Trouble::Between { changed: 2, deleted: 20 });
    let found = ids(&pages(stand, &read, None).await);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    found.iter().for_each(|id| *counts.entry(id).or_default() += 1);
    for n in (0..23).filter(|n| ![2, 20].contains(n)) {
        assert_eq!(counts.get(stand.id(n).as_str()), Some(&1), "person {n}");
    }
}

pub(crate) async fn records_come_by_their_ids_once_and_those_that_are_not_there_are_missing(stand: &dyn Stand) {
    people(stand, 300, |_| 0);
    let read = read(stand).await;
    let names = stand.names();
    for wanted in [1_u32, 12, 330] {
        let values: Vec<String> = (0..wanted).map(|n| stand.id(n)).collect();
        let page = stand.crm().fetch(&read, names.id, &values).await.unwrap();
        let found: BTreeSet<String> = ids(std::slice::from_ref(&page)).into_iter().collect();
        assert_eq!((found.len(), page.records.num_rows()), (wanted.min(300) as usize, wanted.min(300) as usize));
        assert!(found.iter().all(|id| values.contains(id)));
    }
    let by_name = stand.crm().fetch(&read, names.name, &["person 7".to_owned(), "o'neil".to_owned()]).await.unwrap();
    assert_eq!(ids(&[by_name]), [stand.id(7)]);
}

pub(crate) async fn parts_read_side_by_side_are_the_whole(stand: &dyn Stand) {
    let read = read(stand).await;
    // Where the system counts no further than some thousands, there are as many as the stand-in began with.
    let count = stand.crm().count(&read).await.unwrap().unwrap_or(60_000);
    assert_eq!(count, 60_000);
    let ranges = stand.crm().ranges(&read, 8).await.unwrap();
    assert!(ranges.len() >= 8, "{ranges:?}");
    let part = async |range| {
        let read = Read { range: Some(range), ..read.clone() };
        stand.crm().read(Arc::new(read), None).map(|page| ids(&[page.unwrap()])).concat().await
    };
    let parts: Vec<Vec<String>> =
        futures::stream::iter(ranges.into_iter().map(part)).buffer_unordered(4).collect().await;
    let all: Vec<&String> = parts.iter().flatten().collect();
    assert_eq!((all.len() as u64, all.iter().collect::<BTreeSet<_>>().len() as u64), (count, count));
    let ordered = Read { order: vec![OrderBy { field: stand.names().name.to_owned(), descending: false }], ..read };
    assert!(stand.crm().ranges(&ordered, 8).await.unwrap().is_empty());
}

pub(crate) async fn a_window_has_its_first_instant_and_not_the_one_after_its_last(stand: &dyn Stand) {
    people(stand, 20, i64::from);
    let mut read = windowed(stand, read(stand).await, later(12));
    for (from, expected) in [(None, 0..12), (Some(3), 3..12), (Some(12), 0..0)] {
        read.window.as_mut().unwrap().from = from.map(later);
        let found: BTreeSet<String> = ids(&pages(stand, &read, None).await).into_iter().collect();
        assert_eq!(found, expected.map(|n| stand.id(n)).collect(), "from {from:?}");
    }
}

pub(crate) async fn deletions_of_a_period_are_told_once_with_both_its_ends(stand: &dyn Stand) {
    people(stand, 12, |_| 0);
    let times: Vec<Timestamp> = (0..7).map(|n| stand.delete(n)).collect();
    let span = DeletedSpan::Period { from: times[1], to: times[5] };
    let found = deleted(stand, span).await;
    let records: Vec<&Deleted> = found.iter().flat_map(|page| &page.records).collect();
    let ids: BTreeSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(
        (records.len(), ids),
        (5, (1..6).map(|n| stand.id(n)).collect::<Vec<_>>().iter().map(String::as_str).collect())
    );
    assert!(records.iter().all(|record| record.at.is_some_and(|at| times.contains(&at))), "{records:?}");
}

pub(crate) async fn incremental_deletions_go_on_where_the_last_ones_ended(stand: &dyn Stand) {
    people(stand, 12, |_| 0);
    let (mut from, mut feed) = (None, None);
    for deleting in [0..0, 0..3, 3..3, 3..8] {
        for n in deleting.clone() {
            stand.delete(n);
        }
        let pages = deleted(stand, DeletedSpan::Since { from, feed: feed.clone() }).await;
        let found: Vec<&str> = pages.iter().flat_map(|page| &page.records).map(|record| record.id.as_str()).collect();
        let unique: BTreeSet<String> = found.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!((found.len(), unique), (deleting.len(), deleting.map(|n| stand.id(n)).collect()));
        let last = pages.last().unwrap();
        (from, feed) = (last.covered.or(from), last.feed.clone());
    }
}

async fn deleted(stand: &dyn Stand, span: DeletedSpan) -> Vec<DeletedPage> {
    let read = Arc::new(ReadDeleted { object: crate::stand::object(stand).await, span });
    stand.crm().deleted(read, None).map(Result::unwrap).collect().await
}

pub(crate) async fn a_busy_system_and_a_token_that_ends_cost_time_only(stand: &dyn Stand) {
    people(stand, 23, |_| 0);
    let read = read(stand).await;
    for trouble in [Trouble::Busy, Trouble::Busy, Trouble::Busy, Trouble::TokenEnds] {
        stand.trouble(trouble.clone());
        let found = ids(&pages(stand, &read, None).await);
        assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (23, 23), "{trouble:?}");
    }
}

pub(crate) async fn one_record_has_one_key(stand: &dyn Stand) {
    stand.put(1, "One", noon());
    let object = crate::stand::object(stand).await;
    let id = stand.id(1);
    let key = |value: &str| stand.crm().key(&object, stand.names().id, value);
    assert_eq!(key(&id), Ok(id.clone()));
    assert_eq!(key(&format!(" {id} ")), Ok(id));
    for wrong in ["", "no id", "c0000000-0000-4000-8000-00000000000"] {
        assert!(key(wrong).is_err(), "{wrong}");
    }
}
