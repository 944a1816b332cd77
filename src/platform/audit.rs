//! What is left of clusters that are gone: the facts by which their things are known, what was found, and the receipt.
//!
//! Plain data that a platform fills in, `ops` weighs and views show. Who may call what is proven ours is the
//! platform's; what it costs is `cost`'s.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What a cluster is known by once it cannot be asked any more. Kept in state until a receipt says that nothing is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Captured {
    /// Google Cloud project id.
    pub project: String,
    /// Zone or region.
    pub location: String,
    /// Its name.
    pub name: String,
    /// 64 hexadecimal digits; the first eight are in the names of its firewalls and ranges.
    pub id: String,
    /// When it was made, RFC 3339; empty where that was not learned.
    pub created: String,
    /// Its network, as GKE names it.
    pub network: String,
    /// The zones of its nodes.
    pub zones: BTreeSet<String>,
    /// The network tag of its nodes.
    pub node_tag: String,
    /// Names of the instance groups of its pools.
    pub instance_groups: BTreeSet<String>,
    /// The uid of its namespace `kube-system`, which names of load balancers are derived from.
    pub system_uid: Option<String>,
    /// What the ConfigMap `kube-system/ingress-uid` holds.
    pub ingress_uids: BTreeSet<String>,
    /// Its Services with a load balancer, `namespace/name` by uid.
    pub services: BTreeMap<String, String>,
    /// Handles of its volumes that were to go with their claims: `projects/P/zones/Z/disks/NAME`.
    pub volumes: BTreeSet<String>,
    /// Handles of its volumes that are to stay (reclaim policy `Retain`).
    pub retained: BTreeSet<String>,
}

impl Captured {
    /// Adds what was learned later; nothing that was known is lost.
    pub fn learn(&mut self, later: &Captured) {
        let text = |known: &mut String, new: &String| {
            if !new.is_empty() {
                known.clone_from(new);
            }
        };
        text(&mut self.project, &later.project);
        text(&mut self.location, &later.location);
        text(&mut self.name, &later.name);
        text(&mut self.id, &later.id);
        text(&mut self.created, &later.created);
        text(&mut self.network, &later.network);
        text(&mut self.node_tag, &later.node_tag);
        self.zones.extend(later.zones.iter().cloned());
        self.instance_groups.extend(later.instance_groups.iter().cloned());
        if later.system_uid.is_some() {
            self.system_uid.clone_from(&later.system_uid);
        }
        self.ingress_uids.extend(later.ingress_uids.iter().cloned());
        self.services.extend(later.services.iter().map(|(uid, name)| (uid.clone(), name.clone())));
        self.volumes.extend(later.volumes.iter().cloned());
        self.retained.extend(later.retained.iter().cloned());
        // The last word on a policy counts.
        self.volumes.retain(|handle| !later.retained.contains(handle));
        self.retained.retain(|handle| !later.volumes.contains(handle));
    }
}

/// Whose something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was made by or for a cluster of the stack, beyond doubt.
    Proven,
    /// Much speaks for it. Never removed by us.
    Probable,
    /// It is like ours, and another's.
    Other,
}

/// What a thing is billed as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billed {
    /// It costs nothing by itself.
    Nothing,
    /// A persistent disk.
    Disk {
        /// `pd-balanced`, …
        kind: String,
        /// GB (2^30 bytes).
        gigabytes: u64,
    },
    /// A forwarding rule.
    ForwardingRule,
    /// A reserved address that nothing uses.
    Address,
    /// A virtual machine.
    Machine {
        /// `n1-standard-4`.
        machine_type: String,
        /// Where.
        region: String,
        /// Bought as spot capacity.
        spot: bool,
        /// Accelerators by type.
        accelerators: BTreeMap<String, u64>,
    },
    /// A whole cluster or pool, whose price is not worked out here.
    Unknown,
}

/// Something that is there, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is: `forwarding rule`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `global`, `regions/europe-west4`, `zones/europe-west4-a`; empty where the platform has no such thing.
    pub place: String,
    /// How the platform is asked for it: `projects/P/zones/Z/disks/NAME`. Empty for what cannot be removed by name.
    pub path: String,
    /// The id of the cluster that it is, belongs or is like to belong to; empty for what else carries the stack's own mark.
    pub cluster: String,
    /// Whose it is.
    pub verdict: Verdict,
    /// What says so.
    pub because: String,
    /// What it is billed as.
    pub billed: Billed,
    /// What is removed first has the lowest number; nothing that cannot be removed here has one.
    #[serde(skip)]
    pub order: Option<u8>,
    /// The command that removes it by hand.
    pub command: String,
}

/// What could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unseen {
    /// What: `disks of p-demo in zones/us-east1-b`.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// One look at everything that might be left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// What is there.
    pub findings: Vec<Finding>,
    /// What could not be seen.
    pub unseen: Vec<Unseen>,
    /// The kinds that were looked for.
    pub looked: BTreeSet<String>,
    /// Ids of the clusters that are still there.
    pub living: BTreeSet<String>,
}

/// A line of the receipt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// US dollars an hour; `None` where the price is not known.
    pub per_hour: Option<f64>,
}

/// What was tried with a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removal {
    /// What it is.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Where.
    pub place: String,
    /// Why it is still there; `None` when it is gone.
    pub failed: Option<String>,
}

/// What a destroy took away and what it did not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The stack's name.
    pub stack: String,
    /// The stack's random id.
    pub stack_id: String,
    /// When it was looked, RFC 3339.
    pub time: String,
    /// Clusters that were looked for by captured facts: `location/name (id)`.
    pub clusters: Vec<String>,
    /// Resources of the stack that the destroy removed, by kind.
    pub removed: BTreeMap<String, usize>,
    /// Kinds that were looked for.
    pub looked_for: Vec<String>,
    /// Things that clusters had left behind and that were swept away, or would not go.
    pub swept: Vec<Removal>,
    /// What is left and is, or probably is, the stack's.
    pub remaining: Vec<Entry>,
    /// What looks alike and is another's.
    pub others: Vec<Entry>,
    /// What could not be looked at. With any of it, nobody knows what is left.
    pub unknown: Vec<Unseen>,
    /// US dollars an hour of what is left, as far as prices are known.
    pub per_hour: f64,
    /// Whether that is all of it.
    pub price_is_complete: bool,
    /// Whether the user left something where it is.
    pub abandoned: bool,
    /// Whether the stack goes on, and only what it had before was looked for: after a cluster was replaced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub goes_on: bool,
}

impl Receipt {
    /// Whether nothing is left, and that is known.
    pub fn is_clean(&self) -> bool {
        self.remaining.is_empty() && self.unknown.is_empty()
    }

    /// Whether a sweep would remove anything.
    pub fn can_be_swept(&self) -> bool {
        self.remaining.iter().any(|entry| entry.finding.verdict == Verdict::Proven && entry.finding.order.is_some())
    }
}
