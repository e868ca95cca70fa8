//! Whatever is sent lets at least those records through that the engine keeps, and exactly those where it says so.

use engine::expr::{Bound, Function, Values};
use engine::outside::crm::ReadField;
use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Map, Value as Json, json};

use engine::outside::crm::Object;

use super::*;
use crate::dynamics::page::PageDecoder;

const GUIDS: [&str; 2] = ["c0000000-0000-4000-8000-00000000000a", "c0000000-0000-4000-8000-00000000000b"];

fn object() -> Object {
    let fields = [
        ("department", FieldKind::Text, "String"),
        ("jobtitle", FieldKind::Text, "String"),
        ("contactid", FieldKind::Text, column::GUID),
        ("parentcustomerid", FieldKind::Lookup, "Customer"),
        ("new_number", FieldKind::Int, "Integer"),
        ("statecode", FieldKind::Picklist, "State"),
        ("annualincome", FieldKind::Money, "Money"),
        ("new_double", FieldKind::Double, "Double"),
        ("donotemail", FieldKind::Bool, "Boolean"),
        ("birthdate", FieldKind::Date, "DateTime"),
        ("modifiedon", FieldKind::DateTime, "DateTime"),
        ("new_local", FieldKind::LocalDateTime, "DateTime"),
    ];
    let field = |(name, kind, system_type): (&str, FieldKind, &str)| {
        let field = ObjectField { system_type: system_type.to_owned(), ..ObjectField::new(name, kind) };
        (name.to_owned(), field)
    };
    Object {
        name: "contacts".to_owned(),
        label: "Contact".to_owned(),
        internal_name: "contact".to_owned(),
        id: "contactid".to_owned(),
        fields: fields.into_iter().map(field).collect(),
        keys: Vec::new(),
        feed: false,
    }
}

