//! What an import asks for and what it makes of it, found from the settings and the description of the object.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use engine::expr::Bound;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Object, ObjectField, ReadField, System};
use engine::script::Functions;
use engine::version;
use jiff::tz::TimeZone;

use super::CrmImport;
use crate::conversion::Conversion;
use crate::rows::wrong;

/// What is read, and what comes out of it.
pub(super) struct Plan {
    /// Columns read: the chosen ones, then those that are added by themselves, then what only we need.
    pub(super) read: Vec<ReadField>,
    /// How each of the first columns is converted; the rest is not passed on.
    conversions: Vec<Conversion>,
    /// The columns that come out, of those that authors see.
    pub(super) out: SchemaRef,
    /// The column of versions.
    version: FieldRef,
    pub(super) filter: Option<Bound>,
    /// The field of the window, where there is one.
    pub(super) index_field: Option<String>,
    /// The place of the id among the columns read.
    pub(super) id: usize,
}

impl Plan {
    /// `is_backfill` reads by date also where changes are followed otherwise.
    ///
    /// # Errors
    /// `Class::Config` where a field is not there or cannot be read; `check` says all of it.
    pub(super) fn new(
        import: &CrmImport,
        object: &Object,
        system: Option<&System>,
        functions: &Arc<Functions>,
        zone: &TimeZone,
        is_backfill: bool,
    ) -> Result<Self, Failure> {
        let mut columns = Columns { object, read: Vec::new(), conversions: Vec::new() };
        for choice in &import.fields {
            let field = columns.field(choice.name())?;
            columns.read.push(ReadField { field, raw: choice.conversion().is_raw() });
            columns.conversions.push(choice.conversion());
        }
        let follows_changes = import.automatic_index.follows_changes();
        let index_field = import.index_field(object, system);
        // Of records found by their ids, the id is known.
        if import.ids.is_none() {
            columns.pass_on(&object.id)?;
        }
        if let Some(field) = index_field.as_deref().filter(|_| !follows_changes) {
            columns.pass_on(field)?;
        }
        if let Some(field) = system.and_then(|system| system.query_all).filter(|_| import.all) {
            columns.pass_on(field)?;
        }
        let passed_on = columns.read.iter().zip(&columns.conversions);
        let out = passed_on.map(|(field, conversion)| conversion.column(&field.column(), zone));
        let out = Arc::new(Schema::new(out.collect::<Vec<FieldRef>>()));
        let index_field = index_field.filter(|_| !follows_changes || is_backfill);
        let filter = match &import.filter {
            None => None,
            Some(source) => Some(source.bind_with(&readable(object), functions).map_err(|errors| {
                errors.into_iter().next().map_or_else(|| Failure::internal("an error without error"), Failure::from)
            })?),
        };
        columns.need(&object.id)?;
        if let Some(field) = &index_field {
            columns.need(field)?;
        }
        for name in filter.iter().flat_map(|filter| filter.expr().fields()) {
            columns.need(name)?;
        }
        let Columns { read, conversions, .. } = columns;
        let id = read.iter().position(|field| field.field.name == object.id).unwrap_or_default();
        let version = version::column(&import.account, &object.name, &object.id);
        Ok(Self { read, conversions, out, version, filter, index_field, id })
    }

    /// The columns that come out.
    pub(super) fn columns(&self, has_versions: bool) -> SchemaRef {
        let version = has_versions.then(|| Arc::clone(&self.version));
        Arc::new(Schema::new(self.out.fields().iter().cloned().chain(version).collect::<Vec<FieldRef>>()))
    }

    /// The column of versions, of records whose ids are in the column `id`.
    pub(super) fn version(&self, id: &str) -> FieldRef {
        version::with_id(&self.version, id)
    }

    /// Reads the field that tells who changed a record last, and tells its place; none if the object does not have it.
    pub(super) fn read_changed_by(&mut self, object: &Object, system: &System) -> Option<usize> {
        let field = object.fields.get(system.changed_by).filter(|field| field.readable)?;
        let place = self.read.iter().position(|read| read.field.name == field.name);
        Some(place.unwrap_or_else(|| {
            self.read.push(ReadField { field: field.clone(), raw: false });
            self.read.len() - 1
        }))
    }

    /// The columns that come out, of those that were read.
    ///
    /// # Errors
    /// A fault of ours.
    pub(super) fn convert(&self, records: &RecordBatch, zone: &TimeZone) -> Result<RecordBatch, Failure> {
        let columns = self.conversions.iter().zip(records.columns());
        let columns: Result<Vec<ArrayRef>, Failure> =
            columns.map(|(conversion, values)| conversion.apply(values, zone)).collect();
        RecordBatch::try_new(Arc::clone(&self.out), columns?).map_err(wrong)
    }
}

struct Columns<'a> {
    object: &'a Object,
    read: Vec<ReadField>,
    conversions: Vec<Conversion>,
}

impl Columns<'_> {
    fn field(&self, name: &str) -> Result<ObjectField, Failure> {
        self.object.fields.get(name).filter(|field| field.readable).cloned().ok_or_else(|| {
            let message = format!("{} has no field {name} that can be read", self.object.name);
            Failure::new(Class::Config, message).help("run `campanile check` on the workflow")
        })
    }

    fn pass_on(&mut self, name: &str) -> Result<(), Failure> {
        if !self.is_read(name) {
            self.need(name)?;
            self.conversions.push(Conversion::Default);
        }
        Ok(())
    }

    fn need(&mut self, name: &str) -> Result<(), Failure> {
        if !self.is_read(name) {
            let field = self.field(name)?;
            self.read.push(ReadField { field, raw: false });
        }
        Ok(())
    }

    fn is_read(&self, name: &str) -> bool {
        self.read.iter().any(|chosen| chosen.field.name == name)
    }
}

/// The columns that a filter may use: every field that can be read.
pub(super) fn readable(object: &Object) -> Schema {
    Schema::new(
        object.fields.values().filter(|field| field.readable).map(|field| field.column(false)).collect::<Vec<_>>(),
    )
}
