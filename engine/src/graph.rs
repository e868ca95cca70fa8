//! The shape of a workflow: which port leads where, where a run begins, what bounds its loops.

use std::collections::HashSet;

use indexmap::IndexMap;
use petgraph::algo::{condensation, kosaraju_scc};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, EdgeRef, NodeFiltered};

/// Whether an activity works on every arrival by itself, or on one of each of its inbound transitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// A task for each arrival.
    #[default]
    Each,
    /// A task for the n-th arrival of every inbound transition together.
    All(WhenMissing),
}

/// What an activity that waits for all its inbound transitions does when one can no longer bring anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WhenMissing {
    /// It goes on with what came.
    #[default]
    GoOn,
    /// It fails, and names what did not come.
    Fail,
}

/// What the graph knows of an activity.
#[derive(Debug, Clone, Default)]
pub struct Vertex {
    /// Targets by port, in the order of the file.
    pub to: IndexMap<String, Vec<String>>,
    /// How it takes what arrives.
    pub arrivals: Arrivals,
    /// How often one loop may pass.
    pub attempts: Option<u32>,
}

/// A transition into an activity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Inbound {
    /// The activity it comes from.
    pub from: String,
    /// Its port.
    pub port: String,
}

/// Activities and their transitions. Every target is an activity of the graph.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    vertices: IndexMap<String, Vertex>,
    edges: DiGraph<usize, String>,
}

impl Graph {
    /// Builds it; transitions whose target does not exist are left out, `check` reports them.
    pub fn new(vertices: IndexMap<String, Vertex>) -> Self {
        let mut edges = DiGraph::with_capacity(vertices.len(), vertices.len());
        for index in 0..vertices.len() {
            edges.add_node(index);
        }
        for (from, vertex) in vertices.values().enumerate() {
            for (port, targets) in &vertex.to {
                for to in targets.iter().filter_map(|target| vertices.get_index_of(target)) {
                    edges.add_edge(NodeIndex::new(from), NodeIndex::new(to), port.clone());
                }
            }
        }
        Self { vertices, edges }
    }

    /// The activities, in the order of the file.
    pub fn activities(&self) -> impl Iterator<Item = (&str, &Vertex)> {
        self.vertices.iter().map(|(name, vertex)| (name.as_str(), vertex))
    }

    /// One activity.
    pub fn get(&self, activity: &str) -> Option<&Vertex> {
        self.vertices.get(activity)
    }

    /// Where a port leads.
    pub fn targets(&self, activity: &str, port: &str) -> impl Iterator<Item = &str> {
        let targets = self.vertices.get(activity).and_then(|vertex| vertex.to.get(port));
        targets.into_iter().flatten().map(String::as_str).filter(|target| self.vertices.contains_key(*target))
    }

    /// The transitions into an activity, in the order of the file.
    pub fn inbound(&self, activity: &str) -> Vec<Inbound> {
        let Some(index) = self.vertices.get_index_of(activity) else { return Vec::new() };
        let edges = self.edges.edges_directed(NodeIndex::new(index), petgraph::Direction::Incoming);
        let mut inbound: Vec<_> = edges.map(|edge| (edge.source().index(), edge.id(), edge.weight().clone())).collect();
        inbound.sort_by_key(|(source, id, _)| (*source, *id));
        inbound.into_iter().map(|(source, _, port)| Inbound { from: self.name(source).to_owned(), port }).collect()
    }

    /// Where a run begins: activities without inbound transition; and where nothing leads into a loop from outside,
    /// the activity of the loop that comes first in the file.
    pub fn roots(&self) -> Vec<&str> {
        let groups = condensation(self.edges.clone(), true);
        let mut roots: Vec<usize> = groups
            .node_indices()
            .filter(|group| groups.neighbors_directed(*group, petgraph::Direction::Incoming).next().is_none())
            .filter_map(|group| groups[group].iter().min().copied())
            .collect();
        roots.sort_unstable();
        roots.into_iter().map(|index| self.name(index)).collect()
    }

