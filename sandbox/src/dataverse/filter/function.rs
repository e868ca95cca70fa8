//! The platform's own query functions, such as `Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=7)`.

use super::{Filter, Known, Literal, Operator, Test, bind::known_of_text, period};
use crate::{
    data::FieldKind,
    dataverse::{
        error::{Error, code},
        model::{Reach, Scope},
    },
    time::DAY,
};

/// Where these functions live.
pub(super) const NAMESPACE: &str = "Microsoft.Dynamics.CRM.";

/// Functions of the platform that are not part of this stand-in.
const NOT_THERE: &[&str] = &[
    "Above",
    "AboveOrEqual",
    "Contains",
    "EqualBusinessId",
    "EqualRoleBusinessId",
    "EqualUserLanguage",
    "EqualUserOrUserHierarchy",
    "EqualUserOrUserHierarchyAndTeams",
    "EqualUserOrUserTeams",
    "EqualUserTeams",
    "InFiscalPeriod",
    "InFiscalPeriodAndYear",
    "InFiscalYear",
    "InOrAfterFiscalPeriodAndYear",
    "InOrBeforeFiscalPeriodAndYear",
    "LastFiscalPeriod",
    "LastFiscalYear",
    "LastXFiscalPeriods",
    "LastXFiscalYears",
    "NextFiscalPeriod",
    "NextFiscalYear",
    "NextXFiscalPeriods",
    "NextXFiscalYears",
    "NotBusinessId",
    "NotUnder",
    "ThisFiscalPeriod",
    "ThisFiscalYear",
    "Under",
    "UnderOrEqual",
];

/// A call of one of these functions, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// The function's name without its namespace.
    pub(crate) name: String,
    /// `PropertyName`.
    pub(crate) property: String,
    /// `PropertyValue`, or the elements of `PropertyValues`; both are written as text or as numbers.
    pub(crate) values: Vec<String>,
}

/// The filter that a call means, by the names and the values of its parameters.
pub(super) fn read(name: &str, mut parameters: Vec<(String, Vec<Literal>)>) -> Result<Filter, Error> {
    let function = name.strip_prefix(NAMESPACE).ok_or_else(|| unknown(name))?;
    if NOT_THERE.contains(&function) {
        return Err(Error::not_there(format!("The query function {name} is not part of this stand-in.")));
    }
    let mut take = |wanted: &str| {
        let place = parameters.iter().position(|(known, _)| known == wanted)?;
        Some(parameters.swap_remove(place).1)
    };
    let property = match take("PropertyName").as_deref() {
        Some([Literal::Text(property)]) => property.clone(),
        _ => return Err(Error::query(format!("The function '{name}' needs the parameter 'PropertyName' as text."))),
    };
    let values = take("PropertyValues").or_else(|| take("PropertyValue")).unwrap_or_default();
    if let Some((surplus, _)) = parameters.first() {
        return Err(Error::query(format!("The function '{name}' has no parameter '{surplus}'.")));
    }
    let values: Vec<String> = values.iter().map(plain).collect();
    Ok(match function {
        "In" => Filter::OneOf { property, values, negated: false },
        "NotIn" => Filter::OneOf { property, values, negated: true },
        _ => Filter::Call(Call { name: function.to_owned(), property, values }),
    })
}

/// What a literal is as text.
fn plain(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => text.clone(),
        other => other.to_string(),
    }
}

/// No function has this name.
pub(super) fn unknown(name: &str) -> Error {
    Error::query(format!(
        "An unknown function with name '{name}' was found. This may also be a function import or a key lookup on a navigation property, which is not allowed."
    ))
}

