//! Label and field selectors, from query strings and from objects.

use serde_json::Value as Json;

use super::api::Status;
use super::fault;

/// What one term asks of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

/// A label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels(Vec<(String, Test)>);

impl Labels {
    /// Parses `a=b,c in (d,e),!f`.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut terms = Vec::new();
        for part in split(text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            terms.push(term(part).ok_or_else(|| unable(text, part))?);
        }
        Ok(Labels(terms))
    }

    /// From `matchLabels` and `matchExpressions`. Absent and empty match everything.
    pub fn of(selector: &Json) -> Self {
        let mut terms = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            terms.push((key.clone(), Test::In(vec![value.as_str().unwrap_or_default().to_owned()])));
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let key = expression["key"].as_str().unwrap_or_default().to_owned();
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Json::as_str).map(str::to_owned).collect();
            let test = match expression["operator"].as_str() {
                Some("In") => Test::In(values),
                Some("NotIn") => Test::NotIn(values),
                Some("DoesNotExist") => Test::Absent,
                _ => Test::Exists,
            };
            terms.push((key, test));
        }
        Labels(terms)
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `labels` (a JSON object or null) satisfy every term.
    pub fn matches(&self, labels: &Json) -> bool {
        self.0.iter().all(|(key, test)| {
            let value = labels.get(key).and_then(Json::as_str);
            match test {
                Test::In(values) => value.is_some_and(|v| values.iter().any(|w| w == v)),
                Test::NotIn(values) => value.is_none_or(|v| values.iter().all(|w| w != v)),
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::Greater(bound) => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v > *bound),
                Test::Less(bound) => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v < *bound),
            }
        })
    }
}

fn unable(text: &str, found: &str) -> Status {
    fault::bad_request(format!(
        "unable to parse requirement: {text:?}: found '{found}', expected: identifier, '!', 'in', 'notin', '=', '!='"
    ))
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0u32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn term(part: &str) -> Option<(String, Test)> {
    if let Some(key) = part.strip_prefix('!') {
        return identifier(key).map(|key| (key, Test::Absent));
    }
    for (sign, negative) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((key, value)) = part.split_once(sign) {
            let values = vec![value.trim().to_owned()];
            let test = if negative { Test::NotIn(values) } else { Test::In(values) };
            return identifier(key).map(|key| (key, test));
        }
    }
    for (word, negative) in [(" notin ", true), (" in ", false), (" notin(", true), (" in(", false)] {
        if let Some((key, rest)) = part.split_once(word) {
            let list = rest.trim().trim_start_matches('(').strip_suffix(')')?;
            let values = list.split(',').map(|v| v.trim().to_owned()).collect();
            let test = if negative { Test::NotIn(values) } else { Test::In(values) };
            return identifier(key).map(|key| (key, test));
        }
    }
    for (sign, greater) in [('>', true), ('<', false)] {
        if let Some((key, value)) = part.split_once(sign) {
            let bound = value.trim().parse().ok()?;
            let test = if greater { Test::Greater(bound) } else { Test::Less(bound) };
            return identifier(key).map(|key| (key, test));
        }
    }
    identifier(part).map(|key| (key, Test::Exists))
}

fn identifier(text: &str) -> Option<String> {
    let text = text.trim();
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    (!text.is_empty() && text.chars().all(fine)).then(|| text.to_owned())
}

/// A field selector: (path, value, whether it must be equal).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String, bool)>);

/// What each built-in kind may be selected by beside its name and namespace.
fn selectable(group: &str, plural: &str) -> &'static [&'static str] {
    match (group, plural) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "namespaces") => &["status.phase"],
        ("", "secrets") => &["type"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("", "replicationcontrollers") | ("apps", "replicasets") => &["status.replicas"],
        ("batch", "jobs") => &["status.successful"],
        ("certificates.k8s.io", "certificatesigningrequests") => &["spec.signerName"],
        ("", "events") | ("events.k8s.io", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        _ => &[],
    }
}

impl Fields {
    /// Parses `metadata.name=x,status.phase!=y` for a resource; `extra` are the selectable fields of its CRD.
    pub fn parse(text: &str, group: &str, plural: &str, extra: &[String]) -> Result<Self, Status> {
        let mut terms = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (path, value, equal) = match (part.split_once("!="), part.split_once("==").or(part.split_once('='))) {
                (Some((path, value)), _) => (path, value, false),
                (None, Some((path, value))) => (path, value, true),
                (None, None) => {
                    return Err(fault::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'")));
                }
            };
            let known = matches!(path, "metadata.name" | "metadata.namespace")
                || selectable(group, plural).contains(&path)
                || extra.iter().any(|e| e == path);
            if !known {
                return Err(unsupported(group, plural, path));
            }
            terms.push((path.to_owned(), value.to_owned(), equal));
        }
        Ok(Fields(terms))
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the object satisfies every term. An absent field is the empty text.
    pub fn matches(&self, object: &Json) -> bool {
        self.0.iter().all(|(path, wanted, equal)| {
            let value = path.split('.').fold(object, |value, key| &value[key]);
            let text = match value {
                Json::String(text) => text.clone(),
                Json::Null if path == "spec.unschedulable" || path == "spec.hostNetwork" => "false".to_owned(),
                Json::Null if path == "status.replicas" => "0".to_owned(),
                Json::Null => String::new(),
                other => other.to_string(),
            };
            (text == *wanted) == *equal
        })
    }
}

fn unsupported(group: &str, plural: &str, path: &str) -> Status {
    // The core group's kinds with selectable fields phrase it differently from those with only metadata.
    if selectable(group, plural).is_empty() {
        if group.is_empty() || group.ends_with(".k8s.io") || !group.contains('.') {
            return fault::bad_request(format!(
                "{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ));
        }
        return fault::bad_request(format!("field label not supported: {path}"));
    }
    fault::bad_request(format!("field label not supported: {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels() {
        let labels = json!({"app": "x", "tier": "web"});
        for (text, expected) in [
            ("app=x", true),
            ("app==x,tier!=db", true),
            ("app in (x,y),!gone", true),
            ("app notin (x)", false),
            ("gone", false),
            ("", true),
        ] {
            assert_eq!(Labels::parse(text).expect("parses").matches(&labels), expected, "{text}");
        }
        assert!(Labels::parse("a b c").is_err());
    }

    #[test]
    fn fields() {
        let pod = json!({"metadata": {"name": "p"}, "status": {"phase": "Running"}});
        let fields = Fields::parse("metadata.name=p,status.phase!=Failed", "", "pods", &[]).expect("parses");
        assert!(fields.matches(&pod));
        assert!(Fields::parse("spec.foo=1", "", "pods", &[]).is_err());
    }
}
