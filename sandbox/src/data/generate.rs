//! People and companies that were never stored: record `i` is a pure function of (seed, i).
//!
//! The records have the defects that real ones have, in fixed shares (see the constants below), because an importer is
//! only as good as what it does with them.

use super::{
    value::{Decimal, Link, Value},
    words::{self, Country},
};
use crate::{
    guid::Guid,
    random::{below, fraction, mix, one_in},
    time::DAY,
};

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
/// Records whose description fills its column, per thousand.
const LONG_TEXT: u64 = 10;
/// Inactive records, per thousand.
const INACTIVE: u64 = 70;
/// Records last changed by one of the mass changes, all with the same instant, per thousand.
const MASS_CHANGED: u64 = 150;
/// How many mass changes there were.
const MASS_CHANGES: u64 = 8;
/// How far back records were created, in days.
const HISTORY_DAYS: i64 = 6 * 365;
/// Longest generated text.
const LONG_TEXT_CHARS: usize = 2_000;
/// Versions of generated records start here; later changes count on from their end.
pub(crate) const FIRST_VERSION: u64 = 1_000_000;
/// An id's last 48 bits are the record's number and this many bits of chance.
const ID_CHANCE_BITS: u32 = 16;

/// What the generated records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Customers' people.
    People,
    /// Their employers.
    Companies,
    /// Users of the CRM.
    Users,
}

/// Something known about a generated record. A field of a table names the fact that it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    Id,
    CreatedOn,
    ModifiedOn,
    Version,
    FirstName,
    MiddleName,
    LastName,
    FullName,
    Salutation,
    Email,
    SecondEmail,
    Phone,
    Mobile,
    JobTitle,
    Department,
    Street,
    StreetDetail,
    City,
    PostalCode,
    Region,
    Country,
    Latitude,
    Longitude,
    BirthDate,
    Anniversary,
    Gender,
    FamilyStatus,
    Description,
    Website,
    Employer,
    Owner,
    NoMail,
    NoPhone,
    CreditLimit,
    Income,
    Children,
    HeldOn,
    State,
    Status,
    CompanyName,
    CompanyNumber,
    Revenue,
    Employees,
    Industry,
    MainContact,
    UserName,
}

/// A seed's people, companies or users.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Population {
    /// What they are.
    pub(crate) kind: Kind,
    /// How many.
    pub(crate) count: u32,
    /// Chance; differs by kind.
    pub(crate) seed: u64,
    /// The end of their history, seconds since 1970: none was changed at or after it.
    pub(crate) until: i64,
    /// How many companies there are for people to work for, people for companies to name, users to own them.
    pub(crate) others: Others,
}

/// Sizes and seeds of the populations that records refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Others {
    /// The seed of all.
    pub(crate) seed: u64,
    /// People.
    pub(crate) people: u32,
    /// Companies.
    pub(crate) companies: u32,
    /// Users.
    pub(crate) users: u32,
}

/// The seed of one kind of records.
pub(crate) fn seed_of(kind: Kind, seed: u64) -> u64 {
    mix(
        seed,
        match kind {
            Kind::People => 101,
            Kind::Companies => 102,
            Kind::Users => 103,
        },
    )
}

/// The id of record `number`. Ids ascend with the numbers, in SQL Server's order of ids.
pub(crate) fn id_of(seed: u64, number: u32) -> Guid {
    let chance = mix(seed, u64::from(number));
    let low = u64::from(number) << ID_CHANCE_BITS | chance & ((1 << ID_CHANCE_BITS) - 1);
    let high = mix(chance, 1);
    // Version 4 and the usual variant, as ids of the real system show them.
    let bits =
        u128::from(high) << 64 | u128::from(chance & 0x0fff_0000_0000_0000) | u128::from(low);
    let bits = bits & !(0xf << 76) | 0x4 << 76;
    Guid::from_u128(bits & !(0x3 << 62) | 0x2 << 62)
}

impl Population {
    /// The number of the record with this id, if it is one of these.
    pub(crate) fn number_of(&self, id: Guid) -> Option<u32> {
        let number = u32::try_from((id.as_u128() & 0xffff_ffff_ffff) >> ID_CHANCE_BITS).ok()?;
        (number < self.count && id_of(self.seed, number) == id).then_some(number)
    }

    /// The id of record `number`.
    pub(crate) fn id(&self, number: u32) -> Guid {
        id_of(self.seed, number)
    }

