//! Signs to causes, on facts in the words that real components use. Each case wants one cause first.

use serde_json::{Value as Json, json};

use super::facts::{Facts, Missing, Reach, Recorded, Refused, Subject, Tried, Unfinished};
use super::{causes, unexplained};
use crate::env::clock::Timestamp;
use crate::platform::preflight::{Check, Topic, Verdict};
use crate::platform::standing::{Log, Thing};
use crate::resource::error::ErrorClass;

fn facts(objects: Vec<Json>) -> Facts {
    Facts { stack: "demo".into(), again: "stack.toml".into(), reach: Reach::There, objects, ..Facts::default() }
}

/// An object with a uid of its own name.
fn object(kind: &str, namespace: &str, name: &str, rest: Json) -> Json {
    let mut object = rest;
    object["kind"] = kind.into();
    object["metadata"]["name"] = name.into();
    object["metadata"]["uid"] = format!("{kind}-{name}").into();
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

fn pod(status: Json) -> Json {
    object("Pod", "app", "web", json!({"spec": {"nodeName": "n1"}, "status": status}))
}

fn waiting(reason: &str, message: &str) -> Json {
    pod(json!({"phase": "Pending", "containerStatuses": [{"name": "main", "image": "r.example/i:1", "restartCount": 0,
        "ready": false, "state": {"waiting": {"reason": reason, "message": message}}}]}))
}

fn crashed(log: &str) -> Facts {
    let status = json!({"phase": "Running", "containerStatuses": [{"name": "main", "restartCount": 4, "ready": false,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}]});
    let log =
        Log { namespace: "app".into(), pod: "web".into(), container: "main".into(), previous: true, text: log.into() };
    Facts { logs: vec![log], ..facts(vec![pod(status)]) }
}

fn event(kind: &str, namespace: &str, name: &str, reason: &str, message: &str) -> Json {
    object(
        "Event",
        namespace,
        &format!("{name}.{reason}"),
        json!({"type": "Warning", "reason": reason, "message": message,
        "count": 5, "lastTimestamp": "2026-11-23T08:00:00Z",
        "involvedObject": {"kind": kind, "namespace": namespace, "name": name}}),
    )
}

fn node(labels: Json, taints: Json, allocatable: Json) -> Json {
    object(
        "Node",
        "",
        "n1",
        json!({"metadata": {"labels": labels}, "spec": {"taints": taints}, "status":
        {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]}}),
    )
}

