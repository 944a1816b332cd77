//! Query options, lists with selectors and pages, and what a list or watch asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use serde_json::{Map, Value as Json, json};

use super::api::Status;
use super::fault::{self, FieldError};
use super::registry::Resource;
use super::selector::{Fields, Labels};
use super::server::ApiServer;
use super::write::{Options, Validation};
use super::{convert, paths};

/// A query string, taken apart. Of a repeated key all values are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    /// Parses what follows the question mark.
    pub fn parse(text: &str) -> Self {
        let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in paths::query(text) {
            map.entry(key).or_default().push(value);
        }
        Query(map)
    }

    /// The first value, if it is not empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.first().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All values.
    pub fn all(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether a flag is set; Go reads everything but these as true.
    pub fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(|v| v.first()).is_some_and(|value| !matches!(value.as_str(), "false" | "0"))
    }

    fn number(&self, key: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let bad = |_| fault::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
        text.parse().map(Some).map_err(bad)
    }
}

const META: &str = "meta.k8s.io";

/// Refuses options that are none, as `kind`'s.
fn refuse(kind: &str, error: FieldError) -> Status {
    fault::invalid(META, kind, "", &[error])
}

/// `dryRun`, from a query or a body.
pub(crate) fn dry_run(kind: &str, values: &[String]) -> Result<bool, Status> {
    if values.iter().any(|value| value != "All") {
        return Err(refuse(kind, FieldError::unsupported("dryRun", &json!(values), &["All"])));
    }
    Ok(!values.is_empty())
}

/// The options of a write. `kind` is `CreateOptions`, `UpdateOptions` or `PatchOptions`; `apply` says that
/// the patch is an apply.
pub(crate) fn options(query: &Query, kind: &str, agent: &str, apply: bool) -> Result<Options, Status> {
    let validation = match query.get("fieldValidation") {
        None | Some("Warn") => Validation::Warn,
        Some("Ignore") => Validation::Ignore,
        Some("Strict") => Validation::Strict,
        Some(other) => {
            let supported = ["", "Ignore", "Strict", "Warn"];
            return Err(refuse(kind, FieldError::unsupported("fieldValidation", &json!(other), &supported)));
        }
    };
    let manager = query.get("fieldManager").unwrap_or_default();
    if manager.len() > 128 {
        return Err(refuse(kind, FieldError::too_long("fieldManager", 128)));
    }
    if apply && manager.is_empty() {
        return Err(refuse(kind, FieldError::required("fieldManager", "is required for apply patch")));
    }
    if kind == "PatchOptions" && !apply && query.get("force").is_some() {
        return Err(refuse(kind, FieldError::forbidden("force", "may not be specified for non-apply patch")));
    }
    let manager = if manager.is_empty() { agent.split('/').next().unwrap_or_default() } else { manager };
    // Whatever is not a way to write true is false, as Go's lenient conversion has it.
    let force = matches!(query.get("force"), Some("1" | "t" | "T" | "true" | "TRUE" | "True"));
    let dry_run = dry_run(kind, query.all("dryRun"))?;
    Ok(Options { dry_run, manager: manager.chars().take(128).collect(), validation, force, owned: false })
}

/// What a list or watch asks for.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// Empty for all.
    pub namespace: String,
    pub labels: Labels,
    pub fields: Fields,
}

impl Selection {
    /// From the query.
    pub fn parse(query: &Query, resource: &Resource, namespace: &str, name: &str) -> Result<Self, Status> {
        let labels = Labels::parse(query.get("labelSelector").unwrap_or_default())?;
        let extra: Vec<String> = resource
            .crd_version()
            .and_then(|v| v["selectableFields"].as_array())
            .into_iter()
            .flatten()
            .filter_map(|f| f["jsonPath"].as_str().map(|p| p.trim_start_matches('.').to_owned()))
            .collect();
        let mut text = query.get("fieldSelector").unwrap_or_default().to_owned();
        if !name.is_empty() {
            text = format!("metadata.name={name}");
        }
        let fields = Fields::parse(&text, &resource.group, &resource.plural, &extra)?;
        Ok(Selection { namespace: namespace.to_owned(), labels, fields })
    }

    /// Whether an object is asked for.
    pub fn matches(&self, object: &Json) -> bool {
        let namespace = &object["metadata"]["namespace"];
        (self.namespace.is_empty() || namespace == self.namespace.as_str())
            && self.labels.matches(&object["metadata"]["labels"])
            && self.fields.matches(object)
    }

