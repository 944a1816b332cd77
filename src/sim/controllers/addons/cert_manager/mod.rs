//! cert-manager: issuers, certificates that are real, the webhook's own CA, and the injection of CA bundles.

mod certificates;
mod inject;
mod issuers;
mod webhook;

use std::sync::Arc;

pub use webhook::review;

use super::work::Loop;
use crate::sim::controllers::Controller;
use crate::sim::kube::api::Gvk;

/// The field manager of everything cert-manager applies.
const MANAGER: &str = "cert-manager";

fn kind(kind: &str) -> Gvk {
    Gvk::new("cert-manager.io", "v1", kind)
}

/// The control loops of cert-manager's three programs.
pub fn controllers() -> Vec<Arc<dyn Controller>> {
    vec![
        Arc::new(Loop(issuers::Issuers)),
        Arc::new(Loop(certificates::Certificates)),
        Arc::new(Loop(certificates::Requests)),
        Arc::new(Loop(webhook::ServingCa)),
        Arc::new(Loop(inject::Injector)),
    ]
}
