//! The rejects desk: an SQLite file of its own next to the store, made when the first record is refused.

mod sql;

use std::collections::HashSet;
use std::path::Path;

use async_trait::async_trait;
use engine::failure::Failure;
use engine::outside::desk::{Desk, Filing, Group, KeptReject, NewReject, RejectId, Settlement, Wanted};
use engine::outside::memory::MemoryId;
use engine::outside::store::RunId;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::sqlite_file::{Kind, SqliteFile};

/// The desk's file in a data folder.
pub const REJECTS_FILE: &str = "rejects.db";

static KIND: Kind = Kind {
    name: "the rejects desk",
    steps: &sql::STEPS,
    damaged: "put the file back from a backup; to continue without it, move it away, then `campanile accept data`",
};

/// The rejects desk in an SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteDesk {
    file: SqliteFile,
}

impl SqliteDesk {
    /// The desk of a data folder.
    pub fn new(data: &Path) -> Self {
        Self { file: SqliteFile::new(data.join(REJECTS_FILE), &KIND) }
    }
}

#[async_trait]
impl Desk for SqliteDesk {
    async fn keep(&self, task: &Filing, rejects: Vec<NewReject>) -> Result<(), Failure> {
        let task = task.clone();
        self.file.write(move |connection| sql::keep(connection, &task, &rejects)).await
    }

    async fn settle(&self, task: &Filing, end: Settlement) -> Result<(), Failure> {
        let task = task.clone();
        self.file.change(move |connection| sql::settle(connection, &task, &end)).await
    }

    async fn last(&self) -> Result<RejectId, Failure> {
        self.file.read(sql::last).await
    }

    async fn open_keys(&self, workflow: &str, activity: &str) -> Result<HashSet<String>, Failure> {
        let (workflow, activity) = (workflow.to_owned(), activity.to_owned());
        self.file.read(move |connection| sql::open_keys(connection, &workflow, &activity)).await
    }

    async fn list(&self, wanted: &Wanted) -> Result<Vec<KeptReject>, Failure> {
        let wanted = wanted.clone();
        self.file.read(move |connection| sql::list(connection, &wanted)).await
    }

    async fn groups(&self, wanted: &Wanted) -> Result<Vec<Group>, Failure> {
        let wanted = wanted.clone();
        self.file.read(move |connection| sql::groups(connection, &wanted)).await
    }

    async fn shape(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let name = name.to_owned();
        self.file.read(move |connection| sql::shape(connection, &name)).await
    }

    async fn correct(&self, id: RejectId, record: Map<String, Value>) -> Result<(), Failure> {
        self.file.write(move |connection| sql::correct(connection, id, &record)).await
    }

    async fn ignore(&self, ids: &[RejectId], reason: &str, at: Timestamp) -> Result<u64, Failure> {
        let (ids, reason) = (ids.to_vec(), reason.to_owned());
        self.file.write(move |connection| sql::ignore(connection, &ids, &reason, at)).await
    }

    async fn sending(&self, ids: &[RejectId], run: &RunId) -> Result<(), Failure> {
        let (ids, run) = (ids.to_vec(), run.clone());
        self.file.write(move |connection| sql::sending(connection, &ids, &run)).await
    }

    async fn ask(&self, task: &Filing, questions: Vec<(MemoryId, NewReject)>) -> Result<(), Failure> {
        let task = task.clone();
        self.file.write(move |connection| sql::ask(connection, &task, &questions)).await
    }

