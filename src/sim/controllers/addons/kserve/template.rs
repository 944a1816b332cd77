//! The Go templating that KServe applies to every text of a merged preset.
//!
//! Fields, a few functions and if/else/end: what presets use. An unknown word is an error, as with Go's
//! `missingkey=error`. Not for charts.

use serde_json::Value as Json;

use super::super::objects::child_name;

/// Renders every text inside `value`.
///
/// # Errors
/// What is wrong, naming the action.
pub fn render_all(value: &mut Json, variables: &Json) -> Result<(), String> {
    match value {
        Json::String(text) if text.contains("{{") => *text = render(text, variables)?,
        Json::Array(entries) => entries.iter_mut().try_for_each(|entry| render_all(entry, variables))?,
        Json::Object(entries) => entries.values_mut().try_for_each(|entry| render_all(entry, variables))?,
        _ => {}
    }
    Ok(())
}

/// Renders one text.
///
/// # Errors
/// What is wrong, naming the action.
pub fn render(text: &str, variables: &Json) -> Result<String, String> {
    let mut out = String::new();
    // Whether each open `if` shows its present branch, and whether one of its branches was shown.
    let mut open: Vec<(bool, bool)> = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    loop {
        let (literal, after) = match rest.split_once("{{") {
            Some((literal, after)) => (literal, Some(after)),
            None => (rest, None),
        };
        // What is rendered is JSON, in which a line's end is an escape and no white space.
        let mut literal = if trim_next { literal.trim_start_matches(' ') } else { literal };
        if after.is_some_and(|a| a.starts_with("- ")) {
            literal = literal.trim_end_matches(' ');
        }
        if open.iter().all(|(shown, _)| *shown) {
            out.push_str(literal);
        }
        let Some(after) = after else { break };
        let (action, tail) = after.split_once("}}").ok_or_else(|| format!("unclosed action in {text:?}"))?;
        rest = tail;
        trim_next = action.ends_with(" -");
        let action = action.strip_prefix("- ").unwrap_or(action);
        let action = action.strip_suffix(" -").unwrap_or(action).trim();
        let live = |open: &[(bool, bool)]| open.iter().all(|(shown, _)| *shown);
        match words(action)?.as_slice() {
            [] => {}
            [word, condition @ ..] if word == "if" => {
                let holds = live(&open) && truth(&evaluate(condition, variables)?);
                open.push((holds, holds));
            }
            [word, more @ ..] if word == "else" => {
                let (_, was_shown) = open.pop().ok_or("else without if")?;
                let holds = match more {
                    [] => !was_shown,
                    [_if, condition @ ..] => !was_shown && live(&open) && truth(&evaluate(condition, variables)?),
                };
                open.push((holds, was_shown || holds));
            }
            [word] if word == "end" => {
                open.pop().ok_or("end without if")?;
            }
            [comment, ..] if comment.starts_with("/*") => {}
            expression => {
                if live(&open) {
                    match evaluate(expression, variables)? {
                        Json::String(text) => out.push_str(&text),
                        Json::Null => {}
                        other => out.push_str(&other.to_string()),
                    }
                }
            }
        }
    }
    if open.is_empty() { Ok(out) } else { Err(format!("if without end in {text:?}")) }
}

