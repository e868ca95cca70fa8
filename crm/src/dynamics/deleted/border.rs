//! The border between what the audit log told of the time before a feed began, and the feed.
//!
//! ```text
//!                    from            to
//!   deletions ────────┼───────────────┼──────────────▶
//!   audit log  ══════════════════════▶│                 the first reading, once the feed has come to its end
//!   feed              ┆   ════════════════════════▶     the readings after it
//!   audit log    ════════════════════▶│                 again by these, until its entries are no longer late
//! ```
//!
//! Somewhere between `from` and `to` the feed began. Entries of the log are written a little after the deletion, so the
//! first reading may have missed some that the feed does not have either.

use std::collections::HashSet;

use engine::outside::crm::Deleted;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How late the audit log's entries are written: an incremental reading goes back so far. Who asks leaves out what it was
/// told before.
pub(super) const AUDIT_LATE: SignedDuration = SignedDuration::from_mins(5);
/// The most deletions near the border that are remembered. Those beyond are told twice.
const TOLD_MAX: usize = 50_000;

/// What is known of the border until the log's entries about it are no longer late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Border {
    /// The feed began at this time or later.
    pub(super) from: Timestamp,
    /// And at this time or earlier.
    pub(super) to: Timestamp,
    /// Deletions that were told and may be told again: id, and the time if the log told it.
    pub(super) told: Vec<(String, Option<Timestamp>)>,
    /// Whether this reading is the last that looks into the log.
    #[serde(default)]
    pub(super) is_last: bool,
}

impl Border {
    /// Before the feed is read for the first time.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { from: now, to: now, told: Vec::new(), is_last: false }
    }

    /// From when on the log may have entries that were late.
    pub(super) fn late_from(&self) -> Timestamp {
        self.from.saturating_sub(AUDIT_LATE).unwrap_or(self.from)
    }

    /// Whether the log has all of its entries at this time.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.to.checked_add(AUDIT_LATE).is_ok_and(|late| late <= now)
    }

    /// Leaves out what was told before, and remembers the rest.
    pub(super) fn take(&mut self, records: &mut Vec<Deleted>) {
        let told: HashSet<(&str, Option<Timestamp>)> = self.told.iter().map(|(id, at)| (id.as_str(), *at)).collect();
        let by_log = self.told.iter().filter(|(_, at)| at.is_some_and(|at| at >= self.from));
        let by_log: HashSet<&str> = by_log.map(|(id, _)| id.as_str()).collect();
        let is_told = |deleted: &Deleted| {
            let id = deleted.id.as_str();
            match deleted.at {
                // The feed has told of this deletion, or of a later one of the same record.
                Some(at) => told.contains(&(id, Some(at))) || told.contains(&(id, None)),
                // Of a deletion before the border the feed knows nothing: the record was restored and deleted again.
                None => by_log.contains(id),
            }
        };
        records.retain(|deleted| !is_told(deleted));
        let late_from = self.late_from();
        let new = records.iter().filter(|deleted| deleted.at.is_none_or(|at| at >= late_from));
        self.told.extend(new.map(|deleted| (deleted.id.clone(), deleted.at)));
        self.told.truncate(TOLD_MAX);
    }
}

/// Where the next reading of a feed begins: a link, and until its border is past, that.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
    link: String,
    border: Border,
}

/// The place in the feed as it is kept between readings.
pub(super) fn written(link: String, border: Option<Border>) -> Result<String, serde_json::Error> {
    match border {
        Some(border) if !border.is_last => serde_json::to_string(&Begun { link, border }),
        _ => Ok(link),
    }
}

/// The same, read; a link alone is a place too.
pub(super) fn read(place: &str) -> (String, Option<Border>) {
    match serde_json::from_str::<Begun>(place) {
        Ok(begun) => (begun.link, Some(begun.border)),
        Err(_) => (place.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        format!("2026-03-03T{time}Z").parse().unwrap()
    }

    fn deleted(id: &str, time: Option<&str>) -> Deleted {
        Deleted { id: id.to_owned(), at: time.map(at) }
    }

    #[test]
    fn each_deletion_near_the_border_is_taken_once_whoever_tells_it_first() {
        let mut border = Border { to: at("10:00:02"), ..Border::new(at("10:00:00")) };
        let mut take = |records: &[(&str, Option<&str>)]| {
            let mut records = records.iter().map(|(id, time)| deleted(id, *time)).collect();
            border.take(&mut records);
            records.into_iter().map(|deleted| deleted.id).collect::<Vec<_>>()
        };
        let log = [("before", Some("09:58:00")), ("near", Some("10:00:01")), ("again", Some("09:59:00"))];
        assert_eq!(take(&log), ["before", "near", "again"]);
        assert_eq!(take(&[("late", Some("09:59:59")), ("before", Some("09:58:00"))]), ["late"], "the log, read again");
        assert_eq!(take(&[("near", None), ("again", None), ("new", None)]), ["again", "new"], "the feed");
        let log = [("new", Some("10:00:01")), ("late", Some("09:59:59")), ("again", Some("09:59:30"))];
        assert_eq!(take(&log), [""; 0], "the log, once more");
    }

    #[test]
    fn a_place_is_read_as_it_was_written_and_a_link_alone_is_one() {
        let border = Border { told: vec![("a".to_owned(), Some(at("10:00:00")))], ..Border::new(at("10:00:00")) };
        let text = written("contacts?$deltatoken=7".to_owned(), Some(border.clone())).unwrap();
        assert_eq!(read(&text), ("contacts?$deltatoken=7".to_owned(), Some(border.clone())));
        for link in ["contacts?$deltatoken=7", &written("contacts?$deltatoken=7".to_owned(), None).unwrap()] {
            assert_eq!(read(link), ("contacts?$deltatoken=7".to_owned(), None));
        }
        let last = Border { is_last: true, ..border };
        assert_eq!(written("contacts?$deltatoken=7".to_owned(), Some(last)).unwrap(), "contacts?$deltatoken=7");
    }
}
