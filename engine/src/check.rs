//! Checks a workflow: every problem at once, with its place, its cause and its cure.

mod columns;
mod kinds;
mod mended;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::activity::{Activity, Columns, Need, Palette, Port, Spec};
use crate::document::{Document, escape};
use crate::event::Vars;
use crate::graph::{Graph, Vertex};
use crate::outside::store::check_option_name;
use crate::problem::{Problem, Suggestions, suggestion};
use crate::schema::Schemas;
use crate::scope::IndexScope;
use crate::script::Functions;
use crate::workflow::{ACTIVITIES_MAX, Common, OnError, To, WhenRunning, is_name};
use mended::Mended;

/// How many different sets of columns may reach one activity before it is taken as growing without end.
const VARIANTS_MAX: usize = 16;

/// A workflow as far as it could be read.
#[derive(Debug)]
pub struct Workflow {
    /// Its name: the file's stem.
    pub name: String,
    /// What people call it.
    pub label: Option<String>,
    /// What happens when an activity fails and nothing else is said.
    pub on_error: OnError,
    /// What a start does while another run of the workflow is not over.
    pub when_running: WhenRunning,
    /// Variables and the values they begin with.
    pub vars: Vars,
    /// Its shape.
    pub graph: Arc<Graph>,
    /// Its activities.
    pub activities: IndexMap<String, Node>,
    /// Functions that its scripts share with those of other workflows; none until it is told.
    pub functions: Arc<Functions>,
    /// Activities that are wrong, as far as the rest of their settings makes sense.
    mended: IndexMap<String, Mended>,
    document: Document,
}

/// An activity in its workflow.
pub struct Node {
    /// Its type.
    pub spec: &'static Spec,
    /// What every activity may say.
    pub common: Common,
    /// The time zone of its dates.
    pub time_zone: TimeZone,
    /// What it does.
    pub activity: Box<dyn Activity>,
    ports: Vec<Port>,
}

impl Findings {
    /// The activities of which a run makes again what an earlier run made.
    pub(crate) fn making_again(&self) -> impl Iterator<Item = &str> {
        let risks = self.warnings.iter().filter(|risk| MAKES_AGAIN.contains(&risk.code));
        risks.filter_map(|risk| risk.pointer.strip_prefix("/activities/")?.split('/').next())
    }
}

impl Node {
    /// Its ways out, in addition to `error` and `exhausted`.
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// Codes of the risks that say that nothing names the records which are made: each run makes them anew.
const MAKES_AGAIN: [&str; 2] = ["insert-again", "insert-in-doubt"];

/// What a check found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What may be meant so, but has a risk that its author should know.
    pub warnings: Vec<Problem>,
    /// What could not be checked, and why.
    pub unchecked: BTreeSet<String>,
    /// Columns by activity and port, as far as they are known.
    pub columns: BTreeMap<(String, String), Columns>,
}

/// Reads a workflow and checks all that needs nothing of the outside. Where the file is not JSON, there is no workflow.
pub fn read(
    palette: Palette,
    schemas: &Schemas,
    file: &str,
    name: &str,
    text: &str,
) -> (Option<Workflow>, Vec<Problem>) {
    let (document, mut problems) = match Document::parse(file, text) {
        Ok(read) => read,
        Err(problem) => return (None, vec![*problem]),
    };
    if !is_name(name) {
        let message = format!("\"{name}\" cannot name a workflow, which is called as its file");
        let help = "use letters, digits, _ and -, beginning with a letter; 64 at most".to_owned();
        problems.push(document.problem("", "bad-name", message, Some(help)));
    }
    problems.extend(schemas.check_file(&document));
    let head = Head::read(&document, &mut problems);
    let (mut activities, mut mended) = (IndexMap::new(), IndexMap::new());
    let mut outlines = IndexMap::new();
    let written = document.value["activities"].as_object().cloned().unwrap_or_default();
    if written.len() > ACTIVITIES_MAX {
        let message = format!("there are {} activities; the most is {ACTIVITIES_MAX}", written.len());
        problems.push(document.problem("/activities", "too-many-activities", message, None));
        return (None, problems);
    }
    for (activity, settings) in &written {
        let reader = Reader { palette, schemas, document: &document, head: &head };
        let (common, own) = split(settings);
        let to = serde_json::from_value(settings["to"].clone()).unwrap_or_default();
        let spec = reader.spec(activity, settings, &mut problems);
        outlines.insert(activity.as_str(), Outline { spec, to });
        let Some(spec) = spec else { continue };
        let common = serde_json::from_value(common).ok();
        match reader.activity(activity, spec, common, own, &mut problems) {
            Ok(node) => drop(activities.insert(activity.clone(), node)),
            Err(rest) => mended.extend(rest.map(|rest| (activity.clone(), rest))),
        }
    }
    let names: BTreeSet<&str> = written.keys().map(String::as_str).collect();
    check_transitions(&document, &activities, &outlines, &names, &mut problems);
    let graph = graph(&activities, &outlines);
    check_loops(&document, &graph, &mut problems);
    check_options(&document, name, &activities, &mut problems);
    let Head { label, on_error, when_running, vars, .. } = head;
    let name = name.to_owned();
    let (graph, functions) = (Arc::new(graph), Arc::default());
    let workflow =
        Workflow { name, label, on_error, when_running, vars, graph, activities, functions, mended, document };
    (Some(workflow), problems)
}

