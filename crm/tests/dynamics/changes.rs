//! The feed of changes, and deleted records.

use std::sync::Arc;

use engine::failure::{Class, Failure};
use engine::outside::crm::{Crm, Deleted, DeletedPage, DeletedSpan, Feed, Object, Read, ReadDeleted};
use futures::StreamExt;
use sandbox::Tracking;
use serde_json::json;

use crate::common::{World, quick, read, records, world};

fn id(n: u32) -> String {
    format!("c0000000-0000-4000-8000-{n:012}")
}

async fn deleted(world: &World, object: &Arc<Object>, span: DeletedSpan) -> Result<Vec<DeletedPage>, Failure> {
    let read = ReadDeleted { object: object.clone(), span };
    let pages: Vec<_> = world.crm.deleted(Arc::new(read), None).collect().await;
    pages.into_iter().collect()
}

fn ids(pages: &[DeletedPage]) -> Vec<&str> {
    pages.iter().flat_map(|page| &page.records).map(|record| record.id.as_str()).collect()
}

#[tokio::test]
async fn a_feed_brings_everything_once_then_what_changed_and_what_was_deleted() {
    let world = world(0, json!({ "recordsPerPage": 5, "retryWaitMin": "1ms" }));
    (0..13).for_each(|n| world.admin().put("contacts", &id(n), &json!({ "lastname": format!("P{n}") })).unwrap());
    let object = world.contacts().await;
    assert!(object.feed);
    let feed = |since| Read {
        feed: Some(Feed { since, to: world.admin().clock().now }),
        ..read(&object, &["contactid", "lastname"])
    };
    let first = world.all(&feed(None), None).await.unwrap();
    assert_eq!((first.len(), records(&first).len()), (3, 13));
    assert!(first[..2].iter().all(|page| page.feed.is_none() && page.next.is_some()));
    let since = first[2].feed.clone().unwrap();
    assert!(!since.contains("http"), "{since}");

    world.admin().put("contacts", &id(3), &json!({ "lastname": "Changed" })).unwrap();
    world.admin().delete("contacts", &id(4)).unwrap();
    let second = world.all(&feed(Some(since.clone())), None).await.unwrap();
    assert_eq!(records(&second), [format!("{} | Changed", id(3))]);
    assert_eq!(
        second.iter().flat_map(|page| page.deleted.clone()).collect::<Vec<_>>(),
        [Deleted { id: id(4), at: None }]
    );
    assert!(second.last().unwrap().feed.is_some());
    // Other fields are another feed.
    let other = Read { fields: read(&object, &["contactid"]).fields, ..feed(Some(since.clone())) };
    assert_eq!(world.all(&other, None).await.unwrap_err().class, Class::CursorLost);
    world.admin().advance_clock(8 * 86_400).unwrap();
    let failure = world.all(&feed(Some(since)), None).await.unwrap_err();
    assert!(failure.class == Class::CursorLost && failure.help.unwrap().contains("compare all ids"));
}

#[tokio::test]
async fn deleted_ids_come_from_the_feed_incrementally_and_of_a_period_from_the_audit_log() {
    let world = world(0, json!({ "recordsPerPage": 5, "retryWaitMin": "1ms" }));
    (0..13).for_each(|n| world.admin().put("contacts", &id(n), &json!({ "lastname": format!("P{n}") })).unwrap());
    let object = world.contacts().await;
    let since = |feed| DeletedSpan::Since { from: None, feed };
    let first = deleted(&world, &object, since(None)).await.unwrap();
    assert_eq!(ids(&first), Vec::<&str>::new());
    let place = first.last().unwrap().feed.clone().unwrap();

    let period = DeletedSpan::Period {
        from: "2026-03-03T10:00:00Z".parse().unwrap(),
        to: "2026-03-03T10:01:00Z".parse().unwrap(),
    };
    let failure = deleted(&world, &object, period.clone()).await.unwrap_err();
    assert!(failure.class == Class::Config && failure.help.unwrap().contains("auditing"));
    world.admin().set_tracking(&Tracking { audit: Some(true), ..Tracking::default() }).unwrap();
    world.admin().delete("contacts", &id(1)).unwrap();
    world.admin().advance_clock(60).unwrap();
    world.admin().delete("contacts", &id(2)).unwrap();
    world.admin().advance_clock(1).unwrap();
    world.admin().delete("contacts", &id(3)).unwrap();
    let found = deleted(&world, &object, period).await.unwrap();
    assert_eq!(ids(&found), [id(1), id(2)]);
    assert_eq!(found[0].records[1].at, Some("2026-03-03T10:01:00Z".parse().unwrap()));
    let second = deleted(&world, &object, since(Some(place))).await.unwrap();
    assert_eq!(ids(&second).len(), 3);
    let third = deleted(&world, &object, since(second.last().unwrap().feed.clone())).await.unwrap();
    assert_eq!(ids(&third), Vec::<&str>::new());
}

