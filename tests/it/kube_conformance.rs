//! The simulated API server against what a real kube-apiserver 1.36 answered, request by request.
//!
//! Each recording is replayed in order against the server's router, without a socket. Answers are compared
//! after what differs from run to run (uids, times, revisions, generated names) is made equal.
//! A score once reached is the floor of its file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value as Json, json};
use stackwright::env::clock::{Clock, Sleep, Timestamp};
use stackwright::env::random::SeededRandom;
use stackwright::openapi::fields::FieldSet;
use stackwright::sim::kube::admission;
use stackwright::sim::kube::api::{Api, DeleteOptions, Gvk, ServiceReference, Webhooks};
use stackwright::sim::kube::router;
use stackwright::sim::kube::server::{ApiServer, Parts, User};
use stackwright::sim::world::World;
use tokio::sync::watch;
use tower::ServiceExt;

/// Per file: how many of its exchanges must agree, of those that are compared.
const FLOORS: [(&str, usize); 7] = [
    ("01-discovery", 40),
    ("02-namespaces", 44),
    ("03-crud", 82),
    ("04-apply", 65),
    ("05-patch", 44),
    ("06-crd", 82),
    ("07-delete", 37),
];

/// Exchanges that are replayed but not compared, each with the reason.
const EXCEPTIONS: [(&str, &str, &str); 4] = [
    ("01-discovery", "openapi v3 root", "hashes of documents that are this server's own"),
    ("01-discovery", "GET /version", "commit and compiler of the recorded build"),
    ("01-discovery", "anonymous on /version", "commit and compiler of the recorded build"),
    ("06-crd", "CR invalid: several", "order of the errors, which a real server takes from an unordered map"),
];

/// Exchanges that are not replayed, each with the reason.
const SKIPPED: [(&str, &str, &str); 2] = [
    ("06-crd", "CR invalid: CEL rule", "rules in CEL are not evaluated"),
    ("06-crd", "CR transition rule violated", "rules in CEL are not evaluated"),
];

/// A clock that stands at a moment until the replay moves it on.
struct StillClock(watch::Sender<Timestamp>);

impl StillClock {
    /// Moves on to a moment, stopping wherever somebody's wait ends.
    async fn go_to(&self, end: Timestamp) {
        const STEP: Duration = Duration::from_millis(10);
        while self.now() < end {
            self.0.send_replace(self.now().plus(STEP).min(end));
            settle().await;
        }
        settle().await;
    }
}

/// Lets background tasks run until they wait again.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let end = self.now().plus(duration);
        let mut moments = self.0.subscribe();
        Box::pin(async move {
            // The clock outlives every wait.
            moments.wait_for(|now| *now >= end).await.ok();
        })
    }
}

struct Nobody;

#[async_trait]
impl Webhooks for Nobody {
    async fn call(&self, service: &ServiceReference, _ca: &str, _review: Json) -> Result<Json, String> {
        Err(format!("service {:?} not found", service.name))
    }
}

fn recordings() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let candidates = ["../shared/recordings/kube", "../../shared/recordings/kube"];
    candidates.iter().map(|path| here.join(path)).find(|path| path.is_dir())
}

struct Replay {
    server: Arc<ApiServer>,
    api: Arc<dyn Api>,
    clock: Arc<StillClock>,
    /// Recorded uid to ours.
    uids: BTreeMap<String, String>,
    /// Recorded revision to ours.
    revisions: BTreeMap<String, String>,
    /// Recorded generated name to ours.
    names: BTreeMap<String, String>,
    /// Recorded entity tag to ours.
    tags: BTreeMap<String, String>,
}

impl Replay {
    fn new() -> Self {
        let start = Timestamp::parse("2026-11-22T10:20:00Z").expect("a time");
        let clock = Arc::new(StillClock(watch::channel(start).0));
        let server = ApiServer::open(Parts {
            cluster: "c".to_owned(),
            world: World::in_memory(),
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(7)),
            webhooks: Arc::new(Nobody),
            plugins: admission::standard(),
            version: "v1.36.2".to_owned(),
        });
        let api = server.api();
        Replay {
            server,
            api,
            clock,
            uids: BTreeMap::new(),
            revisions: BTreeMap::new(),
            names: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }

