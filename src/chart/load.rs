//! [`Files`] to a [`Chart`]: which file is what, and the charts inside of it. Not for what the values switch on
//! or off.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::archive;
use super::error::{Cause, ChartError};
use super::files::{Files, Limits};
use super::metadata::Metadata;
use super::values::{merge_maps, read_documents};
use crate::template::lossy;
use crate::value::Map;

/// Charts inside of charts.
const MAX_DEPTH: usize = 20;

/// A chart with everything inside of it, as it was packed.
#[derive(Debug)]
pub struct Chart {
    /// What it says of itself.
    pub metadata: Metadata,
    /// Its default values.
    pub values: Map,
    /// values.yaml as it is written.
    pub values_text: Option<Arc<[u8]>>,
    /// Chart.yaml as it is written.
    pub metadata_text: Arc<[u8]>,
    /// values.schema.json.
    pub schema: Option<Arc<[u8]>>,
    /// Everything below templates/, by path in the chart.
    pub templates: Vec<(String, Arc<[u8]>)>,
    /// Everything else: what templates may read, and crds/.
    pub files: Files,
    /// The charts in charts/.
    pub dependencies: Vec<Arc<Chart>>,
}

impl Chart {
    /// Reads a chart.
    ///
    /// # Errors
    /// Where a file of it is missing or wrong, or a chart inside of it is.
    pub fn load(files: Files) -> Result<Arc<Chart>, ChartError> {
        let mut budget = Limits::default();
        load(&files, 0, &mut budget)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.metadata.version
    }

    /// Whether it only lends templates to other charts.
    pub fn is_library(&self) -> bool {
        self.metadata.kind.eq_ignore_ascii_case("library")
    }

    /// The files below crds/ that hold manifests.
    pub fn crd_files(&self) -> impl Iterator<Item = (&str, &Arc<[u8]>)> {
        self.files.iter().filter(|(path, _)| {
            let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
            path.starts_with("crds/") && ["yaml", "yml", "json"].iter().any(|e| extension.eq_ignore_ascii_case(e))
        })
    }

    /// The files below crds/ of this chart and of all charts inside, by their full path.
    pub fn all_crds(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        self.add_crds(self.name(), &mut all);
        all
    }

    fn add_crds(&self, path: &str, all: &mut Vec<(String, String)>) {
        let own = self.crd_files();
        all.extend(own.map(|(file, text)| (format!("{path}/{file}"), lossy(text).into_owned())));
        for inner in &self.dependencies {
            inner.add_crds(&format!("{path}/charts/{}", inner.name()), all);
        }
    }

    /// The chart's description for people: README.md, in any case of letters.
    pub fn readme(&self) -> Option<&Arc<[u8]>> {
        let names = ["readme.md", "readme.txt", "readme"];
        self.files.iter().find(|(path, _)| names.iter().any(|n| path.eq_ignore_ascii_case(n))).map(|(_, text)| text)
    }
}

fn load(files: &Files, depth: usize, budget: &mut Limits) -> Result<Arc<Chart>, ChartError> {
    let metadata_text = files.get("Chart.yaml").cloned().ok_or_else(|| {
        ChartError::new(Cause::Metadata, "", "there is no Chart.yaml")
            .hint("name the folder or archive of one chart, not of a folder of charts")
    })?;
    let mut metadata = Metadata::read(&lossy(&metadata_text))?;
    let name = metadata.name.clone();
    if depth > MAX_DEPTH {
        return Err(ChartError::new(Cause::Limit, name, format!("more than {MAX_DEPTH} charts inside of each other")));
    }
    let older = metadata.api_version == "v1";
    let mut chart = Chart {
        metadata: Metadata::default(),
        values: Map::new(),
        values_text: None,
        metadata_text,
        schema: None,
        templates: Vec::new(),
        files: Files::new(),
        dependencies: Vec::new(),
    };
    let mut inner = BTreeMap::<String, Files>::new();
    for (path, bytes) in files.iter() {
        match path {
            "Chart.yaml" | "Chart.lock" => {}
            "values.yaml" => {
                let documents =
                    read_documents(&lossy(bytes)).map_err(|e| e.of(&name).file(format!("{name}/values.yaml")))?;
                chart.values = documents.into_iter().fold(Map::new(), merge_maps);
                chart.values_text = Some(bytes.clone());
            }
            "values.schema.json" => chart.schema = Some(bytes.clone()),
            "requirements.yaml" => {
                metadata.read_requirements(&lossy(bytes)).map_err(|e| e.of(&name))?;
                if older {
                    chart.files.put(path.to_owned(), bytes.clone());
                }
            }
            "requirements.lock" if !older => {}
            _ if path.starts_with("templates/") => chart.templates.push((path.to_owned(), bytes.clone())),
            _ => match path.strip_prefix("charts/").filter(|rest| !rest.ends_with(".prov")) {
                Some(rest) => {
                    let (folder, rest) = rest.split_once('/').unwrap_or((rest, ""));
                    inner.entry(folder.to_owned()).or_default().put(rest.to_owned(), bytes.clone());
                }
                None => chart.files.put(path.to_owned(), bytes.clone()),
            },
        }
    }
    metadata.check()?;
    for (folder, mut files) in inner {
        if folder.starts_with(['_', '.']) {
            continue;
        }
        let loaded = if folder.ends_with(".tgz") {
            let bytes = files.get("").cloned().ok_or_else(|| {
                ChartError::new(Cause::Dependency, &name, format!("charts/{folder} must be an archive, not a folder"))
            })?;
            archive::read(&bytes, budget).and_then(|files| {
                // All archives inside share what one may expand to.
                let size = files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
                budget.total = budget.total.saturating_sub(size);
                budget.files = budget.files.saturating_sub(files.len());
                load(&files, depth + 1, budget)
            })
        } else {
            files.remove("");
            load(&files, depth + 1, budget)
        };
        let dependency = loaded.map_err(|error| inside(error, &name, &folder))?;
        chart.dependencies.push(dependency);
    }
    chart.metadata = metadata;
    Ok(Arc::new(chart))
}

/// The failure of a chart inside of another one.
fn inside(mut error: ChartError, outer: &str, folder: &str) -> ChartError {
    let file = error.file.take().map_or_else(String::new, |file| format!("/{file}"));
    error.file = Some(format!("charts/{folder}{file}"));
    outer.clone_into(&mut error.chart);
    error
}
