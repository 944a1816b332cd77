//! Who may do what: role-based access control over the roles and bindings in the store.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::api::Status;
use super::fault;
use super::selector::Labels;
use super::server::{ApiServer, User};
use super::write::Request;

const GROUP: &str = "rbac.authorization.k8s.io";

/// One question to the authoriser.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// `create`, …
    pub verb: &'a str,
    /// API group.
    pub group: &'a str,
    /// Plural name, with `/status` for a subresource.
    pub resource: &'a str,
    /// Empty for cluster scope or all namespaces.
    pub namespace: &'a str,
    /// Empty for collections.
    pub name: &'a str,
}

fn applies(subject: &Json, user: &User, namespace: &str) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("User") => name == user.name,
        Some("Group") => user.groups.iter().any(|group| group == name),
        Some("ServiceAccount") => {
            let of = subject["namespace"].as_str().filter(|ns| !ns.is_empty()).unwrap_or(namespace);
            user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) == Some((of, name))
        }
        _ => false,
    }
}

fn table(plural: &str) -> (String, String) {
    (GROUP.to_owned(), plural.to_owned())
}

/// The rules of a role; a ClusterRole with an aggregation rule has those of the roles it selects.
fn rules_of(server: &ApiServer, reference: &Json, namespace: &str) -> Vec<Json> {
    let name = reference["name"].as_str().unwrap_or_default().to_owned();
    let list = |role: &Json| role["rules"].as_array().cloned().unwrap_or_default();
    if reference["kind"] == "Role" {
        let role = server.store.get(&table("roles"), &(namespace.to_owned(), name));
        return role.map(|role| list(&role)).unwrap_or_default();
    }
    let Some(role) = server.store.get(&table("clusterroles"), &(String::new(), name)) else { return Vec::new() };
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array().cloned().unwrap_or_default();
    let mut rules = list(&role);
    if !selectors.is_empty() {
        let (_, roles) = server.store.list(&table("clusterroles"), None);
        for selector in selectors.iter().map(Labels::of) {
            let selected = roles.iter().filter(|other| selector.matches(&other["metadata"]["labels"]));
            rules.extend(selected.flat_map(|other| list(other)));
        }
    }
    rules
}

/// All rules that hold for a user in a namespace, those of cluster-wide bindings first.
pub(crate) fn rules_for(server: &ApiServer, user: &User, namespace: &str) -> Vec<Json> {
    let mut rules = Vec::new();
    let (_, wide) = server.store.list(&table("clusterrolebindings"), None);
    let bound = |binding: &Json, in_namespace: &str| {
        binding["subjects"].as_array().into_iter().flatten().any(|subject| applies(subject, user, in_namespace))
    };
    for binding in wide.iter().filter(|binding| bound(binding, "")) {
        rules.extend(rules_of(server, &binding["roleRef"], ""));
    }
    if !namespace.is_empty() {
        let (_, local) = server.store.list(&table("rolebindings"), Some(namespace));
        for binding in local.iter().filter(|binding| bound(binding, namespace)) {
            rules.extend(rules_of(server, &binding["roleRef"], namespace));
        }
    }
    rules
}

fn lists(rule: &Json, key: &str, wanted: &str) -> bool {
    rule[key].as_array().into_iter().flatten().any(|item| item == "*" || item == wanted)
}

fn allows(rule: &Json, question: &Question) -> bool {
    let sub = question.resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
    let resource = lists(rule, "resources", question.resource)
        || sub.is_some_and(|sub| rule["resources"].as_array().into_iter().flatten().any(|item| *item == sub));
    let names = rule["resourceNames"].as_array().filter(|names| !names.is_empty());
    lists(rule, "verbs", question.verb)
        && lists(rule, "apiGroups", question.group)
        && resource
        && names.is_none_or(|names| names.iter().any(|name| name == question.name))
}

/// Whether the user may.
pub(crate) fn may(server: &ApiServer, user: &User, question: &Question) -> bool {
    user.is_master() || rules_for(server, user, question.namespace).iter().any(|rule| allows(rule, question))
}

/// Whether the user may read a path that is no resource.
pub(crate) fn may_path(server: &ApiServer, user: &User, verb: &str, path: &str) -> bool {
    let matches = |pattern: &Json| {
        pattern.as_str().is_some_and(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => pattern == path,
        })
    };
    user.is_master()
        || rules_for(server, user, "").iter().any(|rule| {
            lists(rule, "verbs", verb) && rule["nonResourceURLs"].as_array().into_iter().flatten().any(matches)
        })
}

/// Refuses in the authoriser's words.
pub(crate) fn check(server: &ApiServer, user: &User, question: &Question) -> Result<(), Status> {
    if may(server, user, question) {
        return Ok(());
    }
    let scope = if question.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", question.namespace)
    };
    let why = format!(
        "User {:?} cannot {} resource {:?} in API group {:?} {scope}",
        user.name, question.verb, question.resource, question.group
    );
    let plural = question.resource.split('/').next().unwrap_or_default();
    Err(fault::forbidden(question.group, plural, question.name, &why))
}

