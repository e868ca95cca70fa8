//! FetchXML: simple queries of one table, of the recycle bin as well.

use roxmltree::{Document, Node};

use super::{
    call::Call,
    cursor::Cursor,
    error::Error,
    filter::{self, Known, Operator, Test},
    model::{Reach, Scope},
    order::{self, OrderPart},
    query::{PAGE_MAX, Query},
    render::{Columns, write_text, write_total},
};
use crate::{
    data::{Record, Table},
    reply::Reply,
    time::DAY,
};

/// Longest query in bytes; a longer one is refused before it is read.
const QUERY_MAX: usize = 65_536;

/// Filters within each other at most.
const DEPTH_MAX: usize = 50;

struct Fetch {
    fields: Vec<usize>,
    query: Query,
    count: usize,
    page: u64,
    cookie: Option<Cursor>,
    is_limited: bool,
    wants_total: bool,
    of_bin: bool,
}

/// How the platform's condition operators begin that are not part of this stand-in.
const OPERATORS_LEFT_OUT: &[&str] = &[
    "above",
    "between",
    "contain-values",
    "eq-",
    "in-fiscal",
    "in-or-",
    "last-",
    "ne-",
    "next-",
    "not-begin-with",
    "not-between",
    "not-contain-values",
    "not-end-with",
    "not-under",
    "olderthan-",
    "on",
    "this-",
    "today",
    "tomorrow",
    "under",
    "yesterday",
];

/// Answers `GET /contacts?fetchXml=…`.
pub(super) fn answer(scope: Scope<'_>, call: &Call, text: &str) -> Result<Reply, Error> {
    let fetch = read(scope.table, text)?;
    let after = fetch.cookie.as_ref().map(|cookie| cookie.key.as_slice());
    // Without a cookie the pages before are read over once more.
    let page = if after.is_some() { 1 } else { usize::try_from(fetch.page).unwrap_or(usize::MAX) };
    let before = (page - 1).saturating_mul(fetch.count);
    let mut records = fetch.records(scope, call, after, before.saturating_add(fetch.count + 1))?;
    let mut page = records.split_off(before.min(records.len()));
    let has_more = page.len() > fetch.count && !fetch.is_limited;
    page.truncate(fetch.count);

    let preferences = call.preferences();
    let columns = Columns::new(scope, &fetch.fields, &[], preferences.annotations());
    let mut out = b"{\"@odata.context\":".to_vec();
    write_text(&format!("{}$metadata#{}", call.root(), scope.table.shape.set), &mut out);
    if fetch.wants_total {
        let total = fetch.records(scope, call, None, PAGE_MAX + 1)?.len();
        write_total(i64::try_from(total.min(PAGE_MAX)).unwrap_or(0), total > PAGE_MAX, &mut out);
    }
    columns.write_all(&page, &mut out);
    if let Some(last) = page.last().filter(|_| has_more) {
        let key = order::key(scope, *last, &fetch.query.order);
        let cookie = Cursor { page: fetch.page.saturating_add(1), key, last: scope.table.id(*last), token: None };
        out.extend_from_slice(b",\"@Microsoft.Dynamics.CRM.fetchxmlpagingcookie\":");
        write_text(&cookie.fetch_cookie(scope.table.shape.id_field), &mut out);
        out.extend_from_slice(b",\"@Microsoft.Dynamics.CRM.morerecords\":true");
    }
    out.push(b'}');
    let reply = Reply { body: out, ..Reply::empty(200) };
    let reply = reply.header("Content-Type", "application/json; odata.metadata=minimal").header("OData-Version", "4.0");
    Ok(preferences.applied(reply, Vec::new()))
}

impl Fetch {
    fn records<'a>(
        &'a self,
        scope: Scope<'a>,
        call: &Call,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record<'a>>, Error> {
        if !self.of_bin {
            return Ok(self.query.page(scope, after, limit));
        }
        let days =
            scope.store.retention.bin_days.ok_or_else(|| {
                Error::new(400, "0x80049920", "The recycle bin is not enabled for this organization.")
            })?;
        let kept_from = call.now - i64::from(days) * DAY;
        let deleted = scope.table.deleted_since(0).map(|(_, deleted)| deleted);
        // Whoever came back under the same id cannot be restored.
        let kept = deleted.filter(|deleted| deleted.at > kept_from && scope.table.get(deleted.id).is_none());
        let rows = kept.filter_map(|deleted| deleted.row.as_ref()).map(|row| Record::Written(row));
        Ok(self.query.best(scope, rows, after, limit))
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(400, "0x80041102", message)
}

