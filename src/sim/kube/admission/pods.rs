//! Admission of pods: ServiceAccounts and their tokens, priorities, default tolerations.

use serde_json::{Value as Json, json};

use super::{Attributes, Cluster, Plugin};
use crate::sim::kube::api::Status;

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Every container of a pod.
pub(super) fn containers(pod: &mut Json) -> Vec<&mut Json> {
    let Some(spec) = pod["spec"].as_object_mut() else { return Vec::new() };
    let lists = spec.iter_mut().filter(|(key, _)| matches!(key.as_str(), "containers" | "initContainers"));
    lists.filter_map(|(_, list)| list.as_array_mut()).flatten().collect()
}

/// A pod runs as a ServiceAccount that exists, with its token and its image pull secrets.
pub(super) struct Accounts;

impl Plugin for Accounts {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn mutate(
        &self,
        attributes: &Attributes,
        pod: &mut Json,
        _old: Option<&Json>,
        cluster: &Cluster,
    ) -> Result<(), Status> {
        if !attributes.creates("", "pods") {
            return Ok(());
        }
        // Mirror pods come from the node and use no API.
        if pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string() {
            return Ok(());
        }
        let given = pod["spec"]["serviceAccountName"].as_str().or(pod["spec"]["serviceAccount"].as_str());
        let name = given.filter(|name| !name.is_empty()).unwrap_or("default").to_owned();
        let namespace = attributes.namespace();
        let Some(account) = cluster.get("", "serviceaccounts", namespace, &name) else {
            return Err(attributes.forbid(&format!(
                "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
            )));
        };
        pod["spec"]["serviceAccountName"] = Json::from(name.clone());
        pod["spec"]["serviceAccount"] = Json::from(name);
        let mount = pod["spec"]["automountServiceAccountToken"]
            .as_bool()
            .or(account["automountServiceAccountToken"].as_bool())
            .unwrap_or(true);
        if mount {
            mount_token(pod, cluster);
        }
        let secrets = &account["imagePullSecrets"];
        if pod["spec"]["imagePullSecrets"].as_array().is_none_or(Vec::is_empty)
            && secrets.as_array().is_some_and(|list| !list.is_empty())
        {
            pod["spec"]["imagePullSecrets"] = secrets.clone();
        }
        Ok(())
    }
}

fn mount_token(pod: &mut Json, cluster: &Cluster) {
    let has = |c: &Json| {
        c["volumeMounts"].as_array().is_some_and(|mounts| mounts.iter().any(|m| m["mountPath"] == TOKEN_PATH))
    };
    let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    let known = volumes.iter().filter_map(|v| v["name"].as_str()).find(|n| n.starts_with("kube-api-access-"));
    let name = known.map_or_else(|| format!("kube-api-access-{}", cluster.suffix()), str::to_owned);
    let mut needed = false;
    for container in containers(pod) {
        if has(container) {
            continue;
        }
        needed = true;
        let mount = json!({"name": name, "readOnly": true, "mountPath": TOKEN_PATH});
        match container["volumeMounts"].as_array_mut() {
            Some(mounts) => mounts.push(mount),
            None => container["volumeMounts"] = json!([mount]),
        }
    }
    if needed && known.is_none() {
        let mut volumes = volumes;
        volumes.push(json!({"name": name, "projected": {"sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ], "defaultMode": 420}}));
        pod["spec"]["volumes"] = Json::Array(volumes);
    }
}

/// A PriorityClass becomes a number.
pub(super) struct Priority;

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn mutate(
        &self,
        attributes: &Attributes,
        pod: &mut Json,
        _old: Option<&Json>,
        cluster: &Cluster,
    ) -> Result<(), Status> {
        if !attributes.creates("", "pods") {
            return Ok(());
        }
        let given = pod["spec"]["priorityClassName"].as_str().filter(|n| !n.is_empty()).map(str::to_owned);
        let class = match given {
            Some(name) => {
                let class = cluster.get("scheduling.k8s.io", "priorityclasses", "", &name);
                let missing = || attributes.forbid(&format!("no PriorityClass with name {name} was found"));
                Some(class.ok_or_else(missing)?)
            }
            None => {
                let all = cluster.list("scheduling.k8s.io", "priorityclasses", None);
                let class = all.into_iter().filter(|c| c["globalDefault"] == true).min_by_key(|c| c["value"].as_i64());
                if let Some(class) = &class {
                    pod["spec"]["priorityClassName"] = class["metadata"]["name"].clone();
                }
                class
            }
        };
        let value = class.as_ref().map_or(json!(0), |c| c["value"].clone());
        let policy = class.as_ref().and_then(|c| c["preemptionPolicy"].as_str()).unwrap_or("PreemptLowerPriority");
        pod["spec"]["preemptionPolicy"] = Json::from(policy);
        pod["spec"]["priority"] = value;
        Ok(())
    }
}

/// Pods stay for five minutes on a node that has gone.
pub(super) struct DefaultTolerations;

impl Plugin for DefaultTolerations {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn mutate(
        &self,
        attributes: &Attributes,
        pod: &mut Json,
        _old: Option<&Json>,
        _cluster: &Cluster,
    ) -> Result<(), Status> {
        if !attributes.creates("", "pods") {
            return Ok(());
        }
        let mut list = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            let tolerated = list.iter().any(|t| {
                (t["key"] == key || t["key"].is_null() || t["key"] == "")
                    && (t["effect"] == "NoExecute" || t["effect"].is_null() || t["effect"] == "")
            });
            if !tolerated {
                list.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
            }
        }
        pod["spec"]["tolerations"] = Json::Array(list);
        Ok(())
    }
}
