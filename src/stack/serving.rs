//! `[workloads]` of the stack file as types: models, how vLLM serves them, and how requests reach them.
//!
//! The doc comment of each key is what editors show. Which argument of vLLM a key becomes is the catalogue's matter.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::stack::decode::{Spanned, choice, table};
use crate::stack::leaf::{Fraction, LabelName, ModelUri, NonEmpty, Quantity, Text, Whole};
use crate::stack::model::Distribution;

choice! {
    /// How requests are spread over replicas.
    pub enum Routing {
        /// By the gateway, to the replica with the fewest requests under way, without regard to their content.
        Direct = "direct",
        /// To the replica that has most of the prompt in its cache, by KServe's scheduler.
        CacheAware = "cache-aware",
        /// By the gateway, to one replica after the other.
        RoundRobin = "round-robin",
    }
}

choice! {
    /// The number format of a model's weights and activations, in vLLM's words.
    pub enum Dtype {
        /// As the model's configuration says.
        Auto = "auto",
        /// 16 bits, IEEE.
        Half = "half",
        /// The same.
        Float16 = "float16",
        /// 16 bits with the exponent of 32. Not on T4.
        Bfloat16 = "bfloat16",
        /// 32 bits.
        Float = "float",
        /// The same.
        Float32 = "float32",
    }
}

choice! {
    /// The number format of the cache of keys and values, in vLLM's words.
    pub enum CacheDtype {
        /// As the model's.
        Auto = "auto",
        /// 8 bits, as the accelerator prefers them.
        Fp8 = "fp8",
        /// 8 bits, 5 of them exponent.
        Fp8E5m2 = "fp8_e5m2",
        /// 8 bits, 4 of them exponent.
        Fp8E4m3 = "fp8_e4m3",
    }
}

choice! {
    /// What a model is for, in vLLM's words.
    pub enum Runner {
        /// As the model's configuration says.
        Auto = "auto",
        /// It writes text.
        Generate = "generate",
        /// It makes vectors of texts: embeddings, scores.
        Pooling = "pooling",
    }
}

choice! {
    /// Who collects a model's metrics.
    pub enum Monitoring {
        /// GKE's managed Prometheus, by a PodMonitoring.
        PodMonitoring = "pod-monitoring",
        /// The Prometheus operator, by a ServiceMonitor; its definition must be in the cluster.
        ServiceMonitor = "service-monitor",
    }
}

choice! {
    /// How the gateway and the copies know each other.
    pub enum Mtls {
        /// The gateway knows the copies by their certificates.
        Off = "off",
        /// Each knows the other by the mesh's certificates, and the copies take nothing else.
        Strict = "strict",
    }
}

table! {
    /// What a container asks for and may use at most.
    pub struct Resources in "resources" {
        /// What the scheduler sets aside, as { cpu = "4", memory = "16Gi" }.
        pub requests: BTreeMap<String, Spanned<Quantity>>,
        /// What it may use at most.
        pub limits: BTreeMap<String, Spanned<Quantity>>,
    }
}

table! {
    /// When Kubernetes asks whether vLLM lives.
    pub struct Probes in "probes" {
        /// From the container's start to the first question, as "5m". By default the accelerator's.
        pub first: Option<Spanned<Duration>>,
        /// Between two questions whether it lives. 30 s by default.
        pub period: Option<Spanned<Duration>>,
        /// How long an answer may take. 30 s by default.
        pub timeout: Option<Spanned<Duration>>,
        /// After how many missing answers it is started anew. 5 by default.
        pub failures: Option<Spanned<Whole<1, 1000>>>,
    }
}

table! {
    /// A disk that keeps a model's files, so that a new pod need not fetch them again.
    pub struct Cache in "cache" {
        /// Its size, as "50Gi".
        pub size: Spanned<Quantity>,
        /// Its storage class. By default the cluster's.
        pub class: Option<Spanned<NonEmpty>>,
    }
}

table! {
    /// The login to an object store of the S3 protocol.
    pub struct Credentials in "credentials" {
        /// The access key; an HMAC key for Cloud Storage. Refer to a secret input.
        pub access_key: Spanned<Text>,
        /// The secret key; refer to a secret input.
        pub secret_key: Spanned<Text>,
        /// The host that answers. AWS by default, storage.googleapis.com for gs://.
        pub endpoint: Option<Spanned<NonEmpty>>,
        /// The region, where the store wants one.
        pub region: Option<Spanned<NonEmpty>>,
    }
}

