//! A stack's Kubernetes manifests as files that `kubectl apply` takes in the order of their names.
//!
//! Nothing secret is written: secret inputs, the contents of Secrets and what is known only after an apply
//! become placeholders, each of them listed. Clusters and node pools have no manifest and are only named.
//! Pure; writing the files is the command line's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::address::Address;
use crate::diag::{Diagnostic, Diagnostics};
use crate::graph::Graph;
use crate::plan::dependencies;
use crate::resource::hook::{MANIFEST, Moment, OBJECT};
use crate::resource::model::{Desired, Resource};
use crate::template::yaml;
use crate::value::{Encoding, Map, Part, Template, Value};

/// How every file of an export begins; what begins otherwise is somebody else's.
pub const HEADER: &str = "# Written by `stackwright export` from the stack ";

/// A stack as manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// In the order in which they are applied, which is that of their names.
    pub files: Vec<File>,
    /// What stands for values that are not written.
    pub placeholders: Vec<Placeholder>,
    /// Resources without a manifest: clusters, node pools, values.
    pub elsewhere: Vec<Address>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// `03-addons.istio.yaml`
    pub name: String,
    /// YAML documents with a comment before them.
    pub text: String,
}

/// Something to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    /// The object.
    pub address: Address,
    /// `spec.addresses[0].value`
    pub path: String,
    /// What it stands for: `the secret input hf_token`, `gateway.address`.
    pub stands_for: String,
}

/// The manifests of a stack. Objects that can be applied together have the same number.
///
/// # Errors
/// When the stack's objects cannot be put in order, or nest too deeply to be written.
pub fn manifests(desired: &Desired) -> Result<Export, Diagnostics> {
    let mut desired = desired.clone();
    for resource in &mut desired.resources {
        // What runs at the installation is applied in its turn; the rest is not for an installation.
        if Moment::of(&resource.address).is_some_and(Moment::is_installation)
            && let Some(manifest) = resource.attrs.get(MANIFEST)
        {
            resource.attrs = manifest.clone().into();
            resource.kind = OBJECT;
        }
    }
    let desired = &desired;
    let graph = dependencies::graph(desired).map_err(Diagnostics)?;
    let objects = desired.resources.iter().filter(|resource| resource.kind == OBJECT);
    let objects = objects.map(|resource| (&resource.address, resource)).collect::<BTreeMap<_, _>>();
    let waves = waves(&graph, &objects);
    let mut parts: BTreeMap<(usize, &str), Vec<&Resource>> = BTreeMap::new();
    for (address, resource) in &objects {
        let wave = waves.get(*address).copied().unwrap_or(1);
        parts.entry((wave, address.component())).or_default().push(resource);
    }
    let width = waves.values().max().map_or(2, |most| most.to_string().len().max(2));
    let mut export = Export { files: Vec::new(), placeholders: Vec::new(), elsewhere: Vec::new() };
    for ((wave, component), resources) in parts {
        let name = format!("{wave:0width$}-{component}.yaml");
        let text = file(&desired.stack, resources, &mut export.placeholders)?;
        export.files.push(File { name, text });
    }
    let elsewhere = desired.resources.iter().filter(|resource| resource.kind != OBJECT);
    export.elsewhere = elsewhere.map(|resource| resource.address.clone()).collect();
    Ok(export)
}

/// For each object, one more than the most objects that must be there one after the other before it.
fn waves(graph: &Graph<Address>, objects: &BTreeMap<&Address, &Resource>) -> BTreeMap<Address, usize> {
    let mut waves: BTreeMap<Address, usize> = BTreeMap::new();
    for address in graph.order().unwrap_or_default() {
        let dependencies = graph.dependencies(&address);
        let before = dependencies.iter().filter_map(|(on, _)| waves.get(*on)).max().copied().unwrap_or(0);
        let wave = before + usize::from(objects.contains_key(&address));
        waves.insert(address, wave);
    }
    waves
}

fn file(stack: &str, resources: Vec<&Resource>, all: &mut Vec<Placeholder>) -> Result<String, Diagnostics> {
    let mut body = String::new();
    let first = all.len();
    for resource in resources {
        let mut filler = Filler { resource, found: all, path: String::new() };
        let manifest = filler.fill(&resource.attrs);
        let text = yaml::document(&manifest).ok_or_else(|| {
            Diagnostics::from(Diagnostic::error("the manifest is nested too deeply").about(resource.address.clone()))
        })?;
        body.push_str("---\n");
        if let Some(origin) = &resource.origin {
            // Writing to a String cannot fail.
            let _ = writeln!(body, "# from {}", one_line(origin));
        }
        body.push_str(&text);
        body.push('\n');
    }
    let mut head = format!("{HEADER}{stack}: written anew each time, so do not edit.\n");
    head.push_str(
        "# Apply the files in the order of their names, each with `kubectl apply --server-side -f FILE`, and wait until\n\
         # all of one number are ready before the next.\n",
    );
    if all.len() > first {
        head.push_str("# Not written here, and to be filled in:\n");
        for placeholder in &all[first..] {
            let Placeholder { address, path, stands_for } = placeholder;
            let key = address.object_key().unwrap_or(address.as_str());
            let _ = writeln!(head, "#   {key}: {} is {}", one_line(path), one_line(stands_for));
        }
    }
    Ok(head + &body)
}

/// A comment ends with its line, whatever the text says.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

/// Puts placeholders where values are missing.
struct Filler<'a> {
    resource: &'a Resource,
    found: &'a mut Vec<Placeholder>,
    path: String,
}

