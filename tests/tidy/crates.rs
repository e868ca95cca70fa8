//! Which crate may know which, and which dependency has one door.

use std::collections::{BTreeMap, BTreeSet};

use activities::PALETTE;

use crate::files::{below, code, code_of, text};

/// What each crate may need of ours, for its own code and for its tests.
const MAY_NEED: [(&str, &[&str], &[&str]); 8] = [
    ("engine", &[], &["store"]),
    ("activities", &["engine"], &["database", "sandbox", "store", "crm"]),
    ("crm", &["engine"], &["sandbox", "store"]),
    ("database", &["engine"], &[]),
    ("store", &["engine"], &[]),
    ("server", &["engine", "crm", "database", "store"], &["activities", "sandbox"]),
    ("sandbox", &[], &[]),
    // It measures all of them, and is part of none.
    ("benches", &["activities", "crm", "database", "engine", "sandbox", "server", "store"], &[]),
];

/// Each dependency's one door: the only files whose code may name it.
const DOORS: [(&str, &[&str]); 9] = [
    ("rhai", &["engine/src/script.rs", "engine/src/script/"]),
    ("petgraph", &["engine/src/graph.rs"]),
    ("jsonc_parser", &["engine/src/document.rs"]),
    ("datafusion", &["activities/src/sets.rs", "activities/src/sets/"]),
    ("sled", &["store/src/disk.rs", "store/src/disk/"]),
    ("redb", &["store/src/disk.rs", "store/src/disk/"]),
    (
        "rusqlite",
        &[
            "database/src/",
            "store/src/sqlite_file.rs",
            "store/src/desk.rs",
            "store/src/desk/",
            "store/src/between_runs",
        ],
    ),
    ("reqwest", &["crm/src/"]),
    ("lettre", &["server/src/alerts/mail.rs"]),
];

#[test]
fn crates_point_inward_and_the_sandbox_at_nothing_of_ours() {
    let ours: BTreeSet<&str> = MAY_NEED.iter().map(|(name, ..)| *name).collect();
    let members = text("Cargo.toml").lines().find(|line| line.starts_with("members")).unwrap().to_owned();
    for (name, own, of_tests) in MAY_NEED {
        assert!(members.contains(&format!("\"{name}\"")), "{name} is no member any more: {members}");
        let needs = needs(name);
        let wrong = |section: &str, may: &[&str]| {
            let needs = needs.get(section).cloned().unwrap_or_default();
            let ours = needs.into_iter().filter(|need| ours.contains(need.as_str()) || need == "campanile");
            ours.filter(|need| !may.contains(&need.as_str())).collect::<Vec<_>>()
        };
        assert_eq!(wrong("dependencies", own), [""; 0], "what the code of {name} must not know");
        let may: Vec<&str> = own.iter().chain(of_tests).copied().collect();
        assert_eq!(wrong("dev-dependencies", &may), [""; 0], "what the tests of {name} must not know");
    }
    assert_eq!(members.matches('"').count() / 2, MAY_NEED.len(), "a crate is missing in this test: {members}");
}

/// The names of a crate's dependencies, by section.
fn needs(name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text(&format!("{name}/Cargo.toml")).lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((need, _)) = line.split_once(['.', '=', ' ']) {
            needs.entry(section.clone()).or_default().insert(need.to_owned());
        }
    }
    needs
}

#[test]
fn what_has_one_door_is_named_nowhere_else() {
    for file in code() {
        let code = code_of(&file);
        for (name, door) in DOORS {
            // Programs of their own, which merely live here.
            if file.starts_with("sandbox/")
                || file.starts_with("benches/")
                || door.iter().any(|door| file.starts_with(door))
            {
                continue;
            }
            let path = format!("{name}::");
            let named = code
                .match_indices(&path)
                .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            assert!(!named, "{file} names {name}, which only {} may", door.join(" and "));
        }
    }
}

#[test]
fn files_are_made_through_one_door() {
    for file in code() {
        let is_product = !["sandbox/", "benches/", "engine/src/private.rs"].iter().any(|other| file.starts_with(other));
        for way in ["File::create", "File::options", "OpenOptions", "DirBuilder", "fs::write(", "fs::create_dir"] {
            assert!(!is_product || !code_of(&file).contains(way), "{file} has {way}: use engine::private");
        }
    }
}

#[test]
fn every_activity_is_in_the_palette_and_is_called_as_its_file() {
    let list = text("activities/src/lib.rs");
    let mut listed = 0;
    for file in below("activities/src", "rs") {
        if !text(&file).contains("pub static SPEC: Spec") {
            continue;
        }
        let module = file.trim_start_matches("activities/src/").trim_end_matches(".rs");
        assert!(list.contains(&format!("&{module}::SPEC,")), "{file} is not in PALETTE of activities/src/lib.rs");
        let kinds: Vec<&str> = PALETTE.iter().map(|spec| spec.kind).collect();
        // `database_query_all.rs` would be `database.queryAll`.
        let name = module
            .split_once('_')
            .map_or_else(|| module.to_owned(), |(family, name)| format!("{family}.{}", name.replace('_', "")));
        assert!(kinds.iter().any(|kind| kind.to_lowercase() == name), "{file}: no type is called so, of {kinds:?}");
        listed += 1;
    }
    assert_eq!(listed, PALETTE.len(), "an activity in PALETTE has no file of its own");
}