fn unscheduled(spec: Json) -> Json {
    object(
        "Pod",
        "app",
        "web",
        json!({"spec": spec, "status": {"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]}}),
    )
}

fn refused(text: &str, class: Option<ErrorClass>) -> Facts {
    let subject = Subject::new("Certificate", "app", "web");
    let refused = Refused { subject, address: "a/b".into(), tried: Tried::Rehearsal, text: text.into(), class };
    Facts { refused: vec![refused], ..facts(vec![]) }
}

fn thing(kind: &str, text: &str, class: ErrorClass) -> Facts {
    let thing = Thing {
        kind: kind.into(),
        name: "gpu".into(),
        status: "ERROR".into(),
        field: "statusMessage".into(),
        text: text.into(),
        class: Some(class),
        at: None,
    };
    Facts { things: vec![thing], ..facts(vec![]) }
}

fn conditioned(kind: &str, condition: &str, status: &str, reason: &str, message: &str) -> Json {
    object(
        kind,
        "app",
        "x",
        json!({"status": {"conditions":
        [{"type": condition, "status": status, "reason": reason, "message": message}]}}),
    )
}

/// Every rule's own words, as their speakers say them.
fn cases() -> Vec<(&'static str, Facts)> {
    let gpu = json!({"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}],
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}});
    let t4 = json!({"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"});
    let taint = json!([{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]);
    let tpu = |topology: &str| json!({"nodeSelector": {"cloud.google.com/gke-tpu-topology": topology}});
    let claim = |reason: &str, message: &str| {
        facts(vec![
            object("PersistentVolumeClaim", "app", "data", json!({"status": {"phase": "Pending"}})),
            event("PersistentVolumeClaim", "app", "data", reason, message),
        ])
    };
    let route = |kind: &str, reason: &str, message: &str| {
        facts(vec![object(
            "HTTPRoute",
            "app",
            "r",
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "status": {"parents": [
            {"parentRef": {"name": "g"}, "conditions":
                [{"type": kind, "status": "False", "reason": reason, "message": message}]}]}}),
        )])
    };
    let webhook = "cert: Internal error occurred: failed calling webhook \"webhook.cert-manager.io\": failed to call webhook: \
                   Post \"https://cert-manager-webhook.cert-manager.svc:443/validate?timeout=30s\": ";
    let check = |topic, subject: &str, found: &str| {
        let check = Check {
            topic,
            verdict: Verdict::Missing,
            subject: subject.into(),
            found: found.into(),
            mend: None,
            wanted_by: vec![],
        };
        Facts { checks: vec![check], reach: Reach::Absent, ..facts(vec![]) }
    };
    let pull = "failed to pull and unpack image \"r.example/i:1\": failed to resolve reference \"r.example/i:1\": ";
    vec![
        (
            "image-not-found",
            facts(vec![waiting(
                "ErrImagePull",
                &format!("rpc error: code = NotFound desc = {pull}r.example/i:1: not found"),
            )]),
        ),
        (
            "image-not-found",
            facts(vec![waiting(
                "InvalidImageName",
                "Failed to apply default image tag \"a b\": couldn't parse image reference",
            )]),
        ),
        (
            "image-pull-denied",
            facts(vec![waiting(
                "ImagePullBackOff",
                &format!(
                    "Back-off pulling image \"r.example/i:1\": ErrImagePull: rpc error: code = Unknown desc = {pull}failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://r.example/token: 401 Unauthorized"
                ),
            )]),
        ),
        (
            "image-pull-denied",
            facts(vec![waiting(
                "ErrImagePull",
                &format!(
                    "{pull}pull access denied, repository does not exist or may require authorization: server message: insufficient_scope"
                ),
            )]),
        ),
        (
            "image-pull-failing",
            facts(vec![waiting(
                "ErrImagePull",
                &format!("rpc error: code = Unknown desc = {pull}dial tcp 1.2.3.4:443: i/o timeout"),
            )]),
        ),
        (
            "hf-token-missing",
            crashed(
                "Fetching\nhuggingface_hub.errors.GatedRepoError: 401 Client Error. Cannot access gated repo for url https://huggingface.co/api/models/meta/x. Access to model meta/x is restricted. You must have access to it and be authenticated to access it. Please log in.",
            ),
        ),
        (
            "hf-token-wrong",
            crashed(
                "huggingface_hub.errors.HfHubHTTPError: 401 Client Error: Unauthorized for url: https://huggingface.co/api/models/Qwen/Q\nInvalid username or password.",
            ),
        ),
        (
            "model-gated",
            crashed(
                "huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1)\nCannot access gated repo for url https://huggingface.co/meta/x/resolve/main/config.json.\nAccess to model meta/x is restricted and you are not in the authorized list. Visit https://huggingface.co/meta/x to ask for access.",
            ),
        ),
        (
            "model-not-found",
            crashed(
                "huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. Repository Not Found for url: https://huggingface.co/api/models/no/such.",
            ),
        ),
        ("model-not-found", crashed("ValueError: Invalid repository ID or local directory specified: '/mnt/models'.")),
        (
            "host-memory-exceeded",
            facts(vec![pod(json!({"phase": "Running", "initContainerStatuses": [{"name": "storage-initializer",
            "restartCount": 2, "ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}))]),
        ),
        (
            "accelerator-memory-exceeded",
            crashed(
                "ValueError: To serve at least one request with the models's max seq len (32768), (4.00 GiB KV cache is needed, which is larger than the available KV cache memory (1.20 GiB). Based on the available memory, the estimated maximum model length is 9000.",
            ),
        ),
        (
            "accelerator-memory-exceeded",
            crashed("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.02 GiB."),
        ),
        (
            "dtype-unsupported",
            crashed(
                "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has compute capability 7.5.",
            ),
        ),
        (
            "context-too-long",
            crashed(
                "ValueError: User-specified max_model_len (200000) is greater than the derived max_model_len (max_position_embeddings=32768 or model_max_length=None in model's config.json).",
            ),
        ),
        (
            "tensor-parallel-mismatch",
            crashed("ValueError: Total number of attention heads (14) must be divisible by tensor parallel size (4)."),
        ),
        (
            "tensor-parallel-mismatch",
            crashed("ValueError: World size (2) is larger than the number of available GPUs (1) in this node."),
        ),
        ("crash-loop", crashed("thread main panicked: no such luck")),
        (
            "probe-too-early",
            facts(vec![
                pod(json!({"phase": "Running", "containerStatuses": [{"name": "main", "restartCount": 3,
            "ready": false, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137, "reason": "Error"}}}]})),
                event("Pod", "app", "web", "Killing", "Container main failed liveness probe, will be restarted"),
                event(
                    "Pod",
                    "app",
                    "web",
                    "Unhealthy",
                    "Liveness probe failed: Get \"https://10.0.0.1:8000/health\": dial tcp: connect: connection refused",
                ),
            ]),
        ),
        ("secret-missing", facts(vec![waiting("CreateContainerConfigError", "secret \"settings\" not found")])),
        (
            "hf-token-missing",
            facts(vec![waiting("CreateContainerConfigError", "couldn't find key HF_TOKEN in Secret app/hf")]),
        ),
        (
            "taint-not-tolerated",
            facts(vec![unscheduled(gpu.clone()), node(t4.clone(), taint, json!({"nvidia.com/gpu": "1"}))]),
        ),
        ("node-selector-matches-nothing", facts(vec![unscheduled(gpu.clone()), node(json!({}), json!([]), json!({}))])),
        (
            "device-plugin-absent",
            facts(vec![unscheduled(gpu.clone()), node(t4.clone(), json!([]), json!({"cpu": "4"}))]),
        ),
        ("nodes-full", facts(vec![unscheduled(gpu), node(t4, json!([]), json!({"nvidia.com/gpu": "1"}))])),
        (
            "tpu-topology-mismatch",
            facts(vec![
                unscheduled(tpu("2x4")),
                node(json!({"cloud.google.com/gke-tpu-topology": "2x2"}), json!([]), json!({})),
            ]),
        ),
        (
            "tpu-topology-mismatch",
            thing("node pool", "TPU topology can't be specified with single-host TPU slice pool", ErrorClass::Invalid),
        ),
        (
            "sidecar-not-injected",
            facts(vec![
                object(
                    "Namespace",
                    "",
                    "app",
                    json!({"metadata": {"labels": {"istio-injection": "enabled"}},
            "status": {"phase": "Active"}}),
                ),
                pod(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})),
            ]),
        ),
        (
            "gpu-quota",
            thing(
                "node pool",
                "QUOTA_EXCEEDED: Instance 'x' creation failed: Quota 'NVIDIA_T4_GPUS' exceeded. Limit: 0.0 in region europe-west4.",
                ErrorClass::Quota,
            ),
        ),
        ("gpu-quota", check(Topic::Quota, "NVIDIA_T4_GPUS in europe-west4", "1 more is needed, 0 are left")),
        (
            "capacity-stockout",
            thing(
                "node pool",
                "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS: The zone does not have enough resources available",
                ErrorClass::StockOut,
            ),
        ),
        (
            "operation-failed",
            thing(
                "cluster",
                "All cluster resources were brought up, but only 1 node has registered",
                ErrorClass::Unknown,
            ),
        ),
        ("service-disabled", check(Topic::Service, "container.googleapis.com", "is off")),
        ("forbidden", check(Topic::Permission, "container.clusters.create", "is missing")),
        (
            "forbidden",
            refused(
                "certificates is forbidden: User \"u\" cannot create resource \"certificates\"",
                Some(ErrorClass::Denied),
            ),
        ),
        ("not-logged-in", refused("Unauthorized", Some(ErrorClass::Unauthenticated))),
        ("not-offered", check(Topic::Offer, "ct6e-standard-4t in europe-west1-b", "is not offered")),
        ("rate-limited", refused("too many requests, please try again later", Some(ErrorClass::RateLimited))),
        ("webhook-unavailable", refused(&format!("{webhook}context deadline exceeded"), Some(ErrorClass::Unavailable))),
        (
            "webhook-unavailable",
            refused(
                &format!("{webhook}no endpoints available for service \"cert-manager-webhook\""),
                Some(ErrorClass::Unavailable),
            ),
        ),
        (
            "webhook-ca-missing",
            refused(
                &format!("{webhook}tls: failed to verify certificate: x509: certificate signed by unknown authority"),
                Some(ErrorClass::Unavailable),
            ),
        ),
        (
            "webhook-ca-missing",
            facts(vec![object(
                "ValidatingWebhookConfiguration",
                "",
                "v",
                json!({"webhooks": [{"name": "v.example",
            "failurePolicy": "Fail", "clientConfig": {"service": {"namespace": "a", "name": "b"}}}]}),
            )]),
        ),
        (
            "issuer-missing",
            facts(vec![
                conditioned(
                    "CertificateRequest",
                    "Ready",
                    "False",
                    "Pending",
                    "Referenced \"ClusterIssuer\" not found: clusterissuer.cert-manager.io \"ca\" not found",
                ),
                conditioned(
                    "Certificate",
                    "Ready",
                    "False",
                    "DoesNotExist",
                    "Issuing certificate as Secret does not exist",
                ),
            ]),
        ),
        (
            "certificate-not-issued",
            facts(vec![conditioned("CertificateRequest", "Ready", "False", "Failed", "the CSR is not acceptable")]),
        ),
        (
            "gateway-class-missing",
            facts(vec![object("Gateway", "app", "g", json!({"spec": {"gatewayClassName": "istio"}}))]),
        ),
        (
            "gateway-without-address",
            facts(vec![
                object(
                    "GatewayClass",
                    "",
                    "istio",
                    json!({"status": {"conditions": [{"type": "Accepted", "status": "True"}]}}),
                ),
                object(
                    "Gateway",
                    "app",
                    "g",
                    json!({"spec": {"gatewayClassName": "istio"}, "status": {"conditions": [{"type": "Accepted", "status": "True"},
                {"type": "Programmed", "status": "False", "reason": "AddressNotAssigned", "message": "address pending for hostname \"g-istio.app.svc\""}]}}),
                ),
                object(
                    "Service",
                    "app",
                    "g-istio",
                    json!({"metadata": {"labels": {"gateway.networking.k8s.io/gateway-name": "g"}}, "spec": {"type": "LoadBalancer"}}),
                ),
                event(
                    "Service",
                    "app",
                    "g-istio",
                    "SyncLoadBalancerFailed",
                    "Error syncing load balancer: failed to ensure load balancer: googleapi: Error 403: Quota 'IN_USE_ADDRESSES' exceeded.  Limit: 8.0 in region r., quotaExceeded",
                ),
            ]),
        ),
        (
            "route-not-accepted",
            route(
                "Accepted",
                "NotAllowedByListeners",
                "hostnames and namespace \"app\" are not allowed by any listener of the parent",
            ),
        ),
        ("backend-not-found", route("ResolvedRefs", "BackendNotFound", "backend(x.app.svc.cluster.local) not found")),
        (
            "cni-missing",
            facts(vec![object(
                "Node",
                "",
                "n1",
                json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady",
            "message": "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"}]}}),
            )]),
        ),
        (
            "node-not-ready",
            facts(vec![object(
                "Node",
                "",
                "n1",
                json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}]}}),
            )]),
        ),
        (
            "gpu-operator-quota",
            facts(vec![
                object("DaemonSet", "gpu-operator", "nfd-worker", json!({"status": {"desiredNumberScheduled": 1}})),
                event(
                    "DaemonSet",
                    "gpu-operator",
                    "nfd-worker",
                    "FailedCreate",
                    "Error creating: pods \"nfd-worker-\" is forbidden: insufficient quota to match these scopes: [{PriorityClass In [system-node-critical system-cluster-critical]}]",
                ),
            ]),
        ),
        (
            "namespace-quota",
            facts(vec![
                object("ReplicaSet", "app", "web", json!({"spec": {"replicas": 1}})),
                event(
                    "ReplicaSet",
                    "app",
                    "web",
                    "FailedCreate",
                    "Error creating: pods \"web-\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1",
                ),
            ]),
        ),
        (
            "driver-not-ready",
            facts(vec![object(
                "ClusterPolicy",
                "",
                "cluster-policy",
                json!({"status": {"state": "notReady", "conditions":
            [{"type": "Ready", "status": "False", "reason": "DriverNotReady", "message": "driver is not ready"}]}}),
            )]),
        ),
        ("storage-class-missing", claim("ProvisioningFailed", "storageclass.storage.k8s.io \"fast\" not found")),
        (
            "disk-quota",
            claim(
                "ProvisioningFailed",
                "failed to provision volume with StorageClass \"standard-rwo\": rpc error: code = Internal desc = CreateVolume failed to create single zonal disk pvc-1: googleapi: Error 403: Quota 'SSD_TOTAL_GB' exceeded.  Limit: 100.0 in region r., quotaExceeded",
            ),
        ),
        (
            "volume-not-bound",
            claim(
                "ProvisioningFailed",
                "failed to provision volume with StorageClass \"standard-rwo\": rpc error: code = Internal desc = the zone is not known",
            ),
        ),
        (
            "namespace-terminating",
            facts(vec![object(
                "Namespace",
                "",
                "app",
                json!({"metadata": {"deletionTimestamp": "2026-11-23T08:00:00Z"},
            "status": {"phase": "Terminating", "conditions": [{"type": "NamespaceFinalizersRemaining", "status": "True", "message": "Some content in the namespace has finalizers remaining"}]}}),
            )]),
        ),
        ("crd-missing", refused("the cluster does not know cert-manager.io/v1 Certificate", None)),
        ("cluster-missing", Facts { reach: Reach::Missing, ..facts(vec![]) }),
        (
            "cluster-unreachable",
            Facts { reach: Reach::Silent("cannot reach the API server: connection refused".into()), ..facts(vec![]) },
        ),
        ("object-deleted", refused("deleted by another hand: it was made and is not there any more", None)),
        (
            "certificate-not-issued",
            facts(vec![conditioned(
                "Issuer",
                "Ready",
                "False",
                "ErrGetKeyPair",
                "Error getting keypair for CA issuer: secrets \"ca\" not found",
            )]),
        ),
        (
            "paused",
            Facts {
                recorded: Recorded { paused: Some(Timestamp(1_000)), ..Recorded::default() },
                ..facts(vec![unscheduled(tpu("2x2"))])
            },
        ),
        ("partly-made", Facts { recorded: cut_off("create"), ..facts(vec![]) }),
        ("partly-deleted", Facts { recorded: cut_off("delete"), ..facts(vec![]) }),
        (
            "lease-held",
            Facts { recorded: Recorded { holder: Some("process 7".into()), ..Recorded::default() }, ..facts(vec![]) },
        ),
        (
            "state-unreadable",
            Facts {
                recorded: Recorded { unreadable: Some("the journal is damaged".into()), ..Recorded::default() },
                ..facts(vec![])
            },
        ),
        (
            "gateway-not-accepted",
            facts(vec![
                object(
                    "GatewayClass",
                    "",
                    "istio",
                    json!({"status": {"conditions": [{"type": "Accepted", "status": "True"}]}}),
                ),
                object(
                    "Gateway",
                    "app",
                    "g",
                    json!({"spec": {"gatewayClassName": "istio"}, "status": {"conditions": [{"type": "Accepted", "status": "True"},
                {"type": "Programmed", "status": "False", "reason": "Invalid", "message": "Bad TLS configuration"}]}}),
                ),
            ]),
        ),
    ]
}

