//! Those whom the configuration names are told when a run needs somebody, also where its process was killed.

use std::fs;

use serde_json::json;

use crate::mail_server::MailServer;
use crate::receiver::{Receiver, SECRET};
use crate::world::{World, wait_for};

/// A project with a workflow that waits for an operator, and these alerts.
fn world(alerts: &str) -> (World, String) {
    let world = World::new(0);
    let text = fs::read_to_string(world.path("campanile.toml")).unwrap();
    world.write("campanile.toml", &format!("{text}[alerts]\nlimits = {{ retryWaitMin = \"10ms\" }}\n{alerts}\n"));
    let file = world.workflow("fails", &json!({ "only": { "type": "script", "script": "throw `<no>`;" } }));
    (world, file)
}

fn posting_to(receiver: &Receiver) -> String {
    format!("webhook = {{ url = \"{}\" }}", receiver.url)
}

#[test]
fn a_run_that_is_suspended_is_told_before_the_command_ends() {
    let receiver = Receiver::new();
    let (world, file) = world(&posting_to(&receiver));
    world.ask(&["run", &file]).expect(1);
    let came = receiver.came();
    assert_eq!(came.len(), 1, "{came:?}");
    assert_eq!((came[0].1["run"].as_str(), came[0].1["status"].as_str()), (Some("fails-1"), Some("suspended")));
    // Whatever else is done in the data folder, it is told no more.
    world.ask(&["run", &file]).expect(1);
    world.ask(&["show", "fails-1"]).expect(0);
    let runs: Vec<_> = receiver.came().into_iter().map(|(_, alert)| alert["run"].clone()).collect();
    assert_eq!(runs, ["fails-1", "fails-2"]);
    world.ask(&["resume", "fails-1"]).expect(1);
    assert_eq!(receiver.came().len(), 3, "it stopped anew");
}

#[test]
fn a_process_that_was_killed_before_it_told_leaves_it_to_the_next() {
    let receiver = Receiver::new();
    let (world, file) = world(&posting_to(&receiver));
    // The receiver is out of order for as long as the process lives.
    receiver.answer(vec![503; 100]);
    let config = fs::read_to_string(world.path("campanile.toml")).unwrap();
    world.write("campanile.toml", &config.replace("retryWaitMin = \"10ms\"", "retryWaitMin = \"5s\""));
    let mut working = world.begin(&["run", &file]);
    let (key, _) = receiver.until(1).remove(0);
    working.kill();
    receiver.recover();
    let before = receiver.came().len();
    let told = || receiver.came().into_iter().skip(before).map(|(key, _)| key).collect::<Vec<_>>();
    let other = world.workflow("other", &json!({ "only": { "type": "script", "script": "vars.a = 1;" } }));
    for _ in 0..2 {
        world.ask(&["run", &other]).expect(0);
        assert_eq!(told(), [key.as_str()], "any run of this data folder tells it, and the next one nothing");
    }
    world.ask(&["resume", "fails-1"]).expect(1);
    assert_eq!(told().len(), 2);
}

#[test]
fn a_receiver_that_refuses_is_given_up_in_the_journal_and_its_secret_is_nowhere() {
    for (status, attempts, says) in [(404, 1, "404"), (302, 1, "redirect"), (500, 4, "500")] {
        let receiver = Receiver::new();
        let (world, file) = world(&posting_to(&receiver));
        receiver.answer(vec![status; 100]);
        let answer = world.ask(&["-vv", "run", &file]).expect(1);
        assert!(answer.err.contains("was not told") && answer.err.contains(says), "{}", answer.err);
        assert_eq!(receiver.came().len(), attempts, "{status}");
        let journal = world.ask(&["show", "fails-1", "--journal"]).expect(0);
        let given_up = journal.out.lines().filter(|line| line.contains("alerted") && line.contains(says)).count();
        assert_eq!(given_up, 1, "{}", journal.out);
        for text in [&answer.err, &answer.out, &journal.out, &journal.err] {
            assert!(!text.contains(SECRET), "{text}");
        }
    }
}

#[test]
fn an_address_that_is_no_secret_of_the_configuration_is_read_where_it_lies() {
    let receiver = Receiver::new();
    let (world, file) = world("webhook = { url = { file = \"address\" }, format = \"slack\" }");
    world.write("address", &format!("{}\n", receiver.url));
    world.ask(&["run", &file]).expect(1);
    let (_, body) = receiver.until(1).remove(0);
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["text", "mrkdwn"]);
    assert_eq!(body["mrkdwn"], false, "what a CRM wrote is no markup");
    assert!(body["text"].as_str().unwrap().contains("&lt;no&gt;"), "{body}");
}

