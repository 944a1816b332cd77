//! A real API server, as the simulator's programs see theirs: reads from memory that watches keep fresh, writes
//! over HTTP in the name of the ServiceAccount that a program runs as, so that real RBAC decides.
//!
//! As with any informer, what is read may be a moment old; a program's own write is waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use reqwest::{Certificate, Client, Method};
use serde_json::{Value as Json, json};
use stackwright::sim::kube::api::{Api, Change, DeleteOptions, Gvk, Status};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

/// Kinds that change all the time and concern no program.
const NOISE: &[&str] = &["Event", "Lease", "ComponentStatus"];
/// How often discovery is asked for anew.
const DISCOVERY: Duration = Duration::from_millis(300);

/// An API server, seen by one user.
pub struct Remote {
    server: Arc<Server>,
    /// Whom requests are made for; the administrator without.
    user: Option<String>,
    /// The manager of the fields that it writes; by default the name of its account.
    manager: Option<String>,
}

struct Server {
    url: String,
    token: String,
    client: Client,
    seen: Mutex<Seen>,
}

/// Group and kind; every version of a kind is one store.
type Kind = (String, String);
type Objects = BTreeMap<(String, String), Arc<Json>>;

#[derive(Default)]
struct Seen {
    served: BTreeMap<Kind, Served>,
    versions: BTreeSet<Gvk>,
    objects: BTreeMap<Kind, Objects>,
    watches: BTreeMap<Kind, AbortHandle>,
    subscribers: Vec<UnboundedSender<Change>>,
}

#[derive(Clone, PartialEq)]
struct Served {
    /// In the version that is watched.
    gvk: Gvk,
    plural: String,
    namespaced: bool,
    watched: bool,
}

impl Served {
    fn path(&self, version: &str, namespace: &str, name: &str) -> String {
        let mut path = match self.gvk.group.as_str() {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        };
        if self.namespaced && !namespace.is_empty() {
            path += &format!("/namespaces/{namespace}");
        }
        path += &format!("/{}", self.plural);
        if name.is_empty() { path } else { format!("{path}/{name}") }
    }
}

fn text<'a>(object: &'a Json, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

fn key(object: &Json) -> (String, String) {
    (text(object, "/metadata/namespace").to_owned(), text(object, "/metadata/name").to_owned())
}

fn version(object: &Json) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or_default()
}

impl Seen {
    fn tell(&mut self, gvk: &Gvk, old: Option<Arc<Json>>, new: Option<Arc<Json>>) {
        let change = Change { gvk: gvk.clone(), old, new };
        self.subscribers.retain(|subscriber| subscriber.send(change.clone()).is_ok());
    }

    /// The definition that makes a kind.
    fn definition(&self, kind: &Kind) -> Option<Arc<Json>> {
        let definitions = ("apiextensions.k8s.io".to_owned(), "CustomResourceDefinition".to_owned());
        let mut all = self.objects.get(&definitions)?.values();
        let of = |it: &Json| (text(it, "/spec/group").to_owned(), text(it, "/spec/names/kind").to_owned());
        all.find(|definition| of(definition) == *kind).cloned()
    }

    fn put(&mut self, served: &Served, mut object: Json) {
        object["apiVersion"] = json!(served.gvk.api_version());
        object["kind"] = json!(served.gvk.kind);
        let objects = self.objects.entry((served.gvk.group.clone(), served.gvk.kind.clone())).or_default();
        let key = key(&object);
        let old = objects.get(&key).cloned();
        if old.as_ref().is_some_and(|old| version(old) >= version(&object)) {
            return;
        }
        let new = Arc::new(object);
        objects.insert(key, new.clone());
        self.tell(&served.gvk, old, Some(new));
    }

    fn take(&mut self, served: &Served, key: &(String, String)) {
        let kind = (served.gvk.group.clone(), served.gvk.kind.clone());
        let old = self.objects.get_mut(&kind).and_then(|objects| objects.remove(key));
        if old.is_some() {
            self.tell(&served.gvk, old, None);
        }
    }
}

