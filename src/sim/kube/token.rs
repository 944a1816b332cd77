//! Tokens of ServiceAccounts: issued by the `token` subresource, checked on each request.

use base64::Engine;
use hmac::{Hmac, Mac};
use serde_json::{Value as Json, json};
use sha2::Sha256;

use super::server::{ApiServer, User};

const ENGINE: base64::engine::GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The audience of tokens for this API.
pub(crate) const AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

/// The cluster's signing key, made at first use.
fn key(server: &ApiServer) -> String {
    if let Some(key) = server.store.note("token-key").and_then(|key| key.as_str().map(str::to_owned)) {
        return key;
    }
    let key = server.random.hex(32);
    server.store.set_note("token-key", Json::from(key.as_str()));
    key
}

fn sign(server: &ApiServer, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key(server).as_bytes()).expect("any key length will do");
    mac.update(text.as_bytes());
    ENGINE.encode(mac.finalize().into_bytes())
}

/// A token for a ServiceAccount that expires at `expires`, seconds since 1970.
pub(crate) fn issue(server: &ApiServer, namespace: &str, account: &Json, audiences: &Json, expires: u64) -> String {
    let name = account["metadata"]["name"].as_str().unwrap_or_default();
    let claims = json!({
        "aud": audiences,
        "exp": expires,
        "iat": server.clock.now().seconds(),
        "iss": AUDIENCE,
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
        },
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
    });
    let head = ENGINE.encode(json!({"alg": "HS256", "typ": "JWT"}).to_string());
    let body = ENGINE.encode(claims.to_string());
    let text = format!("{head}.{body}");
    let signature = sign(server, &text);
    format!("{text}.{signature}")
}

/// Whose token it is; `None` for one that this cluster did not issue, that has expired or whose account is gone.
pub(crate) fn verify(server: &ApiServer, token: &str) -> Option<User> {
    let (text, signature) = token.rsplit_once('.')?;
    if sign(server, text) != signature {
        return None;
    }
    let (_, body) = text.split_once('.')?;
    let claims: Json = serde_json::from_slice(&ENGINE.decode(body).ok()?).ok()?;
    if claims["exp"].as_u64()? <= server.clock.now().seconds() {
        return None;
    }
    let bound = &claims["kubernetes.io"];
    let table = (String::new(), "serviceaccounts".to_owned());
    let account = &bound["serviceaccount"];
    let name = (bound["namespace"].as_str()?.to_owned(), account["name"].as_str()?.to_owned());
    let live = server.store.get(&table, &name)?;
    if live["metadata"]["uid"] != account["uid"] {
        return None;
    }
    let mut user = User::named(claims["sub"].as_str()?);
    user.uid = account["uid"].as_str().unwrap_or_default().to_owned();
    Some(user)
}
