//! Sends alerts by mail.

use std::time::SystemTime;

use crm::http::{Waits, is_loopback};
use crm::secret::SecretSource;
use crm::steps::try_in_turn;
use engine::failure::{Class, Failure};
use engine::outside::alerts::Alert;
use engine::outside::clock::within;
use engine::outside::crm::Step;
use futures::FutureExt;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::{self, AsyncSmtpTransport};
use lettre::{AsyncTransport, Tokio1Executor};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{Place, Receivers, SECRET_HELP, subject, text};

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// A server that takes mail, and who gets it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mail {
    /// The server: `smtps://host` is encrypted from the first byte (port 465), `smtp://host` by STARTTLS (port 587). Only
    /// this computer's own is spoken to without encryption (port 25). Another port is written `smtp://host:2525`.
    pub smtp: String,
    /// Who sends it, such as `Campanile <campanile@example.com>`.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// Whom the server knows; without it nobody logs in.
    pub user: Option<String>,
    /// The user's password: `{ env = "NAME" }`, `{ file = "path" }` or `{ stored = "NAME" }`.
    pub password: Option<SecretSource>,
}

/// Where mail is handed over.
struct Server {
    host: String,
    port: Option<u16>,
    /// Encrypted from the first byte; else from STARTTLS on, or nothing is sent.
    is_tls: bool,
    /// This computer itself, which needs no encryption.
    is_local: bool,
}

/// What is wrong with a key: its pointer within the settings, why, and what would be right.
pub(super) type Wrong = (String, String, &'static str);

impl Mail {
    /// All that is wrong with it that can be told without the server.
    pub(super) fn wrong(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let server = self.server().map_err(|(why, help)| wrong.push(("/smtp".to_owned(), why, help))).ok();
        let to = self.to.iter().enumerate().map(|(n, to)| (format!("/to/{n}"), to));
        for (pointer, text) in to.chain([("/from".to_owned(), &self.from)]) {
            if let Err(error) = text.parse::<Mailbox>() {
                let why = format!("this is not a mail address: {error}");
                wrong.push((pointer, why, "write ann@example.com or Ann <ann@example.com>"));
            }
        }
        if self.to.is_empty() {
            wrong.push(("/to".to_owned(), "nobody gets the mail".to_owned(), "write [\"ann@example.com\"]"));
        }
        if self.user.is_some() != self.password.is_some() {
            let why = "`user` and `password` go together".to_owned();
            wrong.push((String::new(), why, "give both, or neither where the server asks for none"));
        }
        let is_local = server.is_none_or(|server| server.is_local);
        if !is_local && self.password.as_ref().is_some_and(SecretSource::is_literal) {
            let why = "the password of another computer's server may not stand here".to_owned();
            wrong.push(("/password".to_owned(), why, SECRET_HELP));
        }
        wrong
    }

    /// Sends it; says how it was taken.
    pub(super) async fn tell(&self, alert: &Alert, of: &Receivers) -> Result<String, Failure> {
        let (message, transport) = (self.message(alert, &of.place)?, self.transport(of)?);
        let mut waits = Waits::new(&of.config.limits.http());
        loop {
            let sending = async { transport.send(message.clone()).await.map(|taken| taken.code().to_string()) };
            match self.within(of, sending).await {
                Ok(code) => return Ok(format!("taken ({code}) for {}", self.to.join(", "))),
                Err(failure) => waits.pause("mail", failure).await?,
            }
        }
    }

    pub(super) async fn test(&self, alert: &Alert, of: &Receivers) -> Vec<Step> {
        let connection = async {
            let transport = self.transport(of)?;
            self.within(of, transport.test_connection()).await?;
            let server = self.server().map_err(config)?;
            let how = match server.is_local && !server.is_tls {
                true => "not encrypted, on this computer",
                false => "encrypted",
            };
            let user = self.user.as_ref().map(|user| format!("; logged in as {user}")).unwrap_or_default();
            Ok(format!("{}, {how}{user}", server.host))
        };
        try_in_turn([("connection", connection.boxed()), ("message", self.tell(alert, of).boxed())]).await
    }

    /// What the server says within the time that one attempt has.
    async fn within<T>(
        &self,
        of: &Receivers,
        asking: impl Future<Output = Result<T, smtp::Error>>,
    ) -> Result<T, Failure> {
        let at_most = of.config.limits.timeout.0;
        match within(at_most, asking).await {
            Some(answer) => answer.map_err(|error| self.failed(&error)),
            None => {
                let message = format!("the mail of [alerts]: {} did not take it within {at_most:?}", self.smtp);
                Err(Failure::new(Class::Transient, message))
            }
        }
    }

    fn server(&self) -> Result<Server, (String, &'static str)> {
        const HELP: &str = "write smtps://host or smtp://host, with :port where it is another one";
        // As an address of the web, so that its host is read as one.
        let web = match self.smtp.split_once("://") {
            Some(("smtps", rest)) => format!("https://{rest}"),
            Some(("smtp", rest)) => format!("http://{rest}"),
            _ => return Err(("this is not the address of a mail server".to_owned(), HELP)),
        };
        let url = Url::parse(&web).map_err(|error| (format!("this is not an address: {error}"), HELP))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(("this names a user, and perhaps a secret".to_owned(), "give `user` and `password` apart"));
        }
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Server { host, port: url.port(), is_tls: url.scheme() == "https", is_local: is_loopback(&url) })
    }

    fn transport(&self, of: &Receivers) -> Result<Transport, Failure> {
        let Server { host, port, is_tls, is_local } = self.server().map_err(config)?;
        let builder = match (is_tls, is_local) {
            (true, _) => Transport::relay(&host),
            (false, true) => Ok(Transport::builder_dangerous(&host)),
            (false, false) => Transport::starttls_relay(&host),
        };
        let mut builder = builder.map_err(|error| self.failed(&error))?.timeout(Some(of.config.limits.timeout.0));
        if let Some(port) = port {
            builder = builder.port(port);
        }
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            let password = password.resolve(&*of.vault)?;
            builder = builder.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
        }
        Ok(builder.build())
    }

    fn message(&self, alert: &Alert, place: &Place) -> Result<Message, Failure> {
        let address = |text: &str| {
            let wrong = |error| Failure::new(Class::Config, format!("{text} of [alerts.mail] is no address: {error}"));
            text.parse::<Mailbox>().map_err(wrong)
        };
        let from = address(&self.from)?;
        // The same message again, as after a crash, is one in the reader's box.
        let id = format!("<{}@{}>", alert.id.replace('/', "."), from.email.domain());
        let mut builder = Message::builder()
            .from(from)
            .subject(subject(alert))
            .message_id(Some(id))
            .date(SystemTime::from(alert.at))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            builder = builder.to(address(to)?);
        }
        builder.body(text(alert, place)).map_err(|error| Failure::internal(format!("the mail of an alert: {error}")))
    }

    fn failed(&self, error: &smtp::Error) -> Failure {
        let is_final = error.is_permanent() || error.is_tls() || error.is_client();
        let class = if is_final { Class::Config } else { Class::Transient };
        let mut why = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            let part = error.to_string();
            if !why.contains(&part) {
                why = format!("{why}: {part}");
            }
            source = error.source();
        }
        Failure::new(class, format!("the mail of [alerts]: {}: {why}", self.smtp))
            .help("put [alerts.mail] right, and try it with `campanile alerts test`")
    }
}

fn config((why, help): (String, &'static str)) -> Failure {
    Failure::new(Class::Config, format!("`smtp` of [alerts.mail]: {why}")).help(help)
}