impl Server {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic holds it")
    }

    fn request(&self, method: Method, path: &str, user: Option<&str>) -> reqwest::RequestBuilder {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some(user) = user {
            let namespace = user.split(':').nth(2).unwrap_or_default();
            request = request.header("Impersonate-User", user);
            let groups = ["serviceaccounts", &format!("serviceaccounts:{namespace}"), "authenticated"];
            for group in groups {
                request = request.header("Impersonate-Group", format!("system:{group}"));
            }
        }
        request
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Json, Status> {
        let lost = |error: reqwest::Error| Status::failure(503, "ServiceUnavailable", error.to_string());
        let answer = request.timeout(Duration::from_secs(40)).send().await.map_err(lost)?;
        let code = answer.status().as_u16();
        let body: Json = answer.json().await.map_err(lost)?;
        if (200..300).contains(&code) { Ok(body) } else { Err(Status { code, body }) }
    }

    /// Looks what is served, and watches whatever is new.
    async fn discover(self: &Arc<Self>, tags: &mut [String; 2]) -> Result<(), Status> {
        const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let lost = |error: reqwest::Error| Status::failure(503, "ServiceUnavailable", error.to_string());
        let mut groups = Vec::new();
        let mut fresh = false;
        for (path, tag) in ["/api", "/apis"].iter().zip(tags.iter_mut()) {
            let answer = self.request(Method::GET, path, None).header("Accept", AGGREGATED).send().await;
            let answer = answer.map_err(lost)?;
            let now = answer.headers().get("etag").and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
            fresh |= now.is_empty() || now != *tag;
            *tag = now;
            let list: Json = answer.json().await.map_err(lost)?;
            groups.extend(list["items"].as_array().cloned().unwrap_or_default());
        }
        let missing = {
            let seen = self.seen();
            seen.served.iter().any(|(kind, served)| served.watched && !seen.watches.contains_key(kind))
        };
        if !fresh && !missing {
            return Ok(());
        }
        let stored = self.stored();
        let mut versions = BTreeSet::new();
        let mut served = BTreeMap::new();
        for group in &groups {
            for version in group["versions"].as_array().into_iter().flatten() {
                for resource in version["resources"].as_array().into_iter().flatten() {
                    let kind = text(resource, "/responseKind/kind");
                    let gvk = Gvk::new(text(group, "/metadata/name"), text(version, "/version"), kind);
                    let verbs = resource["verbs"].as_array().into_iter().flatten().filter_map(Json::as_str);
                    let can = verbs.filter(|verb| matches!(*verb, "list" | "watch")).count() == 2;
                    versions.insert(gvk.clone());
                    let of = (gvk.group.clone(), gvk.kind.clone());
                    let entry = Served {
                        plural: text(resource, "/resource").to_owned(),
                        namespaced: text(resource, "/scope") == "Namespaced",
                        watched: can && !NOISE.contains(&kind),
                        gvk,
                    };
                    // The stored version needs nobody to convert it; else the server's first choice.
                    if stored.get(&of) == Some(&entry.gvk.version) || !served.contains_key(&of) {
                        served.insert(of, entry);
                    }
                }
            }
        }
        let gone = {
            let mut seen = self.seen();
            seen.versions = versions;
            let gone = seen.watches.keys().filter(|kind| !served.contains_key(kind)).cloned().collect::<Vec<_>>();
            for kind in &gone {
                if let Some(watch) = seen.watches.remove(kind) {
                    watch.abort();
                }
            }
            let gone = gone.iter().filter_map(|kind| seen.served.get(kind).cloned()).collect::<Vec<_>>();
            seen.served = served.clone();
            gone
        };
        for served in gone {
            let kind = (served.gvk.group.clone(), served.gvk.kind.clone());
            let keys = self.seen().objects.get(&kind).map(|all| all.keys().cloned().collect::<Vec<_>>());
            for key in keys.unwrap_or_default() {
                self.seen().take(&served, &key);
            }
        }
        for (kind, served) in served {
            if !served.watched || self.seen().watches.contains_key(&kind) {
                continue;
            }
            // A definition that is only just established answers in a moment; the next round asks again.
            let Ok(version) = self.list(&served).await else { continue };
            let watch = tokio::spawn(follow(self.clone(), served, version)).abort_handle();
            let mut seen = self.seen();
            seen.watches.insert(kind.clone(), watch);
            // Whoever heard of the definition before its kind was served looks again.
            if let Some(definition) = seen.definition(&kind) {
                let gvk = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
                seen.tell(&gvk, Some(definition.clone()), Some(definition));
            }
        }
        Ok(())
    }

    /// The stored version of each kind that a definition makes.
    fn stored(&self) -> BTreeMap<Kind, String> {
        let seen = self.seen();
        let definitions = ("apiextensions.k8s.io".to_owned(), "CustomResourceDefinition".to_owned());
        let all = seen.objects.get(&definitions).into_iter().flat_map(BTreeMap::values);
        all.filter_map(|definition| {
            let versions = definition.pointer("/spec/versions")?.as_array()?;
            let stored = versions.iter().find(|version| version["storage"] == true)?;
            let kind = (text(definition, "/spec/group").to_owned(), text(definition, "/spec/names/kind").to_owned());
            Some((kind, text(stored, "/name").to_owned()))
        })
        .collect()
    }

    /// Lists a kind into memory; the version to watch from.
    async fn list(&self, served: &Served) -> Result<String, Status> {
        let list = self.send(self.request(Method::GET, &served.path(&served.gvk.version, "", ""), None)).await?;
        let mut there = BTreeSet::new();
        for item in list["items"].as_array().into_iter().flatten() {
            there.insert(key(item));
            self.seen().put(served, item.clone());
        }
        let kind = (served.gvk.group.clone(), served.gvk.kind.clone());
        let known = self.seen().objects.get(&kind).map(|all| all.keys().cloned().collect::<Vec<_>>());
        for key in known.unwrap_or_default().iter().filter(|key| !there.contains(*key)) {
            self.seen().take(served, key);
        }
        Ok(text(&list, "/metadata/resourceVersion").to_owned())
    }
}

