//! What templates see: `.Values`, `.Chart`, `.Files`, `.Subcharts` and the rest, one map per chart that its
//! templates share and may change. Not for running them.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::capabilities::empty;
use super::dependencies::Node;
use super::glob::Pattern;
use super::values::child;
use crate::template::{Call, Data, Element, Fault, Map, Object, Outcome, Text};

/// The Go type of values, and of what templates see.
pub(super) const VALUES: &str = "common.Values";

/// One template file of the chart or of one inside.
pub(super) struct Script {
    /// What its chart's templates see.
    pub(super) scope: Map,
    /// The folder of its chart's templates.
    pub(super) base: String,
    pub(super) text: Arc<[u8]>,
}

/// What is the same for all charts of a rendering.
pub(super) struct Common {
    pub(super) release: Data,
    pub(super) capabilities: Data,
}

/// Collects the templates of a chart and of those inside, each with what it sees, by their full path.
pub(super) fn scripts(
    node: &Node,
    path: &str,
    values: Map,
    root: bool,
    common: &Common,
    all: &mut BTreeMap<String, Script>,
) -> Map {
    let inner = empty();
    let fields = [
        ("Chart", metadata(node, root)),
        ("Files", Data::Object(Rc::new(ChartFiles::of(node)))),
        ("Release", common.release.clone()),
        ("Capabilities", common.capabilities.clone()),
        ("Values", Data::Map(values.with_name(VALUES))),
        ("Subcharts", Data::Map(inner.clone())),
    ];
    let fields = fields.into_iter().map(|(key, value)| (Text::from(key), value)).collect();
    let scope = Map::of(Element::Any, Some(VALUES), fields);
    for dependency in &node.dependencies {
        let name = dependency.name.as_str();
        let values = child(&values, name).unwrap_or_else(empty);
        let below = scripts(dependency, &format!("{path}/charts/{name}"), values, false, common, all);
        inner.set(name.into(), Data::Map(below.plain()));
    }
    let base = format!("{path}/templates");
    for (file, text) in &node.chart.templates {
        let partial = file.rsplit('/').next().is_some_and(|name| name.starts_with('_'));
        if partial || !node.chart.is_library() {
            let script = Script { scope: scope.clone(), base: base.clone(), text: text.clone() };
            all.insert(format!("{path}/{file}"), script);
        }
    }
    scope
}

/// `.Chart`.
fn metadata(node: &Node, root: bool) -> Data {
    let chart = &node.chart.metadata;
    let text = |text: &String| Data::from(text.as_str());
    let texts = |texts: &[String]| Data::list(texts.iter().map(text).collect());
    let maintainers = chart.maintainers.iter().map(|maintainer| {
        let fields = [("Name", &maintainer.name), ("Email", &maintainer.email), ("URL", &maintainer.url)];
        Data::map(fields.map(|(key, value)| (key, text(value))))
    });
    let dependencies = node.named.iter().map(|dependency| {
        Data::map([
            ("Name", Data::from(dependency.shown())),
            ("Version", text(&dependency.version)),
            ("Repository", text(&dependency.repository)),
            ("Condition", text(&dependency.condition)),
            ("Tags", texts(&dependency.tags)),
            ("Enabled", Data::Bool(true)),
            ("ImportValues", Data::list(dependency.imports.iter().map(import).collect())),
            ("Alias", text(&dependency.alias)),
        ])
    });
    let annotations = chart.annotations.iter().map(|(k, v)| (Text::from(k.as_str()), text(v))).collect();
    Data::map([
        ("APIVersion", text(&chart.api_version)),
        ("Annotations", Data::Map(Map::of(Element::Text, None, annotations))),
        ("AppVersion", text(&chart.app_version)),
        ("Condition", text(&chart.condition)),
        ("Dependencies", Data::list(dependencies.collect())),
        ("Deprecated", Data::Bool(chart.deprecated)),
        ("Description", text(&chart.description)),
        ("Home", text(&chart.home)),
        ("Icon", text(&chart.icon)),
        ("IsRoot", Data::Bool(root)),
        ("Keywords", texts(&chart.keywords)),
        ("KubeVersion", text(&chart.kube_version)),
        ("Maintainers", Data::list(maintainers.collect())),
        ("Name", Data::from(node.name.as_str())),
        ("Sources", texts(&chart.sources)),
        ("Tags", text(&chart.tags)),
        ("Type", text(&chart.kind)),
        ("Version", text(&chart.version)),
    ])
}

