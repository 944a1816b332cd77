//! The inside of a simulated cluster, put together: API server, controllers, programs of images, data plane.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::middleware::{self, Next};
use futures_util::stream;
use serde_json::Value as Json;
use tokio::task::AbortHandle;

use super::cluster_faults::ClusterFaults;
use super::controllers::faults::Faults;
use super::controllers::kubelet::Logs;
use super::controllers::runner::Handle;
use super::controllers::webhooks::ServiceWebhooks;
use super::controllers::{Surroundings, addons, cluster};
use super::google::compute::cloud::ClusterCloud;
use super::google::container::ClusterFacts;
use super::kube::admission;
use super::kube::api::{Api, Gvk};
use super::kube::server::{self, ApiServer};
use super::net::internet::{Peer, Stream};
use super::serving::{DataPlane, gateway};
use super::simulator::{Interior, Interiors, Simulator};
use super::{pod_proxy, port_forward};
use crate::env::clock::{SharedClock, Timestamp};

/// Clusters as GKE makes them, with the programs of all add-ons.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clusters;

impl Interiors for Clusters {
    fn open(
        &self,
        simulator: &Arc<Simulator>,
        facts: &ClusterFacts,
        ca_pem: &str,
    ) -> Result<Arc<dyn Interior>, String> {
        let clock = simulator.clock.clone();
        let faults: Arc<dyn Faults> = Arc::new(ClusterFaults(simulator.google.clone()));
        let programs = cluster::programs(addons::programs(&faults));
        let webhooks = Arc::new(ServiceWebhooks::new(clock.clone(), programs.clone(), faults.clone()));
        let mut plugins = admission::standard();
        plugins.extend(admission::google());
        let server = ApiServer::open(server::Parts {
            cluster: facts.id.clone(),
            world: simulator.world.clone(),
            clock: clock.clone(),
            random: simulator.random.clone(),
            webhooks: webhooks.clone(),
            plugins,
            version: format!("v{}", facts.version),
        });
        let api = server.api();
        webhooks.serve(&api);
        let loops = tokio::spawn(server.clone().run()).abort_handle();
        let logs = Arc::new(Logs::default());
        let controllers = cluster::start(cluster::Parts {
            around: Surroundings { api: api.clone(), clock: clock.clone() },
            ca_pem: ca_pem.to_owned(),
            programs,
            cloud: Arc::new(ClusterCloud::new(simulator.google.clone(), facts.clone())),
            faults,
            logs: logs.clone(),
        });
        let plane = DataPlane::new(api.clone(), clock);
        Ok(Arc::new(Inside { server, api, logs, plane, loops, _controllers: controllers }))
    }
}

/// One cluster's inside while it runs.
struct Inside {
    server: Arc<ApiServer>,
    api: Arc<dyn Api>,
    logs: Arc<Logs>,
    plane: Arc<DataPlane>,
    loops: AbortHandle,
    _controllers: Handle,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.loops.abort();
    }
}

impl Interior for Inside {
    fn api(&self) -> Arc<dyn Api> {
        self.api.clone()
    }

    fn router(&self) -> Router {
        let source = LogSource { api: self.api.clone(), clock: self.server.clock.clone(), logs: self.logs.clone() };
        let inside = super::kube::router(self.server.clone()).layer(middleware::from_fn_with_state(source, fill_log));
        let inside = inside.layer(middleware::from_fn_with_state(self.plane.clone(), pod_proxy::pass_on));
        inside.layer(middleware::from_fn_with_state(self.plane.clone(), port_forward::pass_on))
    }

    fn load_balancer(&self, _: &str, address: &str, port: u16) -> Option<Arc<dyn Peer>> {
        let destination = SocketAddr::new(address.parse().ok()?, port);
        let peer = Behind { plane: self.plane.clone(), destination };
        self.plane.reachable(destination).then(|| Arc::new(peer) as Arc<dyn Peer>)
    }
}

/// An address of a load balancer.
struct Behind {
    plane: Arc<DataPlane>,
    destination: SocketAddr,
}

#[async_trait]
impl Peer for Behind {
    async fn serve(&self, stream: Box<dyn Stream>) {
        if let Err(error) = gateway::serve(stream, &self.plane, self.destination).await {
            tracing::debug!(%error, destination = %self.destination, "a connection to a load balancer ended");
        }
    }
}

#[derive(Clone)]
struct LogSource {
    api: Arc<dyn Api>,
    clock: SharedClock,
    logs: Arc<Logs>,
}

