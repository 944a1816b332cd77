//! Pulling images: what is there, what may be pulled with which credentials, when it is tried again.

use base64::Engine;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::super::faults::Faults;
use super::super::image::Image;
use super::super::programs::{Program, secret_value};
use super::super::{durations, fields, kinds};
use crate::env::clock::Timestamp;
use crate::sim::kube::api::Api;

/// Registries that answer nobody without a login, and where they send one for a token.
const GUARDED: [(&str, &str); 2] = [
    ("registry.redhat.io", "https://registry.redhat.io/auth/realms/rhcc/protocol/redhat-docker-v2/auth"),
    ("registry.connect.redhat.com", "https://sso.redhat.com/auth/realms/rhcc/protocol/redhat-docker-v2/auth"),
];

/// Whether the node has an image already.
pub fn present(node: &Json, image: &Image) -> bool {
    let reference = image.reference();
    let known = fields::list(node, "/status/images").iter();
    known.flat_map(|entry| fields::list(entry, "/names")).any(|name| name.as_str() == Some(&reference))
}

/// The image's id as a container runtime reports it.
pub fn id(image: &Image) -> String {
    if !image.digest.is_empty() {
        return format!("{}@{}", image.name(), image.digest);
    }
    let digest = Sha256::digest(image.reference());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}@sha256:{digest}", image.name())
}

/// The latest attempt to pull at or before `now`, and the next one: at once, then after 10 s, doubled up to
/// 5 min each time.
pub fn attempts(since: Timestamp, now: Timestamp) -> (Timestamp, Timestamp) {
    let mut last = since;
    let mut pause = durations::BACKOFF_FIRST;
    loop {
        let next = last.plus(pause);
        if next > now {
            return (last, next);
        }
        last = next;
        pause = (pause * 2).min(durations::BACKOFF_LONGEST);
    }
}

/// Whether an image can be pulled for a Pod.
///
/// # Errors
/// The container runtime's words.
pub fn pull(
    api: &dyn Api,
    pod: &Json,
    image: &Image,
    program: &dyn Program,
    faults: &dyn Faults,
) -> Result<(), String> {
    let reference = image.reference();
    let unresolved = |code: &str, why: &str| {
        let words = format!(
            "failed to pull and unpack image \"{reference}\": failed to resolve reference \"{reference}\": {why}"
        );
        Err(format!("rpc error: code = {code} desc = {words}"))
    };
    if let Some(why) = faults.image_pull(pod, image) {
        return unresolved(if why.ends_with(": not found") { "NotFound" } else { "Unknown" }, &why);
    }
    if let Some((registry, realm)) = GUARDED.iter().find(|(registry, _)| *registry == image.registry)
        && !credentials(api, pod, registry)
    {
        let scope = image.repository.replace('/', "%2F");
        let url = format!("{realm}?scope=repository%3A{scope}%3Apull&service=docker-registry");
        let answer = format!("unexpected status from GET request to {url}: 401 Unauthorized");
        return unresolved("Unknown", &format!("failed to authorize: failed to fetch anonymous token: {answer}"));
    }
    if !program.published(image) {
        return unresolved("NotFound", &format!("{reference}: not found"));
    }
    Ok(())
}

/// Whether one of the Pod's pull secrets, or its ServiceAccount's, has a login for a registry.
fn credentials(api: &dyn Api, pod: &Json, registry: &str) -> bool {
    let namespace = fields::namespace(pod);
    let account = match fields::text(pod, "/spec/serviceAccountName") {
        "" => "default",
        account => account,
    };
    let account = api.get(&kinds::of("ServiceAccount"), namespace, account);
    let of_account = account.iter().flat_map(|account| fields::list(account, "/imagePullSecrets"));
    let mut names = fields::list(pod, "/spec/imagePullSecrets").iter().chain(of_account);
    names.any(|secret| names_registry(api, namespace, fields::text(secret, "/name"), registry))
}

fn names_registry(api: &dyn Api, namespace: &str, secret: &str, registry: &str) -> bool {
    let Some(object) = api.get(&kinds::of("Secret"), namespace, secret) else { return false };
    let auths = match fields::text(&object, "/type") {
        "kubernetes.io/dockerconfigjson" => secret_value(api, namespace, secret, ".dockerconfigjson")
            .and_then(|text| serde_json::from_str::<Json>(&text).ok())
            .and_then(|config| config.get("auths").cloned()),
        "kubernetes.io/dockercfg" => {
            secret_value(api, namespace, secret, ".dockercfg").and_then(|text| serde_json::from_str(&text).ok())
        }
        _ => None,
    };
    let Some(Json::Object(auths)) = auths else { return false };
    auths.iter().any(|(server, login)| {
        let host = server.trim_start_matches("https://").trim_start_matches("http://").split('/').next();
        host == Some(registry) && is_login(login)
    })
}

/// Whether an entry holds a user and a password, apart or as base64 of `user:password`.
fn is_login(entry: &Json) -> bool {
    let text = |field: &str| entry.get(field).and_then(Json::as_str).unwrap_or_default();
    if !text("username").is_empty() && !text("password").is_empty() {
        return true;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(text("auth").trim()).unwrap_or_default();
    let decoded = String::from_utf8(decoded).unwrap_or_default();
    decoded.split_once(':').is_some_and(|(user, password)| !user.is_empty() && !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_back_off() {
        let at = |seconds: u64| Timestamp(seconds * 1000);
        assert_eq!(attempts(at(100), at(100)), (at(100), at(110)));
        assert_eq!(attempts(at(100), at(129)), (at(110), at(130)));
        assert_eq!(attempts(at(100), at(130)), (at(130), at(170)));
    }
}
