//! What is wrong with the settings of an import, given what the CRM has.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::activity::Columns;
use engine::flow::FlowCx;
use engine::outside::crm::{Object, ObjectField, System};
use engine::types::Type;
use engine::words::counted;

use super::CrmImport;
use super::by_ids;
use super::plan::{Plan, readable};
use super::settings::OwnWritesChoice;
use crate::conversion::Conversion;
use crate::near;
use crate::rejects;

/// What comes out of `ok` and `reject`.
pub(super) fn flow(import: &CrmImport, input: &Columns, cx: &mut FlowCx<'_>) -> (Columns, Columns) {
    check_together(import, cx);
    let object = cx.object(&import.account, &import.object);
    let remote = match &object {
        None => {
            if let Some(filter) = &import.filter {
                cx.expression("/filter", filter, &Columns::Unknown, Some(&Type::Bool));
            }
            Columns::Unknown
        }
        Some(object) => remote_columns(import, object, cx),
    };
    let Some(ids) = &import.ids else {
        if let Some(columns) = input.known() {
            let message =
                format!("this import does not use the {} that lead into it", counted(columns.fields().len(), "column"));
            let help = "lead from an activity without records, or import by them with \"ids\"".to_owned();
            cx.problem("", "population-not-used", message, Some(help));
        }
        let rejects = remote.known().map_or(Columns::Unknown, |schema| Columns::Known(rejects::columns(schema)));
        return (remote, rejects);
    };
    let input = crate::rows::require("an import by ids", input, cx);
    cx.expression("/ids", ids, &input, Some(&Type::Text));
    let ok = match (input.known(), remote.known()) {
        (Some(inbound), Some(remote)) => {
            let columns = by_ids::columns(inbound, remote);
            for (field, new) in inbound.fields().iter().zip(columns.fields()) {
                if field.name() != new.name() {
                    tell_renamed(field.name(), new.name(), cx);
                }
            }
            Columns::Known(columns)
        }
        _ => Columns::Unknown,
    };
    let rejects = input.known().map_or(Columns::Unknown, |schema| Columns::Known(rejects::columns(schema)));
    (ok, rejects)
}

/// An inbound column that gives its name to a field of the CRM.
fn tell_renamed(name: &str, new: &str, cx: &mut FlowCx<'_>) {
    let message =
        format!("the inbound column \"{name}\" comes out as \"{new}\", since the import brings one of that name");
    let help = format!("write \"{new}\" behind it where the inbound one is meant");
    cx.risk("/ids", "column-renamed", message, Some(help));
}

/// Settings that exclude each other.
fn check_together(import: &CrmImport, cx: &mut FlowCx<'_>) {
    let by_ids = import.ids.is_some();
    let excluded = [
        ("/filter", import.filter.is_some(), "filter it in the activity that leads here"),
        ("/automaticIndex", import.automatic_index.is_on(), "the population that leads here says what is imported"),
        ("/orderBy", !import.order_by.is_empty(), "records keep the order in which their ids come"),
    ];
    for (pointer, is_there, why) in excluded {
        if by_ids && is_there {
            let name = pointer.trim_start_matches('/');
            let message = format!("an import by ids has no \"{name}\": {why}");
            cx.problem(pointer, "ids-with-other", message, Some(format!("leave \"{name}\" away, or \"ids\"")));
        }
    }
    if import.own_writes == OwnWritesChoice::Drop && !cx.brings_back(&import.account, &import.object) {
        let message = format!(
            "this import knows no own writes: {}",
            match import.automatic_index.is_on() {
                true => format!("no crm.export of the workflow writes {} to {}", import.object, import.account),
                false => "it has no automatic index".to_owned(),
            }
        );
        cx.problem("/ownWrites", "no-own-writes", message, Some("leave \"ownWrites\" away".to_owned()));
    }
    let Some(settings) = import.automatic_index.settings().filter(|settings| settings.changes) else { return };
    for (pointer, is_there) in
        [("/automaticIndex/field", settings.field.is_some()), ("/automaticIndex/overlap", settings.overlap.is_some())]
    {
        if is_there {
            let message = "a feed of changes has no date and no overlap: the CRM itself knows what was told";
            cx.problem(pointer, "changes-with-date", message, Some("leave it away, or \"changes\"".to_owned()));
        }
    }
    if !import.order_by.is_empty() {
        let help = "leave \"orderBy\" away, or \"changes\"".to_owned();
        cx.problem("/orderBy", "changes-with-order", "a feed of changes has an order of its own", Some(help));
    }
    if import.all {
        let help = "leave \"all\" away, or \"changes\"".to_owned();
        cx.problem("/all", "changes-with-all", "a feed of changes tells deletions by its port deleted", Some(help));
    }
}

