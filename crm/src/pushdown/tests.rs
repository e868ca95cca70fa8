//! Whatever is sent lets at least those records through that the engine keeps, and exactly those where it says so: of
//! each dialect, by a naive reading of its language.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use engine::expr::{Bound, Function, Shared, Values};
use engine::outside::crm::{Object, Read, ReadField, Target};
use engine::types::Type;
use jiff::{Timestamp, civil};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::*;

/// A field of a simulated CRM: its name, kind and system type.
type FieldOf = (&'static str, FieldKind, &'static str);

/// A CRM with a few fields of each kind, among them at least two of text.
pub(crate) struct Simulated {
    pub(crate) fields: &'static [FieldOf],
    /// System types of ids that are not lookups.
    pub(crate) id_type: &'static str,
    /// Ids of its records, and then what else a filter may take for one.
    pub(crate) ids: [&'static str; 4],
    /// Whether a boolean can be null in a record that is there.
    pub(crate) null_booleans: bool,
    /// The key under which a record has a field of its own.
    pub(crate) key: fn(&ObjectField) -> String,
    /// How it writes an instant.
    pub(crate) instant: fn(Timestamp) -> String,
    /// Records of such a reading, as they come.
    pub(crate) decode: fn(&Read, &[Json]) -> RecordBatch,
    /// What is sent of a reading's filter.
    pub(crate) pushed: fn(&Read) -> Option<Pushed>,
    /// Whether the CRM gives this record where it is asked so.
    pub(crate) asks: fn(&str, &Json) -> bool,
}

/// Of any filter and any records.
pub(crate) fn what_is_sent_lets_every_wanted_record_through(crm: &'static Simulated) {
    let config = ProptestConfig { cases: 1_500, ..ProptestConfig::default() };
    proptest!(config, |(filter in crm.filter(), records in prop::collection::vec(crm.record(), 1..12))| {
        let object = crm.object();
        let fields = object.fields.values().map(|field| ReadField { field: field.clone(), raw: false }).collect();
        let read = Read::new(Arc::new(object), fields);
        let batch = (crm.decode)(&read, &records);
        prop_assert_eq!(batch.num_rows(), records.len());

        let values = Values::empty(Timestamp::UNIX_EPOCH);
        let Ok(bound) = Bound::bind(&filter, &batch.schema()) else { return Ok(()) };
        let bound = bound.resolve(&values).unwrap();
        let wanted = bound.matches(&batch, &values).unwrap();
        let read = Read { filter: Some(bound.expr().clone()), ..read };
        let Some(pushed) = (crm.pushed)(&read) else { return Ok(()) };
        for (row, record) in records.iter().enumerate() {
            let comes = (crm.asks)(&pushed.text, record);
            prop_assert!(comes || !wanted.value(row), "{} leaves out {record} of {filter:?}", pushed.text);
            prop_assert!(!pushed.exact || comes == wanted.value(row), "{} is not exact for {record} of {filter:?}", pushed.text);
        }
    });
}

/// Of a filter with a function of the shared scripts, the rest is sent where that lets every wanted record through.
pub(crate) fn a_shared_function_is_never_sent(crm: &'static Simulated, number: &str) {
    let object = Arc::new(crm.object());
    let sent = |filter: Expr| {
        let read = Read { filter: Some(filter), ..Read::new(Arc::clone(&object), Vec::new()) };
        (crm.pushed)(&read).map(|pushed| (pushed.text, pushed.exact))
    };
    let field = || Expr::Field(number.to_owned());
    let plain = || Expr::Compare(Comparison::Eq, field().into(), Expr::Literal(Literal::Int(1)).into());
    let shared = |gives| Expr::Shared(Shared { name: "f".to_owned(), gives: Some(gives) }, vec![field()]);
    let (alone, exact) = sent(plain()).unwrap();
    assert!(exact);
    assert_eq!(sent(Expr::And(vec![plain(), shared(Type::Bool)])), Some((alone, false)));
    let text = Expr::Literal(Literal::Text("x".to_owned()));
    for local in [
        shared(Type::Bool),
        Expr::Or(vec![plain(), shared(Type::Bool)]),
        Expr::Not(Expr::And(vec![plain(), shared(Type::Bool)]).into()),
        Expr::Compare(Comparison::Eq, shared(Type::Text).into(), text.into()),
        Expr::Compare(Comparison::Eq, field().into(), shared(Type::Int).into()),
        Expr::In(field().into(), vec![Expr::Literal(Literal::Int(1)), shared(Type::Int)]),
    ] {
        assert_eq!(sent(local.clone()), None, "{local:?}");
    }
}

impl Simulated {
    fn object(&self) -> Object {
        let field = |(name, kind, system_type): &FieldOf| {
            let target =
                Target { path: "Account".to_owned(), name: "Account".to_owned(), object: "Account".to_owned() };
            let targets = if *kind == FieldKind::Lookup { vec![target] } else { Vec::new() };
            let system_type = (*system_type).to_owned();
            ((*name).to_owned(), ObjectField { system_type, targets, ..ObjectField::new(name, *kind) })
        };
        let ids = self.fields.iter().filter(|(_, _, system_type)| *system_type == self.id_type);
        Object {
            name: "Contact".to_owned(),
            label: "Contact".to_owned(),
            internal_name: "Contact".to_owned(),
            id: ids.map(|(name, ..)| (*name).to_owned()).collect(),
            fields: self.fields.iter().map(field).collect(),
            keys: Vec::new(),
            feed: false,
            deletion_log: None,
        }
    }

