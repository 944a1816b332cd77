//! The structural schema of one Kubernetes type: what the planner and the API server know about a value.
//!
//! A [`Schema`] is a tree whose branches are [`Link`]s: shared sub-schemas, or built-in types that are
//! parsed when a walk first reaches them (which is also what makes recursive types possible). Nothing here
//! looks at values; `validate`, `default`, `prune`, `fields`, `apply` and `strategic` do.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value as Json};

use super::builtin;
use super::cel::Program;

/// The JSON type that a schema asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Type {
    /// No `type`: anything, or whatever `x-kubernetes-int-or-string` and friends say.
    #[default]
    Any,
    /// A mapping.
    Object,
    /// A sequence.
    Array,
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
}

impl Type {
    /// As OpenAPI writes it; empty for [`Type::Any`].
    pub fn name(self) -> &'static str {
        match self {
            Type::Any => "",
            Type::Object => "object",
            Type::Array => "array",
            Type::String => "string",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Boolean => "boolean",
        }
    }

    /// The inverse of [`Type::name`].
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "" => Type::Any,
            "object" => Type::Object,
            "array" => Type::Array,
            "string" => Type::String,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            _ => return None,
        })
    }
}

/// How the items of a list are told apart when several parties own parts of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// The list is one value.
    #[default]
    Atomic,
    /// A set of scalars.
    Set,
    /// Items are objects identified by these fields.
    Map(Vec<Box<str>>),
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Lists are merged instead of replaced.
    pub merge: bool,
    /// Keys that the patch does not name in `$retainKeys` are dropped.
    pub retain_keys: bool,
    /// The field that identifies an item of a merged list of objects.
    pub key: Option<Box<str>>,
}

/// One declared field of an object.
#[derive(Clone)]
pub struct Property {
    /// Its name.
    pub name: Box<str>,
    /// Its type.
    pub schema: Link,
    /// Its strategic merge; none is to replace lists and merge maps.
    pub patch: Option<Box<Patch>>,
    /// Its value when it is absent.
    pub default: Option<Box<Json>>,
    /// A struct of a built-in type that the API server always writes, be it empty.
    pub inline: bool,
    /// Any other field of a built-in type that the API server writes when it is empty.
    pub always: bool,
}

impl Property {
    /// A property without default or patch strategy.
    pub fn new(name: &str, schema: Link) -> Self {
        Property { name: name.into(), schema, patch: None, default: None, inline: false, always: false }
    }
}

/// What an object may hold besides its declared properties.
#[derive(Clone, Default)]
pub enum Additional {
    /// Nothing is said; see [`Schema::keeps_unknown`].
    #[default]
    Unstated,
    /// `additionalProperties: true`.
    Anything,
    /// Values of this type under any key.
    Of(Link),
}

/// Restrictions that few schemas have.
#[derive(Clone, Default)]
pub struct Limits {
    /// The value must be one of these.
    pub one_of_values: Vec<Json>,
    /// A text must match this somewhere.
    pub pattern: Option<super::pattern::Pattern>,
    /// Lower bound and whether the bound itself is excluded.
    pub minimum: Option<(f64, bool)>,
    /// Upper bound and whether the bound itself is excluded.
    pub maximum: Option<(f64, bool)>,
    /// The value must be a multiple of this.
    pub multiple_of: Option<f64>,
    /// Characters of a text.
    pub min_length: Option<u64>,
    /// Characters of a text.
    pub max_length: Option<u64>,
    /// Items of a list.
    pub min_items: Option<u64>,
    /// Items of a list.
    pub max_items: Option<u64>,
    /// Keys of an object.
    pub min_properties: Option<u64>,
    /// Keys of an object.
    pub max_properties: Option<u64>,
    /// No two items of a list are equal.
    pub unique_items: bool,
    /// All of these hold as well.
    pub all_of: Vec<Arc<Schema>>,
    /// At least one of these holds.
    pub any_of: Vec<Arc<Schema>>,
    /// Exactly one of these holds.
    pub one_of: Vec<Arc<Schema>>,
    /// This does not hold.
    pub not: Option<Arc<Schema>>,
    /// `x-kubernetes-validations`: rules in CEL with their messages.
    pub rules: Vec<Rule>,
}

/// One entry of `x-kubernetes-validations`.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// The expression.
    pub rule: Box<str>,
    /// What the API server says when it is false; may be empty.
    pub message: Box<str>,
    /// An expression that makes the message; may be empty.
    pub message_expression: Box<str>,
    /// `FieldValueInvalid` and others; empty is that.
    pub reason: Box<str>,
    /// Path from the value to the field to blame; may be empty.
    pub field_path: Box<str>,
    pub(super) program: Arc<OnceLock<Option<Program>>>,
    pub(super) message_program: Arc<OnceLock<Option<Program>>>,
}

impl Rule {
    /// The expression parsed at first use; `None` when it uses what is not supported.
    pub fn program(&self) -> Option<&Program> {
        self.program.get_or_init(|| Program::parse(&self.rule)).as_ref()
    }

