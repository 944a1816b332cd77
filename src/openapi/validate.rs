//! Checking a value against a schema, in the API server's words.
//!
//! Wording and reasons are those of Kubernetes 1.36 for custom resources. Built-in types are checked the
//! same way; what the API server checks in code beyond its OpenAPI (names, selectors, immutability) is not
//! here. Of CEL rules those are evaluated that `cel` supports.

use std::fmt;

use serde_json::Value as Json;

use super::builtin;
use super::cel::Outcome;
use super::schema::{Additional, Limits, ListType, Schema, Type};

mod format;

pub use format::is_date_time;

/// Why a field is refused; `Status.details.causes[].reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// `FieldValueRequired`
    Required,
    /// `FieldValueInvalid`
    Invalid,
    /// `FieldValueTypeInvalid`
    TypeInvalid,
    /// `FieldValueNotSupported`
    NotSupported,
    /// `FieldValueDuplicate`
    Duplicate,
    /// `FieldValueForbidden`
    Forbidden,
    /// `FieldValueTooLong`
    TooLong,
    /// `FieldValueTooMany`
    TooMany,
    /// `FieldValueNotFound`
    NotFound,
}

impl Reason {
    /// As in `causes[].reason`.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Required => "FieldValueRequired",
            Reason::Invalid => "FieldValueInvalid",
            Reason::TypeInvalid => "FieldValueTypeInvalid",
            Reason::NotSupported => "FieldValueNotSupported",
            Reason::Duplicate => "FieldValueDuplicate",
            Reason::Forbidden => "FieldValueForbidden",
            Reason::TooLong => "FieldValueTooLong",
            Reason::TooMany => "FieldValueTooMany",
            Reason::NotFound => "FieldValueNotFound",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Reason::Required => "Required value",
            Reason::Invalid | Reason::TypeInvalid => "Invalid value",
            Reason::NotSupported => "Unsupported value",
            Reason::Duplicate => "Duplicate value",
            Reason::Forbidden => "Forbidden",
            Reason::TooLong => "Too long",
            Reason::TooMany => "Too many",
            Reason::NotFound => "Not found",
        }
    }
}

/// One mistake in one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// `spec.containers[0].name`; `<nil>` when the API server names no field.
    pub path: String,
    /// The kind of mistake.
    pub reason: Reason,
    /// The value, as the message shows it; `None` when the message shows none.
    pub value: Option<Json>,
    /// What follows; may be empty.
    pub detail: String,
}

impl FieldError {
    /// `Required value: …`
    pub fn required(path: impl Into<String>, detail: impl Into<String>) -> Self {
        FieldError { path: path.into(), reason: Reason::Required, value: None, detail: detail.into() }
    }

    /// `Forbidden: …`
    pub fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> Self {
        FieldError { path: path.into(), reason: Reason::Forbidden, value: None, detail: detail.into() }
    }

    /// `Invalid value: <value>: …`
    pub fn invalid(path: impl Into<String>, value: impl Into<Json>, detail: impl Into<String>) -> Self {
        FieldError { path: path.into(), reason: Reason::Invalid, value: Some(value.into()), detail: detail.into() }
    }

    /// `Unsupported value: <value>: supported values: …`
    pub fn not_supported<'a>(
        path: impl Into<String>,
        value: impl Into<Json>,
        supported: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let supported: Vec<String> = supported.into_iter().map(|text| format!("{text:?}")).collect();
        FieldError {
            path: path.into(),
            reason: Reason::NotSupported,
            value: Some(value.into()),
            detail: format!("supported values: {}", supported.join(", ")),
        }
    }

    /// `Duplicate value: <value>`
    pub fn duplicate(path: impl Into<String>, value: impl Into<Json>) -> Self {
        let value = Some(value.into());
        FieldError { path: path.into(), reason: Reason::Duplicate, value, detail: String::new() }
    }

    /// `Not found: <value>`
    pub fn not_found(path: impl Into<String>, value: impl Into<Json>) -> Self {
        FieldError { path: path.into(), reason: Reason::NotFound, value: Some(value.into()), detail: String::new() }
    }

    /// `Too long: may not be more than <most> bytes`
    pub fn too_long(path: impl Into<String>, most: usize) -> Self {
        let detail = format!("may not be more than {most} bytes");
        FieldError { path: path.into(), reason: Reason::TooLong, value: None, detail }
    }

    /// The message of a cause, without the field.
    pub fn message(&self) -> String {
        let mut text = self.reason.words().to_owned();
        match &self.value {
            Some(Json::String(value)) => text += &format!(": {}", quote(value)),
            Some(value) => text += &format!(": {value}"),
            None => {}
        }
        if !self.detail.is_empty() {
            text += ": ";
            text += &self.detail;
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message())
    }
}

