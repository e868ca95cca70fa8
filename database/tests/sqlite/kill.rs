//! A process that ends between the commit and the answer.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use database::Sqlite;
use engine::outside::database::{Database, LedgerKey, Operation};

use super::rounds::{Dice, rounds};
use super::{Place, block_on, texts, write};

const FILE: &str = "CAMPANILE_DATABASE_TEST_FILE";
const BATCHES: u64 = 400;
const KILLS: u64 = 12;
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
fn a_batch_whose_answer_was_lost_at_random_moments_is_replayed_and_not_written_twice() {
    rounds("kills of writers to a database", 1, |dice, done| {
        *done.entry("kills").or_default() += a_batch_whose_answer_was_lost_is_not_written_twice(dice);
    });
}

/// How often a writer was killed.
fn a_batch_whose_answer_was_lost_is_not_written_twice(dice: &mut Dice) -> u64 {
    let place = Place::new("CREATE TABLE t(k TEXT)");
    let mut killed = 0;
    // Each child starts again with the first batch, as a task does that never got an answer.
    for _ in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
            .env(FILE, &place.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let most = *dice.of(&[10, 40]);
        let batches = 1 + usize::try_from(dice.below(most)).unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let written = out.lines().map_while(Result::ok).filter(|line| line.contains(WRITTEN)).take(batches);
        assert_eq!(written.count(), batches);
        // It goes on writing until it is hit.
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it was killed while it wrote");
        killed += 1;
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
    killed
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
