//! Rules on names, labels, annotations, owners and finalizers, the same for every kind.

use serde_json::{Value as Json, json};

use crate::openapi::rules::names::{
    LABEL, LABEL_VALUE, SUBDOMAIN, is_label, is_name_part, is_subdomain, qualified_name,
};
use crate::sim::kube::fault::FieldError;
use crate::sim::kube::registry::Resource;

const ANNOTATIONS: usize = 262_144;

/// How a kind's names are formed.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Label,
    Subdomain,
    /// No slash and no percent sign.
    Segment,
}

fn form(resource: &Resource) -> Form {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces" | "services") => Form::Label,
        ("rbac.authorization.k8s.io", _) => Form::Segment,
        ("networking.k8s.io", "ipaddresses") => Form::Segment,
        _ => Form::Subdomain,
    }
}

fn name_errors(resource: &Resource, name: &str) -> Vec<FieldError> {
    let value = Json::from(name);
    let invalid = |detail: &str| FieldError::invalid("metadata.name", &value, detail);
    let mut errors = Vec::new();
    let (limit, fine, words) = match form(resource) {
        Form::Label => (63, is_label(name), LABEL),
        Form::Subdomain => (253, is_subdomain(name), SUBDOMAIN),
        Form::Segment => {
            if name == "." || name == ".." {
                errors.push(invalid(&format!("may not be '{name}'")));
            }
            for c in ['/', '%'] {
                if name.contains(c) {
                    errors.push(invalid(&format!("may not contain '{c}'")));
                }
            }
            return errors;
        }
    };
    // Services are checked once more by their own rules, which want a letter first.
    if resource.plural == "services" && resource.group.is_empty() {
        if name.len() > limit {
            errors.push(invalid(&format!("must be no more than {limit} characters")));
        }
        return errors;
    }
    if name.len() > limit {
        let unit = if form(resource) == Form::Label { "bytes" } else { "characters" };
        errors.push(invalid(&format!("must be no more than {limit} {unit}")));
    }
    if !fine {
        errors.push(invalid(words));
    }
    errors
}

/// Complaints about a map of labels at `path`.
pub(super) fn labels(path: &str, labels: &Json) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut pairs: Vec<_> = labels.as_object().into_iter().flatten().collect();
    pairs.sort_by_key(|(key, _)| key.as_str());
    for (key, value) in pairs {
        let bad = qualified_name(key);
        errors.extend(bad.iter().map(|detail| FieldError::invalid(path, &json!(key), detail)));
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            errors.push(FieldError::invalid(path, value, "must be no more than 63 bytes"));
        }
        if !text.is_empty() && !is_name_part(text) {
            errors.push(FieldError::invalid(path, value, LABEL_VALUE));
        }
    }
    errors
}

fn annotations(annotations: &Json) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    let mut pairs: Vec<_> = annotations.as_object().into_iter().flatten().collect();
    pairs.sort_by_key(|(key, _)| key.as_str());
    for (key, value) in pairs {
        size += key.len() + value.as_str().map_or(0, str::len);
        let bad = qualified_name(&key.to_lowercase());
        errors.extend(bad.iter().map(|detail| FieldError::invalid("metadata.annotations", &json!(key), detail)));
    }
    if size > ANNOTATIONS {
        errors.push(FieldError::too_long("metadata.annotations", ANNOTATIONS));
    }
    errors
}

fn owners(list: &Json) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controllers: Vec<String> = Vec::new();
    for owner in list.as_array().into_iter().flatten() {
        for key in ["apiVersion", "kind", "name", "uid"] {
            if owner[key].as_str().unwrap_or_default().is_empty() {
                let field = format!("metadata.ownerReferences.{key}");
                let detail = if key == "apiVersion" { "version must not be empty" } else { "must not be empty" };
                errors.push(FieldError::invalid(field, &json!(""), detail));
            }
        }
        if owner["controller"] == true {
            let text = |key: &str| owner[key].as_str().unwrap_or_default().to_owned();
            controllers.push(format!("{}/{}", text("kind"), text("name")));
        }
    }
    if let [first, second, ..] = controllers.as_slice() {
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}"
        );
        errors.push(FieldError::invalid("metadata.ownerReferences", list, &detail));
    }
    errors
}

fn finalizers(object: &Json) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (at, finalizer) in object["metadata"]["finalizers"].as_array().into_iter().flatten().enumerate() {
        let text = finalizer.as_str().unwrap_or_default();
        let field = format!("metadata.finalizers[{at}]");
        let bad = qualified_name(text);
        if !bad.is_empty() {
            errors.extend(bad.iter().map(|detail| FieldError::invalid(&field, finalizer, detail)));
        } else if !text.contains('/') && !matches!(text, "orphan" | "foregroundDeletion" | "kubernetes") {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(field, finalizer, detail));
        }
    }
    errors
}

fn changes(object: &Json, old: &Json) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (new, was) = (&object["metadata"], &old["metadata"]);
    if !was["deletionTimestamp"].is_null() {
        let had = was["finalizers"].as_array().cloned().unwrap_or_default();
        let now = new["finalizers"].as_array().cloned().unwrap_or_default();
        let added: Vec<String> = now.iter().filter(|f| !had.contains(f)).map(Json::to_string).collect();
        if !added.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", &why));
        }
    }
    for key in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if new[key] != was[key] && !new[key].is_null() {
            errors.push(FieldError::invalid(format!("metadata.{key}"), &new[key], "field is immutable"));
        }
    }
    errors
}

/// The complaints about an object's metadata.
pub(crate) fn metadata(resource: &Resource, object: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let meta = &object["metadata"];
    let mut errors = Vec::new();
    match old {
        Some(old) => errors.extend(changes(object, old)),
        None => {
            let name = meta["name"].as_str().unwrap_or_default();
            if name.is_empty() {
                errors.push(FieldError::required("metadata.name", "name or generateName is required"));
            } else {
                errors.extend(name_errors(resource, name));
            }
        }
    }
    let mut shared = labels("metadata.labels", &meta["labels"]);
    shared.extend(annotations(&meta["annotations"]));
    shared.extend(owners(&meta["ownerReferences"]));
    let own = finalizers(object);
    if old.is_some() {
        // The real server checks a change in general and for the kind, each time as an object and as a
        // change, and reports it all.
        let again: Vec<FieldError> =
            errors.iter().chain(&shared).chain(&shared).chain(&shared).chain(&own).cloned().collect();
        errors.extend(again);
    }
    errors.extend(shared);
    errors.extend(own);
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::rules::names::NAME_PART;

    #[test]
    fn names() {
        assert!(is_label("a-b1") && !is_label("A") && !is_label("-a") && !is_label(""));
        assert!(is_subdomain("a.b") && !is_subdomain("a..b") && !is_subdomain("a_b"));
        assert!(qualified_name("example.com/My_name").is_empty());
        assert_eq!(qualified_name("bad key!"), [NAME_PART]);
    }

    #[test]
    fn new_finalizers_on_the_way_out() {
        let old = json!({"metadata": {"deletionTimestamp": "t", "finalizers": ["a/b"]}});
        let new = json!({"metadata": {"deletionTimestamp": "t", "finalizers": ["a/b", "a/c"]}});
        assert_eq!(changes(&new, &old).len(), 1);
        assert!(changes(&old, &old).is_empty());
    }
}
