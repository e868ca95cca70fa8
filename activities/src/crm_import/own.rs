//! Own writes in the import that brings them back.

use arrow::array::BooleanArray;
use arrow::compute::{and, not};
use engine::context::Cx;
use engine::failure::Failure;
use engine::outside::crm::{Object, Page, System};
use engine::outside::memory::Reader;

use super::CrmImport;
use super::plan::Plan;
use super::settings::OwnWritesChoice;
use crate::automatic_index::Opened;
use crate::own_writes::{OWN_WRITES, OwnWrites};
use crate::rows::wrong;

/// What an import needs to recognise them.
pub(super) struct Own {
    reader: Reader,
    writes: OwnWrites,
    /// The place, among the columns read, of who changed a record last.
    changed_by: usize,
    drops: bool,
}

impl Own {
    /// For an import that brings back what its workflow writes; who changed each record last is then read too. A backfill
    /// brings all that there is, since earlier own writes are no longer known.
    pub(super) async fn begin(
        import: &CrmImport,
        cx: &Cx,
        (object, system): (&Object, &System),
        plan: &mut Plan,
    ) -> Result<Option<Self>, Failure> {
        if !import.automatic_index.is_on() || cx.backfill().is_some() {
            return Ok(None);
        }
        let readers = cx.readers(&import.account, &import.object).await?;
        let reader = readers.into_iter().find(|reader| reader.activity == cx.activity);
        let Some(reader) = reader else { return Ok(None) };
        let Some(changed_by) = plan.read_changed_by(object, system) else { return Ok(None) };
        let writes = OwnWrites::of(cx, &reader).await?;
        let drops = import.own_writes == OwnWritesChoice::Drop;
        Ok(Some(Self { reader, writes, changed_by, drops }))
    }

    /// Forgets what this import and those after it read no more. What the overlap reads again is still known.
    pub(super) async fn forget_before(&self, cx: &Cx, window: &Opened) -> Result<(), Failure> {
        match window.from() {
            Some(from) => cx.memory().forget_own(&self.reader, from).await,
            None => Ok(()),
        }
    }

    /// Counts the own writes among the records that are kept, and drops them where the author says so.
    pub(super) fn tell(
        &self,
        cx: &mut Cx,
        page: &Page,
        id: usize,
        keep: Option<BooleanArray>,
    ) -> Result<Option<BooleanArray>, Failure> {
        let columns = (page.records.column(id), page.records.column(self.changed_by));
        let Some(own) = self.writes.among(page, columns.0, columns.1) else { return Ok(keep) };
        let kept = keep.unwrap_or_else(|| BooleanArray::from(vec![true; own.len()]));
        let own = and(&kept, &own).map_err(wrong)?;
        let records = own.true_count() as u64;
        if self.drops {
            cx.dropped(OWN_WRITES, records);
            return and(&kept, &not(&own).map_err(wrong)?).map(Some).map_err(wrong);
        }
        if records > 0 {
            cx.count(OWN_WRITES, records);
        }
        Ok(Some(kept))
    }
}
