//! A query checked against the objects: every name resolved, every literal of the field's type.

use super::{
    Item, Name, Select,
    check::{Test, test},
    lexer::malformed,
    parser,
};
use crate::salesforce::{
    error::Error,
    schema::{Kind, Object},
    store::Store,
    table::Table,
};

/// Rows that `FIELDS(ALL)` and `FIELDS(CUSTOM)` may ask for.
const FIELDS_ROWS_MAX: usize = 200;
/// The greatest `OFFSET`.
const OFFSET_MAX: usize = 2_000;
/// References that a path can follow.
const HOPS_MAX: usize = 5;

/// A query ready to run.
#[derive(Debug)]
pub(in crate::salesforce) struct Plan {
    /// Index of the table.
    pub(in crate::salesforce) table: usize,
    /// What it asks for.
    pub(in crate::salesforce) output: Output,
    /// Which records.
    pub(super) test: Option<Test>,
    /// In which order; whether descending; whether nulls come last.
    pub(super) order: Vec<(Path, bool, bool)>,
    /// How many at most.
    pub(super) limit: Option<usize>,
    /// How many are left out first.
    pub(super) offset: usize,
}

/// What a query asks for.
#[derive(Debug)]
pub(in crate::salesforce) enum Output {
    /// Fields of records.
    Records(Vec<Node>),
    /// `COUNT()`: the number alone.
    Count,
    /// One row of these.
    Aggregates(Vec<Aggregate>),
}

/// A field of the output, or a parent with its own.
#[derive(Debug)]
pub(in crate::salesforce) enum Node {
    /// A field by its index.
    Field(usize),
    /// The record that a reference points to.
    Parent {
        /// Name in the output.
        name: String,
        /// Index of the reference.
        reference: usize,
        /// Index of its table.
        table: usize,
        /// What is asked of it.
        nodes: Vec<Node>,
    },
    /// `Owner.Type`: the object that a reference of several objects leads to.
    Leads {
        /// Name in the output.
        name: String,
        /// Index of the reference.
        reference: usize,
    },
}

/// A function over all records.
#[derive(Debug)]
pub(in crate::salesforce) struct Aggregate {
    /// Name in the output.
    pub(in crate::salesforce) name: String,
    /// Which.
    pub(super) function: Function,
    /// Of what.
    pub(super) path: Path,
}

/// What a function computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::salesforce) enum Function {
    Count,
    CountDistinct,
    Min,
    Max,
}

/// A field, behind references.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::salesforce) struct Path {
    /// The references to follow, each with the table that it leads to.
    pub(in crate::salesforce) hops: Vec<(usize, usize)>,
    /// Index of the table of the field.
    pub(in crate::salesforce) table: usize,
    /// Index of the field.
    pub(in crate::salesforce) field: usize,
    /// Not what the field holds, but the name of the object that it leads to.
    pub(in crate::salesforce) leads: bool,
}

/// What names are resolved with.
pub(super) struct Scope<'a> {
    pub(super) store: &'a Store,
    pub(super) table: usize,
    pub(super) now: i64,
    query: &'a str,
    alias: Option<&'a str>,
}

/// Reads and checks a query.
pub(in crate::salesforce) fn plan(store: &Store, query: &str, now: i64) -> Result<Plan, Error> {
    let select = parser::query(query)?;
    let Some(table) = store.index(&select.from.text) else {
        return Err(Error::new(
            "INVALID_TYPE",
            located(
                query,
                select.from.at,
                &format!(
                    "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names.",
                    select.from.text
                ),
            ),
        ));
    };
    let scope = Scope { store, table, now, query, alias: select.alias.as_deref() };
    let output = scope.output(&select)?;
    let test = select.condition.as_ref().map(|condition| test(&scope, condition)).transpose()?;
    let mut order = Vec::with_capacity(select.order.len());
    for item in &select.order {
        let path = scope.path(&item.path)?;
        let field = scope.field(&path);
        if !field.kind.is_sortable() {
            return Err(Error::new(
                "MALFORMED_QUERY",
                located(query, item.path.at, &format!("field '{}' can not be sorted in a query call", field.name)),
            ));
        }
        order.push((path, item.is_descending, item.nulls_last));
    }
    if select.offset > OFFSET_MAX {
        return Err(Error::new("NUMBER_OUTSIDE_VALID_RANGE", format!("Maximum SOQL offset allowed is {OFFSET_MAX}")));
    }
    Ok(Plan { table, output, test, order, limit: select.limit, offset: select.offset })
}

