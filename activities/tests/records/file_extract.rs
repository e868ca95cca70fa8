//! Files.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use engine::private::Access;
use engine::run::Status;
use serde_json::{Value, json};

use crate::harness::World;

fn activities(settings: Value) -> Value {
    let mut file = json!({ "type": "file.extract", "path": "out/people.csv" });
    file.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    json!({
        "records": {
            "type": "records", "to": "file", "segment": 2,
            "columns": {
                "name": "text", "age": "int", "born": "date", "seen": "datetime", "owes": "decimal", "tags": "list",
                "is": "bool"
            },
            "rows": [
                ["Ada, \"Countess\"", 36, "1815-12-10", "2026-03-01T08:00:00.5Z", "12.5000", ["a", "b,c"], true],
                [null, null, null, null, null, null, null],
                ["two\nlines; é", -1, "0009-01-01", "1969-12-31T23:59:59Z", "-0.0001", [], false],
                ["=SUM(A1)", 0, "2026-01-31", "2026-03-01T08:00:00Z", "100", ["="], true]
            ]
        },
        "file": file
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_has_one_written_form_and_quotes_where_it_needs_them() {
    let world = World::new("");
    let ran = world.run(&activities(json!({}))).await;
    assert_eq!(ran.status, Status::Finished, "{:?}", ran.task("file").failure);
    assert_eq!(
        world.file("out/people.csv").unwrap(),
        "name,age,born,seen,owes,tags,is\n\
         \"Ada, \"\"Countess\"\"\",36,1815-12-10,2026-03-01 08:00:00.500000Z,12.5,\"[\"\"a\"\",\"\"b,c\"\"]\",true\n\
         ,,,,,,\n\
         \"two\nlines; é\",-1,0009-01-01,1969-12-31 23:59:59.000000Z,-0.0001,[],false\n\
         =SUM(A1),0,2026-01-31,2026-03-01 08:00:00.000000Z,100,\"[\"\"=\"\"]\",true\n"
    );
    assert_eq!(ran.passed_on("records", "file", "ok"), 2);
    assert_eq!(ran.task("file").vars["filename"], "out/people.csv");
    let left: Vec<_> = std::fs::read_dir(world.path().join("files/out")).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_and_form_can_be_chosen() {
    let world = World::new("");
    let columns = json!(["age", { "name": "who", "expression": "upper(name)" }]);
    let settings = json!({ "columns": columns, "separator": "tab", "header": false, "defuseFormulas": true });
    world.run(&activities(settings)).await;
    assert_eq!(
        world.file("out/people.csv").unwrap(),
        "36\t\"ADA, \"\"COUNTESS\"\"\"\n\t\n-1\t\"TWO\nLINES; É\"\n0\t'=SUM(A1)\n"
    );
    let none = json!({
        "records": { "type": "records", "columns": { "a": "text" }, "rows": [], "to": "file" },
        "file": { "type": "file.extract", "path": "none-{run}-{date}.csv" }
    });
    world.run(&none).await;
    assert_eq!(world.file("none-test-1-2026-03-03.csv").unwrap(), "a\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leaves_its_folder_is_refused() {
    let world = World::new("");
    for path in
        ["/etc/passwd", "../x.csv", "a/../../x.csv", "a/", "", "a\\..\\x.csv", "C:\\x.csv", "x{what}.csv", "a\nb"]
    {
        let problems = world.problems(&activities(json!({ "path": path }))).await;
        assert!(problems.len() == 1 && problems[0].starts_with("file/path: "), "{path}: {problems:?}");
    }
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(world.path().join("files")).unwrap();
    std::os::unix::fs::symlink(outside.path(), world.path().join("files/out")).unwrap();
    let ran = world.run(&activities(json!({}))).await;
    assert_eq!(ran.status, Status::Suspended);
    assert_eq!(ran.failure("file"), "out leads out of the folder for files, by a link");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_for_its_owner_unless_the_configuration_says_otherwise() {
    let mut world = World::new("");
    for (access, file, folder) in
        [(Access::Owner, 0o600, 0o700), (Access::GroupReads, 0o640, 0o750), (Access::EveryoneReads, 0o644, 0o755)]
    {
        world.files_access = access;
        let path = format!("{file:o}/people.csv");
        let ran = world.run(&activities(json!({ "path": path }))).await;
        assert_eq!(ran.status, Status::Finished);
        let written = world.path().join("files").join(path);
        assert_eq!((mode(&written), mode(written.parent().unwrap())), (file, folder), "{access:?}");
        let population = ran.folder.join(&ran.task("records").ports["ok"][0].path);
        assert_eq!((mode(&population), mode(population.parent().unwrap())), (0o600, 0o700));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_place_of_an_unfinished_file_is_not_followed() {
    let world = World::new("");
    let victim = world.path().join("victim");
    std::fs::write(&victim, "mine").unwrap();
    std::fs::create_dir_all(world.path().join("files/out")).unwrap();
    let part = world.path().join("files/out/.people.csv.test-1-2.part");
    std::os::unix::fs::symlink(&victim, part).unwrap();
    let ran = world.run(&activities(json!({}))).await;
    assert_eq!(ran.status, Status::Finished);
    assert!(world.file("out/people.csv").unwrap().starts_with("name,"));
    assert_eq!(std::fs::read_to_string(victim).unwrap(), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tasks_of_a_run_write_two_files() {
    let world = World::new("");
    let mut activities = activities(json!({ "columns": ["name"] }));
    activities["records"]["to"] = json!(["file", "file2"]);
    activities["file2"] = json!({ "type": "file.extract", "path": "./out/people.csv", "columns": ["age"] });
    let ran = world.run(&activities).await;
    let names: Vec<&str> =
        ["file", "file2"].iter().map(|name| ran.task(name).vars["filename"].as_str().unwrap()).collect();
    assert!(names.contains(&"out/people.csv"), "{names:?}");
    assert!(names.contains(&"out/people-2.csv") || names.contains(&"out/people-3.csv"), "{names:?}");
    for (name, first) in names.iter().zip(["name", "age"]) {
        assert!(world.file(name).unwrap().starts_with(first));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_the_run() {
    let columns = json!(["nmae", "age", { "name": "age", "expression": "aeg" }]);
    assert_eq!(
        World::new("").problems(&activities(json!({ "columns": columns, "separator": "ab" }))).await,
        [
            "file/columns/0: there is no column \"nmae\" (did you mean \"name\"?)",
            "file/columns/2: there is a column \"age\" already",
            "file/columns/2/expression: there is no column `aeg` (did you mean `age`?)",
            "file/separator: \"ab\" cannot separate values \
             (use one ASCII character that is no letter, digit or quote, such as ; or |, or \"tab\")",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_event_leaves_one_whole_file() {
    let whole = World::new("");
    whole.run(&activities(json!({}))).await;
    for writes in 1..20 {
        let world = World::new("");
        let ran = world.run_dying(&activities(json!({})), writes).await;
        assert_eq!(world.file("out/people.csv"), whole.file("out/people.csv"));
        assert_eq!(ran.port("file", "ok").await.len(), 4);
        assert_eq!(std::fs::read_dir(world.path().join("files/out")).unwrap().count(), 1);
    }
}
