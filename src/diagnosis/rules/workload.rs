//! What goes wrong with workloads themselves: images, models and their tokens, memory, vLLM's own refusals, probes,
//! placement, devices.

use super::{ANY, Known, Look, Rule, SAID};
use crate::diagnosis::signs::Source::{Cloud, Condition, Container, Event, Refusal, Schedule};

/// What registries say of who may not pull.
const DENIED: &[&str] = &[
    "401 unauthorized",
    "403 forbidden",
    "pull access denied",
    "authentication required",
    "failed to authorize",
    "no basic auth credentials",
    "insufficient_scope",
    "permission \"artifactregistry",
    "requested access to the resource is denied",
];

/// What hubs say of a model that is not there.
const NO_MODEL: &[&str] = &[
    "repositorynotfounderror",
    "repository not found",
    "revisionnotfounderror",
    "404 client error",
    "invalid repository id",
    "is not a valid model identifier",
    "hfvalidationerror",
    "nosuchkey",
    "nosuchbucket",
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "image-pull-denied",
        title: "The registry wants a login",
        seen: "`ImagePullBackOff` with `401 Unauthorized`, `pull access denied`, `no basic auth credentials`",
        weight: 77,
        looks: &[
            Look { sources: &[Container, Event, Refusal], any: DENIED, all: &["pull"], ..ANY },
            Look { sources: &[Event], reasons: &["FailedToRetrieveImagePullSecret"], ..ANY },
        ],
        known_by: Known::What,
        names: &[("image \"", "\"")],
        sentence: "the image {what} cannot be pulled: the registry does not let this pod in",
        story: "The pod and its ServiceAccount name no pull secret, one that is not in the namespace, or one without a login to \
                this registry; or the login is not (any more) allowed to read the repository.",
        mend: "give the stack a login under [registries.\"HOST\"] with `pull_secret`, check that it works (`podman login`), and \
               apply",
        command: "kubectl -n {namespace} get secrets,serviceaccounts",
    },
    Rule {
        id: "image-not-found",
        title: "There is no such image",
        seen: "`ErrImagePull` with `not found` or `manifest unknown`; `InvalidImageName`",
        weight: 76,
        looks: &[
            Look {
                sources: &[Container, Event, Refusal],
                any: &["not found", "manifest unknown", "name unknown", "does not exist", "no match for platform"],
                all: &["pull"],
                none: DENIED,
                ..ANY
            },
            Look { reasons: &["InvalidImageName", "ErrImageNeverPull"], ..ANY },
            Look { any: &["invalidimagename", "couldn't parse image"], ..ANY },
        ],
        known_by: Known::What,
        names: &[("image \"", "\"")],
        sentence: "the image {what} does not exist",
        story: "The registry answers and has no such repository, tag or digest, or none for the nodes' architecture.",
        mend: "correct the image or its tag in the stack file, and apply",
        command: "",
    },
    Rule {
        id: "image-pull-failing",
        title: "An image cannot be pulled",
        seen: "`ErrImagePull`, `ImagePullBackOff` with `i/o timeout` or `toomanyrequests`",
        weight: 46,
        looks: &[
            Look {
                sources: &[Container],
                reasons: &["ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"],
                ..ANY
            },
            Look { sources: &[Event, Refusal], any: &["failed to pull image", "errimagepull"], ..ANY },
        ],
        known_by: Known::What,
        names: &[("image \"", "\"")],
        sentence: "the image {what} cannot be pulled",
        story: "The registry does not answer, limits how much is pulled, or cannot be reached from the nodes (private nodes need \
                Cloud NAT or an Artifact Registry mirror).",
        mend: "read what the runtime says; check that nodes reach the registry",
        command: "kubectl -n {namespace} describe pod {name}",
    },
    Rule {
        id: "model-not-found",
        title: "There is no such model",
        seen: "`RepositoryNotFoundError`, `RevisionNotFoundError`, `404 Client Error`, `Invalid repository ID`",
        weight: 81,
        looks: &[Look { sources: SAID, any: NO_MODEL, none: &["gatedrepoerror", "pull"], ..ANY }],
        known_by: Known::Subject,
        names: &[("resolve-", ""), ("https://huggingface.co/api/models/", ""), ("specified: '", "'")],
        sentence: "the model that {object} loads does not exist, at least not for this token: {what}",
        story: "The hub has no repository, revision or file of that name. Of a private repository it says the same to whoever may \
                not see it.",
        mend: "correct `model` (and its revision) in the stack file; for a private model give a token that may read it",
        command: "",
    },
    Rule {
        id: "model-gated",
        title: "The model's licence is not accepted",
        seen: "`GatedRepoError: 403 Client Error`, `you are not in the authorized list`",
        weight: 80,
        looks: &[
            Look {
                sources: SAID,
                any: &["not in the authorized list", "awaiting a review", "ask for access", "403 client error"],
                all: &["gated"],
                ..ANY
            },
            Look {
                sources: SAID,
                any: &["your request to access model", "has been rejected by the repo's authors"],
                ..ANY
            },
        ],
        known_by: Known::Subject,
        names: &[
            ("https://huggingface.co/api/models/", ""),
            ("Access to model ", " is"),
            ("https://huggingface.co/", "/resolve"),
        ],
        sentence: "the account of the token may not load the model: its owner asks everybody to accept a licence first: {what}",
        story: "Gated models are given to accounts whose request was granted. The token is fine; its account is not on the list.",
        mend: "open the model's page on huggingface.co with the token's account, accept its terms, wait for the grant, and apply",
        command: "",
    },
    Rule {
        id: "hf-token-missing",
        title: "The Hugging Face token is missing",
        seen: "`GatedRepoError: 401 Client Error`, `You must have access to it and be authenticated`, `couldn't find key HF_TOKEN`",
        weight: 79,
        looks: &[
            Look {
                sources: SAID,
                any: &[
                    "must have access to it and be authenticated",
                    "please log in",
                    "token is required",
                    "localtokennotfounderror",
                ],
                ..ANY
            },
            Look {
                sources: SAID,
                any: &["gatedrepoerror: 401", "cannot access gated repo"],
                none: &["403 client error"],
                ..ANY
            },
            Look { reasons: &["CreateContainerConfigError"], any: &["hf_token", "hf-token", "huggingface"], ..ANY },
            Look {
                sources: &[Refusal, Event],
                any: &["hf_token", "hf-token", "huggingface-token"],
                all: &["not found"],
                ..ANY
            },
        ],
        known_by: Known::Subject,
        names: &[("Access to model ", " is"), ("secret \"", "\"")],
        sentence: "{object} has no Hugging Face token, and the model is not given to just anybody: {what}",
        story: "The download asks without a token. KServe's download takes it from a Secret of the pod's ServiceAccount, not from \
                an environment variable of the model's container.",
        mend: "give the workload `hf_token = \"${inputs.hf_token}\"` and the input a value (HF_TOKEN), and apply",
        command: "",
    },
    Rule {
        id: "hf-token-wrong",
        title: "The Hugging Face token is not accepted",
        seen: "`401 Client Error: Unauthorized`, `Invalid username or password`",
        weight: 80,
        looks: &[Look {
            sources: SAID,
            any: &[
                "401 client error: unauthorized",
                "invalid username or password",
                "invalid user token",
                "invalid credentials in authorization header",
                "user access token",
                "illegal header value",
            ],
            none: &["gatedrepoerror", "repositorynotfound"],
            ..ANY
        }],
        known_by: Known::Subject,
        names: &[],
        sentence: "Hugging Face does not accept the token of {object}",
        story: "The token is mistyped, revoked or expired, or has a line break in it.",
        mend: "make a token with read access at https://huggingface.co/settings/tokens, set HF_TOKEN to it, and apply",
        command: "curl -H \"Authorization: Bearer $HF_TOKEN\" https://huggingface.co/api/whoami-v2",
    },
    Rule {
        id: "host-memory-exceeded",
        title: "Out of memory on the host",
        seen: "`OOMKilled`, exit code 137",
        weight: 79,
        looks: &[
            Look { sources: &[Container], reasons: &["OOMKilled"], ..ANY },
            Look { sources: &[Event], reasons: &["OOMKilling", "SystemOOM", "OOMKilled"], ..ANY },
            Look { sources: &[Container, Event], reasons: &["Evicted"], any: &["memory"], ..ANY },
            Look { sources: &[Refusal], any: &["oomkilled"], ..ANY },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} is killed because it takes more memory than its limit, or than the node has: container {what}",
        story: "Exit code 137 with OOMKilled is about the host's memory, not the accelerator's. Loading a model takes about its \
                size in memory; KServe's download has a limit of 1 GiB unless told otherwise, too little for large shards.",
        mend: "raise the container's memory (`resources` of the workload; `storageInitializer` of KServe for the download), or \
               take a machine type with more",
        command: "kubectl -n {namespace} describe pod {name}",
    },
    Rule {
        id: "accelerator-memory-exceeded",
        title: "The model does not fit the accelerator",
        seen: "`CUDA out of memory`, `No available memory for the cache blocks`, `KV cache is needed, which is larger than the available`",
        weight: 83,
        looks: &[Look {
            sources: SAID,
            any: &[
                "cuda out of memory",
                "outofmemoryerror",
                "no available memory for the cache blocks",
                "kv cache is needed, which is larger",
                "larger than the available kv cache memory",
                "larger than the maximum number of tokens that can be stored in kv cache",
                "ran out of memory in memory space hbm",
                "resource_exhausted: error allocating device buffer",
                "hip out of memory",
            ],
            ..ANY
        }],
        known_by: Known::Subject,
        names: &[],
        sentence: "weights and cache of the model in {object} do not fit the accelerator's memory",
        story: "vLLM loads the weights, measures what is left, and wants room for at least one request of the longest context.",
        mend: "lower `max_model_len` or `max_num_seqs`, raise `gpu_memory_utilization`, take a smaller or quantised model, more \
               chips (`tensor_parallel`), or a larger accelerator",
        command: "stackwright validate {again}",
    },
    Rule {
        id: "dtype-unsupported",
        title: "The accelerator does not know the data type",
        seen: "`Bfloat16 is only supported on GPUs with compute capability of at least 8.0`",
        weight: 84,
        looks: &[Look {
            sources: SAID,
            any: &[
                "bfloat16 is only supported",
                "fp8 is not supported",
                "is not supported on this gpu",
                "compute capability",
            ],
            ..ANY
        }],
        known_by: Known::Subject,
        names: &[("Your ", " GPU")],
        sentence: "the model in {object} is loaded in a data type that the accelerator does not have: {what}",
        story: "Most models name bfloat16; a T4 (compute capability 7.5) has half precision only. vLLM needs 7.0 at least.",
        mend: "set `dtype = \"half\"` in the workload, and apply",
        command: "stackwright validate {again}",
    },
    Rule {
        id: "context-too-long",
        title: "The context is longer than the model's",
        seen: "`max_model_len (…) is greater than the derived max_model_len`",
        weight: 83,
        looks: &[Look {
            sources: SAID,
            any: &["greater than the derived max_model_len", "max_position_embeddings"],
            ..ANY
        }],
        known_by: Known::Subject,
        names: &[("max_model_len (", ")")],
        sentence: "{object} is told to serve contexts longer than its model has learned: max_model_len {what}",
        story: "A model has a longest context in its configuration; vLLM refuses to start with a longer one.",
        mend: "lower `max_model_len` in the workload to what the model has, and apply",
        command: "stackwright validate {again}",
    },
    Rule {
        id: "tensor-parallel-mismatch",
        title: "The model cannot be split like that",
        seen: "`must be divisible by tensor parallel size`, `World size (…) is larger than the number of available GPUs`",
        weight: 83,
        looks: &[Look {
            sources: SAID,
            any: &[
                "must be divisible by tensor parallel size",
                "is not divisible by",
                "is larger than the number of available gpus",
                "exceeds the number of available tpu chips",
                "world size (",
            ],
            ..ANY
        }],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} is told to split its model over a number of chips that does not fit",
        story: "The tensor parallel size must divide the model's attention heads, and the container must have as many chips.",
        mend: "set `tensor_parallel` to the number of chips of the pod (1, 2, 4, 8), and apply",
        command: "stackwright validate {again}",
    },
    Rule {
        id: "tpu-topology-mismatch",
        title: "The TPU topology does not fit",
        seen: "`didn't match Pod's node affinity/selector` with another `gke-tpu-topology`; `TPU topology can't be specified`",
        weight: 72,
        looks: &[
            Look { sources: &[Schedule], reasons: &["TopologyMismatch"], ..ANY },
            Look {
                sources: &[Event, Cloud, Refusal],
                any: &["tpu topology", "tpu_topology", "gke-tpu-topology", "tpu pod slice with topology"],
                ..ANY
            },
        ],
        known_by: Known::Subject,
        names: &[("topology \"", "\"")],
        sentence: "{object} asks for another TPU topology than there is: {what}",
        story: "A pod that wants TPU chips names the topology of its slice, and nodes have exactly one: 1x1, 2x2 or 2x4 for a \
                single v6e host. A pool of single hosts is made without a topology flag.",
        mend: "let the workload use its pool's topology (leave it out and name `node_pool`), or choose the accelerator's row that \
               has it",
        command: "kubectl get nodes -L cloud.google.com/gke-tpu-topology",
    },
    Rule {
        id: "taint-not-tolerated",
        title: "A pod does not tolerate its nodes' taint",
        seen: "`node(s) had untolerated taint {nvidia.com/gpu: present}`",
        weight: 67,
        looks: &[
            Look { sources: &[Schedule], reasons: &["Untolerated"], ..ANY },
            Look {
                sources: &[Refusal],
                any: &["untolerated taint"],
                none: &["node.kubernetes.io/", "insufficient"],
                ..ANY
            },
        ],
        known_by: Known::Subject,
        names: &[("untolerated taint {", "}")],
        sentence: "{object} fits nodes that refuse it: they have the taint {what}, and the pod no toleration for it",
        story: "GKE taints nodes with accelerators so that nothing else runs there: nvidia.com/gpu=present, google.com/tpu=present.",
        mend: "give the pod that toleration; a workload with `node_pool` has it by itself",
        command: "kubectl describe nodes",
    },
    Rule {
        id: "node-selector-matches-nothing",
        title: "No node has the label that a pod wants",
        seen: "`node(s) didn't match Pod's node affinity/selector`",
        weight: 66,
        looks: &[
            Look { sources: &[Schedule], reasons: &["NoSuchLabel"], ..ANY },
            Look {
                sources: &[Refusal],
                any: &["didn't match pod's node affinity/selector"],
                none: &["untolerated taint", "insufficient"],
                ..ANY
            },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} wants a node with {what}, and there is none",
        story: "A node selector or affinity names a label that no node has: a spelling, another accelerator, or a pool that is not \
                there.",
        mend: "correct the selector, or add a pool whose nodes have the label",
        command: "kubectl get nodes --show-labels",
    },
    Rule {
        id: "driver-not-ready",
        title: "The GPU driver is not ready",
        seen: "ClusterPolicy is `notReady`; pods of `nvidia-operator-validator` stay in Init",
        weight: 62,
        looks: &[
            Look { sources: &[Condition], kinds: &["ClusterPolicy"], ..ANY },
            Look { reasons: &["DriverNotReady", "OperandNotReady"], ..ANY },
            Look {
                sources: SAID,
                any: &[
                    "driver-validation",
                    "nvidia-smi",
                    "nvml: driver not loaded",
                    "failed to initialize nvml",
                    "libnvidia-ml.so",
                    "driver is not ready",
                ],
                ..ANY
            },
            Look { sources: &[Refusal], any: &["clusterpolicy"], all: &["notready"], ..ANY },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "the GPU operator does not come to an end: the driver, or what stands on it, is not ready on the nodes ({object})",
        story: "The operator checks driver, container toolkit and device plugin one after the other on each node with a GPU. On \
                GKE's Container-Optimized OS the driver is Google's: the operator must not install one, and must be told where it is \
                (/home/kubernetes/bin/nvidia).",
        mend: "see the pods of nvidia-operator-validator and their init containers; check that the pool has Google's driver \
               (`gpu_driver`), and that the operator's `driver.enabled` is false",
        command: "kubectl get pods --all-namespaces -l app=nvidia-operator-validator",
    },
    Rule {
        id: "device-plugin-absent",
        title: "Nodes do not offer their accelerators",
        seen: "`Insufficient nvidia.com/gpu`, `Insufficient google.com/tpu`",
        weight: 59,
        looks: &[
            Look { sources: &[Schedule], reasons: &["NoDevice"], ..ANY },
            Look {
                sources: SAID,
                any: &["failed to infer device type", "no ba16c7433 device found", "no cuda gpus are available"],
                ..ANY
            },
            Look { sources: &[Refusal], any: &["insufficient nvidia.com/gpu", "insufficient google.com/tpu"], ..ANY },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} asks for an accelerator that its nodes do not offer: no device plugin has registered {what}",
        story: "The machine has the accelerator, and Kubernetes does not know: the device plugin (of the GPU operator, or GKE's own) \
                does not run on the node. With the label gke-no-default-nvidia-gpu-device-plugin=true GKE leaves it to the operator.",
        mend: "add [addons.gpu-operator] to the stack, or see why its device plugin does not run on the node",
        command: "kubectl get pods --all-namespaces -l app=nvidia-device-plugin-daemonset",
    },
    Rule {
        id: "secret-missing",
        title: "A Secret or ConfigMap is missing",
        seen: "`CreateContainerConfigError`, `FailedMount`: `secret \"…\" not found`",
        weight: 56,
        looks: &[
            Look { sources: &[Container], reasons: &["CreateContainerConfigError"], ..ANY },
            Look {
                sources: &[Event],
                reasons: &["FailedMount"],
                any: &["not found", "references non-existent", "couldn't find key"],
                ..ANY
            },
            Look { sources: &[Refusal], any: &["mountvolume.setup failed"], ..ANY },
        ],
        known_by: Known::Subject,
        names: &[("secret \"", "\""), ("configmap \"", "\"")],
        sentence: "{object} cannot start: what it mounts or reads is not there: {what}",
        story: "A pod waits for every Secret and ConfigMap that it names. One that cert-manager writes comes with its Certificate.",
        mend: "make it, or correct its name",
        command: "kubectl -n {namespace} get secrets,configmaps",
    },
    Rule {
        id: "probe-too-early",
        title: "A probe kills a container that still starts",
        seen: "`Liveness probe failed`, `failed startup probe, will be restarted`",
        weight: 60,
        looks: &[
            Look {
                sources: &[Event],
                reasons: &["Killing"],
                any: &["failed liveness probe", "failed startup probe"],
                ..ANY
            },
            Look {
                sources: &[Event],
                reasons: &["Unhealthy"],
                any: &["liveness probe failed", "startup probe failed"],
                ..ANY
            },
            Look { sources: &[Refusal], any: &["liveness probe failed", "startup probe failed"], ..ANY },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} is killed by its own probe before it can answer, again and again",
        story: "A large model takes minutes to download, load and compile. A liveness probe without a startup probe, or with too \
                small an initial delay, ends it before.",
        mend: "raise `initialDelaySeconds`, or add a startup probe with enough tries (`probes` of the workload), and apply; check \
               that the probe's scheme is the server's",
        command: "kubectl -n {namespace} describe pod {name}",
    },
    Rule {
        id: "crash-loop",
        title: "A container keeps ending",
        seen: "`CrashLoopBackOff`, `Error`",
        weight: 36,
        looks: &[
            Look {
                sources: &[Container],
                reasons: &["CrashLoopBackOff", "Error", "ContainerCannotRun", "StartError", "RunContainerError"],
                ..ANY
            },
            Look { sources: &[Event], reasons: &["BackOff"], any: &["restarting failed container"], ..ANY },
            Look { sources: &[Refusal], any: &["keeps dying"], ..ANY },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} ends by itself again and again, for a reason that is not in this table",
        story: "The program in the container comes to an end with an error. Its last words are in its log.",
        mend: "read the log of the container before it was started again",
        command: "kubectl -n {namespace} logs {name} --all-containers --previous",
    },
];
