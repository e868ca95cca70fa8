//! The login by certificate, and what is left of the allowances.

use std::sync::Arc;

use std::process::Command;

use crm::dynamics::{Dynamics, DynamicsAccount};
use crm::secret::NoVault;
use engine::failure::{Class, Failure};
use engine::outside::clock::SystemClock;
use engine::outside::crm::{Account, Crm};
use sandbox::Limits;
use serde_json::json;

use crate::common::{World, quick, world};

/// A certificate and its key, made by openssl.
fn certificate(name: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    (std::fs::read_to_string(certificate).unwrap(), std::fs::read_to_string(key).unwrap())
}

fn connect(world: &World, pem: &str) -> Result<Dynamics, Failure> {
    let account: DynamicsAccount = serde_json::from_value(json!({
        "url": world.sandbox.url(), "tokenUrl": world.sandbox.token_url(), "tenantId": world.sandbox.tenant_id(),
        "clientId": world.sandbox.client_id(), "certificate": pem, "limits": quick(),
    }))
    .unwrap();
    Dynamics::new("dynamics", account, &NoVault, Arc::new(SystemClock))
}

#[tokio::test]
async fn an_application_logs_in_with_its_certificate_whatever_our_clock_shows() {
    let world = world(3, quick());
    let ((own, key), (other, other_key)) = (certificate("own"), certificate("other"));
    world.admin().add_certificate(&own).unwrap();
    // The stand-in's clock is months behind ours.
    let crm = connect(&world, &format!("{key}\n{own}")).unwrap();
    assert!(crm.objects().await.unwrap().iter().any(|object| object.name == "contacts"));
    assert!(!format!("{crm:?}").contains("PRIVATE"));

    let failure = connect(&world, &format!("{other}{other_key}")).unwrap().now().await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (Class::Auth, Some("AADSTS700027")));
    assert!(failure.help.unwrap().contains("upload the certificate"));

    for (pem, said) in [
        ("no certificate".to_owned(), "no `-----BEGIN CERTIFICATE-----`"),
        (own.clone(), "no private key"),
        (format!("{own}{other_key}"), "does not belong"),
    ] {
        let failure = connect(&world, &pem).unwrap_err();
        assert!(
            failure.class == Class::Config && failure.message.contains(said) && failure.help.is_some(),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn what_is_left_of_the_allowance_is_shown() {
    let world = world(3, quick());
    world.admin().set_limits(Limits { requests: Some(6_000), ..Limits::default() });
    let limits = world.crm.limits().await.unwrap();
    let requests = limits.iter().find(|allowance| allowance.name == "Requests").unwrap();
    assert!(requests.max == 6_000 && (5_000..6_000).contains(&requests.left), "{limits:?}");
}

#[tokio::test]
async fn a_secret_that_was_missing_is_taken_when_it_is_there() {
    let world = world(1, quick());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let configured: DynamicsAccount = serde_json::from_value(json!({
        "url": world.sandbox.url(), "tokenUrl": world.sandbox.token_url(), "tenantId": world.sandbox.tenant_id(),
        "clientId": world.sandbox.client_id(), "clientSecret": { "file": &file }, "limits": quick(),
    }))
    .unwrap();
    let account = Account::new(world.crm.system(), move || {
        let crm = Dynamics::new("dynamics", configured.clone(), &NoVault, Arc::new(SystemClock))?;
        Ok(Arc::new(crm))
    });
    let failure = account.crm().err().unwrap();
    assert!(failure.class == Class::Config && failure.message.contains("secret file"), "{failure}");
    std::fs::write(&file, world.sandbox.client_secret()).unwrap();
    account.crm().unwrap().now().await.unwrap();
}
