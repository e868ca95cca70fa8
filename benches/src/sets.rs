//! Deduplication of more records than fit into the memory it may use.

use std::path::Path;

use engine::run::Run;
use serde_json::json;

use crate::measure::{Fallible, float, target, title};
use crate::work::{Done, Work, elsewhere};
use crate::world::{World, run};

/// What a process may need besides the limit, in MiB.
const BESIDES_MIB: f64 = 200.0;

/// How much is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Records.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000_000, 10_000_000])]
    records: Vec<u64>,
    /// The limit of set operations, in MiB.
    #[arg(long, value_delimiter = ',', default_values_t = [256, 64])]
    memory: Vec<u32>,
}

impl Default for Args {
    fn default() -> Self {
        Self { records: vec![1_000_000, 10_000_000], memory: vec![256, 64] }
    }
}

/// Measures it.
pub(crate) fn bench(args: &Args) -> Fallible<()> {
    title("dedupe by lower(emailaddress1), keep the largest modifiedon")?;
    for &records in &args.records {
        for &memory in &args.memory {
            let groups = records / 10 * 9;
            let folder = tempfile::tempdir()?;
            let folder = folder.path().to_owned();
            let done = elsewhere(&Work::Dedupe { records, groups, memory_mib: usize::try_from(memory)?, folder })?;
            if done.records != groups {
                return Err(format!("{} records were kept, not {groups}", done.records).into());
            }
            println!(
                "  {records} records, {groups} groups, limit {memory} MiB: {:.2} s, {:.0} records/s, {:.2} s of processor with the making of the records",
                done.seconds,
                float(records) / done.seconds,
                done.processor_seconds,
            );
            let most = f64::from(memory) + BESIDES_MIB;
            target("peak memory", float(done.peak_kib) / 1024.0, most, " MiB");
        }
    }
    Ok(())
}

/// Makes the records, which is not measured, and deduplicates them.
#[tokio::main]
pub(crate) async fn dedupe(records: u64, groups: u64, memory_mib: usize, folder: &Path) -> Fallible<Done> {
    let workflow = json!({ "version": 1, "activities": {
        "people": { "type": "people", "records": records, "groups": groups, "to": "dedupe" },
        "dedupe": { "type": "dedupe", "by": ["lower(emailaddress1)"], "keep": { "largest": "modifiedon" } }
    } });
    let mut world = World::new(folder)?;
    world.limits.set_memory_mib = memory_mib;
    let run = run(&world.engine(), "sets.json", &workflow.to_string()).await?;
    let kept = run.tasks.iter().filter(|task| task.activity == "dedupe").flat_map(|task| task.ports.get("ok"));
    let records = kept.flatten().map(|segment| segment.rows).sum();
    Ok(Done { seconds: task_seconds(&run, "dedupe")?, records, ..Done::default() })
}

/// How long a task took, as the journal has it.
pub(crate) fn task_seconds(run: &Run, activity: &str) -> Fallible<f64> {
    let task = run.tasks.iter().find(|task| task.activity == activity).ok_or("no such task")?;
    Ok(task.ended.ok_or("it did not end")?.duration_since(task.started).as_secs_f64())
}
