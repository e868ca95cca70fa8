//! The token endpoint, with four of its flows, and the login over SOAP.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;
use serde_json::json;

use super::{Settings, error::json_reply, session::Sessions};
use crate::{dataverse::Call, jwt, reply::Reply};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How far ahead an assertion may expire at most, in seconds; and how long ago, for clocks that differ.
const ASSERTION_AHEAD: i64 = 300 + ASSERTION_SKEW;
const ASSERTION_SKEW: i64 = 60;

/// Hosts that an assertion can be meant for, besides the one that was asked.
const AUDIENCES: &[&str] = &["https://login.salesforce.com", "https://test.salesforce.com"];

type Form = HashMap<String, String>;
type Refusal = (&'static str, &'static str);

/// Answers `POST /services/oauth2/token`.
pub(super) fn token(sessions: &mut Sessions, settings: &Settings, call: &Call) -> Reply {
    let form: Form = url::form_urlencoded::parse(&call.body).into_owned().collect();
    match grant(sessions, settings, call, &form) {
        Ok(refresh_token) => {
            let token = sessions.open(call.now, settings.session_seconds);
            let base = base_url(call);
            let ids = &sessions.credentials;
            let id = format!("{base}/id/{}/{}", ids.organisation, ids.user);
            let issued_at = (call.now * 1_000).to_string();
            let mut body = json!({
                "access_token": token,
                "instance_url": base,
                "signature": signature(&ids.client_secret, &id, &issued_at),
                "id": id,
                "token_type": "Bearer",
                "issued_at": issued_at,
                "scope": "api refresh_token",
            });
            if let Some(refresh_token) = refresh_token {
                body["refresh_token"] = refresh_token.into();
            }
            json_reply(200, &body).header("Cache-Control", "no-store")
        }
        Err((error, text)) => refusal(400, error, text),
    }
}

/// By which a client knows that the answer is from whom it trusts: id and time, signed with the consumer secret.
fn signature(secret: &str, id: &str, issued_at: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, format!("{id}{issued_at}").as_bytes()))
}

/// Answers `/services/oauth2/revoke`: the session or refresh token named is over.
pub(super) fn revoke(sessions: &mut Sessions, call: &Call) -> Reply {
    let form: Form = url::form_urlencoded::parse(&call.body).into_owned().collect();
    let token = form.get("token").cloned().or_else(|| call.option("token")).unwrap_or_default();
    if sessions.end(&token) { Reply::empty(200) } else { refusal(400, "invalid_token", "invalid token") }
}

/// An error as the token endpoint spells it.
pub(crate) fn refusal(status: u16, error: &str, text: &str) -> Reply {
    json_reply(status, &json!({"error": error, "error_description": text}))
}

/// Checks who asks. A refresh token to give along, if the flow has one.
fn grant(sessions: &mut Sessions, settings: &Settings, call: &Call, form: &Form) -> Result<Option<String>, Refusal> {
    match form.get("grant_type").map_or("", String::as_str) {
        "client_credentials" => check_client(sessions, call, form)?,
        "password" => {
            check_client(sessions, call, form)?;
            let given = |name: &str| form.get(name).map_or("", String::as_str);
            check_password(sessions, settings, given("username"), given("password"))
                .map_err(|()| ("invalid_grant", "authentication failure"))?;
        }
        JWT_BEARER => check_assertion(sessions, call, form)?,
        "refresh_token" => {
            check_client_id(sessions, call, form)?;
            let given = form.get("refresh_token").map_or("", String::as_str);
            if !sessions.knows(given) {
                return Err(("invalid_grant", "expired access/refresh token"));
            }
            check_user(sessions)?;
            if settings.rotate_refresh_tokens {
                sessions.forget(given);
                return Ok(Some(sessions.new_refresh_token()));
            }
            return Ok(None);
        }
        "" => return Err(("invalid_request", "must supply grant_type")),
        _ => return Err(("unsupported_grant_type", "grant type not supported")),
    }
    check_user(sessions)?;
    Ok(None)
}

fn check_user(sessions: &Sessions) -> Result<(), Refusal> {
    if sessions.is_active { Ok(()) } else { Err(("inactive_user", "user is inactive")) }
}

fn check_client_id(sessions: &Sessions, call: &Call, form: &Form) -> Result<Option<String>, Refusal> {
    let basic = call.header("authorization").and_then(basic_credentials);
    let (client, secret) = match basic {
        Some((client, secret)) => (Some(client), Some(secret)),
        None => (form.get("client_id").cloned(), form.get("client_secret").cloned()),
    };
    if client.as_deref() != Some(sessions.credentials.client_id.as_str()) {
        return Err(("invalid_client_id", "client identifier invalid"));
    }
    match secret {
        Some(secret) if secret != sessions.credentials.client_secret => {
            Err(("invalid_client", "invalid client credentials"))
        }
        secret => Ok(secret),
    }
}

fn check_client(sessions: &Sessions, call: &Call, form: &Form) -> Result<(), Refusal> {
    match check_client_id(sessions, call, form)? {
        Some(_) => Ok(()),
        None => Err(("invalid_client", "invalid client credentials")),
    }
}