fn read(table: &Table, text: &str) -> Result<Fetch, Error> {
    if text.len() > QUERY_MAX {
        return Err(invalid(format!("The query is longer than {QUERY_MAX} bytes.")));
    }
    let document = Document::parse(text).map_err(|error| invalid(format!("Invalid XML: {error}.")))?;
    let root = document.root_element();
    let entity = root.children().find(|node| node.has_tag_name("entity"));
    let entity = entity
        .filter(|entity| root.has_tag_name("fetch") && entity.attribute("name") == Some(table.shape.name))
        .ok_or_else(|| {
            invalid(format!("A query of '{}' is <fetch><entity name='{}'>…", table.shape.set, table.shape.name))
        })?;
    if root.attribute("aggregate") == Some("true") || entity.children().any(|node| node.has_tag_name("link-entity")) {
        return Err(Error::not_there("Aggregates and link-entity are not part of this stand-in."));
    }
    let number = |name: &str| {
        let value = root.attribute(name).map(|value| value.parse::<u64>().map_err(|_| (name, value)));
        value.transpose().map_err(|(name, value)| invalid(format!("'{value}' is no number for '{name}'.")))
    };
    let page = number("page")?.unwrap_or(1).max(1);
    let top = number("top")?;
    let count = top.or(number("count")?).and_then(|count| usize::try_from(count).ok());
    let mut order = Vec::new();
    let mut fields = Vec::new();
    let mut tests = Vec::new();
    for node in entity.children().filter(Node::is_element) {
        let own = || field(table, node.attribute(if node.has_tag_name("order") { "attribute" } else { "name" }));
        match node.tag_name().name() {
            "attribute" => fields.push(own()?),
            "all-attributes" => {
                fields.extend((0..table.fields.len()).filter(|at| table.fields[*at].kind.is_readable()))
            }
            "order" => order.push(OrderPart {
                field: Reach::Own(own()?),
                descending: node.attribute("descending") == Some("true"),
            }),
            "filter" => tests.push(group(table, node, 0)?),
            other => {
                return Err(invalid(format!(
                    "Invalid Child Node, valid nodes are filter, order, attribute. NodeName = {other}"
                )));
            }
        }
    }
    let cookie = root.attribute("paging-cookie").filter(|cookie| !cookie.is_empty());
    let test = (!tests.is_empty()).then_some(Test::All(tests));
    Ok(Fetch {
        fields,
        query: Query::plain(table, test, order),
        count: count.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX),
        page,
        cookie: cookie.map(|cookie| Cursor::of_fetch_cookie(cookie, page)).transpose()?,
        is_limited: top.is_some(),
        wants_total: root.attribute("returntotalrecordcount") == Some("true"),
        of_bin: root.attribute("datasource") == Some("bin"),
    })
}

fn field(table: &Table, name: Option<&str>) -> Result<usize, Error> {
    let name = name.ok_or_else(|| invalid("An attribute needs a name."))?;
    let found = table.field(name).filter(|field| table.fields[*field].kind.is_readable());
    found.ok_or_else(|| {
        Error::new(
            400,
            "0x80041103",
            format!(
                "'{}' entity doesn't contain attribute with Name = '{name}' and NameMapping = 'Logical'.",
                table.shape.name
            ),
        )
    })
}

fn group(table: &Table, node: Node<'_, '_>, depth: usize) -> Result<Test, Error> {
    if depth > DEPTH_MAX {
        return Err(invalid("Filters are nested too deeply."));
    }
    let parts = node.children().filter(Node::is_element).map(|node| match node.tag_name().name() {
        "filter" => group(table, node, depth + 1),
        "condition" => condition(table, node),
        other => Err(invalid(format!("Invalid Child Node, valid nodes are filter, condition. NodeName = {other}"))),
    });
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    Ok(if node.attribute("type") == Some("or") { Test::Any(parts) } else { Test::All(parts) })
}

fn condition(table: &Table, node: Node<'_, '_>) -> Result<Test, Error> {
    let at = field(table, node.attribute("attribute"))?;
    let of = Reach::Own(at);
    let texts: Vec<&str> = node
        .attribute("value")
        .into_iter()
        .chain(node.children().filter(|child| child.has_tag_name("value")).filter_map(|child| child.text()))
        .collect();
    let known = |text: &str| {
        filter::known_of_text(text, &table.fields[at].kind)
            .ok_or_else(|| invalid(format!("'{text}' does not fit '{}'.", table.fields[at].name)))
    };
    let first = || texts.first().copied().ok_or_else(|| invalid("The condition needs a value."));
    let compare = |operator| Ok::<_, Error>(Test::Compare(of, operator, known(first()?)?));
    let like =
        |before: &str, after: &str| Ok(Test::Like(of, filter::like_pattern(&format!("{before}{}{after}", first()?))));
    let one_of = || Ok(Test::OneOf(of, texts.iter().map(|text| known(text)).collect::<Result<_, _>>()?));
    let negated = |test: Result<Test, Error>| test.map(|test| Test::Not(Box::new(test)));
    match node.attribute("operator").unwrap_or("eq") {
        "eq" => compare(Operator::Eq),
        "ne" | "neq" => compare(Operator::Ne),
        "gt" => compare(Operator::Gt),
        "ge" | "on-or-after" => compare(Operator::Ge),
        "lt" => compare(Operator::Lt),
        "le" => compare(Operator::Le),
        "on-or-before" => match known(first()?)? {
            Known::Instant(at) => Ok(Test::Compare(of, Operator::Lt, Known::Instant(at.div_euclid(DAY) * DAY + DAY))),
            _ => Err(invalid("'on-or-before' needs a date.")),
        },
        "like" => like("", ""),
        "not-like" => negated(like("", "")),
        "begins-with" => like("", "%"),
        "ends-with" => like("%", ""),
        "in" => one_of(),
        "not-in" => negated(one_of()),
        "null" => Ok(Test::Null(of, true)),
        "not-null" => Ok(Test::Null(of, false)),
        other if OPERATORS_LEFT_OUT.iter().any(|left| other.starts_with(left)) => {
            Err(Error::not_there(format!("The condition operator '{other}' is not part of this stand-in.")))
        }
        other => Err(invalid(format!("The condition operator '{other}' is not valid."))),
    }
}