#[test]
fn every_cause_is_found_first_by_the_words_that_are_really_said() {
    let mut wrong = Vec::new();
    let cases = cases();
    for (at, (id, facts)) in cases.iter().enumerate() {
        let found = causes(facts);
        let ids = found.iter().map(|cause| cause.id).collect::<Vec<_>>();
        if ids.first() != Some(id) {
            wrong.push(format!("{at}: {id} wanted, found {ids:?}"));
        }
        for cause in &found {
            assert!(!cause.sentence.contains('{') && !cause.mend.contains("{again}"), "{cause:?}");
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    for rule in super::rules::all() {
        assert!(cases.iter().any(|(id, _)| *id == rule.id), "{} is never found here", rule.id);
    }
}

#[test]
fn nothing_wrong_is_nothing_said() {
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [
        {"name": "main", "ready": true, "restartCount": 1, "state": {"running": {}},
         "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]});
    // Old events of what is well again, and a pull that takes its time, are nothing.
    let slow = object(
        "Pod",
        "app",
        "slow",
        json!({"spec": {"nodeName": "n1"}, "status": {"phase": "Pending", "containerStatuses": [
        {"name": "main", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}]}}),
    );
    let mut pulling = event("Pod", "app", "slow", "Pulling", "Pulling image \"r.example/i:1\"");
    pulling["type"] = "Normal".into();
    let facts = facts(vec![
        pod(ready),
        event("Pod", "app", "web", "Unhealthy", "Readiness probe failed: 503"),
        slow,
        pulling,
        event("Pod", "app", "gone", "Failed", "Failed to pull image \"x\": not found"),
    ]);
    assert_eq!(causes(&facts), []);
    assert_eq!(unexplained(&facts), ["Pod app/slow: main: ContainerCreating"]);
}

#[test]
fn what_the_last_run_met_and_is_there_now_is_over() {
    let mut seen = thing("node pool", "", ErrorClass::Quota);
    seen.refused = vec![Refused {
        subject: Subject::of("node pool", "gpu"),
        address: "node_pools.gpu".into(),
        tried: Tried::LastRun,
        text: "[GCE_STOCKOUT] no capacity".into(),
        class: Some(ErrorClass::StockOut),
    }];
    assert_eq!(causes(&seen).first().map(|cause| cause.id), Some("capacity-stockout"));
    seen.things[0].status = "RUNNING".into();
    assert_eq!(causes(&seen), []);
}

#[test]
fn one_cause_that_many_say_is_one() {
    let said = "pods \"web-\" is forbidden: insufficient quota to match these scopes: [{PriorityClass In [system-node-critical]}]";
    let failed = || {
        json!({"spec": {"replicas": 1}, "status": {"conditions":
        [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": said}]}})
    };
    let mut set = object("ReplicaSet", "app", "web-1", failed());
    set["metadata"]["ownerReferences"] = json!([{"uid": "Deployment-web"}]);
    let mut seen = facts(vec![
        object("Deployment", "app", "web", failed()),
        set,
        event("ReplicaSet", "app", "web-1", "FailedCreate", &format!("Error creating: {said}")),
    ]);
    seen.refused = vec![Refused {
        subject: Subject::new("Deployment", "app", "web"),
        address: "manifests.app/Deployment.apps/app/web".into(),
        tried: Tried::LastRun,
        text: format!("Deployment web: its pods are refused: {said}"),
        class: None,
    }];
    let found = causes(&seen);
    assert_eq!(found.iter().map(|cause| cause.id).collect::<Vec<_>>(), ["gpu-operator-quota"], "{found:#?}");
    assert!(!found[0].also.is_empty(), "{found:#?}");
}

#[test]
fn what_stands_on_a_cause_is_folded_under_it() {
    let owned = |kind: &str, name: &str, by: &str, rest: Json| {
        let mut object = object(kind, "cert-manager", name, rest);
        object["metadata"]["ownerReferences"] = json!([{"uid": by}]);
        object["metadata"]["labels"] = json!({"app": "webhook"});
        object
    };
    let not_ready = json!({"spec": {"nodeName": "n1"}, "status": {"phase": "Pending", "containerStatuses": [{"name": "w", "ready": false,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"r.example/w:9\": ErrImagePull: r.example/w:9: not found"}}}]}});
    let mut seen = facts(vec![
        object("Deployment", "cert-manager", "webhook", json!({"spec": {"replicas": 1}})),
        owned("ReplicaSet", "webhook-1", "Deployment-webhook", json!({"spec": {"replicas": 1}})),
        owned("Pod", "webhook-1-a", "ReplicaSet-webhook-1", not_ready),
        object("Service", "cert-manager", "cert-manager-webhook", json!({"spec": {"selector": {"app": "webhook"}}})),
        object(
            "ValidatingWebhookConfiguration",
            "",
            "v",
            json!({"webhooks": [{"name": "w", "failurePolicy": "Fail", "clientConfig":
            {"caBundle": "x", "service": {"namespace": "cert-manager", "name": "cert-manager-webhook"}}}]}),
        ),
    ]);
    seen.refused = vec![Refused {
        subject: Subject::new("Certificate", "app", "tls"),
        address: "gateway/Certificate/app/tls".into(),
        tried: Tried::LastRun,
        text: "failed calling webhook \"w\": failed to call webhook: Post \"https://cert-manager-webhook.cert-manager.svc:443/v\": no endpoints available for service \"cert-manager-webhook\"".into(),
        class: Some(ErrorClass::Unavailable),
    }];
    seen.missing = vec![Missing {
        address: "gateway/Gateway/app/g".into(),
        subject: Subject::new("Gateway", "app", "g"),
        made: true,
    }];
    seen.needs = vec![
        (Subject::new("Gateway", "app", "g"), Subject::new("Certificate", "app", "tls")),
        (Subject::new("Certificate", "app", "tls"), Subject::of("ValidatingWebhookConfiguration", "v")),
    ];
    let found = causes(&seen);
    assert_eq!(found.iter().map(|cause| cause.id).collect::<Vec<_>>(), ["image-not-found"], "{found:#?}");
    let explains = found[0].explains.join("\n");
    for words in [
        "A webhook does not answer",
        "Deployment cert-manager/webhook: 0 of 1 ready",
        "gateway/Gateway/app/g is not there",
    ] {
        assert!(explains.contains(words), "{words} is missing:\n{explains}");
    }
    assert_eq!(unexplained(&seen), Vec::<String>::new());
}

/// A state with one intent whose run is gone.
fn cut_off(action: &str) -> Recorded {
    let address = "node_pools.gpu".to_owned();
    let begun =
        Unfinished { address, action: action.into(), since: Timestamp(1_000), operation: Some("operation-7".into()) };
    Recorded { resources: 3, pending: vec![begun], ..Recorded::default() }
}

#[test]
fn a_run_that_was_cut_off_explains_what_it_did_not_come_to_and_nothing_else() {
    let missing = |name: &str, made| Missing {
        address: format!("app/Secret/app/{name}"),
        subject: Subject::new("Secret", "app", name),
        made,
    };
    let mut seen = Facts {
        recorded: cut_off("create"),
        missing: vec![missing("late", false), missing("stopped", false), missing("lost", true)],
        reach: Reach::There,
        ..facts(vec![])
    };
    let found = causes(&seen);
    assert_eq!(found.iter().map(|cause| cause.id).collect::<Vec<_>>(), ["partly-made"], "{found:#?}");
    assert_eq!(
        found[0].fact.says,
        "the create of node_pools.gpu was begun at 1970-01-01T00:00:01Z (operation-7), and its end is not known; \
         2 resources were not begun"
    );
    assert_eq!(found[0].explains, ["app/Secret/app/late is not there", "app/Secret/app/stopped is not there"]);
    assert_eq!(unexplained(&seen), ["app/Secret/app/lost is not there"]);
    // What was sent when the run ended may be there or not.
    let mut sent = seen.clone();
    sent.recorded.pending[0].address = "app/Secret/app/lost".into();
    assert_eq!(unexplained(&sent), Vec::<String>::new());
    // What would stop the next run too is said first.
    seen.refused.push(Refused {
        subject: Subject::new("Secret", "app", "stopped"),
        address: "app/Secret/app/stopped".into(),
        tried: Tried::Rehearsal,
        text: "secrets \"stopped\" is forbidden: User \"me\" cannot create resource \"secrets\"".into(),
        class: Some(ErrorClass::Denied),
    });
    let found = causes(&seen);
    assert_eq!(found.iter().map(|cause| cause.id).collect::<Vec<_>>(), ["forbidden", "partly-made"], "{found:#?}");
    // A run that is under way has cut nothing off, and one that has failed has said why.
    seen.recorded.holder = Some("process 7".into());
    assert!(causes(&seen).iter().all(|cause| cause.id != "partly-made"));
}
