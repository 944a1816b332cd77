//! vLLM as a program: what it needs to start, how long that takes, and what it dies of.
//!
//! What it answers once it serves is in `sim::serving`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::kserve::{hub, weights};
use super::objects::{core, label, list, secret_text, text};
use crate::env::clock::Timestamp;
use crate::sim::controllers::faults::Faults;
use crate::sim::controllers::image::Image;
use crate::sim::controllers::programs::{Instance, Program, Start};
use crate::sim::controllers::{Surroundings, durations};
use crate::sim::kube::api::Api;
use crate::sim::serving::arguments::Arguments;
use crate::sim::serving::model::{Build, Speed};

/// A model server; what goes wrong with the hub that it has its models from.
pub struct Vllm(pub Arc<dyn Faults>);

/// Whether an image holds a model server.
pub fn is_server(image: &Image) -> bool {
    image.base().starts_with("vllm-") || image.base().starts_with("llm-d-cuda")
}

/// Whether the server in this container listens on a port.
pub fn listens(instance: &Instance, port: u16) -> bool {
    Arguments::parse(&instance.arguments(), "").map_or(port == 8000, |arguments| arguments.port == port)
}

/// An accelerator: label value of its nodes, name, memory in MB, compute capability (0 for a TPU), prompt
/// tokens per second and milliseconds per written token for a model of three billion parameters. Memory and
/// capability from the vendors; speeds are estimates.
struct Chip(&'static str, &'static str, u64, u32, f64, u64);

const CHIPS: &[Chip] = &[
    Chip("nvidia-tesla-t4", "Tesla T4", 15_360, 75, 2500.0, 28),
    Chip("nvidia-tesla-p100", "Tesla P100-PCIE-16GB", 16_280, 60, 1800.0, 30),
    Chip("nvidia-tesla-v100", "Tesla V100-SXM2-16GB", 16_160, 70, 5000.0, 16),
    Chip("nvidia-l4", "NVIDIA L4", 23_034, 89, 5000.0, 24),
    Chip("nvidia-tesla-a100", "NVIDIA A100-SXM4-40GB", 40_960, 80, 16_000.0, 7),
    Chip("nvidia-a100-80gb", "NVIDIA A100-SXM4-80GB", 81_920, 80, 16_000.0, 6),
    Chip("nvidia-h100-80gb", "NVIDIA H100 80GB HBM3", 81_559, 90, 35_000.0, 4),
    Chip("tpu-v6e-slice", "TPU v6e", 32_768, 0, 8000.0, 16),
];

/// The context length that Qwen2.5 and most small models were trained for.
const DERIVED_LENGTH: u64 = 32_768;
/// Key and value of one token, in KB for a billion parameters (36 KB for Qwen2.5-3B).
const KB_PER_TOKEN_AND_BILLION: f64 = 12.0;
/// By what share times vary: an idle server of the recordings varied by 2 to 5 %.
const NOISE: f64 = 0.03;
/// What activations and graphs take beside weights and cache, in MB.
const WORKSPACE: u64 = 1200;

fn is_tpu(image: &Image) -> bool {
    image.base().contains("tpu")
}

/// The repository that the pod's model comes from.
fn repository(instance: &Instance, arguments: &Arguments) -> Option<String> {
    if !arguments.model.starts_with('/') {
        return Some(arguments.model.clone());
    }
    let init =
        list(&instance.pod, "/spec/initContainers").iter().find(|c| text(c, "/image").contains("storage-initializer"));
    if let Some(uri) = init.and_then(|c| text(c, "/args/0").split_once("://")) {
        return Some(uri.1.to_owned());
    }
    // A volume of another kind at that path holds it.
    let at = |m: &&Json| arguments.model.starts_with(text(m, "/mountPath")) && !text(m, "/mountPath").is_empty();
    let mount = list(&instance.container, "/volumeMounts").iter().find(at)?;
    let volume = list(&instance.pod, "/spec/volumes").iter().find(|v| v["name"] == mount["name"])?;
    let holds = ["persistentVolumeClaim", "image", "hostPath", "csi"].iter().any(|kind| volume.get(*kind).is_some());
    holds.then(|| text(volume, "/image/reference").to_owned())
}