fn remote_columns(import: &CrmImport, object: &Object, cx: &mut FlowCx<'_>) -> Columns {
    let system = cx.system(&import.account);
    let (object, missing) = with_paths(import, object, cx);
    let mut sound = missing.is_empty();
    let mut chosen: Vec<&str> = Vec::new();
    for (number, choice) in import.fields.iter().enumerate() {
        let pointer = format!("/fields/{number}");
        sound &= missing.contains(choice.name()) || check_field(import, &object, choice.name(), &pointer, cx);
        if chosen.contains(&choice.name()) {
            cx.problem(&pointer, "chosen-twice", format!("{} is chosen twice", choice.name()), None);
            sound = false;
        }
        chosen.push(choice.name());
        if let Some(why) = object.fields.get(choice.name()).and_then(|field| choice.conversion().refuses(field)) {
            cx.problem(&format!("{pointer}/conversion"), "conversion", why, None);
            sound = false;
        }
    }
    for (number, order) in import.order_by.iter().enumerate() {
        let pointer = format!("/orderBy/{number}");
        sound &= missing.contains(order.name()) || check_field(import, &object, order.name(), &pointer, cx);
        if object.fields.get(order.name()).is_some_and(|field| field.incomparable) {
            let message = format!("the CRM cannot order by {}", order.name());
            cx.problem(&pointer, "incomparable-field", message, Some("order by another field".to_owned()));
            sound = false;
        }
    }
    sound &= check_index(import, &object, system, cx);
    sound &= check_changes(import, &object, system, cx);
    sound &= check_all(import, &object, system, cx);
    sound &= check_filter(import, &object, &missing, cx);
    match sound.then(|| Plan::new(import, &object, system, cx.functions(), cx.time_zone, false)) {
        Some(Ok(plan)) => Columns::Known(plan.out),
        _ => Columns::Unknown,
    }
}

/// The object with the fields of related records that the settings name; and which of them are not known.
fn with_paths(import: &CrmImport, object: &Object, cx: &mut FlowCx<'_>) -> (Object, BTreeSet<String>) {
    let mut fields = Vec::new();
    let mut missing = BTreeSet::new();
    for (pointer, path) in import.paths() {
        if fields.iter().any(|field: &ObjectField| field.name == path) {
            continue;
        }
        match cx.field(&pointer, &import.account, &import.object, &path) {
            Some(field) => fields.push(field),
            None => {
                missing.insert(path);
            }
        }
    }
    (object.with_fields(fields), missing)
}

fn check_filter(import: &CrmImport, object: &Object, missing: &BTreeSet<String>, cx: &mut FlowCx<'_>) -> bool {
    let Some(filter) = &import.filter else { return true };
    let reads_missing = |expr: engine::expr::Expr| expr.fields().into_iter().any(|name| missing.contains(name));
    if filter.parse().is_ok_and(reads_missing) {
        // Which columns there are is not known; the rest of it is checked all the same.
        cx.expression("/filter", filter, &Columns::Unknown, None);
        return false;
    }
    let columns = Columns::Known(Arc::new(readable(object)));
    let Some(bound) = cx.expression("/filter", filter, &columns, Some(&Type::Bool)) else { return false };
    let raw = |name: &&str| import.fields.iter().any(|choice| choice.name() == *name && choice.conversion().is_raw());
    if let Some(name) = bound.expr().fields().into_iter().find(raw) {
        let message = format!("{name} cannot be copied as text and stand in the filter");
        let help = Some("choose another conversion for it, or filter in a later activity".to_owned());
        cx.problem("/filter", "copy-in-filter", message, help);
        return false;
    }
    true
}