    /// How many records have an id before this one, or up to it.
    pub(crate) fn count_below(&self, id: Guid, inclusive: bool) -> u32 {
        let guess =
            u32::try_from((id.as_u128() & 0xffff_ffff_ffff) >> ID_CHANCE_BITS).unwrap_or(u32::MAX);
        if guess >= self.count {
            return self.count;
        }
        match self.id(guess).cmp(&id) {
            std::cmp::Ordering::Less => guess + 1,
            std::cmp::Ordering::Equal => guess + u32::from(inclusive),
            std::cmp::Ordering::Greater => guess,
        }
    }

    /// When record `number` was created.
    pub(crate) fn created_on(&self, number: u32) -> i64 {
        let span = HISTORY_DAYS * DAY;
        self.until - 1 - scaled(self.chance(number, 1), span)
    }

    /// When record `number` was last changed: seldom alone in its second.
    pub(crate) fn modified_on(&self, number: u32) -> i64 {
        let created = self.created_on(number);
        let chance = self.chance(number, 2);
        if one_in(chance, MASS_CHANGED) {
            let mass_change = mix(self.seed, 7_000 + (chance >> 32) % MASS_CHANGES);
            return created.max(self.until - 1 - scaled(mass_change, HISTORY_DAYS * DAY / 2));
        }
        if one_in(chance >> 16, 300) {
            return created;
        }
        created + scaled(self.chance(number, 3), self.until - created)
    }

