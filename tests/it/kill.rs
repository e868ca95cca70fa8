//! The process ends by SIGKILL at any moment, and `resume` gives the same database as a run that was never killed.

use sandbox::{Fault, Route};

use crate::world::{PAGE, World, main_job, wait_for};

const CONTACTS: u32 = 10 * PAGE;

fn whole() -> World {
    let world = World::new(CONTACTS);
    let file = world.workflow("dynamicsImport", &main_job());
    world.ask(&["run", &file]).expect(0);
    world
}

/// How often a run may be over before it could be killed, on a machine that has much else to do.
const ATTEMPTS: usize = 10;

/// A run that was killed at a moment.
fn killed(when: &str, is_time: impl Fn(&World) -> bool) -> World {
    for _ in 0..ATTEMPTS {
        let world = World::new(CONTACTS);
        let slow = Fault { route: Route::Page, delay_ms: Some(40), ..Fault::default() };
        world.sandbox.admin().add_fault(slow).unwrap();
        let file = world.workflow("dynamicsImport", &main_job());
        let mut working = world.begin(&["run", &file]);
        wait_for(when, || is_time(&world));
        working.kill();
        let view = world.run("dynamicsImport-1");
        assert_eq!(view["driven"], false);
        match view["status"].as_str() {
            Some("running") => return world,
            Some("finished") => {}
            _ => panic!("killed {when}: {view}"),
        }
    }
    panic!("every run was over {when}, before it could be killed");
}

fn check(whole: &World, when: &str, is_time: impl Fn(&World) -> bool) {
    let world = killed(when, is_time);
    world.ask(&["resume", "dynamicsImport-1"]).expect(0);
    assert_eq!(world.recipients(), whole.recipients(), "killed {when}");
    assert_eq!(world.options(), whole.options(), "killed {when}");
    let counts = |world: &World| {
        let view = world.run("dynamicsImport-1");
        let save = view["tasks"].as_array().unwrap().iter().find(|task| task["activity"] == "save").cloned().unwrap();
        (save["counts"].clone(), save["out"].clone(), view["transitions"].clone())
    };
    assert_eq!(counts(&world), counts(whole), "killed {when}");
}

#[test]
fn a_run_that_was_killed_goes_on_to_the_same_database() {
    let whole = whole();
    assert!(whole.recipients().len() > 1_500);
    for pages in [1, 4, 8] {
        check(&whole, &format!("after {pages} pages"), |world| world.sealed("dynamicsImport-1") >= pages);
    }
    check(&whole, "while it writes to the database", |world| !world.recipients_so_far().is_empty());
}

#[test]
fn a_run_that_was_killed_many_times_goes_on_to_the_same_database() {
    let whole = whole();
    let world = World::new(CONTACTS);
    world.sandbox.admin().add_fault(Fault { route: Route::Page, delay_ms: Some(40), ..Fault::default() }).unwrap();
    let file = world.workflow("dynamicsImport", &main_job());
    let mut working = world.begin(&["run", &file]);
    for pages in [2, 4, 6, 8] {
        wait_for("more pages", || world.sealed("dynamicsImport-1") >= pages || !working.is_working());
        working.kill();
        working = world.begin(&["resume", "dynamicsImport-1"]);
    }
    working.end().expect(0);
    assert_eq!((world.recipients(), world.options()), (whole.recipients(), whole.options()));
}
