//! The columns of built-in kinds, as `kubectl get` has them.

use serde_json::{Value as Json, json};

use super::{Column, age_column, column, condition, count, items, name, number, or_none, since, text};
use crate::env::clock::Timestamp;

/// The columns of a built-in kind in a server of this minor version.
pub(super) fn columns(group: &str, plural: &str, minor: u32) -> Option<Vec<Column>> {
    match group {
        "" => core(plural, minor).or_else(|| storage(plural)),
        "apps" => workload(plural),
        "batch" => batch(plural),
        "storage.k8s.io" => storage(plural),
        "rbac.authorization.k8s.io" => Some(roles_columns(plural)),
        _ => other(group, plural),
    }
}

fn joined(list: impl Iterator<Item = String>) -> String {
    list.collect::<Vec<_>>().join(",")
}

/// The first three, and how many more there are.
fn few(all: &[String], empty: &str) -> Json {
    match all {
        [] => json!(empty),
        all if all.len() <= 3 => json!(all.join(",")),
        all => json!(format!("{} + {} more...", all[..3].join(","), all.len() - 3)),
    }
}

fn created_at() -> Column {
    column("Created At", |o, _| o["metadata"]["creationTimestamp"].clone())
}

fn ready_of(ready: i64, wanted: i64) -> Json {
    Json::from(format!("{ready}/{wanted}"))
}

fn images(template: &Json) -> Json {
    or_none(joined(items(&template["spec"]["containers"]).map(|c| text(&c["image"]))))
}

fn container_names(template: &Json) -> Json {
    or_none(joined(items(&template["spec"]["containers"]).map(|c| text(&c["name"]))))
}

fn labels(map: &Json) -> Json {
    let pairs = map.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", text(v)));
    or_none(pairs.collect::<Vec<_>>().join(","))
}

