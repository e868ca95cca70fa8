//! `campanile demo`

use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use engine::event::Vars;
use engine::failure::{Class, Failure};
use engine::private;
use engine::run::Status;
use sandbox::{Options, Sandbox};
use server::project::{DATA_DEFAULT, Given, Project};
use server::view::RunView;

use crate::commands::{run, sandbox as stand_in, show};
use crate::fault::Fault;
use crate::global::{Global, program, quoted};
use crate::table::{counted, duration, number};
use crate::{report, terminal};

/// The workflow that the demo runs, as it lies in `workflows/`.
const WORKFLOW: &str = include_str!("../../workflows/dynamicsImport.json");
const WORKFLOW_NAME: &str = "dynamicsImport";
/// The activity that imports.
const IMPORT: &str = "import";
/// How many contacts are changed between the two runs.
const CHANGED: usize = 250;
/// The CRM's clock counts whole seconds, and the end of a window is not in it.
const CRM_SECOND: Duration = Duration::from_millis(1_100);

/// Show the main job on a stand-in for Dynamics: import contacts, deduplicate, enrich, update the database; then change
/// some of them and see that only those come again.
///
/// It needs nothing, changes nothing outside its own folder, and ends by itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Generated contacts.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    contacts: u32,
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let sandbox = stand_in::start(Options { seed: 7, ..stand_in::options(args.contacts) })?;
    let folder = fresh_folder(global)?;
    let file = write_project(&folder, &sandbox)?;
    terminal::note(&format!(
        "A stand-in for Dynamics with {} listens at {}.",
        counted(args.contacts.into(), "contact"),
        sandbox.url()
    ));
    terminal::note(&format!("Everything of this demo lies in {}.\n", folder.display()));
    let given = Given { config: Some(folder.join(server::config::FILE_NAME)), data: None };
    let project = Arc::new(Project::load(&given, None)?);

    terminal::note(&format!("1. The first run of {} imports all:", file.display()));
    let Some(first) = one_run(&file, &project, global).await? else { return Ok(ExitCode::from(report::FAILED)) };

    tokio::time::sleep(CRM_SECOND).await;
    let changed = sandbox.admin().change("contacts", CHANGED.min(args.contacts as usize), 99).map_err(refused)?;
    tokio::time::sleep(CRM_SECOND).await;
    let wanted = wanted(&sandbox, &changed)?;
    terminal::note(&format!(
        "\n2. In the CRM, people change {}. The filter takes those that are active and have a mail address: {}.",
        counted(changed.len() as u64, "contact"),
        number(wanted)
    ));
    terminal::note("   The second run imports only those:");
    let Some(second) = one_run(&file, &project, global).await? else { return Ok(ExitCode::from(report::FAILED)) };

    let came = imported(&second);
    if came != wanted {
        let message = format!("the second run imported {came} contacts, not the {wanted} that changed");
        return Err(Failure::internal(message).into());
    }
    terminal::note(&format!(
        "\nThe first run imported {} in {}, the second {}: exactly those that changed.",
        counted(imported(&first), "contact"),
        duration(first.seconds),
        number(came)
    ));
    what_next(args, &sandbox, &folder, &file, &second);
    Ok(ExitCode::SUCCESS)
}

fn what_next(args: &Args, sandbox: &Sandbox, folder: &Path, file: &Path, run: &RunView) {
    let at = |path: &Path| quoted(&path.display().to_string());
    let config = at(&folder.join(server::config::FILE_NAME));
    let data = at(&folder.join("data"));
    let campanile = program();
    terminal::note("\nWhat next:");
    for (what, line) in [
        ("look at the imported records", format!("{campanile} preview {} {IMPORT} --data {data}", run.run)),
        ("see what happened, event by event", format!("{campanile} show {} --journal --data {data}", run.run)),
        ("see where the next import begins", format!("{campanile} options list --data {data}")),
        (
            "look into the database",
            format!("sqlite3 {} 'select * from recipient limit 10'", at(&folder.join("data/marketing.db"))),
        ),
        ("change the workflow, and check it", format!("$EDITOR {file} && {campanile} check {file}", file = at(file))),
        (
            "start the stand-in again, in another window",
            format!("{campanile} sandbox --port {} --contacts {} --seed 7", sandbox.port(), args.contacts),
        ),
        ("and run the workflow against it", format!("{campanile} run {} --config {config}", at(file))),
        ("remove all of this demo", format!("rm -r {}", at(folder))),
    ] {
        terminal::note(&format!("  {what}:\n    {line}"));
    }
}

/// Runs the workflow and shows its counts; none where it did not finish, which was told.
async fn one_run(file: &Path, project: &Arc<Project>, global: &Global) -> Result<Option<RunView>, Fault> {
    let (run, view, follower) = run::start(file, project, Vars::new(), None).await?;
    follower.end().await;
    show::transitions(&view.transitions).print("");
    if view.status == Status::Finished {
        return Ok(Some(view));
    }
    let global = Global { data: Some(project.data.clone()), ..global.clone() };
    report::what_now(&view, &run, &global);
    Ok(None)
}

/// A folder that no earlier demo left something in.
fn fresh_folder(global: &Global) -> Result<PathBuf, Failure> {
    let above = match &global.data {
        Some(data) => data.clone(),
        None => Path::new(DATA_DEFAULT).join("demo"),
    };
    let failed = |error: std::io::Error| Failure::io(format!("cannot make a folder in {}", above.display()), &error);
    if global.data.is_none() {
        // Later runs keep people's records there, and leave the folder as they find it.
        private::make_folder(Path::new(DATA_DEFAULT)).map_err(failed)?;
    }
    let above = absolute(&above).map_err(failed)?;
    let taken = |number: &u32| above.join(number.to_string()).exists();
    let number = (1..).find(|number| !taken(number)).unwrap_or_default();
    let folder = above.join(number.to_string());
    private::make_folders(&folder.join("workflows")).map_err(failed)?;
    Ok(folder)
}

fn write_project(folder: &Path, sandbox: &Sandbox) -> Result<PathBuf, Failure> {
    let file = folder.join("workflows").join(format!("{WORKFLOW_NAME}.json"));
    let config = format!("data = \"data\"\n\n{}", stand_in::account(sandbox, "dynamics"));
    for (path, text) in [(&folder.join(server::config::FILE_NAME), config.as_str()), (&file, WORKFLOW)] {
        private::replace(path, text.as_bytes())
            .map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))?;
    }
    Ok(file)
}

/// How many of these contacts the workflow's filter lets through.
fn wanted(sandbox: &Sandbox, ids: &[String]) -> Result<u64, Failure> {
    let mut wanted = 0;
    for id in ids {
        let record = sandbox.admin().record("contacts", id).map_err(refused)?.unwrap_or_default();
        let mail = record["emailaddress1"].as_str().unwrap_or_default();
        wanted += u64::from(record["statecode"] == 0 && !mail.is_empty());
    }
    Ok(wanted)
}

fn imported(view: &RunView) -> u64 {
    let imports = view.tasks.iter().filter(|task| task.activity == IMPORT);
    imports.filter_map(|task| task.out.get("ok")).sum()
}

fn refused(why: sandbox::Refused) -> Failure {
    Failure::new(Class::Internal, format!("the sandbox refused: {why}"))
}
