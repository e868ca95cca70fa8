//! Opening the window of an import, and what the last one left for it.

use engine::activity::Activity;
use engine::check::index_option;
use engine::context::Cx;
use engine::event::Level;
use engine::failure::{Class, Failure};
use engine::outside::crm::Crm;
use engine::outside::store::OptionValue;
use engine::scope::{self, IndexScope};

use super::CrmImport;
use super::plan::Plan;
use super::reading::Position;
use crate::automatic_index::{self, Opened, Seen, Tail, place};

/// Opens the window, and tells the place in the feed of changes where that is followed.
pub(super) async fn open(
    import: &CrmImport,
    cx: &Cx,
    crm: &dyn Crm,
    plan: &Plan,
) -> Result<(Option<Opened>, Option<String>), Failure> {
    let Some(settings) = import.automatic_index.settings() else { return Ok((None, None)) };
    let option = settings.option.clone().unwrap_or_else(|| index_option(&cx.workflow, &cx.activity));
    let feed = settings.changes && cx.backfill().is_none();
    if plan.index_field.is_none() && !feed {
        let message = format!("{} has none of the fields {}", import.object, crm.system().index_fields.join(", "));
        return Err(Failure::new(Class::Config, message).help("name a date and time of it as \"field\""));
    }
    if let Some(backfill) = cx.backfill() {
        return Ok((Some(Opened::again(&option, backfill, crm.now().await?)?), None));
    }
    let current = cx.option(&option).await?;
    let before = current.as_ref().map(|current| current.value.clone());
    if let Some(before) = &before {
        // Refused before the CRM is asked anything.
        automatic_index::to_instant(&option, before)?;
    }
    let since = if feed { place::of(cx.data_folder(), &option, current.as_ref())? } else { None };
    let opened = Opened::new(&option, before.clone(), crm.now().await?, settings.overlap())?;
    let scope = scope(import, cx, &option, current.as_ref()).await?;
    automatic_index::clean_up(cx.data_folder(), &opened, current.and_then(|current| current.seen).as_ref());
    cx.open_window(opened.recorded(scope)).await?;
    Ok((Some(opened), since))
}

/// What the option will keep of what was imported. If that is less than the import reads now, the journal says so.
async fn scope(
    import: &CrmImport,
    cx: &Cx,
    option: &str,
    current: Option<&OptionValue>,
) -> Result<Option<IndexScope>, Failure> {
    let Some(now) = import.index_scope() else { return Ok(None) };
    let Some((value, before)) = current.and_then(|current| Some((&current.value, current.scope.clone()?))) else {
        return Ok(Some(now));
    };
    if let Some(why) = before.lacks(&now) {
        let (message, help) =
            (scope::message(option, &why), scope::help(option, value, &format!("{}.json", cx.workflow)));
        cx.log(Level::Warning, format!("{message}; {help}")).await?;
    }
    Ok(Some(before.after(now)))
}

/// What was seen by the last import, for the window that this one opened.
pub(super) async fn seen_before(cx: &Cx, window: &Opened) -> Result<Seen, Failure> {
    let current = cx.option(&window.option).await?.filter(|current| Some(&current.value) == window.before.as_ref());
    match current.and_then(|current| current.seen).filter(|file| !place::is_place(file)) {
        Some(file) => Seen::read(cx.data_folder(), &file),
        None => Ok(Seen::default()),
    }
}

/// What the next import must know to have been imported, where a window is read that it will read again.
pub(super) fn open_tail(cx: &Cx, position: &Position, feed: bool) -> Result<Option<Tail>, Failure> {
    let Some(window) = position.window.as_ref().filter(|window| !window.is_backfill && !feed) else { return Ok(None) };
    let max = cx.limits().overlap_records;
    Tail::open(cx.data_folder(), window, &cx.task_key(), position.seen, max).map(Some)
}
