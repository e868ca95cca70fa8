//! Reads what the CRM says was deleted, in a period or since the last time.

use std::sync::Arc;

use engine::context::Cx;
use engine::event::Level;
use engine::failure::{Class, Failure};
use engine::outside::crm::{Crm, Cursor, Deleted, DeletedPage, DeletedSpan, Object, ReadDeleted, System};
use futures::StreamExt;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::period::{self, When};
use super::{CrmImportDeleted, deleted_batch, deleted_columns};
use crate::automatic_index::{self, Opened, Seen, Tail, place};

/// Where it goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    span: Span,
    next: Option<Cursor>,
    done: bool,
    /// Up to when the CRM has told all.
    covered: Option<Timestamp>,
    /// The place in the feed that it came to.
    feed: Option<String>,
    read: u64,
    /// Records in the file of what was seen.
    seen: u64,
    /// Those of a period of which the CRM does not say when they were deleted.
    #[serde(default)]
    untimed: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Span {
    Period { from: Timestamp, to: Timestamp },
    Since { window: Opened, feed: Option<String> },
}

impl Span {
    fn asked(&self) -> DeletedSpan {
        match self {
            Self::Period { from, to } => DeletedSpan::Period { from: *from, to: *to },
            Self::Since { window, feed } => DeletedSpan::Since { from: window.start, feed: feed.clone() },
        }
    }

    fn has(&self, deleted: &Deleted) -> bool {
        match (self, deleted.at) {
            (Self::Period { from, to }, Some(at)) => (*from..=*to).contains(&at),
            _ => true,
        }
    }
}

pub(super) async fn run(import: &CrmImportDeleted, cx: &mut Cx) -> Result<(), Failure> {
    let begun = cx.position::<Position>()?;
    // A period that is none is told before the CRM is asked anything.
    let ends = match (&begun, &import.start) {
        (None, Some(start)) => {
            let start = period::value(cx, start).await?;
            let end = match &import.end {
                Some(end) => Some(period::value(cx, end).await?),
                None => None,
            };
            Some(self::ends(start, end, &cx.time_zone)?)
        }
        _ => None,
    };
    let crm = cx.crm(&import.account).await?;
    let object = cx.object(&import.account, &import.object).await?;
    let mut position = match begun {
        Some(position) => position,
        None => {
            let span = span(import, cx, &*crm, ends).await?;
            Position { span, next: None, done: false, covered: None, feed: None, read: 0, seen: 0, untimed: 0 }
        }
    };
    cx.open("ok", deleted_columns(&object, &cx.time_zone)).await;
    let (seen, mut tail) = memory(cx, &position).await?;
    let read = Arc::new(ReadDeleted { object: Arc::clone(&object), span: position.span.asked() });
    let mut pages = crm.deleted(read, position.next.clone());
    while !position.done {
        let Some(page) = pages.next().await else {
            return Err(Failure::internal("the reading of deleted records ended before its last page"));
        };
        let page = page.map_err(|failure| explained(failure, &object))?;
        take(cx, &object, &position.span, &page, &seen, tail.as_mut()).await?;
        if matches!(position.span, Span::Period { .. }) {
            position.untimed += page.records.iter().filter(|deleted| deleted.at.is_none()).count() as u64;
        }
        position.read += page.records.len() as u64;
        position.done = page.next.is_none();
        position.next = page.next;
        position.covered = page.covered.or(position.covered);
        position.feed = page.feed.or(position.feed);
        if let Some(tail) = &mut tail {
            position.seen = tail.sync()?;
        }
        cx.progress(position.read, None);
        cx.checkpoint(&position).await?;
    }
    finish(cx, crm.system(), position, tail).await
}

/// The period that is asked for; an end that is not said is the CRM's clock.
pub(super) fn ends(start: When, end: Option<When>, zone: &TimeZone) -> Result<(Timestamp, Option<Timestamp>), Failure> {
    let period = period::period(start, end.unwrap_or(When::Instant(Timestamp::MAX)), zone);
    let (from, to) = period.map_err(|message| Failure::new(Class::Config, message).help("exchange start and end"))?;
    Ok((from, end.map(|_| to)))
}

/// How far a period may begin ahead of the CRM's clock, since it may have been reckoned by ours.
const CLOCKS_APART_MAX: SignedDuration = SignedDuration::from_mins(10);

/// The period by the CRM's clock.
///
/// # Errors
/// Where it begins later than that.
pub(super) fn period(
    (from, to): (Timestamp, Option<Timestamp>),
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), Failure> {
    if from.duration_since(now) > CLOCKS_APART_MAX {
        let message = format!("the period begins at {from}, later than the CRM's clock, which shows {now}");
        return Err(Failure::new(Class::Config, message).help("let it begin at a time that has passed"));
    }
    Ok((from.min(now), to.unwrap_or(now)))
}

