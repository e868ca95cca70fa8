//! Whatever is sent lets at least those records through that the engine keeps, and exactly those where it says so.

use std::sync::{Arc, LazyLock};

use engine::expr::{Bound, Function, Values};
use engine::outside::crm::{Object, Read, ReadField};
use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::salesforce::page::PageDecoder;
use crate::salesforce::query::Plan;
use crate::salesforce::session::Session;
use crate::secret::{NoVault, Vault};

const IDS: [&str; 2] = ["001A0000006Vm9rIAC", "001A0000006Vm9sIAC"];

fn object() -> Object {
    let fields = [
        ("Department", FieldKind::Text, "string"),
        ("Level__c", FieldKind::TextPicklist, "picklist"),
        ("Id", FieldKind::Text, "id"),
        ("AccountId", FieldKind::Lookup, "reference"),
        ("Number__c", FieldKind::Int, "int"),
        ("AnnualRevenue", FieldKind::Money, "currency"),
        ("Account.AnnualRevenue", FieldKind::Money, "currency"),
        ("Double__c", FieldKind::Double, "double"),
        ("HasOptedOutOfEmail", FieldKind::Bool, "boolean"),
        ("Account.IsActive__c", FieldKind::Bool, "boolean"),
        ("Birthdate", FieldKind::Date, "date"),
        ("LastModifiedDate", FieldKind::DateTime, "datetime"),
    ];
    let field = |(name, kind, system_type): (&str, FieldKind, &str)| {
        let field = ObjectField { system_type: system_type.to_owned(), ..ObjectField::new(name, kind) };
        (name.to_owned(), field)
    };
    Object {
        name: "Contact".to_owned(),
        label: "Contact".to_owned(),
        internal_name: "Contact".to_owned(),
        id: "Id".to_owned(),
        fields: fields.into_iter().map(field).collect(),
        keys: Vec::new(),
        feed: false,
    }
}

fn text() -> impl Strategy<Value = String> {
    // Few letters, so that texts meet; and all that is special to somebody.
    let letter = prop::sample::select(vec![
        "a", "A", "b", "é", "É", "'", "%", "_", "\\", " ", "ß", "K", "\u{2bc}", "\u{ff07}", "and",
    ]);
    prop::collection::vec(letter, 1..4).prop_map(|letters| letters.concat())
}

fn instant() -> impl Strategy<Value = Timestamp> {
    prop::sample::select(vec!["2026-03-03T09:59:59Z", "2026-03-03T10:00:00Z", "2026-03-03T10:00:01Z"])
        .prop_map(|text| text.parse().unwrap())
}

fn record() -> impl Strategy<Value = Json> {
    let or_null = |value: BoxedStrategy<Json>| prop_oneof![1 => Just(Json::Null), 3 => value];
    let number = || (-2_i64..3).prop_map(Json::from).boxed();
    let id = || prop::sample::select(IDS.to_vec()).prop_map(Json::from).boxed();
    let half = || (-4_i64..5).prop_map(|half| json!(half as f64 / 2.0)).boxed();
    let parent = (or_null(half()), or_null(any::<bool>().prop_map(Json::from).boxed()))
        .prop_map(|(revenue, active)| json!({ "AnnualRevenue": revenue, "IsActive__c": active }));
    let columns: Vec<(&str, BoxedStrategy<Json>)> = vec![
        ("Department", text().prop_map(Json::from).boxed()),
        ("Level__c", text().prop_map(Json::from).boxed()),
        ("Id", id()),
        ("AccountId", id()),
        ("Number__c", number()),
        ("AnnualRevenue", half()),
        ("Account", parent.boxed()),
        ("Double__c", half()),
        ("HasOptedOutOfEmail", any::<bool>().prop_map(Json::from).boxed()),
        (
            "Birthdate",
            prop::sample::select(vec!["1980-05-30", "1980-05-31", "1980-06-01"]).prop_map(Json::from).boxed(),
        ),
        (
            "LastModifiedDate",
            instant().prop_map(|at| json!(at.strftime("%Y-%m-%dT%H:%M:%S.000+0000").to_string())).boxed(),
        ),
    ];
    let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().map(|(name, value)| (name, or_null(value))).unzip();
    values.prop_map(move |values| names.iter().map(|name| (*name).to_owned()).zip(values).collect::<Map<_, _>>().into())
}