/// Refuses a request that its user may not make.
pub(crate) fn authorize(server: &ApiServer, request: &Request, verb: &str) -> Result<(), Status> {
    let resource = if request.subresource.is_empty() {
        request.resource.plural.clone()
    } else {
        format!("{}/{}", request.resource.plural, request.subresource)
    };
    let name = if verb == "create" { "" } else { request.name.as_str() };
    let question =
        Question { verb, group: &request.resource.group, resource: &resource, namespace: &request.namespace, name };
    check(server, &request.user, &question)
}

/// Single permissions that a rule grants.
fn atoms(rule: &Json) -> Vec<Json> {
    let all = |key: &str| rule[key].as_array().cloned().unwrap_or_default();
    let names = match all("resourceNames") {
        names if names.is_empty() => vec![Json::Null],
        names => names,
    };
    let mut out = Vec::new();
    for verb in all("verbs") {
        for url in all("nonResourceURLs") {
            out.push(json!({"verbs": [verb], "nonResourceURLs": [url]}));
        }
        for group in all("apiGroups") {
            for resource in all("resources") {
                for name in &names {
                    let mut atom = json!({"verbs": [verb], "apiGroups": [group], "resources": [resource]});
                    if !name.is_null() {
                        atom["resourceNames"] = json!([name]);
                    }
                    out.push(atom);
                }
            }
        }
    }
    out
}

fn covers(held: &Json, atom: &Json) -> bool {
    let first = |key: &str| atom[key][0].as_str().unwrap_or_default();
    if atom.get("nonResourceURLs").is_some() {
        let url = first("nonResourceURLs");
        return lists(held, "verbs", first("verbs"))
            && held["nonResourceURLs"].as_array().into_iter().flatten().filter_map(Json::as_str).any(|pattern| {
                pattern == url || pattern.strip_suffix('*').is_some_and(|prefix| url.starts_with(prefix))
            });
    }
    let name = first("resourceNames");
    let resource = first("resources");
    allows(held, &Question { verb: first("verbs"), group: first("apiGroups"), resource, namespace: "", name })
}

/// How Go prints a rule in this sentence.
fn describe(rules: &[Json]) -> String {
    let mut lines = BTreeSet::new();
    for rule in rules {
        let part = |label: &str, key: &str| {
            let items: Vec<String> = rule[key].as_array().into_iter().flatten().map(Json::to_string).collect();
            (!items.is_empty()).then(|| format!("{label}:[{}]", items.join(" ")))
        };
        let parts = [
            part("NonResourceURLs", "nonResourceURLs"),
            part("APIGroups", "apiGroups"),
            part("Resources", "resources"),
            part("ResourceNames", "resourceNames"),
            part("Verbs", "verbs"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        lines.insert(format!("{{{}}}", parts.join(", ")));
    }
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

/// Refuses a role or binding that would give away more than its writer has.
pub(crate) fn check_escalation(server: &ApiServer, request: &Request, object: &Json) -> Result<(), Status> {
    let resource = &request.resource;
    if resource.group != GROUP || request.user.is_master() || !request.subresource.is_empty() {
        return Ok(());
    }
    let role = matches!(resource.plural.as_str(), "roles" | "clusterroles");
    let verb = if role { "escalate" } else { "bind" };
    let target =
        if role { request.name.clone() } else { object["roleRef"]["name"].as_str().unwrap_or_default().to_owned() };
    let plural = match (role, object["roleRef"]["kind"].as_str()) {
        (true, _) => resource.plural.as_str(),
        (false, Some("Role")) => "roles",
        (false, _) => "clusterroles",
    };
    let namespace = request.namespace.as_str();
    let exempt = Question { verb, group: GROUP, resource: plural, namespace, name: &target };
    if may(server, &request.user, &exempt) {
        return Ok(());
    }
    let granted = if role {
        object["rules"].as_array().cloned().unwrap_or_default()
    } else {
        rules_of(server, &object["roleRef"], namespace)
    };
    let held = rules_for(server, &request.user, namespace);
    let missing: Vec<Json> =
        granted.iter().flat_map(atoms).filter(|atom| !held.iter().any(|rule| covers(rule, atom))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = request.user.groups.iter().map(|group| format!("{group:?}")).collect();
    let why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        request.user.name,
        groups.join(" "),
        describe(&missing)
    );
    Err(fault::forbidden(GROUP, &resource.plural, &request.name, &why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_match() {
        let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "*/status"]});
        let ask = |verb, resource| allows(&rule, &Question { verb, group: "", resource, namespace: "", name: "" });
        assert!(ask("get", "pods"));
        assert!(ask("get", "nodes/status"));
        assert!(!ask("list", "pods"));
        assert!(!ask("get", "pods/log"));
    }

    #[test]
    fn names_restrict() {
        let rule = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["a"]});
        let ask = |name| allows(&rule, &Question { verb: "get", group: "x", resource: "y", namespace: "", name });
        assert!(ask("a") && !ask("b") && !ask(""));
    }

    #[test]
    fn service_accounts() {
        let user = User::named("system:serviceaccount:ns:sa");
        assert!(applies(&json!({"kind": "ServiceAccount", "namespace": "ns", "name": "sa"}), &user, ""));
        assert!(applies(&json!({"kind": "Group", "name": "system:serviceaccounts:ns"}), &user, ""));
        assert!(!applies(&json!({"kind": "ServiceAccount", "namespace": "other", "name": "sa"}), &user, ""));
    }
}
