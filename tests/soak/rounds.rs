//! Tests that draw their moments: a few rounds with known seeds in `make test`; in `make soak` rounds with new seeds until
//! their time is over. A round that fails prints the seed that repeats it.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Repeats the one round of this seed. What depends on the machine, such as how far a process came by a moment, may
/// still differ.
const SEED: &str = "CAMPANILE_SOAK_SEED";
/// For how long rounds follow each other.
const SECONDS: &str = "CAMPANILE_SOAK_SECONDS";
/// The folder in which each test leaves a line of its figures.
const FIGURES: &str = "CAMPANILE_SOAK_FIGURES";

/// What a round did, by name: `kills`, `cuts` and so on.
pub(crate) type Done = BTreeMap<&'static str, u64>;

/// Numbers that only their seed decides.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    /// One of these.
    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.below(all.len() as u64);
        &all[usize::try_from(at).unwrap()]
    }
}

/// Plays `few` rounds, or as many as there is time for.
pub(crate) fn rounds(what: &str, few: u64, round: impl Fn(&mut Dice, &mut Done)) {
    let given = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let until = given(SECONDS).map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut played, mut failed, mut done) = (0, Vec::new(), Done::new());
    loop {
        let seed =
            given(SEED).unwrap_or_else(|| until.map_or(played + 1, |_| RandomState::new().build_hasher().finish()));
        let result = catch_unwind(AssertUnwindSafe(|| round(&mut Dice::new(seed), &mut done)));
        played += 1;
        if let Err(panic) = result {
            let test = std::env::var("NEXTEST_TEST_NAME").unwrap_or_default();
            let repeat = format!("{SEED}={seed} cargo nextest run --workspace --locked -E 'test(={test})'");
            writeln!(std::io::stderr(), "\n{what}: the round of seed {seed} failed. This repeats it:\n  {repeat}\n")
                .ok();
            failed.push(seed);
            if until.is_none() {
                resume_unwind(panic);
            }
        }
        let is_over = until.map_or(played >= few, |until| Instant::now() >= until);
        if is_over || given(SEED).is_some() {
            break;
        }
    }
    if let Some(folder) = std::env::var_os(FIGURES) {
        leave(Path::new(&folder), what, played, failed.len(), &done);
    }
    assert!(failed.is_empty(), "{what}: {} of {played} rounds failed, those of seeds {failed:?}", failed.len());
}

/// `what | rounds | failed | 12 kills, 3 cuts`, for `tests/soak/figures.awk`.
fn leave(folder: &Path, what: &str, played: u64, failed: usize, done: &Done) {
    let counts: Vec<String> = done.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let line = format!("{what}|{played}|{failed}|{}\n", counts.join(", "));
    let mut file = fs::OpenOptions::new().create(true).append(true).open(folder.join("figures")).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}
