//! The resources that every API server serves, before any CRD.
//!
//! `catalogue.txt` holds one line per resource: group, version, plural, singular, kind, scope, short names,
//! categories, verbs, then its subresources as `name:kind:verbs`. A dash is an empty field, a star all verbs.

use super::registry::{Resource, Subresource};

const TABLE: &str = include_str!("catalogue.txt");

/// All verbs, in discovery's order.
pub(crate) const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

fn words(field: &str, separator: char) -> Vec<String> {
    if field == "-" { Vec::new() } else { field.split(separator).map(str::to_owned).collect() }
}

/// The version objects of a group are stored in where more than one is served.
fn storage_version(group: &str, plural: &str, version: &str) -> String {
    match (group, plural) {
        ("autoscaling", "horizontalpodautoscalers") => "v2".to_owned(),
        _ => version.to_owned(),
    }
}

/// All built-in resources in discovery's order.
pub(crate) fn resources() -> Vec<Resource> {
    TABLE.lines().map(parse).collect()
}

fn parse(line: &str) -> Resource {
    let mut fields = line.split(' ');
    let mut next = || fields.next().expect("the table is complete");
    let group = next().trim_matches('-').to_owned();
    let version = next().to_owned();
    let plural = next().to_owned();
    let singular = next().to_owned();
    let kind = next().to_owned();
    let namespaced = next() == "N";
    let short_names = words(next(), ',');
    let categories = words(next(), ',');
    let verbs = match next() {
        "*" => VERBS.iter().map(|verb| (*verb).to_owned()).collect(),
        some => words(some, ','),
    };
    let subresources = fields
        .map(|text| {
            let mut parts = text.split(':');
            let mut next = || parts.next().expect("the table is complete");
            let (name, kind, verbs) = (next().to_owned(), next(), words(next(), '|'));
            let mut path = kind.rsplit('/');
            let kind = path.next().unwrap_or_default().to_owned();
            let version = path.next().unwrap_or_default().to_owned();
            let group = path.next().unwrap_or_default().to_owned();
            Subresource { name, group, version, kind, verbs }
        })
        .collect();
    Resource {
        storage_version: storage_version(&group, &plural, &version),
        list_kind: format!("{kind}List"),
        group,
        version,
        plural,
        singular,
        kind,
        namespaced,
        short_names,
        categories,
        verbs,
        subresources,
        custom: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_parses() {
        let all = resources();
        let pods = all.iter().find(|r| r.plural == "pods").expect("pods");
        assert!(pods.namespaced && pods.group.is_empty() && pods.verbs.len() == 8);
        let eviction = pods.subresources.iter().find(|s| s.name == "eviction").expect("eviction");
        assert_eq!((eviction.group.as_str(), eviction.version.as_str()), ("policy", "v1"));
    }
}
