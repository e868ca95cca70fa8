//! Lets columns flow through a workflow, and asks each activity what is wrong with what reaches it.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use jiff::tz::TimeZone;

use super::{Findings, Node, VARIANTS_MAX, Workflow};
use crate::activity::{Columns, Flow};
use crate::document::escape;
use crate::flow::{FlowCx, Known};
use crate::problem::{Problem, Suggestions};
use crate::variables::Variables;

impl Workflow {
    /// Lets columns flow through all activities. An activity is asked once for each set of columns that reaches it.
    pub fn flow(&self, known: &Known) -> Findings {
        let mut findings = Findings::default();
        let mut asked: BTreeMap<&str, Vec<Columns>> = BTreeMap::new();
        let variables = Variables::of(self);
        let mut found = Found { all: HashSet::new(), suggestions: Suggestions::default(), variables: &variables };
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
                self.ask_mended(name, known, &mut findings, &mut found);
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
        found: &mut Found<'_>,
    ) -> Flow {
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
            functions: &self.functions,
            variables: found.variables,
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

    /// Of an activity that is wrong: what its other settings name that is not there.
    fn ask_mended(&self, name: &str, known: &Known, findings: &mut Findings, found: &mut Found<'_>) {
        let Some(mended) = self.mended.get(name) else { return };
        let (mut problems, mut warnings, mut unchecked) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut cx = FlowCx {
            document: &self.document,
            pointer: format!("/activities/{}", escape(name)),
            activity: name,
            ports: &[],
            workflow: &self.name,
            definition: self,
            time_zone: &TimeZone::UTC,
            known,
            functions: &self.functions,
            variables: found.variables,
            suggestions: &found.suggestions,
            problems: &mut problems,
            warnings: &mut warnings,
            unchecked: &mut unchecked,
        };
        mended.activity.flow(&Columns::Unknown, &mut cx);
        problems.retain(|problem| mended.is_sure(problem, &self.document));
        findings.problems.extend(problems.into_iter().filter(|problem| found.all.insert(problem.clone())));
    }
}

/// What the flow of columns has found so far.
struct Found<'a> {
    all: HashSet<Problem>,
    suggestions: Suggestions,
    variables: &'a Variables<'a>,
}
