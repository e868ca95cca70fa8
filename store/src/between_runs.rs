//! The memory between runs: an SQLite file of its own next to the rejects desk, made when there is something to remember.

mod own;
mod sql;
mod versions;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use engine::failure::{Class, Failure};
use engine::outside::memory::{Answer, Export, Memory, MemoryId, NewMemory, OwnWrite, Reader, Remembered};
use engine::outside::store::RunId;
use engine::version::{Target, Versions};
use jiff::Timestamp;
use rusqlite::Connection;

use crate::sqlite_file::{Kind, SqliteFile};

/// The memory's file in a data folder.
pub const MEMORY_FILE: &str = "memory.db";

static KIND: Kind = Kind {
    name: "the memory between runs",
    steps: &sql::STEPS,
    damaged: "put the file back from a backup: without it, exports may create records a second time",
};

/// The memory between runs in an SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteMemory {
    file: SqliteFile,
}

impl SqliteMemory {
    /// The memory of a data folder.
    pub fn new(data: &Path) -> Self {
        Self { file: SqliteFile::new(data.join(MEMORY_FILE), &KIND) }
    }
}

#[async_trait]
impl Memory for SqliteMemory {
    async fn keep(&self, export: &Export, records: Vec<NewMemory>, most: usize) -> Result<Vec<MemoryId>, Failure> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let export = export.clone();
        let kept = self.file.write(move |connection| sql::keep(connection, &export, &records, most)).await?;
        kept.ok_or_else(|| {
            let message = format!("{most} records are in doubt or not handed on (limit recordsRemembered)");
            let help =
                "settle those in doubt, see `campanile rejects list`; resume or stop runs that wait; then resume";
            Failure::new(Class::Limit, message).help(help)
        })
    }

    async fn explain(&self, export: &str, ids: Option<Vec<String>>) -> Result<(), Failure> {
        let export = export.to_owned();
        self.file.write(move |connection| sql::explain(connection, &export, ids.as_deref())).await
    }

    async fn explained(&self, export: &str) -> Result<Option<Vec<String>>, Failure> {
        let export = export.to_owned();
        self.file.read(move |connection| sql::explained(connection, &export)).await
    }

    async fn of(&self, account: &str, object: &str) -> Result<Vec<Remembered>, Failure> {
        let (account, object) = (account.to_owned(), object.to_owned());
        self.file.read(move |connection| sql::of(connection, &account, &object)).await
    }

    async fn get(&self, id: MemoryId) -> Result<Option<Remembered>, Failure> {
        self.file.read(move |connection| sql::get(connection, id)).await
    }

    async fn take(&self, ids: &[MemoryId], export: &str, run: &RunId) -> Result<(), Failure> {
        let (ids, export, run) = (ids.to_vec(), export.to_owned(), run.clone());
        self.file.change(move |connection| sql::take(connection, &ids, &export, &run)).await
    }

    async fn settle(&self, answers: &[(MemoryId, Answer)]) -> Result<(), Failure> {
        let answers = answers.to_vec();
        self.file.change(move |connection| sql::settle(connection, &answers)).await
    }

    async fn handed_on(&self, export: &str) -> Result<(), Failure> {
        let export = export.to_owned();
        self.file.change(move |connection| sql::handed_on(connection, &export)).await
    }

    async fn older(&self, target: &Target, versions: &Versions) -> Result<Vec<usize>, Failure> {
        let (target, versions) = (target.clone(), versions.clone());
        self.file.read(move |connection| versions::older(connection, &target, &versions)).await
    }

    async fn sending(&self, target: &Target, versions: Vec<(String, i64)>, until: u64) -> Result<(), Failure> {
        let target = target.clone();
        self.file.write(move |connection| versions::sending(connection, &target, &versions, until)).await
    }

    async fn sent(&self, target: &Target, versions: Vec<(String, i64, bool)>) -> Result<(), Failure> {
        let target = target.clone();
        self.file.change(move |connection| versions::sent(connection, &target, &versions)).await
    }

    async fn forget_versions(&self, before: u64) -> Result<(), Failure> {
        // Most of the time there are none, and nothing is written.
        let has_any = |connection: &Connection| -> rusqlite::Result<bool> {
            connection.query_row("SELECT EXISTS (SELECT 1 FROM version_target)", [], |row| row.get(0))
        };
        if !self.file.read(has_any).await? {
            return Ok(());
        }
        self.file.change(move |connection| versions::forget(connection, before)).await
    }

    async fn keep_own(&self, readers: &[Reader], writes: Vec<OwnWrite>, most: usize) -> Result<u64, Failure> {
        if readers.is_empty() || writes.is_empty() {
            return Ok(0);
        }
        let readers = readers.to_vec();
        self.file.write(move |connection| own::keep(connection, &readers, &writes, most)).await
    }

    async fn own(&self, reader: &Reader) -> Result<Vec<OwnWrite>, Failure> {
        let reader = reader.clone();
        self.file.read(move |connection| own::all(connection, &reader)).await
    }

    async fn forget_own(&self, reader: &Reader, before: Timestamp) -> Result<(), Failure> {
        let reader = reader.clone();
        self.file.change(move |connection| own::forget(connection, &reader, before)).await
    }

    async fn open(&self) -> Result<BTreeMap<RunId, u64>, Failure> {
        self.file.read(sql::open).await
    }

    async fn last(&self) -> Result<MemoryId, Failure> {
        self.file.read(sql::last).await
    }
}

#[cfg(test)]
mod tests {
    use engine::outside::memory::{Doubt, State};
    use serde_json::Map;

    use super::*;

