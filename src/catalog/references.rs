//! References to components become references to resources, or plain values.
//!
//! A stack says `${workloads.qwen-3b.url}`; what the planner and the engine see is a text with the address of
//! the Gateway object in it. `cluster`, pools and values are resources themselves and stay as they are.

use std::sync::Arc;

use crate::catalog::expansion::Expansion;
use crate::catalog::text::simplified;
use crate::diag::{Diagnostic, suggest};
use crate::value::{Encoding, Part, Reference, Template, Value};

/// Rewrites the references of all resources, and `values` besides; reports those that lead nowhere.
pub(super) fn rewrite(expansion: &mut Expansion<'_>, values: &mut [&mut Value]) {
    let mut lost = Vec::new();
    let mut resources = std::mem::take(&mut expansion.resources);
    let known = resources
        .iter()
        .map(|resource| resource.address.as_str().to_owned())
        .collect::<std::collections::BTreeSet<_>>();
    let rewriter = Rewriter { expansion, known: &known };
    for resource in &mut resources {
        let mut missing = Vec::new();
        rewriter.value(Arc::make_mut(&mut resource.attrs), &mut missing);
        let about = resource.address.clone();
        lost.extend(missing.into_iter().map(|diagnostic| diagnostic.about(about.clone())));
    }
    for value in values {
        rewriter.value(value, &mut lost);
    }
    expansion.resources = resources;
    lost.into_iter().for_each(|diagnostic| expansion.report(diagnostic));
}

struct Rewriter<'r> {
    expansion: &'r Expansion<'r>,
    known: &'r std::collections::BTreeSet<String>,
}

impl Rewriter<'_> {
    fn value(&self, value: &mut Value, missing: &mut Vec<Diagnostic>) {
        match value {
            Value::List(items) => items.iter_mut().for_each(|item| self.value(item, missing)),
            Value::Map(map) => map.values_mut().for_each(|item| self.value(item, missing)),
            Value::Deferred(template) => {
                if let Some(new) = self.template(template, missing) {
                    *value = new;
                }
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => {}
        }
    }

    /// The new value of a template, if anything in it changes.
    fn template(&self, template: &Template, missing: &mut Vec<Diagnostic>) -> Option<Value> {
        let mut changed = false;
        let mut sensitive = template.sensitive;
        let mut parts = Vec::with_capacity(template.parts.len());
        for part in &template.parts {
            let Part::Reference(reference) = part else {
                parts.push(part.clone());
                continue;
            };
            match self.output(reference) {
                Ok(None) => parts.push(part.clone()),
                Ok(Some(Value::Deferred(inner))) if inner.encoding == Encoding::Plain => {
                    changed = true;
                    sensitive |= inner.sensitive;
                    parts.extend(inner.parts);
                }
                Ok(Some(known)) => {
                    changed = true;
                    parts.push(Part::Text(known.scalar_text().unwrap_or_default()));
                }
                Err(diagnostic) => missing.push(*diagnostic),
            }
        }
        changed.then(|| simplified(Template { parts, encoding: template.encoding, sensitive }))
    }

    /// What a reference means: `None` when it is one to a resource and stays.
    fn output(&self, reference: &Reference) -> Result<Option<Value>, Box<Diagnostic>> {
        let address = reference.address.as_str();
        if self.known.contains(address) {
            return Ok(None);
        }
        let none = || Diagnostic::error(format!("${{{reference}}} leads nowhere"));
        if reference.address.object_key().is_some() {
            let close = suggest(address, self.known.iter().map(String::as_str));
            let hint = match close {
                Some(close) => format!("did you mean {close}?"),
                None => "`stackwright plan -v` lists the addresses of all objects".to_owned(),
            };
            return Err(Box::new(none().detail("The stack has no such object.").hint(hint)));
        }
        let Some(outputs) = self.expansion.offered().get(address) else {
            return Err(Box::new(none().detail(format!("{address} makes nothing in this stack."))));
        };
        let name = reference.path.first().map(String::as_str).unwrap_or_default();
        let found = outputs.get(name).cloned();
        found.map(Some).ok_or_else(|| {
            let names = outputs.keys().copied().collect::<Vec<_>>().join(", ");
            Box::new(none().detail(format!("{address} has no output {name} in this stack; it has {names}.")))
        })
    }
}
