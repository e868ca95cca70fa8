use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    data::{By, Draft, Record, Store, Value, generate::Others},
    dataverse::{model::Scope, tables},
};

/// One record of the model: a text, a number and a day.
type Person = (Option<String>, Option<i64>, Option<i64>);

const FIELDS: [&str; 3] = ["firstname", "numberofchildren", "birthdate"];

fn literal_for(property: &'static str) -> BoxedStrategy<Literal> {
    let some = match property {
        "firstname" => "[aAbB' ]{0,3}".prop_map(Literal::Text).boxed(),
        "numberofchildren" => (0..4_i64).prop_map(|number| Literal::Number(number.to_string())).boxed(),
        _ => (0..4_i64).prop_map(Literal::Date).boxed(),
    };
    prop_oneof![1 => Just(Literal::Null), 6 => some].boxed()
}

fn filters() -> impl Strategy<Value = Filter> {
    let operator = proptest::sample::select(Operator::ALL.map(|(operator, ..)| operator).to_vec());
    let compare = (proptest::sample::select(FIELDS.to_vec()), operator).prop_flat_map(|(property, operator)| {
        literal_for(property).prop_map(move |literal| Filter::Compare {
            property: property.to_owned(),
            operator,
            operand: Operand::Literal(literal),
        })
    });
    let function = proptest::sample::select(TextFunction::ALL.map(|(function, _)| function).to_vec());
    let text = (function, "[aAb']{0,2}").prop_map(|(function, text)| Filter::Text {
        function,
        property: "firstname".into(),
        text,
    });
    let one_of = (proptest::collection::vec("[aAb']{1,2}", 1..3), any::<bool>())
        .prop_map(|(values, negated)| Filter::OneOf { property: "firstname".into(), values, negated });
    let leaf = prop_oneof![4 => compare, 1 => text, 1 => one_of];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Filter::All),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Filter::Any),
            inner.prop_map(|inner| Filter::Not(Box::new(inner))),
        ]
    })
}

fn people() -> impl Strategy<Value = Vec<Person>> {
    let person =
        (proptest::option::of("[aAbB' ]{1,3}"), proptest::option::of(0..4_i64), proptest::option::of(0..4_i64));
    proptest::collection::vec(person, 1..8)
}

fn store_of(people: &[Person]) -> Store {
    let others = Others { seed: 0, people: 0, companies: 0, users: 0 };
    let mut store = Store::new(tables(others, 0));
    for (number, (name, children, birth)) in (0_u64..).zip(people) {
        let values = [name.clone().map(Value::text), children.map(Value::Integer), birth.map(Value::Date)];
        let patch: BTreeMap<_, _> = FIELDS
            .into_iter()
            .zip(values)
            .filter_map(|(name, value)| Some((store.tables[0].field(name)?, value?)))
            .collect();
        store.write(Draft::now(0, Guid::from_u128(u128::from(number) + 1), patch), 0, By::Admin);
    }
    store
}

fn scope(store: &Store) -> Scope<'_> {
    Scope { store, table: &store.tables[0] }
}

fn all(store: &Store) -> impl Iterator<Item = Record<'_>> {
    store.tables[0].by_id(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded, false)
}

/// The rules of the wire, spelled out without any of the code under test.
fn naive(filter: &Filter, person: &Person) -> Option<bool> {
    let (name, children, birth) = person;
    let fold = |text: &str| text.trim_end_matches(' ').to_lowercase();
    match filter {
        Filter::All(parts) => {
            let results: Vec<_> = parts.iter().map(|part| naive(part, person)).collect();
            if results.contains(&Some(false)) {
                Some(false)
            } else {
                results.iter().all(Option::is_some).then_some(true)
            }
        }
        Filter::Any(parts) => {
            let results: Vec<_> = parts.iter().map(|part| naive(part, person)).collect();
            if results.contains(&Some(true)) {
                Some(true)
            } else {
                results.iter().all(Option::is_some).then_some(false)
            }
        }
        Filter::Not(inner) => naive(inner, person).map(|holds| !holds),
        Filter::Compare { property, operator, operand: Operand::Literal(literal) } => {
            let is_null = match property.as_str() {
                "firstname" => name.is_none(),
                "numberofchildren" => children.is_none(),
                _ => birth.is_none(),
            };
            let ordering = match literal {
                Literal::Null => {
                    return match operator {
                        Operator::Eq => Some(is_null),
                        Operator::Ne => Some(!is_null),
                        _ => None,
                    };
                }
                Literal::Text(text) => fold(name.as_ref()?).cmp(&fold(text)),
                Literal::Number(number) => children.as_ref()?.cmp(&number.parse().ok()?),
                Literal::Date(days) => birth.as_ref()?.cmp(days),
                _ => return None,
            };
            Some(match operator {
                Operator::Eq => ordering.is_eq(),
                Operator::Ne => ordering.is_ne(),
                Operator::Gt => ordering.is_gt(),
                Operator::Ge => ordering.is_ge(),
                Operator::Lt => ordering.is_lt(),
                Operator::Le => ordering.is_le(),
            })
        }
        Filter::Text { function, text, .. } => {
            let (name, text) = (name.as_ref()?.to_lowercase(), text.to_lowercase());
            Some(match function {
                TextFunction::Contains => name.contains(&text),
                TextFunction::StartsWith => name.starts_with(&text),
                TextFunction::EndsWith => name.ends_with(&text),
            })
        }
        Filter::OneOf { values, negated, .. } => {
            let name = fold(name.as_ref()?);
            Some(values.iter().any(|value| fold(value) == name) != *negated)
        }
        Filter::Compare { .. } | Filter::Call(_) => None,
    }
}

