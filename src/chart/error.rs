//! Why a chart cannot be used: which chart, where in it, what, and what to do next. Not for the words of the
//! template language, which come from there.

use std::fmt;

use crate::diag::Diagnostic;
use crate::template;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The archive or folder cannot be read, or holds what no chart may hold.
    Archive,
    /// Chart.yaml (or requirements.yaml) is wrong.
    Metadata,
    /// A dependency is missing or contradictory.
    Dependency,
    /// Values cannot be read or merged.
    Values,
    /// The values do not fit the chart's own schema.
    Schema,
    /// A template does not parse.
    Parse,
    /// A template failed.
    Template,
    /// What a template made is not YAML, or no object.
    Output,
    /// A limit on time, memory or nesting was reached.
    Limit,
    /// A template looked inside a value that is known only later.
    Unknown,
    /// The chart does not fit what it is asked for.
    Unfit,
}

/// The name under which texts given to `tpl` run.
const NO_FILE: &str = "gotpl";

/// The beginning and the end of a long way to an error.
fn shortened(text: &str) -> String {
    const KEPT: usize = 1000;
    let count = text.chars().count();
    if count <= 3 * KEPT {
        return text.to_owned();
    }
    let start = text.chars().take(2 * KEPT).collect::<String>();
    let end = text.chars().skip(count - KEPT).collect::<String>();
    format!("{start}\n…\n{end}")
}

/// One failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartError {
    /// What kind.
    pub cause: Cause,
    /// The chart's name; a path or empty where it has none yet.
    pub chart: String,
    /// The file, as paths inside of charts are written: `istiod/templates/deployment.yaml`.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The part of the template that failed.
    pub action: Option<String>,
    /// What happened.
    pub message: String,
    /// The way to it, or the lines around; may be empty.
    pub detail: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl ChartError {
    /// A failure of a chart.
    pub fn new(cause: Cause, chart: impl Into<String>, message: impl Into<String>) -> Self {
        ChartError {
            cause,
            chart: chart.into(),
            file: None,
            line: None,
            action: None,
            message: message.into(),
            detail: String::new(),
            hint: None,
        }
    }

    /// In this file.
    #[must_use]
    pub fn file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// On this line.
    #[must_use]
    pub fn line(mut self, line: usize) -> Self {
        self.line = u32::try_from(line).ok().filter(|line| *line > 0);
        self
    }

    /// With more words.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// With a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// In this chart, where none is named yet.
    #[must_use]
    pub fn of(mut self, chart: &str) -> Self {
        if self.chart.is_empty() {
            chart.clone_into(&mut self.chart);
        }
        self
    }

    /// A failure of the template language.
    pub fn template(chart: &str, error: &template::Error) -> Self {
        let root = error.root();
        // A text given to `tpl` has no file of its own; the last file on the way to it has the call.
        let mut place = error;
        let mut step = Some(error);
        while let Some(error) = step {
            if error.file != NO_FILE {
                place = error;
            }
            step = error.inner.as_deref();
        }
        let cause = match root.kind {
            template::Kind::Parse => Cause::Parse,
            template::Kind::Execution => Cause::Template,
            template::Kind::Limit => Cause::Limit,
            template::Kind::Unknown => Cause::Unknown,
        };
        let hint = match cause {
            Cause::Limit => "no chart of common size comes near this limit: is the template without end?",
            Cause::Unknown => {
                "give the chart a value that is known now, or set what depends on it by a value of the chart"
            }
            Cause::Parse => "the chart is broken, or written for another tool: try another version of it",
            _ if root.text.starts_with("error calling fail: ") || root.text.starts_with("error calling required: ") => {
                "the chart refuses these values: change them as it says"
            }
            _ => "check the values that this line uses; `stackwright chart show values` prints the chart's defaults",
        };
        let text = root.text.strip_prefix("error calling fail: ").unwrap_or(&root.text);
        ChartError {
            cause,
            chart: chart.to_owned(),
            file: Some(place.file.clone()),
            line: Some(place.line).filter(|line| *line > 0),
            action: place.at.as_ref().map(|(_, action)| action.clone()),
            message: text.to_owned(),
            detail: if error.inner.is_some() { shortened(&error.to_string()) } else { String::new() },
            hint: Some(hint.to_owned()),
        }
    }

    /// For the user.
    pub fn diagnostic(&self) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(self.to_string());
        if !self.detail.is_empty() {
            diagnostic = diagnostic.detail(self.detail.clone());
        }
        match &self.hint {
            Some(hint) => diagnostic.hint(hint.clone()),
            None => diagnostic,
        }
    }
}

impl fmt::Display for ChartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.chart.is_empty() {
            write!(f, "chart {}: ", self.chart)?;
        }
        if let Some(file) = &self.file {
            f.write_str(file)?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        if let Some(action) = &self.action {
            write!(f, "at {{{{ {action} }}}}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ChartError {}
