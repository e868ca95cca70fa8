//! `campanile.toml`: where the data lies, what limits there are, and the accounts.
//!
//! It is read as a workflow is: every problem at once, each with line, column, cause and cure.

mod toml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crm::dynamics::DynamicsAccount;
use crm::salesforce::SalesforceAccount;
use engine::document::Document;
use engine::environment::Limits;
use engine::private;
use engine::problem::Problem;
use engine::schema::{check, schema_of};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::alerts;

/// The name of the file.
pub const FILE_NAME: &str = "campanile.toml";

/// What `campanile.toml` says. Paths in it are relative to the folder that it lies in.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The data folder. Without it, `.campanile` in the folder in which Campanile is started.
    pub data: Option<PathBuf>,
    /// The marketing database, such as `sqlite:marketing.db`. Without it, `marketing.db` in the data folder.
    pub database: Option<String>,
    /// The folder that activities read files from and write them to. Without it, `files` in the data folder.
    pub files: Option<PathBuf>,
    /// Who may read the files that activities write into that folder, as `chmod` counts: `600` (only the user that
    /// Campanile runs as), `640` (its group too), `660` (which may also write them) or `644` (everyone).
    pub files_access: private::Access,
    /// What a new data folder keeps journals and options in.
    pub store: StoreKind,
    /// Limits.
    pub limits: Limits,
    /// Who is told when a run needs a person.
    pub alerts: alerts::Config,
    /// Accounts by name.
    #[schemars(with = "BTreeMap<String, serde_json::Map<String, serde_json::Value>>")]
    pub accounts: BTreeMap<String, Account>,
}

/// What keeps journals and options.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StoreKind {
    /// sled 0.34.
    #[default]
    Sled,
    /// redb 4.
    Redb,
}

impl From<StoreKind> for store::Kind {
    fn from(kind: StoreKind) -> Self {
        match kind {
            StoreKind::Sled => Self::Sled,
            StoreKind::Redb => Self::Redb,
        }
    }
}

/// An account of a CRM; `kind` says of which.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[expect(clippy::large_enum_variant, reason = "there is a handful of accounts in a process")]
pub enum Account {
    /// Microsoft Dynamics 365 or Dataverse.
    Dynamics(DynamicsAccount),
    /// Salesforce.
    Salesforce(SalesforceAccount),
}

impl Account {
    /// The kinds that there are.
    pub(crate) const KINDS: [&str; 2] = ["dynamics", "salesforce"];

    /// The schema of an account of this kind, `kind` itself left out.
    pub(crate) fn schema(kind: &str) -> Option<serde_json::Value> {
        match kind {
            "dynamics" => Some(schema_of::<DynamicsAccount>()),
            "salesforce" => Some(schema_of::<SalesforceAccount>()),
            _ => None,
        }
    }
}

impl Config {
    /// Reads the file's text.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let document = toml::parse(&file.display().to_string(), text)?;
        let mut problems = check(&document, &schema_of::<Self>(), "", "the configuration");
        let accounts = document.value.pointer("/accounts").and_then(serde_json::Value::as_object);
        for name in accounts.into_iter().flat_map(serde_json::Map::keys) {
            problems.extend(check_account(&document, name));
        }
        problems.extend(check_database(&document));
        problems.extend(alerts::check(&document));
        if problems.is_empty() {
            match ::toml::from_str::<Self>(text) {
                Ok(config) => return Ok(config),
                Err(error) => problems.push(toml::problem(&document, &error)),
            }
        }
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Err(problems)
    }
}

fn check_database(document: &Document) -> Option<Problem> {
    let url = document.value.pointer("/database")?.as_str()?;
    let path = url.strip_prefix(crate::database::SQLITE);
    if path.is_some_and(|path| !path.trim_start_matches("//").is_empty()) {
        return None;
    }
    let help = "write sqlite: and the path of the file, such as sqlite:marketing.db".to_owned();
    let message = "this is not the address of a database that this version knows".to_owned();
    Some(document.problem("/database", "wrong-value", message, Some(help)))
}

