//! What a stack costs an hour: a price table with its sources, and an estimate from desired resources. Pure.
//!
//! Also of what a cluster has left behind. List prices in US dollars without discounts, free tiers, taxes and traffic. What the table does not know is
//! unknown, never zero. Not for bills of the past and not for budgets, which compare an estimate.

mod prices;

use crate::address::Address;
use crate::openapi::quantity::Quantity;
use crate::platform::audit::Billed;
use crate::resource::model::Resource;
use crate::value::Value;
use prices::{PRICES, Purchase, Source};

/// Nodes of GKE have a disk of this size unless the pool says otherwise.
const DISK_GB: f64 = 100.0;

/// What one thing costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The resource.
    pub address: Address,
    /// What it is: "2 × n1-standard-4", "cluster fee".
    pub what: String,
    /// US dollars an hour; `None` when the table has no price for it.
    pub per_hour: Option<f64>,
    /// Where the price is from, or which price is missing.
    pub source: String,
    /// The day, month or year of which the price is; empty where it is missing.
    pub as_of: String,
}

/// What everything costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimate {
    /// In the order of the resources.
    pub lines: Vec<Line>,
}

impl Estimate {
    /// US dollars an hour of all that has a price: with [`Estimate::is_complete`] false, at least that much.
    pub fn per_hour(&self) -> f64 {
        self.lines.iter().filter_map(|line| line.per_hour).sum()
    }

    /// US dollars a day.
    pub fn per_day(&self) -> f64 {
        self.per_hour() * 24.0
    }

    /// Whether everything has a price.
    pub fn is_complete(&self) -> bool {
        self.lines.iter().all(|line| line.per_hour.is_some())
    }

    /// What has none.
    pub fn unknown(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.per_hour.is_none())
    }
}

/// How large pools are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As their attributes say; queued capacity, which starts empty, as it is once it has come.
    Wanted,
    /// As they are just now.
    Present,
    /// As large as their autoscaler may make them.
    Most,
}

/// Something that may cost.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The resource.
    pub address: &'a Address,
    /// Its kind's name.
    pub kind: &'a str,
    /// Attributes, desired or observed; what is deferred has no price.
    pub attrs: &'a Value,
    /// How large its pools are.
    pub size: Size,
}

/// Estimates resources as the stack wants them. Attributes are those of the kinds' documentation.
pub fn estimate<'r>(resources: impl IntoIterator<Item = &'r Resource>) -> Estimate {
    items(resources.into_iter().map(|resource| Item {
        address: &resource.address,
        kind: resource.kind,
        attrs: &resource.attrs,
        size: Size::Wanted,
    }))
}

/// Estimates what is, or would be, there.
pub fn items<'a>(items: impl IntoIterator<Item = Item<'a>>) -> Estimate {
    let mut lines = Vec::new();
    let mut balancers = 0;
    for item in items {
        let priced = match item.kind {
            "gke.cluster" => cluster(item.attrs, item.size),
            "gke.node_pool" => pool(item.attrs, item.attrs, item.size),
            "k8s.object" if is_balancer(item.attrs) => {
                balancers += 1;
                let shared = if (2..=5).contains(&balancers) { " (in the price of the first)" } else { "" };
                vec![(format!("load balancer{shared}"), PRICES.balancer(balancers - 1))]
            }
            "k8s.object" => volume(item.attrs),
            _ => Vec::new(),
        };
        lines.extend(priced.into_iter().map(|(what, price)| {
            let (per_hour, source, as_of) = match price {
                Ok((per_hour, source)) => (Some(per_hour), source.source.clone(), source.as_of.clone()),
                Err(missing) => (None, missing, String::new()),
            };
            Line { address: item.address.clone(), what, per_hour, source, as_of }
        }));
    }
    Estimate { lines }
}

/// The attributes of an autoscaled pool, or of a cluster with one, with the size that is there: `None` where nothing is
/// autoscaled, and the stack says how many nodes there are.
pub fn as_scaled(kind: &str, wanted: &Value, present: &Value) -> Option<Value> {
    let scaled = |wanted: &Value, present: &Value| {
        let (Value::Map(map), Some(nodes)) = (wanted, present.get("nodes")) else { return None };
        wanted.get("autoscale").and_then(Value::as_map)?;
        // An autoscaler that is yet to come has said nothing.
        present.get("autoscale").and_then(Value::as_map)?;
        let mut map = map.clone();
        map.insert("nodes".to_owned(), nodes.clone());
        Some(Value::Map(map))
    };
    match kind {
        "gke.node_pool" => scaled(wanted, present),
        "gke.cluster" => {
            let pool = scaled(wanted.get("system_pool")?, present.get("system_pool")?)?;
            let Value::Map(map) = wanted else { return None };
            let mut map = map.clone();
            map.insert("system_pool".to_owned(), pool);
            Some(Value::Map(map))
        }
        _ => None,
    }
}