    fn selects(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }
}

/// One page of a list.
pub(crate) struct Page {
    /// In the request's version.
    pub items: Vec<Arc<Json>>,
    /// `metadata` of the list.
    pub metadata: Json,
}

/// Where a continued list goes on.
struct Token {
    /// The revision of the first page; `None` asks for the latest.
    revision: Option<u64>,
    /// The key after which to go on, as `namespace/name`.
    start: String,
}

const ENGINE: base64::engine::GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

fn encode_token(revision: i64, start: &str) -> String {
    let text = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": format!("{start}\0")}).to_string();
    ENGINE.encode(text)
}

fn decode_token(text: &str) -> Result<Token, Status> {
    let bad = |why: String| fault::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let bytes = ENGINE.decode(text).map_err(|error| match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => {
            bad(format!("illegal base64 data at input byte {at}"))
        }
        _ => bad(format!("illegal base64 data at input byte {}", text.len() / 4 * 4)),
    })?;
    let value: Json = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    let start = value["start"].as_str().unwrap_or_default().trim_end_matches('\0').to_owned();
    Ok(Token { revision: value["rv"].as_u64(), start })
}

fn expired_token(start: &str) -> Status {
    let mut status = fault::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    status.body["metadata"]["continue"] = Json::from(encode_token(-1, start.trim_start_matches('/')));
    status
}

/// `resourceVersion` of a query; `Ok(None)` when it is not given.
pub(crate) fn revision(query: &Query) -> Result<Option<u64>, String> {
    let Some(text) = query.get("resourceVersion") else { return Ok(None) };
    let bad =
        |_| format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax");
    text.parse().map(Some).map_err(bad)
}

/// Refuses combinations that mean nothing.
pub(crate) fn check_list_options(query: &Query, watch: bool) -> Result<(), Status> {
    let refuse = |error| Err(refuse("ListOptions", error));
    let field = "resourceVersionMatch";
    let initial = query.0.contains_key("sendInitialEvents");
    match query.get(field) {
        None if initial => {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            refuse(FieldError::forbidden(field, why))
        }
        None => Ok(()),
        Some(_) if watch && !initial => {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            refuse(FieldError::forbidden(field, why))
        }
        Some(_) if initial && watch => Ok(()),
        Some(_) if query.get("resourceVersion").is_none() => {
            let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            refuse(FieldError::forbidden(field, why))
        }
        Some("Exact" | "NotOlderThan") => Ok(()),
        Some(other) => {
            let supported = ["Exact", "NotOlderThan", ""];
            refuse(FieldError::unsupported(field, &json!(other), &supported))
        }
    }
}

/// 504 for a revision that is still to come.
pub(crate) fn too_large(wanted: u64, current: u64) -> Status {
    let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
    let mut status = Status::failure(504, "Timeout", message);
    status.body["details"] = json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    });
    status
}

fn position(object: &Json, namespaced_list: bool) -> String {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    // A list of one namespace counts from it, a list of all from the root.
    if namespaced_list || text("namespace").is_empty() {
        format!("/{}", text("name"))
    } else {
        format!("{}/{}", text("namespace"), text("name"))
    }
}

