//! The life of a CustomResourceDefinition: defaults, accepted names, established, and on its way out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::api::Change;
use super::delete::Deletion;
use super::registry::{Resource, Subresource};
use super::server::{ApiServer, User};
use super::store::{self, Name};
use super::typed;
use super::write::{Options, Request};
use crate::env::clock::Timestamp;
use crate::openapi::Schema;

/// The finalizer that makes a CRD wait for its objects.
pub(crate) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// From a change of a CRD to the next step of its life, and from there to the one after. A real server took
/// 0.23 s from the request to accept the names and 0.02 s more to establish (recording `06-crd`).
const FIRST: Duration = Duration::from_millis(170);
const NEXT: Duration = Duration::from_millis(20);

/// CRs' verbs, in the order in which discovery lists them.
const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

fn condition<'a>(crd: &'a Json, kind: &str) -> Option<&'a Json> {
    crd["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

fn is_true(crd: &Json, kind: &str) -> bool {
    condition(crd, kind).is_some_and(|c| c["status"] == "True")
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Json) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

/// The resources that an established CRD serves, the preferred version first.
pub(crate) fn resources(crd: &Arc<Json>) -> Vec<Resource> {
    if !is_true(crd, "Established") {
        return Vec::new();
    }
    let spec = &crd["spec"];
    let names = &crd["status"]["acceptedNames"];
    let versions = spec["versions"].as_array().cloned().unwrap_or_default();
    let storage = versions.iter().find(|v| v["storage"] == true).map(|v| text(&v["name"])).unwrap_or_default();
    let mut served: Vec<&Json> = versions.iter().filter(|v| v["served"] == true).collect();
    served.sort_by_key(|v| std::cmp::Reverse(priority(v["name"].as_str().unwrap_or_default())));
    let kind = text(&names["kind"]);
    let of = |version: &Json| Resource {
        group: text(&spec["group"]),
        version: text(&version["name"]),
        plural: text(&names["plural"]),
        singular: text(&names["singular"]),
        list_kind: text(&names["listKind"]),
        namespaced: spec["scope"] == "Namespaced",
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        verbs: VERBS.iter().map(|v| (*v).to_owned()).collect(),
        subresources: subresources(version, &kind),
        storage_version: storage.clone(),
        custom: Some(crd.clone()),
        kind: kind.clone(),
    };
    served.into_iter().map(of).collect()
}

fn subresources(version: &Json, kind: &str) -> Vec<Subresource> {
    let verbs: Vec<String> = ["get", "patch", "update"].iter().map(|v| (*v).to_owned()).collect();
    let mut list = Vec::new();
    if version["subresources"]["status"].is_object() {
        let (name, kind) = ("status".to_owned(), kind.to_owned());
        list.push(Subresource { name, group: String::new(), version: String::new(), kind, verbs: verbs.clone() });
    }
    if version["subresources"]["scale"].is_object() {
        let (group, version) = ("autoscaling".to_owned(), "v1".to_owned());
        list.push(Subresource { name: "scale".to_owned(), group, version, kind: "Scale".to_owned(), verbs });
    }
    list
}

/// Orders versions as Kubernetes prefers them: v2 > v1 > v1beta2 > v1alpha1 > anything else.
pub(crate) fn priority(version: &str) -> (u8, u64, u64) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u64 = rest[..digits].parse().ok()?;
        let tail = &rest[digits..];
        if tail.is_empty() {
            return Some((3, major, 0));
        }
        for (word, class) in [("beta", 2), ("alpha", 1)] {
            if let Some(minor) = tail.strip_prefix(word) {
                return Some((class, major, minor.parse().ok()?));
            }
        }
        None
    };
    parse().unwrap_or((0, 0, 0))
}

/// Why no object of a CRD on its way out may be created, if it is.
pub(crate) fn terminating(resource: &Resource) -> Option<&'static str> {
    let crd = resource.custom.as_ref()?;
    let gone = !crd["metadata"]["deletionTimestamp"].is_null();
    gone.then_some("create not allowed while custom resource definition is terminating")
}

/// The schema of one version.
pub(crate) fn schema(crd: &Json, version: &str) -> Option<Arc<Schema>> {
    let definition = crate::openapi::crd::Definition::read(crd)?;
    definition.version(version).map(|v| v.schema.clone())
}

/// What a CRD's fields are when they are not given.
pub(crate) fn default(crd: &mut Json) {
    let spec = &mut crd["spec"];
    let kind = text(&spec["names"]["kind"]);
    if !kind.is_empty() {
        let names = &mut spec["names"];
        if text(&names["singular"]).is_empty() {
            names["singular"] = Json::from(kind.to_lowercase());
        }
        if text(&names["listKind"]).is_empty() {
            names["listKind"] = Json::from(format!("{kind}List"));
        }
    }
    if spec.is_object() && spec["conversion"]["strategy"].is_null() {
        spec["conversion"] = json!({"strategy": "None"});
    }
    let service = spec.pointer_mut("/conversion/webhook/clientConfig/service").and_then(Json::as_object_mut);
    if let Some(service) = service {
        service.entry("port").or_insert_with(|| json!(443));
    }
}