    async fn answer(&self, questions: &[(MemoryId, String)], at: Timestamp) -> Result<(), Failure> {
        let questions = questions.to_vec();
        self.file.change(move |connection| sql::answer(connection, &questions, at)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::outside::desk::RejectState;
    use engine::reject::Reject;
    use rusqlite::Connection;

    fn filing(run: &str, task: u32) -> Filing {
        Filing {
            run: RunId::parse(run).unwrap(),
            task,
            activity: "export".into(),
            sendable: true,
            shape: vec![1, 2],
            at: "2026-03-03T10:00:00Z".parse().unwrap(),
        }
    }

    fn reject(place: u64, key: &str, again: Option<RejectId>) -> NewReject {
        let record = Map::from_iter([("email".to_owned(), Value::from(key))]);
        let sent = Some(Map::from_iter([("emailaddress1".to_owned(), Value::from(key.to_uppercase()))]));
        NewReject { place, again, key: Some(key.to_owned()), reject: Reject::new("0x1", "no"), record, sent }
    }

    fn end(rejects: u64) -> Settlement {
        Settlement { rejects, kept_max: 100, ..Settlement::default() }
    }

    async fn open_ones(desk: &SqliteDesk) -> Vec<(RejectId, String, u32)> {
        let all = desk.list(&Wanted::default()).await.unwrap();
        let mut all: Vec<_> = all.into_iter().map(|kept| (kept.id, kept.key.unwrap(), kept.attempts)).collect();
        all.sort();
        all
    }

    #[tokio::test]
    async fn a_task_that_tells_its_rejects_twice_is_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let desk = SqliteDesk::new(folder.path());
        assert_eq!(open_ones(&desk).await, []);
        assert!(!folder.path().join(REJECTS_FILE).exists(), "reading makes no file");
        let task = filing("w-1", 2);
        desk.keep(&task, vec![reject(0, "a", None), reject(1, "b", None), reject(2, "c", None)]).await.unwrap();
        // It broke off before its end was recorded; the second attempt has fewer.
        let desk = SqliteDesk::new(folder.path());
        desk.keep(&task, vec![reject(0, "a", None), reject(1, "d", None)]).await.unwrap();
        desk.settle(&task, end(2)).await.unwrap();
        let keys: Vec<String> = open_ones(&desk).await.into_iter().map(|(_, key, _)| key).collect();
        assert_eq!(keys, ["a", "d"]);
        let kept = desk.list(&Wanted::default()).await.unwrap().remove(0);
        assert_eq!(desk.shape(&kept.shape).await.unwrap(), Some(vec![1, 2]));
    }

    #[tokio::test]
    async fn what_is_sent_again_is_closed_by_the_run_or_stays_the_same_reject() {
        let folder = tempfile::tempdir().unwrap();
        let desk = SqliteDesk::new(folder.path());
        let first = filing("w-1", 2);
        desk.keep(&first, vec![reject(0, "a", None), reject(1, "b", None)]).await.unwrap();
        desk.settle(&first, end(2)).await.unwrap();
        let ids: Vec<RejectId> = open_ones(&desk).await.into_iter().map(|(id, ..)| id).collect();
        let again = filing("w-2", 1);
        desk.sending(&ids, &again.run).await.unwrap();
        let settled = Settlement { passed: vec![ids[0]], ..end(1) };
        for _ in 0..2 {
            desk.keep(&again, vec![reject(0, "b", Some(ids[1]))]).await.unwrap();
            desk.settle(&again, settled.clone()).await.unwrap();
        }
        assert_eq!(open_ones(&desk).await, [(ids[1], "b".to_owned(), 2)], "told twice, refused once more");
        let wanted = Wanted { ids: vec![ids[0]], closed: true, ..Wanted::default() };
        let closed = desk.list(&wanted).await.unwrap().remove(0);
        assert_eq!(closed.state, RejectState::Passed { run: again.run.clone(), at: again.at });
    }

    #[tokio::test]
    async fn what_passed_in_an_attempt_that_broke_off_and_is_refused_now_is_not_the_first_to_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let desk = SqliteDesk::new(folder.path());
        let first = filing("w-1", 2);
        desk.keep(&first, vec![reject(0, "a", None), reject(1, "b", None)]).await.unwrap();
        let ids: Vec<RejectId> = open_ones(&desk).await.into_iter().map(|(id, ..)| id).collect();
        let again = filing("w-2", 1);
        desk.settle(&again, Settlement { passed: vec![ids[1]], ..end(0) }).await.unwrap();
        desk.keep(&again, vec![reject(0, "b", Some(ids[1]))]).await.unwrap();
        desk.settle(&again, Settlement { kept_max: 1, ..end(1) }).await.unwrap();
        assert_eq!(open_ones(&desk).await, [(ids[1], "b".to_owned(), 2)], "the older one was let go of");
    }

