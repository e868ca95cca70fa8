//! Records become values of the CRM's fields, or rejects.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use engine::context::Cx;
use engine::expr::{Bound, Value, Values};
use engine::failure::{Class, Failure};
use engine::outside::crm::{Crm, Object, ObjectField, WriteField};
use engine::reject::Reject;
use serde_json::{Map, Value as Json};

use super::identity::{self, Identity, KeyOf};
use super::request::{Request, field};
use super::values;
use crate::conversion::Conversion;
use crate::pinned::Pinned;
use crate::rows;
use crate::sent::Sent;
use crate::sets::Firsts;

/// How records become values.
#[derive(Debug)]
pub(super) struct Mapping {
    columns: Vec<Column>,
    /// What lookups point to, record by record.
    types: Vec<(String, Bound)>,
    pub(super) identity: Identity,
    object: Arc<Object>,
    /// The field of the ids that we choose.
    chosen: Option<ObjectField>,
    values: Values,
    pub(super) pinned: Pinned,
}

#[derive(Debug)]
struct Column {
    field: ObjectField,
    bound: Bound,
    conversion: Conversion,
}

/// Records on their way.
pub(super) struct Mapped {
    /// The columns of the write, for all records, sound or not.
    pub(super) records: RecordBatch,
    pub(super) keys: Vec<KeyOf>,
    /// Why a record cannot be sent.
    pub(super) rejects: Vec<Option<Reject>>,
}

impl Mapping {
    pub(super) async fn new(
        cx: &Cx,
        request: &Request,
        columns: &Schema,
        pinned: Option<&Pinned>,
    ) -> Result<Self, Failure> {
        let mut mapped = Vec::with_capacity(request.values.len());
        for (WriteField { field, .. }, (source, conversion)) in request.write.fields.iter().zip(&request.values) {
            let bound = cx.bind(source, columns)?;
            mapped.push(Column { field: field.clone(), bound, conversion: *conversion });
        }
        let bind = |(name, source): &(String, _)| Ok((name.clone(), cx.bind(source, columns)?));
        let types = request.types.iter().map(bind).collect::<Result<Vec<_>, Failure>>()?;
        let identity = Identity::new(cx, request, columns)?;
        let bounds: Vec<&Bound> = mapped
            .iter()
            .map(|column| &column.bound)
            .chain(types.iter().map(|(_, bound)| bound))
            .chain(identity.bounds())
            .collect();
        let (values, pinned) = Pinned::values(cx, &bounds, pinned).await?;
        let object = Arc::clone(&request.write.object);
        let chosen = request.write.chosen_ids.then(|| field(&object, &object.id)).transpose()?;
        let mut mapping = Self { columns: mapped, types, identity, object, chosen, values, pinned };
        mapping.resolve()?;
        Ok(mapping)
    }