/// Splits an action into words; quoted texts and parenthesised groups stay whole.
fn words(action: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut chars = action.chars().peekable();
    while let Some(&c) = chars.peek() {
        if c.is_whitespace() {
            chars.next();
            continue;
        }
        let mut word = String::new();
        let mut depth = 0usize;
        while let Some(&c) = chars.peek() {
            if c.is_whitespace() && depth == 0 {
                break;
            }
            chars.next();
            word.push(c);
            match c {
                '"' | '`' => loop {
                    let inner = chars.next().ok_or_else(|| format!("unterminated text in {action:?}"))?;
                    word.push(inner);
                    if inner == c {
                        break;
                    }
                },
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        words.push(word);
    }
    Ok(words)
}

fn truth(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(b) => *b,
        Json::String(s) => !s.is_empty(),
        Json::Number(n) => n.as_f64() != Some(0.0),
        Json::Array(a) => !a.is_empty(),
        Json::Object(o) => !o.is_empty(),
    }
}

fn evaluate(words: &[String], variables: &Json) -> Result<Json, String> {
    let [function, arguments @ ..] = words else { return Ok(Json::Null) };
    if arguments.is_empty() {
        return operand(function, variables);
    }
    let arguments: Vec<Json> = arguments.iter().map(|word| operand(word, variables)).collect::<Result<_, _>>()?;
    let texts: Vec<&str> = arguments.iter().map(|a| a.as_str().unwrap_or_default()).collect();
    match (function.as_str(), texts.as_slice()) {
        ("ChildName", [parent, suffix]) => Ok(Json::from(child_name(parent, suffix))),
        ("eq", _) => Ok(Json::from(arguments.windows(2).all(|pair| pair[0] == pair[1]))),
        ("ne", _) => Ok(Json::from(arguments.windows(2).any(|pair| pair[0] != pair[1]))),
        ("not", _) => Ok(Json::from(!arguments.first().is_some_and(truth))),
        ("and", _) => Ok(Json::from(arguments.iter().all(truth))),
        ("or", _) => Ok(arguments.into_iter().find(truth).unwrap_or_default()),
        ("shutdownTimeout", [_, _]) => Ok(Json::from(shutdown_timeout(&arguments[0], arguments[1].as_i64()))),
        ("kvTransferConfig", [_]) => Ok(Json::from(kv_transfer(&arguments[0]))),
        _ => Err(format!("function {function:?} not defined")),
    }
}

/// What vLLM may take to finish its requests: the pod's grace period (60 s unless it has another) without the
/// pre-stop hook and five seconds for the rest.
fn shutdown_timeout(pod: &Json, pre_stop: Option<i64>) -> i64 {
    let grace = pod.get("terminationGracePeriodSeconds").and_then(Json::as_i64).unwrap_or(60);
    (grace - pre_stop.unwrap_or_default() - grace.min(5)).max(0)
}

/// The argument with which vLLM moves parts of its cache into memory and onto disks.
fn kv_transfer(offloading: &Json) -> String {
    if !offloading.is_object() {
        return String::new();
    }
    let bytes = offloading.get("cpu").map(crate::sim::controllers::fields::quantity).unwrap_or_default();
    let whole = i64::try_from(bytes / 1000).unwrap_or(i64::MAX);
    let mut extra = serde_json::json!({"spec_name": "TieringOffloadingSpec", "cpu_bytes_to_use": whole});
    if let Some(policy) = offloading.get("evictionPolicy").filter(|policy| truth(policy)) {
        extra["eviction_policy"] = policy.clone();
    }
    let tiers = offloading.get("secondary").and_then(Json::as_array).into_iter().flatten().enumerate();
    let disks = tiers.filter(|(_, tier)| tier.get("fileSystem").is_some_and(|disk| !disk.is_null()));
    let disks = disks.map(|(at, _)| serde_json::json!({"type": "fs", "root_dir": format!("/mnt/kv-cache-{at}")}));
    let disks = disks.collect::<Vec<_>>();
    if !disks.is_empty() {
        extra["secondary_tiers"] = disks.into();
    }
    let config = serde_json::json!({
        "kv_connector": "OffloadingConnector", "kv_role": "kv_both", "kv_connector_extra_config": extra,
    });
    format!("--kv-transfer-config '{}'", config.to_string().replace('"', "\\\""))
}

fn operand(word: &str, variables: &Json) -> Result<Json, String> {
    if let Some(inner) = word.strip_prefix('(').and_then(|w| w.strip_suffix(')')) {
        return evaluate(&words(inner)?, variables);
    }
    for quote in ['"', '`'] {
        if let Some(inner) = word.strip_prefix(quote).and_then(|w| w.strip_suffix(quote)) {
            return Ok(Json::from(inner));
        }
    }
    if let Ok(number) = word.parse::<i64>() {
        return Ok(Json::from(number));
    }
    match word {
        "true" => return Ok(Json::from(true)),
        "false" => return Ok(Json::from(false)),
        "nil" => return Ok(Json::Null),
        _ => {}
    }
    let path = word.strip_prefix('.').ok_or_else(|| format!("function {word:?} not defined"))?;
    let mut value = variables;
    for (depth, step) in path.split('.').filter(|s| !s.is_empty()).enumerate() {
        // Go's field names are JSON's in other capitals: `KVCacheOffloading`, `kvCacheOffloading`.
        let named =
            |map: &'_ serde_json::Map<String, Json>| map.keys().find(|key| key.eq_ignore_ascii_case(step)).cloned();
        let found = value.get(step).or_else(|| value.get(value.as_object().and_then(named)?));
        match found {
            Some(found) => value = found,
            // Fields of a spec that are not set are nil or zero; those of the other variables always are.
            None if depth > 1 || (depth == 1 && path.starts_with("Spec.")) => return Ok(Json::Null),
            None => return Err(format!("map has no entry for key {step:?} in {word:?}")),
        }
    }
    Ok(value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn presets_render() {
        let variables = json!({
            "ObjectMeta": {"name": "qwen", "namespace": "ns"},
            "Spec": {"model": {"name": "Qwen"}, "template": {"terminationGracePeriodSeconds": 120}},
            "GlobalConfig": {"EnableTLS": true, "IngressGatewayName": "gw"},
        });
        let check = |template: &str, expected: &str| {
            assert_eq!(render(template, &variables).as_deref(), Ok(expected), "{template}");
        };
        check("/{{ .ObjectMeta.Namespace }}/{{ .ObjectMeta.Name }}/v1", "/ns/qwen/v1");
        check("{{ ChildName .ObjectMeta.Name `-kserve-self-signed-certs` }}", "qwen-kserve-self-signed-certs");
        check("a {{- if .GlobalConfig.EnableTLS }} https {{- else }} http {{- end }}", "a https");
        check("{{ if not .GlobalConfig.EnableTLS }}x{{ else if eq .Spec.Model.Name \"Qwen\" }}y{{ end }}", "y");
        check("{{ if (and .GlobalConfig.EnableTLS .Spec.Model.Missing) }}x{{ end }}-", "-");
        check("{{ shutdownTimeout .Spec.Template 15 }}", "100");
        check("{{ shutdownTimeout nil 15 }}", "40");
        check("[{{ kvTransferConfig .Spec.Model.KVCacheOffloading }}]", "[]");
        check("a\n {{- if .Spec }} b{{ end }}", "a\n b");
        assert!(render("{{ .Nothing.There }}", &variables).is_err());
        assert!(render("{{ if .Spec }}", &variables).is_err());
        assert!(render("{{ .Spec", &variables).is_err());
    }
}
