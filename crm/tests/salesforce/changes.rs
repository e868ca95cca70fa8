//! The feed of changes: getUpdated, getDeleted, and records by their ids.

use std::sync::Arc;

use engine::expr::Expr;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Crm, Deleted, Feed, Object, Page, Read, ReadField};
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::{World, ids, read, texts, world};

struct Follower {
    world: World,
    object: Arc<Object>,
    place: Option<String>,
}

impl Follower {
    /// Of so many contacts, five a page, which were last changed two minutes ago at the latest.
    async fn new(contacts: u32) -> Self {
        let world = world(contacts, json!({ "limits": { "recordsPerPage": 5, "retryWaitMin": "1ms" } }));
        let object = world.contacts().await;
        let follower = Self { world, object, place: None };
        follower.pass(120);
        follower
    }

    fn now(&self) -> Timestamp {
        self.world.sandbox.admin().clock().now
    }

    fn pass(&self, seconds: i64) {
        self.world.sandbox.admin().advance_clock(seconds).unwrap();
    }

    fn put(&self, number: u32, fields: &Value) {
        self.world.sandbox.admin().salesforce().put("Contact", &self.world.id(number), fields).unwrap();
    }

    fn read(&self) -> Read {
        let feed = Feed { since: self.place.clone(), to: self.now() };
        Read { feed: Some(feed), ..read(&self.object, &["Id", "LastName"]) }
    }

    /// What came since the last time.
    async fn try_follow(&mut self) -> Result<Vec<Page>, Failure> {
        let pages = self.world.pages(&self.read(), None).await?;
        self.place = pages.last().unwrap().feed.clone();
        assert!(self.place.is_some());
        Ok(pages)
    }

    async fn follow(&mut self) -> Vec<Page> {
        self.try_follow().await.unwrap()
    }
}

