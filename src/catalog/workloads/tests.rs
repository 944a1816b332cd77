//! Workloads: what their keys become, and what arithmetic refuses.

use serde_json::json;

use crate::catalog::tests::{find, mistakes, try_expand};
use crate::diag::Diagnostics;
use crate::resource::model::Desired;
use crate::stack::NoLoader;
use crate::value::Value;

const T4: &str = include_str!("../../../stacks/gpu-t4.toml");
const MODEL: &str = "model = \"hf://Qwen/Qwen2.5-3B-Instruct\"";

/// The T4 stack with lines more in its workload, and what it was warned of.
fn with(lines: &str) -> (Desired, Vec<String>) {
    match try_expand(&T4.replace("prefix_caching = true", &format!("prefix_caching = true\n{lines}")), &NoLoader) {
        Ok((desired, warnings)) => (desired, warnings.into_iter().map(|warning| warning.summary).collect()),
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// The mistakes of the T4 stack with lines more in its workload.
fn refused(lines: &str) -> Vec<String> {
    match try_expand(&T4.replace("prefix_caching = true", &format!("prefix_caching = true\n{lines}")), &NoLoader) {
        Ok(_) => panic!("accepted: {lines}"),
        Err(Diagnostics(found)) => found.into_iter().map(|mistake| mistake.summary).collect(),
    }
}

fn service(desired: &Desired) -> serde_json::Value {
    find(desired, "/LLMInferenceService.serving").attrs.to_json()
}

#[test]
fn each_key_is_an_argument() {
    let cases = [
        ("max_num_batched_tokens = 8192", "--max-num-batched-tokens=8192"),
        ("chunked_prefill = true", "--enable-chunked-prefill"),
        ("chunked_prefill = false", "--no-enable-chunked-prefill"),
        ("block_size = 32", "--block-size=32"),
        ("kv_cache_dtype = \"fp8_e5m2\"", "--kv-cache-dtype=fp8_e5m2"),
        ("quantization = \"fp8\"", "--quantization=fp8"),
        ("cpu_offload_gb = 2", "--cpu-offload-gb=2"),
        ("enforce_eager = true", "--enforce-eager"),
        ("load_format = \"safetensors\"", "--load-format=safetensors"),
        ("tokenizer = \"a/b\"", "--tokenizer=a/b"),
        ("chat_template = \"/t.jinja\"", "--chat-template=/t.jinja"),
        ("runner = \"pooling\"", "--runner=pooling"),
        ("trust_remote_code = true", "--trust-remote-code"),
        ("seed = 7", "--seed=7"),
        ("tool_call_parser = \"hermes\"", "--tool-call-parser=hermes"),
        ("tool_call_parser = \"hermes\"", "--enable-auto-tool-choice"),
        ("reasoning_parser = \"qwen3\"", "--reasoning-parser=qwen3"),
        ("generation_config = \"vllm\"", "--generation-config=vllm"),
        ("prompt_tokens_details = true", "--enable-prompt-tokens-details"),
        ("args = [\"--max-log-len=10\"]", "--max-log-len=10"),
    ];
    for (line, argument) in cases {
        let service = service(&with(line).0);
        let args = service.pointer("/spec/template/containers/0/args").and_then(|args| args.as_array().cloned());
        assert!(args.expect("arguments").contains(&json!(argument)), "{line}");
    }
    // Switches that are off say nothing where off is vLLM's default.
    let quiet = service(&with("enforce_eager = false\ntrust_remote_code = false\nprompt_tokens_details = false").0);
    assert_eq!(quiet, service(&with("").0));
}

#[test]
fn files_come_from_many_places() {
    let pinned = with("revision = \"0f3c\"").0;
    assert_eq!(service(&pinned)["spec"]["model"]["uri"], "hf://Qwen/Qwen2.5-3B-Instruct:0f3c");

    let disk = with("revision = \"0f3c\"\ncache = { size = \"50Gi\", class = \"premium-rwo\" }").0;
    let manifest = service(&disk);
    assert_eq!(manifest["spec"]["storageInitializer"]["enabled"], false);
    let args = manifest["spec"]["template"]["containers"][0]["args"].as_array().expect("arguments").clone();
    assert_eq!(args[0], "--model=Qwen/Qwen2.5-3B-Instruct");
    assert!(args.contains(&json!("--revision=0f3c")), "{args:?}");
    let claim = find(&disk, "/PersistentVolumeClaim/").attrs.to_json();
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "50Gi");
    assert_eq!(claim["spec"]["storageClassName"], "premium-rwo");

    let text = T4
        .replace(MODEL, "model = \"gs://bucket/qwen\"\ncredentials = { access_key = \"${inputs.hf_token}\", secret_key = \"${inputs.hf_token}\" }")
        .replace("hf_token = \"${inputs.hf_token}\"", "");
    let (google, warnings) = try_expand(&text, &NoLoader).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(warnings.len(), 1, "its sizes are not known");
    assert_eq!(service(&google)["spec"]["model"]["uri"], "s3://bucket/qwen");
    let store = find(&google, "/Secret/inference/qwen-3b-gpu-svc-store").attrs.clone();
    let endpoint = ["metadata", "annotations", "serving.kserve.io/s3-endpoint"];
    assert_eq!(store.at(&endpoint), Some(&Value::from("storage.googleapis.com")));
    assert!(!store.is_known(), "the keys are no part of the plan");
    let account = find(&google, "/ServiceAccount/inference/").attrs.to_json();
    assert_eq!(account["secrets"], json!([{"name": "qwen-3b-gpu-svc-store"}]));
}

#[test]
fn probes_are_as_asked() {
    let lines = "probes = { first = \"10m\", period = \"1m\", timeout = \"5s\", failures = 9 }";
    let manifest = service(&with(lines).0);
    let probe = &manifest["spec"]["template"]["containers"][0]["livenessProbe"];
    let numbers = ["initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold"].map(|key| &probe[key]);
    assert_eq!(numbers, [&json!(600), &json!(60), &json!(5), &json!(9)]);
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let model = |to: &str| mistakes("gpu-t4", MODEL, to);
    for large in
        ["mistralai/Mistral-7B-Instruct-v0.3", "meta-llama/Llama-3.1-8B-Instruct", "codellama/CodeLlama-7b-Instruct-hf"]
    {
        let found = model(&format!("model = \"hf://{large}\""));
        assert_eq!(found, [format!("hf://{large} does not fit on one nvidia-t4")]);
    }
    let phi = model("model = \"hf://microsoft/Phi-3-mini-4k-instruct\"");
    assert!(matches!(&phi[..], [one] if one.starts_with("warning: 128 requests at once have 9")), "{phi:?}");
    assert_eq!(model("model = \"hf://google/gemma-2b-it\""), Vec::<String>::new());
    assert_eq!(model("model = \"hf://a/b\""), ["warning: whether hf://a/b fits nvidia-t4 is not checked"]);
    let sized = "model = \"hf://a/b\"\nsize = { parameters = 9_000_000_000, layers = 32, heads = 32, head_size = 128, context = 8192 }";
    assert_eq!(model(sized), ["hf://a/b does not fit on one nvidia-t4"]);
    let token = "hf_token = \"${inputs.hf_token}\"";
    let gated = T4.replace(MODEL, "model = \"hf://google/gemma-2b-it\"").replace(&format!("\n{token}"), "");
    let Err(Diagnostics(found)) = try_expand(&gated, &NoLoader) else { panic!("accepted") };
    assert_eq!(found[0].summary, "google/gemma-2b-it is gated: Hugging Face hands it out with a token only");

    assert_eq!(
        mistakes("gpu-t4", "max_model_len = 4096", "max_model_len = 65536"),
        ["max_model_len = 65536 is beyond the model's context of 32768"]
    );
    assert_eq!(
        mistakes("tpu-v6e", "tensor_parallel = 4", "tensor_parallel = 3"),
        [
            "tensor_parallel = 3 leaves 1 chip idle",
            "16 attention heads of hf://Qwen/Qwen2.5-3B-Instruct cannot be dealt out over 3 accelerators"
        ]
    );
    let old = mistakes("gpu-t4", "accelerator = \"nvidia-t4\"", "accelerator = \"nvidia-p100\"");
    assert_eq!(old, ["vLLM does not run on nvidia-p100"]);
}

#[test]
fn nothing_is_said_twice() {
    for (argument, expected) in [
        ("--max-model-len=8192", "--max-model-len is what `max_model_len` says"),
        ("--max_model_len=8192", "--max-model-len is what `max_model_len` says"),
        ("-tp=2", "-tp is what `tensor_parallel` says"),
        ("--no-enable-prefix-caching", "--no-enable-prefix-caching is what `prefix_caching` says"),
        ("--ssl-keyfile=/k", "--ssl-keyfile is the catalogue's"),
    ] {
        assert_eq!(refused(&format!("args = [\"{argument}\"]")), [expected]);
    }
    let revision = T4.replace(MODEL, "model = \"pvc://claim/qwen\"\nrevision = \"main\"");
    let Err(Diagnostics(found)) = try_expand(&revision, &NoLoader) else { panic!("accepted") };
    assert_eq!(found[0].summary, "pvc:// models have no revisions");
}

#[test]
fn workloads_share_a_pool_and_no_names() {
    let two = |more: &str| {
        let second = format!(
            "[workloads.second]\nmodel = \"hf://Qwen/Qwen2.5-0.5B-Instruct\"\nnode_pool = \"gpu\"\n{more}\n[outputs]"
        );
        match try_expand(&T4.replace("[outputs]", &second), &NoLoader) {
            Ok((desired, _)) => Ok(desired),
            Err(Diagnostics(found)) => Err(found.into_iter().map(|mistake| mistake.summary).collect::<Vec<_>>()),
        }
    };
    assert_eq!(
        two("").expect_err("one node"),
        ["1 × workloads.qwen-3b-gpu and 1 × workloads.second do not fit into node_pools.gpu, which has 1 nodes"]
    );
    let none = two("replicas = 0").expect("room");
    assert_eq!(
        none.resources.iter().filter(|r| r.address.as_str().contains("/LLMInferenceService.serving")).count(),
        2
    );
    assert_eq!(
        two("replicas = 0\nserved_name = \"Qwen/Qwen2.5-3B-Instruct\"").expect_err("one name"),
        ["workloads.qwen-3b-gpu and workloads.second serve the same name in namespace inference"]
    );
    two("replicas = 0\nserved_name = \"Qwen/Qwen2.5-3B-Instruct\"\nnamespace = \"other\"").expect("two namespaces");
}

#[test]
fn schedulers_that_cannot_work_are_refused() {
    let scheduled = "routing = \"cache-aware\"";
    let with = |to: &str| mistakes("gpu-t4-production", scheduled, &format!("{scheduled}\n{to}"));
    assert_eq!(with(""), Vec::<String>::new());
    assert_eq!(
        with("scheduler_image = \"ghcr.io/llm-d/llm-d-inference-scheduler:v0.6.1\""),
        ["the scheduler ghcr.io/llm-d/llm-d-inference-scheduler:v0.6.1 cannot be called over TLS"]
    );
    assert_eq!(with("scheduler_image = \"ghcr.io/llm-d/llm-d-inference-scheduler:v0.7.1\""), Vec::<String>::new());
    assert_eq!(
        with("scheduler_image = \"example.com/mine:1\""),
        ["warning: whether the scheduler example.com/mine:1 can be called over TLS is not known"]
    );
    assert_eq!(
        mistakes("gpu-t4-production", "[addons.istio]", "[addons.istio]\nversion = \"1.27.1\"")[..2],
        ["istio 1.27.1 is not tested with this catalogue", "the chart of istio 1.27.1 is not at hand"]
    );
    assert!(
        mistakes("gpu-t4-production", "[addons.istio]", "[addons.istio]\nversion = \"1.27.1\"")
            .contains(&"Istio 1.27.1 does not read InferencePool v1".to_owned())
    );
    assert_eq!(
        mistakes("gpu-t4-production", "network_policy = true", ""),
        ["warning: nobody enforces the network policies of workloads.qwen-3b-gpu"]
    );
    assert_eq!(
        mistakes("gpu-t4-production", scheduled, "routing = \"round-robin\"\nscheduler_image = \"x:1\""),
        ["round-robin routing has no scheduler"]
    );
    assert_eq!(
        mistakes("rhaii-gpu-t4", "replicas = 1", "replicas = 1\nrouting = \"cache-aware\"").last().map(String::as_str),
        Some("nobody enforces the network policies of workloads.qwen-3b-gpu")
    );
}

#[test]
fn round_robin_needs_a_rule_and_no_scheduler() {
    let text = include_str!("../../../stacks/gpu-t4-production.toml").replace("cache-aware", "round-robin");
    let (desired, warnings) = try_expand(&text, &NoLoader).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(warnings, []);
    assert_eq!(service(&desired)["spec"]["router"].get("scheduler"), None);
    let rule = find(&desired, "/DestinationRule.").attrs.to_json();
    assert_eq!(rule["spec"]["trafficPolicy"]["loadBalancer"]["simple"], "ROUND_ROBIN");
    assert_eq!(rule["spec"]["trafficPolicy"]["tls"]["credentialName"], "inference-gateway-tls");
}

#[test]
fn a_pool_has_room_in_each_of_its_zones() {
    let lay = |location: &str, pool: &str, replicas: u8| {
        let text = T4.replace("location = \"europe-west4-a\"", location);
        let text = text.replace("nodes = 1  ", &format!("{pool}\nnodes = 1  "));
        match try_expand(&text.replace("replicas = 1", &format!("replicas = {replicas}")), &NoLoader) {
            Ok(_) => None,
            Err(Diagnostics(found)) => {
                Some(found.iter().map(|mistake| format!("{mistake} {:?}", mistake.hint)).collect::<String>())
            }
        }
    };
    let region = "location = \"europe-west4\"";
    let two = "location = \"europe-west4\"\nnode_locations = [\"europe-west4-a\", \"europe-west4-b\"]";
    assert_eq!(lay(region, "", 3), None);
    assert_eq!(lay(two, "", 2), None);
    assert_eq!(lay(region, "zone = \"europe-west4-a\"", 1), None);
    for (location, pool, replicas, hint) in [
        (region, "", 4, "give the pool 2 nodes in each zone"),
        (two, "", 3, "give the pool 2 nodes in each zone"),
        (region, "zone = \"europe-west4-a\"", 2, "give the pool 2 nodes"),
    ] {
        let said = lay(location, pool, replicas).expect("refused");
        assert!(said.contains(hint) && said.contains("do not fit into node_pools.gpu"), "{said}");
    }
}