fn text() -> impl Strategy<Value = String> {
    // Few letters, so that texts meet; and all that is special to somebody.
    let letter = prop::sample::select(vec![
        "a", "A", "b", "é", "É", "'", "%", "_", "[", "]", " ", "ß", "K", "\u{2bc}", "\u{ff07}", "and",
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
    let guid = || prop::sample::select(GUIDS.to_vec()).prop_map(Json::from).boxed();
    let columns: Vec<(&str, BoxedStrategy<Json>)> = vec![
        ("department", text().prop_map(Json::from).boxed()),
        ("jobtitle", text().prop_map(Json::from).boxed()),
        ("contactid", guid()),
        ("_parentcustomerid_value", guid()),
        ("new_number", number()),
        ("statecode", number()),
        ("annualincome", (-4_i64..5).prop_map(|half| json!(half as f64 / 2.0)).boxed()),
        ("new_double", (-4_i64..5).prop_map(|half| json!(half as f64 / 2.0)).boxed()),
        ("donotemail", any::<bool>().prop_map(Json::from).boxed()),
        (
            "birthdate",
            prop::sample::select(vec!["1980-05-30", "1980-05-31", "1980-06-01"]).prop_map(Json::from).boxed(),
        ),
        ("modifiedon", instant().prop_map(|at| json!(at.to_string())).boxed()),
        ("new_local", instant().prop_map(|at| json!(at.to_string())).boxed()),
    ];
    let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().map(|(name, value)| (name, or_null(value))).unzip();
    values.prop_map(move |values| names.iter().map(|name| (*name).to_owned()).zip(values).collect::<Map<_, _>>().into())
}

fn literal(field: &'static str) -> BoxedStrategy<Literal> {
    let some = match field {
        "department" | "jobtitle" => text().prop_map(Literal::Text).boxed(),
        "contactid" | "parentcustomerid" => {
            let texts = vec![GUIDS[0].to_owned(), GUIDS[1].to_owned(), GUIDS[0].to_uppercase(), "no guid".to_owned()];
            prop::sample::select(texts).prop_map(Literal::Text).boxed()
        }
        "new_number" | "statecode" => {
            prop_oneof![4 => -2_i64..3, 1 => Just(i64::from(i32::MAX) + 1)].prop_map(Literal::Int).boxed()
        }
        "annualincome" => (-4_i64..5).prop_map(|half| Literal::Decimal(Decimal::new(half * 5, 1))).boxed(),
        "new_double" => prop_oneof![
            (-4_i64..5).prop_map(|half| Literal::Float(half as f64 / 2.0)),
            (-2_i64..3).prop_map(Literal::Int)
        ]
        .boxed(),
        "donotemail" => any::<bool>().prop_map(Literal::Bool).boxed(),
        "birthdate" => (30_i8..32).prop_map(|day| Literal::Date(civil(day))).boxed(),
        "modifiedon" => (instant(), prop::bool::ANY)
            .prop_map(|(at, half)| {
                Literal::DateTime(if half { at + std::time::Duration::from_millis(500) } else { at })
            })
            .boxed(),
        _ => instant().prop_map(|at| Literal::LocalDateTime(at.to_zoned(jiff::tz::TimeZone::UTC).datetime())).boxed(),
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
        "department",
        "jobtitle",
        "contactid",
        "parentcustomerid",
        "new_number",
        "statecode",
        "annualincome",
        "new_double",
        "donotemail",
        "birthdate",
        "modifiedon",
        "new_local",
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
    let texts = (functions, prop::sample::select(vec!["department", "jobtitle"]), text()).prop_map(
        |(function, field, text)| {
            named(function, vec![Expr::Field(field.to_owned()), Expr::Literal(Literal::Text(text))])
        },
    );
    let cased =
        (prop::sample::select(vec!["lower", "upper"]), any::<bool>(), text()).prop_map(|(function, equal, text)| {
            let comparison = if equal { Comparison::Eq } else { Comparison::Ne };
            let call = named(function, vec![Expr::Field("department".to_owned())]);
            Expr::Compare(comparison, Box::new(call), Box::new(Expr::Literal(Literal::Text(text))))
        });
    let unpushed = Just(Expr::Compare(
        Comparison::Gt,
        Box::new(named("len", vec![Expr::Field("department".to_owned())])),
        Box::new(Expr::Literal(Literal::Int(2))),
    ));
    prop_oneof![
        6 => compared,
        1 => among,
        2 => texts,
        1 => cased,
        1 => unpushed,
        1 => any_field.prop_map(|name| named("is_empty", vec![Expr::Field(name.to_owned())])),
        1 => Just(Expr::Field("donotemail".to_owned())),
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
        let object = object();
        let fields: Vec<ReadField> =
            object.fields.values().map(|field| ReadField { field: field.clone(), raw: false }).collect();
        let page = json!({ "value": records }).to_string();
        let decoded = PageDecoder::new(&fields).decode(page.as_bytes()).unwrap();
        let batch = &decoded.parts[0].records;
        prop_assert_eq!(batch.num_rows(), records.len());

        let values = Values::empty(Timestamp::UNIX_EPOCH);
        let Ok(bound) = Bound::bind(&filter, &batch.schema()) else { return Ok(()) };
        let bound = bound.resolve(&values).unwrap();
        let wanted = bound.matches(batch, &values).unwrap();
        let Some(pushed) = render(Known { object: &object, fields: &[] }, bound.expr()) else { return Ok(()) };
        for (row, record) in records.iter().enumerate() {
            let comes = Dataverse::asks(&pushed.text, record);
            prop_assert!(comes || !wanted.value(row), "{} leaves out {record} of {filter:?}", pushed.text);
            prop_assert!(!pushed.exact || comes == wanted.value(row), "{} is not exact for {record} of {filter:?}", pushed.text);
        }
    }
}

/// A naive reading of OData as Dataverse evaluates it: text without case and with wildcards, null leaves a record out.
struct Dataverse<'a> {
    text: &'a str,
    record: &'a Json,
}

impl<'a> Dataverse<'a> {
    fn asks(text: &'a str, record: &'a Json) -> bool {
        let mut parser = Self { text, record };
        let truth = parser.any();
        assert_eq!(parser.text, "", "not OData: {text}");
        truth
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.text.strip_prefix(token);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    fn any(&mut self) -> bool {
        let mut truth = self.every();
        while self.eat(" or ") {
            truth |= self.every();
        }
        truth
    }

    fn every(&mut self) -> bool {
        let mut truth = self.one();
        while self.eat(" and ") {
            truth &= self.one();
        }
        truth
    }

    fn one(&mut self) -> bool {
        if self.eat("(") {
            let truth = self.any();
            assert!(self.eat(")"));
            return truth;
        }
        for (function, before, after) in [("contains(", "%", "%"), ("startswith(", "", "%"), ("endswith(", "%", "")] {
            if self.eat(function) {
                let value = self.property();
                assert!(self.eat(","));
                let Json::String(part) = self.value() else { panic!("no text") };
                assert!(self.eat(")"));
                let pattern = format!("{before}{part}{after}").to_lowercase();
                return value.as_str().is_some_and(|text| like(&text.to_lowercase(), &pattern));
            }
        }
        let value = self.property();
        let operator = self.text[1..3].to_owned();
        self.text = &self.text[4..];
        compare(&value, &operator, &self.value())
    }

    fn property(&mut self) -> Json {
        let end = self.text.find([' ', ',']).unwrap();
        let (name, rest) = self.text.split_at(end);
        self.text = rest;
        self.record.get(name).unwrap_or_else(|| panic!("no property {name}")).clone()
    }

    fn value(&mut self) -> Json {
        if !self.text.starts_with('\'') {
            let end = self.text.find([' ', ')']).unwrap_or(self.text.len());
            let (word, rest) = self.text.split_at(end);
            self.text = rest;
            return serde_json::from_str(word).unwrap_or_else(|_| json!({ "bare": word }));
        }
        let mut text = String::new();
        self.text = &self.text[1..];
        loop {
            let end = self.text.find('\'').unwrap();
            text.push_str(&self.text[..end]);
            self.text = &self.text[end + 1..];
            if !self.eat("'") {
                return Json::String(text);
            }
            text.push('\'');
        }
    }
}

fn compare(value: &Json, operator: &str, with: &Json) -> bool {
    if with.is_null() {
        return value.is_null() == (operator == "eq");
    }
    let ordering = match (value, with) {
        (Json::Null, _) => return false,
        (Json::String(text), Json::String(pattern)) => {
            let equal = like(text.trim_end().to_lowercase().as_str(), pattern.trim_end().to_lowercase().as_str());
            return equal == (operator == "eq");
        }
        // Ids, dates and instants stand without quotes; all of a kind are written alike.
        (Json::String(text), other) => text.to_lowercase().cmp(&other["bare"].as_str().unwrap().to_lowercase()),
        (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
        (a, b) => a.as_f64().unwrap().total_cmp(&b.as_f64().unwrap()),
    };
    match operator {
        "eq" => ordering.is_eq(),
        "ne" => ordering.is_ne(),
        "lt" => ordering.is_lt(),
        "le" => ordering.is_le(),
        "gt" => ordering.is_gt(),
        "ge" => ordering.is_ge(),
        other => panic!("no operator {other}"),
    }
}

/// SQL's LIKE.
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
        '[' => {
            let Some((set, after)) = rest.as_str().split_once(']') else { return false };
            letters.next().is_some_and(|letter| set.contains(letter)) && like(letters.as_str(), after)
        }
        letter => letters.next() == Some(letter) && like(letters.as_str(), rest.as_str()),
    }
}
