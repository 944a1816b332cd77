//! Whether an API server would take the Kubernetes objects of a stack: every object against the type of its
//! kind, custom kinds against the definitions of the same stack, before anything is sent anywhere.
//!
//! Pure, and linear in the size of the objects; each version of a definition is compiled once, when an object
//! needs it. What is known only at apply fits everywhere. Not here: what a live cluster knows (quotas, objects
//! of others, webhooks), immutable fields (the provider's), and whether objects refer to existing ones.

mod kinds;
mod report;

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::address::Address;
use crate::diag::{Diagnostic, Diagnostics, Severity};
use crate::openapi::validate::{FieldError, Reason, validate_planned};
use crate::openapi::{Schema, builtin, crd, default, prune, rules};
use crate::resource::hook;
use crate::resource::model::{Desired, Resource};
use crate::value::Value;
use kinds::{Definitions, Found};
use report::Report;

/// One object of the stack, as it would be sent.
struct Object<'a> {
    resource: &'a Resource,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    /// The manifest without nulls; what is deferred is marked as such.
    sent: Json,
}

impl<'a> Object<'a> {
    fn new(resource: &'a Resource) -> Option<Self> {
        let manifest = hook::object(resource.kind, &resource.attrs)?;
        let api_version = manifest.get("apiVersion")?.as_str()?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = manifest.get("kind")?.as_str()?;
        Some(Object { resource, group, version, kind, sent: sent(manifest) })
    }

    fn address(&self) -> &Address {
        &self.resource.address
    }

    fn is_definition(&self) -> bool {
        (self.group, self.kind) == ("apiextensions.k8s.io", "CustomResourceDefinition")
    }
}

/// The mistakes in all Kubernetes objects: errors for what the API server would refuse, warnings for what
/// nobody but the cluster can tell and for what would be dropped. In order of the resources, not more than
/// anybody reads.
pub fn check(desired: &Desired) -> Vec<Diagnostic> {
    let mut report = Report::default();
    let mut objects = Vec::new();
    let mut hooks = BTreeSet::new();
    for resource in &desired.resources {
        if hook::object(resource.kind, &resource.attrs).is_none() {
            continue;
        }
        // What runs at several moments is looked at once.
        let key = resource.address.object_key().and_then(|key| key.split_once(':')).map(|(_, key)| key);
        if resource.kind == hook::KIND && !hooks.insert((resource.address.component(), key)) {
            continue;
        }
        match Object::new(resource) {
            Some(object) => objects.push(object),
            None => report.nameless(resource),
        }
    }
    let definitions = Definitions::new(&objects);
    for object in &objects {
        report.begin(object);
        match definitions.find(object) {
            Found::BuiltIn(schema) => built_in(object, &schema, &mut report),
            Found::Custom(custom) => {
                report.defined_by(custom.definition);
                if let Some(version) = custom.version {
                    self::custom(object, version, &mut report);
                    scope(object, custom.namespaced, &mut report);
                }
            }
            Found::Unchecked => report.errors(rules::metadata(object.group, object.kind, &object.sent)),
            Found::Wrong(severity, summary, hint) => report.add(severity, summary, hint),
        }
    }
    report.finish()
}

/// As [`check`]: the warnings when there are no errors.
///
/// # Errors
/// Everything found, when an error is among it.
pub fn refuse(desired: &Desired) -> Result<Vec<Diagnostic>, Diagnostics> {
    let found = Diagnostics(check(desired));
    if found.has_errors() { Err(found) } else { Ok(found.0) }
}

fn built_in(object: &Object<'_>, schema: &Schema, report: &mut Report<'_>) {
    report.undeclared(prune::undeclared(schema, &object.sent));
    if object.is_definition() {
        // Definitions are long, and have no defaults that a mistake could hide behind.
        report.errors(rules::metadata(object.group, object.kind, &object.sent));
        let errors = validate_planned(schema, &object.sent);
        if errors.is_empty() {
            report.errors(crd::check(&object.sent));
        }
        report.errors(errors);
    } else {
        let mut filled = object.sent.clone();
        default::apply(schema, &mut filled);
        let mut errors = rules::metadata(object.group, object.kind, &object.sent);
        // Defaults would hide values of a wrong type that count as not given.
        let unfilled = validate_planned(schema, &object.sent);
        errors.extend(unfilled.into_iter().filter(|error| error.reason == Reason::TypeInvalid));
        add_new(&mut errors, validate_planned(schema, &filled));
        let more = rules::check(object.group, object.kind, schema, &filled);
        add_new(&mut errors, more);
        report.errors(errors);
    }
    scope(object, builtin::is_namespaced(object.group, object.kind).unwrap_or(true), report);
}

/// Adds what is said about fields of which nothing was said yet.
fn add_new(errors: &mut Vec<FieldError>, more: Vec<FieldError>) {
    let told = errors.len();
    for error in more {
        if !errors[..told].iter().any(|known| known.path == error.path) {
            errors.push(error);
        }
    }
}

fn custom(object: &Object<'_>, version: &crd::Version, report: &mut Report<'_>) {
    report.undeclared(prune::undeclared(&version.schema, &object.sent));
    let mut filled = object.sent.clone();
    if version.status
        && let Json::Object(map) = &mut filled
    {
        // Dropped from what is created; controllers write it.
        map.shift_remove("status");
    }
    default::apply(&version.schema, &mut filled);
    let mut errors = rules::metadata(object.group, object.kind, &object.sent);
    errors.extend(validate_planned(&version.schema, &filled));
    report.errors(errors);
}

fn scope(object: &Object<'_>, namespaced: bool, report: &mut Report<'_>) {
    let namespace = &object.sent["metadata"]["namespace"];
    let kind = object.kind;
    if namespaced && (namespace.is_null() || namespace == "") {
        let error = FieldError::required("metadata.namespace", format!("objects of kind {kind} live in namespaces"));
        report.errors(vec![error]);
    } else if !namespaced && namespace.as_str().is_some_and(|namespace| !namespace.is_empty()) {
        let summary = format!("metadata.namespace: objects of kind {kind} live outside of namespaces; it is dropped");
        report.add(Severity::Warning, summary, Some("take the namespace out".to_owned()));
    }
}

/// The JSON form of a value without nulls in maps, which are not sent.
fn sent(value: &Value) -> Json {
    match value {
        Value::Map(map) if map.len() != 1 => Json::Object(
            map.iter()
                .filter(|(_, value)| **value != Value::Null)
                .map(|(key, value)| (key.clone(), sent(value)))
                .collect(),
        ),
        // A map with one key may look like what marks deferred values; its own conversion sees to that.
        Value::Map(map) => match map.iter().next() {
            Some((key, below)) if !key.ends_with("$deferred") && *below != Value::Null => {
                Json::Object(std::iter::once((key.clone(), sent(below))).collect())
            }
            Some((_, Value::Null)) => Json::Object(serde_json::Map::new()),
            _ => value.to_json(),
        },
        Value::List(items) => Json::Array(items.iter().map(sent).collect()),
        plain => plain.to_json(),
    }
}

#[cfg(test)]
mod tests;
