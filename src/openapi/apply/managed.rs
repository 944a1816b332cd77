//! `metadata.managedFields`: reading, writing, order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde_json::{Map, Value as Json};

use crate::openapi::fields::{FieldSet, Path};

/// Who owns fields: a manager with the kind of its writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The manager's name.
    pub manager: String,
    /// By apply; otherwise by any other verb.
    pub applies: bool,
    /// Of writes by other verbs only: each version is an owner of its own.
    pub api_version: String,
    /// `status`, `scale`, or empty.
    pub subresource: String,
}

impl Identity {
    pub(super) fn applier(manager: &str, subresource: &str) -> Self {
        Identity {
            manager: manager.to_owned(),
            applies: true,
            api_version: String::new(),
            subresource: subresource.to_owned(),
        }
    }

    pub(super) fn updater(manager: &str, api_version: &str, subresource: &str) -> Self {
        Identity {
            manager: if manager.is_empty() { "unknown".to_owned() } else { manager.to_owned() },
            applies: false,
            api_version: api_version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }
}

/// As in conflict messages: `"x" with subresource "status" using apps/v1`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.manager)?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {:?}", self.subresource)?;
        }
        if self.applies { Ok(()) } else { write!(f, " using {}", self.api_version) }
    }
}

/// What one owner owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The fields.
    pub set: FieldSet,
    /// The version that the fields are named in.
    pub api_version: String,
    /// When it last changed the object; none for an owner that never did.
    pub time: Option<String>,
}

/// All owners of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Managed {
    /// By owner.
    pub entries: BTreeMap<Identity, Entry>,
}

impl Managed {
    /// Reads the managed fields of an object.
    ///
    /// # Errors
    /// What the API server says about entries that it cannot read.
    pub fn of(object: &Json) -> Result<Self, String> {
        let mut managed = Managed::default();
        let list = object.pointer("/metadata/managedFields").and_then(Json::as_array);
        for (index, entry) in list.into_iter().flatten().enumerate() {
            let text = |name: &str| entry.get(name).and_then(Json::as_str).unwrap_or_default();
            let applies = match text("operation") {
                "Apply" => true,
                "Update" => false,
                _ => return Err("operation must be `Apply` or `Update`".to_owned()),
            };
            if text("apiVersion").is_empty() {
                return Err("apiVersion must not be empty".to_owned());
            }
            match text("fieldsType") {
                "FieldsV1" => {}
                "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
                other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
            }
            let id = Identity {
                manager: text("manager").to_owned(),
                applies,
                api_version: if applies { String::new() } else { text("apiVersion").to_owned() },
                subresource: text("subresource").to_owned(),
            };
            let time = Some(text("time")).filter(|time| !time.is_empty()).map(str::to_owned);
            let set = FieldSet::from_json(entry.get("fieldsV1").unwrap_or(&Json::Null));
            managed.entries.insert(id, Entry { set, api_version: text("apiVersion").to_owned(), time });
        }
        Ok(managed)
    }

    /// The list, in the API server's order: appliers first, then by time, manager, version, subresource.
    pub fn to_json(&self) -> Json {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(id, entry)| (!id.applies, &entry.time, &id.manager, &entry.api_version, &id.subresource));
        let json = entries.into_iter().map(|(id, entry)| {
            let mut object = Map::new();
            if !id.manager.is_empty() {
                object.insert("manager".to_owned(), id.manager.as_str().into());
            }
            object.insert("operation".to_owned(), if id.applies { "Apply" } else { "Update" }.into());
            object.insert("apiVersion".to_owned(), entry.api_version.as_str().into());
            if let Some(time) = &entry.time {
                object.insert("time".to_owned(), time.as_str().into());
            }
            object.insert("fieldsType".to_owned(), "FieldsV1".into());
            object.insert("fieldsV1".to_owned(), entry.set.to_json());
            if !id.subresource.is_empty() {
                object.insert("subresource".to_owned(), id.subresource.as_str().into());
            }
            Json::Object(object)
        });
        Json::Array(json.collect())
    }

    /// Puts the list into an object; without owners there is none.
    pub fn write_to(&self, object: &mut Json) {
        let Some(object) = object.as_object_mut() else { return };
        let metadata = object.entry("metadata").or_insert_with(|| Json::Object(Map::new()));
        let Some(metadata) = metadata.as_object_mut() else { return };
        if self.entries.is_empty() {
            metadata.shift_remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), self.to_json());
        }
    }

    /// The fields that a manager applied.
    pub fn applied_by(&self, manager: &str) -> Option<&FieldSet> {
        self.entries.get(&Identity::applier(manager, "")).map(|entry| &entry.set)
    }

    /// Drops the fields that nobody owns from one entry, and the entry when nothing is left.
    pub(super) fn strip(&mut self, id: &Identity) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.set = stripped(&entry.set);
            if entry.set.is_empty() {
                self.entries.remove(id);
            }
        }
    }

    /// Folds the oldest owners by other verbs into one per version when there are more than `most`.
    pub(super) fn cap_updaters(&mut self, most: usize) {
        let mut updaters: Vec<(Option<String>, Identity)> = self
            .entries
            .iter()
            .filter(|(id, _)| !id.applies)
            .map(|(id, entry)| (entry.time.clone(), id.clone()))
            .collect();
        let mut count = updaters.len();
        if count <= most {
            return;
        }
        updaters.sort();
        let mut firsts: BTreeMap<String, Identity> = BTreeMap::new();
        for (_, id) in updaters {
            if count <= most {
                break;
            }
            let Some(version) = self.entries.get(&id).map(|entry| entry.api_version.clone()) else { continue };
            let Some(first) = firsts.get(&version) else {
                firsts.insert(version, id);
                continue;
            };
            let bucket = Identity::updater("ancient-changes", &version, "");
            if !self.entries.contains_key(&bucket)
                && let Some(entry) = self.entries.remove(first)
            {
                self.entries.insert(bucket.clone(), entry);
            }
            if let Some(folded) = self.entries.remove(&id)
                && let Some(entry) = self.entries.get_mut(&bucket)
            {
                entry.set.extend(&folded.set);
                entry.time = folded.time;
                count -= 1;
            }
        }
    }
}

/// The set without the fields that identify an object or belong to the server.
pub(super) fn stripped(set: &FieldSet) -> FieldSet {
    static NOBODYS: LazyLock<FieldSet> = LazyLock::new(|| {
        let metadata = [
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        ];
        ["apiVersion", "kind", "metadata"]
            .iter()
            .map(|name| Path::of_fields(&[name]))
            .chain(metadata.iter().map(|name| Path::of_fields(&["metadata", name])))
            .collect()
    });
    set.difference(&NOBODYS)
}