#[tokio::test]
async fn a_first_incremental_reading_brings_every_deletion_that_the_crm_still_knows_and_the_next_none_of_them() {
    for (is_tracked, is_audited) in [(true, true), (true, false), (false, true)] {
        let world = world(0, json!({ "recordsPerPage": 2, "retryWaitMin": "1ms" }));
        (0..8).for_each(|n| world.admin().put("contacts", &id(n), &json!({ "lastname": format!("P{n}") })).unwrap());
        let table = |on| [("contact".to_owned(), on)].into();
        let tracking = Tracking { tables: table(is_tracked), audited: table(is_audited), ..Tracking::default() };
        let tracking = Tracking { audit: Some(true), recycle_bin_days: Some(30), ..tracking };
        world.admin().set_tracking(&tracking).unwrap();
        for n in 1..=5 {
            world.admin().delete("contacts", &id(n)).unwrap();
            world.admin().advance_clock(86_400).unwrap();
        }
        let object = world.contacts().await;
        assert_eq!(object.feed, is_tracked);
        let first = deleted(&world, &object, DeletedSpan::Since { from: None, feed: None }).await.unwrap();
        let case = format!("tracked {is_tracked}, audited {is_audited}");
        assert_eq!(ids(&first), (1..=5).map(id).collect::<Vec<_>>(), "{case}");
        let last = first.last().unwrap();
        assert_eq!(last.feed.is_some(), is_tracked, "{case}");

        world.admin().advance_clock(60).unwrap();
        world.admin().delete("contacts", &id(6)).unwrap();
        let next = DeletedSpan::Since { from: last.covered, feed: last.feed.clone() };
        assert_eq!(ids(&deleted(&world, &object, next).await.unwrap()), [id(6)], "{case}");
    }
}

