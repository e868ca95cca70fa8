//! What login libraries such as MSAL read before they ask for a token: the directory's `OpenID` configuration, and which hosts
//! are one and the same directory.

use hyper::Method;
use serde_json::{Value as Json, json};

use super::{call::Call, token};
use crate::{reply::Reply, state::State};

const CONFIGURATION: &str = "/.well-known/openid-configuration";

/// Answers what a login library asks first; none for any other request.
pub(super) fn answer(state: &State, call: &Call) -> Option<Reply> {
    if call.method != Method::GET {
        return None;
    }
    let path = call.path.strip_prefix('/')?;
    if matches!(path, "common/discovery/instance" | "discovery/instance") {
        return Some(instance(call));
    }
    let (tenant, version) =
        path.strip_suffix(CONFIGURATION)?.split_once('/').unwrap_or((path.strip_suffix(CONFIGURATION)?, ""));
    if !matches!(version, "" | "v2.0") {
        return None;
    }
    let tokens = state.tokens();
    if tenant != tokens.tenant_id {
        return Some(tokens.unknown_tenant(tenant, call));
    }
    Some(reply(&configuration(call, tenant, version == "v2.0")))
}

/// `GET /{tenant}/v2.0/.well-known/openid-configuration`, and the same without `v2.0`.
fn configuration(call: &Call, tenant: &str, is_second: bool) -> Json {
    let authority = format!("{}/{tenant}", origin(call));
    let version = if is_second { "/v2.0" } else { "" };
    json!({
        "token_endpoint": format!("{authority}/oauth2{version}/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{authority}/discovery{version}/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": if is_second { format!("{authority}/v2.0") } else { format!("{}/{tenant}/", origin(call)) },
        "request_uri_parameter_supported": false,
        "userinfo_endpoint": format!("{authority}/openid/userinfo"),
        "authorization_endpoint": format!("{authority}/oauth2{version}/authorize"),
        "device_authorization_endpoint": format!("{authority}/oauth2{version}/devicecode"),
        "http_logout_supported": true,
        "frontchannel_logout_supported": true,
        "end_session_endpoint": format!("{authority}/oauth2{version}/logout"),
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "tid", "ver"],
        "tenant_region_scope": null,
        "cloud_instance_name": call.host(),
        "cloud_graph_host_name": call.host(),
        "msgraph_host": call.host(),
        "rbac_url": origin(call),
    })
}

/// `GET /common/discovery/instance?authorization_endpoint=…`: this machine is a directory of its own.
fn instance(call: &Call) -> Reply {
    let Some(asked) = call.option("authorization_endpoint") else {
        let text = "The request must contain the following parameter: 'authorization_endpoint'.";
        return token::refuse(400, "invalid_request", &[900_144], text, call.now, 0);
    };
    let tenant = asked.trim_end_matches("/oauth2/v2.0/authorize").trim_end_matches("/oauth2/authorize");
    let tenant = tenant.rsplit('/').next().unwrap_or("common");
    let host = call.host();
    reply(&json!({
        "tenant_discovery_endpoint": format!("{}/{tenant}/v2.0{CONFIGURATION}", origin(call)),
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }))
}

fn origin(call: &Call) -> String {
    format!("{}://{}", if call.is_tls { "https" } else { "http" }, call.host())
}

fn reply(body: &Json) -> Reply {
    Reply { body: body.to_string().into_bytes(), ..Reply::empty(200) }
        .header("Content-Type", "application/json; charset=utf-8")
        .header("Cache-Control", "max-age=86400, private")
}
