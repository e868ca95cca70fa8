//! Starting and stopping a stand-in.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::{runtime, sync::watch};

use crate::{
    admin::Admin,
    clock::Clock,
    data::{PopulationKind, Store, generate},
    dataverse::{self, Tokens},
    guid::Guid,
    random::mix,
    salesforce::{self, SalesforceOptions},
    server,
    state::{Organisation, State},
    tls::{self, TlsError},
};

/// Generated records are from before 2026, so that the same seed gives the same records on any day.
const HISTORY_ENDS: i64 = 1_767_225_600;

/// Users who own the generated records.
const USERS: u32 = 12;

/// How a stand-in starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port on 127.0.0.1; 0 for any that is free.
    pub port: u16,
    /// Generated contacts. They take no memory until they are changed, besides four bytes each for every order by date.
    pub contacts: u32,
    /// Generated accounts that the contacts work for.
    pub accounts: u32,
    /// The seed of everything generated.
    pub seed: u64,
    /// What the clock shows at the start; without it, real time.
    pub now: Option<Timestamp>,
    /// The clock stands still until it is moved.
    pub frozen: bool,
    /// The application's secret; without it, one made of the seed.
    pub client_secret: Option<String>,
    /// Generated records of the Salesforce organisation; they are not those of Dataverse.
    pub salesforce: SalesforceOptions,
    /// Listens encrypted as well, on a port of its own.
    pub tls: Option<Tls>,
}

/// How a stand-in listens encrypted.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Port on 127.0.0.1; 0 for any that is free.
    pub port: u16,
    /// Where the certificate of its authority is written, in PEM, for clients to trust. It is made anew at every start.
    pub authority_file: PathBuf,
}

/// Why a stand-in did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port is taken, or the machine lets nobody listen.
    #[error("cannot listen on 127.0.0.1:{port}; give another port, or 0 for any that is free")]
    Listen {
        /// The port asked for.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// Encryption was asked for and cannot be had.
    #[error("cannot listen encrypted with the authority's certificate in {file}")]
    Tls {
        /// Where the certificate was to be written.
        file: String,
        /// Why not.
        source: TlsError,
    },
    /// No thread or runtime could be made.
    #[error("cannot start the server's thread")]
    Thread(#[source] std::io::Error),
}

/// A running stand-in. It stops when it is dropped.
///
/// It serves from a thread of its own, so that it can be used from any code, async or not.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    encrypted: Option<(SocketAddr, PathBuf)>,
    state: Arc<State>,
    admin: Admin,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            contacts: 0,
            accounts: 0,
            seed: 1,
            now: None,
            frozen: false,
            client_secret: None,
            tls: None,
            salesforce: SalesforceOptions::default(),
        }
    }
}

