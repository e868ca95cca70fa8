//! A process that ends between the commit and the answer.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use database::Sqlite;
use engine::outside::database::{Database, LedgerKey, Operation};

use super::{Place, block_on, texts, write};

const FILE: &str = "CAMPANILE_DATABASE_TEST_FILE";
const BATCHES: u64 = 400;
const ROUNDS: usize = 12;
/// What the child prints after each batch that was written; the harness prints on the same line.
const WRITTEN: &str = "batch written";

/// Inserts, so that a batch written twice is seen.
async fn write_batch(sqlite: &Sqlite, batch: u64) -> bool {
    let keys: Vec<String> = (0..20).map(|row| format!("{batch}/{row}")).collect();
    let keys: Vec<_> = keys.iter().map(|key| Some(key.as_str())).collect();
    let ledger = LedgerKey { folder: "folder".to_owned(), task: "run/1".to_owned(), batch };
    let insert = write("t", Operation::Insert, &[]);
    let written = sqlite.write(&ledger, &insert, texts(&[("k", &keys)])).await.unwrap();
    assert_eq!(written.counts["inserted"], 20);
    written.replayed
}

#[test]
fn a_batch_whose_answer_was_lost_is_replayed_and_not_written_twice() {
    let place = Place::new("CREATE TABLE t(k TEXT)");
    // Each round begins anew with the first batch, as a task does that never heard of an answer, and gets further.
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
            .env(FILE, &place.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let written = out.lines().map_while(Result::ok).filter(|line| line.contains(WRITTEN)).take(1 + round * 3);
        assert_eq!(written.count(), 1 + round * 3);
        // It goes on writing until it is hit.
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it was killed while it wrote");
    }
    let replayed = block_on(async {
        let mut replayed = 0;
        for batch in 0..BATCHES {
            replayed += u64::from(write_batch(&place.sqlite, batch).await);
        }
        replayed
    });
    assert!(replayed > 0, "no batch had been written before");
    assert_eq!(place.rows("SELECT count(*), count(DISTINCT k) FROM t"), ["8000|8000"]);
}

/// The process that is killed; nothing when the tests run as they usually do.
#[test]
fn child() {
    let Ok(file) = std::env::var(FILE) else { return };
    let sqlite = Sqlite::open(Path::new(&file)).unwrap();
    block_on(async {
        for batch in 0..BATCHES {
            write_batch(&sqlite, batch).await;
            println!("{WRITTEN}");
        }
    });
}