    /// What to say about a value that breaks the rule.
    pub fn say(&self, value: &Json, old: Option<&Json>) -> String {
        let parsed = || self.message_program.get_or_init(|| Program::parse(&self.message_expression)).as_ref();
        let made =
            (!self.message_expression.is_empty()).then(parsed).flatten().and_then(|program| program.text(value, old));
        match made {
            Some(text) => text,
            None if self.message.is_empty() => format!("failed rule: {}", self.rule),
            None => self.message.to_string(),
        }
    }
}

/// Fills in what a built-in type leaves out; see `default`.
pub type Defaulter = fn(&mut Map<String, Json>);

/// The schema of one value.
#[derive(Clone, Default)]
pub struct Schema {
    /// Name of the built-in type, as `core.v1.Container`; empty for everything else.
    pub name: &'static str,
    /// The JSON type.
    pub kind: Type,
    /// `int32`, `date-time`, `quantity`, …
    pub format: Option<Box<str>>,
    /// Whether `null` is allowed.
    pub nullable: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`: has apiVersion, kind and metadata of its own.
    pub embedded: bool,
    /// `x-kubernetes-list-type` and `-list-map-keys`.
    pub list: ListType,
    /// `x-kubernetes-map-type: atomic`.
    pub atomic: bool,
    /// In order of name.
    pub properties: Vec<Property>,
    /// Other keys.
    pub additional: Additional,
    /// Type of a list's items.
    pub items: Option<Link>,
    /// Names of properties that must be there.
    pub required: Vec<Box<str>>,
    /// Whether anything in this tree has a default; lets defaulting skip the rest.
    pub defaults_below: bool,
    /// Whether anything in this tree has CEL rules.
    pub rules_below: bool,
    /// Computed defaults of built-in types.
    pub defaulter: Option<Defaulter>,
    /// Rarely used restrictions.
    pub limits: Option<Box<Limits>>,
}

impl Schema {
    /// A schema that asks for `kind` and nothing else.
    pub fn of(kind: Type) -> Self {
        Schema { kind, ..Schema::default() }
    }

    /// A schema that accepts anything.
    pub fn anything() -> Self {
        Schema { preserve_unknown: true, ..Schema::default() }
    }

    /// The declared property of that name.
    pub fn property(&self, name: &str) -> Option<&Property> {
        let at = self.properties.binary_search_by(|p| (*p.name).cmp(name)).ok()?;
        self.properties.get(at)
    }

    /// The type of the value under `key`: a declared property or the additional ones; `None` when nothing
    /// is known about it.
    pub fn child(&self, key: &str) -> Option<&Schema> {
        match self.property(key) {
            Some(property) => Some(&property.schema),
            None => match &self.additional {
                Additional::Of(link) => Some(link),
                Additional::Anything | Additional::Unstated => None,
            },
        }
    }

    /// The type of the value at the end of `path`; list items are entered without an index.
    pub fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Schema> {
        path.iter().try_fold(self, |schema, key| {
            let mut schema = schema;
            while let Some(items) = &schema.items {
                schema = items;
            }
            schema.child(key.as_ref())
        })
    }

    /// Whether keys that are not declared survive (and are no mistake).
    pub fn keeps_unknown(&self) -> bool {
        self.preserve_unknown
            || !matches!(self.additional, Additional::Unstated)
            || (self.kind == Type::Any && self.properties.is_empty() && self.items.is_none())
    }

    /// Whether this is a plain scalar of one or more types.
    pub fn is_scalar(&self) -> bool {
        self.int_or_string || matches!(self.kind, Type::String | Type::Integer | Type::Number | Type::Boolean)
    }

    /// Adds or replaces a property, keeping the order.
    pub fn set_property(&mut self, name: &str, schema: Link) {
        match self.properties.binary_search_by(|p| (*p.name).cmp(name)) {
            Ok(at) => self.properties[at].schema = schema,
            Err(at) => self.properties.insert(at, Property::new(name, schema)),
        }
    }

    /// The restrictions, when there are any.
    pub fn limits(&self) -> Option<&Limits> {
        self.limits.as_deref()
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.properties.iter().map(|p| &*p.name).collect();
        f.debug_struct("Schema")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("properties", &names)
            .finish()
    }
}

/// A branch to another schema.
#[derive(Clone)]
pub enum Link {
    /// Shared.
    Shared(Arc<Schema>),
    /// A built-in type, parsed when first followed.
    Builtin(&'static builtin::Entry),
}

impl Deref for Link {
    type Target = Schema;

    fn deref(&self) -> &Schema {
        match self {
            Link::Shared(schema) => schema,
            Link::Builtin(entry) => entry.schema(),
        }
    }
}

impl From<Schema> for Link {
    fn from(schema: Schema) -> Self {
        Link::Shared(Arc::new(schema))
    }
}