/// What is known of an activity also where its settings are wrong.
struct Outline {
    spec: Option<&'static Spec>,
    to: To,
}

/// What the file says around its activities, as far as it is sound.
struct Head {
    label: Option<String>,
    on_error: OnError,
    when_running: WhenRunning,
    vars: Vars,
    time_zone: TimeZone,
}

impl Head {
    /// Key by key, since one that is wrong must not hide what the others say.
    fn read(document: &Document, problems: &mut Vec<Problem>) -> Self {
        let file = &document.value;
        Self {
            label: file["label"].as_str().map(str::to_owned),
            on_error: serde_json::from_value(file["onError"].clone()).unwrap_or_default(),
            when_running: serde_json::from_value(file["whenRunning"].clone()).unwrap_or_default(),
            vars: file["vars"].as_object().cloned().unwrap_or_default(),
            time_zone: zone(document, "", file["timeZone"].as_str(), problems).unwrap_or(TimeZone::UTC),
        }
    }
}

fn zone(document: &Document, pointer: &str, name: Option<&str>, problems: &mut Vec<Problem>) -> Option<TimeZone> {
    let name = name?;
    match TimeZone::get(name) {
        Ok(zone) => Some(zone),
        Err(_) => {
            let message = format!("\"{name}\" is not a time zone");
            let help = Some("use an IANA name, such as Europe/Paris or UTC".to_owned());
            problems.push(document.problem(&format!("{pointer}/timeZone"), "unknown-time-zone", message, help));
            None
        }
    }
}

struct Reader<'a> {
    palette: Palette,
    schemas: &'a Schemas,
    document: &'a Document,
    head: &'a Head,
}

impl Reader<'_> {
    fn spec(&self, name: &str, settings: &Value, problems: &mut Vec<Problem>) -> Option<&'static Spec> {
        let pointer = format!("/activities/{}", escape(name));
        if !is_name(name) {
            let message = format!("\"{name}\" cannot name an activity");
            let help = "use letters, digits, _ and -, beginning with a letter; 64 at most".to_owned();
            problems.push(self.document.problem_of_key(&pointer, "bad-name", message, Some(help)));
        }
        let Some(kind) = settings["type"].as_str() else {
            let help = Some(format!("there are: {}", self.kinds().collect::<Vec<_>>().join(", ")));
            let message = "an activity is an object with a \"type\"".to_owned();
            problems.push(self.document.problem(&pointer, "missing-type", message, help));
            return None;
        };
        let spec = self.palette.iter().find(|spec| spec.kind == kind).copied();
        if spec.is_none() {
            let help = kinds::suggestion(kind, self.palette);
            let message = format!("there is no type of activity \"{kind}\"");
            problems.push(self.document.problem(&format!("{pointer}/type"), "unknown-type", message, Some(help)));
        }
        spec
    }

    fn activity(
        &self,
        name: &str,
        spec: &'static Spec,
        common: Option<Common>,
        own: Value,
        problems: &mut Vec<Problem>,
    ) -> Result<Node, Option<Mended>> {
        let pointer = format!("/activities/{}", escape(name));
        let wrong = self.schemas.check_activity(self.document, &pointer, spec);
        problems.extend(wrong.iter().cloned());
        // An expression that is wrong is an expression all the same: the flow of columns tells what else is wrong.
        let common = match common {
            Some(common) if wrong.iter().all(|problem| problem.code == "expression") => common,
            _ => return Err(Mended::new(spec, own, &pointer, &wrong, &self.schemas.required(spec))),
        };
        let is_set = |pointer: &str| own.pointer(pointer) == Some(&Value::Bool(true));
        let mut ports: Vec<Port> =
            spec.ports.iter().filter(|port| port.only_with.is_none_or(is_set)).cloned().collect();
        match (spec.build)(own) {
            Ok(activity) => {
                ports.extend(activity.own_ports());
                let own = zone(self.document, &pointer, common.time_zone.as_deref(), problems);
                let time_zone = own.unwrap_or_else(|| self.head.time_zone.clone());
                Ok(Node { spec, common, time_zone, activity, ports })
            }
            Err(error) => {
                problems.push(self.document.problem(&pointer, "wrong-value", error.to_string(), None));
                Err(None)
            }
        }
    }

    fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.palette.iter().map(|spec| spec.kind)
    }
}