fn storage_versions(crd: &Json) -> Vec<String> {
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    versions.filter(|v| v["storage"] == true).map(|v| text(&v["name"])).collect()
}

/// The status of a new CRD.
pub(crate) fn initial_status(crd: &Json) -> Json {
    json!({
        "conditions": null,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": storage_versions(crd),
    })
}

/// Remembers a new storage version.
pub(crate) fn prepare_update(new: &mut Json, current: &Json) {
    let mut stored = texts(&current["status"]["storedVersions"]);
    for version in storage_versions(new) {
        if !stored.contains(&version) {
            stored.push(version);
        }
    }
    new["status"]["storedVersions"] = json!(stored);
}

fn set_condition(server: &ApiServer, crd: &mut Json, kind: &str, status: bool, reason: &str, message: &str) {
    let status = if status { "True" } else { "False" };
    let now = server.now();
    if !crd["status"]["conditions"].is_array() {
        crd["status"]["conditions"] = json!([]);
    }
    let Some(list) = crd["status"]["conditions"].as_array_mut() else { return };
    let existing = list.iter_mut().find(|c| c["type"] == kind);
    match existing {
        Some(condition) => {
            if condition["status"] != status {
                condition["lastTransitionTime"] = Json::from(now);
            }
            condition["status"] = Json::from(status);
            condition["reason"] = Json::from(reason);
            condition["message"] = Json::from(message);
        }
        None => list.push(json!({
            "type": kind, "status": status, "lastTransitionTime": now, "reason": reason, "message": message,
        })),
    }
}

/// Notes on a CRD that deletion has begun.
pub(crate) fn mark_terminating(server: &ApiServer, crd: &mut Json) {
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(server, crd, "Terminating", true, "InstanceDeletionPending", message);
}

/// Accepts the names that no other CRD of the group has; answers the first that another has.
fn accept_names(server: &ApiServer, crd: &mut Json) -> Option<(&'static str, String)> {
    let own = crd["metadata"]["name"].clone();
    let group = crd["spec"]["group"].clone();
    let (_, others) = server.store.list(&store::crds(), None);
    let others: Vec<_> =
        others.iter().filter(|o| o["metadata"]["name"] != own && o["spec"]["group"] == group).collect();
    let resource_names = |names: &Json| {
        let mut list = vec![text(&names["plural"]), text(&names["singular"])];
        list.extend(texts(&names["shortNames"]));
        list
    };
    let taken_resources: Vec<String> =
        others.iter().flat_map(|o| resource_names(&o["status"]["acceptedNames"])).collect();
    let taken_kinds: Vec<String> = others
        .iter()
        .flat_map(|o| [text(&o["status"]["acceptedNames"]["kind"]), text(&o["status"]["acceptedNames"]["listKind"])])
        .collect();
    let wanted = crd["spec"]["names"].clone();
    let mut accepted = Map::new();
    let mut refused = None;
    let mut consider = |key: &str, reason: &'static str, taken: &[String], required: bool| {
        let value = text(&wanted[key]);
        if taken.contains(&value) && !value.is_empty() {
            refused = Some((reason, format!("{value:?} is already in use")));
            if required {
                accepted.insert(key.to_owned(), json!(""));
            }
        } else if required || !value.is_empty() {
            accepted.insert(key.to_owned(), json!(value));
        }
    };
    consider("plural", "PluralConflict", &taken_resources, true);
    consider("singular", "SingularConflict", &taken_resources, false);
    consider("kind", "KindConflict", &taken_kinds, true);
    consider("listKind", "ListKindConflict", &taken_kinds, false);
    let short = texts(&wanted["shortNames"]);
    if let Some(name) = short.iter().find(|name| taken_resources.contains(name)) {
        refused = Some(("ShortNamesConflict", format!("{name:?} is already in use")));
    } else if !short.is_empty() {
        accepted.insert("shortNames".to_owned(), json!(short));
    }
    let categories = texts(&wanted["categories"]);
    if !categories.is_empty() {
        accepted.insert("categories".to_owned(), json!(categories));
    }
    crd["status"]["acceptedNames"] = Json::Object(accepted);
    refused
}

/// The next form of a CRD's status, if it has a next step to take.
fn advance(server: &ApiServer, crd: &Json) -> Option<Json> {
    let mut next = crd.clone();
    let settled = condition(crd, "NamesAccepted").is_some();
    match accept_names(server, &mut next) {
        Some((reason, message)) => {
            set_condition(server, &mut next, "NamesAccepted", false, reason, &message);
            if !is_true(crd, "Established") {
                let why = "not all names are accepted";
                set_condition(server, &mut next, "Established", false, "NotAccepted", why);
            }
        }
        None => {
            let why = "the initial names have been accepted";
            let ready = settled && is_true(crd, "NamesAccepted");
            set_condition(server, &mut next, "NamesAccepted", true, "NoConflicts", "no conflicts found");
            if !is_true(crd, "Established") {
                let reason = if ready { "InitialNamesAccepted" } else { "Installing" };
                set_condition(server, &mut next, "Established", ready, reason, why);
            }
        }
    }
    (next != *crd).then_some(next)
}

