//! The world's rules of what goes wrong, as a cluster's controllers ask for them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::controllers::faults::{Crash, Faults, Hub};
use super::controllers::image::Image;
use super::faults::{Fault, HubAnswer, glob};
use super::google::Google;

/// Faults of the clusters of one world.
pub struct ClusterFaults(pub Arc<Google>);

impl ClusterFaults {
    fn first<T>(&self, pick: impl Fn(Fault) -> Option<T>) -> Option<T> {
        self.0.faults.present().into_iter().find_map(pick)
    }
}

/// `namespace/name` of an object.
fn path(object: &Json) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

/// `registry/repository:tag`, as people write images.
fn reference(image: &Image) -> String {
    let tail = if image.digest.is_empty() { format!(":{}", image.tag) } else { format!("@{}", image.digest) };
    format!("{}/{}{tail}", image.registry, image.repository)
}

impl Faults for ClusterFaults {
    fn image_pull(&self, _: &Json, image: &Image) -> Option<String> {
        self.first(|fault| match fault {
            Fault::ImagePull { image: pattern, message, .. } if glob(&pattern, &reference(image)) => Some(message),
            _ => None,
        })
    }

    fn pull_factor(&self, image: &Image) -> f64 {
        let slow = self.first(|fault| match fault {
            Fault::SlowPull { image: pattern, factor } if glob(&pattern, &reference(image)) => Some(factor),
            _ => None,
        });
        slow.unwrap_or(1.0)
    }

    fn sandbox(&self, pod: &Json) -> Option<String> {
        self.first(|fault| match fault {
            Fault::Sandbox { pod: pattern, message, .. } if glob(&pattern, &path(pod)) => Some(message),
            _ => None,
        })
    }

    fn hub(&self, repository: &str) -> Option<Hub> {
        self.first(|fault| match fault {
            Fault::ModelHub { repository: pattern, answer, .. } if glob(&pattern, repository) => Some(match answer {
                HubAnswer::Unauthorized => Hub::Unauthorized,
                HubAnswer::Restricted => Hub::Restricted,
                HubAnswer::Missing => Hub::Missing,
                HubAnswer::Unreachable => Hub::Unreachable,
            }),
            _ => None,
        })
    }

    fn crash(&self, pod: &Json, container: &str) -> Option<Crash> {
        self.first(|fault| match fault {
            Fault::Crash { pod: pattern, container: wanted, code, log, .. }
                if glob(&pattern, &path(pod)) && (wanted.is_empty() || wanted == container) =>
            {
                let log = if log.is_empty() { Vec::new() } else { vec![log] };
                Some(Crash { code, oom: code == 137, log })
            }
            _ => None,
        })
    }

    fn webhook_delay(&self, namespace: &str, service: &str) -> Option<Duration> {
        let name = format!("{namespace}/{service}");
        self.first(|fault| match fault {
            Fault::Webhook { service, seconds: Some(seconds), .. } if glob(&service, &name) => {
                Some(Duration::from_secs(seconds))
            }
            _ => None,
        })
    }

    fn webhook_unreachable(&self, namespace: &str, service: &str) -> bool {
        let name = format!("{namespace}/{service}");
        let silent = |fault| match fault {
            Fault::Webhook { service, seconds: None, .. } if glob(&service, &name) => Some(()),
            _ => None,
        };
        self.first(silent).is_some()
    }

    fn load_balancer_stuck(&self, service: &Json) -> bool {
        let stuck = |fault| match fault {
            Fault::LoadBalancerStuck { service: pattern, .. } if glob(&pattern, &path(service)) => Some(()),
            _ => None,
        };
        self.first(stuck).is_some()
    }

    fn node_lost(&self, node: &str) -> bool {
        let lost = |fault| match fault {
            Fault::NodeLost { node: pattern, .. } if glob(&pattern, node) => Some(()),
            _ => None,
        };
        self.first(lost).is_some()
    }
}
