//! Rendered charts as `helm template` prints them. Not for the program's own views.

use std::borrow::Cow;

use super::error::{Cause, ChartError};
use super::glob::Pattern;
use super::hooks::Event;
use super::objects::{Document, split};
use super::render::Documents;
use crate::template::lossy;

impl Documents {
    /// Each document after a separator that names its template; hooks come last. The pieces follow one another
    /// without anything between them.
    ///
    /// `only` names templates by path in the chart or by shell pattern; none means all.
    ///
    /// # Errors
    /// Where one of `only` matches no template that made something.
    pub fn print(
        &self,
        crds: bool,
        hooks: bool,
        tests: bool,
        only: &[String],
    ) -> Result<Vec<Cow<'_, str>>, ChartError> {
        let mut out = Vec::new();
        if crds {
            self.crds.iter().for_each(|(source, text)| add(&mut out, source, lossy(text)));
        }
        self.sorted.plain.iter().for_each(|Document { source, text, .. }| add(&mut out, source, text[..].into()));
        trim_end(&mut out);
        out.push("\n".into());
        for (Document { source, text, .. }, events) in self.sorted.hooks.iter().filter(|_| hooks) {
            if tests || !events.contains(&Event::Test) {
                add(&mut out, source, text[..].into());
            }
        }
        if only.is_empty() { Ok(out) } else { Ok(vec![chosen(&out.concat(), only)?.into()]) }
    }
}

fn add<'d>(out: &mut Vec<Cow<'d, str>>, source: &'d str, text: Cow<'d, str>) {
    out.extend(["---\n# Source: ".into(), source.into(), "\n".into(), text, "\n".into()]);
}

/// Takes blank space off the end of what the pieces make together.
fn trim_end(pieces: &mut Vec<Cow<'_, str>>) {
    while let Some(last) = pieces.pop() {
        let length = last.trim_end().len();
        if length > 0 {
            pieces.push(match last {
                Cow::Borrowed(text) => Cow::Borrowed(&text[..length]),
                Cow::Owned(mut text) => {
                    text.truncate(length);
                    Cow::Owned(text)
                }
            });
            return;
        }
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