impl std::error::Error for FieldError {}

/// Quoted as Go's `%q` does for ordinary text.
pub fn quote(text: &str) -> String {
    Json::from(text).to_string()
}

/// Everything wrong with `value`, in order of the schema's properties. Clones nothing but offending values.
pub fn validate(schema: &Schema, value: &Json) -> Vec<FieldError> {
    validate_under("", schema, None, value)
}

/// Everything wrong with `new` that was not in `old` already: a custom object that no longer fits its
/// tightened schema can still be changed elsewhere, as the API server allows.
pub fn validate_update(schema: &Schema, old: &Json, new: &Json) -> Vec<FieldError> {
    validate_under("", schema, Some(old), new)
}

/// Like [`validate`] for a value of a plan in its JSON form: what is known only at apply fits everywhere.
pub fn validate_planned(schema: &Schema, value: &Json) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new(), path: String::new(), planned: true };
    walk.value(schema, None, value);
    walk.identities(schema, value);
    if walk.errors.is_empty() && schema.rules_below {
        walk.rules(schema, None, value);
    }
    walk.errors
}

/// Whether the JSON form of a plan's value stands for something that is known only at apply.
pub fn is_deferred(value: &Json) -> bool {
    value.as_object().is_some_and(|object| object.len() == 1 && object.contains_key("$deferred"))
}

fn holds_deferred(value: &Json) -> bool {
    match value {
        Json::Object(object) => is_deferred(value) || object.values().any(holds_deferred),
        Json::Array(items) => items.iter().any(holds_deferred),
        _ => false,
    }
}

/// Like [`validate`] and [`validate_update`], for a part of an object: `path` is put before the fields' names but not into the
/// sentences, as the API server does for the status subresource.
pub fn validate_under(path: &str, schema: &Schema, old: Option<&Json>, value: &Json) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new(), path: String::new(), planned: false };
    walk.value(schema, old, value);
    walk.identities(schema, value);
    let blocked = walk.errors.iter().any(|error| {
        matches!(
            error.reason,
            Reason::NotSupported | Reason::Required | Reason::TooLong | Reason::TooMany | Reason::TypeInvalid
        )
    });
    if blocked && schema.rules_below {
        walk.errors.push(FieldError::invalid(
            "<nil>",
            Json::Null,
            "some validation rules were not checked because the object was invalid; correct the existing errors to \
             complete validation",
        ));
    } else if schema.rules_below {
        walk.rules(schema, old, value);
    }
    if !path.is_empty() {
        for error in &mut walk.errors {
            if error.path == "<nil>" {
                continue;
            }
            let joint = if error.path.is_empty() || error.path.starts_with('[') { "" } else { "." };
            error.path = format!("{path}{joint}{}", error.path);
        }
    }
    walk.errors
}

struct Walk {
    errors: Vec<FieldError>,
    path: String,
    planned: bool,
}

impl Walk {
    /// `old` is the value before an update, where it can be told; what did not change is not judged.
    fn value(&mut self, schema: &Schema, old: Option<&Json>, value: &Json) {
        if old == Some(value) || self.planned && is_deferred(value) {
            return;
        }
        if value.is_null() {
            if !(schema.nullable || schema.kind == Type::Any && !schema.int_or_string) {
                self.wrong_type(schema, "null");
            }
            return;
        }
        if !self.has_type(schema, value) {
            return;
        }
        if let Some(limits) = schema.limits() {
            self.limits(limits, value);
        }
        match value {
            Json::Object(object) => self.object(schema, old.and_then(Json::as_object), object),
            Json::Array(items) => {
                if let Some(below) = &schema.items {
                    for (index, item) in items.iter().enumerate() {
                        let length = self.path.len();
                        self.path += &format!("[{index}]");
                        self.value(below, counterpart(&schema.list, old, item), item);
                        self.path.truncate(length);
                    }
                }
            }
            _ => {}
        }
    }

