//! YAML texts as Kubernetes objects: several documents, lists taken apart, empty ones left out.

use crate::address::ObjectKey;
use crate::value::Value;

/// The objects of a text.
///
/// # Errors
/// Why it is not YAML, or which document is no Kubernetes object.
pub fn parse(text: &str) -> Result<Vec<Value>, String> {
    // What is read is at most in proportion to what was written, however many objects that is.
    let most = text.len().max(1_000);
    let options = serde_saphyr::options! {
        // What stands around a mistake may be what a Secret holds.
        with_snippet: !text.contains("Secret"),
        budget: serde_saphyr::budget! {
            max_documents: most,
            max_nodes: most,
            max_events: most.saturating_mul(2),
        },
    };
    let documents = serde_saphyr::from_multiple_with_options::<serde_json::Value>(text, options);
    let documents = documents.map_err(|error| error.to_string())?;
    let mut objects = Vec::with_capacity(documents.len());
    for (at, document) in documents.iter().enumerate().filter(|(_, document)| !document.is_null()) {
        collect(&Value::from_plain_json(document), &mut objects)
            .map_err(|what| format!("document {}: {what}", at + 1))?;
    }
    Ok(objects)
}

fn collect(document: &Value, objects: &mut Vec<Value>) -> Result<(), String> {
    if let (Some(kind), Some(items)) = (text(document, &["kind"]), document.get("items").and_then(Value::as_list))
        && kind.ends_with("List")
    {
        return items.iter().try_for_each(|item| collect(item, objects));
    }
    for (path, what) in
        [(&["apiVersion"][..], "apiVersion"), (&["kind"], "kind"), (&["metadata", "name"], "metadata.name")]
    {
        if text(document, path).is_none_or(str::is_empty) {
            return Err(format!("{what} is missing"));
        }
    }
    objects.push(document.clone());
    Ok(())
}

/// The identity of an object.
pub fn key(manifest: &Value) -> ObjectKey {
    let api_version = text(manifest, &["apiVersion"]).unwrap_or_default();
    ObjectKey {
        group: api_version.split_once('/').map_or("", |(group, _)| group).to_owned(),
        kind: text(manifest, &["kind"]).unwrap_or_default().to_owned(),
        namespace: text(manifest, &["metadata", "namespace"]).map(str::to_owned),
        name: text(manifest, &["metadata", "name"]).unwrap_or_default().to_owned(),
    }
}

/// The text at `path`.
pub fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    value.at(path)?.as_str()
}

/// Puts `new` at `path`, making maps on the way; anything else on the way is replaced by a map.
pub fn set(value: &mut Value, path: &[&str], new: Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if !matches!(value, Value::Map(_)) {
        *value = Value::map();
    }
    if let Value::Map(map) = value {
        set(map.entry((*first).to_owned()).or_default(), rest, new);
    }
}

/// Whether objects of the built-in kind live outside namespaces.
pub fn is_cluster_scoped(group: &str, kind: &str) -> bool {
    match group {
        "" => matches!(kind, "Namespace" | "Node" | "PersistentVolume" | "ComponentStatus"),
        "rbac.authorization.k8s.io" => kind.starts_with("ClusterRole"),
        "apiextensions.k8s.io"
        | "admissionregistration.k8s.io"
        | "apiregistration.k8s.io"
        | "node.k8s.io"
        | "scheduling.k8s.io"
        | "flowcontrol.apiserver.k8s.io" => true,
        "storage.k8s.io" => kind != "CSIStorageCapacity",
        "networking.k8s.io" => kind == "IngressClass",
        "certificates.k8s.io" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_lists_and_mistakes() {
        let text = "---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: a}}\n\
                    ---\napiVersion: apps/v1\nkind: B\nmetadata: {name: b, namespace: c}\n";
        let keys = parse(text).expect("good").iter().map(|o| key(o).to_string()).collect::<Vec<_>>();
        assert_eq!(keys, ["A/a", "B.apps/c/b"]);
        assert!(parse("apiVersion: v1\nkind: A\n").expect_err("no name").contains("metadata.name"));
        assert!(parse("a: [").is_err());
        // Whoever wrote a manifest cannot ask for a secret input in it.
        let hostile = "apiVersion: v1\nkind: A\nmetadata: {name: a}\nx: {$deferred: [{secret: hf_token}]}\n";
        assert!(parse(hostile).expect("good")[0].is_known());
    }

    #[test]
    fn many_objects_are_read_and_a_bomb_is_not() {
        let many = (0..5_000).map(|n| format!("---\napiVersion: v1\nkind: A\nmetadata: {{name: a{n}}}\n"));
        assert_eq!(parse(&many.collect::<String>()).expect("good").len(), 5_000);
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let item = format!("*a{}, ", n - 1).repeat(10);
            bomb.push_str(&format!("a{n}: &a{n} [{item}]\n"));
        }
        parse(&bomb).expect_err("too much");
    }

    #[test]
    fn set_makes_the_way() {
        let mut value = Value::from("x");
        set(&mut value, &["a", "b"], Value::Int(1));
        assert_eq!(value.at(&["a", "b"]), Some(&Value::Int(1)));
    }
}
