//! Check of a large workflow, in this process and through the binary; start of the binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use engine::describe::Ask;
use engine::engine::Engine;
use sandbox::Sandbox;
use serde_json::{Map, Value, json};

use crate::demo;
use crate::measure::{Fallible, median, ms, seconds, target, title};
use crate::world::{World, dynamics};

const ACTIVITIES: usize = 200;
const CHECK_MS_MAX: f64 = 50.0;
const START_MS_MAX: f64 = 100.0;
const ROUNDS: usize = 21;

/// Measures it.
pub(crate) fn bench() -> Fallible<()> {
    title(&format!("check of a workflow of {ACTIVITIES} activities"))?;
    let project = tempfile::tempdir()?;
    let file = write_project(project.path())?;
    let text = fs::read_to_string(&file)?;
    in_process(project.path(), &text)?;
    let Some(binary) = binary() else {
        println!("  not measured: the binary, which is not built; `cargo build --release` builds it");
        return Ok(());
    };
    let start = started(&binary, &["--version".into()])?;
    target("campanile --version", start * 1e3, START_MS_MAX, " ms");
    let check = started(&binary, &["check".into(), file])?;
    target("campanile check, the whole process", check * 1e3, START_MS_MAX, " ms");
    Ok(())
}

#[tokio::main]
async fn in_process(project: &Path, text: &str) -> Fallible<()> {
    let sandbox = Sandbox::start(demo::options(0))?;
    let account = demo::account(&sandbox);
    let config = format!("data = \"data\"\n\n[accounts.dynamics]\nkind = \"dynamics\"\n{}", toml(&account));
    fs::write(project.join("campanile.toml"), config)?;
    let engine = World::new(&project.join("data"))?.account(dynamics(account)?).engine();
    // What the CRM has is described once and kept, as by a first run.
    check(&engine, text, Ask::Refresh).await?;
    let first = World::new(&project.join("other"))?.engine();
    let begin = Instant::now();
    let (_, findings) = first.check("large.json", "large", text, Ask::Kept).await;
    println!(
        "  first check of a process {} ({} problems, since nothing is known)",
        ms(begin.elapsed().as_secs_f64()),
        findings.problems.len()
    );
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.push(check(&engine, text, Ask::Kept).await?);
    }
    target("check in process", median(times) * 1e3, CHECK_MS_MAX, " ms");
    Ok(())
}

async fn check(engine: &Engine, text: &str, ask: Ask) -> Fallible<f64> {
    let begin = Instant::now();
    let (_, findings) = engine.check("large.json", "large", text, ask).await;
    let seconds = begin.elapsed().as_secs_f64();
    if findings.problems.is_empty() && findings.unchecked.is_empty() {
        return Ok(seconds);
    }
    Err(format!("the workflow is not right: {:#?} {:?}", findings.problems, findings.unchecked).into())
}

/// The middle time of a process from its start to its end.
fn started(binary: &Path, arguments: &[PathBuf]) -> Fallible<f64> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let (time, status) = seconds(|| {
            Ok(Command::new(binary).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status()?)
        })?;
        if !status.success() {
            return Err(format!("{} {arguments:?}: {status}", binary.display()).into());
        }
        times.push(time);
    }
    Ok(median(times))
}

/// The binary beside this one.
fn binary() -> Option<PathBuf> {
    let binary = std::env::current_exe().ok()?.parent()?.join("campanile");
    binary.exists().then_some(binary)
}

fn write_project(folder: &Path) -> Fallible<PathBuf> {
    let file = folder.join("workflows/large.json");
    fs::create_dir_all(folder.join("workflows"))?;
    fs::write(&file, serde_json::to_string_pretty(&workflow())?)?;
    Ok(file)
}

/// Lanes of eight activities beside each other.
fn workflow() -> Value {
    let mut activities = Map::new();
    for lane in 1..=ACTIVITIES / LANE {
        for (name, activity) in lane_of(lane) {
            activities.insert(name, activity);
        }
    }
    json!({ "version": 1, "activities": activities })
}

/// Activities of a lane.
const LANE: usize = 8;

fn lane_of(n: usize) -> [(String, Value); LANE] {
    let name = |word: &str| format!("{word}{n}");
    [
        (name("every"), json!({ "type": "scheduler", "every": "15m", "to": name("import") })),
        (
            name("import"),
            json!({
                "type": "crm.import", "account": "dynamics", "object": "contacts",
                "fields": ["firstname", "lastname", "emailaddress1", "address1_country", "telephone1"],
                "filter": "statecode == 0 && !is_empty(emailaddress1) && lower(lastname) != \"test\"",
                "automaticIndex": true, "to": { "ok": name("dedupe"), "error": name("wait") }
            }),
        ),
        (name("wait"), json!({ "type": "wait", "for": "5m", "attempts": 5, "to": name("import") })),
        (
            name("dedupe"),
            json!({
                "type": "dedupe", "by": ["lower(emailaddress1)"], "keep": { "largest": "modifiedon" },
                "complement": true, "to": { "ok": name("enrich"), "complement": name("duplicates") }
            }),
        ),
        (
            name("enrich"),
            json!({
                "type": "enrich", "table": "country", "join": { "iso": "address1_country" },
                "add": { "country_label": "label" }, "compute": { "full_name": "firstname + \" \" + lastname" },
                "to": name("save")
            }),
        ),
        (
            name("save"),
            json!({
                "type": "database.update", "table": "recipient", "operation": "upsert", "key": ["email"],
                "set": { "email": "lower(emailaddress1)", "crm_id": "contactid", "last_name": "lastname" },
                "to": { "ok": name("end") }
            }),
        ),
        (name("duplicates"), json!({ "type": "file.extract", "path": format!("duplicates{n}.csv") })),
        (name("end"), json!({ "type": "end" })),
    ]
}

/// A flat object of texts as TOML; JSON's texts are TOML's.
fn toml(object: &Value) -> String {
    let lines = object.as_object().into_iter().flatten().map(|(key, value)| format!("{key} = {value}\n"));
    lines.collect()
}
