//! Reading and building Kubernetes objects as plain JSON, the way every add-on's program does all day.
//!
//! Pure functions over documents. What talks to the API server is in [`super::work`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

use crate::env::clock::Timestamp;
pub use crate::sim::controllers::fields::{
    annotation, condition_entry as condition, flag as truth, is_going as going, label, list, name, namespace, number,
    owner_reference, quantity, selects, selects_map, text, uid,
};
use crate::sim::kube::api::Gvk;

/// A kind of the core group.
pub fn core(kind: &str) -> Gvk {
    Gvk::new("", "v1", kind)
}

/// A kind of `apps/v1`.
pub fn apps(kind: &str) -> Gvk {
    Gvk::new("apps", "v1", kind)
}

/// `metadata.generation`, or 0.
pub fn generation(object: &Json) -> i64 {
    number(object, "/metadata/generation").unwrap_or(0)
}

/// Whether the condition of this type is `True`.
pub fn is_true(object: &Json, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| c["status"] == "True")
}

/// Whether a pod is Ready and stays.
pub fn pod_ready(pod: &Json) -> bool {
    !going(pod) && is_true(pod, "Ready")
}

/// A condition about to be written.
#[derive(Clone, Copy, Debug)]
pub struct Condition<'a> {
    /// Its type.
    pub kind: &'a str,
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// CamelCase word.
    pub reason: &'a str,
    /// For people.
    pub message: &'a str,
}

impl<'a> Condition<'a> {
    /// `True` or `False`.
    pub fn new(kind: &'a str, is: bool, reason: &'a str, message: &'a str) -> Self {
        Condition { kind, status: if is { "True" } else { "False" }, reason, message }
    }
}

/// Writes a condition into a list of them, keeping its transition time while its status stays. With
/// `generation` the condition carries `observedGeneration`.
pub fn set_condition(conditions: &mut Json, now: Timestamp, generation: Option<i64>, condition: Condition<'_>) {
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(entries) = conditions.as_array_mut() else { return };
    let old = entries.iter_mut().find(|c| c["type"] == condition.kind);
    let since = old
        .as_ref()
        .filter(|c| c["status"] == condition.status)
        .map_or_else(|| json!(now.rfc3339()), |c| c["lastTransitionTime"].clone());
    let mut new = json!({
        "type": condition.kind, "status": condition.status, "lastTransitionTime": since,
        "reason": condition.reason, "message": condition.message,
    });
    if let Some(generation) = generation {
        new["observedGeneration"] = json!(generation);
    }
    if condition.reason.is_empty()
        && let Some(new) = new.as_object_mut()
    {
        new.remove("reason");
    }
    match old {
        Some(old) => *old = new,
        None => entries.push(new),
    }
}

/// Whether `object` names `owner` among its owners.
pub fn owned_by(object: &Json, owner: &Json) -> bool {
    let uid = text(owner, "/metadata/uid");
    list(object, "/metadata/ownerReferences").iter().any(|r| text(r, "/uid") == uid)
}

/// `metadata` of a new object; empty maps are left out.
pub fn metadata(namespace: &str, name: &str, labels: &[(&str, &str)], owner: Option<&Json>) -> Json {
    let mut metadata = json!({"name": name});
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    if !labels.is_empty() {
        metadata["labels"] = labels.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect::<Map<_, _>>().into();
    }
    if let Some(owner) = owner {
        metadata["ownerReferences"] = json!([owner_reference(owner)]);
    }
    metadata
}

/// Whether `existing` already says everything that `wanted` says. Lists must have the same length.
pub fn covers(existing: &Json, wanted: &Json) -> bool {
    match (existing, wanted) {
        (Json::Object(existing), Json::Object(wanted)) => wanted.iter().all(|(key, wanted)| match existing.get(key) {
            Some(existing) => covers(existing, wanted),
            None => wanted.is_null() || matches!(wanted, Json::Object(m) if m.is_empty()),
        }),
        (Json::Array(existing), Json::Array(wanted)) => {
            existing.len() == wanted.len() && existing.iter().zip(wanted).all(|(e, w)| covers(e, w))
        }
        _ => existing == wanted,
    }
}

/// Makes `existing` say what `wanted` says. Lists of another length are replaced, others laid over entry by
/// entry, so that what the server added stays.
pub fn lay_over(existing: &mut Json, wanted: &Json) {
    match (existing, wanted) {
        (Json::Object(existing), Json::Object(wanted)) => {
            for (key, wanted) in wanted {
                match existing.get_mut(key) {
                    Some(existing) => lay_over(existing, wanted),
                    None => {
                        existing.insert(key.clone(), wanted.clone());
                    }
                }
            }
        }
        (Json::Array(existing), Json::Array(wanted)) if existing.len() == wanted.len() => {
            existing.iter_mut().zip(wanted).for_each(|(existing, wanted)| lay_over(existing, wanted));
        }
        (existing, wanted) => *existing = wanted.clone(),
    }
}

