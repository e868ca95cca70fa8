//! Stored secrets: who can open them, and that they lie nowhere in the open.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::world::World;

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
