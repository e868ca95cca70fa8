//! Who is told when a run needs a person, with crashes at every event of the journal.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::engine::Engine;
use engine::event::{Attention, Event, Recorded, Vars};
use engine::failure::{Class, Failure};
use engine::outside::alerts::{Alert, AlertLimits, Alerts, Need};
use engine::outside::store::{RunId, Store};
use engine::run::Status;
use store::Memory;
use tempfile::TempDir;

use crate::palette::environment;

/// Longer than anybody is told here.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two who are told.
#[derive(Default)]
struct Told {
    alerts: Mutex<Vec<(String, Alert)>>,
    /// What mail answers.
    refusal: Option<Failure>,
    /// Whether nobody ever answers.
    is_silent: bool,
    limits: AlertLimits,
}

#[async_trait]
impl Alerts for Told {
    fn receivers(&self) -> Vec<String> {
        vec!["mail".to_owned(), "webhook".to_owned()]
    }

    fn limits(&self) -> AlertLimits {
        self.limits
    }

    async fn tell(&self, receiver: &str, alert: &Alert) -> Result<(), Failure> {
        self.alerts.lock().unwrap().push((receiver.to_owned(), alert.clone()));
        if self.is_silent {
            std::future::pending::<()>().await;
        }
        match &self.refusal {
            Some(refusal) if receiver == "mail" => Err(refusal.clone()),
            _ => Ok(()),
        }
    }
}

impl Told {
    /// The ids of which a receiver was told, in order.
    fn ids(&self, receiver: &str) -> Vec<String> {
        let alerts = self.alerts.lock().unwrap();
        alerts.iter().filter(|(told, _)| told == receiver).map(|(_, alert)| alert.id.clone()).collect()
    }
}

struct Bench {
    folder: TempDir,
    store: Memory,
    told: Arc<Told>,
}

impl Bench {
    fn new(store: Memory, told: Told) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), store, told: Arc::new(told) }
    }

    /// An engine as a new process has it.
    fn engine(&self, store: Memory) -> Arc<Engine> {
        Arc::new(Engine::new(environment(Arc::new(store), self.folder.path(), self.told.clone())))
    }

    async fn run(&self, text: &str) -> (Arc<Engine>, Option<Status>) {
        let engine = self.engine(self.store.reopened());
        let (_, driven) = engine.start("w.json", text, Vars::new()).await.unwrap();
        let status = driven.wait().await.ok();
        (engine, status)
    }

    async fn events(&self) -> Vec<Event> {
        let recorded = self.store.reopened().events(&run(), 0, usize::MAX).await.unwrap();
        recorded.into_iter().map(|recorded| recorded.event).collect()
    }

    /// Of how many events people are to be told, by the journal.
    async fn stops(&self) -> Vec<String> {
        let recorded = self.store.reopened().events(&run(), 0, usize::MAX).await.unwrap().into_iter().enumerate();
        let stop = |(n, Recorded { at, event, .. })| match event {
            Event::TaskFailed { alerts, .. } if !alerts.is_empty() => Some(format!("w-1/{n}/{}", at.as_millisecond())),
            _ => None,
        };
        recorded.filter_map(stop).collect()
    }
}

fn run() -> RunId {
    RunId::new("w", 1)
}

/// Fails twice, and waits for an operator each time.
const SUSPENDS: &str = r#"{ "version": 1, "activities": {
    "numbers": { "type": "numbers", "count": 3, "to": "save" },
    "save": { "type": "note", "name": "save", "fails": 2 }
} }"#;

#[tokio::test]
async fn each_stop_is_told_once_to_each_and_the_next_one_anew() {
    let bench = Bench::new(Memory::new(), Told::default());
    let (engine, status) = bench.run(SUSPENDS).await;
    assert_eq!(status, Some(Status::Suspended));
    for stops in 1..3 {
        assert!(engine.until_told(PATIENCE).await);
        assert_eq!(bench.stops().await.len(), stops);
        for receiver in ["mail", "webhook"] {
            assert_eq!(bench.told.ids(receiver), bench.stops().await);
        }
        engine.resume(&run()).await.unwrap().wait().await.unwrap();
    }
    assert!(engine.until_told(PATIENCE).await);
    assert_eq!(bench.told.ids("mail").len(), 2, "its good end needs nobody");
    let (_, alert) = bench.told.alerts.lock().unwrap()[0].clone();
    assert_eq!((alert.activity.as_deref(), alert.task, alert.status), (Some("save"), Some(2), Need::Suspended));
    assert_eq!((alert.message.as_str(), alert.next.as_str()), ("not yet", "campanile resume w-1"));
}