/// Watches a kind for ever.
async fn follow(server: Arc<Server>, served: Served, mut version: String) {
    let path = served.path(&served.gvk.version, "", "");
    loop {
        let from = format!("{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}");
        if let Ok(answer) = server.request(Method::GET, &from, None).send().await
            && answer.status().is_success()
        {
            let mut stream = answer.bytes_stream();
            let mut buffer = Vec::new();
            'stream: while let Some(Ok(bytes)) = stream.next().await {
                buffer.extend_from_slice(&bytes);
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line = buffer.drain(..=end).collect::<Vec<_>>();
                    let Ok(mut event) = serde_json::from_slice::<Json>(&line) else { break 'stream };
                    let object = event["object"].take();
                    match event["type"].as_str().unwrap_or_default() {
                        "ADDED" | "MODIFIED" => server.seen().put(&served, object),
                        "DELETED" => server.seen().take(&served, &key(&object)),
                        "BOOKMARK" => {}
                        _ => break 'stream,
                    }
                }
            }
        }
        // The server has gone, or forgotten where we were.
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if let Ok(now) = server.list(&served).await {
                version = now;
                break;
            }
        }
    }
}

impl Remote {
    /// The administrator's view. Returns when everything that there is has been read once.
    pub async fn open(url: &str, ca_pem: &str, token: &str) -> Arc<Remote> {
        let ca = Certificate::from_pem(ca_pem.as_bytes()).expect("a certificate");
        // A connection of HTTP/2 has a hundred streams, and there are more kinds to watch than that.
        let client = Client::builder().no_proxy().http1_only().tls_certs_only([ca]).build().expect("client");
        let (url, token) = (url.to_owned(), token.to_owned());
        let server = Arc::new(Server { url, token, client, seen: Mutex::default() });
        let mut tags = [String::new(), String::new()];
        server.discover(&mut tags).await.expect("discovery");
        let looking = server.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(DISCOVERY).await;
                // A server that is away comes back.
                looking.discover(&mut tags).await.ok();
            }
        });
        Arc::new(Remote { server, user: None, manager: None })
    }

    /// Where an object is sent, and as what it is watched.
    fn place(&self, gvk: &Gvk) -> Result<Served, Status> {
        let served = self.server.seen().served.get(&(gvk.group.clone(), gvk.kind.clone())).cloned();
        served.ok_or_else(|| Status::failure(404, "NotFound", format!("{} is not served", gvk.kind)))
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.server.request(method, path, self.user.as_deref())
    }

    /// A write, and its arrival in memory.
    async fn write(&self, method: Method, gvk: &Gvk, path: &str, body: &Json) -> Result<Arc<Json>, Status> {
        let account = || self.user.as_deref().and_then(|user| user.rsplit(':').next());
        let manager = self.manager.as_deref().or_else(account).unwrap_or("cloud-controller");
        let mark = if path.contains('?') { "&" } else { "?" };
        let manager =
            if path.contains("fieldManager") { String::new() } else { format!("{mark}fieldManager={manager}") };
        let apply = method == Method::PATCH;
        let content = if apply { "application/apply-patch+yaml" } else { "application/json" };
        let request = self.request(method, &format!("{path}{manager}"));
        let answer = self.server.send(request.header("Content-Type", content).body(body.to_string())).await?;
        let kind = (gvk.group.clone(), gvk.kind.clone());
        for _ in 0..200 {
            let (watched, known) = {
                let seen = self.server.seen();
                let known = seen.objects.get(&kind).and_then(|all| all.get(&key(&answer))).cloned();
                (seen.watches.contains_key(&kind), known)
            };
            // Gone again already, as a finalizer's last holder finds it.
            let going = answer.pointer("/metadata/deletionTimestamp").is_some();
            if !watched || going || known.is_some_and(|known| version(&known) >= version(&answer)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Arc::new(answer))
    }

    async fn put(&self, object: Json, subresource: &str) -> Result<Arc<Json>, Status> {
        let gvk = Gvk::of(&object).ok_or_else(|| Status::failure(400, "BadRequest", "no kind"))?;
        let (namespace, name) = key(&object);
        let path = self.place(&gvk)?.path(&gvk.version, &namespace, &name) + subresource;
        self.write(Method::PUT, &gvk, &path, &object).await
    }
}