/// What every activity may say, and what is the activity's own.
fn split(settings: &Value) -> (Value, Value) {
    const COMMON: [&str; 7] = ["label", "notes", "to", "onError", "retry", "attempts", "timeZone"];
    let (mut common, mut own) = (Vars::new(), Vars::new());
    for (key, value) in settings.as_object().into_iter().flatten() {
        match key.as_str() {
            "type" => {}
            key if COMMON.contains(&key) => {
                common.insert(key.to_owned(), value.clone());
            }
            _ => {
                own.insert(key.clone(), value.clone());
            }
        }
    }
    (Value::Object(common), Value::Object(own))
}

/// The shape of the workflow, with activities that are wrong; of those it is not known what bounds a loop.
fn graph(activities: &IndexMap<String, Node>, outlines: &IndexMap<&str, Outline>) -> Graph {
    let vertex = |name: &str, outline: &Outline| match activities.get(name) {
        Some(node) => Vertex {
            to: node.common.to.0.clone(),
            arrivals: node.activity.arrivals(),
            attempts: node.common.attempts.or(node.activity.attempts_default()),
        },
        None => Vertex { to: outline.to.0.clone(), attempts: Some(1), ..Vertex::default() },
    };
    Graph::new(outlines.iter().map(|(name, outline)| ((*name).to_owned(), vertex(name, outline))).collect())
}

/// Transitions are checked also where an activity's own settings are wrong; its ports are known only where they are not.
fn check_transitions(
    document: &Document,
    activities: &IndexMap<String, Node>,
    outlines: &IndexMap<&str, Outline>,
    names: &BTreeSet<&str>,
    problems: &mut Vec<Problem>,
) {
    let suggestions = Suggestions::default();
    for (name, Outline { spec, to }) in outlines {
        let pointer = format!("/activities/{}/to", escape(name));
        let ports = activities.get(*name).map(ports);
        for (port, targets) in &to.0 {
            if let (Some(spec), Some(ports)) = (spec, ports.as_ref().filter(|ports| !ports.contains(port))) {
                let message = format!("{} has no port \"{port}\"", spec.kind);
                let setting = spec.ports.iter().find(|known| known.name == *port).and_then(Port::setting);
                let help = match (setting, port.as_str()) {
                    (Some(setting), _) => Some(format!("add {setting} to {name}")),
                    (None, "exhausted") => Some(format!("add \"attempts\" to {name}, such as \"attempts\": 5")),
                    _ => suggestion(port, ports.iter().map(String::as_str)),
                };
                let at = format!("{pointer}/{}", escape(port));
                problems.push(document.problem_of_key(&at, "unknown-port", message, help));
            }
            for (number, target) in targets.iter().enumerate() {
                let at = target_pointer(document, &pointer, port, number);
                if !names.contains(target.as_str()) {
                    let message = format!("there is no activity \"{target}\"");
                    let help = suggestions.of(target, names.iter().copied());
                    problems.push(document.problem(&at, "unknown-target", message, help));
                } else if let Some(into) = outlines.get(target.as_str()).and_then(|outline| outline.spec)
                    && !into.inbound
                {
                    let message = format!("nothing can lead into \"{target}\": a {} begins a run", into.kind);
                    let help = Some("lead to the activity after it".to_owned());
                    problems.push(document.problem(&at, "no-way-in", message, help));
                }
            }
        }
    }
}