proptest! {
    #[test]
    fn a_filter_reads_back_as_it_was_written(filter in filters()) {
        let text = filter.to_string();
        prop_assert_eq!(parse(&text), Ok(filter), "{}", text);
    }

    #[test]
    fn a_filter_finds_what_its_words_say(filter in filters(), people in people()) {
        let store = store_of(&people);
        let test = bind(&filter, scope(&store), 0).unwrap();
        let found: Vec<_> = all(&store).map(|record| test.holds(scope(&store), record)).collect();
        let expected: Vec<_> = people.iter().map(|person| naive(&filter, person)).collect();
        prop_assert_eq!(found, expected, "{}", filter);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z' ()\\[\\],=%_0-9.:-]{0,40}") {
        let _outcome = parse(&text);
    }
}

fn check(text: &str, expected: &str) {
    let store = store_of(&[]);
    let outcome = parse(text).and_then(|filter| bind(&filter, scope(&store), 0));
    assert_eq!(outcome.map(|_| ()).unwrap_err().message, expected, "{text}");
}

#[test]
fn errors_name_the_place_and_the_cause_as_the_platform_does() {
    check("lastname eq 'O'Bryan'", "There is an unterminated literal at position 21 in 'lastname eq 'O'Bryan''.");
    check("lastname eqq 'x'", "Syntax error at position 9 in 'lastname eqq 'x''.");
    check("(lastname eq 'x'", "')' or operator expected at position 16 in '(lastname eq 'x''.");
    check("lastname eq", "Expression expected at position 11 in 'lastname eq'.");
    check("lastname in ('x')", "Syntax error at position 9 in 'lastname in ('x')'.");
    check("lastnam eq 'x'", "Could not find a property named 'lastnam' on type 'Microsoft.Dynamics.CRM.contact'.");
    check(
        "parentcustomerid eq null",
        "Could not find a property named 'parentcustomerid' on type 'Microsoft.Dynamics.CRM.contact'.",
    );
    check(
        "modifiedon ge '2026-03-03T10:00:00Z'",
        "A binary operator with incompatible types was detected. Found operand types 'Edm.DateTimeOffset' and 'Edm.String' for operator kind 'GreaterThanOrEqual'.",
    );
    check(
        "length(lastname) gt 3",
        "An unknown function with name 'length' was found. This may also be a function import or a key lookup on a navigation property, which is not allowed.",
    );
    check(&"(".repeat(200), "Recursion depth exceeded allowed limit.");
}

#[test]
fn wildcards_are_live_inside_the_text_functions() {
    let names = ["Ann", "Anna", "A%a", "Zoë", "Bob"];
    let people: Vec<Person> = names.iter().map(|name| (Some((*name).to_owned()), None, None)).collect();
    let store = store_of(&people);
    let found = |text: &str| {
        let test = bind(&parse(text).unwrap(), scope(&store), 0).unwrap();
        let holds = all(&store).map(|record| test.holds(scope(&store), record) == Some(true));
        holds.zip(names).filter_map(|(holds, name)| holds.then_some(name)).collect::<Vec<_>>()
    };
    assert_eq!(found("startswith(firstname,'A%a')"), ["Anna", "A%a"]);
    assert_eq!(found("startswith(firstname,'A[%]')"), ["A%a"]);
    assert_eq!(found("endswith(firstname,'A_n')"), ["Ann"]);
    assert_eq!(found("contains(firstname,'[^a-n]b')"), ["Bob"]);
    assert_eq!(found("contains(firstname,'OË')"), ["Zoë"]);
    assert_eq!(found("firstname eq 'A%a'"), ["A%a"], "not in comparisons");
    assert_eq!(
        found(&format!("contains(firstname,'{}x')", "a%".repeat(60))),
        [""; 0],
        "and cost no more than the length"
    );
}