/// The object in the version that was asked for. Only kinds without conversion differ.
fn seen_as(object: &Arc<Json>, gvk: &Gvk) -> Arc<Json> {
    if object["apiVersion"] == gvk.api_version().as_str() {
        return object.clone();
    }
    let mut other = (**object).clone();
    other["apiVersion"] = json!(gvk.api_version());
    Arc::new(other)
}

#[async_trait]
impl Api for Remote {
    fn impersonate(&self, user: &str) -> Arc<dyn Api> {
        Arc::new(Remote { server: self.server.clone(), user: Some(user.to_owned()), manager: self.manager.clone() })
    }

    fn managing(&self, manager: &str) -> Arc<dyn Api> {
        Arc::new(Remote { server: self.server.clone(), user: self.user.clone(), manager: Some(manager.to_owned()) })
    }

    fn serves(&self, gvk: &Gvk) -> bool {
        self.server.seen().versions.contains(gvk)
    }

    fn kinds(&self) -> Vec<(Gvk, bool)> {
        self.server.seen().served.values().map(|served| (served.gvk.clone(), served.namespaced)).collect()
    }

    fn get(&self, gvk: &Gvk, namespace: &str, name: &str) -> Option<Arc<Json>> {
        let seen = self.server.seen();
        let objects = seen.objects.get(&(gvk.group.clone(), gvk.kind.clone()))?;
        objects.get(&(namespace.to_owned(), name.to_owned())).map(|object| seen_as(object, gvk))
    }

    fn list(&self, gvk: &Gvk, namespace: Option<&str>) -> Vec<Arc<Json>> {
        let seen = self.server.seen();
        let objects = seen.objects.get(&(gvk.group.clone(), gvk.kind.clone())).into_iter().flatten();
        let inside = objects.filter(|((of, _), _)| namespace.is_none_or(|namespace| namespace == of));
        inside.map(|(_, object)| seen_as(object, gvk)).collect()
    }

    fn subscribe(&self) -> UnboundedReceiver<Change> {
        let (sender, receiver) = unbounded_channel();
        self.server.seen().subscribers.push(sender);
        receiver
    }

    async fn create(&self, object: Json) -> Result<Arc<Json>, Status> {
        let gvk = Gvk::of(&object).ok_or_else(|| Status::failure(400, "BadRequest", "no kind"))?;
        let path = self.place(&gvk)?.path(&gvk.version, &key(&object).0, "");
        self.write(Method::POST, &gvk, &path, &object).await
    }

    async fn update(&self, object: Json) -> Result<Arc<Json>, Status> {
        self.put(object, "").await
    }

    async fn update_status(&self, object: Json) -> Result<Arc<Json>, Status> {
        self.put(object, "/status").await
    }

    async fn update_subresource(&self, subresource: &str, object: Json) -> Result<Arc<Json>, Status> {
        self.put(object, &format!("/{subresource}")).await
    }

    async fn apply(&self, manager: &str, object: Json, force: bool) -> Result<Arc<Json>, Status> {
        let gvk = Gvk::of(&object).ok_or_else(|| Status::failure(400, "BadRequest", "no kind"))?;
        let (namespace, name) = key(&object);
        let path = self.place(&gvk)?.path(&gvk.version, &namespace, &name);
        let manager = manager.replace('/', "%2F");
        self.write(Method::PATCH, &gvk, &format!("{path}?fieldManager={manager}&force={force}"), &object).await
    }

    async fn delete(&self, gvk: &Gvk, namespace: &str, name: &str, options: DeleteOptions) -> Result<(), Status> {
        let path = self.place(gvk)?.path(&gvk.version, namespace, name);
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(uid) = options.uid {
            body["preconditions"] = json!({ "uid": uid });
        }
        if let Some(propagation) = options.propagation {
            body["propagationPolicy"] = json!(propagation);
        }
        if let Some(seconds) = options.grace_seconds {
            body["gracePeriodSeconds"] = json!(seconds);
        }
        let request = self.request(Method::DELETE, &path).header("Content-Type", "application/json");
        self.server.send(request.body(body.to_string())).await.map(drop)
    }

    fn may(&self, _: &str, _: &str, _: &str, _: &str) -> bool {
        // Asked by no program; the server decides at each request.
        true
    }
}