    fn is_text(&self, (_, kind, system_type): &FieldOf) -> bool {
        matches!(kind, FieldKind::Text | FieldKind::TextPicklist) && *system_type != self.id_type
    }

    fn any_field(&self, is_it: impl Fn(&FieldOf) -> bool) -> prop::sample::Select<FieldOf> {
        prop::sample::select(self.fields.iter().copied().filter(is_it).collect::<Vec<_>>())
    }

    /// Every record has an id. Some of the related records are not there: those that have null in all fields.
    fn record(&'static self) -> impl Strategy<Value = Json> {
        let object = self.object();
        let null = |(name, kind, _): &FieldOf| match kind {
            FieldKind::Bool if !names::is_path(name) => self.null_boolean(),
            _ => Json::Null,
        };
        let value = |field: &FieldOf| match field.0 == object.id {
            true => self.value(field),
            false => prop_oneof![1 => Just(null(field)), 3 => self.value(field)].boxed(),
        };
        let values = self.fields.iter().map(value).collect::<Vec<_>>();
        values.prop_map(move |values| {
            let mut record = Map::new();
            let mut related: BTreeMap<&str, Map<String, Json>> = BTreeMap::new();
            for ((name, ..), value) in self.fields.iter().zip(values) {
                match name.split_once('.') {
                    Some((way, name)) => drop(related.entry(way).or_default().insert(name.to_owned(), value)),
                    None => drop(record.insert((self.key)(&object.fields[*name]), value)),
                }
            }
            for (way, mut fields) in related {
                let is_there = fields.values().any(|value| !value.is_null());
                for (name, value) in fields.iter_mut().filter(|(_, value)| value.is_null()) {
                    let kind = object.fields[&format!("{way}.{name}")].kind;
                    *value = if kind == FieldKind::Bool { self.null_boolean() } else { Json::Null };
                }
                let key = |name: String| {
                    let field = object.fields[&format!("{way}.{name}")].clone();
                    (self.key)(&ObjectField { name, ..field })
                };
                let fields: Map<String, Json> = fields.into_iter().map(|(name, value)| (key(name), value)).collect();
                record.insert(way.to_owned(), if is_there { fields.into() } else { Json::Null });
            }
            record.into()
        })
    }

    /// What a record that is there has for a boolean without a value.
    fn null_boolean(&self) -> Json {
        if self.null_booleans { Json::Null } else { json!(false) }
    }

