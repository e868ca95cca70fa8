use std::time::Instant;

use arrow::array::{Int64Array, StringArray};
use indexmap::IndexMap;

use super::*;

/// A population of `records` whose keys are `key(n)`, in batches of 5000, ranked by `rank(n)`.
async fn population(folder: &Path, records: i64, key: impl Fn(i64) -> String, rank: impl Fn(i64) -> i64) -> Population {
    let writer = engine::population::Writer::new(folder, "1-test", 1, &IndexMap::new());
    let fields = [("key", DataType::Utf8), ("rank", DataType::Int64), ("other", DataType::Utf8)];
    let fields = fields.map(|(name, data)| Field::new(name, data, true));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let mut segments = Vec::new();
    for from in (0..records).step_by(5000) {
        let all = from..(from + 5000).min(records);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(all.clone().map(&key))),
            Arc::new(Int64Array::from_iter_values(all.clone().map(&rank))),
            Arc::new(StringArray::from_iter_values(all.map(|n| format!("Somebody {n}, Some Street {n}, Paris")))),
        ];
        writer.write("ok", RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()).await;
        if writer.unsealed_bytes() > 4 * 1024 * 1024 {
            segments.extend(writer.seal().await.await.unwrap().unwrap().into_values());
        }
    }
    segments.extend(writer.seal().await.await.unwrap().unwrap().into_values());
    Population::new(folder, segments)
}

/// By the first column, keeping the largest of the second.
fn largest() -> Arc<Ranking> {
    let order = SortOptions { descending: true, nulls_first: false };
    Arc::new(move |batch: &RecordBatch, _| {
        let keys = keys(&batch.columns()[..1], Empty::Alone)?;
        Ok(Ranked { keys, ranks: vec![(Arc::clone(batch.column(1)), order)] })
    })
}

/// Groups `records` of `groups` addresses within `mib`, and checks every choice.
async fn check(records: i64, groups: i64, mib: usize) {
    let folder = tempfile::tempdir().unwrap();
    let rank = |n| n * 31 % 1009;
    let all = population(folder.path(), records, |n| format!("person{}@example.com", n * 7919 % groups), rank).await;
    let began = Instant::now();
    let spill = folder.path().join("spill");
    let firsts = firsts(&all, largest(), REPEATED_MAX, mib << 20, &spill).await.unwrap();
    println!("{records} records, {groups} groups, {mib} MiB: {:?}, {} files", began.elapsed(), all.segments().len());
    let mut best = HashMap::new();
    for n in 0..records {
        let best = best.entry(n * 7919 % groups).or_insert(n);
        if rank(n) > rank(*best) {
            *best = n;
        }
    }
    for n in 0..records {
        let mark = if best[&(n * 7919 % groups)] == n { Mark::First } else { Mark::Other };
        assert_eq!(firsts.places.get(n.try_into().unwrap()), mark, "record {n}");
    }
    assert!(!spill.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_memory_is_sorted_on_the_disk() {
    check(1000, 900, 16).await;
    check(300_000, 250_000, 4).await;
}

#[test]
fn memory_that_is_held_is_half_of_the_limit_at_most_and_is_given_back() {
    let memory = 64 * 1024 * 1024;
    let mut first = Held::take(memory).unwrap();
    assert_eq!(first.bytes(), memory / 2);
    assert!(Held::take(memory).is_none(), "the rest is for sorting");
    first.keep(1024);
    let second = Held::take(memory).unwrap();
    assert_eq!((first.bytes(), second.bytes()), (1024, memory / 2 - 1024));
    drop((first, second));
    assert_eq!(Held::take(memory).unwrap().bytes(), memory / 2);
}
