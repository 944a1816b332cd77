//! Diagnostics: what went wrong, where, why, and what to do next.
//!
//! Data only; `ui` renders them with excerpts and carets. A library function that can find several
//! mistakes returns all of them.

use std::fmt;
use std::sync::Arc;

use crate::address::Address;

/// How bad it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Stops the command.
    Error,
    /// Does not.
    Warning,
}

/// A text that diagnostics can point into.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// As the user named it: `stacks/gpu-t4.toml`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// A range of bytes in a [`Source`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The text.
    pub source: Arc<Source>,
    /// Byte offsets, end exclusive.
    pub range: std::ops::Range<usize>,
}

impl Span {
    /// Line and column of the start, from 1; columns count characters.
    pub fn line_column(&self) -> (usize, usize) {
        let upto = &self.source.text.as_bytes()[..self.range.start.min(self.source.text.len())];
        let before = String::from_utf8_lossy(upto);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        (line, column)
    }
}

/// One mistake or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Severity.
    pub severity: Severity,
    /// One line, lower case, no full stop: what is wrong.
    pub summary: String,
    /// Why, in sentences; may be empty.
    pub detail: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Where in a file, with a short label under the caret.
    pub span: Option<(Span, String)>,
    /// Which resource.
    pub address: Option<Address>,
}

impl Diagnostic {
    /// An error with its one-line summary.
    pub fn error(summary: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            summary: summary.into(),
            detail: String::new(),
            hint: None,
            span: None,
            address: None,
        }
    }

    /// A warning with its one-line summary.
    pub fn warning(summary: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Self::error(summary) }
    }

    /// With an explanation.
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

    /// With a place in a file and a label for it.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.span = Some((span, label.into()));
        self
    }

    /// With the resource it is about.
    #[must_use]
    pub fn about(mut self, address: Address) -> Self {
        self.address = Some(address);
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((span, _)) = &self.span {
            let (line, column) = span.line_column();
            write!(f, "{}:{line}:{column}: ", span.source.name)?;
        }
        if let Some(address) = &self.address {
            write!(f, "{address}: ")?;
        }
        f.write_str(&self.summary)
    }
}

/// At least one error, and any warnings found beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Whether any is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, diagnostic) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Diagnostics(vec![diagnostic])
    }
}

/// The candidate that a person who typed `word` most likely meant.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let farthest = |candidate: &str| 1 + candidate.chars().count().min(word.chars().count()) / 4;
    candidates
        .into_iter()
        // The distance is at least the difference in length; computing it takes time by both lengths.
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * farthest(candidate))
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= farthest(candidate))
        .min()
        .map(|(_, candidate)| candidate)
}
