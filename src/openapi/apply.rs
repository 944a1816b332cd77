//! Server-side apply and field ownership: what a write makes of an object and of its `managedFields`.
//!
//! The algorithm is Kubernetes' structured merge: the applied configuration is laid over the live object,
//! fields that the manager applied before and does not any more are taken out unless someone else owns
//! them, and whoever loses a changed field is a conflict or, with force, gives it up. Storing, validating,
//! admission and resource versions are the API server's and not here.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::default;
use super::fields::{FieldSet, Path};
use super::schema::Schema;

mod check;
mod compare;
mod managed;
mod merge;
pub mod scale;
mod shape;

pub use compare::{Comparison, compare, field_set, same as same_values};
pub use managed::{Entry, Identity, Managed};
pub use merge::remove;

/// How many managers that write with other verbs than apply are kept apart.
const MOST_UPDATERS: usize = 10;

/// Which fields a request to one endpoint can own at all.
#[derive(Clone, Debug, Default)]
pub enum Tracked {
    /// All.
    #[default]
    All,
    /// All but these and what is below them, because the endpoint resets them (`status` of the main resource).
    Except(FieldSet),
    /// Only this top-level field (`status` of a custom kind's status subresource).
    Only(&'static str),
}

impl Tracked {
    /// All but these top-level fields.
    pub fn except(names: &[&str]) -> Self {
        Tracked::Except(names.iter().map(|name| Path::of_fields(&[name])).collect())
    }

    fn filter(&self, set: FieldSet) -> FieldSet {
        match self {
            Tracked::All => set,
            Tracked::Except(reset) => set.without(reset),
            Tracked::Only(name) => set.only(name),
        }
    }
}

/// The circumstances of a write.
pub struct Write<'a> {
    /// Schema of the object in `api_version`.
    pub schema: &'a Schema,
    /// Group and version of the request: `apps/v1`.
    pub api_version: &'a str,
    /// Kind of the request.
    pub kind: &'a str,
    /// Field manager.
    pub manager: &'a str,
    /// `status`, or empty for the main resource.
    pub subresource: &'a str,
    /// RFC 3339 in whole seconds: `2026-11-22T10:22:01Z`.
    pub now: &'a str,
    /// What the endpoint can own.
    pub tracked: Tracked,
    /// Whether an API version of the kind still exists; entries of others are dropped.
    pub knows_version: &'a dyn Fn(&str) -> bool,
}

/// Why an apply was refused.
#[derive(Clone, Debug, PartialEq)]
pub enum ApplyError {
    /// 400 `BadRequest` with this message.
    BadRequest(String),
    /// 500 without a reason: the configuration does not fit the schema.
    Untyped(String),
    /// 409 `Conflict`: others own fields that would change. Never empty.
    Conflict(Vec<Conflict>),
}

impl std::fmt::Display for ApplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ApplyError::BadRequest(message) | ApplyError::Untyped(message) => f.write_str(message),
            ApplyError::Conflict(conflicts) => f.write_str(&conflict_message(conflicts)),
        }
    }
}

impl std::error::Error for ApplyError {}

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The owner.
    pub owner: Identity,
    /// The field.
    pub path: Path,
}

impl Conflict {
    /// `conflict with "x" using v1`, the message of the cause.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.owner)
    }

    /// `.spec.replicas`, the field of the cause.
    pub fn field(&self) -> String {
        self.path.to_string()
    }
}

