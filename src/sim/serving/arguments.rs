//! The command line of a vLLM server: what it means and what it refuses.
//!
//! Shared by the program, which starts or dies by it, and by the data plane, which serves by it.

use std::collections::BTreeMap;

/// How a server was told to serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// Path or repository of the model.
    pub model: String,
    /// Names it answers to, the first one in answers.
    pub served_names: Vec<String>,
    /// TCP port.
    pub port: u16,
    /// Files of certificate and key, when it serves TLS.
    pub tls: Option<(String, String)>,
    /// `auto`, `half`, `bfloat16`, …
    pub dtype: String,
    /// Longest context in tokens, when given.
    pub max_model_len: Option<u64>,
    /// Accelerators it spreads over.
    pub tensor_parallel: u64,
    /// Whether prompts share cached prefixes.
    pub prefix_caching: bool,
    /// Tokens in a block of the cache, when given.
    pub block_size: Option<u64>,
    /// Requests that run together.
    pub max_sequences: u64,
    /// Share of the accelerator's memory it takes.
    pub memory_utilization: f64,
    /// Keys of which one must come with a request, when any.
    pub api_keys: Vec<String>,
    /// Whether `usage` says how many prompt tokens were cached.
    pub prompt_tokens_details: bool,
    /// Whether answers carry `x-request-id`.
    pub request_id_headers: bool,
}

/// Flags that take a value and mean nothing here.
const VALUED: &[&str] = &[
    "host",
    "uvicorn-log-level",
    "trust-remote-code-revision",
    "tokenizer",
    "revision",
    "tokenizer-revision",
    "task",
    "q",
    "download-dir",
    "load-format",
    "quantization",
    "kv-cache-dtype",
    "pipeline-parallel-size",
    "data-parallel-size",
    "max-num-batched-tokens",
    "swap-space",
    "seed",
    "tool-call-parser",
    "reasoning-parser",
    "chat-template",
    "kv-transfer-config",
    "kv-events-config",
    "compilation-config",
    "limit-mm-per-prompt",
    "root-path",
    "middleware",
    "ssl-ca-certs",
    "ssl-cert-reqs",
    "distributed-executor-backend",
    "max-log-len",
    "generation-config",
    "override-generation-config",
    "max-lora-rank",
    "lora-modules",
    "prefix-caching-hash-algo",
    "attention-backend",
    "device",
    "model-impl",
    "runner",
    "num-gpu-blocks-override",
    "cpu-offload-gb",
    "guided-decoding-backend",
    "config-format",
    "served-model-path",
    "tokenizer-mode",
    "allowed-origins",
    "response-role",
    "otlp-traces-endpoint",
    "shutdown-timeout",
];
/// Flags without a value that mean nothing here.
const BARE: &[&str] = &[
    "trust-remote-code",
    "enforce-eager",
    "enable-lora",
    "enable-auto-tool-choice",
    "disable-log-requests",
    "disable-log-stats",
    "enable-log-requests",
    "enable-ssl-refresh",
    "enable-chunked-prefill",
    "async-scheduling",
    "no-enable-chunked-prefill",
    "disable-uvicorn-access-log",
    "enable-expert-parallel",
    "enable-reasoning",
    "enable-server-load-tracking",
    "no-async-scheduling",
    "disable-custom-all-reduce",
    "no-enable-log-requests",
];

