//! The stack's own certificate authority: self-signed, kept in cert-manager's namespace. It signs the gateway's
//! certificate and, in Red Hat's build of KServe, those of the models.

use serde_json::json;

use crate::catalog::expansion::{Expansion, mistake};
use crate::stack::GatewayTls;

/// The authority's Certificate, and the Secret with its key.
pub(in crate::catalog) const CA: &str = "opendatahub-ca";

/// The issuer that signs with it.
pub(in crate::catalog) const CA_ISSUER: &str = "opendatahub-ca-issuer";

const ROOT_ISSUER: &str = "opendatahub-selfsigned-issuer";

pub(super) fn expand(expansion: &mut Expansion<'_>) {
    let gateway = expansion.stack.gateway.as_ref().filter(|gateway| gateway.tls() == GatewayTls::Issued);
    if gateway.is_none() && !expansion.is_rhaii("kserve") {
        return;
    }
    if expansion.addon("cert-manager").is_none() {
        if let Some(gateway) = gateway {
            let hint = "add [addons.cert-manager], or write tls = \"secret:NAME\" or tls = \"off\" in [gateway]";
            let what = "the gateway's certificate needs the add-on cert-manager";
            expansion.report(mistake(what, &gateway.span, "nobody would issue it").hint(hint));
        }
        return;
    }
    let mut own = |kind: &str, metadata: serde_json::Value, spec: serde_json::Value| {
        let manifest = json!({"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": metadata, "spec": spec});
        expansion.own("addons.cert-manager", &manifest);
    };
    own("ClusterIssuer", json!({"name": ROOT_ISSUER}), json!({"selfSigned": {}}));
    own(
        "Certificate",
        json!({"name": CA, "namespace": "cert-manager"}),
        json!({
            "isCA": true, "commonName": CA, "secretName": CA,
            "duration": "87600h", "renewBefore": "2160h",
            "privateKey": {"algorithm": "ECDSA", "size": 256},
            "issuerRef": {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": ROOT_ISSUER},
        }),
    );
    own("ClusterIssuer", json!({"name": CA_ISSUER}), json!({"ca": {"secretName": CA}}));
}
