//! From findings in objects to sentences for people: where, what, and what to do. Nothing secret is quoted.

use serde_json::Value as Json;

use super::Object;
use crate::address::Address;
use crate::diag::{Diagnostic, Severity, suggest};
use crate::openapi::builtin;
use crate::openapi::prune::Undeclared;
use crate::openapi::validate::{FieldError, Reason, is_deferred};
use crate::resource::model::Resource;

/// So many findings of one object are told.
const OF_ONE: usize = 10;

/// So many findings are told altogether.
const OF_ALL: usize = 60;

/// The longest value that is quoted, in characters.
const LONGEST: usize = 80;

/// What was found so far.
#[derive(Default)]
pub(super) struct Report<'a> {
    found: Vec<Diagnostic>,
    resource: Option<&'a Resource>,
    /// Whether the values of the object's data may be quoted.
    secret: bool,
    /// The texts that an object of kind Secret holds.
    held: Vec<&'a str>,
    definition: Option<&'a Address>,
    of_this: usize,
    untold: usize,
    untold_errors: bool,
}

impl<'a> Report<'a> {
    /// What follows is about this object.
    pub(super) fn begin(&mut self, object: &'a Object<'a>) {
        self.resource = Some(object.resource);
        self.definition = None;
        self.of_this = 0;
        self.held.clear();
        self.secret = (object.group, object.kind) == ("", "Secret");
        if self.secret {
            for list in ["data", "stringData"] {
                texts(&object.sent[list], &mut self.held);
            }
        }
    }

    /// The object's kind is defined there.
    pub(super) fn defined_by(&mut self, definition: &'a Address) {
        self.definition = Some(definition);
    }

    /// An object without apiVersion or kind.
    pub(super) fn nameless(&mut self, resource: &'a Resource) {
        self.resource = Some(resource);
        (self.definition, self.of_this, self.secret) = (None, 0, false);
        for key in ["apiVersion", "kind"] {
            if resource.attrs.get(key).and_then(crate::value::Value::as_str).is_none() {
                self.add(Severity::Error, format!("the manifest has no {key}"), None);
            }
        }
    }

    /// Fields that the kind does not have.
    pub(super) fn undeclared(&mut self, fields: Vec<Undeclared<'_>>) {
        for field in fields {
            let hint = meant(&field);
            self.add(Severity::Error, format!("{}: unknown field", field.path), hint);
        }
    }

    /// What the API server says about fields.
    pub(super) fn errors(&mut self, errors: Vec<FieldError>) {
        for error in errors {
            let hint = next_step(&error);
            let summary = self.sentence(error);
            self.add(Severity::Error, summary, hint);
        }
    }

    /// One finding.
    pub(super) fn add(&mut self, severity: Severity, summary: String, hint: Option<String>) {
        self.of_this += 1;
        if self.of_this > OF_ONE || self.found.len() >= OF_ALL {
            self.untold += 1;
            self.untold_errors |= severity == Severity::Error;
            return;
        }
        let diagnostic = match severity {
            Severity::Error => Diagnostic::error(summary),
            Severity::Warning => Diagnostic::warning(summary),
        };
        let mut diagnostic = diagnostic.detail(self.source());
        if let Some(resource) = self.resource {
            diagnostic = diagnostic.about(resource.address.clone());
        }
        diagnostic.hint = hint;
        self.found.push(diagnostic);
    }