async fn span(
    import: &CrmImportDeleted,
    cx: &Cx,
    crm: &dyn Crm,
    ends: Option<(Timestamp, Option<Timestamp>)>,
) -> Result<Span, Failure> {
    if let Some(ends) = ends {
        let (from, to) = period(ends, crm.now().await?)?;
        return Ok(Span::Period { from, to });
    }
    let option = import.option(&cx.workflow, &cx.activity);
    if let Some(backfill) = cx.backfill() {
        let window = Opened::again(&option, backfill, crm.now().await?)?;
        // A period has its end in it, a window has not.
        let to = backfill.to.checked_sub(SignedDuration::from_micros(1)).unwrap_or(window.to);
        return Ok(Span::Period { from: backfill.from, to });
    }
    let current = cx.option(&option).await?;
    let before = current.as_ref().map(|current| current.value.clone());
    if let Some(before) = &before {
        automatic_index::to_instant(&option, before)?;
    }
    let feed = place::kept(cx.data_folder(), &option, current.as_ref())?;
    let window = Opened::new(&option, before, crm.now().await?, SignedDuration::ZERO)?;
    automatic_index::clean_up(cx.data_folder(), &window, current.and_then(|current| current.seen).as_ref());
    Ok(Span::Since { window, feed })
}

/// What the last import has told, and where it is kept what this one tells.
async fn memory(cx: &Cx, position: &Position) -> Result<(Seen, Option<Tail>), Failure> {
    let Span::Since { window, .. } = &position.span else { return Ok((Seen::default(), None)) };
    let current = cx.option(&window.option).await?.filter(|current| Some(&current.value) == window.before.as_ref());
    let file = current.and_then(|current| current.seen).filter(|file| !place::is_place(file));
    let seen = match file {
        Some(file) => Seen::read(cx.data_folder(), &file)?,
        None => Seen::default(),
    };
    let max = cx.limits().overlap_records;
    Ok((seen, Some(Tail::open(cx.data_folder(), window, &cx.task_key(), position.seen, max)?)))
}

async fn take(
    cx: &mut Cx,
    object: &Object,
    span: &Span,
    page: &DeletedPage,
    seen: &Seen,
    mut tail: Option<&mut Tail>,
) -> Result<(), Failure> {
    cx.tally().added += page.records.len() as u64;
    let (mut outside, mut told) = (0, 0);
    let mut new = Vec::with_capacity(page.records.len());
    for deleted in &page.records {
        // The same deletion, told again; a record that was restored and deleted again is another.
        let at = deleted.at.map(|at| at.to_string()).unwrap_or_default();
        if let Some(tail) = &mut tail {
            tail.add(&deleted.id, &at)?;
        }
        if !span.has(deleted) {
            outside += 1;
        } else if seen.has(&deleted.id, &at) {
            told += 1;
        } else {
            new.push((deleted.id.as_str(), deleted.at));
        }
    }
    cx.dropped("outsidePeriod", outside);
    cx.dropped("alreadyImported", told);
    let batch = deleted_batch(object, &cx.time_zone, new.into_iter())?;
    cx.write("ok", batch).await;
    Ok(())
}

async fn finish(cx: &mut Cx, system: &System, position: Position, tail: Option<Tail>) -> Result<(), Failure> {
    let window = match position.span {
        Span::Period { from, to } => {
            if position.untimed > 0 {
                let (untimed, what) = (position.untimed, system.untimed_deletions);
                let message = format!("the CRM does not say when {untimed} of these records were deleted: {what}");
                cx.log(Level::Warning, message).await?;
            }
            let start = automatic_index::to_text(from);
            cx.set_var("crmStartImport", start.clone());
            cx.set_var("crmStartDate", start);
            cx.set_var("crmEndDate", automatic_index::to_text(to));
            return Ok(());
        }
        Span::Since { window, .. } => window,
    };
    let window = window.ending(position.covered.unwrap_or(window.to));
    window.set_vars(cx);
    if let Some(tail) = tail.as_ref().filter(|_| position.feed.is_none()) {
        tail.warn_of_rest(cx).await?;
    }
    let seen = match &position.feed {
        Some(feed) => Some(place::keep(cx.data_folder(), &window, &cx.task_key(), feed)?),
        None => tail.map(Tail::finish).transpose()?,
    };
    cx.tally().seen = seen;
    cx.open_window(window.recorded(None)).await
}

/// What lies before what the CRM keeps cannot be read, now or later.
fn explained(failure: Failure, object: &Object) -> Failure {
    if failure.class != Class::CursorLost {
        return failure;
    }
    let help = format!(
        "find what was deleted before by comparing the keys: lead the ids of {} that you have into a crm.importDeleted \
         with \"ids\"; then begin later, or remove the option",
        object.name
    );
    let help = match &failure.help {
        Some(own) => format!("{own}; {help}"),
        None => help,
    };
    Failure { class: Class::Config, ..failure }.help(help)
}
