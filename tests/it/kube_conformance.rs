//! The simulated API server against what a real kube-apiserver 1.36 answered, request by request.
//!
//! Each recording is replayed in order and in its own time against the server's router, without a socket, with
//! the simulator's own controllers at work. Where the recorder asked until something was so, the replay does.
//! Answers are compared after what differs from run to run (uids, times, revisions, generated names) is made
//! equal. A score once reached is the floor of its file.

mod compare;
mod scene;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use compare::{Hashes, Normal, difference};
use futures_util::StreamExt;
use scene::Scene;
use serde::Serialize;
use serde_json::{Value as Json, json};
use stackwright::env::clock::{Clock, SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::env::random::SeededRandom;
use stackwright::sim::controllers::Surroundings;
use stackwright::sim::controllers::runner::Handle;
use stackwright::sim::kube::admission;
use stackwright::sim::kube::api::{Api, Gvk, ServiceReference, Webhooks};
use stackwright::sim::kube::router;
use stackwright::sim::kube::server::{ApiServer, Parts, User};
use stackwright::sim::world::World;
use tokio::task::{AbortHandle, JoinHandle};
use tower::ServiceExt;

/// The recordings, with how many of their exchanges must agree.
const SCENES: [Scene; 13] = [
    Scene::new("01-discovery", "", 40),
    Scene::new("02-namespaces", "", 45),
    Scene::new("03-crud", "rec-crud", 82),
    Scene { scripted: true, ..Scene::new("04-apply", "rec-ssa", 65) },
    Scene { scripted: true, ..Scene::new("05-patch", "rec-patch", 44) },
    Scene::new("06-crd", "rec-crd", 87),
    Scene::new("07-delete", "rec-del", 56),
    Scene::new("08-list", "rec-list", 41),
    Scene::new("09-watch", "rec-watch", 30),
    Scene::new("10-table", "rec-table", 10),
    Scene::new("11-workloads", "rec-wl", 52),
    Scene { labels: &[("hook", "on")], ..Scene::new("12-admission", "rec-adm", 29) },
    Scene {
        unowned: true,
        unseen: &["c4", "c5", "openshift-service-ca.crt"],
        restart: Some(1),
        ..Scene::new("13-expired", "rec-exp", 9)
    },
];

/// Exchanges that are replayed but not compared, each with the reason.
const EXCEPTIONS: [(&str, &str, &str); 9] = [
    ("01-discovery", "openapi v3 root", "hashes of documents that are this server's own"),
    ("01-discovery", "GET /version", "commit and compiler of the recorded build"),
    ("01-discovery", "anonymous on /version", "commit and compiler of the recorded build"),
    ("06-crd", "CR invalid: several", "order of the errors, which a real server takes from an unordered map"),
    ("07-delete", "pod spec change refused", "ends in a difference of Go structs, of which only the cause is ours"),
    ("10-table", "table of namespaces", "counts what other recordings had left in the cluster"),
    ("11-workloads", "job template immutable", "quotes a Go struct"),
    ("11-workloads", "pvc shrink refused", "ends in a difference of Go structs, of which only the cause is ours"),
    ("11-workloads", "watch deployment rollout", "how many states in between are written depends on milliseconds"),
];

/// Changes that the recorder made without recording them: before which exchange, the path, and a JSON patch.
const UNRECORDED: [(&str, &str, &str, &str); 1] = [(
    "12-admission",
    "webhook unreachable, Ignore",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/rec-hook",
    r#"[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]"#,
)];

/// How long the recorder had been waiting for its cluster when a recording began.
const BEFORE: Duration = Duration::from_secs(60);

/// How long, in simulated time, something is asked for again.
const PATIENCE: Duration = Duration::from_secs(60);

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

fn read(folder: &Path, name: &str) -> Json {
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect("readable");
    serde_json::from_str(&text).expect("a recording")
}

/// A stream of changes that is being read.
struct Watching {
    number: usize,
    lines: JoinHandle<Vec<Json>>,
}

/// One answer of ours.
struct Answer {
    code: u16,
    warning: Option<String>,
    body: String,
}

struct Replay {
    world: Arc<World>,
    clock: DiscreteClock,
    ca_pem: String,
    scripted: bool,
    server: Arc<ApiServer>,
    api: Arc<dyn Api>,
    loops: AbortHandle,
    controllers: Handle,
    /// Recorded uid to ours.
    uids: BTreeMap<String, String>,
    /// Recorded revision to ours.
    revisions: BTreeMap<String, String>,
    /// Recorded generated name, or where a list goes on, to ours.
    names: BTreeMap<String, String>,
    /// Recorded entity tag to ours.
    tags: BTreeMap<String, String>,
}

impl Replay {
    fn open(world: Arc<World>, clock: DiscreteClock, ca_pem: String, scripted: bool) -> Self {
        let shared: SharedClock = Arc::new(clock.clone());
        let server = ApiServer::open(Parts {
            cluster: "c".to_owned(),
            world: world.clone(),
            clock: shared.clone(),
            random: Arc::new(SeededRandom::new(clock.now().0)),
            webhooks: Arc::new(Nobody),
            plugins: admission::standard(),
            version: "v1.36.2".to_owned(),
        });
        let api = server.api();
        let loops = tokio::spawn(server.clone().run()).abort_handle();
        let controllers = scene::inhabit(&Surroundings { api: api.clone(), clock: shared }, ca_pem.clone(), scripted);
        Replay {
            world,
            clock,
            ca_pem,
            scripted,
            server,
            api,
            loops,
            controllers,
            uids: BTreeMap::new(),
            revisions: BTreeMap::new(),
            names: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }

    /// The same cluster after its programs were started anew.
    fn restarted(self) -> Self {
        self.loops.abort();
        drop(self.controllers);
        let fresh = Replay::open(self.world, self.clock, self.ca_pem, self.scripted);
        Replay { uids: self.uids, revisions: self.revisions, names: self.names, tags: self.tags, ..fresh }
    }

    async fn go_to(&self, moment: Timestamp) {
        self.clock.sleep(moment.since(self.clock.now())).await;
    }

    /// Puts our values in the place of recorded ones.
    fn ours(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (recorded, ours) in &self.uids {
            text = text.replace(recorded, ours);
        }
        for (recorded, ours) in &self.revisions {
            for quote in ["\"", "\\\""] {
                for colon in [":", ": "] {
                    let field =
                        |revision: &str| format!("{quote}resourceVersion{quote}{colon}{quote}{revision}{quote}");
                    text = text.replace(&field(recorded), &field(ours));
                }
            }
        }
        for (recorded, ours) in &self.names {
            text = text.replace(recorded, ours);
        }
        text
    }

    fn ours_path(&self, path: &str) -> String {
        let mut path = path.replace(' ', "%20");
        for (recorded, ours) in &self.names {
            path = path.replace(recorded, ours);
        }
        for (recorded, ours) in &self.revisions {
            for end in ["&", ""] {
                let parameter = |revision: &str| format!("resourceVersion={revision}{end}");
                if end == "&" || path.ends_with(&parameter(recorded)) {
                    path = path.replace(&parameter(recorded), &parameter(ours));
                }
            }
        }
        path
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
                        "continue" => Some(&mut self.names),
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

    fn request(&self, exchange: &Json) -> Request<Body> {
        let request = &exchange["request"];
        let path = self.ours_path(request["path"].as_str().unwrap_or_default());
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
                let groups = ["limited-group", "system:authenticated"].map(str::to_owned).to_vec();
                builder = builder.extension(User { name: "limited".to_owned(), uid: "u-limited".to_owned(), groups });
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
            other => self.ours(&as_python_writes(other)),
        };
        builder.body(Body::from(body)).expect("a request")
    }

    async fn send(&mut self, exchange: &Json) -> Answer {
        let response = router(self.server.clone()).oneshot(self.request(exchange)).await.expect("infallible");
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
        let body = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(ours) = serde_json::from_str::<Json>(&body) {
            self.learn(&exchange["response"]["body"], &ours);
        }
        Answer { code, warning, body }
    }

    /// Does what was done to the recorded cluster outside the recording, and guesses whom a path means that names a
    /// pod the recording has not shown: the one of the same owner.
    async fn unrecorded(&mut self, scene: &Scene, title: &str, path: &Json) {
        for (_, _, path, body) in UNRECORDED.iter().filter(|(file, next, _, _)| *file == scene.name && *next == title) {
            let request = json!({
                "method": "PATCH", "path": path, "body": serde_json::from_str::<Json>(body).expect("JSON"),
                "headers": {"Content-Type": "application/json-patch+json", "User-Agent": "recorder/1.0"},
            });
            let answer = self.send(&json!({"request": request})).await;
            assert_eq!(answer.code, 200, "{}", answer.body);
        }
        let Some((_, rest)) = path.as_str().and_then(|path| path.split_once("/pods/")) else { return };
        let name = rest.split(['/', '?']).next().unwrap_or_default();
        let Some((stem, _)) = name.rsplit_once('-').and_then(|(stem, _)| stem.rsplit_once('-')) else { return };
        if !self.names.contains_key(name) {
            let pods = self.api.list(&Gvk::new("", "v1", "Pod"), Some(scene.namespace));
            let alive = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
            let mut names = alive.filter_map(|pod| pod["metadata"]["name"].as_str());
            if let Some(ours) = names.find(|ours| ours.starts_with(&format!("{stem}-"))) {
                self.names.insert(name.to_owned(), ours.to_owned());
            }
        }
    }

    /// Begins a watch; its changes are read while the replay goes on.
    async fn watch(&self, number: usize, exchange: &Json) -> Watching {
        let response = router(self.server.clone()).oneshot(self.request(exchange)).await.expect("infallible");
        let code = response.status();
        let mut stream = response.into_body().into_data_stream();
        let lines = tokio::spawn(async move {
            let mut bytes = Vec::new();
            while let Some(Ok(chunk)) = stream.next().await {
                bytes.extend_from_slice(&chunk);
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let mut events: Vec<Json> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            if code != 200 {
                events.insert(0, json!({"code": code.as_u16()}));
            }
            events
        });
        Watching { number, lines }
    }

    /// Why an answer is not the recorded one.
    fn compare(&self, exchange: &Json, answer: &Answer, recorded: &Hashes) -> Option<String> {
        let response = &exchange["response"];
        if response["status"] != answer.code {
            let short: String = answer.body.chars().take(300).collect();
            return Some(format!("status {}, wanted {}: {short}", answer.code, response["status"]));
        }
        let wanted = response["headers"]["warning"].as_str();
        if wanted != answer.warning.as_deref() {
            return Some(format!("warning {:?}, wanted {wanted:?}", answer.warning));
        }
        let body = &answer.body;
        match &response["body"] {
            Json::String(text) if text.starts_with("apiVersion:") => {
                let read = |text: &str| serde_saphyr::from_str::<Json>(text).unwrap_or_default();
                self.differ(&read(body), &read(text), recorded)
            }
            Json::String(text) => (text != body).then(|| format!("text {body:?}, wanted {text:?}")),
            theirs => {
                let Ok(ours) = serde_json::from_str::<Json>(body) else { return Some(format!("no JSON: {body}")) };
                let ours = if response["body_kind"] == "json excerpt" { excerpt(&ours, theirs) } else { ours };
                self.differ(&ours, theirs, recorded)
            }
        }
    }

    fn differ(&self, ours: &Json, theirs: &Json, recorded: &Hashes) -> Option<String> {
        let mut hashes = Hashes::default();
        for kind in [Gvk::new("apps", "v1", "ReplicaSet"), Gvk::new("", "v1", "Pod")] {
            self.api.list(&kind, None).iter().for_each(|object| hashes.learn(object));
        }
        hashes.learn(ours);
        let ours = Normal { hashes: &hashes }.document(ours);
        difference("", &ours, &Normal { hashes: recorded }.document(theirs))
    }
}

/// The recorder's client separates with a blank, and errors quote what was sent.
fn as_python_writes(body: &Json) -> String {
    struct Blanks;
    impl serde_json::ser::Formatter for Blanks {
        fn begin_array_value<W: std::io::Write + ?Sized>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
            if first { Ok(()) } else { out.write_all(b", ") }
        }

        fn begin_object_key<W: std::io::Write + ?Sized>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
            if first { Ok(()) } else { out.write_all(b", ") }
        }

        fn begin_object_value<W: std::io::Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
            out.write_all(b": ")
        }
    }
    let mut bytes = Vec::new();
    body.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Blanks)).expect("memory");
    String::from_utf8(bytes).expect("text")
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