    /// What is known of record `number`.
    pub(crate) fn fact(&self, number: u32, fact: Fact) -> Value<'static> {
        match fact {
            Fact::Id => Value::Guid(self.id(number)),
            Fact::CreatedOn => Value::Instant(self.created_on(number)),
            Fact::ModifiedOn => Value::Instant(self.modified_on(number)),
            Fact::Version => {
                Value::Integer(i64::try_from(self.version(number)).unwrap_or(i64::MAX))
            }
            Fact::State => Value::Integer(i64::from(self.is_inactive(number))),
            Fact::Status => Value::Integer(1 + i64::from(self.is_inactive(number))),
            Fact::Owner => self.link(number, 60, "systemuser", Kind::Users, self.others.users),
            Fact::Employer if one_in(self.chance(number, 61), 850) => self.link(
                number,
                62,
                "account",
                Kind::Companies,
                self.others.companies,
            ),
            Fact::MainContact if one_in(self.chance(number, 61), 600) => {
                self.link(number, 62, "contact", Kind::People, self.others.people)
            }
            Fact::Employer | Fact::MainContact => Value::Null,
            _ => match self.kind {
                Kind::People | Kind::Users => self.personal(number, fact),
                Kind::Companies => self.corporate(number, fact),
            },
        }
    }

    /// The row version of record `number`.
    pub(crate) fn version(&self, number: u32) -> u64 {
        FIRST_VERSION + u64::from(number)
    }

    fn is_inactive(&self, number: u32) -> bool {
        self.kind != Kind::Users && one_in(self.chance(number, 4), INACTIVE)
    }

    fn chance(&self, number: u32, purpose: u64) -> u64 {
        mix(self.seed ^ u64::from(number) << 20, purpose)
    }

    fn link(
        &self,
        number: u32,
        purpose: u64,
        table: &'static str,
        kind: Kind,
        count: u32,
    ) -> Value<'static> {
        if count == 0 {
            return Value::Null;
        }
        let target = u32::try_from(self.chance(number, purpose) % u64::from(count)).unwrap_or(0);
        Value::Link(Link {
            table,
            id: id_of(seed_of(kind, self.others.seed), target),
        })
    }

    /// The person whose name and mail address record `number` carries: itself, or one that it repeats.
    fn identity(&self, number: u32) -> u32 {
        let chance = self.chance(number, 5);
        if number == 0 || self.kind == Kind::Users || !one_in(chance, REPEATED) {
            return number;
        }
        u32::try_from((chance >> 20) % u64::from(number)).unwrap_or(0)
    }

    fn country(&self, number: u32) -> &'static Country {
        let chance = self.chance(number, 6);
        // Squaring the fraction prefers the countries at the head of the list.
        let weighted = fraction(chance) * fraction(chance >> 7).max(0.35);
        let scaled = weighted * f64::from(u32::try_from(words::COUNTRIES.len()).unwrap_or(1));
        words::COUNTRIES
            .iter()
            .enumerate()
            .rfind(|(place, _)| f64::from(u32::try_from(*place).unwrap_or(0)) <= scaled)
            .map_or(&words::COUNTRIES[0], |(_, country)| country)
    }

    fn name(
        &self,
        number: u32,
    ) -> (
        &'static (&'static str, &'static str),
        &'static (&'static str, &'static str),
    ) {
        let country = self.country(number);
        (
            choose(country.first, self.chance(number, 7)),
            choose(country.last, self.chance(number, 8)),
        )
    }

    fn personal(&self, number: u32, fact: Fact) -> Value<'static> {
        let identity = self.identity(number);
        match fact {
            Fact::FirstName => self.first_name(identity),
            Fact::LastName => Value::literal(self.name(identity).1.0),
            Fact::MiddleName if one_in(self.chance(number, 10), 120) => {
                Value::literal(choose(self.country(number).first, self.chance(number, 11)).0)
            }
            Fact::FullName => full_name(
                &self.first_name(identity),
                &Value::literal(self.name(identity).1.0),
            ),
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
            Fact::JobTitle if one_in(self.chance(number, 16), 750) => {
                word(words::JOBS, self.chance(number, 17))
            }
            Fact::Department if one_in(self.chance(number, 18), 600) => {
                word(words::DEPARTMENTS, self.chance(number, 19))
            }
            Fact::BirthDate if one_in(self.chance(number, 20), 650) => Value::Date(
                self.until.div_euclid(DAY) - 18 * 365 - scaled(self.chance(number, 21), 70 * 365),
            ),
            Fact::Anniversary if one_in(self.chance(number, 22), 200) => {
                Value::Date(self.until.div_euclid(DAY) - scaled(self.chance(number, 23), 30 * 365))
            }
            Fact::Gender if one_in(self.chance(number, 24), 700) => {
                Value::Integer(1 + pick(self.chance(number, 25), 2))
            }
            Fact::FamilyStatus if one_in(self.chance(number, 26), 300) => {
                Value::Integer(1 + pick(self.chance(number, 27), 4))
            }
            Fact::Children if one_in(self.chance(number, 28), 250) => {
                Value::Integer(pick(self.chance(number, 29), 5))
            }
            Fact::Income if one_in(self.chance(number, 30), 300) => Value::Decimal(Decimal::new(
                i128::from(18_000_0000 + scaled(self.chance(number, 31), 90_000_0000)),
                4,
            )),
            Fact::HeldOn if one_in(self.chance(number, 32), 50) => {
                Value::Instant(self.created_on(number))
            }
            Fact::Mobile if one_in(self.chance(number, 33), 700) => self.phone(number, 34),
            _ => self.common(number, fact),
        }
    }

    fn corporate(&self, number: u32, fact: Fact) -> Value<'static> {
        match fact {
            Fact::CompanyName => {
                let name = choose(words::COMPANIES, self.chance(number, 40));
                let form = choose(words::LEGAL_FORMS, self.chance(number, 41));
                Value::text(format!("{name} {} {form}", self.city(number).0))
            }
            Fact::CompanyNumber => Value::text(format!("A{:07}", u64::from(number) + 1)),
            Fact::Revenue if one_in(self.chance(number, 42), 700) => Value::Decimal(Decimal::new(
                i128::from(scaled(self.chance(number, 43), 900_000_000_0000)),
                4,
            )),
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
    fn common(&self, number: u32, fact: Fact) -> Value<'static> {
        match fact {
            Fact::Phone if one_in(self.chance(number, 70), 800) => self.phone(number, 71),
            Fact::Street => Value::text(format!(
                "{} {}",
                choose(self.country(number).streets, self.chance(number, 72)),
                1 + pick(self.chance(number, 73), 199)
            )),
            Fact::StreetDetail if one_in(self.chance(number, 74), 60) => word(
                &["2nd floor", "c/o Reception", "Bât. B", "Hinterhaus"],
                self.chance(number, 75),
            ),
            Fact::City => Value::literal(self.city(number).0),
            Fact::Region if one_in(self.chance(number, 76), 500) => {
                Value::literal(self.city(number).1)
            }
            Fact::PostalCode => Value::text(format!(
                "{}{:02}",
                self.city(number).2,
                pick(self.chance(number, 77), 99)
            )),
            Fact::Country if one_in(self.chance(number, 78), 960) => {
                Value::literal(self.country(number).iso)
            }
            Fact::Latitude if one_in(self.chance(number, 79), 100) => {
                Value::Double(degrees(self.chance(number, 80), 90.0))
            }
            Fact::Longitude if one_in(self.chance(number, 79), 100) => {
                Value::Double(degrees(self.chance(number, 81), 180.0))
            }
            Fact::Website if one_in(self.chance(number, 82), 150) => Value::text(format!(
                "https://www.company{number}.example.com/?from=crm&lang=en"
            )),
            Fact::Description => self.description(number),
            Fact::NoMail => Value::Boolean(one_in(self.chance(number, 83), 80)),
            Fact::NoPhone => Value::Boolean(one_in(self.chance(number, 84), 50)),
            Fact::CreditLimit if one_in(self.chance(number, 85), 300) => {
                Value::Decimal(Decimal::new(
                    i128::from(1 + pick(self.chance(number, 86), 50)) * 1_000_0000,
                    4,
                ))
            }
            _ => Value::Null,
        }
    }

    fn city(&self, number: u32) -> &'static (&'static str, &'static str, &'static str) {
        choose(self.country(number).cities, self.chance(number, 87))
    }

    fn phone(&self, number: u32, purpose: u64) -> Value<'static> {
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
            return Value::text(
                words::SENTENCE
                    .chars()
                    .cycle()
                    .take(LONG_TEXT_CHARS)
                    .collect::<String>(),
            );
        }
        if one_in(chance >> 12, 150) {
            Value::literal(words::SENTENCE)
        } else {
            Value::Null
        }
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

