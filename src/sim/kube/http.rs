//! The API over HTTP: who asks, for what, in which form, and the answer.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, Uri, header};
use serde_json::{Value as Json, json};

use super::api::Status;
use super::codec::{self, Accepted, Endpoint, Form};
use super::delete::Deleted;
use super::paths::{self, Path, Target};
use super::registry::Resource;
use super::requests::{self, Query, Selection};
use super::server::{ApiServer, User};
use super::waiting;
use super::write::{Options, Patch, Request};
use super::{
    aggregation, discovery, fault, json_text, openapi_document, protobuf, rbac, scale, subresource, table, token,
    typed, watch,
};

/// The largest body that is read, in bytes.
const BODY_LIMIT: usize = 3_145_728;

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const OPERATIONS: &str = "application/json-patch+json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// The API of one cluster. A [`User`] among a request's extensions (from a client certificate, say) counts
/// as its authentication; otherwise its bearer token does: a ServiceAccount's, or any other for the
/// administrator.
pub fn router(server: Arc<ApiServer>) -> Router {
    Router::new().fallback(handle).with_state(server)
}

/// One request on its way.
struct Call {
    server: Arc<ApiServer>,
    user: User,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    query: Query,
    body: Bytes,
}

async fn handle(State(server): State<Arc<ApiServer>>, request: HttpRequest) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let user = match authenticate(&server, &parts.headers, parts.extensions.get::<User>()) {
        Ok(user) => user,
        Err(status) => return codec::failure(&status),
    };
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return codec::failure(&fault::too_large(BODY_LIMIT));
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let call = Call { server, user, method: parts.method, uri: parts.uri, headers: parts.headers, query, body };
    waiting::for_client(call.answer()).await.unwrap_or_else(|status| codec::failure(&status))
}

fn authenticate(server: &ApiServer, headers: &HeaderMap, known: Option<&User>) -> Result<User, Status> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let user = match (known, text("authorization")) {
        (Some(user), _) => user.clone(),
        (None, None) => User::anonymous(),
        (None, Some(value)) => {
            let token = value.strip_prefix("Bearer ").unwrap_or_default().trim();
            match token {
                "" => return Err(fault::unauthorized()),
                jwt if jwt.starts_with("eyJ") => token::verify(server, jwt).ok_or_else(fault::unauthorized)?,
                _ => User::admin(),
            }
        }
    };
    let Some(name) = text("impersonate-user") else { return Ok(user) };
    let question = rbac::Question { verb: "impersonate", group: "", resource: "users", namespace: "", name };
    rbac::check(server, &user, &question)?;
    let mut as_user = User::named(name);
    let groups: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(|value| value.to_str().ok().map(str::to_owned))
        .collect();
    if !groups.is_empty() {
        as_user.groups = groups;
        as_user.groups.push("system:authenticated".to_owned());
    }
    Ok(as_user)
}

/// The verb of a request for a resource.
fn verb_of(method: &Method, named: bool, watching: bool) -> &'static str {
    match (method.as_str(), named) {
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) if watching => "watch",
        ("GET" | "HEAD", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "",
    }
}

impl Call {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn accept(&self, endpoint: Endpoint) -> Result<Accepted, Status> {
        codec::negotiate(self.header("accept"), endpoint)
    }

    /// As [`Call::accept`]; a view of one object where a list is asked for, or the other way round, is refused by
    /// the name that the server's own types have.
    fn accept_view(&self, endpoint: Endpoint, resource: &Resource) -> Result<Accepted, Status> {
        let other = if endpoint == Endpoint::List { Endpoint::Object } else { Endpoint::List };
        let failed = |status| match codec::negotiate(self.header("accept"), other).map(|accepted| accepted.form) {
            Ok(form @ (Form::Metadata | Form::MetadataList)) => {
                let package =
                    if resource.custom.is_some() { "unstructured" } else { typed::internal_package(&resource.group) };
                let (asked, is, kind) = match (form, resource.custom.is_some()) {
                    (Form::Metadata, true) => ("PartialObjectMetadata", "a list", "UnstructuredList"),
                    (Form::Metadata, false) => ("PartialObjectMetadata", "a list", resource.list_kind.as_str()),
                    (_, true) => ("PartialObjectMetadataList", "not a list", "Unstructured"),
                    (_, false) => ("PartialObjectMetadataList", "not a list", resource.kind.as_str()),
                };
                let message = format!("you requested {asked}, but the requested object is {is} (*{package}.{kind})");
                fault::not_acceptable(&message, false)
            }
            _ => status,
        };
        codec::negotiate(self.header("accept"), endpoint).map_err(failed)
    }

