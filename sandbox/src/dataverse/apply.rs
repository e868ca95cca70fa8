//! `$apply`: numbers over the records of a query, such as `filter(statecode eq 0)/aggregate($count as n,revenue with max as m)`.

use std::collections::BTreeSet;

use super::{
    call::Call,
    error::Error,
    expand::split,
    filter,
    model::{Reach, Scope},
    query::Query,
    render::{write_text, write_value},
};
use crate::{
    data::{Decimal, Record, Value, write_value as key_of},
    reply::Reply,
};

/// Records that an aggregate can be over at most, as on the platform.
const RECORDS_MAX: usize = 50_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Function {
    Count,
    Min,
    Max,
    Sum,
    Average,
    CountDistinct,
}

struct Aggregate {
    function: Function,
    of: Option<Reach>,
    name: String,
}

/// Answers `GET /contacts?$apply=…`.
pub(super) fn answer(scope: Scope<'_>, call: &Call, text: &str) -> Result<Reply, Error> {
    let (mut test, mut aggregates) = (None, None);
    for step in split(&call.with_aliases(text), '/') {
        let inside = |name: &str| step.trim().strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(condition) = inside("filter") {
            test = Some(filter::bind(&filter::parse(condition)?, scope, call.now)?);
        } else if let Some(list) = inside("aggregate") {
            aggregates = Some(split(list, ',').into_iter().map(|one| read(one, scope)).collect::<Result<Vec<_>, _>>()?);
        } else {
            return Err(Error::not_there(format!("'{step}' in $apply is not part of this stand-in.")));
        }
    }
    let aggregates = aggregates.ok_or_else(|| Error::query("$apply needs an aggregate."))?;
    let query = Query::plain(scope.table, test, Vec::new());
    let records: Vec<_> = query.matching(scope).take(RECORDS_MAX + 1).collect();
    if records.len() > RECORDS_MAX {
        return Err(Error::new(
            400,
            "0x8004e023",
            "The maximum record limit is exceeded. Reduce the number of records.",
        ));
    }
    let mut out = b"{\"@odata.context\":".to_vec();
    let names: Vec<&str> = aggregates.iter().map(|aggregate| aggregate.name.as_str()).collect();
    write_text(&format!("{}$metadata#{}({})", call.root(), scope.table.shape.set, names.join(",")), &mut out);
    out.extend_from_slice(b",\"value\":[{");
    for (place, aggregate) in aggregates.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_text(&aggregate.name, &mut out);
        out.push(b':');
        aggregate.write(scope, &records, &mut out);
    }
    out.extend_from_slice(b"}]}");
    let reply = Reply { body: out, ..Reply::empty(200) };
    Ok(reply.header("Content-Type", "application/json; odata.metadata=minimal").header("OData-Version", "4.0"))
}

/// `$count as n` or `revenue with max as m`.
fn read(text: &str, scope: Scope<'_>) -> Result<Aggregate, Error> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (function, of, name) = match words.as_slice() {
        ["$count", "as", name] => (Function::Count, None, name),
        [field, "with", function, "as", name] => {
            let function = match *function {
                "min" => Function::Min,
                "max" => Function::Max,
                "sum" => Function::Sum,
                "average" => Function::Average,
                "countdistinct" => Function::CountDistinct,
                other => return Err(Error::query(format!("The aggregation method '{other}' is not supported."))),
            };
            (function, Some(scope.reach(field)?), name)
        }
        _ => return Err(Error::query(format!("Syntax error in the aggregate expression '{text}'."))),
    };
    Ok(Aggregate { function, of, name: (*name).to_owned() })
}

impl Aggregate {
    fn write(&self, scope: Scope<'_>, records: &[Record<'_>], out: &mut Vec<u8>) {
        let Some(of) = self.of else {
            return out.extend_from_slice(records.len().to_string().as_bytes());
        };
        let values = records.iter().map(|record| scope.value(*record, of)).filter(|value| !value.is_null());
        let keyed = values.map(|value| {
            let mut key = Vec::new();
            key_of(&value, &mut key);
            (key, value)
        });
        match self.function {
            Function::Count => {}
            Function::CountDistinct => {
                let distinct: BTreeSet<Vec<u8>> = keyed.map(|(key, _)| key).collect();
                out.extend_from_slice(distinct.len().to_string().as_bytes());
            }
            Function::Min | Function::Max => {
                let best = if self.function == Function::Min {
                    keyed.min_by(|left, right| left.0.cmp(&right.0))
                } else {
                    keyed.max_by(|left, right| left.0.cmp(&right.0))
                };
                write_value(&best.map_or(Value::Null, |(_, value)| value), &scope.field(of).kind, out);
            }
            Function::Sum | Function::Average => {
                let numbers: Vec<i128> = keyed.filter_map(|(_, value)| number(&value)).collect();
                let sum: i128 = numbers.iter().sum();
                let count = i128::try_from(numbers.len()).unwrap_or(1).max(1);
                let of_all = if self.function == Function::Sum { sum } else { sum / count };
                out.extend_from_slice(Decimal::of_comparable(of_all).rescaled(4).to_string().as_bytes());
            }
        }
    }
}

fn number(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Integer(number) => Some(Decimal::new(i128::from(*number), 0).comparable()),
        Value::Decimal(number) => Some(number.comparable()),
        Value::Double(number) => Decimal::parse(&number.to_string()).map(Decimal::comparable),
        _ => None,
    }
}
