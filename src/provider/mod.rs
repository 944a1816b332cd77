//! Platforms: what really happens when a resource is read, created, changed or deleted.
//!
//! One file per kind. Nothing here retries, waits for readiness or prints; the engine and the views do.

pub mod google;
pub mod kube;
pub mod openai;
pub mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::env::clock::SharedClock;
use crate::env::random::Random;
use crate::env::vars::Vars;
use crate::platform::models::Models;
use crate::platform::preflight::Preflight;
use crate::platform::{Objects, Prover, Site};
use crate::resource::driver::Driver;
use crate::resource::error::ProviderError;
use crate::resource::kind::KindTable;
use crate::state::key::Key;

/// What providers need to know of the run.
#[derive(Clone)]
pub struct ProviderOptions {
    /// Where every Google service is asked, without credentials, in place of Google: the simulator's
    /// `http://127.0.0.1:PORT`.
    pub google_endpoint: Option<String>,
    /// An HTTP proxy through which models are reached by `CONNECT`.
    pub proxy: Option<String>,
    /// The only certificates to trust in servers with public names, PEM, in place of the system's: those of a
    /// simulated world.
    pub public_root: Option<String>,
    /// The Google Cloud project of the stack; `None` when it has none or it is not known yet.
    pub project: Option<String>,
    /// The cluster of a kubeconfig, where the stack makes none.
    pub given: Option<kube::given::Given>,
    /// Time.
    pub clock: SharedClock,
    /// Randomness for ids.
    pub random: Arc<dyn Random>,
    /// Variables: `HTTPS_PROXY` where no proxy is given and no simulator is in use, `GOOGLE_CLOUD_PROJECT`
    /// where the stack names no project.
    pub vars: Arc<dyn Vars>,
}

/// Everything a run can do to the world.
pub struct Providers {
    /// The pure halves, without a stack's key: [`kinds`] are those with one.
    pub kinds: KindTable,
    /// The drivers, by the name of their kind.
    pub drivers: BTreeMap<&'static str, Arc<dyn Driver>>,
    /// Names the target and looks for leftovers.
    pub site: Arc<dyn Site>,
    /// Asks models whether they answer.
    pub prover: Arc<dyn Prover>,
    /// Talks to models.
    pub models: Arc<dyn Models>,
    /// Looks at objects for charts.
    pub objects: Arc<dyn Objects>,
    /// Looks before anything is paid for.
    pub preflight: Arc<dyn Preflight>,
}

/// The pure halves of all kinds: all that a plan without a platform needs. `key` is the stack's.
pub fn kinds(key: Option<Key>) -> KindTable {
    let mut kinds = KindTable::default();
    kinds.register(Arc::new(google::cluster::ClusterKind));
    kinds.register(Arc::new(google::node_pool::NodePoolKind));
    kinds.register(Arc::new(kube::object::ObjectKind::keyed(key)));
    kinds.register(Arc::new(kube::hook::HookKind));
    kinds.register(Arc::new(value::ValueKind));
    kinds
}

/// Everything, for a run with these options. Sends nothing.
///
/// # Errors
/// When the proxy is not a URL.
pub fn registry(options: ProviderOptions) -> Result<Providers, ProviderError> {
    // Clients of several crates share one TLS implementation; without a default some of them panic. A second
    // installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let proxy = match (&options.proxy, &options.google_endpoint) {
        (Some(proxy), _) => Some(proxy.clone()),
        (None, Some(_)) => None,
        (None, None) => ["HTTPS_PROXY", "https_proxy"].iter().find_map(|name| options.vars.get(name)),
    };
    let named = || ["GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"].iter().find_map(|name| options.vars.get(name));
    let project = options.project.clone().or_else(named);
    let models = Arc::new(openai::OpenAiClient::new(options.clock.clone(), proxy.as_deref())?);
    let google = google::client::GoogleClient::new(options.google_endpoint, options.clock.clone());
    let is_given = options.given.is_some();
    let public = kube::client::Public { proxy, root: options.public_root };
    let connections = Arc::new(kube::client::Connections::new(google.clone(), options.clock, options.given, public));
    let driver = Arc::new(kube::driver::ObjectDriver::new(connections.clone()));
    let tenants = Arc::new(kube::tenants::KubeTenants::new(connections.clone()));
    let objects: Arc<dyn Objects> = Arc::new(kube::look::KubeObjects::new(connections.clone()));
    let drivers: [(&'static str, Arc<dyn Driver>); 5] = [
        ("gke.cluster", Arc::new(google::cluster::ClusterDriver::new(google.clone(), tenants))),
        ("gke.node_pool", Arc::new(google::node_pool::NodePoolDriver::new(google.clone()))),
        ("k8s.hook", Arc::new(kube::hook::HookDriver::new(driver.clone()))),
        ("k8s.object", driver),
        ("value", Arc::new(value::ValueDriver::new(options.random))),
    ];
    let preflight = Arc::new(google::preflight::GooglePreflight::new(google.clone()));
    let site: Arc<dyn Site> = if is_given {
        Arc::new(kube::site::KubeSite::new(connections))
    } else {
        Arc::new(google::site::GoogleSite::new(google, objects.clone(), project))
    };
    let prover: Arc<dyn Prover> = models.clone();
    Ok(Providers { kinds: kinds(None), drivers: drivers.into(), site, prover, models, objects, preflight })
}

/// A recording of a real server beside the repository; `None`, said once, where the folder is absent.
#[cfg(test)]
fn recording(name: &str) -> Option<serde_json::Value> {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["../shared/recordings", "../../shared/recordings"] {
        if let Ok(bytes) = std::fs::read(manifest.join(folder).join(name)) {
            return Some(serde_json::from_slice(&bytes).expect("recordings are JSON"));
        }
    }
    // Tests may write to their own output.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!("skipped: no recording {name}");
    }
    None
}
