//! Which records a filter lets through, what of it is sent, and the order of records.

use engine::describe::Ask;
use serde_json::{Value, json};

use crate::side::Side;
use crate::world::{World, instant};

on_both!(
    a_filter_means_here_what_it_says_whatever_the_crm_thinks,
    as_much_of_a_filter_is_sent_as_may_be,
    an_option_in_a_filter_is_its_value_when_the_import_runs,
    a_filter_that_does_not_parse_is_a_problem_at_its_place,
    records_come_in_the_order_asked_for_whatever_the_pages,
);

fn crm(side: Side) -> World {
    let world = World::new(side, "2026-03-03 10:00:00");
    side.add_field(&world.sandbox, "new_number", "number");
    side.add_field(&world.sandbox, "new_activity", "day");
    let contact =
        |number: u8, department: Option<&str>, title: Option<&str>, value: Option<u32>, date: Option<&str>| {
            world.contact(
                number,
                json!({
                    "department": department, "jobtitle": title, "new_number": value, "new_activity": date,
                    "emailaddress1": format!("n{number}@example.com"), "lastname": format!("N{number}"),
                    "modifiedon": instant("2026-03-01 10:00:00").to_string(),
                }),
            );
        };
    contact(1, Some("Marketing"), Some("CMO"), Some(10), Some("2012-10-31"));
    contact(2, Some("Marketing"), None, Some(10), Some("2012-11-01"));
    contact(3, Some("Sales"), None, Some(60_000), Some("2012-11-02"));
    contact(4, Some("marketing"), Some("CMO"), Some(10), None);
    contact(5, None, None, None, None);
    world
}

fn workflow(filter: &str, more: &Value) -> String {
    let mut import = json!({
        "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": ["lastname"], "filter": filter,
    });
    import.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    json!({ "version": 1, "activities": { "import": import } }).to_string()
}

/// Records on ok, and the filter that was sent.
async fn filtered(world: &World, filter: &str) -> (Vec<String>, Option<String>) {
    world.sandbox.admin().clear_log();
    let ended = world.run(&workflow(filter, &json!({}))).await;
    let mut names = ended.column("import", "ok", "lastname").await;
    names.sort();
    let query = world.queries().remove(0);
    let sent = match world.side {
        Side::Dynamics => query.split(['?', '&']).find_map(|part| part.strip_prefix("$filter=")),
        Side::Salesforce => query.split_once(" WHERE ").and_then(|(_, rest)| rest.split(" ORDER BY").next()),
    };
    (names, sent.map(str::to_owned))
}

async fn a_filter_means_here_what_it_says_whatever_the_crm_thinks(side: Side) {
    let world = crm(side);
    let whole = "department == \"Marketing\" && !is_empty(emailaddress1) && !is_empty(jobtitle) && !is_empty(lastname) \
                 || new_number > 50051";
    let cases: [(&str, &[&str]); 8] = [
        ("is_empty(department)", &["N5"]),
        ("new_number > 50051", &["N3"]),
        (whole, &["N1", "N3"]),
        ("!(department == \"Marketing\")", &["N3", "N4", "N5"]),
        ("len(department) > 5 && new_number == 10", &["N1", "N2", "N4"]),
        ("department == \"O'Neil\"", &[]),
        ("new_activity >= date(\"2012-11-01\")", &["N2", "N3"]),
        ("new_activity > date(\"2012-11-01\")", &["N3"]),
    ];
    for (filter, names) in cases {
        assert_eq!(filtered(&world, filter).await.0, names, "{filter}");
        // What holds for nobody, and which no CRM can be asked: now all is evaluated here.
        let here = format!("({filter}) || len(lastname) < 0");
        let (found, sent) = filtered(&world, &here).await;
        assert_eq!((found, sent.as_deref()), (names.iter().map(|name| (*name).to_owned()).collect(), None), "{here}");
    }
}

