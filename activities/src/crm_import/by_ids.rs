//! Imports the records whose ids come in.
//!
//! ```text
//!   inbound ─chunks─▶ ids ─distinct─▶ Crm::fetch, several chunks at once ─in order─▶ inbound + remote columns
//!                      └─ empty, malformed, not found ─▶ reject: the inbound record with the reason
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt64Array, new_null_array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use engine::context::Cx;
use engine::expr::{Source, Value};
use engine::failure::Failure;
use engine::outside::crm::{Crm, Read};
use engine::reject::Reject;
use engine::types::{is_hidden, meta};
use engine::version::{self, VERSION, VERSION_ID};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::chunks::Chunks;
use crate::rejects::{self, Kinds};
use crate::remote_ids::{CHUNK_RECORDS, Found, RemoteIds};
use crate::rows::{self, wrong};

/// Where an import by ids goes on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    /// Inbound records that are done.
    done: u64,
    /// Whether its records have their versions; an older version of Campanile let them go.
    #[serde(default)]
    has_versions: bool,
    rejects: Kinds,
}

/// What is the same for all chunks.
struct Import<'a> {
    crm: Arc<dyn Crm>,
    read: Read,
    plan: &'a Plan,
    ids: RemoteIds,
    /// The columns that come out, of those that authors see.
    out: SchemaRef,
    has_versions: bool,
    zone: TimeZone,
}

/// What becomes of the records of a chunk.
struct Looked {
    records: u64,
    ok: RecordBatch,
    refused: RecordBatch,
    reasons: Vec<Reject>,
}

pub(super) async fn import(
    cx: &mut Cx,
    crm: Arc<dyn Crm>,
    read: Read,
    plan: &Plan,
    ids: &Source,
    at_once: usize,
) -> Result<(), Failure> {
    let (population, inbound) = rows::input(cx).await?;
    let ids = RemoteIds::new(cx, ids, &inbound, &read.object).await?;
    let out = columns(&inbound, &plan.out);
    let mut position = cx.position()?.unwrap_or(Position { has_versions: true, ..Position::default() });
    let Position { done, has_versions, .. } = position;
    let import = Import { crm, read, plan, ids, out: Arc::clone(&out), has_versions, zone: cx.time_zone.clone() };
    let chunks = Chunks::from(&population, done);
    let chunks = stream::try_unfold(chunks, |mut chunks| async move {
        Ok::<_, Failure>(chunks.next(CHUNK_RECORDS).await?.map(|chunk| (chunk, chunks)))
    });
    let import = &import;
    let mut looked = chunks.map_ok(move |chunk| import.look_up(chunk)).try_buffered(at_once).boxed();
    while let Some(Looked { records, ok, refused, reasons }) = looked.try_next().await? {
        cx.write("ok", ok).await;
        if !reasons.is_empty() {
            reasons.iter().for_each(|reason| position.rejects.count(reason));
            cx.write("reject", rejects::batch(&refused, &reasons)?).await;
        }
        position.done += records;
        cx.progress(position.done, Some(population.rows()));
        cx.checkpoint(&position).await?;
    }
    cx.open("ok", out).await;
    position.rejects.warn(cx).await
}

