//! Which record is which: keys that are compared, and ids that are chosen for new records.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, FieldRef, Schema};
use engine::context::Cx;
use engine::expr::{Bound, Source, Value};
use engine::failure::Failure;
use engine::outside::crm::{Crm, Object};
use engine::population::Population;
use engine::reject::Reject;
use engine::types::meta;
use uuid::Uuid;

use super::mapping::Mapping;
use super::request::{Identify, Request};
use crate::sets::{self, Firsts, Key, Mark, REPEATED_MAX, Ranked};

/// The namespace of all ids that Campanile chooses. It must never change: the same record would get another id.
const NAMESPACE: Uuid = Uuid::from_u128(0x5e0c_3c5d_6c0a_5d0b_9d7e_2f1b_0c8a_71e4);

/// How records are told apart.
#[derive(Debug)]
pub(super) struct Identity {
    by: By,
    /// What a chosen id is made of besides, where the record has a key.
    of_key: Vec<String>,
    /// And where only its place is known.
    of_place: Vec<String>,
    /// What names a source record that has no key is made of besides.
    of_values: Vec<String>,
}

#[derive(Debug)]
enum By {
    /// The fields of the write's key, as places of the mapping's columns.
    Fields(Vec<usize>),
    /// Ids are chosen, of these; where `must` is not set, a record without them is known by its place.
    Chosen { parts: Vec<(String, Bound)>, must: bool },
    /// Each is a record of its own; these only name its source, for later runs.
    Nothing { source: Vec<(String, Bound)> },
}

/// What one record is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyOf {
    Is(Vec<String>),
    /// This part of it is empty.
    Empty(String),
    /// It cannot be one.
    Bad(Reject),
    /// It has none, and needs none.
    Nothing,
}

impl Identity {
    pub(super) fn new(cx: &Cx, request: &Request, columns: &Schema) -> Result<Self, Failure> {
        let by = match &request.identify {
            Identify::Nothing => By::Nothing { source: parts(cx, &of_population(columns), columns)? },
            Identify::Key => {
                let place = |name: &String| request.write.fields.iter().position(|field| field.field.name == *name);
                let places: Option<Vec<usize>> = request.write.key.iter().map(place).collect();
                let none = || Failure::internal("a key field is not set");
                By::Fields(places.filter(|places| !places.is_empty()).ok_or_else(none)?)
            }
            Identify::Chosen(Some(sources)) => By::Chosen { parts: parts(cx, sources, columns)?, must: true },
            Identify::Chosen(None) => By::Chosen { parts: parts(cx, &of_population(columns), columns)?, must: false },
        };
        let object = &request.write.object.name;
        let mut of_key = ["key", &request.account, object].map(str::to_owned).to_vec();
        if matches!(request.identify, Identify::Chosen(None) | Identify::Nothing) {
            // Record 1 of one table is not record 1 of another.
            of_key.extend(keys(columns).filter_map(|field| field.metadata().get(meta::KEY).cloned()));
        }
        let digest = cx.input_digest();
        let run = cx.run_key();
        let of_place =
            ["place", &request.account, object, &cx.workflow, &cx.activity, &run, &digest].map(str::to_owned);
        let of_values = ["values", &request.account, object].map(str::to_owned).to_vec();
        Ok(Self { by, of_key, of_place: of_place.to_vec(), of_values })
    }

    /// What expressions it has besides those of the mapping.
    pub(super) fn bounds(&self) -> Vec<&Bound> {
        match &self.by {
            By::Chosen { parts, .. } | By::Nothing { source: parts } => parts.iter().map(|(_, bound)| bound).collect(),
            By::Fields(_) => Vec::new(),
        }
    }

    /// What names a source record whatever run brings it.
    pub(super) fn named_by(&self) -> &[(String, Bound)] {
        match &self.by {
            By::Chosen { parts, .. } | By::Nothing { source: parts } => parts,
            By::Fields(_) => &[],
        }
    }

    /// What such a name is made of besides.
    pub(super) fn of_key(&self) -> &[String] {
        &self.of_key
    }

    /// And the name of a record without a key, which is made of its values.
    pub(super) fn of_values(&self) -> &[String] {
        &self.of_values
    }

