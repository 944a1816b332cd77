//! Desired resources: what a stack expands to. Pure data.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::value::Value;

/// Everything a stack wants, fully expanded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// The stack's name.
    pub stack: String,
    /// All resources, no two with the same address or identity.
    pub resources: Vec<Resource>,
    /// The stack's outputs: values over references.
    pub outputs: BTreeMap<String, Output>,
    /// The secret inputs in use, with the name of the variable or file each came from, for messages only.
    pub secrets: BTreeMap<String, String>,
    /// How the finished stack proves that it works; empty for a stack without workloads.
    pub proofs: Vec<Proof>,
    /// Objects whose new version would find no room beside the old one.
    pub crowded: BTreeMap<Address, Crowded>,
    /// The locations that the stack may be in, in the order in which they are tried; none for a cluster that is given. The
    /// resources above are those of the first.
    pub places: Vec<Place>,
}

impl Desired {
    /// What is wanted in one of the places; as it is where there is no such place.
    pub fn at(&self, location: &str) -> Desired {
        let mut desired = self.clone();
        let Some(place) = self.places.iter().find(|place| place.location == location) else { return desired };
        for resource in &mut desired.resources {
            if let Some(there) = place.resources.iter().find(|there| there.address == resource.address) {
                resource.attrs.clone_from(&there.attrs);
                (resource.timeout, resource.estimate) = (there.timeout, there.estimate);
            }
        }
        desired
    }
}

/// A location that a stack may be in.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Zone or region.
    pub location: String,
    /// The resources that are tied to it, as they are there: the cluster and its pools.
    pub resources: Vec<Resource>,
    /// What is known to be missing there.
    pub notes: Vec<String>,
}

/// Why an object is made anew where others are changed: the pods of its new version would wait for what the old ones
/// hold, and the old ones for the new.
#[derive(Clone, Debug, PartialEq)]
pub struct Crowded {
    /// Changes below these paths make new pods.
    pub paths: Vec<Vec<String>>,
    /// In words, for the plan.
    pub why: String,
}

/// One output of a stack.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The value, over references.
    pub value: Value,
    /// Shown next to it.
    pub description: Option<String>,
    /// Never printed unless asked for by name.
    pub sensitive: bool,
}

/// A completion that must come back through the gateway before `apply` may say that it is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// The workload component, `workloads.qwen-3b`.
    pub component: String,
    /// Base URL of its OpenAI API, over references: `https://<address>/<namespace>/<name>`.
    pub url: Value,
    /// The model name to ask for.
    pub model: String,
    /// PEM certificates to trust besides the system's, over references; `None` for the system's only.
    pub ca: Option<Value>,
    /// The host name the server's certificate is for, when the URL holds an address.
    pub server_name: Option<String>,
    /// The key that the server wants to see, over secret inputs.
    pub api_key: Option<Value>,
    /// The gateway in front of it.
    pub gateway: Option<Portal>,
    /// How long to keep trying.
    pub timeout: Duration,
}

/// A Gateway that models are behind: whose pods take their requests, where its address leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Portal {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The resource whose outputs say how to reach the cluster; none for that of a kubeconfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Address>,
}

/// One desired resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Who it is.
    pub address: Address,
    /// Its kind's name: `gke.cluster`, `gke.node_pool`, `k8s.object`, `value`.
    pub kind: &'static str,
    /// What it should be. For `k8s.object` the manifest.
    pub attrs: Arc<Value>,
    /// Edges that cannot be read off the attributes; references and Kubernetes objects bring their own.
    pub needs: Vec<Need>,
    /// The resource whose outputs say how to reach the platform: the cluster, for `k8s.object`.
    pub connection: Option<Address>,
    /// Fields that a controller takes over after creation: sent on create only, never drift.
    pub ceded: Vec<Ceded>,
    /// How long to wait for it to become ready.
    pub timeout: Duration,
    /// How long it usually takes, for the critical path.
    pub estimate: Duration,
    /// Where it comes from, when that is worth showing: a chart and template, a file, `stand-in`.
    pub origin: Option<String>,
}

/// An explicit edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The dependency: a resource's address, or a component's name for all resources of it.
    pub on: Address,
    /// Why, in words that `graph --why` prints: "the operator reconciles this kind".
    pub reason: String,
}

/// A field that somebody else owns once the object exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceded {
    /// Path into the manifest; `*` stands for every list item or map key.
    pub path: Vec<String>,
    /// Who owns it: `cert-manager-cainjector`.
    pub owner: String,
}