async fn as_much_of_a_filter_is_sent_as_may_be(side: Side) {
    let world = crm(side);
    let sent = |filter| {
        let world = &world;
        async move { filtered(world, filter).await.1.unwrap_or_default() }
    };
    let (equal, date, name) = match side {
        Side::Dynamics => ("new_number eq 10", "new_activity ge 2012-11-01", "'O''Neil'"),
        Side::Salesforce => ("Number__c = 10", "Activity__c >= 2012-11-01", r"'O\'Neil'"),
    };
    assert_eq!(sent("len(department) > 5 && new_number == 10").await, equal);
    assert_eq!(sent("new_activity >= date(\"2012-11-01\")").await, date);
    assert_eq!(sent("!(department == \"Marketing\")").await, "");
    assert!(sent("department == \"O'Neil\"").await.contains(name));
    let case = world.run(&workflow("department == \"Marketing\"", &json!({}))).await;
    assert_eq!(case.dropped("import", "filter"), 1, "N4, which the CRM takes as equal, is dropped here");
}

async fn an_option_in_a_filter_is_its_value_when_the_import_runs(side: Side) {
    use engine::outside::store::{Expect, OptionChange, OptionValue, Store};
    let world = crm(side);
    let value = OptionValue {
        value: "50000".into(),
        at: instant("2026-03-03 09:00:00"),
        by: "operator".into(),
        seen: None,
        scope: None,
    };
    let change = OptionChange { name: "FLOOR".into(), expect: Expect::Any, value: Some(value) };
    world.store.set_options(vec![change]).await.unwrap();
    let (names, sent) = filtered(&world, "new_number > option(\"FLOOR\")").await;
    let expected = match side {
        Side::Dynamics => "new_number gt 50000",
        Side::Salesforce => "Number__c > 50000",
    };
    assert_eq!((names, sent.as_deref()), (vec!["N3".to_owned()], Some(expected)));
}

async fn a_filter_that_does_not_parse_is_a_problem_at_its_place(side: Side) {
    let world = crm(side);
    let text = workflow("department ==", &json!({}));
    let (_, findings) = world.engine().check("x.json", "x", &side.say(&text), Ask::Refresh).await;
    let [problem] = findings.problems.as_slice() else { panic!("{:#?}", findings.problems) };
    assert_eq!((problem.code, problem.pointer.as_str()), ("expression", "/activities/import/filter"));
    let text = side.say(&text);
    let condition = side.say("department ==");
    assert_eq!(problem.column, text.find(&condition).unwrap() + 1 + condition.len());
}

async fn records_come_in_the_order_asked_for_whatever_the_pages(side: Side) {
    let mut world = World::new(side, "2026-03-03 10:00:00");
    for (number, name) in [(1_u8, Some("B")), (2, Some("A")), (3, Some("A")), (4, Some("C")), (5, None)] {
        let created = instant(&format!("2026-03-01 10:00:0{number}")).to_string();
        world.contact(number, json!({ "lastname": name, "firstname": number.to_string(), "createdon": created }));
    }
    if side == Side::Salesforce {
        // A page of its has 200 records or more.
        let others = vec![json!({ "LastName": "AB", "FirstName": "other", "StateCode__c": 0 }); 450];
        world.sandbox.admin().salesforce().create("Contact", &others).unwrap();
    }
    let order = |descending: bool| {
        json!({ "fields": ["firstname"], "orderBy": [
            { "field": "lastname", "descending": descending }, { "field": "createdon", "descending": true },
        ] })
    };
    for (page, parallel) in [(2_000, None), (1, None), (1, Some(4))] {
        world.limits["recordsPerPage"] = json!(page);
        world.sandbox.admin().clear_log();
        for (descending, expected) in [(false, ["5", "3", "2", "1", "4"]), (true, ["4", "1", "3", "2", "5"])] {
            let mut more = order(descending);
            if let Some(parallel) = parallel {
                more["parallel"] = json!(parallel);
            }
            let ended = world.run(&workflow("true", &more)).await;
            let mut came = ended.column("import", "ok", "firstname").await;
            came.retain(|name| name != "other");
            assert_eq!(came, expected, "pages of {page}, {parallel:?}");
        }
        let pages = world.queries().len();
        assert_eq!(pages > 4, page == 1, "{pages} pages");
    }
}
