//! What a stack costs while it runs: list prices times what its resources say. Pure.
//!
//! Not a bill: discounts, traffic and free tiers are left out. A price that is not in the table is unknown,
//! never zero, and makes the total a lower bound.

mod prices;

use crate::resource::model::Resource;
use crate::value::Value;
use prices::{Buying, Prices};

/// Hours of a month by which monthly prices are divided, as Google's own calculator does.
const HOURS_PER_MONTH: f64 = 730.0;

/// GKE's default boot disk: 100 GB pd-balanced (facts of the API, not of this program).
const DEFAULT_DISK: (&str, f64) = ("pd-balanced", 100.0);

/// One thing that costs money.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The component that brings it.
    pub component: String,
    /// What it is: `2 × n1-standard-4`.
    pub what: String,
    /// US dollars per hour; `None` when the price is not known.
    pub per_hour: Option<f64>,
}

/// The cost of a stack while everything runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimate {
    /// All items, in the order of the resources.
    pub items: Vec<Item>,
}

impl Estimate {
    /// US dollars per hour of everything that has a known price.
    pub fn per_hour(&self) -> f64 {
        self.items.iter().filter_map(|item| item.per_hour).sum()
    }

    /// Whether every price is known.
    pub fn is_complete(&self) -> bool {
        self.items.iter().all(|item| item.per_hour.is_some())
    }
}

/// Prices resources at their desired size. Autoscaled pools count with their initial size.
pub fn estimate(resources: &[Resource]) -> Estimate {
    let prices = Prices::table();
    let mut items = Vec::new();
    for resource in resources {
        let component = resource.address.component();
        let mut add = |what: String, per_hour: Option<f64>| {
            items.push(Item { component: component.to_owned(), what, per_hour });
        };
        match resource.kind {
            "gke.cluster" => {
                add("GKE management fee".to_owned(), Some(prices.management_fee()));
                if let Some(pool) = resource.attrs.get("system_pool") {
                    nodes(prices, region(&resource.attrs), pool, &mut add);
                }
            }
            "gke.node_pool" => nodes(prices, region(&resource.attrs), &resource.attrs, &mut add),
            "k8s.object" if is_load_balancer(&resource.attrs) => {
                add("load balancer forwarding rule".to_owned(), Some(prices.forwarding_rule()));
            }
            _ => {}
        }
    }
    Estimate { items }
}

/// `europe-west4` of `europe-west4-a`.
fn region(attrs: &Value) -> &str {
    let location = attrs.get("location").and_then(Value::as_str).unwrap_or_default();
    match location.rsplit_once('-') {
        Some((region, zone)) if zone.len() == 1 => region,
        _ => location,
    }
}

fn is_load_balancer(manifest: &Value) -> bool {
    let kind = manifest.get("kind").and_then(Value::as_str);
    let group = manifest.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    match kind {
        Some("Gateway") => group.starts_with("gateway.networking.k8s.io/"),
        Some("Service") => manifest.at(&["spec", "type"]).and_then(Value::as_str) == Some("LoadBalancer"),
        _ => false,
    }
}

fn nodes(prices: &Prices, region: &str, pool: &Value, add: &mut dyn FnMut(String, Option<f64>)) {
    let count = pool.get("nodes").and_then(Value::as_int).unwrap_or(1);
    if count == 0 {
        return;
    }
    #[expect(clippy::cast_precision_loss, reason = "node counts are small")]
    let many = count as f64;
    let machine = pool.get("machine_type").and_then(Value::as_str).unwrap_or("e2-medium");
    let is = |key: &str| pool.get(key).and_then(Value::as_bool) == Some(true);
    let buying = if is("spot") {
        Buying::Spot
    } else if is("flex_start") {
        Buying::FlexStart
    } else {
        Buying::OnDemand
    };
    let price = match prices.tpu_chips(machine) {
        Some(chips) => prices.tpu_chip(region, buying).map(|price| price * chips),
        None => prices.machine(machine, region, buying),
    };
    add(format!("{count} × {machine}{}", buying.note()), price.map(|price| price * many));
    if let Some(accelerator) = pool.get("accelerator") {
        let name = accelerator.get("type").and_then(Value::as_str).unwrap_or_default();
        let each = accelerator.get("count").and_then(Value::as_int).unwrap_or(1);
        #[expect(clippy::cast_precision_loss, reason = "accelerator counts are small")]
        let price = prices.accelerator(name, region, buying).map(|price| price * each as f64 * many);
        add(format!("{} × {name}{}", each * count, buying.note()), price);
    }
    let given = pool.get("disk_type").and_then(Value::as_str);
    // TPU machines boot from hyperdisk, whose price is not in the table.
    let kind = given.unwrap_or(if prices.tpu_chips(machine).is_some() { "hyperdisk-balanced" } else { DEFAULT_DISK.0 });
    #[expect(clippy::cast_precision_loss, reason = "disks are smaller than 2^52 GB")]
    let size = pool.get("disk_size_gb").and_then(Value::as_int).map_or(DEFAULT_DISK.1, |gb| gb as f64);
    let price = prices.disk(kind).map(|price| price * size * many / HOURS_PER_MONTH);
    add(format!("{count} × {size} GB {kind}"), price);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use std::time::Duration;

    fn resource(address: &str, kind: &'static str, attrs: serde_json::Value) -> Resource {
        Resource {
            address: Address::new(address),
            kind,
            attrs: Value::from_json(&attrs),
            needs: vec![],
            connection: None,
            ceded: vec![],
            timeout: Duration::ZERO,
            estimate: Duration::ZERO,
            origin: None,
        }
    }

    #[test]
    fn a_t4_stack_in_the_netherlands() {
        let estimate = estimate(&[
            resource(
                "cluster",
                "gke.cluster",
                serde_json::json!({"location": "europe-west4-a", "system_pool": {"machine_type": "n1-standard-4", "nodes": 2}}),
            ),
            resource(
                "node_pools.gpu",
                "gke.node_pool",
                serde_json::json!({"location": "europe-west4-a", "machine_type": "n1-standard-4", "nodes": 1,
                    "accelerator": {"type": "nvidia-tesla-t4", "count": 1}}),
            ),
        ]);
        // 0.10 + 3 × 0.20917 + 0.3675 + 3 × 100 GB × 0.1 / 730.
        let expected = 0.10 + 3.0 * 0.20917 + 0.3675 + 30.0 / 730.0;
        assert!((estimate.per_hour() - expected).abs() < 1e-9, "{estimate:?}");
        assert!(estimate.is_complete());
    }

    #[test]
    fn an_unknown_price_makes_a_lower_bound() {
        let attrs = serde_json::json!({"location": "us-east5-a", "machine_type": "ct6e-standard-4t", "nodes": 1});
        let estimate = estimate(&[resource("node_pools.tpu", "gke.node_pool", attrs)]);
        assert!((estimate.per_hour() - 10.8).abs() < 1e-9, "{estimate:?}");
        assert!(!estimate.is_complete());
        assert!(estimate.items.iter().any(|item| item.what.contains("hyperdisk") && item.per_hour.is_none()));
    }
}
