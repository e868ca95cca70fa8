//! A disk for tests (`disk.c` says how it works): its power can be cut, it can be full, and its syncs can fail. It needs no
//! root, and a C compiler as the build does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use tempfile::TempDir;

use super::rounds::Dice;

const SOURCE: &str = include_str!("disk.c");
/// What a disk writes at once.
const SECTOR: usize = 512;

pub(crate) struct Disk {
    root: PathBuf,
    /// The library, and in `kept` what was synced.
    own: TempDir,
}

/// Names with the ids of what they lead to.
type Names = BTreeMap<String, String>;

impl Disk {
    /// Puts a folder, which is there, on a disk of its own.
    pub(crate) fn of(root: &Path) -> Self {
        let own = tempfile::tempdir().unwrap();
        fs::write(own.path().join("disk.c"), SOURCE).unwrap();
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let args = ["-O1", "-shared", "-fPIC", "-o", "disk.so", "disk.c", "-ldl", "-lpthread"];
        let compiled = Command::new(compiler).args(args).current_dir(own.path()).status().unwrap();
        assert!(compiled.success(), "disk.c does not compile");
        Self { root: root.canonicalize().unwrap(), own }
    }

    /// The command, which is to start now, uses this disk. What is there already was synced.
    pub(crate) fn under(&self, command: &mut Command) {
        self.keep_all();
        command.env("LD_PRELOAD", self.own.path().join("disk.so"));
        command.env("CAMPANILE_DISK_ROOT", &self.root).env("CAMPANILE_DISK_KEPT", self.kept());
    }

    /// The same, and the disk is full once its files grew by so many bytes.
    pub(crate) fn full_after(&self, bytes: u64, command: &mut Command) {
        self.under(command);
        command.env("CAMPANILE_DISK_ROOM", bytes.to_string());
    }

    /// The same, and so many syncs succeed, and none after them.
    pub(crate) fn failing_after(&self, syncs: u64, command: &mut Command) {
        self.under(command);
        command.env("CAMPANILE_DISK_SYNCS", syncs.to_string());
    }

    /// Cuts the power. What used the disk must have ended. Of what was written since the last sync nothing is left, or, at
    /// random, some sectors and names of it.
    pub(crate) fn cut(&self, dice: &mut Dice) {
        let mut live = BTreeMap::new();
        find(&self.root, &mut live);
        let after = self.root.with_extension("after-the-cut");
        let cut = Cut { kept: self.kept(), live, some: dice.below(3) > 0 };
        cut.folder(&id(&self.root), &after, dice);
        fs::remove_dir_all(&self.root).unwrap();
        fs::rename(&after, &self.root).unwrap();
    }

    fn kept(&self) -> PathBuf {
        self.own.path().join("kept")
    }

    /// All that is there now is kept.
    fn keep_all(&self) {
        fs::remove_dir_all(self.kept()).ok();
        fs::create_dir(self.kept()).unwrap();
        let mut live = BTreeMap::new();
        find(&self.root, &mut live);
        for (id, path) in live {
            if path.is_dir() {
                let names = names_in(&path).into_iter().map(|(name, id)| format!("{id} {name}\n"));
                fs::write(self.kept().join(format!("d-{id}")), names.collect::<String>()).unwrap();
            } else {
                fs::copy(path, self.kept().join(format!("f-{id}"))).unwrap();
            }
        }
    }
}

struct Cut {
    kept: PathBuf,
    /// All that is there without the cut.
    live: BTreeMap<String, PathBuf>,
    /// Whether some of what was not synced is left.
    some: bool,
}

impl Cut {
    fn folder(&self, folder: &str, to: &Path, dice: &mut Dice) {
        fs::create_dir(to).unwrap();
        if let Some(live) = self.live.get(folder) {
            fs::set_permissions(to, fs::metadata(live).unwrap().permissions()).unwrap();
        }
        let (before, now) =
            (self.names_kept(folder), self.live.get(folder).map(|path| names_in(path)).unwrap_or_default());
        let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        for name in names {
            let (old, new) = (before.get(name), now.get(name));
            let is_new = old != new && self.some && dice.below(2) == 0;
            let Some(id) = (if is_new { new } else { old }) else { continue };
            let to = to.join(name);
            let live = self.live.get(id);
            if live.is_some_and(|path| path.is_dir()) || self.kept.join(format!("d-{id}")).exists() {
                self.folder(id, &to, dice);
            } else {
                let bytes = self.bytes(id, dice);
                fs::write(&to, bytes).unwrap();
                if let Some(live) = live {
                    fs::set_permissions(&to, fs::metadata(live).unwrap().permissions()).unwrap();
                }
            }
        }
    }

    fn names_kept(&self, folder: &str) -> Names {
        let text = fs::read_to_string(self.kept.join(format!("d-{folder}"))).unwrap_or_default();
        // Where the process was killed while it wrote it, the last line is not whole.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let names = whole.lines().map(|line| line.split_once(' ').unwrap());
        names.map(|(id, name)| (name.to_owned(), id.to_owned())).collect()
    }

    fn bytes(&self, id: &str, dice: &mut Dice) -> Vec<u8> {
        let old = fs::read(self.kept.join(format!("f-{id}"))).unwrap_or_default();
        let new = self.live.get(id).map(|path| fs::read(path).unwrap());
        let Some(new) = new.filter(|new| self.some && *new != old) else { return old };
        let (short, long) = (old.len().min(new.len()), old.len().max(new.len()));
        let between = short + usize::try_from(dice.below((long - short) as u64 + 1)).unwrap();
        let length = *dice.of(&[old.len(), new.len(), between]);
        let mut bytes = old;
        bytes.resize(length, 0);
        for (sector, written) in bytes.chunks_mut(SECTOR).zip(new.chunks(SECTOR)) {
            if dice.below(2) == 0 {
                let length = sector.len().min(written.len());
                sector[..length].copy_from_slice(&written[..length]);
            }
        }
        bytes
    }
}

/// All files and folders, the folder itself too, by id.
fn find(folder: &Path, found: &mut BTreeMap<String, PathBuf>) {
    found.insert(id(folder), folder.to_owned());
    for (name, id) in names_in(folder) {
        let path = folder.join(name);
        if path.is_dir() {
            find(&path, found);
        } else {
            found.insert(id, path);
        }
    }
}

fn names_in(folder: &Path) -> Names {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let of_disk = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_file()));
    of_disk.map(|entry| (entry.file_name().into_string().unwrap(), id(&entry.path()))).collect()
}

/// As `disk.c` names it.
fn id(path: &Path) -> String {
    let found = fs::symlink_metadata(path).unwrap();
    let made = found.created().map(|made| made.duration_since(UNIX_EPOCH).unwrap()).unwrap_or_default();
    format!("{:x}-{:x}-{:x}", found.ino(), made.as_secs(), made.subsec_nanos())
}
