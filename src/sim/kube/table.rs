//! Rows and columns for `kubectl get`.

use serde_json::{Value as Json, json};

use super::registry::Resource;
use super::server::ApiServer;
use crate::env::clock::Timestamp;

/// What a column is: its heading, type, format, whether it is only in wide output, and its cell.
struct Column {
    name: String,
    kind: &'static str,
    wide: bool,
    description: String,
    cell: Cell,
}

/// An object's text or number in a column, now.
type Cell = Box<dyn Fn(&Json, Timestamp) -> Json>;

fn column(name: &str, cell: impl Fn(&Json, Timestamp) -> Json + 'static) -> Column {
    Column { name: name.to_owned(), kind: "string", wide: false, description: String::new(), cell: Box::new(cell) }
}

impl Column {
    fn wide(self) -> Self {
        Column { wide: true, ..self }
    }

    fn of_type(self, kind: &'static str) -> Self {
        Column { kind, ..self }
    }
}

/// `5m`, `2d3h`: how kubectl writes an age.
pub(crate) fn human(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |whole: u64, unit: &str, rest: u64, small: &str| {
        if rest == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{rest}{small}") }
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, "d", hours % 24, "h"),
        () if days < 730 => format!("{days}d"),
        () => two(days / 365, "y", days % 365, "d"),
    }
}

fn age(object: &Json, now: Timestamp) -> Json {
    since(&object["metadata"]["creationTimestamp"], now)
}

