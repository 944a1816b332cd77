//! What was in the recorded cluster before a recording began, and who worked in it beside the recorder.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use stackwright::env::clock::SharedClock;
use stackwright::openapi::fields::FieldSet;
use stackwright::sim::controllers::cloud::MemoryCloud;
use stackwright::sim::controllers::runner::{self, Handle};
use stackwright::sim::controllers::{Controller, Key, Outcome, Surroundings, cluster, namespaces, volumes};
use stackwright::sim::kube::api::{Api, Change, DeleteOptions, Gvk, Status};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// One recording, and how it was made.
pub struct Scene {
    /// File without its ending.
    pub name: &'static str,
    /// How many of its exchanges must agree, of those that are compared.
    pub floor: usize,
    /// The namespace that the recorder made first; empty for none.
    pub namespace: &'static str,
    /// Its labels.
    pub labels: &'static [(&'static str, &'static str)],
    /// The recorder's own objects were written so that nobody owns their fields.
    pub unowned: bool,
    /// Whether what controllers wrote is written as it was recorded, because it depends on milliseconds how far they
    /// had come; else the simulator's own are at work.
    pub scripted: bool,
    /// Names of ConfigMaps that the recorder made and the recording only counts.
    pub unseen: &'static [&'static str],
    /// The exchange before which the API server was started anew.
    pub restart: Option<usize>,
}

impl Scene {
    /// A recording in a namespace of its own.
    pub const fn new(name: &'static str, namespace: &'static str, floor: usize) -> Self {
        Scene { name, floor, namespace, labels: &[], scripted: false, unowned: false, unseen: &[], restart: None }
    }

    /// Makes the namespace, and in it what the vendor's controllers of the recorded cluster put there.
    pub async fn furnish(&self, api: &Arc<dyn Api>, recording: &Json) {
        if self.namespace.is_empty() {
            return;
        }
        let mut namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
        for (key, value) in self.labels {
            namespace["metadata"]["labels"][*key] = json!(value);
        }
        api.managing("recorder").create(namespace).await.expect("namespace");
        let Some(vendors) = find(recording, &|object| object["metadata"]["name"] == "openshift-service-ca.crt") else {
            return;
        };
        let data = vendors["data"].as_object().map_or_else(|| json!({"service-ca.crt": ""}), |data| json!(data));
        let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
        map["metadata"] = json!({
            "name": "openshift-service-ca.crt", "namespace": self.namespace,
            "annotations": vendors["metadata"]["annotations"],
        });
        api.create(map).await.expect("the vendor's");
    }

    /// What the recorder had made and the recording only shows, oldest first.
    pub fn seeds(&self, recording: &Json) -> Vec<Json> {
        let mut known: BTreeSet<(String, String)> = BTreeSet::new();
        let mut seeds: Vec<(u64, Json)> = Vec::new();
        let mut exchanges: Vec<&Json> = recording["exchanges"].as_array().into_iter().flatten().collect();
        // Watches show what was made after they began.
        exchanges.sort_by_key(|exchange| exchange["response"]["events"].is_array());
        for exchange in exchanges {
            let (method, response) = (&exchange["request"]["method"], &exchange["response"]);
            let mut shown = Vec::new();
            objects(&response["body"], "", &mut shown);
            for event in response["events"].as_array().into_iter().flatten() {
                objects(&event["event"]["object"], "", &mut shown);
            }
            let creates = *method == "POST" || response["status"] == 201;
            for object in shown {
                let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
                let kind = object["kind"].as_str().unwrap_or_default().to_owned();
                if !known.insert((kind.clone(), text("name").to_owned())) || creates {
                    continue;
                }
                let owners = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
                let recorders = owners.iter().any(|entry| entry["manager"] == "recorder");
                let here = text("namespace") == self.namespace || kind == "CustomResourceDefinition";
                let unowned = self.unowned && owners.is_empty();
                if here && (recorders || unowned) && object["metadata"]["deletionTimestamp"].is_null()
                    || kind == "CustomResourceDefinition"
                {
                    seeds.push((text("resourceVersion").parse().unwrap_or_default(), bare(&object)));
                }
            }
        }
        for name in self.unseen {
            let meta = json!({"name": name, "namespace": self.namespace});
            seeds.push((u64::MAX, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})));
        }
        seeds.sort_by_key(|(revision, _)| *revision);
        seeds.into_iter().map(|(_, object)| object).collect()
    }
}

/// The object as its maker sent it.
fn bare(object: &Json) -> Json {
    let mut bare = object.clone();
    let meta = &object["metadata"];
    bare["metadata"] = json!({"name": meta["name"]});
    for key in ["namespace", "labels", "annotations"] {
        if let Some(value) = meta.get(key) {
            bare["metadata"][key] = value.clone();
        }
    }
    bare.as_object_mut().expect("an object").shift_remove("status");
    bare
}

