//! The cloud as one cluster's controllers see it: load balancers of Services and disks of volumes.
//!
//! What the cloud controller manager and pd.csi really make: forwarding rule, target pool, health check and
//! firewalls for the one, a labelled disk for the other. Durations count from documents.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::network::{self, region_scope};
use super::{ROOT, all, let_go, put};
use crate::env::clock::Timestamp;
use crate::sim::controllers::cloud::{Balancer, Cloud, Disk, Part, Progress};
use crate::sim::controllers::durations;
use crate::sim::google::Google;
use crate::sim::google::container::{ClusterFacts, quotas};
use crate::sim::google::offers;

/// The cloud around one cluster.
pub struct ClusterCloud {
    google: Arc<Google>,
    cluster: ClusterFacts,
}

impl ClusterCloud {
    /// Of a cluster.
    pub fn new(google: Arc<Google>, cluster: ClusterFacts) -> Self {
        ClusterCloud { google, cluster }
    }

    fn find(&self, collection: &str, scope: &str, name: &str) -> Option<Arc<Json>> {
        let key = format!("{}/{scope}/{name}", self.cluster.project);
        self.google.world.get(&super::section(collection), &key)
    }

    fn progress<T>(&self, since: u64, takes: Duration, value: T) -> Progress<T> {
        let passed = self.google.clock.now().since(Timestamp(since));
        if passed < takes { Progress::Pending(takes - passed) } else { Progress::Done(value) }
    }

    /// The health check that all classic load balancers of the cluster share.
    fn health_check(&self) -> String {
        format!("k8s-{}-node", self.ingress_uid())
    }

    fn health_check_firewall(&self) -> String {
        format!("{}-http-hc", self.health_check())
    }

    /// A part's place as a scope.
    fn scope(&self, place: &str) -> String {
        match place {
            "region" => region_scope(&self.cluster.location),
            "zone" if offers::is_zone(&self.cluster.location) => format!("zones/{}", self.cluster.location),
            "zone" => {
                format!("zones/{}", offers::zones_of(&self.cluster.location).first().cloned().unwrap_or_default())
            }
            _ => "global".to_owned(),
        }
    }

    /// Puts links and tags where they are stood for.
    fn resolve(&self, fields: &mut Json) {
        match fields {
            Json::String(text) => {
                if text == "@tag" {
                    *text = network::node_tag(&self.cluster);
                } else if let Some((place, rest)) = text.strip_prefix('@').and_then(|text| text.split_once('/')) {
                    *text = format!("{ROOT}/projects/{}/{}/{rest}", self.cluster.project, self.scope(place));
                }
            }
            Json::Array(items) => items.iter_mut().for_each(|item| self.resolve(item)),
            Json::Object(map) => map.iter_mut().for_each(|(_, value)| self.resolve(value)),
            _ => {}
        }
    }

    /// The links of the instances behind a load balancer.
    fn instances(&self, nodes: &[String]) -> Vec<Json> {
        let found = all(&self.google, "instances");
        let links = found.iter().filter(|i| nodes.iter().any(|node| i["name"] == json!(node)));
        links.map(|i| i["selfLink"].clone()).collect()
    }
}

