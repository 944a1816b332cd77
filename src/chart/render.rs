//! A chart, values and a release to objects. The one place where templates run; everything it needs comes in,
//! and it reads nothing else. Not for getting charts.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::answers::{Answers, Question};
use super::capabilities::{Capabilities, KubeVersion, Release};
use super::dependencies::{self, Node, fits};
use super::error::{Cause, ChartError};
use super::hooks::Hook;
use super::load::Chart;
use super::objects::{self, Document, Extent, Object, Sorted};
use super::schema;
use super::scope::{Common, VALUES, scripts};
use super::values::{Values, coalesce, copy, data, table};
use crate::template::{self, Data, Fault, Limits, Lookup, Options, STACK, Templates, Text, Tokens, yaml};
use crate::value::Value;

/// What a rendering depends on besides chart and values.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// What it is rendered as.
    pub release: &'a Release,
    /// What the cluster can do.
    pub capabilities: &'a Capabilities,
    /// Answers `lookup`; without it, nothing is there.
    pub answers: Option<&'a Answers>,
    /// Random values and keys derive from it; without one they are refused.
    pub key: Option<[u8; 32]>,
    /// What keeps apart the random values of renderings with the same key: stack and component.
    pub scope: &'a str,
    /// `now`: seconds and nanoseconds since 1970.
    pub now: (i64, u32),
    /// What it may cost.
    pub limits: Limits,
    /// Whether values that do not fit values.schema.json are refused.
    pub schema: bool,
}

impl<'a> Settings<'a> {
    /// Without a cluster, a key or a date.
    pub fn new(release: &'a Release, capabilities: &'a Capabilities) -> Self {
        Settings {
            release,
            capabilities,
            answers: None,
            key: None,
            scope: "",
            now: (0, 0),
            limits: Limits::default(),
            schema: true,
        }
    }
}

/// Everything that a chart installs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// What is in crds/ folders: first of all, and not rendered.
    pub crds: Vec<Object>,
    /// In the order of installation.
    pub objects: Vec<Object>,
    /// What runs around the installation, in the order of kinds; weights decide within an event.
    pub hooks: Vec<Hook>,
    /// What the chart says to whoever installs it.
    pub notes: Option<String>,
    /// What templates asked about the cluster.
    pub looked_up: BTreeSet<Question>,
}

/// The texts that a chart renders to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Documents {
    /// The files of crds/ folders: path and text.
    pub crds: Vec<(String, Arc<[u8]>)>,
    /// The rest, sorted.
    pub sorted: Sorted,
    /// NOTES.txt.
    pub notes: Option<String>,
    /// What templates asked about the cluster.
    pub looked_up: BTreeSet<Question>,
}

/// Renders a chart to objects. Values are taken as if they stood in a file: all numbers are floats.
///
/// # Errors
/// Where the chart refuses the values, fails, or makes something that is no object.
pub fn render(chart: &Arc<Chart>, values: &Value, settings: &Settings<'_>) -> Result<Rendered, ChartError> {
    let documents = documents(chart, &Values::from_tree(values)?, settings)?;
    collect(chart, documents)
}

/// The objects of rendered texts.
///
/// # Errors
/// Where one is no object, or a file of crds/ is not YAML.
pub fn collect(chart: &Chart, documents: Documents) -> Result<Rendered, ChartError> {
    let name = chart.name();
    let mut rendered = Rendered { notes: documents.notes, looked_up: documents.looked_up, ..Rendered::default() };
    for (source, text) in documents.crds {
        for (line, text) in objects::split(&String::from_utf8_lossy(&text)) {
            let value = yaml::read(text).map_err(|error| {
                ChartError::new(Cause::Output, name, error.message).file(&source).line(line + error.line - 1)
            })?;
            let document = Document { source: source.clone(), text: text.into(), line, value };
            rendered.crds.extend(objects::objects(name, document)?);
        }
    }
    for document in documents.sorted.plain {
        rendered.objects.extend(objects::objects(name, document)?);
    }
    for (document, events) in documents.sorted.hooks {
        rendered.hooks.extend(objects::hooks(name, document, &events)?);
    }
    Ok(rendered)
}

/// Renders a chart to texts, as `helm template` prints them.
///
/// # Errors
/// As [`render`], except that documents without kind pass.
pub fn documents(chart: &Arc<Chart>, values: &Values, settings: &Settings<'_>) -> Result<Documents, ChartError> {
    rendered(chart, values, settings, Extent::Whole)
}

/// Renders a chart, to be printed: of the documents' values, only what every object has is sure to be there.
///
/// # Errors
/// As [`documents`].
pub fn heads(chart: &Arc<Chart>, values: &Values, settings: &Settings<'_>) -> Result<Documents, ChartError> {
    rendered(chart, values, settings, Extent::Head)
}

fn rendered(
    chart: &Arc<Chart>,
    values: &Values,
    settings: &Settings<'_>,
    extent: Extent,
) -> Result<Documents, ChartError> {
    if chart.is_library() {
        return Err(ChartError::new(Cause::Unfit, chart.name(), "library charts cannot be installed")
            .hint("it only lends templates to other charts: name one that uses it"));
    }
    settings.release.check()?;
    // Templates recurse, and only a thread of its own has the stack for it.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("chart".to_owned()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, || run(chart, values, settings, extent)).map_err(|error| {
            ChartError::new(Cause::Limit, chart.name(), "no memory for rendering").detail(error.to_string())
        })?;
        thread.join().unwrap_or_else(|_| {
            Err(ChartError::new(Cause::Template, chart.name(), "rendering failed unexpectedly")
                .hint("this is a defect of stackwright; please report it with the chart and the values"))
        })
    })
}

