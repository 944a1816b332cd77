//! The `scale` subresource: replicas of whatever has them.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::api::Status;
use super::fault::{self, FieldError};
use super::selector::Labels;
use super::server::ApiServer;
use super::write::{Patch, Request};
use super::{convert, fields, typed};

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
    let mut wanted = scale.clone();
    match &change {
        Change::None if absent => {
            let shown = format!(".{}", paths.replicas.join("."));
            return Err(fault::internal(&format!("the spec replicas field {shown:?} does not exist")));
        }
        Change::None => return Ok(scale),
        Change::Replace(new) => {
            typed::check_name(new, &request.name)?;
            wanted = new.clone();
        }
        Change::Patch(Patch::Operations(operations)) => {
            fields::operate(&mut wanted, operations).map_err(|_| fault::rejected_patch())?;
        }
        Change::Patch(Patch::Merge(patch) | Patch::Strategic(patch) | Patch::Replace(patch)) | Change::Apply(patch) => {
            fields::merge(&mut wanted, patch);
        }
    }
    let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let error = FieldError::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0");
        return Err(fault::invalid("autoscaling", "Scale", &request.name, &[error]));
    }
    let given = wanted["metadata"]["resourceVersion"].as_str().filter(|v| !v.is_empty());
    if given.is_some_and(|given| object["metadata"]["resourceVersion"] != given) {
        return Err(fault::modified(&resource.group, &resource.plural, &request.name));
    }
    let mut part = json!(replicas);
    for key in paths.replicas.iter().rev() {
        part = json!({key.as_str(): part});
    }
    let mut request = request;
    request.options.through = std::mem::take(&mut request.subresource);
    let written = match change {
        Change::Apply(_) => {
            part["apiVersion"] = Json::from(resource.api_version());
            part["kind"] = Json::from(resource.kind.as_str());
            part["metadata"] = json!({"name": request.name});
            server.apply(request.clone(), part).await?
        }
        _ => server.patch(request.clone(), Patch::Merge(part)).await?,
    };
    Ok(scale_of(&request, &paths, &written.object))
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
