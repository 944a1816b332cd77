//! Definitions that would lose a version in which objects may be stored. Pure.

use crate::diag::Diagnostic;
use crate::value::Value;

/// What is wrong with replacing the definition that is there by the desired one; nothing for other kinds.
///
/// The API server refuses a version's removal while it is in `status.storedVersions`: what is stored in it could not
/// be read any more.
pub fn refusal(desired: &Value, live: &Value) -> Option<Diagnostic> {
    let text = |value: &Value, path: &[&str]| value.at(path).and_then(Value::as_str).map(str::to_owned);
    if text(desired, &["kind"]).as_deref() != Some("CustomResourceDefinition") {
        return None;
    }
    let list = |value: &Value, path: &[&str]| value.at(path).and_then(Value::as_list).unwrap_or_default().to_vec();
    let kept = list(desired, &["spec", "versions"]);
    let kept = kept.iter().filter_map(|version| text(version, &["name"])).collect::<Vec<_>>();
    let stored = list(live, &["status", "storedVersions"]);
    let stored = stored.iter().filter_map(|version| version.as_str().map(str::to_owned)).collect::<Vec<_>>();
    let (stays, goes): (Vec<_>, Vec<_>) = stored.iter().cloned().partition(|version| kept.contains(version));
    if goes.is_empty() {
        return None;
    }
    let name = text(desired, &["metadata", "name"]).unwrap_or_default();
    let versions = if goes.len() == 1 { "version" } else { "versions" };
    let what = format!("the definition {name} would lose {versions} {}, and objects are stored so", goes.join(", "));
    let why = format!(
        "status.storedVersions of the one that is there: {}. The API server refuses to drop a version that objects may \
         be stored in, because nobody could read them any more.",
        stored.join(", ")
    );
    let storage = list(live, &["spec", "versions"]);
    let is_storage = |version: &&Value| version.get("storage").and_then(Value::as_bool) == Some(true);
    let storage = storage.iter().find(is_storage).and_then(|version| text(version, &["name"]));
    let steps = match storage {
        // As long as new objects are stored in it, writing them anew changes nothing.
        Some(storage) if goes.contains(&storage) => format!(
            "go by way of a version of the chart that has both and stores in another than {storage}; then plan again"
        ),
        _ => {
            let stays = if stays.is_empty() { kept.last().into_iter().cloned().collect() } else { stays };
            let stays = stays.iter().map(|version| format!("\"{version}\"")).collect::<Vec<_>>().join(",");
            format!(
                "write every object anew (kubectl get {name} -A -o yaml | kubectl replace -f -), then \
                 kubectl patch crd {name} --subresource=status --type=merge \
                 -p '{{\"status\":{{\"storedVersions\":[{stays}]}}}}', and plan again"
            )
        }
    };
    Some(Diagnostic::error(what).detail(why).hint(steps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn definition(versions: &[(&str, bool)], stored: &[&str]) -> Value {
        let versions = versions.iter().map(|(name, storage)| json!({"name": name, "storage": storage}));
        Value::from_json(&json!({
            "kind": "CustomResourceDefinition", "metadata": {"name": "things.x.io"},
            "spec": {"versions": versions.collect::<Vec<_>>()}, "status": {"storedVersions": stored},
        }))
    }

    #[test]
    fn a_version_that_objects_are_stored_in_stays() {
        let live = definition(&[("v1alpha1", false), ("v1", true)], &["v1alpha1", "v1"]);
        let refused = refusal(&definition(&[("v1", true)], &[]), &live).unwrap();
        assert!(refused.summary.contains("things.x.io would lose version v1alpha1"), "{}", refused.summary);
        assert!(refused.hint.as_deref().unwrap().contains("\"storedVersions\":[\"v1\"]"), "{:?}", refused.hint);
        assert!(refusal(&definition(&[("v1", true), ("v1alpha1", false)], &[]), &live).is_none());
        assert!(refusal(&definition(&[("v1", true)], &[]), &definition(&[("v1", true)], &["v1"])).is_none());
        let only = definition(&[("v1alpha1", true)], &["v1alpha1"]);
        let refused = refusal(&definition(&[("v1", true)], &[]), &only).unwrap();
        assert!(refused.hint.as_deref().unwrap().contains("stores in another than v1alpha1"), "{:?}", refused.hint);
        assert!(refusal(&Value::map(), &live).is_none());
    }
}