/// The message of the whole Status.
pub fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: {}: {}", one.message(), one.path);
    }
    let mut by_owner: BTreeMap<&Identity, Vec<&Path>> = BTreeMap::new();
    for conflict in conflicts {
        by_owner.entry(&conflict.owner).or_default().push(&conflict.path);
    }
    let mut lines = Vec::new();
    for (owner, paths) in by_owner {
        lines.push(format!("conflicts with {owner}:"));
        lines.extend(paths.into_iter().map(|path| format!("- {path}")));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// Applies `config` to `live` (`None` creates). The result carries defaults and the new `managedFields`,
/// and equals `live` when there is nothing to do.
///
/// # Errors
/// See [`ApplyError`]; without `force`, changed fields of other managers are conflicts.
pub fn apply(write: &Write<'_>, live: Option<&Json>, config: &Json, force: bool) -> Result<Json, ApplyError> {
    let text = |name: &str| config.get(name).and_then(Json::as_str).unwrap_or_default();
    if text("apiVersion") != write.api_version || text("kind") != write.kind {
        let (group, version) = text("apiVersion").rsplit_once('/').unwrap_or(("", text("apiVersion")));
        return Err(ApplyError::BadRequest(format!("invalid object type: {group}/{version}, Kind={}", text("kind"))));
    }
    if config.pointer("/metadata/managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    let errors = check::check(write.schema, config);
    if !errors.is_empty() {
        let meta = |name: &str| config.pointer(&format!("/metadata/{name}")).and_then(Json::as_str).unwrap_or_default();
        let (group, version) = write.api_version.rsplit_once('/').unwrap_or(("", write.api_version));
        return Err(ApplyError::Untyped(format!(
            "failed to create typed patch object ({}/{}; {group}/{version}, Kind={}): {}",
            meta("namespace"),
            meta("name"),
            write.kind,
            check::join(&errors)
        )));
    }

    let mut managed = live.map(Managed::of).transpose().map_err(ApplyError::BadRequest)?.unwrap_or_default();
    let bare = live.map_or_else(|| Json::Object(Map::new()), without_managed_fields);
    if managed.entries.is_empty() && live.is_some() {
        managed = own_changes(write, &default::zero(write.schema), &bare, managed, "before-first-apply");
    }
    write.prepare(&mut managed);

    let id = Identity::applier(write.manager, write.subresource);
    let merged = merge::merge(write.schema, &bare, config);
    let last = managed.entries.get(&id).cloned();
    let set = write.tracked.filter(field_set(write.schema, config));
    let time = last.as_ref().and_then(|entry| entry.time.clone());
    let entry = Entry { set, api_version: write.api_version.to_owned(), time };
    managed.entries.insert(id.clone(), entry);

    let mut object = match &last {
        Some(last) if !last.set.is_empty() => drop_abandoned(write, &merged, &managed, &last.set),
        _ => merged,
    };
    give_up(write, &bare, &object, &mut managed, &id, force)?;
    managed.strip(&id);
    let changed = live.is_none() || !compare::same(&bare, &object);
    if changed {
        default::apply(write.schema, &mut object);
        if let Some(entry) = managed.entries.get_mut(&id) {
            entry.time = Some(write.now.to_owned());
        }
    } else {
        object = bare;
    }
    managed.write_to(&mut object);
    Ok(object)
}

/// Puts the right `managedFields` on `new`, the complete object that another verb than apply is about to
/// store in place of `live`. `new` is defaulted already; its own `managedFields` are honoured as the API
/// server does (an empty list resets, none keeps those of `live`).
pub fn update(write: &Write<'_>, live: Option<&Json>, mut new: Json) -> Json {
    let sent = new.pointer("/metadata/managedFields").filter(|fields| !fields.is_null());
    let reset = match sent.and_then(Json::as_array).map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => only.as_object().is_some_and(Map::is_empty),
        _ => false,
    };
    let of_live = || live.and_then(|live| Managed::of(live).ok()).unwrap_or_default();
    let managed = match (write.subresource.is_empty(), sent) {
        (true, Some(_)) if reset => Managed::default(),
        (true, Some(_)) => Managed::of(&new).ok().filter(|sent| !sent.entries.is_empty()).unwrap_or_else(of_live),
        _ => of_live(),
    };
    if let Some(metadata) = new.get_mut("metadata").and_then(Json::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    // An object that lost its record gets a new one only when it is applied again.
    if managed.entries.is_empty() && live.is_some() {
        return new;
    }
    let before = live.map_or_else(|| default::zero(write.schema), without_managed_fields);
    let mut managed = own_changes(write, &before, &new, managed, write.manager);
    managed.cap_updaters(MOST_UPDATERS);
    managed.write_to(&mut new);
    new
}

/// Whether two objects differ in nothing but the times of their `managedFields`. The API server then keeps
/// the old object, and so its resource version.
pub fn same_but_times(old: &Json, new: &Json) -> bool {
    fn timeless(object: &Json) -> (Json, Vec<Json>) {
        let mut entries =
            object.pointer("/metadata/managedFields").and_then(Json::as_array).cloned().unwrap_or_default();
        for entry in entries.iter_mut().filter_map(Json::as_object_mut) {
            entry.shift_remove("time");
        }
        entries.sort_by_key(ToString::to_string);
        (without_managed_fields(object), entries)
    }
    let ((old, before), (new, after)) = (timeless(old), timeless(new));
    compare::same(&old, &new)
        && before.len() == after.len()
        && before.iter().zip(&after).all(|(a, b)| compare::same(a, b))
}

fn without_managed_fields(object: &Json) -> Json {
    let mut copy = object.clone();
    if let Some(metadata) = copy.get_mut("metadata").and_then(Json::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    copy
}

impl Write<'_> {
    /// Entries as they are to be read today.
    fn prepare(&self, managed: &mut Managed) {
        managed.entries.retain(|_, entry| (self.knows_version)(&entry.api_version));
        for entry in managed.entries.values_mut() {
            entry.set = merge::reconcile(self.schema, &entry.set);
        }
    }
}

/// What `manager` changed between two objects becomes its own and nobody else's.
fn own_changes(write: &Write<'_>, old: &Json, new: &Json, mut managed: Managed, manager: &str) -> Managed {
    write.prepare(&mut managed);
    let changes = compare(write.schema, old, new);
    let added = write.tracked.filter(changes.added);
    let modified = write.tracked.filter(changes.modified);
    let removed = write.tracked.filter(changes.removed);
    let written = added.union(&modified);
    for entry in managed.entries.values_mut() {
        entry.set = entry.set.difference(&written).difference(&removed);
    }
    managed.entries.retain(|_, entry| !entry.set.is_empty());
    let set = managed::stripped(&written);
    if !set.is_empty() {
        let id = Identity::updater(manager, write.api_version, write.subresource);
        let entry = managed.entries.entry(id).or_insert_with(|| Entry {
            set: FieldSet::new(),
            api_version: write.api_version.to_owned(),
            time: None,
        });
        entry.set.extend(&set);
        entry.time = Some(write.now.to_owned());
    }
    managed
}

/// Others lose what changes: an error without `force`.
fn give_up(
    write: &Write<'_>,
    live: &Json,
    object: &Json,
    managed: &mut Managed,
    applier: &Identity,
    force: bool,
) -> Result<(), ApplyError> {
    let changes = compare(write.schema, live, object);
    let changed = write.tracked.filter(changes.modified.union(&changes.added));
    let removed = write.tracked.filter(changes.removed);
    let mut conflicts = Vec::new();
    for (id, entry) in managed.entries.iter_mut().filter(|(id, _)| *id != applier) {
        let lost = entry.set.intersection(&changed);
        conflicts.extend(lost.paths().into_iter().map(|path| Conflict { owner: id.clone(), path }));
        entry.set = entry.set.difference(&lost).difference(&removed);
    }
    if !force && !conflicts.is_empty() {
        // Owners by other verbs come first; within an owner the order of the paths stays.
        conflicts.sort_by_key(|conflict| conflict.owner.applies);
        return Err(ApplyError::Conflict(conflicts));
    }
    managed.entries.retain(|_, entry| !entry.set.is_empty());
    Ok(())
}

/// Takes out of the merged object what the manager applied last time, does not apply now, and nobody else
/// owns.
fn drop_abandoned(write: &Write<'_>, merged: &Json, managed: &Managed, last: &FieldSet) -> Json {
    let schema = write.schema;
    let all = |object: &Json| merge::with_named_parents(schema, &field_set(schema, object));
    let last = merge::with_named_parents(schema, last);
    let everything = all(merged);
    let pruned = merge::remove(schema, merged, &last);

    // Whatever someone owns (this configuration included) comes back …
    let mut owned = FieldSet::new();
    for entry in managed.entries.values() {
        owned.extend(&entry.set);
    }
    let owned = merge::with_named_parents(schema, &owned);
    let pruned = merge::remove(schema, merged, &everything.difference(&all(&pruned).union(&owned)));

    // … and so does what went along although this manager never owned it.
    merge::remove(schema, merged, &everything.difference(&all(&pruned)).intersection(&last))
}

#[cfg(test)]
mod tests;
