//! What is served: `/api`, `/apis`, groups and versions, in the old form and the aggregated one.

use std::sync::Arc;

use base64::Engine;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256, Sha512};

use super::registry::{Registry, Resource, Subresource};

/// Groups in the registry's order, with their versions, the preferred one first.
fn groups(registry: &Registry) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for resource in registry.all().iter().filter(|r| !r.group.is_empty()) {
        match groups.iter_mut().find(|(group, _)| *group == resource.group) {
            Some((_, versions)) if versions.contains(&resource.version.as_str()) => {}
            Some((_, versions)) => versions.push(&resource.version),
            None => groups.push((&resource.group, vec![&resource.version])),
        }
    }
    for (_, versions) in &mut groups {
        versions.sort_by_key(|version| std::cmp::Reverse(super::crd::priority(version)));
    }
    groups
}

fn group(name: &str, versions: &[&str]) -> Json {
    let entry = |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let versions: Vec<Json> = versions.iter().map(entry).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

/// `GET /api`.
pub(crate) fn core(host: &str) -> Json {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}],
    })
}

/// `GET /apis`. `remote` are groups and versions that other servers serve.
pub(crate) fn group_list(registry: &Registry, remote: &[(String, String)]) -> Json {
    let mut groups: Vec<Json> = groups(registry).iter().map(|(name, versions)| group(name, versions)).collect();
    groups.extend(remote.iter().map(|(name, version)| group(name, &[version.as_str()])));
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `GET /apis/<group>`.
pub(crate) fn one_group(registry: &Registry, name: &str) -> Option<Json> {
    let groups = groups(registry);
    let (name, versions) = groups.iter().find(|(group, _)| *group == name)?;
    let mut answer = json!({"kind": "APIGroup", "apiVersion": "v1"});
    for (key, value) in group(name, versions).as_object().cloned().unwrap_or_default() {
        answer[key] = value;
    }
    Some(answer)
}

fn storage_hash(resource: &Resource) -> String {
    let version = match (resource.group.as_str(), resource.plural.as_str()) {
        // Events of both groups are stored as the core group's.
        ("events.k8s.io", "events") => return hash("", "v1", "Event"),
        // CRDs are stored in the version they began with.
        ("apiextensions.k8s.io", "customresourcedefinitions") => "v1beta1",
        _ => &resource.storage_version,
    };
    hash(&resource.group, version, &resource.kind)
}

fn hash(group: &str, version: &str, kind: &str) -> String {
    let digest = Sha256::digest(format!("{group}/{version}/{kind}"));
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

fn old_subresource(resource: &Resource, sub: &Subresource) -> Json {
    let mut entry = json!({
        "name": format!("{}/{}", resource.plural, sub.name),
        "singularName": "",
        "namespaced": resource.namespaced,
    });
    if !sub.version.is_empty() {
        entry["group"] = Json::from(sub.group.as_str());
        entry["version"] = Json::from(sub.version.as_str());
    }
    entry["kind"] = Json::from(sub.kind.as_str());
    entry["verbs"] = json!(sub.verbs);
    entry
}

/// `GET /api/v1`, `GET /apis/<group>/<version>`.
pub(crate) fn group_version(registry: &Registry, group: &str, version: &str) -> Option<Json> {
    let mut list = Vec::new();
    let of = |r: &&Arc<Resource>| r.group == group && r.version == version;
    for resource in registry.all().iter().filter(of) {
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": resource.verbs,
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        if resource.stored() {
            entry["storageVersionHash"] = Json::from(storage_hash(resource));
        }
        list.push(entry);
        list.extend(resource.subresources.iter().map(|sub| old_subresource(resource, sub)));
    }
    if list.is_empty() {
        return None;
    }
    let mut answer = Map::new();
    answer.insert("kind".to_owned(), json!("APIResourceList"));
    if !group.is_empty() {
        answer.insert("apiVersion".to_owned(), json!("v1"));
    }
    let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    answer.insert("groupVersion".to_owned(), Json::from(name));
    answer.insert("resources".to_owned(), Json::Array(list));
    Some(Json::Object(answer))
}

fn kind(resource: &Resource, group: &str, version: &str, kind: &str) -> Json {
    // Built-in kinds of the resource's own group version are written without it; CRs in full.
    if resource.custom.is_some() && version.is_empty() {
        return json!({"group": resource.group, "version": resource.version, "kind": kind});
    }
    json!({"group": group, "version": version, "kind": kind})
}

fn new_resource(resource: &Resource) -> Json {
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": kind(resource, "", "", &resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    if !resource.subresources.is_empty() {
        let each = |sub: &Subresource| {
            json!({
                "subresource": sub.name,
                "responseKind": kind(resource, &sub.group, &sub.version, &sub.kind),
                "verbs": sub.verbs,
            })
        };
        entry["subresources"] = resource.subresources.iter().map(each).collect();
    }
    entry
}

/// Aggregated discovery, of the core group or of all others.
pub(crate) fn aggregated(registry: &Registry, core: bool) -> Json {
    let groups = if core { vec![("", vec!["v1"])] } else { groups(registry) };
    let items: Vec<Json> = groups
        .into_iter()
        .map(|(group, versions)| {
            let versions: Vec<Json> = versions
                .into_iter()
                .map(|version| {
                    let of = |r: &&Arc<Resource>| r.group == group && r.version == version;
                    let resources: Vec<Json> = registry.all().iter().filter(of).map(|r| new_resource(r)).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    })
}

/// A quoted tag that changes with the document.
pub(crate) fn etag(document: &Json) -> String {
    let digest = Sha512::digest(document.to_string());
    let hex: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("\"{hex}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_real_servers() {
        assert_eq!(hash("", "v1", "ConfigMap"), "qFsyl6wFWjQ=");
        assert_eq!(hash("apps", "v1", "Deployment"), "8aSe+NMegvE=");
    }

    #[test]
    fn groups_have_their_preferred_version_first() {
        let registry = Registry::new(std::iter::empty());
        let autoscaling = one_group(&registry, "autoscaling").expect("group");
        assert_eq!(autoscaling["preferredVersion"]["version"], "v2");
        assert!(group_version(&registry, "apps", "v9").is_none());
    }
}
