//! What must answer before an object is let in and taken care of: its definition, the webhooks that admit
//! it, the controllers that reconcile it.
//!
//! A controller is recognised by what its account may do: whoever may write the status or the finalizers of a
//! kind reconciles it. Edges to webhooks and controllers leave out what these need themselves, so that a
//! webhook that admits everything does not wait for itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::plan::edges::references::of_backend;
use crate::plan::edges::{BARRIER, Found, Object, Objects, items, pods, text, texts};
use crate::resource::model::Resource;
use crate::value::Value;

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

/// From so many objects with the same two or more preconditions on, a barrier stands between them.
const BARRIER_FROM: usize = 4;

/// Positions of objects, each with others and the reason: who waits for whom, either way round.
type Waits = BTreeMap<usize, Reasons>;

/// Positions of objects, with the reason.
type Reasons = BTreeMap<usize, &'static str>;

/// A defined kind.
struct Definition {
    at: usize,
    plural: String,
}

/// One rule set of one webhook.
struct Hook<'a> {
    configuration: usize,
    webhook: &'a Value,
}

/// What a pod or object is to a webhook.
struct Candidate<'a> {
    group: &'a str,
    version: &'a str,
    plural: &'a str,
    namespace: &'a str,
    labels: Option<&'a Value>,
}

/// Adds the edges, and the barriers.
pub(super) fn infer(objects: &Objects<'_>, resources: &[Resource], found: &mut Found) {
    let definitions = definitions(objects);
    let grants = grants(objects, found);
    let hooks = hooks(objects);
    // What might wait for what; the last step throws out what would wait for itself.
    let mut wanted: Waits = BTreeMap::new();
    for object in &objects.all {
        let definition = definitions.get(&(object.group, object.kind));
        let plural = definition.map_or_else(|| object.plural(), |definition| definition.plural.clone());
        if let Some(definition) = definition {
            wanted.entry(definition.at).or_default().insert(object.at, "it defines the kind");
            for workload in conversion(objects, definition.at) {
                wanted.entry(workload).or_default().insert(object.at, "it converts between versions of the kind");
            }
            for workload in grants.get(&(object.group.to_owned(), plural.clone())).into_iter().flatten() {
                wanted.entry(*workload).or_default().insert(object.at, "this controller reconciles the kind");
            }
        }
        let itself = Candidate {
            group: object.group,
            version: object.version,
            plural: &plural,
            namespace: object.namespace,
            labels: object.manifest.at(&["metadata", "labels"]),
        };
        let template = pods::template(object.manifest);
        let pods = template.map(|template| Candidate {
            group: "",
            version: "v1",
            plural: "pods",
            namespace: object.namespace,
            labels: template.metadata.and_then(|metadata| metadata.get("labels")),
        });
        for hook in &hooks {
            if hook.admits(objects, &itself) {
                wanted.entry(hook.configuration).or_default().insert(object.at, "this webhook admits it");
            } else if pods.as_ref().is_some_and(|pods| hook.admits(objects, pods)) {
                wanted.entry(hook.configuration).or_default().insert(object.at, "this webhook admits its pods");
            }
        }
    }
    let needs = Needs::new(objects, resources);
    let mut accepted: Waits = BTreeMap::new();
    without_cycles(&needs, found, wanted, &mut accepted);
    // Last, so that of two edges that exclude each other a guess is never the one that stays.
    without_cycles(&needs, found, configurations(objects, &grants), &mut accepted);
    connect(objects, found, accepted);
}

/// The ConfigMaps beside a controller, which it may read through the API without naming them in its pods: there
/// before it starts, and still there while it lets go of what it has finalizers on.
fn configurations(objects: &Objects<'_>, grants: &BTreeMap<(String, String), BTreeSet<usize>>) -> Waits {
    let mut controllers: BTreeMap<&str, Reasons> = BTreeMap::new();
    for &workload in grants.values().flatten() {
        let namespace = objects.all[workload].namespace;
        controllers.entry(namespace).or_default().insert(workload, "this controller may be configured by it");
    }
    let maps = objects.of_kind("", "ConfigMap");
    maps.filter_map(|map| Some((map.at, controllers.get(map.namespace)?.clone()))).collect()
}

fn definitions<'a>(objects: &Objects<'a>) -> BTreeMap<(&'a str, &'a str), Definition> {
    let mut definitions = BTreeMap::new();
    for crd in objects.of_kind("apiextensions.k8s.io", "CustomResourceDefinition") {
        let spec = |path: &[&str]| text(crd.manifest, path).unwrap_or_default();
        let plural = spec(&["spec", "names", "plural"]).to_owned();
        let key = (spec(&["spec", "group"]), spec(&["spec", "names", "kind"]));
        definitions.insert(key, Definition { at: crd.at, plural });
    }
    definitions
}