/// Reads and checks a condition on a table, for rules of the admin API.
pub(in crate::salesforce) fn plan_condition(store: &Store, table: usize, text: &str, now: i64) -> Result<Test, Error> {
    let condition = parser::condition(text)?;
    test(&Scope { store, table, now, query: text, alias: None }, &condition)
}

impl Scope<'_> {
    fn object(&self, table: usize) -> &Object {
        &self.store.tables[table].object
    }

    /// The field at the end of a path.
    pub(super) fn field(&self, path: &Path) -> &crate::salesforce::schema::Field {
        &self.object(path.table).fields[path.field]
    }

    fn output(&self, select: &Select) -> Result<Output, Error> {
        if let [Item::Count] = select.items.as_slice() {
            return Ok(Output::Count);
        }
        let mut nodes = Vec::new();
        let mut aggregates = Vec::new();
        for item in &select.items {
            match item {
                Item::Count => return Err(malformed("COUNT() must be the only element in the SELECT list")),
                Item::Path(name) => self.add(&mut nodes, name)?,
                Item::Fields(which) => self.add_all(&mut nodes, which, select.limit)?,
                Item::Function { function, path, alias } => aggregates.push(Aggregate {
                    name: alias.clone().unwrap_or_else(|| format!("expr{}", aggregates.len())),
                    function: *function,
                    path: self.path(path)?,
                }),
            }
        }
        match (nodes.is_empty(), aggregates.is_empty()) {
            (true, false) => Ok(Output::Aggregates(aggregates)),
            (false, true) => Ok(Output::Records(nodes)),
            _ => Err(malformed("Field must be grouped or aggregated")),
        }
    }

    /// A reference of the table itself to several objects, of which the type is asked. Not there: in conditions and orders.
    fn leads(&self, name: &Name) -> Option<Node> {
        let (relationship, _) = name.text.split_once('.').filter(|(_, field)| field.eq_ignore_ascii_case("Type"))?;
        let object = self.object(self.table);
        let reference = object.relationship(relationship)?;
        let Kind::Reference { to, relationship: Some(name) } = &object.fields[reference].kind else { return None };
        (to.len() > 1).then(|| Node::Leads { name: name.clone(), reference })
    }

    fn add(&self, nodes: &mut Vec<Node>, name: &Name) -> Result<(), Error> {
        if let Some(node) = self.leads(name) {
            nodes.push(node);
            return Ok(());
        }
        let path = self.path(name)?;
        let mut nodes = nodes;
        let mut table = self.table;
        for (reference, parent) in &path.hops {
            let known =
                nodes.iter().position(|node| matches!(node, Node::Parent { reference: at, .. } if at == reference));
            let place = known.unwrap_or_else(|| {
                let name = self.object(table).fields[*reference].relationship().unwrap_or_default().to_owned();
                nodes.push(Node::Parent { name, reference: *reference, table: *parent, nodes: Vec::new() });
                nodes.len() - 1
            });
            table = *parent;
            match &mut nodes[place] {
                Node::Parent { nodes: inner, .. } => nodes = inner,
                Node::Field(_) | Node::Leads { .. } => return Ok(()),
            }
        }
        if nodes.iter().any(|node| matches!(node, Node::Field(field) if *field == path.field)) {
            return Err(Error::new("INVALID_FIELD", format!("duplicate field selected: {}", name.text)));
        }
        nodes.push(Node::Field(path.field));
        Ok(())
    }

    fn add_all(&self, nodes: &mut Vec<Node>, which: &str, limit: Option<usize>) -> Result<(), Error> {
        let is_asked = |custom: bool| match which {
            "ALL" => true,
            "CUSTOM" => custom,
            _ => !custom,
        };
        if !matches!(which, "ALL" | "CUSTOM" | "STANDARD") {
            return Err(malformed(format!("unexpected token: '{which}'")));
        }
        if which != "STANDARD" && limit.is_none_or(|limit| limit > FIELDS_ROWS_MAX) {
            return Err(malformed(format!("The SOQL FIELDS function must have a LIMIT of at most {FIELDS_ROWS_MAX}")));
        }
        let fields = self.object(self.table).fields.iter().enumerate();
        nodes.extend(fields.filter(|(_, field)| is_asked(field.custom)).map(|(index, _)| Node::Field(index)));
        Ok(())
    }

    /// Resolves a name such as `Account.Owner.Name`.
    pub(super) fn path(&self, name: &Name) -> Result<Path, Error> {
        let mut parts: Vec<&str> = name.text.split('.').collect();
        let is_prefix = |part: &str| {
            self.alias.is_some_and(|alias| alias.eq_ignore_ascii_case(part))
                || (part.eq_ignore_ascii_case(self.object(self.table).name)
                    && self.object(self.table).relationship(part).is_none())
        };
        if parts.len() > 1 && is_prefix(parts[0]) {
            parts.remove(0);
        }
        let last = parts.pop().unwrap_or_default();
        let mut table = self.table;
        let mut hops = Vec::new();
        for part in parts {
            let reference = self.object(table).relationship(part);
            let target = reference.and_then(|field| match &self.object(table).fields[field].kind {
                Kind::Reference { to, .. } => self.store.index(to.first()?),
                _ => None,
            });
            let (Some(reference), Some(target)) = (reference, target) else {
                let text = format!(
                    "Didn't understand relationship '{part}' in field path. If you are attempting to use a custom relationship, be sure to append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the appropriate names."
                );
                return Err(Error::new("INVALID_FIELD", located(self.query, name.at, &text)));
            };
            hops.push((reference, target));
            table = target;
        }
        if hops.len() > HOPS_MAX {
            return Err(malformed(format!("SOQL relationship depth is at most {HOPS_MAX}")));
        }
        let field = self.object(table).field(last).ok_or_else(|| self.unknown(name, last, table))?;
        Ok(Path { hops, table, field, leads: false })
    }

    fn unknown(&self, name: &Name, field: &str, table: usize) -> Error {
        let text = format!(
            "No such column '{field}' on entity '{}'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names.",
            self.object(table).name
        );
        Error::new("INVALID_FIELD", located(self.query, name.at, &text))
    }
}

impl Path {
    /// A field of the table itself.
    pub(super) fn own(&self) -> Option<usize> {
        self.hops.is_empty().then_some(self.field)
    }
}

/// The text as the service gives it: a part of the query, a mark below it, row and column.
fn located(query: &str, at: usize, text: &str) -> String {
    let before = query.get(..at).unwrap_or("");
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let row = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    let line = query[line_start..].lines().next().unwrap_or("");
    let shown_from = column.saturating_sub(30);
    let shown: String = line.chars().skip(shown_from.saturating_sub(1)).take(60).collect();
    let mark = " ".repeat(column.saturating_sub(shown_from.max(1)));
    format!("\n{shown}\n{mark}^\nERROR at Row:{row}:Column:{column}\n{text}")
}

/// Index of the table of a plan, and the table.
impl Plan {
    /// Whether it leaves records out at the beginning.
    pub(in crate::salesforce) fn has_offset(&self) -> bool {
        self.offset > 0
    }

    /// The table that it reads.
    pub(in crate::salesforce) fn table<'a>(&self, store: &'a Store) -> &'a Table {
        &store.tables[self.table]
    }
}