/// Lets `pods/log` say what the kubelet has: the API server decides whether it may be read and of what, and
/// answers with what it knows itself; where that is nothing, the kubelet's lines take its place.
async fn fill_log(State(source): State<LogSource>, request: Request, next: Next) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut response = next.run(request).await;
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let ["api", "v1", "namespaces", namespace, "pods", pod, "log"] = words.as_slice() else { return response };
    let Some(pod) = source.api.get(&Gvk::new("", "v1", "Pod"), namespace, pod) else { return response };
    if response.status().as_u16() == 200 {
        let asked = Asked::of(&pod, &query);
        *response.body_mut() =
            if asked.follow { follow(source, (*pod).clone(), asked) } else { Body::from(log(&source, &pod, &asked)) };
        response.headers_mut().remove("content-length");
    }
    response
}

/// What somebody wants of a container's log.
struct Asked {
    container: String,
    previous: bool,
    follow: bool,
    stamped: bool,
    tail: usize,
    since: Option<u64>,
    most: usize,
}

impl Asked {
    fn of(pod: &Json, query: &str) -> Self {
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(n, _)| *n == name).map(|(_, value)| value)
        };
        let first = pod["spec"]["containers"][0]["name"].as_str().unwrap_or_default();
        let number = |name: &str| parameter(name).and_then(|n| n.parse().ok());
        Asked {
            container: parameter("container").unwrap_or(first).to_owned(),
            previous: parameter("previous") == Some("true"),
            follow: parameter("follow") == Some("true"),
            stamped: parameter("timestamps") == Some("true"),
            tail: number("tailLines").unwrap_or(usize::MAX),
            since: parameter("sinceSeconds").and_then(|n| n.parse().ok()),
            most: number("limitBytes").unwrap_or(usize::MAX),
        }
    }

    fn write(&self, lines: &[(Timestamp, String)]) -> String {
        let line = |(at, text): &(Timestamp, String)| {
            if self.stamped { format!("{} {text}\n", at.rfc3339_micros()) } else { format!("{text}\n") }
        };
        lines.iter().map(line).collect()
    }
}

/// A container's lines as they are asked for.
fn log(source: &LogSource, pod: &Json, asked: &Asked) -> String {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let mut lines = source.logs.read(uid, &asked.container, asked.previous);
    if let Some(seconds) = asked.since {
        let now = source.clock.now();
        lines.retain(|(at, _)| now.since(*at).as_secs() <= seconds);
    }
    let surplus = lines.len().saturating_sub(asked.tail);
    let mut text = asked.write(&lines[surplus..]);
    text.truncate(text.floor_char_boundary(asked.most));
    text
}

/// How often a followed log is looked at, in simulated time.
const GLANCE: Duration = Duration::from_secs(1);

/// A container's lines, and those still to come, until its pod is gone or has ended.
fn follow(source: LogSource, pod: Json, asked: Asked) -> Body {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let first = log(&source, &pod, &asked);
    let (_, seen) = source.logs.after(&uid, &asked.container, 0);
    let lines = stream::unfold((source, pod, asked, seen, Some(first)), move |(source, pod, asked, seen, first)| {
        let uid = uid.clone();
        async move {
            if let Some(first) = first {
                return Some((Ok::<_, Infallible>(first), (source, pod, asked, seen, None)));
            }
            loop {
                let text = |key: &str| pod["metadata"][key].as_str().unwrap_or_default();
                let now = source.api.get(&Gvk::new("", "v1", "Pod"), text("namespace"), text("name"));
                let alive = now.is_some_and(|now| {
                    now["metadata"]["uid"] == uid.as_str()
                        && !matches!(now["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
                });
                let (lines, all) = source.logs.after(&uid, &asked.container, seen);
                if !lines.is_empty() {
                    let text = asked.write(&lines);
                    return Some((Ok(text), (source, pod, asked, all, None)));
                }
                if !alive {
                    return None;
                }
                source.clock.sleep(GLANCE).await;
            }
        }
    });
    Body::from_stream(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::clock::Timestamp;
    use serde_json::json;

    #[test]
    fn a_log_is_cut_and_stamped_as_asked() {
        let logs = Logs::default();
        let lines = ["a", "b", "c"].map(str::to_owned).to_vec();
        logs.begin("u", "main", Timestamp(0), lines);
        let pod = json!({"metadata": {"uid": "u"}, "spec": {"containers": [{"name": "main"}]}});
        let shown = |query: &str| {
            let asked = Asked::of(&pod, query);
            let lines = logs.read("u", &asked.container, asked.previous);
            asked.write(&lines[lines.len().saturating_sub(asked.tail)..])
        };
        assert_eq!(shown(""), "a\nb\nc\n");
        assert_eq!(shown("tailLines=1&timestamps=true"), "1970-01-01T00:00:00.000000Z c\n");
        assert_eq!(shown("container=other"), "");
        assert_eq!(logs.after("u", "main", 2), (vec![(Timestamp(0), "c".to_owned())], 3));
        logs.begin("u", "main", Timestamp(1), vec!["d".to_owned()]);
        assert_eq!(logs.after("u", "main", 3), (vec![(Timestamp(1), "d".to_owned())], 1), "a new process");
    }
}