/// The workloads behind a definition's conversion webhook.
fn conversion(objects: &Objects<'_>, definition: usize) -> Vec<usize> {
    let manifest = objects.all[definition].manifest;
    let Some(service) = manifest.at(&["spec", "conversion", "webhook", "clientConfig", "service"]) else {
        return Vec::new();
    };
    let mut behind = Found::default();
    of_backend(objects, definition, service, "", &mut behind);
    behind.edges.into_keys().map(|(_, dependency)| dependency).collect()
}

/// Edges from workloads to the bindings of their accounts, and who may write the status or the finalizers of
/// what: workloads by group and plural.
fn grants(objects: &Objects<'_>, found: &mut Found) -> BTreeMap<(String, String), BTreeSet<usize>> {
    let mut bindings: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for binding in ["RoleBinding", "ClusterRoleBinding"].into_iter().flat_map(|kind| objects.of_kind(RBAC, kind)) {
        for subject in items(binding.manifest, &["subjects"]) {
            if text(subject, &["kind"]) == Some("ServiceAccount") {
                let namespace = text(subject, &["namespace"]).unwrap_or(binding.namespace);
                bindings.entry((namespace, text(subject, &["name"]).unwrap_or_default())).or_default().push(binding.at);
            }
        }
    }
    let mut writers: BTreeMap<(String, String), BTreeSet<usize>> = BTreeMap::new();
    for workload in &objects.all {
        let Some(template) = pods::template(workload.manifest) else { continue };
        let account = text(template.spec, &["serviceAccountName"]).unwrap_or("default");
        for &at in bindings.get(&(workload.namespace, account)).into_iter().flatten() {
            found.add(workload.at, Some(at), "its account gets its rights from this binding");
            if workload.group == "apps" {
                for (group, plural) in written(objects, &objects.all[at]) {
                    writers.entry((group, plural)).or_default().insert(workload.at);
                }
            }
        }
    }
    writers
}

/// The groups and plurals of whose kinds a binding lets its subjects write status or finalizers.
fn written(objects: &Objects<'_>, binding: &Object<'_>) -> Vec<(String, String)> {
    let (kind, name) = (text(binding.manifest, &["roleRef", "kind"]), text(binding.manifest, &["roleRef", "name"]));
    let (Some(kind), Some(name)) = (kind, name) else { return Vec::new() };
    let scope = if kind == "ClusterRole" { "" } else { binding.namespace };
    let Some(role) = objects.get(RBAC, kind, scope, name) else { return Vec::new() };
    let mut found = Vec::new();
    for rule in items(objects.all[role].manifest, &["rules"]) {
        let writes = texts(rule, &["verbs"]).iter().any(|verb| matches!(*verb, "update" | "patch" | "*"));
        for resource in texts(rule, &["resources"]).into_iter().filter(|_| writes) {
            let Some((plural, "status" | "finalizers")) = resource.split_once('/') else { continue };
            for group in texts(rule, &["apiGroups"]).into_iter().filter(|group| !matches!(*group, "" | "*")) {
                found.push((group.to_owned(), plural.to_owned()));
            }
        }
    }
    found
}

fn hooks<'a>(objects: &'a Objects<'a>) -> Vec<Hook<'a>> {
    ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]
        .into_iter()
        .flat_map(|kind| objects.of_kind(ADMISSION, kind))
        .flat_map(|configuration| {
            items(configuration.manifest, &["webhooks"])
                .iter()
                .map(|webhook| Hook { configuration: configuration.at, webhook })
        })
        .collect()
}

impl Hook<'_> {
    fn admits(&self, objects: &Objects<'_>, candidate: &Candidate<'_>) -> bool {
        let exact = text(self.webhook, &["matchPolicy"]) == Some("Exact");
        let ruled = items(self.webhook, &["rules"]).iter().any(|rule| {
            let any = |list: &str, wanted: &str| texts(rule, &[list]).iter().any(|v| *v == "*" || *v == wanted);
            let resources = texts(rule, &["resources"]);
            any("apiGroups", candidate.group)
                && (!exact || any("apiVersions", candidate.version))
                && (any("operations", "CREATE") || any("operations", "UPDATE"))
                && resources.iter().any(|resource| match resource.split_once('/') {
                    None => *resource == "*" || *resource == candidate.plural,
                    // `*/*` and `pods/*` hold for the object as well as for its subresources.
                    Some((plural, "*")) => plural == "*" || plural == candidate.plural,
                    Some(_) => false,
                })
        });
        ruled
            && selects(self.webhook.get("objectSelector"), &|key| {
                candidate.labels.and_then(|labels| text(labels, &[key]))
            })
            && (candidate.namespace.is_empty()
                || selects(self.webhook.get("namespaceSelector"), &|key| namespace_label(objects, candidate, key)))
    }
}