fn literal(field: &'static str) -> BoxedStrategy<Literal> {
    let some = match field {
        "Department" | "Level__c" => text().prop_map(Literal::Text).boxed(),
        "Id" | "AccountId" => {
            let texts = vec![IDS[0].to_owned(), IDS[1].to_owned(), IDS[0][..15].to_owned(), "no id".to_owned()];
            prop::sample::select(texts).prop_map(Literal::Text).boxed()
        }
        "Number__c" => prop_oneof![4 => -2_i64..3, 1 => Just(i64::from(i32::MAX) + 1)].prop_map(Literal::Int).boxed(),
        "AnnualRevenue" | "Account.AnnualRevenue" => {
            (-4_i64..5).prop_map(|half| Literal::Decimal(Decimal::new(half * 5, 1))).boxed()
        }
        "Double__c" => prop_oneof![
            (-4_i64..5).prop_map(|half| Literal::Float(half as f64 / 2.0)),
            (-2_i64..3).prop_map(Literal::Int)
        ]
        .boxed(),
        "HasOptedOutOfEmail" | "Account.IsActive__c" => any::<bool>().prop_map(Literal::Bool).boxed(),
        "Birthdate" => (30_i8..32).prop_map(|day| Literal::Date(civil(day))).boxed(),
        _ => (instant(), prop::bool::ANY)
            .prop_map(|(at, half)| {
                Literal::DateTime(if half { at + std::time::Duration::from_millis(500) } else { at })
            })
            .boxed(),
    };
    prop_oneof![9 => some, 1 => Just(Literal::Null)].boxed()
}

fn civil(day: i8) -> jiff::civil::Date {
    jiff::civil::date(1980, 5, day)
}

fn named(name: &'static str, args: Vec<Expr>) -> Expr {
    Expr::Call(Function::named(name).unwrap(), args)
}

fn atom() -> impl Strategy<Value = Expr> {
    let names = vec![
        "Department",
        "Level__c",
        "Id",
        "AccountId",
        "Number__c",
        "AnnualRevenue",
        "Account.AnnualRevenue",
        "Double__c",
        "HasOptedOutOfEmail",
        "Account.IsActive__c",
        "Birthdate",
        "LastModifiedDate",
    ];
    let comparison = prop::sample::select(vec![
        Comparison::Eq,
        Comparison::Ne,
        Comparison::Lt,
        Comparison::Le,
        Comparison::Gt,
        Comparison::Ge,
    ]);
    let any_field = prop::sample::select(names);
    let compared = (any_field.clone(), comparison, any::<bool>())
        .prop_flat_map(|(name, comparison, swapped)| (Just(name), Just(comparison), Just(swapped), literal(name)))
        .prop_map(|(name, comparison, swapped, literal)| {
            let (field, literal) = (Box::new(Expr::Field(name.to_owned())), Box::new(Expr::Literal(literal)));
            let (a, b) = if swapped { (literal, field) } else { (field, literal) };
            Expr::Compare(comparison, a, b)
        });
    let among = any_field
        .clone()
        .prop_flat_map(|name| (Just(name), prop::collection::vec(literal(name), 1..3)))
        .prop_map(|(name, items)| {
            Expr::In(Box::new(Expr::Field(name.to_owned())), items.into_iter().map(Expr::Literal).collect())
        });
    let functions = prop::sample::select(vec!["contains", "starts_with", "ends_with", "eq_ci"]);
    let texts = (functions, prop::sample::select(vec!["Department", "Level__c"]), text()).prop_map(
        |(function, field, text)| {
            named(function, vec![Expr::Field(field.to_owned()), Expr::Literal(Literal::Text(text))])
        },
    );
    let cased =
        (prop::sample::select(vec!["lower", "upper"]), any::<bool>(), text()).prop_map(|(function, equal, text)| {
            let comparison = if equal { Comparison::Eq } else { Comparison::Ne };
            let call = named(function, vec![Expr::Field("Department".to_owned())]);
            Expr::Compare(comparison, Box::new(call), Box::new(Expr::Literal(Literal::Text(text))))
        });
    let unpushed = Just(Expr::Compare(
        Comparison::Gt,
        Box::new(named("len", vec![Expr::Field("Department".to_owned())])),
        Box::new(Expr::Literal(Literal::Int(2))),
    ));
    prop_oneof![
        6 => compared,
        1 => among,
        2 => texts,
        1 => cased,
        1 => unpushed,
        1 => any_field.prop_map(|name| named("is_empty", vec![Expr::Field(name.to_owned())])),
        1 => Just(Expr::Field("HasOptedOutOfEmail".to_owned())),
    ]
}

fn filter() -> impl Strategy<Value = Expr> {
    atom().prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| Expr::Not(Box::new(a))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            prop::collection::vec(inner, 2..4).prop_map(Expr::Or),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_lets_every_wanted_record_through(
        filter in filter(),
        records in prop::collection::vec(record(), 1..12),
    ) {
        let object = Arc::new(object());
        let fields: Vec<ReadField> =
            object.fields.values().map(|field| ReadField { field: field.clone(), raw: false }).collect();
        let read = Read::new(object.clone(), fields);
        let page = json!({ "records": records, "done": true, "totalSize": records.len() }).to_string();
        let decoder = PageDecoder::new(&read, &Plan::new(&SESSION, &read).unwrap(), 5_000);
        let decoded = decoder.json(page.as_bytes()).unwrap();
        let batch = &decoded.parts[0].records;
        prop_assert_eq!(batch.num_rows(), records.len());

        let values = Values::empty(Timestamp::UNIX_EPOCH);
        let Ok(bound) = Bound::bind(&filter, &batch.schema()) else { return Ok(()) };
        let bound = bound.resolve(&values).unwrap();
        let wanted = bound.matches(batch, &values).unwrap();
        let Some(pushed) = render(&|name| object.fields.get(name), bound.expr()) else { return Ok(()) };
        for (row, record) in records.iter().enumerate() {
            let comes = Salesforce::asks(&pushed.text, record);
            prop_assert!(comes || !wanted.value(row), "{} leaves out {record} of {filter:?}", pushed.text);
            prop_assert!(!pushed.exact || comes == wanted.value(row), "{} is not exact for {record} of {filter:?}", pushed.text);
        }
    }
}

