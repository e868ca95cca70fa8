//! Runs the script of a client that `make clients` has installed.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use sandbox::Sandbox;

/// Runs `tests/clients/{client}/run.cjs` under Node.js with the client's own packages; its output is the failure's text.
pub(crate) fn node(client: &str, sandbox: &Sandbox) {
    let packages = installed(client).join("node_modules");
    let mut command = Command::new("node");
    command.arg(folder(client).join("run.cjs")).env("NODE_PATH", packages);
    run(client, command, sandbox);
}

/// `tests/clients/{client}/run.py` under the Python that has the client's own packages.
pub(crate) fn python(client: &str) -> Command {
    let mut command = Command::new(installed(client).join("venv/bin/python"));
    command.arg(folder(client).join("run.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a client's script. The sandbox's addresses are in the variable `SANDBOX`.
pub(crate) fn run(client: &str, mut command: Command, sandbox: &Sandbox) {
    command.env("SANDBOX", sandbox.describe().to_string());
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{client} met a surprise:\n{said}");
}

/// Where `make clients` has installed a client.
fn installed(client: &str) -> PathBuf {
    let usual = || Path::new(&env::var_os("HOME").unwrap_or_default()).join(".cache/campanile/clients");
    let installed = env::var_os("CAMPANILE_CLIENTS").map_or_else(usual, PathBuf::from).join(client);
    assert!(installed.exists(), "{client} is not installed: run `make clients`");
    installed
}

/// The folder of a client's script.
fn folder(client: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients").join(client)
}
