//! Who may log in, and the sessions that were given.

use std::collections::HashMap;

use crate::{dataverse::Call, jwt::PublicKey, random::mix};

/// Sessions remembered at most; beyond that the oldest are over.
const SESSIONS_MAX: usize = 10_000;

/// Who may log in, and the sessions that were given.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// Who.
    pub(crate) credentials: Credentials,
    /// The public key that JSON Web Tokens are checked with.
    pub(super) public_key: Option<PublicKey>,
    /// The user may log in.
    pub(super) is_active: bool,
    /// The user has approved the connected app (for JSON Web Tokens).
    pub(super) is_approved: bool,
    seed: u64,
    given: u64,
    /// Expiry by session.
    valid: HashMap<String, i64>,
    refresh_tokens: Vec<String>,
}

/// What a client logs in with.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    /// Consumer key of the connected app.
    pub(crate) client_id: String,
    /// Consumer secret.
    pub(crate) client_secret: String,
    /// The user.
    pub(crate) username: String,
    /// The user's password.
    pub(crate) password: String,
    /// What is appended to the password outside trusted networks.
    pub(crate) security_token: String,
    /// The organisation's id.
    pub(crate) organisation: String,
    /// The user's id.
    pub(crate) user: String,
}

impl Sessions {
    /// Nobody is logged in; one refresh token is given.
    pub(super) fn new(credentials: Credentials, seed: u64) -> Self {
        let mut sessions = Self {
            credentials,
            public_key: None,
            is_active: true,
            is_approved: true,
            seed,
            given: 0,
            valid: HashMap::new(),
            refresh_tokens: Vec::new(),
        };
        sessions.new_refresh_token();
        sessions
    }

    /// A session from `now` on.
    pub(super) fn open(&mut self, now: i64, seconds: i64) -> String {
        if self.valid.len() >= SESSIONS_MAX {
            self.valid.retain(|_, expires| *expires > now);
        }
        if self.valid.len() >= SESSIONS_MAX {
            self.valid.clear();
        }
        self.given += 1;
        let (left, right) = (mix(self.seed, self.given * 2), mix(self.seed, self.given * 2 + 1));
        let session = format!("{}!AQ{left:016x}.{right:016x}", &self.credentials.organisation[..15]);
        self.valid.insert(session.clone(), now.saturating_add(seconds));
        session
    }

    /// Whether a request carries a session that is good now.
    pub(super) fn is_open(&self, call: &Call) -> bool {
        let header = call.header("authorization").unwrap_or("");
        let session = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("OAuth ")).unwrap_or("");
        self.valid.get(session.trim()).is_some_and(|expires| *expires > call.now)
    }

    /// Ends every session given so far; refresh tokens stay good.
    pub(crate) fn revoke(&mut self) {
        self.valid.clear();
    }

    /// Ends one session, or uses one refresh token up. False if it is neither.
    pub(super) fn end(&mut self, token: &str) -> bool {
        let known = self.knows(token);
        self.forget(token);
        self.valid.remove(token).is_some() || known
    }

    /// Refuses every refresh token given so far.
    pub(super) fn revoke_refresh_tokens(&mut self) {
        self.refresh_tokens.clear();
    }

    /// Another refresh token.
    pub(super) fn new_refresh_token(&mut self) -> String {
        self.given += 1;
        let (left, right) = (mix(self.seed, self.given * 2), mix(self.seed, self.given * 2 + 1));
        let token = format!("5Aep861{left:016x}{right:016x}");
        self.refresh_tokens.push(token.clone());
        token
    }

    /// The refresh token that is good, the latest of them.
    pub(crate) fn refresh_token(&self) -> Option<&str> {
        self.refresh_tokens.last().map(String::as_str)
    }

    /// Whether a refresh token is good.
    pub(super) fn knows(&self, refresh_token: &str) -> bool {
        self.refresh_tokens.iter().any(|known| known == refresh_token)
    }

    /// Uses a refresh token up.
    pub(super) fn forget(&mut self, refresh_token: &str) {
        self.refresh_tokens.retain(|known| known != refresh_token);
    }
}