#[test]
fn alerts_are_tried_step_by_step() {
    let receiver = Receiver::new();
    let (world, _) = world(&posting_to(&receiver));
    let answer = world.ask(&["alerts", "test"]).expect(0);
    assert!(
        answer.out.contains("✓ address: 127.0.0.1") && answer.out.contains("✓ message: taken (200"),
        "{}",
        answer.out
    );
    assert!(receiver.came()[0].1["text"].as_str().unwrap().contains("no run needs you"));
    receiver.answer([410]);
    let answer = world.ask(&["alerts", "test", "webhook"]).expect(1).says(&["410"]);
    assert!(answer.out.contains("× message") && !answer.err.contains(SECRET), "{} {}", answer.out, answer.err);
    world.ask(&["alerts", "test", "mail"]).expect(1).says(&["has no mail"]);
    assert!(!world.path(".campanile").exists(), "it needs no data folder");
}

#[test]
fn mail_is_sent_to_each_and_the_same_again_until_it_is_taken() {
    let server = MailServer::new();
    let mail = format!(
        "mail = {{ smtp = \"smtp://127.0.0.1:{}\", from = \"Campanile <campanile@example.com>\", \
         to = [\"ann@example.com\", \"Bob <bob@example.org>\"], user = \"u\", password = \"{SECRET}\" }}",
        server.port
    );
    let (world, file) = world(&mail);
    server.answer(["451 later"]);
    world.ask(&["run", &file]).expect(1);
    let came = server.came();
    assert!(came.len() == 2 && came[0] == came[1], "{came:#?}");
    for part in [
        "MAIL FROM:<campanile@example.com>\n",
        "RCPT TO:<ann@example.com>\n",
        "RCPT TO:<bob@example.org>\n",
        "Subject: Run fails-1 is suspended at only\n",
        "Message-ID: <fails-1.",
        "Host: ",
        "Folder: ",
        "campanile resume fails-1",
    ] {
        assert!(came[0].contains(part), "{part:?} is not in {}", came[0]);
    }
    // What is refused for good is not sent again.
    server.answer(["554 no"]);
    let answer = world.ask(&["-vv", "resume", "fails-1"]).expect(1).says(&["mail was not told", "554"]);
    assert_eq!(server.came().len(), 3);
    let journal = world.ask(&["show", "fails-1", "--journal"]).expect(0);
    assert!(!format!("{}{}{}", answer.err, answer.out, journal.out).contains(SECRET));

    let answer = world.ask(&["alerts", "test"]).expect(0);
    assert!(
        answer.out.contains("✓ connection: 127.0.0.1, not encrypted, on this computer; logged in as u"),
        "{}",
        answer.out
    );
    assert!(answer.out.contains("✓ message: taken (250) for ann@example.com"), "{}", answer.out);
}

#[test]
fn a_second_process_leaves_the_telling_to_the_one_that_drives() {
    let receiver = Receiver::new();
    let (world, file) = world(&posting_to(&receiver));
    let waits = world.workflow("waits", &json!({ "only": { "type": "wait", "for": "1h" } }));
    let owner = world.begin(&["run", &waits]);
    wait_for("the owner", || world.path(".campanile/owner.json").exists());
    world.ask(&["run", &file]).expect(1);
    let came = receiver.until(1);
    assert_eq!(came[0].1["run"], "fails-1");
    owner.interrupt();
    owner.end().expect(1);
    assert_eq!(receiver.came().len(), 1);
}

/// What came since, by status and name.
fn came(receiver: &Receiver, before: usize) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let came = receiver.came().into_iter().skip(before).map(|(_, alert)| alert);
    came.map(|alert| (text(&alert["status"]), text(alert.get("run").unwrap_or(&alert["workflow"])))).collect()
}

fn is(status: &str, name: &str) -> (String, String) {
    (status.to_owned(), name.to_owned())
}