/// Attention heads of a model, told by its name: those of Qwen2.5's sizes from their configurations, and 32 as most
/// others have.
fn attention_heads(repository: &str) -> u64 {
    const QWEN: [(&str, u64); 7] =
        [("0.5B", 14), ("1.5B", 12), ("3B", 16), ("7B", 28), ("14B", 40), ("32B", 40), ("72B", 64)];
    let name = repository.rsplit('/').next().unwrap_or_default();
    let size = |size: &str| name.split('-').any(|word| word.eq_ignore_ascii_case(size));
    let known = name.starts_with("Qwen2.5").then(|| QWEN.iter().find(|(of, _)| size(of))).flatten();
    known.map_or(32, |(_, heads)| *heads)
}

/// The contents of a mounted Secret's file.
fn mounted(instance: &Instance, api: &dyn Api, path: &str) -> Option<String> {
    let (directory, file) = path.rsplit_once('/')?;
    let secret = api.get(&core("Secret"), instance.namespace(), instance.mounted_secret(directory)?)?;
    secret_text(&secret, file)
}

/// Reads the command line; `VLLM_ADDITIONAL_ARGS` counts as the presets' script has it.
fn arguments(instance: &Instance, api: &dyn Api) -> Result<Arguments, String> {
    let extra = instance.variable("VLLM_ADDITIONAL_ARGS", api).unwrap_or_default();
    let mut arguments = Arguments::parse(&instance.arguments(), &extra)?;
    if arguments.api_keys.is_empty()
        && let Some(key) = instance.variable("VLLM_API_KEY", api).filter(|key| !key.is_empty())
    {
        arguments.api_keys.push(key);
    }
    Ok(arguments)
}