    /// What is known of variables now decides the types.
    fn resolve(&mut self) -> Result<(), Failure> {
        for Column { field, bound, conversion } in &mut self.columns {
            *bound = bound.resolve(&self.values)?;
            if values::fits(&bound.ty(), field.kind, *conversion).is_err() {
                let there = values::named(field.kind);
                let message = format!("what is set into {} is {}, but it takes {there}", field.name, bound.ty());
                return Err(Failure::new(Class::Config, message).help("correct the workflow"));
            }
        }
        for (_, bound) in &mut self.types {
            *bound = bound.resolve(&self.values)?;
        }
        self.identity.resolve(&self.values)
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// The name of a column.
    pub(super) fn name(&self, place: usize) -> &str {
        self.columns.get(place).map_or("", |column| &column.field.name)
    }

    pub(super) fn is_keyed(&self) -> bool {
        self.identity.is_keyed()
    }

    /// What the write has besides what its author set.
    pub(super) fn chosen(&self) -> Option<WriteField> {
        self.chosen.clone().map(|field| WriteField { field, raw: false, target: None })
    }

    /// The name of the field of the ids that we choose.
    pub(super) fn chosen_name(&self) -> Option<&str> {
        self.chosen.as_ref().map(|field| field.name.as_str())
    }

    /// What each record is known by.
    pub(super) fn keys(&self, crm: &dyn Crm, batch: &RecordBatch) -> Result<Vec<KeyOf>, Failure> {
        let places = self.identity.fields().iter();
        let mut arrays = Vec::new();
        for column in places.filter_map(|place| self.columns.get(*place)) {
            arrays.push(self.compute(column, batch)?.0);
        }
        self.identity.keys(crm, &self.object, self, batch, &arrays)
    }

    /// Maps records, of which the first has this place in the population.
    pub(super) fn map(
        &self,
        crm: &dyn Crm,
        batch: &RecordBatch,
        place: u64,
        firsts: Option<&Firsts>,
    ) -> Result<Mapped, Failure> {
        let mut rejects: Vec<Option<Reject>> = vec![None; batch.num_rows()];
        let mut arrays: Vec<(String, ArrayRef, bool)> = Vec::with_capacity(self.columns.len() + 1);
        for column in &self.columns {
            let (array, refused) = self.compute(column, batch)?;
            for (row, reject) in refused {
                rejects[row].get_or_insert(reject);
            }
            arrays.push((column.field.name.clone(), array, true));
        }
        let fields: Vec<ArrayRef> = self.identity.fields().iter().map(|place| Arc::clone(&arrays[*place].1)).collect();
        let keys = self.identity.keys(crm, &self.object, self, batch, &fields)?;
        let names = self.identity.names(self);
        for ((place, key), reject) in (place..).zip(&keys).zip(&mut rejects) {
            if reject.is_none() {
                *reject = identity::refusal(key, &names, place, firsts);
            }
        }
        if let Some(field) = &self.chosen {
            let ids = (place..).zip(&keys).map(|(place, key)| Some(self.identity.chosen(key, place)));
            arrays.push((field.name.clone(), Arc::new(ids.collect::<StringArray>()), true));
        }
        for (name, bound) in &self.types {
            let (array, failing) = rows::eval(bound, batch, &self.values)?;
            for (row, error) in failing {
                rejects[row].get_or_insert(rows::failed(name, error));
            }
            arrays.push((name.clone(), crate::file_extract::text::written(&array)?, true));
        }
        let records = RecordBatch::try_from_iter_with_nullable(arrays).map_err(rows::wrong)?;
        Ok(Mapped { records, keys, rejects })
    }

    /// What goes out of each record of what its author set, by field.
    pub(super) fn sent(&self, batch: &RecordBatch) -> Result<Vec<Map<String, Json>>, Failure> {
        let mut sent = Sent::of(batch);
        for Column { field, bound, conversion } in &self.columns {
            let (array, _) = rows::eval(bound, batch, &self.values)?;
            let (converted, lost) = values::convert(&array, field.kind, *conversion, &self.values.zone)?;
            sent.add(&field.name, &array, &converted, &lost);
        }
        for (name, bound) in &self.types {
            let (array, _) = rows::eval(bound, batch, &self.values)?;
            sent.add(name, &array, &array, &[]);
        }
        Ok(sent.records())
    }

    /// A column's values, and the records for which it has none that can be sent.
    fn compute(&self, column: &Column, batch: &RecordBatch) -> Result<(ArrayRef, Vec<(usize, Reject)>), Failure> {
        let Column { field, bound, conversion } = column;
        let (array, failing) = rows::eval(bound, batch, &self.values)?;
        let mut rejects: Vec<(usize, Reject)> =
            failing.into_iter().map(|(row, error)| (row, rows::failed(&field.name, error))).collect();
        let (converted, lost) = values::convert(&array, field.kind, *conversion, &self.values.zone)?;
        rejects.extend(lost.into_iter().map(|row| {
            let message = format!("\"{}\" cannot be sent as {}", Value::at(&array, row), values::named(field.kind));
            (row, Reject::new("VALUE_TYPE", message).field(&field.name).help(values::cure(field)))
        }));
        Ok((converted, rejects))
    }
}