impl Import<'_> {
    async fn look_up(&self, chunk: RecordBatch) -> Result<Looked, Failure> {
        let ids = self.ids.of(&*self.crm, &chunk)?;
        let sound: Vec<String> = ids.iter().filter_map(|id| Some(id.as_ref().ok()?.key.clone())).collect();
        let found = Found::fetch(&*self.crm, &self.read, self.plan.id, &sound).await?;
        let (mut rows, mut places, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
        let mut refused = vec![false; chunk.num_rows()];
        for (row, id) in ids.into_iter().enumerate() {
            match id.and_then(|id| self.place(&found, &id.key)) {
                Ok(place) => {
                    rows.push(row as u64);
                    places.push(place as u64);
                }
                Err(reason) => {
                    refused[row] = true;
                    reasons.push(reason);
                }
            }
        }
        let places = UInt64Array::from(places);
        let remote = self.plan.convert(&found.page.records, &self.zone)?;
        let remote = take_record_batch(&remote, &places).map_err(wrong)?;
        let kept = take_record_batch(&chunk, &UInt64Array::from(rows)).map_err(wrong)?;
        let refused = rows::filter(&chunk, &refused)?;
        let mut ok = self.join(&kept, &remote)?;
        // A record that came from a CRM stays that record, whatever is added to it.
        if self.has_versions && ok.column_by_name(VERSION).is_none() {
            ok = self.with_versions(&ok, &kept, &found, &places)?;
        }
        Ok(Looked { records: chunk.num_rows() as u64, ok, refused, reasons })
    }

    fn place(&self, found: &Found, id: &str) -> Result<usize, Reject> {
        if let Some(place) = found.places.get(id) {
            return Ok(*place);
        }
        Err(match found.misfit(id) {
            Some(misfit) => Reject::new("VALUE_TYPE", &misfit.message)
                .field(&misfit.field)
                .help("correct the value in the CRM, or import the field with the conversion \"copy\""),
            None => self.ids.not_found(id),
        })
    }

    /// Inbound and remote columns side by side.
    fn join(&self, inbound: &RecordBatch, remote: &RecordBatch) -> Result<RecordBatch, Failure> {
        let (schema, mut fields) = (inbound.schema(), self.out.fields().to_vec());
        let visible: Vec<_> =
            schema.fields().iter().zip(inbound.columns()).filter(|(field, _)| !is_hidden(field)).collect();
        let mut columns: Vec<ArrayRef> = visible.iter().map(|(_, column)| Arc::clone(column)).collect();
        columns.extend_from_slice(remote.columns());
        for (mut field, column) in rows::hidden(inbound) {
            // The column of ids may have got another name.
            let id = field.metadata().get(meta::ID);
            let place = id.and_then(|id| visible.iter().position(|(field, _)| field.name() == id));
            if let Some(new) = place.map(|place| self.out.field(place).name()).filter(|new| Some(*new) != id) {
                field = version::with_id(&field, new);
            }
            fields.push(field);
            columns.push(column);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(wrong)
    }

    /// Records with the versions of those that were looked up. Several records may have the same one added: the key of what
    /// came in, if it has one, tells them apart.
    fn with_versions(
        &self,
        ok: &RecordBatch,
        inbound: &RecordBatch,
        found: &Found,
        places: &UInt64Array,
    ) -> Result<RecordBatch, Failure> {
        let rows = ok.num_rows();
        let versions = match &found.page.versions {
            Some(versions) => take(&versions.order, places, None).map_err(wrong)?,
            None => new_null_array(&DataType::Int64, rows),
        };
        let schema = inbound.schema();
        let columns = schema.fields().iter().zip(inbound.columns());
        let keys: Vec<_> = columns.filter(|(field, _)| field.metadata().contains_key(meta::KEY)).collect();
        let remote = take(found.page.records.column(self.plan.id), places, None).map_err(wrong)?;
        let remote = remote.as_string::<i32>();
        let id = |row: usize| {
            let key = keys.iter().map(|(_, key)| format!("\n{}", Value::at(key, row)));
            [remote.value(row).to_owned()].into_iter().chain(key).collect::<String>()
        };
        let ids: StringArray = (0..rows).map(|row| remote.is_valid(row).then(|| id(row))).collect();
        let new = [self.plan.version(VERSION_ID), version::id_column()];
        let fields: Vec<FieldRef> = ok.schema().fields().iter().cloned().chain(new).collect();
        let columns = ok.columns().iter().cloned().chain([versions, Arc::new(ids)]).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(wrong)
    }
}

/// The inbound columns, then the remote ones. An inbound column whose name a remote one has is renamed.
pub(super) fn columns(inbound: &Schema, remote: &Schema) -> SchemaRef {
    let mut fields: Vec<FieldRef> = Vec::new();
    for field in inbound.fields() {
        let mut name = field.name().clone();
        while remote.column_with_name(&name).is_some()
            || (name != *field.name() && inbound.column_with_name(&name).is_some())
        {
            name.push_str("_in");
        }
        let renamed = || Arc::new(field.as_ref().clone().with_name(&name));
        fields.push(if name == *field.name() { Arc::clone(field) } else { renamed() });
    }
    fields.extend(remote.fields().iter().cloned());
    Arc::new(Schema::new(fields))
}