fn since(time: &Json, now: Timestamp) -> Json {
    match time.as_str().and_then(Timestamp::parse) {
        Some(then) => Json::from(human(now.since(then).as_secs())),
        None => Json::from("<unknown>"),
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

fn or_none(text: String) -> Json {
    Json::from(if text.is_empty() { "<none>".to_owned() } else { text })
}

fn number(value: &Json) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn count(value: &Json) -> usize {
    value.as_array().map(Vec::len).or(value.as_object().map(serde_json::Map::len)).unwrap_or(0)
}

fn name() -> Column {
    column("Name", |o, _| o["metadata"]["name"].clone())
}

fn age_column() -> Column {
    column("Age", age)
}

fn condition<'a>(object: &'a Json, kind: &str) -> Option<&'a Json> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

/// The one word that says how a pod is.
fn pod_status(pod: &Json) -> String {
    let status = &pod["status"];
    let mut reason = text(&status["reason"]);
    if reason.is_empty() {
        reason = text(&status["phase"]);
    }
    for (at, container) in status["initContainerStatuses"].as_array().into_iter().flatten().enumerate() {
        let state = &container["state"];
        if number(&state["terminated"]["exitCode"]) == 0 && state["terminated"].is_object() {
            continue;
        }
        if container["started"] == true && pod["spec"]["initContainers"][at]["restartPolicy"] == "Always" {
            continue;
        }
        let why = [&state["terminated"]["reason"], &state["waiting"]["reason"]].map(text);
        let why = why.into_iter().find(|why| !why.is_empty() && why != "PodInitializing");
        return match why {
            Some(why) => format!("Init:{why}"),
            None => format!("Init:{at}/{}", count(&pod["spec"]["initContainers"])),
        };
    }
    for container in status["containerStatuses"].as_array().into_iter().flatten().rev() {
        let state = &container["state"];
        let why = [&state["waiting"]["reason"], &state["terminated"]["reason"]].map(text);
        if let Some(why) = why.into_iter().find(|why| !why.is_empty()) {
            reason = why;
        } else if state["terminated"].is_object() {
            reason = format!("ExitCode:{}", number(&state["terminated"]["exitCode"]));
        }
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        reason = "Terminating".to_owned();
    }
    reason
}

fn ready_of(ready: i64, wanted: i64) -> Json {
    Json::from(format!("{ready}/{wanted}"))
}

fn images(template: &Json) -> Json {
    let list = template["spec"]["containers"].as_array().into_iter().flatten();
    or_none(list.map(|c| text(&c["image"])).collect::<Vec<_>>().join(","))
}

fn container_names(template: &Json) -> Json {
    let list = template["spec"]["containers"].as_array().into_iter().flatten();
    or_none(list.map(|c| text(&c["name"])).collect::<Vec<_>>().join(","))
}

fn labels(map: &Json) -> Json {
    let pairs = map.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", text(v)));
    or_none(pairs.collect::<Vec<_>>().join(","))
}

fn external_address(service: &Json) -> String {
    let kind = service["spec"]["type"].as_str().unwrap_or("ClusterIP");
    let mut list: Vec<String> = Vec::new();
    match kind {
        "ExternalName" => list.push(text(&service["spec"]["externalName"])),
        "LoadBalancer" => {
            for ingress in service["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten() {
                let address = text(&ingress["ip"]);
                list.push(if address.is_empty() { text(&ingress["hostname"]) } else { address });
            }
            if list.is_empty() {
                return "<pending>".to_owned();
            }
        }
        _ => {}
    }
    if list.is_empty() { "<none>".to_owned() } else { list.join(",") }
}

fn ports(service: &Json) -> String {
    let each = |port: &Json| {
        let node = number(&port["nodePort"]);
        let node = if node > 0 { format!(":{node}") } else { String::new() };
        format!("{}{node}/{}", number(&port["port"]), text(&port["protocol"]))
    };
    service["spec"]["ports"].as_array().into_iter().flatten().map(each).collect::<Vec<_>>().join(",")
}

fn node_status(node: &Json) -> String {
    let ready = condition(node, "Ready").is_some_and(|c| c["status"] == "True");
    let mut list = vec![if ready { "Ready" } else { "NotReady" }];
    if node["spec"]["unschedulable"] == true {
        list.push("SchedulingDisabled");
    }
    list.join(",")
}

fn node_address(node: &Json, kind: &str) -> Json {
    let list = node["status"]["addresses"].as_array().into_iter().flatten();
    or_none(list.filter(|a| a["type"] == kind).map(|a| text(&a["address"])).next().unwrap_or_default())
}

/// `6.6.72+ (amd64)`: the version and the architecture, as servers from 1.36 on say it.
fn kernel(info: &Json, minor: u32) -> String {
    if minor < 36 {
        return text(&info["kernelVersion"]);
    }
    format!("{} ({})", text(&info["kernelVersion"]), text(&info["architecture"]))
}

fn roles(node: &Json) -> Json {
    let keys = node["metadata"]["labels"].as_object().into_iter().flatten();
    let names = keys.filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"));
    or_none(names.collect::<Vec<_>>().join(","))
}

fn workload_columns(plural: &str) -> Vec<Column> {
    let mut list = vec![name()];
    match plural {
        "deployments" => list.extend([
            column("Ready", |o, _| ready_of(number(&o["status"]["readyReplicas"]), number(&o["spec"]["replicas"]))),
            column("Up-to-date", |o, _| json!(number(&o["status"]["updatedReplicas"]))).of_type("integer"),
            column("Available", |o, _| json!(number(&o["status"]["availableReplicas"]))).of_type("integer"),
        ]),
        "statefulsets" => list.push(column("Ready", |o, _| {
            ready_of(number(&o["status"]["readyReplicas"]), number(&o["spec"]["replicas"]))
        })),
        "daemonsets" => {
            let fields = [
                ("Desired", "desiredNumberScheduled"),
                ("Current", "currentNumberScheduled"),
                ("Ready", "numberReady"),
                ("Up-to-date", "updatedNumberScheduled"),
                ("Available", "numberAvailable"),
            ];
            for (title, field) in fields {
                list.push(column(title, move |o, _| json!(number(&o["status"][field]))).of_type("integer"));
            }
            list.push(column("Node Selector", |o, _| labels(&o["spec"]["template"]["spec"]["nodeSelector"])));
        }
        _ => list.extend([
            column("Desired", |o, _| json!(number(&o["spec"]["replicas"]))).of_type("integer"),
            column("Current", |o, _| json!(number(&o["status"]["replicas"]))).of_type("integer"),
            column("Ready", |o, _| json!(number(&o["status"]["readyReplicas"]))).of_type("integer"),
        ]),
    }
    list.extend([
        age_column(),
        column("Containers", |o, _| container_names(&o["spec"]["template"])).wide(),
        column("Images", |o, _| images(&o["spec"]["template"])).wide(),
    ]);
    if plural != "statefulsets" {
        list.push(column("Selector", |o, _| labels(&o["spec"]["selector"]["matchLabels"])).wide());
    }
    list
}

fn pod_columns() -> Vec<Column> {
    let statuses = |o: &Json| o["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
    vec![
        name(),
        column("Ready", move |o, _| {
            let ready = statuses(o).iter().filter(|c| c["ready"] == true).count();
            Json::from(format!("{ready}/{}", count(&o["spec"]["containers"])))
        }),
        column("Status", |o, _| Json::from(pod_status(o))),
        column("Restarts", move |o, _| {
            Json::from(statuses(o).iter().map(|c| number(&c["restartCount"])).sum::<i64>().to_string())
        }),
        age_column(),
        column("IP", |o, _| or_none(text(&o["status"]["podIP"]))).wide(),
        column("Node", |o, _| or_none(text(&o["spec"]["nodeName"]))).wide(),
        column("Nominated Node", |o, _| or_none(text(&o["status"]["nominatedNodeName"]))).wide(),
        column("Readiness Gates", |_, _| Json::from("<none>")).wide(),
    ]
}

fn core_columns(plural: &str, minor: u32) -> Option<Vec<Column>> {
    Some(match plural {
        "pods" => pod_columns(),
        "services" => vec![
            name(),
            column("Type", |o, _| o["spec"]["type"].clone()),
            column("Cluster-IP", |o, _| or_none(text(&o["spec"]["clusterIP"]))),
            column("External-IP", |o, _| Json::from(external_address(o))),
            column("Port(s)", |o, _| or_none(ports(o))),
            age_column(),
            column("Selector", |o, _| labels(&o["spec"]["selector"])).wide(),
        ],
        "namespaces" => vec![name(), column("Status", |o, _| o["status"]["phase"].clone()), age_column()],
        "configmaps" => {
            vec![name(), column("Data", |o, _| json!(count(&o["data"]) + count(&o["binaryData"]))), age_column()]
        }
        "secrets" => vec![
            name(),
            column("Type", |o, _| o["type"].clone()),
            column("Data", |o, _| json!(count(&o["data"]))).of_type("integer"),
            age_column(),
        ],
        "serviceaccounts" => {
            vec![name(), column("Secrets", |o, _| json!(count(&o["secrets"]))).of_type("integer"), age_column()]
        }
        "nodes" => vec![
            name(),
            column("Status", |o, _| Json::from(node_status(o))),
            column("Roles", |o, _| roles(o)),
            age_column(),
            column("Version", |o, _| o["status"]["nodeInfo"]["kubeletVersion"].clone()),
            column("Internal-IP", |o, _| node_address(o, "InternalIP")).wide(),
            column("External-IP", |o, _| node_address(o, "ExternalIP")).wide(),
            column("OS-Image", |o, _| o["status"]["nodeInfo"]["osImage"].clone()).wide(),
            column("Kernel-Version", move |o, _| Json::from(kernel(&o["status"]["nodeInfo"], minor))).wide(),
            column("Container-Runtime", |o, _| o["status"]["nodeInfo"]["containerRuntimeVersion"].clone()).wide(),
        ],
        "events" => vec![
            column("Last Seen", |o, now| {
                let time = if o["lastTimestamp"].is_null() { &o["eventTime"] } else { &o["lastTimestamp"] };
                since(time, now)
            }),
            column("Type", |o, _| o["type"].clone()),
            column("Reason", |o, _| o["reason"].clone()),
            column("Object", |o, _| {
                let object = &o["involvedObject"];
                Json::from(format!("{}/{}", text(&object["kind"]).to_lowercase(), text(&object["name"])))
            }),
            column("Message", |o, _| Json::from(text(&o["message"]).trim().to_owned())),
        ],
        "persistentvolumeclaims" => vec![
            name(),
            column("Status", |o, _| o["status"]["phase"].clone()),
            column("Volume", |o, _| Json::from(text(&o["spec"]["volumeName"]))),
            column("Capacity", |o, _| Json::from(text(&o["status"]["capacity"]["storage"]))),
            column("Access Modes", |o, _| Json::from(modes(&o["status"]["accessModes"]))),
            column("StorageClass", |o, _| Json::from(text(&o["spec"]["storageClassName"]))),
            age_column(),
        ],
        _ => return None,
    })
}

fn modes(list: &Json) -> String {
    let short = |mode: &Json| match mode.as_str() {
        Some("ReadWriteOnce") => "RWO",
        Some("ReadOnlyMany") => "ROX",
        Some("ReadWriteMany") => "RWX",
        _ => "RWOP",
    };
    list.as_array().into_iter().flatten().map(short).collect::<Vec<_>>().join(",")
}

fn columns(resource: &Resource, minor: u32) -> Vec<Column> {
    let fixed = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", plural) => core_columns(plural, minor),
        ("apps", plural @ ("deployments" | "statefulsets" | "daemonsets" | "replicasets")) => {
            Some(workload_columns(plural))
        }
        ("batch", "jobs") => Some(vec![
            name(),
            column("Status", |o, _| {
                let word = ["Complete", "Failed", "Suspended"]
                    .iter()
                    .find(|kind| condition(o, kind).is_some_and(|c| c["status"] == "True"));
                Json::from(*word.unwrap_or(&"Running"))
            }),
            column("Completions", |o, _| {
                ready_of(number(&o["status"]["succeeded"]), number(&o["spec"]["completions"]))
            }),
            column("Duration", |o, now| {
                let end = o["status"]["completionTime"].as_str().and_then(Timestamp::parse).unwrap_or(now);
                if o["status"]["startTime"].is_null() { json!("") } else { since(&o["status"]["startTime"], end) }
            }),
            age_column(),
        ]),
        ("apiextensions.k8s.io", _) => {
            Some(vec![name(), column("Created At", |o, _| o["metadata"]["creationTimestamp"].clone())])
        }
        ("storage.k8s.io", "storageclasses") => Some(vec![
            name(),
            column("Provisioner", |o, _| o["provisioner"].clone()),
            column("ReclaimPolicy", |o, _| o["reclaimPolicy"].clone()),
            column("VolumeBindingMode", |o, _| o["volumeBindingMode"].clone()),
            column("AllowVolumeExpansion", |o, _| json!(o["allowVolumeExpansion"] == true)),
            age_column(),
        ]),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => Some(vec![
            name(),
            column("Role", |o, _| {
                Json::from(format!("{}/{}", text(&o["roleRef"]["kind"]), text(&o["roleRef"]["name"])))
            }),
            age_column(),
        ]),
        ("rbac.authorization.k8s.io", _) => {
            Some(vec![name(), column("Created At", |o, _| o["metadata"]["creationTimestamp"].clone())])
        }
        _ => None,
    };
    match (fixed, resource.crd_version()) {
        (Some(fixed), _) => fixed,
        (None, Some(version)) => printer_columns(version),
        (None, None) => vec![name(), age_column()],
    }
}

/// Walks a simple JSONPath: fields, and `[?(@.a=="b")]` filters.
fn walk(object: &Json, path: &str) -> Json {
    let mut value = object.clone();
    let mut rest = path.trim_start_matches('.');
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("[?(@.") {
            let Some((test, after)) = inner.split_once(")]") else { return Json::Null };
            let Some((key, wanted)) = test.split_once("==") else { return Json::Null };
            let wanted = wanted.trim().trim_matches(['"', '\'']);
            let found = value.as_array().and_then(|list| list.iter().find(|item| item[key.trim()] == wanted));
            value = found.cloned().unwrap_or_default();
            rest = after.trim_start_matches('.');
        } else if let Some(inner) = rest.strip_prefix('[') {
            let Some((index, after)) = inner.split_once(']') else { return Json::Null };
            value = match index.trim_matches(['\'', '"']).parse::<usize>() {
                Ok(at) => value.get(at).cloned().unwrap_or_default(),
                Err(_) if index == "*" => value.get(0).cloned().unwrap_or_default(),
                Err(_) => value[index.trim_matches(['\'', '"'])].clone(),
            };
            rest = after.trim_start_matches('.');
        } else {
            let end = rest
                .char_indices()
                .find(|(at, c)| matches!(c, '.' | '[') && !rest[..*at].ends_with('\\'))
                .map_or(rest.len(), |(at, _)| at);
            value = value[rest[..end].replace("\\.", ".").as_str()].clone();
            rest = rest[end..].trim_start_matches('.');
        }
    }
    value
}