/// A server that can start, and how long that takes.
struct Prepared {
    build: Build,
    startup: Duration,
    certificate: Option<String>,
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "megabytes")]
fn prepare(instance: &Instance, api: &dyn Api, now: Timestamp) -> Result<Prepared, String> {
    let arguments = arguments(instance, api)?;
    let node = api.get(&core("Node"), "", instance.node()).unwrap_or_default();
    let tpu = is_tpu(&instance.image);
    let (resource, at) = if tpu {
        ("google.com/tpu", "cloud.google.com/gke-tpu-accelerator")
    } else {
        ("nvidia.com/gpu", "cloud.google.com/gke-accelerator")
    };
    let devices = u64::try_from(instance.resource(resource) / 1000).unwrap_or(0);
    let chip = CHIPS.iter().find(|chip| chip.0 == label(&node, at)).filter(|_| devices > 0);
    let Some(Chip(_, product, memory, capability, prefill, per_token)) = chip else {
        return Err(if tpu {
            "RuntimeError: TPU initialization failed: No ba16c7433 device found.".to_owned()
        } else {
            "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG` \
             to turn on verbose logging to help debug the issue."
                .to_owned()
        });
    };
    if *capability > 0 && *capability < 70 {
        return Err(format!(
            "RuntimeError: GPUs with compute capability below 7.0 are not supported: {product} has {}.{}.",
            capability / 10,
            capability % 10
        ));
    }
    if arguments.dtype == "bfloat16" && *capability > 0 && *capability < 80 {
        return Err(format!(
            "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your {product} GPU has \
             compute capability {}.{}. You can use float16 instead by explicitly setting the `dtype` flag in CLI, for \
             example: --dtype=half.",
            capability / 10,
            capability % 10
        ));
    }
    let parallel = arguments.tensor_parallel;
    if parallel > devices {
        return Err(if tpu {
            format!(
                "AssertionError: tensor_parallel_size {parallel} exceeds the number of available TPU chips {devices}"
            )
        } else {
            format!(
                "ValueError: World size ({parallel}) is larger than the number of available GPUs ({devices}) in this node. \
                 If this is intentional and you are using: - ray, set '--distributed-executor-backend ray'."
            )
        });
    }
    let Some(repository) = repository(instance, &arguments) else {
        return Err(format!(
            "ValueError: Invalid repository ID or local directory specified: '{}'. Please verify the following \
             requirements: 1. Provide a valid Hugging Face repository ID. 2. Specify a local directory that contains a \
             recognized configuration file.",
            arguments.model
        ));
    };
    let heads = attention_heads(&repository);
    if heads.checked_rem(parallel) != Some(0) {
        return Err(format!(
            "ValueError: Total number of attention heads ({heads}) must be divisible by tensor parallel size ({parallel})."
        ));
    }
    let certificate = match &arguments.tls {
        None => None,
        Some((certificate, key)) => {
            let missing = |path: &str| format!("FileNotFoundError: [Errno 2] No such file or directory: '{path}'");
            mounted(instance, api, key).ok_or_else(|| missing(key))?;
            Some(mounted(instance, api, certificate).ok_or_else(|| missing(certificate))?)
        }
    };
    if let Some(given) = arguments.max_model_len.filter(|given| *given > DERIVED_LENGTH * 4) {
        return Err(format!(
            "ValueError: User-specified max_model_len ({given}) is greater than the derived max_model_len \
             (max_position_embeddings={DERIVED_LENGTH} or model_max_length=None in model's config.json). To allow \
             overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1."
        ));
    }
    let size = weights(&repository);
    let billions = size as f64 / 2050.0;
    let room = *memory as f64 * arguments.memory_utilization * parallel as f64;
    let left = room - size as f64 - (WORKSPACE * parallel) as f64;
    if left < 0.0 && size as f64 > *memory as f64 * parallel as f64 {
        return Err(format!(
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.02 GiB. GPU 0 has a total capacity of {:.2} GiB",
            *memory as f64 / 1024.0
        ));
    }
    if left <= 0.0 {
        return Err(
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when \
                    initializing the engine."
                .to_owned(),
        );
    }
    let fits = (left * 1024.0 / (KB_PER_TOKEN_AND_BILLION * billions)) as u64;
    let max_model_len = arguments.max_model_len.unwrap_or(DERIVED_LENGTH);
    if max_model_len > fits {
        let needed = max_model_len as f64 * KB_PER_TOKEN_AND_BILLION * billions / 1_048_576.0;
        return Err(format!(
            "ValueError: To serve at least one request with the models's max seq len ({max_model_len}), ({needed:.2} GiB KV \
             cache is needed, which is larger than the available KV cache memory ({:.2} GiB). Based on the available \
             memory, the estimated maximum model length is {fits}.",
            left / 1024.0
        ));
    }
    let block_size = arguments.block_size.unwrap_or(if tpu { 128 } else { 16 });
    let scale = billions / 3.0;
    let together = (parallel as f64).powf(0.8);
    let speed = Speed {
        prefill_per_second: prefill * together / scale,
        per_token: Duration::from_secs_f64(*per_token as f64 / 1000.0 * scale / together),
        overhead: Duration::from_millis(8),
        noise: NOISE,
    };
    // Python and engine, weights from disk, then graphs on a GPU or XLA's compilation on a TPU.
    let compile = if tpu { 180 } else { 35 };
    let mut startup = Duration::from_secs(18 + compile) + Duration::from_millis(size * 3);
    if !arguments.model.starts_with('/') {
        startup += durations::download(size);
    }
    let tag = instance.image.tag.trim_start_matches('v');
    let version = if tag.starts_with("0.") { tag.split('-').next().unwrap_or(tag) } else { "0.11.2" };
    let build = Build {
        max_model_len,
        block_size,
        blocks: (fits / block_size).max(1),
        speed,
        version: version.to_owned(),
        started: instance.started_at().unwrap_or(now),
        development: instance.variable("VLLM_SERVER_DEV_MODE", api).as_deref() == Some("1"),
        arguments,
    };
    Ok(Prepared { build, startup, certificate })
}