fn deleted(pages: &[Page]) -> Vec<Deleted> {
    pages.iter().flat_map(|page| page.deleted.clone()).collect()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_commit_later_than_any_overlap_comes_once_since_what_is_covered_ends_before_it() {
    let mut follower = Follower::new(3).await;
    assert_eq!(follower.follow().await.last().unwrap().covered, Some(at("2026-03-08T09:02:00Z")));
    // Two hours of a transaction, in which one record gets its time at the beginning.
    let late =
        json!({ "LastName": "Late", "SystemModstamp": "2026-03-08T09:03:10Z", "@visibleFrom": "2026-03-08T11:00:00Z" });
    follower.put(1, &late);
    follower.pass(600);
    follower.put(2, &json!({ "LastName": "Meanwhile" }));
    follower.pass(600);
    let held_back = follower.follow().await;
    assert_eq!((ids(&held_back).len(), held_back.last().unwrap().covered), (0, Some(at("2026-03-08T09:03:00Z"))));
    follower.pass(7_200);
    let found = texts(&follower.follow().await, 1);
    assert_eq!(found, [Some("Late".to_owned()), Some("Meanwhile".to_owned())]);
    assert_eq!(ids(&follower.follow().await).len(), 0);
}

#[tokio::test]
async fn the_first_reading_leaves_to_the_feed_what_a_transaction_may_still_change_beside() {
    let mut follower = Follower::new(3).await;
    let late =
        json!({ "LastName": "Late", "SystemModstamp": "2026-03-08T09:00:30Z", "@visibleFrom": "2026-03-08T10:00:00Z" });
    follower.put(1, &late);
    follower.put(2, &json!({ "LastName": "Now" }));
    let first = follower.follow().await;
    assert_eq!(ids(&first).len(), 2, "what was changed after the place comes with the next reading");
    follower.pass(7_200);
    assert_eq!(texts(&follower.follow().await, 1), [Some("Late".to_owned()), Some("Now".to_owned())]);
}

#[tokio::test]
async fn a_span_with_more_changes_than_are_told_at_once_is_read_in_halves() {
    let mut follower = Follower::new(40).await;
    follower.follow().await;
    for number in 0..32 {
        follower.put(number, &json!({ "LastName": "Changed" }));
        follower.pass(60);
    }
    assert!(follower.world.sandbox.admin().salesforce().delete("Contact", &follower.world.id(35)).unwrap());
    follower.pass(120);
    follower.world.settings(|settings| settings.replication_ids_max = 6);
    let begun = follower.read();
    let pages = follower.follow().await;
    let found = ids(&pages);
    let mut unique = found.clone();
    unique.sort();
    unique.dedup();
    assert_eq!((found.len(), unique.len()), (32, 32));
    assert_eq!(deleted(&pages), [Deleted { id: follower.world.id(35), at: Some(at("2026-03-08T09:34:00Z")) }]);
    assert_eq!(pages.last().unwrap().covered, Some(at("2026-03-08T09:36:00Z")));
    let mut seen = 0;
    for page in &pages {
        seen += page.records.num_rows();
        let Some(cursor) = page.next.clone() else { continue };
        let rest = follower.world.pages(&begun, Some(cursor)).await.unwrap();
        assert_eq!((ids(&rest), rest.last().unwrap().feed.clone()), (found[seen..].to_vec(), follower.place.clone()));
    }
    // Two minutes cannot be halved.
    (0..7).for_each(|number| follower.put(number, &json!({ "LastName": "At once" })));
    follower.pass(120);
    let failure = follower.try_follow().await.unwrap_err();
    assert!(failure.class == Class::Limit && failure.help.unwrap().contains("remove the option"));
}

#[tokio::test]
async fn a_reading_that_goes_on_after_others_have_changed_takes_none_for_another() {
    let mut follower = Follower::new(20).await;
    follower.follow().await;
    (0..12).for_each(|number| follower.put(number, &json!({ "LastName": "Once" })));
    follower.pass(120);
    let begun = follower.read();
    let first = follower.world.crm.read(Arc::new(begun.clone()), None).next().await.unwrap().unwrap();
    assert_eq!(ids(std::slice::from_ref(&first)).len(), 5);
    // One that came and two that are still to come move on to the next reading, and so must not shift the others.
    for number in [0, 6, 7] {
        follower.put(number, &json!({ "LastName": "Twice" }));
    }
    follower.pass(300);
    let rest = follower.world.pages(&begun, first.next.clone()).await.unwrap();
    let expected: Vec<String> = [5, 8, 9, 10, 11].into_iter().map(|number| follower.world.id(number)).collect();
    assert_eq!(ids(&rest), expected);
    follower.place = rest.last().unwrap().feed.clone();
    assert_eq!(ids(&follower.follow().await), [0, 6, 7].map(|number| follower.world.id(number)));
}

#[tokio::test]
async fn a_record_that_was_deleted_and_restored_is_a_change_and_no_deletion() {
    let mut follower = Follower::new(3).await;
    follower.world.settings(|settings| settings.log_restored = true);
    follower.follow().await;
    let admin = follower.world.sandbox.admin().salesforce();
    assert!(admin.delete("Contact", &follower.world.id(1)).unwrap());
    follower.pass(60);
    let admin = follower.world.sandbox.admin().salesforce();
    assert!(admin.undelete("Contact", &follower.world.id(1)).unwrap());
    follower.pass(120);
    let pages = follower.follow().await;
    assert_eq!((ids(&pages), deleted(&pages)), (vec![follower.world.id(1)], vec![]));
}

#[tokio::test]
async fn fields_of_related_records_come_too_and_a_filter_is_sent_with_the_first_reading_only() {
    let follower = Follower::new(12).await;
    let name = follower.world.crm.describe_path(&follower.object, "Account.Name").await.unwrap();
    let mut all = follower.read();
    all.fields.push(ReadField { field: name, raw: false });
    all.filter = Some(Expr::parse("LastName == \"Wanted\"").unwrap());
    let pages = follower.world.pages(&all, None).await.unwrap();
    assert_eq!(ids(&pages).len(), 0);
    let place = pages.last().unwrap().feed.clone();
    assert!(place.as_ref().is_some_and(|place| place.starts_with("Contact 2026-03-08T09:02:00Z")), "{place:?}");
    let company = follower.world.sandbox.admin().salesforce().id("Account", 1).unwrap();
    follower.put(3, &json!({ "AccountId": company, "LastName": "Another" }));
    follower.pass(120);
    let next = Read { feed: Some(Feed { since: place, to: follower.now() }), ..all };
    let pages = follower.world.pages(&next, None).await.unwrap();
    assert_eq!(ids(&pages), [follower.world.id(3)], "who asks evaluates it again");
    assert!(texts(&pages, 2)[0].is_some());
    assert_eq!(follower.world.crm.count(&next).await.unwrap(), Some(1));
    let query = follower.world.crm.query(&next).unwrap();
    assert_eq!((query.filter, query.exact), (None, false));
}

#[tokio::test]
async fn a_place_older_than_the_log_is_lost_and_the_earliest_date_is_named() {
    let mut follower = Follower::new(3).await;
    follower.follow().await;
    follower.pass(14 * 86_400);
    let place = follower.place.clone();
    follower.follow().await;
    follower.place = place;
    follower.pass(2 * 86_400);
    let failure = follower.try_follow().await.unwrap_err();
    assert_eq!(failure.class, Class::CursorLost);
    assert!(failure.message.contains("keeps its log from 2026-03-09T09:02:00Z on"), "{failure}");
    for place in ["Account 2026-03-24T09:00:00Z", "contacts?$deltatoken=1", "Contact yesterday"] {
        follower.place = Some(place.to_owned());
        assert_eq!(follower.try_follow().await.unwrap_err().class, Class::CursorLost, "{place}");
    }
}
