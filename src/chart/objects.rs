//! Rendered text to objects: split into documents, read, sorted by kind, hooks set apart. Not for templates.

use std::ops::Range;
use std::sync::Arc;

use super::error::{Cause, ChartError};
use super::hooks::{self, Event, Hook};
use crate::template::yaml;
use crate::value::{Map, Value};

/// One document of the rendered text.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The template it comes from: `cert-manager/templates/deployment.yaml`.
    pub source: String,
    /// As it was rendered.
    pub text: Excerpt,
    /// The line of the rendered text that it begins on, from 1.
    pub line: usize,
    /// What it says; null for mere comments.
    pub value: Value,
}

/// A part of a text, which it shares: charts render to megabytes.
#[derive(Clone, Debug)]
pub struct Excerpt {
    whole: Arc<String>,
    range: Range<usize>,
}

impl Excerpt {
    /// `part` must be of `whole`.
    fn of(whole: &Arc<String>, part: &str) -> Excerpt {
        let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
        Excerpt { whole: whole.clone(), range: start..start + part.len() }
    }
}

impl From<&str> for Excerpt {
    fn from(text: &str) -> Self {
        Excerpt { whole: Arc::new(text.to_owned()), range: 0..text.len() }
    }
}

impl std::ops::Deref for Excerpt {
    type Target = str;

    fn deref(&self) -> &str {
        &self.whole[self.range.clone()]
    }
}

impl PartialEq for Excerpt {
    fn eq(&self, other: &Excerpt) -> bool {
        **self == **other
    }
}

/// One object that a chart installs.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The object, as the chart has it: without the namespace of the release, where the chart leaves it out.
    pub manifest: Value,
    /// The template it comes from: `cert-manager/templates/deployment.yaml`.
    pub source: String,
    /// Whether it must outlive the release.
    pub keep: bool,
}

/// Documents, and the hooks among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sorted {
    /// What is not a hook, in the order of installation.
    pub plain: Vec<Document>,
    /// Hooks in the order of installation, with when they run.
    pub hooks: Vec<(Document, Vec<Event>)>,
}

/// How much of a document's value is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything.
    Whole,
    /// At least what sorting needs: megabytes of definitions are printed without a value for each of their lines.
    Head,
}

/// Splits and sorts what templates made.
pub(super) fn sort(chart: &str, mut outputs: Vec<(String, String)>, extent: Extent) -> Result<Sorted, ChartError> {
    outputs.sort();
    let mut sorted = Sorted::default();
    for (source, output) in outputs {
        if output.trim().is_empty() {
            continue;
        }
        let output = Arc::new(output);
        for (line, text) in split(&output) {
            let value = match extent {
                Extent::Whole => yaml::read(text),
                Extent::Head => yaml::head(text),
            };
            let value = value.map_err(|error| {
                broken(chart, &source, text, line, error.line, &format!("not YAML: {}", error.message))
            })?;
            check_head(&value).map_err(|message| broken(chart, &source, text, line, 1, &message))?;
            let text = Excerpt::of(&output, text);
            let document = Document { source: source.clone(), text, line, value };
            match annotation(&document.value, hooks::HOOK) {
                None => sorted.plain.push(document),
                Some(events) => {
                    // A hook that nobody knows is never run, and never installed.
                    if let Some(events) = hooks::events(&events) {
                        sorted.hooks.push((document, events));
                    }
                }
            }
        }
    }
    sorted.plain.sort_by_key(|document| rank(&document.value));
    sorted.hooks.sort_by_key(|(document, _)| rank(&document.value));
    Ok(sorted)
}

/// The documents of a text with the lines that they begin on. Any line that begins with three hyphens ends one.
pub(super) fn split(text: &str) -> Vec<(usize, &str)> {
    let start = text.len() - text.trim_start().len();
    let line = 1 + text[..start].matches('\n').count();
    let mut documents = Vec::new();
    let mut begin = start;
    let mut at = start;
    let mut add = |begin: usize, end: usize, line: usize| {
        let whole = &text[begin..end];
        let body = whole.trim_start();
        if !body.is_empty() {
            documents.push((line + whole[..whole.len() - body.len()].matches('\n').count(), body));
        }
    };
    let mut begin_line = line;
    for (line, row) in (line..).zip(text[start..].split_inclusive('\n')) {
        if let Some(rest) = row.strip_prefix("---") {
            add(begin, at, begin_line);
            let after = rest.trim_start_matches([' ', '\t']);
            begin = at + row.len() - after.len();
            begin_line = line;
        }
        at += row.len();
    }
    add(begin, text.len(), begin_line);
    documents
}

