//! The rules of `run.rs` on random graphs, with random orders and random ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use engine::event::{
    ArrivalId, Attention, EVENT_VERSION, Entry, Event, Level, Recorded, Segment, Tally, TaskId, Then, Vars,
};
use engine::failure::{Class, Failure};
use engine::graph::{Arrivals, Graph, Vertex, WhenMissing};
use engine::run::{Cause, Ready, Run, RunHead, Status};
use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

/// A graph whose tasks grow beyond this is left out: loops of forks multiply.
const EVENTS_MAX: usize = 400;

#[derive(Debug, Clone)]
struct Sketch {
    /// From, to, whether by `error`.
    edges: BTreeSet<(u8, u8, bool)>,
    joins: BTreeSet<u8>,
    attempts: u32,
    activities: u8,
}

fn sketches() -> impl Strategy<Value = Sketch> {
    (2..7_u8).prop_flat_map(|activities| {
        let node = 0..activities;
        let edges = prop::collection::btree_set((node.clone(), node.clone(), prop::bool::weighted(0.2)), 1..9);
        (edges, prop::collection::btree_set(node, 0..3), 1..3_u32).prop_map(move |(edges, joins, attempts)| Sketch {
            edges,
            joins,
            attempts,
            activities,
        })
    })
}

/// Bounds every loop that the sketch has.
fn graph(sketch: &Sketch) -> Arc<Graph> {
    let mut vertices: IndexMap<String, Vertex> = (0..sketch.activities).map(|n| (name(n), Vertex::default())).collect();
    for (from, to, error) in &sketch.edges {
        let port = if *error { "error" } else { "ok" };
        vertices[&name(*from)].to.entry(port.to_owned()).or_default().push(name(*to));
    }
    for join in &sketch.joins {
        vertices[&name(*join)].arrivals = Arrivals::All(WhenMissing::GoOn);
    }
    loop {
        let graph = Graph::new(vertices.clone());
        let Some(first) = graph.unbounded_loops().first().map(|group| group[0].to_owned()) else {
            return Arc::new(graph);
        };
        vertices[&first].attempts = Some(sketch.attempts);
    }
}

fn name(number: u8) -> String {
    format!("a{number}")
}

fn recorded(number: usize, event: Event) -> Recorded {
    let at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(i64::try_from(number).unwrap());
    Recorded { v: EVENT_VERSION, at, event }
}

fn started(entry: Option<Entry>) -> Event {
    let (workflow, file, vars) = ("w".to_owned(), String::new(), Vars::new());
    Event::Started { workflow, file, scripts: None, vars, entry, backfill: None, folder: None, queued: false }
}

/// The task ends well, and puts an event on `ok`.
fn ended(task: TaskId) -> Event {
    let (ports, vars, instance_vars) = (vec!["ok".to_owned()], Vars::new(), Vars::new());
    Event::TaskEnded { task, ports, vars, instance_vars, tally: Tally::default(), stop_all: false }
}

/// Runs a graph to its end as a driver would, choosing by `choices`; `None` where it grows beyond [`EVENTS_MAX`].
fn simulate(graph: &Arc<Graph>, choices: &[u8]) -> Option<(Vec<Recorded>, Run)> {
    let mut run = Run::new(Arc::clone(graph));
    let mut journal = Vec::new();
    let mut record = |run: &mut Run, event: Event| {
        let event = recorded(journal.len(), event);
        run.apply(&event).unwrap();
        journal.push(event);
        journal.len()
    };
    record(&mut run, started(None));
    let mut working: Vec<TaskId> = Vec::new();
    let mut choices = choices.iter().copied().cycle();
    while !run.status().is_over() {
        let now = Timestamp::MAX;
        let begins: Vec<Ready> =
            run.ready(now).into_iter().filter(|ready| matches!(ready, Ready::Begin { .. })).collect();
        let choice = usize::from(choices.next().unwrap());
        let count = if let Some(Ready::Begin { task, activity, takes }) = begins.first()
            && (working.is_empty() || choice % 3 > 0)
        {
            working.push(*task);
            record(
                &mut run,
                Event::TaskStarted { task: *task, activity: activity.clone(), attempt: 1, takes: takes.clone() },
            )
        } else if !working.is_empty() {
            let task = working.swap_remove(choice % working.len());
            let end = end(&run, graph, task, choice);
            record(&mut run, end)
        } else {
            assert!(run.is_done(), "nothing can go on, although something waits: {run:#?}");
            record(&mut run, Event::Finished)
        };
        if count > EVENTS_MAX {
            return None;
        }
    }
    Some((journal, run))
}