impl Sandbox {
    /// Starts a stand-in; it answers once this returns.
    pub fn start(options: Options) -> Result<Self, Error> {
        let (listener, address) = listen(options.port)?;
        let (mut encrypted, mut acceptor) = (None, None);
        if let Some(Tls { port, authority_file }) = &options.tls {
            let source = |source| Error::Tls { file: authority_file.display().to_string(), source };
            let (listener, address) = listen(*port)?;
            acceptor = Some((listener, tls::acceptor(authority_file).map_err(source)?));
            encrypted = Some((address, authority_file.clone()));
        }
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(Error::Thread)?;
        let state = Arc::new(state(&options));
        state.tokens().ports = [Some(address), encrypted.as_ref().map(|(address, _)| *address)]
            .into_iter()
            .flatten()
            .map(|address| address.port())
            .collect();
        let (stop, stopped) = watch::channel(false);
        let serving = state.clone();
        let serve = move || {
            runtime.block_on(async {
                let plain = server::serve(listener, None, serving.clone(), stopped.clone());
                let encrypted = async {
                    if let Some((listener, acceptor)) = acceptor {
                        server::serve(listener, Some(acceptor), serving, stopped).await;
                    }
                };
                tokio::join!(plain, encrypted);
            });
            // A slowed answer must not hold up whoever drops the stand-in.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("sandbox".into()).spawn(serve).map_err(Error::Thread)?;
        let admin = Admin::new(state.clone());
        Ok(Self { address, encrypted, state, admin, stop, thread: Some(thread) })
    }

    /// The organisation's root, such as `http://127.0.0.1:4000`; the Web API lies below it at `/api/data/v9.2/`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The organisation's root over TLS, such as `https://127.0.0.1:4001`, if it was asked for.
    pub fn tls_url(&self) -> Option<String> {
        self.encrypted.as_ref().map(|(address, _)| format!("https://{address}"))
    }

    /// The certificate of the authority that a client must trust for TLS, in PEM.
    pub fn authority_file(&self) -> Option<&Path> {
        self.encrypted.as_ref().map(|(_, file)| file.as_path())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where tokens are given.
    pub fn token_url(&self) -> String {
        format!("{}/{}/oauth2/v2.0/token", self.url(), self.tenant_id())
    }

    /// The directory.
    pub fn tenant_id(&self) -> String {
        self.state.tokens().tenant_id.clone()
    }

    /// The application.
    pub fn client_id(&self) -> String {
        self.state.tokens().client_id.clone()
    }

    /// The application's secret.
    pub fn client_secret(&self) -> String {
        self.state.tokens().client_secret.clone()
    }

    /// Where the admin API is.
    pub fn admin_url(&self) -> String {
        format!("{}/admin", self.url())
    }

    /// The controls, as methods.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// What a client of the Salesforce organisation must be told: `url` (of the instance and of the login), `clientId`,
    /// `clientSecret`, `username`, `password`, `securityToken`, `refreshToken`.
    pub fn salesforce(&self) -> Json {
        let sessions = self.state.salesforce.sessions();
        let ids = &sessions.credentials;
        json!({
            "url": self.url(),
            "clientId": ids.client_id,
            "clientSecret": ids.client_secret,
            "username": ids.username,
            "password": ids.password,
            "securityToken": ids.security_token,
            "refreshToken": sessions.refresh_token(),
        })
    }

    /// All that a client must be told, as one JSON object: `dynamics`, `tokenUrl`, `tenantId`, `clientId`, `clientSecret`,
    /// `admin`, and `salesforce` with what [`Sandbox::salesforce`] tells; with TLS also `dynamicsTls`, `tokenUrlTls` and
    /// `authorityFile`.
    pub fn describe(&self) -> Json {
        let mut description = json!({
            "dynamics": self.url(),
            "tokenUrl": self.token_url(),
            "tenantId": self.tenant_id(),
            "clientId": self.client_id(),
            "clientSecret": self.client_secret(),
            "admin": self.admin_url(),
            "salesforce": self.salesforce(),
        });
        if let (Some(url), Some(file)) = (self.tls_url(), self.authority_file()) {
            description["tokenUrlTls"] = format!("{url}/{}/oauth2/v2.0/token", self.tenant_id()).into();
            description["dynamicsTls"] = url.into();
            description["authorityFile"] = file.display().to_string().into();
        }
        description
    }

    /// Waits until the server ends, which it does only by itself if something is badly wrong: for a program that does
    /// nothing else.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the server's thread ended early");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the server's thread ended early");
        }
    }
}

fn listen(port: u16) -> Result<(std::net::TcpListener, SocketAddr), Error> {
    let source = |source| Error::Listen { port, source };
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(source)?;
    listener.set_nonblocking(true).map_err(source)?;
    let address = listener.local_addr().map_err(source)?;
    Ok((listener, address))
}

fn state(options: &Options) -> State {
    let seed = options.seed;
    let id = |purpose| {
        let bits = u128::from(mix(seed, purpose)) << 64 | u128::from(mix(seed, purpose + 1));
        Guid::from_u128(bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62)
    };
    let start = options.now.map(|now| now.as_second());
    let until = start.unwrap_or(HISTORY_ENDS).min(HISTORY_ENDS);
    let others = generate::Others { seed, people: options.contacts, companies: options.accounts, users: USERS };
    let organisation = Organisation {
        organisation: id(901),
        business_unit: id(903),
        user: generate::id_of(generate::seed_of(PopulationKind::Users, seed), 0),
    };
    let secret = options.client_secret.clone().unwrap_or_else(|| format!("{:016x}~sandbox", mix(seed, 909)));
    let tokens = Tokens::new(id(905).to_string(), id(907).to_string(), secret, mix(seed, 911));
    let mut store = Store::new(dataverse::tables(others, until));
    store.retention.user = organisation.user;
    dataverse::describe_messages(&mut store, until);
    let salesforce = salesforce::Org::new(options.salesforce, seed, until);
    State::new(Clock::new(start, options.frozen), (organisation, salesforce), store, tokens, seed)
}
