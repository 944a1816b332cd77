//! Takes secrets out of what was seen: values that are known (of inputs, of Secrets around), and whatever looks like a
//! token, a key or a password. What is masked reads `(sensitive)`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::{Captures, Regex};
use serde_json::Value as Json;

use crate::diagnosis::facts::Facts;

/// What stands in the place of a secret.
pub const MASKED: &str = "(sensitive)";

/// Shorter values would blot texts out without hiding anything.
const SHORT: usize = 6;
/// A line of a longer value that is masked by itself, as logs break lines.
const LINE: usize = 16;
/// Larger ones are archives, not what programs print.
const LARGE: usize = 65_536;

/// What looks like a secret whatever its name: the whole match, or its last group.
static LOOKS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // A header, also as JSON has it.
        r#"(?i)\bbearer\s+([A-Za-z0-9._~+/=-]{8,})"#,
        r#"(?i)authorization["']?\s*[:=]\s*["']?(?:basic|token)\s+([^\s"',]{6,})"#,
        r#"(?i)\bbasic\s+([A-Za-z+/]*[0-9=][A-Za-z0-9+/=]{6,})"#,
        // Tokens by their makers' marks: Hugging Face, Google, GitHub, GitLab, AWS, Slack, OpenAI.
        r"\b(hf_[A-Za-z0-9]{8,}|ya29\.[A-Za-z0-9._-]{8,}|1//[A-Za-z0-9_-]{20,}|AIza[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{12,}|AKIA[A-Z0-9]{12,}|xox[a-z]-[A-Za-z0-9-]{10,}|sk-[A-Za-z0-9_-]{16,})",
        // A JSON web token.
        r"\b(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)",
        // A private key, whole or cut off.
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
        // Who logs in with an address.
        r"://[^/\s:@]+:([^/\s@]+)@",
        // A name that says it: `"password": "…"`, `token=…`, `--api-key …`; without quotes, prose after a colon is prose.
        r#"(?i)(?:api[_-]?key|token|password|passwd|secret[_-]?(?:access[_-]?)?key|client[_-]?secret|authorization|credential)s?["']?\s*[:=]\s*["']([^"'\s]{6,})["']"#,
        r#"(?i)(?:api[_-]?key|token|password|passwd|secret[_-]?(?:access[_-]?)?key|client[_-]?secret|authorization|credential)s?=([^\s&"',;]{6,})"#,
        r#"(?i)(?:api[_-]?key|token|password|passwd|secret[_-]?(?:access[_-]?)?key|client[_-]?secret|authorization|credential)s?\s*:\s*([A-Za-z._~+/=-]*[0-9][A-Za-z0-9._~+/=-]{6,})"#,
        r#"(?i)--[a-z-]*(?:api[_-]?key|token|password|passwd|secret[_-]?(?:access[_-]?)?key|client[_-]?secret|authorization|credential)s?[\s=]+([^\s"',]{6,})"#,
    ]
    .iter()
    .map(|pattern| Regex::new(pattern).expect("a pattern"))
    .collect()
});

/// Names of variables and arguments whose values nobody may see.
static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(token|passw|secret|credential|api_?key|access_?key|private_?key|auth|connection_?string|dsn)")
        .expect("a pattern")
});

/// What is not to be seen.
#[derive(Default)]
pub struct Mask {
    values: BTreeSet<String>,
}

impl Mask {
    /// The values of secret inputs.
    pub fn of(secrets: &BTreeMap<String, String>) -> Self {
        let mut mask = Mask::default();
        secrets.values().for_each(|value| mask.add(value));
        mask
    }

    /// One more value, as it is, as base64, and line by line.
    pub fn add(&mut self, value: &str) {
        let value = value.trim();
        if value.len() < SHORT || value.len() > LARGE {
            return;
        }
        let lines = value.lines().map(str::trim).filter(|line| line.len() >= LINE && !line.starts_with("-----"));
        let escaped = serde_json::to_string(value).unwrap_or_default();
        for text in lines.chain([value, escaped.trim_matches('"')]) {
            self.values.insert(text.to_owned());
            self.values.insert(STANDARD.encode(text));
        }
        // Logins within: `{"auths": {…: {"auth": …}}}`.
        if let Ok(inner @ (Json::Object(_) | Json::Array(_))) = serde_json::from_str::<Json>(value) {
            self.leaves(&inner);
        }
    }

