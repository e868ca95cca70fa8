//! Stored secrets: who can open them, and that they lie nowhere in the open.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::json;

use crate::world::{World, wait_for};

impl World {
    /// Runs `secrets …` with this text on its standard input, and a key file in this folder.
    fn secrets(&self, keys: &str, args: &[&str], input: &str) -> (Option<i32>, String) {
        let mut command = self.command(&[&["secrets"], args].concat());
        command.env("XDG_CONFIG_HOME", self.path(keys)).env_remove("CAMPANILE_SECRET_KEY");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    fn login_with_stored(&self, keys: &str) -> (Option<i32>, String) {
        let mut command = self.command(&["accounts", "test", "dynamics"]);
        let output = command.env("XDG_CONFIG_HOME", self.path(keys)).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let world = World::new(0);
    world.configure(&[("clientSecret", "{ stored = \"dynamics\" }")]);
    assert_eq!(world.secrets("keys", &["set", "dynamics"], "x").0, Some(0));
    let key = world.path("keys/campanile/secret.key");
    for mode in [0o644, 0o640] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let (code, told) = world.secrets("keys", &["set", "another"], "x");
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains(&format!("chmod 600 {}", key.display())), "{told}");
        let (_, told) = world.login_with_stored("keys");
        assert!(told.contains("chmod 600"), "{told}");
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(world.secrets("keys", &["set", "another"], "x").0, Some(0));
}

#[test]
fn a_crash_writes_no_secret_into_a_core_dump() {
    let world = World::new(0);
    let waits = world.workflow("waits", &json!({ "only": { "type": "wait", "for": "1m" } }));
    let mut working = world.begin(&["run", &waits]);
    wait_for("the run", || world.path(".campanile/owner.json").exists());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", working.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    working.kill();
}

#[test]
fn a_stored_secret_logs_in_and_lies_nowhere_in_the_open() {
    let world = World::new(3);
    let secret = world.sandbox.client_secret().to_owned();
    world.configure(&[("clientSecret", "{ stored = \"dynamics\" }")]);
    assert_eq!(world.secrets("keys", &["set", "dynamics"], &format!("{secret}\n")).0, Some(0));
    assert_eq!(world.secrets("keys", &["list"], "").1, "dynamics\n");
    let (code, told) = world.login_with_stored("keys");
    assert_eq!(code, Some(0), "{told}");

    for file in [".campanile/secrets.json", "keys/campanile/secret.key"] {
        let path = world.path(file);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        assert!(!std::fs::read_to_string(path).unwrap().contains(&secret));
    }

    let (code, told) = world.login_with_stored("no keys here");
    assert_eq!(code, Some(1));
    assert!(told.contains("secret.key"), "{told}");
    assert_eq!(world.secrets("other keys", &["set", "another"], "x").0, Some(0));
    let (_, told) = world.login_with_stored("other keys");
    assert!(told.contains("cannot be opened with this key"), "{told}");

    assert_eq!(world.secrets("keys", &["remove", "dynamics"], "").0, Some(0));
    let (_, told) = world.login_with_stored("keys");
    assert!(told.contains("there is no stored secret dynamics"), "{told}");
    assert_eq!(world.secrets("keys", &["set", "empty"], "\n").0, Some(1));
}