#[tokio::test]
async fn a_log_that_is_no_longer_written_is_none_and_who_asks_beforehand_is_told_the_same() {
    let world = world(0, quick());
    (1..=3).for_each(|n| world.admin().put("contacts", &id(n), &json!({ "lastname": format!("P{n}") })).unwrap());
    let object = world.contacts().await;
    let set = |tracking: Tracking| world.admin().set_tracking(&tracking).unwrap();
    let audit = |on, table| {
        let audited = [("contact".to_owned(), table)].into();
        set(Tracking { audit: Some(on), audited, ..Tracking::default() });
    };
    let day = || DeletedSpan::Period {
        from: "2026-03-03T00:00:00Z".parse().unwrap(),
        to: "2026-03-03T23:59:59Z".parse().unwrap(),
    };
    let longer = || DeletedSpan::Period {
        from: "2026-01-31T00:00:00Z".parse().unwrap(),
        to: "2026-03-03T23:59:59Z".parse().unwrap(),
    };
    audit(true, true);
    world.admin().delete("contacts", &id(1)).unwrap();
    assert!(world.crm.tells_deleted(&object, false).await.unwrap());
    assert_eq!(ids(&deleted(&world, &object, day()).await.unwrap()), [id(1)]);
    assert_eq!(ids(&deleted(&world, &object, longer()).await.unwrap()), [id(1)], "it is kept for ever");
    set(Tracking { audit_days: Some(30), ..Tracking::default() });
    assert_eq!(ids(&deleted(&world, &object, day()).await.unwrap()), [id(1)]);
    let failure = deleted(&world, &object, longer()).await.unwrap_err();
    let said = "the audit log keeps deleted contacts for 30 days at most, so what was deleted before 2026-02-";
    assert!(failure.class == Class::Config && failure.message.contains(said), "{failure}");

    for (environment, table, said) in
        [(false, true, "auditing of the environment is off"), (true, false, "auditing of the table is off")]
    {
        audit(environment, table);
        let beforehand = world.crm.tells_deleted(&object, false).await.unwrap_err();
        assert!(beforehand.class == Class::Config && beforehand.message.contains(said), "{beforehand}");
        assert!(beforehand.help.as_ref().unwrap().contains("recycle bin"));
        let failure = deleted(&world, &object, day()).await.unwrap_err();
        assert_eq!((failure.message, failure.help), (beforehand.message, beforehand.help));
    }
    set(Tracking { recycle_bin_days: Some(30), ..Tracking::default() });
    world.admin().delete("contacts", &id(2)).unwrap();
    assert!(!world.crm.tells_deleted(&object, false).await.unwrap(), "a bin has no times");
    assert_eq!(ids(&deleted(&world, &object, day()).await.unwrap()), [id(2)], "not what the old log has");
    let failure = deleted(&world, &object, longer()).await.unwrap_err();
    assert!(failure.class == Class::Config && failure.message.contains("for 30 days at most"), "{failure}");
}

#[tokio::test]
async fn what_is_deleted_while_the_log_is_read_is_left_for_the_next_reading() {
    let world = world(0, json!({ "recordsPerPage": 2, "retryWaitMin": "1ms" }));
    (0..4).for_each(|n| world.admin().put("contacts", &id(n), &json!({ "lastname": format!("P{n}") })).unwrap());
    world.admin().set_tracking(&Tracking { audit: Some(true), ..Tracking::default() }).unwrap();
    let object = Arc::new(Object { feed: false, ..Object::clone(&*world.contacts().await) });
    let since = |from| DeletedSpan::Since { from, feed: None };
    let begin = "2026-03-03T10:00:00Z".parse().ok();
    (0..3).for_each(|n| world.admin().delete("contacts", &id(n)).map(|_| ()).unwrap());
    let read = ReadDeleted { object: object.clone(), span: since(begin) };
    let first = world.crm.deleted(Arc::new(read.clone()), None).next().await.unwrap().unwrap();
    world.admin().advance_clock(3_600).unwrap();
    world.admin().delete("contacts", &id(3)).unwrap();
    world.admin().advance_clock(3_600).unwrap();
    let rest: Vec<_> = world.crm.deleted(Arc::new(read), first.next.clone()).collect().await;
    let mut pages: Vec<DeletedPage> = [Ok(first)].into_iter().chain(rest).collect::<Result<_, _>>().unwrap();
    pages.extend(deleted(&world, &object, since(pages.last().unwrap().covered)).await.unwrap());
    assert!(ids(&pages).contains(&id(3).as_str()), "{pages:?}");
}

/// Contacts of which changes are not tracked and deletions are audited.
async fn audited() -> (World, Arc<Object>) {
    let world = world(0, json!({ "recordsPerPage": 2, "retryWaitMin": "1ms" }));
    (0..6).for_each(|n| world.admin().put("contacts", &id(n), &json!({ "lastname": format!("P{n}") })).unwrap());
    let tables = [("contact".to_owned(), false)].into();
    world.admin().set_tracking(&Tracking { tables, audit: Some(true), ..Tracking::default() }).unwrap();
    let object = world.contacts().await;
    assert!(!object.feed);
    (world, object)
}

/// A deletion that is in the log only from then on, although it was earlier.
fn log_late(world: &World, n: u32, created: &str, visible: &str) {
    let entry = json!({
        "operation": 3, "action": 3, "objecttypecode": "contact", "objectid": { "table": "contact", "id": id(n) },
        "createdon": created, "@visibleFrom": visible,
    });
    world.admin().put("audits", &format!("a0000000-0000-4000-8000-{n:012}"), &entry).unwrap();
}

