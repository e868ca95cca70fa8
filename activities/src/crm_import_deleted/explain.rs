//! What an import of deletions would ask now.

use arrow::datatypes::Schema;
use engine::failure::Failure;
use engine::outside::crm::{DeletedSpan, ReadDeleted};
use engine::plan::{Plan, PlanCx};
use jiff::SignedDuration;

use super::period::{self, Moment, When};
use super::{CrmImportDeleted, reading, reconcile};
use crate::automatic_index::{Opened, place};

/// Plans a reading as [`run`](engine::activity::Activity::run) would begin it, and records nothing.
pub(super) async fn plan(import: &CrmImportDeleted, cx: &PlanCx) -> Result<Plan, Failure> {
    let account = import.account.clone();
    let crm = cx.crm(&account)?;
    if import.ids.is_some() {
        return reconcile::plan(import, cx, &*crm).await;
    }
    let object = cx.object(&account, &import.object).await?;
    let (span, rules) = match &import.start {
        Some(start) => {
            let start = when(start, cx).await?;
            let end = match &import.end {
                Some(end) => Some(when(end, cx).await?),
                None => None,
            };
            let ends = reading::ends(start, end, &cx.time_zone)?;
            let (from, to) = reading::period(ends, crm.now().await?)?;
            (DeletedSpan::Period { from, to }, vec!["outsidePeriod"])
        }
        None => {
            let option = import.option(&cx.workflow, &cx.activity);
            let current = cx.option(&option).await?;
            let feed = place::kept(cx.data_folder(), &option, current.as_ref())?;
            let before = current.map(|current| current.value);
            let opened = Opened::new(&option, before, crm.now().await?, SignedDuration::ZERO)?;
            (DeletedSpan::Since { from: opened.start, feed }, vec!["alreadyImported"])
        }
    };
    Ok(Plan::Deleted { account, read: Box::new(ReadDeleted { object, span }), rules })
}

async fn when(moment: &Moment, cx: &PlanCx) -> Result<When, Failure> {
    if let Some(when) = When::read(moment.text()) {
        return Ok(when);
    }
    let bound = cx.bind(&moment.expression(), &Schema::empty())?;
    let values = cx.values([&bound]).await?;
    period::evaluated(moment, &bound, &values)
}
