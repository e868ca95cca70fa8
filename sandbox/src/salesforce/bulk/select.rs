//! Jobs that read.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard},
};

use super::{
    super::{
        error::Error,
        schema::Kind,
        soql::{self, Node, Output, Path, Plan},
        store::Store,
        table::{Record, Row},
        value::Wire,
    },
    csv::Format,
    job::{Inner, Job},
};
use crate::state::State;

/// What a job read: its results stay the same as long as it lives.
#[derive(Debug)]
pub(super) struct Selection {
    table: usize,
    numbers: Vec<u32>,
    /// Records that were written, as they were then; the others are generated.
    rows: HashMap<u32, Arc<Row>>,
    columns: Vec<Column>,
}

/// A column of the results.
#[derive(Debug)]
struct Column {
    name: String,
    path: Path,
}

impl Selection {
    /// How many records it has.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The file of some of its records.
    pub(super) fn page(&self, store: &Store, format: Format, from: usize, to: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity((to - from) * self.columns.len() * 16 + 256);
        format.write_row(&mut out, self.columns.iter().map(|column| column.name.as_bytes()));
        let table = &store.tables[self.table];
        let mut cell = Vec::new();
        for number in &self.numbers[from..to] {
            let record = self.rows.get(number).map_or(Record::Generated(*number), |row| Record::Written(row));
            for (place, column) in self.columns.iter().enumerate() {
                if place > 0 {
                    out.push(format.delimiter);
                }
                cell.clear();
                soql::resolve(store, table, record, &column.path).write_csv(&mut cell);
                Format::write_cell(&mut out, &cell);
            }
            format.end_row(&mut out);
        }
        out
    }
}

/// Reads a query and refuses what bulk jobs cannot do.
pub(super) fn plan(store: &Store, query: &str, now: i64) -> Result<Plan, Error> {
    let plan = soql::plan(store, query, now)?;
    let Output::Records(nodes) = &plan.output else {
        return Err(refused("Aggregate Relationships not supported in Bulk Query"));
    };
    if plan.has_offset() {
        return Err(refused("OFFSET not supported in Bulk Query"));
    }
    if selects(store, plan.table, nodes, Kind::is_compound) {
        return Err(refused("Selecting compound data not supported in Bulk Query"));
    }
    if selects(store, plan.table, nodes, |kind| *kind == Kind::Base64) {
        return Err(refused("FeatureNotEnabled : Binary field not supported"));
    }
    Ok(plan)
}

fn refused(text: &str) -> Error {
    Error::new("FUNCTIONALITY_NOT_ENABLED", text)
}

/// Whether a field of such a type is among those asked for.
fn selects(store: &Store, table: usize, nodes: &[Node], is_such: fn(&Kind) -> bool) -> bool {
    nodes.iter().any(|node| match node {
        Node::Field(field) => is_such(&store.tables[table].object.fields[*field].kind),
        Node::Parent { table, nodes, .. } => selects(store, *table, nodes, is_such),
        Node::Leads { .. } => false,
    })
}

/// Runs a query and keeps what it found.
pub(super) fn work(state: &State, job: &Job, plan: &Plan) {
    let store = state.salesforce.store(&state.clock);
    let numbers = soql::matching(&store, plan, job.operation == "queryAll");
    let table = plan.table(&store);
    let rows = numbers.iter().filter_map(|number| Some((*number, table.row(*number)?.clone()))).collect();
    let mut columns = Vec::new();
    if let Output::Records(nodes) = &plan.output {
        flatten(&store, plan.table, nodes, "", &[], &mut columns);
    }
    if job.version.parse::<f64>().is_ok_and(|version| version < 50.0) {
        columns.sort_by(|left, right| left.name.cmp(&right.name));
    }
    drop(store);
    let mut inner: MutexGuard<'_, Inner> = job.progress.lock();
    inner.processed = numbers.len();
    inner.selection = Some(Arc::new(Selection { table: plan.table, numbers, rows, columns }));
    inner.end = Some(Ok(()));
}

fn flatten(
    store: &Store,
    table: usize,
    nodes: &[Node],
    prefix: &str,
    hops: &[(usize, usize)],
    columns: &mut Vec<Column>,
) {
    for node in nodes {
        match node {
            Node::Field(field) => columns.push(Column {
                name: format!("{prefix}{}", store.tables[table].object.fields[*field].name),
                path: Path { hops: hops.to_vec(), table, field: *field, leads: false },
            }),
            Node::Leads { name, reference } => columns.push(Column {
                name: format!("{prefix}{name}.Type"),
                path: Path { hops: hops.to_vec(), table, field: *reference, leads: true },
            }),
            Node::Parent { name, reference, table: parent, nodes } => {
                let hops = [hops, &[(*reference, *parent)]].concat();
                flatten(store, *parent, nodes, &format!("{prefix}{name}."), &hops, columns);
            }
        }
    }
}
