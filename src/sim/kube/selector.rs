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
        Parser { words: words(text).into() }.terms().map(Labels).map_err(fault::bad_request)
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

/// The words of a selector: names, values and operators.
fn words(text: &str) -> Vec<String> {
    const SYMBOLS: &str = "=!(),><";
    let mut words: Vec<String> = Vec::new();
    let mut joined = false;
    for c in text.chars() {
        match words.last_mut() {
            _ if c.is_whitespace() => {
                joined = false;
                continue;
            }
            // Only `=` makes a longer operator of one that stands before it.
            Some(last) if joined && c == '=' && matches!(last.as_str(), "=" | "!") => last.push(c),
            Some(last) if joined && !SYMBOLS.contains(c) && !last.starts_with(|f| SYMBOLS.contains(f)) => last.push(c),
            _ => words.push(c.to_string()),
        }
        joined = true;
    }
    words
}

/// Reads requirements word by word; errors are in the words of Kubernetes' own parser.
struct Parser {
    words: std::collections::VecDeque<String>,
}

const OPERATORS: [&str; 7] = ["in", "notin", "=", "==", "!=", "gt", "lt"];

fn is_name(word: &str) -> bool {
    !word.is_empty() && !word.starts_with(|c| "=!(),><".contains(c))
}

impl Parser {
    fn next(&mut self) -> String {
        self.words.pop_front().unwrap_or_default()
    }

    fn peek(&self) -> &str {
        self.words.front().map_or("", String::as_str)
    }

    fn terms(&mut self) -> Result<Vec<(String, Test)>, String> {
        let mut terms = Vec::new();
        loop {
            match self.peek() {
                "" => return Ok(terms),
                word if word == "!" || is_name(word) => {
                    terms.push(self.term().map_err(|why| format!("unable to parse requirement: {why}"))?);
                    match self.next().as_str() {
                        "" => return Ok(terms),
                        "," if self.peek() == "!" || is_name(self.peek()) => {}
                        "," => return Err(format!("found '{}', expected: identifier after ','", self.peek())),
                        other => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
                    }
                }
                other => return Err(format!("found '{other}', expected: !, identifier, or 'end of string'")),
            }
        }
    }

    fn term(&mut self) -> Result<(String, Test), String> {
        let mut key = self.next();
        let absent = key == "!";
        if absent {
            key = self.next();
        }
        if !is_name(&key) {
            return Err(format!("found '{key}', expected: identifier"));
        }
        if matches!(self.peek(), "" | ",") {
            return Ok((key, if absent { Test::Absent } else { Test::Exists }));
        }
        let operator = self.next();
        let test = match operator.as_str() {
            "in" => Test::In(self.values()?),
            "notin" => Test::NotIn(self.values()?),
            "=" | "==" => Test::In(vec![self.value()?]),
            "!=" => Test::NotIn(vec![self.value()?]),
            ">" => Test::Greater(self.bound()?),
            "<" => Test::Less(self.bound()?),
            other => return Err(format!("found '{other}', expected: {}", OPERATORS.join(", "))),
        };
        Ok((key, test))
    }

    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            "" | "," => Ok(String::new()),
            word if is_name(word) => Ok(self.next()),
            other => Err(format!("found '{other}', expected: identifier")),
        }
    }

    fn bound(&mut self) -> Result<i64, String> {
        let value = self.value()?;
        value.parse().map_err(|_| {
            format!("values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer")
        })
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        let open = self.next();
        if open != "(" {
            return Err(format!("found '{open}' expected: '('"));
        }
        let mut values = Vec::new();
        loop {
            match self.peek() {
                ")" => {
                    self.next();
                    return Ok(values);
                }
                "," if values.is_empty() => values.push(String::new()),
                "," => {}
                word if is_name(word) => {
                    values.push(self.next());
                    if !matches!(self.peek(), "," | ")") {
                        return Err(format!("found '{}', expected: ',' or ')'", self.peek()));
                    }
                    continue;
                }
                other => return Err(format!("found '{other}', expected: ',', ')' or identifier")),
            }
            self.next();
            if matches!(self.peek(), "," | ")") {
                values.push(String::new());
            }
        }
    }
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
        for (text, why) in [
            ("a b c", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("app in x", "unable to parse requirement: found 'x' expected: '('"),
            ("app=bad value", "found 'value', expected: ',' or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
        ] {
            assert_eq!(Labels::parse(text).expect_err(text).message(), why);
        }
    }

    #[test]
    fn fields() {
        let pod = json!({"metadata": {"name": "p"}, "status": {"phase": "Running"}});
        let fields = Fields::parse("metadata.name=p,status.phase!=Failed", "", "pods", &[]).expect("parses");
        assert!(fields.matches(&pod));
        assert!(Fields::parse("spec.foo=1", "", "pods", &[]).is_err());
    }
}
