//! What an import would ask now.

use engine::check::index_option;
use engine::failure::Failure;
use engine::outside::crm::{Feed, Read, Window};
use engine::plan::{Plan as Asked, PlanCx};

use super::CrmImport;
use super::plan::Plan;
use super::settings::{OrderChoice, OwnWritesChoice};
use crate::automatic_index::{Opened, place};
use crate::own_writes::OWN_WRITES;

/// Plans a reading as [`run`](engine::activity::Activity::run) would begin it, and records nothing.
pub(super) async fn plan(import: &CrmImport, cx: &PlanCx) -> Result<Asked, Failure> {
    let account = import.account.clone();
    let crm = cx.crm(&account)?;
    let object = cx.object_with(&account, &import.object, &import.related()).await?;
    let mut plan = Plan::new(import, &object, Some(crm.system()), cx.functions(), &cx.time_zone, false)?;
    let recognises = cx.brings_back && plan.read_changed_by(&object, crm.system()).is_some();
    let mut read = Read { all: import.all, ..Read::new(object, plan.read.clone()) };
    if import.ids.is_some() {
        return Ok(Asked::Fetch { account, read: Box::new(read), rules: Vec::new() });
    }
    let mut rules = Vec::new();
    if let Some(settings) = import.automatic_index.settings() {
        let option = settings.option.clone().unwrap_or_else(|| index_option(&cx.workflow, &cx.activity));
        let current = cx.option(&option).await?;
        if settings.changes {
            let since = place::of(cx.data_folder(), &option, current.as_ref())?;
            read.feed = Some(Feed { since, to: crm.now().await? });
        } else if let Some(field) = plan.index_field.clone() {
            let before = current.map(|current| current.value);
            let opened = Opened::new(&option, before, crm.now().await?, settings.overlap())?;
            read.window = Some(Window { field, from: opened.from(), to: opened.to });
            rules.push("alreadyImported");
        }
    }
    if recognises && import.own_writes == OwnWritesChoice::Drop {
        rules.push(OWN_WRITES);
    }
    let mut notes = Vec::new();
    if let Some(filter) = &plan.filter {
        let filter = filter.resolve(&cx.values([filter]).await?)?.expr().clone();
        let unknown = filter.variables().into_iter();
        notes.extend(
            unknown.map(|variable| {
                format!("{variable} is set in the run, so what of the filter reads it is not shown here")
            }),
        );
        read.filter = Some(filter);
    }
    read.order = import.order_by.iter().map(OrderChoice::order).collect();
    let filter = import.filter.as_ref().map(|filter| filter.text().to_owned());
    let parts_max = import.parts_max(&read);
    Ok(Asked::Read { account, read: Box::new(read), filter, rules, parts_max, notes })
}
