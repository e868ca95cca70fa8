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
