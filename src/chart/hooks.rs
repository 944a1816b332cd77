//! Hooks: objects that run around an installation instead of being part of it. Not for running them.

use super::objects::{Object, annotation};
use crate::value::Value;

/// The annotation that makes an object a hook.
pub(super) const HOOK: &str = "helm.sh/hook";

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// Before the first installation.
    PreInstall,
    /// After the first installation.
    PostInstall,
    /// Before the release goes.
    PreDelete,
    /// After the release went.
    PostDelete,
    /// Before an upgrade.
    PreUpgrade,
    /// After an upgrade.
    PostUpgrade,
    /// Before going back to an older revision.
    PreRollback,
    /// After going back to an older revision.
    PostRollback,
    /// When somebody asks for tests.
    Test,
}

/// When the object of a hook is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delete {
    /// Before a new one is made. So it is, too, where the chart says nothing.
    BeforeCreation,
    /// After success.
    Succeeded,
    /// After failure.
    Failed,
}

/// An object that runs around an installation.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// The object.
    pub object: Object,
    /// When it runs.
    pub events: Vec<Event>,
    /// Its place among hooks of the same event: from the lowest.
    pub weight: i64,
    /// When its object is removed.
    pub delete: Vec<Delete>,
}

/// The events of a hook; `None` where one is not known.
pub(super) fn events(text: &str) -> Option<Vec<Event>> {
    let event = |name: &str| {
        Some(match name.trim().to_lowercase().as_str() {
            "pre-install" => Event::PreInstall,
            "post-install" => Event::PostInstall,
            "pre-delete" => Event::PreDelete,
            "post-delete" => Event::PostDelete,
            "pre-upgrade" => Event::PreUpgrade,
            "post-upgrade" => Event::PostUpgrade,
            "pre-rollback" => Event::PreRollback,
            "post-rollback" => Event::PostRollback,
            "test" | "test-success" => Event::Test,
            _ => return None,
        })
    };
    text.split(',').map(event).collect()
}

pub(super) fn weight(value: &Value) -> i64 {
    annotation(value, "helm.sh/hook-weight").and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(super) fn delete(value: &Value) -> Vec<Delete> {
    let policies = annotation(value, "helm.sh/hook-delete-policy").unwrap_or_default();
    let known = policies.split(',').filter_map(|policy| match policy.trim().to_lowercase().as_str() {
        "before-hook-creation" => Some(Delete::BeforeCreation),
        "hook-succeeded" => Some(Delete::Succeeded),
        "hook-failed" => Some(Delete::Failed),
        _ => None,
    });
    let mut known = known.collect::<Vec<_>>();
    if known.is_empty() {
        known.push(Delete::BeforeCreation);
    }
    known
}