/// The types of machines that have a price, in order.
pub fn machine_types() -> Vec<&'static str> {
    prices::PRICES.machine_types()
}

/// What one thing costs an hour that was found left over; `None` when the table has no price for it.
pub fn residual(billed: &Billed) -> Option<f64> {
    let price = match billed {
        Billed::Nothing => return Some(0.0),
        Billed::Unknown => return None,
        Billed::ForwardingRule => PRICES.balancer(0),
        Billed::Address => return Some(PRICES.idle_address.per_hour),
        Billed::Disk { kind, gigabytes } => {
            times(PRICES.disk(kind), factor(i64::try_from(*gigabytes).unwrap_or(i64::MAX)))
        }
        Billed::Machine { machine_type, region, spot, accelerators } => {
            let purchase = if *spot { Purchase::Spot } else { Purchase::OnDemand };
            accelerators.iter().fold(PRICES.machine(machine_type, region, purchase), |sum, (kind, count)| {
                let (sum, source) = sum?;
                let count = factor(i64::try_from(*count).unwrap_or(i64::MAX));
                let (more, _) = times(PRICES.gpu(kind, region, purchase), count)?;
                Ok((sum + more, source))
            })
        }
    };
    price.ok().map(|(per_hour, _)| per_hour)
}

/// Dollars an hour and the source, or what is missing.
type Price = Result<(f64, &'static Source), String>;

fn text<'a>(attrs: &'a Value, key: &str) -> Option<&'a str> {
    attrs.get(key).and_then(Value::as_str)
}

/// A count of things, as a factor.
#[expect(clippy::cast_precision_loss, reason = "nodes and gigabytes are far below 2^52")]
fn factor(number: i64) -> f64 {
    number as f64
}

fn times(price: Price, count: f64) -> Price {
    price.map(|(per_hour, source)| (per_hour * count, source))
}

fn cluster(attrs: &Value, size: Size) -> Vec<(String, Price)> {
    let fee = &PRICES.cluster_fee;
    let mut lines = vec![("cluster fee".to_owned(), Ok((fee.per_hour, &fee.source)))];
    if let Some(system) = attrs.get("system_pool") {
        lines.extend(pool(system, attrs, size));
    }
    lines
}

/// The region of a zone or region.
fn region(location: &str) -> &str {
    match location.match_indices('-').nth(1) {
        Some((at, _)) => &location[..at],
        None => location,
    }
}

/// Nodes of a pool: per zone, three zones in a region unless they are named.
fn nodes(attrs: &Value, place: &Value, size: Size) -> Option<i64> {
    let count = attrs.get("nodes").and_then(Value::as_int);
    let most = attrs.at(&["autoscale", "max"]).and_then(Value::as_int);
    let queued = attrs.get("flex_start").and_then(Value::as_bool) == Some(true);
    let count = match size {
        Size::Most => most.max(count),
        // Queued capacity starts empty and is there to be filled.
        Size::Wanted if queued => most.or(count),
        Size::Wanted | Size::Present => count,
    }?;
    let named = [attrs, place].iter().find_map(|v| v.get("node_locations").and_then(Value::as_list)).map(<[_]>::len);
    let location = text(place, "location")?;
    let zones = match named {
        Some(zones) => i64::try_from(zones).unwrap_or(1).max(1),
        None if region(location) == location => 3,
        None => 1,
    };
    Some(count * zones)
}

fn pool(attrs: &Value, place: &Value, size: Size) -> Vec<(String, Price)> {
    let (Some(machine), Some(location), Some(nodes)) =
        (text(attrs, "machine_type"), text(place, "location"), nodes(attrs, place, size))
    else {
        return vec![("nodes".to_owned(), Err("machine type, place or number is not known yet".to_owned()))];
    };
    if nodes == 0 {
        return Vec::new();
    }
    let region = region(location);
    let is = |key: &str| attrs.get(key).and_then(Value::as_bool) == Some(true);
    let purchase = match (is("spot"), is("flex_start")) {
        (true, _) => Purchase::Spot,
        (false, true) => Purchase::FlexStart,
        (false, false) => Purchase::OnDemand,
    };
    let count = factor(nodes);
    let suffix = purchase.words();
    let mut lines =
        vec![(format!("{nodes} × {machine}{suffix}"), times(PRICES.machine(machine, region, purchase), count))];
    if let Some(kind) = attrs.at(&["accelerator", "type"]).and_then(Value::as_str) {
        let each = attrs.at(&["accelerator", "count"]).and_then(Value::as_int).unwrap_or(1);
        let price = times(PRICES.gpu(kind, region, purchase), factor(nodes * each));
        lines.push((format!("{} × {kind}{suffix}", nodes * each), price));
    }
    // TPU machines take nothing but Hyperdisks.
    let usual = if machine.starts_with("ct") { "hyperdisk-balanced" } else { "pd-balanced" };
    let kind = text(attrs, "disk_type").unwrap_or(usual);
    let size = attrs.get("disk_size_gb").and_then(Value::as_int).map_or(DISK_GB, factor);
    lines.push((format!("{nodes} × {size} GB {kind}"), times(PRICES.disk(kind), size * count)));
    lines.push((format!("{nodes} × external address{suffix}"), times(PRICES.address(purchase), count)));
    lines
}