    async fn answer(&self) -> Result<Response<Body>, Status> {
        let path = self.uri.path();
        match paths::parse(path) {
            Path::Resource(target) => self.resource(target).await,
            parsed => {
                if !rbac::may_path(&self.server, &self.user, &self.method.as_str().to_lowercase(), path) {
                    let message = format!(
                        "forbidden: User {:?} cannot {} path {path:?}",
                        self.user.name,
                        self.method.as_str().to_lowercase()
                    );
                    let mut status = Status::failure(403, "Forbidden", message);
                    status.body["details"] = json!({});
                    return Err(status);
                }
                self.discover(&parsed)
            }
        }
    }

    fn discover(&self, path: &Path) -> Result<Response<Body>, Status> {
        let registry = self.server.registry();
        let json = |body: &Json| Ok(codec::object(200, Accepted::JSON, body));
        match path {
            Path::Core | Path::Groups => {
                let core = *path == Path::Core;
                let accepted = self.accept(Endpoint::Discovery)?;
                let remote = if core { Vec::new() } else { aggregation::remote(&self.server) };
                if accepted.form == Form::Discovery {
                    let mut body = discovery::aggregated(&registry, core);
                    if !remote.is_empty()
                        && let Some(items) = body["items"].as_array_mut()
                    {
                        items.extend(aggregation::stale(&self.server));
                    }
                    return Ok(self.aggregated(&body));
                }
                let host = self.header("host");
                json(&if core { discovery::core(host) } else { discovery::group_list(&registry, &remote) })
            }
            Path::Group(group) => match discovery::one_group(&registry, group) {
                Some(body) => json(&body),
                None => Ok(codec::no_page()),
            },
            Path::GroupVersion(group, version) => match discovery::group_version(&registry, group, version) {
                Some(body) => json(&body),
                None if aggregation::is_remote(&self.server, group, version) => Ok(unavailable()),
                None => self.unknown(group),
            },
            Path::Resource(_) | Path::Other => self.other(),
        }
    }

    /// An unknown resource: a page that is not there, or a Status where the group is built in.
    fn unknown(&self, group: &str) -> Result<Response<Body>, Status> {
        let registry = self.server.registry();
        let built_in = group.is_empty() || registry.all().iter().any(|r| r.group == group && r.custom.is_none());
        if built_in { Err(fault::unknown_resource()) } else { Ok(codec::no_page()) }
    }

