//! What the measurements share: a client of the wire, and the memory that all of it took.

use reqwest::Client;

/// A client that goes straight to this machine.
pub(crate) fn client() -> Client {
    rustls::crypto::ring::default_provider().install_default().expect("no other provider is installed");
    Client::builder().no_proxy().build().unwrap()
}

/// A token for an application with its secret.
pub(crate) async fn token(http: &Client, url: &str, id: &str, secret: &str, scope: &str) -> String {
    let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret), ("scope", scope)];
    let answer: serde_json::Value = http.post(url).form(&form).send().await.unwrap().json().await.unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

/// The most memory that this process ever had, in kibibytes; 0 where the system does not tell.
pub(crate) fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