fn broken(chart: &str, source: &str, text: &str, start: usize, line: usize, message: &str) -> ChartError {
    let from = line.saturating_sub(3);
    let is_secret = text.contains("Secret");
    let rows = text.lines().enumerate().skip(from).take(5);
    let around = rows.map(|(at, row)| {
        let mark = if at + 1 == line { '>' } else { ' ' };
        // What a Secret would hold stays where it is: of its rows, keys are enough to find the place.
        let row = if is_secret { row.split_once(':').map_or("…", |(key, _)| key) } else { row };
        format!("{mark} {:4} | {row}", start + at)
    });
    ChartError::new(Cause::Output, chart, format!("the rendered text is {message}"))
        .file(source)
        .detail(format!(
            "Line {} of what the template made:\n{}",
            start + line - 1,
            around.collect::<Vec<_>>().join("\n")
        ))
        .hint("the template does not fit these values: change them, or report it to the makers of the chart")
}

/// Refuses what cannot be the beginning of an object: the fields that sorting needs have the wrong type.
fn check_head(value: &Value) -> Result<(), String> {
    let scalar = |value: Option<&Value>| !matches!(value, Some(Value::Map(_) | Value::List(_)));
    match value {
        Value::Null => Ok(()),
        Value::Map(map) => {
            for field in ["apiVersion", "kind"] {
                if !scalar(map.get(field)) {
                    return Err(format!("no object: {field} must be a text"));
                }
            }
            match map.get("metadata") {
                None | Some(Value::Null) => Ok(()),
                Some(Value::Map(metadata)) => {
                    if !scalar(metadata.get("name")) {
                        return Err("no object: metadata.name must be a text".to_owned());
                    }
                    match metadata.get("annotations") {
                        None | Some(Value::Null) => Ok(()),
                        Some(Value::Map(annotations)) => match annotations.iter().find(|(_, v)| !scalar(Some(v))) {
                            Some((key, _)) => Err(format!("no object: the annotation {key} must be a text")),
                            None => Ok(()),
                        },
                        Some(_) => Err("no object: metadata.annotations must be a map".to_owned()),
                    }
                }
                Some(_) => Err("no object: metadata must be a map".to_owned()),
            }
        }
        _ => Err("no object: it must be a map of fields".to_owned()),
    }
}

/// The annotation of an object as text.
pub(super) fn annotation(value: &Value, name: &str) -> Option<String> {
    match value.get("metadata")?.get("annotations")?.get(name)? {
        Value::Null => Some(String::new()),
        other => other.scalar_text(),
    }
}

/// Helm's order of installation; kinds that it does not know come last, in the order of their names.
const ORDER: &[&str] = &[
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// Where an object comes in the order of installation.
fn rank(value: &Value) -> (usize, String) {
    let kind = value.get("kind").and_then(Value::scalar_text).unwrap_or_default();
    match ORDER.iter().position(|known| *known == kind) {
        Some(at) => (at, String::new()),
        None => (ORDER.len(), kind),
    }
}

/// The objects of a document: none for mere comments, all items of a list.
pub(super) fn objects(chart: &str, document: Document) -> Result<Vec<Object>, ChartError> {
    let Document { source, text, value, .. } = document;
    let refuse = |message: &str| {
        ChartError::new(Cause::Output, chart, message)
            .file(&source)
            .detail(text.lines().take(6).collect::<Vec<_>>().join("\n"))
            .hint("the template does not fit these values: change them, or report it to the makers of the chart")
    };
    let object = |manifest: Value| {
        let policy = annotation(&manifest, "helm.sh/resource-policy");
        let keep = policy.is_some_and(|policy| policy.trim().eq_ignore_ascii_case("keep"));
        Object { manifest, source: source.clone(), keep }
    };
    let mut map = match value {
        Value::Map(map) if !map.is_empty() => map,
        _ => return Ok(Vec::new()),
    };
    let field = |map: &Map, name: &str| map.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(version), Some(kind)) = (field(&map, "apiVersion"), field(&map, "kind")) else {
        return Err(refuse("the template made an object without apiVersion or kind"));
    };
    let (Some(single), Some(Value::List(_))) = (kind.strip_suffix("List"), map.get("items")) else {
        return Ok(vec![object(Value::Map(map))]);
    };
    let Some(Value::List(items)) = map.remove("items") else { return Ok(Vec::new()) };
    let item = |item: Value| {
        let Value::Map(mut map) = item else {
            return Err(refuse("the template made a list with an item that is no object"));
        };
        if !single.is_empty() {
            map.entry("apiVersion".to_owned()).or_insert_with(|| Value::from(version.as_str()));
            map.entry("kind".to_owned()).or_insert_with(|| Value::from(single));
        }
        if !["apiVersion", "kind"].iter().all(|name| field(&map, name).is_some()) {
            return Err(refuse("the template made a list with an object without apiVersion or kind"));
        }
        Ok(object(Value::Map(map)))
    };
    items.into_iter().map(item).collect()
}