    /// Loops that nothing bounds: each is a list of activities that lead to one another, none with `attempts`. Once these are
    /// used up, all that comes leaves by `exhausted`, which bounds nothing.
    pub fn unbounded_loops(&self) -> Vec<Vec<&str>> {
        let is_bounded = |edge| {
            let from = self.edges.edge_endpoints(edge).and_then(|(from, _)| self.edges.node_weight(from));
            from.is_some_and(|index| self.vertices[*index].attempts.is_some())
        };
        let free = self.edges.filter_map(
            |_, index| Some(*index),
            |edge, port| (port == "exhausted" || !is_bounded(edge)).then(|| port.clone()),
        );
        let groups = kosaraju_scc(&free).into_iter();
        let mut loops: Vec<Vec<usize>> = groups
            .filter(|group| group.len() > 1 || free.find_edge(group[0], group[0]).is_some())
            .map(|group| group.into_iter().map(|node| free[node]).collect())
            .collect();
        for activities in &mut loops {
            activities.sort_unstable();
        }
        loops.sort_unstable();
        loops.into_iter().map(|group| group.into_iter().map(|index| self.name(index)).collect()).collect()
    }

    /// Whether an event at one of `live` could still lead to `target`, without passing through `without`.
    pub fn can_reach(&self, live: &HashSet<&str>, target: &str, without: &str) -> bool {
        let index = |name: &str| self.vertices.get_index_of(name).map(NodeIndex::new);
        let Some(target) = index(target) else { return false };
        let without = index(without);
        let rest = NodeFiltered::from_fn(&self.edges, |node| Some(node) != without);
        live.iter().filter_map(|name| index(name)).filter(|node| Some(*node) != without).any(|from| {
            let mut walk = Dfs::new(&rest, from);
            std::iter::from_fn(|| walk.next(&rest)).any(|node| node == target)
        })
    }

    /// Activities so that, loops aside, each comes after those that lead to it.
    pub fn in_order(&self) -> Vec<&str> {
        let mut groups = kosaraju_scc(&self.edges);
        groups.reverse();
        groups
            .into_iter()
            .flat_map(|mut group| {
                group.sort_unstable();
                group
            })
            .map(|node| self.name(node.index()))
            .collect()
    }

    fn name(&self, index: usize) -> &str {
        self.vertices.get_index(index).map_or("", |(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)], attempts: &[&str]) -> Graph {
        let mut vertices: IndexMap<String, Vertex> = IndexMap::new();
        for (from, to) in edges {
            vertices.entry((*to).to_owned()).or_default();
            let vertex = vertices.entry((*from).to_owned()).or_default();
            vertex.to.entry("ok".to_owned()).or_default().push((*to).to_owned());
        }
        for name in attempts {
            vertices[*name].attempts = Some(1);
        }
        Graph::new(vertices)
    }

    #[test]
    fn a_loop_that_nothing_leads_into_begins_with_its_first_activity() {
        let graph = graph(&[("import", "save"), ("import", "again"), ("again", "import"), ("other", "save")], &[]);
        assert_eq!(graph.roots(), ["import", "other"]);
    }

    #[test]
    fn a_loop_is_bounded_by_attempts_on_every_way_round() {
        let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("b", "b2"), ("b2", "a")];
        assert_eq!(graph(&edges, &[]).unbounded_loops(), [["b", "a", "c", "b2"]]);
        assert_eq!(graph(&edges, &["c"]).unbounded_loops(), [["b", "a", "b2"]]);
        assert!(graph(&edges, &["a"]).unbounded_loops().is_empty());
        assert_eq!(graph(&[("x", "x")], &[]).unbounded_loops(), [["x"]]);
        let mut back = graph(&edges, &["a"]).vertices;
        back["a"].to.insert("exhausted".to_owned(), vec!["b".to_owned()]);
        assert_eq!(
            Graph::new(back).unbounded_loops(),
            [["b", "a", "c", "b2"]],
            "once its attempts are used up, a goes on for ever"
        );
    }

    #[test]
    fn what_can_still_arrive_does_not_come_through_the_one_that_waits() {
        let graph = graph(&[("a", "join"), ("b", "join"), ("join", "b")], &[]);
        assert!(!graph.can_reach(&HashSet::from(["a"]), "b", "join"));
        assert!(graph.can_reach(&HashSet::from(["b"]), "b", "join"));
    }
}