/// The part of an answer that the recording kept: items of the same names, and of them the same fields.
fn excerpt(ours: &Json, theirs: &Json) -> Json {
    fn keep(ours: &Json, like: &Json) -> Json {
        match (ours, like) {
            (Json::Object(a), Json::Object(b)) => {
                b.iter().filter_map(|(key, like)| Some((key.clone(), keep(a.get(key)?, like)))).collect()
            }
            (Json::Array(a), Json::Array(b)) => a.iter().zip(b).map(|(x, y)| keep(x, y)).collect(),
            _ => ours.clone(),
        }
    }
    let items = ours["items"].as_array().cloned().unwrap_or_default();
    let kept = theirs.as_array().into_iter().flatten().filter_map(|like| {
        let same = items.iter().find(|item| item["metadata"]["name"] == like["metadata"]["name"])?;
        Some(keep(same, like))
    });
    Json::Array(kept.collect())
}

/// The changes that a watch tells. When it also says that nothing has changed depends on its timers, except for
/// the word that the beginning is over.
fn told(events: Vec<Json>) -> Json {
    let timed = |event: &Json| event["type"] == "BOOKMARK" && event["object"]["metadata"]["annotations"].is_null();
    Json::Array(events.into_iter().filter(|event| !timed(event)).collect())
}

