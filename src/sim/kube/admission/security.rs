//! Pod security standards: what a namespace's labels let its pods do.
//!
//! `enforce` refuses pods, `warn` warns of pods and of what makes them; `audit` leaves no trace here, because there is
//! no audit log. Of the baseline, SELinux options, AppArmor profiles and sysctls are not looked at.

use serde_json::Value as Json;

use super::{Attributes, Operation};
use crate::sim::kube::api::Status;
use crate::sim::kube::server::ApiServer;

const PREFIX: &str = "pod-security.kubernetes.io/";

/// How much a level forbids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// What a namespace's labels say of one mode: the level, and both as they are written (`restricted:latest`).
fn policy(namespace: &Json, mode: &str) -> (Level, String) {
    let labels = &namespace["metadata"]["labels"];
    let (level, word) = match labels[format!("{PREFIX}{mode}")].as_str() {
        Some("restricted") => (Level::Restricted, "restricted"),
        Some("baseline") => (Level::Baseline, "baseline"),
        _ => (Level::Privileged, "privileged"),
    };
    let version = labels[format!("{PREFIX}{mode}-version")].as_str().unwrap_or("latest");
    (level, format!("{word}:{version}"))
}

/// One standard that is not met: in a few words, and who does not meet it.
struct Violation {
    reason: &'static str,
    detail: String,
}

fn items(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().into_iter().flatten()
}

fn containers(spec: &Json) -> Vec<&Json> {
    ["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|list| items(&spec[*list])).collect()
}

fn name(object: &Json) -> &str {
    object["name"].as_str().unwrap_or_default()
}

/// `container "a"`, `containers "a", "b"`.
fn named(what: &str, names: &[&str]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("{what}{plural} {}", quoted.join(", "))
}

/// Names of the containers that a test finds guilty.
fn guilty<'a>(spec: &'a Json, test: &dyn Fn(&Json) -> bool) -> Vec<&'a str> {
    containers(spec).into_iter().filter(|container| test(&container["securityContext"])).map(name).collect()
}

const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

const PLAIN_VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// Containers that add capabilities which are not allowed, and those capabilities.
fn added<'a>(spec: &'a Json, allowed: &[&str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut who, mut what): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for container in containers(spec) {
        let more = items(&container["securityContext"]["capabilities"]["add"]).filter_map(Json::as_str);
        let more: Vec<&str> = more.filter(|capability| !allowed.contains(capability)).collect();
        if !more.is_empty() {
            who.push(name(container));
            what.extend(more);
        }
    }
    what.sort_unstable();
    what.dedup();
    (who, what)
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}

fn baseline(spec: &Json, found: &mut Vec<Violation>, restricted: bool) {
    let mut report = |reason: &'static str, detail: String| found.push(Violation { reason, detail });
    if !restricted {
        let (who, what) = added(spec, &DEFAULT_CAPABILITIES);
        if !who.is_empty() {
            let who = named("container", &who);
            let detail = format!("{who} must not include {} in securityContext.capabilities.add", quoted(&what));
            report("non-default capabilities", detail);
        }
    }
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|key| spec[*key] == true);
    let shared: Vec<String> = shared.map(|key| format!("{key}=true")).collect();
    if !shared.is_empty() {
        report("host namespaces", shared.join(", "));
    }
    let host_paths: Vec<&str> = items(&spec["volumes"]).filter(|v| v.get("hostPath").is_some()).map(name).collect();
    if !host_paths.is_empty() && !restricted {
        report("hostPath volumes", named("volume", &host_paths));
    }
    let ports = |container: &Json| -> Vec<i64> {
        items(&container["ports"]).filter_map(|port| port["hostPort"].as_i64()).filter(|port| *port != 0).collect()
    };
    let with_ports: Vec<&Json> =
        containers(spec).into_iter().filter(|container| !ports(container).is_empty()).collect();
    if !with_ports.is_empty() {
        let who: Vec<&str> = with_ports.iter().map(|container| name(container)).collect();
        let mut all: Vec<i64> = with_ports.iter().flat_map(|container| ports(container)).collect();
        all.sort_unstable();
        all.dedup();
        let list = all.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        let verb = if who.len() == 1 { "uses" } else { "use" };
        let plural = if all.len() == 1 { "" } else { "s" };
        report("hostPort", format!("{} {verb} hostPort{plural} {list}", named("container", &who)));
    }
    let privileged = guilty(spec, &|context| context["privileged"] == true);
    if !privileged.is_empty() {
        let who = named("container", &privileged);
        report("privileged", format!("{who} must not set securityContext.privileged=true"));
    }
    let unmasked = guilty(spec, &|context| context["procMount"].as_str().is_some_and(|mount| mount != "Default"));
    if !unmasked.is_empty() {
        let who = named("container", &unmasked);
        report("procMount", format!("{who} must not set securityContext.procMount to \"Unmasked\""));
    }
    if !restricted {
        let open = |context: &Json| context["seccompProfile"]["type"] == "Unconfined";
        let mut who = guilty(spec, &open);
        let pod = open(&spec["securityContext"]);
        if pod || !who.is_empty() {
            let who = match (pod, who.is_empty()) {
                (true, true) => "pod".to_owned(),
                (true, false) => format!("pod and {}", named("container", &std::mem::take(&mut who))),
                (false, _) => named("container", &who),
            };
            let detail = format!("{who} must not set securityContext.seccompProfile.type to \"Unconfined\"");
            report("seccompProfile", detail);
        }
    }
}