/// The end of a server that cannot start. The engine is a process of its own: what it dies of comes first, and the last
/// line is its parent's, which only knows that it is gone.
fn dies(why: &str) -> Start {
    let engine = why.starts_with("torch.")
        || why.starts_with("RuntimeError")
        || why.starts_with("ValueError: ")
            && ["Bfloat16", "No available memory", "To serve at least", "World size"]
                .iter()
                .any(|words| why.contains(words));
    let log = if engine {
        vec![
            "(EngineCore_DP0 pid=271) ERROR [core.py:708] EngineCore failed to start.".to_owned(),
            "(EngineCore_DP0 pid=271) ERROR [core.py:708] Traceback (most recent call last):".to_owned(),
            format!("(EngineCore_DP0 pid=271) ERROR [core.py:708] {why}"),
            "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): \
             {'EngineCore_DP0': 1}"
                .to_owned(),
        ]
    } else {
        vec!["Traceback (most recent call last):".to_owned(), why.to_owned()]
    };
    Start::Exits { after: Duration::from_secs(12), code: 1, oom: false, log }
}

/// What the server in this container is, if it can run.
pub fn build(instance: &Instance, api: &dyn Api, now: Timestamp) -> Option<Build> {
    prepare(instance, api, now).ok().map(|prepared| prepared.build)
}

/// The certificate chain and key that the server in this container presents.
pub fn tls_files(instance: &Instance, api: &dyn Api) -> Option<(String, String)> {
    let (certificate, key) = arguments(instance, api).ok()?.tls?;
    Some((mounted(instance, api, &certificate)?, mounted(instance, api, &key)?))
}

impl Program for Vllm {
    fn name(&self) -> &'static str {
        "vllm"
    }

    fn runs(&self, image: &Image) -> bool {
        is_server(image)
    }

    fn megabytes(&self, image: &Image) -> u64 {
        if is_tpu(image) { 6500 } else { 8500 }
    }

    fn start(&self, instance: &Instance, around: &Surroundings) -> Start {
        let api = &*around.api;
        let prepared = match prepare(instance, api, around.clock.now()) {
            Ok(prepared) => prepared,
            Err(why) => return dies(&why),
        };
        // What it fetches itself it fetches with its own token.
        let model = &prepared.build.arguments.model;
        let token = instance.variable("HF_TOKEN", api);
        let refused = if model.starts_with('/') { None } else { hub::refusal(&*self.0, model, token.as_deref()) };
        match refused {
            None => Start::Serves(prepared.startup),
            Some(why) => dies(&why),
        }
    }

    fn answers(&self, instance: &Instance, around: &Surroundings, probe: &Json) -> Result<(), String> {
        let arguments = arguments(instance, &*around.api).map_err(|_| "connection refused".to_owned())?;
        let Some(probe) = probe.get("httpGet") else { return Ok(()) };
        let https = text(probe, "/scheme") == "HTTPS";
        let scheme = if https { "https" } else { "http" };
        let (host, port, path) = (text(&instance.pod, "/status/podIP"), &probe["port"], text(probe, "/path"));
        let url = format!("{scheme}://{host}:{port}{path}");
        if port.as_u64().is_some_and(|port| port != u64::from(arguments.port)) {
            return Err(format!("Get \"{url}\": dial tcp {host}:{port}: connect: connection refused"));
        }
        match (https, arguments.tls.is_some()) {
            (true, false) => return Err(format!("Get \"{url}\": http: server gave HTTP response to HTTPS client")),
            (false, true) => return Err(format!("Get \"{url}\": EOF")),
            _ => {}
        }
        if path.starts_with("/v1") && !arguments.api_keys.is_empty() {
            return Err("HTTP probe failed with statuscode: 401".to_owned());
        }
        if matches!(path, "/health" | "/ping" | "/v1/models" | "/version" | "/metrics" | "/load") {
            Ok(())
        } else {
            Err("HTTP probe failed with statuscode: 404".to_owned())
        }
    }

    fn termination(&self, _: &Instance) -> Duration {
        Duration::from_secs(4)
    }

    fn listens(&self, instance: &Instance, port: u16) -> bool {
        listens(instance, port)
    }

    fn certificate(&self, instance: &Instance, around: &Surroundings, _: u16) -> Option<String> {
        prepare(instance, &*around.api, around.clock.now()).ok()?.certificate
    }
}
