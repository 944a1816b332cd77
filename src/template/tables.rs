//! The methods that Helm's type for values has: `.Values.AsMap` and the others. Not for plain maps, which
//! have none.

use super::data::{Data, Map};
use super::fault::{Fault, Outcome};
use super::yaml;

/// The Go type of `.Values`.
pub(super) const VALUES: &str = "common.Values";

/// How many arguments the method `name` takes; `None` where there is no such method.
pub(super) fn takes(name: &str) -> Option<usize> {
    match name {
        "AsMap" | "YAML" => Some(0),
        "Table" | "PathValue" => Some(1),
        _ => None,
    }
}

/// Runs a method.
///
/// # Errors
/// Where the path leads nowhere.
pub(super) fn method(map: &Map, name: &str, path: &str) -> Outcome {
    match name {
        "AsMap" => Ok(Data::Map(if map.is_empty() { Map::new(Default::default()) } else { map.plain() })),
        "YAML" => Ok(Data::from(format!("{}\n", yaml::write(&Data::Map(map.clone()))?))),
        "Table" => table(map, path).map(Data::Map),
        _ => value(map, path),
    }
}

fn table(map: &Map, path: &str) -> Result<Map, Fault> {
    let mut here = map.clone();
    for key in path.split('.') {
        let Some(Data::Map(next)) = here.get(key.as_bytes()) else {
            return Err(Fault::new(format!("{key:?} is not a table")));
        };
        here = next;
    }
    Ok(here.with_name(VALUES))
}

fn value(map: &Map, path: &str) -> Outcome {
    if path.is_empty() {
        return Err(Fault::new("YAML path cannot be empty"));
    }
    let (folder, key) = path.rsplit_once('.').map_or((None, path), |(folder, key)| (Some(folder), key));
    let none = || Fault::new(format!("{key:?} is not a value"));
    let holder = folder.map_or_else(|| Ok(map.clone()), |folder| table(map, folder)).map_err(|_| none())?;
    match holder.get(key.as_bytes()) {
        None | Some(Data::Map(_)) => Err(none()),
        Some(value) => Ok(value),
    }
}