/// A page of objects.
pub(crate) async fn list(
    server: &ApiServer,
    resource: &Resource,
    selection: &Selection,
    query: &Query,
) -> Result<Page, Status> {
    check_list_options(query, false)?;
    let limit = usize::try_from(query.number("limit")?.unwrap_or(0)).unwrap_or(0);
    let asked = revision(query).map_err(|why| fault::bad_request(format!("invalid resource version: {why}")))?;
    let namespace = Some(selection.namespace.as_str()).filter(|ns| !ns.is_empty());
    let table = resource.table();
    let current = server.store.revision();
    let token = match query.get("continue") {
        Some(_) if asked.is_some_and(|v| v != 0) => {
            return Err(fault::bad_request("specifying resource version is not allowed when using continue"));
        }
        Some(text) => Some(decode_token(text)?),
        None => None,
    };
    if let Some(wanted) = asked
        && wanted > current
    {
        return Err(too_large(wanted, current));
    }
    let exact = asked.filter(|_| query.get("resourceVersionMatch") == Some("Exact"));
    let at = token.as_ref().map_or(exact, |token| token.revision);
    let (revision, objects) = match at {
        Some(revision) => match server.store.list_at(&table, namespace, revision) {
            Ok(objects) => (revision, objects),
            Err(()) => {
                return Err(match &token {
                    Some(token) => expired_token(&token.start),
                    None => fault::expired("The resourceVersion for the provided list is too old."),
                });
            }
        },
        None => server.store.list(&table, namespace),
    };
    let namespaced = namespace.is_some();
    let start = token.map(|token| {
        if namespaced || !resource.namespaced {
            format!("/{}", token.start.trim_start_matches('/'))
        } else {
            token.start
        }
    });
    let rest: Vec<Arc<Json>> = objects
        .into_iter()
        .filter(|object| start.as_ref().is_none_or(|start| position(object, namespaced) > *start))
        .collect();
    let mut selected = rest.into_iter().filter(|object| selection.matches(object));
    let mut items: Vec<Arc<Json>> = Vec::new();
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".to_owned(), Json::from(revision.to_string()));
    // Without a stored consistent cache revision 0 means "anything": the whole list in one page.
    let limit = if asked == Some(0) { 0 } else { limit };
    if limit == 0 {
        items.extend(selected);
    } else {
        items.extend(selected.by_ref().take(limit));
        let remaining = selected.count();
        if remaining > 0
            && let Some(last) = items.last()
        {
            let token = encode_token(i64::try_from(revision).unwrap_or(i64::MAX), &position(last, namespaced));
            metadata.insert("continue".to_owned(), Json::from(token));
            if !selection.selects() {
                metadata.insert("remainingItemCount".to_owned(), json!(remaining));
            }
        }
    }
    if resource.custom.is_some() {
        metadata.entry("continue").or_insert_with(|| json!(""));
    }
    let items = convert::many(server, resource, items).await?;
    Ok(Page { items, metadata: Json::Object(metadata) })
}

/// `timeoutSeconds`.
pub(crate) fn timeout_seconds(query: &Query) -> Result<Option<u64>, Status> {
    Ok(query.number("timeoutSeconds")?.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0))
}

/// Options of a deletion, from query and body.
pub(crate) fn deletion(query: &Query, body: &Json) -> Result<(super::delete::Deletion, bool), Status> {
    let kind = "DeleteOptions";
    let mut values: Vec<String> = query.all("dryRun").to_vec();
    values.extend(body["dryRun"].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned));
    let dry = dry_run(kind, &values)?;
    let text = |value: &Json| value.as_str().map(str::to_owned);
    let propagation = text(&body["propagationPolicy"]).or(query.get("propagationPolicy").map(str::to_owned));
    if let Some(policy) = propagation.as_deref()
        && !matches!(policy, "Foreground" | "Background" | "Orphan")
    {
        let supported = ["Foreground", "Background", "Orphan", "nil"];
        return Err(refuse(kind, FieldError::unsupported("propagationPolicy", &json!(policy), &supported)));
    }
    let orphan = body["orphanDependents"].as_bool().or(query.get("orphanDependents").map(|v| v == "true"));
    if let (Some(policy), Some(_)) = (&propagation, orphan) {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        return Err(refuse(kind, FieldError::invalid("propagationPolicy", &json!(policy), why)));
    }
    let grace = body["gracePeriodSeconds"].as_i64().map_or(query.number("gracePeriodSeconds")?, Some);
    let deletion = super::delete::Deletion {
        uid: text(&body["preconditions"]["uid"]),
        revision: text(&body["preconditions"]["resourceVersion"]),
        propagation,
        orphan,
        grace,
    };
    Ok((deletion, dry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let token = encode_token(7, "/c2");
        let back = decode_token(&token).expect("decodes");
        assert_eq!((back.revision, back.start.as_str()), (Some(7), "/c2"));
        assert_eq!(decode_token(&encode_token(-1, "c2")).expect("decodes").revision, None);
        assert!(decode_token("notatoken").is_err());
    }

    #[test]
    fn write_options() {
        let query = Query::parse("dryRun=All&fieldManager=m&force=true");
        let options = options(&query, "PatchOptions", "agent/1", true).expect("options");
        assert!(options.dry_run && options.force && options.manager == "m");
        assert!(super::options(&Query::parse("dryRun=No"), "CreateOptions", "", false).is_err());
        assert_eq!(
            super::options(&Query::parse(""), "CreateOptions", "kubectl/v1", false).expect("ok").manager,
            "kubectl"
        );
    }
}