    pub(super) fn resolve(&mut self, values: &engine::expr::Values) -> Result<(), Failure> {
        if let By::Chosen { parts, .. } | By::Nothing { source: parts } = &mut self.by {
            for (_, bound) in parts {
                *bound = bound.resolve(values)?;
            }
        }
        Ok(())
    }

    /// Whether two records may be the same.
    pub(super) fn is_keyed(&self) -> bool {
        match &self.by {
            By::Fields(_) => true,
            By::Chosen { parts, .. } => !parts.is_empty(),
            By::Nothing { .. } => false,
        }
    }

    /// The columns of the mapping that it needs.
    pub(super) fn fields(&self) -> &[usize] {
        match &self.by {
            By::Fields(fields) => fields,
            By::Chosen { .. } | By::Nothing { .. } => &[],
        }
    }

    /// The names of what the key is made of, for messages.
    pub(super) fn names(&self, mapping: &Mapping) -> Vec<String> {
        match &self.by {
            By::Fields(fields) => fields.iter().map(|place| mapping.name(*place).to_owned()).collect(),
            By::Chosen { parts, .. } => parts.iter().map(|(name, _)| name.clone()).collect(),
            By::Nothing { .. } => Vec::new(),
        }
    }

    /// What each record is known by. `fields` are the values of [`fields`](Self::fields).
    pub(super) fn keys(
        &self,
        crm: &dyn Crm,
        object: &Object,
        mapping: &Mapping,
        batch: &RecordBatch,
        fields: &[ArrayRef],
    ) -> Result<Vec<KeyOf>, Failure> {
        let rows = batch.num_rows();
        match &self.by {
            By::Nothing { .. } => Ok(vec![KeyOf::Nothing; rows]),
            By::Fields(places) => {
                let names: Vec<&str> = places.iter().map(|place| mapping.name(*place)).collect();
                Ok((0..rows).map(|row| of_fields(crm, object, &names, fields, row)).collect())
            }
            By::Chosen { parts, must } => {
                let mut arrays = Vec::with_capacity(parts.len());
                let mut failed: Vec<Option<Reject>> = vec![None; rows];
                for (name, bound) in parts {
                    let (array, failing) = crate::rows::eval(bound, batch, mapping.values())?;
                    for (row, error) in failing {
                        failed[row].get_or_insert(crate::rows::failed(name, error));
                    }
                    arrays.push(array);
                }
                let key = |(row, failed): (usize, Option<Reject>)| match failed {
                    Some(reject) => KeyOf::Bad(reject),
                    None if parts.is_empty() => KeyOf::Nothing,
                    None => match arrays.iter().position(|array| sets::is_empty(array, row)) {
                        Some(_) if !must => KeyOf::Nothing,
                        Some(empty) => KeyOf::Empty(parts[empty].0.clone()),
                        None => KeyOf::Is(arrays.iter().map(|array| text(array, row)).collect()),
                    },
                };
                Ok(failed.into_iter().enumerate().map(key).collect())
            }
        }
    }

    /// The id that is chosen for a record.
    pub(super) fn chosen(&self, key: &KeyOf, place: u64) -> String {
        let mut name = String::new();
        let mut add = |part: &str| {
            // With its length, so that no two lists of parts are written alike.
            write!(name, "{}:{part};", part.len()).ok();
        };
        match key {
            KeyOf::Is(parts) => self.of_key.iter().chain(parts).for_each(|part| add(part)),
            _ => {
                self.of_place.iter().for_each(|part| add(part));
                add(&place.to_string());
            }
        }
        Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
    }
}

/// The columns by which a population itself tells its records apart.
pub(super) fn keys(columns: &Schema) -> impl Iterator<Item = &FieldRef> {
    columns.fields().iter().filter(|field| field.metadata().contains_key(meta::KEY))
}

/// The key that the population itself has.
fn of_population(columns: &Schema) -> Vec<Source> {
    keys(columns).map(|field| Source::from(format!("field({:?})", field.name()))).collect()
}

