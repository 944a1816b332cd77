//! The catalogue: what a component of a stack is made of. A pure function from the stack to resources.
//!
//! One file per type of component; each adds resources, offers outputs and says what it needs. Tables hold
//! what can be said as data: accelerators, versions, durations, fields that others take over. Order that can
//! be read off Kubernetes objects is not said here: `plan::edges` infers it.
//!
//! Outputs that references may name, and what they become:
//!
//! | component | outputs |
//! |---|---|
//! | `cluster`, `node_pools.x`, `values.x` | those of the resource of that address |
//! | `addons.x` | `namespace`, `version`: texts |
//! | `gateway` | `address`, `url`: from the Gateway's status; `name`, `namespace`: texts; `ca_certificate`: PEM, `secret["ca.crt"]` of the authority's Certificate object |
//! | `workloads.x` | `url`: the gateway's with `/<namespace>/<name>`; `model`, `name`, `namespace`: texts |
//! | `manifests.x` | `namespace`: text |
//!
//! `secret["ca.crt"]` is what an object of kind Certificate shows of the Secret that it fills: certificates,
//! never the key.

pub mod accelerators;
mod addons;
mod ceded;
mod charts;
mod cluster;
mod documents;
mod expansion;
mod fit;
mod gateway;
mod manifests;
pub mod models;
mod own_charts;
mod pieces;
mod places;
mod references;
mod registries;
pub mod schema;
pub mod sources;
mod text;
mod timing;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::chart::{Answers, Library};
use crate::diag::{Diagnostic, Diagnostics};
use crate::resource::model::{Desired, Output, Resource};
use crate::stack::{Loader, Stack};
use crate::value::{Map, Value};
use expansion::Expansion;
pub use expansion::STAND_IN;
pub use sources::{capabilities, sources};

/// What an expansion may look at besides the stack.
pub struct ExpandOptions<'a> {
    /// Gives the texts of manifest files.
    pub loader: &'a dyn Loader,
    /// Where each secret input came from, for messages: a variable's name, a file.
    pub secrets: BTreeMap<String, String>,
    /// The charts and manifests that are at hand; stand-ins take the places of those that are not.
    pub library: &'a Library<'a>,
    /// What random values in charts derive from; charts that want some are refused without it. Keys digests, too.
    pub key: Option<[u8; 32]>,
    /// What charts are told about the cluster; it remembers what they ask.
    pub answers: &'a Answers,
}

/// The part of a stack that makes its cluster; nothing where a kubeconfig leads to one.
pub fn cluster_alone(stack: &Stack) -> Desired {
    let mut expansion = Expansion::new(stack);
    cluster::expand(&mut expansion);
    values(&mut expansion);
    // Its own fields may refer to stored values.
    expansion.resources.retain(|resource| resource.address == Address::new("cluster") || resource.kind == "value");
    references::rewrite(&mut expansion, &mut []);
    if !expansion.resources.iter().any(|resource| resource.kind != "value") {
        expansion.resources.clear();
    }
    let places = places::of(stack);
    Desired { stack: stack.name.to_string(), resources: expansion.resources, places, ..Desired::default() }
}

/// The part of a stack that is its cluster and node pools; nothing where a kubeconfig leads to one.
pub fn infrastructure(stack: &Stack) -> Desired {
    let mut expansion = Expansion::new(stack);
    cluster::expand(&mut expansion);
    values(&mut expansion);
    references::rewrite(&mut expansion, &mut []);
    let places = places::of(stack);
    Desired { stack: stack.name.to_string(), resources: expansion.resources, places, ..Desired::default() }
}

/// Nothing of a stack, and where it may be: what is to go is not expanded.
pub fn nothing(stack: &Stack) -> Desired {
    Desired { stack: stack.name.to_string(), places: places::of(stack), ..Desired::default() }
}

