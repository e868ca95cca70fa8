//! `dedupe`: keeps one record of each group of equal ones.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use engine::activity::{Activity, Columns, Flow, Port, Spec};
use engine::context::Cx;
use engine::event::Segment;
use engine::expr::{Bound, Source, Values};
use engine::failure::Failure;
use engine::flow::FlowCx;
use engine::population::Population;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rows::{self, Out};
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
    ports: &[Port::always("ok")],
    optional_ports: &[(COMPLEMENT, "\"complement\": true")],
    example: r#"{
        "type": "dedupe",
        "by": ["lower(emailaddress1)"],
        "keep": [{ "nonEmpty": "telephone1" }, { "largest": "modifiedon" }],
        "complement": true,
        "to": { "ok": "next", "complement": "next" }
    }"#,
    ..Spec::of::<Dedupe>()
};

const OK: &str = "ok";
const COMPLEMENT: &str = "complement";

/// Where a task goes on: the choice is made once, and kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    /// The checksum of the file with the choice.
    chosen: String,
    /// The file of the population to go on with.
    segment: usize,
    /// The place of its first record.
    place: u64,
}

#[async_trait]
impl Activity for Dedupe {
    fn flow(&self, input: &Columns, cx: &mut FlowCx<'_>) -> Flow {
        let input = &rows::require("a deduplication", input, cx);
        for (number, by) in self.by.iter().enumerate() {
            cx.expression(&format!("/by/{number}"), by, input, None);
        }
        for (pointer, rule) in self.keep.rules() {
            if let Some((word, source)) = rule.source() {
                cx.expression(&format!("{pointer}/{word}"), source, input, None);
            }
        }
        self.ports().map(|port| (port.to_owned(), input.clone())).collect()
    }

    async fn run(&self, cx: &mut Cx) -> Result<(), Failure> {
        let (population, columns) = rows::input(cx).await?;
        let file = cx.own_folder()?.join("chosen.places");
        let (chosen, mut position) = match cx.position::<Position>()? {
            Some(position) => (Firsts::load(&file, &position.chosen)?, position),
            None => {
                let chosen = self.choose(cx, &population, &columns).await?;
                let position = Position { chosen: chosen.save(&file)?, segment: 0, place: 0 };
                cx.seal(&position).await?;
                (chosen, position)
            }
        };
        let places = &chosen.places;
        let mut divider = Divider { dedupe: self, population: &population, places, out: Out::default() };
        for segment in &population.segments()[position.segment..] {
            divider.divide(cx, segment, &position).await?;
            position.segment += 1;
            position.place += segment.rows;
            cx.progress(position.place, Some(population.rows()));
            cx.checkpoint(&position).await?;
        }
        for port in self.ports() {
            divider.out.open(cx, port, &columns).await;
        }
        Ok(())
    }

    fn own_ports(&self) -> Vec<Port> {
        self.complement.then(|| Port::always(COMPLEMENT)).into_iter().collect()
    }
}

impl Dedupe {
    fn ports(&self) -> impl Iterator<Item = &'static str> {
        [OK].into_iter().chain(self.complement.then_some(COMPLEMENT))
    }

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

    /// The port of a record, or the rule by which it is let go.
    fn fate(&self, mark: Mark) -> Result<&'static str, &'static str> {
        match mark {
            Mark::First => Ok(OK),
            Mark::Alone if self.empty_keys == EmptyKeys::Drop => Err("emptyKey"),
            Mark::Alone => Ok(OK),
            Mark::Other if self.complement => Ok(COMPLEMENT),
            Mark::Other => Err("duplicate"),
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

/// Puts the records of each file on their ports.
struct Divider<'a> {
    dedupe: &'a Dedupe,
    population: &'a Population,
    places: &'a Places,
    out: Out,
}

impl Divider<'_> {
    async fn divide(&mut self, cx: &mut Cx, segment: &Segment, position: &Position) -> Result<(), Failure> {
        let places = position.place..position.place + segment.rows;
        let fates = self.fates(places);
        // A file whose records all go the same way is not written again.
        if let [(fate, _)] = fates[..] {
            return match fate {
                Ok(port) => self.out.pass_on(cx, port, segment, position).await,
                Err(rule) => {
                    cx.dropped(rule, segment.rows);
                    Ok(())
                }
            };
        }
        let mut batches = rows::only(self.population, segment).read();
        let mut place = position.place;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let end = place + batch.num_rows() as u64;
            for (fate, _) in &fates {
                if let Ok(port) = fate {
                    let keep: Vec<bool> =
                        (place..end).map(|place| self.dedupe.fate(self.places.get(place)) == *fate).collect();
                    self.out.write(cx, port, rows::filter(&batch, &keep)?).await;
                }
            }
            place = end;
        }
        for (fate, records) in fates {
            if let Err(rule) = fate {
                cx.dropped(rule, records);
            }
        }
        Ok(())
    }

    /// What becomes of the records in these places, and of how many; of none, they stay.
    fn fates(&self, places: Range<u64>) -> Vec<(Result<&'static str, &'static str>, u64)> {
        let records = places.end - places.start;
        let (firsts, alone) = self.places.count(places);
        let mut fates = Vec::new();
        for (mark, count) in [(Mark::First, firsts), (Mark::Alone, alone), (Mark::Other, records - firsts - alone)] {
            let fate = self.dedupe.fate(mark);
            match fates.iter_mut().find(|(other, _)| *other == fate) {
                Some((_, sum)) => *sum += count,
                None => fates.push((fate, count)),
            }
        }
        let any = fates.iter().any(|(_, count)| *count > 0);
        fates.retain(|(fate, count)| *count > 0 || (!any && *fate == Ok(OK)));
        fates
    }
}
