//! `dedupe`: keeps one record of each group of equal ones.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use engine::activity::{Port, Spec};
use engine::context::Cx;
use engine::expr::{Bound, Source, Values};
use engine::failure::Failure;
use engine::population::Population;
use engine::types::Type;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::kit::{self, Batch, Begin, Fate, OK, Records, Routed};
use crate::rows;
use crate::sets::{self, Empty, Firsts, Mark, Places, Ranked};

/// Keeps one record of each group of equal ones. The choice is the same whenever it is made: of records that rank alike,
/// the one that arrived first stays. The order of arrival is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dedupe {
    /// What equal records have in common: columns or expressions, such as `lower(emailaddress1)`. All of them must be
    /// equal. Text is compared letter by letter, so use `lower` where capitals do not matter.
    #[schemars(length(min = 1, max = 16))]
    by: Vec<Source>,
    /// Which record of a group stays: the one with the largest or the smallest value, or one whose value is not empty.
    /// A list is gone through in order: the second entry decides where the first leaves several. Without it, the record
    /// that arrived first stays.
    #[serde(default)]
    keep: Keep,
    /// What happens to records for which something in `by` is empty. They have nothing to be recognised by, so all of
    /// them stay unless you say otherwise.
    #[serde(default)]
    empty_keys: EmptyKeys,
    /// Also lead on with the records that were not kept, by the port `complement`.
    #[serde(default)]
    complement: bool,
}

/// Which record of a group stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("examples" = [
    { "largest": "modifiedon" }, { "smallest": "createdon" }, { "nonEmpty": "telephone1" }, "any",
]))]
pub enum Keep {
    /// One rule.
    One(Rule),
    /// Rules in order of priority.
    Several(#[schemars(length(min = 1, max = 16))] Vec<Rule>),
}

/// What makes a record the better one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Rule {
    /// The record that arrived first.
    Any,
    /// The largest value of a column or an expression; empty values come last.
    Largest(Source),
    /// The smallest value of a column or an expression; empty values come last.
    Smallest(Source),
    /// A column or an expression that is not empty.
    NonEmpty(Source),
}

impl Default for Keep {
    fn default() -> Self {
        Self::One(Rule::Any)
    }
}

/// What happens to records without a complete key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EmptyKeys {
    /// They are never duplicates: all are kept.
    #[default]
    Keep,
    /// They are equal to each other where the same parts of their keys are empty.
    Match,
    /// They are let go, counted by the rule `emptyKey`.
    Drop,
}

/// What the palette shows.
pub static SPEC: Spec = Spec {
    kind: "dedupe",
    elsewhere: &["deduplicate", "deduplication", "unique", "distinct", "duplicates"],
    ports: &[Port::always(OK), kit::complement()],
    drops: &[
        (DUPLICATE, "records that are not kept, without `complement`"),
        (EMPTY_KEY, "records with an empty key, with `\"emptyKeys\": \"drop\"`"),
    ],
    example: r#"{
        "type": "dedupe",
        "by": ["lower(emailaddress1)"],
        "keep": [{ "nonEmpty": "telephone1" }, { "largest": "modifiedon" }],
        "complement": true,
        "to": { "ok": "next", "complement": "next" }
    }"#,
    sample: r#"{
        "in": [
            { "emailaddress1": "ada@example.com", "telephone1": null, "modifiedon": "2026-03-02T08:00:00Z" },
            { "emailaddress1": "Ada@example.com", "telephone1": "1", "modifiedon": "2026-03-01T08:00:00Z" },
            { "emailaddress1": null, "telephone1": null, "modifiedon": "2026-03-01T08:00:00Z" }
        ],
        "ok": [
            { "emailaddress1": "Ada@example.com", "telephone1": "1", "modifiedon": "2026-03-01T08:00:00Z" },
            { "emailaddress1": null, "telephone1": null, "modifiedon": "2026-03-01T08:00:00Z" }
        ],
        "complement": [
            { "emailaddress1": "ada@example.com", "telephone1": null, "modifiedon": "2026-03-02T08:00:00Z" }
        ]
    }"#,
    ..kit::spec::<Dedupe>()
};

const DUPLICATE: &str = "duplicate";
const EMPTY_KEY: &str = "emptyKey";

#[async_trait]
impl Records for Dedupe {
    const NAMED: &'static str = "a deduplication";
    type Plan = Places;

    fn expressions(&self) -> Vec<(String, &Source, Option<Type>)> {
        let by = self.by.iter().enumerate().map(|(number, by)| (format!("/by/{number}"), by, None));
        let keep = self.keep.rules().into_iter().filter_map(|(pointer, rule)| {
            let (word, source) = rule.source()?;
            Some((format!("{pointer}/{word}"), source, None))
        });
        by.chain(keep).collect()
    }