/// Answers, and remembers what was asked.
struct Recorder<'a> {
    answers: Option<&'a Answers>,
    /// The answers as templates see them.
    known: BTreeMap<&'a Question, Data>,
    asked: RefCell<BTreeSet<Question>>,
}

impl<'a> Recorder<'a> {
    fn new(answers: Option<&'a Answers>, tokens: &mut Tokens) -> Self {
        let known = answers.into_iter().flat_map(|answers| answers.known());
        let known = known.map(|(question, value)| (question, data(value, true, tokens))).collect();
        Recorder { answers, known, asked: RefCell::default() }
    }
}

impl Lookup for Recorder<'_> {
    fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Data, Fault> {
        let [api_version, kind, namespace, name] = [api_version, kind, namespace, name].map(str::to_owned);
        let question = Question { api_version, kind, namespace, name };
        if let Some(answers) = self.answers {
            answers.ask(question.clone());
        }
        let found = self.known.get(&question).map(copy);
        self.asked.borrow_mut().insert(question);
        match found {
            Some(Data::Nil) | None => Ok(Data::map(std::iter::empty::<(Text, Data)>())),
            Some(found) => Ok(found),
        }
    }
}

fn run(chart: &Arc<Chart>, values: &Values, settings: &Settings<'_>, extent: Extent) -> Result<Documents, ChartError> {
    let name = chart.name();
    let kube = KubeVersion::parse(&settings.capabilities.kube_version)?;
    let mut tokens = Tokens::default();
    let given = table(&values.0, true, &mut tokens);
    let node = dependencies::resolve(chart, &given)?;
    coalesce(&node, &given, false)?;
    if settings.schema {
        schema::check(&node, &given, &tokens)?;
    }
    let wanted = &chart.metadata.kube_version;
    if !wanted.is_empty() && !fits(wanted, &kube.plain()) {
        let message =
            format!("it needs Kubernetes {wanted}, and the cluster has {}", settings.capabilities.kube_version);
        return Err(ChartError::new(Cause::Unfit, name, message).hint("use another version of the chart or cluster"));
    }
    let common = Common { release: settings.release.data(), capabilities: settings.capabilities.data(&kube) };
    let mut all = BTreeMap::new();
    scripts(&node, &node.name, given, true, &common, &mut all);
    let mut order = all.keys().map(String::as_str).collect::<Vec<_>>();
    order.sort_by(|a, b| (b.matches('/').count(), b).cmp(&(a.matches('/').count(), a)));
    let mut templates = Templates::new();
    for path in &order {
        templates
            .parse(path, &Text::from(all[*path].text.clone()))
            .map_err(|error| ChartError::template(name, &error))?;
    }
    order.retain(|path| !path.rsplit('/').next().is_some_and(|file| file.starts_with('_')));
    let recorder = Recorder::new(settings.answers, &mut tokens);
    let options = Options {
        lookup: &recorder,
        now: settings.now,
        key: settings.key,
        scope: settings.scope.to_owned(),
        tokens,
        limits: settings.limits,
    };
    let dot = |path: &str| {
        let Some(script) = all.get(path) else { return Data::Missing };
        let template =
            [(Text::from("Name"), Data::from(path)), (Text::from("BasePath"), Data::from(script.base.as_str()))];
        let template = template::Map::of(template::Element::Any, Some(VALUES), template.into_iter().collect());
        script.scope.set("Template".into(), Data::Map(template));
        Data::Map(script.scope.clone())
    };
    let mut outputs = templates.render(&order, &dot, &options).map_err(|error| ChartError::template(name, &error))?;
    let own_notes = format!("{}/templates/NOTES.txt", node.name);
    let mut notes = None;
    outputs.retain_mut(|(path, text)| {
        if *path == own_notes {
            notes = Some(std::mem::take(text));
        }
        !path.ends_with("NOTES.txt")
    });
    let mut sorted = objects::sort(name, outputs, extent)?;
    if !options.tokens.is_empty() {
        let documents = sorted.plain.iter_mut().chain(sorted.hooks.iter_mut().map(|(document, _)| document));
        for document in documents {
            let value = std::mem::take(&mut document.value);
            document.value = options
                .tokens
                .restore(value)
                .map_err(|fault| ChartError::new(Cause::Unknown, name, fault.to_string()).file(&document.source))?;
        }
    }
    let mut crds = Vec::new();
    crd_files(&node, &node.name, &mut crds);
    Ok(Documents { crds, sorted, notes, looked_up: recorder.asked.take() })
}

/// The files of crds/ folders, those of charts inside last.
fn crd_files(node: &Node, path: &str, all: &mut Vec<(String, Arc<[u8]>)>) {
    let own = node.chart.crd_files();
    all.extend(own.map(|(file, text)| (format!("{path}/{file}"), text.clone())));
    for inner in &node.dependencies {
        crd_files(inner, &format!("{path}/charts/{}", inner.name), all);
    }
}