    /// Everything that was found.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        if self.untold > 0 {
            let (n, s) = (self.untold, if self.untold == 1 { "" } else { "s" });
            let summary = format!("{n} more mistake{s} in objects of the stack");
            let rest = if self.untold_errors { Diagnostic::error(summary) } else { Diagnostic::warning(summary) };
            self.found.push(rest.hint("correct these first; the rest is told then"));
        }
        self.found
    }

    /// Where the object comes from, and what it was held against.
    fn source(&self) -> String {
        let against = match self.definition {
            Some(definition) => format!("checked against {definition}"),
            None => format!("checked against Kubernetes {}", builtin::VERSION),
        };
        match self.resource.and_then(|resource| resource.origin.as_ref()) {
            Some(origin) => format!("in {origin}, {against}"),
            None => against,
        }
    }

    fn sentence(&self, mut error: FieldError) -> String {
        let is_held = self.secret && ["data", "stringData"].iter().any(|list| error.path.starts_with(list));
        error.value = error.value.map(|value| if is_held { "(a Secret's, not shown)".into() } else { shown(&value) });
        let mut message = error.message();
        // The path is said already.
        for said in [format!("{} in body ", error.path), format!(" in {}", error.path)] {
            message = message.replace(&said, "");
        }
        let is_quoted = |held: &&str| {
            let quoted = format!("{held:?}");
            message.contains(*held) || message.contains(&quoted[1..quoted.len() - 1])
        };
        if self.secret && self.held.iter().any(is_quoted) {
            message = "the value does not fit; it is a Secret's and not shown".to_owned();
        }
        let message = lower_first(&message);
        if error.path.is_empty() || error.path == "<nil>" { message } else { format!("{}: {message}", error.path) }
    }
}

/// The texts in a tree.
fn texts<'a>(value: &'a Json, found: &mut Vec<&'a str>) {
    match value {
        Json::String(text) if !text.is_empty() => found.push(text),
        Json::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Json::Object(map) if !is_deferred(value) => map.values().for_each(|item| texts(item, found)),
        _ => {}
    }
}

/// A value that fits into a sentence.
fn shown(value: &Json) -> Json {
    match value {
        Json::String(text) if text.chars().count() > LONGEST => {
            Json::String(text.chars().take(LONGEST).chain("…".chars()).collect())
        }
        Json::Array(items) => Json::String(format!("a list of {}", items.len())),
        deferred if is_deferred(deferred) => Json::String("known after apply".to_owned()),
        Json::Object(map) if map.values().all(Json::is_string) && value.to_string().chars().count() <= LONGEST => {
            value.clone()
        }
        Json::Object(map) if map.is_empty() => value.clone(),
        Json::Object(map) => {
            Json::String(format!("a map of {}", map.keys().map(String::as_str).take(5).collect::<Vec<_>>().join(", ")))
        }
        plain => plain.clone(),
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// The field that was meant by an unknown one: of the same object, or the same name one step further in.
fn meant(field: &Undeclared<'_>) -> Option<String> {
    let names = field.holder.properties.iter().map(|property| &*property.name);
    if let Some(near) = suggest(&field.name, names) {
        return Some(format!("did you mean `{near}`?"));
    }
    let parent = field.path.strip_suffix(&field.name).unwrap_or(&field.path);
    let inside = field.holder.properties.iter().find(|property| property.schema.property(&field.name).is_some());
    if let Some(inside) = inside {
        return Some(format!("it belongs one level deeper: `{parent}{}.{}`", inside.name, field.name));
    }
    let known = field.holder.properties.iter().map(|property| &*property.name).take(12).collect::<Vec<_>>();
    let more = if field.holder.properties.len() > known.len() { ", …" } else { "" };
    (!known.is_empty()).then(|| format!("known here: {}{more}", known.join(", ")))
}

fn next_step(error: &FieldError) -> Option<String> {
    match error.reason {
        Reason::NotSupported => {
            let words = error.detail.strip_prefix("supported values: ")?;
            let words = words.split(", ").map(|word| word.trim_matches('"')).collect::<Vec<_>>();
            let given = error.value.as_ref()?.as_str()?;
            let near = suggest(given, words.iter().copied());
            let near = near.or_else(|| words.iter().copied().find(|word| word.eq_ignore_ascii_case(given)));
            near.map(|near| format!("did you mean `{near}`?"))
        }
        Reason::TypeInvalid if error.detail.contains("must be of type string: ") => {
            let given = error.value.as_ref()?.as_str()?;
            matches!(given, "integer" | "number" | "boolean").then(|| "put the value in quotes".to_owned())
        }
        Reason::TypeInvalid if error.value.as_ref()? == "string" => {
            let scalar = ["integer", "number", "boolean"]
                .iter()
                .any(|kind| error.detail.contains(&format!("must be of type {kind}: ")));
            scalar.then(|| "write it without quotes".to_owned())
        }
        _ => None,
    }
}