fn check_password(sessions: &Sessions, settings: &Settings, username: &str, password: &str) -> Result<(), ()> {
    let ids = &sessions.credentials;
    let with_token = format!("{}{}", ids.password, ids.security_token);
    let is_right = password == with_token || !settings.require_security_token && password == ids.password;
    if username.eq_ignore_ascii_case(&ids.username) && is_right { Ok(()) } else { Err(()) }
}

fn check_assertion(sessions: &Sessions, call: &Call, form: &Form) -> Result<(), Refusal> {
    let invalid = ("invalid_grant", "invalid assertion");
    let (Some(key), Some(assertion)) = (&sessions.public_key, form.get("assertion")) else {
        return Err(invalid);
    };
    let assertion = jwt::verify(assertion, key).ok_or(invalid)?;
    if assertion.text("iss") != Some(sessions.credentials.client_id.as_str()) {
        return Err(("invalid_client_id", "client identifier invalid"));
    }
    let audience = assertion.text("aud").unwrap_or("").trim_end_matches('/');
    if !AUDIENCES.contains(&audience) && audience != base_url(call) {
        return Err(("invalid_grant", "audience is invalid"));
    }
    let expires = assertion.seconds("exp").ok_or(invalid)?;
    if expires < call.now - ASSERTION_SKEW || expires > call.now + ASSERTION_AHEAD {
        return Err(("invalid_grant", "expired authorization code"));
    }
    if !assertion.text("sub").is_some_and(|user| user.eq_ignore_ascii_case(&sessions.credentials.username)) {
        return Err(("invalid_grant", "user hasn't approved this consumer"));
    }
    if sessions.is_approved { Ok(()) } else { Err(("invalid_grant", "user hasn't approved this consumer")) }
}

/// The organisation's root as the client spells it.
pub(super) fn base_url(call: &Call) -> String {
    let root = call.root();
    root.find("/api/").map_or(root.clone(), |end| root[..end].to_owned())
}

fn basic_credentials(header: &str) -> Option<(String, String)> {
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(client, secret)| (client.to_owned(), secret.to_owned()))
}

/// Answers `POST /services/Soap/u/{version}` with a login.
pub(super) fn soap(sessions: &mut Sessions, settings: &Settings, call: &Call) -> Reply {
    let body = String::from_utf8_lossy(&call.body);
    let (Some(username), Some(password)) = (element(&body, "username"), element(&body, "password")) else {
        let text = "Of the SOAP API this stand-in has the login call only";
        return Reply { status: 501, ..fault("UNSUPPORTED_API_VERSION", text) };
    };
    let has_token = check_password(sessions, settings, &username, &password).is_ok();
    if !has_token || !sessions.is_active {
        let text = "Invalid username, password, security token; or user locked out.";
        return fault("INVALID_LOGIN", text);
    }
    let session = sessions.open(call.now, settings.session_seconds);
    let (base, ids) = (base_url(call), &sessions.credentials);
    let version = call.path.rsplit('/').next().unwrap_or("59.0");
    let organisation = &ids.organisation;
    let server = format!("{base}/services/Soap/u/{version}/{}", &organisation[..15]);
    let result = format!(
        "<loginResponse><result><metadataServerUrl>{base}/services/Soap/m/{version}/{organisation}</metadataServerUrl>\
         <passwordExpired>false</passwordExpired><sandbox>true</sandbox><serverUrl>{server}</serverUrl>\
         <sessionId>{session}</sessionId><userId>{}</userId><userInfo><organizationId>{organisation}</organizationId>\
         <sessionSecondsValid>{}</sessionSecondsValid><userFullName>{}</userFullName><userId>{}</userId>\
         <userName>{}</userName></userInfo></result></loginResponse>",
        ids.user,
        settings.session_seconds,
        escaped(&ids.username),
        ids.user,
        escaped(&ids.username)
    );
    envelope(200, "urn:partner.soap.sforce.com", &result)
}

fn fault(code: &str, text: &str) -> Reply {
    let fault = format!(
        "<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {text}</faultstring><detail>\
         <sf:LoginFault xsi:type=\"sf:LoginFault\"><sf:exceptionCode>{code}</sf:exceptionCode>\
         <sf:exceptionMessage>{text}</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>"
    );
    envelope(500, "urn:fault.partner.soap.sforce.com", &fault)
}

fn envelope(status: u16, namespace: &str, inner: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns=\"{namespace}\" xmlns:sf=\"{namespace}\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\
         <soapenv:Body>{inner}</soapenv:Body></soapenv:Envelope>"
    );
    Reply { body: body.into_bytes(), ..Reply::empty(status) }.header("Content-Type", "text/xml; charset=utf-8")
}

/// The text of the first element of this local name, in whatever namespace.
fn element(xml: &str, name: &str) -> Option<String> {
    let mut rest = xml;
    while let Some(open) = rest.find('<') {
        rest = &rest[open + 1..];
        let end = rest.find('>')?;
        let tag = &rest[..end];
        if tag.split_whitespace().next().and_then(|tag| tag.rsplit(':').next()) == Some(name) {
            let text = &rest[end + 1..];
            return Some(unescaped(&text[..text.find('<')?]));
        }
        rest = &rest[end + 1..];
    }
    None
}

fn unescaped(text: &str) -> String {
    let text = text.trim().replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    text.replace("&#39;", "'").replace("&#x27;", "'").replace("&amp;", "&")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
