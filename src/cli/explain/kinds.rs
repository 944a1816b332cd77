//! Kinds of resources: which attributes there are, and what changing each means. From the providers' own tables.

use crate::cli::explain::{Found, no_field};
use crate::provider::google::cluster::ClusterKind;
use crate::provider::google::node_pool::NodePoolKind;
use crate::resource::kind::{Attribute, Kind};
use crate::ui::explain_text::{Page, Row};

/// (kind, what it is, the table of the stack file whose keys describe its attributes).
const KINDS: &[(&str, &str, &str)] = &[
    ("gke.cluster", "A cluster of Google Kubernetes Engine with its system pool.", "cluster"),
    ("gke.node_pool", "A pool of machines of a cluster.", "node_pools"),
];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, ..)| *name)
}

fn attributes(kind: &str) -> Vec<Attribute> {
    match kind {
        "gke.cluster" => ClusterKind.attributes(),
        _ => NodePoolKind.attributes(),
    }
}

/// What changing an attribute means.
fn consequence(attribute: &Attribute) -> String {
    match (attribute.replaces, attribute.effect) {
        (true, _) => "A change makes the resource anew.".to_owned(),
        (false, Some(effect)) => format!("A change is made in place and {effect}."),
        (false, None) => "A change is made in place.".to_owned(),
    }
}

/// What changing a key of the stack file means to its resource, where the two have the same name.
pub(super) fn of_key(table: &str, path: &[&str]) -> Option<String> {
    let (kind, ..) = KINDS.iter().find(|(.., of)| *of == table)?;
    attributes(kind).iter().find(|attribute| attribute.path == path).map(consequence)
}

pub(super) fn find(topic: &str) -> Option<Found> {
    let (kind, text, table) = KINDS
        .iter()
        .find(|(name, ..)| topic.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))?;
    let all = attributes(kind);
    let rest = topic[kind.len()..].trim_start_matches('.');
    let words = |attribute: &Attribute| {
        let described = super::stack::described(table, attribute.path);
        format!("{} {}", described.unwrap_or_default(), consequence(attribute)).trim().to_owned()
    };
    let below = all.iter().filter(|attribute| {
        let path = attribute.path.join(".");
        rest.is_empty() || path == rest || path.starts_with(&format!("{rest}."))
    });
    let below = below.collect::<Vec<_>>();
    Some(match below[..] {
        [] => {
            let names = all.iter().map(|attribute| attribute.path.join(".")).collect::<Vec<_>>();
            Err(no_field(kind, rest, names.iter().map(String::as_str)))
        }
        [one] if !rest.is_empty() => Ok(Page { name: topic.to_owned(), text: words(one), ..Page::default() }),
        _ => Ok(Page {
            name: topic.to_owned(),
            text: if rest.is_empty() { (*text).to_owned() } else { String::new() },
            fields: below
                .iter()
                .map(|attribute| Row { name: attribute.path.join("."), kind: String::new(), text: words(attribute) })
                .collect(),
            ..Page::default()
        }),
    })
}
