//! Scripts, and the functions that they share.

use engine::event::Vars;
use engine::run::Status;
use serde_json::json;

use crate::harness::World;

fn shared(text: &str) -> Vec<(String, String)> {
    vec![("shared.rhai".to_owned(), text.to_owned())]
}

#[tokio::test]
async fn a_run_keeps_the_shared_scripts_it_began_with_also_where_it_is_started_anew_or_sends_again() {
    let mut world = World::new("");
    world.library = shared("fn said() { \"then\" }");
    let script = "if !(instance.vars.ready ?? false) { throw \"not yet\" } vars.said = said();";
    let activities = json!({ "speak": { "type": "script", "script": script } });
    let ran = world.run(&activities).await;
    assert_eq!(ran.status, Status::Suspended);
    world.library = shared("fn said(changed) { changed }");
    let ready = Vars::from_iter([("ready".to_owned(), json!(true))]);
    let resumed = world.resume(&ran, ready.clone()).await;
    assert_eq!(resumed.task("speak").vars["said"], "then");
    for anew in [world.restart(&ran).await, world.enter(&ran, "speak").await] {
        let resumed = world.resume(&anew, ready.clone()).await;
        assert_eq!(resumed.task("speak").vars["said"], "then", "{}", anew.id);
    }
}
