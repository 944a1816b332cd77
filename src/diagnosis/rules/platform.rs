//! What goes wrong around workloads: the cluster, its nodes and pools, quotas, rights, storage, the state of the stack.

use super::{ANY, Known, Look, Rule};
use crate::diagnosis::signs::Source::{
    Check, Cloud, Condition, Container, Event, Object, Reach, Refusal, Schedule, State,
};

/// A refusal that is about a quota of the cluster's own, or of something that is not machines.
const OWN_QUOTA: &[&str] =
    &["match these scopes", "exceeded quota:", "in_use_addresses", "forwarding", "provision volume"];

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "cluster-missing",
        title: "The cluster is gone",
        seen: "`plan` wants to make a cluster that was there; `kubectl` finds no host",
        weight: 95,
        looks: &[Look { sources: &[Reach], reasons: &["Missing"], ..ANY }],
        known_by: Known::Subject,
        names: &[],
        sentence: "the cluster that the state knows is not there any more",
        story: "The state says that the cluster was made, and Google Cloud has none of that name: somebody has deleted it, or \
                its time to live was over and `reap` took it.",
        mend: "plan and apply: the cluster is made anew with everything in it; or destroy, which settles the state and looks \
               for what the cluster has left behind",
        command: "stackwright plan {again}",
    },
    Rule {
        id: "cluster-unreachable",
        title: "The API server does not answer",
        seen: "`cannot reach the API server`, `did not answer within 45 s`, a certificate that is not trusted",
        weight: 93,
        looks: &[
            Look { sources: &[Reach], reasons: &["Silent"], ..ANY },
            Look {
                sources: &[Refusal],
                reasons: &["Unavailable"],
                any: &[
                    "cannot reach the api server",
                    "the api server did not answer",
                    "the api server's certificate is not trusted",
                ],
                ..ANY
            },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "the cluster is there, and its API server does not answer from here",
        story: "Nothing in the cluster can be seen or changed. Usual reasons: a private endpoint and no way to it, authorised \
                networks without the address of this machine, a control plane that is being repaired or upgraded, a proxy.",
        mend: "check the network from here to the endpoint and the cluster's authorised networks; wait while the control plane \
               is being upgraded",
        command: "gcloud container clusters list",
    },
    Rule {
        id: "not-logged-in",
        title: "The login is missing or expired",
        seen: "`401 UNAUTHENTICATED`, `no usable Google credentials`, `Unauthorized`",
        weight: 90,
        looks: &[
            Look { sources: &[Check], reasons: &["Credentials"], ..ANY },
            Look { sources: &[Refusal, Reach, Cloud], reasons: &["Unauthenticated"], ..ANY },
            Look {
                sources: &[Refusal, Reach],
                any: &["invalid authentication credentials", "no usable google credentials", ": unauthorized"],
                none: &["pull", "huggingface", "hf_"],
                ..ANY
            },
        ],
        known_by: Known::What,
        names: &[],
        sentence: "Google Cloud or the cluster does not know who is asking",
        story: "There are no credentials, they have expired, or they are not accepted there.",
        mend: "log in again",
        command: "gcloud auth application-default login",
    },
    Rule {
        id: "service-disabled",
        title: "A Google service is not switched on",
        seen: "`SERVICE_DISABLED`, `has not been used in project … before or it is disabled`",
        weight: 88,
        looks: &[
            Look { sources: &[Check], reasons: &["Service"], ..ANY },
            Look { sources: &[Refusal, Cloud], reasons: &["Disabled"], ..ANY },
            Look {
                sources: &[Refusal, Cloud],
                any: &["has not been used in project", "is not enabled for this project"],
                ..ANY
            },
        ],
        known_by: Known::What,
        names: &[],
        sentence: "a service that the stack needs is off in the project: {what}",
        story: "Nothing of that service can be asked for before it is switched on; that takes a minute or two.",
        mend: "switch it on",
        command: "gcloud services enable container.googleapis.com compute.googleapis.com",
    },
    Rule {
        id: "gpu-quota",
        title: "No quota for the machines",
        seen: "`QUOTA_EXCEEDED`, `Quota 'NVIDIA_T4_GPUS' exceeded`, `Insufficient regional quota to satisfy request`",
        weight: 86,
        looks: &[
            Look { sources: &[Cloud, Refusal], reasons: &["Quota"], none: OWN_QUOTA, ..ANY },
            Look { sources: &[Check], reasons: &["Quota"], ..ANY },
            Look {
                sources: &[Cloud, Refusal],
                any: &[
                    "quota_exceeded",
                    "insufficient regional quota",
                    "gce_quota_exceeded",
                    "tpus_per_tpu_family",
                    "_gpus' exceeded",
                ],
                none: OWN_QUOTA,
                ..ANY
            },
        ],
        known_by: Known::Subject,
        names: &[("Quota '", "'"), ("resource \"", "\"")],
        sentence: "the project may not have as many machines or accelerators as the stack wants: quota {what}",
        story: "The quota of the region, or of the project over all regions (GPUS_ALL_REGIONS, TPUS_PER_TPU_FAMILY), is used up \
                or zero. Waiting does not help. GKE reports it on the instance group within a minute, and on the operation half \
                an hour later.",
        mend: "ask for more of it at https://console.cloud.google.com/iam-admin/quotas, take a location where there is some \
               (`location`, `fallback_locations`), or fewer nodes",
        command: "stackwright preflight {again}",
    },
    Rule {
        id: "capacity-stockout",
        title: "No machines in the zone",
        seen: "`GCE_STOCKOUT`, `ZONE_RESOURCE_POOL_EXHAUSTED`, `does not have enough resources available`",
        weight: 86,
        looks: &[
            Look { sources: &[Cloud, Refusal], reasons: &["StockOut"], ..ANY },
            Look { sources: &[Check], reasons: &["Capacity"], ..ANY },
            Look {
                sources: &[Cloud, Refusal, Event],
                any: &[
                    "gce_stockout",
                    "resource_pool_exhausted",
                    "does not have enough resources available",
                    "stockout",
                ],
                ..ANY
            },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "the zone has no such machines free now: {what}",
        story: "The quota suffices, and the zone has none left. That is never an error of the request: the instance group says \
                so within a minute (ZONE_RESOURCE_POOL_EXHAUSTED), the operation after about 35 minutes (GCE_STOCKOUT). The pool \
                stays behind, keeps waiting, and bills for the nodes that it has.",
        mend: "name other zones in `fallback_locations`, try `provisioning = \"spot\"` or \"flex-start\", or try again later",
        command: "stackwright preflight {again} --probe",
    },
    Rule {
        id: "paused",
        title: "The stack is paused",
        seen: "pods of models are Pending, and their pools have no nodes",
        weight: 82,
        looks: &[Look { sources: &[State], reasons: &["Paused"], ..ANY }],
        known_by: Known::Subject,
        names: &[],
        sentence: "the stack is paused: its pools with accelerators have no nodes, and its models cannot answer",
        story: "`pause` has taken the nodes with accelerators away to save money. Pods of models wait for them; that is no fault.",
        mend: "resume it",
        command: "stackwright resume {again}",
    },
    Rule {
        id: "gpu-operator-quota",
        title: "GKE refuses pods of system priority",
        seen: "no pods at all, and `FailedCreate`: `insufficient quota to match these scopes`",
        weight: 81,
        looks: &[Look { any: &["insufficient quota to match these scopes"], ..ANY }],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} may not make its pods: the namespace has no ResourceQuota for system priority classes",
        story: "GKE lets pods of system-node-critical and system-cluster-critical only into namespaces that have a ResourceQuota \
                scoped to those classes. Daemons of the GPU operator, of Node Feature Discovery and of Istio's CNI are such pods. \
                There are no pods to look at: the refusal is an event of the DaemonSet or ReplicaSet.",
        mend: "make a ResourceQuota with the scope PriorityClass In [system-node-critical, system-cluster-critical] in the \
               namespace before the chart; the catalogue's add-ons bring one: apply again",
        command: "kubectl -n {namespace} get resourcequota -o wide",
    },
    Rule {
        id: "operation-failed",
        title: "An operation of Google Cloud has failed",
        seen: "a cluster or pool is `ERROR`, `DEGRADED` or `RUNNING_WITH_ERROR`",
        weight: 62,
        looks: &[Look { sources: &[Cloud], ..ANY }],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} is not as it should be: an operation of Google Cloud has failed",
        story: "A cluster or pool could be asked for and could not be made or changed. What a failed creation leaves behind may \
                bill and keeps the name; the next plan shows what happens to it.",
        mend: "read what it says; then plan again: what a failed creation has left is replaced",
        command: "stackwright plan {again}",
    },
    Rule {
        id: "forbidden",
        title: "The account may not do it",
        seen: "`403`, `IAM_PERMISSION_DENIED`, `Required \"…\" permission(s)`, `is forbidden: User …`",
        weight: 68,
        looks: &[
            Look { sources: &[Check], reasons: &["Permission"], ..ANY },
            Look { sources: &[Refusal, Cloud], reasons: &["Denied"], none: &["pull"], ..ANY },
            Look {
                sources: &[Refusal, Event, Condition, Cloud],
                any: &[
                    "is forbidden: user",
                    "permission(s) for",
                    "does not have required permission",
                    "permission denied",
                    "cannot create resource",
                    "cannot get resource",
                    "cannot list resource",
                    "cannot patch resource",
                ],
                none: &["match these scopes", "exceeded quota"],
                ..ANY
            },
        ],
        known_by: Known::What,
        names: &[("Required \"", "\"")],
        sentence: "the account in use, or the one of a controller, lacks a right: {what}",
        story: "Google Cloud's IAM or the cluster's RBAC has said no. Four different things are a 403 at Google Cloud; this is the \
                one about rights.",
        mend: "give the account roles/container.admin in the project (and roles/compute.viewer), or in a cluster of a kubeconfig \
               a ClusterRoleBinding that allows it",
        command: "stackwright preflight {again}",
    },
    Rule {
        id: "not-offered",
        title: "The place does not offer it",
        seen: "`Invalid machine type`, `Permission denied on 'locations/…' (or it may not exist)`",
        weight: 66,
        looks: &[
            Look { sources: &[Check], reasons: &["Offer"], ..ANY },
            Look {
                sources: &[Refusal, Cloud],
                any: &["invalid machine type", "permission denied on 'locations/", "(or it may not exist)"],
                ..ANY
            },
        ],
        known_by: Known::What,
        names: &[],
        sentence: "the location has no such machine, accelerator or version: {what}",
        story: "Not every zone has every accelerator, and not every release channel every version.",
        mend: "choose another `location`, machine type or version",
        command: "stackwright preflight {again}",
    },
    Rule {
        id: "node-not-ready",
        title: "A node is not ready, or was taken away",
        seen: "a node is NotReady, `Kubelet stopped posting node status`, pods are evicted or `NodeLost`",
        weight: 64,
        looks: &[
            Look { sources: &[Condition], kinds: &["Node"], none: &["cni", "network plugin"], ..ANY },
            Look {
                sources: &[Event],
                reasons: &["NodeNotReady", "NodeLost", "Preempted", "Shutdown", "NodeShutdown"],
                ..ANY
            },
            Look {
                sources: &[Container],
                reasons: &["NodeLost", "NodeShutdown", "Terminated", "NodeAffinity", "Shutdown", "Preempting"],
                ..ANY
            },
            Look { sources: &[Schedule], reasons: &["NodeNotReady"], ..ANY },
            Look {
                sources: &[Refusal],
                any: &["taint {node.kubernetes.io/unreachable", "taint {node.kubernetes.io/not-ready"],
                ..ANY
            },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} is not ready: what runs on it does not answer, and nothing new can start there",
        story: "Its kubelet does not report, or reports a problem: the machine is starting, was preempted (spot), is being \
                repaired, or is out of disk or memory. GKE repairs nodes by itself after about ten minutes.",
        mend: "wait for GKE's repair or a new spot machine; where that does not come, look at the node and delete its machine",
        command: "kubectl describe {kind} {name}",
    },
    Rule {
        id: "namespace-terminating",
        title: "The namespace is being deleted",
        seen: "a namespace stays `Terminating`; `unable to create new content in namespace … because it is being terminated`",
        weight: 78,
        looks: &[
            Look { sources: &[Condition], kinds: &["Namespace"], reasons: &["Terminating"], ..ANY },
            Look { any: &["because it is being terminated", "namespaceterminating"], ..ANY },
        ],
        known_by: Known::What,
        names: &[("in namespace ", " "), ("namespace \"", "\"")],
        sentence: "the namespace is being deleted and does not come to an end: nothing new can be made in it",
        story: "Deletion waits for what is in the namespace, and that for finalizers: of a load balancer, of custom resources \
                whose controller is gone, or of an APIService that does not answer.",
        mend: "see what remains in it; bring back the controller that the finalizer belongs to, and let it finish",
        command: "kubectl get namespace {what} -o jsonpath='{.status.conditions}'",
    },
    Rule {
        id: "crd-missing",
        title: "The cluster does not know the kind",
        seen: "`no matches for kind`, `the server could not find the requested resource`",
        weight: 67,
        looks: &[
            Look { sources: &[Condition], kinds: &["CustomResourceDefinition"], ..ANY },
            Look {
                any: &[
                    "no matches for kind",
                    "does not know",
                    "could not find the requested resource",
                    "the server doesn't have a resource type",
                ],
                none: &["image"],
                ..ANY
            },
            Look {
                sources: &[Refusal],
                kinds: &["CustomResourceDefinition"],
                any: &["deleted by another hand"],
                ..ANY
            },
            Look {
                sources: &[Refusal],
                any: &["customresourcedefinition"],
                none: &["failed calling webhook", "is forbidden: user"],
                ..ANY
            },
        ],
        known_by: Known::What,
        names: &[("does not know ", "\n")],
        sentence: "the definition of a kind is missing or not established: {what}",
        story: "A custom resource can be made once its CustomResourceDefinition is there and its API is served. Definitions that \
                were deleted took every object of their kind with them.",
        mend: "apply again: the add-on that brings the definition is part of the plan; where GKE brings it (Gateway API, \
               InferencePool), check the cluster's version",
        command: "kubectl get crd",
    },
    Rule {
        id: "namespace-quota",
        title: "The namespace's ResourceQuota is used up",
        seen: "`exceeded quota: NAME, requested: …, used: …, limited: …`",
        weight: 70,
        looks: &[Look { any: &["exceeded quota:"], ..ANY }],
        known_by: Known::What,
        names: &[("exceeded quota: ", ",")],
        sentence: "{object} may not have more: the namespace's ResourceQuota {what} is used up",
        story: "A ResourceQuota of the cluster limits what the namespace may hold. It is not a quota of Google Cloud.",
        mend: "raise the ResourceQuota, or ask for less",
        command: "kubectl -n {namespace} describe resourcequota",
    },
    Rule {
        id: "storage-class-missing",
        title: "There is no such StorageClass",
        seen: "a claim is Pending: `storageclass.storage.k8s.io \"…\" not found`",
        weight: 74,
        looks: &[Look { any: &["storageclass.storage.k8s.io"], all: &["not found"], ..ANY }],
        known_by: Known::Subject,
        names: &[("storageclass.storage.k8s.io \"", "\"")],
        sentence: "{object} asks for a StorageClass that the cluster does not have: {what}",
        story: "The claim stays pending, and so do its pods. GKE has standard, standard-rwo (the default) and premium-rwo.",
        mend: "name a class that is there, or make this one",
        command: "kubectl get storageclass",
    },
    Rule {
        id: "disk-quota",
        title: "No quota for disks",
        seen: "`ProvisioningFailed`: `Quota 'SSD_TOTAL_GB' exceeded`",
        weight: 76,
        looks: &[
            Look { any: &["quota"], all: &["provision volume"], ..ANY },
            Look { any: &["ssd_total_gb", "disks_total_gb", "hyperdisk"], all: &["quota"], ..ANY },
        ],
        known_by: Known::What,
        names: &[("Quota '", "'"), ("resource \"", "\"")],
        sentence: "a disk cannot be made: the quota {what} of the region is used up",
        story: "Volumes and the boot disks of nodes count towards it together.",
        mend: "ask for more of it at https://console.cloud.google.com/iam-admin/quotas, ask for smaller volumes, or delete disks \
               that nobody uses",
        command: "gcloud compute disks list --filter='-users:*'",
    },
    Rule {
        id: "volume-not-bound",
        title: "A volume is not there",
        seen: "`pod has unbound immediate PersistentVolumeClaims`, `FailedAttachVolume`, `FailedBinding`",
        weight: 52,
        looks: &[
            Look { sources: &[Event, Refusal], kinds: &["PersistentVolumeClaim"], none: &["deleted by"], ..ANY },
            Look { sources: &[Event], reasons: &["FailedAttachVolume", "FailedBinding", "ProvisioningFailed"], ..ANY },
            Look {
                sources: &[Event],
                any: &["unbound immediate persistentvolumeclaims", "persistentvolumeclaim"],
                ..ANY
            },
            Look { sources: &[Schedule], reasons: &["Volume"], ..ANY },
        ],
        known_by: Known::Subject,
        names: &[("persistentvolumeclaim \"", "\"")],
        sentence: "{object} waits for a volume that is not bound or cannot be attached",
        story: "A claim is bound once a disk was made for it; some disks can only be attached in their zone, or to some machine \
                families (v6e takes hyperdisk only).",
        mend: "see what the claim's events say",
        command: "kubectl -n {namespace} describe pvc",
    },
    Rule {
        id: "rate-limited",
        title: "Too many requests",
        seen: "`429`, `too many requests, please try again later`, `RATE_LIMIT_EXCEEDED`",
        weight: 48,
        looks: &[
            Look { sources: &[Refusal, Cloud], reasons: &["RateLimited"], ..ANY },
            Look {
                sources: &[Refusal, Cloud, Event, Condition],
                any: &[
                    "too many requests",
                    "rate limit",
                    "ratelimitexceeded",
                    "quota exceeded for requests per minute",
                    "429",
                ],
                none: &["image", "huggingface"],
                ..ANY
            },
        ],
        known_by: Known::What,
        names: &[],
        sentence: "requests are refused because there are too many of them",
        story: "The API server or Google Cloud sheds load. Requests are tried again with pauses; a run gives up when that goes on.",
        mend: "run the same command again, with fewer requests at a time",
        command: "stackwright apply {again} --parallelism 4",
    },
    Rule {
        id: "object-deleted",
        title: "Somebody has deleted an object",
        seen: "`plan` wants to make again what was there",
        weight: 55,
        looks: &[Look { sources: &[Refusal], any: &["deleted by another hand"], ..ANY }],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} was made and is not there any more: somebody else has deleted it",
        story: "The state says that it was made, the cluster does not have it, and the API server would take it again.",
        mend: "apply again: what is missing is made anew",
        command: "stackwright plan {again}",
    },
    Rule {
        id: "state-unreadable",
        title: "The state cannot be read",
        seen: "the state is damaged, or was written by a newer stackwright",
        weight: 60,
        looks: &[Look { sources: &[State], reasons: &["Unreadable"], ..ANY }],
        known_by: Known::Subject,
        names: &[],
        sentence: "the state of the stack cannot be read",
        story: "What the stack made is still there and carries its labels; only the record of it cannot be read.",
        mend: "see what can still be read, and go back to it; or make the state again from what is there",
        command: "stackwright history list {again}",
    },
    Rule {
        id: "partly-made",
        title: "The stack is only partly made",
        seen: "things of the stack are not there, and no error says why: the last run was killed, only a part was applied \
               (`--target`), or the file has grown since",
        weight: 12,
        looks: &[Look { sources: &[State], reasons: &["PartlyMade"], ..ANY }],
        known_by: Known::Subject,
        names: &[],
        sentence: "{stack} is only partly made: a run was cut off, only a part was applied, or the file has grown since",
        story: "Nothing is lost: whatever a run begins is in the state before it begins, and the platform's operation goes on without \
                it.",
        mend: "run the same command again, or `apply` for all of it: it asks what became of what was begun, and goes on from there",
        command: "stackwright apply {again}",
    },
    Rule {
        id: "partly-deleted",
        title: "Something was only partly deleted",
        seen: "things of the stack are gone, and no error says why: a `destroy` was killed, or an `apply` that took something away",
        weight: 12,
        looks: &[Look { sources: &[State], reasons: &["PartlyDeleted"], ..ANY }],
        known_by: Known::Subject,
        names: &[],
        sentence: "a run that deleted parts of {stack} was cut off",
        story: "Nothing is lost: the state says what was to go, and what is there costs what it costs until it is gone.",
        mend: "run the same command again, `destroy` or `apply`: it asks what became of what was begun, and goes on from there; \
               `plan` shows what `apply` would do",
        command: "stackwright plan {again}",
    },
    Rule {
        id: "lease-held",
        title: "Another run has the state",
        seen: "`the state of … is locked by …`",
        weight: 44,
        looks: &[
            Look { sources: &[State], reasons: &["Held"], ..ANY },
            Look { sources: &[Refusal], any: &["is locked by"], ..ANY },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "another run has the state of {stack}: {what}",
        story: "Two runs at once would undo each other, so the second waits or is refused. A run that was killed on another \
                machine keeps its lease until that is over.",
        mend: "wait until it is over (`--lock-timeout 10m`), or end it where it runs; a lease in a bucket whose holder is gone can \
               be broken",
        command: "stackwright lease list {again}",
    },
    Rule {
        id: "nodes-full",
        title: "The nodes have no room",
        seen: "`Insufficient cpu`, `Insufficient memory`, `Too many pods`",
        weight: 54,
        looks: &[
            Look { sources: &[Schedule], reasons: &["NoRoom", "NoNodes"], ..ANY },
            Look { sources: &[Object], reasons: &["NoRoom"], ..ANY },
        ],
        known_by: Known::What,
        names: &[],
        sentence: "{object} has no node: the nodes that it fits have no room for it",
        story: "Every node that the pod could run on is full, or too small for it, or there is none (yet).",
        mend: "give the pool more nodes or a larger `autoscale` range, or ask for less",
        command: "kubectl describe nodes",
    },
];
