//! vLLM's command line: which key of a workload becomes which argument, and what nobody may say twice.

use crate::catalog::accelerators::Family;
use crate::catalog::expansion::{Expansion, mistake};
use crate::catalog::workloads::{PORT, Plan, storage};
use crate::stack::NonEmpty;
use crate::stack::model::{Mtls, Workload};
use crate::value::Value;

/// Where KServe mounts certificate and key.
pub(super) const TLS: &str = "/var/run/kserve/tls";

/// A key of `[workloads]` and the arguments of vLLM that say the same, the one that the catalogue writes first.
struct Key {
    name: &'static str,
    flags: &'static [&'static str],
    /// What the catalogue writes for it besides what `arguments` does for keys with defaults.
    say: fn(&Workload) -> Option<String>,
}

const fn key(name: &'static str, flags: &'static [&'static str], say: fn(&Workload) -> Option<String>) -> Key {
    Key { name, flags, say }
}

/// A switch and its opposite.
macro_rules! switch {
    ($on:literal, $off:expr, $field:ident) => {
        |workload| {
            let on = workload.$field.as_ref()?.value;
            let off: Option<&str> = $off;
            if on { Some($on.to_owned()) } else { off.map(str::to_owned) }
        }
    };
}

const NOTHING: fn(&Workload) -> Option<String> = |_| None;

/// All keys. Those that say nothing here have defaults and are written by `arguments`.
const KEYS: &[Key] = &[
    key("model", &["--model"], NOTHING),
    key("served_name", &["--served-model-name"], NOTHING),
    key("port", &["--port"], NOTHING),
    key("dtype", &["--dtype"], NOTHING),
    key("max_model_len", &["--max-model-len"], NOTHING),
    key("tensor_parallel", &["--tensor-parallel-size", "--tp", "-tp"], NOTHING),
    key("gpu_memory_utilization", &["--gpu-memory-utilization"], NOTHING),
    key("prefix_caching", &["--enable-prefix-caching", "--no-enable-prefix-caching"], NOTHING),
    key("max_num_seqs", &["--max-num-seqs"], NOTHING),
    key("api_key", &["--api-key"], NOTHING),
    key("revision", &["--revision", "--tokenizer-revision"], NOTHING),
    key("max_num_batched_tokens", &["--max-num-batched-tokens"], |w| {
        Some(format!("--max-num-batched-tokens={}", w.max_num_batched_tokens.as_ref()?.get()))
    }),
    key(
        "chunked_prefill",
        &["--enable-chunked-prefill", "--no-enable-chunked-prefill"],
        switch!("--enable-chunked-prefill", Some("--no-enable-chunked-prefill"), chunked_prefill),
    ),
    key("block_size", &["--block-size"], |w| Some(format!("--block-size={}", w.block_size.as_ref()?.get()))),
    key("kv_cache_dtype", &["--kv-cache-dtype"], |w| {
        Some(format!("--kv-cache-dtype={}", w.kv_cache_dtype.as_ref()?.word()))
    }),
    key("quantization", &["--quantization", "-q"], |w| text("--quantization", w.quantization.as_deref())),
    key("cpu_offload_gb", &["--cpu-offload-gb"], |w| {
        Some(format!("--cpu-offload-gb={}", w.cpu_offload_gb.as_ref()?.get()))
    }),
    key("enforce_eager", &["--enforce-eager", "--no-enforce-eager"], switch!("--enforce-eager", None, enforce_eager)),
    key("load_format", &["--load-format"], |w| text("--load-format", w.load_format.as_deref())),
    key("tokenizer", &["--tokenizer"], |w| text("--tokenizer", w.tokenizer.as_deref())),
    key("chat_template", &["--chat-template"], |w| text("--chat-template", w.chat_template.as_deref())),
    key("runner", &["--runner", "--task"], |w| Some(format!("--runner={}", w.runner.as_ref()?.word()))),
    key(
        "trust_remote_code",
        &["--trust-remote-code", "--no-trust-remote-code"],
        switch!("--trust-remote-code", None, trust_remote_code),
    ),
    key("seed", &["--seed"], |w| Some(format!("--seed={}", w.seed.as_ref()?.get()))),
    key("tool_call_parser", &["--tool-call-parser", "--enable-auto-tool-choice"], |w| {
        text("--tool-call-parser", w.tool_call_parser.as_deref())
    }),
    key("reasoning_parser", &["--reasoning-parser"], |w| text("--reasoning-parser", w.reasoning_parser.as_deref())),
    key("generation_config", &["--generation-config"], |w| text("--generation-config", w.generation_config.as_deref())),
    key(
        "prompt_tokens_details",
        &["--enable-prompt-tokens-details", "--no-enable-prompt-tokens-details"],
        switch!("--enable-prompt-tokens-details", None, prompt_tokens_details),
    ),
];

/// Arguments that the catalogue writes and that have no key, with who says so.
const OURS: &[(&str, &str)] = &[
    ("--ssl-certfile", "the certificate comes from the stack"),
    ("--ssl-keyfile", "the certificate comes from the stack"),
    ("--enable-ssl-refresh", "the catalogue says it already"),
];

fn text(flag: &str, value: Option<&NonEmpty>) -> Option<String> {
    Some(format!("{flag}={}", &**value?))
}

/// The arguments of vLLM.
pub(super) fn arguments(plan: &Plan<'_>) -> Vec<Value> {
    let (workload, serving) = (plan.workload, &plan.row.serving);
    let mut arguments = vec![
        format!("--model={}", storage::path(workload)),
        format!("--served-model-name={}", workload.served_name()),
        format!("--port={PORT}"),
    ];
    if let (Some(revision), true) = (&workload.revision, storage::is_fetched_by_engine(workload)) {
        arguments.push(format!("--revision={}", &***revision));
    }
    let dtype = workload.dtype.as_ref().map(|dtype| dtype.word()).or(serving.dtype);
    arguments.extend(dtype.map(|dtype| format!("--dtype={dtype}")));
    arguments.extend(plan.context().map(|length| format!("--max-model-len={length}")));
    arguments.extend(Some(plan.parallel()).filter(|n| *n > 1).map(|count| format!("--tensor-parallel-size={count}")));
    let share = workload.gpu_memory_utilization.as_ref().map(|share| share.get());
    let share = share.or(serving.memory_percent.map(|percent| f64::from(percent) / 100.0));
    arguments.extend(share.map(|share| format!("--gpu-memory-utilization={share}")));
    let caching = if workload.prefix_caching() { "--enable-prefix-caching" } else { "--no-enable-prefix-caching" };
    arguments.push(caching.to_owned());
    arguments.push(format!("--max-num-seqs={}", plan.sequences()));
    for key in KEYS {
        arguments.extend((key.say)(workload));
    }
    if workload.tool_call_parser.is_some() {
        arguments.push("--enable-auto-tool-choice".to_owned());
    }
    // In a strict mesh the proxy beside vLLM speaks TLS for it.
    if workload.mtls() != Mtls::Strict {
        arguments.push(format!("--ssl-certfile={TLS}/tls.crt"));
        arguments.push(format!("--ssl-keyfile={TLS}/tls.key"));
        // A certificate is signed anew before it ends, and by KServe for each pod with an address of its own.
        arguments.push("--enable-ssl-refresh".to_owned());
    }
    let own = arguments.into_iter().map(Value::String);
    own.chain(workload.args.iter().map(|argument| argument.value.0.clone())).collect()
}

/// Arguments that say again what a key says, and keys that mean nothing on the accelerator.
pub(super) fn check(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    for argument in &plan.workload.args {
        let Some(word) = argument.value.0.as_str().filter(|word| word.starts_with('-')) else { continue };
        let (flag, value) = word.split_once('=').unwrap_or((word, ""));
        // `-tp` is an alias and no number of switches; underscores are dashes to vLLM.
        let flag = flag.replace('_', "-");
        if let Some(key) = KEYS.iter().find(|key| key.flags.contains(&flag.as_str())) {
            let what = format!("{flag} is what `{}` says", key.name);
            let hint = match value {
                // What is written there is shown and stored.
                _ if key.name == "api_key" => {
                    format!("write api_key = \"${{inputs.key}}\" in [{}], a secret input", plan.component)
                }
                "" => format!("write `{}` in [{}] in place of the argument", key.name, plan.component),
                value => {
                    format!("write {} = {} in [{}] in place of the argument", key.name, quoted(value), plan.component)
                }
            };
            expansion.report(mistake(what, &argument.span, "said by a key").hint(hint));
        } else if let Some((_, why)) = OURS.iter().find(|(ours, _)| *ours == flag) {
            expansion.report(mistake(format!("{flag} is the catalogue's"), &argument.span, why).hint("leave it out"));
        }
    }
    if plan.row.family == Family::Tpu
        && let Some(offload) = &plan.workload.cpu_offload_gb
    {
        let what = format!("`cpu_offload_gb` is for GPUs; the workload runs on {}", plan.row.name);
        expansion.report(mistake(what, &offload.span, "not on a TPU").hint("remove it"));
    }
}

/// A value as the stack file writes it.
fn quoted(value: &str) -> String {
    let bare = value.parse::<f64>().is_ok() || matches!(value, "true" | "false");
    if bare { value.to_owned() } else { format!("{value:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_argument_belongs_to_two_keys() {
        let mut flags =
            KEYS.iter().flat_map(|key| key.flags).chain(OURS.iter().map(|(flag, _)| flag)).collect::<Vec<_>>();
        let all = flags.len();
        flags.sort_unstable();
        flags.dedup();
        assert_eq!(flags.len(), all);
        assert_eq!((quoted("4096"), quoted("half"), quoted("0.9")), ("4096".into(), "\"half\"".into(), "0.9".into()));
    }
}