    fn object(
        &mut self,
        schema: &Schema,
        old: Option<&serde_json::Map<String, Json>>,
        object: &serde_json::Map<String, Json>,
    ) {
        let before = |key: &str| old.and_then(|old| old.get(key));
        for name in &schema.required {
            if object.get(&**name).is_none() && must_be_given(schema, name) {
                let length = self.enter(name);
                self.errors.push(FieldError::required(self.path.clone(), ""));
                self.path.truncate(length);
            }
        }
        for property in &schema.properties {
            if let Some(child) = object.get(&*property.name) {
                // The typed objects of built-in kinds take null for "not set" everywhere.
                if child.is_null() && !schema.name.is_empty() {
                    continue;
                }
                let length = self.enter(&property.name);
                self.value(&property.schema, before(&property.name), child);
                self.path.truncate(length);
            }
        }
        if let Additional::Of(below) = &schema.additional {
            for (key, child) in object {
                if schema.property(key).is_none() {
                    let length = self.path.len();
                    self.path.push('.');
                    self.path.push_str(key);
                    self.value(below, before(key), child);
                    self.path.truncate(length);
                }
            }
        }
        if schema.embedded
            && let Some(metadata) = object.get("metadata").filter(|m| m.is_object())
            && schema.property("metadata").is_none()
        {
            let length = self.enter("metadata");
            self.value(&builtin::object_meta(), before("metadata"), metadata);
            self.path.truncate(length);
        }
    }

    fn has_type(&mut self, schema: &Schema, value: &Json) -> bool {
        let fits = if schema.int_or_string {
            match schema.format.as_deref() {
                Some("quantity") => value.is_number() || value.is_string(),
                _ => value.is_string() || is_integer(value),
            }
        } else {
            match schema.kind {
                Type::Any => true,
                Type::Object => value.is_object(),
                Type::Array => value.is_array(),
                Type::String => value.is_string(),
                Type::Integer => is_integer(value),
                Type::Number => value.is_number(),
                Type::Boolean => value.is_boolean(),
            }
        };
        if !fits {
            self.wrong_type(schema, type_of(value));
            return false;
        }
        if let Some(format) = schema.format.as_deref()
            && !format::holds(format, value)
        {
            if value.is_string() {
                let detail = format!(
                    "{} must be of type {format}: {}",
                    self.subject(),
                    quote(value.as_str().unwrap_or_default())
                );
                self.add(Reason::TypeInvalid, value.clone(), detail);
            } else {
                let detail = format!(
                    "Checked value must be of type {} with format {format} in {}",
                    schema.kind.name(),
                    self.path
                );
                self.add(Reason::Invalid, value.clone(), detail);
            }
            return false;
        }
        true
    }

    fn wrong_type(&mut self, schema: &Schema, actual: &str) {
        let wanted = if schema.int_or_string { "integer,string" } else { schema.kind.name() };
        let detail = format!("{} must be of type {wanted}: {}", self.subject(), quote(actual));
        self.add(Reason::TypeInvalid, actual.into(), detail);
    }

    fn limits(&mut self, limits: &Limits, value: &Json) {
        if !limits.one_of_values.is_empty() && !limits.one_of_values.iter().any(|allowed| same(allowed, value)) {
            let supported: Vec<String> = limits
                .one_of_values
                .iter()
                .map(|allowed| allowed.as_str().map_or_else(|| allowed.to_string(), str::to_owned))
                .collect();
            let supported = supported.iter().map(String::as_str);
            self.errors.push(FieldError::not_supported(self.path.clone(), value.clone(), supported));
        }
        match value {
            Json::String(text) => self.text_limits(limits, text),
            Json::Number(number) => self.number_limits(limits, value, number.as_f64().unwrap_or_default()),
            Json::Array(items) => {
                let count = items.len() as u64;
                if let Some(least) = limits.min_items.filter(|least| count < *least) {
                    let detail = format!("{} should have at least {least} items", self.subject());
                    self.add(Reason::Invalid, count.into(), detail);
                }
                if let Some(most) = limits.max_items.filter(|most| count > *most) {
                    self.add(Reason::TooMany, count.into(), at_most(most));
                }
                if limits.unique_items && (1..items.len()).any(|at| items[..at].contains(&items[at])) {
                    let detail = format!("{} shouldn't contain duplicates", self.subject());
                    self.add(Reason::Invalid, "".into(), detail);
                }
            }
            Json::Object(object) => {
                let count = object.len() as u64;
                if let Some(least) = limits.min_properties.filter(|least| count < *least) {
                    let detail = format!("{} should have at least {least} properties", self.subject());
                    self.add(Reason::Invalid, count.into(), detail);
                }
                if let Some(most) = limits.max_properties.filter(|most| count > *most) {
                    self.add(Reason::TooMany, count.into(), at_most(most));
                }
            }
            _ => {}
        }
        self.combinations(limits, value);
    }

