//! A disk whose power is cut, that is full, or that fails loses nothing that was acknowledged.

use std::fs;
use std::process::Command;

use super::disk::Disk;
use super::kill::{KILLS, written_until_killed_many_times};
use super::rounds::{Dice, rounds};
use super::{block_on, content, fill, on_each_disk};
use crate::{Kind, OnDisk};

on_each_disk! {
    what_was_acknowledged_survives_power_cuts_at_random_moments,
    what_was_acknowledged_survives_disks_that_are_full_or_fail_at_random_moments,
}

#[test]
fn settings_of_sled_that_a_power_cut_tore_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let expected = block_on(async {
        let store = OnDisk::open(folder.path(), Kind::Sled).unwrap();
        fill(&store).await;
        content(&store).await.unwrap()
    });
    let settings = folder.path().join("sled/conf");
    let whole = fs::read(&settings).unwrap();
    let torn = (0..whole.len()).step_by(9).flat_map(|end| [whole[..end].to_vec(), vec![0; end]]);
    for torn in torn.chain([vec![0; whole.len()], whole[..whole.len() - 1].to_vec()]) {
        fs::write(&settings, &torn).unwrap();
        let store = OnDisk::open(folder.path(), Kind::Sled).unwrap_or_else(|error| panic!("{torn:?}: {error}"));
        assert_eq!(block_on(content(&store)).unwrap(), expected);
        assert_eq!(fs::read(&settings).unwrap(), whole);
    }
}

/// Less than a process writes before it is killed, as a rule.
const ROOM_MAX: u64 = 8 * 1024 * 1024;
const SYNCS_MAX: u64 = 200;

fn what_was_acknowledged_survives_power_cuts_at_random_moments(kind: Kind) {
    rounds(&format!("power cuts of a store in {kind}"), 2, |dice, done| {
        let written = written_until_power_cuts(kind, dice, |disk, command, _| disk.under(command));
        assert!(written > 0, "no child did anything");
        *done.entry("power cuts").or_default() += KILLS;
    });
}

fn what_was_acknowledged_survives_disks_that_are_full_or_fail_at_random_moments(kind: Kind) {
    rounds(&format!("full and failing disks of a store in {kind}"), 1, |dice, done| {
        written_until_power_cuts(kind, dice, |disk, command, dice| match dice.below(2) {
            0 => disk.full_after(dice.below(ROOM_MAX), command),
            _ => disk.failing_after(dice.below(SYNCS_MAX), command),
        });
        *done.entry("stops").or_default() += KILLS;
    });
}

fn written_until_power_cuts(kind: Kind, dice: &mut Dice, on: impl Fn(&Disk, &mut Command, &mut Dice)) -> u64 {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("store");
    fs::create_dir(&folder).unwrap();
    let disk = Disk::of(&folder);
    written_until_killed_many_times(&folder, kind, dice, |command, dice| match command {
        Some(command) => on(&disk, command, dice),
        None => disk.cut(dice),
    })
}