fn parts(cx: &Cx, sources: &[Source], columns: &Schema) -> Result<Vec<(String, Bound)>, Failure> {
    sources.iter().map(|source| Ok((source.text().to_owned(), cx.bind(source, columns)?))).collect()
}

fn of_fields(crm: &dyn Crm, object: &Object, names: &[&str], fields: &[ArrayRef], row: usize) -> KeyOf {
    let mut parts = Vec::with_capacity(names.len());
    for (name, array) in names.iter().zip(fields) {
        if sets::is_empty(array, row) {
            return KeyOf::Empty((*name).to_owned());
        }
        match crm.key(object, name, &text(array, row)) {
            Ok(part) => parts.push(part),
            Err(message) => {
                let help = "correct it where the record comes from";
                return KeyOf::Bad(Reject::new("ID_MALFORMED", message).field(*name).help(help));
            }
        }
    }
    KeyOf::Is(parts)
}

/// A value as keys are compared.
pub(super) fn text(array: &ArrayRef, row: usize) -> String {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        // All its digits, also more than an expression computes with.
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        _ => Value::at(array, row).to_string(),
    }
}

/// The group of equal keys that a key belongs to.
fn group(key: &KeyOf) -> Option<Key> {
    let KeyOf::Is(parts) = key else { return None };
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.finalize().as_bytes().first_chunk().copied().map(u128::from_be_bytes)
}

/// Of how many records the key is empty or cannot be one.
#[derive(Debug, Default)]
pub(super) struct Unkeyed {
    empty: AtomicU64,
    bad: AtomicU64,
}

impl Unkeyed {
    fn count(&self, key: &KeyOf) {
        match key {
            KeyOf::Empty(_) => &self.empty,
            KeyOf::Bad(_) => &self.bad,
            KeyOf::Is(_) | KeyOf::Nothing => return,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    /// Those that are rejects before anything is sent, by code.
    pub(super) fn rejects(&self) -> [(&'static str, u64); 2] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("KEY_EMPTY", count(&self.empty)), ("ID_MALFORMED", count(&self.bad))]
    }
}

/// The first record of each key, over the whole population, and those that have none.
pub(super) async fn firsts(
    cx: &Cx,
    crm: &Arc<dyn Crm>,
    mapping: &Arc<Mapping>,
    population: &Population,
    folder: &Path,
) -> Result<(Firsts, Arc<Unkeyed>), Failure> {
    let (crm, mapping) = (Arc::clone(crm), Arc::clone(mapping));
    let unkeyed = Arc::new(Unkeyed::default());
    let counted = Arc::clone(&unkeyed);
    let ranking = move |batch: &RecordBatch, _: u64| {
        let keys = mapping.keys(&*crm, batch)?;
        keys.iter().for_each(|key| counted.count(key));
        Ok(Ranked { keys: keys.iter().map(group).collect(), ranks: Vec::new() })
    };
    let memory = cx.limits().set_memory_mib.max(1) * 1024 * 1024;
    let firsts = sets::firsts(population, Arc::new(ranking), REPEATED_MAX, memory, &folder.join("spill")).await?;
    Ok((firsts, unkeyed))
}

/// Why a record's key keeps it from being sent, if it does.
pub(super) fn refusal(key: &KeyOf, names: &[String], place: u64, firsts: Option<&Firsts>) -> Option<Reject> {
    match key {
        KeyOf::Bad(reject) => Some(reject.clone()),
        KeyOf::Empty(field) => Some(
            Reject::new("KEY_EMPTY", format!("the key \"{field}\" is empty"))
                .field(field)
                .help("fill it in where the record comes from, or leave such records out beforehand"),
        ),
        KeyOf::Nothing => None,
        KeyOf::Is(_) => {
            let firsts = firsts.filter(|firsts| firsts.places.get(place) == Mark::Other)?;
            let names = names.join(", ");
            let message = match group(key).and_then(|key| firsts.repeated.get(&key)) {
                Some(first) => format!("record {} has the same {names}; only the first is sent", first + 1),
                None => format!("an earlier record has the same {names}; only the first is sent"),
            };
            let help = "put a deduplication before, which chooses the record that is sent";
            Some(Reject::new("KEY_REPEATED", message).field(names).help(help))
        }
    }
}