#[tokio::test]
async fn without_tracking_news_of_deletions_come_from_the_audit_log_those_that_it_gets_late_too() {
    let (world, object) = audited().await;
    assert_eq!(object.deletion_log, Some(true));
    assert!(world.crm.tells_deleted(&object, true).await.unwrap());
    let mut from = None;
    let mut news = async |expected: &[u32]| {
        let found = deleted(&world, &object, DeletedSpan::Since { from, feed: None }).await.unwrap();
        from = found.last().unwrap().covered;
        assert!(found.iter().all(|page| page.feed.is_none()));
        assert_eq!(ids(&found), expected.iter().map(|n| id(*n)).collect::<Vec<_>>());
    };
    news(&[]).await;
    world.admin().advance_clock(600).unwrap();
    world.admin().delete("contacts", &id(1)).unwrap();
    log_late(&world, 2, "2026-03-03T10:09:00Z", "2026-03-03T10:10:30Z");
    news(&[1]).await;
    world.admin().advance_clock(120).unwrap();
    world.admin().delete("contacts", &id(3)).unwrap();
    // The last minutes come again, for who asks to compare them with what was told.
    news(&[2, 1, 3]).await;
    for expected in [&[2, 1, 3][..], &[]] {
        world.admin().advance_clock(600).unwrap();
        news(expected).await;
    }
}

#[tokio::test]
async fn tracking_that_is_switched_on_later_changes_nothing_for_who_began_with_the_log() {
    let (world, object) = audited().await;
    let first = deleted(&world, &object, DeletedSpan::Since { from: None, feed: None }).await.unwrap();
    let from = first.last().unwrap().covered;
    world.admin().advance_clock(60).unwrap();
    world.admin().delete("contacts", &id(1)).unwrap();
    let tables = [("contact".to_owned(), true)].into();
    world.admin().set_tracking(&Tracking { tables, ..Tracking::default() }).unwrap();
    let tracked = world.contacts().await;
    assert!(tracked.feed);
    let found = deleted(&world, &tracked, DeletedSpan::Since { from, feed: None }).await.unwrap();
    assert_eq!((ids(&found), found.last().unwrap().feed.clone()), (vec![id(1).as_str()], None));
    world.admin().set_tracking(&Tracking { audit: Some(false), ..Tracking::default() }).unwrap();
    let failure = deleted(&world, &tracked, DeletedSpan::Since { from, feed: None }).await.unwrap_err();
    assert!(failure.class == Class::Config && failure.help.unwrap().contains("take the option away"));
    let anew = deleted(&world, &tracked, DeletedSpan::Since { from: None, feed: None }).await.unwrap();
    assert!(anew.last().unwrap().feed.is_some());
}

#[tokio::test]
async fn a_recycle_bin_alone_does_not_tell_what_is_new_and_who_asks_is_told_what_to_switch_on() {
    let (world, object) = audited().await;
    let audited = [("contact".to_owned(), false)].into();
    let bin = Tracking { audited, recycle_bin_days: Some(30), ..Tracking::default() };
    world.admin().set_tracking(&bin).unwrap();
    assert!(!world.crm.tells_deleted(&object, false).await.unwrap(), "a period it does tell");
    let beforehand = world.crm.tells_deleted(&object, true).await.unwrap_err();
    let failure = deleted(&world, &object, DeletedSpan::Since { from: None, feed: None }).await.unwrap_err();
    assert_eq!((&failure.message, &failure.help), (&beforehand.message, &beforehand.help));
    assert!(failure.class == Class::Config && failure.message.contains("auditing of the table is off"), "{failure}");
    let help = failure.help.unwrap();
    assert!(help.contains("switch on auditing") && help.contains("change tracking") && help.contains("recycle bin"));
    assert_eq!(world.contacts().await.deletion_log, Some(false));
}