fn import(import: &super::metadata::Import) -> Data {
    let (child, parent) = match import {
        super::metadata::Import::Exported(name) => (format!("exports.{name}"), ".".to_owned()),
        super::metadata::Import::Table { child, parent } => (child.clone(), parent.clone()),
    };
    let ends = [(Text::from("child"), Data::from(child)), (Text::from("parent"), Data::from(parent))];
    Data::Map(Map::of(Element::Text, None, ends.into_iter().collect()))
}

/// `.Files`.
struct ChartFiles(BTreeMap<String, Text>);

impl ChartFiles {
    fn of(node: &Node) -> ChartFiles {
        ChartFiles(node.chart.files.iter().map(|(path, bytes)| (path.to_owned(), Text::from(bytes.clone()))).collect())
    }

    fn get(&self, path: &str) -> Text {
        self.0.get(path).cloned().unwrap_or_else(|| Text::from(""))
    }

    /// By the last part of the path, written as YAML.
    fn flat(&self, value: impl Fn(&Text) -> Data) -> Outcome {
        let name = |path: &String| Text::from(path.rsplit('/').next().unwrap_or(path));
        let entries = self.0.iter().map(|(path, contents)| (name(path), value(contents))).collect();
        let map = Data::Map(Map::of(Element::Text, None, entries));
        Ok(Data::from(crate::template::yaml::text(&map)?))
    }
}

impl Object for ChartFiles {
    fn type_name(&self) -> &'static str {
        "engine.files"
    }

    fn field(&self, name: &str) -> Option<Data> {
        // Unlike others, a map with methods has every field: what is no method is a file's path.
        match name {
            "AsConfig" | "AsSecrets" | "Get" | "GetBytes" | "Glob" | "Lines" => None,
            path => Some(Data::Bytes(self.get(path))),
        }
    }

    fn method(&self, name: &str, call: &Call<'_, '_>) -> Option<Outcome> {
        let path = || match call.arguments() {
            [Data::Text(path)] => Ok(path.str().into_owned()),
            [_] => Err(Fault::new("wrong type for value; expected string")),
            more => Err(Fault::new(format!("wrong number of args for {name}: want 1 got {}", more.len()))),
        };
        Some(match name {
            "Get" => path().map(|path| Data::Text(self.get(&path))),
            "GetBytes" => path().map(|path| Data::Bytes(self.get(&path))),
            "Lines" => path().map(|path| {
                let text = self.get(&path);
                let body = text.bytes().strip_suffix(b"\n").unwrap_or(text.bytes());
                let lines = if text.bytes().is_empty() { Vec::new() } else { body.split(|b| *b == b'\n').collect() };
                Data::texts(lines)
            }),
            "Glob" => path().map(|pattern| {
                // A malformed pattern matches everything.
                let pattern = Pattern::files(&pattern);
                let chosen = self.0.iter().filter(|(path, _)| pattern.as_ref().is_none_or(|p| p.matches(path)));
                Data::Object(Rc::new(ChartFiles(chosen.map(|(k, v)| (k.clone(), v.clone())).collect())))
            }),
            "AsConfig" => self.flat(|contents| Data::Text(contents.clone())),
            "AsSecrets" => self.flat(|contents| {
                use base64::Engine as _;
                Data::from(base64::engine::general_purpose::STANDARD.encode(contents.bytes()))
            }),
            _ => return None,
        })
    }

    fn plain(&self) -> Data {
        let entries = self.0.iter().map(|(path, text)| (Text::from(path.as_str()), Data::Bytes(text.clone())));
        Data::Map(Map::of(Element::Bytes, None, entries.collect()))
    }
}
