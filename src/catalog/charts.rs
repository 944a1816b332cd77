//! Charts and files of manifests that are at hand, rendered: what `[addons]` and `[charts]` are made of. Not for
//! fetching, which happens before, and not for turning objects into resources, see [`super::pieces`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::ExpandOptions;
use crate::catalog::documents::{self, text};
use crate::catalog::pieces::{Piece, Run};
use crate::catalog::sources;
use crate::chart::{self, Answers, Capabilities, Chart, Content, Event, Library, Rendered, Settings, Wanted};
use crate::diag::Diagnostic;
use crate::resource::hook::Moment;
use crate::stack::Stack;
use crate::value::{Map, Value};

/// Renders one release after another; each sees the definitions that those before it bring.
pub(super) struct Renderer<'a> {
    library: &'a Library<'a>,
    capabilities: Capabilities,
    /// What charts are told about the cluster.
    answers: &'a Answers,
    /// The folder of the stack file.
    near: PathBuf,
    /// What keeps apart the random values of stacks with the same key.
    stack: String,
    /// What random values derive from.
    key: Option<[u8; 32]>,
}

/// A release to render.
pub(super) struct Release<'r> {
    pub(super) wanted: &'r Wanted,
    pub(super) name: &'r str,
    pub(super) namespace: &'r str,
    /// Whole: ours and the user's.
    pub(super) values: &'r Value,
}

/// What a release consists of.
pub(super) struct Contents {
    pub(super) pieces: Vec<Piece>,
}

impl<'a> Renderer<'a> {
    /// Charts are told what the lock says of the cluster, or what [`sources::capabilities`] would write there.
    pub(super) fn new(stack: &Stack, options: &ExpandOptions<'a>) -> Self {
        let (library, key, answers) = (options.library, options.key, options.answers);
        let told = library.capabilities().cloned().unwrap_or_else(|| sources::capabilities(stack));
        let capabilities = Capabilities {
            kube_version: full_version(&told.kubernetes),
            api_versions: told.apis.into_iter().collect(),
        };
        let near = Path::new(&stack.name.span.source.name).parent().unwrap_or(Path::new("")).to_owned();
        Renderer { library, capabilities, near, answers, stack: stack.name.to_string(), key }
    }

    /// The objects of a release; `None` when it is not at hand.
    pub(super) fn render(&mut self, release: &Release<'_>) -> Result<Option<Contents>, Diagnostic> {
        let found = self
            .library
            .files(release.wanted)
            .map_err(|error| Diagnostic::error(error.to_string()).hint(error.hint()))?;
        let Some(found) = found else { return Ok(None) };
        let contents = if release.wanted.reference.is_chart() {
            let chart =
                load(self.library, &found.content, &self.near).map_err(|error| error.of(release.name).diagnostic())?;
            self.rendered(release, &chart).map_err(|error| error.of(release.name).diagnostic())?
        } else {
            let Content::Bytes(bytes) = &found.content else {
                return Err(Diagnostic::error(format!("{} is a folder, not a file", release.wanted.reference)));
            };
            manifests(release, bytes).map_err(|why| {
                Diagnostic::error(format!("{} cannot be read as manifests", release.wanted.reference)).detail(why)
            })?
        };
        self.learn(&contents.pieces);
        Ok(Some(contents))
    }

    fn rendered(&self, release: &Release<'_>, chart: &Arc<Chart>) -> Result<Contents, chart::ChartError> {
        let mut capabilities = self.capabilities.clone();
        for (_, file) in chart.crd_files() {
            // Helm installs these first and then asks the cluster what it can do.
            let objects = documents::parse(&String::from_utf8_lossy(file)).unwrap_or_default();
            capabilities.api_versions.extend(objects.iter().flat_map(served));
        }
        let named = chart::Release::new(release.name, release.namespace);
        let scope = format!("{}/{}", self.stack, release.wanted.id);
        let settings = Settings {
            scope: &scope,
            key: self.key,
            answers: Some(self.answers),
            ..Settings::new(&named, &capabilities)
        };
        chart::render(chart, release.values, &settings).map(contents)
    }

    /// Takes note of what the objects define.
    fn learn(&mut self, pieces: &[Piece]) {
        self.capabilities.api_versions.extend(pieces.iter().flat_map(|piece| served(&piece.manifest)));
    }
}

/// `1.34` as a cluster would say it.
fn full_version(version: &str) -> String {
    let version = version.trim_start_matches('v');
    let dots = version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').filter(|c| *c == '.').count();
    format!("v{version}{}", if dots < 2 { ".0" } else { "" })
}

