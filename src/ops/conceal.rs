//! What Secrets hold, taken out of what a stack wants: values that a chart has rendered or a manifest has written.
//!
//! Each becomes a deferred value with a name, as a secret input is: plans, saved plans, state and views hold the name,
//! and apply has the value, from rendering again. Not for what is no Secret: whoever writes a password into a ConfigMap
//! has published it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::resource::hook;
use crate::resource::model::Desired;
use crate::value::{Encoding, Map, Template, Value};

/// The annotation in which kubectl keeps a whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Puts names in place of what the stack's Secrets hold; the values by those names.
pub fn conceal(desired: &mut Desired) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for resource in &mut desired.resources {
        let owner = resource.address.identity();
        let within = match resource.kind {
            hook::OBJECT => None,
            hook::KIND => Some(hook::MANIFEST),
            _ => continue,
        };
        let attrs = &resource.attrs;
        if !within.map_or(Some(&**attrs), |key| attrs.get(key)).is_some_and(is_secret) {
            continue;
        }
        // Only now: whoever shares the attributes of anything else goes on sharing them.
        let manifest = match (within, Arc::make_mut(&mut resource.attrs)) {
            (None, manifest) => Some(manifest),
            (Some(key), Value::Map(attrs)) => attrs.get_mut(key),
            (Some(_), _) => None,
        };
        let Some(Value::Map(secret)) = manifest else { continue };
        let mut hide = |list: &str, held: &mut Map, is_ours: &dyn Fn(&str) -> bool| {
            for (key, value) in held.iter_mut().filter(|(key, _)| is_ours(key)) {
                let Some(text) = value.as_str().filter(|text| !text.is_empty()) else { continue };
                let (plain, encoding) = match list {
                    "data" => match BASE64.decode(text).map(String::from_utf8) {
                        // What is text can be told by its digest however it was encoded.
                        Ok(Ok(plain)) => (plain, Encoding::Base64),
                        // No API server takes what is no base64, and it stays as it is for whoever says so.
                        Ok(Err(_)) | Err(_) => (text.to_owned(), Encoding::Plain),
                    },
                    _ => (text.to_owned(), Encoding::Plain),
                };
                let name = format!("{owner} {list}.{key}");
                *value = Value::from(Template { encoding, ..Template::secret(&name) });
                values.insert(name, plain);
            }
        };
        for list in ["data", "stringData"] {
            if let Some(Value::Map(held)) = secret.get_mut(list) {
                hide(list, held, &|_| true);
            }
        }
        if let Some(Value::Map(metadata)) = secret.get_mut("metadata")
            && let Some(Value::Map(annotations)) = metadata.get_mut("annotations")
        {
            hide("metadata.annotations", annotations, &|key| key == LAST_APPLIED);
        }
    }
    values
}

fn is_secret(manifest: &Value) -> bool {
    let text = |key| manifest.get(key).and_then(Value::as_str);
    (text("apiVersion"), text("kind")) == (Some("v1"), Some("Secret"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::address::ObjectKey;
    use crate::resource::model::Resource;
    use crate::value::{Reference, Scope, is_input};

    struct Values(BTreeMap<String, String>);

    impl Scope for Values {
        fn output(&self, _: &Reference) -> Option<Value> {
            None
        }

        fn secret(&self, name: &str) -> Option<String> {
            self.0.get(name).cloned()
        }
    }

    fn resource(key: &str, kind: &'static str, attrs: Value) -> Resource {
        Resource {
            address: crate::address::Address::object("charts.x", &ObjectKey::parse(key).expect("a key")),
            kind,
            attrs: attrs.into(),
            needs: Vec::new(),
            connection: None,
            ceded: Vec::new(),
            timeout: Duration::from_secs(1),
            estimate: Duration::from_secs(1),
            origin: None,
        }
    }

    #[test]
    fn what_secrets_hold_has_a_name_and_comes_back() {
        let token = Value::from(Template::secret("token"));
        let manifest = Value::from_json(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "s", "annotations": {"a": "b", LAST_APPLIED: "hunter2 in full"}},
            "data": {"text": "aHVudGVyMg==", "bytes": "//79", "none": "", "input": token.to_json()},
            "stringData": {"more": "hunter2"},
        }));
        let config = Value::from_json(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "hunter2"}}));
        let in_hook = Value::Map(Map::from([(hook::MANIFEST.to_owned(), manifest.clone())]));
        let mut desired = Desired {
            resources: vec![
                resource("Secret/n/s", hook::OBJECT, manifest.clone()),
                resource("Secret/n/h", hook::KIND, in_hook.clone()),
                resource("ConfigMap/n/c", hook::OBJECT, config.clone()),
            ],
            ..Desired::default()
        };
        let mut values = conceal(&mut desired);
        assert_eq!(values.len(), 8);
        assert!(!values.keys().any(|name| is_input(name)));
        let shown = desired.resources[..2].iter().map(|r| r.attrs.to_json().to_string()).collect::<String>();
        for leak in ["aHVudGVyMg", "//79", "hunter2"] {
            assert!(!shown.contains(leak), "{shown}");
        }
        assert_eq!(*desired.resources[2].attrs, config);
        values.insert("token".to_owned(), "t".to_owned());
        let scope = Values(values);
        let resolved = |at: usize| desired.resources[at].attrs.resolve(&scope).expect("all values");
        let mut wanted = manifest;
        if let Value::Map(map) = &mut wanted
            && let Some(Value::Map(data)) = map.get_mut("data")
        {
            data.insert("input".to_owned(), "t".into());
        }
        assert_eq!(resolved(0), wanted);
        assert_eq!(resolved(1).get(hook::MANIFEST), Some(&wanted));
        // Nothing is taken twice.
        assert_eq!(conceal(&mut desired), BTreeMap::new());
    }
}