impl Cloud for ClusterCloud {
    fn ensure_load_balancer(&self, balancer: &Balancer) -> Result<Progress<String>, String> {
        let google = &self.google;
        let project = &self.cluster.project;
        let scope = region_scope(&self.cluster.location);
        let region = offers::region_of(&self.cluster.location);
        let service = format!("{}/{}", balancer.namespace, balancer.service);
        let description = json!({"kubernetes.io/service-name": service}).to_string();
        let old = self.find("forwardingRules", &scope, &balancer.name);
        let (address, since) = match &old {
            Some(rule) => {
                (rule["IPAddress"].as_str().unwrap_or_default().to_owned(), rule["_since"].as_u64().unwrap_or(0))
            }
            None if balancer.internal => {
                let address = balancer.address.clone().unwrap_or_else(|| network::free_internal_address(google));
                (address, google.clock.now().0)
            }
            None => {
                let used = quotas::usage(google, project, region).get("IN_USE_ADDRESSES").copied().unwrap_or(0.0);
                let limit = quotas::limit(google, region, "IN_USE_ADDRESSES");
                if used + 1.0 > limit {
                    return Err(format!(
                        "googleapi: Error 403: Quota 'IN_USE_ADDRESSES' exceeded.  Limit: {limit:.1} in region {region}., \
                         quotaExceeded"
                    ));
                }
                let address = balancer.address.clone().unwrap_or_else(|| network::free_address(google));
                (address, google.clock.now().0)
            }
        };
        let owner = json!(self.cluster.id);
        let pool = format!("{ROOT}/projects/{project}/{scope}/targetPools/{}", balancer.name);
        put(
            google,
            project,
            "targetPools",
            &scope,
            &balancer.name,
            json!({
                "description": description,
                "instances": self.instances(&balancer.nodes),
                "sessionAffinity": "NONE",
                "healthChecks":
                    [format!("{ROOT}/projects/{project}/global/httpHealthChecks/{}", self.health_check())],
                "_owner": owner,
            }),
        );
        put(
            google,
            project,
            "httpHealthChecks",
            "global",
            &self.health_check(),
            json!({
                "port": 10256, "requestPath": "/healthz", "checkIntervalSec": 8, "timeoutSec": 1,
                "healthyThreshold": 1, "unhealthyThreshold": 3, "_owner": owner,
            }),
        );
        let ports: Vec<u16> = balancer.ports.iter().map(|(_, port)| *port).collect();
        let range = match (ports.iter().min(), ports.iter().max()) {
            (Some(low), Some(high)) => format!("{low}-{high}"),
            _ => "1-65535".to_owned(),
        };
        let protocol = balancer.ports.first().map_or("TCP", |(protocol, _)| protocol.as_str());
        put(
            google,
            project,
            "forwardingRules",
            &scope,
            &balancer.name,
            json!({
                "description": description,
                "IPAddress": address,
                "IPProtocol": protocol,
                "portRange": range,
                "target": pool,
                "loadBalancingScheme": if balancer.internal { "INTERNAL" } else { "EXTERNAL" },
                "networkTier": "PREMIUM",
                "fingerprint": google.digits(&format!("rule {range}"), 8),
                "_owner": owner,
                "_since": since,
                "_ports": ports,
                "_cluster": owner,
            }),
        );
        let tag = network::node_tag(&self.cluster);
        let mut rule = network::service_firewall(project, &balancer.ports, &tag, &service, &address);
        rule["_owner"] = owner.clone();
        put(google, project, "firewalls", "global", &format!("k8s-fw-{}", balancer.name), rule);
        let mut health = network::service_firewall(project, &[("tcp".to_owned(), 10256)], &tag, &service, &address);
        health["description"] = json!(json!({"kubernetes.io/cluster-id": self.health_check_firewall()}).to_string());
        health["sourceRanges"] = json!(["130.211.0.0/22", "35.191.0.0/16", "209.85.152.0/22", "209.85.204.0/22"]);
        health["_owner"] = owner;
        put(google, project, "firewalls", "global", &self.health_check_firewall(), health);
        Ok(self.progress(since, durations::LOAD_BALANCER, address))
    }

    fn release_load_balancer(&self, name: &str) -> Result<Progress<()>, String> {
        let google = &self.google;
        let scope = region_scope(&self.cluster.location);
        let Some(rule) = self.find("forwardingRules", &scope, name) else {
            self.remove_rest(name, &scope);
            return Ok(Progress::Done(()));
        };
        let mut rule = (*rule).clone();
        let Some(since) = rule["_releasing"].as_u64() else {
            rule["_releasing"] = json!(google.clock.now().0);
            super::replace(google, "forwardingRules", rule);
            return Ok(Progress::Pending(durations::LOAD_BALANCER_RELEASE));
        };
        let progress = self.progress(since, durations::LOAD_BALANCER_RELEASE, ());
        if progress == Progress::Done(()) {
            let_go(google, "forwardingRules", &rule);
            self.remove_rest(name, &scope);
        }
        Ok(progress)
    }

    fn ensure_parts(&self, owner: &str, parts: &[Part]) -> Result<Progress<String>, String> {
        let google = &self.google;
        let (mut address, mut since) = (String::new(), google.clock.now().0);
        for part in parts {
            let scope = self.scope(part.place);
            let mut fields = part.fields.clone();
            self.resolve(&mut fields);
            let old = self.find(part.collection, &scope, &part.name);
            fields["_owner"] = json!(self.cluster.id);
            fields["_part"] = json!(owner);
            if part.collection == "forwardingRules" {
                if let Some(old) = &old {
                    since = old["_since"].as_u64().unwrap_or(since);
                    old["IPAddress"].as_str().unwrap_or_default().clone_into(&mut address);
                } else {
                    address = network::free_address(google);
                }
                fields["IPAddress"] = json!(address);
                fields["_since"] = json!(since);
                fields["_cluster"] = json!(self.cluster.id);
            }
            put(google, &self.cluster.project, part.collection, &scope, &part.name, fields);
        }
        Ok(self.progress(since, durations::LOAD_BALANCER, address))
    }

    fn release_parts(&self, owner: &str) -> Result<Progress<()>, String> {
        let google = &self.google;
        let mine = |document: &Json| document["_part"] == json!(owner) && document["_owner"] == json!(self.cluster.id);
        // Users before what they use.
        let order = [
            "forwardingRules",
            "targetHttpProxies",
            "urlMaps",
            "backendServices",
            "networkEndpointGroups",
            "healthChecks",
            "firewalls",
        ];
        let parts = order.iter().flat_map(|collection| {
            all(google, collection).into_iter().filter(mine).map(move |document| (*collection, document))
        });
        for (collection, mut document) in parts.collect::<Vec<_>>() {
            let Some(since) = document["_releasing"].as_u64() else {
                document["_releasing"] = json!(google.clock.now().0);
                super::replace(google, collection, document);
                return Ok(Progress::Pending(durations::LOAD_BALANCER_RELEASE / 4));
            };
            if let Progress::Pending(wait) = self.progress(since, durations::LOAD_BALANCER_RELEASE / 4, ()) {
                return Ok(Progress::Pending(wait));
            }
            let_go(google, collection, &document);
        }
        Ok(Progress::Done(()))
    }

