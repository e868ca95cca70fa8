//! Checks a workflow: every problem at once, with its place, its cause and its cure.

mod kinds;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::activity::{Activity, Columns, Need, Palette, Port, Spec};
use crate::document::{Document, escape};
use crate::event::Vars;
use crate::flow::{FlowCx, Known};
use crate::graph::{Graph, Vertex};
use crate::outside::store::check_option_name;
use crate::pinned::Library;
use crate::problem::{Problem, Suggestions, suggestion};
use crate::schema::Schemas;
use crate::scope::IndexScope;
use crate::workflow::{ACTIVITIES_MAX, Common, OnError, To, WhenRunning, is_name};

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
    pub library: Library,
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
    let mut activities = IndexMap::new();
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
        if let Some(node) = reader.activity(activity, spec, common, own, &mut problems) {
            activities.insert(activity.clone(), node);
        }
    }
    let names: BTreeSet<&str> = written.keys().map(String::as_str).collect();
    check_transitions(&document, &activities, &outlines, &names, &mut problems);
    let graph = graph(&activities, &outlines);
    check_loops(&document, &graph, &mut problems);
    check_options(&document, name, &activities, &mut problems);
    let Head { label, on_error, when_running, vars, .. } = head;
    let name = name.to_owned();
    let (graph, library) = (Arc::new(graph), Library::default());
    (Some(Workflow { name, label, on_error, when_running, vars, graph, activities, library, document }), problems)
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
    ) -> Option<Node> {
        let pointer = format!("/activities/{}", escape(name));
        let wrong = self.schemas.check_activity(self.document, &pointer, spec);
        if !wrong.is_empty() {
            problems.extend(wrong);
            return None;
        }
        let common = common?;
        let is_set = |pointer: &str| own.pointer(pointer) == Some(&Value::Bool(true));
        let mut ports: Vec<Port> =
            spec.ports.iter().filter(|port| port.only_with.is_none_or(is_set)).cloned().collect();
        match (spec.build)(own) {
            Ok(activity) => {
                ports.extend(activity.own_ports());
                let own = zone(self.document, &pointer, common.time_zone.as_deref(), problems);
                let time_zone = own.unwrap_or_else(|| self.head.time_zone.clone());
                Some(Node { spec, common, time_zone, activity, ports })
            }
            Err(error) => {
                problems.push(self.document.problem(&pointer, "wrong-value", error.to_string(), None));
                None
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
        self.activities.values().flat_map(|node| node.activity.needs()).collect()
    }

    /// Lets columns flow through all activities. An activity is asked once for each set of columns that reaches it.
    pub fn flow(&self, known: &Known) -> Findings {
        let mut findings = Findings::default();
        let mut asked: BTreeMap<&str, Vec<Columns>> = BTreeMap::new();
        let mut found = Found::default();
        let mut queue: VecDeque<(&str, Columns)> = self.roots().into();
        while let Some((name, input)) = queue.pop_front() {
            let variants = asked.entry(name).or_default();
            if variants.contains(&input) {
                continue;
            }
            if variants.len() == VARIANTS_MAX {
                let message = format!("more than {VARIANTS_MAX} different sets of columns reach this activity");
                let help = Some("a loop must not add columns each time round".to_owned());
                let pointer = format!("/activities/{}", escape(name));
                findings.problems.push(self.document.problem_of_key(&pointer, "columns-grow", message, help));
                continue;
            }
            variants.push(input.clone());
            let Some(node) = self.activities.get(name) else {
                // What comes out of an activity that is wrong is not known, so nothing is wrong behind it.
                let targets = self.graph.get(name).into_iter().flat_map(|vertex| vertex.to.values().flatten());
                queue.extend(targets.map(|target| (target.as_str(), Columns::Unknown)));
                continue;
            };
            let flow = self.ask(name, node, &input, known, &mut findings, &mut found);
            for (port, targets) in &node.common.to.0 {
                let columns = match port.as_str() {
                    "error" | "exhausted" => input.clone(),
                    port => flow.get(port).cloned().unwrap_or(Columns::Unknown),
                };
                queue.extend(targets.iter().map(|target| (target.as_str(), columns.clone())));
            }
            for (port, columns) in flow {
                findings.columns.insert((name.to_owned(), port), columns);
            }
        }
        findings
    }

    /// A run begins without records; but where a transition leads nowhere, it may be one that was to lead to a root.
    fn roots(&self) -> Vec<(&str, Columns)> {
        let mut targets = self.graph.activities().flat_map(|(_, vertex)| vertex.to.values().flatten());
        let is_open = targets.any(|target| self.graph.get(target).is_none());
        let columns = |root| match is_open && self.activities.get(root).is_none_or(|node| node.spec.inbound) {
            true => Columns::Unknown,
            false => Columns::None,
        };
        self.graph.roots().into_iter().map(|root| (root, columns(root))).collect()
    }

    fn ask(
        &self,
        name: &str,
        node: &Node,
        input: &Columns,
        known: &Known,
        findings: &mut Findings,
        found: &mut Found,
    ) -> crate::activity::Flow {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let mut cx = FlowCx {
            document: &self.document,
            pointer: format!("/activities/{}", escape(name)),
            activity: name,
            ports: node.ports(),
            workflow: &self.name,
            definition: self,
            time_zone: &node.time_zone,
            known,
            library: &self.library,
            suggestions: &found.suggestions,
            problems: &mut problems,
            warnings: &mut warnings,
            unchecked: &mut findings.unchecked,
        };
        let flow = node.activity.flow(input, &mut cx);
        // An activity that several sets of columns reach finds the same again.
        findings.problems.extend(problems.into_iter().filter(|problem| found.all.insert(problem.clone())));
        findings.warnings.extend(warnings.into_iter().filter(|warning| found.all.insert(warning.clone())));
        flow
    }
}

/// What the flow of columns has found so far.
#[derive(Default)]
struct Found {
    all: HashSet<Problem>,
    suggestions: Suggestions,
}