fn check_account(document: &Document, name: &str) -> Vec<Problem> {
    let pointer = format!("/accounts/{}", engine::document::escape(name));
    let kind = document.value.pointer(&format!("{pointer}/kind"));
    if kind.is_none() && document.value.pointer(&pointer).is_some_and(serde_json::Value::is_object) {
        let help = format!("add kind = \"{}\"", Account::KINDS.join("\" or \""));
        return vec![document.problem_of_key(
            &pointer,
            "missing-key",
            format!("account \"{name}\" needs \"kind\""),
            Some(help),
        )];
    }
    let Some(kind) = kind.and_then(serde_json::Value::as_str) else { return Vec::new() };
    let Some(mut schema) = Account::schema(kind) else {
        let help = engine::problem::suggestion(kind, Account::KINDS);
        let message = format!("there is no kind of account \"{kind}\"");
        return vec![document.problem(&format!("{pointer}/kind"), "wrong-value", message, help)];
    };
    schema["properties"]["kind"] = serde_json::json!({ "const": kind });
    let mut problems = check(document, &schema, &pointer, &format!("account \"{name}\""));
    let url = format!("{pointer}/url");
    let checked = document.value.pointer(&url).and_then(serde_json::Value::as_str).map(|text| match kind {
        "dynamics" => DynamicsAccount::check_url(text),
        _ => SalesforceAccount::check_url(text),
    });
    if let Some(Err(failure)) = checked {
        problems.push(document.problem(&url, "wrong-value", failure.message, failure.help));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let problems = Config::parse(Path::new("campanile.toml"), text).unwrap_err();
        let line = |p: &Problem| {
            let help = p.help.as_deref().unwrap_or("-");
            format!("{}:{} {} {}: {} ({help})", p.line, p.column, p.code, p.pointer, p.message)
        };
        problems.iter().map(line).collect()
    }

    #[test]
    fn what_is_right_is_read() {
        let text = r#"
            data = "here"
            store = "redb"
            [limits]
            tasksAtOnce = 3
            script = { wallMs = 50 }
            [accounts.dynamics]
            kind = "dynamics"
            url = "https://contoso.crm4.dynamics.com"
            tenantId = "t"
            clientId = "c"
            clientSecret = { env = "SECRET" }
            limits = { totalTimeout = "5s" }
            [alerts]
            webhook = { url = { env = "ALERTS" }, format = "teams" }
            limits = { retries = 9 }
        "#;
        let config = Config::parse(Path::new("campanile.toml"), text).unwrap();
        assert_eq!(config.data.as_deref(), Some(Path::new("here")));
        assert_eq!((config.store, config.limits.tasks_at_once, config.limits.script.wall_ms), (StoreKind::Redb, 3, 50));
        assert!(matches!(&config.accounts["dynamics"], Account::Dynamics(account) if account.client_id == "c"));
        assert_eq!(config.alerts.limits.retries, 9);
        assert!(Config::parse(Path::new("campanile.toml"), "").is_ok());
        let here = "[alerts]\nwebhook = { url = \"http://127.0.0.1:9000/x\" }";
        assert!(Config::parse(Path::new("campanile.toml"), here).is_ok());
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_place_and_cure() {
        let text = r#"date = "x"
store = "slet"
[limits]
tasksAtOnce = "many"
setMemory = 5
[accounts.crm]
kind = "dynamic"
[accounts.dynamics]
kind = "dynamics"
url = "https://contoso.crm4.dynamics.com"
tenantID = "t"
clientId = "c"
clientSecret = { evn = "SECRET" }
[accounts.none]
url = "x"
[alerts]
webhook = { url = "https://hooks.slack.com/services/T0/B0/canary", formt = "slack" }
mails = []
[alerts.mail]
smtp = "imap://mail.example.com"
from = "nobody"
to = []
user = "u"
"#;
        assert_eq!(
            problems(text),
            [
                "1:1 unknown-key /date: the configuration has no key \"date\" (did you mean \"data\"?)",
                "2:9 wrong-value /store: \"slet\" is not one of the values there are (did you mean \"sled\"?)",
                "4:15 wrong-type /limits/tasksAtOnce: this is text, not a whole number (-)",
                "5:1 unknown-key /limits/setMemory: \"limits\" of the configuration has no key \"setMemory\" (did you mean \"setMemoryMib\"?)",
                "7:8 wrong-value /accounts/crm/kind: there is no kind of account \"dynamic\" (did you mean \"dynamics\"?)",
                "8:11 missing-key /accounts/dynamics: account \"dynamics\" needs \"tenantId\" (The directory (tenant) id of the environment, from the overview page of Entra)",
                "11:1 unknown-key /accounts/dynamics/tenantID: account \"dynamics\" has no key \"tenantID\" (did you mean \"tenantId\"?)",
                "13:18 unknown-key /accounts/dynamics/clientSecret/evn: \"clientSecret\" of account \"dynamics\" has no key \"evn\" (did you mean \"env\"?)",
                "14:11 missing-key /accounts/none: account \"none\" needs \"kind\" (add kind = \"dynamics\" or \"salesforce\")",
                "17:19 wrong-value /alerts/webhook/url: the address of the webhook is a secret, and may stand here for this computer only (write { env = \"NAME\" }, { file = \"path\" } or { stored = \"NAME\" })",
                "17:68 unknown-key /alerts/webhook/formt: \"alerts/webhook\" of the configuration has no key \"formt\" (did you mean \"format\"?)",
                "18:1 unknown-key /alerts/mails: \"alerts\" of the configuration has no key \"mails\" (did you mean \"mail\"?)",
                "19:1 wrong-value /alerts/mail: `user` and `password` go together (give both, or neither where the server asks for none)",
                "20:8 wrong-value /alerts/mail/smtp: this is not the address of a mail server (write smtps://host or smtp://host, with :port where it is another one)",
                "21:8 wrong-value /alerts/mail/from: this is not a mail address: Invalid input (write ann@example.com or Ann <ann@example.com>)",
                "22:6 wrong-value /alerts/mail/to: nobody gets the mail (write [\"ann@example.com\"])",
            ]
        );
    }

    #[test]
    fn an_address_without_a_scheme_is_taken_and_one_that_leads_elsewhere_is_refused_where_it_stands() {
        let text = |kind: &str, url: &str| {
            format!("[accounts.a]\nkind = \"{kind}\"\nurl = \"{url}\"\ntenantId = \"t\"\nclientId = \"c\"\n")
        };
        let taken = Config::parse(Path::new("campanile.toml"), &text("dynamics", "org123abc.dynamics.com"));
        assert!(taken.is_ok(), "{taken:?}");
        for (url, problem) in [
            ("https://org123abc.dynamics.com/contacts", "`url` has a path, /contacts"),
            ("http://org123abc.dynamics.com", "`url` uses http:// on org123abc.dynamics.com, which is not encrypted"),
        ] {
            let found = problems(&text("dynamics", url));
            let place = format!("3:7 wrong-value /accounts/a/url: {problem} (write `https://org123abc.dynamics.com/`");
            assert!(found.len() == 1 && found[0].starts_with(&place), "{found:?}");
        }
    }

    #[test]
    fn a_limit_of_nothing_is_refused_where_it_stands() {
        let of_run = problems("[limits]\ntasksAtOnce = 0\nsegmentMib = 0\nsegmentSeconds = 0\n");
        let places: Vec<&str> = of_run.iter().map(|problem| problem.split(':').nth(1).unwrap()).collect();
        assert_eq!(places, ["15 wrong-value /limits/tasksAtOnce", "14 wrong-value /limits/segmentMib"], "{of_run:?}");
        assert!(of_run[0].contains("at least 1") || of_run[0].contains("minimum of 1"), "{of_run:?}");
        let account = |limits: &str| {
            problems(&format!(
                "[accounts.d]\nkind = \"dynamics\"\nurl = \"u\"\ntenantId = \"t\"\nclientId = \"c\"\nclientSecret = \"s\"\nlimits = {{ {limits} }}\n"
            ))
        };
        assert!(account("requestsAtOnce = 0")[0].contains("/accounts/d/limits/requestsAtOnce"));
        assert!(account("totalTimeout = \"0s\"")[0].contains("nothing is done in no time"));
    }

    #[test]
    fn what_is_not_toml_and_what_only_its_meaning_refuses_have_a_place() {
        assert_eq!(problems("data = \n")[0].split(' ').next(), Some("1:8"));
        let span = "[accounts.d]\nkind = \"dynamics\"\nurl = \"u\"\ntenantId = \"t\"\nclientId = \"c\"\nclientSecret = \"s\"\nlimits = { totalTimeout = \"soon\" }\n";
        assert!(problems(span)[0].contains("`soon` is not a length of time"), "{:?}", problems(span));
    }
}
