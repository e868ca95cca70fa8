//! The data folder, with the database in it, is on a disk whose power is cut, which is full, or whose syncs fail. The run
//! goes on from what the disk kept, and each record is where it belongs, once.

use std::process::Command;
use std::time::Duration;

use crate::disk::Disk;
use crate::everything::Everything;
use crate::rounds::rounds;

/// The longest time after which the power is cut. In it, a run comes to its end, or nearly.
const CUT_MS_MAX: u64 = 1_500;
/// Room for the store's reserve, and a little more than all else that a run writes.
const ROOM_MAX: u64 = 24 * 1024 * 1024;
/// A few more than a run needs.
const SYNCS_MAX: u64 = 250;

#[test]
fn power_cuts_at_random_moments_of_imports_and_exports_leave_each_record_once() {
    rounds("power cuts of imports and exports", 2, |dice, done| {
        let everything = Everything::new(3);
        let disk = Disk::of(&everything.world.path(".campanile"));
        for _ in 0..2 + dice.below(5) {
            let Some(mut working) = everything.begin(|command| disk.under(command)) else { break };
            std::thread::sleep(Duration::from_millis(dice.below(CUT_MS_MAX)));
            *done.entry("power cuts").or_default() += u64::from(working.is_working());
            working.kill();
            disk.cut(dice);
        }
        everything.to_the_end();
        everything.check();
        *done.entry("records in doubt").or_default() += everything.in_doubt();
    });
}

/// The process ends, or the run waits for a person; it says why and does not hang.
fn stops(everything: &Everything, change: impl FnOnce(&mut Command), because: &[&str]) -> bool {
    let Some(working) = everything.begin(change) else { return false };
    let answer = working.end();
    let is_said = because.iter().any(|words| answer.err.contains(words));
    assert!(answer.code == Some(0) || is_said, "{:?}: {}\n{}", answer.code, answer.out, answer.err);
    answer.code != Some(0)
}

#[test]
fn a_disk_that_is_full_at_random_moments_stops_the_run_and_loses_nothing() {
    rounds("full disks", 2, |dice, done| {
        let everything = Everything::new(3);
        let disk = Disk::of(&everything.world.path(".campanile"));
        for _ in 0..2 {
            let room = dice.below(ROOM_MAX);
            let full = ["No space left", "disk is full"];
            let is_stopped = stops(&everything, |command| disk.full_after(room, command), &full);
            *done.entry("stops").or_default() += u64::from(is_stopped);
        }
        everything.to_the_end();
        everything.check();
    });
}

#[test]
fn a_disk_whose_syncs_fail_from_a_random_moment_on_stops_the_run_and_loses_nothing() {
    rounds("failing syncs", 2, |dice, done| {
        let everything = Everything::new(3);
        let disk = Disk::of(&everything.world.path(".campanile"));
        let syncs = dice.below(SYNCS_MAX);
        let failed = ["Input/output error", "disk I/O error"];
        let is_stopped = stops(&everything, |command| disk.failing_after(syncs, command), &failed);
        *done.entry("stops").or_default() += u64::from(is_stopped);
        // What was not synced is lost.
        disk.cut(dice);
        everything.to_the_end();
        everything.check();
    });
}
