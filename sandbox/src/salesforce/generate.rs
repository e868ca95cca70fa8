//! The generated records of an object: the same kind of people and companies as elsewhere, in this CRM's words.

use super::{id::Id, schema::Source, value::Value};
use crate::{
    data::{self, Fact, Population, PopulationKind, generate},
    random::{below, mix, one_in},
};

/// Sizes and seed of the generated records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// The seed of all.
    pub(super) seed: u64,
    /// Contacts.
    pub(super) contacts: u32,
    /// Accounts.
    pub(super) accounts: u32,
    /// Leads.
    pub(super) leads: u32,
    /// Users.
    pub(super) users: u32,
    /// None was changed at or after it, in seconds since 1970.
    pub(super) until: i64,
}

/// What makes an object's records.
#[derive(Debug)]
pub(crate) struct Generator {
    population: Population,
    companies: Population,
}

impl Generator {
    /// The generator of an object.
    pub(super) fn new(object: &str, sizes: &Sizes) -> Self {
        let others = generate::Others {
            seed: sizes.seed,
            people: sizes.contacts,
            companies: sizes.accounts,
            users: sizes.users,
        };
        let (kind, count, seed) = match object {
            "Contact" => (PopulationKind::People, sizes.contacts, sizes.seed),
            "Lead" => (PopulationKind::People, sizes.leads, mix(sizes.seed, 21)),
            "Account" => (PopulationKind::Companies, sizes.accounts, sizes.seed),
            "User" => (PopulationKind::Users, sizes.users, sizes.seed),
            _ => (PopulationKind::People, 0, sizes.seed),
        };
        let population = |kind, count, seed| Population {
            kind,
            count,
            seed: generate::seed_of(kind, seed),
            ids: generate::Ids::Numbers,
            until: sizes.until,
            others,
        };
        Self {
            population: population(kind, count, seed),
            companies: population(PopulationKind::Companies, sizes.accounts, sizes.seed),
        }
    }

    /// The generated records: their ids are made of their numbers.
    pub(super) fn population(&self) -> Population {
        self.population
    }

    /// When a record was created.
    fn created(&self, number: u32) -> i64 {
        self.population.created_on(number)
    }

    /// When a record was last changed.
    fn modified(&self, number: u32) -> i64 {
        self.population.modified_on(number)
    }

    /// What a record holds in a field of this source.
    pub(super) fn value(&self, number: u32, source: &Source) -> Value {
        match source {
            Source::Stored(value) => value.clone(),
            Source::Fact(fact) => translated(self.population.fact(number, *fact)),
            Source::Word(fact, words) => match self.population.fact(number, *fact) {
                data::Value::Integer(choice) => {
                    let place = usize::try_from(choice.max(1) - 1).unwrap_or(0);
                    words.get(place % words.len().max(1)).map_or(Value::Null, |word| Value::literal(word))
                }
                _ => Value::Null,
            },
            Source::Drawn(words, per_thousand) => {
                let purpose = words.first().map_or(0, |word| u64::try_from(word.len()).unwrap_or(0));
                let chance = mix(self.population.seed ^ u64::from(number) << 20, 200 + purpose);
                match words.get(below(chance >> 20, words.len())) {
                    Some(word) if one_in(chance, *per_thousand) => Value::literal(word),
                    _ => Value::Null,
                }
            }
            Source::Company => {
                let company = u32::try_from(mix(self.population.seed, u64::from(number)) >> 40).unwrap_or(0);
                translated(self.companies.fact(company, Fact::CompanyName))
            }
            Source::Numbered(prefix) => Value::text(format!("{prefix}{number:07}")),
            Source::Created => Value::Instant(self.created(number)),
            Source::Modified => Value::Instant(self.modified(number)),
            Source::FullName => translated(self.population.fact(number, Fact::FullName)),
            Source::Id | Source::IsDeleted | Source::Master | Source::User | Source::ModifiedBy | Source::Compound => {
                Value::Null
            }
        }
    }

    /// What some other record, generated or imagined, holds in a field of this source.
    pub(super) fn other_value(&self, chance: u64, source: &Source) -> Value {
        self.value(u32::try_from(chance >> 33).unwrap_or(0), source)
    }
}

/// A value of the shared population in this CRM's terms.
fn translated(value: data::Value<'static>) -> Value {
    match value {
        data::Value::Decimal(number) => number.to_string().parse().map_or(Value::Null, Value::Double),
        data::Value::Link(link) => {
            // The number is in the last group of the id, above its chance.
            let number = u32::try_from((link.id.as_u128() & 0xffff_ffff_ffff) >> 16).unwrap_or(0);
            let prefix = match link.table {
                "account" => "001",
                "systemuser" => "005",
                _ => "003",
            };
            Value::text(Id::new(prefix, number).as_str())
        }
        data::Value::Guid(_) | data::Value::Choices(_) => Value::Null,
        other => other,
    }
}
