//! The member `configuration` of a plan: which attributes are plain, and which come from other resources or secrets.
//!
//! Terraform tells its whole configuration there; a stack is no such thing, and what policies read of it is told:
//! who carries a resource out, and what its attributes refer to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::model::{
    Configuration, ConfigurationModule, ConfigurationOutput, ConfigurationResource, Expression, ProviderConfig,
};
use super::{Dialect, Options};
use crate::address::Address;
use crate::plan::model::Plan;
use crate::value::{Template, Value, is_input};

pub(super) fn of(plan: &Plan, options: Options) -> Configuration {
    let dialect = options.dialect;
    let kinds = plan.changes.iter().map(|change| (&change.address, change.kind.as_str())).collect::<BTreeMap<_, _>>();
    let mut provider_config = BTreeMap::new();
    let mut module = ConfigurationModule::default();
    let mut at = BTreeMap::new();
    for change in plan.changes.iter().filter(|change| !change.is_leaving()) {
        let Some(value) = change.after.as_ref().or(change.before.as_ref()) else { continue };
        let place = dialect.place(&change.address, &change.kind);
        let key = place.provider.rsplit('/').next().unwrap_or_default().to_owned();
        let provider = ProviderConfig { name: key.clone(), full_name: place.provider };
        provider_config.entry(key.clone()).or_insert(provider);
        let attributes = dialect.attributes(&place, (&change.address, &change.kind), value, false);
        let expressions = expressions(&attributes, dialect, &kinds);
        let address = format!("{}.{}", place.kind, place.name);
        let address = if dialect.is_terraform() { address } else { place.address.clone() };
        // What differs by index alone was written once, with `for_each`.
        let index = *at.entry(address.clone()).or_insert(module.resources.len());
        match module.resources.get_mut(index) {
            Some(known) => merge(&mut known.expressions, expressions),
            None => module.resources.push(ConfigurationResource {
                address,
                mode: "managed",
                kind: place.kind,
                name: place.name,
                provider_config_key: key,
                expressions,
                schema_version: 0,
            }),
        }
    }
    for (name, output) in &plan.outputs {
        let Some(after) = &output.after else { continue };
        let expression = Expression { references: references(after, dialect, &kinds), constant_value: None };
        module.outputs.insert(name.clone(), ConfigurationOutput { sensitive: output.sensitive, expression });
    }
    Configuration { provider_config, root_module: module }
}

/// Of several resources, an attribute is plain only where it is the same of all.
fn merge(known: &mut Map<String, Json>, more: Map<String, Json>) {
    for (key, expression) in more {
        match known.get(&key) {
            None => {
                known.insert(key, expression);
            }
            Some(other) if *other == expression => {}
            Some(other) => {
                let listed = |json: &Json| {
                    let list = json["references"].as_array().cloned().unwrap_or_default();
                    list.into_iter().filter_map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>()
                };
                let mut all = listed(other);
                all.extend(listed(&expression));
                all.push("each.value".to_owned());
                let mut seen = BTreeSet::new();
                all.retain(|reference| seen.insert(reference.clone()));
                known.insert(key, serde_json::json!({ "references": all }));
            }
        }
    }
}

fn expressions(value: &Value, dialect: Dialect, kinds: &BTreeMap<&Address, &str>) -> Map<String, Json> {
    let mut expressions = Map::new();
    for (key, value) in value.as_map().into_iter().flatten() {
        let references = references(value, dialect, kinds);
        let constant_value = match value {
            Value::List(_) | Value::Map(_) | Value::Deferred(_) | Value::Null => None,
            scalar => Some(scalar.to_json()),
        };
        if !references.is_empty() || constant_value.is_some() {
            let expression = Expression { constant_value, references };
            expressions.insert(key.clone(), serde_json::to_value(expression).unwrap_or_default());
        }
    }
    expressions
}

/// What a value refers to, as Terraform lists it: what is read of a resource, then the resource.
fn references(value: &Value, dialect: Dialect, kinds: &BTreeMap<&Address, &str>) -> Vec<String> {
    let mut found = Vec::new();
    value.visit_templates(&mut |template: &Template| {
        for reference in template.references() {
            let kind = kinds.get(&reference.address).copied().unwrap_or_default();
            let place = dialect.place(&reference.address, kind);
            found.push(dialect.reference(&place, &reference.path));
            found.push(place.address);
        }
        found.extend(template.secrets().filter(|name| is_input(name)).map(|name| format!("var.{name}")));
    });
    let mut seen = BTreeSet::new();
    found.retain(|reference| seen.insert(reference.clone()));
    found
}
