//! Objects of Kubernetes: the built-in kinds, and those that the stack's charts define.

use serde_json::Value as Json;

use crate::cli::args::{BundleArgs, StackArgs};
use crate::cli::explain::{Found, no_field};
use crate::cli::source;
use crate::diag::Diagnostics;
use crate::env::vars::Vars;
use crate::openapi::builtin;
use crate::openapi::crd::Definition;
use crate::openapi::schema::{Additional, Schema, Type};
use crate::provider::kube::immutable;
use crate::ui::explain_text::{Page, Row};

/// A kind, as a user may have named it.
struct Named {
    group: String,
    version: String,
    kind: String,
    /// The schema of a definition, with its descriptions.
    text: Json,
    schema: std::sync::Arc<Schema>,
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let mut names = builtin::kinds().map(|(.., kind)| kind).filter(|kind| !kind.ends_with("List")).collect::<Vec<_>>();
    names.sort_unstable();
    names.dedup();
    names.into_iter()
}

/// `deployment.spec.replicas`, `Certificate.spec`; nothing where no kind of that name is known.
pub(super) fn find(
    topic: &str,
    stack: &StackArgs,
    charts: &BundleArgs,
    vars: &dyn Vars,
) -> Result<Option<Found>, Diagnostics> {
    let mut words = topic.split('.');
    let name = words.next().unwrap_or_default().to_lowercase();
    let path = words.collect::<Vec<_>>();
    let named = match built_in(&name) {
        Some(named) => named,
        None => match installed(&name, stack, charts, vars)? {
            Some(named) => named,
            None => return Ok(None),
        },
    };
    Ok(Some(walk(topic, &named, &path)))
}

fn built_in(name: &str) -> Option<Named> {
    // Of several versions, the one without a suffix is the one to use.
    let mut found = builtin::kinds().filter(|(.., kind)| kind.to_lowercase() == name).collect::<Vec<_>>();
    found.sort_by_key(|(group, version, _)| (version.len(), *group, *version));
    let (group, version, kind) = found.first()?;
    let schema = builtin::schema(group, version, kind)?;
    let (group, version, kind) = ((*group).to_owned(), (*version).to_owned(), (*kind).to_owned());
    Some(Named { group, version, kind, text: Json::Null, schema })
}

/// A kind that the stack's charts define; there need not be a stack.
fn installed(
    name: &str,
    stack: &StackArgs,
    charts: &BundleArgs,
    vars: &dyn Vars,
) -> Result<Option<Named>, Diagnostics> {
    if !stack.file.exists() {
        return Ok(None);
    }
    let wanted = source::load(stack, charts, vars, true, None)?;
    let objects = wanted.desired.resources.iter().map(|resource| resource.attrs.to_json());
    let mut definitions = objects.flat_map(|attrs| [attrs["manifest"].clone(), attrs]).filter(|object| {
        object["kind"] == "CustomResourceDefinition"
            && object["spec"]["names"]["kind"].as_str().is_some_and(|kind| kind.to_lowercase() == name)
    });
    let Some(object) = definitions.next() else { return Ok(None) };
    let Some(definition) = Definition::read(&object) else { return Ok(None) };
    let Some(version) = definition.storage() else { return Ok(None) };
    let versions = object["spec"]["versions"].as_array().into_iter().flatten();
    let text = versions.filter(|other| other["name"] == version.name.as_str());
    let text = text.map(|version| version["schema"]["openAPIV3Schema"].clone()).next().unwrap_or_default();
    Ok(Some(Named {
        group: definition.group.clone(),
        version: version.name.clone(),
        kind: definition.kind.clone(),
        text,
        schema: version.schema.clone(),
    }))
}

fn walk(topic: &str, named: &Named, path: &[&str]) -> Found {
    let (mut schema, mut text) = (&*named.schema, &named.text);
    let mut name = topic.split('.').next().unwrap_or_default().to_owned();
    for word in path {
        (schema, text) = items(schema, text);
        let Some(next) = schema.child(word) else {
            return Err(no_field(&name, word, schema.properties.iter().map(|property| &*property.name)));
        };
        text = &text["properties"][*word];
        schema = next;
        name = format!("{name}.{word}");
    }
    let mut facts = Vec::new();
    if path.is_empty() {
        let api =
            if named.group.is_empty() { named.version.clone() } else { format!("{}/{}", named.group, named.version) };
        facts.push(("apiVersion".to_owned(), api));
        facts.push(("kind".to_owned(), named.kind.clone()));
    }
    let limits = schema.limits.as_deref();
    if let Some(values) = limits.map(|limits| &limits.one_of_values).filter(|values| !values.is_empty()) {
        facts.push(("One of".to_owned(), values.iter().map(Json::to_string).collect::<Vec<_>>().join(", ")));
    }
    if let Some(pattern) = limits.and_then(|limits| limits.pattern.as_ref()) {
        facts.push(("Matches".to_owned(), pattern.source().to_owned()));
    }
    if immutable::is_immutable(&named.group, &named.kind, path) {
        facts
            .push(("A change".to_owned(), "is refused by the API server, so that the object is made anew.".to_owned()));
    }
    let below = items(schema, text);
    let fields = below.0.properties.iter().map(|property| {
        let required = if below.0.required.contains(&property.name) { ", required" } else { "" };
        Row {
            name: property.name.to_string(),
            kind: format!("{}{required}", word(&property.schema)),
            text: below.1["properties"][&*property.name]["description"].as_str().unwrap_or_default().to_owned(),
        }
    });
    Ok(Page {
        name: topic.to_owned(),
        kind: word(schema),
        text: text["description"].as_str().unwrap_or_default().to_owned(),
        facts,
        fields: fields.collect(),
    })
}

/// What a list holds, for lists: nobody writes the number of an item.
fn items<'a>(schema: &'a Schema, text: &'a Json) -> (&'a Schema, &'a Json) {
    match &schema.items {
        Some(items) => (items, &text["items"]),
        None => (schema, text),
    }
}

fn word(schema: &Schema) -> String {
    match (schema.kind, &schema.items, &schema.additional) {
        (_, Some(items), _) => format!("list of {}", word(items)),
        (Type::Object, _, Additional::Of(values)) => format!("map of {}", word(values)),
        (Type::Any, ..) if schema.int_or_string => "integer or string".to_owned(),
        (Type::Any, ..) => "any".to_owned(),
        (kind, ..) => kind.name().to_owned(),
    }
}
