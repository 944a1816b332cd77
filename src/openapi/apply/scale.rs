//! Field ownership across the scale subresource: `spec.replicas` of a Scale is a field of its parent.

use serde_json::Value as Json;

use super::managed::{Entry, Managed};
use crate::openapi::fields::{FieldSet, Path};

const SCALE_VERSION: &str = "autoscaling/v1";

fn replicas() -> Path {
    Path::of_fields(&["spec", "replicas"])
}

fn only(path: &Path) -> FieldSet {
    std::iter::once(path.clone()).collect()
}

/// The owners of the parent's replicas field as owners of the Scale's. `path` is the field in the parent.
///
/// # Errors
/// See [`Managed::of`].
pub fn of_parent(parent: &Json, path: &Path) -> Result<Managed, String> {
    let mut scale = Managed::default();
    for (id, entry) in Managed::of(parent)?.entries {
        if entry.set.contains(&path.0) {
            let entry = Entry { set: only(&replicas()), api_version: SCALE_VERSION.to_owned(), time: entry.time };
            scale.entries.insert(id, entry);
        }
    }
    Ok(scale)
}

/// The owners of the parent after a write to its Scale: who no longer owns the Scale's replicas loses the
/// parent's, and new owners get it. `api_version` is the parent's.
///
/// # Errors
/// See [`Managed::of`].
pub fn to_parent(parent: &Json, path: &Path, api_version: &str, mut scale: Managed) -> Result<Managed, String> {
    let mut managed = Managed::of(parent)?;
    let before = managed.clone();
    let field = only(path);
    for (id, entry) in &mut managed.entries {
        if entry.set.contains(&path.0) && scale.entries.remove(id).is_none() {
            entry.set = entry.set.difference(&field);
        }
    }
    managed.entries.retain(|_, entry| !entry.set.is_empty());
    for (mut id, entry) in scale.entries {
        if !entry.set.contains(&replicas().0) {
            continue;
        }
        if !id.applies {
            api_version.clone_into(&mut id.api_version);
        }
        // A new owner has no time of its own on the parent.
        let time = before.entries.get(&id).and_then(|entry| entry.time.clone());
        let entry = managed.entries.entry(id).or_insert_with(|| Entry {
            set: FieldSet::new(),
            api_version: api_version.to_owned(),
            time,
        });
        entry.set.extend(&field);
    }
    Ok(managed)
}