    fn ensure_disk(&self, disk: &Disk) -> Result<Progress<String>, String> {
        let google = &self.google;
        let project = &self.cluster.project;
        let scope = format!("zones/{}", disk.zone);
        let handle = format!("projects/{project}/zones/{}/disks/{}", disk.zone, disk.name);
        if let Some(old) = self.find("disks", &scope, &disk.name) {
            return Ok(self.progress(old["_since"].as_u64().unwrap_or(0), durations::DISK, handle));
        }
        if !offers::is_zone(&disk.zone) {
            return Err(format!(
                "googleapi: Error 400: Invalid value for field 'zone': '{}'. Unknown zone., invalid",
                disk.zone
            ));
        }
        let region = offers::region_of(&disk.zone);
        let metric = if disk.kind == "pd-standard" { "DISKS_TOTAL_GB" } else { "SSD_TOTAL_GB" };
        let used = quotas::usage(google, project, region).get(metric).copied().unwrap_or(0.0);
        let limit = quotas::limit(google, region, metric);
        if used + disk.gigabytes as f64 > limit {
            return Err(format!(
                "googleapi: Error 403: Quota '{metric}' exceeded.  Limit: {limit:.1} in region {region}., quotaExceeded"
            ));
        }
        put(
            google,
            project,
            "disks",
            &scope,
            &disk.name,
            json!({
                "description": json!({
                    "kubernetes.io/created-for/pv/name": disk.name,
                    "kubernetes.io/created-for/pvc/name": disk.claim,
                    "kubernetes.io/created-for/pvc/namespace": disk.namespace,
                    "storage.gke.io/created-by": "pd.csi.storage.gke.io",
                }).to_string(),
                "labels": {
                    "goog-gke-volume": "",
                    "goog-k8s-cluster-name": self.cluster.name,
                    "goog-k8s-cluster-location": self.cluster.location,
                    "goog-gke-cluster-id-base32": self.cluster.label(),
                },
                "sizeGb": disk.gigabytes.to_string(),
                "type": format!("{ROOT}/projects/{project}/zones/{}/diskTypes/{}", disk.zone, disk.kind),
                "status": "READY",
                "physicalBlockSizeBytes": "4096",
                "_owner": self.cluster.id,
                "_since": google.clock.now().0,
            }),
        );
        Ok(Progress::Pending(durations::DISK))
    }

    fn delete_disk(&self, handle: &str) -> Result<Progress<()>, String> {
        let mut parts = handle.rsplit('/');
        let (name, zone) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
        let Some(disk) = self.find("disks", &format!("zones/{zone}"), name) else { return Ok(Progress::Done(())) };
        if let Some(user) = disk["users"][0].as_str() {
            return Err(format!(
                "googleapi: Error 400: The disk resource '{handle}' is already being used by '{user}', resourceInUseByAnotherResource"
            ));
        }
        let_go(&self.google, "disks", &disk);
        Ok(Progress::Done(()))
    }

    fn ingress_uid(&self) -> String {
        self.google.digits(&format!("ingress {}", self.cluster.id), 16)
    }
}

impl ClusterCloud {
    /// Target pool and firewall go with the rule, the health check and its firewall with the last of them.
    fn remove_rest(&self, name: &str, scope: &str) {
        let google = &self.google;
        for (collection, scope, name) in
            [("targetPools", scope, name.to_owned()), ("firewalls", "global", format!("k8s-fw-{name}"))]
        {
            if let Some(document) = self.find(collection, scope, &name) {
                let_go(google, collection, &document);
            }
        }
        let last = !all(google, "forwardingRules").iter().any(|rule| rule["_owner"] == json!(self.cluster.id));
        if !last {
            return;
        }
        for (collection, name) in
            [("firewalls", self.health_check_firewall()), ("httpHealthChecks", self.health_check())]
        {
            if let Some(document) = self.find(collection, "global", &name) {
                let_go(google, collection, &document);
            }
        }
    }
}

/// The cluster and load balancer behind an address of the simulated internet.
pub fn at_address(google: &Google, address: &str) -> Option<(String, String, Vec<u16>)> {
    let rule = all(google, "forwardingRules").into_iter().find(|rule| rule["IPAddress"] == json!(address))?;
    let ports = rule["_ports"].as_array()?.iter().filter_map(|p| u16::try_from(p.as_u64()?).ok()).collect();
    Some((rule["_cluster"].as_str()?.to_owned(), rule["name"].as_str()?.to_owned(), ports))
}