    fn value(&'static self, field: &FieldOf) -> BoxedStrategy<Json> {
        match field.1 {
            _ if self.is_text(field) => text().prop_map(Json::from).boxed(),
            FieldKind::Text | FieldKind::Lookup => {
                prop::sample::select(self.ids[..2].to_vec()).prop_map(Json::from).boxed()
            }
            FieldKind::Int | FieldKind::Picklist => (-2_i64..3).prop_map(Json::from).boxed(),
            FieldKind::Money | FieldKind::Double => (-4_i64..5).prop_map(|half| json!(half as f64 / 2.0)).boxed(),
            FieldKind::Bool => any::<bool>().prop_map(Json::from).boxed(),
            FieldKind::Date => (30_i8..33).prop_map(|day| json!(date(day).to_string())).boxed(),
            FieldKind::DateTime | FieldKind::LocalDateTime => {
                instant().prop_map(|at| Json::from((self.instant)(at))).boxed()
            }
            FieldKind::MultiPicklist => prop::sample::select(vec!["1", "2", "1,2"]).prop_map(Json::from).boxed(),
            FieldKind::TextMultiPicklist => {
                prop::sample::select(vec!["Art", "Music", "Art;Music"]).prop_map(Json::from).boxed()
            }
            kind => panic!("no values of {kind:?}"),
        }
    }

    fn literal(&self, field: &FieldOf) -> BoxedStrategy<Literal> {
        let some = match field.1 {
            _ if self.is_text(field) => text().prop_map(Literal::Text).boxed(),
            FieldKind::Text | FieldKind::Lookup => {
                prop::sample::select(self.ids.to_vec()).prop_map(|id| Literal::Text(id.to_owned())).boxed()
            }
            FieldKind::Int | FieldKind::Picklist => {
                prop_oneof![4 => -2_i64..3, 1 => Just(i64::from(i32::MAX) + 1)].prop_map(Literal::Int).boxed()
            }
            FieldKind::Money => {
                (-4_i64..5).prop_map(|half| Literal::Decimal(rust_decimal::Decimal::new(half * 5, 1))).boxed()
            }
            FieldKind::Double => prop_oneof![
                (-4_i64..5).prop_map(|half| Literal::Float(half as f64 / 2.0)),
                (-2_i64..3).prop_map(Literal::Int)
            ]
            .boxed(),
            FieldKind::Bool => any::<bool>().prop_map(Literal::Bool).boxed(),
            FieldKind::Date => (30_i8..32).prop_map(|day| Literal::Date(date(day))).boxed(),
            FieldKind::DateTime => (instant(), any::<bool>())
                .prop_map(|(at, half)| Literal::DateTime(if half { at + HALF_A_SECOND } else { at }))
                .boxed(),
            // A list is compared with nothing else.
            FieldKind::MultiPicklist | FieldKind::TextMultiPicklist => Just(Literal::Null).boxed(),
            _ => {
                instant().prop_map(|at| Literal::LocalDateTime(at.to_zoned(jiff::tz::TimeZone::UTC).datetime())).boxed()
            }
        };
        prop_oneof![9 => some, 1 => Just(Literal::Null)].boxed()
    }

    fn atom(&'static self) -> impl Strategy<Value = Expr> {
        let any_text = self.any_field(|field| self.is_text(field)).prop_map(|(name, ..)| name);
        let any_field = self.any_field(|_| true);
        let compared = (any_field.clone(), comparison(), any::<bool>())
            .prop_flat_map(|(field, comparison, swapped)| {
                (Just(field.0), Just(comparison), Just(swapped), self.literal(&field))
            })
            .prop_map(|(name, comparison, swapped, literal)| {
                let (field, literal) = (Box::new(named(name)), Box::new(Expr::Literal(literal)));
                let (a, b) = if swapped { (literal, field) } else { (field, literal) };
                Expr::Compare(comparison, a, b)
            });
        let among = any_field
            .clone()
            .prop_flat_map(|field| (Just(field.0), prop::collection::vec(self.literal(&field), 1..3)))
            .prop_map(|(name, items)| Expr::In(Box::new(named(name)), items.into_iter().map(Expr::Literal).collect()));
        let booleans = self.any_field(|(_, kind, _)| *kind == FieldKind::Bool);
        // Few of all comparisons are of a boolean with null, and systems disagree on these most.
        let nulls = (booleans.clone(), any::<bool>()).prop_map(|((name, ..), same)| {
            let comparison = if same { Comparison::Eq } else { Comparison::Ne };
            Expr::Compare(comparison, Box::new(named(name)), Box::new(Expr::Literal(Literal::Null)))
        });
        let functions = prop::sample::select(vec!["contains", "starts_with", "ends_with", "eq_ci"]);
        let texts = (functions, any_text.clone(), text())
            .prop_map(|(function, name, text)| called(function, vec![named(name), Expr::Literal(Literal::Text(text))]));
        let lists = self.any_field(|(_, kind, _)| is_list(*kind));
        let items = (lists, any::<bool>()).prop_map(|((name, kind, _), first)| {
            let item = match (kind, first) {
                (FieldKind::MultiPicklist, first) => Literal::Int(if first { 1 } else { 2 }),
                (_, first) => Literal::Text(if first { "Art" } else { "Music" }.to_owned()),
            };
            called("contains", vec![named(name), Expr::Literal(item)])
        });
        let case = (prop::sample::select(vec!["lower", "upper"]), any::<bool>(), any_text.clone(), text());
        let cased = case.prop_map(|(function, equal, name, text)| {
            let comparison = if equal { Comparison::Eq } else { Comparison::Ne };
            let call = called(function, vec![named(name)]);
            Expr::Compare(comparison, Box::new(call), Box::new(Expr::Literal(Literal::Text(text))))
        });
        let unpushed = any_text.prop_map(|name| {
            let length = Box::new(called("len", vec![named(name)]));
            Expr::Compare(Comparison::Gt, length, Box::new(Expr::Literal(Literal::Int(2))))
        });
        prop_oneof![
            6 => compared,
            1 => among,
            2 => texts,
            1 => cased,
            1 => unpushed,
            1 => any_field.prop_map(|(name, ..)| called("is_empty", vec![named(name)])),
            1 => nulls,
            1 => items,
            1 => booleans.prop_map(|(name, ..)| named(name)),
        ]
    }