fn request(server: &ApiServer, name: &str, subresource: &str) -> Option<Request> {
    let registry = server.registry();
    let resource = registry.by_table(&store::crds())?.clone();
    Some(Request {
        user: User::admin(),
        resource,
        namespace: String::new(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
        options: Options { manager: "kube-apiserver".to_owned(), ..Options::default() },
    })
}

/// Takes a CRD's next step; answers whether there may be another.
async fn step(server: &Arc<ApiServer>, name: &str) -> bool {
    let key: Name = (String::new(), name.to_owned());
    let Some(crd) = server.store.get(&store::crds(), &key) else { return false };
    if !crd["metadata"]["deletionTimestamp"].is_null() {
        return clean_up(server, &crd, name).await;
    }
    let Some(next) = advance(server, &crd) else { return false };
    let Some(request) = request(server, name, "status") else { return false };
    // A lost race or a refusal is tried again: the loop is level-triggered.
    server.update(request, next).await.is_ok()
}

/// Deletes the CRs of a CRD on its way out, then lets the CRD go.
async fn clean_up(server: &Arc<ApiServer>, crd: &Arc<Json>, name: &str) -> bool {
    let held = crd["metadata"]["finalizers"].as_array().is_some_and(|list| list.iter().any(|f| f == FINALIZER));
    if !held {
        return false;
    }
    let table = (text(&crd["spec"]["group"]), text(&crd["spec"]["names"]["plural"]));
    let serving =
        resources(crd).into_iter().find(|r| r.version == r.storage_version).or(resources(crd).into_iter().next());
    let (_, objects) = server.store.list(&table, None);
    let mut left = 0;
    if let Some(resource) = serving {
        let resource = Arc::new(resource);
        for object in &objects {
            left += 1;
            if !object["metadata"]["deletionTimestamp"].is_null() {
                continue;
            }
            let request = Request {
                user: User::admin(),
                resource: resource.clone(),
                namespace: text(&object["metadata"]["namespace"]),
                name: text(&object["metadata"]["name"]),
                subresource: String::new(),
                options: Options { manager: "kube-apiserver".to_owned(), ..Options::default() },
            };
            if matches!(server.delete(request, Deletion::default()).await, Ok(super::delete::Deleted::Gone(_))) {
                left -= 1;
            }
        }
    }
    if left > 0 {
        // The deletion of the last one wakes the loop.
        return false;
    }
    let Some(request) = request(server, name, "") else { return false };
    let mut next = (**crd).clone();
    if let Some(list) = typed::metadata(&mut next).get_mut("finalizers").and_then(Json::as_array_mut) {
        list.retain(|f| f != FINALIZER);
    }
    typed::metadata(&mut next).shift_remove("resourceVersion");
    let patch = json!({"metadata": {"finalizers": next["metadata"]["finalizers"]}});
    server.patch(request, super::write::Patch::Merge(patch)).await.is_err()
}

/// The CRD that a change wakes.
fn woken(server: &ApiServer, change: &Change) -> Option<String> {
    let object = change.new.as_ref().or(change.old.as_ref())?;
    if change.gvk.kind == "CustomResourceDefinition" && change.gvk.group == "apiextensions.k8s.io" {
        return Some(text(&object["metadata"]["name"]));
    }
    if change.new.is_some() {
        return None;
    }
    let registry = server.registry();
    let resource = registry.by_kind(&change.gvk)?;
    resource.custom.as_ref().map(|crd| text(&crd["metadata"]["name"]))
}

/// The loop.
pub(crate) async fn run(server: Arc<ApiServer>) {
    let mut changes = server.store.subscribe();
    let mut due: BTreeMap<String, Timestamp> = BTreeMap::new();
    let soon = |server: &ApiServer| server.clock.now().plus(FIRST);
    for crd in server.store.list(&store::crds(), None).1 {
        due.insert(text(&crd["metadata"]["name"]), soon(&server));
    }
    loop {
        let next = due.values().min().copied();
        let now = server.clock.now();
        let wait = async {
            match next {
                Some(at) => server.clock.sleep(at.since(now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            change = changes.recv() => {
                let Some(change) = change else { return };
                if let Some(name) = woken(&server, &change) {
                    let at = soon(&server);
                    due.entry(name).or_insert(at);
                }
            }
            () = wait => {
                let now = server.clock.now();
                let ripe: Vec<String> = due.iter().filter(|(_, at)| **at <= now).map(|(n, _)| n.clone()).collect();
                for name in ripe {
                    due.remove(&name);
                    if step(&server, &name).await {
                        due.insert(name, server.clock.now().plus(NEXT));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered() {
        let mut versions = ["v1alpha1", "v2", "foo", "v1beta1", "v1", "v1beta2"];
        versions.sort_by_key(|v| std::cmp::Reverse(priority(v)));
        assert_eq!(versions, ["v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]);
    }

    #[test]
    fn nothing_is_served_before_established() {
        let crd =
            Arc::new(json!({"spec": {"group": "g", "versions": [{"name": "v1", "served": true, "storage": true}]}}));
        assert!(resources(&crd).is_empty());
    }
}