fn end(run: &Run, graph: &Graph, id: TaskId, choice: usize) -> Event {
    let task = run.task(id).unwrap();
    let leads_on = graph.targets(&task.activity, "error").next().is_some();
    if task.exhausted || (choice.is_multiple_of(4) && !leads_on) {
        let failure = Failure::new(Class::Data, "no");
        return Event::TaskFailed { task: id, failure, then: Then::Ignore, alerts: vec![] };
    }
    if choice.is_multiple_of(4) {
        return Event::TaskFailed {
            task: id,
            failure: Failure::new(Class::Data, "no"),
            then: Then::ErrorPort,
            alerts: vec![],
        };
    }
    ended(id)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_run_ends_and_every_event_is_taken_once(sketch in sketches(), choices in prop::collection::vec(any::<u8>(), 8..40)) {
        let graph = graph(&sketch);
        let Some((journal, run)) = simulate(&graph, &choices) else { return Ok(()) };
        prop_assert_eq!(run.status(), Status::Finished);
        let mut taken = BTreeMap::new();
        for Recorded { event, .. } in &journal {
            if let Event::TaskStarted { takes, .. } = event {
                for take in takes {
                    *taken.entry(take.clone()).or_insert(0) += 1;
                }
            }
        }
        prop_assert!(taken.values().all(|times| *times == 1), "{:?}", taken);
        let made: usize = run.tasks.iter().flat_map(|task| {
            task.emitted.iter().map(|port| graph.targets(&task.activity, port).count())
        }).sum();
        prop_assert_eq!(taken.len(), made + graph.roots().len());
    }

    #[test]
    fn tasks_of_one_activity_never_overlap_and_keep_the_order_of_arrival(
        sketch in sketches(),
        choices in prop::collection::vec(any::<u8>(), 8..40),
    ) {
        let graph = graph(&sketch);
        let Some((journal, run)) = simulate(&graph, &choices) else { return Ok(()) };
        let mut busy: HashMap<&str, TaskId> = HashMap::new();
        for Recorded { event, .. } in &journal {
            match event {
                Event::TaskStarted { task, activity, .. } => prop_assert!(busy.insert(activity, *task).is_none()),
                Event::TaskEnded { task, .. } | Event::TaskFailed { task, .. } => {
                    busy.remove(run.task(*task).unwrap().activity.as_str());
                }
                _ => {}
            }
        }
        // Arrivals of one task at one activity come from tasks that ended in this order.
        for (activity, vertex) in graph.activities().filter(|(_, vertex)| vertex.arrivals == Arrivals::Each) {
            let ends: Vec<_> = run.tasks.iter().filter(|task| task.activity == activity).filter_map(|task| {
                run.task(*task.parents.first()?)?.ended
            }).collect();
            prop_assert!(ends.is_sorted(), "{} {:?} {:?}", activity, vertex, ends);
        }
    }

    #[test]
    fn a_loop_passes_no_more_often_than_its_attempts(sketch in sketches(), choices in prop::collection::vec(any::<u8>(), 8..40)) {
        let graph = graph(&sketch);
        let Some((_, run)) = simulate(&graph, &choices) else { return Ok(()) };
        for task in &run.tasks {
            let Some(attempts) = graph.get(&task.activity).unwrap().attempts else { continue };
            let mut line = task.parents.clone();
            let mut before = BTreeSet::new();
            while let Some(parent) = line.pop().and_then(|id| run.task(id)) {
                if before.insert(parent.id) {
                    line.extend(&parent.parents);
                }
            }
            let passed = before.iter().filter(|id| run.task(**id).unwrap().activity == task.activity).count();
            prop_assert_eq!(task.exhausted, passed >= attempts as usize);
        }
    }

    #[test]
    fn what_a_part_of_the_journal_tells_is_what_the_run_was_then(
        sketch in sketches(),
        choices in prop::collection::vec(any::<u8>(), 8..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let graph = graph(&sketch);
        let Some((journal, whole)) = simulate(&graph, &choices) else { return Ok(()) };
        let cut = 1 + cut.index(journal.len());
        let mut run = Run::fold(Arc::clone(&graph), &journal[..cut]).unwrap();
        let again = Run::fold(Arc::clone(&graph), &journal[..cut]).unwrap();
        prop_assert_eq!(run.ready(Timestamp::MAX), again.ready(Timestamp::MAX));
        for event in &journal[cut..] {
            run.apply(event).unwrap();
        }
        prop_assert_eq!(format!("{:?}", run.tasks), format!("{:?}", whole.tasks));
        prop_assert_eq!(run.status(), whole.status());
    }

    #[test]
    fn a_head_says_what_the_run_is_at_after_each_event(
        sketch in sketches(),
        choices in prop::collection::vec(any::<u8>(), 8..40),
    ) {
        let graph = graph(&sketch);
        let Some((journal, _)) = simulate(&graph, &choices) else { return Ok(()) };
        let (mut run, mut head) = (Run::new(graph), RunHead::default());
        for event in &journal {
            run.apply(event).unwrap();
            head.apply(event);
            prop_assert_eq!(head.status(), run.status());
            prop_assert_eq!((head.started, head.ended), (run.started, run.ended));
            prop_assert_eq!(head.tasks as usize, run.tasks.len());
            prop_assert_eq!(head.records, run.tasks.iter().map(|task| task.tally.added).sum::<u64>());
            prop_assert_eq!(head.owed as usize, run.owed.values().map(|stop| stop.receivers.len()).sum::<usize>());
        }
    }
}

#[test]
fn a_join_goes_on_once_what_is_missing_can_no_longer_arrive() {
    let mut vertices: IndexMap<String, Vertex> = IndexMap::new();
    let to = |targets: &[&str]| targets.iter().map(|target| (*target).to_owned()).collect::<Vec<_>>();
    let vertex = |ok: &[&str]| Vertex { to: IndexMap::from([("ok".to_owned(), to(ok))]), ..Vertex::default() };
    vertices.insert("left".to_owned(), vertex(&["join"]));
    vertices.insert("right".to_owned(), vertex(&["join"]));
    let join = Vertex { arrivals: Arrivals::All(WhenMissing::GoOn), ..Vertex::default() };
    vertices.insert("join".to_owned(), join);
    let graph = Arc::new(Graph::new(vertices));
    let mut run = Run::new(graph);
    let mut number = 0;
    let mut apply = |run: &mut Run, event: Event| {
        number += 1;
        run.apply(&recorded(number, event)).unwrap();
    };
    apply(&mut run, started(None));
    for ready in run.ready(Timestamp::MAX) {
        let Ready::Begin { task, activity, takes } = ready else { panic!("{ready:?}") };
        apply(&mut run, Event::TaskStarted { task, activity, attempt: 1, takes });
    }
    apply(&mut run, ended(1));
    let begins =
        |run: &Run| run.ready(Timestamp::MAX).into_iter().filter(|ready| matches!(ready, Ready::Begin { .. })).count();
    assert_eq!(begins(&run), 0, "right may still bring something");
    apply(
        &mut run,
        Event::TaskFailed { task: 2, failure: Failure::new(Class::Data, "no"), then: Then::Ignore, alerts: vec![] },
    );
    assert_eq!(begins(&run), 1, "right can bring nothing any more");
}

#[test]
fn a_loop_does_not_try_a_wrong_secret_again() {
    let to = |port: &str, target: &str| (port.to_owned(), vec![target.to_owned()]);
    let vertex = |to: &[(String, Vec<String>)], attempts| {
        let to = to.iter().cloned().collect();
        Vertex { to, attempts, ..Vertex::default() }
    };
    // The task that a failure of the import leads to: whether it is exhausted.
    let exhausted = |error: &str, wait: &[(String, Vec<String>)], class: Class| {
        let import = vertex(&[to("ok", "end"), to("error", error)], None);
        let vertices = [
            ("import", import),
            ("cure", vertex(&[to("ok", "wait")], None)),
            ("wait", vertex(wait, Some(5))),
            ("end", vertex(&[], None)),
        ];
        let graph = Graph::new(vertices.map(|(name, vertex)| (name.to_owned(), vertex)).into_iter().collect());
        let mut run = Run::new(Arc::new(graph));
        let mut number = 0;
        let mut apply = |run: &mut Run, event: Event| {
            number += 1;
            run.apply(&recorded(number, event)).unwrap();
        };
        let entry = Entry { activity: "import".to_owned(), population: Vec::new() };
        apply(&mut run, started(Some(entry)));
        while run.tasks.last().is_none_or(|task| task.activity != "wait") {
            let Some(Ready::Begin { task, activity, takes }) = run.ready(Timestamp::MAX).pop() else {
                panic!("{run:?}")
            };
            let end = match activity.as_str() {
                "import" => Event::TaskFailed {
                    task,
                    failure: Failure::new(class, "no"),
                    then: Then::ErrorPort,
                    alerts: vec![],
                },
                _ => ended(task),
            };
            let is_wait = activity == "wait";
            apply(&mut run, Event::TaskStarted { task, activity, attempt: 1, takes });
            if !is_wait {
                apply(&mut run, end);
            }
        }
        run.tasks.last().unwrap().exhausted
    };
    let again = [to("ok", "import"), to("exhausted", "end")];
    assert!(exhausted("wait", &again, Class::Auth) && exhausted("wait", &again, Class::Config));
    assert!(!exhausted("wait", &again, Class::Transient) && !exhausted("wait", &again, Class::Quota));
    assert!(!exhausted("wait", &[to("ok", "end"), to("exhausted", "import")], Class::Auth), "it leads elsewhere");
    assert!(!exhausted("cure", &again, Class::Auth), "what is between may have cured it");
}

#[test]
fn a_run_with_an_entry_begins_there_with_its_population_and_nothing_before_it_works() {
    let vertex = |ok: &[&str]| {
        let targets = ok.iter().map(|target| (*target).to_owned()).collect();
        Vertex { to: IndexMap::from([("ok".to_owned(), targets)]), ..Vertex::default() }
    };
    let all = || Vertex { arrivals: Arrivals::All(WhenMissing::Fail), ..vertex(&["last"]) };
    let vertices =
        [("first", vertex(&["middle"])), ("other", vertex(&["middle"])), ("middle", all()), ("last", vertex(&[]))];
    let graph = Arc::new(Graph::new(vertices.map(|(name, vertex)| (name.to_owned(), vertex)).into_iter().collect()));
    let file = Segment { path: "entry/in/000001.arrow".into(), rows: 2, bytes: 7, checksum: "c".into() };
    let begun = |activity: &str| started(Some(Entry { activity: activity.to_owned(), population: vec![file.clone()] }));
    let mut run = Run::new(Arc::clone(&graph));
    assert!(run.apply(&recorded(0, begun("nowhere"))).is_err(), "the graph has no such activity");
    run.apply(&recorded(0, begun("middle"))).unwrap();
    let ready = run.ready(Timestamp::MAX);
    let [Ready::Begin { task: 1, activity, takes }] = ready.as_slice() else { panic!("{ready:?}") };
    let start = Event::TaskStarted { task: 1, activity: activity.clone(), attempt: 1, takes: takes.clone() };
    run.apply(&recorded(1, start)).unwrap();
    let task = run.task(1).unwrap().clone();
    assert_eq!(run.missing(&task), [], "what a run begins with is all that comes");
    let (from, port) = &task.inputs[0];
    assert_eq!(run.population(*from, port), Some([file.clone()].as_slice()));

    // A journal that was written before there were entries.
    let old: Event = serde_json::from_str(r#"{"event":"started","workflow":"w","file":""}"#).unwrap();
    let mut run = Run::new(graph);
    run.apply(&recorded(0, old)).unwrap();
    assert_eq!(run.ready(Timestamp::MAX).len(), 2, "it begins at its roots");
}

#[test]
fn the_time_that_a_task_stood_suspended_is_told_apart() {
    let vertices = IndexMap::from([("only".to_owned(), Vertex::default())]);
    let mut run = Run::new(Arc::new(Graph::new(vertices)));
    let mut apply = |second: usize, event: Event| run.apply(&recorded(second, event)).unwrap();
    apply(0, started(None));
    let takes = vec![ArrivalId { from: 0, port: String::new(), to: "only".to_owned() }];
    apply(1, Event::TaskStarted { task: 1, activity: "only".into(), attempt: 1, takes });
    apply(
        3,
        Event::TaskFailed { task: 1, failure: Failure::new(Class::Data, "no"), then: Then::Suspend, alerts: vec![] },
    );
    apply(100, Event::Resumed { vars: Vars::new() });
    apply(100, Event::TaskStarted { task: 1, activity: "only".into(), attempt: 2, takes: Vec::new() });
    let task = run.task(1).unwrap();
    assert_eq!((task.stood, task.ended), (SignedDuration::from_secs(97), None));
}

/// Whom the run still owes, by the number of the event.
fn owed(run: &Run) -> Vec<(u64, Vec<String>)> {
    run.owed.iter().map(|(of, stop)| (*of, stop.receivers.clone())).collect()
}

fn is_end(run: &Run, of: u64) -> bool {
    matches!(run.owed[&of].cause, Cause::Failed { is_end: true, .. })
}

#[test]
fn a_stop_is_owed_to_each_whom_it_names_until_they_were_told() {
    let vertices = IndexMap::from([("only".to_owned(), Vertex::default())]);
    let mut run = Run::new(Arc::new(Graph::new(vertices)));
    let apply = |run: &mut Run, event: Event| run.apply(&recorded(0, event));
    let failed = |then, alerts: &[&str]| {
        let alerts = alerts.iter().map(|name| (*name).to_owned()).collect();
        Event::TaskFailed { task: 1, failure: Failure::new(Class::Data, "no"), then, alerts }
    };
    let told = |of, receiver: &str| Event::Alerted { of, receiver: receiver.to_owned(), failure: None };
    let begins = |attempt, takes| Event::TaskStarted { task: 1, activity: "only".to_owned(), attempt, takes };
    apply(&mut run, started(None)).unwrap();
    let takes = vec![ArrivalId { from: 0, port: String::new(), to: "only".to_owned() }];
    apply(&mut run, begins(1, takes)).unwrap();
    assert!(run.is_stopped_by(&Then::Suspend));
    apply(&mut run, failed(Then::Suspend, &["mail", "webhook"])).unwrap();
    assert!(!run.is_stopped_by(&Then::Suspend), "somebody comes already");
    assert!(run.is_stopped_by(&Then::Abort), "but this is the end of it");
    apply(&mut run, told(2, "mail")).unwrap();
    assert_eq!(owed(&run), [(2, vec!["webhook".to_owned()])]);
    for wrong in [told(2, "mail"), told(1, "webhook"), told(2, "nobody")] {
        assert!(run.legal(&wrong).is_err(), "{wrong:?}");
    }
    // It goes on before everybody was told, and comes to another stop, which ends it.
    apply(&mut run, Event::Resumed { vars: Vars::new() }).unwrap();
    apply(&mut run, begins(2, Vec::new())).unwrap();
    apply(&mut run, failed(Then::Abort, &["webhook"])).unwrap();
    assert_eq!((run.status(), is_end(&run, 2), is_end(&run, 6)), (Status::Failed, false, true));
    apply(&mut run, told(6, "webhook")).unwrap();
    apply(&mut run, told(2, "webhook")).unwrap();
    assert_eq!(owed(&run), []);
    assert!(run.legal(&Event::Logged { task: 1, level: Level::Info, message: String::new() }).is_err());
}

#[test]
fn an_interruption_is_recorded_once_until_the_run_continues_and_owes_an_alert_each_time() {
    let vertices = IndexMap::from([("only".to_owned(), Vertex::default())]);
    let (mut run, mut head) = (Run::new(Arc::new(Graph::new(vertices))), RunHead::default());
    let mut apply = |event: Event| {
        run.apply(&recorded(0, event.clone())).unwrap();
        head.apply(&recorded(0, event));
        (run.is_interrupted, head.interrupted, owed(&run).len(), head.owed)
    };
    let found = || Event::Attention { why: Attention::Interrupted, alerts: vec!["mail".to_owned()] };
    apply(started(None));
    assert_eq!(apply(found()), (true, true, 1, 1));
    let takes = vec![ArrivalId { from: 0, port: String::new(), to: "only".to_owned() }];
    let begins = Event::TaskStarted { task: 1, activity: "only".to_owned(), attempt: 1, takes };
    assert_eq!(apply(begins), (false, false, 1, 1), "the alert is owed although it continues");
    assert_eq!(apply(found()), (true, true, 2, 2));
    assert_eq!(apply(Event::Resumed { vars: Vars::new() }), (false, false, 2, 2));
    apply(Event::Stopped);
    assert!(run.legal(&found()).is_err(), "what is over is not interrupted");
}

#[test]
fn a_journal_of_before_there_were_alerts_owes_nothing() {
    let vertices = IndexMap::from([("only".to_owned(), Vertex::default())]);
    let mut run = Run::new(Arc::new(Graph::new(vertices)));
    let takes = r#"[{"from":0,"to":"only"}]"#;
    for old in [
        r#"{"event":"started","workflow":"w","file":""}"#.to_owned(),
        format!(r#"{{"event":"taskStarted","task":1,"activity":"only","attempt":1,"takes":{takes}}}"#),
        r#"{"event":"taskFailed","task":1,"failure":{"class":"data","message":"no"},"then":"suspend"}"#.to_owned(),
    ] {
        run.apply(&recorded(0, serde_json::from_str(&old).unwrap())).unwrap();
    }
    assert_eq!((run.status(), owed(&run)), (Status::Suspended, Vec::new()));
}