/// The whole objects in an answer, each with its kind.
fn objects(body: &Json, kind: &str, found: &mut Vec<Json>) {
    let own = body["kind"].as_str().unwrap_or(kind);
    if let (Some(items), Some(of)) = (body["items"].as_array(), own.strip_suffix("List")) {
        for item in items {
            let mut item = item.clone();
            item["kind"] = json!(of);
            item["apiVersion"] = body["apiVersion"].clone();
            objects(&item, of, found);
        }
    } else if let Some(rows) = body["rows"].as_array() {
        rows.iter().for_each(|row| objects(&row["object"], "", found));
    } else if body["metadata"]["name"].is_string() && own != "PartialObjectMetadata" {
        found.push(body.clone());
    }
}

/// The first object anywhere in a document that fits.
pub fn find(document: &Json, fits: &impl Fn(&Json) -> bool) -> Option<Json> {
    if fits(document) {
        return Some(document.clone());
    }
    match document {
        Json::Object(map) => map.values().find_map(|value| find(value, fits)),
        Json::Array(items) => items.iter().find_map(|item| find(item, fits)),
        _ => None,
    }
}

/// How long a program of the recorded cluster took to hear of a change and to act on it.
fn late(change: &Change) -> Duration {
    Duration::from_millis(if matches!(change.gvk.kind.as_str(), "Node" | "Pod") { 3 } else { 15 })
}

/// An API server whose changes are heard of late, as over a network.
struct Late {
    api: Arc<dyn Api>,
    clock: SharedClock,
}

#[async_trait]
impl Api for Late {
    fn impersonate(&self, user: &str) -> Arc<dyn Api> {
        Arc::new(Late { api: self.api.impersonate(user), clock: self.clock.clone() })
    }

    fn managing(&self, manager: &str) -> Arc<dyn Api> {
        Arc::new(Late { api: self.api.managing(manager), clock: self.clock.clone() })
    }

    fn serves(&self, gvk: &Gvk) -> bool {
        self.api.serves(gvk)
    }

    fn kinds(&self) -> Vec<(Gvk, bool)> {
        self.api.kinds()
    }

    fn get(&self, gvk: &Gvk, namespace: &str, name: &str) -> Option<Arc<Json>> {
        self.api.get(gvk, namespace, name)
    }

    fn list(&self, gvk: &Gvk, namespace: Option<&str>) -> Vec<Arc<Json>> {
        self.api.list(gvk, namespace)
    }

    fn subscribe(&self) -> UnboundedReceiver<Change> {
        let (sender, receiver) = unbounded_channel();
        let mut changes = self.api.subscribe();
        let clock = self.clock.clone();
        tokio::spawn(async move {
            while let Some(change) = changes.recv().await {
                let (sender, heard) = (sender.clone(), clock.sleep(late(&change)));
                tokio::spawn(async move {
                    heard.await;
                    sender.send(change).ok();
                });
            }
        });
        receiver
    }

    async fn create(&self, object: Json) -> Result<Arc<Json>, Status> {
        self.api.create(object).await
    }

    async fn update(&self, object: Json) -> Result<Arc<Json>, Status> {
        self.api.update(object).await
    }

    async fn update_status(&self, object: Json) -> Result<Arc<Json>, Status> {
        self.api.update_status(object).await
    }

    async fn update_subresource(&self, subresource: &str, object: Json) -> Result<Arc<Json>, Status> {
        self.api.update_subresource(subresource, object).await
    }

    async fn apply(&self, manager: &str, object: Json, force: bool) -> Result<Arc<Json>, Status> {
        self.api.apply(manager, object, force).await
    }

    async fn delete(&self, gvk: &Gvk, namespace: &str, name: &str, options: DeleteOptions) -> Result<(), Status> {
        self.api.delete(gvk, namespace, name, options).await
    }

    fn may(&self, verb: &str, group: &str, resource: &str, namespace: &str) -> bool {
        self.api.may(verb, group, resource, namespace)
    }
}

/// Starts the controllers, the scheduler and the node of the recorded cluster, or only what furnishes namespaces.
pub fn inhabit(around: &Surroundings, ca_pem: String, scripted: bool) -> Handle {
    let api = Arc::new(Late { api: around.api.clone(), clock: around.clock.clone() });
    let around = &Surroundings { api, clock: around.clock.clone() };
    if scripted {
        return runner::start(around, vec![Arc::new(namespaces::Furnishing { ca_pem })]);
    }
    let cloud = Arc::new(MemoryCloud::new(around.clock.clone()));
    cluster::control_plane(around, ca_pem)
        .join(runner::start(around, vec![Arc::new(volumes::Claims { cloud })]))
        .join(runner::start(&around.managing("fakenode"), vec![Arc::new(FakeNode)]))
}

