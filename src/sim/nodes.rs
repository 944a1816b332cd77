//! Registers machines as nodes, and keeps what their pool says of them up to date.
//!
//! The pool owns the labels and taints that it set, remembered in annotations as GKE does; everything else on
//! a Node belongs to kubelet, operators and users and is left alone.

use serde_json::{Map, Value as Json, json};

use super::kube::api::{Api, Gvk, Status};

/// Labels that the pool set last, `k=v` separated by commas.
pub const LABELS: &str = "node.gke.io/last-applied-node-labels";
/// Taints that the pool set last, `k=v:Effect` separated by commas.
pub const TAINTS: &str = "node.gke.io/last-applied-node-taints";

/// Creates the Node, or brings the pool's labels and taints on it up to date.
///
/// # Errors
/// What the API server said.
pub async fn register(api: &dyn Api, node: Json) -> Result<(), Status> {
    let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let Some(present) = api.get(&Gvk::new("", "v1", "Node"), "", &name) else {
        let status = node["status"].clone();
        let mut created = match api.create(node).await {
            Ok(created) => (*created).clone(),
            Err(status) if status.reason() == "AlreadyExists" => return Ok(()),
            Err(status) => return Err(status),
        };
        // A kubelet that registers sends its status along; servers differ in whether a create keeps it.
        if created["status"]["capacity"].is_null() {
            created["status"] = status;
            api.update_status(created).await?;
        }
        return Ok(());
    };
    let mut changed = (*present).clone();
    follow(&mut changed, &node);
    if changed != *present {
        api.update(changed).await?;
    }
    if present["status"]["capacity"].is_null() {
        let mut changed = (*present).clone();
        changed["status"] = node["status"].clone();
        if let Some(object) = changed["metadata"].as_object_mut() {
            object.remove("resourceVersion");
        }
        api.update_status(changed).await?;
    }
    Ok(())
}

fn entries(object: &Json, annotation: &str) -> Vec<String> {
    let text = object["metadata"]["annotations"][annotation].as_str().unwrap_or_default();
    text.split(',').filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

/// `k=v:Effect`, as the annotation has it.
fn taint_text(taint: &Json) -> String {
    let text = |field: &str| taint[field].as_str().unwrap_or_default();
    format!("{}={}:{}", text("key"), text("value"), text("effect"))
}

/// Makes the pool's labels and taints on `present` those of `wanted`.
fn follow(present: &mut Json, wanted: &Json) {
    let key = |entry: &String| entry.split('=').next().unwrap_or_default().to_owned();
    let (old_labels, new_labels) = (entries(present, LABELS), entries(wanted, LABELS));
    let (old_taints, new_taints) = (entries(present, TAINTS), entries(wanted, TAINTS));
    if old_labels == new_labels && old_taints == new_taints {
        return;
    }
    if let Some(labels) = present["metadata"]["labels"].as_object_mut() {
        for gone in old_labels.iter().filter(|entry| !new_labels.iter().any(|new| key(new) == key(entry))) {
            Map::remove(labels, &key(gone));
        }
        for entry in &new_labels {
            if let Some((label, value)) = entry.split_once('=') {
                labels.insert(label.to_owned(), json!(value));
            }
        }
    }
    let kept = present["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let mut taints: Vec<Json> = kept.into_iter().filter(|taint| !old_taints.contains(&taint_text(taint))).collect();
    for taint in wanted["spec"]["taints"].as_array().into_iter().flatten() {
        let text = taint_text(taint);
        if new_taints.contains(&text) && !taints.iter().any(|present| taint_text(present) == text) {
            taints.push(taint.clone());
        }
    }
    match (taints.is_empty(), present["spec"].as_object_mut()) {
        (true, Some(spec)) => {
            Map::remove(spec, "taints");
        }
        _ => present["spec"]["taints"] = json!(taints),
    }
    present["metadata"]["annotations"][LABELS] = json!(new_labels.join(","));
    present["metadata"]["annotations"][TAINTS] = json!(new_taints.join(","));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_replaces_its_own_labels_and_taints_only() {
        let mut present = json!({
            "metadata": {
                "labels": {"a": "1", "b": "2", "operator": "x"},
                "annotations": {LABELS: "a=1,b=2", TAINTS: "gpu=yes:NoSchedule"},
            },
            "spec": {"taints": [
                {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
            ]},
        });
        let wanted = json!({
            "metadata": {"annotations": {LABELS: "a=3", TAINTS: "new=:NoExecute"}},
            "spec": {"taints": [{"key": "new", "effect": "NoExecute"}]},
        });
        follow(&mut present, &wanted);
        assert_eq!(present["metadata"]["labels"], json!({"a": "3", "operator": "x"}));
        let keys: Vec<_> =
            present["spec"]["taints"].as_array().expect("taints").iter().map(|t| t["key"].clone()).collect();
        assert_eq!(keys, [json!("node.kubernetes.io/not-ready"), json!("new")]);
    }
}