/// Hooks with all that their annotations say.
pub(super) fn hooks(chart: &str, document: Document, events: &[Event]) -> Result<Vec<Hook>, ChartError> {
    let weight = hooks::weight(&document.value);
    let delete = hooks::delete(&document.value);
    let objects = objects(chart, document)?;
    Ok(objects
        .into_iter()
        .map(|object| Hook { object, events: events.to_vec(), weight, delete: delete.clone() })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_at_lines_of_hyphens() {
        let text = "\n\n# a\n---\na: 1\n--- # note\nb: |\n  --- x\n---c: 3\n---\n\n---\n";
        assert_eq!(split(text), [(3, "# a\n"), (5, "a: 1\n"), (6, "# note\nb: |\n  --- x\n"), (9, "c: 3\n")]);
        assert!(split(" \n").is_empty());
    }

    fn sorted(text: &str) -> Result<Sorted, ChartError> {
        let sorted = sort("web", vec![("web/templates/a.yaml".to_owned(), text.to_owned())], Extent::Whole);
        let heads = sort("web", vec![("web/templates/a.yaml".to_owned(), text.to_owned())], Extent::Head);
        assert_eq!(sorted.is_ok(), heads.is_ok(), "{text}");
        sorted
    }

    #[test]
    fn kinds_come_in_their_order_and_hooks_apart() {
        let text = "kind: Zebra\n---\nkind: Apple\n---\nkind: Deployment\n---\nkind: Namespace\n---\n# nothing\n---\n\
                    kind: Job\nmetadata: {annotations: {helm.sh/hook: 'pre-install, Post-Upgrade', helm.sh/hook-weight: '-3',\n\
                    helm.sh/hook-delete-policy: hook-succeeded}}\n---\nkind: Pod\nmetadata: {annotations: {helm.sh/hook: sometime}}\n";
        let sorted = sorted(text).unwrap();
        let kinds = |d: &Document| d.value.get("kind").and_then(Value::as_str).unwrap_or("").to_owned();
        assert_eq!(
            sorted.plain.iter().map(kinds).collect::<Vec<_>>(),
            ["Namespace", "Deployment", "", "Apple", "Zebra"]
        );
        assert_eq!(sorted.hooks.len(), 1);
        assert_eq!(sorted.hooks[0].1, [Event::PreInstall, Event::PostUpgrade]);
        let (document, events) = sorted.hooks[0].clone();
        let mut document = document;
        if let Value::Map(map) = &mut document.value {
            map.insert("apiVersion".into(), Value::from("batch/v1"));
        }
        let hook = hooks("web", document, &events).unwrap().remove(0);
        assert_eq!((hook.weight, &hook.delete[..]), (-3, &[hooks::Delete::Succeeded][..]));
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_place() {
        let error = sorted("a: 1\n---\nb: [\n").unwrap_err();
        assert_eq!((error.cause, error.file.as_deref()), (Cause::Output, Some("web/templates/a.yaml")));
        assert!(error.detail.contains("b: ["), "{error:?}");
        for bad in ["- a\n", "text\n", "kind: [x]\n", "metadata: x\n", "metadata: {annotations: {a: {b: c}}}\n"] {
            assert!(sorted(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_fall_apart() {
        let value = yaml::read("apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a}\n").unwrap();
        let document = Document { source: "s".into(), text: "".into(), line: 1, value };
        let all = objects("web", document).unwrap();
        assert_eq!(all[0].manifest.get("kind").and_then(Value::as_str), Some("ConfigMap"));
        let value = yaml::read("kind: ConfigMap\n").unwrap();
        assert!(objects("web", Document { source: "s".into(), text: "".into(), line: 1, value }).is_err());
    }
}