#[test]
fn a_workflow_that_does_not_start_alerts_with_host_and_folder_once_until_it_starts_again() {
    let receiver = Receiver::new();
    let (world, file) = world(&posting_to(&receiver));
    let right = fs::read_to_string(world.path(&file)).unwrap();
    let sound = world.workflow("fails", &json!({ "only": { "type": "script", "script": "vars.a = 1;" } }));
    world.ask(&["run", &sound]).expect(0);
    for _ in 0..2 {
        world.workflow("fails", &json!({ "only": { "type": "script", "script": "vars.a = 1;", "to": "nowhere" } }));
        world.ask(&["run", &file]).expect(2);
        assert_eq!(came(&receiver, 0), [is("notStarted", "fails")], "a schedule of each minute sends one");
    }
    let (_, alert) = receiver.came().remove(0);
    assert!(alert["message"].as_str().unwrap().contains("nowhere"), "{alert}");
    assert!(alert["text"].as_str().unwrap().starts_with("Workflow fails did not start."), "{alert}");
    assert!(alert["next"].as_str().unwrap().starts_with("campanile check /"), "{alert}");
    assert_eq!(alert["folder"].as_str().unwrap(), world.path(".campanile").display().to_string());
    assert!(!alert["host"].as_str().unwrap().is_empty());

    // Another reason is news, and so is the same one once it has started.
    world.workflow("fails", &json!({ "only": { "type": "scrip" } }));
    world.ask(&["run", &file]).expect(2);
    assert_eq!(receiver.came().len(), 2);
    world.write(&file, &right);
    world.ask(&["run", &file]).expect(1);
    assert_eq!(came(&receiver, 2), [is("suspended", "fails-2")]);
    world.workflow("fails", &json!({ "only": { "type": "scrip" } }));
    world.ask(&["run", &file]).expect(2);
    assert_eq!(came(&receiver, 3), [is("notStarted", "fails")]);
}

#[test]
fn what_keeps_a_run_from_beginning_alerts_and_a_run_that_holds_its_workflow_does_not() {
    let receiver = Receiver::new();
    let (world, _) = world(&posting_to(&receiver));
    world.ask(&["run", "workflows/missing.json"]).expect(2);
    assert_eq!(came(&receiver, 0), [is("notStarted", "missing")]);

    let waits = world.workflow("waits", &json!({ "only": { "type": "wait", "for": "1h" } }));
    let owner = world.begin(&["run", &waits]);
    wait_for("the run", || world.path(".campanile/runs/waits-1/workflow.json").exists());
    wait_for("its hold", || world.ask(&["run", &waits]).err.contains("is not over"));
    assert_eq!(receiver.came().len(), 1, "the next start has what this one would have had");
    owner.interrupt();
    owner.end().expect(1);

    // The store is gone.
    fs::rename(world.path(".campanile/store"), world.path("store")).unwrap();
    let before = receiver.came().len();
    world.ask(&["run", &waits]).expect(1).says(&["is missing"]);
    assert_eq!(came(&receiver, before), [is("notStarted", "waits")]);
    fs::rename(world.path("store"), world.path(".campanile/store")).unwrap();

    let config = fs::read_to_string(world.path("campanile.toml")).unwrap();
    let secret = config.lines().find(|line| line.starts_with("clientSecret")).unwrap().to_owned();
    let config = config.replace(&secret, "clientSecret = { env = \"CAMPANILE_TEST_UNSET\" }");
    world.write("campanile.toml", &config);
    let import = json!({ "import": { "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": ["lastname"] } });
    let import = world.workflow("import", &import);
    let before = receiver.came().len();
    let refused = world.ask(&["run", &import]);
    assert_ne!(refused.code, Some(0), "{}", refused.err);
    let (_, alert) = receiver.came().into_iter().skip(before).find(|(_, alert)| alert["workflow"] == "import").unwrap();
    assert!(alert["message"].as_str().unwrap().contains("CAMPANILE_TEST_UNSET"), "{alert}");
}

#[test]
fn a_run_that_was_killed_is_named_and_told_once_by_whatever_command_comes_next() {
    let receiver = Receiver::new();
    let (world, _) = world(&posting_to(&receiver));
    let waits = world.workflow("waits", &json!({ "only": { "type": "wait", "for": "1h" } }));
    let begin = |args: &[&str], text: &str| {
        let working = world.begin(args);
        wait_for("the wait", || working.err().contains(text));
        working
    };
    let mut working = begin(&["run", &waits], "waits until");
    assert!(receiver.came().is_empty());
    working.kill();
    let says = ["run waits-1 was interrupted", "campanile resume waits-1"];
    world.ask(&["options", "list"]).expect(0).says(&says);
    assert_eq!(came(&receiver, 0), [is("interrupted", "waits-1")]);
    for command in [&["runs"][..], &["show", "waits-1"], &["options", "list"]] {
        let answer = world.ask(command).expect(0);
        assert!(!answer.err.contains("was interrupted: its process"), "{}", answer.err);
    }
    assert_eq!(receiver.came().len(), 1);
    // It continues, and is killed again before anything else happens to it.
    let mut working = begin(&["run", &waits], "it is resumed");
    wait_for("the owner", || world.run("waits-1")["driven"] == true);
    working.kill();
    world.ask(&["runs"]).expect(0).says(&says);
    assert_eq!(came(&receiver, 1), [is("interrupted", "waits-1")]);
}
