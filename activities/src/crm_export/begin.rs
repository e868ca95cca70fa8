//! What all batches of an export depend on: decided once, durable in the temp file before the first batch, and the same
//! whenever the export goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use engine::context::Cx;
use engine::failure::{Class, Failure};
use engine::outside::crm::Crm;
use engine::population::Population;
use serde_json::{Map, Value};

use super::ledger::Ledger;
use super::ledger::state::{Entry, Header, State};
use super::mapping::Mapping;
use super::remember::{self, Found};
use super::request::Request;
use super::{guards, identity};
use crate::sets::Firsts;

/// The temp file, in the folder that the export keeps until its run is over.
pub(super) const LEDGER: &str = "export.ledger";
const FIRSTS: &str = "firsts.places";

pub(super) async fn open(path: PathBuf) -> Result<(Ledger, State), Failure> {
    tokio::task::spawn_blocking(move || Ledger::open(&path))
        .await
        .map_err(|error| Failure::internal(error.to_string()))?
}

pub(super) fn lost(folder: &Path) -> Failure {
    let message = format!("the temp file in {} has less than this task has passed on", folder.display());
    Failure::new(Class::Storage, message).help(
        "put it back from a backup and resume the run; or stop the run, look up in the CRM what was written, and start \
         the workflow again",
    )
}

/// What was decided.
pub(super) struct Begun {
    pub(super) mapping: Arc<Mapping>,
    pub(super) header: Header,
    pub(super) firsts: Option<Firsts>,
    /// What earlier exports did with some of the records.
    pub(super) found: Option<Arc<Found>>,
}

/// Decides, once and durably, what all batches depend on.
pub(super) async fn begin(
    cx: &Cx,
    crm: &Arc<dyn Crm>,
    request: &mut Request,
    population: &Population,
    columns: &SchemaRef,
    folder: &Path,
    ledger: &Ledger,
) -> Result<Begun, Failure> {
    guards::volume(cx, &request.guards, population.rows()).await?;
    let mapping = Arc::new(Mapping::new(cx, request, columns, None).await?);
    request.write.fields.extend(mapping.chosen());
    let firsts = match mapping.is_keyed() {
        true => Some(identity::firsts(cx, crm, &mapping, population, folder).await?),
        false => None,
    };
    if let Some(firsts) = &firsts {
        guards::keys(cx, &request.guards, population.rows(), firsts)?;
    }
    let firsts = firsts.map(|(firsts, _)| firsts);
    let records = population.rows();
    let sent = firsts.as_ref().map_or(records, |firsts| firsts.places.count(0..records).0);
    guards::deletes(cx, &request.guards, sent)?;
    let checksum = firsts.as_ref().map(|firsts| firsts.save(&folder.join(FIRSTS))).transpose()?;
    let plan = crm.write_plan(&request.write, records)?;
    let settings = request.settings.clone();
    let (found, found_sum) = remember::find(cx, crm, request, &mapping, population, folder).await?.unzip();
    let pinned = mapping.pinned.clone();
    let header = Header { plan, settings, pinned, firsts: checksum, records, found: found_sum };
    ledger.append(&Entry::Header(Box::new(header.clone())))?.durable().await?;
    Ok(Begun { mapping, header, firsts, found: found.map(Arc::new) })
}

/// As it was decided when it began.
pub(super) async fn go_on(
    cx: &Cx,
    request: &mut Request,
    header: &Header,
    population: &Population,
    columns: &SchemaRef,
    folder: &Path,
) -> Result<Begun, Failure> {
    if header.settings != request.settings || header.records != population.rows() {
        let message = "the export has begun with other settings, which its batches depend on";
        return Err(Failure::new(Class::Config, message).help("stop the run and start the workflow again"));
    }
    let mapping = Mapping::new(cx, request, columns, Some(&header.pinned)).await?;
    request.write.fields.extend(mapping.chosen());
    let firsts = header.firsts.as_ref().map(|checksum| Firsts::load(&folder.join(FIRSTS), checksum)).transpose()?;
    let found = header.found.as_ref().map(|checksum| Found::load(folder, checksum)).transpose()?;
    Ok(Begun { mapping: Arc::new(mapping), header: header.clone(), firsts, found: found.map(Arc::new) })
}

/// What went out of records of an export that has worked, by field.
///
/// # Errors
/// Where the CRM's description is not known, or the temp file cannot be read.
pub(crate) async fn sent(cx: &Cx, request: &Request, batch: &RecordBatch) -> Result<Vec<Map<String, Value>>, Failure> {
    let path = cx.temp_folder()?.join(LEDGER);
    let header = tokio::task::spawn_blocking(move || Ledger::header(&path));
    let header = header.await.map_err(|error| Failure::internal(error.to_string()))??;
    Mapping::new(cx, request, batch.schema_ref(), header.as_ref().map(|header| &header.pinned)).await?.sent(batch)
}
