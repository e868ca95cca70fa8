//! `campanile resume` of a run that others have overtaken.

use serde_json::json;

use crate::world::{World, import_to};

#[test]
fn a_run_names_the_earlier_ones_that_wait_and_a_resume_the_later_ones_that_have_finished() {
    let world = World::new(10);
    world.configure(&[("clientSecret", "\"wrong\"")]);
    let file = world.workflow("a", &import_to("end", &json!({ "end": { "type": "end" } })));
    world.ask(&["run", &file]).expect(1).says(&["run a-1 is suspended"]);
    world.configure(&[]);
    world.ask(&["run", &file]).expect(0).says(&["an earlier run waits for a person: a-1", "older version"]);
    world.ask(&["run", &file]).expect(0);
    let says = ["later runs of the workflow have finished: a-2, a-3", "stay as they are (rule older)"];
    world.ask(&["resume", "a-1"]).expect(0).says(&says);
}
