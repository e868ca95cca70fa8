use std::sync::{Arc, LazyLock};

use engine::outside::clock::SystemClock;
use engine::outside::crm::FieldKind;
use serde_json::{Value as Json, json};

use super::*;
use crate::pushdown::tests::{self, Simulated, Wild, like};
use crate::salesforce::page::PageDecoder;
use crate::salesforce::query::Plan;
use crate::salesforce::session::Session;
use crate::secret::{NoVault, Vault};

static SALESFORCE: Simulated = Simulated {
    fields: &[
        ("Department", FieldKind::Text, "string"),
        ("Level__c", FieldKind::TextPicklist, "picklist"),
        ("Id", FieldKind::Text, field::ID),
        ("AccountId", FieldKind::Lookup, "reference"),
        ("Number__c", FieldKind::Int, "int"),
        ("AnnualRevenue", FieldKind::Money, "currency"),
        ("Account.AnnualRevenue", FieldKind::Money, "currency"),
        ("Account.Name", FieldKind::Text, "string"),
        ("Account.OwnerId", FieldKind::Lookup, "reference"),
        ("Double__c", FieldKind::Double, "double"),
        ("HasOptedOutOfEmail", FieldKind::Bool, "boolean"),
        ("Account.IsActive__c", FieldKind::Bool, "boolean"),
        ("Birthdate", FieldKind::Date, "date"),
        ("LastModifiedDate", FieldKind::DateTime, "datetime"),
        ("Interests__c", FieldKind::TextMultiPicklist, "multipicklist"),
    ],
    id_type: field::ID,
    ids: ["001A0000006Vm9rIAC", "001A0000006Vm9sIAC", "001A0000006Vm9r", "no id"],
    null_booleans: false,
    key: |field| field.name.clone(),
    instant: |at| at.strftime("%Y-%m-%dT%H:%M:%S.000+0000").to_string(),
    decode: |read, records| {
        let page = json!({ "records": records, "done": true, "totalSize": records.len() }).to_string();
        let decoder = PageDecoder::new(read, &Plan::new(&SESSION, read).unwrap(), 5_000);
        decoder.json(page.as_bytes()).unwrap().parts.remove(0).records
    },
    pushed,
    asks: |text, record| Salesforce::asks(text, record),
};

#[test]
fn what_is_sent_lets_every_wanted_record_through() {
    tests::what_is_sent_lets_every_wanted_record_through(&SALESFORCE);
}

#[test]
fn a_shared_function_is_never_sent() {
    tests::a_shared_function_is_never_sent(&SALESFORCE, "Number__c");
}

#[test]
fn whatever_a_text_holds_stays_within_its_quotes() {
    for (text, soql) in [
        ("x' OR Name != '", r"'x\' OR Name != \''"),
        (r"\' OR 1=1", r"'\\\' OR 1=1'"),
        ("ends with \\", r"'ends with \\'"),
        ("a\r\nb\t\"", "'a\\r\\nb\\t\"'"),
        ("\u{2bc}\u{ff07}%27", "'\u{2bc}\u{ff07}%27'"),
    ] {
        assert_eq!(quoted(text), soql);
        // Read back as SOQL reads it.
        let mut inner = soql[1..soql.len() - 1].chars();
        let mut read = String::new();
        while let Some(c) = inner.next() {
            read.push(match c {
                '\'' => panic!("the text ends early: {soql}"),
                '\\' => match inner.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    c @ ('\'' | '\\') => c,
                    c => panic!("no escape: {c}"),
                },
                c => c,
            });
        }
        assert_eq!(read, text);
    }
    assert_eq!(between_wildcards("50%_'"), Some(r"50\%\_\'".to_owned()));
    assert_eq!(between_wildcards("a\\"), None);
}

/// Made once, since an HTTP client takes its time.
static SESSION: LazyLock<Session> = LazyLock::new(|| {
    let account = json!({ "url": "http://127.0.0.1", "clientId": "c", "clientSecret": "s" });
    let vault: Arc<dyn Vault> = Arc::new(NoVault);
    Session::new("sf", serde_json::from_value(account).unwrap(), &vault, Arc::new(SystemClock)).unwrap()
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
        let (literal, is_text) = self.literal();
        // To a condition a boolean that is null is false, and so is the null that one is compared with.
        if path.contains("IsActive") || path.contains("HasOptedOut") {
            let is_same = value.as_bool().unwrap_or(false) == (literal == "true");
            return is_same == (operator == "=");
        }
        compare(value, operator, &(literal, is_text))
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
        Json::String(text) if operator == "LIKE" => return is_like(text, with),
        // Ids tell capitals apart.
        Json::String(text) if *is_text && SALESFORCE.ids.contains(&text.as_str()) => text.as_str().cmp(with.as_str()),
        Json::String(text) if *is_text => text.trim_end().to_lowercase().cmp(&with.to_lowercase()),
        Json::String(text) => text.replace(".000+0000", "Z").cmp(with),
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

/// LIKE without case; the pattern's escapes are still there.
fn is_like(text: &str, pattern: &str) -> bool {
    let pattern = pattern.to_lowercase();
    let mut letters = pattern.chars();
    let mut wild = Vec::new();
    while let Some(letter) = letters.next() {
        wild.push(match letter {
            '%' => Wild::Many,
            '_' => Wild::One,
            '\\' => Wild::Of(letters.next().unwrap().to_string()),
            letter => Wild::Of(letter.to_string()),
        });
    }
    like(&text.to_lowercase(), &wild)
}
