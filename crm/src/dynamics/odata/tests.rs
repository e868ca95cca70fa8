use engine::outside::crm::FieldKind;
use serde_json::{Value as Json, json};

use super::*;
use crate::dynamics::page::PageDecoder;
use crate::pushdown::tests::{self, Simulated, Wild, like};

static DATAVERSE: Simulated = Simulated {
    fields: &[
        ("department", FieldKind::Text, "String"),
        ("jobtitle", FieldKind::Text, "String"),
        ("contactid", FieldKind::Text, column::GUID),
        ("parentcustomerid", FieldKind::Lookup, "Customer"),
        ("new_number", FieldKind::Int, "Integer"),
        ("statecode", FieldKind::Picklist, "State"),
        ("annualincome", FieldKind::Money, "Money"),
        ("Account.revenue", FieldKind::Money, "Money"),
        ("Account.name", FieldKind::Text, "String"),
        ("Account.primarycontactid", FieldKind::Lookup, "Lookup"),
        ("new_double", FieldKind::Double, "Double"),
        ("donotemail", FieldKind::Bool, "Boolean"),
        ("Account.creditonhold", FieldKind::Bool, "Boolean"),
        ("birthdate", FieldKind::Date, "DateTime"),
        ("modifiedon", FieldKind::DateTime, "DateTime"),
        ("new_local", FieldKind::LocalDateTime, "DateTime"),
        ("new_choices", FieldKind::MultiPicklist, "MultiSelectPicklist"),
    ],
    id_type: column::GUID,
    ids: [
        "c0000000-0000-4000-8000-00000000000a",
        "c0000000-0000-4000-8000-00000000000b",
        "C0000000-0000-4000-8000-00000000000A",
        "no guid",
    ],
    null_booleans: true,
    key: column::own_key,
    instant: |at| at.to_string(),
    decode: |read, records| {
        let page = json!({ "value": records }).to_string();
        PageDecoder::of(read).unwrap().decode(page.as_bytes()).unwrap().parts.remove(0).records
    },
    pushed,
    asks: |text, record| Dataverse::asks(text, record),
};

#[test]
fn what_is_sent_lets_every_wanted_record_through() {
    tests::what_is_sent_lets_every_wanted_record_through(&DATAVERSE);
}

#[test]
fn a_shared_function_is_never_sent() {
    tests::a_shared_function_is_never_sent(&DATAVERSE, "new_number");
}

/// A naive reading of OData as Dataverse evaluates it: text without case and with wildcards, null leaves a record out. Of a
/// record that lacks a related one that the filter names it knows nothing: a reading that joins the two has no such record.
struct Dataverse<'a> {
    text: &'a str,
    record: &'a Json,
}

impl<'a> Dataverse<'a> {
    fn asks(text: &'a str, record: &'a Json) -> bool {
        if text.contains("Account/") && record["Account"].is_null() {
            return false;
        }
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
                let text = value.as_ref().and_then(Json::as_str);
                return text.is_some_and(|text| is_like(text, &format!("{before}{part}{after}")));
            }
        }
        let value = self.property();
        let operator = self.text[1..3].to_owned();
        self.text = &self.text[4..];
        let with = self.value();
        value.is_some_and(|value| compare(&value, &operator, &with))
    }

    /// None where the record that would have it is not there.
    fn property(&mut self) -> Option<Json> {
        let end = self.text.find([' ', ',']).unwrap();
        let (path, rest) = self.text.split_at(end);
        self.text = rest;
        let mut value = self.record;
        for name in path.split('/') {
            value = value.as_object()?.get(name).unwrap_or_else(|| panic!("no property {path}"));
        }
        Some(value.clone())
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
            return is_like(text.trim_end(), pattern.trim_end()) == (operator == "eq");
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

/// LIKE without case, with sets of letters.
fn is_like(text: &str, pattern: &str) -> bool {
    let pattern = pattern.to_lowercase();
    let mut letters = pattern.chars();
    let mut wild = Vec::new();
    while let Some(letter) = letters.next() {
        wild.push(match letter {
            '%' => Wild::Many,
            '_' => Wild::One,
            '[' => {
                let (set, rest) = letters.as_str().split_once(']').unwrap_or_default();
                letters = rest.chars();
                Wild::Of(set.to_owned())
            }
            letter => Wild::Of(letter.to_string()),
        });
    }
    like(&text.to_lowercase(), &wild)
}