    /// The choice is made once, kept in a file, and named by its checksum.
    async fn plan(&self, begin: &mut Begin<'_>) -> Result<Places, Failure> {
        let file = begin.cx.own_folder()?.join("chosen.places");
        if let Some(checksum) = &begin.kept {
            return Ok(Firsts::load(&file, checksum)?.places);
        }
        let chosen = self.choose(begin.cx, begin.population, begin.columns).await?;
        begin.kept = Some(chosen.save(&file)?);
        Ok(chosen.places)
    }

    fn all(&self, places: &Places, range: Range<u64>) -> Option<Fate> {
        let records = range.end - range.start;
        let (firsts, alone) = places.count(range);
        let counts = [(Mark::First, firsts), (Mark::Alone, alone), (Mark::Other, records - firsts - alone)];
        let mut fates = counts.iter().filter(|(_, count)| *count > 0).map(|(mark, _)| self.fate(*mark));
        let first = fates.next().unwrap_or(Fate::To(OK));
        fates.all(|fate| fate == first).then_some(first)
    }

    async fn batch(&self, places: &Places, batch: &Batch, out: &mut Routed) -> Result<(), Failure> {
        out.route(&batch.records, |row| Some(self.fate(places.get(batch.first + row as u64))))
    }
}

impl Dedupe {
    async fn choose(&self, cx: &Cx, population: &Population, columns: &SchemaRef) -> Result<Firsts, Failure> {
        let by: Vec<Bound> = self.by.iter().map(|by| cx.bind(by, columns)).collect::<Result<_, _>>()?;
        let mut ranks = Vec::new();
        for (_, rule) in self.keep.rules() {
            if let Some((_, source)) = rule.source() {
                ranks.push((cx.bind(source, columns)?, rule.order()));
            }
        }
        let bounds: Vec<&Bound> = by.iter().chain(ranks.iter().map(|(bound, _)| bound)).collect();
        let values = cx.values(bounds).await?;
        let empty = if self.empty_keys == EmptyKeys::Match { Empty::Grouped } else { Empty::Alone };
        let criteria = Criteria { by, ranks, values, empty };
        let memory = cx.limits().set_memory_mib.max(1) * 1024 * 1024;
        let spill = cx.own_folder()?.join("spill");
        let ranking = Arc::new(move |batch: &RecordBatch, first: u64| criteria.rank(batch, first));
        sets::firsts(population, ranking, 0, memory, &spill).await
    }

    fn fate(&self, mark: Mark) -> Fate {
        match mark {
            Mark::First => Fate::To(OK),
            Mark::Alone if self.empty_keys == EmptyKeys::Drop => Fate::Drop(EMPTY_KEY),
            Mark::Alone => Fate::To(OK),
            Mark::Other => Fate::outside(self.complement, DUPLICATE),
        }
    }
}

impl Keep {
    /// Each with its pointer below the activity.
    fn rules(&self) -> Vec<(String, &Rule)> {
        match self {
            Self::One(rule) => vec![("/keep".to_owned(), rule)],
            Self::Several(rules) => {
                rules.iter().enumerate().map(|(number, rule)| (format!("/keep/{number}"), rule)).collect()
            }
        }
    }
}

impl Rule {
    fn source(&self) -> Option<(&'static str, &Source)> {
        match self {
            Self::Any => None,
            Self::Largest(source) => Some(("largest", source)),
            Self::Smallest(source) => Some(("smallest", source)),
            Self::NonEmpty(source) => Some(("nonEmpty", source)),
        }
    }

    fn order(&self) -> Order {
        match self {
            Self::Largest(_) => Order::Descending,
            Self::Any | Self::Smallest(_) => Order::Ascending,
            Self::NonEmpty(_) => Order::NonEmpty,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
    NonEmpty,
}

/// What records are compared and ranked by.
struct Criteria {
    by: Vec<Bound>,
    ranks: Vec<(Bound, Order)>,
    values: Values,
    empty: Empty,
}

impl Criteria {
    fn rank(&self, batch: &RecordBatch, first: u64) -> Result<Ranked, Failure> {
        let eval = |bound: &Bound| bound.eval(batch, &self.values).map_err(|error| rows::at(error, first));
        let by: Vec<ArrayRef> = self.by.iter().map(eval).collect::<Result<_, _>>()?;
        let ranks = self.ranks.iter().map(|(bound, order)| {
            let array = eval(bound)?;
            let array = match order {
                Order::NonEmpty => Arc::new(sets::empties(&array)) as ArrayRef,
                Order::Ascending | Order::Descending => array,
            };
            Ok((array, SortOptions { descending: *order == Order::Descending, nulls_first: false }))
        });
        Ok(Ranked { keys: sets::keys(&by, self.empty)?, ranks: ranks.collect::<Result<_, Failure>>()? })
    }
}
