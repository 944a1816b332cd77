//! The simulator's books of one run: every version of every object with its time, operations, refusals; and somebody
//! else who does something once they say so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value as Json, json};
use stackwright::env::clock::{SharedClock, Timestamp};
use stackwright::sim::kube::api::{Api, Change, DeleteOptions, Gvk};
use stackwright::sim::simulator::Simulator;

use super::case::{Deed, Happening};

/// A version of an object; without one it is gone.
struct Version {
    at: Timestamp,
    kind: String,
    uid: String,
    object: Option<Arc<Json>>,
}

/// What has been written so far.
#[derive(Clone, Default)]
pub struct Books(Arc<Mutex<Vec<Version>>>);

/// Whether an object says all that a happening wants.
fn says(object: &Json, happening: &Happening) -> bool {
    let text = object.to_string().replace("\\\"", "\"").replace("\\n", "\n");
    happening.says.iter().all(|words| text.contains(words.as_str()))
}

impl Books {
    /// Keeps the books of the first cluster that comes, and does what somebody does.
    pub fn keep(simulator: &Arc<Simulator>, clock: &SharedClock, deeds: &[Deed]) -> Books {
        let books = Books::default();
        let (kept, simulator, clock) = (books.clone(), simulator.clone(), clock.clone());
        let mut deeds = deeds.to_vec();
        tokio::spawn(async move {
            let api = loop {
                let info = simulator.info();
                let id = info["clusters"][0]["id"].as_str().unwrap_or_default().to_owned();
                if let Some(api) = simulator.api(&id) {
                    break api;
                }
                clock.sleep(Duration::from_secs(1)).await;
            };
            let mut changes = api.subscribe();
            while let Some(change) = changes.recv().await {
                let version = Version::of(change, clock.now());
                if let Some(object) = &version.object {
                    let due = |deed: &Deed| deed.when.kind == version.kind && says(object, &deed.when);
                    while let Some(at) = deeds.iter().position(due) {
                        let (deed, api, clock) = (deeds.remove(at), api.clone(), clock.clone());
                        tokio::spawn(async move {
                            clock.sleep(Duration::from_secs(deed.after)).await;
                            act(&api, deed).await;
                        });
                    }
                }
                kept.0.lock().expect("lock").push(version);
            }
        });
        books
    }

    /// When something had happened as often, or for as long, as it must.
    pub async fn when(&self, simulator: &Arc<Simulator>, happening: &Happening) -> Option<Timestamp> {
        match happening.kind.as_str() {
            "Operation" => operation(simulator, happening).await,
            "Refusal" => {
                let refused = simulator.google.requests.refused().into_iter().filter(|refused| {
                    let text = json!({"asked": refused.asked, "code": refused.code, "message": refused.message});
                    says(&text, happening)
                });
                let nth = usize::try_from(happening.times.saturating_sub(1)).unwrap_or_default();
                let at = refused.map(|refused| refused.at).nth(nth)?;
                Some(at.plus(Duration::from_secs(happening.lasting)))
            }
            _ => self.version(happening),
        }
    }

    fn version(&self, happening: &Happening) -> Option<Timestamp> {
        let versions = self.0.lock().expect("lock");
        let mut counts = BTreeMap::<&str, u64>::new();
        let mut since = BTreeMap::<&str, Timestamp>::new();
        let mut reached = None;
        for version in versions.iter().filter(|version| version.kind == happening.kind) {
            match version.object.as_ref().filter(|object| says(object, happening)) {
                Some(object) => {
                    since.entry(&version.uid).or_insert(version.at);
                    counts.insert(&version.uid, object["count"].as_u64().unwrap_or(1));
                }
                None => drop(since.remove(version.uid.as_str())),
            }
            if counts.values().sum::<u64>() >= happening.times {
                reached = reached.or(Some(version.at));
            }
        }
        match happening.lasting {
            0 => reached,
            seconds => Some(since.values().min()?.plus(Duration::from_secs(seconds))),
        }
    }
}

impl Version {
    fn of(change: Change, at: Timestamp) -> Version {
        let object = change.new.as_ref().or(change.old.as_ref());
        let uid = object.and_then(|object| object["metadata"]["uid"].as_str()).unwrap_or_default().to_owned();
        Version { at, kind: change.gvk.kind, uid, object: change.new }
    }
}

/// The end of the first operation that says it, errors included.
async fn operation(simulator: &Arc<Simulator>, happening: &Happening) -> Option<Timestamp> {
    let uri = "/v1/projects/sim-project/locations/-/operations";
    let request = Request::get(uri).header("authorization", "Bearer test").body(Body::empty()).expect("a request");
    let answer = simulator.answer(request).await;
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 24).await.expect("an answer");
    let document: Json = serde_json::from_slice(&bytes).expect("operations");
    let all = document["operations"].as_array().into_iter().flatten();
    let wanted = all.filter(|operation| happening.begins || operation["status"] == "DONE");
    let time = if happening.begins { "startTime" } else { "endTime" };
    wanted.filter(|one| says(one, happening)).filter_map(|one| Timestamp::parse(one[time].as_str()?)).min()
}

async fn act(api: &Arc<dyn Api>, deed: Deed) {
    for object in deed.apply {
        api.apply("somebody", object, true).await.expect("somebody may do that");
    }
    for object in deed.delete {
        let gvk = Gvk::of(&object).expect("a kind");
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        api.delete(&gvk, text("namespace"), text("name"), DeleteOptions::default()).await.expect("it is there");
    }
}
