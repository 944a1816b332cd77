//! Secrets that hold a ServiceAccount's token, filled for whoever asks for one.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::{Controller, Key, Outcome, Surroundings, fields, kinds, writes};
use crate::sim::kube::api::{Gvk, Status};

const KIND: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// The token controller.
#[derive(Debug, Clone, Copy)]
pub struct Tokens;

#[async_trait]
impl Controller for Tokens {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("Secret"), kinds::of("ServiceAccount")]
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn crate::sim::kube::api::Api) -> Vec<Key> {
        if changed.gvk.kind == "Secret" {
            return if fields::text(object, "/type") == KIND { vec![changed.clone()] } else { Vec::new() };
        }
        let all = api.list(&kinds::of("Secret"), Some(&changed.namespace));
        let mine = all.iter().filter(|secret| {
            fields::text(secret, "/type") == KIND && fields::annotation(secret, ACCOUNT) == changed.name
        });
        mine.map(|secret| super::runner::key_of(kinds::of("Secret"), secret)).collect()
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(secret) = api.get(&key.gvk, &key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let name = fields::annotation(&secret, ACCOUNT);
        let uid = fields::annotation(&secret, ACCOUNT_UID);
        let account = api.get(&kinds::of("ServiceAccount"), &key.namespace, name);
        let Some(account) = account.filter(|account| uid.is_empty() || uid == fields::uid(account)) else {
            // A token dies with its account.
            writes::delete(api, &secret, None).await?;
            return Ok(Outcome::Done);
        };
        let mut next = (*secret).clone();
        next["metadata"]["annotations"][ACCOUNT_UID] = json!(fields::uid(&account));
        let root = api.get(&kinds::of("ConfigMap"), &key.namespace, "kube-root-ca.crt");
        let root = root.map(|map| fields::text(&map["data"], "/ca.crt").to_owned()).unwrap_or_default();
        let mut put = |field: &str, value: &str| {
            if next["data"].get(field).is_none() {
                next["data"][field] = json!(STANDARD.encode(value));
            }
        };
        put("namespace", &key.namespace);
        put("ca.crt", &root);
        put("token", &token(&key.namespace, name, fields::uid(&account), &key.name));
        writes::object(api, &secret, next).await?;
        Ok(Outcome::Done)
    }
}

/// A token in the form of a JSON Web Token that names its account. Its signature is a digest that proves
/// nothing: the simulated API server believes what a token says.
fn token(namespace: &str, account: &str, uid: &str, secret: &str) -> String {
    let header = json!({"alg": "RS256", "kid": "simulated"});
    let claims = json!({
        "iss": "kubernetes/serviceaccount", "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": secret,
        "kubernetes.io/serviceaccount/service-account.name": account,
        "kubernetes.io/serviceaccount/service-account.uid": uid,
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
    });
    let body = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(Sha256::digest(&body));
    format!("{body}.{signature}")
}