impl Arguments {
    /// Reads a container's command and arguments; `extra` are those of `VLLM_ADDITIONAL_ARGS`.
    ///
    /// # Errors
    /// The last line of the server's log.
    pub fn parse(words: &[&str], extra: &str) -> Result<Arguments, String> {
        let mut all: Vec<String> = Vec::new();
        for word in words {
            // A shell gets the whole command in one word.
            if word.contains("vllm serve") || word.contains("api_server") {
                all.extend(word.split_whitespace().map(|w| w.trim_matches(['"', '\'', '\\']).to_owned()));
            } else {
                all.push((*word).to_owned());
            }
        }
        all.extend(extra.split_whitespace().map(str::to_owned));
        all.retain(|word| !word.is_empty());
        // What precedes the server's own words: interpreters, shells, script names.
        let begin = all.iter().position(|w| w == "serve" || w.ends_with("api_server")).map_or(0, |at| at + 1);
        let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut positional = Vec::new();
        let mut words = all[begin..].iter().peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else {
                if !word.starts_with('-') && word != "vllm" {
                    positional.push(word.clone());
                }
                continue;
            };
            if flag.is_empty() {
                continue;
            }
            let (flag, mut values) = match flag.split_once('=') {
                Some((flag, value)) => (flag.replace('_', "-"), vec![value.to_owned()]),
                None => (flag.replace('_', "-"), Vec::new()),
            };
            let many = matches!(flag.as_str(), "served-model-name" | "lora-modules" | "api-key");
            let takes_value = !BARE.contains(&flag.as_str()) && !SWITCHES.contains(&flag.as_str());
            if takes_value && values.is_empty() {
                while let Some(next) = words.next_if(|next| !next.starts_with("--")) {
                    values.push(next.clone());
                    if !many {
                        break;
                    }
                }
                if values.is_empty() {
                    return Err(format!("vllm serve: error: argument --{flag}: expected one argument"));
                }
            }
            if takes_value && !known(&flag) {
                return Err(format!("vllm serve: error: unrecognized arguments: --{flag} {}", values.join(" ")));
            }
            given.entry(flag).or_default().append(&mut values);
        }
        let last = |flag: &str| given.get(flag).and_then(|values| values.last()).cloned();
        let number = |flag: &str| -> Result<Option<u64>, String> {
            let Some(value) = last(flag) else { return Ok(None) };
            let (digits, factor) = match value.strip_suffix(['k', 'K']) {
                Some(digits) => (digits, 1000),
                None => (value.as_str(), 1),
            };
            let parsed = digits.parse::<u64>().map(|n| Some(n * factor));
            parsed.map_err(|_| format!("vllm serve: error: argument --{flag}: invalid int value: '{value}'"))
        };
        let has = |flag: &str| given.contains_key(flag);
        let model =
            last("model").or_else(|| positional.first().cloned()).unwrap_or_else(|| "Qwen/Qwen3-0.6B".to_owned());
        let dtype = last("dtype").unwrap_or_else(|| "auto".to_owned());
        let dtypes = ["auto", "half", "float16", "bfloat16", "float", "float32"];
        if !dtypes.contains(&dtype.as_str()) {
            return Err(format!(
                "vllm serve: error: argument --dtype: invalid choice: '{dtype}' (choose from {})",
                dtypes.map(|d| format!("'{d}'")).join(", ")
            ));
        }
        let tls = match (last("ssl-certfile"), last("ssl-keyfile")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(certificate), None) => Some((certificate.clone(), certificate)),
            _ => None,
        };
        let memory = last("gpu-memory-utilization").map_or(Ok(0.9), |value| {
            let refused =
                format!("vllm serve: error: argument --gpu-memory-utilization: invalid float value: '{value}'");
            value.parse::<f64>().map_err(|_| refused)
        })?;
        if !(memory > 0.0 && memory <= 1.0) {
            return Err("ValueError: gpu_memory_utilization must be greater than 0 and at most 1".to_owned());
        }
        let mut names = given.get("served-model-name").cloned().unwrap_or_default();
        if names.is_empty() {
            names.push(model.clone());
        }
        Ok(Arguments {
            model,
            served_names: names,
            port: u16::try_from(number("port")?.unwrap_or(8000))
                .map_err(|_| "OverflowError: bind(): port must be 0-65535.")?,
            tls,
            dtype,
            max_model_len: number("max-model-len")?,
            tensor_parallel: number("tensor-parallel-size")?.or(number("tp")?).unwrap_or(1),
            prefix_caching: !has("no-enable-prefix-caching"),
            block_size: number("block-size")?,
            max_sequences: number("max-num-seqs")?.unwrap_or(256),
            memory_utilization: memory,
            api_keys: given.get("api-key").cloned().unwrap_or_default(),
            prompt_tokens_details: has("enable-prompt-tokens-details"),
            request_id_headers: has("enable-request-id-headers"),
        })
    }
}

/// Flags without a value that mean something.
const SWITCHES: &[&str] =
    &["enable-prefix-caching", "no-enable-prefix-caching", "enable-prompt-tokens-details", "enable-request-id-headers"];
/// Flags with a value that mean something.
const MEANINGFUL: &[&str] = &[
    "model",
    "dtype",
    "ssl-certfile",
    "ssl-keyfile",
    "gpu-memory-utilization",
    "served-model-name",
    "port",
    "max-model-len",
    "tensor-parallel-size",
    "tp",
    "block-size",
    "max-num-seqs",
    "api-key",
];

fn known(flag: &str) -> bool {
    VALUED.contains(&flag) || MEANINGFUL.contains(&flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_the_stack() {
        let parsed = Arguments::parse(
            &[
                "vllm",
                "serve",
                "/mnt/models",
                "--served-model-name",
                "Qwen/Qwen2.5-3B-Instruct",
                "/mnt/models",
                "--dtype=half",
                "--max-model-len=4096",
                "--ssl-certfile",
                "/t/tls.crt",
                "--ssl-keyfile=/t/tls.key",
            ],
            "--max-num-seqs 128",
        )
        .expect("arguments");
        assert_eq!(parsed.model, "/mnt/models");
        assert_eq!(parsed.served_names, ["Qwen/Qwen2.5-3B-Instruct", "/mnt/models"]);
        assert_eq!(parsed.max_model_len, Some(4096));
        assert_eq!(parsed.max_sequences, 128);
        assert_eq!(parsed.tls, Some(("/t/tls.crt".into(), "/t/tls.key".into())));
        assert!(parsed.prefix_caching);
    }

    #[test]
    fn shells_and_mistakes() {
        let shell = Arguments::parse(&["/bin/bash", "-c", "exec vllm serve /mnt/models --port 8080"], "");
        assert_eq!(shell.expect("arguments").port, 8080);
        let unknown = Arguments::parse(&["vllm", "serve", "m", "--no-such-thing", "1"], "").expect_err("unknown");
        assert!(unknown.contains("unrecognized arguments: --no-such-thing"), "{unknown}");
        let choice = Arguments::parse(&["vllm", "serve", "m", "--dtype=int8"], "").expect_err("dtype");
        assert!(choice.contains("invalid choice: 'int8'"), "{choice}");
    }
}