/// The resources of a stack, with warnings.
///
/// # Errors
/// All mistakes that can be seen without looking at any platform: unknown accelerators, parts that do not fit
/// each other, manifests that cannot be read, objects that two components claim.
pub fn expand(stack: &Stack, options: &ExpandOptions<'_>) -> Result<(Desired, Vec<Diagnostic>), Diagnostics> {
    let mut expansion = Expansion::new(stack);
    cluster::expand(&mut expansion);
    values(&mut expansion);
    let mut renderer = charts::Renderer::new(stack, options);
    addons::expand(&mut expansion, &mut renderer);
    gateway::expand(&mut expansion);
    workloads::expand(&mut expansion);
    manifests::expand(&mut expansion, options);
    own_charts::expand(&mut expansion, &mut renderer);
    manifests::connect(&mut expansion);
    registries::wire(&mut expansion);
    addons::connect(&mut expansion);
    workloads::connect(&mut expansion);
    autoscaled(&mut expansion);
    let mut outputs = outputs(stack);
    let mut others = outputs.values_mut().map(|output| &mut output.value).collect::<Vec<_>>();
    let mut proofs = std::mem::take(&mut expansion.proofs);
    for proof in &mut proofs {
        others.push(&mut proof.url);
        others.extend(proof.ca.as_mut());
    }
    if !expansion.has_errors() {
        // Of a stack with mistakes, parts are missing that references lead to; that says nothing new.
        references::rewrite(&mut expansion, &mut others);
    }
    if expansion.has_errors() {
        return Err(Diagnostics(expansion.found));
    }
    pieces::digest(&mut expansion.resources, options.key);
    let secrets = used_secrets(&expansion.resources, &outputs);
    let origins = secrets.into_iter().map(|name| {
        let origin = options.secrets.get(&name).cloned().or_else(|| variable(stack, &name)).unwrap_or_default();
        (name, origin)
    });
    let desired = Desired {
        stack: stack.name.to_string(),
        outputs,
        secrets: origins.collect(),
        proofs,
        crowded: expansion.crowded,
        resources: expansion.resources,
        places: places::of(stack),
    };
    Ok((desired, expansion.found))
}

/// `[values]`: each is a resource of its own.
fn values(expansion: &mut Expansion<'_>) {
    for (name, stored) in &expansion.stack.values {
        expansion.add(Resource {
            address: Address::new(format!("values.{name}")),
            kind: "value",
            attrs: Value::Map(Map::from([("input".to_owned(), stored.input.value.clone())])).into(),
            needs: Vec::new(),
            connection: None,
            ceded: Vec::new(),
            timeout: timing::VALUE.timeout,
            estimate: timing::VALUE.estimate,
            origin: None,
        });
    }
}

/// Whatever an autoscaler scales keeps the count that the autoscaler gives it.
fn autoscaled(expansion: &mut Expansion<'_>) {
    let scaled = expansion.resources.iter().filter_map(|resource| ceded::scaled(&resource.attrs));
    let keys = scaled
        .map(|(kind, namespace, name)| {
            let group = if matches!(kind, "Deployment" | "StatefulSet" | "ReplicaSet") { ".apps" } else { "" };
            format!("{kind}{group}/{namespace}/{name}")
        })
        .collect::<Vec<_>>();
    for address in keys.iter().filter_map(|key| expansion.find(key)).collect::<Vec<_>>() {
        expansion.cede(&address, ceded::replicas());
    }
}

fn outputs(stack: &Stack) -> BTreeMap<String, Output> {
    let outputs = stack.outputs.iter().map(|(name, output)| {
        let sensitive = output.sensitive.as_ref().is_some_and(|sensitive| sensitive.value);
        let description = output.description.as_ref().map(|description| description.value.clone());
        (name.clone(), Output { value: output.value.value.clone(), description, sensitive })
    });
    outputs.collect()
}

fn used_secrets(resources: &[Resource], outputs: &BTreeMap<String, Output>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let values = resources.iter().map(|resource| &*resource.attrs).chain(outputs.values().map(|output| &output.value));
    for value in values {
        value.visit_templates(&mut |template| names.extend(template.secrets().map(str::to_owned)));
    }
    names
}

/// The variable that an input is read from.
fn variable(stack: &Stack, input: &str) -> Option<String> {
    Some(stack.inputs.get(input)?.env.as_ref()?.to_string())
}

#[cfg(test)]
mod tests;
