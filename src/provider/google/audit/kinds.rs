//! The kinds of Compute Engine that clusters make or leave behind: how each is listed, and in which order they go.
//!
//! A table. Networks, routers and snapshots are not in it: GKE makes none, and they are their owners' to remove.

/// How a kind is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// `aggregated/X`: every zone, every region, global.
    Aggregated,
    /// `global/X` only.
    Global,
}

/// One kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// As paths have it.
    pub collection: &'static str,
    /// As people call it.
    pub words: &'static str,
    /// How it is listed.
    pub listing: Listing,
    /// What gcloud calls it: `gcloud compute X delete`.
    pub gcloud: &'static str,
    /// Who is removed first has the lowest number: users before what they use.
    pub order: u8,
}

const fn row(collection: &'static str, words: &'static str, listing: Listing, gcloud: &'static str, order: u8) -> Row {
    Row { collection, words, listing, gcloud, order }
}

/// All of them, in the order of removal.
pub const KINDS: &[Row] = &[
    row("forwardingRules", "forwarding rule", Listing::Aggregated, "forwarding-rules", 0),
    row("targetHttpProxies", "target HTTP proxy", Listing::Aggregated, "target-http-proxies", 1),
    row("targetHttpsProxies", "target HTTPS proxy", Listing::Aggregated, "target-https-proxies", 1),
    row("targetSslProxies", "target SSL proxy", Listing::Global, "target-ssl-proxies", 1),
    row("targetTcpProxies", "target TCP proxy", Listing::Global, "target-tcp-proxies", 1),
    row("urlMaps", "URL map", Listing::Aggregated, "url-maps", 2),
    row("sslCertificates", "SSL certificate", Listing::Aggregated, "ssl-certificates", 2),
    row("targetPools", "target pool", Listing::Aggregated, "target-pools", 3),
    row("backendServices", "backend service", Listing::Aggregated, "backend-services", 3),
    row("networkEndpointGroups", "network endpoint group", Listing::Aggregated, "network-endpoint-groups", 4),
    row("healthChecks", "health check", Listing::Aggregated, "health-checks", 4),
    row("httpHealthChecks", "HTTP health check", Listing::Global, "http-health-checks", 4),
    row("addresses", "address", Listing::Aggregated, "addresses", 5),
    row("instanceGroupManagers", "managed instance group", Listing::Aggregated, "instance-groups managed", 6),
    row("instanceGroups", "instance group", Listing::Aggregated, "instance-groups unmanaged", 7),
    row("instances", "instance", Listing::Aggregated, "instances", 7),
    row("disks", "disk", Listing::Aggregated, "disks", 8),
    row("routes", "route", Listing::Global, "routes", 8),
    row("firewalls", "firewall", Listing::Global, "firewall-rules", 9),
];

/// The kind of that collection.
#[cfg(test)]
pub fn of(collection: &str) -> &'static Row {
    KINDS.iter().find(|row| row.collection == collection).expect("a listed kind")
}
