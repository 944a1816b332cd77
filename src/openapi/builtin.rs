//! The built-in kinds: an index over text tables of types, each parsed when a walk first reaches it.
//!
//! The tables under `builtin/` hold facts from Kubernetes' published OpenAPI; defaults that the API server
//! computes in code instead are in `builtin/defaults.rs`. Custom kinds are not here, see `crd`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use serde_json::Value as Json;

use super::schema::{Additional, Link, ListType, Patch, Property, Schema, Type};

mod choices;
mod defaults;

pub use choices::choices;

/// The Kubernetes version that the tables come from.
pub const VERSION: &str = "v1.36.2";

const TABLES: [&str; 7] = [
    include_str!("builtin/meta.txt"),
    include_str!("builtin/core_a_n.txt"),
    include_str!("builtin/core_o_z.txt"),
    include_str!("builtin/apps.txt"),
    include_str!("builtin/batch.txt"),
    include_str!("builtin/apiextensions.txt"),
    include_str!("builtin/other.txt"),
];

/// One type of the tables.
pub struct Entry {
    name: &'static str,
    /// What follows the name on the header line.
    header: &'static str,
    /// The field lines.
    fields: &'static str,
    parsed: OnceLock<Arc<Schema>>,
}

impl Entry {
    /// `core.v1.Container`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The type, parsed at first use.
    pub fn schema(&'static self) -> &'static Arc<Schema> {
        self.parsed.get_or_init(|| Arc::new(parse(self)))
    }
}

struct Index {
    types: BTreeMap<&'static str, Entry>,
    kinds: BTreeMap<(&'static str, &'static str, &'static str), &'static str>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { types: BTreeMap::new(), kinds: BTreeMap::new() };
    for table in TABLES {
        for block in table.split("\n[").skip(1) {
            let (head, fields) = block.split_once('\n').unwrap_or((block, ""));
            let Some((name, header)) = head.split_once(']') else { continue };
            for word in header.split_whitespace() {
                let mut parts = word.split('/');
                if let (Some(group), Some(version), Some(kind)) = (parts.next(), parts.next(), parts.next()) {
                    index.kinds.insert((group, version, kind), name);
                }
            }
            index.types.insert(name, Entry { name, header, fields, parsed: OnceLock::new() });
        }
    }
    index
});

/// The schema of a built-in kind; `group` is empty for the core group.
pub fn schema(group: &str, version: &str, kind: &str) -> Option<Arc<Schema>> {
    // The map's key type wants 'static strings to compare with, so look the kind up by range instead.
    let (_, name) = INDEX.kinds.iter().find(|((g, v, k), _)| (*g, *v, *k) == (group, version, kind))?;
    Some(INDEX.types.get(name)?.schema().clone())
}

/// All built-in kinds as (group, version, kind), in order.
pub fn kinds() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    INDEX.kinds.keys().copied()
}

/// Whether objects of a built-in kind live in namespaces; `None` when the kind is not in the tables.
pub fn is_namespaced(group: &str, kind: &str) -> Option<bool> {
    INDEX.kinds.keys().any(|(g, _, k)| (*g, *k) == (group, kind)).then(|| !is_cluster_scoped(group, kind))
}

fn is_cluster_scoped(group: &str, kind: &str) -> bool {
    match group {
        "" => matches!(kind, "Namespace" | "Node" | "PersistentVolume" | "ComponentStatus"),
        "rbac.authorization.k8s.io" => kind.starts_with("ClusterRole"),
        "networking.k8s.io" => matches!(kind, "IngressClass" | "IPAddress" | "ServiceCIDR"),
        "storage.k8s.io" => kind != "CSIStorageCapacity",
        "resource.k8s.io" => !kind.starts_with("ResourceClaim"),
        "authentication.k8s.io" => true,
        "authorization.k8s.io" => kind != "LocalSubjectAccessReview",
        "admissionregistration.k8s.io"
        | "apiextensions.k8s.io"
        | "apiregistration.k8s.io"
        | "certificates.k8s.io"
        | "flowcontrol.apiserver.k8s.io"
        | "node.k8s.io"
        | "scheduling.k8s.io" => true,
        _ => false,
    }
}

/// A type of the tables by name, as `meta.v1.ObjectMeta`.
pub fn named(name: &str) -> Option<&'static Entry> {
    INDEX.types.get(name)
}

/// The type of `metadata`.
pub fn object_meta() -> Link {
    scalar_or_type("meta.v1.ObjectMeta")
}

/// The zero of a scalar type.
pub(super) fn zero(schema: &Schema) -> Option<Json> {
    Some(match schema.kind {
        Type::String if schema.format.as_deref() != Some("date-time") => Json::from(""),
        Type::Integer | Type::Number => Json::from(0),
        Type::Boolean => Json::from(false),
        _ => return None,
    })
}

/// Whether an object of that type can get defaults. `metadata` never does, which spares custom objects a walk.
pub(super) fn has_defaults(name: &str) -> bool {
    name != "meta.v1.ObjectMeta"
}