#[tokio::test]
async fn what_only_waits_alerts_nobody_and_an_abort_does() {
    let bench = Bench::new(Memory::new(), Told::default());
    let text = SUSPENDS.replace(r#""fails": 2"#, r#""fails": 2, "retry": { "attempts": 3, "backoff": "1s" }"#);
    let (engine, status) = bench.run(&text).await;
    assert_eq!(status, Some(Status::Finished));
    assert!(engine.until_told(PATIENCE).await);
    assert_eq!((bench.stops().await, bench.told.ids("mail")), (Vec::new(), Vec::new()));

    let bench = Bench::new(Memory::new(), Told::default());
    let (engine, status) = bench.run(&SUSPENDS.replace(r#""fails": 2"#, r#""fails": 2, "onError": "abort""#)).await;
    assert_eq!(status, Some(Status::Failed));
    assert!(engine.until_told(PATIENCE).await);
    assert_eq!(bench.told.ids("webhook"), bench.stops().await);
    assert_eq!(bench.told.alerts.lock().unwrap()[0].1.status, Need::Failed);
}

#[tokio::test]
async fn branches_that_fail_while_the_run_waits_are_one_stop() {
    let bench = Bench::new(Memory::new(), Told::default());
    let text = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 3, "to": ["one", "other"] },
        "one": { "type": "note", "name": "one", "fails": 1 },
        "other": { "type": "note", "name": "other", "fails": 1 }
    } }"#;
    let (engine, status) = bench.run(text).await;
    assert_eq!(status, Some(Status::Suspended));
    assert!(engine.until_told(PATIENCE).await);
    let failed = bench.events().await.iter().filter(|event| matches!(event, Event::TaskFailed { .. })).count();
    assert_eq!((failed, bench.told.ids("mail").len()), (2, 1));
}

fn distinct(ids: Vec<String>) -> BTreeSet<String> {
    ids.into_iter().collect()
}

#[tokio::test]
async fn a_crash_after_any_event_leaves_each_stop_told_once() {
    let whole = Bench::new(Memory::new(), Told::default());
    let (engine, _) = whole.run(SUSPENDS).await;
    engine.until_told(PATIENCE).await;
    let count = whole.events().await.len() as u64;
    for crash in 1..=count {
        for keeps_the_last in [false, true] {
            let context = format!("crash after event {crash}, {keeps_the_last}");
            let broken = match keeps_the_last {
                false => Memory::failing_after(crash),
                true => Memory::losing_answer_of(crash),
            };
            let bench = Bench::new(broken.reopened(), Told::default());
            let engine = bench.engine(broken);
            if let Ok((_, driven)) = engine.start("w.json", SUSPENDS, Vars::new()).await {
                driven.wait().await.ok();
                engine.until_told(PATIENCE).await;
            }
            drop(engine);
            let recorded = bench.events().await.iter().filter(|event| matches!(event, Event::Alerted { .. })).count();
            let unrecorded = bench.told.alerts.lock().unwrap().len() - recorded;
            let stops = bench.stops().await;
            // The next process tells what is owed, whether the run goes on or not; and the one after that nothing more.
            for _ in 0..2 {
                let engine = bench.engine(bench.store.reopened());
                engine.tell_what_was_owed().await;
                assert!(engine.until_told(PATIENCE).await);
            }
            for receiver in ["mail", "webhook"] {
                assert_eq!(distinct(bench.told.ids(receiver)), distinct(stops.clone()), "{context}");
            }
            // Twice only where the process died between the telling and its event.
            let told = bench.told.alerts.lock().unwrap().len();
            assert_eq!(told, 2 * stops.len() + unrecorded, "{context}");
            if bench.events().await.is_empty() {
                continue;
            }
            let engine = bench.engine(bench.store.reopened());
            engine.resume(&run()).await.unwrap().wait().await.unwrap();
            assert!(engine.until_told(PATIENCE).await);
            assert_eq!(distinct(bench.told.ids("mail")), distinct(bench.stops().await), "{context}, resumed");
        }
    }
}

