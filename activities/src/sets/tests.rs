#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::HashSet;
use std::time::Instant;

use arrow::array::{Array, Int64Array, StringArray};
use indexmap::IndexMap;

use super::*;

/// A population of `records` whose keys are `key(n)`, in batches of 5000, ranked by `rank(n)`.
async fn population(folder: &Path, records: i64, key: impl Fn(i64) -> String, rank: impl Fn(i64) -> i64) -> Population {
    let writer = engine::population::Writer::new(folder, "1-test", &IndexMap::new());
    let schema = Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("rank", DataType::Int64, true),
        Field::new("other", DataType::Utf8, true),
    ]));
    let mut segments = Vec::new();
    for from in (0..records).step_by(5000) {
        let all = from..(from + 5000).min(records);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(all.clone().map(&key))),
            Arc::new(Int64Array::from_iter_values(all.clone().map(&rank))),
            Arc::new(StringArray::from_iter_values(
                all.map(|n| format!("Some Name {n} of somebody, Some Street {n}, Paris")),
            )),
        ];
        writer.write("ok", RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()).await;
        if writer.unsealed_bytes() > 4 * 1024 * 1024 {
            segments.extend(writer.seal().await.await.unwrap().unwrap().into_values());
        }
    }
    segments.extend(writer.seal().await.await.unwrap().unwrap().into_values());
    Population::new(folder, segments)
}

fn largest() -> Arc<Ranking> {
    Arc::new(|batch: &RecordBatch| {
        let order = SortOptions { descending: true, nulls_first: false };
        Ok(Ranked {
            keys: keys(&batch.columns()[..1], Empty::Alone)?,
            ranks: vec![(Arc::clone(batch.column(1)), order)],
        })
    })
}

async fn in_release(records: i64, groups: i64, mib: usize) {
    let folder = tempfile::tempdir().unwrap();
    let key = |n| format!("person{}@example.com", n * 7919 % groups);
    let all = population(folder.path(), records, key, |n| n * 31 % 1009).await;
    let began = Instant::now();
    let firsts = firsts(&all, largest(), mib << 20, &folder.path().join("spill")).await.unwrap();
    println!(
        "{records} records, {groups} groups, {mib} MiB: {:?}, {} kept, {} segments",
        began.elapsed(),
        firsts.places.count(0..u64::try_from(records).unwrap()).0,
        all.segments().len()
    );
    assert_eq!(firsts.places.count(0..u64::try_from(records).unwrap()).0, u64::try_from(groups).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn measured() {
    for (records, groups, mib) in [
        (1000, 900, 256),
        (100_000, 90_000, 256),
        (1_000_000, 800_000, 256),
        (1_000_000, 1_000_000, 32),
        (2_000_000, 2_000_000, 16),
        (2_000_000, 2_000_000, 8),
    ] {
        in_release(records, groups, mib).await;
    }
}