    /// Puts our values in the place of recorded ones.
    fn ours(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (recorded, ours) in &self.uids {
            text = text.replace(recorded, ours);
        }
        for (recorded, ours) in &self.revisions {
            text = text
                .replace(&format!("\"resourceVersion\":\"{recorded}\""), &format!("\"resourceVersion\":\"{ours}\""));
            text = text.replace(
                &format!("\\\"resourceVersion\\\":\\\"{recorded}\\\""),
                &format!("\\\"resourceVersion\\\":\\\"{ours}\\\""),
            );
        }
        for (recorded, ours) in &self.names {
            text = text.replace(recorded, ours);
        }
        text
    }

    /// Learns which recorded uids and revisions are which of ours.
    fn learn(&mut self, recorded: &Json, ours: &Json) {
        match (recorded, ours) {
            (Json::Object(a), Json::Object(b)) => {
                for (key, value) in a {
                    let Some(other) = b.get(key) else { continue };
                    let table = match key.as_str() {
                        "uid" => Some(&mut self.uids),
                        "resourceVersion" => Some(&mut self.revisions),
                        _ => None,
                    };
                    match (table, value.as_str(), other.as_str()) {
                        (Some(table), Some(value), Some(other)) => {
                            table.insert(value.to_owned(), other.to_owned());
                        }
                        _ => self.learn(value, other),
                    }
                }
                if let (Some(prefix), Some(a), Some(b)) =
                    (a.get("generateName").and_then(Json::as_str), a.get("name"), b.get("name"))
                    && let (Some(a), Some(b)) = (a.as_str(), b.as_str())
                    && a.len() == prefix.len() + 5
                {
                    self.names.insert(a.to_owned(), b.to_owned());
                }
            }
            (Json::Array(a), Json::Array(b)) => {
                for (x, y) in a.iter().zip(b) {
                    self.learn(x, y);
                }
            }
            _ => {}
        }
    }

    /// Does what controllers had done in the recorded cluster before this exchange was answered.
    async fn controllers(&self, exchange: &Json) {
        let title = exchange["name"].as_str().unwrap_or_default();
        let (status, body) = (&exchange["response"]["status"], &exchange["response"]["body"]);
        if *status == 404 && title.contains("(poll)") {
            self.finish_namespace(exchange).await;
            return;
        }
        let Some(kind) = Gvk::of(body).filter(|kind| kind.kind != "Status") else { return };
        let text = |key: &str| body["metadata"][key].as_str().unwrap_or_default();
        let Some(live) = self.api.get(&kind, text("namespace"), text("name")) else { return };
        if exchange["request"]["method"] == "GET"
            && !body["metadata"]["deletionTimestamp"].is_null()
            && live["metadata"]["deletionTimestamp"].is_null()
        {
            let options = DeleteOptions::default();
            self.api.delete(&kind, text("namespace"), text("name"), options).await.expect("it can be deleted");
        }
        for entry in body["metadata"]["managedFields"].as_array().into_iter().flatten() {
            if entry["manager"] == "kube-controller-manager" && entry["subresource"] == "status" {
                self.write_status(&kind, &live, body, &entry["fieldsV1"]).await;
            }
        }
        // A namespace whose content is gone loses the finalizer of its spec, and stays for others.
        if kind.kind == "Namespace" && body["spec"]["finalizers"].is_null() && !live["spec"]["finalizers"].is_null() {
            let deleting = !body["metadata"]["deletionTimestamp"].is_null();
            if deleting && exchange["request"]["method"] == "GET" {
                let live = self.api.get(&kind, "", text("name")).expect("it is there");
                self.finalize(&live).await;
            }
        }
    }