table! {
    /// The sizes of a model that the catalogue does not know, from its config.json; for the check whether it fits.
    pub struct Size in "size" {
        /// Numbers in all its tensors, as 7_000_000_000.
        pub parameters: Spanned<Whole<1, 10_000_000_000_000>>,
        /// Layers, `num_hidden_layers`.
        pub layers: Spanned<Whole<1, 10_000>>,
        /// Attention heads, `num_attention_heads`.
        pub heads: Spanned<Whole<1, 10_000>>,
        /// Heads of keys and values, `num_key_value_heads`. As many as attention heads by default.
        pub kv_heads: Option<Spanned<Whole<1, 10_000>>>,
        /// Numbers of one head, `head_dim`.
        pub head_size: Spanned<Whole<1, 100_000>>,
        /// The longest context in tokens, `max_position_embeddings`.
        pub context: Spanned<Whole<1, 100_000_000>>,
    }
}

table! {
    /// A model that is served by vLLM.
    pub struct Workload in "[workloads]" {
        /// Where the model is: hf://OWNER/NAME, gs://…, s3://…, pvc://…, oci://….
        pub model: Spanned<ModelUri>,
        /// The branch, tag or commit of a hf:// model; a commit pins it.
        pub revision: Option<Spanned<NonEmpty>>,
        /// The sizes of a model that the catalogue does not know, for the check whether it fits.
        pub size: Option<Size>,
        /// The name that clients ask for. By default the model's, without the scheme.
        pub served_name: Option<Spanned<NonEmpty>>,
        /// The pool whose machines it runs on.
        pub node_pool: Option<Spanned<NonEmpty>>,
        /// The accelerator, where the cluster is given by a kubeconfig and no pool of this stack holds it.
        pub accelerator: Option<Spanned<NonEmpty>>,
        /// How many copies. 1 by default.
        pub replicas: Option<Spanned<Whole<0, 1000>>>,
        /// How requests are spread over replicas: direct, cache-aware or round-robin. Direct by default.
        pub routing: Option<Spanned<Routing>>,
        /// The scheduler's image, with routing = "cache-aware". By default the one that KServe brings.
        pub scheduler_image: Option<Spanned<NonEmpty>>,
        /// Whether only the gateway, the scheduler and managed Prometheus may speak with the copies. By default where `routing` is not direct.
        pub network_policies: Option<Spanned<bool>>,
        /// Who builds the image: upstream or rhaii. By default as the kserve add-on.
        pub distribution: Option<Spanned<Distribution>>,
        /// The container image. By default the tested one for the accelerator.
        pub image: Option<Spanned<NonEmpty>>,
        /// The namespace.
        pub namespace: Option<Spanned<LabelName>>,
        /// The longest context in tokens, prompt and answer together.
        pub max_model_len: Option<Spanned<Whole<1, 100_000_000>>>,
        /// The number format: auto, half, float16, bfloat16, float or float32.
        pub dtype: Option<Spanned<Dtype>>,
        /// How the weights are quantized, in vLLM's words, as "awq", "gptq" or "fp8". By default as the model says.
        pub quantization: Option<Spanned<NonEmpty>>,
        /// The share of the GPU's memory that vLLM takes, above 0 and up to 1. GPUs only.
        pub gpu_memory_utilization: Option<Spanned<Fraction>>,
        /// How many accelerators one copy is spread over. By default all of a node.
        pub tensor_parallel: Option<Spanned<Whole<1, 1024>>>,
        /// The most requests that are worked on at once.
        pub max_num_seqs: Option<Spanned<Whole<1, 1_000_000>>>,
        /// The most tokens that are worked on in one step.
        pub max_num_batched_tokens: Option<Spanned<Whole<1, 100_000_000>>>,
        /// Whether prompts that begin alike share their cache. True by default.
        pub prefix_caching: Option<Spanned<bool>>,
        /// Whether long prompts are read in pieces, between the answers of others. vLLM's choice by default.
        pub chunked_prefill: Option<Spanned<bool>>,
        /// Tokens in one block of the cache. vLLM's choice by default: 16 on GPUs, 128 on TPUs.
        pub block_size: Option<Spanned<Whole<1, 4096>>>,
        /// The number format of the cache: auto, fp8, fp8_e5m2 or fp8_e4m3.
        pub kv_cache_dtype: Option<Spanned<CacheDtype>>,
        /// GiB of weights that are kept in the machine's memory, for each GPU. GPUs only.
        pub cpu_offload_gb: Option<Spanned<Whole<0, 100_000>>>,
        /// Whether vLLM works without compiled graphs: it starts sooner and answers more slowly.
        pub enforce_eager: Option<Spanned<bool>>,
        /// How weights are read, in vLLM's words, as "safetensors".
        pub load_format: Option<Spanned<NonEmpty>>,
        /// The tokenizer, where it is not the model's own.
        pub tokenizer: Option<Spanned<NonEmpty>>,
        /// A chat template in place of the model's: a path in the image or the template itself.
        pub chat_template: Option<Spanned<NonEmpty>>,
        /// What the model is for: auto, generate or pooling (embeddings).
        pub runner: Option<Spanned<Runner>>,
        /// Whether Python code that comes with the model is run.
        pub trust_remote_code: Option<Spanned<bool>>,
        /// The random seed, so that answers can be had again.
        pub seed: Option<Spanned<Whole<0, 4_294_967_295>>>,
        /// How calls of tools are read out of answers, in vLLM's words, as "hermes". Turns them on.
        pub tool_call_parser: Option<Spanned<NonEmpty>>,
        /// How thoughts are told from answers, in vLLM's words, as "qwen3".
        pub reasoning_parser: Option<Spanned<NonEmpty>>,
        /// Where defaults for sampling come from: auto, vllm or a folder.
        pub generation_config: Option<Spanned<NonEmpty>>,
        /// Whether each answer says how many tokens of its prompt were cached.
        pub prompt_tokens_details: Option<Spanned<bool>>,
        /// More arguments for vLLM, after the catalogue's.
        pub args: Vec<Spanned<Text>>,
        /// More environment variables.
        pub env: BTreeMap<String, Spanned<Text>>,
        /// The Hugging Face token; refer to a secret input.
        pub hf_token: Option<Spanned<Text>>,
        /// The key that clients must show as `Authorization: Bearer KEY`; refer to a secret input. None by default.
        pub api_key: Option<Spanned<Text>>,
        /// How the gateway and the copies know each other: off or strict (mutual TLS of the mesh). Off by default.
        pub mtls: Option<Spanned<Mtls>>,
        /// Who collects metrics: pod-monitoring (GKE's managed Prometheus) or service-monitor. Nobody by default.
        pub monitoring: Option<Spanned<Monitoring>>,
        /// The login to the object store of a s3:// or gs:// model.
        pub credentials: Option<Credentials>,
        /// A disk that keeps the model's files, as { size = "50Gi" }. One copy only.
        pub cache: Option<Cache>,
        /// What the container asks for besides accelerators.
        pub resources: Option<Resources>,
        /// When Kubernetes asks whether vLLM lives, as { first = "5m" }.
        pub probes: Option<Probes>,
        /// The port that vLLM listens on. 8000 by default.
        pub port: Option<Spanned<Whole<1, 65535>>>,
        /// How long to wait until it answers, as "30m".
        pub timeout: Option<Spanned<Duration>>,
    }
}

impl Workload {
    /// How many copies.
    pub fn replicas(&self) -> i64 {
        self.replicas.as_ref().map_or(1, |count| count.get())
    }

    /// How requests are spread.
    pub fn routing(&self) -> Routing {
        self.routing.as_ref().map_or(Routing::Direct, |routing| routing.value)
    }

    /// How the gateway and the copies know each other.
    pub fn mtls(&self) -> Mtls {
        self.mtls.as_ref().map_or(Mtls::Off, |mtls| mtls.value)
    }

    /// Whether prompts that begin alike share their cache.
    pub fn prefix_caching(&self) -> bool {
        self.prefix_caching.as_ref().is_none_or(|on| on.value)
    }

    /// The port that vLLM listens on.
    pub fn port(&self) -> i64 {
        self.port.as_ref().map_or(8000, |port| port.get())
    }

    /// The name that clients ask for.
    pub fn served_name(&self) -> &str {
        match &self.served_name {
            Some(name) => name,
            None => self.model.split_once("://").map_or(&**self.model, |(_, name)| name),
        }
    }

    /// The Hugging Face repository, where the model comes from there.
    pub fn repository(&self) -> Option<&str> {
        self.model.strip_prefix("hf://")
    }
}