impl Call {
    /// Checks the call against a table; `now` is the time of the request.
    pub(super) fn bind(&self, scope: Scope<'_>, now: i64) -> Result<Test, Error> {
        let field = scope.reach(&self.property)?;
        let negated = |test| Test::Not(Box::new(test));
        Ok(match self.name.as_str() {
            "Between" => self.between(scope, field)?,
            "NotBetween" => negated(self.between(scope, field)?),
            "EqualUserId" => Test::Compare(field, Operator::Eq, Known::Guid(scope.store.retention.user)),
            "NotEqualUserId" => Test::Compare(field, Operator::Ne, Known::Guid(scope.store.retention.user)),
            "ContainValues" => self.has_any(scope, field)?,
            "DoesNotContainValues" => negated(self.has_any(scope, field)?),
            "On" | "NotOn" | "OnOrAfter" | "OnOrBefore" => {
                let day = self.known(scope, field, 0)?;
                let Known::Instant(at) = day else { return Err(self.needs_date(scope, field)) };
                let day = at.div_euclid(DAY) * DAY;
                match self.name.as_str() {
                    "On" => within(field, Some(day), Some(day + DAY)),
                    "NotOn" => negated(within(field, Some(day), Some(day + DAY))),
                    "OnOrAfter" => within(field, Some(day), None),
                    _ => within(field, None, Some(day + DAY)),
                }
            }
            _ => {
                let count = self.count()?;
                let period =
                    period::of(&self.name, count, now).ok_or_else(|| unknown(&format!("{NAMESPACE}{}", self.name)))?;
                if !matches!(scope.field(field).kind, FieldKind::DateTime(_)) {
                    return Err(self.needs_date(scope, field));
                }
                within(field, period.from, period.to)
            }
        })
    }

    fn between(&self, scope: Scope<'_>, field: Reach) -> Result<Test, Error> {
        let [from, to] = [self.known(scope, field, 0)?, self.known(scope, field, 1)?];
        Ok(Test::All(vec![Test::Compare(field, Operator::Ge, from), Test::Compare(field, Operator::Le, to)]))
    }

    fn has_any(&self, scope: Scope<'_>, field: Reach) -> Result<Test, Error> {
        let wrong = || self.wrong(format!("needs a choices column and its values, which '{}' is not", self.property));
        if !matches!(scope.field(field).kind, FieldKind::MultiPicklist(_)) || self.values.is_empty() {
            return Err(wrong());
        }
        let choices = self.values.iter().map(|value| value.parse().ok()).collect::<Option<Vec<i64>>>();
        Ok(Test::HasAny(field, choices.ok_or_else(wrong)?))
    }

    /// The value at a place, in the type of the column.
    fn known(&self, scope: Scope<'_>, field: Reach, place: usize) -> Result<Known, Error> {
        let value = self.values.get(place).ok_or_else(|| self.wrong(format!("needs {} values", place + 1)))?;
        let field = scope.field(field);
        known_of_text(value, &field.kind).ok_or_else(|| {
            self.wrong(format!("got the value '{value}', which does not fit the attribute '{}'", field.name))
        })
    }

    /// The number of days, hours and so on; 0 for functions without one.
    fn count(&self) -> Result<i64, Error> {
        match self.values.as_slice() {
            [] => Ok(0),
            [count] => count.parse().map_err(|_| self.wrong(format!("got '{count}', which is no whole number"))),
            _ => Err(self.wrong("takes one value".to_owned())),
        }
    }

    fn needs_date(&self, scope: Scope<'_>, field: Reach) -> Error {
        self.wrong(format!("needs a date, which the attribute '{}' is not", scope.field(field).name))
    }

    fn wrong(&self, what: String) -> Error {
        Error::new(400, code::ARGUMENT, format!("The condition operator '{}' {what}.", self.name))
    }
}

/// From (included) and to (excluded), either of which may be open.
fn within(field: Reach, from: Option<i64>, to: Option<i64>) -> Test {
    let from = from.map(|at| Test::Compare(field, Operator::Ge, Known::Instant(at)));
    let to = to.map(|at| Test::Compare(field, Operator::Lt, Known::Instant(at)));
    Test::All(from.into_iter().chain(to).collect())
}
