//! People and companies that were never stored: record `i` is a pure function of (seed, i).
//!
//! The records have the defects that real ones have, in fixed shares (see the constants below), because an importer is
//! only as good as what it does with them.

use super::{
    draw::scaled,
    value::{Link, Value},
    words::{self, Country},
};
use crate::{
    guid::Guid,
    random::{below, mix, one_in},
    time::DAY,
};

/// Inactive records, per thousand.
const INACTIVE: u64 = 70;
/// Records last changed by one of the mass changes, all with the same instant, per thousand.
const MASS_CHANGED: u64 = 150;
/// How many mass changes there were.
const MASS_CHANGES: u64 = 8;
/// How far back records were created, in days.
const HISTORY_DAYS: i64 = 6 * 365;
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
    ModifiedBy,
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
    /// How numbers and ids belong together.
    pub(crate) ids: Ids,
    /// The end of their history, seconds since 1970: none was changed at or after it.
    pub(crate) until: i64,
    /// How many companies there are for people to work for, people for companies to name, users to own them.
    pub(crate) others: Others,
}

/// How the numbers and the ids of generated records belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// Ids are drawn, as Dataverse's are.
    Drawn,
    /// The id is the number itself, for systems that make ids of their own out of numbers.
    Numbers,
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
    let bits = u128::from(high) << 64 | u128::from(chance & 0x0fff_0000_0000_0000) | u128::from(low);
    let bits = bits & !(0xf << 76) | 0x4 << 76;
    Guid::from_u128(bits & !(0x3 << 62) | 0x2 << 62)
}

impl Population {
    /// The number of the record with this id, if it is one of these.
    pub(crate) fn number_of(&self, id: Guid) -> Option<u32> {
        let number = match self.ids {
            Ids::Drawn => u32::try_from((id.as_u128() & 0xffff_ffff_ffff) >> ID_CHANCE_BITS).ok()?,
            Ids::Numbers => u32::try_from(id.as_u128()).ok()?,
        };
        (number < self.count && self.id(number) == id).then_some(number)
    }

    /// The id of record `number`.
    pub(crate) fn id(&self, number: u32) -> Guid {
        match self.ids {
            Ids::Drawn => id_of(self.seed, number),
            Ids::Numbers => Guid::from_u128(u128::from(number)),
        }
    }

    /// How many records have an id before this one, or up to it.
    pub(crate) fn count_below(&self, id: Guid, inclusive: bool) -> u32 {
        let bits = match self.ids {
            Ids::Drawn => (id.as_u128() & 0xffff_ffff_ffff) >> ID_CHANCE_BITS,
            Ids::Numbers => id.as_u128(),
        };
        let guess = u32::try_from(bits).unwrap_or(u32::MAX);
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
            Fact::Version => Value::Integer(i64::try_from(self.version(number)).unwrap_or(i64::MAX)),
            Fact::State => Value::Integer(i64::from(self.is_inactive(number))),
            Fact::Status => Value::Integer(1 + i64::from(self.is_inactive(number))),
            Fact::Owner | Fact::ModifiedBy => self.link(number, 60, "systemuser", Kind::Users, self.others.users),
            Fact::Employer if one_in(self.chance(number, 61), 850) => {
                self.link(number, 62, "account", Kind::Companies, self.others.companies)
            }
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

    pub(super) fn chance(&self, number: u32, purpose: u64) -> u64 {
        mix(self.seed ^ u64::from(number) << 20, purpose)
    }

    fn link(&self, number: u32, purpose: u64, table: &'static str, kind: Kind, count: u32) -> Value<'static> {
        if count == 0 {
            return Value::Null;
        }
        let target = u32::try_from(self.chance(number, purpose) % u64::from(count)).unwrap_or(0);
        Value::Link(Link { table, id: id_of(seed_of(kind, self.others.seed), target) })
    }

    pub(super) fn country(&self, number: u32) -> &'static Country {
        let chance = self.chance(number, 6);
        // A product of two draws prefers the countries at the head of the list.
        let (draw, weight) = (chance & 0xffff, ((chance >> 16) & 0xffff).max(0x5999));
        let count = u64::try_from(words::COUNTRIES.len()).unwrap_or(1);
        &words::COUNTRIES[below((draw * weight * count) >> 32, words::COUNTRIES.len())]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn people(count: u32) -> Population {
        let others = Others { seed: 1, people: count, companies: 100, users: 5 };
        Population {
            kind: Kind::People,
            count,
            seed: seed_of(Kind::People, 1),
            ids: Ids::Drawn,
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
        assert_eq!(people.number_of(Guid::from_u128(people.id(5).as_u128() ^ 1 << 100)), None);
    }

    #[test]
    fn the_defects_are_there_in_about_their_shares() {
        let people = people(20_000);
        let mails: Vec<_> = (0..people.count).map(|number| people.fact(number, Fact::Email)).collect();
        let missing = mails.iter().filter(|mail| mail.is_null()).count();
        let mut folded = std::collections::HashMap::<String, std::collections::HashSet<String>>::new();
        for mail in &mails {
            if let Value::Text(text) = mail {
                folded.entry(text.to_lowercase()).or_default().insert(text.to_string());
            }
        }
        let other_case = folded.values().filter(|spellings| spellings.len() > 1).count();
        assert!((800..1_600).contains(&missing), "{missing}");
        assert!((150..900).contains(&other_case), "{other_case}");
        let equal = (0..people.count).map(|number| people.modified_on(number));
        let distinct: std::collections::HashSet<_> = equal.collect();
        assert!(distinct.len() < 19_000, "equal instants are missing: {}", distinct.len());
        assert!((0..people.count).all(|number| people.created_on(number) <= people.modified_on(number)
            && people.modified_on(number) < people.until));
    }
}