    #[tokio::test]
    async fn a_key_that_passes_later_closes_what_other_tasks_refused_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let desk = SqliteDesk::new(folder.path());
        for (run, task) in [("w-1", 2), ("v-1", 2)] {
            desk.keep(&filing(run, task), vec![reject(0, "a", None), reject(1, "b", None)]).await.unwrap();
        }
        let passed =
            |keys: &[&str]| Settlement { passed_keys: keys.iter().map(|key| (*key).into()).collect(), ..end(2) };
        desk.settle(&filing("w-1", 2), passed(&["a"])).await.unwrap();
        assert_eq!(desk.open_keys("w", "export").await.unwrap().len(), 2, "a repeated key of the same task stays");
        desk.settle(&filing("w-2", 1), passed(&["a"])).await.unwrap();
        assert_eq!(desk.open_keys("w", "export").await.unwrap(), HashSet::from(["b".to_owned()]));
        assert_eq!(desk.open_keys("v", "export").await.unwrap().len(), 2, "another workflow's are its own");
    }

    /// A file of the first form, as it was before it told what was sent.
    #[tokio::test]
    async fn a_file_of_an_older_form_keeps_its_rejects() {
        let folder = tempfile::tempdir().unwrap();
        let desk = SqliteDesk::new(folder.path());
        let task = filing("w-1", 2);
        desk.keep(&task, vec![reject(0, "a", None)]).await.unwrap();
        let kept = desk.list(&Wanted::default()).await.unwrap().remove(0);
        assert_eq!(kept.sent.unwrap()["emailaddress1"], "A");
        drop(desk);
        let older = Connection::open(folder.path().join(REJECTS_FILE)).unwrap();
        let first =
            "DROP INDEX reject_question; ALTER TABLE reject DROP COLUMN question; ALTER TABLE reject DROP COLUMN sent;
             PRAGMA user_version = 1;";
        older.execute_batch(first).unwrap();
        drop(older);
        let desk = SqliteDesk::new(folder.path());
        desk.keep(&task, vec![reject(1, "b", None)]).await.unwrap();
        let kept = desk.list(&Wanted::default()).await.unwrap();
        let sent: Vec<_> = kept.iter().map(|kept| (kept.key.as_deref(), kept.sent.is_some())).collect();
        assert_eq!(sent, [(Some("b"), true), (Some("a"), false)]);
    }

    /// The work that it is to keep so many rejects of one key, twice, in steps of SQLite's machine.
    async fn steps_to_keep(rejects: u64) -> i64 {
        let folder = tempfile::tempdir().unwrap();
        let desk = SqliteDesk::new(folder.path());
        for run in ["w-1", "w-2"] {
            desk.keep(&filing(run, 2), (0..rejects).map(|place| reject(place, "same", None)).collect()).await.unwrap();
        }
        assert_eq!(
            desk.list(&Wanted::default()).await.unwrap().len() as u64,
            rejects,
            "the second run refused the same"
        );
        let opened = desk.file.opened.lock().unwrap();
        let asked = opened.as_ref().unwrap().prepare_cached(&sql::known_by_key()).unwrap();
        asked.get_status(rusqlite::StatementStatus::VmStep).into()
    }

    #[tokio::test]
    async fn rejects_of_one_key_are_no_more_work_each_for_being_many() {
        let (few, many) = (steps_to_keep(200).await, steps_to_keep(2_000).await);
        assert!(many < 12 * few, "{few} steps for 200, {many} for 2,000");
    }

    /// Each night the same records are refused; the file has them as they are now.
    #[tokio::test]
    async fn what_is_refused_in_run_after_run_is_one_reject_unless_somebody_corrected_it() {
        let folder = tempfile::tempdir().unwrap();
        let desk = SqliteDesk::new(folder.path());
        let newer = |place| {
            let mut newer = reject(place, "a", None);
            newer.record.insert("email".to_owned(), Value::from("newer"));
            newer
        };
        desk.keep(&filing("w-1", 2), vec![reject(0, "a", None), reject(1, "b", None)]).await.unwrap();
        desk.settle(&filing("w-1", 2), end(2)).await.unwrap();
        let night = filing("w-2", 2);
        for _ in 0..2 {
            // Told twice; two of its records have the same key.
            desk.keep(&night, vec![reject(0, "c", None), newer(1), reject(2, "a", None)]).await.unwrap();
            desk.settle(&night, end(3)).await.unwrap();
        }
        let mut all = desk.list(&Wanted::default()).await.unwrap();
        all.sort_by_key(|kept| kept.id);
        let told: Vec<_> =
            all.iter().map(|kept| (kept.key.as_deref().unwrap(), kept.attempts, kept.run.as_str())).collect();
        assert_eq!(told, [("a", 2, "w-2"), ("b", 1, "w-1"), ("c", 1, "w-2"), ("a", 1, "w-2")]);
        assert_eq!(all[0].record["email"], "newer");
        let corrected = Map::from_iter([("email".to_owned(), Value::from("corrected"))]);
        desk.correct(all[1].id, corrected.clone()).await.unwrap();
        desk.keep(&filing("w-3", 2), vec![reject(0, "b", None)]).await.unwrap();
        let kept = desk.list(&Wanted { ids: vec![all[1].id], ..Wanted::default() }).await.unwrap().remove(0);
        assert_eq!((kept.record, kept.attempts), (corrected, 1));
    }

    #[tokio::test]
    async fn the_oldest_closed_ones_are_forgotten_first() {
        let folder = tempfile::tempdir().unwrap();
        let desk = SqliteDesk::new(folder.path());
        let task = filing("w-1", 1);
        desk.keep(&task, (0..6).map(|place| reject(place, &place.to_string(), None)).collect()).await.unwrap();
        let ids: Vec<RejectId> = open_ones(&desk).await.into_iter().map(|(id, ..)| id).collect();
        assert_eq!(desk.ignore(&ids[4..], "known", task.at).await.unwrap(), 2);
        assert_eq!(desk.ignore(&ids[4..], "known", task.at).await.unwrap(), 0, "they are closed already");
        desk.settle(&task, Settlement { kept_max: 3, ..end(6) }).await.unwrap();
        let left = desk.list(&Wanted { closed: true, ..Wanted::default() }).await.unwrap();
        let mut left: Vec<RejectId> = left.into_iter().map(|kept| kept.id).collect();
        left.sort_unstable();
        assert_eq!(left, ids[1..4], "both closed ones, then the oldest");
        let groups = desk.groups(&Wanted::default()).await.unwrap();
        assert_eq!((groups.len(), groups[0].rejects, groups[0].days["2026-03-03"]), (1, 3, 3));
    }

    #[tokio::test]
    async fn an_open_question_is_one_reject_however_often_it_is_met_and_stays_until_it_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let desk = SqliteDesk::new(folder.path());
        for run in ["w-1", "w-1", "w-2"] {
            let task = filing(run, 2);
            desk.ask(&task, vec![(7, reject(0, "a", None)), (8, reject(0, "a", None))]).await.unwrap();
            let passed = Settlement { passed_keys: vec!["a".into()], kept_max: 1, ..end(0) };
            desk.settle(&task, passed).await.unwrap();
        }
        let all = desk.list(&Wanted::default()).await.unwrap();
        let met: Vec<_> =
            all.iter().map(|kept| (kept.question, kept.attempts, kept.run.as_str(), kept.sendable)).collect();
        assert_eq!(met, [(Some(8), 2, "w-2", false), (Some(7), 2, "w-2", false)]);
        let at = filing("w-2", 2).at;
        desk.answer(&[(7, "created as 003".into())], at).await.unwrap();
        desk.ask(&filing("w-3", 2), vec![(7, reject(0, "a", None))]).await.unwrap();
        let wanted = Wanted { closed: true, ..Wanted::default() };
        let settled = desk.list(&wanted).await.unwrap().into_iter().find(|kept| kept.question == Some(7)).unwrap();
        assert_eq!(settled.state, RejectState::Settled { outcome: "created as 003".into(), at });
        desk.settle(&filing("w-3", 2), Settlement { kept_max: 0, ..end(0) }).await.unwrap();
        let left: Vec<_> = desk.list(&wanted).await.unwrap().into_iter().map(|kept| kept.question).collect();
        assert_eq!(left, [Some(8)], "an open one is never the oldest");
    }
}