/// Labels and expressions of a selector; nothing selects everything.
fn selector(selector: &Json) -> Json {
    let mut terms: Vec<String> = Vec::new();
    terms.extend(selector["matchLabels"].as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", text(v))));
    for term in items(&selector["matchExpressions"]) {
        let key = text(&term["key"]);
        let values = joined(items(&term["values"]).map(text));
        terms.push(match term["operator"].as_str() {
            Some("Exists") => key,
            Some("DoesNotExist") => format!("!{key}"),
            Some("NotIn") => format!("{key} notin ({values})"),
            _ => format!("{key} in ({values})"),
        });
    }
    or_none(terms.join(","))
}

fn external_address(service: &Json) -> String {
    let kind = service["spec"]["type"].as_str().unwrap_or("ClusterIP");
    let mut list: Vec<String> = Vec::new();
    match kind {
        "ExternalName" => list.push(text(&service["spec"]["externalName"])),
        "LoadBalancer" => {
            for ingress in items(&service["status"]["loadBalancer"]["ingress"]) {
                let address = text(&ingress["ip"]);
                list.push(if address.is_empty() { text(&ingress["hostname"]) } else { address });
            }
            list.extend(items(&service["spec"]["externalIPs"]).map(text));
            if list.is_empty() {
                return "<pending>".to_owned();
            }
        }
        _ => list.extend(items(&service["spec"]["externalIPs"]).map(text)),
    }
    if list.is_empty() { "<none>".to_owned() } else { list.join(",") }
}

fn ports(service: &Json) -> String {
    let each = |port: &Json| {
        let node = number(&port["nodePort"]);
        let node = if node > 0 { format!(":{node}") } else { String::new() };
        format!("{}{node}/{}", number(&port["port"]), text(&port["protocol"]))
    };
    joined(items(&service["spec"]["ports"]).map(each))
}

fn node_status(node: &Json) -> String {
    let ready = match condition(node, "Ready").map(|c| c["status"].as_str()) {
        Some(Some("True")) => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = node["spec"]["unschedulable"] == true;
    if cordoned { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

fn node_address(node: &Json, kind: &str) -> Json {
    let list = items(&node["status"]["addresses"]);
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

/// The wide columns of everything that has a pod template.
fn template_columns(path: &'static str) -> [Column; 2] {
    let template = move |o: &Json| o.pointer(path).cloned().unwrap_or_default();
    [
        column("Containers", move |o, _| container_names(&template(o))).wide(),
        column("Images", move |o, _| images(&o.pointer(path).cloned().unwrap_or_default())).wide(),
    ]
}

fn workload(plural: &str) -> Option<Vec<Column>> {
    let mut list = vec![name()];
    match plural {
        "deployments" => list.extend([
            column("Ready", |o, _| ready_of(number(&o["status"]["readyReplicas"]), number(&o["spec"]["replicas"]))),
            column("Up-to-date", |o, _| json!(number(&o["status"]["updatedReplicas"]))),
            column("Available", |o, _| json!(number(&o["status"]["availableReplicas"]))),
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
        "replicasets" | "replicationcontrollers" => list.extend([
            column("Desired", |o, _| json!(number(&o["spec"]["replicas"]))).of_type("integer"),
            column("Current", |o, _| json!(number(&o["status"]["replicas"]))).of_type("integer"),
            column("Ready", |o, _| json!(number(&o["status"]["readyReplicas"]))).of_type("integer"),
        ]),
        "controllerrevisions" => {
            list.extend([
                column("Controller", |o, _| {
                    let owner = items(&o["metadata"]["ownerReferences"]).find(|owner| owner["controller"] == true);
                    or_none(owner.map_or_else(String::new, |owner| {
                        let group = text(&owner["apiVersion"]);
                        let group = group.rsplit_once('/').map_or("", |(group, _)| group);
                        let kind = text(&owner["kind"]).to_lowercase();
                        let dot = if group.is_empty() { "" } else { "." };
                        format!("{kind}{dot}{group}/{}", text(&owner["name"]))
                    }))
                }),
                column("Revision", |o, _| json!(number(&o["revision"]))).of_type("integer"),
                age_column(),
            ]);
            return Some(list);
        }
        _ => return None,
    }
    list.push(age_column());
    list.extend(template_columns("/spec/template"));
    match plural {
        "statefulsets" => {}
        "replicationcontrollers" => list.push(column("Selector", |o, _| labels(&o["spec"]["selector"])).wide()),
        _ => list.push(column("Selector", |o, _| selector(&o["spec"]["selector"])).wide()),
    }
    Some(list)
}

fn job_status(job: &Json) -> Json {
    let holds = |kind: &str| condition(job, kind).is_some_and(|c| c["status"] == "True");
    let known = ["Complete", "Failed"].into_iter().find(|kind| holds(kind));
    let word = match known {
        Some(word) => word,
        None if !job["metadata"]["deletionTimestamp"].is_null() => "Terminating",
        None => ["Suspended", "FailureTarget", "SuccessCriteriaMet"]
            .into_iter()
            .find(|kind| holds(kind))
            .unwrap_or("Running"),
    };
    json!(word)
}

fn completions(job: &Json) -> Json {
    let done = number(&job["status"]["succeeded"]);
    match (job["spec"]["completions"].as_i64(), number(&job["spec"]["parallelism"])) {
        (Some(wanted), _) => ready_of(done, wanted),
        (None, parallel) if parallel > 1 => json!(format!("{done}/1 of {parallel}")),
        (None, _) => ready_of(done, 1),
    }
}

fn batch(plural: &str) -> Option<Vec<Column>> {
    let mut list = vec![name()];
    match plural {
        "jobs" => {
            list.extend([
                column("Status", |o, _| job_status(o)),
                column("Completions", |o, _| completions(o)),
                column("Duration", |o, now| {
                    let end = o["status"]["completionTime"].as_str().and_then(Timestamp::parse).unwrap_or(now);
                    if o["status"]["startTime"].is_null() { json!("") } else { since(&o["status"]["startTime"], end) }
                }),
                age_column(),
            ]);
            list.extend(template_columns("/spec/template"));
        }
        "cronjobs" => {
            list.extend([
                column("Schedule", |o, _| o["spec"]["schedule"].clone()),
                column("Timezone", |o, _| or_none(text(&o["spec"]["timeZone"]))),
                column("Suspend", |o, _| json!(if o["spec"]["suspend"] == true { "True" } else { "False" }))
                    .of_type("boolean"),
                column("Active", |o, _| json!(count(&o["status"]["active"]))).of_type("integer"),
                column("Last Schedule", |o, now| {
                    let last = &o["status"]["lastScheduleTime"];
                    if last.is_null() { json!("<none>") } else { since(last, now) }
                }),
                age_column(),
            ]);
            list.extend(template_columns("/spec/jobTemplate/spec/template"));
        }
        _ => return None,
    }
    list.push(column("Selector", |o, _| selector(&o["spec"]["selector"])).wide());
    Some(list)
}

fn endpoints(object: &Json) -> Json {
    let mut all = Vec::new();
    for subset in items(&object["subsets"]) {
        let ports: Vec<i64> = items(&subset["ports"]).map(|port| number(&port["port"])).collect();
        for address in items(&subset["addresses"]) {
            let ip = text(&address["ip"]);
            if ports.is_empty() {
                all.push(ip);
            } else {
                all.extend(ports.iter().map(|port| format!("{ip}:{port}")));
            }
        }
    }
    few(&all, "<none>")
}

fn events() -> Vec<Column> {
    vec![
        column("Last Seen", |o, now| {
            let series = &o["series"]["lastObservedTime"];
            let times = [&o["lastTimestamp"], series, &o["eventTime"]];
            since(times.into_iter().find(|time| !time.is_null()).unwrap_or(&Json::Null), now)
        }),
        column("Type", |o, _| o["type"].clone()),
        column("Reason", |o, _| o["reason"].clone()),
        column("Object", |o, _| {
            let object = &o["involvedObject"];
            json!(format!("{}/{}", text(&object["kind"]).to_lowercase(), text(&object["name"])))
        }),
        column("Subobject", |o, _| json!(text(&o["involvedObject"]["fieldPath"]))).wide(),
        column("Source", |o, _| {
            let host = text(&o["source"]["host"]);
            let component = [&o["source"]["component"], &o["reportingComponent"]].map(text);
            let component = component.into_iter().find(|c| !c.is_empty()).unwrap_or_default();
            json!(if host.is_empty() { component } else { format!("{component}, {host}") })
        })
        .wide(),
        column("Message", |o, _| json!(text(&o["message"]).trim())),
        column("First Seen", |o, now| {
            let first = if o["firstTimestamp"].is_null() { &o["eventTime"] } else { &o["firstTimestamp"] };
            since(first, now)
        })
        .wide(),
        column("Count", |o, _| json!(o["count"].as_i64().unwrap_or(1))).of_type("integer").wide(),
        column("Name", |o, _| o["metadata"]["name"].clone()).wide(),
    ]
}

fn quota(object: &Json, limits: bool) -> Json {
    let hard = object["status"]["hard"].as_object();
    let mut names: Vec<&String> = hard.into_iter().flatten().map(|(name, _)| name).collect();
    names.retain(|name| name.starts_with("limits.") == limits);
    names.sort();
    let status = &object["status"];
    let each = |name: &&String| format!("{name}: {}/{}", text(&status["used"][*name]), text(&status["hard"][*name]));
    json!(names.iter().map(each).collect::<Vec<_>>().join(", "))
}

fn core(plural: &str, minor: u32) -> Option<Vec<Column>> {
    Some(match plural {
        "pods" => super::pods::columns(),
        "replicationcontrollers" => return workload(plural),
        "services" => vec![
            name(),
            column("Type", |o, _| o["spec"]["type"].clone()),
            column("Cluster-IP", |o, _| or_none(text(&o["spec"]["clusterIP"]))),
            column("External-IP", |o, _| json!(external_address(o))),
            column("Port(s)", |o, _| or_none(ports(o))),
            age_column(),
            column("Selector", |o, _| labels(&o["spec"]["selector"])).wide(),
        ],
        "endpoints" => vec![name(), column("Endpoints", |o, _| endpoints(o)), age_column()],
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
            column("Status", |o, _| json!(node_status(o))),
            column("Roles", |o, _| roles(o)),
            age_column(),
            column("Version", |o, _| o["status"]["nodeInfo"]["kubeletVersion"].clone()),
            column("Internal-IP", |o, _| node_address(o, "InternalIP")).wide(),
            column("External-IP", |o, _| node_address(o, "ExternalIP")).wide(),
            column("OS-Image", |o, _| o["status"]["nodeInfo"]["osImage"].clone()).wide(),
            column("Kernel-Version", move |o, _| json!(kernel(&o["status"]["nodeInfo"], minor))).wide(),
            column("Container-Runtime", |o, _| o["status"]["nodeInfo"]["containerRuntimeVersion"].clone()).wide(),
        ],
        "events" => events(),
        "limitranges" => vec![name(), created_at()],
        "resourcequotas" => vec![
            name(),
            column("Request", |o, _| quota(o, false)),
            column("Limit", |o, _| quota(o, true)),
            age_column(),
        ],
        _ => return None,
    })
}

fn modes(list: &Json) -> Json {
    let short = |mode: &Json| match mode.as_str() {
        Some("ReadWriteOnce") => "RWO".to_owned(),
        Some("ReadOnlyMany") => "ROX".to_owned(),
        Some("ReadWriteMany") => "RWX".to_owned(),
        _ => "RWOP".to_owned(),
    };
    json!(joined(items(list).map(short)))
}

fn or_unset(value: &Json) -> Json {
    match text(value) {
        text if text.is_empty() => json!("<unset>"),
        text => json!(text),
    }
}

fn phase(object: &Json) -> Json {
    let going = !object["metadata"]["deletionTimestamp"].is_null();
    if going { json!("Terminating") } else { object["status"]["phase"].clone() }
}

fn storage(plural: &str) -> Option<Vec<Column>> {
    Some(match plural {
        "persistentvolumeclaims" => vec![
            name(),
            column("Status", |o, _| phase(o)),
            column("Volume", |o, _| json!(text(&o["spec"]["volumeName"]))),
            column("Capacity", |o, _| {
                let bound = !text(&o["spec"]["volumeName"]).is_empty();
                json!(if bound { text(&o["status"]["capacity"]["storage"]) } else { String::new() })
            }),
            column("Access Modes", |o, _| {
                let bound = !text(&o["spec"]["volumeName"]).is_empty();
                if bound { modes(&o["status"]["accessModes"]) } else { json!("") }
            }),
            column("StorageClass", |o, _| json!(text(&o["spec"]["storageClassName"]))),
            column("VolumeAttributesClass", |o, _| or_unset(&o["status"]["currentVolumeAttributesClassName"])),
            age_column(),
            column("VolumeMode", |o, _| or_unset(&o["spec"]["volumeMode"])).wide(),
        ],
        "persistentvolumes" => vec![
            name(),
            column("Capacity", |o, _| json!(text(&o["spec"]["capacity"]["storage"]))),
            column("Access Modes", |o, _| modes(&o["spec"]["accessModes"])),
            column("Reclaim Policy", |o, _| o["spec"]["persistentVolumeReclaimPolicy"].clone()),
            column("Status", |o, _| phase(o)),
            column("Claim", |o, _| {
                let claim = &o["spec"]["claimRef"];
                let there = claim.is_object();
                json!(if there {
                    format!("{}/{}", text(&claim["namespace"]), text(&claim["name"]))
                } else {
                    String::new()
                })
            }),
            column("StorageClass", |o, _| json!(text(&o["spec"]["storageClassName"]))),
            column("VolumeAttributesClass", |o, _| or_unset(&o["spec"]["volumeAttributesClassName"])),
            column("Reason", |o, _| json!(text(&o["status"]["reason"]))),
            age_column(),
            column("VolumeMode", |o, _| or_unset(&o["spec"]["volumeMode"])).wide(),
        ],
        "storageclasses" => vec![
            column("Name", |o, _| {
                const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
                let name = text(&o["metadata"]["name"]);
                let default = o["metadata"]["annotations"][DEFAULT] == "true";
                json!(if default { format!("{name} (default)") } else { name })
            }),
            column("Provisioner", |o, _| o["provisioner"].clone()),
            column("ReclaimPolicy", |o, _| o["reclaimPolicy"].clone()),
            column("VolumeBindingMode", |o, _| o["volumeBindingMode"].clone()),
            column("AllowVolumeExpansion", |o, _| json!(o["allowVolumeExpansion"] == true)),
            age_column(),
        ],
        "volumeattachments" => vec![
            name(),
            column("Attacher", |o, _| o["spec"]["attacher"].clone()),
            column("PV", |o, _| json!(text(&o["spec"]["source"]["persistentVolumeName"]))),
            column("Node", |o, _| o["spec"]["nodeName"].clone()),
            column("Attached", |o, _| json!(o["status"]["attached"] == true)).of_type("boolean"),
            age_column(),
        ],
        "csinodes" => {
            vec![name(), column("Drivers", |o, _| json!(count(&o["spec"]["drivers"]))).of_type("integer"), age_column()]
        }
        "csidrivers" => vec![
            name(),
            column("AttachRequired", |o, _| json!(o["spec"]["attachRequired"] != false)).of_type("boolean"),
            column("PodInfoOnMount", |o, _| json!(o["spec"]["podInfoOnMount"] == true)).of_type("boolean"),
            column("StorageCapacity", |o, _| json!(o["spec"]["storageCapacity"] == true)).of_type("boolean"),
            column("TokenRequests", |o, _| {
                let all = joined(items(&o["spec"]["tokenRequests"]).map(|request| text(&request["audience"])));
                json!(if all.is_empty() { "<unset>".to_owned() } else { all })
            }),
            column("RequiresRepublish", |o, _| json!(o["spec"]["requiresRepublish"] == true)).of_type("boolean"),
            column("Modes", |o, _| or_none(joined(items(&o["spec"]["volumeLifecycleModes"]).map(text)))),
            age_column(),
        ],
        _ => return None,
    })
}

fn roles_columns(plural: &str) -> Vec<Column> {
    if !plural.ends_with("bindings") {
        return vec![name(), created_at()];
    }
    let subjects = |kind: &'static str| {
        move |o: &Json, _: Timestamp| {
            let of = items(&o["subjects"]).filter(|subject| subject["kind"] == kind);
            json!(
                of.map(|subject| match kind {
                    "ServiceAccount" => format!("{}/{}", text(&subject["namespace"]), text(&subject["name"])),
                    _ => text(&subject["name"]),
                })
                .collect::<Vec<_>>()
                .join(", ")
            )
        }
    };
    vec![
        name(),
        column("Role", |o, _| json!(format!("{}/{}", text(&o["roleRef"]["kind"]), text(&o["roleRef"]["name"])))),
        age_column(),
        column("Users", subjects("User")).wide(),
        column("Groups", subjects("Group")).wide(),
        column("ServiceAccounts", subjects("ServiceAccount")).wide(),
    ]
}

/// What an autoscaler aims at, with what it sees now.
fn targets(scaler: &Json) -> Json {
    let mut all = Vec::new();
    for (at, metric) in items(&scaler["spec"]["metrics"]).enumerate() {
        let now = &scaler["status"]["currentMetrics"][at];
        let resource = &metric["resource"];
        let (name, target) = (text(&resource["name"]), &resource["target"]);
        let seen = &now["resource"]["current"];
        all.push(if metric["type"] != "Resource" {
            format!("<unknown>/{}", text(&metric["type"]))
        } else if let Some(share) = target["averageUtilization"].as_i64() {
            let seen = seen["averageUtilization"].as_i64().map_or("<unknown>".to_owned(), |seen| format!("{seen}%"));
            format!("{name}: {seen}/{share}%")
        } else {
            let seen = Some(text(&seen["averageValue"])).filter(|seen| !seen.is_empty());
            format!("{name}: {}/{}", seen.unwrap_or_else(|| "<unknown>".to_owned()), text(&target["averageValue"]))
        });
    }
    if all.is_empty() { json!("<none>") } else { json!(all.join(", ")) }
}

fn slice_endpoints(slice: &Json) -> Json {
    let all: Vec<String> = items(&slice["endpoints"]).flat_map(|e| items(&e["addresses"])).map(text).collect();
    few(&all, "<unset>")
}

fn slice_ports(slice: &Json) -> Json {
    let all: Vec<String> = items(&slice["ports"]).map(|port| text(&port["port"])).collect();
    few(&all, "<unset>")
}

fn ingress() -> Vec<Column> {
    vec![
        name(),
        column("Class", |o, _| or_none(text(&o["spec"]["ingressClassName"]))),
        column("Hosts", |o, _| {
            let hosts: Vec<String> =
                items(&o["spec"]["rules"]).map(|r| text(&r["host"])).filter(|h| !h.is_empty()).collect();
            few(&hosts, "*")
        }),
        column("Address", |o, _| {
            let one = |ingress: &Json| [&ingress["ip"], &ingress["hostname"]].map(text).concat();
            json!(joined(items(&o["status"]["loadBalancer"]["ingress"]).map(one)))
        }),
        column("Ports", |o, _| json!(if count(&o["spec"]["tls"]) > 0 { "80, 443" } else { "80" })),
        age_column(),
    ]
}

fn or_not(value: &Json) -> Json {
    if value.is_null() { json!("N/A") } else { json!(text(value)) }
}

fn other(group: &str, plural: &str) -> Option<Vec<Column>> {
    Some(match (group, plural) {
        ("events.k8s.io", "events") => events(),
        ("apiextensions.k8s.io", _) => vec![name(), created_at()],
        ("policy", "poddisruptionbudgets") => vec![
            name(),
            column("Min Available", |o, _| or_not(&o["spec"]["minAvailable"])),
            column("Max Unavailable", |o, _| or_not(&o["spec"]["maxUnavailable"])),
            column("Allowed Disruptions", |o, _| json!(number(&o["status"]["disruptionsAllowed"]))).of_type("integer"),
            age_column(),
        ],
        ("autoscaling", _) => vec![
            name(),
            column("Reference", |o, _| {
                let target = &o["spec"]["scaleTargetRef"];
                json!(format!("{}/{}", text(&target["kind"]), text(&target["name"])))
            }),
            column("Targets", |o, _| targets(o)),
            column("MinPods", |o, _| or_unset(&o["spec"]["minReplicas"])),
            column("MaxPods", |o, _| json!(number(&o["spec"]["maxReplicas"]))).of_type("integer"),
            column("Replicas", |o, _| json!(number(&o["status"]["currentReplicas"]))).of_type("integer"),
            age_column(),
        ],
        ("networking.k8s.io", "ingresses") => ingress(),
        ("networking.k8s.io", "ingressclasses") => vec![
            name(),
            column("Controller", |o, _| o["spec"]["controller"].clone()),
            column("Parameters", |o, _| {
                let parameters = &o["spec"]["parameters"];
                or_none(if parameters.is_object() {
                    let group = text(&parameters["apiGroup"]);
                    let dot = if group.is_empty() { "" } else { "." };
                    format!("{}{dot}{group}/{}", text(&parameters["kind"]), text(&parameters["name"]))
                } else {
                    String::new()
                })
            }),
            age_column(),
        ],
        ("networking.k8s.io", "networkpolicies") => {
            vec![name(), column("Pod-Selector", |o, _| selector(&o["spec"]["podSelector"])), age_column()]
        }
        ("discovery.k8s.io", _) => vec![
            name(),
            column("AddressType", |o, _| o["addressType"].clone()),
            column("Ports", |o, _| slice_ports(o)),
            column("Endpoints", |o, _| slice_endpoints(o)),
            age_column(),
        ],
        ("coordination.k8s.io", "leases") => {
            vec![name(), column("Holder", |o, _| json!(text(&o["spec"]["holderIdentity"]))), age_column()]
        }
        ("node.k8s.io", _) => vec![name(), column("Handler", |o, _| o["handler"].clone()), age_column()],
        ("scheduling.k8s.io", _) => vec![
            name(),
            column("Value", |o, _| json!(number(&o["value"]))).of_type("integer"),
            column("Global-Default", |o, _| json!(o["globalDefault"] == true)).of_type("boolean"),
            age_column(),
            column("PreemptionPolicy", |o, _| json!(text(&o["preemptionPolicy"]))),
        ],
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations" | "mutatingwebhookconfigurations") => {
            vec![name(), column("Webhooks", |o, _| json!(count(&o["webhooks"]))).of_type("integer"), age_column()]
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => vec![
            name(),
            column("Validations", |o, _| json!(count(&o["spec"]["validations"]))).of_type("integer"),
            column("ParamKind", |o, _| {
                let kind = &o["spec"]["paramKind"];
                let there = kind.is_object();
                json!(if there {
                    format!("{}/{}", text(&kind["apiVersion"]), text(&kind["kind"]))
                } else {
                    "<unset>".to_owned()
                })
            }),
            age_column(),
        ],
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => vec![
            name(),
            column("PolicyName", |o, _| o["spec"]["policyName"].clone()),
            column("ParamRef", |o, _| {
                let reference = &o["spec"]["paramRef"];
                let place = [&reference["namespace"], &reference["name"]].map(text);
                let place = place.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
                json!(if reference.is_object() { place } else { "<unset>".to_owned() })
            }),
            age_column(),
        ],
        ("apiregistration.k8s.io", _) => vec![
            name(),
            column("Service", |o, _| {
                let service = &o["spec"]["service"];
                let there = service.is_object();
                json!(if there {
                    format!("{}/{}", text(&service["namespace"]), text(&service["name"]))
                } else {
                    "Local".to_owned()
                })
            }),
            column("Available", |o, _| {
                let available = condition(o, "Available");
                json!(match available.map(|c| (text(&c["status"]), text(&c["reason"]))) {
                    Some((status, _)) if status == "True" => status,
                    Some((status, reason)) => format!("{status} ({reason})"),
                    None => "Unknown".to_owned(),
                })
            }),
            age_column(),
        ],
        ("certificates.k8s.io", "certificatesigningrequests") => vec![
            name(),
            age_column(),
            column("SignerName", |o, _| json!(text(&o["spec"]["signerName"]))),
            column("Requestor", |o, _| json!(text(&o["spec"]["username"]))),
            column("RequestedDuration", |o, _| match o["spec"]["expirationSeconds"].as_u64() {
                Some(seconds) => json!(super::human(seconds)),
                None => json!("<none>"),
            }),
            column("Condition", |o, _| {
                let kinds: Vec<String> = items(&o["status"]["conditions"]).map(|c| text(&c["type"])).collect();
                let issued = (!text(&o["status"]["certificate"]).is_empty()).then(|| "Issued".to_owned());
                let all: Vec<String> = kinds.into_iter().chain(issued).collect();
                json!(if all.is_empty() { "Pending".to_owned() } else { all.join(",") })
            }),
        ],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let addresses: Vec<Json> = (1..6).map(|n| json!({"addresses": [format!("10.0.0.{n}")]})).collect();
        assert_eq!(slice_endpoints(&json!({"endpoints": addresses})), "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...");
        assert_eq!(endpoints(&json!({})), "<none>");
    }
}