/// Made once, since an HTTP client takes its time.
static SESSION: LazyLock<Session> = LazyLock::new(|| {
    let account = json!({ "url": "http://127.0.0.1", "clientId": "c", "clientSecret": "s" });
    let vault: Arc<dyn Vault> = Arc::new(NoVault);
    Session::new("sf", serde_json::from_value(account).unwrap(), &vault).unwrap()
});

/// A naive reading of SOQL as Salesforce evaluates it: text without case, null unequal to anything and in no order.
struct Salesforce<'a> {
    text: &'a str,
    record: &'a Json,
}

impl<'a> Salesforce<'a> {
    fn asks(text: &'a str, record: &'a Json) -> bool {
        let mut parser = Self { text, record };
        let truth = parser.condition();
        assert_eq!(parser.text, "", "not SOQL: {text}");
        truth
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.text.strip_prefix(token);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    fn condition(&mut self) -> bool {
        let mut truth = self.one();
        let mut word = None;
        loop {
            let next = ["AND", "OR"].into_iter().find(|word| self.text.starts_with(&format!(" {word} ")));
            let Some(next) = next else { return truth };
            assert!(word.is_none_or(|word| word == next), "SOQL refuses AND beside OR: {}", self.text);
            word = Some(next);
            self.eat(&format!(" {next} "));
            let right = self.one();
            truth = if next == "AND" { truth & right } else { truth | right };
        }
    }

    fn one(&mut self) -> bool {
        if self.eat("(") {
            let truth = self.condition();
            assert!(self.eat(")"));
            return truth;
        }
        let (path, rest) = self.text.split_once(' ').unwrap();
        let (operator, rest) = rest.split_once(' ').unwrap();
        self.text = rest;
        let value = path.split('.').fold(self.record, |record, step| record.get(step).unwrap_or(&Json::Null));
        compare(value, operator, &self.literal())
    }

    /// A text, with its escapes; anything else as it is written.
    fn literal(&mut self) -> (String, bool) {
        if !self.eat("'") {
            let end = self.text.find([' ', ')']).unwrap_or(self.text.len());
            let (word, rest) = self.text.split_at(end);
            self.text = rest;
            return (word.to_owned(), false);
        }
        let mut text = String::new();
        let mut letters = self.text.char_indices();
        loop {
            match letters.next().unwrap() {
                (place, '\'') => {
                    self.text = &self.text[place + 1..];
                    return (text, true);
                }
                (_, '\\') => match letters.next().unwrap().1 {
                    c @ ('%' | '_') => text.extend(['\\', c]),
                    c => text.push(c),
                },
                (_, c) => text.push(c),
            }
        }
    }
}

fn compare(value: &Json, operator: &str, (with, is_text): &(String, bool)) -> bool {
    if !is_text && with == "null" {
        return value.is_null() == (operator == "=");
    }
    if value.is_null() {
        return operator == "!=";
    }
    let ordering = match value {
        Json::String(text) if operator == "LIKE" => return like(&text.to_lowercase(), &with.to_lowercase()),
        // Ids tell capitals apart.
        Json::String(text) if *is_text && IDS.contains(&text.as_str()) => text.as_str().cmp(with.as_str()),
        Json::String(text) if *is_text => text.trim_end().to_lowercase().cmp(&with.to_lowercase()),
        Json::String(text) => text.replace(".000+0000", "Z").cmp(with),
        Json::Bool(flag) => flag.to_string().cmp(with),
        number => number.as_f64().unwrap().total_cmp(&with.parse().unwrap()),
    };
    match operator {
        "=" => ordering.is_eq(),
        "!=" => ordering.is_ne(),
        "<" => ordering.is_lt(),
        "<=" => ordering.is_le(),
        ">" => ordering.is_gt(),
        ">=" => ordering.is_ge(),
        other => panic!("no operator {other}"),
    }
}

/// LIKE, whose escapes are still there.
fn like(text: &str, pattern: &str) -> bool {
    let mut rest = pattern.chars();
    let Some(first) = rest.next() else { return text.is_empty() };
    let mut letters = text.chars();
    match first {
        '%' => text
            .char_indices()
            .map(|(place, _)| place)
            .chain([text.len()])
            .any(|place| like(&text[place..], rest.as_str())),
        '_' => letters.next().is_some() && like(letters.as_str(), rest.as_str()),
        '\\' => letters.next() == rest.next() && like(letters.as_str(), rest.as_str()),
        letter => letters.next() == Some(letter) && like(letters.as_str(), rest.as_str()),
    }
}