/// Base64, as Secrets and `caBundle` hold bytes.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// The text behind base64, if it is that.
pub fn unbase64(encoded: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()
}

/// The decoded value of a Secret's key.
pub fn secret_text(secret: &Json, key: &str) -> Option<String> {
    unbase64(secret.get("data")?.get(key)?.as_str()?).filter(|text| !text.is_empty())
}

/// All containers of a pod's (or pod template's) spec, init containers first.
pub fn containers(spec: &Json) -> impl Iterator<Item = &Json> {
    list(spec, "/initContainers").iter().chain(list(spec, "/containers"))
}

/// The value of a plain environment variable of a container.
pub fn env_of<'a>(container: &'a Json, variable: &str) -> Option<&'a str> {
    list(container, "/env").iter().find(|e| e["name"] == variable)?.get("value")?.as_str()
}

/// A name no longer than Kubernetes allows: `parent` and `suffix` together, or a cut parent and its digest.
pub fn child_name(parent: &str, suffix: &str) -> String {
    let whole = format!("{parent}{suffix}");
    if whole.len() <= 63 {
        return whole;
    }
    let digest: String = sha256_hex(parent.as_bytes()).chars().take(32).collect();
    let room = 63usize.saturating_sub(digest.len() + suffix.len());
    let cut: String = parent.chars().take(room).collect();
    let name: String = format!("{cut}{digest}{suffix}").chars().take(63).collect();
    name.trim_end_matches(['-', '.']).to_owned()
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Merges `patch` into `base` as a strategic merge of pod templates does: maps key by key, lists of named
/// things by their key (containers, volumes and variables by name, mounts by path, ports by number), other
/// lists replaced.
pub fn merge_template(base: &mut Json, patch: &Json) {
    match (base, patch) {
        (Json::Object(base), Json::Object(patch)) => {
            for (key, value) in patch {
                match base.get_mut(key) {
                    Some(existing) if !value.is_null() => merge_list_or_map(key, existing, value),
                    _ => {
                        base.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (base, patch) => *base = patch.clone(),
    }
}

fn merge_list_or_map(key: &str, base: &mut Json, patch: &Json) {
    let by = match key {
        "containers" | "initContainers" | "volumes" | "env" | "imagePullSecrets" | "secrets" => "name",
        "volumeMounts" => "mountPath",
        "ports" => "containerPort",
        _ => return merge_template(base, patch),
    };
    let (Some(entries), Some(patches)) = (base.as_array_mut(), patch.as_array()) else {
        *base = patch.clone();
        return;
    };
    for patch in patches {
        match entries.iter_mut().find(|e| !patch[by].is_null() && e[by] == patch[by]) {
            // A variable's value and its source exclude each other.
            Some(entry) if key == "env" => *entry = patch.clone(),
            Some(entry) => merge_template(entry, patch),
            None => entries.push(patch.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covering_ignores_what_the_server_added() {
        let existing = json!({"spec": {"a": 1, "added": true, "list": [{"x": 1, "y": 2}]}});
        assert!(covers(&existing, &json!({"spec": {"a": 1, "list": [{"x": 1}]}})));
        assert!(!covers(&existing, &json!({"spec": {"list": []}})));
        assert!(!covers(&existing, &json!({"spec": {"b": 1}})));
        let mut changed = existing.clone();
        lay_over(&mut changed, &json!({"spec": {"list": [{"x": 5}], "b": 1}}));
        assert_eq!(changed, json!({"spec": {"a": 1, "added": true, "list": [{"x": 5, "y": 2}], "b": 1}}));
    }

    #[test]
    fn templates_merge_by_the_keys_of_their_lists() {
        let mut base = json!({"containers": [{"name": "main", "image": "a", "env": [{"name": "X", "value": "1"}],
            "args": ["one", "two"]}]});
        merge_template(
            &mut base,
            &json!({"nodeSelector": {"k": "v"}, "containers": [
                {"name": "main", "args": ["three"], "env": [{"name": "Y", "value": "2"}]}, {"name": "more"}]}),
        );
        assert_eq!(
            base,
            json!({"nodeSelector": {"k": "v"}, "containers": [
                {"name": "main", "image": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
                 "args": ["three"]},
                {"name": "more"}]})
        );
    }

    #[test]
    fn child_names_are_cut_with_a_digest() {
        assert_eq!(child_name("qwen", "-kserve"), "qwen-kserve");
        let long = child_name(&"x".repeat(70), "-kserve");
        assert_eq!(long.len(), 63);
        assert!(long.ends_with("-kserve"));
    }
}
