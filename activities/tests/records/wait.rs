//! Waiting: for how long, and what else works meanwhile.

use engine::event::Event;
use engine::outside::store::Store as _;
use engine::run::Status;
use serde_json::json;

use crate::harness::World;

#[tokio::test]
async fn what_waits_takes_no_place_of_a_working_task() {
    let mut world = World::new("");
    world.limits.tasks_at_once = 1;
    let ran = world
        .run(&json!({
            "one": { "type": "wait", "for": "15s" },
            "other": { "type": "wait", "for": "15s" },
            "works": { "type": "script", "script": "vars.done = true;" }
        }))
        .await;
    assert_eq!(ran.status, Status::Finished);
    let journal = ran.store.events(&ran.id, 0, usize::MAX).await.unwrap();
    let at = |is: &dyn Fn(&Event) -> bool| journal.iter().position(|recorded| is(&recorded.event)).unwrap();
    let (one, other) = (ran.task("one").id, ran.task("other").id);
    let other_waits = at(&|event| matches!(event, Event::TaskWaiting { task, .. } if *task == other));
    let one_ends = at(&|event| matches!(event, Event::TaskEnded { task, .. } if *task == one));
    assert!(other_waits < one_ends, "both wait at the same time, although one task works at a time");
    assert_eq!(ran.task("works").vars["done"], true);
    let waited = ran.task("one").ended.unwrap().duration_since(ran.task("one").started);
    // The clock of this test moves as soon as anything waits for it.
    assert!(waited.as_secs() >= 15, "{waited}");
}
