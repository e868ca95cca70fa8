//! The automatic index says what it leaves out.

use serde_json::{Value, json};

use crate::world::{World, import_to};

const OPTION: &str = "LASTIMPORT_people_import";
const WARNING: &str = "the import has changed since its option LASTIMPORT_people_import began";

fn import(world: &World, fields: &[&str], filter: Option<&str>) -> String {
    let mut activities = import_to("end", &json!({ "end": { "type": "end" } }));
    activities["import"]["fields"] = json!(fields);
    activities["import"]["filter"] = filter.map_or(Value::Null, Value::from);
    if filter.is_none() {
        activities["import"].as_object_mut().unwrap().remove("filter");
    }
    world.workflow("people", &activities)
}

fn warns(world: &World, file: &str) -> bool {
    let checked = world.ask(&["check", file, "--json"]).expect(0).json();
    let by_check = checked.as_array().unwrap().iter().any(|found| found["code"] == "index-changed");
    let answer = world.ask(&["run", file]).expect(0);
    let by_run = answer.err.matches(WARNING).count();
    let run = world.ask(&["runs", "--json", "--limit", "1"]).json()[0]["run"].as_str().unwrap().to_owned();
    let journal = world.ask(&["show", &run, "--journal"]).expect(0).out;
    assert_eq!((by_run, journal.contains(WARNING)), (usize::from(by_check), by_check), "{}", answer.err);
    by_check
}

#[test]
fn an_import_that_reads_more_than_before_says_so_until_a_backfill_or_a_person_settles_it() {
    let world = World::new(5);
    let file = import(&world, &["lastname"], Some("statecode == 0"));
    world.ask(&["check", &file]).expect(0);
    assert!(!world.path(".campanile").exists(), "check makes no data folder");
    assert!(!warns(&world, &file) && !warns(&world, &file));

    let file = import(&world, &["lastname", "firstname"], Some("statecode == 0"));
    world.ask(&["check", &file]).expect(0).says(&["new fields: firstname", "campanile backfill workflows/people.json"]);
    assert!(warns(&world, &file) && warns(&world, &file), "again, as the records are still missing");
    let filled = ["backfill", &file, "--from", "2000-01-01", "--to", "2026-03-03"];
    world.ask(&filled).expect(0);
    assert!(!warns(&world, &file));

    let file = import(&world, &["lastname", "firstname"], None);
    assert!(warns(&world, &file));
    let file = import(&world, &["lastname", "firstname"], Some("statecode == 0"));
    assert!(warns(&world, &file), "changed back, and what was left out meanwhile is not here");
    let value = world.options()[OPTION].as_str().unwrap().to_owned();
    world.ask(&["options", "set", OPTION, &value]).expect(0);
    assert!(!warns(&world, &file));
    let file = import(&world, &["lastname"], Some("statecode == 0"));
    assert!(!warns(&world, &file), "a field less leaves nothing out");
}