/// The names of all ways out of an activity.
fn ports(node: &Node) -> Vec<String> {
    let mut ports: Vec<String> = node.ports().iter().map(|port| port.name.to_string()).collect();
    ports.push("error".to_owned());
    if node.common.attempts.or(node.activity.attempts_default()).is_some() {
        ports.push("exhausted".to_owned());
    }
    ports
}

fn target_pointer(document: &Document, to: &str, port: &str, number: usize) -> String {
    let with_port = format!("{to}/{}", escape(port));
    let base = if document.value.pointer(&with_port).is_some() { with_port } else { to.to_owned() };
    let in_list = format!("{base}/{number}");
    if document.value.pointer(&in_list).is_some() { in_list } else { base }
}

fn check_loops(document: &Document, graph: &Graph, problems: &mut Vec<Problem>) {
    const SHOWN_MAX: usize = 8;
    for activities in graph.unbounded_loops() {
        let mut way: Vec<&str> = activities.iter().take(SHOWN_MAX).copied().collect();
        way.push(if activities.len() > SHOWN_MAX { "…" } else { activities[0] });
        let message = format!("nothing bounds the loop {}", way.join(" → "));
        let bounded = |name: &&&str| graph.get(name).is_some_and(|vertex| vertex.attempts.is_some());
        let help = match activities.iter().find(bounded) {
            Some(name) => {
                format!("lead the port exhausted of {name} out of it, and bound what is left by a wait or \"attempts\"")
            }
            None => "lead it through a wait, or give one of its activities \"attempts\"".to_owned(),
        };
        let pointer = format!("/activities/{}", escape(activities[0]));
        problems.push(document.problem_of_key(&pointer, "unbounded-loop", message, Some(help)));
    }
}

/// Two imports must not move the same option: each would hide the other's changes.
fn check_options(
    document: &Document,
    workflow: &str,
    activities: &IndexMap<String, Node>,
    problems: &mut Vec<Problem>,
) {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for (name, node) in activities {
        let Some(option) = node.activity.index_option() else { continue };
        let pointer = format!("/activities/{}/automaticIndex", escape(name));
        let named = document.value.pointer(&format!("{pointer}/option")).and_then(Value::as_str);
        if let Some(Err(failure)) = named.map(check_option_name) {
            problems.push(document.problem(&format!("{pointer}/option"), "bad-name", failure.message, None));
            continue;
        }
        let option = if option.is_empty() { index_option(workflow, name) } else { option.to_owned() };
        if let Some(other) = owners.insert(option.clone(), name) {
            let message = format!("option {option} is the automatic index of \"{other}\" already");
            let help = Some("give each import an option of its own".to_owned());
            problems.push(document.problem(&pointer, "option-used-twice", message, help));
        }
    }
}

/// What the options of automatic indexes begin with where their authors name none.
pub const INDEX_OPTION_PREFIX: &str = "LASTIMPORT_";

impl Workflow {
    /// The imports with an automatic index: their names, options, and which records they read.
    pub fn indexes(&self) -> impl Iterator<Item = (&str, String, Option<IndexScope>)> {
        self.activities.iter().filter_map(|(name, node)| {
            let option = node.activity.index_option()?;
            let option = if option.is_empty() { index_option(&self.name, name) } else { option.to_owned() };
            Some((name.as_str(), option, node.activity.index_scope()))
        })
    }

    /// The options of its automatic indexes.
    pub fn index_options(&self) -> BTreeSet<String> {
        self.indexes().map(|(_, option, _)| option).collect()
    }
}

/// The option of an automatic index where its author names none.
pub fn index_option(workflow: &str, activity: &str) -> String {
    format!("{INDEX_OPTION_PREFIX}{workflow}_{activity}")
}

impl Workflow {
    /// A problem with what stands at a pointer into the file.
    pub fn problem(&self, pointer: &str, code: &'static str, message: String, help: Option<String>) -> Problem {
        self.document.problem(pointer, code, message, help)
    }

    /// What must be known of the outside to check how columns flow.
    pub fn needs(&self) -> BTreeSet<Need> {
        let sound = self.activities.values().flat_map(|node| node.activity.needs());
        sound.chain(self.mended.values().flat_map(Mended::needs)).collect()
    }
}
