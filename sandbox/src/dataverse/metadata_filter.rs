//! `$filter` on descriptions of tables and columns, which are few: asked of their JSON.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::{
    error::Error,
    filter::{Filter, Literal, Operand, Operator},
};

/// Whether a description passes; properties of properties are written with a slash.
pub(super) fn holds(filter: &Filter, item: &Json) -> Result<bool, Error> {
    Ok(match filter {
        Filter::All(parts) => parts.iter().try_fold(true, |all, part| Ok(all & holds(part, item)?))?,
        Filter::Any(parts) => parts.iter().try_fold(false, |any, part| Ok(any | holds(part, item)?))?,
        Filter::Not(inner) => !holds(inner, item)?,
        Filter::Compare { property, operator, operand: Operand::Literal(literal) } => {
            compare(find(item, property)?, *operator, literal)
        }
        Filter::Compare { .. } | Filter::Text { .. } | Filter::OneOf { .. } | Filter::Call(_) => {
            return Err(Error::query(
                "The filter expression is not supported for metadata entities: compare properties with literals.",
            ));
        }
    })
}

fn find<'a>(item: &'a Json, path: &str) -> Result<&'a Json, Error> {
    path.split('/').try_fold(item, |item, name| item.get(name)).ok_or_else(|| {
        Error::query(format!("Could not find a property named '{path}' on type 'Microsoft.Dynamics.CRM.MetadataBase'."))
    })
}

fn compare(value: &Json, operator: Operator, literal: &Literal) -> bool {
    let ordering = match (value, literal) {
        (Json::Null, Literal::Null) => Some(Ordering::Equal),
        (Json::String(text), Literal::Text(other)) => Some(text.as_str().cmp(other)),
        (Json::String(text), Literal::Guid(other)) => Some(text.as_str().cmp(&other.to_string())),
        (Json::Bool(flag), Literal::Boolean(other)) => Some(flag.cmp(other)),
        (Json::Number(number), Literal::Number(other)) => {
            number.as_f64().zip(other.parse().ok()).and_then(|(left, right): (f64, f64)| left.partial_cmp(&right))
        }
        _ => None,
    };
    match (operator, ordering) {
        (Operator::Eq, ordering) => ordering == Some(Ordering::Equal),
        (Operator::Ne, ordering) => ordering != Some(Ordering::Equal),
        (_, None) => false,
        (Operator::Gt, Some(ordering)) => ordering.is_gt(),
        (Operator::Ge, Some(ordering)) => ordering.is_ge(),
        (Operator::Lt, Some(ordering)) => ordering.is_lt(),
        (Operator::Le, Some(ordering)) => ordering.is_le(),
    }
}
