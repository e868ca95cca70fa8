//! MSAL, Microsoft's own login library, in Python.

use std::{env, fs, process};

use sandbox::{CERTIFICATE, Options, PRIVATE_KEY, Sandbox, Tls};

use crate::run;

#[test]
fn msal_works_unmodified() {
    let file = env::temp_dir().join(format!("sandbox-msal-{}.pem", process::id()));
    let tls = Some(Tls { port: 0, authority_file: file.clone() });
    let sandbox = Sandbox::start(Options { contacts: 10, seed: 5, tls, ..Options::default() }).unwrap();
    sandbox.admin().add_certificate(CERTIFICATE).unwrap();
    let mut command = run::python("msal");
    command.env("AUTHORITY_FILE", &file).env("CERTIFICATE", CERTIFICATE).env("PRIVATE_KEY", PRIVATE_KEY);
    run::run("msal", command, &sandbox);
    fs::remove_file(file).unwrap();
}
