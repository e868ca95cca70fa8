//! Generated companies, and what they share with people: addresses, telephones, consents.

use super::{
    draw::{choose, degrees, pick, scaled, word},
    generate::{Fact, Population},
    value::{Decimal, Value},
    words,
};
use crate::random::one_in;

/// Records whose description fills its column, per thousand.
const LONG_TEXT: u64 = 10;
/// Longest generated text.
const LONG_TEXT_CHARS: usize = 2_000;

impl Population {
    /// What is known of a company.
    pub(super) fn corporate(&self, number: u32, fact: Fact) -> Value<'static> {
        match fact {
            Fact::CompanyName => {
                let name = choose(words::COMPANIES, self.chance(number, 40));
                let form = choose(words::LEGAL_FORMS, self.chance(number, 41));
                Value::text(format!("{name} {} {form}", self.city(number).0))
            }
            Fact::CompanyNumber => Value::text(format!("A{:07}", u64::from(number) + 1)),
            Fact::Revenue if one_in(self.chance(number, 42), 700) => {
                Value::Decimal(Decimal::new(i128::from(scaled(self.chance(number, 43), 9_000_000_000_000)), 4))
            }
            Fact::Employees if one_in(self.chance(number, 44), 800) => {
                Value::Integer(1 + pick(self.chance(number, 45), 5_000))
            }
            Fact::Industry if one_in(self.chance(number, 46), 800) => {
                Value::Integer(1 + pick(self.chance(number, 47), 8))
            }
            Fact::Email if one_in(self.chance(number, 48), 800) => {
                Value::text(format!("info@company{number}.example.com"))
            }
            _ => self.common(number, fact),
        }
    }

    /// Facts that people and companies share.
    pub(super) fn common(&self, number: u32, fact: Fact) -> Value<'static> {
        match fact {
            Fact::Phone if one_in(self.chance(number, 70), 800) => self.phone(number, 71),
            Fact::Street => Value::text(format!(
                "{} {}",
                choose(self.country(number).streets, self.chance(number, 72)),
                1 + pick(self.chance(number, 73), 199)
            )),
            Fact::StreetDetail if one_in(self.chance(number, 74), 60) => {
                word(&["2nd floor", "c/o Reception", "Bât. B", "Hinterhaus"], self.chance(number, 75))
            }
            Fact::City => Value::literal(self.city(number).0),
            Fact::Region if one_in(self.chance(number, 76), 500) => Value::literal(self.city(number).1),
            Fact::PostalCode => Value::text(format!("{}{:02}", self.city(number).2, pick(self.chance(number, 77), 99))),
            Fact::Country if one_in(self.chance(number, 78), 960) => Value::literal(self.country(number).iso),
            Fact::Latitude if one_in(self.chance(number, 79), 100) => {
                Value::Double(degrees(self.chance(number, 80), 90.0))
            }
            Fact::Longitude if one_in(self.chance(number, 79), 100) => {
                Value::Double(degrees(self.chance(number, 81), 180.0))
            }
            Fact::Website if one_in(self.chance(number, 82), 150) => {
                Value::text(format!("https://www.company{number}.example.com/?from=crm&lang=en"))
            }
            Fact::Description => self.description(number),
            Fact::NoMail => Value::Boolean(one_in(self.chance(number, 83), 80)),
            Fact::NoPhone => Value::Boolean(one_in(self.chance(number, 84), 50)),
            Fact::CreditLimit if one_in(self.chance(number, 85), 300) => {
                Value::Decimal(Decimal::new(i128::from(1 + pick(self.chance(number, 86), 50)) * 10_000_000, 4))
            }
            _ => Value::Null,
        }
    }

    fn city(&self, number: u32) -> &'static (&'static str, &'static str, &'static str) {
        choose(self.country(number).cities, self.chance(number, 87))
    }

    pub(super) fn phone(&self, number: u32, purpose: u64) -> Value<'static> {
        let chance = self.chance(number, purpose);
        let digits = chance % 10_000_000;
        let dial = self.country(number).dial;
        // People type numbers in many ways.
        Value::text(match (chance >> 40) % 4 {
            0 => format!("{dial} {digits:07}"),
            1 => format!("{}{digits:07}", dial.replace(' ', "")),
            2 => format!("{dial}-{:03}-{:04}", digits / 10_000, digits % 10_000),
            _ => format!("({dial}) {digits:07} ext. {}", (chance >> 20) % 90),
        })
    }

    fn description(&self, number: u32) -> Value<'static> {
        let chance = self.chance(number, 88);
        if one_in(chance, LONG_TEXT) {
            return Value::text(words::SENTENCE.chars().cycle().take(LONG_TEXT_CHARS).collect::<String>());
        }
        if one_in(chance >> 12, 150) { Value::literal(words::SENTENCE) } else { Value::Null }
    }
}
