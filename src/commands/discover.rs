//! `campanile discover`

use std::process::ExitCode;

use activities::PALETTE;
use engine::engine::Engine;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Object, ObjectField, System, choices};
use engine::outside::database::{Extended, LABELS, NewTable};
use engine::problem::suggestion;
use engine::types::Type;
use serde_json::json;
use server::api::TableToExtend;
use server::opening;

use crate::fault::Fault;
use crate::global::Global;
use crate::table::{Table, counted};
use crate::{report, terminal};

/// The most values of a picklist that a table shows; `--json` has them all.
const VALUES_SHOWN_MAX: usize = 6;

/// Show what an account has: its objects, or an object's fields with their types, limits, picklists and references.
///
/// What is asked is kept for `campanile check`, where there is a data folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The account, as campanile.toml names it.
    account: String,
    /// The object, such as contacts; without it all objects are listed.
    object: Option<String>,
    /// Make a table of the database with the object's columns, or add those that it lacks; nothing that is there changes.
    /// Labels of picklists are kept in the table picklist_label. Without NAME the table is called as the object.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", requires = "object")]
    create_table: Option<String>,
}

pub(super) async fn perform(args: &Args, global: &Global) -> Result<ExitCode, Fault> {
    let project = global.project(None)?;
    // A folder that is not there must not be made by asking.
    let engine = match project.data.exists() {
        true => opening::bare(&project, PALETTE),
        false => opening::looking(&project, PALETTE),
    };
    let Some(object) = &args.object else {
        return objects(&args.account, &engine, global).await;
    };
    let environment = &engine.environment;
    let described = match environment.descriptions.object(environment, &args.account, object).await {
        Ok(described) => described,
        Err(failure) => return Err(similar(failure, &args.account, object, &engine).await.into()),
    };
    let made = match &args.create_table {
        None => None,
        Some(name) => {
            let table = NewTable::of(&described, Some(name.as_str()).filter(|name| !name.is_empty()));
            let wanted = TableToExtend { table, identity: project.identity.clone() };
            let made: Extended = global.call(&project, async |client| client.post("/tables", &wanted).await).await?;
            Some((wanted.table.name, made))
        }
    };
    if global.json {
        let mut told = serde_json::to_value(&*described).unwrap_or_default();
        if let Some((name, made)) = &made {
            told["table"] = json!({ "name": name, "made": made.made, "added": made.added, "differs": made.differs,
                "labels": made.labels });
        }
        terminal::json(&told);
        return Ok(ExitCode::SUCCESS);
    }
    match &made {
        None => tables(&described, environment.account(&args.account)?.system),
        Some((name, made)) => told(name, made, &described),
    }
    Ok(ExitCode::SUCCESS)
}

async fn objects(account: &str, engine: &Engine, global: &Global) -> Result<ExitCode, Fault> {
    let mut objects = engine.environment.crm(account)?.objects().await?;
    objects.sort_by(|a, b| a.name.cmp(&b.name));
    if global.json {
        terminal::json(&objects);
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["OBJECT", "LABEL"]);
    let count = objects.len() as u64;
    objects.into_iter().for_each(|object| table.row(vec![object.name, object.label]));
    table.print("");
    terminal::note(&counted(count, "object"));
    Ok(ExitCode::SUCCESS)
}

/// With the name that was probably meant, where the CRM says that there is no such object and not which there are.
async fn similar(failure: Failure, account: &str, object: &str, engine: &Engine) -> Failure {
    if failure.class != Class::Config || failure.help.is_some() {
        return failure;
    }
    let Ok(crm) = engine.environment.crm(account) else { return failure };
    let Ok(objects) = crm.objects().await else { return failure };
    match suggestion(object, objects.iter().map(|object| object.name.as_str())) {
        Some(help) => failure.help(help),
        None => failure,
    }
}

