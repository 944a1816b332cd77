//! The OpenAPI documents, from the same schemas that objects are checked with.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha512};

use super::registry::{Registry, Resource};
use super::server::ApiServer;
use crate::openapi::schema::{Additional, Link, ListType};
use crate::openapi::{Schema, Type};

/// Named types that a document defines.
type Definitions = BTreeMap<String, Json>;

/// `io.k8s.api.core.v1.Pod` for `core.v1.Pod`.
fn public_name(name: &str) -> String {
    match name.split_once('.') {
        Some(("meta", rest)) => format!("io.k8s.apimachinery.pkg.apis.meta.{rest}"),
        Some(("apiextensions", rest)) => {
            format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{rest}")
        }
        Some(("apiregistration", rest)) => format!("io.k8s.kube-aggregator.pkg.apis.apiregistration.{rest}"),
        _ => format!("io.k8s.api.{name}"),
    }
}

struct Writer {
    definitions: Definitions,
    /// `#/components/schemas/` or `#/definitions/`.
    prefix: &'static str,
    /// What is written now is a CRD's.
    custom: bool,
}

impl Writer {
    fn link(&mut self, link: &Link) -> Json {
        match link {
            Link::Builtin(entry) => {
                // A CRD's metadata is every kind's.
                let custom = std::mem::take(&mut self.custom);
                let reference = self.reference(entry.schema());
                self.custom = custom;
                reference
            }
            Link::Shared(schema) => self.inline(schema),
        }
    }

    fn reference(&mut self, schema: &Schema) -> Json {
        let name = public_name(schema.name);
        if !self.definitions.contains_key(&name) {
            // Stands in while the type, which may contain itself, is being written.
            self.definitions.insert(name.clone(), Json::Null);
            let body = self.body(schema);
            self.definitions.insert(name.clone(), body);
        }
        json!({"$ref": format!("{}{name}", self.prefix)})
    }

    /// Types of built-in kinds that are neither text nor number have a name of their own.
    fn either(&mut self, schema: &Schema) -> Option<Json> {
        let (name, format) = match (self.custom, schema.int_or_string, schema.format.as_deref()) {
            (false, true, _) => ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", Some("int-or-string")),
            (false, _, Some("quantity")) => ("io.k8s.apimachinery.pkg.api.resource.Quantity", None),
            _ => return None,
        };
        let mut definition = match (self.prefix == V3, format) {
            (true, Some(_)) => json!({"oneOf": [{"type": "integer"}, {"type": "string"}]}),
            (true, None) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            (false, _) => json!({"type": "string"}),
        };
        if let Some(format) = format {
            definition["format"] = json!(format);
        }
        self.definitions.entry(name.to_owned()).or_insert(definition);
        Some(json!({"$ref": format!("{}{name}", self.prefix)}))
    }

    fn inline(&mut self, schema: &Schema) -> Json {
        if let Some(named) = self.either(schema) {
            return named;
        }
        if schema.name.is_empty() { self.body(schema) } else { self.reference(schema) }
    }

    fn body(&mut self, schema: &Schema) -> Json {
        let mut out = Map::new();
        if schema.kind != Type::Any {
            out.insert("type".to_owned(), json!(schema.kind.name()));
        }
        if let Some(format) = &schema.format {
            out.insert("format".to_owned(), json!(format));
        }
        if schema.int_or_string {
            out.insert("x-kubernetes-int-or-string".to_owned(), json!(true));
        }
        if schema.preserve_unknown {
            out.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
        }
        match &schema.list {
            ListType::Map(keys) => {
                out.insert("x-kubernetes-list-type".to_owned(), json!("map"));
                let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
                out.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
            }
            ListType::Set => {
                out.insert("x-kubernetes-list-type".to_owned(), json!("set"));
            }
            ListType::Atomic => {}
        }
        if let Some(items) = &schema.items {
            out.insert("items".to_owned(), self.link(items));
        }
        match &schema.additional {
            Additional::Of(values) => {
                out.insert("additionalProperties".to_owned(), self.link(values));
            }
            Additional::Anything => {
                out.insert("additionalProperties".to_owned(), json!(true));
            }
            Additional::Unstated => {}
        }
        if !schema.required.is_empty() {
            let required: Vec<&str> = schema.required.iter().map(|name| &**name).collect();
            out.insert("required".to_owned(), json!(required));
        }
        let mut properties = Map::new();
        for property in &schema.properties {
            let mut value = self.link(&property.schema);
            if let Some(patch) = &property.patch
                && (patch.merge || patch.retain_keys)
                && let Some(map) = value.as_object_mut()
            {
                let strategies = [(patch.merge, "merge"), (patch.retain_keys, "retainKeys")];
                let words: Vec<&str> = strategies.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
                map.insert("x-kubernetes-patch-strategy".to_owned(), json!(words.join(",")));
                if let Some(key) = &patch.key {
                    map.insert("x-kubernetes-patch-merge-key".to_owned(), json!(key));
                }
            }
            properties.insert(property.name.to_string(), value);
        }
        if !properties.is_empty() {
            out.insert("properties".to_owned(), Json::Object(properties));
        }
        Json::Object(out)
    }
}

