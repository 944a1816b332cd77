//! The pure half of a kind of resource: everything that can be said without looking at the platform.
//!
//! The planner and the views see kinds; only the engine sees drivers (`driver`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::diag::Diagnostic;
use crate::resource::model::{Ceded, Resource};
use crate::value::Value;

/// What a read returned.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The platform's own handle: a Kubernetes uid, a GKE cluster id.
    pub id: String,
    /// The thing as it is. For `k8s.object` the live object with its managed fields.
    pub attrs: Value,
}

/// What is known of a resource besides what is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prior<'a> {
    /// What [`Kind::record`] kept after the last apply.
    pub recorded: Option<&'a Value>,
    /// What the platform says now.
    pub observed: Option<&'a Observed>,
}

/// One difference of one attribute.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Path of the attribute.
    pub path: Vec<String>,
    /// What it is; `None` when absent.
    pub before: Option<Value>,
    /// What it shall be; `None` when it goes. May be deferred.
    pub after: Option<Value>,
    /// It cannot be changed in place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forces_replace: bool,
    /// What carrying it out disturbs: "rolls the pool's nodes".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// Who else has set the attribute and will be asked to give it up: field managers of Kubernetes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<String>,
}

/// What a resource means to the deletion of everything else in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demise {
    /// It is deleted by a call of its own.
    Own,
    /// It goes when the resource that is its connection goes; no call is needed then.
    WithConnection,
}

/// What is known of one attribute, whatever its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Where it is.
    pub path: &'static [&'static str],
    /// It cannot be changed in place.
    pub replaces: bool,
    /// What changing it in place disturbs.
    pub effect: Option<&'static str>,
}

/// The pure half of a kind.
pub trait Kind: Send + Sync {
    /// The name that resources carry, `gke.node_pool`.
    fn name(&self) -> &'static str;

    /// Its attributes, where they are a fixed set.
    fn attributes(&self) -> Vec<Attribute> {
        Vec::new()
    }

    /// Mistakes in the attributes that can be seen without the platform.
    fn check(&self, resource: &Resource) -> Vec<Diagnostic> {
        let _ = resource;
        Vec::new()
    }

    /// Why what is there can never become what is desired; nothing when it can, or is not known to be impossible.
    fn refuse(&self, desired: &Value, observed: &Observed) -> Vec<Diagnostic> {
        let _ = (desired, observed);
        Vec::new()
    }

    /// What must change for the observed resource to be the desired one; empty when nothing must.
    /// `desired` may hold deferred values, which differ from everything unless the record proves otherwise.
    fn diff(&self, desired: &Value, ceded: &[Ceded], prior: Prior<'_>) -> Vec<Change>;

    /// What differs between the last apply and now: changes by other hands. Paths as in [`Kind::diff`].
    fn drift(&self, ceded: &[Ceded], prior: Prior<'_>) -> Vec<Change>;

    /// What to keep in state after `sent` (fully resolved) was applied and answered by `observed`.
    /// Never holds a secret value.
    fn record(&self, sent: &Value, ceded: &[Ceded], observed: &Observed) -> Value;

    /// What to keep beside the record of the last apply when a user takes note of drift: [`Kind::drift`] with it in the
    /// record's place finds nothing as long as the resource stays as `observed`. Never holds a secret value.
    fn seen(&self, recorded: &Value, ceded: &[Ceded], observed: &Observed) -> Value;

    /// What to keep of a resource that is found again without a record, and is not known to be as `desired`: enough
    /// to find it, and nothing that would hide how it differs.
    fn record_found(&self, desired: Option<&Value>, ceded: &[Ceded], observed: &Observed) -> Value {
        let _ = desired;
        self.record(&Value::Null, ceded, observed)
    }

    /// What references can read of an existing resource.
    fn outputs(&self, observed: &Observed) -> Value;

    /// What references can read before the resource exists, from its desired attributes alone.
    fn known_outputs(&self, desired: &Value) -> Value {
        let _ = desired;
        Value::map()
    }

    /// Deferred outputs that must be hidden even though no secret input is part of them.
    fn is_sensitive_output(&self, desired: &Value, path: &[String]) -> bool {
        let _ = (desired, path);
        false
    }

    /// Whether it goes with its connection. `attrs` are those of the observed or desired resource.
    fn demise(&self, attrs: &Value) -> Demise {
        let _ = attrs;
        Demise::Own
    }

    /// Whether its deletion waits until nothing uses it any more, so that what needs it cannot be left to go later.
    fn waits_for_users(&self, attrs: &Value) -> bool {
        let _ = attrs;
        false
    }

    /// Whether it stays, and is only forgotten, when the stack no longer wants it. `attrs` are the observed ones.
    fn outlives(&self, attrs: &Value) -> bool {
        let _ = attrs;
        false
    }

    /// The attributes while the stack is paused, for what costs less then; `None` where pausing leaves it as it is.
    ///
    /// # Errors
    /// Why it cannot be paused, in words that follow "cannot be paused:".
    fn paused(&self, desired: &Value) -> Result<Option<Value>, String> {
        let _ = desired;
        Ok(None)
    }

    /// How long its deletion usually takes, with nothing known of earlier ones. `attrs` are the observed ones.
    fn removal(&self, attrs: &Value) -> Duration {
        let _ = attrs;
        Duration::ZERO
    }

    /// Resources that return the same key are never worked on at the same time.
    fn exclusive(&self, address: &crate::address::Address, attrs: &Value) -> Option<String> {
        let _ = (address, attrs);
        None
    }
}

/// The kinds of a program, by name.
#[derive(Default, Clone)]
pub struct KindTable(BTreeMap<&'static str, std::sync::Arc<dyn Kind>>);

impl KindTable {
    /// Adds a kind.
    pub fn register(&mut self, kind: std::sync::Arc<dyn Kind>) {
        self.0.insert(kind.name(), kind);
    }

    /// The kind of that name.
    pub fn get(&self, name: &str) -> Option<&dyn Kind> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// The kind of that name, to keep.
    pub fn shared(&self, name: &str) -> Option<std::sync::Arc<dyn Kind>> {
        self.0.get(name).cloned()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}