impl Filler<'_> {
    fn fill(&mut self, value: &Value) -> Value {
        match value {
            Value::Deferred(template) => self.stand_in(template),
            Value::List(items) => {
                let mut filled = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    filled.push(self.below(&format!("[{at}]"), item));
                }
                Value::List(filled)
            }
            Value::Map(map) => {
                let root = self.path.is_empty();
                let mut filled = Map::new();
                for (key, item) in map {
                    let value = if root && self.is_secret() && matches!(key.as_str(), "data" | "stringData") {
                        self.hidden(key, item)
                    } else if root {
                        self.below(key, item)
                    } else {
                        self.below(&format!(".{key}"), item)
                    };
                    filled.insert(key.clone(), value);
                }
                Value::Map(filled)
            }
            plain => plain.clone(),
        }
    }

    fn below(&mut self, step: &str, value: &Value) -> Value {
        let length = self.path.len();
        self.path.push_str(step);
        let filled = self.fill(value);
        self.path.truncate(length);
        filled
    }

    fn is_secret(&self) -> bool {
        let text = |key| self.resource.attrs.get(key).and_then(Value::as_str);
        (text("apiVersion"), text("kind")) == (Some("v1"), Some("Secret"))
    }

    /// The contents of a Secret: names stay, values do not.
    fn hidden(&mut self, list: &str, value: &Value) -> Value {
        let Value::Map(map) = value else { return self.below(list, value) };
        let mut filled = Map::new();
        for (key, item) in map {
            let value = match item {
                Value::Deferred(template) => {
                    let length = self.path.len();
                    self.path = format!("{list}.{key}");
                    let value = self.stand_in(template);
                    self.path.truncate(length);
                    value
                }
                Value::String(text) if text.is_empty() => item.clone(),
                Value::Null => item.clone(),
                _ => {
                    let from = self.resource.origin.as_deref().unwrap_or(self.resource.address.component());
                    let stands_for = format!("secret, as in {from}");
                    self.note(format!("{list}.{key}"), stands_for);
                    Value::from("<secret>")
                }
            };
            filled.insert(key.clone(), value);
        }
        Value::Map(filled)
    }

    fn stand_in(&mut self, template: &Template) -> Value {
        let secrets = template.secrets().collect::<Vec<_>>();
        let source = template.source();
        let sensitive = template.is_sensitive() || template.encoding != Encoding::Plain && self.is_secret();
        if sensitive {
            let stands_for = match secrets[..] {
                [one] if template.parts.len() == 1 => format!("the secret input {one}"),
                _ if source.is_empty() => "secret".to_owned(),
                _ => format!("secret, made of {source}"),
            };
            self.note(self.path.clone(), stands_for);
            return Value::from(if source.is_empty() { "<secret>".to_owned() } else { format!("<secret: {source}>") });
        }
        self.note(self.path.clone(), format!("{source}, known after an apply"));
        let text = template.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Reference(reference) => format!("<unknown: {reference}>"),
            Part::Secret(input) => format!("<secret: {input}>"),
        });
        Value::from(text.collect::<String>())
    }

    fn note(&mut self, path: String, stands_for: String) {
        self.found.push(Placeholder { address: self.resource.address.clone(), path, stands_for });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::address::ObjectKey;

    fn object(key: &str, manifest: &serde_json::Value) -> Resource {
        let key = ObjectKey::parse(key).expect("a key");
        Resource {
            address: Address::object("manifests.app", &key),
            kind: OBJECT,
            attrs: Value::from_json(manifest).into(),
            needs: Vec::new(),
            connection: None,
            ceded: Vec::new(),
            timeout: Duration::from_secs(1),
            estimate: Duration::from_secs(1),
            origin: Some("app\nkind: Evil".to_owned()),
        }
    }

    fn desired() -> Desired {
        let token = Value::from(Template::secret("token")).to_json();
        let name = Template::reference("manifests.app/Namespace/app".into(), vec!["metadata".into(), "uid".into()]);
        let resources = vec![
            object("Namespace/app", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app"}})),
            object(
                "ConfigMap/app/c",
                &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "app"},
                    "data": {"switch": "on", "uid": Value::from(name).to_json(), "lines": "a\nb\n", "number": "0x1F"}}),
            ),
            object(
                "Secret/app/s",
                &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "app"},
                    "data": {"known": "aHVudGVyMg==", "token": token, "none": ""}}),
            ),
        ];
        Desired { stack: "demo".to_owned(), resources, ..Desired::default() }
    }

    #[test]
    fn files_are_numbered_and_hold_no_secret() {
        let export = manifests(&desired()).expect("in order");
        let names = export.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["01-manifests.app.yaml", "02-manifests.app.yaml"]);
        let text = &export.files[1].text;
        assert!(!text.contains("aHVudGVyMg"), "{text}");
        assert!(text.contains("data.known is secret, as in app kind: Evil"), "{text}");
        assert!(text.contains("data.token is the secret input token"), "{text}");
        assert_eq!(export.placeholders.len(), 3);
        // YAML 1.1, which kubectl reads, takes `on` and `0x1F` for other things than texts.
        let documents = yaml::documents(text).expect("YAML");
        let config =
            documents.iter().map(|(_, value)| value).find(|v| v.get("kind") == Some(&Value::from("ConfigMap")));
        let data = config.and_then(|config| config.get("data")).expect("data");
        assert_eq!(data.get("switch"), Some(&Value::from("on")));
        assert_eq!(data.get("number"), Some(&Value::from("0x1F")));
        assert_eq!(data.get("lines"), Some(&Value::from("a\nb\n")));
        assert_eq!(data.get("uid"), Some(&Value::from("<unknown: manifests.app/Namespace/app.metadata.uid>")));
    }

    #[test]
    fn the_same_stack_gives_the_same_files() {
        assert_eq!(manifests(&desired()), manifests(&desired()));
    }
}