fn load(library: &Library<'_>, content: &Content, near: &Path) -> Result<Arc<Chart>, chart::ChartError> {
    let limits = chart::Limits::default();
    let files = match content {
        Content::Folder(path) => chart::directory::read_with_neighbours(library.disk(), path, near, &limits)?,
        Content::Bytes(bytes) => chart::archive::read(bytes, &limits)?,
    };
    Chart::load(files)
}

/// The objects of a file of manifests.
fn manifests(release: &Release<'_>, bytes: &[u8]) -> Result<Contents, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "It is not UTF-8 text.".to_owned())?;
    let origin = release.wanted.reference.name();
    let objects = documents::parse(text)?.into_iter();
    let pieces = objects.map(|manifest| Piece { manifest, origin: origin.to_owned(), hook: None });
    Ok(Contents { pieces: pieces.collect() })
}

fn contents(rendered: Rendered) -> Contents {
    let piece = |object: chart::Object, hook| Piece { origin: object.source, manifest: object.manifest, hook };
    // Helm neither deletes what is in crds/ nor lets anybody mark it; the mark tells the planner the same.
    let crds = rendered.crds.into_iter().map(|mut object| {
        documents::set(&mut object.manifest, &["metadata", "annotations", "helm.sh/resource-policy"], "keep".into());
        object
    });
    let plain = crds.chain(rendered.objects);
    let mut pieces = plain.map(|object| piece(object, None)).collect::<Vec<_>>();
    for hook in rendered.hooks {
        let moments = hook.events.iter().copied().filter_map(moment).collect::<BTreeSet<_>>();
        if !moments.is_empty() {
            let removed = |when| hook.delete.contains(&when);
            let run = Run {
                moments,
                weight: hook.weight,
                clear_success: removed(chart::Delete::Succeeded),
                clear_failure: removed(chart::Delete::Failed),
            };
            pieces.push(piece(hook.object, Some(run)));
        }
    }
    Contents { pieces }
}

/// The moment of an event; there is no going back to older revisions here, and tests are nobody's to run.
fn moment(event: Event) -> Option<Moment> {
    match event {
        Event::PreInstall => Some(Moment::PreInstall),
        Event::PostInstall => Some(Moment::PostInstall),
        Event::PreUpgrade => Some(Moment::PreUpgrade),
        Event::PostUpgrade => Some(Moment::PostUpgrade),
        Event::PreDelete => Some(Moment::PreDelete),
        Event::PostDelete => Some(Moment::PostDelete),
        Event::PreRollback | Event::PostRollback | Event::Test => None,
    }
}

/// What a definition lets the API serve: `group/version` and `group/version/Kind`.
fn served(manifest: &Value) -> Vec<String> {
    let of = |path: &[&str]| text(manifest, path).unwrap_or_default();
    if of(&["kind"]) != "CustomResourceDefinition" {
        return Vec::new();
    }
    let (group, kind) = (of(&["spec", "group"]), of(&["spec", "names", "kind"]));
    let versions = manifest.at(&["spec", "versions"]).and_then(Value::as_list).unwrap_or_default();
    let served = versions.iter().filter(|version| version.get("served").and_then(Value::as_bool) != Some(false));
    served
        .filter_map(|version| text(version, &["name"]))
        .flat_map(|version| [format!("{group}/{version}"), format!("{group}/{version}/{kind}")])
        .collect()
}

/// `over` laid over `base`: maps are merged, everything else is replaced.
pub(super) fn laid_over(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Map(mut base), Value::Map(over)) => {
            for (key, value) in over {
                let merged = match base.remove(&key) {
                    Some(old) => laid_over(old, value),
                    None => value,
                };
                base.insert(key, merged);
            }
            Value::Map(base)
        }
        (_, over) => over,
    }
}

/// Values of ours; a map even when there are none.
pub(super) fn values(text: &str) -> Result<Value, String> {
    match crate::template::yaml::read(text).map_err(|error| error.message)? {
        Value::Null => Ok(Value::Map(Map::new())),
        values => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_clusters_say_them() {
        for (given, full) in [("1.34", "v1.34.0"), ("1.34.1-gke.100", "v1.34.1-gke.100"), ("v1.33.2", "v1.33.2")] {
            assert_eq!(full_version(given), full);
        }
    }

    #[test]
    fn values_of_the_user_win_and_keep_ours_beside_them() {
        let base = values("a: {b: 1, c: [1]}\nd: x\n").expect("YAML");
        let over = values("a: {c: [2], e: y}\n").expect("YAML");
        assert_eq!(laid_over(base, over), values("a: {b: 1, c: [2], e: y}\nd: x\n").expect("YAML"));
        assert_eq!(values("# nothing\n"), Ok(Value::map()));
    }
}
