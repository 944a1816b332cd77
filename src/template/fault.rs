//! What goes wrong in a template, in the words a user of Helm knows, and where.
//!
//! [`Fault`] is what a function or operation reports; the evaluator knows the place and makes an
//! [`Error`] of it. Not for the messages of single functions.

use std::fmt;

use super::data::Data;
use crate::diag::Diagnostic;

/// What a function returns.
pub type Outcome = Result<Data, Fault>;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The template does not parse.
    Parse,
    /// Evaluation failed.
    Execution,
    /// A limit on time or memory was reached.
    Limit,
    /// Something looked inside a value that is known only later.
    Unknown,
}

/// A failure without a place.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What kind.
    pub kind: Kind,
    /// What happened; the message of `inner` follows it.
    pub text: String,
    /// The failure of a template that this one ran.
    pub inner: Option<Box<Error>>,
}

impl Fault {
    /// A plain failure.
    pub fn new(text: impl Into<String>) -> Self {
        Fault { kind: Kind::Execution, text: text.into(), inner: None }
    }

    /// A limit reached.
    pub fn limit(text: impl Into<String>) -> Self {
        Fault { kind: Kind::Limit, text: text.into(), inner: None }
    }

    /// A look inside an unknown.
    pub fn unknown(text: impl Into<String>) -> Self {
        Fault { kind: Kind::Unknown, text: text.into(), inner: None }
    }

    /// The failure of another template, with words before it.
    pub fn nested(text: impl Into<String>, inner: Error) -> Self {
        Fault { kind: inner.kind, text: text.into(), inner: Some(Box::new(inner)) }
    }
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Fault::new(text)
    }
}

impl From<&str> for Fault {
    fn from(text: &str) -> Self {
        Fault::new(text)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.inner.as_ref().map_or(Ok(()), |inner| inner.fmt(f))
    }
}

/// A failure with its place. Its display form is Go's.
#[derive(Clone, Debug)]
pub struct Error {
    /// What kind.
    pub kind: Kind,
    /// The name that the text was parsed under: a file of the chart.
    pub file: String,
    /// From 1; 0 where no line is to blame.
    pub line: u32,
    /// Bytes into the line, from 0, as Go counts; `None` for parse errors.
    pub column: Option<u32>,
    /// The template that ran, and the part of it that failed.
    pub at: Option<(String, String)>,
    /// What happened; the message of `inner` follows it.
    pub text: String,
    /// The failure of a template that this one ran.
    pub inner: Option<Box<Error>>,
}

impl Error {
    /// The failure that started it all.
    pub fn root(&self) -> &Error {
        let mut error = self;
        while let Some(inner) = &error.inner {
            error = inner;
        }
        error
    }

    /// For the user: the cause first, the way to it below.
    pub fn diagnostic(&self) -> Diagnostic {
        let root = self.root();
        let place = match root.column {
            Some(column) => format!("{}:{}:{}", root.file, root.line, column + 1),
            None => format!("{}:{}", root.file, root.line),
        };
        let action = root.at.as_ref().map_or_else(String::new, |(_, action)| format!(" at {{{{ {action} }}}}"));
        let diagnostic = Diagnostic::error(format!("{place}{action}: {}", root.text));
        if self.inner.is_some() { diagnostic.detail(self.to_string()) } else { diagnostic }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template: {}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        if let Some((name, action)) = &self.at {
            write!(f, ": executing {} at <{action}>", super::print::quoted(name.as_bytes()))?;
        }
        write!(f, ": {}", self.text)?;
        self.inner.as_ref().map_or(Ok(()), |inner| inner.fmt(f))
    }
}

impl std::error::Error for Error {}
