//! Charts that a chart names by `file://` and does not hold: taken from beside it, within one tree of folders. Not
//! for archives: whoever packed one has put in what it needs.

use super::dependencies::fits;
use super::error::{Cause, ChartError};
use super::files::{Files, Limits};
use super::metadata::{Dependency, Metadata};

/// Charts that name each other.
const MAX_DEPTH: usize = 20;

/// Gives the files of the chart in a folder of the tree, by its path from the tree's root.
pub(super) type Open<'o> = &'o dyn Fn(&str) -> Result<Files, ChartError>;

/// `files`, which are those of the chart in `folder` of the tree, with what it lacks below charts/.
///
/// # Errors
/// Where a path leads out of the tree, or to no chart of that name and version; where charts name each other in a
/// circle, or are too many.
pub(super) fn complete(files: Files, folder: &str, open: Open<'_>, limits: &Limits) -> Result<Files, ChartError> {
    Completion { open, limits, parents: Vec::new() }.chart(files, folder)
}

struct Completion<'o> {
    open: Open<'o>,
    limits: &'o Limits,
    /// The folders of the charts around.
    parents: Vec<String>,
}

impl Completion<'_> {
    fn chart(&mut self, mut files: Files, folder: &str) -> Result<Files, ChartError> {
        let Some(text) = files.text("Chart.yaml") else { return Ok(files) };
        let mut metadata = Metadata::read(&text)?;
        if let Some(text) = files.text("requirements.yaml") {
            metadata.read_requirements(&text)?;
        }
        let name = metadata.name.clone();
        if self.parents.iter().any(|parent| parent == folder) || self.parents.len() > MAX_DEPTH {
            let circle = format!("charts name each other by file:// in a circle: {}", self.parents.join(", "));
            return Err(ChartError::new(Cause::Dependency, name, circle).file("Chart.yaml"));
        }
        self.parents.push(folder.to_owned());
        for dependency in &metadata.dependencies {
            let Some(path) = dependency.repository.strip_prefix("file://") else { continue };
            if holds(&files, &dependency.name) {
                continue;
            }
            let found = self
                .dependency(folder, path, dependency)
                .map_err(|error| if error.chart.is_empty() { error.of(&name).file("Chart.yaml") } else { error })?;
            for (path, bytes) in found.iter() {
                files.insert(&format!("charts/{}/{path}", dependency.name), bytes.clone())?;
            }
            let total = files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
            if total > self.limits.total || files.len() > self.limits.files {
                let much = "with the charts that it names by file:// it holds more than a chart may";
                return Err(ChartError::new(Cause::Limit, name, much));
            }
        }
        self.parents.pop();
        Ok(files)
    }

    fn dependency(&mut self, folder: &str, path: &str, dependency: &Dependency) -> Result<Files, ChartError> {
        let refuse = |why: String| {
            let what = format!("its dependency {} is file://{path}, {why}", dependency.name);
            ChartError::new(Cause::Dependency, "", what)
        };
        let inside = join(folder, path).ok_or_else(|| {
            refuse("which leads out of the folders that it may come from".to_owned())
                .hint("put the chart beside the one that names it, or into its charts folder")
        })?;
        let files = (self.open)(&inside)
            .map_err(|error| refuse("which cannot be read".to_owned()).detail(error.message.clone()))?;
        let text = files.text("Chart.yaml").ok_or_else(|| refuse("where there is no Chart.yaml".to_owned()))?;
        let metadata = Metadata::read(&text)?;
        if metadata.name != dependency.name {
            return Err(refuse(format!("which is the chart {}", metadata.name)).hint("correct the name or the path"));
        }
        if !dependency.version.is_empty() && !fits(&dependency.version, &metadata.version) {
            let why = format!("which has version {}, not {}", metadata.version, dependency.version);
            return Err(refuse(why).hint("correct the version in Chart.yaml"));
        }
        self.chart(files, &inside)
    }
}

/// Whether a chart of this name is in charts/, as a folder or an archive.
fn holds(files: &Files, name: &str) -> bool {
    let in_charts = files.iter().filter_map(|(path, _)| path.strip_prefix("charts/"));
    let mut names = in_charts.map(|path| path.split('/').next().unwrap_or_default());
    names.any(|entry| {
        let archive = entry.strip_suffix(".tgz").and_then(|stem| stem.strip_prefix(name)?.strip_prefix('-'));
        entry == name
            || archive.is_some_and(|version| version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// `path` as seen from `folder`; `None` where it leads out of the tree, or is absolute.
fn join(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains(['\\', '\0']) {
        return None;
    }
    let mut parts = folder.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    type Folders = BTreeMap<&'static str, Files>;

    fn chart(name: &str, version: &str, needs: &[(&str, &str, &str)]) -> Files {
        let mut text = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
        if !needs.is_empty() {
            text.push_str("dependencies:\n");
        }
        for (name, version, repository) in needs {
            text.push_str(&format!("- {{name: {name}, version: \"{version}\", repository: \"{repository}\"}}\n"));
        }
        Files::try_from(&[("Chart.yaml", text.as_str())][..]).unwrap()
    }

    fn read(folders: &Folders, folder: &str) -> Result<Files, ChartError> {
        let open = |path: &str| {
            folders.get(path).cloned().ok_or_else(|| ChartError::new(Cause::Archive, "", format!("no folder {path}")))
        };
        complete(open(folder)?, folder, &open, &Limits::default())
    }

    #[test]
    fn what_is_beside_a_chart_is_put_inside() {
        let mut folders = Folders::from([
            ("a/web", chart("web", "1.0.0", &[("lib", ">=1", "file://../lib"), ("far", "1", "https://x.io")])),
            ("a/lib", chart("lib", "1.2.0", &[("base", "*", "file://../../base/")])),
            ("base", chart("base", "0.1.0", &[])),
        ]);
        let files = read(&folders, "a/web").unwrap();
        let names = files.iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>();
        assert_eq!(names, ["Chart.yaml", "charts/lib/Chart.yaml", "charts/lib/charts/base/Chart.yaml"]);
        // What it holds already counts.
        let mut holding = chart("web", "1.0.0", &[("lib", ">=1", "file://../gone")]);
        holding.insert("charts/lib-1.0.0.tgz", &b"x"[..]).unwrap();
        folders.insert("a/web", holding);
        assert_eq!(read(&folders, "a/web").unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_there_or_not_meant_is_refused() {
        let refused = |needs: (&str, &str, &str)| {
            let folders = Folders::from([
                ("web", chart("web", "1.0.0", &[needs])),
                ("lib", chart("lib", "1.2.0", &[("web", "*", "file://../web")])),
            ]);
            read(&folders, "web").unwrap_err().to_string()
        };
        for (needs, part) in [
            (("lib", "1", "file://../../lib"), "leads out"),
            (("lib", "1", "file:///lib"), "leads out"),
            (("lib", "2", "file://../lib"), "has version 1.2.0, not 2"),
            (("bib", "1", "file://../lib"), "is the chart lib"),
            (("lib", "1", "file://../none"), "cannot be read"),
            (("lib", "1", "file://../lib"), "in a circle"),
        ] {
            let text = refused(needs);
            assert!(text.contains(part), "{needs:?}: {text}");
        }
    }
}