/// Whether Google makes a load balancer for an object, or for what its controller makes of it.
fn is_balancer(manifest: &Value) -> bool {
    match text(manifest, "kind").unwrap_or_default() {
        "Gateway" => text(manifest, "apiVersion").is_some_and(|api| api.starts_with("gateway.networking.k8s.io/")),
        "Service" => manifest.at(&["spec", "type"]).and_then(Value::as_str) == Some("LoadBalancer"),
        "Ingress" => true,
        _ => false,
    }
}

fn volume(manifest: &Value) -> Vec<(String, Price)> {
    if text(manifest, "kind") != Some("PersistentVolumeClaim") {
        return Vec::new();
    }
    let class = manifest.at(&["spec", "storageClassName"]).and_then(Value::as_str).unwrap_or("standard-rwo");
    let disk = match class {
        "standard-rwo" => "pd-balanced",
        "standard" => "pd-standard",
        "premium-rwo" => "pd-ssd",
        other => other,
    };
    let size = manifest.at(&["spec", "resources", "requests", "storage"]).and_then(Value::as_str).and_then(gigabytes);
    let price = match size {
        Some(size) => times(PRICES.disk(disk), size),
        None => Err("the size is not known".to_owned()),
    };
    vec![(format!("volume of class {class}"), price)]
}

