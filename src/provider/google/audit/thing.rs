//! A resource of Compute Engine, with the fields that say whose it is and what it costs. What a kind does not have is
//! empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// One resource as a list shows it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Thing {
    pub name: String,
    pub description: String,
    pub self_link: String,
    /// RFC 3339, with milliseconds and an offset.
    pub creation_timestamp: String,
    pub labels: BTreeMap<String, String>,
    pub network: String,
    pub status: String,
    /// Of a disk, an address: who uses it.
    pub users: Vec<String>,
    /// Of a disk.
    pub size_gb: String,
    /// Of a disk: its type, as a link.
    #[serde(rename = "type")]
    pub kind: String,
    /// Of a forwarding rule: a proxy or a target pool.
    pub target: String,
    /// Of a forwarding rule.
    pub backend_service: String,
    /// Of a proxy.
    pub url_map: String,
    /// Of a proxy over TLS or TCP.
    pub service: String,
    /// Of a URL map.
    pub default_service: String,
    /// Of a URL map.
    pub path_matchers: Vec<PathMatcher>,
    /// Of a backend service.
    pub backends: Vec<Backend>,
    /// Of a backend service or a target pool.
    pub health_checks: Vec<String>,
    /// Of a proxy.
    pub ssl_certificates: Vec<String>,
    /// Of a target pool.
    pub instances: Vec<String>,
    /// Of a firewall.
    pub target_tags: Vec<String>,
    /// Of an instance.
    pub tags: Tags,
    /// Of an instance.
    pub machine_type: String,
    /// Of an instance.
    pub scheduling: Scheduling,
    /// Of an instance.
    pub guest_accelerators: Vec<Accelerator>,
    /// Of a network endpoint group.
    pub annotations: BTreeMap<String, String>,
}

/// A part of a URL map.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PathMatcher {
    pub default_service: String,
    pub path_rules: Vec<PathRule>,
}

/// A part of a path matcher.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PathRule {
    pub service: String,
}

/// Who answers for a backend service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Backend {
    pub group: String,
}

/// Network tags.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Tags {
    pub items: Vec<String>,
}

/// How a machine was bought.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Scheduling {
    pub provisioning_model: String,
    pub preemptible: bool,
}

/// Accelerators of a machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Accelerator {
    pub accelerator_type: String,
    #[serde(deserialize_with = "count")]
    pub accelerator_count: u64,
}

/// A count, as a number or, as some of Google's 64-bit fields, as text.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

impl Thing {
    /// A key of the description, where that is the JSON of a controller.
    pub fn described(&self, key: &str) -> Option<String> {
        let described = serde_json::from_str::<serde_json::Value>(&self.description).ok()?;
        described.get(key)?.as_str().map(str::to_owned)
    }

    /// Everything that it refers to, as links.
    pub fn refers_to(&self) -> Vec<&str> {
        let one = [&self.target, &self.backend_service, &self.url_map, &self.service, &self.default_service];
        let matchers = self.path_matchers.iter().flat_map(|matcher| {
            std::iter::once(&matcher.default_service).chain(matcher.path_rules.iter().map(|rule| &rule.service))
        });
        let groups = self.backends.iter().map(|backend| &backend.group);
        let all =
            one.into_iter().chain(matchers).chain(groups).chain(&self.health_checks).chain(&self.ssl_certificates);
        all.map(String::as_str).filter(|link| !link.is_empty()).collect()
    }
}

/// The path of a link: `projects/P/zones/Z/disks/NAME`, whatever stands before it.
pub fn path_of(link: &str) -> &str {
    link.find("projects/").map_or(link, |at| &link[at..])
}

/// The last part of a link.
pub fn last(link: &str) -> &str {
    link.rsplit('/').next().unwrap_or(link)
}