    fn aggregated(&self, body: &Json) -> Response<Body> {
        const KIND: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let tag = discovery::etag(body);
        let same = self.header("if-none-match") == tag;
        let mut response = if same { codec::text(304, "") } else { codec::object(200, Accepted::JSON, body) };
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        if same {
            headers.remove(header::CONTENT_TYPE);
        } else {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(KIND));
        }
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }

    fn other(&self) -> Result<Response<Body>, Status> {
        let path = self.uri.path();
        match path.trim_end_matches('/') {
            "/version" => Ok(codec::object(200, Accepted::JSON, &version(&self.server.version))),
            "/healthz" | "/livez" | "/readyz" | "/healthz/ping" | "/healthz/etcd" => Ok(codec::text(200, "ok")),
            "/openapi/v2" => Ok(codec::object(200, Accepted::JSON, &openapi_document::v2(&self.server))),
            "/openapi/v3" => {
                Ok(codec::object(200, Accepted::JSON, &openapi_document::v3_root(&self.server.registry())))
            }
            "" => {
                let paths = [
                    "/api",
                    "/api/v1",
                    "/apis",
                    "/healthz",
                    "/livez",
                    "/openapi/v2",
                    "/openapi/v3",
                    "/readyz",
                    "/version",
                ];
                Ok(codec::object(200, Accepted::JSON, &json!({"paths": paths})))
            }
            other => match other.strip_prefix("/openapi/v3/").and_then(|name| openapi_document::v3(&self.server, name))
            {
                Some(document) => Ok(codec::object(200, Accepted::JSON, &document)),
                None => Ok(codec::no_page()),
            },
        }
    }

    async fn resource(&self, mut target: Target) -> Result<Response<Body>, Status> {
        // `/api/v1/watch/…` is the old way to watch.
        let mut watching = self.query.flag("watch") && self.method == Method::GET;
        if target.resource == "watch" {
            let path = self.uri.path().replacen("/watch/", "/", 1);
            let Path::Resource(inner) = paths::parse(&path) else { return self.unknown(&target.group) };
            (target, watching) = (inner, true);
        }
        let named = !target.name.is_empty();
        let verb = verb_of(&self.method, named && !watching, watching);
        self.authorize(&target, verb)?;
        let registry = self.server.registry();
        let Some(resource) = registry.by_path(&target.group, &target.version, &target.resource).cloned() else {
            if aggregation::is_remote(&self.server, &target.group, &target.version) {
                return Ok(unavailable());
            }
            return self.unknown(&target.group);
        };
        if resource.namespaced && target.namespace.is_empty() && (named || verb == "create") {
            return Err(fault::method_not_allowed());
        }
        if !target.subresource.is_empty() {
            let base = target.subresource.split('/').next().unwrap_or_default();
            let Some(sub) = resource.subresource(base) else { return self.unknown(&target.group) };
            if !sub.verbs.iter().any(|v| v == verb) {
                return Err(fault::method_not_allowed());
            }
        } else if !resource.allows(verb)
            || (verb == "create" && named)
            || (matches!(verb, "update" | "patch") && !named)
        {
            return Err(fault::method_not_allowed());
        }
        let namespace = if resource.namespaced { target.namespace.clone() } else { String::new() };
        let request = Request {
            user: self.user.clone(),
            resource,
            namespace,
            name: target.name.clone(),
            subresource: target.subresource.clone(),
            options: Options::default(),
        };
        let mut response = self.run(request.clone(), verb).await?;
        let deprecated = request.resource.crd_version().filter(|version| version["deprecated"] == true);
        if let Some(version) = deprecated {
            let preferred = registry.by_table(&request.resource.table()).cloned();
            let sentence = version["deprecationWarning"].as_str().map_or_else(
                || {
                    let resource = &request.resource;
                    let other = preferred.map(|p| p.api_version()).filter(|v| *v != resource.api_version());
                    let hint = other.map_or_else(String::new, |v| format!("; use {v} {}", resource.kind));
                    format!("{} {} is deprecated{hint}", resource.api_version(), resource.kind)
                },
                str::to_owned,
            );
            codec::warn(response.headers_mut(), &[sentence]);
        }
        Ok(response)
    }

    fn authorize(&self, target: &Target, verb: &str) -> Result<(), Status> {
        let resource = if target.subresource.is_empty() {
            target.resource.clone()
        } else {
            format!("{}/{}", target.resource, target.subresource)
        };
        let question = rbac::Question {
            verb,
            group: &target.group,
            resource: &resource,
            namespace: &target.namespace,
            name: &target.name,
        };
        rbac::check(&self.server, &self.user, &question)
    }

    async fn run(&self, request: Request, verb: &str) -> Result<Response<Body>, Status> {
        if subresource::handles(&request) {
            let accepted = self.accept(Endpoint::Object)?;
            return self.special(request, verb, accepted).await;
        }
        match verb {
            "get" => self.get(&request).await,
            "list" => self.list(&request).await,
            "watch" => self.watch(&request).await,
            "create" => self.create(request).await,
            "update" => self.update(request).await,
            "patch" => self.patch(request).await,
            "delete" => self.delete(request).await,
            "deletecollection" => self.delete_collection(request).await,
            _ => Err(fault::method_not_allowed()),
        }
    }

    /// Answers an object in the accepted form.
    fn show(&self, resource: &Resource, code: u16, accepted: Accepted, object: &Json) -> Response<Body> {
        let body = match accepted.form {
            Form::Table => table::one(&self.server, resource, object, self.query.get("includeObject")),
            Form::Metadata => codec::partial(object),
            _ => return codec::object(code, accepted, object),
        };
        codec::object(code, accepted, &body)
    }

    async fn get(&self, request: &Request) -> Result<Response<Body>, Status> {
        let accepted = self.accept_view(Endpoint::Object, &request.resource)?;
        let resource = &request.resource;
        if let Ok(Some(wanted)) = requests::revision(&self.query) {
            let current = self.server.store.revision();
            if wanted > current {
                return Err(requests::too_large(wanted, current));
            }
        }
        let missing = || fault::not_found(&resource.group, &resource.plural, &request.name);
        let object = self.server.store.get(&resource.table(), &request.key()).ok_or_else(missing)?;
        let object = super::convert::one(&self.server, resource, object).await?;
        Ok(self.show(resource, 200, accepted, &object))
    }

    async fn list(&self, request: &Request) -> Result<Response<Body>, Status> {
        let accepted = self.accept_view(Endpoint::List, &request.resource)?;
        let resource = &request.resource;
        let selection = Selection::parse(&self.query, resource, &request.namespace, "")?;
        let page = requests::list(&self.server, resource, &selection, &self.query).await?;
        Ok(codec::object(200, accepted, &self.list_body(resource, accepted, page)))
    }

    fn list_body(&self, resource: &Resource, accepted: Accepted, page: requests::Page) -> Json {
        match accepted.form {
            Form::Table => {
                let include = self.query.get("includeObject");
                table::many(&self.server, resource, &page.items, &trimmed(page.metadata), include)
            }
            Form::MetadataList => {
                let items: Vec<Json> = page.items.iter().map(|object| codec::partial(object)).collect();
                // The one list that is written as null when it is empty.
                let items = if items.is_empty() { Json::Null } else { Json::Array(items) };
                json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                    "metadata": trimmed(page.metadata), "items": items,
                })
            }
            _ => {
                let custom = resource.custom.is_some();
                let bare = |object: &Arc<Json>| {
                    let mut object = (**object).clone();
                    if !custom && let Some(map) = object.as_object_mut() {
                        map.shift_remove("kind");
                        map.shift_remove("apiVersion");
                    }
                    object
                };
                let items: Vec<Json> = page.items.iter().map(bare).collect();
                json!({
                    "kind": resource.list_kind, "apiVersion": resource.api_version(),
                    "metadata": page.metadata, "items": items,
                })
            }
        }
    }

    async fn watch(&self, request: &Request) -> Result<Response<Body>, Status> {
        let accepted = self.accept(Endpoint::Object)?;
        let resource = request.resource.clone();
        let selection = Selection::parse(&self.query, &resource, &request.namespace, &request.name)?;
        watch::start(self.server.clone(), resource, selection, &self.query, accepted)
    }

    /// The body as an object, with the duplicate keys that it has.
    fn body_object(&self, request: &Request) -> Result<(Json, Vec<String>), Status> {
        let kind = self.header("content-type").split(';').next().unwrap_or_default().trim().to_owned();
        let wanted = match request.resource.subresource(&request.subresource) {
            Some(sub) => sub.kind.clone(),
            None => request.resource.kind.clone(),
        };
        if kind == PROTOBUF
            && let Some(value) = protobuf::decode(&self.body)
        {
            return Ok((value, Vec::new()));
        }
        let parsed = match kind.as_str() {
            "" | "application/json" => json_text::json(&self.body).map_err(|why| {
                let text = String::from_utf8_lossy(&self.body);
                let shown = if text.is_empty() { "<empty>".into() } else { text };
                fault::bad_request(format!(
                    "the object provided is unrecognized (must be of type {wanted}): couldn't get version/kind; json \
                     parse error: {why} ({shown})"
                ))
            })?,
            "application/yaml" => json_text::yaml(&self.body)
                .map_err(|why| fault::bad_request(format!("error converting YAML to JSON: {why}")))?,
            _ => {
                let message = "the body of the request was in an unknown format - accepted media types include: \
                               application/json, application/yaml, application/vnd.kubernetes.protobuf";
                return Err(fault::unsupported_media_type(message, false));
            }
        };
        if request.resource.custom.is_some() && request.subresource != "scale" && parsed.value["kind"].is_null() {
            let text = String::from_utf8_lossy(&self.body);
            let cut: String = text.chars().take(30).collect();
            return Err(fault::bad_request(format!(
                "the object provided is unrecognized (must be of type {wanted}): Object 'Kind' is missing in '{text}' \
                 ({cut} ...)"
            )));
        }
        Ok((parsed.value, parsed.duplicates))
    }

    fn agent(&self) -> &str {
        self.header("user-agent")
    }

    async fn create(&self, mut request: Request) -> Result<Response<Body>, Status> {
        let accepted = self.accept(Endpoint::Object)?;
        request.options = requests::options(&self.query, "CreateOptions", self.agent(), false)?;
        let (object, duplicates) = self.body_object(&request)?;
        if subresource::is_review(&request.resource) {
            let answer = subresource::review(&self.server, &request, object)?;
            return Ok(codec::object(201, accepted, &answer));
        }
        let read = typed::read_noting(&self.server, &request, object, duplicates)?;
        let resource = request.resource.clone();
        let written = self.server.create(request, read.object).await?;
        let mut response = self.show(&resource, 201, accepted, &written.object);
        codec::warn(response.headers_mut(), &read.warnings);
        codec::warn(response.headers_mut(), &written.warnings);
        Ok(response)
    }

    async fn update(&self, mut request: Request) -> Result<Response<Body>, Status> {
        let accepted = self.accept(Endpoint::Object)?;
        request.options = requests::options(&self.query, "UpdateOptions", self.agent(), false)?;
        let (object, duplicates) = self.body_object(&request)?;
        let resource = request.resource.clone();
        let read = typed::read_noting(&self.server, &request, object, duplicates)?;
        let written = self.server.update(request, read.object).await?;
        let code = if written.created { 201 } else { 200 };
        let mut response = self.show(&resource, code, accepted, &written.object);
        codec::warn(response.headers_mut(), &read.warnings);
        codec::warn(response.headers_mut(), &written.warnings);
        Ok(response)
    }

    /// A patch of a kind that the resource takes.
    fn read_patch(&self, request: &Request) -> Result<(PatchBody, Vec<String>), Status> {
        let kind = self.header("content-type").split(';').next().unwrap_or_default().trim().to_owned();
        let custom = request.resource.custom.is_some();
        let known = [OPERATIONS, MERGE, APPLY, STRATEGIC].contains(&kind.as_str());
        if !known {
            return Err(fault::unsupported_media_type("415: Unsupported Media Type", true));
        }
        if custom && kind == STRATEGIC {
            let message = format!(
                "the body of the request was in an unknown format - accepted media types include: {OPERATIONS}, {MERGE}, \
                 {APPLY}"
            );
            return Err(fault::unsupported_media_type(&message, false));
        }
        if kind == APPLY {
            return self.read_applied(request);
        }
        let parsed = json_text::json(&self.body)
            .map_err(|why| fault::bad_request(format!("error decoding patch: {why}")))?
            .value;
        if kind == OPERATIONS {
            if let Err(why) = check_operations(&parsed) {
                return Err(fault::bad_request(why));
            }
            return Ok((PatchBody::Change(Patch::Operations(parsed)), Vec::new()));
        }
        if !parsed.is_object() {
            let found = match parsed {
                Json::Array(_) => "array",
                Json::String(_) => "string",
                Json::Number(_) => "number",
                _ => "bool",
            };
            return Err(fault::bad_request(format!(
                "error decoding patch: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )));
        }
        let patch = if kind == MERGE { Patch::Merge(parsed) } else { Patch::Strategic(parsed) };
        Ok((PatchBody::Change(patch), Vec::new()))
    }

    fn read_applied(&self, request: &Request) -> Result<(PatchBody, Vec<String>), Status> {
        use super::write::Validation;
        if let Ok(parsed) = json_text::json(&self.body)
            && parsed.duplicates.is_empty()
        {
            return Ok((PatchBody::Apply(parsed.value), Vec::new()));
        }
        let parsed = json_text::yaml(&self.body)
            .map_err(|why| fault::bad_request(format!("error decoding YAML: error converting YAML to JSON: {why}")))?;
        match request.options.validation {
            Validation::Strict if !parsed.duplicates.is_empty() => Err(fault::bad_request(format!(
                "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  {}",
                parsed.duplicates.join("\n  ")
            ))),
            Validation::Warn => Ok((PatchBody::Apply(parsed.value), parsed.duplicates)),
            _ => Ok((PatchBody::Apply(parsed.value), Vec::new())),
        }
    }

    async fn patch(&self, mut request: Request) -> Result<Response<Body>, Status> {
        let accepted = self.accept(Endpoint::Object)?;
        let kind = self.header("content-type").split(';').next().unwrap_or_default().trim();
        request.options = requests::options(&self.query, "PatchOptions", self.agent(), kind == APPLY)?;
        let (patch, warnings) = self.read_patch(&request)?;
        let resource = request.resource.clone();
        let written = match patch {
            PatchBody::Apply(config) => self.server.apply(request, config).await?,
            PatchBody::Change(patch) => self.server.patch(request, patch).await?,
        };
        let code = if written.created { 201 } else { 200 };
        let mut response = self.show(&resource, code, accepted, &written.object);
        codec::warn(response.headers_mut(), &warnings);
        codec::warn(response.headers_mut(), &written.warnings);
        Ok(response)
    }

    fn delete_body(&self) -> Result<Json, Status> {
        if self.body.is_empty() {
            return Ok(Json::Null);
        }
        if self.header("content-type") == PROTOBUF
            && let Some(options) = protobuf::decode(&self.body)
        {
            return Ok(options);
        }
        let parsed = match json_text::json(&self.body) {
            Ok(parsed) => parsed,
            Err(why) => json_text::yaml(&self.body).map_err(|_| fault::bad_request(why))?,
        };
        Ok(parsed.value)
    }

    async fn delete(&self, mut request: Request) -> Result<Response<Body>, Status> {
        let accepted = self.accept(Endpoint::Object)?;
        let (mut deletion, dry_run) = requests::deletion(&self.query, &self.delete_body()?)?;
        request.options.dry_run = dry_run;
        let resource = request.resource.clone();
        let mut warnings = Vec::new();
        if resource.plural == "jobs"
            && resource.group == "batch"
            && deletion.propagation.is_none()
            && deletion.orphan.is_none()
        {
            warnings.push(
                "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
                 them or set propagationPolicy=Orphan to suppress this warning"
                    .to_owned(),
            );
            deletion.propagation = Some("Orphan".to_owned());
        }
        let name = request.name.clone();
        let mut response = match self.server.delete(request, deletion).await? {
            Deleted::Pending(object) => self.show(&resource, 200, accepted, &object),
            Deleted::Gone(object) if returns_deleted(&resource) => self.show(&resource, 200, accepted, &object),
            Deleted::Gone(object) => {
                let mut details = serde_json::Map::new();
                details.insert("name".to_owned(), Json::from(name));
                if !resource.group.is_empty() {
                    details.insert("group".to_owned(), Json::from(resource.group.as_str()));
                }
                details.insert("kind".to_owned(), Json::from(resource.plural.as_str()));
                details.insert("uid".to_owned(), object["metadata"]["uid"].clone());
                let body = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
                });
                codec::object(200, accepted, &body)
            }
        };
        codec::warn(response.headers_mut(), &warnings);
        Ok(response)
    }

    async fn delete_collection(&self, mut request: Request) -> Result<Response<Body>, Status> {
        let accepted = self.accept(Endpoint::List)?;
        let (deletion, dry_run) = requests::deletion(&self.query, &self.delete_body()?)?;
        request.options.dry_run = dry_run;
        let resource = request.resource.clone();
        let selection = Selection::parse(&self.query, &resource, &request.namespace, "")?;
        let page = requests::list(&self.server, &resource, &selection, &self.query).await?;
        for object in &page.items {
            let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
            let one = Request { namespace: text("namespace"), name: text("name"), ..request.clone() };
            match self.server.delete(one, deletion.clone()).await {
                Err(status) if status.code != 404 => return Err(status),
                _ => {}
            }
        }
        Ok(codec::object(200, accepted, &self.list_body(&resource, accepted, page)))
    }

    /// Subresources with a kind or a verb of their own.
    async fn special(&self, mut request: Request, verb: &str, accepted: Accepted) -> Result<Response<Body>, Status> {
        let server = &self.server;
        subresource::refuse_processes(server, &request)?;
        let options_kind = match verb {
            "create" => "CreateOptions",
            "patch" => "PatchOptions",
            _ => "UpdateOptions",
        };
        if matches!(verb, "create" | "update" | "patch") {
            let apply = self.header("content-type").starts_with(APPLY);
            request.options = requests::options(&self.query, options_kind, self.agent(), apply)?;
        }
        if request.subresource == "scale" {
            let change = match verb {
                "get" => scale::Change::None,
                "update" => scale::Change::Replace(self.body_object(&request)?.0),
                _ => match self.read_patch(&request)?.0 {
                    PatchBody::Apply(config) => scale::Change::Apply(config),
                    PatchBody::Change(patch) => scale::Change::Patch(patch),
                },
            };
            let answer = scale::run(server, request, change).await?;
            return Ok(codec::object(200, accepted, &answer));
        }
        if request.subresource == "log" {
            return subresource::log(server, &request, &self.query).map(|text| codec::text(200, text));
        }
        let (body, _) = self.body_object(&request)?;
        let answer = subresource::create(server, &request, body).await?;
        Ok(codec::object(201, accepted, &answer))
    }
}