fn restricted(spec: &Json, found: &mut Vec<Violation>) {
    let mut report = |reason: &'static str, detail: String| found.push(Violation { reason, detail });
    let rising = guilty(spec, &|context| context["allowPrivilegeEscalation"] != false);
    if !rising.is_empty() {
        let who = named("container", &rising);
        let detail = format!("{who} must set securityContext.allowPrivilegeEscalation=false");
        report("allowPrivilegeEscalation != false", detail);
    }
    let keeping = guilty(spec, &|context| !items(&context["capabilities"]["drop"]).any(|dropped| dropped == "ALL"));
    let (adding, what) = added(spec, &["NET_BIND_SERVICE"]);
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named("container", &keeping)));
    }
    if !adding.is_empty() {
        let who = named("container", &adding);
        details.push(format!("{who} must not include {} in securityContext.capabilities.add", quoted(&what)));
    }
    if !details.is_empty() {
        report("unrestricted capabilities", details.join("; "));
    }
    let odd = |volume: &Json| {
        let kinds = volume.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
        kinds.filter(|key| *key != "name" && !PLAIN_VOLUMES.contains(key)).map(str::to_owned).next()
    };
    let volumes: Vec<(&str, String)> =
        items(&spec["volumes"]).filter_map(|volume| Some((name(volume), odd(volume)?))).collect();
    if !volumes.is_empty() {
        let who: Vec<&str> = volumes.iter().map(|(name, _)| *name).collect();
        let mut kinds: Vec<&str> = volumes.iter().map(|(_, kind)| kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let verb = if who.len() == 1 { "uses" } else { "use" };
        let plural = if kinds.len() == 1 { "" } else { "s" };
        let detail = format!("{} {verb} restricted volume type{plural} {}", named("volume", &who), quoted(&kinds));
        report("restricted volume types", detail);
    }
    let whole = &spec["securityContext"];
    let root = guilty(spec, &|context| match context["runAsNonRoot"].as_bool() {
        Some(set) => !set,
        None => whole["runAsNonRoot"] != true,
    });
    if !root.is_empty() {
        let who = named("container", &root);
        report("runAsNonRoot != true", format!("pod or {who} must set securityContext.runAsNonRoot=true"));
    }
    let zero = |context: &Json| context["runAsUser"] == 0;
    let users = guilty(spec, &zero);
    let mut details = Vec::new();
    if zero(whole) {
        details.push("pod must not set runAsUser=0".to_owned());
    }
    if !users.is_empty() {
        details.push(format!("{} must not set runAsUser=0", named("container", &users)));
    }
    if !details.is_empty() {
        report("runAsUser=0", details.join(", "));
    }
    let tight =
        |context: &Json| matches!(context["seccompProfile"]["type"].as_str(), Some("RuntimeDefault" | "Localhost"));
    let loose = guilty(spec, &|context| {
        if context["seccompProfile"]["type"].is_string() { !tight(context) } else { !tight(whole) }
    });
    if !loose.is_empty() {
        let who = named("container", &loose);
        let detail =
            format!("pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
        report("seccompProfile", detail);
    }
}

fn violations(spec: &Json, level: Level) -> Vec<Violation> {
    let mut found = Vec::new();
    if level >= Level::Baseline {
        baseline(spec, &mut found, level == Level::Restricted);
    }
    if level == Level::Restricted {
        restricted(spec, &mut found);
    }
    found
}

fn sentence(found: &[Violation]) -> String {
    found.iter().map(|v| format!("{} ({})", v.reason, v.detail)).collect::<Vec<_>>().join(", ")
}

/// The pod that an object of this kind is or makes.
fn pod_spec<'a>(group: &str, plural: &str, object: &'a Json) -> Option<&'a Json> {
    Some(match (group, plural) {
        ("", "pods") => &object["spec"],
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs")
        | ("", "replicationcontrollers") => &object["spec"]["template"]["spec"],
        ("batch", "cronjobs") => &object["spec"]["jobTemplate"]["spec"]["template"]["spec"],
        _ => return None,
    })
}

