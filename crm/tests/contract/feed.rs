//! What is promised of a feed of changes.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Cursor, Feed, Page, Read};
use futures::StreamExt;
use jiff::Timestamp;

use crate::stand::{Stand, Trouble, ids, noon, read};

/// The longest for which a system keeps changes, and a day.
const LONG_AGO_S: i64 = 31 * 86_400;

fn now(stand: &dyn Stand) -> Timestamp {
    stand.sandbox().admin().clock().now
}

/// What was changed before is told after two minutes.
fn pass(stand: &dyn Stand) {
    stand.sandbox().admin().advance_clock(120).unwrap();
}

fn people(stand: &dyn Stand, count: u32) {
    (0..count).for_each(|n| stand.put(n, &format!("Person {n}"), noon()));
}

async fn feed(stand: &dyn Stand, since: Option<&str>) -> Read {
    Read { feed: Some(Feed { since: since.map(str::to_owned), to: now(stand) }), ..read(stand).await }
}

async fn pages(stand: &dyn Stand, read: &Read, from: Option<Cursor>) -> Result<Vec<Page>, Failure> {
    let pages: Vec<_> = stand.crm().read(read.clone().into(), from).collect().await;
    pages.into_iter().collect()
}

/// All pages of a reading from a place on, and the place that it came to.
async fn follow(stand: &dyn Stand, since: Option<&str>) -> (Vec<Page>, String) {
    let pages = pages(stand, &feed(stand, since).await, None).await.unwrap();
    let (last, others) = pages.split_last().unwrap();
    assert!(others.iter().all(|page| page.feed.is_none() && page.next.is_some()) && last.next.is_none());
    let place = last.feed.clone().unwrap();
    (pages, place)
}

fn deleted(pages: &[Page]) -> Vec<String> {
    pages.iter().flat_map(|page| &page.deleted).map(|deleted| deleted.id.clone()).collect()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

fn of(stand: &dyn Stand, numbers: &[u32]) -> Vec<String> {
    sorted(numbers.iter().map(|n| stand.id(*n)).collect())
}

pub(crate) async fn a_feed_brings_everything_once_then_each_change_and_deletion_once(stand: &dyn Stand) {
    people(stand, 23);
    let (first, place) = follow(stand, None).await;
    assert_eq!((sorted(ids(&first)), deleted(&first)), (of(stand, &(0..23).collect::<Vec<_>>()), vec![]));
    pass(stand);
    for n in [3, 4, 30] {
        stand.put(n, "Changed", now(stand));
    }
    stand.delete(4);
    stand.delete(5);
    pass(stand);
    let (second, place) = follow(stand, Some(&place)).await;
    assert_eq!((sorted(ids(&second)), sorted(deleted(&second))), (of(stand, &[3, 30]), of(stand, &[4, 5])));
    stand.put(4, "Back again", now(stand));
    pass(stand);
    let (third, place) = follow(stand, Some(&place)).await;
    assert_eq!((ids(&third), deleted(&third)), (of(stand, &[4]), vec![]));
    let (fourth, _) = follow(stand, Some(&place)).await;
    assert_eq!((ids(&fourth), deleted(&fourth)), (vec![], vec![]));
}

pub(crate) async fn a_feed_goes_on_after_any_of_its_pages(stand: &dyn Stand) {
    people(stand, 23);
    let (_, place) = follow(stand, None).await;
    (0..14).for_each(|n| stand.put(n, "Changed", now(stand)));
    stand.delete(20);
    pass(stand);
    for since in [None, Some(place.as_str())] {
        let read = feed(stand, since).await;
        let all = pages(stand, &read, None).await.unwrap();
        assert!(all.len() > 2, "pages of five");
        let (found, gone, mut seen) = (ids(&all), deleted(&all), 0);
        for page in &all {
            seen += page.records.num_rows();
            let Some(cursor) = &page.next else { continue };
            let kept = serde_json::from_str(&serde_json::to_string(cursor).unwrap()).unwrap();
            let rest = pages(stand, &read, Some(kept)).await.unwrap();
            assert_eq!((ids(&rest), deleted(&rest)), (found[seen..].to_vec(), gone.clone()), "{since:?}");
            assert_eq!(rest.last().unwrap().feed, all.last().unwrap().feed);
        }
    }
}

pub(crate) async fn what_changes_while_a_feed_is_read_comes_in_that_reading_or_in_the_next(stand: &dyn Stand) {
    people(stand, 23);
    let (_, place) = follow(stand, None).await;
    (0..14).for_each(|n| stand.put(n, "Before", now(stand)));
    pass(stand);
    stand.trouble(Trouble::Between { changed: 2, deleted: 11 });
    let (mut both, place) = follow(stand, Some(&place)).await;
    assert!(!deleted(&both).contains(&stand.id(2)));
    pass(stand);
    both.extend(follow(stand, Some(&place)).await.0);
    let found = ids(&both);
    for n in (0..14).filter(|n| ![2, 11].contains(n)) {
        assert_eq!(found.iter().filter(|id| **id == stand.id(n)).count(), 1, "person {n}");
    }
    let names: Vec<String> = both
        .iter()
        .flat_map(|page| {
            page.records.column(2).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let last = found.iter().rposition(|id| *id == stand.id(2)).unwrap();
    assert_eq!(names[last], "Changed", "what is told of it last is what it is now");
    assert!(deleted(&both).contains(&stand.id(11)) && deleted(&both).iter().all(|id| *id == stand.id(11)));
}

pub(crate) async fn two_readings_of_a_feed_within_a_moment_bring_nothing_twice(stand: &dyn Stand) {
    people(stand, 3);
    let (mut place, mut found) = (None, Vec::new());
    for n in 0..6 {
        let (pages, next) = follow(stand, place.as_deref()).await;
        found.extend(ids(&pages));
        stand.put(10 + n, "New", now(stand));
        stand.sandbox().admin().advance_clock(25).unwrap();
        place = Some(next);
    }
    pass(stand);
    found.extend(ids(&follow(stand, place.as_deref()).await.0));
    let all: BTreeSet<String> = of(stand, &[0, 1, 2, 10, 11, 12, 13, 14, 15]).into_iter().collect();
    assert_eq!((found.len(), found.into_iter().collect::<BTreeSet<_>>()), (9, all));
}

pub(crate) async fn a_place_that_the_system_has_forgotten_is_lost_and_never_a_full_reading(stand: &dyn Stand) {
    people(stand, 3);
    let (_, place) = follow(stand, None).await;
    stand.sandbox().admin().advance_clock(LONG_AGO_S).unwrap();
    let failure = pages(stand, &feed(stand, Some(&place)).await, None).await.unwrap_err();
    assert_eq!(failure.class, Class::CursorLost, "{failure}");
    let failure = pages(stand, &feed(stand, Some("another place")).await, None).await.unwrap_err();
    assert!(matches!(failure.class, Class::CursorLost | Class::Config), "{failure}");
}