    /// Writes the part of a status that a controller owned.
    async fn write_status(&self, kind: &Gvk, live: &Json, recorded: &Json, fields: &Json) {
        let owned = FieldSet::from_json(fields).pick(recorded);
        let mut object = live.clone();
        lay_over(&mut object, &owned);
        let order: Vec<Json> =
            recorded["status"]["conditions"].as_array().into_iter().flatten().map(|c| c["type"].clone()).collect();
        if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
            conditions.sort_by_key(|c| order.iter().position(|kind| *kind == c["type"]));
        }
        if object != *live {
            self.api.update_status(object).await.unwrap_or_else(|why| panic!("{kind:?}: {why}"));
        }
    }

    async fn finalize(&self, namespace: &Json) {
        let mut object = namespace.clone();
        object["spec"]["finalizers"] = json!([]);
        self.api.update_subresource("finalize", object).await.expect("a namespace can be finalized");
    }

    async fn finish_namespace(&self, exchange: &Json) {
        let path = exchange["request"]["path"].as_str().unwrap_or_default();
        let Some(name) = path.strip_prefix("/api/v1/namespaces/") else { return };
        let kind = Gvk::new("", "v1", "Namespace");
        let Some(live) = self.api.get(&kind, "", name) else { return };
        let mut object = (*live).clone();
        object["metadata"]["finalizers"] = json!([]);
        let live = self.api.update(object).await.expect("finalizers can go");
        if self.api.get(&kind, "", name).is_some() {
            self.finalize(&live).await;
        }
    }

    async fn send(&mut self, exchange: &Json) -> (u16, Option<String>, String) {
        let request = &exchange["request"];
        let path = request["path"].as_str().unwrap_or_default();
        let path = self.ours_path(path);
        let mut builder = Request::builder().method(request["method"].as_str().unwrap_or("GET")).uri(path);
        for (key, value) in request["headers"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            builder = builder.header(key, self.tags.get(value).map_or(value, String::as_str));
        }
        builder = builder.header("Host", "127.0.0.1:16443");
        match request["user"].as_str().unwrap_or_default() {
            user if user.starts_with("anonymous") => {}
            user if user.starts_with("invalid") => {
                builder = builder.header("Authorization", "Bearer eyJub3QiOiJvdXJzIn0.e30.x")
            }
            user if user.starts_with("limited") => {
                builder = builder.header("Authorization", "Bearer admin").header("Impersonate-User", "limited");
            }
            _ => {
                let groups = ["system:masters", "system:authenticated"].map(str::to_owned).to_vec();
                builder = builder.extension(User { name: "admin-t".to_owned(), uid: "u-admin".to_owned(), groups });
            }
        }
        let body = match &request["body"] {
            Json::Null => String::new(),
            Json::String(text) if text.starts_with("<omitted") => omitted(exchange),
            Json::String(text) => text.clone(),
            other => self.ours(&other.to_string()),
        };
        let request = builder.body(Body::from(body)).expect("a request");
        let response = router(self.server.clone()).oneshot(request).await.expect("infallible");
        let code = response.status().as_u16();
        let tag = response.headers().get("etag").and_then(|tag| tag.to_str().ok());
        if let (Some(recorded), Some(ours)) = (exchange["response"]["headers"]["etag"].as_str(), tag) {
            self.tags.insert(recorded.to_owned(), ours.to_owned());
        }
        let warnings: Vec<String> = response
            .headers()
            .get_all("warning")
            .iter()
            .map(|value| value.to_str().unwrap_or_default().to_owned())
            .collect();
        let warning = (!warnings.is_empty()).then(|| warnings.join(", "));
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (code, warning, String::from_utf8_lossy(&bytes).into_owned())
    }

    fn ours_path(&self, path: &str) -> String {
        let mut path = path.replace(' ', "%20");
        for (recorded, ours) in &self.names {
            path = path.replace(recorded, ours);
        }
        path
    }
}

/// Lays what somebody owns over an object; list items with the same `type` are one.
fn lay_over(object: &mut Json, owned: &Json) {
    match (object, owned) {
        (Json::Object(object), Json::Object(owned)) => {
            for (key, value) in owned {
                lay_over(object.entry(key.clone()).or_insert(Json::Null), value);
            }
        }
        (Json::Array(items), Json::Array(owned)) => {
            for value in owned {
                match items.iter_mut().find(|item| item["type"] == value["type"] && item["type"].is_string()) {
                    Some(item) => lay_over(item, value),
                    None => items.push(value.clone()),
                }
            }
        }
        (object, owned) => *object = owned.clone(),
    }
}

/// The bodies that the recording leaves out for their size.
fn omitted(exchange: &Json) -> String {
    let name = exchange["name"].as_str().unwrap_or_default();
    let object = |name: &str, extra: Json| {
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        for (key, value) in extra.as_object().into_iter().flatten() {
            if key == "annotations" {
                object["metadata"]["annotations"] = value.clone();
            } else {
                object[key] = value.clone();
            }
        }
        object.to_string()
    };
    match name {
        "configmap over 1 MiB" => object("big", json!({"data": {"k": "x".repeat(1_048_577)}})),
        "annotations over 256 KiB" => object("biga", json!({"annotations": {"a": "x".repeat(262_144)}})),
        _ => object("huge", json!({"data": {"k": "x".repeat(3_145_728)}})),
    }
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && text.ends_with('Z') && text.starts_with("2026-11")
}

