//! The `scale` subresource: replicas of whatever has them.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::api::Status;
use super::fault::{self, FieldError};
use super::fields::{self, Stamp};
use super::selector::Labels;
use super::server::ApiServer;
use super::write::{Patch, Request};
use super::{convert, typed};
use crate::openapi::apply::{Managed, scale as ownership};
use crate::openapi::fields::Path;

/// What is done to a Scale.
pub(crate) enum Change {
    /// Nothing: it is read.
    None,
    /// PUT.
    Replace(Json),
    /// PATCH.
    Patch(Patch),
    /// Server-side apply.
    Apply(Json),
}

/// Where replicas and selector of a resource are.
struct Paths {
    replicas: Vec<String>,
    current: Vec<String>,
    selector: Option<Vec<String>>,
}

fn path(text: &str) -> Vec<String> {
    text.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn paths(request: &Request) -> Paths {
    match request.resource.crd_version().map(|version| &version["subresources"]["scale"]) {
        Some(scale) => Paths {
            replicas: path(scale["specReplicasPath"].as_str().unwrap_or_default()),
            current: path(scale["statusReplicasPath"].as_str().unwrap_or_default()),
            selector: scale["labelSelectorPath"].as_str().map(path),
        },
        None => Paths { replicas: path("spec.replicas"), current: path("status.replicas"), selector: None },
    }
}

fn at<'a>(object: &'a Json, path: &[String]) -> &'a Json {
    path.iter().fold(object, |value, key| &value[key.as_str()])
}

/// `app=x,tier in (a,b)`.
fn selector_text(selector: &Json) -> String {
    let mut terms: Vec<String> = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values = expression["values"].as_array().into_iter().flatten().filter_map(Json::as_str);
        let values = values.collect::<Vec<_>>().join(",");
        terms.push(match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    terms.sort();
    terms.join(",")
}

fn scale_of(request: &Request, paths: &Paths, object: &Json) -> Json {
    let meta = &object["metadata"];
    let mut metadata = serde_json::Map::new();
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if !meta[key].is_null() {
            metadata.insert(key.to_owned(), meta[key].clone());
        }
    }
    let replicas = at(object, &paths.replicas).as_i64().unwrap_or(0);
    let spec = if replicas == 0 { json!({}) } else { json!({"replicas": replicas}) };
    let mut status = json!({"replicas": at(object, &paths.current).as_i64().unwrap_or(0)});
    let selector = match (&paths.selector, request.resource.custom.is_some()) {
        (Some(path), _) => at(object, path).as_str().unwrap_or_default().to_owned(),
        (None, true) => String::new(),
        (None, false) => selector_text(&object["spec"]["selector"]),
    };
    if !selector.is_empty() {
        status["selector"] = Json::from(selector);
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status})
}

/// Reads or changes the Scale of an object; answers the Scale afterwards.
pub(crate) async fn run(server: &Arc<ApiServer>, request: Request, change: Change) -> Result<Json, Status> {
    let resource = request.resource.clone();
    let paths = paths(&request);
    let missing = || fault::not_found(&resource.group, &resource.plural, &request.name);
    let live = server.store.get(&resource.table(), &request.key()).ok_or_else(missing)?;
    let object = convert::one(server, &resource, live).await?;
    let scale = scale_of(&request, &paths, &object);
    let absent = resource.custom.is_some() && at(&object, &paths.replicas).is_null();
    if matches!(change, Change::None) {
        if absent {
            let shown = format!(".{}", paths.replicas.join("."));
            return Err(fault::internal(&format!("the spec replicas field {shown:?} does not exist")));
        }
        return Ok(scale);
    }
    let owned = settle(server, &request, &paths, &object, scale, change)?;
    let mut whole = Request { subresource: String::new(), ..request.clone() };
    whole.options.owned = true;
    let written = server.update(whole, owned).await?;
    Ok(scale_of(&request, &paths, &written.object))
}

/// The object with its new replicas and their owners.
fn settle(
    server: &ApiServer,
    request: &Request,
    paths: &Paths,
    object: &Json,
    mut scale: Json,
    change: Change,
) -> Result<Json, Status> {
    let resource = &request.resource;
    let names: Vec<&str> = paths.replicas.iter().map(String::as_str).collect();
    let path = Path::of_fields(&names);
    let broken = |why: String| fault::internal(&why);
    ownership::of_parent(object, &path).map_err(broken)?.write_to(&mut scale);
    let manager = &request.options.manager;
    let stamp = Stamp::of_kind(server, "autoscaling/v1", "Scale", "scale", manager);
    let schema = crate::openapi::builtin::schema("autoscaling", "v1", "Scale");
    let mut wanted = scale.clone();
    let applied = match change {
        Change::None => false,
        Change::Replace(new) => {
            typed::check_name(&new, &request.name)?;
            wanted = new;
            false
        }
        Change::Patch(Patch::Operations(operations)) => {
            fields::operate(&mut wanted, &operations).map_err(|_| fault::rejected_patch())?;
            false
        }
        Change::Patch(Patch::Merge(patch) | Patch::Strategic(patch) | Patch::Replace(patch)) => {
            fields::merge(&mut wanted, &patch);
            false
        }
        Change::Apply(config) => {
            wanted = fields::apply(schema.as_deref(), Some(&scale), &config, &stamp, request.options.force)?;
            true
        }
    };
    let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let error = FieldError::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0");
        return Err(fault::invalid("autoscaling", "Scale", &request.name, &[error]));
    }
    let given = wanted["metadata"]["resourceVersion"].as_str().filter(|v| !v.is_empty());
    if given.is_some_and(|given| object["metadata"]["resourceVersion"] != given) {
        return Err(fault::modified(&resource.group, &resource.plural, &request.name));
    }
    if !applied {
        if replicas == 0
            && let Some(spec) = wanted["spec"].as_object_mut()
        {
            // Zero is not written out.
            spec.shift_remove("replicas");
        }
        fields::update(schema.as_deref(), Some(&scale), &mut wanted, &stamp);
    }
    let owners = Managed::of(&wanted).map_err(broken)?;
    let owners = ownership::to_parent(object, &path, &resource.api_version(), owners).map_err(broken)?;
    let mut new = object.clone();
    let mut place = &mut new;
    for key in &paths.replicas {
        place = &mut place[key.as_str()];
    }
    *place = json!(replicas);
    owners.write_to(&mut new);
    Ok(new)
}

/// Whether a selector of a workload matches labels; for evictions.
pub(crate) fn selects(selector: &Json, labels: &Json) -> bool {
    let parsed = Labels::of(selector);
    !parsed.is_empty() && parsed.matches(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_as_text() {
        let selector = json!({
            "matchLabels": {"b": "1", "a": "2"},
            "matchExpressions": [{"key": "c", "operator": "In", "values": ["x", "y"]}],
        });
        assert_eq!(selector_text(&selector), "a=2,b=1,c in (x,y)");
    }
}