    /// The first violated limit only, as the API server has it for texts.
    fn text_limits(&mut self, limits: &Limits, text: &str) {
        let length = || text.chars().count() as u64;
        if let Some(most) = limits.max_length.filter(|most| length() > *most) {
            let unit = if most == 1 { "byte" } else { "bytes" };
            self.errors.push(FieldError {
                path: self.path.clone(),
                reason: Reason::TooLong,
                value: None,
                detail: format!("may not be more than {most} {unit}"),
            });
        } else if let Some(least) = limits.min_length.filter(|least| length() < *least) {
            let detail = format!("{} should be at least {least} chars long", self.subject());
            self.add(Reason::Invalid, text.into(), detail);
        } else if let Some(pattern) = limits.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
            let detail = format!("{} should match '{}'", self.subject(), pattern.source());
            self.add(Reason::Invalid, text.into(), detail);
        }
    }

    fn number_limits(&mut self, limits: &Limits, value: &Json, number: f64) {
        if let Some((bound, exclusive)) = limits.minimum
            && (number < bound || exclusive && number <= bound)
        {
            let words = if exclusive { "greater than" } else { "greater than or equal to" };
            let detail = format!("{} should be {words} {bound}", self.subject());
            self.add(Reason::Invalid, value.clone(), detail);
        }
        if let Some((bound, exclusive)) = limits.maximum
            && (number > bound || exclusive && number >= bound)
        {
            let words = if exclusive { "less than" } else { "less than or equal to" };
            let detail = format!("{} should be {words} {bound}", self.subject());
            self.add(Reason::Invalid, value.clone(), detail);
        }
        if let Some(factor) = limits.multiple_of.filter(|factor| *factor > 0.0)
            && (number / factor).fract() != 0.0
        {
            let detail = format!("{} should be a multiple of {factor}", self.subject());
            self.add(Reason::Invalid, value.clone(), detail);
        }
    }

    /// `allOf`, `anyOf`, `oneOf`, `not`. The API server names the field in the sentence only.
    fn combinations(&mut self, limits: &Limits, value: &Json) {
        let planned = self.planned;
        let holds = |schema: &Schema| {
            let mut walk = Walk { errors: Vec::new(), path: String::new(), planned };
            walk.value(schema, None, value);
            walk.errors.is_empty()
        };
        let subject = quote(&self.path);
        for schema in &limits.all_of {
            self.value(schema, None, value);
        }
        if !limits.any_of.is_empty() && !limits.any_of.iter().any(|schema| holds(schema)) {
            let detail = format!("{subject} must validate at least one schema (anyOf)");
            self.errors.push(FieldError::invalid("<nil>", "", detail));
        }
        if !limits.one_of.is_empty() {
            let valid = limits.one_of.iter().filter(|schema| holds(schema)).count();
            if valid != 1 {
                let found = match valid {
                    0 => "Found none valid".to_owned(),
                    _ => format!("Found {valid} valid alternatives"),
                };
                let detail = format!("{subject} must validate one and only one schema (oneOf). {found}");
                self.errors.push(FieldError::invalid("<nil>", "", detail));
            }
        }
        if limits.not.as_ref().is_some_and(|schema| holds(schema)) {
            let detail = format!("{subject} must not validate the schema (not)");
            self.errors.push(FieldError::invalid("<nil>", "", detail));
        }
    }

    /// Duplicates in sets and keyed lists, found in a pass of their own as the API server does.
    fn identities(&mut self, schema: &Schema, value: &Json) {
        match value {
            Json::Object(object) => {
                for (key, child) in object {
                    let (below, declared) = match schema.property(key) {
                        Some(property) => (&*property.schema, true),
                        None => match &schema.additional {
                            Additional::Of(link) => (&**link, false),
                            _ => continue,
                        },
                    };
                    if !child.is_object() && !child.is_array() {
                        continue;
                    }
                    let length = self.path.len();
                    if declared {
                        self.enter(key);
                    } else {
                        self.path += &format!("[{key}]");
                    }
                    self.identities(below, child);
                    self.path.truncate(length);
                }
            }
            Json::Array(items) => {
                if let Some(duplicates) = duplicates(&schema.list, items) {
                    for (index, shown) in duplicates {
                        self.errors.push(FieldError {
                            path: format!("{}[{index}]", self.path),
                            reason: Reason::Duplicate,
                            value: Some(shown),
                            detail: String::new(),
                        });
                    }
                }
                let Some(below) = &schema.items else { return };
                for (index, item) in items.iter().enumerate().filter(|(_, item)| item.is_object() || item.is_array()) {
                    let length = self.path.len();
                    self.path += &format!("[{index}]");
                    self.identities(below, item);
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// CEL rules, outermost first. Those of values that did not change are not asked.
    fn rules(&mut self, schema: &Schema, old: Option<&Json>, value: &Json) {
        if old == Some(value) || value.is_null() || self.planned && is_deferred(value) {
            return;
        }
        for rule in schema.limits().into_iter().flat_map(|limits| &limits.rules) {
            let Some(program) = rule.program() else { continue };
            if program.looks_back() && old.is_none() || program.holds(value, old) != Outcome::False {
                continue;
            }
            // What is not known yet may still make the rule hold.
            if self.planned && holds_deferred(value) {
                continue;
            }
            let reason = match &*rule.reason {
                "FieldValueForbidden" => Reason::Forbidden,
                "FieldValueRequired" => Reason::Required,
                "FieldValueDuplicate" => Reason::Duplicate,
                _ => Reason::Invalid,
            };
            let path = format!("{}{}", self.path, rule.field_path);
            let path = path.strip_prefix('.').map_or(path.clone(), str::to_owned);
            self.errors.push(FieldError { path, reason, value: None, detail: rule.say(value, old) });
        }
        match value {
            Json::Object(object) => {
                for (key, child) in object {
                    let (below, declared) = match (schema.property(key), &schema.additional) {
                        (Some(property), _) => (&*property.schema, true),
                        (None, Additional::Of(link)) => (&**link, false),
                        _ => continue,
                    };
                    if !below.rules_below {
                        continue;
                    }
                    let length = self.path.len();
                    if declared {
                        self.enter(key);
                    } else {
                        self.path += &format!("[{key}]");
                    }
                    self.rules(below, old.and_then(|old| old.get(key)), child);
                    self.path.truncate(length);
                }
            }
            Json::Array(items) => {
                let Some(below) = schema.items.as_deref().filter(|below| below.rules_below) else { return };
                for (index, item) in items.iter().enumerate() {
                    let length = self.path.len();
                    self.path += &format!("[{index}]");
                    self.rules(below, counterpart(&schema.list, old, item), item);
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }

    fn enter(&mut self, key: &str) -> usize {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        length
    }

    /// The start of a sentence about the field.
    fn subject(&self) -> String {
        format!("{} in body", self.path)
    }

    fn add(&mut self, reason: Reason, value: Json, detail: String) {
        self.errors.push(FieldError { path: self.path.clone(), reason, value: Some(value), detail });
    }
}

/// The published OpenAPI marks every field required that the API server always writes; a number or a
/// boolean is then zero when it is not given, and a status is filled in by controllers.
fn must_be_given(schema: &Schema, name: &str) -> bool {
    if schema.name.is_empty() {
        return true;
    }
    if schema.name.ends_with("Status") || schema.name.ends_with("Condition") {
        return false;
    }
    schema.property(name).is_none_or(|property| {
        property.default.is_none() && !matches!(property.schema.kind, Type::Integer | Type::Number | Type::Boolean)
    })
}

/// The old item with the identity of a new one; items of atomic lists and sets have none.
fn counterpart<'a>(list: &ListType, old: Option<&'a Json>, item: &Json) -> Option<&'a Json> {
    let ListType::Map(keys) = list else { return None };
    let same = |other: &&Json| keys.iter().all(|key| other.get(&**key) == item.get(&**key));
    old?.as_array()?.iter().find(same)
}

fn at_most(most: u64) -> String {
    format!("must have at most {most} {}", if most == 1 { "item" } else { "items" })
}

fn is_integer(value: &Json) -> bool {
    value.as_number().is_some_and(|n| n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|f| f.fract() == 0.0))
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) if is_integer(value) => "integer",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// Equality that does not tell `1` from `1.0`.
fn same(a: &Json, b: &Json) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

/// Index and shown value of every item whose identity an earlier one has.
fn duplicates(list: &ListType, items: &[Json]) -> Option<Vec<(usize, Json)>> {
    let identity = |item: &Json| match list {
        ListType::Atomic => None,
        ListType::Set => Some(item.clone()),
        ListType::Map(keys) => {
            let object = item.as_object()?;
            let mut names: Vec<&str> = keys.iter().map(|key| &**key).collect();
            names.sort_unstable();
            let pairs = names.into_iter().filter_map(|key| Some((key.to_owned(), object.get(key)?.clone())));
            Some(Json::Object(pairs.collect()))
        }
    };
    if *list == ListType::Atomic {
        return None;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut found = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if let Some(identity) = identity(item)
            && !seen.insert(identity.to_string())
        {
            found.push((index, identity));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests;