fn is_uid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, b)| if [8, 13, 18, 23].contains(&at) { b == b'-' } else { b.is_ascii_hexdigit() })
}

/// Makes equal what is different in every run.
fn normal(value: &Json, key: &str) -> Json {
    match value {
        Json::Object(map) => {
            let generated = map.get("generateName").and_then(Json::as_str).map(str::len);
            let fields = map.iter().map(|(key, value)| {
                let shown = match (key.as_str(), value.as_str(), generated) {
                    ("name", Some(name), Some(prefix)) if name.len() == prefix + 5 => json!("<generated>"),
                    _ => normal(value, key),
                };
                let key = key.strip_prefix("k:{\"uid\":").map_or_else(|| key.clone(), |_| "k:{uid}".to_owned());
                (key, shown)
            });
            Json::Object(fields.collect())
        }
        Json::Array(items) if key == "managedFields" => {
            // Order by time of writing: several fall into one second of the recording.
            let mut items: Vec<Json> = items.iter().map(|item| normal(item, "")).collect();
            items.sort_by_key(|item| {
                let mut copy = item.clone();
                copy.sort_all_objects();
                copy.to_string()
            });
            Json::Array(items)
        }
        Json::Array(items) => items.iter().map(|item| normal(item, "")).collect(),
        Json::String(text) => match key {
            "resourceVersion" => json!("<revision>"),
            "uid" if is_uid(text) => json!("<uid>"),
            "token" => json!("<token>"),
            "clusterIP" => json!("<address>"),
            _ if is_time(text) => json!("<time>"),
            "message" => embedded(text),
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

/// A message, with the JSON document that it quotes read as JSON: its keys have no order.
fn embedded(text: &str) -> Json {
    let marker = "Invalid value: \"{";
    let Some(start) = text.find(marker).map(|at| at + marker.len() - 2) else { return json!(masked(text)) };
    let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<String>();
    let Some(Ok(quoted)) = stream.next() else { return json!(masked(text)) };
    let rest = &text[start + stream.byte_offset()..];
    let document: Json = serde_json::from_str(&quoted).unwrap_or_default();
    json!([&text[..start], normal(&document, ""), masked(rest)])
}

fn masked(text: &str) -> String {
    let words = text.split_inclusive(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
    let mut out = String::new();
    for word in words {
        let end = word.len()
            - word.chars().last().filter(|c| !(c.is_ascii_hexdigit() || *c == '-')).map_or(0, char::len_utf8);
        if is_uid(&word[..end]) && !word.starts_with("11111111") {
            out += "<uid>";
            out += &word[end..];
        } else {
            out += word;
        }
    }
    mask_revision(&out)
}

fn mask_revision(text: &str) -> String {
    let marker = "ResourceVersion in record (";
    match text.split_once(marker) {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}{marker}<revision>{rest}")
        }
        None => text.to_owned(),
    }
}

/// The first place where two documents differ.
fn difference(path: &str, ours: &Json, theirs: &Json) -> Option<String> {
    match (ours, theirs) {
        (Json::Object(a), Json::Object(b)) => {
            for (key, value) in b {
                match a.get(key) {
                    Some(other) => {
                        if let Some(found) = difference(&format!("{path}.{key}"), other, value) {
                            return Some(found);
                        }
                    }
                    None => return Some(format!("{path}.{key} is missing, wanted {value}")),
                }
            }
            let extra = a.keys().find(|key| !b.contains_key(*key))?;
            Some(format!("{path}.{extra} is {} and should not be there", a[extra]))
        }
        (Json::Array(a), Json::Array(b)) if path.ends_with(".managedFields") && a != b => {
            Some(format!("{path} is {ours}, wanted {theirs}"))
        }
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (x, y))| difference(&format!("{path}[{at}]"), x, y))
        }
        (a, b) if a == b => None,
        (a, b) => Some(format!("{path} is {a}, wanted {b}")),
    }
}