/// A quantity of storage in GB as disks are billed: whole ones, of 2^30 bytes.
fn gigabytes(quantity: &str) -> Option<f64> {
    let bytes = u64::try_from(Quantity::parse(quantity)?.units()).ok()?;
    Some(factor(i64::try_from(bytes.div_ceil(1 << 30)).ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn resource(kind: &'static str, attrs: serde_json::Value) -> Resource {
        Resource {
            address: Address::new("node_pools.p"),
            kind,
            attrs: Value::from_json(&attrs).into(),
            needs: Vec::new(),
            connection: None,
            ceded: Vec::new(),
            timeout: Duration::ZERO,
            estimate: Duration::ZERO,
            origin: None,
        }
    }

    fn pool(attrs: serde_json::Value) -> Estimate {
        estimate(&[resource("gke.node_pool", attrs)])
    }

    fn near(left: f64, right: f64) -> bool {
        (left - right).abs() < 0.0005
    }

    #[test]
    fn a_t4_node_costs_machine_gpu_and_disk() {
        let gpu = json!({"machine_type": "n1-standard-4", "location": "us-central1-a", "nodes": 1,
            "accelerator": {"type": "nvidia-tesla-t4", "count": 1}});
        let found = pool(gpu.clone());
        assert!(found.is_complete() && near(found.per_hour(), 0.19 + 0.35 + 10.0 / 730.0 + 0.005), "{found:?}");
        assert!(found.lines.iter().all(|line| line.as_of.starts_with("2026") && !line.source.is_empty()), "{found:?}");
        let mut spot = gpu;
        spot["spot"] = json!(true);
        let spot = pool(spot);
        assert!(
            near(spot.lines[1].per_hour.expect("a price"), 0.175)
                && near(spot.lines[3].per_hour.expect("a price"), 0.0025)
        );
    }

    #[test]
    fn a_tpu_host_costs_its_chips_and_its_hyperdisk() {
        let at = |location: &str, more: serde_json::Value| {
            let mut attrs = json!({"machine_type": "ct6e-standard-4t", "location": location, "nodes": 1});
            attrs.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
            pool(attrs)
        };
        let besides = 8.0 / 730.0 + 0.005;
        let found = at("europe-west4-a", json!({}));
        assert!(near(found.per_hour(), 11.88 + besides) && found.is_complete(), "{found:?}");
        assert!(near(at("us-east5-b", json!({})).per_hour(), 10.8 + besides));
        let flex = json!({"nodes": 0, "flex_start": true, "autoscale": {"min": 0, "max": 1}});
        assert!(near(at("us-east5-b", flex).per_hour(), 5.4 + besides));
        let found = at("us-east5-b", json!({"disk_type": "hyperdisk-extreme"}));
        assert!(!found.is_complete() && found.unknown().next().expect("the disk").source.contains("hyperdisk-extreme"));
    }

    #[test]
    fn pools_cost_what_they_are_and_at_most_what_they_may_become() {
        let attrs = json!({"machine_type": "n1-standard-4", "location": "us-central1-a", "nodes": 2,
            "flex_start": true, "autoscale": {"min": 0, "max": 5}});
        let (address, attrs) = (Address::new("node_pools.p"), Value::from_json(&attrs));
        let sized = |size| items([Item { address: &address, kind: "gke.node_pool", attrs: &attrs, size }]);
        let whats = [Size::Present, Size::Wanted, Size::Most].map(|size| sized(size).lines[1].what.clone());
        assert_eq!(whats, ["2 × 100 GB pd-balanced", "5 × 100 GB pd-balanced", "5 × 100 GB pd-balanced"]);
    }

    #[test]
    fn five_load_balancers_share_a_price_and_an_empty_pool_costs_nothing() {
        let service = json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "LoadBalancer"}});
        let services = vec![resource("k8s.object", service); 6];
        let prices = estimate(&services).lines.iter().map(|line| line.per_hour.expect("a price")).collect::<Vec<_>>();
        assert_eq!(prices, [0.025, 0.0, 0.0, 0.0, 0.0, 0.01]);
        let empty = pool(json!({"machine_type": "z9-huge", "location": "us-central1-a", "nodes": 0}));
        assert_eq!(empty, Estimate::default());
    }

    #[test]
    fn what_the_table_does_not_know_is_unknown_and_not_nothing() {
        let found = pool(json!({"machine_type": "n1-standard-4", "location": "mars-north1-a", "nodes": 1}));
        assert_eq!(found.lines[0].per_hour, None);
        let found = pool(json!({"machine_type": "z9-huge", "location": "us-central1-a", "nodes": 2}));
        assert!(found.lines[0].source.contains("z9-huge"), "{found:?}");
    }

    #[test]
    fn regional_pools_have_nodes_in_three_zones() {
        let attrs = json!({"machine_type": "n1-standard-4", "location": "us-central1", "nodes": 1});
        assert!(near(pool(attrs).lines[0].per_hour.expect("a price"), 0.57));
    }

    #[test]
    fn clusters_balancers_and_volumes() {
        let cluster =
            json!({"location": "europe-west4-a", "system_pool": {"machine_type": "n1-standard-4", "nodes": 2}});
        let found = estimate(&[
            resource("gke.cluster", cluster),
            resource("k8s.object", json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway"})),
            resource(
                "k8s.object",
                json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "spec": {"resources": {"requests": {"storage": "73Gi"}}}}),
            ),
            resource("k8s.object", json!({"apiVersion": "v1", "kind": "ConfigMap"})),
        ]);
        let prices = found.lines.iter().map(|line| line.per_hour.expect("a price")).collect::<Vec<_>>();
        let expected = [0.1, 2.0 * 0.20917, 20.0 / 730.0, 0.01, 0.025, 0.01];
        assert!(prices.len() == 6 && prices.iter().zip(expected).all(|(a, b)| near(*a, b)), "{prices:?}");
    }

    #[test]
    fn what_is_left_over_has_a_price_or_none_is_known() {
        let disk = |kind: &str| residual(&Billed::Disk { kind: kind.into(), gigabytes: 73 });
        assert!(near(disk("pd-balanced").expect("a price"), 0.01));
        assert_eq!(disk("hyperdisk-extreme"), None);
        assert_eq!((residual(&Billed::Nothing), residual(&Billed::Unknown)), (Some(0.0), None));
        assert_eq!((residual(&Billed::ForwardingRule), residual(&Billed::Address)), (Some(0.025), Some(0.01)));
        let machine = |machine_type: &str, accelerator: &str| {
            residual(&Billed::Machine {
                machine_type: machine_type.into(),
                region: "us-central1".into(),
                spot: false,
                accelerators: [(accelerator.to_owned(), 2)].into(),
            })
        };
        assert!(near(machine("n1-standard-4", "nvidia-tesla-t4").expect("a price"), 0.19 + 0.7));
        assert_eq!(machine("n1-standard-4", "nvidia-z9"), None, "a sum with a hole is no price");
        assert_eq!(machine("z9-huge", "nvidia-tesla-t4"), None);
    }
}