fn kind_name(resource: &Resource) -> String {
    let reversed: Vec<&str> = resource.group.split('.').rev().collect();
    format!("{}.{}.{}", reversed.join("."), resource.version, resource.kind)
}

fn path_of(resource: &Resource) -> String {
    let base = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let namespace = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    format!("{base}{namespace}/{}/{{name}}", resource.plural)
}

const V3: &str = "#/components/schemas/";

/// Documents a custom resource by what its definition says, descriptions and all; metadata is every kind's.
fn in_its_own_words(resource: &Resource, body: &mut Json) {
    let Some(given) = resource.crd_version().map(|version| &version["schema"]["openAPIV3Schema"]) else { return };
    let mut own = given.clone();
    if !own.is_object() {
        return;
    }
    for (key, words) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        own["properties"][key] = json!({"type": "string", "description": words});
    }
    let mut metadata = body["properties"]["metadata"].clone();
    let reference = metadata.as_object_mut().and_then(|metadata| metadata.shift_remove("$ref"));
    if let Some(reference) = reference {
        own["properties"]["metadata"] = json!({
            "description": "Standard object's metadata. More info: \
                            https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
            "allOf": [{"$ref": reference}],
        });
    } else {
        own["properties"]["metadata"] = body["properties"]["metadata"].clone();
    }
    *body = own;
}

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should \
                           convert recognized schemas to the latest internal value, and may reject unrecognized \
                           values. More info: \
                           https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer \
                    this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
                    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// Types and paths of some resources.
fn write(server: &ApiServer, resources: &[&Resource], prefix: &'static str) -> (Definitions, Map<String, Json>) {
    let mut writer = Writer { definitions: Definitions::new(), prefix, custom: false };
    let mut paths = Map::new();
    for resource in resources {
        let Some(schema) = server.schema(resource) else { continue };
        let name = if schema.name.is_empty() {
            let name = kind_name(resource);
            writer.custom = true;
            let mut body = writer.body(&schema);
            writer.custom = false;
            if writer.prefix == V3 {
                in_its_own_words(resource, &mut body);
            }
            writer.definitions.insert(name.clone(), body);
            name
        } else {
            writer.reference(&schema);
            public_name(schema.name)
        };
        let gvk = json!([{"group": resource.group, "kind": resource.kind, "version": resource.version}]);
        if let Some(definition) = writer.definitions.get_mut(&name) {
            definition["x-kubernetes-group-version-kind"] = gvk.clone();
        }
        let mut operations = Map::new();
        for (verb, method, action) in [
            ("get", "get", "get"),
            ("update", "put", "put"),
            ("patch", "patch", "patch"),
            ("delete", "delete", "delete"),
        ] {
            if resource.allows(verb) {
                let parameters = ["dryRun", "fieldManager", "fieldValidation", "force"];
                let parameters: Vec<Json> = parameters
                    .iter()
                    .filter(|_| verb == "patch")
                    .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
                    .collect();
                operations.insert(
                    method.to_owned(),
                    json!({
                        "parameters": parameters,
                        "responses": {"200": {"description": "OK"}},
                        "x-kubernetes-action": action,
                        "x-kubernetes-group-version-kind": gvk[0],
                    }),
                );
            }
        }
        paths.insert(path_of(resource), Json::Object(operations));
    }
    (writer.definitions, paths)
}

/// `/openapi/v2`.
pub(crate) fn v2(server: &ApiServer) -> Json {
    let registry = server.registry();
    let resources: Vec<&Resource> = registry.all().iter().map(|r| &**r).collect();
    let (definitions, paths) = write(server, &resources, "#/definitions/");
    json!({
        "swagger": "2.0", "info": {"title": "Kubernetes", "version": server.version},
        "paths": paths, "definitions": definitions,
    })
}

fn document_name(resource: &Resource) -> String {
    if resource.group.is_empty() {
        format!("api/{}", resource.version)
    } else {
        format!("apis/{}/{}", resource.group, resource.version)
    }
}

/// `/openapi/v3`.
pub(crate) fn v3_root(registry: &Registry) -> Json {
    let mut paths = Map::new();
    for resource in registry.all() {
        let name = document_name(resource);
        if !paths.contains_key(&name) {
            // The hash names the content, which changes with the CRDs of the group version.
            let of = |r: &&std::sync::Arc<Resource>| document_name(r) == name;
            let revisions: Vec<u64> = registry
                .all()
                .iter()
                .filter(of)
                .filter_map(|r| r.custom.as_deref().map(super::store::revision_of))
                .collect();
            let digest = Sha512::digest(format!("{name}{revisions:?}"));
            let hex: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
            paths.insert(name.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{name}?hash={hex}")}));
        }
    }
    json!({"paths": paths})
}

/// `/openapi/v3/<name>`.
pub(crate) fn v3(server: &ApiServer, name: &str) -> Option<Json> {
    let registry = server.registry();
    let resources: Vec<&Resource> = registry.all().iter().filter(|r| document_name(r) == name).map(|r| &**r).collect();
    if resources.is_empty() {
        return None;
    }
    let (schemas, paths) = write(server, &resources, V3);
    Some(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": server.version},
        "paths": paths, "components": {"schemas": schemas},
    }))
}