fn printer_columns(version: &Json) -> Vec<Column> {
    let given = version["additionalPrinterColumns"].as_array().cloned().unwrap_or_default();
    let mut list = vec![name()];
    if given.is_empty() {
        list.push(Column { kind: "date", ..age_column() });
        if let Some(age) = list.last_mut() {
            age.description = "CreationTimestamp is a timestamp representing the server time when this object was \
                               created."
                .to_owned();
        }
        return list;
    }
    for entry in given {
        let path = text(&entry["jsonPath"]);
        let kind = match entry["type"].as_str() {
            Some("integer") => "integer",
            Some("number") => "number",
            Some("boolean") => "boolean",
            Some("date") => "date",
            _ => "string",
        };
        let description = match text(&entry["description"]) {
            text if text.is_empty() => format!("Custom resource definition column (in JSONPath format): {path}"),
            text => text,
        };
        let cell = move |object: &Json, now: Timestamp| {
            let value = walk(object, &path);
            match (kind, &value) {
                ("date", Json::String(_)) => since(&value, now),
                ("string", Json::Object(_) | Json::Array(_) | Json::Number(_) | Json::Bool(_)) => {
                    Json::from(text(&value))
                }
                _ => value,
            }
        };
        let wide = number(&entry["priority"]) > 0;
        list.push(Column { name: text(&entry["name"]), kind, wide, description, cell: Box::new(cell) });
    }
    list
}

