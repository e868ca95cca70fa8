//! `crm.import` as a user has it: the engine, a workflow, sled, a data folder.

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::contacts::FIELDS;
use crate::measure::Fallible;
use crate::work::Done;
use crate::world::{World, dynamics};

/// Imports all of it; from the start of the run until it has finished.
#[tokio::main]
pub(crate) async fn ours(url: &str, folder: &Path) -> Fallible<Done> {
    let fields: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    let workflow = json!({
        "version": 1,
        "activities": { "import": { "type": "crm.import", "account": "dynamics", "object": "contacts", "fields": fields, "parallel": 1 } }
    });
    let account = json!({
        "url": url, "tokenUrl": format!("{url}/tenant/token"), "tenantId": "tenant", "clientId": "c", "clientSecret": "s"
    });
    let world = World::new(folder)?.account(dynamics(account)?);
    let engine = world.engine();
    let begin = Instant::now();
    let run = crate::world::run(&engine, "import.json", &workflow.to_string()).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let segments: Vec<_> = run.tasks.iter().flat_map(|task| task.ports.get("ok").into_iter().flatten()).collect();
    Ok(Done {
        seconds,
        records: segments.iter().map(|segment| segment.rows).sum(),
        segments: segments.len() as u64,
        bytes: segments.iter().map(|segment| segment.bytes).sum(),
        ..Done::default()
    })
}