/// Exchanges that agree, that are compared, and what is wrong with the others.
struct Score {
    good: usize,
    all: usize,
    wrong: Vec<String>,
}

async fn replay(folder: &Path, scene: &Scene, clock: DiscreteClock) -> Score {
    let recording = read(folder, scene.name);
    let node = read(folder, "11-workloads");
    let node = scene::find(&node, &|object| object["metadata"]["name"] == "fake-0" && object["status"].is_object());
    let roots = scene::find(&recording, &|object| {
        object["metadata"]["name"] == "kube-root-ca.crt" && object["data"].is_object()
    });
    let ca_pem = roots.and_then(|map| map["data"]["ca.crt"].as_str().map(str::to_owned)).unwrap_or_default();
    let mut recorded = Hashes::default();
    recorded.learn(&recording);
    let start = Timestamp::parse(recording["recorded"].as_str().unwrap_or_default()).expect("a time");
    let mut replay = Replay::open(World::in_memory(), clock, ca_pem, scene.scripted);
    replay.go_to(Timestamp(start.0 - 58_000)).await;
    scene::register(&replay.api, &node.expect("a node")).await;
    // What was before is no longer in the server's memory.
    replay = replay.restarted();
    replay.go_to(Timestamp(start.0 - 500)).await;
    scene.furnish(&replay.api, &recording).await;
    replay.go_to(start).await;
    for seed in scene.seeds(&recording) {
        let made = replay.api.managing(if scene.unowned { "" } else { "recorder" }).create(seed).await;
        made.unwrap_or_else(|why| panic!("{}: {why}", scene.name));
    }
    let (mut good, mut all, mut wrong) = (0, 0, Vec::new());
    let mut watches: Vec<Watching> = Vec::new();
    // How far the replay is behind the recording, from asking until something is so.
    let mut late = Duration::ZERO;
    let exchanges = recording["exchanges"].as_array().cloned().unwrap_or_default();
    let excepted = |title: &str| EXCEPTIONS.iter().any(|(f, e, _)| *f == scene.name && *e == title);
    for (number, exchange) in exchanges.iter().enumerate() {
        let seconds = Duration::from_secs_f64(exchange["at"].as_f64().unwrap_or(0.0));
        let title = exchange["name"].as_str().unwrap_or_default();
        if scene.restart == Some(number) {
            let mut changed = (*replay.api.list(&Gvk::new("", "v1", "ConfigMap"), Some(scene.namespace))[0]).clone();
            changed["data"] = json!({"b": "2"});
            replay.api.managing("").update(changed).await.expect("changed");
            replay = replay.restarted();
        }
        replay.go_to(start.plus(seconds + late)).await;
        replay.unrecorded(scene, title, &exchange["request"]["path"]).await;
        if exchange["response"]["body_kind"].as_str().is_some_and(|kind| kind.starts_with("watch")) {
            watches.push(replay.watch(number, exchange).await);
            continue;
        }
        if scene.scripted {
            scene::act_as_recorded(&replay.api, &exchange["response"]["body"]).await;
        }
        let asked = replay.clock.now();
        let mut answer = replay.send(exchange).await;
        let mut why = replay.compare(exchange, &answer, &recorded);
        while why.is_some() && title.contains("(poll)") && replay.clock.now().since(asked) < PATIENCE {
            replay.clock.sleep(Duration::from_millis(100)).await;
            answer = replay.send(exchange).await;
            why = replay.compare(exchange, &answer, &recorded);
        }
        late += replay.clock.now().since(asked);
        if excepted(title) {
            continue;
        }
        all += 1;
        match why {
            None => good += 1,
            Some(why) => wrong.push(format!("{} {number} [{title}]: {why}", scene.name)),
        }
    }
    for Watching { number, lines } in watches {
        let exchange = &exchanges[number];
        let title = exchange["name"].as_str().unwrap_or_default();
        let ours = told(lines.await.expect("read"));
        let theirs = exchange["response"]["events"].as_array().into_iter().flatten();
        let theirs = told(theirs.map(|event| event["event"].clone()).collect());
        if excepted(title) {
            continue;
        }
        all += 1;
        match replay.differ(&ours, &theirs, &recorded) {
            None => good += 1,
            Some(why) => wrong.push(format!("{} {number} [{title}]: {why}", scene.name)),
        }
    }
    replay.loops.abort();
    Score { good, all, wrong }
}

#[test]
#[expect(clippy::print_stdout, reason = "the score is the output of this test")]
fn answers_are_those_of_a_real_server() {
    let Some(folder) = recordings() else {
        println!("no recordings here: skipped");
        return;
    };
    let mut low = Vec::new();
    for scene in SCENES {
        let recording = read(&folder, scene.name);
        let start = Timestamp::parse(recording["recorded"].as_str().unwrap_or_default()).expect("a time");
        let clock = DiscreteClock::new(Timestamp(start.0 - u64::try_from(BEFORE.as_millis()).expect("short")));
        let runtime = clock.runtime().expect("a runtime");
        let Score { good, all, wrong } = runtime.block_on(replay(&folder, &scene, clock));
        println!("{}: {good} of {all}", scene.name);
        for why in &wrong {
            println!("  {}", why.chars().take(2000).collect::<String>());
        }
        if good < scene.floor {
            low.push(format!("{}: {good} of {all}, the floor is {}", scene.name, scene.floor));
        }
    }
    assert!(low.is_empty(), "{low:#?}");
}