const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating resources, although \
                                some resources may allow a client to request the generation of an appropriate name \
                                automatically. Name is primarily intended for creation idempotence and configuration \
                                definition. Cannot be updated. More info: \
                                https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

const AGE_DESCRIPTION: &str = "CreationTimestamp is a timestamp representing the server time when this object was \
                               created. It is not guaranteed to be set in happens-before order across separate \
                               operations. Clients may not set this value. It is represented in RFC3339 form and is \
                               in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
                               https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

const ADDRESSES_DESCRIPTION: &str = "List of addresses reachable to the node. Queried from cloud provider, if available. More info: \
     https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but \
     the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should \
     instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that \
     addresses can change during the lifetime of a Node. However, there are some exceptions where this may not be \
     possible, such as Pods that inherit a Node's address in its own status or consumers of the downward API \
     (status.hostIP).";

/// What a column's heading means.
fn describe<'a>(resource: &Resource, column: &'a Column) -> &'a str {
    if !column.description.is_empty() || resource.custom.is_some() {
        return &column.description;
    }
    match (resource.plural.as_str(), column.name.as_str()) {
        (_, "Age") => AGE_DESCRIPTION,
        ("configmaps", "Data") => {
            "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'. \
             Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not \
             overlap with the keys in the BinaryData field, this is enforced during validation process."
        }
        ("namespaces", "Status") => "The status of the namespace",
        ("nodes", "Status") => "The status of the node",
        ("nodes", "Roles") => "The roles of the node",
        ("nodes", "Version") => "Kubelet Version reported by the node.",
        ("nodes", "Internal-IP" | "External-IP") => ADDRESSES_DESCRIPTION,
        ("nodes", "OS-Image") => {
            "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy))."
        }
        ("nodes", "Kernel-Version") => {
            "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64)."
        }
        ("nodes", "Container-Runtime") => {
            "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2)."
        }
        ("pods", "Ready") => "The aggregate readiness state of this pod for accepting traffic.",
        ("pods", "Status") => "The aggregate status of the containers in this pod.",
        ("pods", "Restarts") => {
            "The number of times the containers in this pod have been restarted and when the last container in this \
             pod has restarted."
        }
        _ => "",
    }
}