#[tokio::test]
async fn whoever_does_not_take_it_is_given_up_in_the_journal_and_fails_nothing() {
    let refusal = Failure::new(Class::Config, "no such mailbox");
    let bench = Bench::new(Memory::new(), Told { refusal: Some(refusal.clone()), ..Told::default() });
    let (engine, status) = bench.run(SUSPENDS).await;
    assert_eq!(status, Some(Status::Suspended));
    assert!(engine.until_told(PATIENCE).await);
    let outcomes = bench.events().await.into_iter().filter_map(|event| match event {
        Event::Alerted { receiver, failure, .. } => Some((receiver, failure)),
        _ => None,
    });
    let mut outcomes: Vec<_> = outcomes.collect();
    outcomes.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(outcomes, [("mail".to_owned(), Some(refusal)), ("webhook".to_owned(), None)]);
    let engine = bench.engine(bench.store.reopened());
    engine.tell_what_was_owed().await;
    assert!(engine.until_told(PATIENCE).await);
    assert_eq!(bench.told.ids("mail").len(), 1);
}

#[tokio::test]
async fn whoever_does_not_answer_holds_no_run_back() {
    let bench = Bench::new(Memory::new(), Told { is_silent: true, ..Told::default() });
    let text = SUSPENDS.replace(r#""fails": 2"#, r#""fails": 1"#);
    let (engine, status) = tokio::time::timeout(PATIENCE, bench.run(&text)).await.unwrap();
    assert_eq!(status, Some(Status::Suspended));
    assert_eq!(engine.resume(&run()).await.unwrap().wait().await.unwrap(), Status::Finished);
    assert!(!engine.until_told(Duration::from_millis(50)).await, "it is still being tried");
    // The next process tells it, although the run is over.
    let next = Bench { told: Arc::default(), ..bench };
    let engine = next.engine(next.store.reopened());
    engine.tell_what_was_owed().await;
    assert!(engine.until_told(PATIENCE).await);
    assert_eq!(next.told.ids("mail"), next.stops().await);
}

#[tokio::test]
async fn a_run_whose_process_died_is_found_and_told_once_by_the_next_one() {
    let broken = Memory::failing_after(3);
    let bench = Bench::new(broken.reopened(), Told::default());
    let engine = bench.engine(broken);
    let (_, driven) = engine.start("w.json", SUSPENDS, Vars::new()).await.unwrap();
    driven.wait().await.unwrap_err();
    drop(engine);
    for _ in 0..2 {
        let next = bench.engine(bench.store.reopened());
        next.find_interrupted(Some(&run())).await;
        next.tell_what_was_owed().await;
        assert!(next.until_told(PATIENCE).await);
        assert!(bench.told.ids("mail").is_empty(), "what is taken over at once needs nobody");
    }
    for found in [vec![run()], Vec::new()] {
        let next = bench.engine(bench.store.reopened());
        assert_eq!(next.find_interrupted(None).await, found);
        next.tell_what_was_owed().await;
        assert!(next.until_told(PATIENCE).await);
        assert_eq!((bench.told.ids("mail").len(), bench.told.ids("webhook").len()), (1, 1));
    }
    let (_, alert) = bench.told.alerts.lock().unwrap()[0].clone();
    assert_eq!((alert.status, alert.task, alert.next.as_str()), (Need::Interrupted, None, "campanile resume w-1"));
    let engine = bench.engine(bench.store.reopened());
    assert_eq!(engine.resume(&run()).await.unwrap().wait().await.unwrap(), Status::Suspended);
    assert!(engine.find_interrupted(None).await.is_empty(), "it waits for a person, which its own alert says");
}

#[tokio::test]
async fn a_run_that_finishes_with_more_rejects_than_the_limit_alerts_once() {
    let refuses = r#"{ "version": 1, "activities": {
        "numbers": { "type": "numbers", "count": 4, "to": "refuse" },
        "refuse": { "type": "refuse", "name": "refuse", "number": 2, "tasks": [1] }
    } }"#;
    for (rejects, alerts) in [(None, 0), (Some(1), 0), (Some(0), 1)] {
        let limits = AlertLimits { rejects, in_doubt: Some(0) };
        let bench = Bench::new(Memory::new(), Told { limits, ..Told::default() });
        let (engine, status) = bench.run(refuses).await;
        assert_eq!(status, Some(Status::Finished));
        assert!(engine.until_told(PATIENCE).await);
        assert_eq!(bench.told.ids("mail").len(), alerts, "limit {rejects:?}");
        let over = Attention::OverLimit { rejects: 1, in_doubt: 0 };
        let recorded = bench.events().await;
        let noted = recorded.iter().filter(|event| matches!(event, Event::Attention { why, .. } if *why == over));
        assert_eq!(noted.count(), alerts);
        engine.tell_what_was_owed().await;
        assert!(engine.until_told(PATIENCE).await);
        assert_eq!(bench.told.ids("mail").len(), alerts, "it is told once");
    }
}