fn parse(entry: &'static Entry) -> Schema {
    let mut schema = Schema { name: entry.name, kind: Type::Object, ..Schema::default() };
    let mut words = entry.header.split_whitespace().peekable();
    if words.next_if_eq(&"=").is_some() {
        words.next();
        schema.kind = Type::Any;
        schema.preserve_unknown = true;
    }
    schema.atomic = words.any(|word| word == "atomic");
    for line in entry.fields.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.splitn(3, ' ');
        let (name, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or("any"));
        let required = name.starts_with('!');
        let name = name.trim_start_matches('!');
        if required {
            schema.required.push(name.into());
        }
        schema.properties.push(field(name, kind, words.next().unwrap_or_default()));
    }
    if entry.name == "apiextensions.v1.JSONSchemaProps" {
        recursive_json_schema(&mut schema);
    }
    schema.properties.sort_by(|a, b| a.name.cmp(&b.name));
    for (field, value) in defaults::constants(entry.name) {
        if let Ok(at) = schema.properties.binary_search_by(|p| (*p.name).cmp(field)) {
            schema.properties[at].default = serde_json::from_str(value).ok().map(Box::new);
        }
    }
    // Statuses and events are written by programs that leave zeros out; the API server puts them back. In
    // what users write, a zero would hide that a required field is missing.
    let told = ["core.v1.NodeSystemInfo", "core.v1.DaemonEndpoint"];
    if entry.name.ends_with("Status") || entry.name.ends_with(".Event") || told.contains(&entry.name) {
        for property in &mut schema.properties {
            if property.always && property.default.is_none() {
                property.default = Some(Box::new(zero(&property.schema).unwrap_or_default()));
            }
        }
    }
    schema.defaulter = defaults::computed(entry.name);
    schema.defaults_below = has_defaults(entry.name);
    schema
}

fn field(name: &str, kind: &str, flags: &str) -> Property {
    let mut property = Property::new(name, link(kind));
    let mut patch = Patch::default();
    // A default's JSON may hold spaces, so it comes last and takes the rest of the line.
    let (flags, default) = match flags.split_once("default=") {
        Some((flags, default)) => (flags, serde_json::from_str::<Json>(default).ok()),
        None => (flags, None),
    };
    let mut list = ListType::Atomic;
    let mut atomic = false;
    for flag in flags.split_whitespace() {
        match flag.split_once('=') {
            Some(("map", keys)) => list = ListType::Map(keys.split(',').map(Into::into).collect()),
            Some(("patch", strategies)) => {
                for strategy in strategies.split(',') {
                    patch.merge |= strategy == "merge";
                    patch.retain_keys |= strategy == "retainKeys";
                }
            }
            Some(("key", key)) => patch.key = Some(key.into()),
            None if flag == "set" => list = ListType::Set,
            None if flag == "atomic" => atomic = true,
            None if flag == "inline" => property.inline = true,
            None if flag == "always" => property.always = true,
            _ => {}
        }
    }
    property.patch = (patch != Patch::default()).then(|| Box::new(patch));
    property.default = default.or_else(|| property.inline.then(|| Json::Object(serde_json::Map::new()))).map(Box::new);
    if (list != ListType::Atomic || atomic)
        && let Link::Shared(shared) = &mut property.schema
    {
        let own = Arc::make_mut(shared);
        own.list = list;
        own.atomic = atomic;
    }
    property
}

/// A type as the tables write it: `[]core.v1.Container`, `{}quantity`, `string`.
fn link(text: &str) -> Link {
    if let Some(items) = text.strip_prefix("[]") {
        let items = link(items);
        let defaults_below = holds_defaults(&items);
        return Schema { items: Some(items), defaults_below, ..Schema::of(Type::Array) }.into();
    }
    if let Some(text) = text.strip_prefix("{}") {
        let values = link(text);
        let defaults_below = holds_defaults(&values);
        let texts = text == "string";
        return Schema {
            additional: Additional::Of(values),
            defaults_below: defaults_below || texts,
            defaulter: texts.then_some(defaults::empty_texts),
            ..Schema::of(Type::Object)
        }
        .into();
    }
    scalar_or_type(text)
}

/// Types of the tables are assumed to, because asking would parse them.
fn holds_defaults(link: &Link) -> bool {
    match link {
        Link::Builtin(entry) => has_defaults(entry.name),
        Link::Shared(schema) => schema.defaults_below,
    }
}

fn scalar_or_type(text: &str) -> Link {
    if let Some(entry) = named(text) {
        return Link::Builtin(entry);
    }
    static SCALARS: LazyLock<BTreeMap<&'static str, Link>> = LazyLock::new(|| {
        let formatted = |kind, format: &str| Schema { format: Some(format.into()), ..Schema::of(kind) };
        let choice = |format: &str| Schema { int_or_string: true, format: Some(format.into()), ..Schema::default() };
        [
            ("string", Schema::of(Type::String)),
            ("boolean", Schema::of(Type::Boolean)),
            ("integer", Schema::of(Type::Integer)),
            ("number", Schema::of(Type::Number)),
            ("int32", formatted(Type::Integer, "int32")),
            ("int64", formatted(Type::Integer, "int64")),
            ("bytes", formatted(Type::String, "byte")),
            ("time", Schema { nullable: true, ..formatted(Type::String, "date-time") }),
            ("microtime", Schema { nullable: true, ..formatted(Type::String, "date-time") }),
            ("intstr", choice("int-or-string")),
            ("quantity", choice("quantity")),
            ("object", Schema { preserve_unknown: true, ..Schema::of(Type::Object) }),
            ("raw", Schema { atomic: true, ..Schema::anything() }),
        ]
        .into_iter()
        .map(|(name, schema)| (name, Link::from(schema)))
        .collect()
    });
    SCALARS.get(text).cloned().unwrap_or_else(|| Schema::anything().into())
}

/// The published OpenAPI says "any" where a schema contains schemas (`items`, `additionalProperties`, the
/// branches of a dependency) because it may also be a boolean or a list; the API server decodes a schema.
fn recursive_json_schema(schema: &mut Schema) {
    let Some(this) = named("apiextensions.v1.JSONSchemaProps") else { return };
    for property in &mut schema.properties {
        if &*property.name == "items" {
            property.schema = Link::Builtin(this);
        }
    }
}

#[cfg(test)]
mod tests;