/// A table of objects.
pub(crate) fn many(
    server: &ApiServer,
    resource: &Resource,
    objects: &[std::sync::Arc<Json>],
    metadata: &Json,
    include: Option<&str>,
) -> Json {
    let now = server.clock.now();
    let columns = columns(resource, server.minor());
    let definitions: Vec<Json> = columns
        .iter()
        .map(|column| {
            let named = column.name == "Name";
            json!({
                "name": column.name,
                "type": column.kind,
                "format": if named { "name" } else { "" },
                "description": if named { NAME_DESCRIPTION } else { describe(resource, column) },
                "priority": i32::from(column.wide),
            })
        })
        .collect();
    let rows: Vec<Json> = objects
        .iter()
        .map(|object| {
            let cells: Vec<Json> = columns.iter().map(|column| (column.cell)(object, now)).collect();
            let shown = match include {
                Some("None") => Json::Null,
                Some("Object") => (**object).clone(),
                _ => super::codec::partial(object),
            };
            json!({"cells": cells, "object": shown})
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

/// A table of one object.
pub(crate) fn one(server: &ApiServer, resource: &Resource, object: &Json, include: Option<&str>) -> Json {
    let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
    many(server, resource, &[std::sync::Arc::new(object.clone())], &metadata, include)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let all =
            [(5, "5s"), (125, "2m5s"), (3_600, "60m"), (4 * 3_600 + 60, "4h1m"), (90_000, "25h"), (864_000, "10d")];
        for (seconds, expected) in all {
            assert_eq!(human(seconds), expected);
        }
    }

    #[test]
    fn json_paths() {
        let object = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}, "spec": {"a": [1, 2]}});
        assert_eq!(walk(&object, ".status.conditions[?(@.type==\"Ready\")].status"), "True");
        assert_eq!(walk(&object, ".spec.a[1]"), 2);
        assert_eq!(walk(&object, ".gone.deep"), Json::Null);
    }
}