    fn filter(&'static self) -> impl Strategy<Value = Expr> {
        self.atom().prop_recursive(4, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|a| Expr::Not(Box::new(a))),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
                prop::collection::vec(inner, 2..4).prop_map(Expr::Or),
            ]
        })
    }
}

fn is_list(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::MultiPicklist | FieldKind::TextMultiPicklist)
}

const HALF_A_SECOND: std::time::Duration = std::time::Duration::from_millis(500);

fn text() -> impl Strategy<Value = String> {
    // Few letters, so that texts meet; and all that is special to somebody.
    let letter = prop::sample::select(vec![
        "a", "A", "b", "é", "É", "'", "%", "_", "[", "]", "\\", " ", "ß", "K", "\u{2bc}", "\u{ff07}", "and",
    ]);
    prop::collection::vec(letter, 1..4).prop_map(|letters| letters.concat())
}

fn instant() -> impl Strategy<Value = Timestamp> {
    prop::sample::select(vec!["2026-03-03T09:59:59Z", "2026-03-03T10:00:00Z", "2026-03-03T10:00:01Z"])
        .prop_map(|text| text.parse().unwrap())
}

/// From the 30th of May on.
fn date(day: i8) -> civil::Date {
    if day < 32 { civil::date(1980, 5, day) } else { civil::date(1980, 6, 1) }
}

fn comparison() -> impl Strategy<Value = Comparison> {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    prop::sample::select(vec![Eq, Ne, Lt, Le, Gt, Ge])
}

fn named(name: &str) -> Expr {
    Expr::Field(name.to_owned())
}

fn called(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Call(Function::named(name).unwrap(), args)
}

#[test]
fn a_text_that_a_crm_would_change_is_not_sent() {
    for changed in [" a", "a ", "", "a\n", &"a".repeat(TEXT_BYTES_MAX + 1)] {
        assert_eq!(plain(changed), None, "{changed:?}");
    }
    assert_eq!(plain("O'Neil 50%"), Some("O'Neil 50%"));
}

/// A part of a pattern of SQL's LIKE.
pub(crate) enum Wild {
    /// Any letters, or none.
    Many,
    /// Any letter.
    One,
    /// One of these letters.
    Of(String),
}

/// SQL's LIKE.
pub(crate) fn like(text: &str, pattern: &[Wild]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
    let mut letters = text.chars();
    match (first, letters.next()) {
        (Wild::Many, None) => like(text, rest),
        (Wild::Many, Some(_)) => like(text, rest) || like(letters.as_str(), pattern),
        (_, None) => false,
        (Wild::One, Some(_)) => like(letters.as_str(), rest),
        (Wild::Of(set), Some(letter)) => set.contains(letter) && like(letters.as_str(), rest),
    }
}