    fn leaves(&mut self, json: &Json) {
        match json {
            Json::String(text) if text.len() >= SHORT && !text.contains("://") => {
                self.values.insert(text.clone());
                if let Some(plain) = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
                    let password = plain.split_once(':').map_or(plain.as_str(), |(_, password)| password);
                    if password.len() >= SHORT {
                        self.values.insert(password.to_owned());
                    }
                }
            }
            Json::Array(items) => items.iter().for_each(|item| self.leaves(item)),
            Json::Object(map) => map.values().for_each(|value| self.leaves(value)),
            _ => {}
        }
    }

    /// Everything that a Secret holds but certificates, which are there to be seen.
    pub fn secret(&mut self, secret: &Json) {
        if secret["type"] == "helm.sh/release.v1" {
            return;
        }
        for (key, value) in secret["data"].as_object().into_iter().flatten() {
            let Some(value) = value.as_str().filter(|value| value.len() <= LARGE * 2) else { continue };
            if matches!(key.as_str(), "tls.crt" | "ca.crt" | "namespace") {
                continue;
            }
            if value.len() >= SHORT {
                self.values.insert(value.to_owned());
            }
            if let Some(plain) = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
                self.add(&plain);
            }
        }
    }

    /// A text without anything that may not be seen.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // Longer ones first: one may be part of another.
        let mut values = self.values.iter().filter(|value| text.contains(value.as_str())).collect::<Vec<_>>();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in values {
            text = text.replace(value.as_str(), MASKED);
        }
        for look in LOOKS.iter() {
            let masked = look.replace_all(&text, |found: &Captures<'_>| {
                let whole = &found[0];
                let Some(secret) = found.get(1).filter(|secret| !secret.is_empty()) else { return whole.to_owned() };
                let from = secret.start() - found.get(0).map_or(0, |whole| whole.start());
                format!("{}{MASKED}{}", &whole[..from], &whole[from + secret.len()..])
            });
            text = masked.into_owned();
        }
        text
    }

    /// A document without it: every text, and the values of variables whose names say what they are.
    pub fn json(&self, json: &mut Json) {
        match json {
            Json::String(text) => *text = self.text(text),
            Json::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Json::Object(map) => {
                let is_secret = map.get("name").and_then(Json::as_str).is_some_and(|name| NAMES.is_match(name));
                if is_secret && let Some(value) = map.get_mut("value").filter(|value| value.is_string()) {
                    *value = MASKED.into();
                }
                map.values_mut().for_each(|value| self.json(value));
            }
            _ => {}
        }
    }

    /// Everything that was seen, without it.
    pub fn facts(&self, facts: &mut Facts) {
        facts.objects.iter_mut().for_each(|object| self.json(object));
        let mut texts = Vec::new();
        texts.extend(facts.logs.iter_mut().map(|log| &mut log.text));
        texts.extend(facts.refused.iter_mut().map(|refused| &mut refused.text));
        texts.extend(facts.things.iter_mut().map(|thing| &mut thing.text));
        texts.extend(facts.checks.iter_mut().map(|check| &mut check.found));
        texts.extend(facts.unseen.iter_mut().map(|unseen| &mut unseen.why));
        for text in texts {
            *text = self.text(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_known_and_what_looks_like_it_is_masked() {
        let mut mask = Mask::of(&BTreeMap::from([("t".to_owned(), "given-by-the-user".to_owned())]));
        mask.secret(&json!({"data": {"key": STANDARD.encode("made-in-the-cluster"), "ca.crt": STANDARD.encode("public-certificate")}}));
        mask.secret(&json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson":
            STANDARD.encode(json!({"auths": {"h": {"auth": STANDARD.encode("me:pull-password")}}}).to_string())}}));
        for (text, hidden) in [
            ("got given-by-the-user here", "given-by-the-user"),
            ("got made-in-the-cluster", "made-in-the-cluster"),
            ("login pull-password refused", "pull-password"),
            ("Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
            ("{\"authorization\": \"Basic dXNlcjpwYXNz\"}", "dXNlcjpwYXNz"),
            ("token hf_AbCdEfGhIjKlMn is bad", "hf_AbCdEfGhIjKlMn"),
            ("at ya29.a0AfH6SMBx-longtoken", "a0AfH6SMBx"),
            ("jwt eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl!", "eyJzdWIiOiIxMjM0"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAK\n-----END RSA PRIVATE KEY-----", "MIIBOgIBAAJBAK"),
            ("postgres://me:hunter2hunter2@db/x", "hunter2hunter2"),
            ("--api-key=0123456789abcdef --port 1", "0123456789abcdef"),
            ("\"password\": \"correct-horse\"", "correct-horse"),
        ] {
            let masked = mask.text(text);
            assert!(!masked.contains(hidden) && masked.contains(MASKED), "{text} -> {masked}");
        }
        let plain = "the certificate public-certificate is for inference.example; 4096 tokens, token budget exceeded; \
                     failed to fetch anonymous token: unexpected status: 401, no basic auth credentials";
        assert_eq!(mask.text(plain), plain);
        let mut pod = json!({"env": [{"name": "HF_TOKEN", "value": "short"}, {"name": "PORT", "value": "8000"}]});
        mask.json(&mut pod);
        assert_eq!(pod["env"][0]["value"], MASKED);
        assert_eq!(pod["env"][1]["value"], "8000");
    }
}