    const MOST: usize = 4;

    fn export(run: &str) -> Export {
        let id = RunId::parse(run).unwrap();
        Export { name: format!("{run}/export/d"), run: id, account: "crm".into(), object: "Lead".into() }
    }

    fn doubt(place: u64) -> NewMemory {
        let doubt = Doubt { reason: "no answer".into(), sent: Map::new(), ..Doubt::default() };
        NewMemory { place, source: format!("s{place}"), state: State::InDoubt(doubt) }
    }

    fn created(place: u64, id: &str) -> NewMemory {
        NewMemory { place, source: format!("s{place}"), state: State::Created { id: Some(id.into()) } }
    }

    async fn known(memory: &SqliteMemory) -> Vec<(String, &'static str)> {
        let all = memory.of("crm", "Lead").await.unwrap().into_iter();
        let word = |state: &State| match state {
            State::InDoubt(_) => "doubt",
            State::Created { .. } => "created",
            State::Over => "over",
        };
        all.map(|entry| (entry.source, word(&entry.state))).collect()
    }

    #[tokio::test]
    async fn what_is_kept_twice_is_kept_once_and_an_answer_is_never_replaced_by_a_doubt() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SqliteMemory::new(folder.path());
        assert_eq!(known(&memory).await, []);
        assert!(!folder.path().join(MEMORY_FILE).exists(), "reading makes no file");
        let one = export("w-1");
        let ids = memory.keep(&one, vec![doubt(0), doubt(1), created(2, "C")], MOST).await.unwrap();
        let memory = SqliteMemory::new(folder.path());
        assert_eq!(memory.keep(&one, vec![created(0, "A"), doubt(1), doubt(2)], MOST).await.unwrap(), ids);
        let all = [("s0", "created"), ("s1", "doubt"), ("s2", "created")].map(|(s, word)| (s.to_owned(), word));
        assert_eq!(known(&memory).await, all);
        assert_eq!(memory.open().await.unwrap(), BTreeMap::from([(one.run.clone(), 1)]));
        memory.settle(&[(ids[1], Answer::NotCreated)]).await.unwrap();
        memory.keep(&one, vec![doubt(1)], MOST).await.unwrap();
        assert_eq!(known(&memory).await.len(), 2, "what is settled is not asked again");
    }

    #[tokio::test]
    async fn what_another_export_handed_on_is_over_and_a_doubt_that_it_met_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SqliteMemory::new(folder.path());
        let (one, two) = (export("w-1"), export("w-2"));
        let ids = memory.keep(&one, vec![created(0, "A"), doubt(1), created(2, "C")], MOST).await.unwrap();
        memory.take(&ids[..2], &two.name, &two.run).await.unwrap();
        memory.handed_on(&two.name).await.unwrap();
        let left = [("s1", "doubt"), ("s2", "created")].map(|(s, word)| (s.to_owned(), word));
        assert_eq!(known(&memory).await, left);
        assert_eq!(memory.open().await.unwrap(), BTreeMap::from([(one.run.clone(), 1), (two.run, 1)]));
        memory.handed_on(&one.name).await.unwrap();
        assert_eq!(known(&memory).await, [("s1".to_owned(), "doubt")]);
    }

    #[tokio::test]
    async fn a_created_record_whose_id_is_not_known_is_never_over() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SqliteMemory::new(folder.path());
        let (one, two) = (export("w-1"), export("w-2"));
        let ids = memory.keep(&one, vec![doubt(0)], MOST).await.unwrap();
        memory.settle(&[(ids[0], Answer::Created { id: None })]).await.unwrap();
        memory.take(&ids, &two.name, &two.run).await.unwrap();
        memory.handed_on(&two.name).await.unwrap();
        memory.handed_on(&one.name).await.unwrap();
        assert_eq!(known(&memory).await, [("s0".to_owned(), "created")]);
    }

    #[tokio::test]
    async fn more_than_the_limit_is_a_failure_and_what_is_over_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SqliteMemory::new(folder.path());
        let ids = memory.keep(&export("w-1"), (0..4).map(doubt).collect(), MOST).await.unwrap();
        let more = memory.keep(&export("w-2"), vec![doubt(0)], MOST).await.unwrap_err();
        assert_eq!(more.class, Class::Limit);
        memory.settle(&[(ids[0], Answer::NotCreated)]).await.unwrap();
        memory.keep(&export("w-2"), vec![doubt(0)], MOST).await.unwrap();
        assert_eq!(known(&memory).await.len(), 4);
    }

    #[tokio::test]
    async fn ids_that_explain_what_is_there_stay_as_long_as_a_question_of_their_export() {
        let folder = tempfile::tempdir().unwrap();
        let memory = SqliteMemory::new(folder.path());
        let one = export("w-1");
        let ids = memory.keep(&one, vec![doubt(0)], MOST).await.unwrap();
        assert_eq!(memory.explained(&one.name).await.unwrap(), None);
        memory.explain(&one.name, Some(vec!["A".into(), "B".into()])).await.unwrap();
        memory.explain(&one.name, Some(vec!["A".into()])).await.unwrap();
        assert_eq!(memory.explained(&one.name).await.unwrap().unwrap(), ["A", "B"]);
        memory.explain(&one.name, None).await.unwrap();
        assert_eq!(memory.explained(&one.name).await.unwrap(), None, "there are too many");
        memory.settle(&[(ids[0], Answer::NotCreated)]).await.unwrap();
        memory.explain(&one.name, Some(Vec::new())).await.unwrap();
        assert_eq!(memory.explained(&one.name).await.unwrap(), Some(Vec::new()));
    }
}