/// What is said for another server that cannot be reached.
fn unavailable() -> Response<Body> {
    let mut response = codec::text(503, "service unavailable\n");
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

enum PatchBody {
    Apply(Json),
    Change(Patch),
}

fn check_operations(patch: &Json) -> Result<(), String> {
    match crate::openapi::jsonpatch::apply(&json!({}), if patch.is_array() { &EMPTY } else { patch }) {
        Err(crate::openapi::jsonpatch::PatchError::Malformed(why)) => Err(why),
        _ => Ok(()),
    }
}

static EMPTY: Json = Json::Array(Vec::new());

/// A list's metadata without an empty continue token.
fn trimmed(mut metadata: Json) -> Json {
    if metadata["continue"] == ""
        && let Some(map) = metadata.as_object_mut()
    {
        map.shift_remove("continue");
    }
    metadata
}

/// Kinds whose deletion answers the object instead of a Status.
fn returns_deleted(resource: &Resource) -> bool {
    resource.group.is_empty()
        && matches!(
            resource.plural.as_str(),
            "namespaces"
                | "pods"
                | "services"
                | "serviceaccounts"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "podtemplates"
                | "resourcequotas"
        )
}

/// `/version` of `v1.34.1-gke.1293000`.
fn version(text: &str) -> Json {
    let mut parts = text.trim_start_matches('v').split('.');
    let major = parts.next().unwrap_or("1");
    let minor = parts.next().unwrap_or("34");
    let before = minor.parse::<u32>().map_or(0, |m| m.saturating_sub(1)).to_string();
    json!({
        "major": major, "minor": minor, "emulationMajor": major, "emulationMinor": minor,
        "minCompatibilityMajor": major, "minCompatibilityMinor": before, "gitVersion": text,
        "gitCommit": "0000000000000000000000000000000000000000", "gitTreeState": "clean",
        "buildDate": "2026-08-21T00:00:00Z", "goVersion": "go1.26", "compiler": "gc", "platform": "linux/amd64",
    })
}