/// What pods that are there already would not be allowed.
fn existing(server: &ApiServer, namespace: &str, level: Level, label: &str, warnings: &mut Vec<String>) {
    let (_, pods) = server.store.list(&(String::new(), "pods".to_owned()), Some(namespace));
    let mut groups: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    for pod in pods {
        let found = violations(&pod["spec"], level);
        if !found.is_empty() {
            let reasons = found.iter().map(|v| v.reason).collect::<Vec<_>>().join(", ");
            groups.entry(reasons).or_default().push(name(&pod["metadata"]).to_owned());
        }
    }
    if groups.is_empty() {
        return;
    }
    warnings
        .push(format!("existing pods in namespace {namespace:?} violate the new PodSecurity enforce level {label:?}"));
    let mut lines: Vec<String> = groups
        .into_iter()
        .map(|(reasons, names)| {
            let more = match names.len() {
                1 => String::new(),
                2 => " (and 1 other pod)".to_owned(),
                many => format!(" (and {} other pods)", many - 1),
            };
            format!("{}{more}: {reasons}", names[0])
        })
        .collect();
    lines.sort();
    warnings.extend(lines);
}

/// Judges pods, warns of what makes them, and of namespaces whose pods would no longer be let in.
pub(super) fn validate(
    server: &ApiServer,
    attributes: &Attributes,
    object: &Json,
    old: Option<&Json>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let (group, plural) = attributes.resource();
    if attributes.operation() == Operation::Delete || !attributes.subresource().is_empty() {
        return Ok(());
    }
    if (group, plural) == ("", "namespaces") {
        let (level, label) = policy(object, "enforce");
        let before = old.map_or(Level::Privileged, |old| policy(old, "enforce").0);
        if level > before {
            existing(server, attributes.name(), level, &label, warnings);
        }
        return Ok(());
    }
    let Some(spec) = pod_spec(group, plural, object) else { return Ok(()) };
    let same = old.and_then(|old| pod_spec(group, plural, old)).is_some_and(|old| old == spec);
    let key = (String::new(), attributes.namespace().to_owned());
    let namespace = server.store.get(&(String::new(), "namespaces".to_owned()), &key);
    let Some(namespace) = namespace.filter(|_| !same) else { return Ok(()) };
    let is_pod = plural == "pods";
    let (level, label) = policy(&namespace, "enforce");
    let found = if is_pod { violations(spec, level) } else { Vec::new() };
    if !found.is_empty() {
        return Err(attributes.forbid(&format!("violates PodSecurity {label:?}: {}", sentence(&found))));
    }
    let (level, label) = policy(&namespace, "warn");
    let found = violations(spec, level);
    if !found.is_empty() {
        warnings.push(format!("would violate PodSecurity {label:?}: {}", sentence(&found)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_that_shares_the_host() {
        let spec = json!({
            "hostNetwork": true,
            "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
            "containers": [
                {"name": "a", "ports": [{"hostPort": 80}]},
                {"name": "b", "securityContext": {"privileged": true, "capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}},
            ],
        });
        assert_eq!(
            sentence(&violations(&spec, Level::Baseline)),
            "non-default capabilities (container \"b\" must not include \"NET_ADMIN\" in \
             securityContext.capabilities.add), host namespaces (hostNetwork=true), hostPath volumes (volume \"v\"), \
             hostPort (container \"a\" uses hostPort 80), privileged (container \"b\" must not set \
             securityContext.privileged=true)"
        );
        assert!(violations(&spec, Level::Privileged).is_empty());
    }

    #[test]
    fn a_pod_that_is_restricted() {
        let spec = json!({
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "a", "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            }}],
        });
        assert!(violations(&spec, Level::Restricted).is_empty());
    }
}
