//! Rendered charts as `helm template` prints them. Not for the program's own views.

use super::error::{Cause, ChartError};
use super::glob::Pattern;
use super::hooks::Event;
use super::objects::{Document, split};
use super::render::Documents;

impl Documents {
    /// Each document after a separator that names its template; hooks come last.
    ///
    /// `only` names templates by path in the chart or by shell pattern; none means all.
    ///
    /// # Errors
    /// Where one of `only` matches no template that made something.
    pub fn print(&self, crds: bool, hooks: bool, tests: bool, only: &[String]) -> Result<String, ChartError> {
        let mut out = String::new();
        let mut add = |source: &str, text: &str| {
            out.push_str("---\n# Source: ");
            out.push_str(source);
            out.push('\n');
            out.push_str(text);
            out.push('\n');
        };
        if crds {
            self.crds.iter().for_each(|(source, text)| add(source, &String::from_utf8_lossy(text)));
        }
        self.sorted.plain.iter().for_each(|Document { source, text, .. }| add(source, text));
        out.truncate(out.trim_end().len());
        out.push('\n');
        let mut add = |source: &str, text: &str| {
            out.push_str(&format!("---\n# Source: {source}\n{text}\n"));
        };
        for (Document { source, text, .. }, events) in self.sorted.hooks.iter().filter(|_| hooks) {
            if tests || !events.contains(&Event::Test) {
                add(source, text);
            }
        }
        if only.is_empty() { Ok(out) } else { chosen(&out, only) }
    }
}

fn chosen(printed: &str, only: &[String]) -> Result<String, ChartError> {
    let documents = split(printed);
    let path = |text: &str| {
        let source = text.lines().find_map(|line| line.split_once("# Source: "))?.1;
        Some(source.split_once('/')?.1.to_owned())
    };
    let mut out = String::new();
    for name in only {
        let pattern = Pattern::shell(name);
        let found = documents.iter().filter(|(_, text)| {
            path(text).is_some_and(|path| pattern.as_ref().is_some_and(|pattern| pattern.matches(&path)))
        });
        let before = out.len();
        found.for_each(|(_, text)| out.push_str(&format!("---\n{text}\n")));
        if out.len() == before {
            return Err(ChartError::new(Cause::Unfit, "", format!("no template {name} made anything"))
                .hint("name it by its path in the chart: templates/deployment.yaml"));
        }
    }
    Ok(out)
}
