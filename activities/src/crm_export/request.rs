//! What is asked of a CRM, of the settings and the description of the object.

use std::sync::Arc;

use engine::expr::Source;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Object, ObjectField, Operation, System, Write, WriteField};
use engine::plan::Plan;

use super::compare::Compare;
use super::{CrmExport, DuplicateRules, Volume};
use crate::conversion::Conversion;
use crate::older::OlderVersions;

/// What ends the name of the column that says what a lookup points to.
pub(super) const TYPE_SUFFIX: &str = "_type";

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The account.
    pub(crate) account: String,
    /// The object, as the author names it.
    pub(crate) object: String,
    /// What is written, without the id that we choose.
    pub(crate) write: Write,
    /// What each of its fields is set to.
    pub(crate) values: Vec<(Source, Conversion)>,
    /// By name, columns that say what lookups point to.
    pub(crate) types: Vec<(String, Source)>,
    /// What makes records the same.
    pub(crate) identify: Identify,
    /// Whether records are read first.
    pub(crate) compare: bool,
    /// What becomes of older versions of source records.
    pub(crate) older: OlderVersions,
    pub(crate) guards: Guards,
    /// Where the rejects are written besides.
    pub(crate) rejects_file: Option<String>,
    /// BLAKE3 of the settings that decide what is sent.
    pub(crate) settings: String,
}

/// What makes two records the same one.
#[derive(Debug, Clone)]
pub(crate) enum Identify {
    /// The key of the write.
    Key,
    /// New records have ids that we choose, of these expressions; of the population's own key where it is none.
    Chosen(Option<Vec<Source>>),
    /// Nothing: each is one of its own.
    Nothing,
}

/// When to stop.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Guards {
    /// The most rejects.
    pub(crate) max_rejects: Option<u64>,
    /// The most records that are deleted.
    pub(crate) max_deletes: Option<u64>,
    /// How many records are usual.
    pub(crate) volume: Option<Volume>,
}

impl Request {
    /// Of an export whose settings were checked.
    pub(super) fn of_export(export: &CrmExport, object: Arc<Object>, system: &'static System) -> Result<Self, Failure> {
        let (mut fields, mut values, mut types) = (Vec::new(), Vec::new(), Vec::new());
        for (name, mapped) in &export.set {
            let (source, conversion, target) = mapped.parts();
            if lookup_of_type(&object, name).is_some() {
                types.push((name.clone(), source.clone()));
                continue;
            }
            let field = field(&object, name)?;
            let target = target.map(|target| internal_target(&field, target).unwrap_or_else(|| target.to_owned()));
            fields.push(WriteField { field, raw: conversion.is_raw(), target });
            values.push((source.clone(), conversion));
        }
        let operation = export.what(&object).ok_or_else(|| {
            Failure::new(Class::Config, "it is not said whether records are inserted or updated")
                .help("map the key of the object, or write \"operation\": \"insert\"")
        })?;
        let chooses = operation == Operation::Insert && system.client_ids && !export.set.contains_key(&object.id);
        let identify = match operation {
            Operation::Insert if chooses => Identify::Chosen(export.id_from.as_ref().map(super::IdFrom::sources)),
            Operation::Insert => Identify::Nothing,
            _ => Identify::Key,
        };
        let key = if operation == Operation::Insert { Vec::new() } else { export.key(&object) };
        let write = Write {
            chosen_ids: chooses,
            detect_duplicates: export.duplicate_rules == DuplicateRules::Apply,
            assignment_rule: export.assignment_rule.clone(),
            batch_max: export.batch.size,
            at_once_max: export.batch.parallel,
            ..Write::new(object, operation, key, fields)
        };
        let guards = Guards { max_rejects: export.max_rejects, max_deletes: None, volume: export.volume };
        Ok(Self {
            account: export.account.clone(),
            object: export.object.clone(),
            write,
            values,
            types,
            identify,
            compare: export.compare,
            older: export.older,
            guards,
            rejects_file: export.rejects_file.clone(),
            settings: digest(export)?,
        })
    }

    /// What it would ask of the CRM, for `explain`.
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let Self { account, mut write, compare, .. } = self;
        let compare = compare.then(|| Compare::new(&write)).flatten().map(|compare| Box::new(compare.read));
        if write.chosen_ids {
            let id = field(&write.object, &write.object.id)?;
            write.fields.push(WriteField { field: id, raw: false, target: None });
        }
        Ok(Plan::Write { account, write: Box::new(write), compare })
    }
}

/// Names settings by their content.
pub(crate) fn digest(settings: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_vec(settings).map_err(|error| Failure::internal(error.to_string()))?;
    Ok(blake3::hash(&text).to_hex().to_string())
}

/// A field that the object must have.
pub(crate) fn field(object: &Object, name: &str) -> Result<ObjectField, Failure> {
    object.fields.get(name).cloned().ok_or_else(|| {
        Failure::new(Class::Config, format!("{} has no field \"{name}\"", object.name))
            .help("correct the workflow, or put the field back")
    })
}

/// The lookup whose type a column says.
pub(super) fn lookup_of_type<'a>(object: &'a Object, name: &str) -> Option<&'a ObjectField> {
    let lookup = object.fields.get(name.strip_suffix(TYPE_SUFFIX)?)?;
    (lookup.kind == engine::outside::crm::FieldKind::Lookup).then_some(lookup)
}

/// The internal name of an object that a lookup may point to.
pub(super) fn internal_target(field: &ObjectField, target: &str) -> Option<String> {
    let found = field.targets.iter().find(|known| known.object == target || known.name == target);
    found.map(|known| known.object.clone())
}