/// First and last name, as the product joins them; null if there is neither.
pub(crate) fn full_name(first: &Value<'_>, last: &Value<'_>) -> Value<'static> {
    match (first, last) {
        (Value::Text(first), Value::Text(last)) => Value::text(format!("{first} {last}")),
        (Value::Text(only), _) | (_, Value::Text(only)) => Value::text(only.as_ref()),
        _ => Value::Null,
    }
}

fn choose<T>(list: &'static [T], chance: u64) -> &'static T {
    &list[below(chance, list.len())]
}

fn word(list: &'static [&'static str], chance: u64) -> Value<'static> {
    Value::literal(choose::<&str>(list, chance))
}

fn pick(chance: u64, count: u32) -> i64 {
    i64::try_from(chance % u64::from(count)).unwrap_or(0)
}

fn scaled(chance: u64, span: i64) -> i64 {
    let span = u64::try_from(span.max(1)).unwrap_or(1);
    i64::try_from((chance >> 1) % span).unwrap_or(0)
}

fn degrees(chance: u64, limit: f64) -> f64 {
    ((fraction(chance) * 2.0 - 1.0) * limit * 100_000.0).round() / 100_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(count: u32) -> Population {
        let others = Others {
            seed: 1,
            people: count,
            companies: 100,
            users: 5,
        };
        Population {
            kind: Kind::People,
            count,
            seed: seed_of(Kind::People, 1),
            until: 1_767_225_600,
            others,
        }
    }

    #[test]
    fn ids_ascend_with_the_numbers_and_lead_back_to_them() {
        let people = people(70_000);
        for number in [0, 1, 2, 65_535, 65_536, 69_999] {
            assert_eq!(people.number_of(people.id(number)), Some(number));
            assert_eq!(people.count_below(people.id(number), true), number + 1);
            assert!(number == 0 || people.id(number - 1) < people.id(number));
        }
        assert_eq!(
            people.number_of(Guid::from_u128(people.id(5).as_u128() ^ 1 << 100)),
            None
        );
    }

    #[test]
    fn the_defects_are_there_in_about_their_shares() {
        let people = people(20_000);
        let mails: Vec<_> = (0..people.count)
            .map(|number| people.fact(number, Fact::Email))
            .collect();
        let missing = mails.iter().filter(|mail| mail.is_null()).count();
        let mut folded =
            std::collections::HashMap::<String, std::collections::HashSet<String>>::new();
        for mail in &mails {
            if let Value::Text(text) = mail {
                folded
                    .entry(text.to_lowercase())
                    .or_default()
                    .insert(text.to_string());
            }
        }
        let other_case = folded
            .values()
            .filter(|spellings| spellings.len() > 1)
            .count();
        assert!((800..1_600).contains(&missing), "{missing}");
        assert!((150..900).contains(&other_case), "{other_case}");
        let equal = (0..people.count).map(|number| people.modified_on(number));
        let distinct: std::collections::HashSet<_> = equal.collect();
        assert!(
            distinct.len() < 19_000,
            "equal instants are missing: {}",
            distinct.len()
        );
        assert!((0..people.count).all(|number| people.created_on(number)
            <= people.modified_on(number)
            && people.modified_on(number) < people.until));
    }
}
