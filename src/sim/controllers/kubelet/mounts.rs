//! Whether what a Pod mounts and reads into its environment is there.

use serde_json::Value as Json;

use super::super::scheduler::claim_name;
use super::super::{fields, kinds};
use crate::sim::kube::api::Api;

/// Checks every volume.
///
/// # Errors
/// The text of the FailedMount event of the first that cannot be mounted.
pub(super) fn volumes(api: &dyn Api, pod: &Json) -> Result<(), String> {
    let namespace = fields::namespace(pod);
    for volume in fields::list(pod, "/spec/volumes") {
        let check = if let Some(secret) = volume.get("secret") {
            keys(api, "Secret", namespace, fields::text(secret, "/secretName"), secret)
        } else if let Some(map) = volume.get("configMap") {
            keys(api, "ConfigMap", namespace, fields::text(map, "/name"), map)
        } else if let Some(projected) = volume.get("projected") {
            fields::list(projected, "/sources").iter().try_for_each(|source| {
                if let Some(secret) = source.get("secret") {
                    return keys(api, "Secret", namespace, fields::text(secret, "/name"), secret);
                }
                match source.get("configMap") {
                    Some(map) => keys(api, "ConfigMap", namespace, fields::text(map, "/name"), map),
                    None => Ok(()),
                }
            })
        } else if let Some(name) = claim_name(pod, volume) {
            match api.get(&kinds::of("PersistentVolumeClaim"), namespace, &name) {
                Some(claim) if fields::text(&claim, "/status/phase") == "Bound" => Ok(()),
                Some(_) => Err("PVC is not bound".to_owned()),
                None => Err(format!("persistentvolumeclaim \"{name}\" not found")),
            }
        } else {
            Ok(())
        };
        if let Err(why) = check {
            return Err(format!("MountVolume.SetUp failed for volume \"{}\" : {why}", fields::text(volume, "/name")));
        }
    }
    Ok(())
}

/// Whether it mounts a disk that must be attached to the node.
pub(super) fn has_disk(pod: &Json) -> bool {
    fields::list(pod, "/spec/volumes").iter().any(|volume| claim_name(pod, volume).is_some())
}

/// Checks that a Secret or ConfigMap and the keys that `source.items` names are there.
fn keys(api: &dyn Api, kind: &str, namespace: &str, name: &str, source: &Json) -> Result<(), String> {
    let optional = fields::flag(source, "/optional");
    let lower = kind.to_lowercase();
    let Some(object) = api.get(&kinds::of(kind), namespace, name) else {
        return if optional { Ok(()) } else { Err(format!("{lower} \"{name}\" not found")) };
    };
    for item in fields::list(source, "/items") {
        let key = fields::text(item, "/key");
        if !optional && !has_key(&object, key) {
            let word = if kind == "Secret" { "secret" } else { "config" };
            return Err(format!("references non-existent {word} key: {key}"));
        }
    }
    Ok(())
}

fn has_key(object: &Json, key: &str) -> bool {
    ["data", "binaryData", "stringData"]
        .iter()
        .any(|field| object.get(*field).is_some_and(|all| all.get(key).is_some()))
}

/// Checks what a container's environment refers to.
///
/// # Errors
/// The message of `CreateContainerConfigError`.
pub(super) fn environment(api: &dyn Api, pod: &Json, container: &Json) -> Result<(), String> {
    let namespace = fields::namespace(pod);
    let check = |kind: &str, reference: &Json, key: Option<&str>| -> Result<(), String> {
        let name = fields::text(reference, "/name");
        let optional = fields::flag(reference, "/optional");
        let Some(object) = api.get(&kinds::of(kind), namespace, name) else {
            return if optional { Ok(()) } else { Err(format!("{} \"{name}\" not found", kind.to_lowercase())) };
        };
        match key {
            Some(key) if !optional && !has_key(&object, key) => {
                Err(format!("couldn't find key {key} in {kind} {namespace}/{name}"))
            }
            _ => Ok(()),
        }
    };
    for source in fields::list(container, "/envFrom") {
        for (field, kind) in [("configMapRef", "ConfigMap"), ("secretRef", "Secret")] {
            if let Some(reference) = source.get(field) {
                check(kind, reference, None)?;
            }
        }
    }
    for entry in fields::list(container, "/env") {
        for (field, kind) in [("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")] {
            if let Some(reference) = entry.pointer(&format!("/valueFrom/{field}")) {
                check(kind, reference, Some(fields::text(reference, "/key")))?;
            }
        }
    }
    Ok(())
}
