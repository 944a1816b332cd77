//! The price table: `prices.toml`, read once. What each figure is and where it is from stands there.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// How capacity is bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buying {
    OnDemand,
    Spot,
    FlexStart,
}

impl Buying {
    pub(super) fn note(self) -> &'static str {
        match self {
            Buying::OnDemand => "",
            Buying::Spot => " (spot)",
            Buying::FlexStart => " (flex-start)",
        }
    }
}

/// US dollars per hour.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    on_demand: Option<f64>,
    spot: Option<f64>,
    flex_start: Option<f64>,
}

impl Price {
    fn of(self, buying: Buying) -> Option<f64> {
        match buying {
            Buying::OnDemand => self.on_demand,
            Buying::Spot => self.spot,
            Buying::FlexStart => self.flex_start,
        }
    }
}

type ByRegion = BTreeMap<String, Price>;

/// The whole table.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prices {
    cluster: ClusterPrices,
    load_balancer: LoadBalancerPrices,
    disk_per_gb_month: BTreeMap<String, f64>,
    machine: BTreeMap<String, ByRegion>,
    accelerator: BTreeMap<String, ByRegion>,
    tpu_chip: BTreeMap<String, ByRegion>,
    tpu_machine: BTreeMap<String, f64>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterPrices {
    management_fee_per_hour: f64,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadBalancerPrices {
    forwarding_rule_per_hour: f64,
}

impl Prices {
    pub(super) fn table() -> &'static Prices {
        static TABLE: OnceLock<Prices> = OnceLock::new();
        TABLE.get_or_init(|| toml::from_str(include_str!("prices.toml")).expect("the shipped table is valid"))
    }

    pub(super) fn management_fee(&self) -> f64 {
        self.cluster.management_fee_per_hour
    }

    pub(super) fn forwarding_rule(&self) -> f64 {
        self.load_balancer.forwarding_rule_per_hour
    }

    /// Per GB and month.
    pub(super) fn disk(&self, kind: &str) -> Option<f64> {
        self.disk_per_gb_month.get(kind).copied()
    }

    pub(super) fn machine(&self, name: &str, region: &str, buying: Buying) -> Option<f64> {
        self.machine.get(name)?.get(region)?.of(buying)
    }

    pub(super) fn accelerator(&self, name: &str, region: &str, buying: Buying) -> Option<f64> {
        self.accelerator.get(name)?.get(region)?.of(buying)
    }

    /// Chips of a TPU machine; `None` for other machines.
    pub(super) fn tpu_chips(&self, machine: &str) -> Option<f64> {
        self.tpu_machine.get(machine).copied()
    }

    /// Per v6e chip.
    pub(super) fn tpu_chip(&self, region: &str, buying: Buying) -> Option<f64> {
        self.tpu_chip.get("v6e")?.get(region)?.of(buying)
    }
}