fn compare(exchange: &Json, code: u16, warning: Option<&str>, body: &str) -> Option<String> {
    let response = &exchange["response"];
    if response["status"] != code {
        let short: String = body.chars().take(300).collect();
        return Some(format!("status {code}, wanted {}: {short}", response["status"]));
    }
    let wanted = response["headers"]["warning"].as_str();
    if wanted != warning {
        return Some(format!("warning {warning:?}, wanted {wanted:?}"));
    }
    match &response["body"] {
        Json::String(text) if text.starts_with("apiVersion:") => {
            let read = |text: &str| serde_saphyr::from_str::<Json>(text).unwrap_or_default();
            difference("", &normal(&read(body), ""), &normal(&read(text), ""))
        }
        Json::String(text) => (text != body).then(|| format!("text {body:?}, wanted {text:?}")),
        theirs => {
            let Ok(ours) = serde_json::from_str::<Json>(body) else { return Some(format!("no JSON: {body}")) };
            difference("", &normal(&ours, ""), &normal(theirs, ""))
        }
    }
}

async fn replay(file: &Path) -> (usize, usize, Vec<String>) {
    let text = std::fs::read_to_string(file).expect("readable");
    let recording: Json = serde_json::from_str(&text).expect("a recording");
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut replay = Replay::new();
    let start = Timestamp::parse(recording["recorded"].as_str().unwrap_or_default()).expect("a time");
    replay.clock.0.send_replace(start);
    prepare(&replay, &name, &recording).await;
    let server = tokio::spawn(replay.server.clone().run());
    let (mut good, mut all, mut wrong) = (0, 0, Vec::new());
    for (number, exchange) in recording["exchanges"].as_array().into_iter().flatten().enumerate() {
        let seconds = exchange["at"].as_f64().unwrap_or(0.0);
        replay.clock.go_to(start.plus(Duration::from_secs_f64(seconds))).await;
        if exchange["response"]["body_kind"].as_str().is_some_and(|kind| kind.starts_with("watch")) {
            continue;
        }
        let title = exchange["name"].as_str().unwrap_or_default();
        if SKIPPED.iter().any(|(f, e, _)| *f == name && *e == title) {
            continue;
        }
        replay.controllers(exchange).await;
        let (code, warning, body) = replay.send(exchange).await;
        if let Ok(ours) = serde_json::from_str::<Json>(&body) {
            replay.learn(&exchange["response"]["body"], &ours);
        }
        if EXCEPTIONS.iter().any(|(f, e, _)| *f == name && *e == title) {
            continue;
        }
        all += 1;
        match compare(exchange, code, warning.as_deref(), &body) {
            None => good += 1,
            Some(why) => wrong.push(format!("{name} {number} [{title}]: {why}")),
        }
    }
    server.abort();
    (good, all, wrong)
}

/// The namespaces that the recorder made before it began, with what controllers put there.
async fn prepare(replay: &Replay, file: &str, recording: &Json) {
    let namespace = match file {
        "03-crud" => "rec-crud",
        "04-apply" => "rec-ssa",
        "05-patch" => "rec-patch",
        "06-crd" => "rec-crd",
        "07-delete" => "rec-del",
        _ => return,
    };
    let create = |object: Json| replay.api.create(object);
    create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).await.expect("namespace");
    let meta = json!({"name": "default", "namespace": namespace});
    create(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})).await.expect("account");
    let Some(roots) = recording["exchanges"].as_array().into_iter().flatten().find_map(|exchange| {
        let body = &exchange["response"]["body"];
        (body["kind"] == "ConfigMap" && body["metadata"]["name"] == "kube-root-ca.crt").then_some(body)
    }) else {
        return;
    };
    let annotations = &roots["metadata"]["annotations"];
    let meta = json!({"name": "kube-root-ca.crt", "namespace": namespace, "annotations": annotations});
    create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": roots["data"]}))
        .await
        .expect("roots");
}

#[test]
#[expect(clippy::print_stdout, reason = "the score is the output of this test")]
fn answers_are_those_of_a_real_server() {
    let Some(folder) = recordings() else {
        println!("no recordings here: skipped");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut low = Vec::new();
    for (name, floor) in FLOORS {
        let (good, all, wrong) = runtime.block_on(replay(&folder.join(format!("{name}.json"))));
        println!("{name}: {good} of {all}");
        for why in &wrong {
            println!("  {}", why.chars().take(2000).collect::<String>());
        }
        if good < floor {
            low.push(format!("{name}: {good} of {all}, the floor is {floor}"));
        }
    }
    assert!(low.is_empty(), "{low:#?}");
}
