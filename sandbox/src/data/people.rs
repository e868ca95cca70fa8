//! Generated people, with the defects of real ones.

use super::{
    draw::{choose, pick, scaled, word},
    generate::{Fact, Kind, Population, full_name},
    value::{Decimal, Value},
    words,
};
use crate::{random::one_in, time::DAY};

/// Records that repeat another's mail address in other letters, per thousand.
const REPEATED: u64 = 30;
/// Records without mail address, per thousand.
const WITHOUT_MAIL: u64 = 60;
/// Records with something in the mail column that is no address, per thousand.
const MALFORMED_MAIL: u64 = 10;
/// Records without first name, per thousand.
const WITHOUT_FIRST_NAME: u64 = 20;
/// Records with decoration in the first name: emoji, combining marks, direction marks, blanks; per thousand.
const DECORATED: u64 = 15;

impl Population {
    /// What is known of a person or a user.
    pub(super) fn personal(&self, number: u32, fact: Fact) -> Value<'static> {
        let identity = self.identity(number);
        match fact {
            Fact::FirstName => self.first_name(identity),
            Fact::LastName => Value::literal(self.name(identity).1.0),
            Fact::MiddleName if one_in(self.chance(number, 10), 120) => {
                Value::literal(choose(self.country(number).first, self.chance(number, 11)).0)
            }
            Fact::FullName => full_name(&self.first_name(identity), &Value::literal(self.name(identity).1.0)),
            Fact::Salutation if one_in(self.chance(number, 12), 200) => {
                word(&["Mr.", "Ms.", "Dr.", "Prof."], self.chance(number, 13))
            }
            Fact::Email => self.mail(number, identity),
            Fact::SecondEmail if one_in(self.chance(number, 14), 80) => Value::text(format!(
                "{}{number}@{}",
                self.name(number).1.1,
                choose(words::MAIL_HOSTS, self.chance(number, 15))
            )),
            Fact::UserName => Value::text(format!(
                "{}.{}{number}@campanile.example.com",
                self.name(number).0.1,
                self.name(number).1.1
            )),
            Fact::JobTitle if one_in(self.chance(number, 16), 750) => word(words::JOBS, self.chance(number, 17)),
            Fact::Department if one_in(self.chance(number, 18), 600) => {
                word(words::DEPARTMENTS, self.chance(number, 19))
            }
            Fact::BirthDate if one_in(self.chance(number, 20), 650) => {
                Value::Date(self.until.div_euclid(DAY) - 18 * 365 - scaled(self.chance(number, 21), 70 * 365))
            }
            Fact::Anniversary if one_in(self.chance(number, 22), 200) => {
                Value::Date(self.until.div_euclid(DAY) - scaled(self.chance(number, 23), 30 * 365))
            }
            Fact::Gender if one_in(self.chance(number, 24), 700) => {
                Value::Integer(1 + pick(self.chance(number, 25), 2))
            }
            Fact::FamilyStatus if one_in(self.chance(number, 26), 300) => {
                Value::Integer(1 + pick(self.chance(number, 27), 4))
            }
            Fact::Children if one_in(self.chance(number, 28), 250) => Value::Integer(pick(self.chance(number, 29), 5)),
            Fact::Income if one_in(self.chance(number, 30), 300) => {
                Value::Decimal(Decimal::new(i128::from(180_000_000 + scaled(self.chance(number, 31), 900_000_000)), 4))
            }
            Fact::HeldOn if one_in(self.chance(number, 32), 50) => Value::Instant(self.created_on(number)),
            Fact::Mobile if one_in(self.chance(number, 33), 700) => self.phone(number, 34),
            _ => self.common(number, fact),
        }
    }

    /// The person whose name and mail address record `number` carries: itself, or one that it repeats.
    fn identity(&self, number: u32) -> u32 {
        let chance = self.chance(number, 5);
        if number == 0 || self.kind == Kind::Users || !one_in(chance, REPEATED) {
            return number;
        }
        u32::try_from((chance >> 20) % u64::from(number)).unwrap_or(0)
    }

    fn name(&self, number: u32) -> (&'static (&'static str, &'static str), &'static (&'static str, &'static str)) {
        let country = self.country(number);
        (choose(country.first, self.chance(number, 7)), choose(country.last, self.chance(number, 8)))
    }

    fn first_name(&self, number: u32) -> Value<'static> {
        let chance = self.chance(number, 89);
        if self.kind != Kind::Users && one_in(chance, WITHOUT_FIRST_NAME) {
            return Value::Null;
        }
        let name = self.name(number).0.0;
        if self.kind == Kind::Users || !one_in(chance >> 12, DECORATED) {
            return Value::literal(name);
        }
        Value::text(match (chance >> 24) % 6 {
            0 => format!("{name} 🌻"),
            1 => format!("👩‍💻{name}"),
            // An accent as a mark of its own, not composed with its letter.
            2 => format!("{name}e\u{301}"),
            // Marks that turn the direction of writing.
            3 => format!("\u{202b}{name}\u{202c}"),
            4 => name.to_uppercase(),
            _ => format!("{name}\u{a0}"),
        })
    }

    fn mail(&self, number: u32, identity: u32) -> Value<'static> {
        let chance = self.chance(number, 90);
        if identity == number && one_in(chance, WITHOUT_MAIL) {
            return Value::Null;
        }
        let (first, last) = self.name(identity);
        let host = choose(words::MAIL_HOSTS, self.chance(identity, 91));
        if identity == number && one_in(chance >> 12, MALFORMED_MAIL) {
            return Value::text(match (chance >> 24) % 5 {
                0 => format!("{}.{}.{host}", first.1, last.1),
                1 => format!("{}@@{host}", first.1),
                2 => format!("{}@", last.1),
                3 => format!("{} {}@{host}", first.1, last.1),
                _ => format!("{}@{host};{}@{host}", first.1, last.1),
            });
        }
        let address = format!("{}.{}{identity}@{host}", first.1, last.1);
        Value::text(match (identity == number, (chance >> 30) % 3) {
            (true, _) | (false, 0) => address,
            (false, 1) => address.to_uppercase(),
            (false, _) => format!("{}{}", address[..1].to_uppercase(), &address[1..]),
        })
    }
}