fn told(name: &str, made: &Extended, object: &Object) {
    let columns = counted(made.added.len() as u64, "column");
    if made.made {
        terminal::note(&format!("table {name} is made of {}, with {columns} and the key {}", object.name, object.id));
    } else if made.added.is_empty() {
        terminal::note(&format!("table {name} has all columns of {}", object.name));
    } else {
        terminal::note(&format!("table {name} has {columns} more: {}", made.added.join(", ")));
    }
    if made.labels > 0 {
        terminal::note(&format!("{} of picklists new in {LABELS}", counted(made.labels, "label")));
    }
    for column in &made.differs {
        report::warning(&format!(
            "column {column} of {name} has another type than {} has; it stays as it is",
            object.name
        ));
    }
}

/// How changes and deletions of an object can be imported, besides by a date that it has.
fn changes(object: &Object, system: &System) -> String {
    match (system.change_feed, object.feed) {
        (true, true) => "keeps a feed of its changes and deletions".to_owned(),
        (true, false) if system.new_feed.is_empty() => "keeps no feed of its changes and deletions".to_owned(),
        (true, false) => format!("keeps no feed of its changes and deletions ({})", system.new_feed),
        (false, true) => format!("deletions can be imported for as long as {} keeps them", system.name),
        (false, false) => format!("{} does not tell its deletions", system.name),
    }
}

fn tables(object: &Object, system: &System) {
    let changes = changes(object, system);
    let internal = match object.internal_name == object.name {
        true => String::new(),
        false => format!(", internally {}", object.internal_name),
    };
    terminal::line(&format!("{} ({}{internal}), id {}; {changes}\n", object.name, object.label, object.id));
    let mut table = Table::new(&["FIELD", "LABEL", "TYPE", "SYSTEM'S TYPE", "LIMITS", "MAY", "VALUES, REFERENCES"]);
    let (usable, others): (Vec<_>, Vec<_>) = object.fields.values().partition(|field| field.is_usable());
    for field in usable {
        table.row(vec![
            field.name.clone(),
            field.label.clone(),
            Type::of(&field.kind.arrow()).map(|kind| kind.to_string()).unwrap_or_default(),
            field.system_type.clone(),
            limits(field),
            may(field),
            beyond(field),
        ]);
    }
    table.print("");
    if !others.is_empty() {
        terminal::line("");
        let mut table = Table::new(&["NEITHER READ NOR WRITTEN", "SYSTEM'S TYPE", "INSTEAD"]);
        for field in others {
            table.row(vec![field.name.clone(), field.system_type.clone(), field.instead.clone().unwrap_or_default()]);
        }
        table.print("");
    }
    if !object.keys.is_empty() {
        terminal::line("");
        let mut keys = Table::new(&["KEY", "FIELDS", "USABLE"]);
        for key in &object.keys {
            let usable = key.unusable.as_ref().map_or_else(|| "yes".to_owned(), |why| format!("no: {why}"));
            keys.row(vec![key.name.clone(), key.fields.join(", "), usable]);
        }
        keys.print("");
    }
}

fn limits(field: &ObjectField) -> String {
    let length = field.length.map(|length| engine::words::counted(length, "character"));
    let range = match (field.min, field.max) {
        (Some(min), Some(max)) => Some(format!("{min} to {max}")),
        (Some(min), None) => Some(format!("from {min}")),
        (None, Some(max)) => Some(format!("to {max}")),
        (None, None) => None,
    };
    length.into_iter().chain(range).collect::<Vec<_>>().join(", ")
}

/// What may be done with it; `required` where the CRM refuses a record without it.
fn may(field: &ObjectField) -> String {
    let words = [
        (field.readable, "read"),
        (field.creatable, "create"),
        (field.updatable, "update"),
        (field.required, "required"),
    ];
    words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

fn beyond(field: &ObjectField) -> String {
    let mut parts = choices(&field.options, VALUES_SHOWN_MAX);
    parts.extend(field.targets.iter().map(|target| format!("→ {} by {}", target.name, target.path)));
    parts.join(", ")
}