fn check_index(import: &CrmImport, object: &Object, system: Option<&System>, cx: &mut FlowCx<'_>) -> bool {
    let Some(settings) = import.automatic_index.settings().filter(|settings| !settings.changes) else { return true };
    let pointer = if settings.field.is_some() { "/automaticIndex/field" } else { "/automaticIndex" };
    let Some(name) = import.index_field(object, system) else {
        let candidates = system.map(|system| system.index_fields).unwrap_or_default();
        let message = format!("{} has none of the fields that tell changes: {}", object.name, candidates.join(", "));
        let help = Some("name a date and time of it as \"field\", or switch the automatic index off".to_owned());
        cx.problem(pointer, "no-index-field", message, help);
        return false;
    };
    if !check_field(import, object, &name, pointer, cx) {
        return false;
    }
    let is_time = object.fields.get(&name).is_some_and(ObjectField::is_date_time);
    if !is_time {
        let message = format!("{name} is not a date and time, so it cannot tell what changed");
        let own = system.and_then(|system| system.index_fields.first()).copied().unwrap_or("modifiedon");
        cx.problem(pointer, "index-field", message, Some(format!("use one such as {own}")));
    }
    let copied = import.fields.iter().any(|choice| choice.name() == name && choice.conversion() != Conversion::Default);
    if copied {
        let message = format!("{name} is the index field, so it is imported as it is");
        cx.problem(pointer, "index-field", message, Some("leave its conversion away".to_owned()));
    }
    is_time && !copied
}

fn check_changes(import: &CrmImport, object: &Object, system: Option<&System>, cx: &mut FlowCx<'_>) -> bool {
    if !import.automatic_index.follows_changes() {
        return true;
    }
    let help = "leave \"changes\" away: changes are then known by a date, and deletions by a reconciliation";
    let pointer = "/automaticIndex/changes";
    match system {
        Some(system) if !system.change_feed => {
            let message = format!("{} has no feed of changes", system.name);
            cx.problem(pointer, "no-change-feed", message, Some(help.to_owned()));
            false
        }
        _ if !object.feed => {
            let message = format!("the CRM keeps no feed of the changes of {}", object.name);
            let help = match system.map(|system| system.new_feed).filter(|how| !how.is_empty()) {
                Some(how) => format!("{how} ({}) in the CRM; or {help}", object.internal_name),
                None => help.to_owned(),
            };
            cx.problem(pointer, "no-change-feed", message, Some(help));
            false
        }
        _ => true,
    }
}

fn check_all(import: &CrmImport, object: &Object, system: Option<&System>, cx: &mut FlowCx<'_>) -> bool {
    let Some(system) = system.filter(|_| import.all) else { return true };
    let Some(field) = system.query_all else {
        let message = format!("{} shows no deleted or archived records", system.name);
        cx.problem("/all", "no-query-all", message, Some("leave \"all\" away".to_owned()));
        return false;
    };
    check_field(import, object, field, "/all", cx)
}

fn check_field(import: &CrmImport, object: &Object, name: &str, pointer: &str, cx: &mut FlowCx<'_>) -> bool {
    match object.fields.get(name) {
        Some(field) if field.readable => return true,
        Some(field) => {
            let message = format!("{name} cannot be read: it is a field of the type {}", field.system_type);
            cx.problem(pointer, "unreadable-field", message, field.instead.clone());
        }
        None => {
            let help = near::field(name, object, &import.account, cx.suggestions);
            cx.problem(pointer, "unknown-field", format!("{} has no field \"{name}\"", object.name), Some(help));
        }
    }
    false
}