fn namespace_label<'a>(objects: &'a Objects<'_>, candidate: &Candidate<'a>, key: &str) -> Option<&'a str> {
    if key == "kubernetes.io/metadata.name" {
        return Some(candidate.namespace);
    }
    let namespace = objects.get("", "Namespace", "", candidate.namespace)?;
    text(objects.all[namespace].manifest, &["metadata", "labels", key])
}

/// Whether a label selector holds for labels read through `label`.
fn selects<'a>(selector: Option<&Value>, label: &dyn Fn(&str) -> Option<&'a str>) -> bool {
    let Some(selector) = selector else { return true };
    let exact = selector.get("matchLabels").and_then(Value::as_map);
    exact.into_iter().flatten().all(|(key, value)| label(key) == value.as_str())
        && items(selector, &["matchExpressions"]).iter().all(|expression| {
            let present = label(text(expression, &["key"]).unwrap_or_default());
            let listed = || present.is_some_and(|label| texts(expression, &["values"]).contains(&label));
            match text(expression, &["operator"]).unwrap_or_default() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => present.is_some(),
                "DoesNotExist" => present.is_none(),
                _ => false,
            }
        })
}

/// Adds to what each object waits for, with the reason, the wanted edges without those whose target needs, through
/// whatever chain, the object itself.
fn without_cycles(needs: &Needs<'_>, found: &Found, wanted: Waits, accepted: &mut Waits) {
    for (target, dependents) in wanted {
        let reached = needs.reach(target, found, accepted);
        for (dependent, reason) in dependents {
            if !reached.contains(&dependent) {
                accepted.entry(dependent).or_default().entry(target).or_insert(reason);
            }
        }
    }
}

/// The explicit edges of the resources, by object and by component.
struct Needs<'a> {
    of: Vec<Vec<&'a Address>>,
    by_address: BTreeMap<&'a str, usize>,
    by_component: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Needs<'a> {
    fn new(objects: &Objects<'a>, resources: &'a [Resource]) -> Self {
        let mut by_component: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for object in &objects.all {
            by_component.entry(object.address.component()).or_default().push(object.at);
        }
        let by_address = objects.all.iter().map(|o| (o.address.as_str(), o.at)).collect::<BTreeMap<_, _>>();
        let mut of = vec![Vec::new(); objects.all.len()];
        for resource in resources {
            if let Some(&at) = by_address.get(resource.address.as_str()) {
                of[at] = resource.needs.iter().map(|need| &need.on).collect();
            }
        }
        Needs { of, by_address, by_component }
    }

    /// `from` and everything that it needs, directly or not.
    fn reach(&self, from: usize, found: &Found, accepted: &Waits) -> BTreeSet<usize> {
        let mut reached = BTreeSet::from([from]);
        let mut components: BTreeSet<&str> = BTreeSet::new();
        let mut stack = vec![from];
        while let Some(at) = stack.pop() {
            let mut next = found.edges.range((at, 0)..(at + 1, 0)).map(|((_, to), _)| *to).collect::<Vec<_>>();
            next.extend(accepted.get(&at).into_iter().flat_map(BTreeMap::keys));
            for address in &self.of[at] {
                match self.by_address.get(address.as_str()) {
                    Some(&to) => next.push(to),
                    None if components.insert(address.as_str()) => {
                        next.extend(self.by_component.get(address.as_str()).into_iter().flatten());
                    }
                    None => {}
                }
            }
            stack.extend(next.into_iter().filter(|to| reached.insert(*to)));
        }
        reached
    }
}

/// Turns what was accepted into edges, through barriers where that is fewer.
fn connect(objects: &Objects<'_>, found: &mut Found, accepted: Waits) {
    // Objects of one kind that wait for the same things for the same reasons.
    let mut groups: BTreeMap<(&str, &str, Reasons), Vec<usize>> = BTreeMap::new();
    for (dependent, targets) in accepted {
        let object = &objects.all[dependent];
        groups.entry((object.group, object.kind, targets)).or_default().push(dependent);
    }
    let mut numbers: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for ((group, kind, targets), dependents) in groups {
        if dependents.len() < BARRIER_FROM || targets.len() < 2 {
            for dependent in dependents {
                targets.iter().for_each(|(target, reason)| found.add(dependent, Some(*target), *reason));
            }
            continue;
        }
        let number = numbers.entry((group, kind)).or_default();
        *number += 1;
        let dot = if group.is_empty() { "" } else { "." };
        let suffix = if *number == 1 { String::new() } else { format!("/{number}") };
        let barrier = objects.all.len() + found.barriers.len();
        found.barriers.push(Address::new(format!("{BARRIER}/{kind}{dot}{group}{suffix}")));
        for (target, reason) in &targets {
            found.add(barrier, Some(*target), *reason);
        }
        for dependent in dependents {
            found.add(dependent, Some(barrier), format!("{kind} objects can be made and are taken care of"));
        }
    }
}