/// Writes the parts of a status that a controller owned.
pub async fn act_as_recorded(api: &Arc<dyn Api>, recorded: &Json) {
    let Some(kind) = Gvk::of(recorded).filter(|kind| kind.kind != "Status") else { return };
    let text = |key: &str| recorded["metadata"][key].as_str().unwrap_or_default();
    let Some(live) = api.get(&kind, text("namespace"), text("name")) else { return };
    for entry in recorded["metadata"]["managedFields"].as_array().into_iter().flatten() {
        if entry["manager"] != "kube-controller-manager" || entry["subresource"] != "status" {
            continue;
        }
        let owned = FieldSet::from_json(&entry["fieldsV1"]).pick(recorded);
        let mut object = (*live).clone();
        lay_over(&mut object, &owned);
        let order: Vec<Json> =
            recorded["status"]["conditions"].as_array().into_iter().flatten().map(|c| c["type"].clone()).collect();
        if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
            conditions.sort_by_key(|c| order.iter().position(|kind| *kind == c["type"]));
        }
        if object != *live {
            api.update_status(object).await.unwrap_or_else(|why| panic!("{kind:?}: {why}"));
        }
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

/// The recorded node, as its writer and the node controllers had written it.
pub async fn register(api: &Arc<dyn Api>, recorded: &Json) {
    let mut node = bare(recorded);
    node["apiVersion"] = json!("v1");
    node["kind"] = json!("Node");
    let mut labels = node["metadata"]["labels"].clone();
    labels.as_object_mut().expect("labels").retain(|key, _| !key.starts_with("beta."));
    node["metadata"].as_object_mut().expect("metadata").shift_remove("annotations");
    node["metadata"]["labels"] = labels;
    let writer = api.managing("fakenode");
    let made = writer.create(node).await.expect("a node");
    let mut marked = (*made).clone();
    marked["metadata"]["labels"] = recorded["metadata"]["labels"].clone();
    marked["metadata"]["annotations"] = recorded["metadata"]["annotations"].clone();
    marked["spec"].as_object_mut().expect("a spec").shift_remove("taints");
    let mut marked = (*api.update(marked).await.expect("marked")).clone();
    marked["status"] = recorded["status"].clone();
    // What the server writes for what was not said.
    let status = marked["status"].as_object_mut().expect("a status");
    status.shift_remove("daemonEndpoints");
    status["nodeInfo"].as_object_mut().expect("information").retain(|_, value| *value != "");
    writer.update_status(marked).await.expect("reported");
}

/// The small program that played the node of the recordings: a second after a pod is bound it says that
/// everything in it runs, and it removes what is deleted.
struct FakeNode;

#[async_trait]
impl Controller for FakeNode {
    fn name(&self) -> &'static str {
        "fakenode"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![Gvk::new("", "v1", "Pod")]
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let find = || around.api.get(&key.gvk, &key.namespace, &key.name);
        let bound = |pod: &Arc<Json>| pod["spec"]["nodeName"].is_string();
        let Some(pod) = find().filter(bound) else { return Ok(Outcome::Done) };
        if pod["metadata"]["deletionTimestamp"].is_string() {
            around.clock.sleep(Duration::from_millis(120)).await;
            let options = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
            around.api.delete(&key.gvk, &key.namespace, &key.name, options).await.ok();
            return Ok(Outcome::Done);
        }
        if pod["status"]["phase"] != "Pending" {
            return Ok(Outcome::Done);
        }
        around.clock.sleep(Duration::from_secs(1)).await;
        let going = |pod: &Arc<Json>| pod["metadata"]["deletionTimestamp"].is_null();
        let Some(pod) = find().filter(going) else { return Ok(Outcome::Done) };
        let now = around.clock.now().rfc3339();
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
        let mut conditions: Vec<Json> =
            ["Initialized", "PodReadyToStartContainers", "ContainersReady", "Ready"].map(condition).to_vec();
        conditions.extend(pod["status"]["conditions"].as_array().cloned().unwrap_or_default());
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let statuses: Vec<Json> = containers
            .map(|container| {
                json!({
                    "name": container["name"], "state": {"running": {"startedAt": now}}, "lastState": {}, "ready": true,
                    "restartCount": 0, "image": container["image"], "imageID": "fake", "containerID": "fake://it",
                    "started": true,
                })
            })
            .collect();
        let mut next = (*pod).clone();
        let status = &mut next["status"];
        status["observedGeneration"] = json!(1);
        status["phase"] = json!("Running");
        status["conditions"] = json!(conditions);
        status["hostIP"] = json!("127.0.0.1");
        let address = format!("10.244.0.{}", 2 + around.clock.now().0 % 250);
        status["podIP"] = json!(address);
        status["podIPs"] = json!([{"ip": address}]);
        status["startTime"] = json!(now);
        status["containerStatuses"] = json!(statuses);
        around.api.update_status(next).await?;
        Ok(Outcome::Done)
    }
}
